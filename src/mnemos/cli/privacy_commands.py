"""Secrets and personal data, and who read what: redaction, reveal, audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.governing_options import EVERYWHERE, check_whose, whose, written
from mnemos.cli.options import (
    YES,
    Family,
    Settings,
    check_can_ask,
    common,
    example,
    open_memory,
    require_scope,
    zone_of,
)
from mnemos.kernel.governance.redaction import Sensitive

if TYPE_CHECKING:
    from mnemos.kernel.governance.auditing import ReadCount, ReadNote

NOTHING = 1
IDS_SHOWN = 3
"""Memories of a read that are named; of the others it says how many there were."""

CLASSES = [item.value for item in Sensitive]


@click.group(cls=Family)
def redaction() -> None:
    """Keep secrets and personal data out: show, set, drop."""


@redaction.command(
    "set",
    epilog=example(
        "mnemos redaction set mask --user ana",
        "mnemos redaction set read --class email --class phone --region PT --everywhere",
        "mnemos redaction set vault --user ana --seal-key vault.key",
    ),
)
@click.argument("mode", type=click.Choice(["mask", "vault", "read"]), metavar="MODE")
@common
@EVERYWHERE
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice(CLASSES),
    metavar="CLASS",
    help=f"Only this: {', '.join(CLASSES)}; may be repeated.",
)
@click.option(
    "--region",
    metavar="CODE",
    default="US",
    show_default=True,
    help="Country whose phone numbers may stand without country code.",
)
def set_redaction(
    settings: Settings, mode: str, everywhere: bool, classes: tuple[str, ...], region: str
) -> None:
    """Take secrets and personal data out, from now on.

    MODE is mask: for good, before anything is written. vault: so too, but kept beside it,
    encrypted, for `mnemos reveal`. read: stored as it is, and masked for those whose grant is not
    --unmasked. Names and street addresses are not found. Needs the extra mnemos[redact].
    """
    check_whose(settings, everywhere, "redaction")
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.set_redaction(
            mode,
            classes=classes,
            region=region,
            user_id=settings.user,
            agent_id=settings.agent,
            everywhere=everywhere,
        )
    names = ", ".join(classes) or "every class"
    written(settings, receipt, f"redaction set for {whose(settings, everywhere)}: {mode}, {names}")


@redaction.command("drop", epilog=example("mnemos redaction drop --user ana"))
@common
@EVERYWHERE
def drop_redaction(settings: Settings, everywhere: bool) -> None:
    """Take nothing out any more. What was masked stays masked."""
    check_whose(settings, everywhere, "redaction")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.drop_redaction(
            user_id=settings.user, agent_id=settings.agent, everywhere=everywhere
        )
    written(settings, receipt, f"redaction dropped for {whose(settings, everywhere)}")


@redaction.command("show", epilog=example("mnemos redaction show --user ana"))
@common
def show_redaction(settings: Settings) -> int | None:
    """Show the rule that counts for somebody, or for the whole tenant."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.redaction(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"redaction": None if found is None else asdict(found)})
    elif found is not None:
        rows = [
            ("for", whose(settings, found.everywhere)),
            ("mode", found.mode),
            ("classes", ", ".join(found.classes) or "every class"),
            ("region", found.region),
        ]
        output.say(output.pairs(rows))
    if found is None:
        output.note("nothing is redacted; `mnemos redaction set` sets a rule")
        return NOTHING
    return None


