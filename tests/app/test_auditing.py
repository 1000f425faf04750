"""Who read what: counted for nothing, or journalled before the answer is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnemos import Memory
from mnemos.errors import Forbidden, StoreFull
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import (
    HashEmbedder,
    RaiseAt,
    SeededEntropy,
    SeededIds,
    SimClock,
)

Open = Callable[..., Memory]
ANA = {"user_id": "ana"}


@pytest.fixture
def audited(memory: Memory) -> Memory:
    memory.set_audit("audited", **ANA)
    return memory


def counts(memory: Memory) -> list[tuple[str, str, int, int]]:
    found = memory.read_counts(**ANA)
    return [(item.principal, item.call, item.calls, item.memories) for item in found]


# --- counted -----------------------------------------------------------------------------------


def test_reads_are_counted_by_day_principal_and_call(memory: Memory, clock: SimClock) -> None:
    ids = [memory.add(f"boat {n}", **ANA).id for n in range(3)]
    memory.grant("user:ben", "read", **ANA)
    memory.search("boat", **ANA)
    memory.search("boat", top_k=1, **ANA)
    memory.acting_as("user:ben").get(ids[0])
    clock.advance(days=1)
    memory.get_all(**ANA)
    found = memory.read_counts(**ANA)
    assert sorted(
        (item.day, item.principal, item.call, item.calls, item.memories) for item in found
    ) == [
        ("2026-01-01", "owner", "search", 2, 4),
        ("2026-01-01", "user:ben", "get", 1, 1),
        ("2026-01-02", "owner", "get_all", 1, 3),
    ]
    assert memory.reads(**ANA) == []
    assert memory.verify().problems == []


def test_counting_writes_nothing_before_the_next_commit(open_at: Open, tmp_path: Path) -> None:
    memory = open_at(tmp_path / "v.db")
    memory.add("boat", **ANA)
    before = memory.verify().events
    for _ in range(5):
        memory.search("boat", **ANA)

    def stored() -> list[Any]:
        with memory._vault.store.read(SYSTEM) as tx:
            return list(tx.scan(schema.READS, ()))

    assert stored() == []
    memory.add("another", **ANA)
    assert [row.calls for row in stored()] == [5]
    assert memory.verify().events == before + 1


def test_counts_are_kept_by_closing_and_lost_in_a_crash(open_at: Open, tmp_path: Path) -> None:
    with open_at(tmp_path / "v.db") as memory:
        memory.add("boat", **ANA)
        memory.search("boat", **ANA)
    crashed = open_at(tmp_path / "v.db")
    crashed.search("boat", **ANA)  # its buffer goes with the process
    again = open_at(tmp_path / "v.db")
    assert counts(again) == [("owner", "search", 1, 1)]


def test_what_failed_is_not_counted(memory: Memory) -> None:
    memory.add("boat", **ANA)
    with pytest.raises(Forbidden):
        memory.acting_as("user:ben").search("boat", **ANA)
    assert counts(memory) == []


# --- audited -----------------------------------------------------------------------------------


CALLS: dict[str, Callable[[Memory, str], object]] = {
    "search": lambda m, id: m.search("boat", **ANA),
    "context": lambda m, id: m.context("boat", **ANA),
    "get": lambda m, id: m.get(id),
    "get_all": lambda m, id: m.get_all(**ANA),
    "history": lambda m, id: m.history(id),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_audited_read_says_who_read_what_how_and_why(audited: Memory, call: str) -> None:
    id = audited.add("the boat is called Alma", **ANA).id
    audited.grant("user:ben", "read", **ANA)
    CALLS[call](audited.acting_as("user:ben", reason="a call of hers"), id)
    (note,) = audited.reads(**ANA)
    assert (note.principal, note.call, note.subject) == ("user:ben", call, "user:ana")
    assert (note.ids, note.memories, note.reason) == ((id,), 1, "a call of hers")
    assert note.cost.get("rows") == (1 if call in ("search", "context") else None)
    assert (note.cost.get("tokens", 0) > 0) == (call == "context")
    assert "boat" not in str(note), "what was asked and said is not noted"
    assert audited.verify().problems == []


def test_what_waits_and_what_is_revealed_is_noted_too(audited: Memory, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    id = audited.add("boat", **ANA).id
    audited.reveal(id, key=tmp_path / "key")
    audited.quarantine(id)
    audited.quarantined(**ANA)
    assert [(note.call, note.ids) for note in audited.reads(**ANA)] == [
        ("reveal", (id,)),
        ("quarantined", (id,)),
    ]


def test_reads_are_found_by_principal_memory_and_time(audited: Memory, clock: SimClock) -> None:
    a, b = (audited.add(word, **ANA).id for word in ("boat", "tax"))
    audited.get(a)
    clock.advance(hours=1)
    audited.acting_as("user:ana").get(b)
    clock.advance(hours=1)
    audited.get(b)

    def calls(**words: Any) -> list[tuple[str, ...]]:
        return [(note.principal, *note.ids) for note in audited.reads(**ANA, **words)]

    every = [("owner", a), ("user:ana", b), ("owner", b)]
    assert calls() == every
    assert calls(newest_first=True) == every[::-1]
    assert calls(principal="owner") == [every[0], every[2]]
    assert calls(id=b) == every[1:]
    assert calls(since="2026-01-01T00:30", until="2026-01-01T01:30") == [every[1]]
    assert calls(limit=1) == every[:1]


def test_an_audit_of_the_whole_tenant_holds_where_a_scope_says_nothing(memory: Memory) -> None:
    for user in ("ana", "ben"):
        memory.add("boat", user_id=user)
    memory.set_audit("audited", everywhere=True)
    memory.set_audit("counted", user_id="ben")
    for user in ("ana", "ben"):
        memory.search("boat", user_id=user)
    assert len(memory.reads(**ANA)) == 1
    assert memory.reads(user_id="ben") == []
    assert [item.calls for item in memory.read_counts(user_id="ben")] == [1]


def test_a_read_that_cannot_be_noted_is_not_answered(tmp_path: Path) -> None:
    faults = RaiseAt(0, StoreFull("no room"), step="commit")
    with Memory(
        store=SQLiteStore(tmp_path / "v.db", faults=faults),
        embedder=HashEmbedder(8),
        background="off",
    ) as memory:
        id = memory.add("the boat is called Alma", **ANA).id
        memory.set_audit("audited", **ANA)
        for call in CALLS.values():
            faults.left = 1
            with pytest.raises(StoreFull) as caught:
                call(memory, id)
            assert "Alma" not in str(caught.value)
        faults.left = 0
        assert memory.reads(**ANA) == []
        assert memory.search("boat", **ANA)[0].id == id
        assert len(memory.reads(**ANA)) == 1
        assert memory.verify().problems == []


def test_nobody_needs_a_right_to_be_noted(audited: Memory) -> None:
    audited.add("boat", **ANA)
    audited.grant("user:ben", "read", **ANA)
    ben = audited.acting_as("user:ben")
    ben.search("boat", **ANA)
    with pytest.raises(Forbidden, match="admin"):
        ben.reads(**ANA)
    with pytest.raises(Forbidden, match="admin"):
        ben.set_audit("counted", **ANA)
    assert [note.principal for note in audited.reads(**ANA)] == ["user:ben"]


def test_a_search_that_finds_nothing_is_noted(audited: Memory) -> None:
    audited.add("boat", **ANA)
    audited.get_all(kinds="fact", **ANA)
    assert [(note.ids, note.memories) for note in audited.reads(**ANA)] == [((), 0)]


# --- how long ----------------------------------------------------------------------------------


def test_notes_are_erased_after_their_time_by_the_sweeper(memory: Memory, clock: SimClock) -> None:
    memory.set_audit("audited", keep="30d", **ANA)
    id = memory.add("boat", **ANA).id
    memory.acting_as("owner", reason="the old reason").get(id)
    clock.advance(days=20)
    memory.acting_as("owner", reason="the new reason").get(id)
    memory.sweep()
    assert len(memory.reads(**ANA)) == 2
    clock.advance(days=11)
    memory.sweep()
    assert [note.reason for note in memory.reads(**ANA)] == ["the new reason"]
    left = [entry for entry in memory.log(**ANA) if entry.verb == "read"]
    assert [entry.content_erased for entry in left] == [True, False]
    assert "the old reason" not in str(left)
    assert memory.verify().problems == []


def test_notes_are_dropped_on_request_and_leave_the_file(
    open_at: Open, tmp_path: Path, clock: SimClock
) -> None:
    memory = open_at(tmp_path / "v.db")
    memory.set_audit("audited", **ANA)
    id = memory.add("boat", **ANA).id
    memory.acting_as("owner", reason="because of the diagnosis").get(id)
    clock.advance(days=2)
    memory.get(id)
    receipt = memory.drop_reads(older_than="1d", **ANA)
    assert len(receipt.forgotten) == 1
    assert [note.reason for note in memory.reads(**ANA)] == [None]
    memory._vault.scrub()
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"diagnosis" not in held
    assert memory.verify().problems == []


def test_notes_go_with_the_last_memory_of_a_subject(audited: Memory) -> None:
    audited.get(audited.add("boat", **ANA).id)
    audited.delete_all(**ANA)
    assert audited.reads(**ANA) == []
    assert audited.verify().problems == []


def test_two_runs_of_an_audited_vault_write_the_same_journal(tmp_path: Path) -> None:
    heads: list[bytes] = []
    for path in (":memory:", tmp_path / "one.db", tmp_path / "two.db"):
        clock = SimClock()
        ports = {"clock": clock, "ids": SeededIds(1), "entropy": SeededEntropy(1)}
        with Memory(path, embedder=HashEmbedder(8), background="off", **ports) as memory:
            memory.set_audit("audited", keep="1d", everywhere=True)
            ids = [memory.add(f"boat {n}", **ANA).id for n in range(3)]
            memory.grant("user:ben", "read", **ANA)
            for who in (memory, memory.acting_as("user:ben", reason="why")):
                who.search("boat", **ANA)
                who.context("boat", **ANA)
                who.get(ids[0])
            clock.advance(days=2)
            memory.sweep()
            with memory._vault.store.read(SYSTEM) as tx:
                heads += [head.hash for head in tx.scan(schema.HEADS, ())]
            assert memory.verify().problems == []
    assert len(heads) == 3
    assert len(set(heads)) == 1
