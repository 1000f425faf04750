"""The chain: no gaps, no time running backwards, no edit unnoticed."""

from bisect import bisect_right
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.kernel import schema
from mnemos.kernel.canonical import event_hash, microseconds, moment
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.journal import (
    GENESIS,
    Journal,
    ensure_subject,
    find_subject,
    seq_at,
    tenants,
    walk,
)
from mnemos.stores.memory import MemoryStore
from mnemos.testing import SeededEntropy, SimClock
from mnemos.types import Header, Scope, Text

steps = st.lists(
    st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 3)), min_size=1, max_size=12
)
"""Per transaction: microseconds the clock moves, forward or back, and events appended."""


def write(store, transactions, *, tenant="t", actor="owner"):
    clock, entropy = SimClock(), SeededEntropy(1)
    for move, events in transactions:
        clock.advance(timedelta(microseconds=move))
        with store.write(SYSTEM) as tx:
            journal = Journal(tx, tenant, actor=actor, now=clock.now(), entropy=entropy)
            for number in range(events):
                seq = journal.seq + 1
                body = (Scope(tenant=tenant), Header(), Text(text=f"{seq} {number}"))
                journal.append(
                    "add", cube=f"{seq:032x}", subject=1, branch=0, state="activated", body=body
                )
            journal.finish()


def events_of(store, tenant="t"):
    with store.read(SYSTEM) as tx:
        return list(tx.scan(schema.EVENTS, (tenant,)))


def sound(store, tenant="t"):
    with store.read(SYSTEM) as tx:
        return [good for _, good in walk(tx, tenant)]


def whole(store, tenant="t"):
    """Whether walk finds every event sound and the head names the last one."""
    with store.read(SYSTEM) as tx:
        walked = list(walk(tx, tenant))
        head = tx.get(schema.HEADS, (tenant,))
    last = walked[-1][0] if walked else None
    return (
        all(good for _, good in walked)
        and head is not None
        and last is not None
        and (head.seq, head.hash) == (last.seq, last.hash)
    )


@given(steps)
def test_seq_has_no_gaps_and_time_never_runs_back(transactions):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    times = [event.at for event in events]
    assert times == sorted(times)
    assert len({event.hash for event in events}) == len(events)
    assert whole(store)
    with store.read(SYSTEM) as tx:
        head = tx.get(schema.HEADS, ("t",))
    assert (head.seq, head.at, head.hash) == (events[-1].seq, events[-1].at, events[-1].hash)


@given(steps)
def test_the_events_of_one_transaction_share_batch_and_time(transactions):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    at = 0
    for _, count in transactions:
        part = events[at : at + count]
        assert {event.batch for event in part} == {part[0].seq}
        assert len({event.at for event in part}) == 1
        at += count


def test_a_clock_that_goes_back_is_held_at_the_last_event():
    store = MemoryStore()
    write(store, [(5_000_000, 1), (-3_000_000, 1), (1_000_000, 1), (10_000_000, 1)])
    first, *same, last = [event.at for event in events_of(store)]
    assert same == [first, first]
    assert last > first


@given(
    st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(-300, 900),
)
def test_seq_at_is_the_last_event_at_or_before_a_moment(transactions, shift):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    wanted = events[0].at + shift
    with store.read(SYSTEM) as tx:
        assert seq_at(tx, "t", moment(wanted)) == bisect_right(
            [event.at for event in events], wanted
        )
        assert seq_at(tx, "nobody", moment(wanted)) == 0


changed_columns = st.sampled_from([name for name in schema.Event._fields if name != "tenant"])


@given(steps, changed_columns, st.data())
def test_an_event_changed_anywhere_is_found(transactions, column, data):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    event = data.draw(st.sampled_from(events))
    old = getattr(event, column)
    new = {
        int: lambda: old + data.draw(st.integers(1, 5)),
        str: lambda: old + "x",
        bytes: lambda: bytes([old[0] ^ 1]) + old[1:],
    }[type(old)]()
    with store.write(SYSTEM) as tx:
        tx.delete(schema.EVENTS, ("t", event.seq))
        tx.put(schema.EVENTS, event._replace(**{column: new}))
    assert not all(sound(store))
    assert not whole(store)


@given(steps, st.data())
def test_an_edit_that_repairs_its_own_hash_is_found_at_the_next_event_or_the_head(
    transactions, data
):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    place = data.draw(st.integers(0, len(events) - 1))
    previous = events[place - 1].hash if place else GENESIS
    forged = events[place]._replace(verb="forget")
    forged = forged._replace(hash=event_hash(previous, forged))
    with store.write(SYSTEM) as tx:
        tx.put(schema.EVENTS, forged)
    assert sound(store) == [seq != forged.seq + 1 for seq in range(1, len(events) + 1)]
    assert not whole(store)


