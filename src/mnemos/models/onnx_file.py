"""Writes ONNX files: the few messages of the format that a forward pass needs, as bytes.

A field of a protocol-buffer message is its number and wire type in one varint, then a varint
(type 0) or a length and that many bytes (type 2). The field numbers are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Equal arguments give equal bytes.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FLOAT32 = 1
INT32 = 6
INT64 = 7
FLOAT16 = 10

_ELEMENT_TYPES = {"float32": FLOAT32, "int32": INT32, "int64": INT64, "float16": FLOAT16}
_ATTRIBUTE_FLOAT = 1
_ATTRIBUTE_INT = 2


def varint(value: int) -> bytes:
    """Return a number in groups of seven bits, lowest first, negative ones as 64-bit patterns.

    Parameters
    ----------
    value : int
        From -2**63 to 2**64 - 1.

    Returns
    -------
    bytes
        One to ten bytes.

    Examples
    --------
    >>> varint(300).hex()
    'ac02'
    >>> len(varint(-1))
    10
    """
    value &= 0xFFFF_FFFF_FFFF_FFFF
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def number(field: int, value: int) -> bytes:
    """Return an integer field of a message."""
    return varint(field << 3) + varint(value)


def block(field: int, value: bytes | str) -> bytes:
    """Return a string, bytes or sub-message field of a message."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name: str, array: NDArray[np.generic]) -> bytes:
    """Return a TensorProto that holds ``array`` under ``name``.

    Parameters
    ----------
    name : str
        By which nodes refer to it.
    array : ndarray
        float32, float16, int32 or int64, of any shape.

    Returns
    -------
    bytes
        The message.
    """
    dims = b"".join(number(1, size) for size in array.shape)
    element = number(2, _ELEMENT_TYPES[array.dtype.name])
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return dims + element + block(8, name) + block(9, little.tobytes())


def value_info(name: str, element: int, shape: Iterable[int | str]) -> bytes:
    """Return a ValueInfoProto: the name, element type and shape of an input or output.

    Parameters
    ----------
    name : str
        By which nodes refer to it.
    element : int
        One of the element types above.
    shape : iterable of int or str
        Sizes; a string names one that is known only when the model runs.

    Returns
    -------
    bytes
        The message.
    """
    dims = b"".join(
        block(1, block(2, size) if isinstance(size, str) else number(1, size)) for size in shape
    )
    return block(1, name) + block(2, block(1, number(1, element) + block(2, dims)))


def node(
    operator: str,
    inputs: Sequence[str],
    output: str,
    *,
    domain: str = "",
    attributes: Mapping[str, int | float] | None = None,
) -> bytes:
    """Return a NodeProto: one operation of the graph.

    Parameters
    ----------
    operator : str
        Such as ``MatMul``.
    inputs : sequence of str
        Values it takes; an empty name leaves out an optional one.
    output : str
        The value it makes, and the node's own name.
    domain : str, optional
        Whose operator it is; the empty one is ONNX itself.
    attributes : mapping of str to int or float, optional
        Its constants.

    Returns
    -------
    bytes
        The message.
    """
    fields = [block(1, name) for name in inputs]
    fields += [block(2, output), block(3, output), block(4, operator)]
    fields += [block(5, _attribute(*item)) for item in (attributes or {}).items()]
    return b"".join(fields) + (block(7, domain) if domain else b"")


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return block(1, name) + number(3, value) + number(20, _ATTRIBUTE_INT)
    single = varint(2 << 3 | 5) + struct.pack("<f", value)
    return block(1, name) + single + number(20, _ATTRIBUTE_FLOAT)


def model(
    graph: str,
    *,
    nodes: Iterable[bytes],
    tensors: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    opsets: Mapping[str, int],
    ir_version: int,
) -> bytes:
    """Return a ModelProto: a whole ONNX file.

    Parameters
    ----------
    graph : str
        Name of the graph.
    nodes, tensors, inputs, outputs : iterable of bytes
        Messages made by the functions above; nodes in an order in which they can run.
    opsets : mapping of str to int
        Version of each operator domain used.
    ir_version : int
        Version of the file format.

    Returns
    -------
    bytes
        The file.
    """
    body = [block(1, item) for item in nodes] + [block(2, graph)]
    body += [block(5, item) for item in tensors]
    body += [block(11, item) for item in inputs] + [block(12, item) for item in outputs]
    fields = [number(1, ir_version), block(2, "mnemos"), block(7, b"".join(body))]
    fields += [block(8, block(1, name) + number(2, version)) for name, version in opsets.items()]
    return b"".join(fields)
