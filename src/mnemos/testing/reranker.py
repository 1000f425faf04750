"""A reranker that gives the scores the test wrote for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from mnemos.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ScriptedReranker:
    """A :class:`mnemos.kernel.ports.Reranker` that scores texts by words written beforehand.

    Parameters
    ----------
    worth : mapping of str to float
        What each text gets for holding some words; what holds none has 0.
    name : str
        Its fingerprint.

    Examples
    --------
    >>> model = ScriptedReranker({"boat": 2, "red": -0.5})
    >>> model.score("Which boat?", ["a red boat", "a lamp"]).tolist()
    [1.5, 0.0]
    >>> model.asked
    [('Which boat?', ('a red boat', 'a lamp'))]
    """

    def __init__(
        self, worth: Mapping[str, float] = MappingProxyType({}), *, name: str = "scripted"
    ) -> None:
        self._worth = dict(worth)
        self._name = name
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        """The question and texts of every call so far."""
        self.failure: ModelError | None = None
        """What the next calls raise; None lets them answer."""

    @property
    def fingerprint(self) -> str:
        """Name recorded in the traces."""
        return self._name

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return for each text the sum of what its words are worth, ``(n,)``.

        Raises
        ------
        ModelError
            If a failure was set.
        """
        import numpy as np

        self.asked.append((question, tuple(texts)))
        if self.failure is not None:
            raise self.failure
        found = [
            sum(worth for words, worth in self._worth.items() if words in text) for text in texts
        ]
        return np.array(found, np.float32)
