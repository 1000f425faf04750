"""mem0 without its LLM (``infer=False``), on Qdrant in a folder.

Variant ``plain`` is what ``pip install mem0ai`` gives: meaning only. Variant ``hybrid`` is a
STAND-IN for what mem0 does where fastembed's ``Qdrant/bm25`` files and spaCy's model can be
downloaded: the same encoder with a list of stop words of our own, no lemmatiser, no entities.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contract import Item, LookUp, Query

STOP_WORDS = frozenset(
    "a about above after again all am an and any are as at be because been before being below "
    "between both but by can did do does doing down during each few for from further had has have "
    "having he her here hers herself him himself his how i if in into is it its itself just me "
    "more most my myself no nor not now of off on once only or other our ours out over own same "
    "she should so some such than that the their theirs them then there these they this those "
    "through to too under until up very was we were what when where which while who whom why will "
    "with you your yours".split()
)
"""Function words of English: not Qdrant's own list."""


class Mem0:
    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def add(self, item: Item) -> None:
        self._memory.add(
            item.text, user_id=item.user, infer=False, metadata={"external_id": item.id}
        )

    def finish(self) -> None:
        """Everything is there when a call returns."""

    def search(self, query: Query, k: int) -> list[str]:
        # The default threshold of 0.1 would leave out candidates: every peer may return k.
        found = self._memory.search(
            query.text, filters={"user_id": query.user}, top_k=k, threshold=0.0
        )
        return [hit["metadata"]["external_id"] for hit in found["results"]]

    def close(self) -> None:
        self._memory.vector_store.client.close()
        self._memory.close()


def _configuration(folder: Path, dim: int) -> dict[str, Any]:
    return {
        "vector_store": {
            "provider": "qdrant",
            "config": {
                "path": str(folder / "qdrant"),
                "on_disk": True,
                "embedding_model_dims": dim,
                "collection_name": "memories",
            },
        },
        # Never called: vectors are looked up, and infer=False asks no model.
        "llm": {"provider": "openai", "config": {"api_key": "none"}},
        "embedder": {"provider": "openai", "config": {"api_key": "none"}},
        "history_db_path": str(folder / "history.db"),
    }


def _encoder(folder: Path) -> Any:
    """Return fastembed's BM25 encoder without its download."""
    from fastembed import SparseTextEmbedding

    files = folder / "bm25"
    files.mkdir(exist_ok=True)
    (files / "english.txt").write_text("\n".join(sorted(STOP_WORDS)), "utf-8")
    return SparseTextEmbedding("Qdrant/bm25", specific_model_path=str(files))


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Mem0:
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ["MEM0_DIR"] = str(folder / "mem0")
    from mem0 import Memory

    memory = Memory.from_config(_configuration(folder, dim))
    memory.embedding_model = SimpleNamespace(
        embed=lambda text, memory_action=None: look_up(text).tolist(),
        embed_batch=lambda texts, memory_action=None: [look_up(text).tolist() for text in texts],
    )
    if variant == "hybrid":
        memory.vector_store._bm25_encoder = _encoder(folder)
    elif "fastembed" in sys.modules:
        message = "fastembed is installed where mem0 is to be measured without it"
        raise RuntimeError(message)
    return Mem0(memory)
