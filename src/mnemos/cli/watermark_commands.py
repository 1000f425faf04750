"""Marks on exported text: ``watermark key``, ``watermark mark``, ``watermark read``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import output
from mnemos.cli.options import Family, example, json_option
from mnemos.errors import Conflict, InvalidInput, NotFound, StoreError

if TYPE_CHECKING:
    from mnemos.exchange.watermark import Reading

NOTHING = 1
STANDARD_INPUT = "-"

KEY_FILE = click.option(
    "--key-file",
    "key_file",
    metavar="FILE",
    required=True,
    help="The secret key, 16 bytes or more.",
)


@click.group(cls=Family)
def watermark() -> None:
    """Say where a pasted text came from: key, mark, read."""


@watermark.command(epilog=example("mnemos watermark key exports.key"))
@click.argument("file")
@json_option
def key(file: str, json: bool) -> None:
    """Write a fresh key to FILE.

    Keep it to yourself: who has it can make marks, without it none can be read. A key is never overwritten.
    """
    from mnemos.app.config import SystemEntropy
    from mnemos.exchange.watermark import make_key
    from mnemos.kernel.proof.checkpoints import write_new

    made = make_key(SystemEntropy())
    write_new(Path(file), made, mode=0o600)
    if json:
        output.emit({"path": file, "bytes": len(made)})
    else:
        output.say(f"wrote a key of {len(made)} bytes to {file}; keep it to yourself")


@watermark.command(
    epilog=example(
        "mnemos watermark mark ana.md --key-file exports.key --number 17 --out sent.md",
    )
)
@click.argument("file")
@KEY_FILE
@click.option("--number", type=int, required=True, help="Which export, or for whom; 32 bits.")
@click.option("--out", metavar="PATH", help="Write it there instead of printing it.")
@json_option
def mark(file: str, key_file: str, number: int, out: str | None, json: bool) -> int | None:
    """Mark the text of FILE (`-` is standard input).

    The mark cannot be seen and lies between the words: whoever holds the key can read from an excerpt of about ten words which export it is from.
    """
    from mnemos.exchange.watermark import copies
    from mnemos.exchange.watermark import mark as marked_with

    text = _text(file)
    marked = marked_with(text, key=_key(key_file), number=number)
    whole = copies(text)
    if out is not None:
        _write(Path(out), marked)
    if json:
        document: dict[str, Any] = {"number": number, "copies": whole, "path": out}
        output.emit(document | ({} if out is not None else {"text": marked}))
    elif out is None:
        click.echo(marked.encode(), nl=False)  # as bytes, so that line ends stay as they are
    else:
        output.say(f"wrote {output.plural(whole, 'copy', 'copies')} of mark {number} to {out}")
    if whole:
        return None
    output.note("the text is too short to hold a whole mark; about ten words in a row are needed")
    return NOTHING


@watermark.command(
    epilog=example(
        "mnemos watermark read pasted.txt --key-file exports.key",
        "mnemos watermark read - --key-file exports.key --json",
    )
)
@click.argument("file")
@KEY_FILE
@json_option
def read(file: str, key_file: str, json: bool) -> int | None:
    """Say which export the text of FILE (`-` is standard input) came from.

    Exit code 1: it bears no mark of this key.
    """
    from mnemos.exchange.watermark import read_marks

    reading = read_marks(_text(file), key=_key(key_file))
    if json:
        output.emit(_document(reading))
    for line in () if json else _said(reading):
        output.say(line)
    return None if reading.marks else NOTHING


def _said(reading: Reading) -> tuple[str, ...]:
    from mnemos.exchange.watermark import Verdict

    unproved = {
        Verdict.FOREIGN: "a mark, but not one made with this key (or damaged throughout)",
        Verdict.FRAGMENT: "a piece of a mark, too short or too damaged to say whose",
        Verdict.NONE: "no mark",
    }
    if not reading.marks:
        return (unproved[reading.verdict],)
    return tuple(
        f"from export {mark.number}, certain: {output.plural(mark.copies, 'whole copy', 'whole copies')}"
        f" in characters {mark.start} to {mark.end}"
        for mark in reading.marks
    )


def _document(reading: Reading) -> dict[str, Any]:
    return {
        "verdict": reading.verdict.value,
        "number": reading.number,
        "marks": [
            {"number": mark.number, "copies": mark.copies, "start": mark.start, "end": mark.end}
            for mark in reading.marks
        ],
        "cells": reading.cells,
        "chance": reading.chance,
    }


def _text(file: str) -> str:
    data = sys.stdin.buffer.read() if file == STANDARD_INPUT else _bytes(Path(file))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8 and repeat"
        ) from error


def _key(file: str) -> bytes:
    return _bytes(Path(file))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}; give the path of one") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("xb") as file:
            file.write(text.encode())
    except FileExistsError as error:
        raise Conflict(f"there is a file {path} already; give another name") from error
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


COMMANDS: tuple[click.Command, ...] = (watermark,)
