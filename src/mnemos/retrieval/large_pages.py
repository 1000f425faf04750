"""Scores on a large page: of candidates only, by statistics of the whole page.

Five lists over a million rows would take a second. Candidates are the best rows by words, by the
words around them, and by meaning, with the neighbours in their sessions; to these rows every list
is worked out as on any other page. What differs: only the rarest words of the question are looked
at where the others stand in a great many rows, and how many windows hold a word is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.arrays import PageArrays
from mnemos.retrieval import signals
from mnemos.retrieval.signals import REACH, Floats, Rows, Statistics

Places = NDArray[np.int64]

MOST_POSTINGS = 262_144
"""Occurrences looked at: terms from the rarest on, as long as theirs are no more together."""

CANDIDATES = 512
"""Best rows taken by each of words, words around, and meaning."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rows of a large page that are worth ranking, with their scores.

    Parameters
    ----------
    rows : Rows
        ``k`` of them, in conversation order.
    counts : (q, k) float32
        Occurrences of the question's terms; none of those that were too frequent to look at.
    lists : dict
        Every list's scores, ``(k,)``.
    """

    rows: Rows
    counts: Floats
    lists: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class _Arranged:
    """What is worked out of a page's visible rows once, and kept while the same are visible."""

    mask: NDArray[np.bool_]
    rows: Rows
    place: Places
    length: float
    session_length: Floats


@dataclass(frozen=True, slots=True)
class _Term:
    """Where a term stands: its number in the question, places and occurrences."""

    number: int
    places: Places
    counts: Floats


def _arranged(arrays: PageArrays, mask: NDArray[np.bool_]) -> _Arranged:
    known = arrays.memo.get("arranged")
    if known is not None and np.array_equal(known.mask, mask):
        return known
    rows = signals.arrange(arrays, mask)
    made = _Arranged(
        mask=mask,
        rows=rows,
        place=rows.places(),
        length=float(rows.length.mean(dtype=np.float64)),
        session_length=signals.session_sum(rows.length, rows.session),
    )
    arrays.memo["arranged"] = made
    return made


def find(
    arrays: PageArrays, mask: NDArray[np.bool_], terms: list[int], vector: Floats | None
) -> Candidates:
    """Return the candidates among the visible rows of a large page, with every list's scores.

    Parameters
    ----------
    arrays : PageArrays
        The page.
    mask : (rows,) bool
        Which rows may be seen.
    terms : list of int
        Hashes of the question's terms.
    vector : (dim,) float32 or None
        The question's unit vector.
    """
    page = _arranged(arrays, mask)
    stack = arrays.stack
    if stack is None or vector is None or stack.dim != len(vector):
        vector = None
    looked_up = _rarest(page, [arrays.lookup(term) for term in terms])
    places = _with_neighbours(page.rows, _best(arrays, page, looked_up, vector))
    rows = Rows(
        arrays, page.rows.positions[places], page.rows.session[places], page.rows.length[places]
    )
    counts = np.zeros((len(terms), len(places)), np.float32)
    at = np.full(len(page.rows), -1, np.int64)
    at[places] = np.arange(len(places))
    for term in looked_up:
        here = at[term.places]
        counts[term.number, here[here >= 0]] = term.counts[here >= 0]
    runs = np.cumsum(np.diff(places, prepend=-1) > 1) + rows.session
    lists = _by_words(page, looked_up, rows, counts, runs)
    if vector is not None:
        near = signals.nearness(arrays, rows.positions, vector)
        lists["meaning"] = near
        if not page.rows.alone:
            members = signals.window_sum(np.ones(len(rows), np.float32), runs)
            lists["window-meaning"] = signals.window_sum(near, runs) / members
    return Candidates(rows, counts, lists)


def _rarest(page: _Arranged, found: list[tuple[Places, Floats]]) -> list[_Term]:
    """Return where the visible rows hold each term, rarest first, as far as is looked."""
    terms: list[_Term] = []
    left = MOST_POSTINGS
    for number in sorted(range(len(found)), key=lambda number: len(found[number][0])):
        positions, counts = found[number]
        left -= len(positions)
        if terms and left < 0:
            break
        places = page.place[positions]
        seen = places >= 0
        if seen.any():
            terms.append(_Term(number, places[seen], counts[seen]))
    return terms


def _best(arrays: PageArrays, page: _Arranged, terms: list[_Term], vector: Floats | None) -> Places:
    """Return the places of the best rows by words, by the words around, and by meaning."""
    rows = page.rows
    found: list[Places] = []
    if terms:
        whole = Statistics(len(rows), np.array([len(t.places) for t in terms]), page.length)
        scores = np.zeros(len(rows), np.float32)
        for term, weight in zip(terms, signals.rarity(whole), strict=True):
            norm = signals.norm(rows.length[term.places], whole)
            part = term.counts * (signals.K1 + 1) / (term.counts + norm)
            scores[term.places] += weight * part
        held = np.unique(np.concatenate([term.places for term in terms]))
        found.append(_top(held, scores[held]))
        if not rows.alone:
            found.append(_top(held, _around(scores, held, rows.session)))
    if vector is not None:
        assert arrays.stack is not None
        near = np.sort(arrays.stack.near(vector, page.mask, 2 * CANDIDATES))
        found.append(page.place[_top(near, signals.nearness(arrays, near, vector))])
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _top(places: Places, scores: Floats) -> Places:
    if len(places) <= CANDIDATES:
        return places
    return places[np.argpartition(scores, len(scores) - CANDIDATES)[-CANDIDATES:]]


def _around(scores: Floats, held: Places, session: NDArray[np.int64]) -> Floats:
    """Return the sum of the scores of the windows around rows."""
    total = scores[held]
    for step in range(-REACH, REACH + 1):
        if step:
            other = np.clip(held + step, 0, len(scores) - 1)
            total = total + scores[other] * (session[other] == session[held])
    return total


def _with_neighbours(rows: Rows, places: Places) -> Places:
    """Return places with those of the neighbours that belong to their windows."""
    if rows.alone:
        return places
    found = [places]
    for step in range(-REACH, REACH + 1):
        other = np.clip(places + step, 0, len(rows) - 1)
        found.append(other[rows.session[other] == rows.session[places]])
    return np.unique(np.concatenate(found))


def _by_words(
    page: _Arranged, terms: list[_Term], rows: Rows, counts: Floats, runs: NDArray[np.int64]
) -> dict[str, Floats]:
    """Return the lists made of words; a row that holds none of them has -inf."""
    if not terms:
        return {}
    size = len(page.rows)
    counts = counts[[term.number for term in terms]]
    holding = np.array([len(term.places) for term in terms])
    found = {"words": signals.bm25(counts, rows.length, Statistics(size, holding, page.length))}
    if not page.rows.alone:
        reach = 2 * REACH + 1
        around = signals.window_sum(rows.length, runs)
        # As if a word fell anywhere: 1 - (1 - p) ** 5 of the windows hold it.
        windows = size * -np.expm1(reach * np.log1p(-np.minimum(holding / size, 1 - 1e-9)))
        found["window-words"] = signals.bm25(
            signals.window_sum(counts, runs),
            around,
            Statistics(size, windows, float(around.mean())),
        )
        sessions = len(page.session_length)
        by_session = np.stack(
            [np.bincount(page.rows.session[term.places], term.counts, sessions) for term in terms]
        ).astype(np.float32)
        found["session-words"] = signals.bm25(by_session, page.session_length)[rows.session]
    return {name: np.where(scores > 0, scores, -np.inf) for name, scores in found.items()}
