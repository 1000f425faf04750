"""The embedder, on random weights anywhere and on the published ones where installed."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput, ModelUnavailable
from mnemos.models import weights
from mnemos.models.converted import Weights
from mnemos.models.minilm import BATCH, BATCH_TOKENS, MiniLM, batches
from mnemos.models.onnx_graph import MINILM
from mnemos.models.safetensors_file import read_tensors

TEXTS = [
    "What is the capital of France?",
    "",
    "Paris is the capital of France.",
    "I prefer oat milk in my coffee. " * 30,
    "a",
    "北京的公园很美",
    "My sister moved to Lisbon in March; she works at a bakery near the river.",
    "😀👍",
]


@pytest.fixture(scope="module")
def embedder(converted: Path) -> MiniLM:
    return MiniLM.open(converted, converted, threads=1)


@pytest.fixture(scope="module")
def published_embedder(published_weights: Weights) -> MiniLM:
    return MiniLM(published_weights)


def test_shape_length_and_fingerprint(embedder: MiniLM) -> None:
    vectors = embedder.embed(["hello world!", "cat", ""])
    assert vectors.shape == (3, embedder.dim) == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert embedder.fingerprint.startswith("all-MiniLM-L6-v2/")
    assert embedder.fingerprint.endswith("/w16a32")


def test_no_texts_no_vectors(embedder: MiniLM) -> None:
    assert embedder.embed([]).shape == (0, 384)
    assert embedder.embed([]).dtype == np.float32


def test_queries_are_embedded_like_passages(embedder: MiniLM) -> None:
    one, other = embedder.embed(["cat"]), embedder.embed(["cat"], query=True)
    np.testing.assert_array_equal(one, other)


def test_only_the_first_256_tokens_count(embedder: MiniLM) -> None:
    long, longer = embedder.embed(["cat " * 254, "cat " * 254 + "dog " * 100])
    np.testing.assert_allclose(long, longer, atol=1e-6)
    assert not np.allclose(embedder.embed(["cat " * 253]), long, atol=1e-6)


WORDS = ["hello", "worlds", "cat", "dog", "!", "unknown"]


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join), max_size=40))
def test_neighbours_do_not_matter_and_order_is_kept(texts: list[str], embedder: MiniLM) -> None:
    together = embedder.embed(texts)
    for text, vector in zip(texts[:5], together, strict=False):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-6)


def test_neighbours_do_not_matter_to_the_published_model(published_embedder: MiniLM) -> None:
    alone = np.concatenate([published_embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(published_embedder.embed(TEXTS), alone, atol=1e-6)
    np.testing.assert_allclose(published_embedder.embed(TEXTS[::-1])[::-1], alone, atol=1e-6)


def test_like_the_forward_pass_of_the_published_weights(
    published_embedder: MiniLM,
    published: Path,
    tiny: Any,
    forward: Callable[[Any, list[int]], Any],
) -> None:
    tensors = read_tensors((published / "model.safetensors").read_bytes())
    model = type(tiny)(architecture=MINILM, tensors=tensors)
    texts = [text for text in TEXTS if len(text) < 100]
    for text, vector in zip(texts, published_embedder.embed(texts), strict=True):
        expected = forward(model, published_embedder.tokenizer.encode(text, 256)).mean(axis=0)
        assert vector @ (expected / np.linalg.norm(expected)) > 0.9999


def test_the_published_model_knows_what_answers_a_question(published_embedder: MiniLM) -> None:
    query, answer, other = published_embedder.embed([TEXTS[0], TEXTS[2], TEXTS[6]])
    assert query @ answer > 0.8
    assert query @ other < 0.3


def test_threads_share_an_embedder(embedder: MiniLM) -> None:
    texts = [f"hello {'cat ' * number}world" for number in range(20)]
    expected = embedder.embed(texts)
    found: list[Any] = []

    def work() -> None:
        found.append(embedder.embed(texts))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


@given(lengths=st.lists(st.integers(min_value=2, max_value=256), max_size=200))
def test_batches_hold_every_text_once_within_bounds(lengths: list[int]) -> None:
    groups = list(batches(lengths))
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= BATCH
        assert len(group) * max(lengths[place] for place in group) <= BATCH_TOKENS


def test_without_weights_the_message_tells_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "mnemos_no_such_package")
    with pytest.raises(ModelUnavailable, match="mnemos models add PATH"):
        MiniLM.open(tmp_path)


def test_threads_must_be_positive(converted: Path) -> None:
    with pytest.raises(InvalidInput, match="threads=0"):
        MiniLM.open(converted, converted, threads=0)


@pytest.mark.parametrize("name", ["mnemos.models", "mnemos.models.weights", "mnemos.models.hub"])
def test_importing_loads_no_engine(name: str) -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import {name}; "
        "print(sorted({'numpy', 'onnxruntime', 'httpx', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
