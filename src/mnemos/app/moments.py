"""From what callers say of the past to a journal position."""

from __future__ import annotations

from datetime import tzinfo

from mnemos.app.scopes import read_moment
from mnemos.errors import InvalidInput, NotFound
from mnemos.kernel import schema
from mnemos.kernel.branches import fork_of
from mnemos.kernel.journal import find_subject, seq_at
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.timeline import find_branch
from mnemos.memories.input_values import shown
from mnemos.types import Receipt, Scope


def read_position(
    tx: ReadTx, scope: Scope, value: object, zone: tzinfo, *, name: str = "as_of"
) -> int:
    """Return the journal position a caller means.

    Parameters
    ----------
    tx : ReadTx
        The snapshot to look in.
    scope : Scope
        Whose snapshots may be named.
    value : Receipt, datetime, str, int or float
        What a call returned (the moment after it), a wall time (the last event at or before it),
        ``"#17"`` for a position, or a snapshot's name.
    zone : tzinfo
        Zone of times given without one.
    name : str
        What the argument is called, for errors.

    Raises
    ------
    InvalidInput, NotFound
        If it is none of these.
    """
    head = tx.get(schema.HEADS, (scope.tenant,))
    last = head.seq if head else 0
    if isinstance(value, Receipt):
        if not value.seq:
            raise InvalidInput(f"{name} is a receipt of a transaction not yet made; end it first")
        return value.seq
    if isinstance(value, str) and value.startswith("#"):
        if not value[1:].isdecimal() or int(value[1:]) > last:
            raise InvalidInput(f"{name}={shown(value)} is no position; allowed: #0 to #{last}")
        return int(value[1:])
    if isinstance(value, str):
        subject = find_subject(tx, scope.tenant, scope.subject)
        row = tx.get(schema.SNAPSHOTS, (scope.tenant, subject or 0, value))
        if row is not None:
            return row.at
    try:
        moment = read_moment(name, value, zone)
    except InvalidInput as error:
        if not isinstance(value, str):
            raise
        raise NotFound(
            f"{name}={shown(value)} is neither a time in ISO 8601, a position such as '#17', nor a "
            f"snapshot of {scope.subject!r}; `snapshots` lists those there are"
        ) from error
    if moment is None:
        raise InvalidInput(f"{name}=None is no moment; give a time, a position or a snapshot")
    return seq_at(tx, scope.tenant, moment)


def read_branch(tx: ReadTx, scope: Scope, name: str | None) -> int:
    """Return the number of a branch; None is the main line.

    Raises
    ------
    NotFound
        If the scope has no branch of that name.
    """
    if name is None:
        return schema.MAIN
    subject = find_subject(tx, scope.tenant, scope.subject)
    row = find_branch(tx, scope.tenant, subject, name) if subject is not None else None
    if row is None:
        raise NotFound(
            f"there is no branch {name!r} of {scope.subject!r}; `branches` lists those there are"
        )
    return row.branch


def branch_name(tx: ReadTx, scope: Scope, branch: int) -> str | None:
    """Return the name of a branch; the main line has none."""
    subject = find_subject(tx, scope.tenant, scope.subject)
    row = fork_of(tx, scope.tenant, subject or 0, branch)
    return row.name if row is not None else None
