"""Every codec keeps what it promises of its vectors, in the bytes it says."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from mnemos.errors import InvalidInput
from mnemos.testing import HashEmbedder


@pytest.fixture(scope="module")
def codecs(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("vector_codecs")


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Return 3,000 unit vectors, most of whose variance lies in few of their 384 directions."""
    random = np.random.default_rng(3)
    rows = random.standard_normal((3_000, 384)) * np.geomspace(1, 0.02, 384)
    rows = rows @ np.linalg.qr(random.standard_normal((384, 384)))[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def measured(codecs, vectors) -> dict:
    questions = vectors[:20] + 0.3 * vectors[20:40]
    return {found.name: found for found in codecs.measure(vectors, questions)}


def test_bytes_are_those_of_the_codes(measured) -> None:
    assert {name: found.bytes for name, found in measured.items() if "best" not in name} == {
        "float32": 1_536,
        "float16": 768,
        "int8": 388,
        "binary": 48,
        "binary, centred": 48,
        "PCA 128, float8": 128,
    }


def test_recall_falls_with_the_bytes_and_rescoring_brings_it_back(measured) -> None:
    recall = {name: found.recall for name, found in measured.items()}
    assert recall["float32"] == 100
    assert recall["float16"] >= 99
    assert recall["float16"] >= recall["int8"] >= 95
    assert recall["int8"] > recall["PCA 128, float8"] > recall["binary"]
    assert recall["int8, best 64 rescored"] == 100
    assert recall["PCA 128, float8, best 200 rescored"] >= 99
    assert recall["binary, best 200 rescored"] > recall["binary"] + 20
    assert all(found.cpu_ms > 0 for found in measured.values())


@pytest.mark.parametrize(("name", "most"), [("Float32", 1e-6), ("Float16", 5e-4), ("Int8", 5e-3)])
def test_scores_are_the_inner_products(codecs, vectors, name, most) -> None:
    codec = getattr(codecs, name)()
    found = codec.scores(codecs.encoded(codec, vectors), vectors[0])
    assert np.abs(found - vectors @ vectors[0]).max() < most


def test_binary_scores_count_the_signs_that_differ(codecs, vectors) -> None:
    lopsided = vectors[:, :70] + 0.1  # not a whole number of words of 64 bits
    for centred in (False, True):
        codec = codecs.Binary(lopsided, centred=centred)
        mean = lopsided.mean(axis=0) if centred else 0
        differ = ((lopsided > mean) != (lopsided[7] > mean)).sum(axis=1)
        np.testing.assert_array_equal(
            codec.scores(codecs.encoded(codec, lopsided), lopsided[7]), -differ
        )


def test_e4m3_holds_the_values_of_its_definition(codecs) -> None:
    table = codecs.e4m3()
    assert len(table) == 256
    assert len(np.unique(table)) == 253  # two zeros are one, and NaNs repeat ±448
    np.testing.assert_array_equal(table[128:], -table[:128])
    assert table[1] == 2.0**-9  # the smallest subnormal
    assert table[8] == 2.0**-6  # the smallest normal
    assert table.max() == 448


def test_float8_rounds_to_the_nearest_value(codecs, vectors) -> None:
    codec = codecs.ReducedFloat8(vectors, dim=16)
    (codes,) = codec.encode(vectors[:50])
    assert codes.dtype == np.uint8
    exact = (vectors[:50] - codec._mean) @ codec._basis * codec._scale
    nearest = np.abs(exact[..., None] - codec._table).min(axis=-1)
    np.testing.assert_allclose(np.abs(exact - codec._table[codes]), nearest, atol=1e-4)


def test_too_few_vectors_are_refused(codecs, vectors) -> None:
    with pytest.raises(InvalidInput, match="9 vectors, 1 questions; give 10 and 1"):
        codecs.measure(vectors[:9], vectors[:1])


def test_the_table_is_printed(codecs, monkeypatch, capsys) -> None:
    real = codecs.real_vectors
    monkeypatch.setattr(codecs, "real_vectors", lambda data: real(data, embedder=HashEmbedder()))
    codecs.main(["--rows", "500", "--questions", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| codec | bytes scanned | recall@10 of 378 real | of 500 |")
    assert len(lines) == 2 + 11
    assert lines[2].endswith("| 1.00 |")
