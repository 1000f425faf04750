"""What is printed and how: tables, wrapped text, bars, dates, JSON, progress."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

import click

MOST_COLUMNS = 110
"""Longer lines are hard to read, however wide the terminal is."""

PLAIN_COLUMNS = 100
"""Width where there is no terminal to ask."""

TALLIED = 500
"""Things done between two looks at a count."""

_BLOCKS = " ▏▎▍▌▋▊▉█"
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 10}


def say(text: str = "") -> None:
    """Print a line for people on standard output."""
    click.echo(text if colourful() else click.unstyle(text))


def note(text: str) -> None:
    """Print one line on standard error, as the program's own remark."""
    click.echo(f"mnemos: {one_line(text)}", err=True)


def emit(document: Any) -> None:
    """Print one JSON document on standard output."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    click.echo(json.dumps(document, ensure_ascii=encoding != "utf8", indent=2, default=str))


def colourful() -> bool:
    """Tell whether colours are welcome: on a terminal, unless ``NO_COLOR`` is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


def columns() -> int:
    """Return how wide printed lines may be."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return PLAIN_COLUMNS
    return max(40, min(MOST_COLUMNS, shutil.get_terminal_size((PLAIN_COLUMNS, 24)).columns))


def one_line(text: str) -> str:
    """Return text with every run of white space, line ends included, as one blank."""
    return " ".join(text.split())


def clean(text: str) -> str:
    r"""Return text with control characters spelled out, so that none reaches the terminal.

    >>> clean("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return text.replace("\t", " ").replace("\r\n", "\n").translate(_CONTROLS)


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes.

    >>> cells("Lissabon"), cells("리스본"), cells("e\u0301")
    (8, 6, 1)
    """
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _pieces(word: str, width: int) -> Generator[str, None, None]:
    """Cut a word longer than a line, as scripts without blanks have them."""
    piece, used = "", 0
    for letter in word:
        size = _cells(letter)
        if used + size > width and piece:
            yield piece
            piece, used = "", 0
        piece, used = piece + letter, used + size
    yield piece


def wrap(text: str, width: int, most: int | None = None) -> list[str]:
    """Return text as lines no wider than ``width``; those beyond ``most`` are cut with ``…``.

    >>> wrap("one two three four", 9)
    ['one two', 'three', 'four']
    >>> wrap("one two three four", 9, most=2)
    ['one two', 'three …']
    """
    lines: list[str] = []
    line, used = "", 0
    for word in clean(text).split():
        for piece in _pieces(word, width) if cells(word) > width else (word,):
            size = cells(piece)
            if line and used + 1 + size > width:
                lines.append(line)
                line, used = "", 0
            line, used = (f"{line} {piece}", used + 1 + size) if line else (piece, size)
    lines.append(line)
    if most is None or len(lines) <= most:
        return lines
    last = lines[most - 1]
    while last and cells(last) + 2 > width:
        last = last[:-1].rstrip()
    return [*lines[: most - 1], f"{last} …"]


def pad(text: str, width: int) -> str:
    """Return text filled with blanks to a number of columns."""
    return text + " " * (width - cells(text))


def table(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> str:
    """Return a table; a cell may hold several lines. Texts of any width belong last."""
    from tabulate import tabulate

    laid = tabulate(list(rows), headers=headers, tablefmt="simple", disable_numparse=True)
    return "\n".join(line.rstrip() for line in laid.split("\n"))


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values as two columns."""
    known = [(name, str(value)) for name, value in rows if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(
        f"{name:<{width}}  {line}" if not index else f"{'':<{width}}  {line}"
        for name, value in known
        for index, line in enumerate(value.split("\n"))
    )


def when(moment: datetime | None, zone: tzinfo) -> str:
    """Return a moment as people write it.

    >>> from datetime import UTC
    >>> when(datetime(2025, 3, 4, 18, 5, tzinfo=UTC), UTC)
    '4 Mar 2025 18:05'
    """
    if moment is None:
        return ""
    local = moment.astimezone(zone)
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[local.month - 1]
    return f"{local.day} {month} {local.year} {local:%H:%M}"


def span(seconds: float) -> str:
    """Return seconds in the largest unit that leaves no fraction.

    >>> span(5_184_000), span(1_209_600), span(90)
    ('60d', '2w', '90s')
    """
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def size(count: int) -> str:
    """Return a number of bytes as people write it.

    >>> size(1_343_488)
    '1.3 MB'
    """
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError(count)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "memory", "memories"), plural(1234, "turn")
    ('1 memory', '1,234 turns')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def bar(part: float, width: int) -> str:
    """Return a bar filled to a part of its width, to an eighth of a column.

    >>> bar(0.5, 4)
    '██  '
    """
    eighths = round(max(0.0, min(1.0, part)) * width * 8)
    full, rest = divmod(eighths, 8)
    return pad("█" * full + (_BLOCKS[rest] if rest else ""), width)


@contextmanager
def progress(label: str, total: int) -> Generator[Callable[[int], None], None, None]:
    """Show a bar on standard error while something runs; nothing where that is no terminal.

    Yields
    ------
    callable
        To be called with how many more are done.
    """
    if not sys.stderr.isatty() or total <= 0:
        yield lambda _: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as shown:
        shown.update(0)
        yield shown.update


@contextmanager
def tally(label: str, noun: str) -> Generator[Callable[[int], None], None, None]:
    """Count on standard error what is done of a work whose end is not known beforehand.

    Yields
    ------
    callable
        To be called with how many more are done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    done = shown = 0

    def step(more: int) -> None:
        nonlocal done, shown
        done += more
        if done - shown >= TALLIED or not shown:
            shown = done
            click.echo(f"\r{label}: {plural(done, noun)}", nl=False, err=True)

    try:
        yield step
    finally:
        click.echo("\r" + " " * (len(label) + len(noun) + 20) + "\r", nl=False, err=True)
