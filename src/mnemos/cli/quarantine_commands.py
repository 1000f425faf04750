"""What is not trusted: quarantine, revoke, and rules about what sources may write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.erasure_commands import agreed
from mnemos.cli.governing_options import (
    EVERYWHERE,
    ORIGINS,
    check_whose,
    whose,
    written,
)
from mnemos.cli.options import (
    YES,
    Command,
    Family,
    Settings,
    check_can_ask,
    common,
    example,
    open_memory,
    require_scope,
    zone_of,
)
from mnemos.types import MemCube, Receipt

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.app.quarantine import IntakeRule

NOTHING = 1
PREVIEWED = 10
"""Memories shown before it asks."""

MOST_WAITING = 100_000
"""As many as one call lists."""


@click.group(cls=Family)
def quarantine() -> None:
    """Decide about what waits: list, add, approve, reject."""


@quarantine.command(
    "list", epilog=example("mnemos quarantine list --user ana", "mnemos quarantine --user ana")
)
@common
@click.option("--limit", type=int, default=50, show_default=True, help="Most memories.")
@click.option("--after", metavar="ID", help="Continue behind this memory.")
def list_quarantined(settings: Settings, limit: int, after: str | None) -> int | None:
    """List what waits for approval. No search and no context shows it."""
    require_scope(settings, "quarantine list")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.quarantined(
            user_id=settings.user, agent_id=settings.agent, limit=limit, after=after
        )
    if settings.json:
        output.emit({"memories": [documents.cube_document(cube) for cube in found]})
    elif found:
        output.say(documents.memory_table(found, zone_of(settings)))
    if not found:
        output.note("nothing waits for approval")
        return NOTHING
    if len(found) == limit and not settings.json:
        output.note(f"there may be more: --after {found[-1].id}")
    return None


@quarantine.command("add", epilog=example("mnemos quarantine add 0f3a9c…"))
@click.argument("id")
@common
def add_to_quarantine(settings: Settings, id: str) -> None:
    """Put a memory into quarantine, whatever its trust."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.quarantine(id, user_id=settings.user, agent_id=settings.agent)
    written(
        settings, receipt, f"{receipt.id} is in quarantine; `mnemos quarantine approve` lets it out"
    )


