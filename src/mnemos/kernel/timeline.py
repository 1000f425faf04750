"""Moving along the two axes of a scope: snapshot, branch, rollback, merge.

None of these rewrites anything. A snapshot is a name for a position, a branch one row; a rollback
and a merge append versions that adopt contents the vault already holds, so that both can be undone
by a rollback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnemos.errors import Conflict, InvalidInput, MergeConflict, NotFound, Protected
from mnemos.kernel import schema
from mnemos.kernel.batch import Batch
from mnemos.kernel.branches import DEPTH, NOW, Line, ancestry, touched, version_at
from mnemos.kernel.changes import (
    DropSnapshot,
    Fork,
    MergeBranch,
    Rollback,
    SetPolicy,
    Snapshot,
)
from mnemos.kernel.erasure import forget_record
from mnemos.kernel.governance.trust import steers
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import Branch, Version
from mnemos.types import CURRENT_STATES, Header, State

SIDES = ("branch", "parent")


@dataclass(frozen=True, kw_only=True, slots=True)
class Collision:
    """A cube changed on both sides of a merge; the births of its versions, 0 where it is gone."""

    id: str
    base: int
    branch: int
    parent: int


def snapshot(batch: Batch, change: Snapshot) -> None:
    """Name a position of the branch; a second snapshot of the name is a conflict."""
    _check_written(batch)
    if batch.tx.get(schema.SNAPSHOTS, (batch.tenant, batch.subject(), change.name)):
        raise Conflict(
            f"there is a snapshot {change.name!r} already; give another name, or drop that one"
        )
    at = _position(batch, change.at)
    batch.record("snapshot", change.id, {"name": change.name, "at": at})
    batch.outcome.ids.append(change.id)


def drop_snapshot(batch: Batch, change: DropSnapshot) -> None:
    """Take a snapshot's name away."""
    row = batch.tx.get(schema.SNAPSHOTS, (batch.tenant, batch.subject(), change.name))
    if row is None:
        raise NotFound(f"there is no snapshot {change.name!r} of {batch.scope.subject!r}")
    record = batch.tx.get(schema.RECORDS, (batch.tenant, row.subject, row.id))
    assert record is not None, "a snapshot has its record"
    forget_record(batch, record)
    batch.outcome.ids.append(row.id)


def fork(batch: Batch, change: Fork) -> None:
    """Begin a branch."""
    _check_written(batch)
    if find_branch(batch.tx, batch.tenant, batch.subject(), change.name) is not None:
        raise Conflict(f"there is a branch {change.name!r} already; give another name")
    if len(batch.lines()) >= DEPTH:
        raise InvalidInput(
            f"branch {change.name!r} would have {DEPTH} ancestors, the most there may be; merge "
            "one of them and branch from its parent"
        )
    at = _position(batch, change.at)
    batch.record("branch", change.id, {"name": change.name, "at": at})
    batch.outcome.ids.append(change.id)


def rollback(batch: Batch, change: Rollback) -> None:
    """Append what it takes for the branch to say again what it said at a position."""
    to = _position(batch, change.to)
    lines = batch.lines()
    then = ancestry(batch.tx, batch.tenant, batch.subject(), batch.branch, to)
    since = {line.branch for line in lines[: _below(lines, to) + 1]}
    wanted: dict[str, Version] = {}
    for id, cube in _known(batch, touched(batch.tx, batch.tenant, batch.subject(), since, to)):
        before, live = version_at(batch.tx, batch.tenant, cube, then), batch.current(cube)
        if says(before) == says(live):
            continue
        if live is not None:
            _check_may_change(batch, id, live, before)
        if before is not None:
            wanted[id] = before
        elif live is not None:
            batch.withdraw(id, live)
            batch.outcome.ids.append(id)
    for id, version in wanted.items():
        batch.adopt(id, version, lines, state=_state_of(batch, id, version))
        batch.outcome.ids.append(id)
    batch.record("rollback", change.id, {"to": to})


def merge(batch: Batch, change: MergeBranch) -> None:
    """Bring what a branch changed since it was last merged into this one, its parent.

    Raises
    ------
    MergeConflict
        If both changed the same cube and ``resolve`` does not say which side stays.
    """
    row = batch.tx.get(schema.BRANCHES, (batch.tenant, batch.subject(), change.branch))
    if row is None or row.parent != batch.branch:
        raise InvalidInput("a branch can be merged only into the one it was begun on")
    theirs = ancestry(batch.tx, batch.tenant, row.subject, row.branch, NOW)
    base = ancestry(batch.tx, batch.tenant, row.subject, row.branch, row.merged)
    ids = touched(batch.tx, batch.tenant, row.subject, {row.branch}, row.merged)
    apply: dict[str, Version | None] = {}
    collisions: list[Collision] = []
    for id, cube in _known(batch, ids):
        was = version_at(batch.tx, batch.tenant, cube, base)
        new = version_at(batch.tx, batch.tenant, cube, theirs)
        ours = batch.current(cube)
        if says(new) == says(was) or says(new) == says(ours):
            continue
        side = "branch" if says(ours) == says(was) else _side(change.resolve, id)
        if side is None:
            collisions.append(
                Collision(id=id, base=_born(was), branch=_born(new), parent=_born(ours))
            )
        elif side == "branch":
            apply[id] = new
    if collisions:
        raise MergeConflict(
            f"{len(collisions)} memories were changed on both sides, the first is "
            f"{collisions[0].id}; pass resolve={{id: 'branch' or 'parent'}}",
            tuple(collisions),
        )
    _apply(batch, apply, theirs)
    batch.record("merge", change.id, {"branch": row.branch})


