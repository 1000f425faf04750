"""LangGraph's stores: ``memory`` is InMemoryStore, ``sqlite`` is SqliteStore; a namespace a user.

Each searches by meaning through the function given as ``index["embed"]``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract import Item, LookUp, Query
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore


class Namespaces:
    def __init__(self, store: Any) -> None:
        self._store = store

    def add(self, item: Item) -> None:
        self._store.put(("memories", item.user), item.id, {"text": item.text})

    def add_all(self, items: Sequence[Item]) -> None:
        self._store.batch(
            [PutOp(("memories", item.user), item.id, {"text": item.text}) for item in items]
        )

    def finish(self) -> None:
        """Everything is there when a call returns."""

    def search(self, query: Query, k: int) -> list[str]:
        found = self._store.search(("memories", query.user), query=query.text, limit=k)
        return [item.key for item in found]

    def close(self) -> None:
        """Nothing is held but memory, or a connection that ends with the process."""


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Namespaces:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [look_up(text).tolist() for text in texts]

    index = {"dims": dim, "embed": embed, "fields": ["text"]}
    if variant == "memory":
        return Namespaces(InMemoryStore(index=index))
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        message = "skipped: SqliteStore needs loadable SQLite extensions, this Python has none"
        raise RuntimeError(message)
    from langgraph.store.sqlite import SqliteStore

    connection = sqlite3.connect(folder / "store.db", check_same_thread=False, isolation_level=None)
    store = SqliteStore(connection, index=index)
    store.setup()
    return Namespaces(store)
