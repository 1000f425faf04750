r"""An invisible mark on text that leaves the vault, and the reader that says where it came from.

The mark is a number of 32 bits, chosen by the caller for the export or for whom it is made, and a
tag over it, HMAC-SHA256 with a secret key [1]_. Who holds the key can say of a pasted excerpt: from
export 17; or marked, but not with this key; or no mark. To everybody else the mark is noise, but
for one thing: two texts with the same mark can be seen to have the same.

**How it lies in the text.** 88 bits, cut into 8 cells of 11. A cell says its own place among the 8
and is written with 7 of four invisible code points, U+2061 to U+2064, between a blank and the word
after it. The cells go round and round through the text, so that any 8 marked borders in a row hold
a whole copy, wherever an excerpt begins, and cells lost here are taken from the next round. The
words themselves are as they were, and each is found as before (several in a row only by a search
that passes over such characters). The four code points are no white space, no
letters and no marks; NFC and NFKC keep them, case does not touch them, lines may still be broken
beside them, Arabic letters do not change shape next to them.

**What is left alone**, since an invisible character would do harm there: fenced and indented code,
inline code, TeX between dollars, HTML tags, everything in square brackets with its link target,
addresses, and the first word of a line.

**Limits.** The mark does not survive retyping, OCR, translation, a paraphrase, or a program that
takes out invisible characters, as who knows of the mark can do at will; what is left reads as no
mark. An excerpt of fewer than 8 marked borders in all is too short. Text written without blanks
(Chinese, Japanese, Thai) has no borders, so no mark. The mark says which export its carriers came
from, not that the words are unchanged: carriers can be copied onto other words. A word grows by 21
bytes of UTF-8 (7 characters), which a language model counts as tokens.

References
----------
.. [1] H. Krawczyk, M. Bellare, R. Canetti, "HMAC: Keyed-Hashing for Message Authentication",
   RFC 2104, 1997.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mnemos.errors import InvalidInput
from mnemos.kernel.ports import Entropy

CARRIERS = "\u2061\u2062\u2063\u2064"
"""The four code points, worth 0 to 3: the invisible operators of Unicode."""

LEAST_KEY = 16
"""Bytes a key has at least."""

FRESH_KEY = 32
"""Bytes of a key made here."""

NUMBER_BITS = 32
TAG_BYTES = 7
CELLS = 8
"""Cells of a whole copy, so the marked borders an excerpt needs."""

DATA_BITS = 11
CELL_SYMBOLS = 7
"""Carriers of a cell: 3 bits of place and 11 of data, 2 bits each."""

REACH = 4 * CELLS
"""Cells within which one copy may lie scattered, where words were taken out."""

MOST_TRIES = 1 << 20
"""Different would-be copies tried in one text; each passes by chance once in 2^56."""

_PURPOSE = b"mnemos watermark 1 "
_TAKEN_OUT = dict.fromkeys(map(ord, CARRIERS))
_RUN = re.compile(f"[{CARRIERS}]+")
_QUOTE = re.compile(r"(?:(?:[ \t]*>)+[ ]?)?")
_FENCE = re.compile(r" {0,3}(?:(`{3,})[^`]*$|(~{3,}))")
_LEAD = re.compile(r"(?:[ \t>]|[-+*#]+(?=[ \t])|\d{1,9}[.)](?=[ \t]))*")
_PLACES = re.compile(
    r"""
      (?<!\S)(?=\S*(?:://|@)|www\.)[^\s\[]\S*        # an address
    | `[^`\n]*`                                       # code
    | \[[^\[\]\n]*\] (?: \([^()\n]*\)                 # a link, anything in brackets
                       | :[ ]+\S+(?:[ ]+["'(].*)? )?  # where a reference leads
    | <[A-Za-z/!][^<>\n]*>                            # a tag
    | \$[^\s$][^$\n]*\$                               # TeX
    | (?P<border>(?<=[ ])(?=[^\W_]|["'“”‘«(¿¡]))
    """,
    re.VERBOSE,
)


class Verdict(StrEnum):
    """What a reading comes to."""

    CERTAIN = "certain"
    """At least one whole copy, made with the key."""
    FOREIGN = "foreign"
    """Whole copies, but none that the key made: another key's, forged, or damaged throughout."""
    FRAGMENT = "fragment"
    """Carriers, but not a whole copy: the excerpt is too short, or was damaged."""
    NONE = "none"
    """No carriers at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A mark that was read and proved.

    Parameters
    ----------
    number : int
        The number the text was marked with.
    copies : int
        How many whole copies of it were found, at least 1.
    start, end : int
        From the first to behind the last of its carriers, in characters of the text read.
    """

    number: int
    copies: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the carriers of a text say.

    Parameters
    ----------
    verdict : Verdict
        What it comes to.
    marks : tuple of Mark
        Every number that was proved, in the order of the text; several where excerpts of several
        exports were put together.
    cells : int
        Sound cells found, of which a copy needs 8.
    chance : float
        Upper bound of the probability that a mark was read which the key did not make.
    """

    verdict: Verdict
    marks: tuple[Mark, ...] = ()
    cells: int = 0
    chance: float = 0.0

    @property
    def number(self) -> int | None:
        """The only number, where there is exactly one; else None."""
        return self.marks[0].number if len(self.marks) == 1 else None


class _Cell(NamedTuple):
    number: int
    data: int
    start: int
    end: int


# ---------------------------------------------------------------------------------------- marking


def make_key(entropy: Entropy) -> bytes:
    """Return a fresh key of 32 bytes.

    Examples
    --------
    >>> from mnemos.testing.ids import SeededEntropy
    >>> len(make_key(SeededEntropy(7)))
    32
    """
    return entropy.bytes(FRESH_KEY)


def mark(text: str, *, key: bytes, number: int) -> str:
    """Return a text with a mark at every border of words that can carry one.

    Carriers that lie in the text already are taken out first: a second mark replaces the first,
    and an invisible operator that belonged to a formula is lost. A text with fewer than 8 borders
    gets what fits, which no reader can prove; :func:`copies` tells beforehand.

    Parameters
    ----------
    text : str
        Any text; Markdown stays what it is.
    key : bytes
        The secret, at least 16 bytes.
    number : int
        From 0 to 2^32 - 1: which export this is, or for whom.

    Raises
    ------
    InvalidInput
        If the key is too short or the number out of range.

    Examples
    --------
    >>> said = "The ferry to the island leaves at ten past nine every morning."
    >>> sent = mark(said, key=b"a secret of sixteen bytes", number=17)
    >>> sent == said, unmark(sent) == said
    (False, True)
    >>> read_marks(sent, key=b"a secret of sixteen bytes").number
    17
    """
    cells = _written(_check_key(key), _check_number(number))
    plain = unmark(text)
    pieces: list[str] = []
    done = 0
    for turn, place in enumerate(_borders(plain)):
        pieces += (plain[done:place], cells[turn % CELLS])
        done = place
    return "".join((*pieces, plain[done:]))


def unmark(text: str) -> str:
    """Return a text without carriers: ``unmark(mark(text)) == text`` where it held none before.

    Examples
    --------
    >>> unmark("two\u2061words")
    'twowords'
    """
    return text.translate(_TAKEN_OUT)


def copies(text: str) -> int:
    """Return how many whole copies :func:`mark` would place in a text.

    Examples
    --------
    >>> copies("Too short."), copies("a " * 33)
    (0, 4)
    """
    return sum(1 for _ in _borders(unmark(text))) // CELLS


def _check_key(key: object) -> bytes:
    if not isinstance(key, bytes | bytearray):
        raise InvalidInput(f"key is a {type(key).__name__}; allowed: bytes, {LEAST_KEY} or more")
    if len(key) < LEAST_KEY:
        raise InvalidInput(
            f"the key has {len(key)} bytes; allowed: {LEAST_KEY} or more, from a random source"
        )
    return bytes(key)


def _check_number(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidInput(f"number is a {type(number).__name__}; allowed: an int")
    if not 0 <= number < 1 << NUMBER_BITS:
        raise InvalidInput(
            f"number has {number.bit_length()} bits{' and a sign' if number < 0 else ''}; allowed: "
            f"from 0 to {(1 << NUMBER_BITS) - 1}"
        )
    return number


def _tag(key: bytes, number: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + b"tag " + number, "sha256")[:TAG_BYTES]


def _masked(key: bytes, number: bytes, tag: bytes) -> bytes:
    """Hide a number under what only the key knows, or bring it back: the same both ways."""
    mask = hmac.digest(key, _PURPOSE + b"mask " + tag, "sha256")
    return bytes(one ^ other for one, other in zip(number, mask, strict=False))


def _written(key: bytes, number: int) -> tuple[str, ...]:
    """Return the 8 cells of a mark as they stand in a text."""
    plain = number.to_bytes(NUMBER_BITS // 8)
    tag = _tag(key, plain)
    message = int.from_bytes(tag + _masked(key, plain, tag))
    return tuple(
        _symbols(index << DATA_BITS | message >> DATA_BITS * index & (1 << DATA_BITS) - 1)
        for index in range(CELLS)
    )


def _symbols(value: int) -> str:
    return "".join(CARRIERS[value >> 2 * at & 3] for at in range(CELL_SYMBOLS))


def _borders(text: str) -> Iterator[int]:
    """Yield where cells may stand: before a word, behind a blank, within prose."""
    for start, line in _prose(text):
        lead = _LEAD.match(line)
        first = lead.end() if lead else 0
        for found in _PLACES.finditer(line, first):
            if found["border"] is not None and found.start() > first:
                yield start + found.start()


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are no code, each with its place in the text."""
    fence, depth, start = "", 0, 0
    for line in text.splitlines(keepends=True):
        quote = _QUOTE.match(line)
        prefix = quote[0] if quote else ""
        body = line[len(prefix) :]
        if fence and prefix.count(">") < depth:
            fence = ""  # the quotation it stood in is over
        found = _FENCE.match(body)
        if fence:
            if found and body.strip().startswith(fence) and not body.strip(f" \t\r\n{fence[0]}"):
                fence = ""
        elif found:
            fence, depth = found[1] or found[2], prefix.count(">")
        elif not body.startswith(("    ", "\t")):
            yield start, line
        start += len(line)


# ---------------------------------------------------------------------------------------- reading


def read_marks(text: str, *, key: bytes) -> Reading:
    """Return what marks a text bears, as far as this key can tell.

    Parameters
    ----------
    text : str
        What was found somewhere: an excerpt, several put together, among other text or alone.
    key : bytes
        The secret the exports were marked with.

    Raises
    ------
    InvalidInput
        If the key is too short.

    Examples
    --------
    >>> read_marks("Nothing here.", key=bytes(16)).verdict
    <Verdict.NONE: 'none'>
    """
    reader = _Reader(_check_key(key))
    cells = tuple(_cells(text))
    found = reader.walk(cells) or reader.vote(cells)
    if found:
        verdict = Verdict.CERTAIN
    elif reader.tried:
        verdict = Verdict.FOREIGN
    else:
        verdict = Verdict.FRAGMENT if _RUN.search(text) else Verdict.NONE
    chance = len(reader.tried) * 2.0 ** (-8 * TAG_BYTES)
    return Reading(verdict=verdict, marks=found, cells=len(cells), chance=chance)


def _cells(text: str) -> Iterator[_Cell]:
    """Yield the sound cells of a text; a run of another length lost or gained something."""
    for run in _RUN.finditer(text):
        if len(run[0]) % CELL_SYMBOLS:
            continue
        for start in range(run.start(), run.end(), CELL_SYMBOLS):
            end = start + CELL_SYMBOLS
            value = sum(CARRIERS.index(text[start + at]) << 2 * at for at in range(CELL_SYMBOLS))
            yield _Cell(value >> DATA_BITS, value & (1 << DATA_BITS) - 1, start, end)


class _Reader:
    """Tries would-be copies with one key, each once."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.tried: dict[int, int | None] = {}

    def walk(self, cells: Sequence[_Cell]) -> tuple[Mark, ...]:
        """Return the marks whose copies lie in the text one after the other."""
        marks: dict[int, Mark] = {}
        place = 0
        while place < len(cells):
            message, last = _gathered(cells[place : place + REACH])
            number = self._proved(message)
            if number is None:
                place += 1
                continue
            known = marks.get(number)
            marks[number] = Mark(
                number=number,
                copies=known.copies + 1 if known else 1,
                start=known.start if known else cells[place].start,
                end=cells[place + last].end,
            )
            place += last + 1
        return tuple(marks.values())

    def vote(self, cells: Sequence[_Cell]) -> tuple[Mark, ...]:
        """Return the mark most cells agree on, for a text in which no copy is sound by itself."""
        counts = [Counter(cell.data for cell in cells if cell.number == at) for at in range(CELLS)]
        if not all(counts):
            return ()
        winners = dict(enumerate(count.most_common(1)[0][0] for count in counts))
        number = self._proved(_message(winners))
        if number is None:
            return ()
        return (Mark(number=number, copies=1, start=cells[0].start, end=cells[-1].end),)

    def _proved(self, message: int | None) -> int | None:
        """Return the number of a copy this key made, None of any other."""
        if message is None:
            return None
        if message not in self.tried:
            if len(self.tried) >= MOST_TRIES:
                return None
            self.tried[message] = self._opened(message)
        return self.tried[message]

    def _opened(self, message: int) -> int | None:
        data = message.to_bytes(TAG_BYTES + NUMBER_BITS // 8)
        tag = data[:TAG_BYTES]
        number = _masked(self._key, data[TAG_BYTES:], tag)
        return int.from_bytes(number) if hmac.compare_digest(tag, _tag(self._key, number)) else None


def _gathered(cells: Sequence[_Cell]) -> tuple[int | None, int]:
    """Put the first copy together that begins here; also return the cell that completed it."""
    data: dict[int, int] = {}
    for at, cell in enumerate(cells):
        data.setdefault(cell.number, cell.data)
        if len(data) == CELLS:
            return _message(data), at
    return None, 0


def _message(data: dict[int, int]) -> int:
    return sum(value << DATA_BITS * index for index, value in data.items())
