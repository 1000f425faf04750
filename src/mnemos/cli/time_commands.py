"""Along the two axes of time: snapshot, rollback, branch, merge."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.options import (
    BRANCH,
    YES,
    Settings,
    Where,
    check_can_ask,
    common,
    example,
    open_memory,
    place,
    require_scope,
    zone_of,
)
from mnemos.cli.version_commands import show_differences
from mnemos.errors import InvalidInput

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.app.time_machine import Clash, Merged
    from mnemos.types import MemCube

NOTHING = 1
CLASHES = 3
PREVIEWED = 10
"""Memories shown before a rollback asks."""

AT = click.option(
    "--at", metavar="MOMENT", help="An ISO time, a position `#17` or a snapshot; now if left out."
)


@click.command(
    epilog=example(
        "mnemos snapshot before-move --user ana",
        "mnemos snapshot new-year --user ana --at 2025-01-01",
    )
)
@click.argument("name")
@common
@AT
@BRANCH
def snapshot(settings: Settings, name: str, at: str | None, branch: str | None) -> None:
    """Give the present, or a moment of the past, a NAME."""
    require_scope(settings, "snapshot")
    with open_memory(settings) as memory:
        there = place(memory, settings, Where(branch=branch))
        receipt = there.snapshot(name, at=at, user_id=settings.user, agent_id=settings.agent)
        found = there.snapshots(user_id=settings.user, agent_id=settings.agent)
    (info,) = [item for item in found if item.name == name]
    if settings.json:
        output.emit(documents.receipt_document(receipt) | {"snapshot": asdict(info)})
        return
    output.say(f"snapshot {output.clean(name)} is #{info.seq}; --as-of {_quoted(name)} looks there")


@click.command(epilog=example("mnemos snapshots --user ana"))
@common
def snapshots(settings: Settings) -> int | None:
    """List the snapshots, oldest moment first."""
    require_scope(settings, "snapshots")
    with open_memory(settings) as memory:
        found = memory.snapshots(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"snapshots": [asdict(item) for item in found]})
    elif found:
        zone = zone_of(settings)
        rows = [
            (
                f"#{item.seq}",
                output.when(item.at, zone),
                _line(item.branch),
                output.clean(item.name),
            )
            for item in found
        ]
        output.say(output.table(rows, ("position", "moment", "branch", "name")))
    if not found:
        output.note("no snapshots; `mnemos snapshot NAME` makes one")
        return NOTHING
    return None


@click.command("drop-snapshot", epilog=example("mnemos drop-snapshot before-move --user ana"))
@click.argument("name")
@common
def drop_snapshot(settings: Settings, name: str) -> None:
    """Take a snapshot's name away; what it named stays."""
    require_scope(settings, "drop-snapshot")
    with open_memory(settings) as memory:
        receipt = memory.drop_snapshot(name, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(documents.receipt_document(receipt))
    else:
        output.say(f"dropped snapshot {output.clean(name)}; what it named stays")


@click.command(
    epilog=example(
        "mnemos rollback before-move --user ana",
        "mnemos rollback 2025-03-01 --user ana --yes",
        "mnemos rollback --before 18 --user ana",
    )
)
@click.argument("moment", required=False)
@common
@click.option("--before", type=int, metavar="SEQ", help="Take back position SEQ and what followed.")
@BRANCH
@YES
def rollback(
    settings: Settings, moment: str | None, before: int | None, branch: str | None, yes: bool
) -> int | None:
    """Make memories say again what they said at a MOMENT.

    That is an ISO time, a position such as `#17`, or a snapshot's name. It shows what will change and asks. Nothing is rewritten, so a rollback can itself be taken
    back; what was forgotten stays forgotten.
    """
    require_scope(settings, "rollback")
    if (moment is None) == (before is None):
        raise click.UsageError("rollback needs one moment: give either MOMENT or --before")
    to = moment if before is None else f"#{before - 1}"
    check_can_ask(yes, "a rollback changes memories")
    with open_memory(settings) as memory:
        there = place(memory, settings, Where(branch=branch))
        if not yes and not _agreed(memory, settings, to, branch):
            output.note("nothing was rolled back")
            return NOTHING
        receipt = there.rollback(to, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(documents.receipt_document(receipt))
        return None
    changed = output.plural(len(set(receipt.ids)), "memory", "memories")
    output.say(f"rolled back to {output.clean(str(to))}: {changed} changed")
    named = (("--user", settings.user), ("--agent", settings.agent), ("--branch", branch))
    whose = " ".join(f"{option} {_quoted(name)}" for option, name in named if name)
    output.say(f"`mnemos rollback --before {receipt.before + 1} {whose}` takes it back")
    return None


def _agreed(memory: Memory, settings: Settings, to: str | None, branch: str | None) -> bool:
    """Show what would change, and ask."""
    found = memory.diff(
        None,
        to,
        branch_a=branch,
        branch_b=branch,
        user_id=settings.user,
        agent_id=settings.agent,
    )
    if settings.json:
        for item in found:
            output.note(f"{item.change} {item.id}")
    else:
        show_differences(found, zone_of(settings), most=PREVIEWED)
    count = output.plural(len(found), "memory", "memories")
    return click.confirm(f"Roll {count} back to {output.clean(str(to))}?", err=True)


# -------------------------------------------------------------------------------------- branches


@click.command(
    epilog=example(
        "mnemos branch plan-b --user ana",
        "mnemos branch what-if --user ana --at 2025-03-01",
        'mnemos add "Ana may move to Porto" --user ana --branch plan-b',
    )
)
@click.argument("name")
@common
@AT
@click.option("--from", "parent", metavar="NAME", help="Begin on this branch, not the main line.")
def branch(settings: Settings, name: str, at: str | None, parent: str | None) -> None:
    """Begin a line of its own, to try things out. `--branch NAME` works on it."""
    require_scope(settings, "branch")
    with open_memory(settings) as memory:
        there = place(memory, settings, Where(branch=parent))
        there.branch(name, at=at, user_id=settings.user, agent_id=settings.agent)
        found = there.branches(user_id=settings.user, agent_id=settings.agent)
    (info,) = [item for item in found if item.name == name]
    if settings.json:
        output.emit({"verb": "branch", "branch": asdict(info)})
        return
    output.say(
        f"branch {output.clean(name)} begins at #{info.seq} of {_line(info.parent)}; "
        f"--branch {_quoted(name)} works on it"
    )


@click.command(epilog=example("mnemos branches --user ana"))
@common
def branches(settings: Settings) -> int | None:
    """List the branches, oldest first."""
    require_scope(settings, "branches")
    with open_memory(settings) as memory:
        found = memory.branches(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"branches": [asdict(item) for item in found]})
    elif found:
        zone = zone_of(settings)
        rows = [
            (
                f"#{item.seq}",
                output.when(item.at, zone),
                _line(item.parent),
                f"#{item.merged}" if item.merged else "not yet",
                output.clean(item.name),
            )
            for item in found
        ]
        output.say(output.table(rows, ("begun at", "moment", "on", "merged", "name")))
    if not found:
        output.note("no branches; `mnemos branch NAME` begins one")
        return NOTHING
    return None


@click.command(
    epilog=example(
        "mnemos merge draft --user ana",
        "mnemos merge draft --user ana --resolve 0f3a9c…=branch",
        "mnemos merge draft --user ana --resolve all=parent",
    )
)
@click.argument("name")
@common
@click.option(
    "--resolve",
    "resolved",
    multiple=True,
    metavar="ID=SIDE",
    help="Which side of a clash stays, branch or parent; `all` is every other; may be repeated.",
)
def merge(settings: Settings, name: str, resolved: tuple[str, ...]) -> int | None:
    """Bring what a branch changed into the line it began on.

    Where both changed the same memory nothing is applied: the clashes are shown and the exit
    code is 3.
    """
    require_scope(settings, "merge")
    sides = _sides(resolved)
    with open_memory(settings) as memory:
        found = memory.branches(user_id=settings.user, agent_id=settings.agent)
        parent = next((item.parent for item in found if item.name == name), None)
        there = place(memory, settings, Where(branch=parent))
        merged = _merge(there, settings, name, sides)
    if settings.json:
        output.emit(_merged_document(merged))
    elif merged.receipt is not None:
        changed = output.plural(len(set(merged.receipt.ids)), "memory", "memories")
        output.say(f"merged {output.clean(name)} into {_line(parent)}: {changed} changed")
    else:
        _show_clashes(merged.clashes, _line(parent))
    if not merged.applied:
        first = merged.clashes[0].id
        output.note(
            f"nothing was merged: both sides changed "
            f"{output.plural(len(merged.clashes), 'memory', 'memories')}; pass --resolve "
            f"{first}=branch or {first}=parent for each, or --resolve all=branch"
        )
        return CLASHES
    return None


def _merge(memory: Memory, settings: Settings, name: str, sides: dict[str, str]) -> Merged:
    rest = sides.pop("all", None)
    scope = {"user_id": settings.user, "agent_id": settings.agent}
    merged = memory.merge(name, resolve=sides, **scope)
    if merged.applied or rest is None:
        return merged
    sides = {item.id: rest for item in merged.clashes} | sides
    return memory.merge(name, resolve=sides, **scope)


def _sides(given: tuple[str, ...]) -> dict[str, str]:
    """Return which side stays, by id."""
    sides: dict[str, str] = {}
    for item in given:
        id, _, side = item.rpartition("=")
        if not id or side not in ("branch", "parent"):
            raise InvalidInput(f"--resolve {item!r} is not allowed; give ID=branch or ID=parent")
        sides[id] = side
    return sides


def _merged_document(merged: Merged) -> dict[str, Any]:
    def side(cube: MemCube | None) -> dict[str, Any] | None:
        return documents.cube_document(cube) if cube is not None else None

    return {
        "applied": merged.applied,
        "receipt": documents.receipt_document(merged.receipt) if merged.receipt else None,
        "clashes": [
            {
                "id": item.id,
                "base": side(item.base),
                "branch": side(item.branch),
                "parent": side(item.parent),
            }
            for item in merged.clashes
        ],
    }


def _show_clashes(clashes: tuple[Clash, ...], parent: str) -> None:
    """Print the clashing memories, the three texts of each side by side."""
    width = max(14, (output.columns() - 4) // 3)
    for item in clashes:
        output.say(f"{click.style('!', fg='red', bold=True)} {item.id}")
        row = [_cell(cube, width) for cube in (item.base, item.parent, item.branch)]
        output.say(output.table([row], ("before", f"parent: {parent}", "branch")))
        output.say()


def _cell(cube: MemCube | None, width: int) -> str:
    if cube is None:
        return "(not there)"
    return "\n".join(output.wrap(documents.words(cube), width, 6))


def _line(name: str | None) -> str:
    """Return the name of a line of time."""
    return "the main line" if name is None else output.clean(name)


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(output.clean(name))


COMMANDS: tuple[click.Command, ...] = (
    snapshot,
    snapshots,
    drop_snapshot,
    rollback,
    branch,
    branches,
    merge,
)
