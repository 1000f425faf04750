"""Memories and vectors out of a seed: the same million on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from mnemos.types import Draft, Header, Text

DIM = 384
TOPICS = 512
START = datetime(2025, 1, 1, tzinfo=UTC)


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


class PerturbedVectors:
    """Vectors like those of real text, as many as are wanted.

    Each is a mixture of two real vectors with noise that varies as they do, on the unit sphere.

    Parameters
    ----------
    real : (n, dim) float32
        Unit vectors of real texts.
    noise : float
        Share of the real spread that is added.
    """

    def __init__(self, real: NDArray[np.float32], *, noise: float = 0.35, seed: int = 1) -> None:
        self._real = real
        self._random = np.random.default_rng(seed)
        spread = np.cov(real.T) + 1e-6 * np.eye(real.shape[1])
        self._noise = noise * np.linalg.cholesky(spread).astype(np.float32).T

    def take(self, count: int) -> NDArray[np.float32]:
        """Return the next ``count`` vectors."""
        first, second = self._random.integers(0, len(self._real), (2, count))
        share = self._random.random((count, 1), np.float32) / 2
        rows = (1 - share) * self._real[first] + share * self._real[second]
        noise = self._random.standard_normal((count, self._real.shape[1]), np.float32)
        rows += noise @ self._noise
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
