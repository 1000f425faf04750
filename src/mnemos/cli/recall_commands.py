"""Asking: ``search`` and ``context``."""

from __future__ import annotations

import click

from mnemos.cli import documents, output
from mnemos.cli.options import (
    STATES,
    Settings,
    Where,
    common,
    example,
    in_time,
    open_memory,
    place,
    zone_of,
)
from mnemos.types import Kind

NOTHING = 1


@click.command(
    epilog=example(
        'mnemos search "where does Ana live?" --user ana --why',
        'mnemos search "the lease" --user ana --since 2025-03-01 --kind turn -k 5',
        'mnemos search "where does Ana live?" --user ana --as-of 2025-02-01',
    )
)
@click.argument("query")
@common
@in_time
@click.option("-k", "top_k", type=int, default=10, show_default=True, help="Most hits.")
@click.option("--why", is_flag=True, help="Show for each hit what speaks for it.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    metavar="KIND",
    help="Only this kind; may be repeated.",
)
@STATES
@click.option("--since", metavar="TIME", help="Only what happened at or after this ISO time.")
@click.option("--until", metavar="TIME", help="Only what happened before this ISO time.")
def search(
    settings: Settings,
    query: str,
    where: Where,
    top_k: int,
    why: bool,
    kinds: tuple[str, ...],
    states: tuple[str, ...],
    since: str | None,
    until: str | None,
) -> int | None:
    """Find the memories that best answer a question, best first."""
    with open_memory(settings) as memory:
        hits = place(memory, settings, where).search(
            query,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            top_k=top_k,
            kinds=kinds or None,
            states=states or None,
            since=since,
            until=until,
        )
    if settings.json:
        output.emit(documents.hits_document(query, hits))
    elif hits:
        output.say(documents.hit_table(hits, zone_of(settings), why=why))
        if why:
            _legend(sorted({reason.signal for hit in hits for reason in hit.why}))
    if not hits:
        output.note("nothing found" + ("" if settings.user else "; --user says whose memory"))
        return NOTHING
    return None


def _legend(names: list[str]) -> None:
    from mnemos.retrieval.rank import DESCRIPTIONS

    output.say()
    output.say("share of the score, rank in the signal's own list, words of the question it holds")
    for name in names:
        output.say(f"  {name:<14} {DESCRIPTIONS.get(name, '')}".rstrip())


@click.command(epilog=example('mnemos context "plan a dinner for Ana" --user ana --budget 600'))
@click.argument("query")
@common
@in_time
@click.option("--budget", type=int, default=1_000, show_default=True, help="Most tokens.")
def context(settings: Settings, query: str, where: Where, budget: int) -> int | None:
    """Print text for a prompt, within a token budget.

    Standing memories come first, then cited evidence in order of time.
    """
    with open_memory(settings) as memory:
        packed = place(memory, settings, where).context(
            query,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            budget=budget,
        )
    if settings.json:
        output.emit(documents.context_document(query, packed))
    elif packed.text:
        output.say(output.clean(packed.text))
    if not packed.text:
        output.note(f"nothing found that fits {budget} tokens")
        return NOTHING
    return None


COMMANDS: tuple[click.Command, ...] = (search, context)