@quarantine.command(
    epilog=example(
        "mnemos quarantine approve 0f3a9c…", "mnemos quarantine approve 77b1e0… --as-data"
    )
)
@click.argument("id")
@common
@click.option("--as-data", is_flag=True, help="Let it in without vouching for it: it stays quoted.")
def approve(settings: Settings, id: str, as_data: bool) -> None:
    """Let a memory in, and vouch for it.

    It counts then as trusted as who approves it: packed unquoted, and it may steer. One that is
    current but not trusted can be approved as well.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.approve(
            id, as_data=as_data, user_id=settings.user, agent_id=settings.agent
        )
    said = "is let in as data, and stays quoted" if as_data else "is approved, and may steer"
    written(settings, receipt, f"{receipt.id} {said}")


@quarantine.command(epilog=example("mnemos quarantine reject 77b1e0…"))
@click.argument("id")
@common
@YES
def reject(settings: Settings, id: str, yes: bool) -> int | None:
    """Erase for good what waits, and all derived from it.

    What is not in quarantine, `mnemos forget` erases.
    """
    check_can_ask(yes, "rejecting cannot be undone")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        if not yes:
            tried = memory.forget(id, user_id=settings.user, agent_id=settings.agent, dry_run=True)
            if tried.ids and not agreed(memory, settings, tried):
                output.note("nothing was rejected")
                return NOTHING
        receipt = memory.reject(id, user_id=settings.user, agent_id=settings.agent)
    count = output.plural(len(receipt.forgotten), "memory", "memories")
    written(settings, receipt, f"rejected: forgot {count}")
    return None


# ---------------------------------------------------------------------------------------- revoke


class _OnlyTried(Exception):
    """Drops what a transaction has staged."""


@click.command(
    epilog=example(
        "mnemos revoke --source 'https://weather.example*' --user ana",
        "mnemos revoke --principal user:ben --user ana --since 2025-03-01",
        "mnemos revoke --origin tool --user ana --yes",
    )
)
@common
@click.option("--source", metavar="NAME", help="All that was read from there; NAME* is a prefix.")
@click.option("--principal", metavar="NAME", help="All that user:…, agent:… or service:… wrote.")
@click.option("--origin", type=ORIGINS, metavar="ORIGIN", help="All of an origin, such as tool.")
@click.option("--since", metavar="TIME", help="Only what happened from this ISO time on.")
@YES
def revoke(settings: Settings, yes: bool, **what: Any) -> int | None:
    """Take back what came from a source and all made of it.

    It goes into quarantine, where `mnemos quarantine` decides about it. To erase it instead:
    `mnemos forget --source`.
    """
    require_scope(settings, "revoke")
    if not any((what["source"], what["principal"], what["origin"])):
        raise click.UsageError("say what to revoke: --source, --principal or --origin")
    check_can_ask(yes, "revoking hides all that came of a source")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        if not yes and not _agreed(memory, settings, what):
            output.note("nothing was revoked")
            return NOTHING
        receipt = memory.revoke(user_id=settings.user, agent_id=settings.agent, **what)
        held = _held(memory, settings, receipt)
    back = [id for id in receipt.ids if id not in held]
    if settings.json:
        document = documents.receipt_document(receipt)
        output.emit(document | {"quarantined": list(held), "restored": back})
    elif receipt.ids:
        output.say(f"{output.plural(len(held), 'memory', 'memories')} went into quarantine")
        if back:
            output.say(f"current again, for what was made of them is not: {', '.join(back)}")
    if not receipt.ids:
        output.note("there was nothing to revoke")
        return NOTHING
    return None


def _held(memory: Memory, settings: Settings, receipt: Receipt) -> dict[str, MemCube]:
    """Return what a revocation put into quarantine; the rest of its ids are current again."""
    waiting = memory.quarantined(user_id=settings.user, agent_id=settings.agent, limit=MOST_WAITING)
    moved = set(receipt.ids)
    return {cube.id: cube for cube in waiting if cube.id in moved}


def _agreed(memory: Memory, settings: Settings, what: dict[str, Any]) -> bool:
    """Try it in a transaction that is dropped, show what would go, and ask."""
    held: dict[str, MemCube] = {}
    with suppress(_OnlyTried), memory.begin() as tx:
        tried = tx.revoke(user_id=settings.user, agent_id=settings.agent, **what)
        held = _held(tx, settings, tried)
        raise _OnlyTried
    if not held:
        return True  # there is nothing to ask about, and the call says so
    width = output.columns() - 40
    for cube in list(held.values())[:PREVIEWED]:
        click.echo(f"  {cube.id}  {output.wrap(documents.words(cube), width, 1)[0]}", err=True)
    if len(held) > PREVIEWED:
        click.echo(f"  … and {len(held) - PREVIEWED:,} more", err=True)
    count = output.plural(len(held), "memory", "memories")
    return click.confirm(f"Put {count} into quarantine?", err=True)


# ---------------------------------------------------------------------------------------- intake


@click.group(cls=Family)
def intake() -> None:
    """Say what a source may write: list, set, drop."""


def _of_source(function: Command) -> Command:
    """Add the options that name a source of memories."""
    options: tuple[Callable[[Command], Command], ...] = (
        click.option("--origin", type=ORIGINS, metavar="ORIGIN", help="All of this origin."),
        click.option("--source", metavar="NAME", help="What is read from there."),
        click.option("--principal", metavar="NAME", help="What this principal writes."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@intake.command(
    "set",
    epilog=example(
        "mnemos intake set --origin tool --quarantine --user ana",
        "mnemos intake set --principal agent:scout --memories-per-hour 100 --user ana",
        "mnemos intake set --source https://weather.example --bytes-each 4000 --everywhere",
    ),
)
@common
@EVERYWHERE
@_of_source
@click.option("--memories-per-hour", type=int, metavar="N", help="Most within a clock hour.")
@click.option("--bytes-per-hour", type=int, metavar="N", help="Most bytes within a clock hour.")
@click.option("--bytes-each", type=int, metavar="N", help="Most bytes of one memory.")
@click.option("--quarantine", is_flag=True, help="What comes waits for approval.")
def set_intake(settings: Settings, everywhere: bool, **how: Any) -> None:
    """Limit what a source may write, or hold it back.

    It is for a user, an agent or everywhere, and replaces the rule before.
    """
    check_whose(settings, everywhere, "intake")
    name = _named(how)
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.set_intake(
            user_id=settings.user, agent_id=settings.agent, everywhere=everywhere, **how
        )
    written(settings, receipt, f"rule about {name} set for {whose(settings, everywhere)}")


@intake.command("drop", epilog=example("mnemos intake drop --origin tool --user ana"))
@common
@EVERYWHERE
@_of_source
def drop_intake(settings: Settings, everywhere: bool, **which: Any) -> None:
    """Remove the rule about a source. What waits in quarantine stays there."""
    check_whose(settings, everywhere, "intake")
    name = _named(which)
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.drop_intake(
            user_id=settings.user, agent_id=settings.agent, everywhere=everywhere, **which
        )
    written(settings, receipt, f"rule about {name} dropped for {whose(settings, everywhere)}")


def _named(given: dict[str, Any]) -> str:
    """Return the one source that options name, in words."""
    names = [name for name in ("origin", "source", "principal") if given[name] is not None]
    if len(names) != 1:
        raise click.UsageError("name one source: --origin, --source or --principal")
    return output.clean(f"{names[0]} {given[names[0]]}")


@intake.command("list", epilog=example("mnemos intake list --user ana"))
@common
def list_intake(settings: Settings) -> int | None:
    """List the rules about sources that bear on somebody.

    Without --user or --agent they are those of the whole tenant.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.intake(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"rules": [asdict(rule) for rule in found]})
    elif found:
        width = max(34, output.columns() - 42)
        rows = [
            (
                output.wrap(whose(settings, rule.everywhere), 12, 1)[0],
                "\n".join(_limits(rule)),
                "\n".join(output.wrap(rule.source.replace(":", " ", 1), width)),
            )
            for rule in found
        ]
        output.say(output.table(rows, ("whose", "rule", "source")))
    if not found:
        output.note("no rules; `mnemos intake set` sets one")
        return NOTHING
    return None


def _limits(rule: IntakeRule) -> list[str]:
    limits = rule.intake
    numbers = (
        ("memory", "memories", "per hour", limits.memories_per_hour),
        ("byte", "bytes", "per hour", limits.bytes_per_hour),
        ("byte", "bytes", "each", limits.bytes_each),
    )
    lines = [
        f"{output.plural(count, one, many)} {each}"
        for one, many, each, count in numbers
        if count is not None
    ]
    return [*lines, *(["waits for approval"] if limits.quarantine else [])]


COMMANDS: tuple[click.Command, ...] = (quarantine, revoke, intake)
