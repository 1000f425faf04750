"""From questions to rows: means by category and overall, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnemos.bench.metrics import intervals, measure_ranks
from mnemos.bench.record import Found, QuestionResult, Row
from mnemos.bench.task import Task

OVERALL = "overall"
SESSION_RECALL = "session_recall@5"
CURRENT_FIRST = "current_first"
"""Share of questions where the current turn outranks every stale one."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where results are cut: at which ranks, and how deep the search went."""

    ks: tuple[int, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by category and overall: Mnemos, the floor, and the paired difference."""

    quality: Mapping[str, Row]
    floor: Mapping[str, Row]
    gain: Mapping[str, Row]


def measures_of(found: Found, contested: bool, cuts: Cuts) -> dict[str, float]:
    """Return every measure of what one system found for one question."""
    values = measure_ranks(found.ranks, cuts.ks, cuts.depth)
    values[SESSION_RECALL] = found.session_recall
    if contested:
        beyond = cuts.depth + 1
        best = min((rank for rank in found.ranks if rank is not None), default=beyond)
        values[CURRENT_FIRST] = float(best < (found.stale or beyond))
    return values


def summarise(task: Task, results: Sequence[QuestionResult], cuts: Cuts, *, seed: int) -> Rows:
    """Return the rows of a run; questions without gold are left out, empty categories too."""
    scored = [result for result in results if result.gold]
    groups = {name: [item for item in scored if item.category == name] for name in task.categories}
    groups[OVERALL] = [item for item in scored if item.category not in task.apart]
    quality: dict[str, Row] = {}
    floor: dict[str, Row] = {}
    gain: dict[str, Row] = {}
    for name, items in groups.items():
        if items:
            theirs = [measures_of(item.floor, item.contested, cuts) for item in items]
            found = [measures_of(item.ours, item.contested, cuts) for item in items]
            ours = [a | _kept(b) for a, b in zip(found, items, strict=True)]
            pairs = zip(found, theirs, strict=True)
            apart = [{key: a[key] - b[key] for key in a} for a, b in pairs]
            quality[name] = row_of(ours, seed=seed)
            floor[name] = row_of(theirs, seed=seed)
            gain[name] = row_of(apart, seed=seed)
    return Rows(quality, floor, gain)


def _kept(result: QuestionResult) -> dict[str, float]:
    return {f"kept@{budget}": share for budget, share in result.kept.items()}


def row_of(values: Sequence[Mapping[str, float]], *, seed: int) -> Row:
    """Return the means of the measures that all of the questions have.

    >>> row_of([{"mrr": 1.0, "odd": 1.0}, {"mrr": 1.0}], seed=0).values
    {'mrr': Interval(mean=1.0, low=1.0, high=1.0)}
    """
    names = [name for name in values[0] if all(name in item for item in values)]
    table = np.array([[item[name] for name in names] for item in values], float)
    return Row(n=len(values), values=dict(zip(names, intervals(table, seed=seed), strict=True)))
