"""The default ranker: reciprocal rank fusion of five lists, raised where the speaker is named.

The lists are the turn's words, the words of its five-turn window, its meaning, the meaning of
its window, and the words of its session. Dialogue answers need the question before them, so the
windows carry most of the weight. Nothing is fitted: the fusion constant is 10, every list counts
the same, and a turn said by someone the question names counts twice. How these choices were made
is written in ``ranker.json`` beside this file.

Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.pages import PageArrays
from mnemos.retrieval import signals
from mnemos.types import Reason

Mask = NDArray[np.bool_]

NAME = "rrf-5"
CONSTANT = 10
DEPTH = 1_000
"""Rows taken from each list; on a smaller page a list is the whole page."""

DESCRIPTIONS = {
    "words": "the turn's own words (BM25)",
    "window-words": "words of the five turns around it (BM25)",
    "meaning": "the turn's meaning (cosine)",
    "window-meaning": "meaning of the five turns around it (mean cosine)",
    "session-words": "words of its whole session (BM25)",
    "speaker": "said by someone the question names",
    "time": "happened in the time the question names",
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
    """

    terms: dict[int, str]
    vector: NDArray[np.float32] | None = None
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """One row with its score and why."""

    position: int
    score: float
    why: tuple[Reason, ...]


def _lists(rows: signals.Rows, question: Question) -> dict[str, NDArray[np.float32]]:
    """Return every list as one score per row; a row the list says nothing of has -inf."""
    found: dict[str, NDArray[np.float32]] = {}
    if question.terms:
        counts = signals.term_counts(rows, list(question.terms))
        found["words"] = signals.bm25(counts, rows.length)
        around = signals.window_sum(counts, rows.session)
        found["window-words"] = signals.bm25(around, signals.window_sum(rows.length, rows.session))
        by_session = signals.bm25(
            signals.session_sum(counts, rows.session),
            signals.session_sum(rows.length, rows.session),
        )
        found["session-words"] = by_session[rows.session]
        for name, scores in found.items():
            found[name] = np.where(scores > 0, scores, -np.inf).astype(np.float32)
    if question.vector is not None:
        near = signals.meaning(rows, question.vector)
        if near is not None:
            ones = np.ones(len(rows), np.float32)
            found["meaning"] = near
            found["window-meaning"] = signals.window_sum(near, rows.session) / signals.window_sum(
                ones, rows.session
            )
    return found


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
        Which rows may be seen.
    question : Question
        What is asked.
    top_k : int
        How many to return at most.
    """
    rows = signals.arrange(arrays, mask)
    lists = _lists(rows, question)
    if not len(rows) or not lists:
        return []
    ranks = {name: _ranks(scores) for name, scores in lists.items()}
    fused = np.sum([_share(item) for item in ranks.values()], axis=0)
    named = signals.speaker_match(rows, list(question.terms))
    timed = signals.within(rows, list(question.spans))
    total = fused * (1.0 + named + timed)
    best = np.argsort(-total, kind="stable")[:top_k]
    best = best[total[best] > 0]
    flags = {"speaker": named, "time": timed}
    return [
        Ranked(
            int(rows.positions[row]),
            float(total[row]),
            _explain(rows, int(row), question, lists, ranks, flags, float(total[row])),
        )
        for row in best
    ]


def _explain(
    rows: signals.Rows,
    row: int,
    question: Question,
    lists: dict[str, NDArray[np.float32]],
    ranks: dict[str, NDArray[np.int64]],
    flags: dict[str, NDArray[np.bool_]],
    total: float,
) -> tuple[Reason, ...]:
    """Return the reasons for one row, largest share first; shares add up to 1."""
    base = 0.0
    reasons: list[Reason] = []
    for name, item in ranks.items():
        if item[row]:
            part = 1.0 / (CONSTANT + int(item[row]))
            base += part
            detail = _matched(rows, row, question) if name == "words" else ""
            value = round(float(lists[name][row]), 4)
            reasons.append(
                Reason(
                    signal=name, rank=int(item[row]), value=value, share=part / total, detail=detail
                )
            )
    for name, flag in flags.items():
        if flag[row]:
            reasons.append(Reason(signal=name, rank=1, value=1.0, share=base / total))
    return tuple(sorted(reasons, key=lambda reason: -reason.share))


def _matched(rows: signals.Rows, row: int, question: Question) -> str:
    """Return the query terms the row holds, as spelled in the index."""
    position = int(rows.positions[row])
    return " ".join(
        word for term, word in question.terms.items() if position in rows.arrays.lookup(term)[0]
    )
