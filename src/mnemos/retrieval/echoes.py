"""Recalled text that comes back in: which stored memories an incoming text repeats.

A host is given text from memory and often hands it back, a little changed, within what it adds.
Such an echo says nothing new. It is found in three steps, each of bounded work:

1. The text is cut into segments. What :mod:`mnemos.retrieval.pack` wrote around the memories
   (dates, labels, notes, fences) is taken away.
2. Posting lists say which rows share enough of a segment's terms. Usually none does, and nothing
   is fetched.
3. The few best rows are fetched and compared in order. Only runs count, and each time the two
   texts fall out of step costs a word: scattered words and set phrases make no echo.

Scripts written without spaces are compared character by character; two characters count as a
word. Every threshold below was set on the development data that ``benchmarks/echo_recognition.py``
reads; the figures beside them are its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.postings import Deferred, Postings
from mnemos.kernel.tokens import STOP_WORDS, term_hash, terms
from mnemos.retrieval.echo_units import (
    SHORTEST,
    Incoming,
    is_furniture,
    plain_of,
    read_incoming,
    size_of,
    units_of,
)

COVERED = 0.7
"""An echo has at least this share of its words from memory. With a fifth of the words replaced,
96.7 to 100 % of memories reach 0.7, set by set; of genuine turns 0.0 to 1.0 % do in eleven sets, and
1.9 % at most where users ask again word for word and assistants answer again, compared with all that
was said before. At 0.65 two more sets have over 1 %; at 0.75 two find under 92 %."""

SEVERAL = 3
COVERED_BY_SEVERAL = 0.48
"""The share that will do where three memories or more are found: a packed context, in which dates,
names and labels may have been changed as well, beyond recognition. Of genuine turns, those with
three sources reach 0.44 at most, but for what assistants write over again."""

LEAST_WORDS = 6.0
"""Below so many words nothing is an echo: people thank and take leave in the same five words."""

REPEATED_RUN = 5.0
REPEATED_SHARE = 0.6
REPEATED_WORDS = 4.0
"""A text repeats a memory by a run of five words, or by 60 % of its words, four at least. Compared is
with what is not trusted. At six, orders of five words among an agent's own came through; of the
campaign's copies (``scripts/poison_campaign.py``) a fifth were missed at twelve. Of the turns of people
who talked beside innocent tool outputs the campaign prints how many are taken for one."""

WHOLE_LEAST = 2
SENTENCE_LEAST = 4
SENTENCES = 32
"""Fewest words of a text, and of a sentence in it, that can be said to stand in a memory as a whole,
and the most sentences looked at."""

JUMP = 1.0
JUMP_CHARACTERS = 0.25
"""Words taken off for each place where two texts fall out of step; a quarter in unspaced scripts, where an
exchanged word is seldom as long as the one before."""

RUN_WORDS = 2
RUN_CHARACTERS = 3
"""The shortest runs that count; shorter ones stand in any two texts."""

NEAR = 3
"""A single word counts where it stands in step with a run, at most so many places from it."""

FURTHER_WHOLE = 3.0
WHOLE = 0.8
FURTHER_WORDS = 5.0
"""Words that a further memory must add before it counts: less is a set phrase. Three will do where
80 % of the memory is found."""

SHARED = 0.34
SHARED_ALONE = 0.45
SHARED_TERMS = 3
SHARED_OF_ROW = 0.35
"""A row is fetched if it holds this share of a segment's terms, more in a text of one segment; or
three of them that make 35 % of the row's own. New turns of 20 to 40 words find one such row, on
average, in a page of 5,000."""

LOOKED_UP = 24
"""Terms of a segment whose posting lists are read."""

COMMON = 8
FEW = 64
"""A term that more than 1/8 of the rows hold, and more than 64 rows, tells nothing."""

STRETCH = 8
CANDIDATES = 3
FETCHES = 64
CHARACTERS = 8_192
"""The most segments compared at once, rows chosen for a segment, rows fetched, and characters of
each that are compared."""

_STOPPED = frozenset(terms(" ".join(sorted(STOP_WORDS))))
_PART = re.compile(r"(?<=[.!?…:;,])\s+|(?<=[。！？：；，])|[\n()]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """One stored memory that was found in an incoming text.

    Parameters
    ----------
    position : int
        Its position in the page.
    words : float
        Words in common, in order, less one for each place where the texts fall out of step.
    share : float
        ``words`` as a share of the incoming text, 0 to 1.
    of_source : float
        ``words`` as a share of the memory, 0 to 1.
    run : float
        Longest run of words in common, in words; two characters of an unspaced script are one.
    """

    position: int
    words: float
    share: float
    of_source: float
    run: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Echo:
    """What of an incoming text comes from memory.

    Parameters
    ----------
    covered : float
        Share of the text's words that stored memories account for, 0 to 1.
    words : float
        Words of the text that were judged: furniture and lead-ins are not among them.
    memories : int
        Memories that account for them together.
    repeated : tuple of Repeated
        The memories found in it, the longest match first.
    """

    covered: float = 0.0
    words: float = 0.0
    memories: int = 0
    repeated: tuple[Repeated, ...] = ()

    @property
    def is_echo(self) -> bool:
        """Whether the text as a whole is recalled text, not something new.

        >>> Echo(covered=0.8, words=6.0).is_echo, Echo(covered=1.0, words=5.0).is_echo
        (True, False)
        """
        least = COVERED if self.memories < SEVERAL else COVERED_BY_SEVERAL
        return self.words >= LEAST_WORDS and self.covered >= least


def repeats(item: Repeated) -> bool:
    """Return whether a text repeats a substantial part of one memory.

    It does with five running words, or with 60 % of the memory's words in order, four at least: then
    the text may not be trusted more than that memory.

    >>> quoted = Repeated(position=3, words=7.0, share=0.1, of_source=0.7, run=7.0)
    >>> repeats(quoted)
    True
    """
    whole = item.of_source >= REPEATED_SHARE and item.words >= REPEATED_WORDS
    return whole or item.run >= REPEATED_RUN


def holding(
    text: str, lists: Lists, fetch: Callable[[int], str], least: int = WHOLE_LEAST
) -> list[int]:
    """Return the memories in which a text, or a sentence of it, stands word by word.

    For what is too short for :func:`recognise`: a rule of four words can be as bad as one of twenty.

    Parameters
    ----------
    text, lists, fetch
        As of :func:`recognise`.
    least : int
        Fewest words of the text as a whole; a sentence in it has four at least, and two characters
        are a word where none are spaced.
    """
    plain = plain_of(text)
    parts = [(plain, least), *((part, SENTENCE_LEAST) for part in _PART.split(plain)[:SENTENCES])]
    said: dict[int, str] = {}

    def units_at(place: int) -> str:
        if place not in said:
            said[place] = _joined(units_of(terms(plain_of(fetch(place)[:CHARACTERS]))))
        return said[place]

    found: dict[int, None] = {}
    for part, fewest in dict.fromkeys(parts):
        stems = terms(part)
        units = units_of(stems)
        if sum(map(size_of, units)) >= fewest:
            found |= dict.fromkeys(_holding(stems, units, lists, units_at))
    return list(found)


def _joined(units: Sequence[str]) -> str:
    return "\0".join(("", *units, ""))


def _holding(
    stems: Sequence[str], units: Sequence[str], lists: Lists, units_at: Callable[[int], str]
) -> list[int]:
    if len(units) < WHOLE_LEAST or all(unit in _STOPPED for unit in units):
        return []
    first, *others = sorted(dict.fromkeys(stems), key=_STOPPED.__contains__)  # the rare ones first
    places = lists.rows(first)
    for term in others:
        if not len(places):
            return []
        rows = lists.rows(term)
        if len(rows):
            nearest = np.minimum(rows.searchsorted(places), len(rows) - 1)
            places = places[rows[nearest] == places]
        else:
            places = rows
    wanted = _joined(units)
    return [place for place in places[-FETCHES:].tolist() if wanted in units_at(place)]


def recognise(text: str, lists: Lists, fetch: Callable[[int], str]) -> Echo:
    """Return how much of a text was said before, and in which memories.

    Parameters
    ----------
    text : str
        What comes in: a turn, a hit, or a whole packed context.
    lists : Lists
        Of the rows it may be compared with.
    fetch : callable
        Takes a position, returns the stored text. Called for the few rows that share enough
        terms, at most 64 times, and for most texts not at all.
    """
    incoming = read_incoming(text)
    total = sum(incoming.sizes)
    if total < REPEATED_WORDS or not len(lists):
        return Echo(words=total)
    nominated = _nominate(incoming, lists)
    found = [
        match
        for position, segments in nominated
        if (match := _compare(incoming, position, segments, fetch(position))).telling
    ]
    found.sort(key=lambda match: (-match.words, match.position))
    taken, words, memories = _cover(incoming, found)
    several = memories >= SEVERAL
    needed = sum(
        size
        for place, size in enumerate(incoming.sizes)
        if place in taken
        or not (incoming.free[place] or (several and is_furniture(incoming.units[place])))
    )
    return Echo(
        covered=words / needed if needed else 0.0,
        words=needed,
        memories=memories,
        repeated=tuple(
            Repeated(
                position=match.position,
                words=match.words,
                share=match.words / total,
                of_source=min(match.words / match.size, 1.0),
                run=match.run,
            )
            for match in found
        ),
    )


class Lists:
    """The posting lists of a page, each read once for all texts that are compared with it.

    Parameters
    ----------
    arrays : PageArrays
        The page of their subject.
    known : (rows,) bool
        Rows they may be compared with: those alive, not erased, and not echoes themselves.
    """

    def __init__(self, arrays: PageArrays, known: NDArray[np.bool_]) -> None:
        self._arrays = arrays
        self._known = known
        self._longest = max(FEW, len(arrays) // COMMON)
        self._read: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._arrays)

    def read(self, wanted: Iterable[str]) -> None:
        """Read the lists of several terms in one walk over the blocks, as far as they are not read."""
        unread = [term for term in dict.fromkeys(wanted) if term not in self._read]
        blocks = self._arrays.blocks
        if len(unread) < 2 or not all(isinstance(item, Postings | Deferred) for _, item in blocks):
            return
        hashes = np.array([term_hash(term) for term in unread], np.int64)
        bounds = pairwise([*(first for first, _ in blocks), len(self._arrays)])
        rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        which: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        for (first, block), (start, stop) in zip(blocks, bounds, strict=True):
            if not isinstance(block, Postings | Deferred) or not self._known[start:stop].any():
                continue
            found, number = block.lookup_all(hashes)
            found += first
            kept = self._known[found]
            rows.append(found[kept])
            which.append(number[kept])
        together, numbers = np.concatenate(rows), np.concatenate(which)
        order = numbers.argsort(kind="stable")
        together = together[order]
        ends = numbers[order].searchsorted(np.arange(len(unread) + 1)).tolist()
        for term, (start, stop) in zip(unread, pairwise(ends), strict=True):
            self._read[term] = together[start:stop]

    def rows(self, term: str) -> NDArray[np.int64]:
        """Return the rows that hold a term and may be compared with."""
        if term not in self._read:
            rows, _ = self._arrays.lookup(term_hash(term))
            self._read[term] = rows[self._known[rows]]
        return self._read[term]

    def _telling(self, wanted: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the lists of terms that tell something: those of many rows do not.

        Where the same words stand in most rows, as after a flood of one text, they alone are left:
        then the latest rows of each stand for all.
        """
        every = [self.rows(term) for term in wanted]
        rare = [rows for rows in every if len(rows) <= self._longest]
        if sum(1 for rows in rare if len(rows)) >= SHARED_TERMS or len(rare) == len(every):
            return rare
        return [rows[-FEW:] for rows in every]

    def best(self, found: Sequence[str], share: float) -> Iterator[tuple[int, float]]:
        """Yield the rows that share enough of a segment's terms, with the weight of what they do.

        Rare terms weigh more: 1 for a term of a single row, 0 for one that every row holds.
        """
        telling = self._telling(_looked_up(found))
        lists = [rows for rows in telling if len(rows)]
        least = max(2, share * (len(lists) if share == SHARED else len(telling)))
        if len(lists) < min(least, SHARED_TERMS):
            return
        together = np.concatenate(lists)
        n = len(self._arrays)
        votes = np.bincount(together, minlength=n)
        places = np.flatnonzero(votes >= min(least, SHARED_TERMS))
        of_row = SHARED_OF_ROW * self._arrays.column("length")[places]
        places = places[(votes[places] >= least) | (votes[places] >= of_row)]
        if len(places):
            lengths = np.array([len(rows) for rows in lists])
            rarity = np.repeat(1 - np.log(lengths) / np.log(n + 1), lengths)
            weights = np.bincount(together, rarity, n)[places]
            for place in np.lexsort((places, -weights))[:CANDIDATES].tolist():
                yield int(places[place]), float(weights[place])


