"""JSON Lines of which every line proves itself and all before it.

Each line ends in a short running sum over the lines so far, the last in the whole of it: so a
change, a swap or a cut is found, and at which line. It is no signature: who means to can write
other sums.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from mnemos.errors import InvalidInput, NotFound, StoreError
from mnemos.kernel.canonical import encode_json

MOST_LINE = 1 << 30
"""Bytes of one line: what has to fit into memory at once."""

END = "end"
"""Type of the last line."""

_SUM = re.compile(rb',"sum":"([0-9a-f]{16})"\}$')


class SealedLines:
    """Writes lines with their running sums.

    Parameters
    ----------
    file : binary file
        Where to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._running = hashlib.sha256()
        self.lines = 0

    def write(self, value: Mapping[str, Any]) -> None:
        """Write one line.

        Raises
        ------
        InvalidInput
            If it is longer than a reader would take.
        """
        stem = encode_json(value)[:-1]
        if len(stem) > MOST_LINE - 64:
            raise InvalidInput(
                f"a memory of {len(stem)} bytes is too large for a line of an archive; keep it in "
                "a backup instead"
            )
        self._running.update(stem)
        tail = self._running.hexdigest()[:16].encode()
        self._file.write(stem + b',"sum":"' + tail + b'"}\n')
        self.lines += 1

    def end(self) -> None:
        """Write the last line, without which the file counts as cut."""
        whole = self._running.hexdigest()
        self.write({"type": END, "lines": self.lines, "sha256": whole})


@contextmanager
def opened(path: Path) -> Generator[IO[bytes], None, None]:
    """Open a file for reading, unpacked if its name ends in ``.gz``.

    Raises
    ------
    NotFound, StoreError
        If it cannot be opened.
    """
    try:
        file = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}; give the path of one") from error
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror}") from error
    with file:
        yield cast("IO[bytes]", file)


@contextmanager
def packed(file: IO[bytes], path: Path) -> Generator[IO[bytes], None, None]:
    """Write through gzip where the name of the file ends in ``.gz``, else as it is."""
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as through:
        yield cast("IO[bytes]", through)


def read_sealed(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a file with their numbers, from 1, each proved before it is given.

    Raises
    ------
    InvalidInput
        If a line is damaged, out of place or missing; the message names it.
    """
    running, ended = hashlib.sha256(), 0
    number = 0
    with opened(path) as file:
        for number, line in _lines(file, path):
            if ended:
                raise InvalidInput(f"{path.name}, line {number}: there is more after the end")
            before = running.copy()
            value = _proved(line, running, f"{path.name}, line {number}")
            if value.get("type") == END:
                _check_end(value, before.hexdigest(), number, path)
                ended = number
            else:
                yield number, value
    if not ended:
        raise InvalidInput(
            f"{path.name}, line {number + 1}: the file was cut here; bring back a whole one"
        )


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Walk the lines to the end of the file, which packing checks too."""
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(MOST_LINE)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidInput(
                f"{path.name}, line {number}: the file cannot be unpacked ({error}); bring back a "
                "whole one"
            ) from error
        if not line:
            return
        yield number, line


def _proved(line: bytes, running: Any, where: str) -> dict[str, Any]:
    found = _SUM.search(line[:-1]) if line.endswith(b"\n") else None
    if found is None:
        raise InvalidInput(f"{where}: the line is cut or damaged; bring back a whole file")
    stem = line[: found.start()]
    running.update(stem)
    if running.hexdigest()[:16].encode() != found[1]:
        raise InvalidInput(
            f"{where}: the line was changed, or one before it is missing or out of order; bring "
            "back the file as it was written"
        )
    try:
        return json.loads(stem + b"}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: no JSON object ({error})") from error


def _check_end(value: Mapping[str, Any], whole: str, number: int, path: Path) -> None:
    if value.get("sha256") != whole or value.get("lines") != number - 1:
        raise InvalidInput(f"{path.name}, line {number}: the end does not fit what lies above it")
