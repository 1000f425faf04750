"""Where memories come from and what happened to them: lineage, prov, log, checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.options import (
    Settings,
    Where,
    common,
    example,
    in_time,
    json_option,
    open_memory,
    place,
    require_scope,
    zone_of,
)
from mnemos.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.kernel.proof.checkpoints import Checkpoint
    from mnemos.kernel.proof.lineage import Lineage, LinkStep, Relative, VersionStep
    from mnemos.kernel.proof.log import Entry

NOTHING = 1
DEPTH = 8


# --------------------------------------------------------------------------------------- lineage


@click.command(epilog=example("mnemos lineage 0f3a9c…", "mnemos lineage 0f3a9c… --json"))
@click.argument("id")
@common
@in_time
@click.option("--depth", type=int, default=DEPTH, show_default=True, help="Steps up and down.")
def lineage(settings: Settings, id: str, where: Where, depth: int) -> None:
    """Draw where a memory comes from and what was made of it."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        there = place(memory, settings, where, id=id)
        scope = {"user_id": settings.user, "agent_id": settings.agent}
        found = there.lineage(id, depth=depth, **scope)
        if settings.json:
            output.emit(found.as_dict())
            return
        ids = [id, *(item.id for item in (*found.sources, *found.derived))]
        ids += [link.target for link in found.links] + [link.source for link in found.linked_by]
        said = {item: _said(there, settings, item) for item in dict.fromkeys(ids)}
    for line in _drawn(found, said, zone_of(settings)):
        output.say(line)
    if found.truncated:
        output.note("there is more, deeper down; --depth follows it")


def _said(memory: Memory, settings: Settings, id: str) -> str:
    try:
        newest = memory.history(id, user_id=settings.user, agent_id=settings.agent)[-1]
    except NotFound:
        return ""
    return output.one_line(output.clean(documents.words(newest)))


def _drawn(found: Lineage, said: dict[str, str], zone: tzinfo) -> Iterator[str]:
    """Yield the picture: sources above, the memory with its versions, what was made of it below."""
    width = output.columns()
    if found.sources:
        yield click.style("made of", dim=True)
        yield from _risen(found.sources, found.id, said, width)
        yield "│"
    yield _cut(f"{click.style('●', bold=True)} {found.id}  {said[found.id]}", width)
    for step in found.versions:
        yield f"│   {_step(step, zone)}" if found.derived else f"    {_step(step, zone)}"
    if found.derived:
        yield "│"
        yield from _tree(found.derived, found.id, said, width)
        yield click.style("made of it", dim=True)
    for link in found.links:
        yield _cut(f"→ {_link(link, zone)} {link.target}  {said[link.target]}", width)
    for link in found.linked_by:
        yield _cut(f"← {_link(link, zone)} by {link.source}  {said[link.source]}", width)


def _tree(items: Sequence[Relative], root: str, said: dict[str, str], width: int) -> list[str]:
    """Return what was made of a memory as a tree that hangs from it."""
    near = _by_neighbour(items)

    def lines(id: str, rail: str) -> list[str]:
        drawn: list[str] = []
        children = near.get(id, [])
        for number, item in enumerate(children, start=1):
            last = number == len(children)
            text = f"{rail}{'╰─ ' if last else '├─ '}{item.id}  {_about(item)}  {said[item.id]}"
            drawn += [_cut(text, width), *lines(item.id, rail + ("   " if last else "│  "))]
        return drawn

    return lines(root, "")


def _risen(items: Sequence[Relative], root: str, said: dict[str, str], width: int) -> list[str]:
    """Return what a memory was made of as a tree that stands on it, the farthest above."""
    near = _by_neighbour(items)

    def lines(id: str, rail: str) -> list[str]:
        drawn: list[str] = []
        for number, item in enumerate(near.get(id, [])):
            first = number == 0
            text = f"{rail}{'╭─ ' if first else '├─ '}{item.id}  {_about(item)}  {said[item.id]}"
            drawn += [*lines(item.id, rail + ("   " if first else "│  ")), _cut(text, width)]
        return drawn

    return lines(root, "")