def _apply(batch: Batch, changes: Mapping[str, Version | None], lines: list[Line]) -> None:
    # What ends gives its external id back before another takes it.
    for id, version in sorted(changes.items(), key=lambda item: item[1] is not None):
        live = batch.current(batch.own(id).cube)
        if live is not None:
            _check_may_change(batch, id, live, version)
        if version is not None:
            batch.check_external(id, batch.body(version).header.external_id)
            batch.adopt(id, version, lines, state=_state_of(batch, id, version))
        elif live is not None:
            batch.withdraw(id, live)
        batch.outcome.ids.append(id)


def _state_of(batch: Batch, id: str, version: Version) -> str:
    """Return the state a version comes back in: quarantine is left by an approval alone."""
    live = batch.current(batch.own(id).cube)
    waits = live is not None and live.state == State.QUARANTINED
    shown = version.state in CURRENT_STATES
    if shown and (waits or steers(batch.body(version).header)):
        return State.QUARANTINED
    return version.state


def set_policy(batch: Batch, change: SetPolicy) -> None:
    """Set or remove the life-cycle policy of a kind."""
    key = (batch.tenant, 0 if change.everywhere else batch.subject(), change.kind or "")
    if change.policy is None and batch.tx.get(schema.POLICIES, key) is None:
        raise NotFound("there is no such policy to drop; `policies` lists what there is")
    value = {"kind": change.kind or "", "policy": change.policy}
    batch.record("policy", change.id, value, everywhere=change.everywhere)
    batch.outcome.ids.append(change.id)


def find_branch(tx: ReadTx, tenant: str, subject: int, name: str) -> Branch | None:
    """Return the branch of a name."""
    rows = tx.scan(schema.BRANCHES, (tenant, subject))
    return next((row for row in rows if row.name == name), None)


def says(version: Version | None) -> tuple[int, str] | None:
    """Return what makes a version what it is: its content and its state."""
    return None if version is None else (version.content, version.state)


def check_hold(batch: Batch, id: str, live: Version, header: Header | None) -> None:
    """Pass if going back to a header does not lift a legal hold by the way.

    Raises
    ------
    Protected
        Otherwise.
    """
    if batch.body(live).header.hold and not (header is not None and header.hold):
        raise Protected(f"memory {id} is under a legal hold, which this would lift; release it")


def _check_may_change(batch: Batch, id: str, live: Version, after: Version | None) -> None:
    batch.check_thawed(id, live)
    check_hold(batch, id, live, batch.body(after).header if after is not None else None)


def _check_written(batch: Batch) -> None:
    key = (batch.tenant, batch.subject())
    if next(batch.tx.scan(schema.VERSIONS, key, index="deaths", limit=1), None) is None:
        raise NotFound(f"nothing is remembered of {batch.scope.subject!r} yet; add something first")


def _position(batch: Batch, at: int | None) -> int:
    """Return a journal position that has been reached; None is the present."""
    here = batch.journal.seq
    if at is None:
        return here
    if not 0 <= at <= here:
        raise InvalidInput(f"position {at} is not in the journal; allowed: 0–{here}")
    return at


def _below(lines: list[Line], to: int) -> int:
    """Return the place of the line that was being written at a position."""
    return next((place for place, line in enumerate(lines) if to >= line.fork), len(lines) - 1)


def _known(batch: Batch, ids: list[str]) -> list[tuple[str, int]]:
    """Return the ids that were not forgotten, with their numbers."""
    rows = ((id, batch.tx.get(schema.IDS, (batch.tenant, id))) for id in ids)
    return [(id, row.cube) for id, row in rows if row is not None]


def _side(resolve: Mapping[str, str], id: str) -> str | None:
    side = resolve.get(id)
    if side is not None and side not in SIDES:
        raise InvalidInput(f"resolve[{id!r}]={side!r} is not allowed; give 'branch' or 'parent'")
    return side


def _born(version: Version | None) -> int:
    return version.born if version is not None else 0
