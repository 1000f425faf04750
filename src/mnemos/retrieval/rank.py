"""The default ranker: fusion of five lists by reciprocal rank, then coverage before redundancy.

The lists are the turn's words, the words of its five-turn window, its meaning, the meaning of
its window, and the words of its session. Dialogue answers need the question before them, so the
windows carry most of the weight; where no row has company there are two lists. Nothing is fitted:
the fusion constant is 10, every list counts the same, and a turn said by someone the question
names counts twice. Meaning counts a tenth where the embedder does not know the question's
script: words decide then, where any are found. Of the best rows, one that says the same as a
better one is put back, and where a question names several things, so are further rows of one
session; where it asks how things are now, so is what its speaker said something newer of. How these choices were made is written in ``ranker.json`` beside this file.

Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.codes import LARGE_ROWS
from mnemos.kernel.schema import UNRANKED
from mnemos.retrieval import large_pages, signals
from mnemos.retrieval.redundancy import OUTDATED, REPEATED, outdated, repeats, spread
from mnemos.types import Reason

Mask = NDArray[np.bool_]

NAME = "rrf-7"
CONSTANT = 10
DEPTH = 1_000
"""Rows taken from each list; on a smaller page a list is the whole page."""

POOL = 64
"""Best rows looked at for redundancy; twice the hits asked for where that is more."""

FOREIGN = 0.1
"""Weight of the lists of meaning where the embedder does not know the script: they order what no
word finds."""

_MEANING = frozenset({"meaning", "window-meaning"})

DESCRIPTIONS = {
    "words": "the turn's own words (BM25)",
    "window-words": "words of the five turns around it (BM25)",
    "meaning": "the turn's meaning (cosine)",
    "window-meaning": "meaning of the five turns around it (mean cosine)",
    "session-words": "words of its whole session (BM25)",
    "speaker": "said by someone the question names",
    "time": "happened in the time the question names",
    "repeat": "put back: says the same as a better hit",
    "outdated": "put back: who said it said something newer of it, and how things are now is asked",
    "spread": "put back: its session has answered already, and several things are asked for",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A query made ready for scoring.

    Parameters
    ----------
    terms : mapping of int to str
        Hashes of the distinct query terms, with their spelling.
    vector : (dim,) float32 or None
        The query's unit vector.
    spans : sequence of (int, int)
        Spans of time it names, in microseconds, half open.
    foreign : bool
        Whether it is written in a script the embedder does not know.
    several : bool
        Whether it names several things, and is answered from several places.
    current : bool
        Whether it asks how things are now.
    """

    terms: dict[int, str]
    vector: NDArray[np.float32] | None = None
    spans: tuple[tuple[int, int], ...] = ()
    foreign: bool = False
    several: bool = False
    current: bool = False

    def weight(self, name: str) -> float:
        """Return what a list counts."""
        return FOREIGN if self.foreign and name in _MEANING else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything a ranking was made from, kept until somebody asks why.

    Parameters
    ----------
    question : Question
        What was asked.
    counts : (q, n) float32
        Occurrences of the query terms.
    lists, ranks : dict
        Every list's scores and ranks, ``(n,)``; rank 0 is beyond the list's end.
    flags : dict
        What doubles a score, ``(n,)`` bool.
    kept : dict
        By name of what lowered it, the part of its score that a row kept.
    whole : bool
        Whether every visible row was counted for every term; of a large page only candidates are.
    """

    question: Question
    counts: NDArray[np.float32]
    lists: dict[str, NDArray[np.float32]]
    ranks: dict[str, NDArray[np.int64]]
    flags: dict[str, NDArray[np.bool_]]
    kept: dict[str, dict[int, float]]
    whole: bool = True

    def why(self, row: int, total: float) -> tuple[Reason, ...]:
        """Return the reasons for one row, largest share first; shares add up to 1."""
        lowered = [(name, parts[row]) for name, parts in self.kept.items() if row in parts]
        total /= prod(part for _, part in lowered)
        base = 0.0
        reasons: list[Reason] = []
        for name, ranks in self.ranks.items():
            place = int(ranks[row])
            if place:
                part = self.question.weight(name) / (CONSTANT + place)
                base += part
                reasons.append(
                    Reason(
                        signal=name,
                        rank=place,
                        value=round(float(self.lists[name][row]), 4),
                        share=part / total,
                        detail=self._matched(row) if name == "words" else "",
                    )
                )
        reasons.extend(
            Reason(signal=name, rank=1, value=1.0, share=base / total)
            for name, flag in self.flags.items()
            if flag[row]
        )
        reasons.extend(
            Reason(signal=name, rank=1, value=round(part, 4), share=0.0) for name, part in lowered
        )
        return tuple(sorted(reasons, key=lambda reason: -reason.share))

    def _matched(self, row: int) -> str:
        """Return the query terms the row holds, as spelled in the index."""
        words = zip(self.question.terms.values(), self.counts[:, row] > 0, strict=True)
        return " ".join(word for word, there in words if there)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One row, by position and by birth and cube number, with its score, and why on request."""

    position: int
    born: int
    cube: int
    score: float
    row: int
    evidence: Evidence = field(compare=False)

    @property
    def why(self) -> tuple[Reason, ...]:
        """The reasons, largest share first."""
        return self.evidence.why(self.row, self.score)


