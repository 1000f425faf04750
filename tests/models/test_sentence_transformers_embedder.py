"""The adapter with an encoder of the same shape, and with the real one where it is installed."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnemos.errors import InvalidInput, MissingExtra, ModelUnavailable
from mnemos.models.converted import Weights
from mnemos.models.minilm import MiniLM
from mnemos.models.sentence_transformers_embedder import SentenceTransformersEmbedder


class Lengths:
    """Encodes a text as its length and that of its prompt."""

    def __init__(self, prompts: Mapping[str, str]) -> None:
        self.prompts = prompts

    def encode(self, sentences: list[str], *, prompt_name: str | None, **_: Any) -> Any:
        prompt = self.prompts[prompt_name] if prompt_name else ""
        return np.array([[len(text), len(prompt)] for text in sentences], dtype=np.float64)


def test_vectors_have_unit_length_and_order() -> None:
    embedder = SentenceTransformersEmbedder(Lengths({}), "lengths/0/f64", 2)
    found = embedder.embed(["a", "bb"])
    np.testing.assert_array_equal(found, [[1, 0], [1, 0]])
    assert found.dtype == np.float32
    assert embedder.embed([]).shape == (0, embedder.dim) == (0, 2)
    assert embedder.fingerprint == "lengths/0/f64"


def test_prompts_are_used_where_the_model_has_them() -> None:
    both = SentenceTransformersEmbedder(Lengths({"query": "q: ", "document": "doc: "}), "both", 2)
    np.testing.assert_allclose(both.embed(["abcd"], query=True), [[0.8, 0.6]], atol=1e-6)
    assert both.embed(["abcd"])[0, 1] > 0.7
    query = SentenceTransformersEmbedder(Lengths({"query": "q: "}), "query", 2)
    assert query.embed(["abcd"])[0, 1] == 0


def test_a_model_of_unknown_length_is_refused() -> None:
    with pytest.raises(InvalidInput, match="how long"):
        SentenceTransformersEmbedder(Lengths({}), "unknown", None)


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mnemos\[sentence-transformers\]'"):
        SentenceTransformersEmbedder.open("all-MiniLM-L6-v2")


def needs_the_package() -> None:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers (torch, about 1 GB) is not installed")


def test_the_real_one_agrees_with_the_graph(published: Path, published_weights: Weights) -> None:
    needs_the_package()
    embedder = SentenceTransformersEmbedder.open(str(published), device="cpu")
    texts = ["What is the capital of France?", "", "oat milk " * 300, "北京"]
    one, other = embedder.embed(texts), MiniLM(published_weights).embed(texts)
    assert (one * other).sum(axis=1).min() > 0.9999
    assert embedder.fingerprint.startswith("model/")
    assert embedder.fingerprint.endswith("/float32")


def test_a_model_that_is_not_here_is_a_typed_error(tmp_path: Path) -> None:
    needs_the_package()
    with pytest.raises(ModelUnavailable, match="hf download"):
        SentenceTransformersEmbedder.open(str(tmp_path / "none"))
