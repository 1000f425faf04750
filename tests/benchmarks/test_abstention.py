"""The figures of abstention: areas worked out by hand, and strangers from a small conversation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import abstention  # pyright: ignore[reportMissingImports] - lies in benchmarks/

        yield abstention
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("abstention", None)


def test_the_area_is_the_share_of_pairs_in_order(script: ModuleType) -> None:
    answered, unanswered = np.array([0.9, 0.5, 0.2]), np.array([0.5, 0.1])
    assert script.auc(answered, unanswered) == pytest.approx((2 + 1.5 + 1) / 6)
    assert script.auc(unanswered, answered) == pytest.approx(1 - 4.5 / 6)


def test_the_curve_goes_from_corner_to_corner_and_holds_the_area(script: ModuleType) -> None:
    random = np.random.default_rng(1)
    scores = script.Scores(
        (random.integers(2, 9, 40) / 10).tolist(), (random.integers(0, 7, 30) / 10).tolist()
    )
    true, false = script.roc(scores)
    assert (true[0], false[0], true[-1], false[-1]) == (0, 0, 1, 1)
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
    assert area == pytest.approx(script.auc(*scores.arrays))
    low, high = script.interval(scores)
    assert low < area < high
