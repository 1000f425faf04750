"""Measures against values worked out by hand, and the laws they obey."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.bench import metrics
from mnemos.bench.metrics import interval, intervals, measure_ranks, paired_difference
from mnemos.errors import InvalidInput

GOLD = st.lists(st.one_of(st.none(), st.integers(1, 200)), min_size=1, max_size=8)
# Two turns cannot stand at the same rank.
RANKS = GOLD.filter(lambda ranks: len(found := [r for r in ranks if r]) == len(set(found)))
CUT = st.integers(1, 100)
SHARES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40)


def test_hand_computed_question() -> None:
    values = measure_ranks([2, 6, None], [5, 10], depth=50)
    ideal = 1 + 1 / log2(3) + 1 / 2
    assert values == {
        "recall@5": pytest.approx(1 / 3),
        "recall@10": pytest.approx(2 / 3),
        "any@5": 1.0,
        "any@10": 1.0,
        "all@5": 0.0,
        "all@10": 0.0,
        "ndcg@5": pytest.approx((1 / log2(3)) / ideal),
        "ndcg@10": pytest.approx((1 / log2(3) + 1 / log2(7)) / ideal),
        "mrr": 0.5,
    }


def test_discount_is_the_textbook_one_and_not_that_of_longmemeval() -> None:
    # There ranks 1 and 2 weigh the same.
    assert metrics.ndcg([2], 10) == pytest.approx(1 / log2(3))


def test_ideal_gain_is_cut_as_the_list_is() -> None:
    # Six gold turns fill the first five places: nothing better is possible.
    assert metrics.ndcg([1, 2, 3, 4, 5, 6], 5) == pytest.approx(1.0)


def test_nothing_found() -> None:
    assert set(measure_ranks([None, None], [5], depth=50).values()) == {0.0}


def test_reciprocal_rank_looks_no_deeper_than_told() -> None:
    assert metrics.reciprocal_rank([51], 50) == 0.0
    assert metrics.reciprocal_rank([51], 51) == pytest.approx(1 / 51)


@pytest.mark.parametrize("measure", list(metrics.AT_K.values()))
def test_a_question_without_gold_is_refused(measure: metrics.Callable[..., float]) -> None:
    with pytest.raises(InvalidInput, match="without gold"):
        measure([], 5)


@given(RANKS, CUT)
def test_measures_are_shares_and_in_order(ranks: list[int | None], k: int) -> None:
    values = {name: function(ranks, k) for name, function in metrics.AT_K.items()}
    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values.values())
    assert values["all"] <= values["recall"] <= values["any"]
    assert (values["ndcg"] == 0.0) == (values["any"] == 0.0)


@given(RANKS, CUT, CUT)
def test_a_deeper_cut_never_loses(ranks: list[int | None], k: int, more: int) -> None:
    for measure in (metrics.recall, metrics.any_found, metrics.all_found, metrics.reciprocal_rank):
        assert measure(ranks, k) <= measure(ranks, k + more)


@given(RANKS, CUT, st.randoms(use_true_random=False))
def test_the_order_of_gold_says_nothing(ranks: list[int | None], k: int, random: object) -> None:
    shuffled = list(ranks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for measure in metrics.AT_K.values():
        assert measure(shuffled, k) == pytest.approx(measure(ranks, k))


@given(st.integers(1, 8), CUT)
def test_a_perfect_list_has_full_gain(gold: int, k: int) -> None:
    assert metrics.ndcg(list(range(1, gold + 1)), k) == pytest.approx(1.0)


@given(st.integers(2, 100))
def test_a_better_rank_gains(rank: int) -> None:
    assert metrics.ndcg([rank - 1], 100) > metrics.ndcg([rank], 100)


@given(SHARES, st.integers(0, 99))
def test_an_interval_holds_its_mean_and_repeats(values: list[float], seed: int) -> None:
    found = interval(values, seed=seed)
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert min(values) - 1e-9 <= found.low
    assert found.high <= max(values) + 1e-9
    assert found == interval(values, seed=seed)


def test_an_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    values = [1.0] * 300 + [0.0] * 100
    found = interval(values, seed=1, resamples=4_000)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert found.mean == 0.75
    assert found.low == pytest.approx(0.75 - half, abs=0.006)
    assert found.high == pytest.approx(0.75 + half, abs=0.006)


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).random((60, 1))
    first, second = intervals(np.hstack([values, values]), seed=3)
    assert first == second


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_paired_difference_turns_its_sign(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    one, other = paired_difference(ours, theirs, seed=5), paired_difference(theirs, ours, seed=5)
    assert one.mean == pytest.approx(-other.mean)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))


def test_pairing_is_narrower_than_the_spread_of_the_questions() -> None:
    easy_and_hard = [0.0, 1.0] * 50
    better = [value + 0.1 for value in easy_and_hard]
    found = paired_difference(better, easy_and_hard, seed=0)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_unlike_lengths_and_empty_tables_are_refused() -> None:
    with pytest.raises(InvalidInput, match="1 values against 2"):
        paired_difference([1.0], [1.0, 0.0], seed=0)
    with pytest.raises(InvalidInput, match="at least one row"):
        intervals(np.zeros((0, 3)), seed=0)
