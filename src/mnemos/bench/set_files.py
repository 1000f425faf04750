"""Files of published data sets, which are not shipped: found under a path, read, and parsed.

A task says once what its set is called, which files it has and where it is published
(:class:`FileSet`); a caller then names a file of it, its folder, or a folder that holds that.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mnemos.errors import InvalidInput

_NUMBER = re.compile(r"(\d+)")
_BEGINNING = re.compile(r"[^ \t\r\n]")
"""Of a JSON value, after what JSON takes for space."""

_SHOWN = 60
"""Characters of a parser's complaint that enter a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSet:
    """A published data set, as far as it is needed to find its files.

    Parameters
    ----------
    name : str
        What it is called, for messages.
    folder : str
        Its own folder, where a caller names the one above.
    patterns : tuple of str
        What its files are called, as globs; each may also end in ``.gz``.
    published : str
        What to get from where, and its licence: the advice where it is missing.
    """

    name: str
    folder: str
    patterns: tuple[str, ...]
    published: str


def find_set(data: Path | None, wanted: FileSet) -> tuple[Path, ...]:
    """Return the files of a set that a path means, folder by folder, numbers in their order.

    The set's own folder comes first, since a folder of several sets may hold files of others.

    Raises
    ------
    InvalidInput
        If there are none; the message says where the set is published.
    """
    if data is not None and data.is_file():
        return (data,)
    globs = [pattern + ending for pattern in wanted.patterns for ending in ("", ".gz")]
    for folder in [] if data is None else [data / wanted.folder, data]:
        found = {file for glob in globs for file in folder.glob(glob) if file.is_file()}
        if found:
            return tuple(sorted(found, key=_natural))
    raise not_here(data, wanted)


def not_here(data: Path | None, wanted: FileSet) -> InvalidInput:
    """Return the error for a path under which a set has no file.

    Examples
    --------
    >>> acme = FileSet(
    ...     name="Acme", folder="acme", patterns=("*/a.json",), published="get it of acme.example (MIT)"
    ... )
    >>> print(not_here(None, acme))
    the Acme data is not here: no path was given. It is not shipped; get it of acme.example (MIT), \
and name a file or its folder with --data PATH or in MNEMOS_DATA
    >>> print(str(not_here(Path("there"), acme)).partition(". ")[0])
    the Acme data is not here: there has none of a.json (or .gz)
    """
    names = ", ".join(dict.fromkeys(Path(pattern).name for pattern in wanted.patterns))
    looked = "no path was given" if data is None else f"{data} has none of {names} (or .gz)"
    message = (
        f"the {wanted.name} data is not here: {looked}. It is not shipped; {wanted.published}, "
        "and name a file or its folder with --data PATH or in MNEMOS_DATA"
    )
    return InvalidInput(message)


def find_one(data: Path | None, wanted: FileSet) -> Path:
    """Return the file of a set that comes as one.

    Raises
    ------
    InvalidInput
        If there is none, or several in one folder.
    """
    first, *others = find_set(data, wanted)
    if others:
        names = ", ".join(file.name for file in (first, *others))
        message = f"{first.parent} holds several files ({names}); name one with --data"
        raise InvalidInput(message)
    return first


def _natural(path: Path) -> list[list[str | int]]:
    """Return a key that sorts ``dialogue_2`` before ``dialogue_10``."""
    return [
        [int(part) if part.isdecimal() else part for part in _NUMBER.split(name)]
        for name in path.parts
    ]


def _read_text(path: Path) -> str:
    """Return the words of a file, unpacked where its name ends in ``.gz``."""
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        message = f"{path.name} cannot be read ({error}); fetch it again"
        raise InvalidInput(message) from error


def read_json(path: Path) -> Any:
    """Return the value a JSON file holds.

    Raises
    ------
    InvalidInput
        If it cannot be read or is not JSON.
    """
    text = _read_text(path)
    with _json_of(path):
        return json.loads(text)


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """Return the objects of a file: those of its list, one after the other, or the only one.

    What the file holds decides, since sets publish JSON lines under names that end in ``.json``.

    Raises
    ------
    InvalidInput
        If it cannot be read, is not JSON, or holds anything else.
    """
    text, place = _read_text(path), 0
    values: list[object] = []
    with _json_of(path):
        while found := _BEGINNING.search(text, place):
            value, place = json.JSONDecoder().raw_decode(text, found.start())
            values.append(value)
    if len(values) == 1 and isinstance(values[0], list):
        values = cast("list[object]", values[0])
    if all(isinstance(value, Mapping) for value in values):
        return cast("list[Mapping[str, Any]]", values)
    message = f"{path.name} is not the published file: not all of its items are objects"
    raise InvalidInput(message)


@contextmanager
def _json_of(path: Path) -> Generator[None]:
    """Say of which file it is true that it is not JSON; the parser says of which line."""
    try:
        yield
    except ValueError as error:
        message = f"{path.name} is not JSON ({error}); fetch it again"
        raise InvalidInput(message) from error


@contextmanager
def published_shape(where: str) -> Generator[None]:
    """Say of which record it is true that a field is missing or is of another type.

    Parameters
    ----------
    where : str
        The record, for the message.

    Raises
    ------
    InvalidInput
        If what is done inside finds another shape.

    Examples
    --------
    >>> with published_shape("set.json, case 3"):
    ...     {}["turns"]
    Traceback (most recent call last):
        ...
    mnemos.errors.InvalidInput: set.json, case 3 is not in the published form (KeyError 'turns'); \
fetch the file again
    """
    try:
        yield
    except InvalidInput:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        problem = f"{type(error).__name__} {str(error)[:_SHOWN]}"
        message = f"{where} is not in the published form ({problem}); fetch the file again"
        raise InvalidInput(message) from error
