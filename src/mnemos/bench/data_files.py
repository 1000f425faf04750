"""Finding and reading the published files of a data set that is not shipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from mnemos.errors import InvalidInput


def find_files(data: Path | None, folder: str, names: Iterable[str]) -> list[Path]:
    """Return the files of a set, in order of name.

    Parameters
    ----------
    data : Path or None
        A file of the set, its folder, or the folder that holds its folder.
    folder : str
        What the set's own folder is called.
    names : iterable of str
        Patterns, as :meth:`pathlib.Path.glob` takes them; each is also looked for with ``.gz``.

    Returns
    -------
    list of Path
        Those of the first place that has any; empty where none has.
    """
    if data is None:
        return []
    if data.is_file():
        return [data]
    patterns = [name + packed for name in names for packed in ("", ".gz")]
    for place in (data, data / folder):
        found = {file for pattern in patterns for file in place.glob(pattern) if file.is_file()}
        if found:
            return sorted(found)
    return []


def not_here(title: str, data: Path | None, names: Iterable[str], advice: str) -> InvalidInput:
    """Return the error for a set of which no file was found.

    Parameters
    ----------
    title : str
        What the set is called.
    data : Path or None
        Where it was looked for.
    names : iterable of str
        What was looked for.
    advice : str
        The licence, and what to fetch from where.

    Examples
    --------
    >>> print(not_here("Acme", None, ["acme.json"], "CC0; get acme.json of acme.example"))
    the Acme data is not here: no path was given. It is not shipped (CC0; get acme.json of \
acme.example); name the file or its folder with --data PATH or in MNEMOS_DATA
    """
    looked = "no path was given" if data is None else f"{data} has none of {', '.join(names)}"
    message = (
        f"the {title} data is not here: {looked}. It is not shipped ({advice}); name the file or"
        " its folder with --data PATH or in MNEMOS_DATA"
    )
    return InvalidInput(message)


def read_text(path: Path) -> str:
    """Return the text of a file, uncompressed where its name ends in ``.gz``.

    Raises
    ------
    InvalidInput
        If it cannot be read, is damaged, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        message = f"{path.name} cannot be read ({error}); fetch it again"
        raise InvalidInput(message) from error


def parse(path: Path, text: str) -> Any:
    """Return the value of JSON text that a file holds.

    Raises
    ------
    InvalidInput
        If it is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        message = f"{path.name} is not JSON ({error}); fetch it again"
        raise InvalidInput(message) from error


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """Return the objects of a file that holds a list of them, or one on each line.

    Raises
    ------
    InvalidInput
        If it cannot be read or holds anything else.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        value: object = parse(path, text)
    else:
        value = [parse(path, line) for line in text.split("\n") if line.strip()]
    rows = cast("list[object]", value)
    if all(isinstance(row, Mapping) for row in rows):
        return cast("list[Mapping[str, Any]]", rows)
    message = f"{path.name} is not the published file: not all of its items are objects"
    raise InvalidInput(message)
