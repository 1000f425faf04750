"""Looking after a vault: ``stats``, ``verify``, ``reembed``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mnemos.cli import output
from mnemos.cli.options import Settings, common, example, open_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from mnemos.kernel.upkeep.reembed import Progress

NOTHING = 1


@click.command(epilog=example("mnemos stats --db memory.db"))
@common
def stats(settings: Settings) -> None:
    """Tell how much is remembered and what it takes."""
    with open_memory(settings) as memory:
        found = memory.stats()
    if settings.json:
        output.emit(asdict(found))
        return
    output.say(
        output.pairs(
            [
                ("memories", f"{found.memories:,}"),
                ("versions", f"{found.versions:,}"),
                ("subjects", f"{found.subjects:,}"),
                ("events", f"{found.events:,}"),
                ("size", output.size(found.bytes)),
                ("embedder", found.embedder or "none: recall by words only"),
                ("vectors", "some pending; run `mnemos reembed`" if found.vectors_pending else ""),
                *found.store.items(),
            ]
        )
    )


@click.command(
    epilog=example(
        "mnemos verify --db memory.db",
        "mnemos verify --checkpoint kept/2025-03-04.json --public-key mnemos.pub",
    )
)
@common
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="FILE",
    help="What `mnemos checkpoint` wrote; may be repeated.",
)
@click.option("--public-key", metavar="FILE", help="Key that must have signed the checkpoints.")
def verify(settings: Settings, checkpoints: tuple[str, ...], public_key: str | None) -> int | None:
    """Check the journal, the contents and every table.

    That the end of the journal was cut off, or all of it written anew, only a checkpoint kept
    elsewhere can show.
    """
    if public_key is not None and not checkpoints:
        raise click.UsageError("--public-key proves checkpoints; pass --checkpoint")
    with open_memory(settings) as memory:
        total = memory.stats().events
        with output.progress("checking", total) as advance:
            report = memory.verify(checkpoints=checkpoints, public_key=public_key, progress=advance)
    if settings.json:
        output.emit(asdict(report) | {"ok": report.ok})
    else:
        output.say(
            f"{'sound' if report.ok else 'NOT SOUND'}: {output.plural(report.events, 'event')} "
            f"chained, {output.plural(report.contents, 'content')} proved, {report.erased:,} "
            f"erased, {output.plural(report.rows, 'row')} compared"
            + (f", {output.plural(report.checkpoints, 'checkpoint')} kept" if checkpoints else "")
        )
        for problem in report.problems:
            output.say(f"  {output.clean(problem)}")
    return None if report.ok else NOTHING


@click.command(
    epilog=example(
        "mnemos reembed --db memory.db",
        "mnemos reembed --embedder openai:text-embedding-3-small@http://localhost:8080/v1",
        "mnemos reembed --words",
    )
)
@click.option("--words", is_flag=True, help="Make only the word index again, after an upgrade.")
@common
def reembed(settings: Settings, words: bool) -> None:
    """Give every memory a vector by the embedder named.

    It goes on where it was stopped.
    """
    if words:
        _rebuild_words(settings)
        return
    with open_memory(settings) as memory, ExitStack() as stack:
        before, stats = 0, memory.stats()
        bar: list[Callable[[int], None]] = []

        def step(so_far: Progress) -> None:
            nonlocal before
            if not bar:
                bar.append(stack.enter_context(output.progress("embedding", so_far.total)))
            bar[0](so_far.done - before)
            before = so_far.done

        done = memory.reembed(progress=step)
        stack.close()
        now = memory.stats()
    if settings.json:
        output.emit(asdict(done) | {"from": stats.embedder, "to": now.embedder})
        return
    output.say(f"embedded {output.plural(done.done, 'memory', 'memories')}; now by {now.embedder}")


def _rebuild_words(settings: Settings) -> None:
    with open_memory(settings, rebuild_words=True) as memory:
        found = memory.stats()
    if settings.json:
        output.emit({"words": "rebuilt", "memories": found.memories})
        return
    output.say(f"word index of {output.plural(found.memories, 'memory', 'memories')} is up to date")


COMMANDS: tuple[click.Command, ...] = (stats, verify, reembed)
