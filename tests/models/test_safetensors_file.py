"""Reading the safetensors format, sound and damaged."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.models.safetensors_file import read_tensors

Writer = Callable[[Mapping[str, Any]], bytes]

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([1.5, -2], dtype=np.float16),
    "double": np.array(3.25),
    "none": np.zeros((0, 4), np.float32),
    "numbers": np.arange(3),
}


def test_floating_tensors_come_back(safetensors: Writer) -> None:
    found = read_tensors(safetensors(ARRAYS))
    assert sorted(found) == ["double", "half", "matrix", "none"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype
        assert array.shape == ARRAYS[name].shape


def test_files_of_the_reference_are_read() -> None:
    reference: Any = pytest.importorskip("safetensors.numpy", reason="no reference installed")
    found = read_tensors(reference.save(ARRAYS))
    np.testing.assert_array_equal(found["matrix"], ARRAYS["matrix"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8 + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{",
        (4).to_bytes(8, "little") + b"null",
        (14).to_bytes(8, "little") + b'{"a": {"b": 1}',
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_tensors(data)


@pytest.mark.parametrize("offsets", [[0, 99], [-4, 4], [4, 0], [0, 4], "ab", [0]])
def test_wrong_byte_ranges_are_refused(offsets: object, safetensors: Writer) -> None:
    data = safetensors({"a": np.zeros(2, np.float32)})
    wrong = data[8:].replace(b"[0, 8]", str(offsets).replace("'", '"').encode().ljust(6))
    length = len(wrong) - 8
    with pytest.raises(InvalidInput):
        read_tensors(length.to_bytes(8, "little") + wrong)


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_file_cut_short_is_refused(cut: int, safetensors: Writer) -> None:
    data = safetensors({"a": np.ones(8, np.float32), "b": np.ones(8, np.float32)})
    with pytest.raises(InvalidInput):
        read_tensors(data[: cut % len(data)])
