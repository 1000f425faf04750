"""txtai: one index with content, filtered by user in SQL, vectors through its ``external`` hook.

What was added lies in memory and in a temporary database until ``save``; ``finish`` saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contract import Item, LookUp, Query
from txtai import Embeddings


class Txtai:
    def __init__(self, embeddings: Any, path: Path) -> None:
        self._embeddings = embeddings
        self._path = path

    def add(self, item: Item) -> None:
        self.add_all([item])

    def add_all(self, items: Sequence[Item]) -> None:
        self._embeddings.upsert(
            [(item.id, {"text": item.text, "user": item.user}, None) for item in items]
        )

    def finish(self) -> None:
        self._embeddings.save(str(self._path))

    def search(self, query: Query, k: int) -> list[str]:
        # All are candidates: with fewer, a user's memories would be lost among the others'.
        everything = self._embeddings.count()
        found = self._embeddings.search(
            f"select id from txtai where similar(:words, {everything}) and user = :user",
            limit=k,
            parameters={"words": query.text, "user": query.user},
        )
        return [hit["id"] for hit in found]

    def close(self) -> None:
        self._embeddings.close()


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Txtai:
    def transform(texts: Sequence[str]) -> Any:
        return np.stack([look_up(text) for text in texts])

    embeddings = Embeddings(method="external", transform=transform, content=True)
    path = folder / "index"
    if embeddings.exists(str(path)):
        # A saved index remembers the function by name only; it is handed in again.
        embeddings.load(str(path), config={"transform": transform})
    return Txtai(embeddings, path)
