"""Archive, freeze, hold, policies and the sweeper through the public calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mnemos import Draft, Kind, Memory, State, Text
from mnemos.app.lifecycle import LifeCycle, read_duration
from mnemos.errors import (
    IllegalTransition,
    InvalidInput,
    MnemosError,
    NotFound,
    Protected,
    ScopeRequired,
)
from mnemos.kernel import schema
from mnemos.kernel.changes import Transition
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import ALL_STATES
from mnemos.kernel.lifecycle import LEGAL
from mnemos.kernel.upkeep.retention import Policy
from mnemos.kernel.upkeep.usage import MOST_PENDING
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Scope

DAY = 86_400.0
ANA = Scope(tenant="default", subject="user:ana")

Lived: Any = Memory if issubclass(Memory, LifeCycle) else type("Lived", (LifeCycle, Memory), {})

Open = Callable[..., Any]


@pytest.fixture
def opened(clock: SimClock) -> Iterator[Open]:
    """Open handles with the life-cycle calls; all are closed at the end."""
    made: list[Any] = []

    def make(path: str | Path = ":memory:", **options: Any) -> Any:
        ports = {
            "clock": clock,
            "ids": SeededIds(0),
            "entropy": SeededEntropy(0),
            "embedder": HashEmbedder(),
            "background": "off",  # sweeps are called for here, one by one
        }
        made.append(Lived(path, **(ports | options)))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(opened: Open, path: str) -> Any:
    return opened(path)


def in_states(memory: Any, *states: State) -> list[str]:
    """What is found on request, in states a default view leaves out."""
    view = memory._view(ANA, states=frozenset(states or ALL_STATES))
    return memory._read(view, lambda reader: [cube.text for cube in reader.list()])


def events_of(memory: Any, actor: str) -> list[tuple[str, str]]:
    with memory._vault.store.read(SYSTEM) as tx:
        numbers = {row.actor for row in tx.scan(schema.ACTORS, ("default",)) if row.name == actor}
        events = tx.scan(schema.EVENTS, ("default",))
        return [(row.verb, row.cube) for row in events if row.actor in numbers]


def head(memory: Any) -> Any:
    with memory._vault.store.read(SYSTEM) as tx:
        return tx.get(schema.HEADS, ("default",))


# ----------------------------------------------------------------------------------- the steps


def test_archived_is_out_of_view_found_on_request_and_restored(memory: Any) -> None:
    id = memory.add("Ana collects stamps", user_id="ana").id
    memory.archive(id, user_id="ana")
    assert memory.get_all(user_id="ana") == []
    assert len(memory.search("stamps", user_id="ana")) == 0
    with pytest.raises(NotFound):
        memory.get(id)
    assert in_states(memory, State.ARCHIVED) == ["Ana collects stamps"]
    memory.restore(id)
    assert memory.get(id).text == "Ana collects stamps"
    assert [cube.state for cube in memory.history(id)] == ["activated", "archived", "activated"]
    assert memory.search("stamps", user_id="ana")[0].id == id
    assert memory.verify().ok


ROUTES = {
    State.GENERATED: (),
    State.ACTIVATED: (State.ACTIVATED,),
    State.MERGED: (State.ACTIVATED, State.MERGED),
    State.SUPERSEDED: (State.ACTIVATED, State.SUPERSEDED),
    State.ARCHIVED: (State.ACTIVATED, State.ARCHIVED),
    State.EXPIRED: (State.ACTIVATED, State.EXPIRED),
}
CALLS = {"archive": State.ARCHIVED, "restore": State.ACTIVATED}


@pytest.mark.parametrize(("before", "verb"), list(product(ROUTES, CALLS)))
def test_every_step_is_made_or_refused(opened: Open, before: State, verb: str) -> None:
    memory = opened()
    draft = Draft(payload=Text(text="a memory"), state=State.GENERATED)
    id = memory.add_many([draft], user_id="ana").id
    for state in ROUTES[before]:
        memory._write("test", ANA, [Transition(id=id, state=state)])
    call, was = getattr(memory, verb), head(memory)
    if CALLS[verb] in LEGAL[before]:
        receipt = call(id)
        assert (receipt.verb, receipt.ids, receipt.seq) == (verb, (id,), was.seq + 1)
        assert in_states(memory, CALLS[verb]) == ["a memory"]
        return
    with pytest.raises(IllegalTransition, match="allowed"):
        call(id)
    assert head(memory) == was


def test_frozen_memories_stay_as_they_are_until_thawed(memory: Any) -> None:
    id = memory.add("Allergic to peanuts", user_id="ana").id
    memory.freeze(id)
    seq = head(memory).seq
    for call in (
        lambda: memory.update(id, "Not allergic"),
        lambda: memory.archive(id),
        lambda: memory.revert(id, 1),
    ):
        with pytest.raises(Protected, match="frozen"):
            call()
    memory.freeze(id)  # twice is once
    assert head(memory).seq == seq
    memory.thaw(id)
    memory.update(id, "Allergic to nuts")
    memory.freeze(id)
    assert memory.search("nuts", user_id="ana")[0].cube.header.frozen
    assert memory.forget(id).forgotten == (id,)


def test_only_a_hold_stops_forget(memory: Any, clock: SimClock) -> None:
    held = memory.add("The contract", user_id="ana", expires_at=clock.now() + timedelta(days=1)).id
    memory.hold(held)
    memory.update(held, "The contract of May")
    assert memory.get(held).header.hold
    for call in (memory.forget, lambda id: memory.delete_all(user_id="ana")):
        with pytest.raises(Protected, match="legal hold"):
            call(held)
    clock.advance(days=30)
    assert memory.sweep().held == (held,)
    memory.release(held)
    assert memory.sweep().forgotten == (held,)


def test_what_is_expired_can_still_be_held_and_nothing_else(memory: Any, clock: SimClock) -> None:
    id = memory.add("Until noon", user_id="ana", expires_at=clock.now() + timedelta(hours=1)).id
    clock.advance(hours=1)
    for call in (memory.archive, memory.restore, memory.freeze, memory.thaw, memory.usage):
        with pytest.raises(NotFound):
            call(id)
    memory.hold(id)
    clock.advance(days=8)
    assert memory.sweep().held == (id,)


@pytest.mark.parametrize("verb", ["archive", "restore", "freeze", "thaw", "hold", "release"])
def test_another_scope_cannot_move_a_memory(opened: Open, verb: str) -> None:
    memory = opened()
    id = memory.add("Ana's", user_id="ana").id
    memory.add("Bo's", user_id="bo")
    was = head(memory)
    with pytest.raises(MnemosError, match="not of 'user:bo'"):
        getattr(memory, verb)(id, user_id="bo")
    for wrong in ("", None, 3, "nobody"):
        with pytest.raises((InvalidInput, NotFound)):
            getattr(memory, verb)(wrong)
    assert head(memory) == was


def test_a_transaction_stages_the_life_cycle_too(opened: Open) -> None:
    if Lived is not Memory:
        pytest.skip("transactions are of Memory")
    memory = opened()
    id = memory.add("one", user_id="ana").id
    with memory.begin() as tx:
        tx.set_policy(user_id="ana", ttl="1d")
        tx.archive(id)
        two = tx.add("two", user_id="ana").id
        assert tx.get(two).header.expires_at is not None
        with pytest.raises(InvalidInput, match="outside"):
            tx.sweep()
        assert memory.get(id).text == "one"
    assert in_states(memory, State.ARCHIVED) == ["one"]
    assert memory.get(two).header.expires_at is not None


# ------------------------------------------------------------------------- policies and sweeping


def test_policies_are_set_listed_and_dropped(memory: Any) -> None:
    memory.set_policy(everywhere=True, grace="1d")
    memory.set_policy("turn", user_id="ana", ttl=timedelta(days=30), capacity=9)
    memory.set_policy(Kind.FACT, agent_id="scout", retain="2w", law="fifo", archive_below=0.1)
    found = [
        (entry.everywhere, entry.kind, entry.policy) for entry in memory.policies(user_id="ana")
    ]
    assert found == [
        (True, None, Policy(grace=DAY)),
        (False, Kind.TURN, Policy(ttl=30 * DAY, capacity=9)),
    ]
    (_, scout) = memory.policies(agent_id="scout")
    assert scout.policy.law == {"law": "fifo", "period_days": 1.0}
    assert len(memory.policies()) == 1
    memory.drop_policy("turn", user_id="ana")
    assert len(memory.policies(user_id="ana")) == 1
    with pytest.raises(NotFound, match="policies"):
        memory.drop_policy("turn", user_id="ana")
    assert memory.verify().ok


@pytest.mark.parametrize(
    "given",
    [
        {"ttl": "soon"},
        {"ttl": -1},
        {"ttl": 0},
        {"ttl": float("nan")},
        {"ttl": True},
        {"ttl": "9999999d"},
        {"ttl": timedelta(days=-1)},
        {"ttl": 10**400},
        {"retain": []},
        {"grace": "1 day"},
        {"capacity": 0},
        {"capacity": "9"},
        {"archive_below": -1},
        {"law": "nature"},
        {"law": {"law": "fifo", "x": 1}},
        {"kind": "thought", "ttl": 1},
        {"everywhere": True, "ttl": 1},
        {},
    ],
)
def test_a_policy_that_cannot_be_is_refused(opened: Open, given: dict[str, Any]) -> None:
    memory = opened()
    with pytest.raises(InvalidInput, match=r"give|allowed|leave|use"):
        memory.set_policy(user_id="ana", **given)
    assert head(memory) is None


def test_a_policy_is_somebodys_or_everybodys(opened: Open) -> None:
    memory = opened()
    for call in (lambda: memory.set_policy(ttl=1), memory.drop_policy):
        with pytest.raises(ScopeRequired):
            call()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90s", 90),
        ("15m", 900),
        ("12h", 43_200),
        ("30 d", 30 * DAY),
        ("1.5w", 10.5 * DAY),
        (timedelta(hours=1), 3_600),
        (None, None),
    ],
)
def test_spans_of_time(given: Any, seconds: float | None) -> None:
    assert read_duration("ttl", given) == seconds


def test_expired_is_invisible_to_every_read_at_once(memory: Any, clock: SimClock) -> None:
    memory.set_policy("turn", user_id="ana", ttl="1d", grace="1d")
    id = memory.add("The code of the door is 4711", user_id="ana").id
    memory.add("Ana lives in Lisbon", user_id="ana", kind="fact")
    memory.archive(memory.add("The code of the safe is 4712", user_id="ana").id)
    receipt = memory.add("The code of the car is 4713", user_id="ana")
    past = memory.view(as_of=receipt, user_id="ana")
    clock.advance(hours=23)
    assert len(memory.search("code of the door", user_id="ana", kinds="turn")) == 2
    clock.advance(hours=1)
    for stage in ("before", "after"):
        for reads in (memory, past):
            assert [cube.text for cube in reads.get_all(user_id="ana")] == ["Ana lives in Lisbon"]
            hits = reads.search("code of the door safe car", user_id="ana")
            assert all("code" not in hit.text for hit in hits)
            assert "code" not in reads.context("code of the door", user_id="ana").text
            for look in (reads.get, reads.history):
                with pytest.raises(NotFound):
                    look(id)
        assert in_states(memory) == ["Ana lives in Lisbon"]
        if stage == "before":
            assert len(memory.sweep().expired) == 3
    clock.advance(days=1)
    report = memory.sweep()
    assert len(report.forgotten) == 3
    assert id in report.forgotten
    verbs = [verb for verb, cube in events_of(memory, "sweeper") if cube == id]
    assert verbs == ["state", "forget"]
    assert memory.verify().ok


def test_forgotten_bytes_leave_the_file(opened: Open, tmp_path: Path, clock: SimClock) -> None:
    memory = opened(tmp_path / "vault.db")
    memory.set_policy("turn", user_id="ana", ttl=60, grace=0)
    memory.add("The password is xylophone", user_id="ana")
    memory.add("Ana lives in Lisbon", user_id="ana", kind="fact")
    clock.advance(seconds=60)

    def everything() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    assert b"xylophone" in everything()
    assert len(memory.sweep().forgotten) == 1
    assert b"xylophone" not in everything()


def test_the_weakest_is_archived_and_use_decides(memory: Any, clock: SimClock) -> None:
    memory.set_policy("turn", user_id="ana", capacity=2, law={"law": "recency"})
    for text in ("The boat is red", "The house is blue", "The car is green"):
        memory.add(text, user_id="ana")
        clock.advance(hours=1)
    assert memory.search("What colour is the boat?", user_id="ana", top_k=1)[0].text.startswith(
        "The boat"
    )
    assert len(memory.sweep().archived) == 1
    assert in_states(memory, State.ARCHIVED) == ["The house is blue"]
    assert len(memory.get_all(user_id="ana")) == 2


def test_a_sweep_is_of_the_whole_tenant_and_no_other(opened: Open, path: str) -> None:
    memory = opened(path)
    for user in ("ana", "bo"):
        memory.add("one", user_id=user)
        memory.add("two", user_id=user)
    memory.set_policy(everywhere=True, capacity=1)
    first = memory.sweep(limit=1)
    assert len(first.archived) == 1
    assert first.more
    assert len(memory.sweep().archived) == 1
    assert memory.sweep() == type(first)(mortal=True)
    for wrong in (0, True, "all"):
        with pytest.raises(InvalidInput):
            memory.sweep(limit=wrong)


def test_two_runs_end_in_the_same_journal(clock: SimClock, tmp_path: Path) -> None:
    def run(path: str | Path) -> Any:
        moving = SimClock()
        with Lived(
            path,
            background="inline",
            clock=moving,
            ids=SeededIds(1),
            entropy=SeededEntropy(1),
            embedder=None,
        ) as memory:
            memory.set_policy("turn", user_id="ana", ttl="3d", grace="1d", capacity=4)
            for n in range(12):
                memory.add(f"memory number {n}", user_id="ana")
                moving.advance(hours=11)
                memory.search(f"number {n // 2}", user_id="ana", top_k=2)
                memory.sweep()
            return head(memory)

    assert run(":memory:") == run(":memory:") == run(tmp_path / "vault.db")


# ------------------------------------------------------------------------------------------ use


def test_hits_and_evidence_count_as_read(memory: Any, clock: SimClock) -> None:
    boat = memory.add("The boat is red", user_id="ana").id
    house = memory.add("The house is blue", user_id="ana").id
    rule = memory.add("Answer in one line", user_id="ana", kind="instruction").id
    written = clock.now()
    clock.advance(hours=1)
    found = memory.search("boat", user_id="ana", top_k=1)
    assert [hit.id for hit in found] == [boat]
    assert [memory.usage(id).reads for id in (boat, house, rule)] == [1, 0, 0]
    clock.advance(hours=1)
    cited = memory.context("boat", user_id="ana", budget=200).citations
    assert {item.id for item in cited} >= {boat}
    used = memory.usage(boat)
    assert (used.reads, used.first, used.last) == (
        2,
        written + timedelta(hours=1),
        written + timedelta(hours=2),
    )
    assert memory.usage(rule).reads == 0  # standing memories are always there
    memory.get(boat)
    memory.get_all(user_id="ana")
    assert memory.usage(boat) == used
    assert used.law == {"law": "ebbinghaus", "stability_days": 1.0, "gain": 1.0}
    assert used.strength == 1.0
    memory.set_policy("turn", user_id="ana", law="heat")
    assert memory.usage(boat).strength == 4.0


def test_the_past_and_the_staged_are_not_counted(memory: Any) -> None:
    receipt = memory.add("The boat is red", user_id="ana")
    memory.view(as_of=receipt, user_id="ana").search("boat")
    with memory.begin() as tx:
        tx.add("Another boat", user_id="ana")
        tx.search("boat", user_id="ana")
    assert memory.usage(receipt.id).reads == 0


def test_counts_outlive_the_process_and_not_the_memory(
    opened: Open, tmp_path: Path, clock: SimClock
) -> None:
    first = opened(tmp_path / "vault.db")
    id = first.add("The boat is red", user_id="ana").id
    first.add("The house is blue", user_id="ana")
    seq = head(first).seq
    first.search("boat", user_id="ana", top_k=1)
    first.close()
    again = opened(tmp_path / "vault.db")
    assert again.usage(id).reads == 1
    assert head(again).seq == seq
    again.search("boat", user_id="ana", top_k=1)
    again.forget(id)
    again.close()
    last = opened(tmp_path / "vault.db")
    with last._vault.store.read(SYSTEM) as tx:
        numbers = {row.cube for row in tx.scan(schema.IDS, ("default",))}
        assert {row.cube for row in tx.scan(schema.USAGE, ())} <= numbers


def test_many_counts_are_written_without_a_commit(opened: Open, clock: SimClock) -> None:
    memory = opened()
    id = memory.add("The boat is red", user_id="ana").id
    memory._vault.usage.note("elsewhere", range(MOST_PENDING), clock.now())
    memory.search("boat", user_id="ana")
    assert len(memory._vault.usage) == 0
    assert memory.usage(id).reads == 1


def test_a_vault_sweeps_itself(opened: Open, path: str, clock: SimClock) -> None:
    memory = opened(path, background="inline")
    over = memory.add("soon over", user_id="ana", expires_at=clock.now() + timedelta(hours=1)).id
    (job,) = memory.jobs()
    assert job.kind == "sweep"
    clock.advance(hours=3)
    memory.add("a write wakes what is due", user_id="ben")
    (entry,) = memory.log(id=over, verbs="state")
    assert (entry.actor, entry.state) == ("sweeper", "expired")
    clock.advance(days=8)
    memory.add("another", user_id="ben")
    (entry,) = memory.log(verbs="forget")
    assert (entry.actor, entry.id) == ("sweeper", over)
    clock.advance(hours=2)
    memory.add("a third", user_id="ben")
    assert memory.jobs() == []  # it looked once more, and nothing left has an end


def test_a_policy_outlives_the_last_memory_it_let_go(
    opened: Open, path: str, clock: SimClock
) -> None:
    memory = opened(path)
    memory.set_policy("turn", user_id="ana", ttl="1h", grace="1h")
    memory.add("gone tomorrow", user_id="ana")
    clock.advance(days=1)
    assert len(memory.sweep().forgotten) == 1
    assert [entry.policy.ttl for entry in memory.policies(user_id="ana")] == [3600.0]
    memory.add("and again", user_id="ana")
    memory.delete_all(user_id="ana")
    assert memory.policies(user_id="ana") == ()
    assert memory.verify().problems == []
