"""Chroma, kept in a folder: one collection, cosine, filtered by user; vectors given directly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings
from contract import Item, LookUp, Query


class Chroma:
    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def add(self, item: Item) -> None:
        self.add_all([item])

    def add_all(self, items: Sequence[Item]) -> None:
        self._collection.add(
            ids=[item.id for item in items],
            documents=[item.text for item in items],
            embeddings=[item.vector for item in items],
            metadatas=[{"user": item.user} for item in items],
        )

    def finish(self) -> None:
        """Everything is there when a call returns."""

    def search(self, query: Query, k: int) -> list[str]:
        found = self._collection.query(
            query_embeddings=[query.vector],
            n_results=k,
            where={"user": query.user},
            include=["distances"],
        )
        return list(found["ids"][0])

    def close(self) -> None:
        """Chroma has nothing to close."""


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Chroma:
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    collection = client.get_or_create_collection(
        "memories", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )
    return Chroma(collection)
