"""Measures of retrieval over the ranks at which a question's gold turns were found.

A rank counts from 1; None is a gold turn that was not found. Every gold turn weighs the same.

With gold ranks ``r_1 … r_n``:

==============  =================================================================================
recall@k        share of the gold with ``r <= k`` (the "mean" of the LoCoMo tables)
any@k, all@k    1 where at least one, or every one, has ``r <= k``
nDCG@k          ``sum over r_i <= k of 1 / log2(1 + r_i)``, divided by its largest possible value
                ``sum over i = 1 … min(n, k) of 1 / log2(1 + i)``: binary gains and the textbook
                discount of Järvelin and Kekäläinen (2002). LongMemEval's own script differs: it
                discounts rank 2 as rank 1
MRR             1 over the best rank, 0 where nothing was found
==============  =================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import InvalidInput

Ranks = Sequence[int | None]

RESAMPLES = 1_000
LEVEL = 0.95
"""Confidence of an interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions and the interval that holds it with 95 % confidence."""

    mean: float
    low: float
    high: float


def _found(ranks: Ranks, k: int) -> list[int]:
    if not ranks:
        message = "ranks is empty; a question without gold cannot be scored, leave it out"
        raise InvalidInput(message)
    return [rank for rank in ranks if rank is not None and rank <= k]


def recall(ranks: Ranks, k: int) -> float:
    """Return the share of the gold among the first ``k``.

    >>> recall([1, 7, None], 5)
    0.3333333333333333
    """
    return len(_found(ranks, k)) / len(ranks)


def any_found(ranks: Ranks, k: int) -> float:
    """Return 1 where some gold is among the first ``k``, else 0.

    >>> any_found([1, 7, None], 5)
    1.0
    """
    return float(bool(_found(ranks, k)))


def all_found(ranks: Ranks, k: int) -> float:
    """Return 1 where all gold is among the first ``k``, else 0.

    >>> all_found([1, 7], 5), all_found([1, 7], 10)
    (0.0, 1.0)
    """
    return float(len(_found(ranks, k)) == len(ranks))


def ndcg(ranks: Ranks, k: int) -> float:
    """Return the discounted gain of the first ``k`` over the largest possible.

    >>> ndcg([1, 2], 10), ndcg([3], 10)
    (1.0, 0.5)
    """
    gain = sum(1 / log2(1 + rank) for rank in _found(ranks, k))
    return gain / sum(1 / log2(1 + place) for place in range(1, min(len(ranks), k) + 1))


def reciprocal_rank(ranks: Ranks, k: int) -> float:
    """Return 1 over the best rank within the first ``k``, or 0.

    >>> reciprocal_rank([4, None, 2], 50)
    0.5
    """
    return 1 / min(_found(ranks, k), default=float("inf"))


AT_K: dict[str, Callable[[Ranks, int], float]] = {
    "recall": recall,
    "any": any_found,
    "all": all_found,
    "ndcg": ndcg,
}
"""Measures taken at every cut; their names are written ``recall@10``."""


def ceiling(golds: Sequence[int], k: int) -> float:
    """Return the largest mean recall that ``k`` ranks allow, by the number of gold turns.

    >>> ceiling([1, 20], 10)
    0.75
    """
    return sum(min(1.0, k / gold) for gold in golds) / len(golds)


def gap_closed(ours: float, floor: float, most: float) -> float | None:
    """Return the share of the way from a floor to a ceiling; None where there is no way to go.

    >>> gap_closed(0.75, 0.5, 1.0), gap_closed(1.0, 1.0, 1.0)
    (0.5, None)
    """
    return None if most <= floor else (ours - floor) / (most - floor)


def measure_ranks(ranks: Ranks, ks: Sequence[int], depth: int) -> dict[str, float]:
    """Return every measure of one question; MRR looks ``depth`` deep.

    >>> measure_ranks([2], [1], 50)
    {'recall@1': 0.0, 'any@1': 0.0, 'all@1': 0.0, 'ndcg@1': 0.0, 'mrr': 0.5}
    """
    found = {f"{name}@{k}": function(ranks, k) for name, function in AT_K.items() for k in ks}
    return found | {"mrr": reciprocal_rank(ranks, depth)}


def intervals(
    values: NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> list[Interval]:
    """Return the mean of each column with its percentile bootstrap interval.

    Parameters
    ----------
    values : (n, m) float64
        One row for each question, one column for each measure.
    seed : int
        Seed of the resampling.
    resamples : int
        How often ``n`` questions are drawn with replacement.
    level : float
        Confidence, between 0 and 1.

    Examples
    --------
    >>> intervals(np.array([[0.25], [0.25]]), seed=0)
    [Interval(mean=0.25, low=0.25, high=0.25)]
    """
    n = len(values)
    if n == 0 or values.ndim != 2:
        message = f"values has shape {values.shape}; give at least one row of measures"
        raise InvalidInput(message)
    random = np.random.default_rng(seed)
    # How often each question is drawn; the same thing as drawing their indices.
    drawn = random.multinomial(n, np.full(n, 1 / n), size=resamples)
    means = drawn @ values / n
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return [
        Interval(float(mean), float(least), float(most))
        for mean, least, most in zip(values.mean(axis=0), low, high, strict=True)
    ]


def interval(values: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return the mean of one measure with its interval.

    >>> interval([0.0, 1.0, 1.0, 1.0], seed=7)
    Interval(mean=0.75, low=0.25, high=1.0)
    """
    (found,) = intervals(np.array(values, float).reshape(-1, 1), seed=seed, resamples=resamples)
    return found


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Return the mean difference of two systems on the same questions, with its interval.

    >>> paired_difference([1.0, 1.0], [0.5, 0.5], seed=0)
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if len(ours) != len(theirs):
        message = f"{len(ours)} values against {len(theirs)}; give both for the same questions"
        raise InvalidInput(message)
    return interval(
        [mine - other for mine, other in zip(ours, theirs, strict=True)],
        seed=seed,
        resamples=resamples,
    )
