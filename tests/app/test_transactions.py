"""Calls made together: staged, seen inside, durable at the end or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mnemos import Memory
from mnemos.errors import Conflict, InvalidInput, NotFound, StoreClosed
from mnemos.testing import SimClock

Open = Callable[..., Memory]


def texts(memory: Memory, user_id: str = "ana") -> list[str]:
    return [cube.text for cube in memory.get_all(user_id=user_id)]


def test_receipts_carry_ids_at_once_and_no_position(memory: Memory) -> None:
    with memory.begin() as tx:
        receipt = tx.add("staged", user_id="ana")
        assert (receipt.seq, receipt.indexed, len(receipt.ids)) == (0, "full", 1)
        assert tx.update(receipt.id, "changed").seq == 0
        assert tx.forget(receipt.id).seq == 0
        kept = tx.add("kept", user_id="ana")
    assert memory.get(kept.id).text == "kept"
    assert memory.stats().events == 4
    assert memory.verify().problems == []


def test_reads_inside_see_what_is_staged_and_others_do_not(memory: Memory) -> None:
    old = memory.add("Ana lives in Porto", user_id="ana").id
    gone = memory.add("Ana likes boats", user_id="ana").id
    with memory.begin() as tx:
        new = tx.add("Ana likes tea", user_id="ana").id
        tx.update(old, "Ana lives in Lisbon")
        tx.forget(gone)
        assert texts(tx) == ["Ana lives in Lisbon", "Ana likes tea"]
        assert tx.get(new).text == "Ana likes tea"
        assert [cube.version for cube in tx.history(old)] == [1, 2]
        assert {hit.id for hit in tx.search("Ana likes lives", user_id="ana")} == {old, new}
        assert "Lisbon" in tx.context("Where does Ana live?", user_id="ana").text
        with pytest.raises(NotFound):
            tx.get(gone)
        assert texts(memory) == ["Ana lives in Porto", "Ana likes boats"]
        with pytest.raises(NotFound):
            memory.get(new)
    assert texts(memory) == ["Ana lives in Lisbon", "Ana likes tea"]
    assert memory.verify().problems == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_drops_everything(memory: Memory, error: type[BaseException]) -> None:
    kept = memory.add("kept", user_id="ana").id

    def fail() -> None:
        with memory.begin() as tx:
            tx.add("dropped", user_id="ana")
            tx.add("x" * 2_000_000, user_id="ana")
            tx.forget(kept)
            raise error

    with pytest.raises(error):
        fail()
    assert texts(memory) == ["kept"]
    assert memory.stats().events == 1
    assert memory.verify().problems == []


def test_a_conflict_at_the_end_drops_everything(open_at: Open, tmp_path: Path) -> None:
    memory, other = open_at(tmp_path / "v.db"), open_at(tmp_path / "v.db")

    def clash() -> None:
        with memory.begin() as tx:
            tx.add("mine", user_id="ana", external_id="e1")
            tx.add("also mine", user_id="ana")
            other.add("theirs", user_id="ana", external_id="e1")

    with pytest.raises(Conflict):
        clash()
    assert texts(memory) == ["theirs"]


def test_the_lock_is_taken_only_at_the_end(open_at: Open, tmp_path: Path) -> None:
    memory, other = open_at(tmp_path / "v.db"), open_at(tmp_path / "v.db")
    with memory.begin() as tx:
        tx.add("first staged", user_id="ana")
        other.add("written meanwhile", user_id="ana")
        tx.add("second staged", user_id="ana")
        assert texts(tx) == ["written meanwhile", "first staged", "second staged"]
    assert texts(other) == ["written meanwhile", "first staged", "second staged"]
    assert other.verify().problems == []


def test_delete_all_inside_takes_what_is_staged(memory: Memory) -> None:
    memory.add("old", user_id="ana")
    with memory.begin() as tx:
        tx.add("new", user_id="ana")
        assert len(tx.delete_all(user_id="ana").ids) == 2
        tx.add("after", user_id="ana")
    assert texts(memory) == ["after"]


def test_what_is_forgotten_inside_leaves_the_files(open_at: Open, tmp_path: Path) -> None:
    memory = open_at(tmp_path / "v.db")
    id = memory.add("xylophone", user_id="ana").id
    with memory.begin() as tx:
        tx.forget(id)
    held = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"xylophone" not in held


def test_an_ended_transaction_takes_no_more(memory: Memory) -> None:
    with memory.begin() as tx:
        tx.add("one", user_id="ana")
    for call in (
        lambda: tx.add("lost", user_id="ana"),
        lambda: tx.delete_all(user_id="ana"),
        lambda: tx.add_many([], user_id="ana") and tx.add("lost"),
    ):
        with pytest.raises(StoreClosed, match="begin another"):
            call()
    assert texts(tx) == ["one"]
    assert memory.stats().events == 1


def test_transactions_do_not_nest(memory: Memory) -> None:
    with memory.begin() as tx, pytest.raises(InvalidInput, match="cannot begin another"):
        tx.begin()


def test_closing_a_transaction_leaves_the_memory_open(memory: Memory) -> None:
    with memory.begin() as tx:
        tx.add("one", user_id="ana")
        tx.close()
    assert texts(memory) == ["one"]


def test_an_empty_transaction_writes_nothing(memory: Memory) -> None:
    with memory.begin():
        pass
    assert memory.stats().events == 0


def test_expiry_holds_inside(memory: Memory, clock: SimClock) -> None:
    with memory.begin() as tx:
        id = tx.add("short", user_id="ana", expires_at=clock.now() + timedelta(hours=1)).id
        clock.advance(hours=1)
        with pytest.raises(NotFound):
            tx.get(id)


def test_a_staged_duplicate_has_the_first_id(memory: Memory) -> None:
    first = memory.add("Hello", user_id="ana", external_id="e1")
    with memory.begin() as tx:
        again = tx.add("Hello", user_id="ana", external_id="e1")
    assert (again.ids, again.duplicates) == (first.ids, 1)
