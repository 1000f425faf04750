"""MemOS ``general_text`` on Qdrant in a folder: its search knows no user, so a store a user.

That is how MemOS divides memories, a cube for each. The model that would extract is never called:
``add`` takes items as they are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contract import Item, LookUp, Query


class MemOS:
    def __init__(self, folder: Path, dim: int, look_up: LookUp) -> None:
        self._folder = folder
        self._dim = dim
        self._embedder = SimpleNamespace(
            embed=lambda texts: [look_up(text).tolist() for text in texts]
        )
        self._opened: dict[str, Any] = {}

    def _of(self, user: str) -> Any:
        if user not in self._opened:
            from memos.configs.memory import GeneralTextMemoryConfig
            from memos.memories.textual.general import GeneralTextMemory

            memory = GeneralTextMemory(
                GeneralTextMemoryConfig(**_configuration(self._folder / user, self._dim))
            )
            memory.embedder = self._embedder
            self._opened[user] = memory
        return self._opened[user]

    def add(self, item: Item) -> None:
        self.add_all([item])

    def add_all(self, items: Sequence[Item]) -> None:
        self._of(items[0].user).add(
            [
                {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_OID, item.id)),
                    "memory": item.text,
                    "metadata": {"tags": [item.id]},
                }
                for item in items
            ]
        )

    def finish(self) -> None:
        """Everything is there when a call returns."""

    def search(self, query: Query, k: int) -> list[str]:
        found = self._of(query.user).search(query.text, top_k=k)
        return [item.metadata.tags[0] for item in found]

    def close(self) -> None:
        for memory in self._opened.values():
            memory.vector_db.client.close()


def _configuration(folder: Path, dim: int) -> dict[str, Any]:
    model = {"model_name_or_path": "none", "api_key": "none"}
    return {
        "extractor_llm": {"backend": "openai", "config": model | {"api_base": "http://localhost"}},
        "embedder": {"backend": "universal_api", "config": model | {"provider": "openai"}},
        "vector_db": {
            "backend": "qdrant",
            "config": {
                "collection_name": "memories",
                "vector_dimension": dim,
                "distance_metric": "cosine",
                "path": str(folder),
            },
        },
    }


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> MemOS:
    os.environ["MEMOS_BASE_PATH"] = str(folder / "logs")
    import memos.memories.textual.general  # loads everything now, not with the first memory

    assert memos.memories.textual.general
    return MemOS(folder, dim, look_up)
