"""The adapter with a scorer of the same shape, and with a real one where it can be made."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnemos.errors import MissingExtra, ModelUnavailable
from mnemos.models.sentence_transformers_reranker import SentenceTransformersReranker


class Lengths:
    """Scores a pair by the lengths of its texts."""

    def predict(self, sentences: list[tuple[str, str]], **_: Any) -> Any:
        return np.array([10 * len(one) + len(other) for one, other in sentences], np.float64)


def test_scores_keep_the_order_of_the_texts() -> None:
    reranker = SentenceTransformersReranker(Lengths(), "lengths/0/f64")
    found = reranker.score("abc", ["a", "", "bb"])
    np.testing.assert_array_equal(found, [31, 30, 32])
    assert found.dtype == np.float32
    assert reranker.score("abc", []).shape == (0,)
    assert reranker.fingerprint == "lengths/0/f64"


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mnemos\[sentence-transformers\]'"):
        SentenceTransformersReranker.open("cross-encoder/ms-marco-MiniLM-L6-v2")


def needs_the_package() -> None:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers (torch, about 1 GB) is not installed")


def test_a_model_that_is_not_here_is_a_typed_error(tmp_path: Path) -> None:
    needs_the_package()
    with pytest.raises(ModelUnavailable, match="hf download"):
        SentenceTransformersReranker.open(str(tmp_path / "none"))


def test_a_real_one_scores_every_text(tmp_path: Path) -> None:
    """A cross-encoder of random weights, made here: its form is real, its judgement is not."""
    needs_the_package()
    transformers: Any = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "boat", "lamp", "red"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), "utf-8")
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=1,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    reranker = SentenceTransformersReranker.open(str(tmp_path), device="cpu")
    found = reranker.score("red boat", ["boat", "lamp", "boat"])
    assert found.shape == (3,)
    assert np.isfinite(found).all()
    assert found[0] == found[2]
    assert reranker.fingerprint.endswith("/float32")