def _looked_up(found: Sequence[str]) -> list[str]:
    """Return the terms of a segment whose lists are read: stop words where there is little else."""
    distinct = list(dict.fromkeys(found))
    wanted = [term for term in distinct if term not in _STOPPED]
    return (distinct if len(wanted) < SHORTEST - 1 else wanted)[:LOOKED_UP]


def _nominate(incoming: Incoming, lists: Lists) -> list[tuple[int, list[range]]]:
    """Return the rows worth fetching, each with the stretches of segments to compare it with.

    Of a very long text every second segment is looked at, or every third.
    """
    step = incoming.step
    share = SHARED if len(incoming.segments) > 1 else SHARED_ALONE
    numbers = range(0, len(incoming.segments), step)
    lists.read(term for number in numbers for term in _looked_up(incoming.segments[number].terms))
    named: dict[int, list[int]] = {}
    weights: dict[int, float] = {}
    for number in numbers:
        for position, weight in lists.best(incoming.segments[number].terms, share):
            named.setdefault(position, []).append(number)
            weights[position] = weights.get(position, 0.0) + weight
    heaviest = sorted(named, key=lambda position: (-weights[position], position))[:FETCHES]
    most = len(incoming.segments)
    return [(position, _stretches(named[position], step, most)) for position in heaviest]


