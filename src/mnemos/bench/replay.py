"""Run a record's command again and say what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnemos.bench.differences import Difference, compare_means, means_of
from mnemos.bench.record import QuestionResult, RunRecord, load
from mnemos.bench.runner import run
from mnemos.kernel.ports import Embedder, TokenCounter
from mnemos.retrieval.pack import estimate_tokens

FIELDS = ("data_sha256", "ranker", "embedder", "version", "python", "platform", "memories")


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A record, the run that repeats it, and what is different: nothing, if it holds."""

    before: RunRecord
    after: RunRecord
    differences: tuple[Difference, ...]


def replay(
    path: Path,
    *,
    data: Path | None = None,
    embedder: Embedder | str | None = "auto",
    count: TokenCounter = estimate_tokens,
    progress: Callable[[str], None] | None = None,
) -> Replay:
    """Measure again what a record measured, with its parameters and seed.

    Parameters
    ----------
    path : Path
        A record written by :func:`mnemos.bench.record.save`.
    data : Path or None
        Where the data lies now; None is where it lay.
    embedder : Embedder, ``"auto"`` or None
        Taken where the record had an embedder; a record by words only is repeated without.
    count, progress : callable
        As in :func:`mnemos.bench.runner.run`.

    Raises
    ------
    InvalidInput
        If the file is no record, or its data is gone.
    """
    before = load(path)
    place = data if data is not None or before.data is None else Path(before.data)
    after = run(
        before.task,
        data=place,
        embedder=None if before.embedder is None else embedder,
        seed=before.seed,
        ks=before.parameters["ks"],
        budgets=before.parameters["budgets"],
        count=count,
        progress=progress,
    )
    return Replay(before=before, after=after, differences=tuple(compare(before, after)))


def compare(before: RunRecord, after: RunRecord) -> Iterator[Difference]:
    """Yield what is different between two records of one task; timings are left out.

    First what was run, then the means, then the questions whose gold moved.
    """
    for name in FIELDS:
        if getattr(before, name) != getattr(after, name):
            yield Difference(what=name, before=getattr(before, name), after=getattr(after, name))
    for name in dict.fromkeys([*before.parameters, *after.parameters]):
        old, new = before.parameters.get(name), after.parameters.get(name)
        if old != new:
            yield Difference(what=name, before=old, after=new)
    for name in ("quality", "floor"):
        old, new = means_of(getattr(before, name)), means_of(getattr(after, name))
        yield from compare_means(old, new, tolerance=0.0, name=name)
    yield from _moved(before, after)


def _moved(before: RunRecord, after: RunRecord) -> Iterator[Difference]:
    was = {question.id: question for question in before.questions}
    now = {question.id: question for question in after.questions}
    for id in dict.fromkeys([*was, *now]):
        old, new = _ranks(was.get(id)), _ranks(now.get(id))
        if old != new:
            yield Difference(what=f"ranks of {id}", before=old, after=new)


def _ranks(question: QuestionResult | None) -> dict[str, int | None] | None:
    if question is None:
        return None
    return dict(zip(question.gold, question.ours.ranks, strict=True))
