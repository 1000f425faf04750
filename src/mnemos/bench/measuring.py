"""Ports for a run that can be repeated: a set clock, seeded ids and salts, a timed embedder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

import numpy as np
from numpy.typing import NDArray

from mnemos.kernel.ports import Embedder, known_scripts


@dataclass(slots=True)
class SetClock:
    """A clock that shows the moment it was set to."""

    moment: datetime

    def now(self) -> datetime:
        """Return the moment set."""
        return self.moment


@dataclass(frozen=True, slots=True)
class Seeded:
    """Ids and salts from a seed; the vaults of a run are thrown away, so nothing is secret.

    >>> from random import Random
    >>> Seeded(Random(0)).fresh() == Seeded(Random(0)).fresh()
    True
    """

    random: Random

    def fresh(self) -> str:
        """Return 32 hexadecimal digits."""
        return f"{self.random.getrandbits(128):032x}"

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes."""
        return self.random.randbytes(count)


@dataclass(slots=True)
class Spent:
    """Seconds spent: by the wall clock, and by the processor over all threads."""

    wall: float = 0.0
    cpu: float = 0.0


class Timed:
    """An embedder that notes what its calls take.

    Parameters
    ----------
    inner : Embedder
        Does the work.
    """

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._spent = Spent()

    @property
    def fingerprint(self) -> str:
        """The inner one's."""
        return self._inner.fingerprint

    @property
    def dim(self) -> int:
        """The inner one's."""
        return self._inner.dim

    @property
    def scripts(self) -> frozenset[str] | None:
        """The inner one's."""
        return known_scripts(self._inner)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return the inner one's vectors."""
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = self._inner.embed(texts, query=query)
        self._spent.wall += time.perf_counter() - wall
        self._spent.cpu += time.process_time() - cpu
        return vectors

    def take(self) -> Spent:
        """Return what was spent since the last call of this, and begin anew."""
        spent, self._spent = self._spent, Spent()
        return spent


def take(embedder: Timed | None) -> Spent:
    """Return what an embedder spent; nothing where there is none."""
    return Spent() if embedder is None else embedder.take()
