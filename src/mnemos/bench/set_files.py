"""Files of published data sets: found under a path, read plain or compressed, parsed with words.

A task says once what its set is called, which files it has and where it is published
(:class:`FileSet`); a caller then names a file of it, its folder, or a folder that holds that.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mnemos.errors import InvalidInput

_NUMBER = re.compile(r"(\d+)")
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
        Where it is to be had and under which licence: the advice where it is missing.
    """

    name: str
    folder: str
    patterns: tuple[str, ...]
    published: str


def find_set(data: Path | None, wanted: FileSet) -> tuple[Path, ...]:
    """Return the files of a set that a path means, numbers in names in their order.

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
    names = ", ".join(wanted.patterns)
    looked = "no path was given" if data is None else f"{data} has none of {names} (or .gz)"
    message = (
        f"the {wanted.name} data is not here: {looked}. It is not shipped; {wanted.published}, "
        "and name a file or its folder with --data PATH or in MNEMOS_DATA"
    )
    raise InvalidInput(message)


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


def _natural(path: Path) -> list[str | int]:
    """Return a key that sorts ``dialogue_2`` before ``dialogue_10``."""
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(path.name)]


def read_text(path: Path) -> str:
    """Return the words of a file, unpacked where its name ends in ``.gz``.

    Raises
    ------
    InvalidInput
        If it cannot be read.
    """
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
    return _parsed(path.name, read_text(path))


def read_rows(path: Path) -> list[Any]:
    """Return the values of a file of JSON lines, or those of one that holds a single list.

    Raises
    ------
    InvalidInput
        If it cannot be read or a line is not JSON.
    """
    text = read_text(path)
    if Path(path.name.removesuffix(".gz")).suffix == ".json":
        value: object = _parsed(path.name, text)
        return cast("list[Any]", value) if isinstance(value, list) else [value]
    # Not splitlines: JSON strings may hold U+2028, which that takes for the end of a line.
    lines = enumerate(text.split("\n"), start=1)
    return [_parsed(f"{path.name}, line {number}", line) for number, line in lines if line.strip()]


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        message = f"{where} is not JSON ({error}); fetch it again"
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
