"""Rules: what governance was told, as records in the journal, per subject or for the whole tenant.

Grants, groups, intake, redaction and audit are all rules: a sort, a name, and a value in JSON. So
they are versioned by the journal, compared by ``verify``, and effective in the commit that sets
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mnemos.kernel import schema
from mnemos.kernel.binding import TENANT_WIDE
from mnemos.kernel.ports import ReadTx


class Sort(StrEnum):
    """What a rule is about."""

    GRANT = "grant"
    GROUP = "group"
    INTAKE = "intake"
    REDACTION = "redaction"
    AUDIT = "audit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule as stored.

    Parameters
    ----------
    id : str
        The record that set it.
    sort : Sort
        What it is about.
    name : str
        Its name within its sort: a group's name, a source, a grant's id; empty where a scope has
        one rule of the sort.
    value : mapping
        What it says, JSON values.
    everywhere : bool
        Whether it is the tenant's own.
    """

    id: str
    sort: Sort
    name: str
    value: Mapping[str, Any]
    everywhere: bool


def stored(tx: ReadTx, tenant: str, subject: int | None, sort: Sort) -> tuple[Rule, ...]:
    """Return the rules of a sort that bear on a subject, the tenant's own first.

    Parameters
    ----------
    tx : ReadTx
        The snapshot.
    tenant : str
        Whose.
    subject : int or None
        Number of the subject; None is the tenant alone.
    sort : Sort
        Which.
    """
    rows = list(tx.scan(schema.RULES, (tenant, TENANT_WIDE, sort.value)))
    if subject:
        rows += tx.scan(schema.RULES, (tenant, subject, sort.value))
    return tuple(
        Rule(
            id=row.id,
            sort=sort,
            name=row.name,
            value=json.loads(row.body),
            everywhere=row.subject == TENANT_WIDE,
        )
        for row in rows
    )


def nearest(tx: ReadTx, tenant: str, subject: int | None, sort: Sort) -> Rule | None:
    """Return the one rule of a sort that counts for a subject: its own before the tenant's."""
    found = stored(tx, tenant, subject, sort)
    return found[-1] if found else None
