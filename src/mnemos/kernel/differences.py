"""What differs between two readings of one scope: two moments, or two branches."""

from __future__ import annotations

from dataclasses import dataclass

from mnemos.kernel import schema
from mnemos.kernel.branches import Line, ancestry, touched, version_at
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.timeline import says
from mnemos.types import MemCube


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A place in a scope's history: a branch and a journal position on it."""

    branch: int
    seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One memory that is not the same at both points.

    Parameters
    ----------
    id : str
        The memory.
    change : str
        ``added``, ``removed`` or ``changed``, seen from the first point.
    before, after : MemCube or None
        What it is at each point; None where it is not there.
    """

    id: str
    change: str
    before: MemCube | None
    after: MemCube | None


def common(one: list[Line], other: list[Line]) -> int:
    """Return the last position up to which two ancestries read the same history."""
    cuts = {line.branch: line.cut for line in one}
    return max(
        (min(line.cut, cuts[line.branch]) for line in other if line.branch in cuts), default=0
    )


def changed_between(tx: ReadTx, tenant: str, subject: int, a: Point, b: Point) -> list[str]:
    """Return the ids of the cubes that differ between two points, in order of their last change.

    The cost lies in what happened since the two parted, not in how much is remembered.
    """
    one = ancestry(tx, tenant, subject, a.branch, a.seq)
    other = ancestry(tx, tenant, subject, b.branch, b.seq)
    branches = {line.branch for line in (*one, *other)}
    found: list[str] = []
    for id in touched(tx, tenant, subject, branches, common(one, other)):
        row = tx.get(schema.IDS, (tenant, id))
        if row is not None and says(version_at(tx, tenant, row.cube, one)) != says(
            version_at(tx, tenant, row.cube, other)
        ):
            found.append(id)
    return found


def differences(before: Reader, after: Reader, ids: list[str]) -> list[Difference]:
    """Return what two readers of the same snapshot show of some cubes, where it differs.

    A change that neither view shows, one of an archived memory say, is none.
    """
    found: list[Difference] = []
    for id in ids:
        old, new = before.look(id), after.look(id)
        if old is None and new is None:
            continue
        if old is None or new is None:
            change = "added" if old is None else "removed"
        elif (old.header, old.payload, old.state) == (new.header, new.payload, new.state):
            continue
        else:
            change = "changed"
        found.append(Difference(id=id, change=change, before=old, after=new))
    return found
