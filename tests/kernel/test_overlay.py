"""Staged writes read as if they had been made, and leave what lies beneath alone."""

from contextlib import closing
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import StoreError
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.overlay import Overlay, StagedBlobs
from mnemos.stores.memory import MemoryBlobs, MemoryStore
from mnemos.testing.samples import sample_rows

TABLES = (schema.META, schema.SUBJECTS, schema.VERSIONS, schema.SOURCES, schema.SEGMENTS)
SAMPLES = {table.name: sample_rows(table, 30) for table in TABLES}

numbers = st.integers(0, 10**6)
verbs = st.sampled_from(["put", "insert", "delete"])
operations = st.lists(st.tuples(verbs, st.sampled_from(TABLES), numbers, numbers), max_size=25)
scans = st.lists(
    st.tuples(
        st.sampled_from(TABLES),
        st.integers(0, 5),
        numbers,
        st.integers(0, 2),
        numbers,
        st.booleans(),
        st.sampled_from([None, 0, 1, 3]),
    ),
    min_size=4,
    max_size=20,
)


def apply(tx, operation):
    """Do it, and return whether it was refused."""
    verb, table, number, depth = operation
    rows = SAMPLES[table.name]
    row = rows[number % len(rows)]
    try:
        if verb == "put":
            tx.put(table, row)
        elif verb == "insert":
            tx.insert(table, [row])
        else:
            tx.delete(table, table.key_of(row)[: depth % table.key + 1])
    except StoreError:
        return True
    return False


def scan(tx, given):
    table, depth, number, bounded, low, reverse, limit = given
    index = [None, *table.indexes][number % (1 + len(table.indexes))]
    columns = table.columns_of(index)
    rows = SAMPLES[table.name]
    model = rows[number % len(rows)]
    depth %= len(columns) + (index is not None)  # the key follows an index, so it can be bounded
    prefix = [getattr(model, column) for column in columns[:depth]]
    order = list(dict.fromkeys([*columns, *table.columns_of(None)]))
    other = getattr(rows[low % len(rows)], order[depth]) if depth < len(order) else None
    start, stop = [(None, None), (other, None), (None, other)][bounded]
    return list(
        tx.scan(table, prefix, index=index, start=start, stop=stop, reverse=reverse, limit=limit)
    )


def base_store(make_store, engine, beneath):
    store = make_store(engine)
    with store.write(SYSTEM) as tx:
        for operation in beneath:
            apply(tx, operation)
    return store


@settings(max_examples=60)
@given(st.sampled_from(["memory", "memory", "sqlite"]), operations, operations, scans)
def test_staged_reads_as_if_made(make_store, engine, beneath, staged, asked):
    store = base_store(make_store, engine, beneath)
    with store.read(SYSTEM) as tx:
        before = {table.name: list(tx.scan(table, ())) for table in TABLES}
        overlay = Overlay(tx)
        refused = [apply(overlay, operation) for operation in staged]
        found = [scan(overlay, given) for given in asked]
        gets = {
            (table.name, table.key_of(row)): overlay.get(table, table.key_of(row))
            for table in TABLES
            for row in SAMPLES[table.name]
        }
        assert {table.name: list(tx.scan(table, ())) for table in TABLES} == before
    with store.write(SYSTEM) as tx:
        assert [apply(tx, operation) for operation in staged] == refused
        assert [scan(tx, given) for given in asked] == found
        for table in TABLES:
            for row in SAMPLES[table.name]:
                key = table.key_of(row)
                assert tx.get(table, key) == gets[table.name, key]


@given(operations, operations, operations)
def test_an_overlay_can_lie_on_an_overlay(beneath, first, second):
    with closing(MemoryStore()) as store:
        with store.write(SYSTEM) as tx:
            for operation in beneath:
                apply(tx, operation)
        with store.read(SYSTEM) as tx:
            one, other = Overlay(tx), Overlay(Overlay(tx))
            middle = other._base
            for operation in first:
                assert apply(one, operation) == apply(middle, operation)
            for operation in second:
                assert apply(one, operation) == apply(other, operation)
            for table in TABLES:
                for index in (None, *table.indexes):
                    assert list(other.scan(table, (), index=index)) == list(
                        one.scan(table, (), index=index)
                    )


def test_a_scan_stops_reading_at_its_limit():
    """Staging one row must not make every limited scan read the whole table."""
    taken = count()

    class Counting:
        def scan(self, table, prefix, **how):
            for number in range(1000):
                next(taken)
                yield schema.Source("t", f"{number:04}", "d")

        def get(self, table, key):
            return None

    overlay = Overlay(Counting())
    overlay.put(schema.SOURCES, schema.Source("t", "0000a", "d"))
    found = list(overlay.scan(schema.SOURCES, ("t",), limit=3))
    assert [row.source for row in found] == ["0000", "0000a", "0001"]
    assert next(taken) < 10


def test_an_insert_over_a_staged_deletion_is_a_new_row():
    with closing(MemoryStore()) as store:
        with store.write(SYSTEM) as tx:
            tx.insert(schema.META, [schema.Meta("a", "old")])
        with store.read(SYSTEM) as tx:
            overlay = Overlay(tx)
            overlay.delete(schema.META, ("a",))
            overlay.insert(schema.META, [schema.Meta("a", "new")])
            assert overlay.get(schema.META, ("a",)).value == "new"
            with pytest.raises(StoreError):
                overlay.insert(schema.META, [schema.Meta("a", "newer")])


def test_staged_blobs_lie_over_the_real_ones():
    real = MemoryBlobs()
    real.put("aa", b"real")
    staged = StagedBlobs(real)
    staged.put("bb", b"staged")
    assert staged.names() == ["aa", "bb"]
    assert (staged.get("aa"), staged.get("bb"), staged.get("cc")) == (b"real", b"staged", None)
    staged.delete("bb")
    assert staged.get("bb") is None
    assert real.names() == ["aa"]


def test_a_large_overlay_merges_both_ways():
    random = Random(1)
    names = [f"{number:05}" for number in range(500)]
    with closing(MemoryStore()) as store:
        with store.write(SYSTEM) as tx:
            tx.insert(schema.META, (schema.Meta(name, "") for name in names[::2]))
        with store.read(SYSTEM) as tx:
            overlay = Overlay(tx)
            for name in random.sample(names[1::2], 250):
                overlay.insert(schema.META, [schema.Meta(name, "")])
            assert [row.name for row in overlay.scan(schema.META, ())] == names
            assert [row.name for row in overlay.scan(schema.META, (), reverse=True)] == names[::-1]
