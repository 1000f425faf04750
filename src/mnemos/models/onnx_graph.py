"""Builds the ONNX graph of a BERT encoder from its weights, without torch and without ``onnx``.

The graph is written the way ONNX Runtime's own optimiser would leave it: with the fused operators
of the ``com.microsoft`` domain. So a session need not optimise it again each time it is opened.
One layer is seven nodes::

    Attention, MatMul, SkipLayerNormalization,
    MatMul, BiasGelu, MatMul, SkipLayerNormalization

``BiasGelu`` is the exact GELU by the error function, as in the original model. Weights are stored
in half precision, which halves the file, and cast to single precision for computing: the cosine
to the unrounded model is above 0.99999.

There is no int8 variant by default: dynamic quantisation scales activations by the largest value
*of the batch*, so that a text's vector would depend on the texts it happened to be batched with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import InvalidInput
from mnemos.models.onnx_file import (
    FLOAT32,
    INT32,
    model,
    node,
    tensor,
    value_info,
)

OPSETS = {"": 17, "com.microsoft": 1}
IR_VERSION = 8
"""Of the time of opset 17: read by every ONNX Runtime since 1.12."""

FUSED = "com.microsoft"
FUSED_OPERATORS = frozenset({"Attention", "BiasGelu", "SkipLayerNormalization"})

Tensors = Mapping[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """Sizes of a BERT encoder.

    Parameters
    ----------
    layers : int
        Number of encoder layers.
    hidden : int
        Length of a token's vector.
    heads : int
        Attention heads; divides ``hidden``.
    epsilon : float
        Added to the variance in layer normalisation.
    """

    layers: int
    hidden: int
    heads: int
    epsilon: float = 1e-12


MINILM = Architecture(layers=6, hidden=384, heads=12)
"""all-MiniLM-L6-v2 (`Wang et al. 2020 <https://arxiv.org/abs/2002.10957>`_)."""


def build_graph(tensors: Tensors, architecture: Architecture = MINILM) -> bytes:
    """Return an ONNX file that computes a BERT encoder's last hidden states.

    Its inputs are ``ids`` and ``mask``, both int32 ``(batch, token)``, the mask 1 at tokens and 0
    at padding; its output is ``states``, float32 ``(batch, token, hidden)``. What it puts out at
    padding has no meaning.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        The weights under the names of a Hugging Face ``BertModel``, such as
        ``encoder.layer.0.attention.self.query.weight``.
    architecture : Architecture, optional
        Sizes of the encoder.

    Returns
    -------
    bytes
        The file; equal weights give equal bytes.

    Raises
    ------
    InvalidInput
        If a weight is missing, or has another shape than the architecture asks for.
    """
    writer = _Writer(tensors, architecture)
    state = writer.embeddings()
    for layer in range(architecture.layers):
        state = writer.layer(f"encoder.layer.{layer}", state, last=layer + 1 == architecture.layers)
    tokens = ("batch", "token")
    return model(
        "bert",
        nodes=writer.nodes,
        tensors=writer.tensors,
        inputs=[value_info("ids", INT32, tokens), value_info("mask", INT32, tokens)],
        outputs=[value_info(state, FLOAT32, (*tokens, architecture.hidden))],
        opsets=OPSETS,
        ir_version=IR_VERSION,
    )


class _Writer:
    """Collects nodes and tensors while the graph is spelled out from input to output."""

    def __init__(self, tensors: Tensors, architecture: Architecture) -> None:
        self.weights = tensors
        self.size = architecture
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def embeddings(self) -> str:
        """Add up the vectors of word, position and first segment; return the normalised sum."""
        words = self.take("embeddings.word_embeddings.weight", None, self.size.hidden)
        places = self.take("embeddings.position_embeddings.weight", None, self.size.hidden)
        segments = self.take("embeddings.token_type_embeddings.weight", None, self.size.hidden)
        # There is one segment only, so its vector may as well be part of every position's.
        # The tables stay in half precision in memory: only the rows in use are cast.
        self.keep("words", words.astype(np.float16))
        self.keep("places", (places + segments[0]).astype(np.float16))
        self.keep("zero", np.zeros(1, np.int64))
        self.node("Shape", ["ids"], "length", start=1, end=2)
        self.node("Slice", ["places", "zero", "length", "zero"], "place_rows")
        self.node("Gather", ["words", "ids"], "word_rows")
        self.node("Cast", ["place_rows"], "place_vectors", to=FLOAT32)
        self.node("Cast", ["word_rows"], "word_vectors", to=FLOAT32)
        self.node("Add", ["word_vectors", "place_vectors"], "sum")
        scale, shift = self.norm("embeddings.LayerNorm")
        attributes = {"epsilon": self.size.epsilon, "axis": -1}
        return self.node("LayerNormalization", ["sum", scale, shift], "embedded", **attributes)

    def layer(self, name: str, state: str, *, last: bool) -> str:
        """Add self-attention and feed-forward, each with its residual and normalisation."""
        attention, hidden = f"{name}.attention", self.size.hidden
        weight, bias = self.projections(f"{attention}.self")
        heads = self.node(
            "Attention",
            [state, weight, bias, "mask"],
            f"{name}.heads",
            num_heads=self.size.heads,
        )
        mixed, bias = self.dense(f"{attention}.output.dense", heads, hidden)
        attended = self.residual(f"{attention}.output.LayerNorm", mixed, state, bias)
        wide, bias = self.dense(f"{name}.intermediate.dense", attended, None)
        active = self.node("BiasGelu", [wide, bias], f"{name}.active")
        narrow, bias = self.dense(f"{name}.output.dense", active, hidden)
        output = "states" if last else f"{name}.state"
        return self.residual(f"{name}.output.LayerNorm", narrow, attended, bias, output)

    def projections(self, name: str) -> tuple[str, str]:
        """Keep the query, key and value projections side by side, as ``Attention`` wants them."""
        hidden = self.size.hidden
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weights = [self.take(f"{part}.weight", hidden, hidden).T for part in parts]
        biases = [self.take(f"{part}.bias", hidden) for part in parts]
        weight = self.half(f"{name}.weight", np.concatenate(weights, axis=1))
        return weight, self.single(f"{name}.bias", np.concatenate(biases))

    def dense(self, name: str, state: str, width: int | None) -> tuple[str, str]:
        """Multiply by a weight; return the product and the bias, left to the next fused node."""
        weight = self.take(f"{name}.weight", width, None)
        bias = self.take(f"{name}.bias", weight.shape[0])
        product = self.node("MatMul", [state, self.half(f"{name}.weight", weight.T)], name)
        return product, self.single(f"{name}.bias", bias)

    def residual(self, name: str, state: str, skip: str, bias: str, output: str = "") -> str:
        """Add bias and the layer's input, then normalise."""
        inputs = [state, skip, *self.norm(name), bias]
        return self.node(
            "SkipLayerNormalization", inputs, output or name, epsilon=self.size.epsilon
        )

    def norm(self, name: str) -> tuple[str, str]:
        """Keep the scale and shift of a layer normalisation."""
        scale = self.take(f"{name}.weight", self.size.hidden)
        shift = self.take(f"{name}.bias", self.size.hidden)
        return self.single(f"{name}.weight", scale), self.single(f"{name}.bias", shift)

    def take(self, name: str, *shape: int | None) -> NDArray[np.floating[Any]]:
        """Return a weight after checking its shape; None stands for any size."""
        array = self.weights.get(name)
        if array is None:
            raise InvalidInput(f"The weights lack {name!r}; a BERT encoder is needed.")
        sizes = zip(array.shape, shape, strict=False)
        if array.ndim != len(shape) or any(want not in (None, size) for size, want in sizes):
            raise InvalidInput(f"{name!r} has shape {array.shape}, expected {shape}.")
        return array

    def half(self, name: str, array: NDArray[np.floating[Any]]) -> str:
        """Keep a weight in half precision; return its name once cast."""
        self.keep(f"{name}.half", array.astype(np.float16))
        return self.node("Cast", [f"{name}.half"], name, to=FLOAT32)

    def single(self, name: str, array: NDArray[np.floating[Any]]) -> str:
        """Keep a small weight as it is."""
        self.keep(name, array.astype(np.float32))
        return name

    def keep(self, name: str, array: NDArray[np.generic]) -> None:
        """Store a tensor in the file."""
        self.tensors.append(tensor(name, array))

    def node(self, operator: str, inputs: list[str], output: str, **attributes: float) -> str:
        """Append an operation; return the name of its output."""
        domain = FUSED if operator in FUSED_OPERATORS else ""
        self.nodes.append(node(operator, inputs, output, domain=domain, attributes=attributes))
        return output
