"""Suppression lists as files: which ids were forgotten, for copies that come back later.

Random ids, positions and times: nothing of what was said, and no names but the tenant's. A list
may therefore be kept where the vault itself may not, and it has to be: after the vault is lost it
is the only thing that still knows what an old backup must not bring back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from mnemos.errors import InvalidInput
from mnemos.exchange.sealed_lines import SealedLines, read_sealed
from mnemos.kernel import schema
from mnemos.kernel.canonical import moment
from mnemos.kernel.copies.backup import Suppression, forgotten
from mnemos.kernel.ports import ReadTx

FORMAT = "mnemos-suppressions-1"


def write_suppressions(file: IO[bytes], tx: ReadTx, tenant: str, *, created: datetime) -> int:
    """Write what a tenant has forgotten; return how many ids."""
    rows = forgotten(tx, tenant)
    lines = SealedLines(file)
    lines.write({"format": FORMAT, "tenant": tenant, "created": created.isoformat()})
    for row in rows:
        event = tx.get(schema.EVENTS, (tenant, row.seq))
        at = moment(event.at).isoformat() if event is not None else None
        lines.write({"id": row.id, "seq": row.seq, "at": at})
    lines.end()
    return len(rows)


def is_list(path: Path) -> bool:
    """Return whether a file begins as a suppression list does."""
    try:
        return _header(path).get("format") == FORMAT
    except InvalidInput:
        return False


def _header(path: Path) -> Mapping[str, Any]:
    return next((value for _, value in read_sealed(path)), dict[str, Any]())


def read_suppressions(path: Path) -> Suppression:
    """Return a list from its file.

    Raises
    ------
    InvalidInput
        If it is no such list, or is cut or changed; the message names the line. A part of a list
        is not used, since what it lacks would come back.
    """
    tenant, ids = "", list[str]()
    for number, value in read_sealed(path):
        if number == 1:
            if value.get("format") != FORMAT or not isinstance(value.get("tenant"), str):
                raise InvalidInput(
                    f"{path.name}, line 1: not a suppression list; its format must be {FORMAT!r}"
                )
            tenant = value["tenant"]
        elif isinstance(value.get("id"), str):
            ids.append(value["id"])
        else:
            raise InvalidInput(f"{path.name}, line {number}: it names no id")
    return Suppression(tenant=tenant, ids=tuple(ids))
