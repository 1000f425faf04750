"""Forgetting by id, ids, source, query and scope: tried, done, told, and proved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mnemos import Memory
from mnemos.errors import Conflict, InvalidInput, NotFound, Protected, ScopeRequired
from mnemos.kernel.changes import Transition
from mnemos.kernel.copies import residue
from mnemos.testing import SimClock
from mnemos.types import Draft, Header, Kind, Receipt, State, Text

Open = Callable[..., Memory]


def turn(text: str, **header: Any) -> Draft:
    return Draft(payload=Text(text=text), header=Header(**header))


def pending(receipt: Receipt) -> dict[str, str]:
    return {place.name: place.why for place in receipt.places if place.status == "pending"}


def texts(memory: Memory, **scope: str) -> list[str]:
    return [cube.text for cube in memory.get_all(**(scope or {"user_id": "ana"}))]


# --- which -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"user_id": "ana"},
        {"id": "a", "ids": ["b"]},
        {"id": "a", "query": "b", "user_id": "ana"},
        {"source": "a", "query": "b", "user_id": "ana"},
    ],
)
def test_exactly_one_way_to_name_memories(memory: Memory, named: dict[str, Any]) -> None:
    memory.add("stays", user_id="ana")
    with pytest.raises(InvalidInput, match="exactly one of id, ids, source, query"):
        memory.forget(**named)
    assert texts(memory) == ["stays"]


@pytest.mark.parametrize("ids", ["abc", b"abc", 7, ["a", None], [""], [3]])
def test_ids_must_be_several_ids(memory: Memory, ids: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.forget(ids=ids)


def test_source_and_query_need_somebody(memory: Memory) -> None:
    for named in ({"source": "a.txt"}, {"query": "boats"}):
        with pytest.raises(ScopeRequired):
            memory.forget(**named)
    for named in ({"source": " "}, {"query": ""}, {"query": "a", "top_k": 0}):
        with pytest.raises(InvalidInput):
            memory.forget(user_id="ana", **named)
    with pytest.raises(InvalidInput, match="run_id narrows"):
        memory.forget(memory.add("one", user_id="ana").id, run_id="s1")


def test_several_ids_go_together_or_not_at_all(memory: Memory) -> None:
    first, second, third = (memory.add(word, user_id="ana").id for word in ("a", "b", "c"))
    with pytest.raises(NotFound):
        memory.forget(ids=[first, "0" * 32])
    other = memory.add("ben's", user_id="ben").id
    with pytest.raises(NotFound):
        memory.forget(ids=[first, other])
    assert texts(memory) == ["a", "b", "c"]
    receipt = memory.forget(ids=(id for id in (first, third, first)))
    assert receipt.ids == receipt.forgotten == (first, third)
    assert texts(memory) == ["b"]
    assert memory.forget(ids=[]).ids == ()
    with pytest.raises(Conflict):
        memory.forget(ids=[second], user_id="ben")


def test_a_source_takes_every_version_read_from_it(memory: Memory) -> None:
    (old,) = memory.add_many([turn("from a letter", source="letter.txt")], user_id="ana").ids
    memory.update(old, "said otherwise since")
    memory.add_many([turn("from a book", source="book.txt")], user_id="ana")
    (mail,) = memory.add_many([turn("too", source="letter.txt", run_id="r")], user_id="ana").ids
    memory.add_many([turn("ben's", source="letter.txt")], user_id="ben")
    assert memory.forget(source="nowhere.txt", user_id="ana").ids == ()
    assert memory.forget(source="letter.txt", user_id="ana", run_id="r").forgotten == (mail,)
    assert memory.forget(source="letter.txt", user_id="ana").forgotten == (old,)
    assert texts(memory) == ["from a book"]
    assert texts(memory, user_id="ben") == ["ben's"]


def test_a_query_takes_what_a_search_finds(memory: Memory) -> None:
    for text in ("the red boat leaks", "a red kite flies", "nothing of the kind"):
        memory.add(text, user_id="ana")
    wanted = [hit.id for hit in memory.search("red boat", user_id="ana", top_k=1)]
    tried = memory.forget(query="red boat", user_id="ana", top_k=1, dry_run=True)
    assert list(tried.forgotten) == wanted
    assert len(texts(memory)) == 3
    receipt = memory.forget(query="red boat", user_id="ana", top_k=1)
    assert receipt.forgotten == tried.forgotten
    assert texts(memory) == ["a red kite flies", "nothing of the kind"]


def test_a_scope_takes_every_branch_and_state(memory: Memory, clock: SimClock) -> None:
    kept = memory.add("plain", user_id="ana", run_id="s2")
    stays = memory.add("of another run", user_id="ana", run_id="s1").id
    memory.add("short", user_id="ana", run_id="s2", expires_at=clock.now() + timedelta(hours=1))
    old = memory.add("old", user_id="ana").id
    memory._write(
        "state", memory._scope("ana", None, None), [Transition(id=old, state=State.ARCHIVED)]
    )
    branch = memory.branch("what if", user_id="ana")
    branch.add("on a branch only", user_id="ana", run_id="s2")
    memory.add("withdrawn", user_id="ana", run_id="s2")
    memory.rollback(kept, user_id="ana")
    clock.advance(hours=2)
    assert texts(memory) == ["plain"]
    receipt = memory.delete_all(user_id="ana", run_id="s2", verify=True)
    assert len(receipt.forgotten) == 4
    assert pending(receipt) == {}
    rest = memory.delete_all(user_id="ana", verify=True)
    assert stays in rest.forgotten
    assert set(rest.forgotten) == {stays, old}
    assert pending(rest) == {}
    assert memory.delete_all(user_id="ana").forgotten == ()
    assert memory.verify().problems == []


# --- how -------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_and_changes_nothing(memory: Memory) -> None:
    first = memory.add("Ana likes tea", user_id="ana").id
    second = memory.add("Ana likes green tea", user_id="ana").id
    whole = memory.consolidate([first, second], "Ana likes tea, green tea above all").id
    before = memory.verify()
    for named in ({"id": whole}, {"ids": [whole, first]}, {"id": whole, "sources": True}):
        with_id = dict(named)
        tried = memory.forget(with_id.pop("id", None), dry_run=True, **with_id)
        assert tried.seq == 0
        assert set(pending(tried).values()) == {"a dry run: nothing was erased"}
        assert memory.get(whole).text.startswith("Ana likes tea")
    assert memory.verify() == before
    tried = memory.forget(whole, dry_run=True)
    made = memory.forget(whole)
    assert made.seq > 0
    assert (tried.ids, tried.forgotten, tried.restored, tried.sources) == (
        made.ids,
        made.forgotten,
        made.restored,
        made.sources,
    )
    assert {place.name for place in tried.places} == {place.name for place in made.places}
    assert set(made.restored) == set(made.sources) == {first, second}
    assert pending(made) == {}


def test_sources_are_taken_along(memory: Memory) -> None:
    source = memory.add("Ana said: I love tea", user_id="ana").id
    (fact,) = memory.add_many(
        [turn("Ana loves tea", derived_from=(source,), kind=Kind.FACT)], user_id="ana"
    ).ids
    assert memory.forget(fact, sources=True, dry_run=True).forgotten == (source, fact)
    receipt = memory.forget(fact, sources=True, verify=True)
    assert receipt.forgotten == (source, fact)
    assert pending(receipt) == {}


def test_a_hold_stops_a_dry_run_too(memory: Memory) -> None:
    (id,) = memory.add_many([turn("evidence", hold=True)], user_id="ana").ids
    for call in (
        lambda: memory.forget(id, dry_run=True),
        lambda: memory.forget(id, verify=True),
        lambda: memory.forget(query="evidence", user_id="ana"),
        lambda: memory.delete_all(user_id="ana", dry_run=True),
    ):
        with pytest.raises(Protected):
            call()


def test_inside_a_transaction(memory: Memory) -> None:
    first = memory.add("first", user_id="ana").id
    with memory.begin() as tx:
        second = tx.add("second", user_id="ana").id
        assert tx.forget(second, dry_run=True).forgotten == (second,)
        with pytest.raises(InvalidInput, match="outside of the transaction"):
            tx.forget(first, verify=True)
        assert tx.delete_all(user_id="ana", dry_run=True).forgotten == (first, second)
        tx.forget(ids=[first])
        assert texts(tx) == ["second"]
        assert texts(memory) == ["first"]
    assert texts(memory) == ["second"]
    with pytest.raises(InvalidInput, match="dry run"):
        memory.forget(second, dry_run=True, verify=True)


def test_the_scan_tells_what_it_finds_and_not_its_words(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = memory.add("a secret about xylophones", user_id="ana", external_id="quagmire").id
    found = [residue.Finding("main", 5, "text"), residue.Finding("wal", 7, "salt")]
    monkeypatch.setattr("mnemos.app.forgetting.scan", lambda *_: [*found, found[0]])
    receipt = memory.forget(id, verify=True)
    assert pending(receipt) == {"scan": "still found: salt in wal: 1, text in main: 2"}


def test_what_is_forgotten_is_not_kept_in_this_process(open_at: Open, path: str) -> None:
    memory = open_at(path)
    ids = [memory.add(f"number {n} xylophone", user_id="ana").id for n in range(5)]
    memory.add("ben's", user_id="ben")
    memory.search("xylophone", user_id="ana")
    memory.search("xylophone", user_id="ben")
    cache = memory._vault.cache
    assert len(cache._held) == 2
    memory.forget(ids[0])
    assert len(cache._held) == 1
    assert ids[0] not in [hit.id for hit in memory.search("xylophone", user_id="ana")]


def test_another_handle_does_not_serve_it(open_at: Open, tmp_path: Any) -> None:
    one, other = (open_at(tmp_path / "memory.db") for _ in range(2))
    ids = [one.add(f"number {n} xylophone", user_id="ana").id for n in range(5)]
    assert len(other.search("xylophone", user_id="ana")) == 5
    receipt = one.forget(ids[0], verify=True)
    assert pending(receipt) == {}
    assert ids[0] not in [hit.id for hit in other.search("xylophone number 0", user_id="ana")]
    assert "number 0" not in other.context("xylophone number 0", user_id="ana").text
