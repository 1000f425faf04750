"""``timeline``: a picture of a scope's branches, snapshots, rollbacks and merges over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import output
from mnemos.cli.options import Settings, common, example, open_memory, require_scope, zone_of

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.kernel.proof.log import Entry

NOTHING = 1
MAIN = "main"
PAGE = 10_000
"""Events read at a time."""

STRETCHES = 20
"""Parts the whole span is cut into, so that one sees when much happened."""

SHORTEST = timedelta(minutes=1)
"""Shortest of these parts: minutes are what is shown."""

BAR = 8
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
MARKS = {"changes": "●", "snapshot": "◆", "rollback": "↺", "branch": "├", "merge": "├"}
SAID = {
    "add": "added",
    "update": "updated",
    "state": "moved",
    "adopt": "brought back",
    "withdraw": "taken back",
    "forget": "forgotten",
    "policy": "policy set",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the picture.

    Parameters
    ----------
    what : str
        ``changes``, ``snapshot``, ``branch``, ``rollback`` or ``merge``.
    branch : int
        Number of the branch it happened on; 0 is the main line.
    first, last : int
        Journal positions.
    at, until : datetime
        Their wall times.
    counts : mapping of str to int
        For changes: how many of each verb; for a rollback and a merge: memories changed.
    name : str
        Of the snapshot, of the branch begun or merged.
    other : int or None
        The branch begun or merged; the position rolled back to.
    """

    what: str
    branch: int
    first: int
    last: int
    at: datetime
    until: datetime
    counts: dict[str, int] = field(default_factory=dict[str, int])
    name: str = ""
    other: int | None = None


