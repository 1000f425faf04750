"""The floor of meaning: exact cosine over one array in memory for each user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contract import Item, LookUp, Query


class Floor:
    """The vectors of each user, stacked when all are there."""

    def __init__(self) -> None:
        self._items: dict[str, list[Item]] = {}
        self._stacked: dict[str, Any] = {}

    def add(self, item: Item) -> None:
        self._items.setdefault(item.user, []).append(item)

    def add_all(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def finish(self) -> None:
        self._stacked = {
            user: np.stack([item.vector for item in items]) for user, items in self._items.items()
        }

    def search(self, query: Query, k: int) -> list[str]:
        scores = self._stacked[query.user] @ query.vector
        order = np.argsort(-scores, kind="stable")[:k]
        return [self._items[query.user][place].id for place in order]

    def close(self) -> None:
        self._items.clear()


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Floor:
    return Floor()
