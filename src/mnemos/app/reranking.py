"""Putting the best hits into the order of a model that reads each with the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnemos.errors import ModelError
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Reranker
from mnemos.types import MemCube

LEAST = 20
"""Hits that are read again at least: more than are asked for, so that one from below can rise."""

IN_CONTEXT = 40
"""Hits that are read again for a context, which packs about as many."""


def depth(top_k: int) -> int:
    """Return how many hits are read again for an answer of ``top_k``.

    >>> depth(5), depth(50)
    (20, 100)
    """
    return max(LEAST, 2 * top_k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reordered:
    """What became of some hits.

    Parameters
    ----------
    places : tuple of int
        Places of the hits as they were, best first.
    scores : tuple of float
        The model's score of each of these; empty if it failed or there was none.
    note : str
        Why the order is as it was, where the model failed.
    """

    places: tuple[int, ...]
    scores: tuple[float, ...] = ()
    note: str = ""


def reorder(reranker: Reranker | None, question: str, cubes: Sequence[MemCube]) -> Reordered:
    """Return the order a model gives to hits; one that fails leaves it as it is.

    The model reads what is indexed: the words with who said them and when. Equal scores keep the
    order they had.

    Raises
    ------
    ModelError
        If the scores are not one finite number for each text: no failure, but the wrong model.
    """
    as_it_was = tuple(range(len(cubes)))
    if reranker is None or not cubes:
        return Reordered(places=as_it_was)
    texts = [index_text(cube.header, cube.payload) for cube in cubes]
    try:
        found = reranker.score(question, texts)
    except ModelError as error:
        return Reordered(
            places=as_it_was, note=f"the reranker failed: the order is as it was ({error})"
        )
    scores = _checked(found, len(texts), reranker.fingerprint)
    places = tuple(sorted(as_it_was, key=lambda place: -scores[place]))
    return Reordered(places=places, scores=tuple(scores[place] for place in places))


def _checked(found: object, count: int, fingerprint: str) -> list[float]:
    import numpy as np

    try:
        scores = np.asarray(found, np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"reranker {fingerprint!r} returned a {type(found).__name__} that is no array of "
            f"numbers; it must return one score for each of the {count} texts"
        ) from error
    if scores.shape != (count,):
        raise ModelError(
            f"reranker {fingerprint!r} returned an array of shape {scores.shape} where {(count,)} "
            "was due; it must return one score per text (a classifier of several labels is no "
            "reranker)"
        )
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ModelError(
            f"reranker {fingerprint!r} returned {scores[place]} for text {place} of {count}; "
            "scores must be finite: open the memory without reranker= until it is mended"
        )
    return scores.tolist()
