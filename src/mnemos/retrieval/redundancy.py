"""What is put back: what says the same as a better hit, answers from one place, or is out of date.

All work on the best rows of a ranking and only lower scores, so that what is first stays first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME = 0.95
"""Cosine from which two memories say the same: repeated questions, confirmations, restatements."""

REPEATED = 0.3
"""What is left of the score of a memory that says the same as a better one."""

SPREAD = 0.7
"""What is left of the scores of a session for every hit already taken from it, where a question
names several things."""

ALIKE = 0.6
"""Cosine from which somebody speaks of the same thing again."""

OUTDATED = 0.7
"""What is left of the score of a memory of which its speaker said something newer, where a question
asks how things are now."""

DIGITS = 6
"""Decimals of a cosine that count: the last bits depend on where in the matrix a row lies."""


def repeats(vectors: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows say the same as one before them, to the question that is asked.

    A row that holds a word of the question which the one before has not says something else: "the
    kiln cost 950" and "the kiln cost 900" are all but one vector.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) weighs every likeness, which
    costs questions with several gold turns about one thing; here only what is nearly equal counts.

    Parameters
    ----------
    vectors : (p, dim) float32
        Unit vectors, best row first; a row of zeros says the same as nothing.
    counts : (q, p) float32
        How often each row holds each term of the question.

    Examples
    --------
    >>> alike = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    >>> repeats(alike, np.array([[1, 1, 1, 1], [0, 0, 0, 1]], np.float32))
    array([False, False,  True, False])
    """
    alike = np.round(vectors @ vectors.T, DIGITS) >= SAME
    held = (counts > 0).astype(np.float32)
    alike &= held.T @ (1 - held) < 0.5  # of row i's terms none is missing in row j
    return np.asarray(np.tril(alike, -1).any(axis=1))


def outdated(
    vectors: NDArray[np.float32],
    at: NDArray[np.int64],
    speaker: NDArray[np.int64],
    trust: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which rows speak of something of which their speaker said more later.

    What is less trusted makes nothing outdated.

    Parameters
    ----------
    vectors : (p, dim) float32
        Unit vectors; a row of zeros speaks of nothing.
    at, speaker, trust : (p,) int64
        When each was said (microseconds), by whom, and what that counts, in one unit.

    Examples
    --------
    >>> alike = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    >>> when, who, trust = np.array([[10, 20, 30], [5, 5, 6], [1, 1, 1]])
    >>> outdated(alike, when, who, trust)
    array([ True, False, False])
    """
    newer = np.round(vectors @ vectors.T, DIGITS) >= ALIKE
    newer &= speaker[:, None] == speaker
    newer &= at[:, None] < at
    newer &= trust[:, None] <= trust
    return np.asarray(newer.any(axis=1))


def spread(
    scores: NDArray[np.float64], session: NDArray[np.int64], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places of the best rows, and the part of its score that each kept.

    Parameters
    ----------
    scores : (p,) float64
        All above zero.
    session : (p,) int64
        Session of each row.
    top_k : int
        How many to choose.

    Examples
    --------
    >>> places, kept = spread(np.array([1.0, 0.9, 0.8]), np.array([1, 1, 2]), 3)
    >>> places.tolist(), kept.tolist()
    ([0, 2, 1], [1.0, 1.0, 0.7])
    """
    kept = np.ones(len(scores))
    left = scores.copy()
    chosen: list[int] = []
    for _ in range(min(top_k, len(scores))):
        best = int(np.argmax(left))
        chosen.append(best)
        others = session == session[best]
        others[chosen] = False
        kept[others] *= SPREAD
        left = scores * kept
        left[chosen] = -1.0
    places = np.array(chosen, np.int64)
    return places, kept[places]
