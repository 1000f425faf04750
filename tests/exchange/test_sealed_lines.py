"""Lines that prove themselves: whatever is done to the file, the reader says at which line."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import InvalidInput, NotFound
from mnemos.exchange import sealed_lines
from mnemos.exchange.sealed_lines import SealedLines, packed, read_sealed


def written(values, path):
    file = io.BytesIO()
    with packed(file, path) as through:
        lines = SealedLines(through)
        for value in values:
            lines.write(value)
        lines.end()
    return file.getvalue()


VALUES = [{"a": 1}, {"type": "x", "text": 'a ","sum":"0123456789abcdef"} b'}, {"ä": ["ö", None]}]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_what_was_written_is_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(written(VALUES, path))
    assert [value for _, value in read_sealed(path)] == VALUES
    assert [number for number, _ in read_sealed(path)] == [1, 2, 3]
    assert written(VALUES, path) == written(VALUES, path)


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
def test_no_changed_bit_passes(tmp_path_factory, at, bit):
    path = tmp_path_factory.getbasetemp() / "flipped.jsonl"
    data = bytearray(written(VALUES, path))
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    line = data[: at % len(data)].count(b"\n") + 1
    with pytest.raises(InvalidInput, match=f"line {line}:"):
        list(read_sealed(path))


@given(end=st.integers(0, 400))
def test_no_cut_passes(tmp_path_factory, end):
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    data = written(VALUES, path)
    path.write_bytes(data[: end % len(data)])
    with pytest.raises(InvalidInput, match="line"):
        list(read_sealed(path))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"nothing\.jsonl"):
        list(read_sealed(tmp_path / "nothing.jsonl"))


def test_a_line_too_long_to_be_read_is_not_written(monkeypatch):
    monkeypatch.setattr(sealed_lines, "MOST_LINE", 100)
    lines = SealedLines(io.BytesIO())
    lines.write({"a": "short"})
    with pytest.raises(InvalidInput, match="too large"):
        lines.write({"a": "x" * 100})
