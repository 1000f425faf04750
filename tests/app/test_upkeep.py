"""Opening, looking after and repeating a vault, through the public calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnemos import Draft, Header, Memory, Text
from mnemos.errors import (
    MnemosError,
    StoreClosed,
)
from mnemos.kernel import schema
from mnemos.testing import SimClock

Open = Callable[..., Memory]


def turn(text: str, **header: Any) -> Draft:
    return Draft(payload=Text(text=text), header=Header(**header))


# --- opening, upkeep -------------------------------------------------------------------------


def test_everything_is_there_after_reopening(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    with open_at(file) as memory:
        id = memory.add("Ana lives in Porto", user_id="ana").id
        memory.update(id, "Ana lives in Lisbon")
        before = (memory.history(id), memory.get_all(user_id="ana"), memory.stats().events)
    memory = open_at(str(file))
    assert (memory.history(id), memory.get_all(user_id="ana"), memory.stats().events) == before
    assert memory.verify().problems == []


def test_stats_count_what_there_is(memory: Memory, path: str) -> None:
    empty = memory.stats()
    assert (empty.memories, empty.versions, empty.subjects, empty.events) == (0, 0, 0, 0)
    assert (empty.embedder, empty.vectors_pending) == (None, False)
    id = memory.add("one", user_id="ana").id
    memory.update(id, "two")
    memory.add("three")
    full = memory.stats()
    assert (full.memories, full.versions, full.subjects, full.events) == (2, 3, 2, 3)
    assert full.bytes > 0
    assert full.embedder is not None
    assert full.store["engine"].startswith("memory" if path == ":memory:" else "sqlite")


def test_verify_counts_events_and_calls_back(memory: Memory) -> None:
    seen: list[int] = []
    id = memory.add("one", user_id="ana").id
    memory.update(id, "two")
    memory.add("three", user_id="ana")
    memory.forget(id)
    report = memory.verify(progress=seen.append)
    assert (report.events, report.contents, report.erased, report.ok) == (4, 1, 2, True)
    assert seen == [1] * 4


CALLS: dict[str, Callable[[Memory], object]] = {
    "add": lambda memory: memory.add("x"),
    "add_many": lambda memory: memory.add_many([turn("x")]),
    "update": lambda memory: memory.update("0" * 32, "x"),
    "forget": lambda memory: memory.forget("0" * 32),
    "delete_all": lambda memory: memory.delete_all(user_id="ana"),
    "search": lambda memory: memory.search("x"),
    "context": lambda memory: memory.context("x"),
    "get": lambda memory: memory.get("0" * 32),
    "get_all": lambda memory: memory.get_all(user_id="ana"),
    "history": lambda memory: memory.history("0" * 32),
    "stats": lambda memory: memory.stats(),
    "verify": lambda memory: memory.verify(),
    "reembed": lambda memory: memory.reembed(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_handle_says_so(memory: Memory, name: str) -> None:
    memory.close()
    memory.close()
    with pytest.raises(StoreClosed, match="open"):
        CALLS[name](memory)


def test_the_table_of_calls_is_whole() -> None:
    public = {name for name in vars(Memory) if not name.startswith("_")}
    assert public - CALLS.keys() == {"begin", "close", "delete", "ingest"}


# --- the same input makes the same store -----------------------------------------------------


def _script(memory: Memory, clock: SimClock) -> None:
    ids = memory.add(
        [{"role": "user", "content": f"turn {n}"} for n in range(5)], user_id="ana", run_id="s1"
    ).ids
    clock.advance(hours=1)
    memory.update(ids[0], "turn 0, again", metadata={"a": 1})
    memory.add("big " * 270_000, user_id="ana", external_id="e1")
    memory.forget(ids[1])
    with memory.begin() as tx:
        tx.add("staged", user_id="bob")
        tx.search("staged", user_id="bob")
    memory.search("turn", user_id="ana")
    with pytest.raises(MnemosError):
        memory.add("other", user_id="ana", external_id="e1")
    memory.delete_all(user_id="bob")


def _head(memory: Memory) -> bytes:
    with memory._vault.store.read() as tx:
        (head,) = tx.scan(schema.HEADS, ())
    return head.hash


def test_seeded_ports_give_the_same_journal_on_every_store(tmp_path: Path) -> None:
    from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds

    heads: list[bytes] = []
    for path in (":memory:", tmp_path / "one.db", tmp_path / "two.db"):
        clock = SimClock()
        ports = {"clock": clock, "ids": SeededIds(1), "entropy": SeededEntropy(1)}
        with Memory(path, embedder=HashEmbedder(), **ports) as memory:
            _script(memory, clock)
            heads.append(_head(memory))
            assert memory.verify().problems == []
    assert len(set(heads)) == 1