def _by_neighbour(items: Sequence[Relative]) -> dict[str, list[Relative]]:
    near: dict[str, list[Relative]] = {}
    for item in items:
        near.setdefault(item.via, []).append(item)
    return near


def _about(item: Relative) -> str:
    parts = [item.kind, item.method, item.model, item.state if item.state != "activated" else None]
    if item.state is None:
        parts.append("taken back")
    return f"({', '.join(part for part in parts if part)})"


def _step(step: VersionStep, zone: tzinfo) -> str:
    parts = [f"version {step.number}", output.when(step.at, zone), f"#{step.seq}", step.verb]
    if step.adopted is not None:
        parts.append(f"of #{step.adopted}")
    if step.adopted_from is not None and step.adopted_from != step.branch:
        parts.append(f"from {output.clean(step.adopted_from)}")
    parts.append(f"by {output.clean(step.actor)}")
    if step.branch != "main":
        parts.append(f"on {output.clean(step.branch)}")
    if step.state != "activated":
        parts.append(str(step.state))
    return "  ".join(parts)


def _link(link: LinkStep, zone: tzinfo) -> str:
    parts = [link.type.replace("_", " ")]
    if link.valid_from is not None:
        parts.append(f"from {output.when(link.valid_from, zone)}")
    if link.valid_to is not None:
        parts.append(f"until {output.when(link.valid_to, zone)}")
    return " ".join(parts)


def _cut(line: str, width: int) -> str:
    """Return a line that ends within the width; what it holds of styles counts for nothing."""
    if output.cells(click.unstyle(line)) <= width:
        return line
    while output.cells(click.unstyle(line)) > width - 2:
        line = line[:-1]
    return f"{line.rstrip()} …"


@click.command(epilog=example("mnemos prov 0f3a9c…", "mnemos prov --user ana --text"))
@click.argument("id", required=False)
@common
@in_time
@click.option("--text", is_flag=True, help="With the words of the memories.")
def prov(settings: Settings, id: str | None, where: Where, text: bool) -> None:
    """Print where memories come from, as W3C PROV-JSON."""
    if id is None:
        require_scope(settings, "prov", "whose memories are meant; or give an ID")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        there = place(memory, settings, where, id=id)
        found = there.prov(id, user_id=settings.user, agent_id=settings.agent, text=text)
    output.emit(found)


# ------------------------------------------------------------------------------------------- log


