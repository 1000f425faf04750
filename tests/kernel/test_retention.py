"""Policies, lifespans, use counts and the sweeper, on a clock that moves when it is told to."""

import itertools
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mnemos.errors import InvalidInput, NotFound
from mnemos.kernel import schema
from mnemos.kernel.changes import Add, Amend, Changes, Fork, Rollback, SetPolicy, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep import sweeping
from mnemos.kernel.upkeep.retention import DAY, GRACE, Policy, effective
from mnemos.kernel.upkeep.sweeping import BATCH, SweepReport, sweep
from mnemos.kernel.upkeep.usage import MOST_PENDING, UsageBuffer, read_usage, weigh
from mnemos.kernel.vault import Staged
from mnemos.memories.strength import LAWS, read_law
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder
from mnemos.types import CURRENT_STATES, Kind, State


def set_policy(world, kind=None, *, subject="ana", everywhere=False, **fields):
    policy = Policy(**fields).to_json() if fields else None
    change = SetPolicy(id=world.ids.fresh(), kind=kind, policy=policy, everywhere=everywhere)
    return world.commit(change, subject=subject)


EARLY = datetime(2025, 1, 1, tzinfo=UTC)
"""A moment at which nothing had expired yet."""


def touched(report):
    """Return what a sweep did, whatever is left to come."""
    return replace(report, mortal=False)


def swept(world, **how):
    return sweep(world.vault, "t", strength=read_law, **how)


def state(world, id, *, branch=0):
    with world.reader(branch=branch, now=EARLY) as reader:
        return reader.get(id).state


def number(world, id):
    with world.store.read(SYSTEM) as tx:
        return tx.get(schema.IDS, ("t", id))


def events(world, *, actor="sweeper"):
    actors = {row.actor: row.name for row in world.rows(schema.ACTORS, "t")}
    return [
        (row.verb, row.cube, row.state)
        for row in world.rows(schema.EVENTS, "t")
        if actors[row.actor] == actor
    ]


def read_of(world, *ids, times=1):
    for _ in range(times):
        world.vault.usage.note("t", [number(world, id).cube for id in ids], world.clock.now())


# ------------------------------------------------------------------------------------ policies


def test_the_nearest_policy_counts_field_by_field(world):
    world.add("something")
    subject = number(world, world.add("more")).subject

    def policy(kind=Kind.TURN, of=subject):
        with world.store.read(SYSTEM) as tx:
            return effective(tx, "t", of, kind)

    assert policy() == Policy(grace=GRACE)
    set_policy(world, everywhere=True, ttl=1, retain=1, capacity=1, grace=1)
    set_policy(world, Kind.TURN, everywhere=True, ttl=2, retain=2, capacity=2)
    set_policy(world, ttl=3, retain=3)
    set_policy(world, Kind.TURN, ttl=4)
    assert policy() == Policy(ttl=4, retain=3, capacity=2, grace=1)
    assert policy(Kind.FACT) == Policy(ttl=3, retain=3, capacity=1, grace=1)
    assert policy(of=None) == Policy(ttl=2, retain=2, capacity=2, grace=1)
    set_policy(world, Kind.TURN)  # drops it
    assert policy().ttl == 3
    set_policy(world, ttl=9)  # replaces the whole policy of that place
    assert policy() == Policy(ttl=9, retain=2, capacity=2, grace=1)
    with pytest.raises(NotFound, match="no such policy"):
        set_policy(world, Kind.TURN)
    assert verify(world.vault).ok


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": float("inf")},
        {"ttl": float("nan")},
        {"retain": 0},
        {"grace": -1},
        {"grace": "7d"},
        {"capacity": 0},
        {"capacity": 1.5},
        {"capacity": True},
        {"archive_below": -0.1},
        {"law": {1: "x"}},
    ],
)
def test_a_policy_that_cannot_be_is_refused(fields):
    with pytest.raises(InvalidInput):
        Policy(**fields)


def test_a_policy_goes_through_json_unchanged():
    whole = Policy(ttl=1, retain=2, grace=0, archive_below=0.1, law={"law": "fifo"}, capacity=3)
    assert Policy.from_json(whole.to_json()) == whole
    assert Policy.from_json({}) == Policy()
    with pytest.raises(InvalidInput, match="no field 'age'; allowed: ttl, retain"):
        Policy.from_json({"age": 3})


# ----------------------------------------------------------------------------------- lifespans


