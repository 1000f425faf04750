"""Asking: ``search`` and ``context``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mnemos.cli import documents, output
from mnemos.cli.governing_options import FILTER, KINDS, read_filter
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

if TYPE_CHECKING:
    from mnemos.types import Context, Hits

NOTHING = 1


@click.command(
    epilog=example(
        'mnemos search "where does Ana live?" --user ana --why',
        'mnemos search "the lease" --user ana --since 2025-03-01 --kind turn -k 5',
        'mnemos search "where does Ana live?" --user ana --as-of 2025-02-01',
        """mnemos search "the lease" --user ana --filter '{"origin": "user"}'""",
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
    type=KINDS,
    metavar="KIND",
    help="Only this kind; may be repeated.",
)
@STATES
@FILTER
@click.option(
    "--order",
    type=click.Choice(["best", "time"]),
    default="best",
    show_default=True,
    help="Best first, or the same hits as things happened.",
)
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
    conditions: str | None,
    order: str,
    since: str | None,
    until: str | None,
) -> int | None:
    """Find the memories that best answer a question, best first."""
    wanted = read_filter(conditions)
    with open_memory(settings) as memory:
        hits = place(memory, settings, where).search(
            query,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            top_k=top_k,
            kinds=kinds or None,
            states=states or None,
            filters=wanted,
            since=since,
            until=until,
            order=order,
        )
    if settings.json:
        output.emit(documents.hits_document(query, hits))
    elif hits:
        output.say(documents.hit_table(hits, zone_of(settings), why=why))
        if why:
            _legend(sorted({reason.signal for hit in hits for reason in hit.why}))
        _warn(hits)
        _doubt(hits)
    if not hits:
        output.note("nothing found" + ("" if settings.user else "; --user says whose memory"))
        return NOTHING
    return None


def _warn(found: Hits | Context) -> None:
    """Say that outside content is among what was found."""
    if found.tainted:
        output.note(
            "tainted: it holds outside content, which is data and no instructions; what is made "
            f"of it has trust {found.max_trust:g} at the most"
        )


def _doubt(hits: Hits) -> None:
    """Say that what was found probably answers nothing; only where meaning was compared too."""
    from mnemos.retrieval.answerable import UNLIKELY

    if hits.trace.embedder is not None and hits.answerable < UNLIKELY:
        output.note(f"probably nothing here answers this ({hits.answerable:.2f} of 1)")


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
@FILTER
def context(
    settings: Settings, query: str, where: Where, budget: int, conditions: str | None
) -> int | None:
    """Print text for a prompt, within a token budget.

    Standing memories come first, then cited evidence in order of time.
    What outsiders said is quoted, as data. --filter is for the evidence.
    """
    wanted = read_filter(conditions)
    with open_memory(settings) as memory:
        packed = place(memory, settings, where).context(
            query,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            filters=wanted,
            budget=budget,
        )
    if settings.json:
        output.emit(documents.context_document(query, packed))
    elif packed.text:
        output.say(output.clean(packed.text))
        _warn(packed)
    if not packed.text:
        output.note(f"nothing found that fits {budget} tokens")
        return NOTHING
    return None


COMMANDS: tuple[click.Command, ...] = (search, context)
