"""The floor of words: BM25 in memory, as ``mnemos bench`` prints it beside every figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract import Item, LookUp, Query

from mnemos.bench.bm25_floor import BM25Floor


class Floor:
    """One index for each user, built when all is there."""

    def __init__(self) -> None:
        self._items: dict[str, list[Item]] = {}
        self._built: dict[str, BM25Floor] = {}

    def add(self, item: Item) -> None:
        self._items.setdefault(item.user, []).append(item)

    def add_all(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def finish(self) -> None:
        self._built = {
            user: BM25Floor([item.text for item in items]) for user, items in self._items.items()
        }

    def search(self, query: Query, k: int) -> list[str]:
        items = self._items[query.user]
        return [items[place].id for place in self._built[query.user].search(query.text, k)]

    def close(self) -> None:
        self._items.clear()


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Floor:
    return Floor()
