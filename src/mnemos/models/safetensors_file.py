"""Reads tensors from a ``model.safetensors`` file.

The format: eight bytes giving the length of a JSON header, the header (name to dtype, shape and
byte range), then the bytes, little-endian. See https://github.com/huggingface/safetensors#format.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import InvalidInput

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
"""The floating dtypes that are read; other tensors (``position_ids``) are passed over."""

LONGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""


def read_tensors(data: bytes | memoryview) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the floating-point tensors of a file's content.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file. The arrays returned are views of it.

    Returns
    -------
    dict of str to ndarray
        Name to tensor, in its stored shape and dtype.

    Raises
    ------
    InvalidInput
        If the file is cut short or not in this format.

    Examples
    --------
    >>> header = b'{"bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    >>> body = np.array([1, 2], dtype="<f4").tobytes()
    >>> read_tensors(len(header).to_bytes(8, "little") + header + body)["bias"].tolist()
    [1.0, 2.0]
    """
    view = memoryview(data)
    length = int.from_bytes(view[:8], "little")
    if len(view) < 8 or not 2 <= length <= min(LONGEST_HEADER, len(view) - 8):
        raise InvalidInput("The weights are cut short or not a safetensors file; copy them again.")
    try:
        header = json.loads(bytes(view[8 : 8 + length]))
        return {
            name: _tensor(view[8 + length :], entry)
            for name, entry in header.items()
            if name != "__metadata__" and entry["dtype"] in DTYPES
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"The weights are damaged or not a safetensors file ({error}); copy them again."
        ) from error


def _tensor(body: memoryview, entry: Mapping[str, Any]) -> NDArray[np.floating[Any]]:
    begin, end = cast("list[int]", entry["data_offsets"])
    shape = tuple(cast("list[int]", entry["shape"]))
    if not 0 <= begin <= end <= len(body):
        raise InvalidInput(f"a tensor ends at byte {end}, the file at {len(body)}")
    return np.frombuffer(body[begin:end], dtype=DTYPES[entry["dtype"]]).reshape(shape)
