"""Ids and salts that repeat: two runs with one seed write the same store."""

from __future__ import annotations

from random import Random


class SeededIds:
    """A :class:`mnemos.kernel.ports.Ids` that starts over with its seed.

    Parameters
    ----------
    seed : int or str
        Equal seeds give equal ids.

    Examples
    --------
    >>> SeededIds(7).fresh() == SeededIds(7).fresh()
    True
    >>> ids = SeededIds(7)
    >>> ids.fresh() == ids.fresh()
    False
    """

    def __init__(self, seed: int | str = 0) -> None:
        self._random = Random(f"ids:{seed}")

    def fresh(self) -> str:
        """Return an id never returned before: 32 lower-case hexadecimal digits."""
        return f"{self._random.getrandbits(128):032x}"


class SeededEntropy:
    """A :class:`mnemos.kernel.ports.Entropy` that can be foretold: for tests only.

    Parameters
    ----------
    seed : int or str
        Equal seeds give equal bytes.

    Examples
    --------
    >>> SeededEntropy(7).bytes(4) == SeededEntropy(7).bytes(4)
    True
    """

    def __init__(self, seed: int | str = 0) -> None:
        self._random = Random(f"entropy:{seed}")

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes."""
        return self._random.randbytes(count)
