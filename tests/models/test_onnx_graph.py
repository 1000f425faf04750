"""The graph against a forward pass spelled out in numpy, and the bytes it is written in."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mnemos.errors import InvalidInput, ModelUnavailable
from mnemos.models import onnx_file
from mnemos.models.converted import Weights
from mnemos.models.onnx_graph import MINILM, build_graph
from mnemos.models.onnx_session import Session, open_session
from mnemos.models.safetensors_file import read_tensors

Forward = Callable[[Any, list[int]], Any]

IDS = [[2, 7, 9, 11, 30, 3], [2, 3], [2, 49, 48, 3]]


def states(session: Session, texts: list[list[int]]) -> Any:
    width = max(map(len, texts))
    ids = np.array([text + [0] * (width - len(text)) for text in texts], np.int32)
    mask = np.array([[1] * len(text) + [0] * (width - len(text)) for text in texts], np.int32)
    return session.run(["states"], {"ids": ids, "mask": mask})[0]


def cosine(one: Any, other: Any) -> Any:
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / norms


def test_small_graph_computes_the_forward_pass(tiny: Any, forward: Forward) -> None:
    session = open_session(build_graph(tiny.tensors, tiny.architecture), threads=1)
    found = states(session, IDS)
    assert found.shape == (3, 6, 24)
    for row, ids in enumerate(IDS):
        expected = forward(tiny, ids)
        # The only difference allowed is that of weights rounded to half precision.
        np.testing.assert_allclose(found[row, : len(ids)], expected, atol=5e-3)
        assert cosine(found[row, : len(ids)], expected).min() > 0.99999


def test_weights_that_fit_half_precision_lose_nothing(tiny: Any, forward: Forward) -> None:
    exact = {name: array.astype(np.float16) for name, array in tiny.tensors.items()}
    exact["embeddings.token_type_embeddings.weight"] *= 0  # It is added in before rounding.
    model = type(tiny)(architecture=tiny.architecture, tensors=exact)
    session = open_session(build_graph(exact, tiny.architecture), threads=1)
    for row, ids in zip(states(session, IDS), IDS, strict=True):
        np.testing.assert_allclose(row[: len(ids)], forward(model, ids), atol=5e-6)


def test_published_graph_computes_the_forward_pass(
    tiny: Any, forward: Forward, published: Any, published_weights: Weights
) -> None:
    tensors = read_tensors((published / "model.safetensors").read_bytes())
    model = type(tiny)(architecture=MINILM, tensors=tensors)
    session = open_session(published_weights.graph)
    for ids in ([101, 102], [101, *range(2000, 2040), 102], [101, *range(7592, 7600), 102]):
        found = states(session, [ids])[0]
        expected = forward(model, ids)
        assert cosine(found.mean(axis=0), expected.mean(axis=0)) > 0.99999


def test_equal_weights_give_equal_bytes(tiny: Any) -> None:
    shuffled = dict(reversed(tiny.tensors.items()))
    one = build_graph(tiny.tensors, tiny.architecture)
    assert one == build_graph(shuffled, tiny.architecture)


def test_published_weights_give_the_bytes_of_this_version(published_weights: Weights) -> None:
    # If this fails, the conversion changed: raise CONVERSION, then record the new hash here.
    assert published_weights.manifest.conversion == 1
    found = hashlib.sha256(published_weights.graph).hexdigest()
    assert found.startswith("95acfd1f4b5816c38a1b84dd270ea0f0")


def test_file_is_what_onnx_reads(tiny: Any) -> None:
    onnx: Any = pytest.importorskip("onnx", reason="the reference is not installed")
    model = onnx.load_from_string(build_graph(tiny.tensors, tiny.architecture))
    onnx.checker.check_model(model)
    assert [(item.domain, item.version) for item in model.opset_import] == [
        ("", 17),
        ("com.microsoft", 1),
    ]
    assert [node.op_type for node in model.graph.node].count("Attention") == 2
    kept = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    np.testing.assert_array_equal(
        kept["encoder.layer.1.output.dense.weight.half"],
        tiny.tensors["encoder.layer.1.output.dense.weight"].T.astype(np.float16),
    )
    heads = next(node for node in model.graph.node if node.op_type == "Attention")
    assert onnx.helper.get_attribute_value(heads.attribute[0]) == 3


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16384, 2**31, 2**63 - 1, -1, -(2**63)])
def test_numbers_are_written_as_protocol_buffers_does(value: int) -> None:
    onnx: Any = pytest.importorskip("onnx", reason="the reference is not installed")
    attribute = onnx.AttributeProto(i=value)
    assert onnx_file.number(3, value) == attribute.SerializeToString()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder.layer.0.attention.self.query.weight", (24, 23)),
        ("encoder.layer.1.output.dense.bias", (25,)),
        ("embeddings.LayerNorm.weight", (24, 1)),
        ("encoder.layer.1.output.dense.bias", None),
    ],
)
def test_weights_of_another_shape_are_refused(
    tiny: Any, name: str, shape: tuple[int, ...] | None
) -> None:
    tensors = dict(tiny.tensors)
    del tensors[name]
    if shape is not None:
        tensors[name] = np.zeros(shape, np.float32)
    with pytest.raises(InvalidInput, match=name):
        build_graph(tensors, tiny.architecture)


def test_a_file_onnx_runtime_cannot_load_is_a_typed_error() -> None:
    with pytest.raises(ModelUnavailable, match="cannot load"):
        open_session(b"not a model")


def test_threads_must_be_positive() -> None:
    with pytest.raises(InvalidInput, match="threads=0"):
        open_session(b"", threads=0)
