"""What an adapter is given and what it must offer; it runs inside the environment of its peer.

An adapter is a file in ``adapters/`` with a function ``open_store(folder, dim, look_up, variant)``
that returns a :class:`Store`. Nothing here or in an adapter of a peer imports mnemos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One memory: the text every peer gets, its vector, and the parts the text was made from.

    Parameters
    ----------
    id : str
        Unique over all users.
    user : str
        Whose memory.
    text : str
        Date, speaker, words and caption, as Mnemos indexes them.
    vector : (dim,) float32
        Unit vector of ``text``.
    words, speaker, role, caption, session, said_at : str or None
        The parts, for a store that has a place for them.
    """

    id: str
    user: str
    text: str
    vector: Any
    words: str
    speaker: str | None = None
    role: str | None = None
    caption: str | None = None
    session: str | None = None
    said_at: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question: of whom, in which words, their unit vector, and the moment of asking."""

    user: str
    text: str
    vector: Any
    asked_at: str | None = None


LookUp = Callable[[str], Any]
"""The stand-in for an embedding model: returns the vector computed beforehand for a text."""


class Store(Protocol):
    """A peer, opened."""

    def add(self, item: Item) -> None:
        """Remember one item; returning is the acknowledgement."""
        ...

    def add_all(self, items: Sequence[Item]) -> None:
        """Remember the items of one user by the peer's own call for many."""
        ...

    def finish(self) -> None:
        """Do what the peer wants done after writing (build, save); its time counts as ingest."""
        ...

    def search(self, query: Query, k: int) -> list[str]:
        """Return the ids of the ``k`` best memories of the user, best first."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


OpenStore = Callable[[Path, int, LookUp, str], Store]
