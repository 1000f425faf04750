"""A memory with a person's history, to be attacked: what every attack begins with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from poison_attacks import Attack, Said, history

from mnemos import Memory, MnemosError
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

USER = "ana"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(slots=True)
class Session:
    """One memory under attack.

    Parameters
    ----------
    memory : Memory
        With the person's history in it.
    clock : SimClock
        Its clock.
    attack : Attack
        What is tried.
    folder : Path
        Where files of this session may lie.
    said : list of Said
        The history.
    ids : list of str
        Its memories, one for each.
    refused : list of str
        What Mnemos refused: the sorts of errors.
    """

    memory: Memory
    clock: SimClock
    attack: Attack
    folder: Path
    said: list[Said]
    ids: list[str]
    refused: list[str] = field(default_factory=list[str])

    def attempt(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Call as the attacker would: a refusal is noted, and gives None."""
        self.clock.advance(minutes=1)
        try:
            return call(*args, **more)
        except MnemosError as error:
            self.refused.append(type(error).__name__)
            return None

    def add(self, role: str, text: str, **more: Any) -> Any:
        """Add one message as the host does."""
        message = {"role": role, "content": text}
        for name in ("name", "caption"):
            if name in more:
                message[name] = more.pop(name)
        return self.attempt(self.memory.add, message, user_id=USER, **more)

    def tool(self) -> str | None:
        """Add the poisoned document as a tool's output, after a question; return its id."""
        self.add("user", "Please look that up for me.")
        receipt = self.add("tool", self.attack.document)
        return receipt.id if receipt else None

    def facts(self, count: int = 3) -> list[str]:
        """Return ids of memories that state something of the person's life."""
        found = [id for id, said in zip(self.ids, self.said, strict=True) if said.fact]
        return found[:count]

    def talk(self, said: list[Said]) -> list[str]:
        """Add a stretch of the history, each message with its own time; return the ids."""
        start = self.clock.now()
        messages = [
            {
                "role": item.role,
                "content": item.text,
                "timestamp": start + timedelta(days=item.day, minutes=place),
            }
            for place, item in enumerate(said)
        ]
        self.clock.advance(days=said[-1].day + 1)
        return list(self.memory.add(messages, user_id=USER).ids)


def open_memory(path: str | Path, seed: str, clock: SimClock, embedder: Any = None) -> Memory:
    """Open a memory that repeats with its seed."""
    return Memory(
        path,
        embedder=embedder or HashEmbedder(32),
        clock=clock,
        ids=SeededIds(seed),
        entropy=SeededEntropy(seed),
        background="off",
    )


@contextmanager
def session(
    attack: Attack, seed: str, *, file: bool = False, embedder: Any = None
) -> Generator[Session, None, None]:
    """Open a memory with the history of a person, to be attacked; ``file`` puts it on the medium."""
    clock = SimClock(START)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "memory.db" if file else ":memory:"
        with open_memory(path, seed, clock, embedder) as memory:
            made = Session(
                memory=memory, clock=clock, attack=attack, folder=folder, said=history(seed), ids=[]
            )
            made.ids = made.talk(made.said)
            yield made