@click.command(
    epilog=example(
        "mnemos log --user ana --limit 20",
        "mnemos log --verb forget --since 2025-03-01",
        "mnemos log --id 0f3a9c…",
    )
)
@common
@click.option("--id", "id", metavar="ID", help="Only this memory, snapshot, branch or policy.")
@click.option("--actor", metavar="NAME", help="Only what this one did.")
@click.option(
    "--verb",
    "verbs",
    multiple=True,
    metavar="VERB",
    help="Only this, such as add, update, forget, rollback; may be repeated.",
)
@click.option("--since", metavar="MOMENT", help="From this ISO time or position `#17` on.")
@click.option("--until", metavar="MOMENT", help="Before this ISO time or position.")
@click.option("--limit", type=int, default=50, show_default=True, help="Most events.")
@click.option("--oldest-first", is_flag=True, help="Walk forward in time.")
@click.option("--after", type=int, metavar="SEQ", help="Continue behind this position.")
def log(
    settings: Settings,
    id: str | None,
    verbs: tuple[str, ...],
    limit: int,
    oldest_first: bool,
    **bounds: Any,
) -> int | None:
    """List who did what to which memory, newest first.

    What the memories say is not in it.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.log(
            id=id,
            user_id=settings.user,
            agent_id=settings.agent,
            verbs=verbs or None,
            limit=limit,
            newest_first=not oldest_first,
            **bounds,
        )
    if settings.json:
        output.emit({"events": [entry.as_dict() for entry in found]})
    elif found:
        output.say(_log_table(found, zone_of(settings)))
    if not found:
        output.note("nothing happened that fits")
        return NOTHING
    if len(found) == limit and not settings.json:
        output.note(f"there may be more: --after {found[-1].seq}")
    return None


DETAIL = 40
"""Columns what a record says takes before it is wrapped."""


def _log_table(found: Sequence[Entry], zone: tzinfo) -> str:
    rows = [
        (
            f"#{entry.seq}",
            output.when(entry.at, zone),
            output.clean(entry.actor),
            entry.verb,
            output.clean(entry.subject or ""),
            output.clean(entry.branch),
            _what(entry),
        )
        for entry in found
    ]
    headers = ("#", "when", "who", "did", "to", "branch", "memory or record")
    return output.table(rows, headers)


def _what(entry: Entry) -> str:
    """Return what an event is about, and what its record says: in one line where it fits."""
    id = f"{entry.id}{'  (forgotten)' if entry.content_erased else ''}"
    said = output.clean(_detail(entry))
    if not said or output.cells(said) <= DETAIL:
        return f"{id}  {said}".rstrip()
    return "\n".join([id, *output.wrap(said, DETAIL, 3)])


def _detail(entry: Entry) -> str:
    """Return what a record says."""
    detail = entry.detail
    if entry.verb == "state":
        return entry.state
    if entry.verb == "read" and detail:  # `mnemos audit reads` names the memories
        return f"{detail['call']}: {output.plural(detail['memories'], 'memory', 'memories')}"
    return " ".join(f"{name}={value}" for name, value in detail.items() if value not in (None, ""))


# ----------------------------------------------------------------------------------- checkpoints


@click.command(
    epilog=example(
        "mnemos checkpoint kept/2025-03-04.json --key mnemos.key",
        "mnemos verify --checkpoint kept/2025-03-04.json --public-key mnemos.pub",
    )
)
@click.argument("path", required=False)
@common
@click.option("--key", metavar="FILE", help="Sign it; `mnemos checkpoint-key` makes a key.")
def checkpoint(settings: Settings, path: str | None, key: str | None) -> None:
    """Write what the journal is now to PATH, as proof.

    Later `verify` shows with it whether anything was cut off or rewritten. Keep it where who can write the vault cannot reach it. Without PATH it is printed.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        made = memory.checkpoint(path, key=key)
    if path is None:
        click.echo(made.encode().decode(), nl=False)
    elif settings.json:
        output.emit({"path": path} | _checkpoint_document(made))
    else:
        signed = f"signed with key {made.key_id}" if made.key_id else "not signed"
        output.say(f"checkpoint at #{made.seq} of {made.tenant!r} written to {path}, {signed}")


def _checkpoint_document(made: Checkpoint) -> dict[str, Any]:
    return {
        "tenant": made.tenant,
        "seq": made.seq,
        "hash": made.hash.hex(),
        "at": made.at.isoformat(),
        "created": made.created.isoformat(),
        "algorithm": made.algorithm,
        "key_id": made.key_id,
    }


@click.command("checkpoint-key", epilog=example("mnemos checkpoint-key mnemos.key mnemos.pub"))
@click.argument("private")
@click.argument("public")
@json_option
def checkpoint_key(private: str, public: str, json: bool) -> None:
    """Make a key pair to sign checkpoints.

    Files: PRIVATE is to be kept secret, PUBLIC proves what it signed.
    """
    from mnemos.app.config import SystemEntropy
    from mnemos.kernel.proof.checkpoints import write_key_pair

    if Path(private) == Path(public):
        raise InvalidInput(f"both halves cannot be {private}; give two names")
    name = write_key_pair(Path(private), Path(public), entropy=SystemEntropy())
    if json:
        output.emit({"key_id": name, "private": private, "public": public})
        return
    output.say(f"key {name}: keep {private} to yourself, {public} proves what it signed")


COMMANDS: tuple[click.Command, ...] = (lineage, prov, log, checkpoint, checkpoint_key)