def test_new_memories_get_the_lifespan_of_their_kind(world):
    set_policy(world, Kind.TURN, ttl=DAY)
    own_end = world.clock.now() + timedelta(hours=1)
    plain, own, fact = (
        world.add("plain"),
        world.add("own", expires_at=own_end),
        world.add("fact", kind=Kind.FACT),
    )
    with world.reader() as reader:
        ends = [reader.get(id).header.expires_at for id in (plain, own, fact)]
    assert ends == [world.clock.now() + timedelta(days=1), own_end, None]
    world.clock.advance(hours=24)
    assert world.texts() == ["fact"]


def test_a_lifespan_from_a_policy_is_no_other_content(world):
    set_policy(world, ttl=DAY)
    first = world.add("said once", external_id="m1")
    world.clock.advance(hours=1)
    assert world.add("said once", external_id="m1") == first
    world.clock.advance(hours=1)
    world.add("said otherwise", external_id="m1", replace=True)
    with world.reader() as reader:
        left = reader.get(first).header.expires_at - world.clock.now()
    assert left == timedelta(days=1)
    world.clock.advance(days=1)
    assert world.add("said once", external_id="m1") != first  # the id is free again


def test_a_policy_counts_from_the_next_change_of_the_same_commit(world):
    def add(text):
        return Add(id=world.ids.fresh(), draft=world.draft(text))

    policy = SetPolicy(id=world.ids.fresh(), kind=None, policy={"ttl": 60})
    world.commit(add("before"), policy, add("after"))
    with world.reader() as reader:
        found = {cube.text: cube.header.expires_at is not None for cube in reader.list()}
    assert found == {"before": False, "after": True}


# ------------------------------------------------------------------------- expiry and forgetting


def test_expired_is_invisible_at_once_marked_by_the_sweeper_and_forgotten_after_the_grace(world):
    set_policy(world, grace=2 * DAY)
    seq = world.head().seq
    id = world.add("until noon", expires_at=world.clock.now() + timedelta(hours=12))
    world.add("for good")
    assert touched(swept(world)) == touched(SweepReport())  # nothing is due, nothing is written
    world.clock.advance(hours=12)
    assert world.texts() == ["for good"]
    assert world.texts(as_of=world.head().seq) == ["for good"]
    with world.reader() as reader:
        for look in (reader.get, reader.history):
            with pytest.raises(NotFound):
                look(id)
        arrays, mask = reader.page()
        assert mask.sum() == 1 < len(arrays)
    assert swept(world).expired == (id,)
    assert events(world) == [("state", id, "expired")]
    assert state(world, id) is State.EXPIRED
    world.clock.advance(hours=47)
    before = world.everything()
    report = swept(world)
    assert not report.forgotten
    assert world.everything() == before
    world.clock.advance(hours=1)
    report = swept(world)
    assert report.forgotten == (id,)
    assert not report.more
    assert events(world)[1:] == [("forget", id, "forgotten")]
    assert world.found(b"until noon") == []
    assert number(world, id) is None
    assert world.head().seq == seq + 4
    assert verify(world.vault).ok


def test_a_late_sweeper_forgets_without_a_stop(world):
    id = world.add("long over", expires_at=world.clock.now() + timedelta(hours=1))
    world.clock.advance(seconds=3600 + GRACE - 1)
    early = swept(world)
    assert (early.expired, early.forgotten) == ((id,), ())
    other = world.add("over too", expires_at=world.clock.now() + timedelta(seconds=1))
    world.clock.advance(seconds=1 + GRACE)
    assert swept(world).forgotten == (id, other)
    assert ("state", other, "expired") not in events(world)


def test_forgotten_words_leave_the_file(tmp_path, make_world):
    path = tmp_path / "vault.db"
    world = make_world(store=SQLiteStore(path), embedder=HashEmbedder(16))
    set_policy(world, Kind.TURN, ttl=60, grace=0)
    world.add("the word is xylophone")
    world.add("kept words", kind=Kind.FACT)
    world.clock.advance(seconds=60)

    def bytes_of_all():
        return b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    assert b"xylophone" in bytes_of_all()
    assert len(swept(world).forgotten) == 1
    assert b"xylophone" not in bytes_of_all()
    assert b"kept words" in bytes_of_all()
    with sqlite3.connect(path) as rows:
        assert "xylophone" not in "".join(rows.iterdump())
    rows.close()
    world.store.close()


def test_age_expires_and_the_grace_begins_then(world):
    old = world.add("old")
    world.clock.advance(days=30)
    new = world.add("new")
    set_policy(world, Kind.TURN, retain=10 * DAY, grace=DAY)
    report = swept(world)
    assert report.expired == (old,)
    assert not report.forgotten  # though older than both together
    assert world.texts(states=CURRENT_STATES) == ["new"]
    world.clock.advance(days=1)
    assert swept(world).forgotten == (old,)
    world.update(new, "new, told again")
    world.clock.advance(days=9)
    assert swept(world).expired == (new,)  # counted from the first recording


