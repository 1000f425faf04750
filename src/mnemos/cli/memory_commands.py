"""Single memories and files of them: add, ingest, get, list, history, update."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mnemos.cli import documents, output
from mnemos.cli.governing_options import (
    FILTER,
    KINDS,
    ORIGIN,
    read_filter,
    read_json,
    written,
)
from mnemos.cli.options import (
    BRANCH,
    STATES,
    Settings,
    Where,
    common,
    example,
    in_time,
    open_memory,
    place,
    read_argument,
    require_scope,
    zone_of,
)
from mnemos.errors import Forbidden, InvalidInput, MnemosError, NotFound
from mnemos.types import Kind, Receipt, State

if TYPE_CHECKING:
    from mnemos.app.memory import Memory

NOTHING = 1
ON_CONFLICT = click.option(
    "--on-conflict",
    type=click.Choice(["error", "update"]),
    default="error",
    show_default=True,
    help="Where an external id is taken by other content.",
)


def _metadata(text: str | None) -> Mapping[str, Any] | None:
    """Return the object ``--metadata`` gives."""
    from mnemos.memories.input_values import shown

    value = read_json("--metadata", text, '{"a": 1}')
    if text is None:
        return None
    if not isinstance(value, dict):
        raise InvalidInput(
            f"--metadata {shown(text)} must be a JSON object, such as '{{\"a\": 1}}'"
        )
    return cast("dict[str, Any]", value)


@click.command(
    epilog=example(
        'mnemos add "I am allergic to peanuts" --user ana --kind profile',
        "git log -1 | mnemos add - --agent scout --tag release",
        'mnemos add "The code is 4711" --user ana --ttl 24h',
        'mnemos add "It rains" --user ana --origin tool --source https://weather.example',
    )
)
@click.argument("text")
@common
@click.option("--at", metavar="TIME", help="When it was said, in ISO 8601; now if left out.")
@click.option("--id", "external_id", metavar="ID", help="Your own id: never stored twice.")
@click.option("--kind", type=KINDS, metavar="KIND", help=f"One of {', '.join(Kind)}.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A label; may be repeated.")
@click.option("--metadata", metavar="JSON", help="An object of your own.")
@click.option("--expires", metavar="TIME", help="When it ceases to be seen, in ISO 8601.")
@click.option("--ttl", metavar="SPAN", help="For how long it is seen: 90s, 15m, 24h, 30d, 2w.")
@click.option("--valid-from", metavar="TIME", help="Since when it is true in the world.")
@click.option("--valid-to", metavar="TIME", help="When it ceases to be true.")
@ORIGIN
@click.option("--source", metavar="NAME", help="What it was read from, such as an address.")
@click.option("--sensitivity", metavar="LABEL", help="Who reads it must be cleared for this.")
@click.option(
    "--access",
    multiple=True,
    metavar="PRINCIPAL",
    help="Who alone may read it, besides its owner; may be repeated.",
)
@BRANCH
@ON_CONFLICT
def add(settings: Settings, text: str, metadata: str | None, **given: Any) -> None:
    """Remember TEXT, or what standard input says for `-`."""
    details = _metadata(metadata)
    expires = _expiry(given["expires"], given["ttl"])
    words = read_argument(text)
    with open_memory(settings, make=True) as memory:
        there = place(memory, settings, Where(branch=given["branch"]))
        receipt = there.add(
            words,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            happened_at=given["at"],
            external_id=given["external_id"],
            kind=given["kind"],
            tags=given["tags"],
            metadata=details,
            expires_at=expires,
            valid_from=given["valid_from"],
            valid_to=given["valid_to"],
            origin=given["origin"],
            source=given["source"],
            sensitivity=given["sensitivity"],
            access=given["access"],
            on_conflict=given["on_conflict"],
        )
        waits = not receipt.duplicates and _waits(there, settings, receipt.id)
    if settings.json:
        output.emit(documents.receipt_document(receipt) | {"quarantined": waits})
        return
    output.say(f"{'already ' if receipt.duplicates else ''}remembered as {receipt.id}")
    if waits:
        output.note("it waits in quarantine until `mnemos quarantine approve` lets it in")


def _waits(memory: Memory, settings: Settings, id: str) -> bool:
    """Return whether what was written went into quarantine, as far as its writer may know."""
    try:
        (written, *_) = memory.log(
            id=id, user_id=settings.user, agent_id=settings.agent, limit=1, newest_first=True
        )
    except Forbidden:
        return False
    return written.state == State.QUARANTINED


def _expiry(expires: str | None, ttl: str | None) -> str | datetime | None:
    if ttl is None:
        return expires
    if expires is not None:
        raise click.UsageError("give either --expires or --ttl")
    from mnemos.app.lifecycle import read_duration

    return datetime.now(UTC) + timedelta(seconds=read_duration("ttl", ttl) or 0)


@click.command(
    epilog=example(
        "mnemos ingest chat.jsonl notes.md --user ana",
        "mnemos ingest export.json --user ana --format messages --tz Europe/Lisbon",
        "mnemos ingest notes.md --user ana --origin user",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@common
@click.option("--format", metavar="NAME", help="jsonl, messages, transcript, locomo or text.")
@ORIGIN
@click.option("--source", metavar="TEXT", help="What to name as their source.")
@BRANCH
@ON_CONFLICT
def ingest(
    settings: Settings,
    files: tuple[str, ...],
    branch: str | None,
    **how: Any,
) -> None:
    """Remember the conversations in files. All are read before the first memory is written."""
    from mnemos.memories.conversation_files import read_files

    zone = zone_of(settings)
    format = how["format"]
    found = {file: list(read_files(Path(file), zone=zone, format=format)) for file in files}
    counts = {file: sum(len(item.drafts) for item in read) for file, read in found.items()}
    formats = {file: read[0].format for file, read in found.items() if read}
    del found
    done: list[dict[str, Any]] = []
    with open_memory(settings, make=True) as whole:
        memory = place(whole, settings, Where(branch=branch))
        for file, count in counts.items():
            started = time.perf_counter()
            receipt = _ingest(memory, settings, file, count, how)
            done.append(
                {
                    "file": file,
                    "format": formats.get(file),
                    "new": len(receipt.ids) - receipt.duplicates,
                    "duplicates": receipt.duplicates,
                    "seconds": round(time.perf_counter() - started, 2),
                    "indexed": receipt.indexed,
                }
            )
    if settings.json:
        output.emit({"files": done})
        return
    headers = ("file", "format", "new", "duplicates", "seconds")
    output.say(output.table([[row[name] for name in headers] for row in done], headers))


def _ingest(
    memory: Memory,
    settings: Settings,
    file: str,
    count: int,
    how: Mapping[str, Any],
) -> Receipt:
    done = 0
    with output.progress(Path(file).name, count) as advance:

        def step(more: int) -> None:
            nonlocal done
            done += more
            advance(more)

        try:
            return memory.ingest(
                file,
                user_id=settings.user,
                agent_id=settings.agent,
                progress=step,
                **how,
            )
        except MnemosError as error:
            raise type(error)(
                f"{file}: {error}; its first {done} of {count} memories were written and stay, "
                "the rest was not"
            ) from error


@click.command(epilog=example("mnemos get 0f3a9c…", "mnemos get 0f3a9c… --as-of 2025-03-01 --json"))
@click.argument("id")
@common
@in_time
@STATES
def get(settings: Settings, id: str, where: Where, states: tuple[str, ...]) -> None:
    """Show a memory with everything known about it."""
    with open_memory(settings) as memory:
        there = place(memory, settings, where, id=id)
        try:
            cube = there.get(
                id, user_id=settings.user, agent_id=settings.agent, states=states or None
            )
        except NotFound as error:
            explained = _out_of_view(there, settings, id)
            if explained is None:
                raise
            raise explained from error
    if settings.json:
        output.emit(documents.cube_document(cube))
        return
    output.say(documents.memory_card(cube, zone_of(settings)))


def _out_of_view(memory: Memory, settings: Settings, id: str) -> NotFound | None:
    """Return why a memory that is there is not shown, and how to see it."""
    try:
        newest = memory.history(id, user_id=settings.user, agent_id=settings.agent)[-1]
    except NotFound:
        return None
    why = f"memory {id} is out of view"
    if newest.state in (State.ARCHIVED, State.SUPERSEDED, State.MERGED):
        why += (
            f": it is {newest.state}; --state {newest.state} shows it, `mnemos reactivate` brings "
            "it back"
        )
    elif newest.state is State.QUARANTINED:
        why += ": it waits in quarantine; --state quarantined shows it, `mnemos quarantine` decides"
    elif newest.retired_seq is not None:
        why += ": it was taken back"
    elif newest.header.valid_to is not None:
        until = newest.header.valid_to.isoformat()
        why += f": it was true until {until}; --valid-at shows what was true before"
    return NotFound(f"{why}; `mnemos history` shows its versions")


@click.command(
    "list",
    epilog=example(
        "mnemos list --user ana --limit 20",
        "mnemos list --user ana --as-of '#4'",
        "mnemos list --user ana --state archived",
        """mnemos list --user ana --filter '{"trust": {"lt": 0.7}}'""",
    ),
)
@common
@in_time
@click.option("--kind", "kinds", multiple=True, type=KINDS, metavar="KIND", help="Only this kind.")
@STATES
@FILTER
@click.option("--limit", type=int, default=50, show_default=True, help="Most memories.")
@click.option("--after", metavar="ID", help="Continue behind this memory.")
def list_memories(
    settings: Settings,
    where: Where,
    kinds: tuple[str, ...],
    states: tuple[str, ...],
    conditions: str | None,
    limit: int,
    after: str | None,
) -> int | None:
    """List memories in the order they were first written."""
    require_scope(settings, "list")
    wanted = read_filter(conditions)
    with open_memory(settings) as memory:
        cubes = place(memory, settings, where).get_all(
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            kinds=kinds or None,
            states=states or None,
            filters=wanted,
            limit=limit,
            after=after,
        )
    if settings.json:
        output.emit({"memories": [documents.cube_document(cube) for cube in cubes]})
    elif cubes:
        output.say(documents.memory_table(cubes, zone_of(settings)))
    if not cubes:
        output.note("nothing to list")
        return NOTHING
    if len(cubes) == limit and not settings.json:
        output.note(f"there may be more: --after {cubes[-1].id}")
    return None


@click.command(epilog=example("mnemos history 0f3a9c…"))
@click.argument("id")
@common
@in_time
def history(settings: Settings, id: str, where: Where) -> None:
    """Show every version of a memory, newest first."""
    with open_memory(settings) as memory:
        found = place(memory, settings, where, id=id)
        versions = found.history(id, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"id": id, "versions": [documents.cube_document(cube) for cube in versions]})
        return
    zone, width = zone_of(settings), output.columns() - 4
    for cube in reversed(versions):
        current = cube.retired_seq is None
        recorded = f"{output.when(cube.recorded_at, zone)}  #{cube.recorded_seq}"
        stands = documents.standing(cube) if current else "replaced"
        output.say(f"{'●' if current else '○'} version {cube.version}  {recorded}  {stands}")
        rail = " " if cube.version == versions[0].version else "│"
        for line in output.wrap(documents.words(cube), width, 6):
            output.say(f"{rail}   {line}")


@click.command(
    epilog=example(
        'mnemos update 0f3a9c… "I live in Porto now"',
        'mnemos update 0f3a9c… "I live in Porto now" --expect 2',
    )
)
@click.argument("id")
@click.argument("text")
@common
@click.option("--metadata", metavar="JSON", help="An object in place of the old one.")
@click.option("--expect", type=int, metavar="N", help="Only if version N is the current one.")
@ORIGIN
@BRANCH
def update(
    settings: Settings,
    id: str,
    text: str,
    metadata: str | None,
    expect: int | None,
    origin: str | None,
    branch: str | None,
) -> None:
    """Write a new version of a memory. The old one stays in its history."""
    details = _metadata(metadata)
    with open_memory(settings) as memory:
        receipt = place(memory, settings, Where(branch=branch)).update(
            id,
            read_argument(text),
            user_id=settings.user,
            agent_id=settings.agent,
            metadata=details,
            origin=origin,
            expected_version=expect,
        )
    written(settings, receipt, f"updated {receipt.id}")


WRITING: tuple[click.Command, ...] = (add, ingest)
KEEPING: tuple[click.Command, ...] = (get, list_memories, history, update)
