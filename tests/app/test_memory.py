"""The public calls on both stores: writing, scopes, versions, forgetting, expiry."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mnemos import Draft, Header, Kind, Memory, Origin, Receipt, State, Text
from mnemos.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Protected,
    ScopeRequired,
)
from mnemos.testing import SimClock

Open = Callable[..., Memory]

MARCH = datetime(2026, 3, 4, 12, tzinfo=UTC)
PLACES = {
    "text", "words", "vectors", "names", "links", "blobs", "usage", "branches", "snapshots", "jobs",
    "log",
}  # fmt: skip


def texts(memory: Memory, **scope: Any) -> list[str]:
    return [cube.text for cube in memory.get_all(**scope)]


def turn(text: str, **header: Any) -> Draft:
    return Draft(payload=Text(text=text), header=Header(**header))


def sound(memory: Memory) -> bool:
    report = memory.verify()
    assert report.problems == []
    return report.ok


# --- add -------------------------------------------------------------------------------------


def test_a_text_is_kept_word_for_word(memory: Memory, clock: SimClock) -> None:
    said = "  I moved to Lisbon\r\n\tin March…  "
    receipt = memory.add(said, user_id="ana")
    assert (receipt.verb, receipt.seq, receipt.indexed, receipt.duplicates) == ("add", 1, "full", 0)
    cube = memory.get(receipt.id)
    assert cube.text == said
    assert (cube.version, cube.state, cube.scope.subject) == (1, State.ACTIVATED, "user:ana")
    assert cube.recorded_at == clock.now() == cube.header.happened_at
    assert cube.header.speaker == "ana"
    assert sound(memory)


def test_messages_become_one_memory_each_in_order(memory: Memory) -> None:
    receipt = memory.add(
        [
            {"role": "user", "content": "Where is my boat?", "name": "Ana"},
            {"role": "assistant", "content": [{"type": "text", "text": "In Porto."}]},
            {"role": "system", "content": "Answer in English."},
            {"role": "tool", "content": "42 boats"},
        ],
        user_id="ana",
        run_id="s1",
    )
    cubes = [memory.get(id) for id in receipt.ids]
    assert [cube.text for cube in cubes] == texts(memory, user_id="ana")
    assert [cube.header.kind for cube in cubes] == [
        Kind.TURN,
        Kind.TURN,
        Kind.INSTRUCTION,
        Kind.TURN,
    ]
    assert [cube.header.origin for cube in cubes] == [
        Origin.USER,
        Origin.AGENT,
        Origin.USER,
        Origin.TOOL,
    ]
    assert {cube.header.run_id for cube in cubes} == {"s1"}
    assert cubes[0].header.speaker == "Ana"


def test_details_go_into_the_header(memory: Memory) -> None:
    id = memory.add(
        "Ana prefers tea",
        user_id="ana",
        agent_id="scout",
        run_id="s1",
        happened_at=MARCH,
        external_id="msg-17",
        kind="preference",
        tags=["drinks", "ana"],
        metadata={"nested": {"list": [1, 2.5, None, True, "é"]}},
        expires_at=MARCH + timedelta(days=900),
    ).id
    header = memory.get(id).header
    assert header.kind is Kind.PREFERENCE
    assert header.tags == ("drinks", "ana")
    assert dict(header.metadata) == {"nested": {"list": [1, 2.5, None, True, "é"]}}
    assert (header.external_id, header.happened_at) == ("msg-17", MARCH)
    assert (header.agent_id, header.run_id) == ("scout", "s1")
    assert header.expires_at == MARCH + timedelta(days=900)


def test_metadata_is_read_back_as_it_was_compared(memory: Memory) -> None:
    for metadata in ({"a": (1, 2)}, {"a": [1, 2]}):
        receipt = memory.add("one", user_id="ana", external_id="e", metadata=metadata)
    assert receipt.duplicates == 1
    assert dict(memory.get(receipt.id).header.metadata) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-03-04T13:00:00+01:00", MARCH),
        (MARCH.replace(tzinfo=None), datetime(2026, 3, 4, 3, tzinfo=UTC)),
        ("2026-03-04T12:00:00", datetime(2026, 3, 4, 3, tzinfo=UTC)),
        ("2026-03-04", datetime(2026, 3, 3, 15, tzinfo=UTC)),
        (MARCH.timestamp(), MARCH),
        (int(MARCH.timestamp()), MARCH),
        (MARCH.astimezone(ZoneInfo("America/New_York")), MARCH),
    ],
)
def test_naive_times_take_the_handles_zone(open_at: Open, given: Any, meant: datetime) -> None:
    memory = open_at(tz="Asia/Tokyo")
    cube = memory.get(memory.add("x", user_id="ana", happened_at=given).id)
    assert cube.header.happened_at == meant
    assert cube.header.happened_at is not None
    assert cube.header.happened_at.utcoffset() == timedelta(0)


def test_bounds_of_a_search_take_the_handles_zone_too(open_at: Open) -> None:
    memory = open_at(tz="Asia/Tokyo")
    memory.add("tea at noon", user_id="ana", happened_at="2026-03-04T12:00")
    assert memory.search("tea", user_id="ana", since="2026-03-04T12:00")
    assert not memory.search("tea", user_id="ana", since="2026-03-04T12:00:01")
    assert not memory.search("tea", user_id="ana", until="2026-03-04T12:00")
    assert memory.search("tea", user_id="ana", until="2026-03-04T04:00Z")


def test_the_day_of_a_word_is_the_handles_day(open_at: Open, clock: SimClock) -> None:
    clock.set(datetime(2026, 3, 4, 20, tzinfo=UTC))
    memory = open_at(tz="Asia/Tokyo")
    cube = memory.get(memory.add("I ran yesterday", user_id="ana", happened_at=clock.now()).id)
    (mention,) = cube.header.mentions
    assert mention.start == datetime(2026, 3, 3, 15, tzinfo=UTC), "4 March in Tokyo"


# --- external ids ----------------------------------------------------------------------------


def test_the_same_content_twice_is_one_memory(memory: Memory) -> None:
    first = memory.add("Hello", user_id="ana", external_id="e1", happened_at=MARCH)
    again = memory.add("Hello", user_id="ana", external_id="e1", happened_at=MARCH)
    assert again.ids == first.ids
    assert (again.duplicates, again.seq) == (1, first.seq)
    assert memory.stats().events == 1


def test_a_time_not_given_is_not_compared(memory: Memory, clock: SimClock) -> None:
    first = memory.add("I ran yesterday", user_id="ana", external_id="e1")
    clock.advance(days=3)
    again = memory.add("I ran yesterday", user_id="ana", external_id="e1")
    assert (again.ids, again.duplicates) == (first.ids, 1)
    with pytest.raises(Conflict):
        memory.add("I ran yesterday", user_id="ana", external_id="e1", happened_at=clock.now())


@pytest.mark.parametrize(
    "other",
    [
        {"messages": "Bye"},
        {"kind": "fact"},
        {"tags": ["t"]},
        {"metadata": {"a": 1}},
        {"run_id": "s2"},
        {"happened_at": MARCH + timedelta(seconds=1)},
        {"expires_at": MARCH + timedelta(days=900)},
    ],
)
def test_other_content_is_a_conflict_and_writes_nothing(
    memory: Memory, other: dict[str, Any]
) -> None:
    given: dict[str, Any] = {
        "messages": "Hello",
        "user_id": "ana",
        "external_id": "e1",
        "happened_at": MARCH,
    }
    first = memory.add(**given)
    with pytest.raises(Conflict, match=r"'e1'.*on_conflict='update'"):
        memory.add(**(given | other))
    assert memory.stats().events == 1
    updated = memory.add(**(given | other), on_conflict="update")
    assert updated.ids == first.ids
    assert [cube.version for cube in memory.history(first.id)] == [1, 2]
    assert memory.add(**(given | other), on_conflict="update").duplicates == 1
    assert sound(memory)


def test_external_ids_are_of_one_subject(memory: Memory) -> None:
    ids = {
        memory.add("Hello", external_id="e1", **scope).id
        for scope in ({"user_id": "ana"}, {"user_id": "bob"}, {"agent_id": "ana"}, {})
    }
    assert len(ids) == 4


def test_one_external_id_names_one_message(memory: Memory) -> None:
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(InvalidInput, match=r"external_id='e1' names one memory, 2 messages"):
        memory.add(two, user_id="ana", external_id="e1")
    ids = [message | {"id": f"m{n}"} for n, message in enumerate(two)]
    assert memory.add(ids, user_id="ana").duplicates == 0
    assert memory.add(ids, user_id="ana").duplicates == 2


def test_an_external_id_is_free_again_once_forgotten(memory: Memory) -> None:
    first = memory.add("Hello", user_id="ana", external_id="e1")
    memory.forget(first.id)
    second = memory.add("Other", user_id="ana", external_id="e1")
    assert second.ids != first.ids
    assert sound(memory)


# --- add_many, ingest ------------------------------------------------------------------------


def test_batches_are_committed_one_by_one(memory: Memory) -> None:
    seen: list[int] = []
    drafts = [turn(f"number {n}", external_id=str(n)) for n in range(600)]
    receipt = memory.add_many(iter(drafts), user_id="ana", progress=seen.append)
    assert seen == [256, 256, 88]
    assert len(set(receipt.ids)) == 600
    assert (receipt.seq, receipt.indexed, receipt.duplicates) == (600, "full", 0)
    again = memory.add_many(drafts, user_id="ana")
    assert (again.ids, again.duplicates) == (receipt.ids, 600)
    assert memory.stats().memories == 600
    assert sound(memory)


def test_batches_before_a_failing_one_stay(memory: Memory) -> None:
    drafts = [turn(f"number {n}", external_id=str(n)) for n in range(256)]
    with pytest.raises(Conflict):
        memory.add_many([*drafts, turn("new"), turn("other", external_id="7")], user_id="ana")
    assert memory.stats().memories == 256
    assert "new" not in texts(memory, user_id="ana")
    assert sound(memory)


def test_nothing_to_add_is_no_error(memory: Memory) -> None:
    assert memory.add_many([], user_id="ana") == Receipt(verb="add", ids=(), indexed="none")


def test_the_weakest_batch_says_how_it_is_indexed(open_at: Open) -> None:
    from mnemos.errors import ModelError
    from mnemos.testing import HashEmbedder

    class FailsOnce(HashEmbedder):
        failed = False

        def embed(self, texts: Any, *, query: bool = False) -> Any:
            if not self.failed:
                self.failed = True
                raise ModelError("down")
            return super().embed(texts, query=query)

    memory = open_at(embedder=FailsOnce())
    receipt = memory.add_many([turn(f"number {n}") for n in range(300)], user_id="ana")
    assert receipt.indexed == "lexical"
    assert memory.stats().vectors_pending


def test_a_file_ingested_twice_is_one_memory_each(memory: Memory, tmp_path: Path) -> None:
    lines = [
        {"id": "m1", "role": "user", "speaker": "Ana", "text": "Hello", "at": "2026-03-04T10:00"},
        {"id": "m2", "role": "assistant", "text": "Hi Ana", "at": "2026-03-04T10:01"},
    ]
    file = tmp_path / "chat.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    first = memory.ingest(file, user_id="ana")
    again = memory.ingest(str(file), user_id="ana")
    assert (first.duplicates, again.duplicates, again.ids) == (0, 2, first.ids)
    assert texts(memory, user_id="ana") == ["Hello", "Hi Ana"]
    assert memory.get(first.ids[0]).header.happened_at == datetime(2026, 3, 4, 10, tzinfo=UTC)


def test_a_bad_line_is_named_and_nothing_is_written(memory: Memory, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"text": "good"}\n{"text": 5}\n')
    with pytest.raises(InvalidInput, match="line 2"):
        memory.ingest(file, user_id="ana", format="jsonl")
    assert memory.stats().events == 0


# --- scopes ----------------------------------------------------------------------------------


def test_no_scope_is_the_subject_default_and_not_everything(memory: Memory) -> None:
    memory.add("Ana's secret", user_id="ana")
    mine = memory.add("nobody's note")
    assert memory.get(mine.id).scope.subject == "default"
    assert [hit.text for hit in memory.search("secret note")] == ["nobody's note"]
    assert "secret" not in memory.context("secret note").text


@pytest.mark.parametrize("verb", ["get_all", "delete_all"])
@pytest.mark.parametrize("scope", [{}, {"run_id": "s1"}])
def test_everything_needs_a_scope(memory: Memory, verb: str, scope: dict[str, str]) -> None:
    memory.add("kept", user_id="ana", run_id="s1")
    with pytest.raises(ScopeRequired, match="needs user_id or agent_id"):
        getattr(memory, verb)(**scope)
    assert memory.stats().memories == 1


def test_subjects_are_typed(memory: Memory) -> None:
    user = memory.add("of the user", user_id="ana").id
    agent = memory.add("of the agent", agent_id="ana").id
    assert memory.get(user).scope.subject == "user:ana"
    assert memory.get(agent).scope.subject == "agent:ana"
    assert texts(memory, user_id="ana") == ["of the user"]
    assert texts(memory, agent_id="ana") == ["of the agent"]
    memory.add("of nobody")
    assert [hit.text for hit in memory.search("of nobody user agent")] == ["of nobody"]


def test_with_both_the_user_is_the_subject_and_the_agent_an_attribute(memory: Memory) -> None:
    memory.add("to scout", user_id="ana", agent_id="scout")
    memory.add("to guide", user_id="ana", agent_id="guide")
    assert texts(memory, user_id="ana") == ["to scout", "to guide"]
    assert texts(memory, user_id="ana", agent_id="scout") == ["to scout"]
    assert texts(memory, agent_id="scout") == []
    found = memory.search("scout guide", user_id="ana", agent_id="guide")
    assert [hit.text for hit in found] == ["to guide"]


def test_a_run_is_an_attribute(memory: Memory) -> None:
    for run in ("s1", "s2", None):
        memory.add(f"boat in {run}", user_id="ana", run_id=run)
    assert len(texts(memory, user_id="ana")) == 3
    assert texts(memory, user_id="ana", run_id="s1") == ["boat in s1"]
    assert [hit.text for hit in memory.search("boat", user_id="ana", run_id="s2")] == ["boat in s2"]
    assert "s2" not in memory.context("boat", user_id="ana", run_id="s1").text
    assert memory.search("boat", user_id="ana", run_id="s3").items == ()


@pytest.mark.parametrize(
    ("verb", "more"), [("get", ()), ("history", ()), ("update", ("new",)), ("forget", ())]
)
def test_anothers_id_is_of_no_use(memory: Memory, verb: str, more: tuple[str, ...]) -> None:
    id = memory.add("Ana's secret", user_id="ana").id
    memory.add("Bob's", user_id="bob")
    call = getattr(memory, verb)
    for scope in ({"user_id": "bob"}, {"agent_id": "ana"}, {"user_id": "nobody"}):
        with pytest.raises((Conflict, NotFound)) as caught:
            call(id, *more, **scope)
        assert "secret" not in str(caught.value)
    with pytest.raises(NotFound, match="get_all"):
        call("0" * 32, *more)
    assert memory.get(id).version == 1
    assert call(id, *more, user_id="ana")
    assert sound(memory)


def test_delete_is_forget(memory: Memory) -> None:
    id = memory.add("gone", user_id="ana").id
    with pytest.raises(Conflict):
        memory.delete(id, user_id="bob")
    assert memory.delete(id, user_id="ana").verb == "forget"
    with pytest.raises(NotFound):
        memory.delete(id)


def test_a_page_continues_behind_an_id_of_its_own_subject(memory: Memory) -> None:
    ids = [memory.add(f"n{n}", user_id="ana").id for n in range(5)]
    other = memory.add("bob", user_id="bob").id
    first = memory.get_all(user_id="ana", limit=2)
    rest = memory.get_all(user_id="ana", after=first[-1].id)
    assert [cube.id for cube in (*first, *rest)] == ids
    assert memory.get_all(user_id="ana", after=ids[-1]) == []
    with pytest.raises(NotFound):
        memory.get_all(user_id="ana", after=other)
    assert [c.text for c in memory.get_all(user_id="ana", kinds=["fact"])] == []
    assert len(memory.get_all(user_id="ana", kinds=Kind.TURN, limit=3)) == 3


def test_an_update_keeps_its_place_in_the_order(memory: Memory) -> None:
    ids = [memory.add(f"n{n}", user_id="ana").id for n in range(3)]
    memory.update(ids[0], "n0 again")
    assert texts(memory, user_id="ana") == ["n0 again", "n1", "n2"]


def test_tenants_in_one_file_know_nothing_of_each_other(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "shared.db"
    blue, red = open_at(file, tenant="blue"), open_at(file, tenant="red")
    id = blue.add("blue secret", user_id="ana", external_id="e1").id
    assert red.add("red note", user_id="ana", external_id="e1").duplicates == 0
    assert [hit.text for hit in red.search("secret note", user_id="ana")] == ["red note"]
    assert "blue" not in red.context("secret note", user_id="ana").text
    for call in (red.get, red.history, red.forget, lambda id: red.update(id, "taken")):
        with pytest.raises(NotFound):
            call(id)
    assert (blue.stats().memories, red.stats().memories) == (1, 1)
    red.delete_all(user_id="ana")
    assert texts(blue, user_id="ana") == ["blue secret"]
    assert (blue.stats().memories, red.stats().memories) == (1, 0)
    assert sound(blue)


# --- versions --------------------------------------------------------------------------------


def test_an_update_is_a_new_version_and_the_old_one_stays(memory: Memory, clock: SimClock) -> None:
    id = memory.add(
        "Ana lives in Porto", user_id="ana", run_id="s1", tags=["home"], metadata={"n": 1}
    ).id
    clock.advance(hours=1)
    receipt = memory.update(id, "Ana lives in Lisbon")
    assert (receipt.verb, receipt.ids, receipt.seq, receipt.indexed) == ("update", (id,), 2, "full")
    now = memory.get(id)
    assert (now.text, now.version) == ("Ana lives in Lisbon", 2)
    assert (now.header.run_id, now.header.tags, dict(now.header.metadata)) == (
        "s1",
        ("home",),
        {"n": 1},
    )
    old, new = memory.history(id)
    assert (old.text, old.version, old.retired_seq) == ("Ana lives in Porto", 1, 2)
    assert (new.recorded_seq, new.retired_seq) == (2, None)
    assert new.recorded_at - old.recorded_at == timedelta(hours=1)
    found = memory.search("Porto Lisbon lives", user_id="ana")
    assert [hit.text for hit in found] == ["Ana lives in Lisbon"]
    assert memory.update(id, "Ana lives in Faro", metadata={"n": 2}).seq == 3
    assert dict(memory.get(id).header.metadata) == {"n": 2}
    assert sound(memory)


def test_a_frozen_memory_can_be_forgotten_but_not_changed(memory: Memory) -> None:
    (id,) = memory.add_many([turn("rules", frozen=True)], user_id="ana").ids
    with pytest.raises(Protected, match="frozen"):
        memory.update(id, "other rules")
    assert len(memory.history(id)) == 1
    memory.forget(id)


def test_a_legal_hold_stops_forget_and_delete_all(memory: Memory) -> None:
    (id,) = memory.add_many([turn("evidence", hold=True)], user_id="ana").ids
    memory.add("other", user_id="ana")
    for call in (lambda: memory.forget(id), lambda: memory.delete_all(user_id="ana")):
        with pytest.raises(Protected, match="legal hold"):
            call()
    assert len(texts(memory, user_id="ana")) == 2
    assert sound(memory)


# --- forgetting ------------------------------------------------------------------------------


def test_what_is_forgotten_is_nowhere(open_at: Open, path: str) -> None:
    memory = open_at(path)
    keep = memory.add("Ana likes boats", user_id="ana").id
    id = memory.add("xylophone quagmire", user_id="ana", external_id="e", metadata={"k": "zebra"})
    memory.update(id.id, "xylophone morass")
    receipt = memory.forget(id.id)
    assert receipt.verb == "forget"
    assert receipt.ids == id.ids
    assert {place.name for place in receipt.places} == PLACES
    assert {place.status for place in receipt.places} == {"purged"}
    for call in (memory.get, memory.history, memory.forget):
        with pytest.raises(NotFound, match="forgotten"):
            call(id.id)
    assert [hit.id for hit in memory.search("xylophone quagmire", user_id="ana")] == [keep]
    assert "xylophone" not in memory.context("xylophone", user_id="ana").text
    assert sound(memory)
    if path != ":memory:":
        memory.close()
        for file in Path(path).parent.rglob("*"):
            held = file.read_bytes() if file.is_file() else b""
            assert not [word for word in (b"xylophone", b"quagmire", b"zebra") if word in held]


def test_forgetting_takes_along_what_was_derived(memory: Memory) -> None:
    source = memory.add("Ana said: I love tea", user_id="ana").id
    (fact,) = memory.add_many(
        [turn("Ana loves tea", derived_from=(source,), kind=Kind.FACT)], user_id="ana"
    ).ids
    (summary,) = memory.add_many([turn("tea", derived_from=(fact,))], user_id="ana").ids
    memory.forget(source)
    for id in (source, fact, summary):
        with pytest.raises(NotFound):
            memory.get(id)
    assert sound(memory)


def test_delete_all_takes_a_user_or_one_run(memory: Memory) -> None:
    for run in ("s1", "s2"):
        memory.add(f"of {run}", user_id="ana", run_id=run)
    memory.update(memory.add("first", user_id="ana", run_id="s1").id, "second")
    memory.add("bob's", user_id="bob")
    receipt = memory.delete_all(user_id="ana", run_id="s1")
    assert len(receipt.ids) == 2
    assert {place.name for place in receipt.places} == PLACES
    assert texts(memory, user_id="ana") == ["of s2"]
    memory.delete_all(user_id="ana")
    assert memory.delete_all(user_id="ana").ids == ()
    assert memory.delete_all(user_id="nobody").ids == ()
    assert (memory.stats().memories, memory.stats().subjects) == (1, 1)
    assert texts(memory, user_id="bob") == ["bob's"]
    assert sound(memory)


def test_delete_all_takes_the_expired_too(memory: Memory, clock: SimClock) -> None:
    memory.add("short", user_id="ana", expires_at=clock.now() + timedelta(hours=1))
    clock.advance(hours=2)
    assert len(memory.delete_all(user_id="ana").ids) == 1
    assert memory.stats().memories == 0


# --- expiry ----------------------------------------------------------------------------------


def test_what_expired_is_invisible_at_once(memory: Memory, clock: SimClock) -> None:
    id = memory.add(
        "the code is 4711", user_id="ana", expires_at=clock.now() + timedelta(hours=1)
    ).id
    clock.advance(minutes=59, seconds=59)
    assert memory.get(id)
    assert memory.search("code", user_id="ana")
    clock.advance(seconds=1)
    with pytest.raises(NotFound):
        memory.get(id)
    with pytest.raises(NotFound):
        memory.update(id, "the code is 4712")
    assert memory.search("code", user_id="ana").items == ()
    assert texts(memory, user_id="ana") == []
    assert "4711" not in memory.context("code", user_id="ana").text
    assert memory.forget(id).ids == (id,)
    assert sound(memory)


def test_what_expired_has_no_history(memory: Memory, clock: SimClock) -> None:
    id = memory.add("code 4711", user_id="ana", expires_at=clock.now() + timedelta(hours=1)).id
    clock.advance(hours=1)
    with pytest.raises(NotFound):
        memory.history(id)
