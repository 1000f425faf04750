"""Policies: how long memories of a kind live, and how many of them stay in view.

A lifespan (``ttl``) and an age (``retain``) end a memory, and after the grace the sweeper forgets
it; decay (``archive_below``) and ``capacity`` only archive. A policy is a record in the journal,
of one kind or of all, in one subject or in the whole tenant; the nearer one counts, field by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, cast

from mnemos.errors import InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.canonical import checked_metadata, moment
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import PolicyRow
from mnemos.types import Draft, Kind

DAY = 86_400.0

GRACE = 7 * DAY
"""Seconds between expiry and being forgotten, where no policy says otherwise."""

QUARANTINE = 30 * DAY
"""Seconds a memory waits in quarantine before it expires, where no policy says otherwise."""

LONGEST = 100_000 * DAY
"""Longest time a policy may name: beyond it calendars end."""

MOST = 1_000_000_000
"""Largest capacity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The life of the memories of a kind; what is None is left to the policy behind it.

    Parameters
    ----------
    ttl : float or None
        Seconds a new memory lives that brings no ``expires_at`` of its own.
    retain : float or None
        Seconds from its first recording after which a memory expires.
    grace : float or None
        Seconds between expiry and being forgotten; 7 days where no policy says.
    archive_below : float or None
        Strength under which a memory is archived, in the range of the law.
    law : mapping or None
        The law of strength as a JSON value, opaque here.
    capacity : int or None
        Most current memories of the kind in a subject; the weakest beyond are archived.
    quarantine : float or None
        Seconds a memory waits in quarantine before it expires; 30 days where no policy says.

    Raises
    ------
    InvalidInput
        If a value is out of its bounds.

    Examples
    --------
    >>> Policy(ttl=3600, capacity=10).to_json()
    {'ttl': 3600, 'capacity': 10}
    """

    ttl: float | None = None
    retain: float | None = None
    grace: float | None = None
    archive_below: float | None = None
    law: Mapping[str, Any] | None = None
    capacity: int | None = None
    quarantine: float | None = None

    def __post_init__(self) -> None:
        _check("ttl", self.ttl, 1e-6, LONGEST)
        _check("retain", self.retain, 1e-6, LONGEST)
        _check("grace", self.grace, 0, LONGEST)
        _check("archive_below", self.archive_below, 0, MOST)
        _check("capacity", self.capacity, 1, MOST, whole=True)
        _check("quarantine", self.quarantine, 1e-6, LONGEST)
        if self.law is not None:
            checked_metadata(self.law)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if self.law is not None:
            values["law"] = dict(self.law)
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Policy:
        """Return the policy :meth:`to_json` described.

        Raises
        ------
        InvalidInput
            If it has other fields, or a value is out of its bounds.
        """
        allowed = [item.name for item in fields(cls)]
        unknown = [name for name in value if name not in allowed]
        if unknown:
            raise InvalidInput(
                f"a policy has no field {unknown[0]!r}; allowed: {', '.join(allowed)}"
            )
        return cls(**value)


def _check(name: str, value: object, least: float, most: float, *, whole: bool = False) -> None:
    if value is None:
        return
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else (int, float))
    if wrong or not least <= cast("float", value) <= most:
        kind = "whole number" if whole else "number"
        raise InvalidInput(f"{name}={value!r} is not allowed; give a {kind} {least:g}–{most:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyEntry:
    """A policy as stored: whose (``everywhere`` or one subject), for which kind (None: all)."""

    id: str
    everywhere: bool
    kind: Kind | None
    policy: Policy


def stored(tx: ReadTx, tenant: str, subject: int | None) -> tuple[PolicyEntry, ...]:
    """Return the policies that bear on a subject, the tenant's own first.

    Parameters
    ----------
    tx : ReadTx
        The snapshot.
    tenant : str
        Whose.
    subject : int or None
        Number of the subject; None is the tenant alone.
    """
    rows = list(tx.scan(schema.POLICIES, (tenant, 0)))
    if subject:
        rows += tx.scan(schema.POLICIES, (tenant, subject))
    return tuple(_entry(row) for row in rows)


def _entry(row: PolicyRow) -> PolicyEntry:
    return PolicyEntry(
        id=row.id,
        everywhere=row.subject == 0,
        kind=Kind(row.kind) if row.kind else None,
        policy=Policy.from_json(json.loads(row.body)),
    )


def ranked(entries: tuple[PolicyEntry, ...], kind: Kind) -> list[PolicyEntry]:
    """Return the policies of a kind, the one that counts first: scope before tenant, kind before all."""
    found = [entry for entry in entries if entry.kind in (kind, None)]
    return sorted(found, key=lambda entry: (entry.everywhere, entry.kind is None))


def combined(entries: tuple[PolicyEntry, ...], kind: Kind) -> Policy:
    """Return what the policies say of a kind together, field by field."""
    policy = Policy()
    for entry in ranked(entries, kind):
        missing = {
            item.name: getattr(entry.policy, item.name)
            for item in fields(Policy)
            if getattr(policy, item.name) is None
        }
        policy = replace(policy, **missing)
    return policy if policy.grace is not None else replace(policy, grace=GRACE)


def effective(tx: ReadTx, tenant: str, subject: int | None, kind: Kind) -> Policy:
    """Return the policy of a kind in a subject.

    The subject's policy of the kind counts before the subject's of all kinds, then the tenant's
    of the kind, then the tenant's of all, each field for itself.
    """
    return combined(stored(tx, tenant, subject), kind)


def with_lifespan(draft: Draft, entries: tuple[PolicyEntry, ...], now: datetime) -> Draft:
    """Return a new memory's draft with the lifespan its kind's policy gives it.

    Parameters
    ----------
    draft : Draft
        What is about to be written; an ``expires_at`` of its own stays.
    entries : tuple of PolicyEntry
        What :func:`stored` returned.
    now : datetime
        Moment of the commit.
    """
    ttl = None
    if entries and draft.header.expires_at is None:
        ttl = combined(entries, draft.header.kind).ttl
    if ttl is None:
        return draft
    return replace(draft, header=replace(draft.header, expires_at=now + timedelta(seconds=ttl)))


def set_at(tx: ReadTx, tenant: str, subject: int, entry: PolicyEntry) -> datetime:
    """Return when a policy that bears on a subject was set."""
    key = (tenant, 0 if entry.everywhere else subject, entry.id)
    record = tx.get(schema.RECORDS, key)
    event = tx.get(schema.EVENTS, (tenant, record.seq)) if record else None
    return moment(event.at if event else 0)
