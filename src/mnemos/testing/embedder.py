"""An embedder without weights: texts that share words are near each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from mnemos.kernel import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@lru_cache(maxsize=1 << 14)
def _direction(name: str, stem: str, dim: int) -> NDArray[np.float64]:
    import numpy as np

    seed = blake2b(f"{name}:{stem}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(dim)


class HashEmbedder:
    """A :class:`mnemos.kernel.ports.Embedder` that hashes stems into a vector.

    Every stem adds a fixed pseudo-random direction; the sum is scaled to unit length. Deterministic
    on every machine, needs no download, knows no meaning beyond shared stems.

    Parameters
    ----------
    dim : int
        Length of a vector.
    name : str
        Told apart by the fingerprint: embedders of different names have different directions.

    Examples
    --------
    >>> boat, ship, tax = HashEmbedder().embed(["a red boat", "red boats sail", "tax return"])
    >>> bool(boat @ ship > 0.5 > boat @ tax)
    True
    """

    def __init__(self, dim: int = 64, *, name: str = "hash") -> None:
        self._dim = dim
        self._name = name

    @property
    def fingerprint(self) -> str:
        """What makes the vectors: this fake, its length and the tokeniser's version."""
        return f"mnemos.testing/{self._name}-{self._dim}/{tokens.VERSION}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return one unit row per text, ``(n, dim)``, in the order given.

        A text without words has a direction of its own, so that every row has length one.
        """
        import numpy as np

        found = np.empty((len(texts), self._dim), np.float32)
        for row, text in zip(found, texts, strict=True):
            stems = tokens.query_terms(text) if query else tokens.terms(text)
            total = np.sum(
                [_direction(self._name, stem, self._dim) for stem in stems or [""]], axis=0
            )
            row[:] = total / np.linalg.norm(total)
        return found
