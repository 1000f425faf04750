"""Memories and vectors out of a seed: the same million on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnemos.app.config import read_embedder
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Embedder
from mnemos.types import Draft, Header, Text

DIM = 384
TOPICS = 512
START = datetime(2025, 1, 1, tzinfo=UTC)
BLOCK = 4_096
"""Rows that are generated together, each block from a seed of its own."""

Floats = NDArray[np.float32]


class GeneratedVectors:
    """An embedder without a model: a topic's direction plus noise, both from the text's hash.

    Vectors gather in 512 clusters, as those of real text do; one costs some microseconds.
    """

    fingerprint = "generated-vectors/1"
    dim = DIM

    def __init__(self, seed: int = 7) -> None:
        random = np.random.default_rng(seed)
        self._topics = random.standard_normal((TOPICS, DIM), np.float32)
        self._noise = random.standard_normal((65_536, DIM), np.float32)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return unit vectors, ``(n, 384)``."""
        digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
        numbers = np.frombuffer(b"".join(digests), np.uint32).reshape(-1, 2)
        rows = self._topics[numbers[:, 0] % TOPICS] + self._noise[numbers[:, 1] % 65_536]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Words:
    """Sentences of made-up words, as frequent as words are (Zipf)."""

    def __init__(self, seed: int = 11, vocabulary: int = 30_000) -> None:
        self._random = np.random.default_rng(seed)
        letters = np.array(list("aeioubcdfglmnprstv"))
        self.words = [
            "".join(self._random.choice(letters, size))
            for size in self._random.integers(3, 10, vocabulary)
        ]
        weights = 1.0 / np.arange(1, vocabulary + 1)
        self._weights = np.cumsum(weights / weights.sum())

    def sentence(self, least: int = 8, most: int = 40) -> str:
        """Return one sentence."""
        size = int(self._random.integers(least, most))
        picks = np.searchsorted(self._weights, self._random.random(size))
        return " ".join(self.words[min(int(pick), len(self.words) - 1)] for pick in picks)


def drafts(
    words: Words, count: int, *, speakers: Sequence[str] = ("Ana", "Ben")
) -> Iterator[Draft]:
    """Yield turns of two people in sessions of twenty, a few minutes apart."""
    for place in range(count):
        session, turn = divmod(place, 20)
        header = Header(
            speaker=speakers[place % len(speakers)],
            role="user",
            run_id=f"s{session}",
            happened_at=START + timedelta(days=session, minutes=3 * turn),
        )
        yield Draft(payload=Text(text=words.sentence()), header=header)


@dataclass(frozen=True, kw_only=True, slots=True)
class RealVectors:
    """Unit vectors of turns, ``(n, dim)``, and of questions about them, ``(m, dim)``."""

    source: str
    turns: Floats
    questions: Floats


def real_vectors(
    data: Path | None, *, most: int = 3_000, embedder: Embedder | None = None
) -> RealVectors:
    """Embed the turns and questions of LoCoMo, or without data those of the shipped conversation.

    Parameters
    ----------
    data : Path or None
        Where LoCoMo lies; None takes Harbour.
    most : int
        Turns, and questions, to embed at most: evenly spread over all there are.
    embedder : Embedder or None
        None takes the local model.

    Raises
    ------
    InvalidInput
        If there is no model, or not the data.
    """
    model = embedder or read_embedder("auto").get()
    if model is None:
        raise InvalidInput("real vectors need the local model; install it with: mnemos models add")
    task = "harbour" if data is None else "locomo"
    dialogues = get_task(task).load(data).dialogues
    turns = [
        index_text(draft.header, draft.payload)
        for dialogue in dialogues
        for draft in dialogue.drafts
    ]
    questions = [question.text for dialogue in dialogues for question in dialogue.questions]
    return RealVectors(
        source=task,
        turns=model.embed(_spread(turns, most)),
        questions=model.embed(_spread(questions, most), query=True),
    )


def _spread(texts: Sequence[str], most: int) -> list[str]:
    """Return at most so many texts, evenly spread, in their order."""
    step = max(len(texts) / most, 1.0)
    return [texts[int(place * step)] for place in range(min(len(texts), most))]


class PerturbedVectors:
    """As many vectors as wanted that lie about as real ones do.

    Each is a mixture of two seeds, leaning to one of them, plus noise with the covariance of the
    seeds, brought to length 1. It is for measuring codecs and indexes, whose recall depends on how
    vectors cluster and on how few directions hold most of their variance; uniform noise, which has
    neither, flatters some and wrongs others.

    Parameters
    ----------
    seeds : array of shape (n, dim)
        Real vectors of length 1, two at least.
    noise : float
        Length of the noise beside that of the mixture, at least 0. With 0.5, as many vectors as
        there are seeds keep the seeds' median cosine and share of variance in 128 directions, and
        come within 0.06 of their mean cosine to the nearest neighbour.
    seed : int
        Same seed, same vectors, whatever part of them is asked for.

    Examples
    --------
    >>> seeds = np.eye(3, dtype=np.float32)
    >>> vectors = PerturbedVectors(seeds)
    >>> [block.shape for block in vectors.blocks(5_000)]
    [(4096, 3), (904, 3)]
    >>> few, more = vectors.rows(2), vectors.rows(4_100)
    >>> bool((more[:2] == few).all())
    True
    """

    def __init__(self, seeds: Floats, *, noise: float = 0.5, seed: int = 23) -> None:
        if seeds.ndim != 2 or len(seeds) < 2:
            raise InvalidInput(f"seeds have the shape {seeds.shape}; give (n, dim), n at least 2")
        if noise < 0:
            raise InvalidInput(f"noise is {noise}; give 0 or more")
        self.dim = int(seeds.shape[1])
        self._seeds = np.ascontiguousarray(seeds, np.float32)
        self._noise = noise
        self._seed = seed
        # Rows of the centred seeds, mixed by independent normal weights, have their covariance.
        centred = self._seeds - self._seeds.mean(axis=0)
        spread = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
        root = spread.eigenvectors * np.sqrt(np.maximum(spread.eigenvalues, 0.0))
        self._shape = (root / max(float(np.linalg.norm(root)), 1e-12)).T.astype(np.float32)

    def blocks(self, rows: int) -> Iterator[Floats]:
        """Yield unit vectors, ``(at most 4096, dim)`` at a time, ``rows`` in all.

        No more than one block is held at a time.
        """
        for number, begin in enumerate(range(0, rows, BLOCK)):
            yield self._block(number)[: rows - begin]

    def rows(self, rows: int) -> Floats:
        """Return unit vectors, ``(rows, dim)``, in one array."""
        found = np.empty((rows, self.dim), np.float32)
        for number, block in enumerate(self.blocks(rows)):
            found[number * BLOCK : number * BLOCK + len(block)] = block
        return found

    def _block(self, number: int) -> Floats:
        random = np.random.default_rng((self._seed, number))
        one, other = random.integers(0, len(self._seeds), (2, BLOCK))
        share = random.uniform(0.5, 1.0, (BLOCK, 1)).astype(np.float32)
        mixed = share * self._seeds[one] + (1 - share) * self._seeds[other]
        mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
        noise = random.standard_normal((BLOCK, self.dim), np.float32) @ self._shape
        mixed += np.float32(self._noise) * noise
        return mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