def _stretches(numbers: Sequence[int], step: int, most: int) -> list[range]:
    """Return ascending numbers as stretches, each wider by a step at both ends."""
    stretches: list[range] = []
    for number in numbers:
        start, stop = max(number - step, 0), min(number + step + 1, most)
        if stretches and start <= stretches[-1].stop:
            start = stretches[-1].stop
            if len(stretches[-1]) < STRETCH:
                stretches[-1] = range(stretches[-1].start, stop)
                continue
        if start < stop:
            stretches.append(range(start, stop))
    return stretches


@dataclass(frozen=True, slots=True)
class _Strand:
    """Words in common that keep in step: their places in the incoming text, the longest run."""

    hits: list[int]
    run: float
    offset: int
    corrected: bool


@dataclass(frozen=True, slots=True)
class _Match:
    """A memory compared with the text: what they have in common, strand by strand."""

    position: int
    size: float
    strands: list[_Strand]
    words: float
    telling: bool

    @property
    def run(self) -> float:
        """The longest run, in words."""
        return max(strand.run for strand in self.strands)


def _compare(incoming: Incoming, position: int, stretches: Iterable[range], stored: str) -> _Match:
    """Compare a memory with the stretches of the text that share its terms."""
    source = units_of(terms(plain_of(stored[:CHARACTERS])))
    strands: list[_Strand] = []
    for stretch in stretches:
        start = incoming.segments[stretch.start].start
        stop = incoming.segments[stretch.stop - 1].stop
        strands.extend(_strands(source, incoming, start, stop))
    hits = list(chain.from_iterable(strand.hits for strand in strands))
    words = sum(incoming.sizes[hit] for hit in hits)
    words -= sum(_jump(incoming, strand) for strand in strands[1:])
    telling = any(incoming.units[hit] not in _STOPPED for hit in hits)
    size = sum(map(size_of, source))
    return _Match(position, size, strands, words, telling and words > RUN_WORDS)