def test_a_late_sweeper_gives_old_memories_their_grace_and_a_new_policy_the_frozen_ones(world):
    plain, frozen = world.add("plain"), world.add("frozen", frozen=True)
    world.add("stays", kind=Kind.FACT)
    world.clock.advance(days=30)
    set_policy(world, Kind.TURN, retain=DAY, grace=DAY)
    assert touched(swept(world)) == touched(SweepReport(expired=(plain,)))
    world.clock.advance(days=1)
    late = world.add("late")
    assert set(swept(world).forgotten) == {plain, frozen}
    world.clock.advance(days=30)
    assert touched(swept(world)) == touched(
        SweepReport(expired=(late,))
    )  # visible until now, so not yet forgotten


def test_what_is_derived_goes_with_its_source_and_is_not_tried_again(world, monkeypatch):
    monkeypatch.setattr(sweeping, "BATCH", 1)
    end = world.clock.now() + timedelta(hours=1)
    source = world.add("source", expires_at=end)
    derived = world.add("derived", derived_from=(source,), expires_at=end)
    lasting = world.add("lasting", derived_from=(source,))
    world.clock.advance(days=30)
    report = swept(world)
    assert set(report.forgotten) == {source, derived, lasting}
    assert (report.passed, report.held) == ((), ())


@pytest.mark.parametrize(
    ("before", "route"),
    [
        (State.GENERATED, ["activated", "expired"]),
        (State.ACTIVATED, ["expired"]),
        (State.MERGED, ["archived", "expired"]),
        (State.SUPERSEDED, ["archived", "expired"]),
        (State.ARCHIVED, ["expired"]),
    ],
)
def test_every_state_expires_by_legal_steps(world, before, route):
    end = world.clock.now() + timedelta(days=1)
    first = State.GENERATED if before is State.GENERATED else State.ACTIVATED
    id = world.add("soon over", state=first, expires_at=end)
    if before is not first:
        world.move(id, before)
    world.clock.advance(days=1)
    assert swept(world).expired == (id,)
    assert events(world) == [("state", id, name) for name in route]
    assert state(world, id) is State.EXPIRED
    assert swept(world).expired == ()


def test_frozen_memories_are_not_moved_but_forgotten_after_the_grace(world):
    end = world.clock.now() + timedelta(days=1)
    ends, ages = world.add("ends", frozen=True, expires_at=end), world.add("ages", frozen=True)
    world.add("stays", kind=Kind.FACT)
    set_policy(world, Kind.TURN, capacity=1, archive_below=1e9, grace=DAY)
    assert swept(world).archived == ()
    world.clock.advance(days=1)
    report = swept(world)
    assert (report.expired, report.archived, report.forgotten) == ((), (), ())
    assert world.texts() == ["ages", "stays"]  # and yet invisible
    set_policy(world, Kind.TURN, retain=DAY, grace=DAY)
    world.clock.advance(hours=23)
    assert swept(world).forgotten == ()
    world.clock.advance(hours=1)
    assert swept(world).forgotten == (ends, ages)
    assert [verb for verb, _, _ in events(world)] == ["forget", "forget"]


def test_a_legal_hold_stops_forgetting_and_is_reported(world):
    end = world.clock.now() + timedelta(days=1)
    source = world.add("source", expires_at=end)
    held = world.add("held", expires_at=end, hold=True)
    derived = world.add("derived", derived_from=(source,), hold=True, kind=Kind.FACT)
    free = [world.add(f"free {n}", expires_at=end) for n in range(3)]
    world.clock.advance(days=30)
    report = swept(world)
    assert report.forgotten == tuple(free)
    assert sorted(report.held) == sorted((source, held))
    assert state(world, held) is State.EXPIRED  # it is held, not shown
    assert world.texts() == ["derived"]
    for id in (held, derived):
        world.commit(Amend(id=id, fields={"hold": False}))
    report = swept(world)
    assert set(report.forgotten) == {source, held, derived}
    assert not report.held
    assert verify(world.vault).ok


def test_on_branches_each_line_expires_and_what_lives_on_one_is_forgotten_on_none(world):
    end = world.clock.now() + timedelta(days=1)
    both, kept = world.add("both", expires_at=end), world.add("kept", expires_at=end)
    branch = world.commit(Fork(id=world.ids.fresh(), name="try")).seq

    def on_branch(*changes):
        given = Changes(scope=world.scope(), changes=changes, branch=branch)
        return world.vault.commit([Staged(given)])

    on_branch(Update(id=kept, draft=world.draft("kept longer")))
    world.clock.advance(days=1)
    assert swept(world).expired == (both, kept, both)
    assert state(world, both, branch=branch) is State.EXPIRED
    assert state(world, kept, branch=branch) is State.ACTIVATED
    world.clock.advance(days=30)
    assert swept(world).forgotten == (both,)
    assert world.texts(branch=branch) == ["kept longer"]
    assert state(world, kept) is State.EXPIRED
    assert verify(world.vault).ok


