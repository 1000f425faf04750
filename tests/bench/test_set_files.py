"""Finding the files of published sets, reading them plain and compressed, saying what is wrong."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.set_files import (
    FileSet,
    find_one,
    find_set,
    published_shape,
    read_json,
    read_rows,
)
from mnemos.errors import InvalidInput

WANTED = FileSet(
    name="Tides",
    folder="tides",
    patterns=("tide_*.json", "tides.jsonl"),
    published="get tides.jsonl of example.org/tides (MIT)",
)


def kept(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_a_file_its_folder_and_the_folder_above_are_the_same(tmp_path: Path) -> None:
    names = ["tide_1.json", "tide_2.json.gz", "tide_10.json"]
    files = tuple(kept(tmp_path / "tides" / name, "{}") for name in names)
    kept(tmp_path / "tides" / "other.json", "{}")
    assert find_set(tmp_path, WANTED) == files
    assert find_set(tmp_path / "tides", WANTED) == files
    assert find_set(files[1], WANTED) == (files[1],)


def test_the_sets_own_folder_comes_before_files_beside_it(tmp_path: Path) -> None:
    own = kept(tmp_path / "tides" / "tide_1.json", "{}")
    kept(tmp_path / "tide_2.json", "{}")
    assert find_set(tmp_path, WANTED) == (own,)


@pytest.mark.parametrize("there", [True, False])
def test_missing_data_says_where_it_is_published(tmp_path: Path, there: bool) -> None:
    with pytest.raises(InvalidInput, match=r"Tides data is not here.*example\.org/tides \(MIT\)"):
        find_set(tmp_path if there else None, WANTED)


def test_files_of_one_name_are_in_order_of_their_folders(tmp_path: Path) -> None:
    users = replace(WANTED, patterns=("*/asked.json", "*/*/asked.json"))
    names = ["ada_2/asked.json", "ada_10/asked.json.gz", "ben/kept/asked.json"]
    files = tuple(kept(tmp_path / name, "{}") for name in names)
    assert find_set(tmp_path, users) == files
    with pytest.raises(InvalidInput, match=r"has none of asked\.json \(or \.gz\)"):
        find_set(tmp_path / "nowhere", users)


def test_a_set_of_one_file_has_no_two(tmp_path: Path) -> None:
    one = kept(tmp_path / "tide_1.json", "{}")
    assert find_one(tmp_path, WANTED) == one
    kept(tmp_path / "tide_2.json", "{}")
    with pytest.raises(InvalidInput, match=r"several files \(tide_1\.json, tide_2\.json\)"):
        find_one(tmp_path, WANTED)


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", '{"a": "\u2028"}\r\n\n{}\n', [{"a": "\u2028"}, {}]),
        ("a.json", '{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("a.json", ' [{"a": 1},\n{}]\n', [{"a": 1}, {}]),
        ("a.json.gz", '{"a":\n1}', [{"a": 1}]),
        ("a.jsonl.gz", "", []),
    ],
)
def test_rows(tmp_path: Path, name: str, text: str, rows: list[Any]) -> None:
    assert read_rows(kept(tmp_path / name, text)) == rows


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", b"{", "a.json is not JSON"),
        ("a.json.gz", b"not packed", "cannot be read"),
        ("a.json", b"\xff", "cannot be read"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        read_json(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}\n{", r"a\.jsonl is not JSON \(.*: line 2 column 2 "),
        ("[{},", r"a\.jsonl is not JSON \("),
        ("{}\n7", "not all of its items are objects"),
        ("[{}]\n[{}]", "not all of its items are objects"),
    ],
)
def test_broken_rows(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        read_rows(kept(tmp_path / "a.jsonl", text))


def test_our_own_complaints_pass_unchanged() -> None:
    with pytest.raises(InvalidInput, match=r"^as said$"), published_shape("set.json"):
        raise InvalidInput("as said")
