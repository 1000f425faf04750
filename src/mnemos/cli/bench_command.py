"""Measuring: ``bench``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnemos.cli import output
from mnemos.cli.options import example, json_option

if TYPE_CHECKING:
    from mnemos.bench.record import RunRecord
    from mnemos.kernel.ports import TokenCounter

DATA_VARIABLE = "MNEMOS_DATA"


class _Bench(click.Command):
    """Ends its help with the tasks there are; they are read only where the help is shown."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the tasks, then the examples."""
        from mnemos.bench.tasks import get_task, list_tasks

        with formatter.section("Tasks"):
            formatter.write_dl([(name, get_task(name).title) for name in list_tasks()])
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_Bench,
    epilog=example(
        "mnemos bench harbour",
        "mnemos bench locomo --data ./locomo10.json --out results",
    ),
)
@click.argument("task")
@click.option(
    "--data", metavar="PATH", help=f"Data that is not shipped; {DATA_VARIABLE} names it too."
)
@click.option("--out", metavar="FOLDER", help="Keep the record of the run there.")
@click.option("--no-embedder", is_flag=True, help="Measure recall by words only.")
@click.option("--check", is_flag=True, help="Compare with the numbers expected; exit 1 if apart.")
@click.option("--write-expected", is_flag=True, help="Make this run the expected numbers.")
@json_option
def bench(
    task: str,
    data: str | None,
    out: str | None,
    no_embedder: bool,
    check: bool,
    write_expected: bool,
    json: bool,
) -> int | None:
    """Measure recall on conversations with marked evidence."""
    from mnemos.bench import expected
    from mnemos.bench.record import save
    from mnemos.bench.runner import run

    record = run(
        task,
        data=_data(task, data),
        embedder=None if no_embedder else "auto",
        count=_counter(),
        progress=output.note if sys.stderr.isatty() else None,
    )
    _show(record, json)
    if out is not None:
        output.note(f"kept as {save(record, Path(out))}")
    if write_expected:
        output.note(f"expected numbers written to {expected.write_expected(record)}")
    differences = expected.check_expected(record) if check else []
    for difference in differences:
        output.note(f"not as expected: {difference}")
    return 1 if differences else None


def _show(record: RunRecord, as_json: bool) -> None:
    from mnemos.bench.record import to_json
    from mnemos.bench.report import report

    if as_json:
        click.echo(to_json(record), nl=False)
    else:
        output.say(report(record).rstrip("\n"))


def _data(task: str, given: str | None) -> Path | None:
    """Return where the data lies: as given, by the environment for a task that ships none."""
    from mnemos.bench.tasks import get_task

    named = given
    if named is None and not get_task(task).shipped:
        named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def _counter() -> TokenCounter:
    """Return the model's own token counter where its vocabulary is at hand, else the estimate."""
    from mnemos.app.config import cache_folder
    from mnemos.models import weights
    from mnemos.models.wordpiece import WordPiece
    from mnemos.retrieval.pack import estimate_tokens

    kept = [item.path for item in weights.list_models(cache_folder()) if not item.problem]
    if kept:
        return WordPiece.from_file(kept[0].with_suffix(".vocab.txt"))
    package = weights.package_folder()
    if package is not None:
        return WordPiece.from_file(weights.vocabulary_file(package))
    return estimate_tokens