@click.command(epilog=example("mnemos reveal 0f3a9c… --seal-key vault.key"))
@click.argument("id")
@common
def reveal(settings: Settings, id: str) -> None:
    """Show a memory with the values that were vaulted put back.

    --seal-key names the key they were sealed with.
    """
    with open_memory(replace(settings, no_embedder=True)) as memory:
        cube = memory.reveal(id, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(documents.cube_document(cube))
    else:
        output.say(documents.memory_card(cube, zone_of(settings)))


# ----------------------------------------------------------------------------------------- audit


@click.group(cls=Family)
def audit() -> None:
    """See who read what: set, reads, counts, drop."""


@audit.command(
    "set",
    epilog=example(
        "mnemos audit set audited --user ana --keep 90d", "mnemos audit set counted --everywhere"
    ),
)
@click.argument("mode", type=click.Choice(["counted", "audited"]), metavar="MODE")
@common
@EVERYWHERE
@click.option("--keep", metavar="SPAN", help="How long notes of reads are kept: 24h, 90d, 2w.")
def set_audit(settings: Settings, mode: str, everywhere: bool, keep: str | None) -> None:
    """Say how reads are audited.

    MODE is counted: calls and memories are added up by day, the default. audited: every read is
    written to the journal before its answer is given, which makes each read a commit.
    """
    check_whose(settings, everywhere, "audit")
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.set_audit(
            mode,
            keep=keep,
            user_id=settings.user,
            agent_id=settings.agent,
            everywhere=everywhere,
        )
    written(settings, receipt, f"reads of {whose(settings, everywhere)} are {mode} from now on")


@audit.command(
    epilog=example(
        "mnemos audit reads --user ana --limit 20",
        "mnemos audit reads --user ana --principal agent:scout --since 2025-03-01",
        "mnemos audit reads --user ana --id 0f3a9c…",
    )
)
@common
@click.option("--principal", metavar="NAME", help="Only what this one read.")
@click.option("--id", "id", metavar="ID", help="Only reads that returned this memory.")
@click.option("--since", metavar="TIME", help="From this ISO time on.")
@click.option("--until", metavar="TIME", help="Before this ISO time.")
@click.option("--limit", type=int, default=50, show_default=True, help="Most reads.")
@click.option("--oldest-first", is_flag=True, help="Walk forward in time.")
def reads(settings: Settings, limit: int, oldest_first: bool, **which: Any) -> int | None:
    """List the audited reads of somebody's memories, newest first."""
    require_scope(settings, "audit reads")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.reads(
            user_id=settings.user,
            agent_id=settings.agent,
            limit=limit,
            newest_first=not oldest_first,
            **which,
        )
    if settings.json:
        output.emit({"reads": [_note_document(item) for item in found]})
    elif found:
        output.say(_note_table(found, zone_of(settings)))
    if not found:
        output.note("no audited reads that fit; `mnemos audit set audited` begins to note them")
        return NOTHING
    if len(found) == limit and not settings.json:
        output.note("there may be more: a larger --limit, or --since and --until, shows them")
    return None


def _note_document(item: ReadNote) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__} | {
        "at": documents.iso(item.at),
        "ids": list(item.ids),
        "cost": dict(item.cost),
    }


def _note_table(found: Sequence[ReadNote], zone: tzinfo) -> str:
    rows = [
        (
            f"#{item.seq}",
            output.when(item.at, zone),
            item.call,
            "\n".join([_read(item), *_reason(item), *_named(item)]),
        )
        for item in found
    ]
    return output.table(rows, ("#", "when", "call", "who read what"))


def _read(item: ReadNote) -> str:
    """Return who read how much, in one line."""
    cost = "".join(f", {count:,} {name}" for name, count in item.cost.items())
    who = output.wrap(item.principal, 32, 1)[0]
    return f"{who}: {output.plural(item.memories, 'memory', 'memories')}{cost}"


def _reason(item: ReadNote) -> list[str]:
    return [] if item.reason is None else output.wrap(f"reason: {item.reason}", 40)


def _named(item: ReadNote) -> list[str]:
    left = item.memories - IDS_SHOWN
    return [*item.ids[:IDS_SHOWN], *([f"… and {left:,} more"] if left > 0 else [])]


@audit.command(epilog=example("mnemos audit counts --user ana"))
@common
def counts(settings: Settings) -> int | None:
    """Show how often who read of somebody's memories, day by day."""
    require_scope(settings, "audit counts")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.read_counts(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"counts": [asdict(item) for item in found]})
    elif found:
        rows = [_count_row(item) for item in found]
        output.say(output.table(rows, ("day", "call", "calls", "memories", "who")))
    if not found:
        output.note("nothing was read, or every read is audited: `mnemos audit reads` lists those")
        return NOTHING
    return None


def _count_row(item: ReadCount) -> tuple[str, ...]:
    who = "\n".join(output.wrap(item.principal, 40))
    return item.day, item.call, f"{item.calls:,}", f"{item.memories:,}", who


@audit.command("drop", epilog=example("mnemos audit drop --older-than 90d --user ana"))
@common
@click.option("--older-than", metavar="SPAN", required=True, help="Such as 24h, 90d or 2w.")
@YES
def drop_reads(settings: Settings, older_than: str, yes: bool) -> int | None:
    """Erase for good what audited reads say. That there were reads stays."""
    require_scope(settings, "audit drop")
    check_can_ask(yes, "what is erased of an audit cannot be had back")
    question = f"Erase what is noted of reads older than {output.clean(older_than)}?"
    with open_memory(replace(settings, no_embedder=True)) as memory:
        if not yes and not click.confirm(question, err=True):
            output.note("nothing was erased")
            return NOTHING
        receipt = memory.drop_reads(
            older_than=older_than, user_id=settings.user, agent_id=settings.agent
        )
    erased = receipt.seq != receipt.before
    if erased or settings.json:
        written(settings, receipt, f"erased what is noted of reads older than {older_than}")
    if not erased:
        output.note(f"no read older than {older_than} is noted")
        return NOTHING
    return None


COMMANDS: tuple[click.Command, ...] = (redaction, reveal, audit)