def test_what_a_rollback_withdrew_is_forgotten_too(world):
    world.add("stays", kind=Kind.FACT)
    to = world.head().seq
    ends = world.add("ends", expires_at=world.clock.now() + timedelta(days=1))
    ages, lasts = world.add("ages"), world.add("lasts", kind=Kind.FACT)
    world.commit(Rollback(id=world.ids.fresh(), to=to))
    assert world.texts() == ["stays"]
    world.clock.advance(seconds=DAY + GRACE - 1)
    assert touched(swept(world)) == touched(SweepReport())
    set_policy(world, Kind.TURN, retain=DAY)
    world.clock.advance(seconds=1)
    assert swept(world).forgotten == (ends,)
    world.clock.advance(seconds=GRACE)
    assert swept(world).forgotten == (ages,)
    assert number(world, lasts) is not None
    assert verify(world.vault).ok


def test_a_sweep_is_bounded_and_goes_on_where_it_stopped(world, make_world):
    end = world.clock.now() + timedelta(hours=1)
    adds = [
        Add(id=world.ids.fresh(), draft=world.draft(f"n {n}", expires_at=end))
        for n in range(BATCH + 10)
    ]
    world.commit(*adds)
    world.add("bo's", subject="bo", expires_at=end)
    world.clock.advance(days=30)
    first = swept(world, limit=BATCH + 1)
    assert len(first.forgotten) == BATCH + 1
    assert first.more
    batches = {row.batch for row in world.rows(schema.EVENTS, "t") if row.verb == "forget"}
    assert len(batches) == 2
    second = swept(world, limit=BATCH)
    assert len(second.forgotten) == 10
    assert not second.more
    assert {id for report in (first, second) for id in report.forgotten} >= {a.id for a in adds}
    assert touched(swept(world)) == touched(SweepReport())


def test_what_somebody_changes_meanwhile_is_passed_over(world, monkeypatch):
    end = world.clock.now() + timedelta(days=1)
    ids = [world.add(f"n {n}", expires_at=end) for n in range(4)]
    world.clock.advance(days=1)
    commit, done = world.vault.commit, []

    def meanwhile(staged):
        if not done:
            done.append(True)
            world.update(ids[2], "lives on")
        return commit(staged)

    world.vault.commit = meanwhile
    report = swept(world)
    assert report.passed == (ids[2],)
    assert report.expired == (ids[0], ids[1], ids[3])
    assert world.texts(states=CURRENT_STATES) == ["lives on"]


# ------------------------------------------------------------------------------ decay, capacity


def test_decay_archives_what_is_below_and_use_keeps_it(world):
    set_policy(world, Kind.TURN, archive_below=0.1, law={"law": "ebbinghaus"})
    idle, used, frozen = world.add("idle"), world.add("used"), world.add("frozen", frozen=True)
    waiting = world.add("waiting", state=State.GENERATED)
    fact = world.add("fact", kind=Kind.FACT)
    world.clock.advance(days=2)
    read_of(world, used, times=2)
    assert swept(world).archived == ()  # exp(-2) is above
    world.clock.advance(days=2)
    report = swept(world)
    assert (report.archived, report.passed) == ((idle,), ())
    assert events(world) == [("state", idle, "archived")]
    assert world.texts(states=CURRENT_STATES) == ["used", "frozen", "waiting", "fact"]
    world.move(idle, State.ACTIVATED)
    assert state(world, idle) is State.ACTIVATED
    assert {state(world, id) for id in (used, frozen, fact)} == {State.ACTIVATED}
    assert state(world, waiting) is State.GENERATED


@pytest.mark.parametrize("law", LAWS)
def test_capacity_archives_the_weakest_under_each_law(world, law):
    set_policy(world, Kind.TURN, capacity=2, law={"law": law})
    ids = []
    for n in range(4):
        ids.append(world.add(f"memory {n}"))
        world.clock.advance(hours=1)
    read_of(world, ids[0], times=3)
    world.clock.advance(minutes=1)
    report = swept(world)
    weakest = ids[:2] if law == "fifo" else ids[1:3]
    assert report.archived == tuple(weakest)
    with world.reader() as reader:
        stays = {cube.id for cube in reader.list() if cube.state is State.ACTIVATED}
    assert stays == set(ids) - set(weakest)
    assert not report.forgotten
    assert swept(world).archived == ()


