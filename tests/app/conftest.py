"""What the tests of the public calls share: both stores, and handles whose runs repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mnemos import Memory
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

Open = Callable[..., Memory]


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def open_at(clock: SimClock) -> Iterator[Open]:
    """Open handles with seeded ports; all are closed at the end."""
    opened: list[Memory] = []

    def make(path: str | Path = ":memory:", **options: Any) -> Memory:
        number = len(opened)
        ports = {
            "clock": clock,
            "ids": SeededIds(number),
            "entropy": SeededEntropy(number),
            "embedder": HashEmbedder(),
            "background": "off",  # or a run would hang on when a thread comes to its turn
        }
        memory = Memory(path, **(ports | options))
        opened.append(memory)
        return memory

    yield make
    for memory in opened:
        memory.close()


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a vault lies: nowhere, or in a file."""
    return ":memory:" if request.param == "memory" else str(tmp_path / "vault.db")


@pytest.fixture
def memory(open_at: Open, path: str) -> Memory:
    return open_at(path)
