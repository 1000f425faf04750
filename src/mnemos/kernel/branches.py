"""Lines of time: which version of a cube a branch shows at a moment.

A branch is one row: its parent and the position at which it left it. What it has not changed it
reads from its ancestors, cut at the fork. The first change of an inherited cube copies the row of
its inherited version beside the new one, ended; from then on the branch's own rows say everything
about that cube.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mnemos.errors import StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import ALIVE, MAIN, Branch, Version

DEPTH = 16
"""Most ancestors of a branch: a read visits each of them."""

NOW = ALIVE - 1
"""The moment of a reader who asks for the present."""


@dataclass(frozen=True, slots=True)
class Line:
    """One branch of an ancestry, and the position after which it is no longer looked at.

    ``fork`` is where the branch itself began: its own rows were born later.
    """

    branch: int
    cut: int
    fork: int


def fork_of(tx: ReadTx, tenant: str, subject: int, branch: int) -> Branch | None:
    """Return the row of a branch; the main line has none."""
    return None if branch == MAIN else tx.get(schema.BRANCHES, (tenant, subject, branch))


def ancestry(tx: ReadTx, tenant: str, subject: int, branch: int, moment: int) -> list[Line]:
    """Return a branch at a moment and its ancestors, each cut at the fork of the one before.

    Raises
    ------
    StoreCorrupt
        If a damaged row names a later branch as parent.
    """
    lines: list[Line] = []
    while True:
        row = fork_of(tx, tenant, subject, branch)
        lines.append(Line(branch, moment, row.fork if row else 0))
        if row is None:
            return lines
        if row.parent >= branch:  # a parent is older: a damaged row must not lead in a circle
            raise StoreCorrupt(f"branch {branch} has a later one for parent; run `mnemos verify`")
        branch, moment = row.parent, min(moment, row.fork)


def home(lines: list[Line], born: int) -> int:
    """Return the branch whose page holds the row born at a position."""
    return next((line.branch for line in lines if born > line.fork), MAIN)


def version_at(tx: ReadTx, tenant: str, cube: int, lines: list[Line]) -> Version | None:
    """Return the version of a cube a branch shows at its moment, or None."""
    for line in lines:
        rows = list(tx.scan(schema.VERSIONS, (tenant, cube, line.branch), stop=line.cut + 1))
        if rows:
            # Rows are in order of birth, and each ended before or when the next was born.
            return rows[-1] if rows[-1].dead > line.cut else None
    return None


def live_version(
    tx: ReadTx, tenant: str, subject: int, cube: int, branch: int, moment: int = NOW
) -> Version | None:
    """Return the current version of a cube on a branch, inherited or its own."""
    return version_at(tx, tenant, cube, ancestry(tx, tenant, subject, branch, moment))


def versions_of(tx: ReadTx, tenant: str, cube: int, lines: list[Line]) -> list[Version]:
    """Return every version of a cube on a branch up to its moment, in order of birth."""
    found: dict[int, Version] = {}
    for line in lines:
        for row in tx.scan(schema.VERSIONS, (tenant, cube, line.branch), stop=line.cut + 1):
            # A copied row says what became of it on the nearer branch.
            found.setdefault(row.born, row)
    return [found[born] for born in sorted(found)]


def own_cubes(tx: ReadTx, tenant: str, subject: int, line: Line) -> set[int]:
    """Return the cubes a branch had changed by its moment: their inherited rows are hidden."""
    rows = tx.scan(schema.VERSIONS, (tenant, subject, line.branch), index="deaths")
    # A copied row changes nothing before its end.
    return {row.cube for row in rows if _since(row, line) <= line.cut}


def _since(row: Version, line: Line) -> int:
    """Return when a branch first differed from its ancestors by a row: a copy differs by its end."""
    return row.born if row.born > line.fork else row.dead


def candidates(
    tx: ReadTx, tenant: str, subject: int, lines: list[Line], first: int
) -> Iterator[Version]:
    """Walk the versions a branch shows at its moment, of cubes numbered from ``first``, in order."""
    if len(lines) == 1 and lines[0].cut == NOW:
        key = (tenant, subject, lines[0].branch, ALIVE)
        yield from tx.scan(schema.VERSIONS, key, index="deaths", start=first)
        return
    found: dict[int, Version] = {}
    for line in lines:
        key = (tenant, subject, line.branch)
        here: dict[int, Version | None] = {}
        # Rows ended by the moment matter on a branch only: they hide what it would inherit.
        start = None if line.fork else line.cut + 1
        for row in tx.scan(schema.VERSIONS, key, index="deaths", start=start):
            if row.cube < first or row.born > line.cut or row.cube in found:
                continue
            here.setdefault(row.cube, None)
            if row.dead > line.cut:
                here[row.cube] = row
        hidden = here.keys()
        found.update({cube: row for cube, row in here.items() if row is not None})
        if line.fork:
            found.update({cube: _HIDDEN for cube in hidden if cube not in found})
    yield from (row for _, row in sorted(found.items()) if row is not _HIDDEN)


_HIDDEN = Version("", 0, 0, 0, 0, 0, "", 0)
"""Stands for a cube that a branch no longer shows."""


def touched(tx: ReadTx, tenant: str, subject: int, branches: set[int], after: int) -> list[str]:
    """Return the ids of the cubes that changed on some branches after a position, in order."""
    found: dict[str, None] = {}
    for event in tx.scan(schema.EVENTS, (tenant,), start=after + 1):
        if event.subject == subject and event.branch in branches and event.verb not in RECORDS:
            found.setdefault(event.cube)
    return list(found)


RECORDS = frozenset({"snapshot", "branch", "rollback", "merge", "policy", "rule", "read"})
"""Verbs of events whose content is a record and no memory."""
