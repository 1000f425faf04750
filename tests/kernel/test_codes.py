"""Rounded vectors keep the order of likeness, and cells hold what is near."""

import numpy as np
import pytest

from mnemos.kernel import codes as module
from mnemos.kernel.codes import RECALL, Cells, Codes


def some_vectors(count, dim=64, topics=40, seed=3):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((topics, dim))
    rows = centres[random.integers(0, topics, count)] + random.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 2, 7, 64, 384])
def test_a_row_is_told_to_a_thirtieth_of_a_step(dim):
    vectors = some_vectors(700, dim)
    codes = Codes.of(vectors)
    step = codes.scale[:, None]
    assert np.all(np.abs(codes.rows(slice(None)) - vectors) <= step / 30)
    assert np.all(np.abs(codes.coarse * step - vectors) <= step * 0.501)
    assert codes.nbytes == 700 * (dim + (dim + 1) // 2 + 4)


def test_a_row_of_zeros_is_like_nothing():
    codes = Codes.of(np.zeros((2, 6), np.float32))
    assert not codes.rows(slice(None)).any()
    assert codes.dot(np.ones(6, np.float32)).tolist() == [0, 0]


def test_chosen_rows_have_the_products_they_have_among_all():
    codes = Codes.of(some_vectors(1_500))
    query = some_vectors(1, seed=9)[0]
    places = np.array([3, 700, 701, 1_499])
    assert np.allclose(codes.dot(query)[places], codes.dot(query, places), atol=1e-6)
    assert np.allclose(codes.rows(places) @ query, codes.dot(query, places), atol=0.02)


def test_cells_hold_the_nearest_rows():
    vectors = some_vectors(40_000)
    codes = Codes.of(vectors)
    cells = Cells.of(codes)
    assert 1 < cells.probes < len(cells.centroids)
    questions = vectors[:50] + vectors[50:100]
    found = [cells.near(query) for query in questions]
    best = np.argsort(-(questions @ vectors.T), axis=1)[:, :10]
    hits = [np.isin(true, ours).mean() for true, ours in zip(best, found, strict=True)]
    assert np.mean(hits) >= RECALL
    assert max(map(len, found)) < len(vectors)
    assert all(np.all(np.diff(ours) > 0) for ours in found)


def test_the_same_codes_give_the_same_cells():
    codes = Codes.of(some_vectors(5_000))
    one, other = Cells.of(codes), Cells.of(codes)
    assert np.array_equal(one.cell, other.cell)
    assert one.probes == other.probes


def test_newer_rows_join_the_nearest_cell_as_if_all_were_read_at_once(monkeypatch):
    codes = Codes.of(some_vectors(6_000))
    grown = Cells.of(codes.part(slice(5_000))).with_rows(codes.part(slice(5_500))).with_rows(codes)
    monkeypatch.setattr(module, "MOST_LOOSE", 100)
    read = Cells.of(codes)
    assert len(grown) == len(read) == 6_000
    assert np.array_equal(grown.cell, read.cell)
    assert len(grown.order) < len(read.order)
    for place in (3, 4_999, 5_555):
        query = codes.rows(np.array([place]))[0]
        assert place in read.near(query)
        assert np.array_equal(grown.near(query), read.near(query))