@click.command(epilog=example("mnemos timeline --user ana", "mnemos timeline --user ana --json"))
@common
def timeline(settings: Settings) -> int | None:
    """Draw changes, snapshots, branches and merges over time.

    Time runs down. ● changes, ◆ a snapshot, ↺ a rollback, ├─╮ a branch begins, ├─╯ it is merged.
    """
    require_scope(settings, "timeline")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        entries = list(_entries(memory, settings))
        rows, names = rows_of(entries)
        branches = memory.branches(user_id=settings.user, agent_id=settings.agent)
        snapshots = memory.snapshots(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(
            {
                "branches": [asdict(item) for item in branches],
                "snapshots": [asdict(item) for item in snapshots],
                "rows": [_row_document(row, names) for row in rows],
            }
        )
    else:
        for line in picture(rows, names, zone_of(settings)):
            output.say(line)
    if not rows:
        output.note("nothing happened yet")
        return NOTHING
    return None


def _entries(memory: Memory, settings: Settings) -> Iterator[Entry]:
    after = 0
    with output.tally("reading", "event") as advance:
        while True:
            found = memory.log(
                user_id=settings.user, agent_id=settings.agent, limit=PAGE, after=after
            )
            yield from found
            advance(len(found))
            if len(found) < PAGE:
                return
            after = found[-1].seq


def _row_document(row: Row, names: dict[int, str]) -> dict[str, Any]:
    document = asdict(row) | {"branch": names.get(row.branch, MAIN)}
    if row.what != "rollback":
        del document["other"]
    else:
        document["to"] = document.pop("other")
    return document


# ------------------------------------------------------------------------------------- the rows


@dataclass(frozen=True, slots=True)
class _Point:
    """A mark and where it belongs: at the moment it names, not when it was made."""

    place: int
    order: int
    row: Row


def rows_of(entries: Sequence[Entry]) -> tuple[list[Row], dict[int, str]]:
    """Return the lines of the picture, and the names of the branches by number.

    A snapshot or branch made of the past stands where it points to.
    """
    if not entries:
        return [], {}
    names = {
        entry.seq: str(entry.detail["name"])
        for entry in entries
        if entry.verb == "branch" and "name" in entry.detail
    }
    numbers = {name: number for number, name in names.items()} | {MAIN: 0}
    times = {entry.seq: entry.at for entry in entries}
    moves = {entry.batch: entry for entry in entries if entry.verb in ("rollback", "merge")}
    records = {entry.id for entry in entries if entry.verb in ("snapshot", "branch")}
    moved = Counter(
        entry.batch
        for entry in entries
        if entry.batch in moves and entry.verb in ("adopt", "withdraw")
    )
    points = sorted(
        _points(entries, names, numbers, times, moved), key=lambda point: (point.place, point.order)
    )
    changes = [
        entry
        for entry in entries
        if entry.verb in SAID
        and entry.id not in records
        and not (entry.batch in moves and entry.verb in ("adopt", "withdraw"))
    ]
    return list(_merged(changes, points, numbers)), names


def _points(
    entries: Sequence[Entry],
    names: dict[int, str],
    numbers: dict[str, int],
    times: dict[int, datetime],
    moved: Counter[int],
) -> Iterator[_Point]:
    forks: dict[int, int] = {}
    for entry in entries:
        if not entry.detail or entry.verb == "policy":
            continue
        branch = numbers.get(entry.branch, 0)
        row = Row(
            what=entry.verb,
            branch=branch,
            first=entry.seq,
            last=entry.seq,
            at=entry.at,
            until=entry.at,
        )
        if entry.verb in ("snapshot", "branch"):
            place = max(int(entry.detail["at"]), forks.get(branch, 0))
            moment = times.get(place, entry.at)
            row = replace(
                row,
                first=place,
                last=place,
                at=moment,
                until=moment,
                name=str(entry.detail["name"]),
                other=entry.seq if entry.verb == "branch" else None,
            )
            if entry.verb == "branch":
                forks[entry.seq] = place
            yield _Point(place, entry.seq, row)
        elif entry.verb in ("rollback", "merge"):
            other = int(entry.detail["to" if entry.verb == "rollback" else "branch"])
            yield _Point(
                entry.seq,
                entry.seq,
                replace(
                    row,
                    first=entry.batch,
                    other=other,
                    name=names.get(other, "") if entry.verb == "merge" else "",
                    counts={"changed": moved[entry.batch]},
                ),
            )


def _merged(
    changes: Sequence[Entry], points: Sequence[_Point], numbers: dict[str, int]
) -> Iterator[Row]:
    """Yield runs of changes between the marks, and the marks, in order."""
    start = changes[0].at if changes else None
    span = max((changes[-1].at - changes[0].at) / STRETCHES, SHORTEST) if changes else SHORTEST
    waiting = iter([*points, None])
    point = next(waiting)
    run: list[Entry] = []

    def stretch(entry: Entry) -> int:
        assert start is not None, "there is a change"
        return int((entry.at - start) / span)

    for entry in changes:
        while point is not None and point.place < entry.seq:
            yield from _run(run, numbers)
            run = []
            yield point.row
            point = next(waiting)
        if run and (run[0].branch, stretch(run[0])) != (entry.branch, stretch(entry)):
            yield from _run(run, numbers)
            run = []
        run.append(entry)
    yield from _run(run, numbers)
    while point is not None:
        yield point.row
        point = next(waiting)


def _run(run: Sequence[Entry], numbers: dict[str, int]) -> Iterator[Row]:
    if run:
        yield Row(
            what="changes",
            branch=numbers.get(run[0].branch, 0),
            first=run[0].seq,
            last=run[-1].seq,
            at=run[0].at,
            until=run[-1].at,
            counts=dict(Counter(entry.verb for entry in run)),
        )


# ---------------------------------------------------------------------------------- the picture


def picture(rows: Sequence[Row], names: dict[int, str], zone: tzinfo) -> list[str]:
    """Return the lines of the picture: moment, position, the lines of time, what happened."""
    columns = _columns(rows)
    last = _last_rows(rows)
    most = max((sum(row.counts.values()) for row in rows if row.what == "changes"), default=1)
    whens = [output.when(row.at, zone) for row in rows]
    places = [_place(row) for row in rows]
    left = max(map(len, whens), default=0)
    middle = max(map(len, places), default=0)
    room = max(20, output.columns() - left - middle - 2 * len(columns) - 6)
    lines: list[str] = []
    for number, (row, moment, place) in enumerate(zip(rows, whens, places, strict=True)):
        alive = {
            branch: columns[branch]
            for branch, (begun, ended) in last.items()
            if begun < number <= ended or (branch == 0 and number <= ended)
        }
        ends = row.other is not None and last.get(row.other, (0, 0))[1] == number
        graph = _graph(row, columns, alive, ends=ends)
        said = output.wrap(_label(row, names, most), room, 1)[0]
        lines.append(f"{moment:<{left}}  {place:<{middle}}  {graph}  {said}".rstrip())
    return lines


def _place(row: Row) -> str:
    return f"#{row.first}" if row.first == row.last else f"#{row.first}–{row.last}"


def _columns(rows: Iterable[Row]) -> dict[int, int]:
    """Return the column of every branch, from the left in the order in which they begin."""
    begun = [row.other for row in rows if row.what == "branch" and row.other is not None]
    return {branch: column for column, branch in enumerate([0, *begun])}


def _last_rows(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """Return for every branch the rows between which its line is drawn.

    A merged branch on which nothing happened since ends there, every other goes on.
    """
    found: dict[int, tuple[int, int]] = {0: (0, len(rows))}
    for number, row in enumerate(rows):
        if row.what == "branch" and row.other is not None:
            found[row.other] = (number, len(rows))
        if row.what == "merge" and row.other in found:
            found[row.other] = (found[row.other][0], number)
        elif row.branch in found and row.branch:
            found[row.branch] = (found[row.branch][0], len(rows))
    return found


def _graph(row: Row, columns: dict[int, int], alive: dict[int, int], *, ends: bool) -> str:
    """Return the lines of time at one row, two columns each; ``ends`` where a merged one does."""
    cells = [" "] * (2 * len(columns))
    paint = [""] * (2 * len(columns))
    for branch, column in alive.items():
        cells[2 * column] = "│"
        paint[2 * column] = _colour(branch, columns)
    here = columns.get(row.branch, 0)
    cells[2 * here] = MARKS[row.what]
    paint[2 * here] = _colour(row.branch, columns)
    if row.what in ("branch", "merge") and row.other in columns:
        there = columns[row.other]
        for place in range(2 * here + 1, 2 * there):
            cells[place] = "┼" if cells[place] == "│" else "─"
            paint[place] = paint[place] or _colour(row.other, columns)
        cells[2 * there] = "╮" if row.what == "branch" else "╯" if ends else "┤"
        paint[2 * there] = _colour(row.other, columns)
    return "".join(
        click.style(cell, fg=colour) if colour else cell
        for cell, colour in zip(cells, paint, strict=True)
    )


def _colour(branch: int, columns: dict[int, int]) -> str:
    return COLOURS[columns.get(branch, 0) % len(COLOURS)]


def _label(row: Row, names: dict[int, str], most: int) -> str:
    where = f" on {names.get(row.branch, '?')}" if row.branch else ""
    changed = output.plural(row.counts.get("changed", 0), "memory", "memories")
    if row.what == "changes":
        said = ", ".join(f"{count:,} {SAID[verb]}" for verb, count in row.counts.items())
        filled = output.bar(max(1 / BAR / 8, sum(row.counts.values()) / most), BAR)
        return f"{filled} {said}{where}"
    if row.what == "rollback":
        return f"rolled back to #{row.other}: {changed} changed{where}"
    if row.what == "merge":
        return f"merged {row.name}: {changed} changed{where}"
    return f"{row.what} {row.name}{where}"


COMMANDS: tuple[click.Command, ...] = (timeline,)
