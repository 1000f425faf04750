"""Single memories and files of them: add, ingest, get, list, history, update, forget."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mnemos.cli import documents, output
from mnemos.cli.options import Settings, common, example, open_memory, read_argument
from mnemos.errors import InvalidInput, MnemosError
from mnemos.types import Kind, MemCube, Place, Receipt

if TYPE_CHECKING:
    from mnemos.app.memory import Memory

NOTHING = 1
KINDS = click.Choice([kind.value for kind in Kind])
ON_CONFLICT = click.option(
    "--on-conflict",
    type=click.Choice(["error", "update"]),
    default="error",
    show_default=True,
    help="Where an external id is taken by other content.",
)


def _metadata(text: str | None) -> Mapping[str, Any] | None:
    """Return the object ``--metadata`` gives."""
    if text is None:
        return None
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--metadata {text!r} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"--metadata {text!r} must be a JSON object, such as '{{\"a\": 1}}'")
    return cast("dict[str, Any]", value)


@click.command(
    epilog=example(
        'mnemos add "I am allergic to peanuts" --user ana --kind profile',
        "git log -1 | mnemos add - --agent scout --tag release",
    )
)
@click.argument("text")
@common
@click.option("--at", metavar="TIME", help="When it was said, in ISO 8601; now if left out.")
@click.option("--id", "external_id", metavar="ID", help="Your own id: never stored twice.")
@click.option("--kind", type=KINDS, metavar="KIND", help=f"One of {', '.join(Kind)}.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A label; may be repeated.")
@click.option("--metadata", metavar="JSON", help="An object of your own.")
@ON_CONFLICT
def add(settings: Settings, text: str, metadata: str | None, **given: Any) -> None:
    """Remember TEXT, or what standard input says for `-`."""
    details = _metadata(metadata)
    words = read_argument(text)
    with open_memory(settings, make=True) as memory:
        receipt = memory.add(
            words,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            happened_at=given["at"],
            external_id=given["external_id"],
            kind=given["kind"],
            tags=given["tags"],
            metadata=details,
            on_conflict=given["on_conflict"],
        )
    _written(settings, receipt, "already remembered as" if receipt.duplicates else "remembered as")


def _written(settings: Settings, receipt: Receipt, verb: str) -> None:
    if settings.json:
        output.emit(documents.receipt_document(receipt))
    else:
        output.say(f"{verb} {receipt.id}")


@click.command(
    epilog=example(
        "mnemos ingest chat.jsonl notes.md --user ana",
        "mnemos ingest export.json --user ana --format messages --tz Europe/Lisbon",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@common
@click.option("--format", metavar="NAME", help="jsonl, messages, transcript, locomo or text.")
@ON_CONFLICT
def ingest(
    settings: Settings, files: tuple[str, ...], format: str | None, on_conflict: str
) -> None:
    """Remember the conversations of files; all are read before the first memory is written."""
    from mnemos.app.config import read_zone
    from mnemos.memories.conversation_files import read_files

    zone = read_zone(settings.tz)
    found = {file: list(read_files(Path(file), zone=zone, format=format)) for file in files}
    counts = {file: sum(len(item.drafts) for item in read) for file, read in found.items()}
    formats = {file: read[0].format for file, read in found.items() if read}
    del found
    done: list[dict[str, Any]] = []
    with open_memory(settings, make=True) as memory:
        for file, count in counts.items():
            started = time.perf_counter()
            receipt = _ingest(memory, settings, file, count, format, on_conflict)
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
    format: str | None,
    on_conflict: str,
) -> Receipt:
    written = 0
    with output.progress(Path(file).name, count) as advance:

        def step(more: int) -> None:
            nonlocal written
            written += more
            advance(more)

        try:
            return memory.ingest(
                file,
                user_id=settings.user,
                agent_id=settings.agent,
                format=format,
                on_conflict=on_conflict,
                progress=step,
            )
        except MnemosError as error:
            raise type(error)(
                f"{file}: {error}; its first {written} of {count} memories were written and stay, "
                "the rest was not"
            ) from error


@click.command(epilog=example("mnemos get 0f3a9c…", "mnemos get 0f3a9c… --json"))
@click.argument("id")
@common
def get(settings: Settings, id: str) -> None:
    """Show a memory with everything known about it."""
    from mnemos.app.config import read_zone

    with open_memory(settings) as memory:
        cube = memory.get(id, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(documents.cube_document(cube))
        return
    zone = read_zone(settings.tz)
    header = cube.header
    values: list[tuple[str, object]] = [
        ("id", cube.id),
        ("external id", header.external_id),
        ("kind", header.kind),
        ("of", cube.scope.subject),
        ("speaker", documents.speaker(cube)),
        ("run", header.run_id),
        ("agent", header.agent_id),
        ("happened", output.when(header.happened_at, zone)),
        ("recorded", output.when(cube.recorded_at, zone)),
        ("version", f"{cube.version}, {cube.state}"),
        ("tags", ", ".join(header.tags)),
        ("source", header.source),
        ("metadata", json.dumps(dict(header.metadata)) if header.metadata else ""),
        *(
            ("means", f"{item.text}: from {output.when(item.start, zone)}")
            for item in header.mentions
        ),
    ]
    width = output.columns() - 14
    shown = [(name, output.clean(str(value)) if value else None) for name, value in values]
    text = "\n".join(output.wrap(documents.words(cube), width))
    output.say(output.pairs([*shown, ("text", text)]))


@click.command("list", epilog=example("mnemos list --user ana --limit 20"))
@common
@click.option("--kind", "kinds", multiple=True, type=KINDS, metavar="KIND", help="Only this kind.")
@click.option("--limit", type=int, default=50, show_default=True, help="Most memories.")
@click.option("--after", metavar="ID", help="Continue behind this memory.")
def list_memories(
    settings: Settings, kinds: tuple[str, ...], limit: int, after: str | None
) -> int | None:
    """List memories of a user or an agent, in the order they were first written."""
    from mnemos.app.config import read_zone

    _require_scope(settings, "list")
    with open_memory(settings) as memory:
        cubes = memory.get_all(
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            kinds=kinds or None,
            limit=limit,
            after=after,
        )
    if settings.json:
        output.emit({"memories": [documents.cube_document(cube) for cube in cubes]})
    elif cubes:
        output.say(documents.memory_table(cubes, read_zone(settings.tz)))
    if not cubes:
        output.note("nothing to list")
        return NOTHING
    if len(cubes) == limit and not settings.json:
        output.note(f"there may be more: --after {cubes[-1].id}")
    return None


def _require_scope(settings: Settings, verb: str) -> None:
    if settings.user is None and settings.agent is None:
        raise InvalidInput(f"{verb} needs --user or --agent: it says whose memories are meant")


@click.command(epilog=example("mnemos history 0f3a9c…"))
@click.argument("id")
@common
def history(settings: Settings, id: str) -> None:
    """Show every version of a memory, newest first."""
    from mnemos.app.config import read_zone

    with open_memory(settings) as memory:
        versions = memory.history(id, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"id": id, "versions": [documents.cube_document(cube) for cube in versions]})
        return
    zone, width = read_zone(settings.tz), output.columns() - 4
    for cube in reversed(versions):
        current = cube.retired_seq is None
        recorded = output.when(cube.recorded_at, zone)
        stands = cube.state if current else "replaced"
        output.say(f"{'●' if current else '○'} version {cube.version}  {recorded}  {stands}")
        rail = " " if cube.version == versions[0].version else "│"
        for line in output.wrap(documents.words(cube), width, 6):
            output.say(f"{rail}   {line}")


@click.command(epilog=example('mnemos update 0f3a9c… "I live in Porto now"'))
@click.argument("id")
@click.argument("text")
@common
@click.option("--metadata", metavar="JSON", help="An object in place of the old one.")
def update(settings: Settings, id: str, text: str, metadata: str | None) -> None:
    """Write a new version of a memory; the old one stays in its history."""
    details = _metadata(metadata)
    with open_memory(settings) as memory:
        receipt = memory.update(
            id,
            read_argument(text),
            user_id=settings.user,
            agent_id=settings.agent,
            metadata=details,
        )
    _written(settings, receipt, "updated")


@click.command(
    epilog=example("mnemos forget 0f3a9c…", "mnemos forget --all --user ana --run s3 --yes")
)
@click.argument("id", required=False)
@common
@click.option("--all", "everything", is_flag=True, help="All of a user or an agent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(settings: Settings, id: str | None, everything: bool, yes: bool) -> int | None:
    """Erase a memory for good: every version, and everything derived from it."""
    if (id is None) != everything:
        raise click.UsageError("give either an ID, or --all with --user or --agent")
    if everything:
        _require_scope(settings, "forget --all")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(
            "forgetting cannot be undone and standard input is no terminal to ask at; pass --yes"
        )
    with open_memory(replace(settings, no_embedder=True)) as memory:
        if not yes and not _agreed(memory, settings, id):
            output.note("nothing was forgotten")
            return NOTHING
        if id is not None:
            receipt = memory.forget(id, user_id=settings.user, agent_id=settings.agent)
        else:
            receipt = memory.delete_all(
                user_id=settings.user, agent_id=settings.agent, run_id=settings.run
            )
    return _forgotten(settings, receipt)


def _agreed(memory: Memory, settings: Settings, id: str | None) -> bool:
    """Show what would go and ask."""
    if id is not None:
        newest: MemCube = memory.history(id, user_id=settings.user, agent_id=settings.agent)[-1]
        text = output.wrap(documents.words(newest), 60, 1)[0]
        question = f"Forget “{text}” for good?"
    else:
        cubes = memory.get_all(
            user_id=settings.user, agent_id=settings.agent, run_id=settings.run, limit=100_000
        )
        whose = settings.user or settings.agent
        of = f"of {whose!r}" + (f" in run {settings.run!r}" if settings.run else "")
        question = f"Forget {output.plural(len(cubes), 'memory', 'memories')} {of} for good?"
    return click.confirm(question, err=True)


def _forgotten(settings: Settings, receipt: Receipt) -> int | None:
    if settings.json:
        output.emit(documents.receipt_document(receipt))
    elif receipt.ids:
        output.say(f"forgot {output.plural(len(receipt.ids), 'memory', 'memories')}")
        output.say(
            output.table(
                [(item.name, _status(item)) for item in receipt.places], ("place", "status")
            )
        )
    if not receipt.ids:
        output.note("there was nothing to forget")
        return NOTHING
    return None


def _status(place: Place) -> str:
    return f"{place.status}: {place.why}" if place.why else place.status


WRITING: tuple[click.Command, ...] = (add, ingest)
KEEPING: tuple[click.Command, ...] = (get, list_memories, history, update, forget)
