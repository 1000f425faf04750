"""What speaks for a memory, signal by signal: words, meaning, company, speaker, time.

Every signal is one score per visible row, computed exactly over the whole page. Rows stand in
conversation order, so a turn's neighbours are its neighbours in the array.

Shapes: ``n`` visible rows, ``q`` distinct query terms, ``s`` sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.arrays import PageArrays

K1 = 1.2
B = 0.75
"""BM25's constants as Robertson and Zaragoza (2009, section 3.4) recommend them; not fitted."""

REACH = 2
"""Neighbours on each side of a turn that make its window: five turns."""

DIGITS = 6
"""Decimals of a cosine that count."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """The visible rows of a page in conversation order.

    Parameters
    ----------
    arrays : PageArrays
        The page.
    positions : (n,) int64
        Positions in the page.
    session : (n,) int64
        Session number, ascending; a row without a session has one of its own.
    length : (n,) float32
        Terms of each row.
    """

    arrays: PageArrays
    positions: NDArray[np.int64]
    session: NDArray[np.int64]
    length: Floats

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def alone(self) -> bool:
        """Whether no row shares its session with another."""
        return len(self) == 0 or int(self.session[-1]) == len(self) - 1

    def places(self) -> NDArray[np.int64]:
        """Return where each row of the page stands among these, -1 where it does not."""
        place = np.full(len(self.arrays), -1, np.int64)
        place[self.positions] = np.arange(len(self))
        return place


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 must know of a collection.

    Parameters
    ----------
    size : int
        Documents.
    holding : (q,) number
        Documents that hold each query term.
    length : float
        Mean terms of a document.
    """

    size: int
    holding: NDArray[Any]
    length: float


def arrange(arrays: PageArrays, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows of a mask in conversation order."""
    order = arrays.conversation_order()
    positions = order[mask[order]]
    named = arrays.column("session")[positions]
    begins = np.ones(len(positions), bool)
    begins[1:] = (named[1:] != named[:-1]) | (named[1:] == 0)
    length = arrays.column("length")[positions].astype(np.float32)
    return Rows(arrays, positions, np.cumsum(begins) - 1, length)


def term_counts(rows: Rows, terms: list[int]) -> Floats:
    """Return how often each query term occurs in each row, ``(q, n)``."""
    place = rows.places()
    counts = np.zeros((len(terms), len(rows)), np.float32)
    for i, term in enumerate(terms):
        found, occurrences = rows.arrays.lookup(term)
        where = place[found]
        counts[i, where[where >= 0]] = occurrences[where >= 0]
    return counts


def bm25(counts: Floats, length: Floats, whole: Statistics | None = None) -> Floats:
    """Return BM25 scores of documents, ``(n,)``.

    Parameters
    ----------
    counts : (q, n) float32
        Occurrences of each query term in each document.
    length : (n,) float32
        Terms of each document.
    whole : Statistics or None
        Those of the collection the documents are from; None is these documents alone.
    """
    n = counts.shape[1]
    if n == 0 or len(counts) == 0:
        return np.zeros(n, np.float32)
    if whole is None:
        whole = Statistics(n, (counts > 0).sum(axis=1), float(length.mean()))
    counted = counts * (K1 + 1) / (counts + norm(length, whole))
    return rarity(whole) @ counted.astype(np.float32, copy=False)


def rarity(whole: Statistics) -> Floats:
    """Return what each term weighs, ``(q,)``."""
    holding = whole.holding
    return np.log1p((whole.size - holding + 0.5) / (holding + 0.5)).astype(np.float32)


def norm(length: Floats, whole: Statistics) -> Floats:
    """Return what dampens repeated terms in documents of some lengths, ``(n,)``."""
    return length * np.float32(K1 * B / max(whole.length, 1e-9)) + np.float32(K1 * (1 - B))


def window_sum(values: Floats, session: NDArray[np.int64], reach: int = REACH) -> Floats:
    """Return each row's sum over itself and its neighbours of the same session, ``(…, n)``."""
    total = values.copy()
    for step in range(1, min(reach, values.shape[-1] - 1) + 1):
        same = session[step:] == session[:-step]
        total[..., step:] += values[..., :-step] * same
        total[..., :-step] += values[..., step:] * same
    return total


def session_sum(values: Floats, session: NDArray[np.int64]) -> Floats:
    """Return sums per session, ``(…, s)``."""
    begins = np.flatnonzero(np.diff(session, prepend=-1))
    return np.add.reduceat(values, begins, axis=-1) if len(begins) else values


def meaning(rows: Rows, query: Floats) -> Floats | None:
    """Return cosine similarities ``(n,)``; None where the page has no vectors.

    They are rounded: the last bits of a matrix product depend on where in the matrix a row lies,
    and a ranking must not.
    """
    stack = rows.arrays.stack
    if stack is None or stack.dim != len(query):
        return None
    return np.round(stack.dot(query)[rows.positions], DIGITS)


def nearness(arrays: PageArrays, positions: NDArray[np.int64], query: Floats) -> Floats:
    """Return the cosines of rows at positions with a query, ``(k,)``, as exactly as is known."""
    found: Floats = np.einsum("ij,j->i", _vectors_at(arrays, positions), query)
    return np.round(found, DIGITS)


def vectors_of(rows: Rows, chosen: NDArray[np.int64]) -> Floats | None:
    """Return the vectors of chosen rows in their order, ``(k, dim)``; None where there are none."""
    if rows.arrays.stack is None or not len(chosen):
        return None
    return _vectors_at(rows.arrays, rows.positions[chosen])


def _vectors_at(arrays: PageArrays, positions: NDArray[np.int64]) -> Floats:
    """Return the vectors at positions in their order, ``(k, dim)``."""
    assert arrays.stack is not None
    order = np.argsort(positions)
    found = np.empty((len(positions), arrays.stack.dim), np.float32)
    found[order] = arrays.stack.take(positions[order]).matrix()
    return found


def speaker_match(rows: Rows, terms: list[int]) -> NDArray[np.bool_]:
    """Return which rows were said by someone the query names."""
    named = rows.arrays.column("speaker")[rows.positions]
    if not terms:
        return np.zeros(len(rows), bool)
    return np.isin(named, terms) & (named != 0)


def within(rows: Rows, spans: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which rows happened inside one of the spans of microseconds, half open."""
    at = rows.arrays.column("at")[rows.positions]
    found = np.zeros(len(rows), bool)
    for start, stop in spans:
        found |= (at >= start) & (at < stop)
    return found