@given(steps, st.data())
def test_a_deleted_event_is_found(transactions, data):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    gone = data.draw(st.sampled_from(events))
    with store.write(SYSTEM) as tx:
        tx.delete(schema.EVENTS, ("t", gone.seq))
    assert not whole(store)
    assert all(sound(store)) == (gone == events[-1])


@given(steps.filter(lambda taken: sum(count for _, count in taken) > 1), st.data())
def test_two_events_changing_places_are_found(transactions, data):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    one, other = data.draw(st.lists(st.sampled_from(events), min_size=2, max_size=2, unique=True))
    with store.write(SYSTEM) as tx:
        tx.put(schema.EVENTS, other._replace(seq=one.seq))
        tx.put(schema.EVENTS, one._replace(seq=other.seq))
    assert not all(sound(store))


@given(steps, st.data())
def test_an_inserted_event_is_found(transactions, data):
    store = MemoryStore()
    write(store, transactions)
    events = events_of(store)
    place = data.draw(st.integers(0, len(events) - 1))
    with store.write(SYSTEM) as tx:
        for event in reversed(events[place:]):
            tx.delete(schema.EVENTS, ("t", event.seq))
            tx.put(schema.EVENTS, event._replace(seq=event.seq + 1))
        tx.put(schema.EVENTS, events[place]._replace(cube="f" * 32))
    assert not all(sound(store))


def test_a_chain_written_on_past_its_head_is_found():
    store = MemoryStore()
    write(store, [(1, 3)])
    last = events_of(store)[-1]
    more = last._replace(seq=4, hash=b"")
    with store.write(SYSTEM) as tx:
        tx.put(schema.EVENTS, more._replace(hash=event_hash(last.hash, more)))
    assert all(sound(store))
    assert not whole(store)


def test_tenants_have_chains_of_their_own():
    store = MemoryStore()
    write(store, [(1, 3)], tenant="a")
    write(store, [(1, 2)], tenant="b")
    with store.read(SYSTEM) as tx:
        assert tenants(tx) == ["a", "b"]
    assert [event.seq for event in events_of(store, "b")] == [1, 2]
    with store.write(SYSTEM) as tx:
        tx.delete(schema.EVENTS, ("a", 2))
    assert not whole(store, "a")
    assert whole(store, "b")


def test_actors_are_numbered_by_name_and_tenant():
    store = MemoryStore()
    for tenant, actor in [("a", "ana"), ("a", "bo"), ("a", "ana"), ("b", "bo")]:
        write(store, [(1, 1)], tenant=tenant, actor=actor)
    assert [event.actor for event in events_of(store, "a")] == [1, 2, 1]
    assert [event.actor for event in events_of(store, "b")] == [1]


def test_a_transaction_without_events_leaves_no_head():
    store = MemoryStore()
    with store.write(SYSTEM) as tx:
        journal = Journal(tx, "t", actor="owner", now=SimClock().now(), entropy=SeededEntropy(1))
        assert journal.finish() == 0
    with store.read(SYSTEM) as tx:
        assert tenants(tx) == []


def test_subject_numbers_are_never_used_again():
    store = MemoryStore()
    with store.write(SYSTEM) as tx:
        assert [ensure_subject(tx, "t", name) for name in ("ana", "bo", "ana")] == [1, 2, 1]
        tx.delete(schema.SUBJECTS, ("t", 2))
        assert find_subject(tx, "t", "bo") is None
        assert ensure_subject(tx, "t", "bo") == 3
        assert ensure_subject(tx, "other", "bo") == 1


def test_every_salt_is_its_own():
    store = MemoryStore()
    write(store, [(1, 3)] * 5)
    with store.read(SYSTEM) as tx:
        salts = [row.salt for row in tx.scan(schema.CONTENTS, ("t",))]
    assert len(set(salts)) == 15
    assert {len(salt) for salt in salts} == {32}


@pytest.mark.parametrize("shift", [0, 1])
def test_a_moment_before_everything_has_seq_zero(shift):
    store = MemoryStore()
    write(store, [(0, 2)])
    at = events_of(store)[0].at
    with store.read(SYSTEM) as tx:
        assert seq_at(tx, "t", moment(at - 1 + shift)) == 2 * shift
    assert microseconds(moment(at)) == at
