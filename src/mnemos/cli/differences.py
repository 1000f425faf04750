"""Word by word, what changed between two texts, and what else changed about a memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

import click

from mnemos.cli import output
from mnemos.types import Header, Link, MemCube

SAME, OLD, NEW = "=", "-", "+"

MOST = 4_000
"""Words of a text compared one by one; longer ones are shown as a whole."""

KEPT = 12
"""Words of what stayed the same that are shown beside a change."""

_WIDE = "\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORDS = re.compile(rf"\s+|[{_WIDE}]|[^\W{_WIDE}]+|[^\w\s]")
"""Blanks, letters of scripts written without blanks, words, marks."""

_UNSHOWN = frozenset({"mentions"})
"""Fields worked out from the text itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text that stayed (``=``), went (``-``) or came (``+``)."""

    mark: str
    text: str


def word_parts(old: str, new: str) -> list[Part]:
    """Return what stayed, went and came between two texts, word by word.

    >>> [(part.mark, part.text) for part in word_parts("lives in Porto", "lives in Lisbon")]
    [('=', 'lives in '), ('-', 'Porto'), ('+', 'Lisbon')]
    """
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(a), len(b)) > MOST:
        return [Part(OLD, old), Part(NEW, new)] if old != new else [Part(SAME, old)]
    parts: list[Part] = []
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(Part(SAME, "".join(a[i:j])))
            continue
        parts += [Part(OLD, "".join(a[i:j]))] if j > i else []
        parts += [Part(NEW, "".join(b[k:m]))] if m > k else []
    return _joined(parts)


def _joined(parts: list[Part]) -> list[Part]:
    """Join changes that only blanks keep apart: two words replaced read better as one change."""
    found: list[Part] = []
    old = new = ""
    for index, part in enumerate(parts):
        inside = 0 < index < len(parts) - 1 and part.text.isspace()
        if part.mark == SAME and not (inside and (old or new)):
            found += [Part(OLD, old)] if old else []
            found += [Part(NEW, new)] if new else []
            found.append(part)
            old = new = ""
            continue
        old += part.text if part.mark != NEW else ""
        new += part.text if part.mark != OLD else ""
    found += [Part(OLD, old)] if old else []
    return [*found, Part(NEW, new)] if new else found


def change_lines(parts: list[Part], width: int) -> list[str]:
    """Return a change as wrapped lines: in colour on a terminal, else ``[-gone-]{+come+}``."""
    lines: list[str] = []
    line, used = "", 0
    for word in _laid_out(parts):
        size = sum(output.cells(text) for _, text in word)
        if line and used + 1 + size > width:
            lines.append(line)
            line, used = "", 0
        shown = "".join(_painted(mark, text) for mark, text in word)
        line, used = (f"{line} {shown}", used + 1 + size) if line else (shown, size)
    return [*lines, line] if line else lines


def _laid_out(parts: list[Part]) -> Iterator[list[tuple[str, str]]]:
    """Yield words, each made of the pieces that stand together without a blank."""
    word: list[tuple[str, str]] = []
    for index, part in enumerate(parts):
        text = _marked(_shortened(part, index == 0, index == len(parts) - 1))
        pieces = re.split(r"\s+", output.clean(text))
        for number, piece in enumerate(pieces):
            if number and word:
                yield word
                word = []
            if piece:
                word = [*word, (part.mark, piece)]
    if word:
        yield word


def _shortened(part: Part, first: bool, last: bool) -> Part:
    """Return a long stretch that stayed with its middle left out."""
    words = part.text.split(" ")
    if part.mark != SAME or len(words) <= 3 * KEPT:
        return part
    head = [] if first else words[:KEPT]
    tail = [] if last else words[-KEPT:]
    return Part(SAME, " ".join([*head, "…", *tail]))


def _marked(part: Part) -> str:
    """Return a text between marks where there are no colours; blanks at its ends stay outside."""
    inner = part.text.strip()
    if part.mark == SAME or not inner or output.colourful():
        return part.text
    start, _, end = part.text.partition(inner)
    return f"{start}[-{inner}-]{end}" if part.mark == OLD else f"{start}{{+{inner}+}}{end}"


def _painted(mark: str, text: str) -> str:
    if not output.colourful():
        return text
    if mark == OLD:
        return click.style(text, fg="red", strikethrough=True)
    return click.style(text, fg="green", bold=True) if mark == NEW else text


def field_changes(before: MemCube, after: MemCube) -> dict[str, tuple[Any, Any]]:
    """Return what changed besides the words: the state, and fields of the header."""
    found: dict[str, tuple[Any, Any]] = {}
    if before.state != after.state:
        found["state"] = (str(before.state), str(after.state))
    for item in fields(Header):
        old, new = getattr(before.header, item.name), getattr(after.header, item.name)
        if old != new and item.name not in _UNSHOWN:
            found[item.name] = (_plain(old), _plain(new))
    return found


def _plain(value: Any) -> Any:
    """Return a header's value as a JSON value."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Link):
        return f"{value.type} {value.target}"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None or isinstance(value, (str, int, float, bool)) else dict(value)