def _by_words(rows: signals.Rows, counts: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the lists made of words; a row that holds none of them has -inf."""
    found = {"words": signals.bm25(counts, rows.length)}
    if not rows.alone:
        found |= _by_company(rows, counts)
    return {name: np.where(scores > 0, scores, -np.inf) for name, scores in found.items()}


def _by_company(rows: signals.Rows, counts: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the lists made of the words around each row."""
    session = rows.session
    around = signals.window_sum(counts, session)
    by_session = signals.bm25(
        signals.session_sum(counts, session), signals.session_sum(rows.length, session)
    )
    return {
        "window-words": signals.bm25(around, signals.window_sum(rows.length, session)),
        "session-words": by_session[session],
    }


def _by_meaning(
    rows: signals.Rows, vector: NDArray[np.float32] | None
) -> dict[str, NDArray[np.float32]]:
    """Return the lists made of vectors."""
    near = None if vector is None else signals.meaning(rows, vector)
    if near is None:
        return {}
    if rows.alone:
        return {"meaning": near}
    members = signals.window_sum(np.ones(len(rows), np.float32), rows.session)
    return {
        "meaning": near,
        "window-meaning": signals.window_sum(near, rows.session) / members,
    }


def score_lists(
    rows: signals.Rows, question: Question
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return the query terms' counts ``(q, n)`` and every list's scores ``(n,)``."""
    terms = list(question.terms)
    counts = signals.term_counts(rows, terms)
    lists = _by_words(rows, counts) if terms else {}
    return counts, lists | _by_meaning(rows, question.vector)


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return each row's rank from 1, or 0 beyond the list's end; ties go to the earlier row."""
    depth = min(DEPTH, len(scores))
    if depth < len(scores):
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        above, level = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        top = np.sort(np.concatenate((above, level[: depth - len(above)])))
    else:
        top = np.arange(len(scores))
    top = top[np.isfinite(scores[top])]
    best = top[np.argsort(-scores[top], kind="stable")]
    ranks = np.zeros(len(scores), np.int64)
    ranks[best] = np.arange(1, len(best) + 1)
    return ranks


def _share(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(ranks > 0, 1.0 / (CONSTANT + ranks), 0.0)


def rank(
    arrays: PageArrays, mask: NDArray[np.bool_], question: Question, top_k: int
) -> list[Ranked]:
    """Return the best visible rows, best first, each with its reasons.

    Parameters
    ----------
    arrays : PageArrays
        The page.
    mask : (rows,) bool
        Which rows may be seen; recalled text that came back is left out.
    question : Question
        What is asked.
    top_k : int
        How many to return at most.
    """
    mask = mask & (arrays.column("length") != UNRANKED)
    whole = int(np.count_nonzero(mask)) < LARGE_ROWS
    if not whole:
        found = large_pages.find(arrays, mask, list(question.terms), question.vector)
        rows, counts, lists = found.rows, found.counts, found.lists
    else:
        rows = signals.arrange(arrays, mask)
        counts, lists = score_lists(rows, question)
    if not len(rows) or not lists:
        return []
    ranks = {name: _ranks(scores) for name, scores in lists.items()}
    shares = [question.weight(name) * _share(item) for name, item in ranks.items()]
    flags = {
        "speaker": signals.speaker_match(rows, list(question.terms)),
        "time": signals.within(rows, list(question.spans)),
    }
    total = np.sum(shares, axis=0) * (1.0 + flags["speaker"] + flags["time"])
    best = np.argsort(-total, kind="stable")[: max(POOL, 2 * top_k)]
    best = best[total[best] > 0]
    best, scores, kept = _covering(rows, question, counts[:, best], best, total[best], top_k)
    evidence = Evidence(question, counts, lists, ranks, flags, kept, whole)
    at = rows.positions[best]
    return [
        Ranked(position, born, cube, score, row, evidence)
        for position, born, cube, score, row in zip(
            at.tolist(),
            arrays.column("born")[at].tolist(),
            arrays.column("cube")[at].tolist(),
            scores.tolist(),
            best.tolist(),
            strict=True,
        )
    ]


def _covering(
    rows: signals.Rows,
    question: Question,
    counts: NDArray[np.float32],
    best: NDArray[np.int64],
    scores: NDArray[np.float64],
    top_k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, dict[int, float]]]:
    """Return the best rows with what is redundant put back, their scores, and what lowered them.

    Parameters
    ----------
    counts : (q, p) float32
        Occurrences of the question's terms in the best rows.
    best : (p,) int64
        The best rows, best first.
    scores : (p,) float64
        Their scores.
    """
    kept: dict[str, dict[int, float]] = {}
    # To an embedder that does not know a script all texts in it are much alike.
    vectors = None if question.foreign else signals.vectors_of(rows, best)
    if vectors is not None:
        again = repeats(vectors, counts)
        kept["repeat"] = dict.fromkeys(best[again].tolist(), REPEATED)
        scores = np.where(again, REPEATED * scores, scores)
    if vectors is not None and question.current and not question.several:
        # However many are wanted: far down a list everything was spoken of again.
        at = rows.positions[best[:POOL]]
        said = (rows.arrays.column(name)[at] for name in ("at", "speaker", "trust"))
        past = np.flatnonzero(outdated(vectors[:POOL], *said))
        kept["outdated"] = dict.fromkeys(best[past].tolist(), OUTDATED)
        scores = scores.copy()
        scores[past] *= OUTDATED
    if question.several:
        places, parts = spread(scores, rows.session[best], top_k)
        lowered = parts < 1
        kept["spread"] = dict(
            zip(best[places[lowered]].tolist(), parts[lowered].tolist(), strict=True)
        )
        return best[places], scores[places] * parts, kept
    order = np.argsort(-scores, kind="stable")[:top_k]
    return best[order], scores[order], kept
