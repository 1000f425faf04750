"""What took the place of what: diff, revert, supersede, contradict, consolidate."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import differences, documents, output
from mnemos.cli.governing_options import KINDS, ORIGIN, written
from mnemos.cli.options import (
    BRANCH,
    Settings,
    Where,
    common,
    example,
    open_memory,
    place,
    read_argument,
    require_scope,
    zone_of,
)
from mnemos.errors import InvalidInput
from mnemos.types import Kind, MemCube

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.kernel.differences import Difference

NOTHING = 1
SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@click.command(
    epilog=example(
        "mnemos diff 2025-02-01 --user ana",
        "mnemos diff before-move '#17' --user ana",
        "mnemos diff --user ana --to-branch draft",
        "mnemos diff --id 0f3a9c… 1 2",
    )
)
@click.argument("a", required=False, metavar="[A]")
@click.argument("b", required=False, metavar="[B]")
@common
@click.option("--id", "id", metavar="ID", help="Only this memory; then A and B may be versions.")
@click.option("--from-branch", metavar="NAME", help="A is on this branch.")
@click.option("--to-branch", metavar="NAME", help="B is on this branch.")
def diff(
    settings: Settings,
    a: str | None,
    b: str | None,
    id: str | None,
    from_branch: str | None,
    to_branch: str | None,
) -> int | None:
    """Show what differs between two moments or branches.

    A and B are ISO times, positions such as `#17`, or names of snapshots; what is left out is
    the present. With --id alone, the current version is compared with the one before it.
    """
    if id is None:
        require_scope(settings, "diff", "whose memories are compared; or --id names one of them")
        if not any((a, b, from_branch, to_branch)):
            raise click.UsageError("diff needs a moment A to compare with, or --to-branch")
    with open_memory(settings) as memory:
        if id is not None:
            a, b = _versions(memory, settings, id, (a, b), from_branch, to_branch)
        found = memory.diff(
            a,
            b,
            id=id,
            branch_a=from_branch,
            branch_b=to_branch,
            user_id=settings.user,
            agent_id=settings.agent,
        )
    if settings.json:
        output.emit({"a": a, "b": b, "differences": [difference_document(item) for item in found]})
    else:
        show_differences(found, zone_of(settings))
    if not found:
        output.note("nothing differs")
        return NOTHING
    return None


def _versions(
    memory: Memory,
    settings: Settings,
    id: str,
    given: tuple[str | None, str | None],
    from_branch: str | None,
    to_branch: str | None,
) -> tuple[str | None, str | None]:
    """Return numbers of versions as the positions at which they were recorded."""
    numbers = [item for item in given if item is not None and item.isdecimal()]
    alone = not any((*given, from_branch, to_branch))
    if not numbers and not alone:
        return given
    history = memory.history(id, user_id=settings.user, agent_id=settings.agent)
    if alone:
        given = (str(history[max(0, len(history) - 2)].version), str(history[-1].version))
    return _position(history, given[0]), _position(history, given[1])


def _position(history: tuple[MemCube, ...], value: str | None) -> str | None:
    if value is None or not value.isdecimal():
        return value
    if not 1 <= int(value) <= len(history):
        raise InvalidInput(
            f"there is no version {value}; allowed: 1 to {len(history)}, or a moment such as '#17'"
        )
    return f"#{history[int(value) - 1].recorded_seq}"


def difference_document(item: Difference) -> dict[str, Any]:
    """Return a difference as a JSON value, with the words and fields that changed."""
    old, new = item.before, item.after
    document: dict[str, Any] = {
        "id": item.id,
        "change": item.change,
        "before": documents.cube_document(old) if old else None,
        "after": documents.cube_document(new) if new else None,
    }
    if old and new:
        document["words"] = [
            [part.mark, part.text] for part in differences.word_parts(old.text, new.text)
        ]
        document["fields"] = {
            name: list(values) for name, values in differences.field_changes(old, new).items()
        }
    return document


def show_differences(found: list[Difference], zone: tzinfo, *, most: int | None = None) -> None:
    """Print differences for people: a sign and an id, then the words, then the fields."""
    shown = found if most is None else found[:most]
    width = output.columns() - 4
    for item in shown:
        sign, colour = SIGNS[item.change]
        cube = item.after or item.before
        assert cube is not None, "a difference has a side"
        moment = output.when(cube.header.happened_at or cube.recorded_at, zone)
        who = documents.speaker(cube)
        head = "  ".join(part for part in (item.id, moment, who) if part)
        output.say(f"{click.style(sign, fg=colour, bold=True)} {head}")
        for line in _lines(item, cube, width):
            output.say(f"    {line}")
    if len(found) > len(shown):
        output.say(f"  … and {output.plural(len(found) - len(shown), 'memory', 'memories')} more")
    if found:
        kinds = [item.change for item in found]
        counts = [f"{kinds.count(kind)} {kind}" for kind in SIGNS if kind in kinds]
        output.say(", ".join(counts))


def _lines(item: Difference, cube: MemCube, width: int) -> list[str]:
    if item.before is None or item.after is None:
        return output.wrap(documents.words(cube), width, 4)
    parts = differences.word_parts(documents.words(item.before), documents.words(item.after))
    lines = differences.change_lines(parts, width)
    for name, (old, new) in differences.field_changes(item.before, item.after).items():
        text = f"{name.replace('_', ' ')}: {_said(old)} → {_said(new)}"
        lines += output.wrap(text, width, 2)
    return lines


def _said(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


@click.command(epilog=example("mnemos revert 0f3a9c… 1"))
@click.argument("id")
@click.argument("version", type=int)
@common
@BRANCH
def revert(settings: Settings, id: str, version: int, branch: str | None) -> None:
    """Make an earlier VERSION of a memory the current one again."""
    with open_memory(settings) as memory:
        receipt = place(memory, settings, Where(branch=branch)).revert(
            id, version, user_id=settings.user, agent_id=settings.agent
        )
    written(settings, receipt, f"{receipt.id} says again what version {version} said")


@click.command(epilog=example('mnemos supersede 0f3a9c… "Ana works as a potter"'))
@click.argument("id")
@click.argument("text")
@common
@ORIGIN
@BRANCH
def supersede(
    settings: Settings, id: str, text: str, origin: str | None, branch: str | None
) -> None:
    """Write a memory in the place of an older one. That one stays, out of view."""
    words = read_argument(text)
    with open_memory(settings) as memory:
        receipt = place(memory, settings, Where(branch=branch)).supersede(
            id, words, origin=origin, user_id=settings.user, agent_id=settings.agent
        )
    written(settings, receipt, f"remembered as {receipt.id} in the place of {id}")


@click.command(epilog=example('mnemos contradict 0f3a9c… "Ana lives in Porto" --at 2025-03-01'))
@click.argument("id")
@click.argument("text")
@common
@click.option("--at", metavar="TIME", help="Since when it is true, in ISO 8601; now if left out.")
@ORIGIN
@BRANCH
def contradict(
    settings: Settings,
    id: str,
    text: str,
    at: str | None,
    origin: str | None,
    branch: str | None,
) -> None:
    """Write what has become true instead of a memory.

    That one stays, as what was true before: `--valid-at TIME` shows what was true when.
    """
    words = read_argument(text)
    with open_memory(settings) as memory:
        receipt = place(memory, settings, Where(branch=branch)).contradict(
            id, words, at=at, origin=origin, user_id=settings.user, agent_id=settings.agent
        )
    written(settings, receipt, f"remembered as {receipt.id}; {id} is true no longer")


@click.command(
    epilog=example('mnemos consolidate "Ana moved to Lisbon with her bicycle" 0f3a9c… 77b1e0…')
)
@click.argument("text")
@click.argument("ids", nargs=-1, required=True, metavar="ID ID...")
@common
@click.option(
    "--kind",
    type=KINDS,
    metavar="KIND",
    default=Kind.SUMMARY.value,
    show_default=True,
    help="What sort of memory the new one is.",
)
@BRANCH
def consolidate(
    settings: Settings, text: str, ids: tuple[str, ...], kind: str, branch: str | None
) -> None:
    """Write one memory made of several. They stay as its sources, out of view."""
    words = read_argument(text)
    with open_memory(settings) as memory:
        receipt = place(memory, settings, Where(branch=branch)).consolidate(
            ids, words, kind=kind, user_id=settings.user, agent_id=settings.agent
        )
    merged = output.plural(len(ids), "memory", "memories")
    written(settings, receipt, f"remembered as {receipt.id}, made of {merged}")


COMMANDS: tuple[click.Command, ...] = (diff, revert, supersede, contradict, consolidate)
