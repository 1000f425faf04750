"""Work left for later: jobs, their budgets, and compaction."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import tzinfo
from typing import TYPE_CHECKING

import click

from mnemos.cli import output
from mnemos.cli.options import Family, Settings, common, example, open_memory, zone_of

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.kernel.upkeep.budgets import BudgetInfo
    from mnemos.kernel.upkeep.jobs import JobInfo

NOTHING = 1


def _open(settings: Settings) -> AbstractContextManager[Memory]:
    """Open the vault to look at its jobs, not to run them."""
    return open_memory(replace(settings, no_embedder=True), background="off")


@click.group(cls=Family)
def jobs() -> None:
    """Look after work left for later."""


@jobs.command(
    "list", epilog=example("mnemos jobs list --db memory.db", "mnemos jobs list --state dead")
)
@common
@click.option(
    "--state",
    type=click.Choice(["ready", "leased", "dead"]),
    help="Only jobs that are due or will be, under way, or failed for the last time.",
)
def list_jobs(settings: Settings, state: str | None) -> int | None:
    """List the jobs that are not done."""
    with _open(settings) as memory:
        found = memory.jobs(state)
    if settings.json:
        output.emit({"jobs": [asdict(job) for job in found]})
    elif found:
        output.say(_table(found, zone_of(settings)))
    if not found:
        output.note("no jobs; all that was asked for is done")
        return NOTHING
    return None


def _table(found: list[JobInfo], zone: tzinfo) -> str:
    width = max(20, output.columns() - 70)
    rows = [
        (
            str(job.number),
            job.kind,
            job.state,
            output.clean(job.scope) or "the vault",
            output.when(job.due, zone),
            str(job.attempts),
            "\n".join(output.wrap(job.error, width, 3)),
        )
        for job in found
    ]
    return output.table(rows, ("job", "kind", "state", "of", "due", "tries", "last error"))


@jobs.command("run", epilog=example("mnemos jobs run --db memory.db"))
@common
@click.option("--limit", type=int, metavar="N", help="Run N at most.")
def run(settings: Settings, limit: int | None) -> int | None:
    """Run jobs now until none is due.

    The exit code is 1 if one failed for the last time.
    """
    with open_memory(settings, background="off") as memory:
        report = memory.run_jobs(limit)
        left = len(memory.jobs())
    if settings.json:
        output.emit(asdict(report) | {"left": left})
    else:
        counts = {name: count for name, count in asdict(report).items() if count}
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        output.say(f"{said or 'none was due'}; {output.plural(left, 'job')} left")
    if report.dead:
        output.note("`mnemos jobs list --state dead` says why; `mnemos jobs retry` tries again")
        return NOTHING
    return None


@jobs.command("retry", epilog=example("mnemos jobs retry 17"))
@click.argument("number", type=int)
@common
def retry(settings: Settings, number: int) -> None:
    """Put a dead job back, due at once."""
    with _open(settings) as memory:
        memory.retry_job(number)
    _done(settings, "retry", number, f"job {number} is due again; `mnemos jobs run` runs it")


@jobs.command("drop", epilog=example("mnemos jobs drop 17"))
@click.argument("number", type=int)
@common
def drop(settings: Settings, number: int) -> None:
    """Remove a job without doing it."""
    with _open(settings) as memory:
        memory.drop_job(number)
    _done(settings, "drop", number, f"job {number} is removed")


@jobs.command("pause", epilog=example("mnemos jobs pause", "mnemos jobs pause compact"))
@click.argument("kind", required=False)
@common
def pause(settings: Settings, kind: str | None) -> None:
    """Let no job begin until `resume`. A KIND narrows it to jobs of that kind."""
    with _open(settings) as memory:
        memory.pause_jobs(kind)
    named = f"jobs of kind {kind}" if kind else "all jobs"
    _done(settings, "pause", kind, f"{named} are paused; `mnemos jobs resume` lets them go on")


@jobs.command("resume", epilog=example("mnemos jobs resume", "mnemos jobs resume compact"))
@click.argument("kind", required=False)
@common
def resume(settings: Settings, kind: str | None) -> None:
    """Let paused jobs begin again."""
    with _open(settings) as memory:
        memory.resume_jobs(kind)
    _done(settings, "resume", kind, f"{f'jobs of kind {kind}' if kind else 'all jobs'} may begin")


def _done(settings: Settings, verb: str, what: int | str | None, text: str) -> None:
    if settings.json:
        output.emit({"verb": verb, "job" if isinstance(what, int) else "kind": what})
    else:
        output.say(text)


@jobs.command(
    "budget",
    epilog=example(
        "mnemos jobs budget --user ana",
        "mnemos jobs budget --user ana --calls 200 --tokens 100000",
        "mnemos jobs budget --unlimited",
    ),
)
@common
@click.option("--calls", type=int, metavar="N", help="Most calls of models in a day.")
@click.option("--tokens", type=int, metavar="N", help="Most tokens in a day.")
@click.option("--seconds", type=float, metavar="S", help="Most seconds of work in a day.")
@click.option("--unlimited", is_flag=True, help="Take the limits away.")
def budget(
    settings: Settings,
    calls: int | None,
    tokens: int | None,
    seconds: float | None,
    unlimited: bool,
) -> None:
    """Show or set what jobs may spend in a UTC day.

    The three limits are set at once: what is left out has none. Without --user or
    --agent they are those of the whole tenant.
    """
    given = any(value is not None for value in (calls, tokens, seconds))
    if given and unlimited:
        raise click.UsageError("give limits, or --unlimited")
    with _open(settings) as memory:
        if given or unlimited:
            found = memory.set_budget(
                user_id=settings.user,
                agent_id=settings.agent,
                calls=calls,
                tokens=tokens,
                seconds=seconds,
            )
        else:
            found = memory.budget(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(asdict(found))
    else:
        output.say(_budget_table(found))


def _budget_table(found: BudgetInfo) -> str:
    rows = [
        ("calls", f"{found.spent_calls:,}", _limit(found.calls)),
        ("tokens", f"{found.spent_tokens:,}", _limit(found.tokens)),
        ("seconds", f"{found.spent_seconds:,.1f}", _limit(found.seconds)),
    ]
    return output.table(rows, ("of", "spent today", "allowed"))


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:,}"


@click.command(epilog=example("mnemos compact --db memory.db", "mnemos compact --full"))
@common
@click.option("--full", is_flag=True, help="Every page, and make the file anew.")
def compact(settings: Settings, full: bool) -> None:
    """Move rows that ended out of the way, shrink the file."""
    with _open(settings) as memory:
        freed = memory.compact(full=full)
    if settings.json:
        output.emit(asdict(freed))
        return
    output.say(
        f"moved {output.plural(freed.rows, 'row')} of {output.plural(freed.pages, 'page')} out of "
        f"the way; gave {output.size(freed.bytes)} back"
    )


COMMANDS: tuple[click.Command, ...] = (jobs, compact)