def _jump(incoming: Incoming, strand: _Strand) -> float:
    return JUMP if incoming.sizes[strand.hits[0]] >= 1 else JUMP_CHARACTERS


def _strands(source: Sequence[str], incoming: Incoming, start: int, stop: int) -> list[_Strand]:
    """Return what a memory and a stretch of the text have in common, in order."""
    units = incoming.units[start:stop]
    blocks = SequenceMatcher(None, source, units, autojunk=False).get_matching_blocks()
    runs = [
        (a, b, n)
        for a, b, n in blocks
        if n and n >= (RUN_CHARACTERS if incoming.sizes[start + b] < 1 else RUN_WORDS)
    ]
    if not runs:
        return []
    highs = [*((a, b) for a, b, _ in runs[1:]), (len(source), len(units))]
    strands: list[_Strand] = []
    reached = (-1, -1)
    for (a, b, n), high in zip(runs, highs, strict=True):
        before, changed = _in_step(source, units, (a - 1, b - 1), reached, -1)
        after, altered = _in_step(source, units, (a + n, b + n), high, 1)
        last = max((b + n - 1, *after))
        reached = (a + last - b, last)
        hits = [start + hit for hit in (*before, *range(b, b + n), *after)]
        run = sum(incoming.sizes[start + b : start + b + n])
        corrected = changed or altered
        if strands and strands[-1].offset == b - a:
            held = strands.pop()
            hits = [*held.hits, *hits]
            run, corrected = max(run, held.run), corrected or held.corrected
        strands.append(_Strand(hits, run, b - a, corrected))
    return strands