def test_frozen_and_waiting_memories_count_but_are_not_archived(world):
    set_policy(world, capacity=2)
    frozen = [world.add(f"frozen {n}", frozen=True) for n in range(2)]
    world.clock.advance(hours=1)
    plain = [world.add(f"plain {n}") for n in range(2)]
    assert swept(world).archived == tuple(plain)
    assert {state(world, id) for id in frozen} == {State.ACTIVATED}


def test_what_is_expired_does_not_count(world):
    set_policy(world, capacity=1, retain=DAY)
    old, frozen = world.add("old"), world.add("frozen", frozen=True)
    world.clock.advance(days=1)
    world.add("new")
    assert touched(swept(world)) == touched(SweepReport(expired=(old,)))
    assert state(world, frozen) is State.ACTIVATED


def test_capacity_is_of_a_subject_and_a_kind(world):
    set_policy(world, everywhere=True, capacity=1)
    for subject, kind in itertools.product(("ana", "bo"), (Kind.TURN, Kind.FACT)):
        for n in range(2):
            world.add(f"{kind} {n}", subject=subject, kind=kind)
    assert len(swept(world).archived) == 4
    for subject in ("ana", "bo"):
        assert (
            world.texts(subject, states=CURRENT_STATES) == ["turn 1", "fact 1"]
            or len(world.texts(subject, states=CURRENT_STATES)) == 2
        )


def test_two_runs_end_in_the_same_journal(make_world, engine):
    def run():
        world = make_world(engine, seed=5, embedder=HashEmbedder(16))
        set_policy(world, Kind.TURN, ttl=3 * DAY, grace=DAY, capacity=5, law={"law": "heat"})
        ids = []
        for n in range(20):
            ids.append(world.add(f"memory {n}"))
            world.clock.advance(hours=5)
            read_of(world, ids[n // 2]) if number(world, ids[n // 2]) else None
            swept(world)
        return world.head(), events(world), world.rows(schema.USAGE)

    first, second = run(), run()
    assert first == second
    assert {verb for verb, _, _ in first[1]} == {"state", "forget"}


# ----------------------------------------------------------------------------------------- use


def test_counts_are_written_with_the_next_commit_and_erased_with_the_memory(world):
    id = world.add("read often")
    started = world.clock.now()
    read_of(world, id)
    world.clock.advance(hours=1)
    read_of(world, id)
    assert world.rows(schema.USAGE) == []
    cube, head = number(world, id), world.head()

    def usage(**how):
        with world.store.read(SYSTEM) as tx:
            return read_usage(tx, "t", cube.subject, [cube.cube], **how)[cube.cube]

    assert usage().reads == 0
    assert usage(buffer=world.vault.usage).reads == 2
    world.add("something else")
    assert len(world.vault.usage) == 0
    known = usage()
    assert (known.reads, known.first, known.last) == (2, started, world.clock.now())
    assert known.recorded == started
    assert known.factor == 1
    assert world.head().seq == head.seq + 1  # outside the chain
    read_of(world, id)
    world.forget(id)
    assert world.rows(schema.USAGE) == []
    world.vault.usage.note("t", [cube.cube], world.clock.now())  # a count that comes late
    world.vault.flush_usage()
    assert world.rows(schema.USAGE) == []
    assert verify(world.vault).ok


def test_counts_are_written_at_the_end_and_when_there_are_many(make_world, engine):
    world = make_world(engine)
    id = world.add("read")
    buffer = UsageBuffer()
    now = world.clock.now()
    assert not buffer.note("t", range(MOST_PENDING), now)
    assert buffer.note("t", [MOST_PENDING], now)
    read_of(world, id)
    world.vault.flush_usage()
    world.vault.flush_usage()
    assert [row.reads for row in world.rows(schema.USAGE)] == [1]


def test_suppression_lasts_until_the_next_read(world):
    id = world.add("suppressed")
    found = number(world, id)

    def factor():
        with world.store.read(SYSTEM) as tx:
            return read_usage(tx, "t", found.subject, [found.cube])[found.cube]

    for _ in range(2):
        with world.store.write(SYSTEM) as tx:
            weigh(tx, "t", found.subject, found.cube, 0.5)
    assert (factor().factor, factor().reads, factor().last) == (0.25, 0, None)
    read_of(world, id)
    world.vault.flush_usage()
    assert (factor().factor, factor().reads) == (1, 1)
    assert factor().first == factor().last == world.clock.now()
