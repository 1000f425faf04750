"""Vectors enlarged from real ones: the same from a seed, in blocks, and lying as the seeds do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from mnemos.errors import InvalidInput
from mnemos.testing import HashEmbedder


@pytest.fixture(scope="module")
def generator(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("generator")


@pytest.fixture(scope="module")
def seeds() -> np.ndarray:
    """Return unit vectors around a common direction, most of whose variance lies in few others."""
    random = np.random.default_rng(3)
    rows = random.standard_normal((400, 48)) * np.geomspace(1, 0.05, 48) + np.eye(48)[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_part_is_the_same_whatever_is_asked_for_beside_it(generator, seeds) -> None:
    vectors = generator.PerturbedVectors(seeds)
    rows = vectors.rows(9_000)
    assert rows.shape == (9_000, 48)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    again = generator.PerturbedVectors(seeds)
    np.testing.assert_array_equal(again.rows(5_000), rows[:5_000])
    np.testing.assert_array_equal(np.concatenate(list(again.blocks(9_000))), rows)
    assert not np.array_equal(generator.PerturbedVectors(seeds, seed=24).rows(10), rows[:10])


def test_blocks_take_the_memory_of_one(generator, seeds) -> None:
    vectors = generator.PerturbedVectors(seeds)
    tracemalloc.start()
    try:
        total = sum(len(block) for block in vectors.blocks(60_000))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 60_000
    assert most < 60_000 * 48 * 4 / 2


def shape(rows: np.ndarray) -> tuple[float, float]:
    """Return the median cosine, and the share of the variance in eight directions."""
    spread = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    return float(np.median(rows @ rows.T)), float(spread[:8].sum() / spread.sum())


def test_they_lie_as_the_seeds_do(generator, seeds) -> None:
    found = shape(generator.PerturbedVectors(seeds).rows(400))
    uniform = np.random.default_rng(5).standard_normal((400, 48))
    uniform /= np.linalg.norm(uniform, axis=1, keepdims=True)
    assert found == pytest.approx(shape(seeds), abs=0.1)
    assert shape(uniform) != pytest.approx(shape(seeds), abs=0.3)


def test_noise_is_as_long_as_it_is_told(generator, seeds) -> None:
    one = seeds[[0, 0]]
    assert generator.PerturbedVectors(one, noise=1.0).rows(3) @ one[0] == pytest.approx(1, abs=1e-5)
    near, far = (
        float((generator.PerturbedVectors(seeds, noise=noise).rows(500) @ seeds.T).max(1).mean())
        for noise in (0.1, 1.0)
    )
    assert near > far + 0.1


def test_seeds_of_another_shape_are_refused(generator, seeds) -> None:
    with pytest.raises(InvalidInput, match=r"shape \(1, 48\)"):
        generator.PerturbedVectors(seeds[:1])
    with pytest.raises(InvalidInput, match="noise is -1"):
        generator.PerturbedVectors(seeds, noise=-1)


def test_real_vectors_are_of_the_shipped_conversation(generator) -> None:
    few = generator.real_vectors(None, most=20, embedder=HashEmbedder())
    assert few.source == "harbour"
    assert few.turns.shape[0] == few.questions.shape[0] == 20
    everything = generator.real_vectors(None, embedder=HashEmbedder())
    assert (everything.turns.shape[0], everything.questions.shape[0]) == (378, 160)