def _in_step(
    source: Sequence[str],
    units: Sequence[str],
    begin: tuple[int, int],
    limit: tuple[int, int],
    step: int,
) -> tuple[list[int], bool]:
    """Return the single words near a run that stand in step with it, and if a figure changed.

    ``begin`` is the first place to read in both, ``limit`` the first that may not be read.
    """
    a, b = begin
    room = min((limit[0] - a) * step, (limit[1] - b) * step)
    missed = 0
    hits: list[int] = []
    corrected = False
    for _ in range(room):
        missed = 0 if source[a] == units[b] else missed + 1
        if missed == 0:
            hits.append(b)
        elif source[a][0].isdigit() and units[b][0].isdigit():
            corrected = True
        if missed == NEAR:
            break
        a, b = a + step, b + step
    return hits, corrected


def _cover(incoming: Incoming, found: Sequence[_Match]) -> tuple[set[int], float, int]:
    """Return which units memories account for, how many words that is, and how many memories.

    Where the text has another figure than the memory, the memory accounts for nothing: the text
    corrects it.
    """
    taken: set[int] = set()
    words = 0.0
    memories = 0
    for match in found:
        gains = [
            (strand, sum(incoming.sizes[hit] for hit in strand.hits if hit not in taken))
            for strand in match.strands
            if not strand.corrected
        ]
        gain = sum(gain for _, gain in gains)
        least = FURTHER_WHOLE if match.words >= WHOLE * match.size else FURTHER_WORDS
        if gain <= 0 or (taken and gain < least):
            continue
        memories += 1
        for place, (strand, gain) in enumerate(gains):
            cost = _jump(incoming, strand) if place else 0.0
            if gain > cost:
                taken.update(strand.hits)
                words += gain - cost
    return taken, words, memories
