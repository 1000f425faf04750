"""Erasing: ``forget``, tried first, asked for, proved afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.options import (
    YES,
    Settings,
    check_can_ask,
    common,
    example,
    open_memory,
    require_scope,
)
from mnemos.errors import NotFound
from mnemos.types import Receipt

if TYPE_CHECKING:
    from mnemos.app.memory import Memory

NOTHING = 1
LISTED = 10
"""Memories shown before it asks, and in a dry run."""


@click.command(
    epilog=example(
        "mnemos forget 0f3a9c… 77b1e0…",
        "mnemos forget --source chat.jsonl --user ana --dry-run",
        'mnemos forget --query "my old address" --user ana -k 3 --verify',
        "mnemos forget --all --user ana --run s3 --yes",
    )
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@common
@click.option("--source", metavar="NAME", help="Everything read from there.")
@click.option("--query", metavar="TEXT", help="What a search finds for it.")
@click.option("--all", "everything", is_flag=True, help="All of a user, an agent or a run.")
@click.option("-k", "top_k", type=int, default=10, show_default=True, help="Most for a query.")
@click.option("--sources", is_flag=True, help="Take along what it was derived from.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@click.option("--verify", is_flag=True, help="Then look for it in every byte of the files.")
@YES
def forget(
    settings: Settings, ids: tuple[str, ...], everything: bool, yes: bool, **how: Any
) -> int | None:
    """Erase memories for good, and all derived from them.

    Every version goes, on every branch. Name them by their IDs, by --source, by --query, or --all.
    """
    wanted = _wanted(settings, ids, everything, how)
    trial, proof = bool(how["dry_run"]), bool(how["verify"])
    if trial and proof:
        raise click.UsageError("--verify looks at what an erasure left; leave --dry-run out")
    check_can_ask(yes or trial, "forgetting cannot be undone")
    with open_memory(replace(settings, no_embedder=_needs_no_model(settings, how))) as memory:
        if not yes or trial:
            tried = _forget(memory, settings, wanted, dry_run=True)
            if trial:
                return _tried(memory, settings, tried)
            if tried.ids and not agreed(memory, settings, tried):
                output.note("nothing was forgotten")
                return NOTHING
            wanted = {"ids": tried.ids, "sources": how["sources"]}  # what was shown, nothing else
        receipt = _forget(memory, settings, wanted, verify=proof)
    return _forgotten(settings, receipt)


def _needs_no_model(settings: Settings, how: dict[str, Any]) -> bool:
    return settings.no_embedder or how["query"] is None


def _wanted(
    settings: Settings, ids: tuple[str, ...], everything: bool, how: dict[str, Any]
) -> dict[str, Any]:
    """Return which memories are meant, in the library's words; none stands for all."""
    given = [bool(ids), how["source"] is not None, how["query"] is not None, everything]
    if sum(given) != 1:
        raise click.UsageError(
            "give one of: an ID or several, --source, --query, or --all with --user or --agent"
        )
    if not ids:
        require_scope(settings, "forget")
    if everything:
        if how["sources"]:
            raise click.UsageError("--all takes everything along; leave --sources out")
        return {"run_id": settings.run}
    if ids:
        return {"ids": ids, "sources": how["sources"]}
    named = {name: how[name] for name in ("source", "query") if how[name] is not None}
    return named | {"run_id": settings.run, "top_k": how["top_k"], "sources": how["sources"]}


def _forget(
    memory: Memory,
    settings: Settings,
    wanted: dict[str, Any],
    *,
    dry_run: bool = False,
    verify: bool = False,
) -> Receipt:
    call = memory.delete_all if wanted.keys() == {"run_id"} else memory.forget
    return call(
        user_id=settings.user,
        agent_id=settings.agent,
        dry_run=dry_run,
        verify=verify,
        **wanted,
    )


def _list(memory: Memory, settings: Settings, receipt: Receipt) -> list[str]:
    """Return what would go, a line each: its first words and its id."""
    width = output.columns() - 40
    lines: list[str] = []
    for id in receipt.forgotten[:LISTED]:
        try:
            newest = memory.history(id, user_id=settings.user, agent_id=settings.agent)[-1]
            text = output.wrap(documents.words(newest), width, 1)[0]
        except NotFound:
            text = "(not on the main line, or expired)"
        derived = "" if id in receipt.ids else "  (derived)"
        lines.append(f"  {id}  {text}{derived}")
    left = len(receipt.forgotten) - LISTED
    return [*lines, f"  … and {left:,} more"] if left > 0 else lines


def agreed(memory: Memory, settings: Settings, tried: Receipt) -> bool:
    """Show what would go, and ask."""
    for line in _list(memory, settings, tried):
        click.echo(line, err=True)
    count = output.plural(len(tried.forgotten), "memory", "memories")
    return click.confirm(f"Forget {count} for good?", err=True)


def _tried(memory: Memory, settings: Settings, tried: Receipt) -> int | None:
    if settings.json:
        output.emit(documents.receipt_document(tried) | {"dry_run": True})
    elif tried.ids:
        count = output.plural(len(tried.forgotten), "memory", "memories")
        output.say(f"would forget {count}; nothing was changed")
        for line in _list(memory, settings, tried):
            output.say(line)
        _say_consequences(tried, "would be")
    if not tried.ids:
        output.note("there is nothing to forget")
        return NOTHING
    return None


def _say_consequences(receipt: Receipt, verb: str) -> None:
    if receipt.restored:
        output.say(f"{verb} current again: {', '.join(receipt.restored)}")
    if receipt.sources:
        output.say(f"still said by: {', '.join(receipt.sources)}; --sources takes them along")


def _forgotten(settings: Settings, receipt: Receipt) -> int | None:
    if settings.json:
        output.emit(documents.receipt_document(receipt))
    elif receipt.ids:
        derived = len(set(receipt.forgotten) - set(receipt.ids))
        count = output.plural(len(receipt.forgotten), "memory", "memories")
        output.say(f"forgot {count}{f', {derived:,} of them derived' if derived else ''}")
        output.say(documents.place_table(receipt.places))
        _say_consequences(receipt, "are")
    if not receipt.ids:
        output.note("there was nothing to forget")
        return NOTHING
    if any(place.name == "scan" and place.status != "purged" for place in receipt.places):
        output.note("traces are still found in the files; the place `scan` says of what and where")
        return NOTHING
    return None


COMMANDS: tuple[click.Command, ...] = (forget,)
