"""Mnemos through its public calls.

Variant ``messages`` gives it what a chat has: who said what, when, in which session. Variant
``flat`` gives it no more than the peers get: one text, no time, no speaker, no session.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from contract import Item, LookUp, Query
from numpy.typing import NDArray

from mnemos import Memory
from mnemos.memories.readers import read_messages
from mnemos.types import Draft


class LookedUp:
    """An embedder that looks up vectors; it strips the date Mnemos puts before a flat text."""

    fingerprint = "looked-up/1"

    def __init__(self, dim: int, look_up: LookUp, *, flat: bool) -> None:
        self.dim = dim
        self._look_up = look_up
        self._flat = flat

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        dated = self._flat and not query
        return np.stack(
            [self._look_up(text.partition("] ")[2] if dated else text) for text in texts]
        ).astype(np.float32)


class SetClock:
    """Shows the moment of asking, so that "last week" means what it meant."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def now(self) -> datetime:
        return self.moment or datetime.now(UTC)


class Messages:
    """Messages with their speaker, time, session and caption."""

    def __init__(self, memory: Memory, clock: SetClock) -> None:
        self._memory = memory
        self._clock = clock
        self._turns: dict[str, str] = {}

    def add(self, item: Item) -> None:
        self._memory.add(_message(item), user_id=item.user, run_id=item.session)

    def add_all(self, items: Sequence[Item]) -> None:
        self._memory.add_many(list(map(_draft, items)), user_id=items[0].user)

    def finish(self) -> None:
        """Everything is there when a call returns."""

    def search(self, query: Query, k: int) -> list[str]:
        if query.asked_at is not None:
            self._clock.moment = datetime.fromisoformat(query.asked_at)
        hits = self._memory.search(query.text, user_id=query.user, top_k=k)
        return [hit.cube.header.external_id or "" for hit in hits]

    def close(self) -> None:
        self._memory.close()


class Flat(Messages):
    """Texts and nothing else."""

    def add(self, item: Item) -> None:
        self._memory.add(item.text, user_id=item.user, external_id=item.id)


def _message(item: Item) -> dict[str, object]:
    message = {
        "role": item.role or "user",
        "content": item.words,
        "name": item.speaker,
        "caption": item.caption,
        "timestamp": item.said_at,
        "id": item.id,
    }
    return {key: value for key, value in message.items() if value is not None}


def _draft(item: Item) -> Draft:
    assert item.said_at is not None
    moment = datetime.fromisoformat(item.said_at)
    (draft,) = read_messages(
        _message(item), happened_at=moment, zone=UTC, run_id=item.session, agent_id=None
    )
    return draft


def open_store(folder: Path, dim: int, look_up: LookUp, variant: str) -> Messages:
    clock = SetClock()
    flat = variant == "flat"
    embedder = LookedUp(dim, look_up, flat=flat)
    memory = Memory(folder / "memory.db", embedder=embedder, clock=clock)
    return (Flat if flat else Messages)(memory, clock)
