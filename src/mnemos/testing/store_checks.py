"""What every store promises, as checks anyone can run against a store of their own.

A check is a function of a ``make_store`` that returns a new, empty store each time; its docstring
is the promise, and it raises ``AssertionError`` where the promise is not kept. With pytest::

    @pytest.mark.parametrize("check", store_checks(), ids=lambda check: check.__name__)
    def test_my_store(check, tmp_path):
        check(lambda: MyStore(tmp_path / secrets.token_hex()))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import product
from random import Random
from typing import Any, TypeAlias

from mnemos.errors import StoreClosed, StoreError
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.ports import ReadTx, Table, WriteTx
from mnemos.kernel.schema import (
    ACTORS,
    CONTENTS,
    EVENTS,
    HEADS,
    META,
    SEGMENTS,
    SOURCES,
    SUBJECTS,
    TABLES,
    Actor,
    Content,
    Head,
    Meta,
    Source,
    Subject,
)
from mnemos.testing.binding_checks import check_reads_are_bound, check_writes_are_bound
from mnemos.testing.expectations import Deliberate, equal, expect, raises
from mnemos.testing.medium_checks import (
    MakeStore,
    check_images_show_what_is_stored,
    check_scrub_keeps_what_is_there,
    check_vacuum_keeps_what_is_there,
    fill,
)
from mnemos.testing.samples import BYTES, NUMBERS, WORDS, naive_scan, sample_rows

StoreCheck: TypeAlias = Callable[[MakeStore], None]

_PATIENCE = 60.0
"""Seconds after which a thread that should have ended counts as stuck."""


def _samples(count: int) -> list[tuple[Table[Any], list[Any]]]:
    return [(table, sample_rows(table, count)) for table in TABLES]


def _everything(tx: ReadTx) -> dict[str, list[Any]]:
    return {table.name: list(tx.scan(table, ())) for table in TABLES}


def _orders(table: Table[Any]) -> tuple[str | None, ...]:
    return (None, *table.indexes)


def _bounds(values: Sequence[Any], random: Random) -> list[tuple[Any, Any]]:
    """Return open, half-open, closed, empty and crossed ranges over a column's values."""
    low, high = random.choice(values), random.choice(values)
    return [(None, None), (low, None), (None, high), (low, high), (low, low)]


def check_get_returns_the_row_of_a_key(make_store: MakeStore) -> None:
    """Check that ``get`` returns exactly the row under a key, in every table; None for others."""
    rows = _samples(24)
    with closing(make_store()) as store:
        with store.read(SYSTEM) as tx:
            for table, wanted in rows:
                got = tx.get(table, table.key_of(wanted[0]))
                equal(got, None, f"{table.name} of an empty store")
        fill(store, *((table, wanted[:12]) for table, wanted in rows))
        with store.read(SYSTEM) as tx:
            for table, wanted in rows:
                for row in wanted[:12]:
                    got = tx.get(table, table.key_of(row))
                    equal(got, row, f"{table.name}: get")
                    equal(type(got), table.row, f"{table.name}: type of a row")
                for row in wanted[12:]:
                    equal(tx.get(table, table.key_of(row)), None, f"{table.name}: absent key")


def check_scan_keeps_order_and_bounds(make_store: MakeStore) -> None:
    """Check that ``scan`` walks every order of every table, cut by prefix, start, stop and limit, both ways.

    Text sorts by code point, bytes never lead a key, numbers by value; ties of an index are
    broken by the primary key.
    """
    rows = _samples(40)
    random = Random("scan")
    with closing(make_store()) as store:
        fill(store, *rows)
        with store.read(SYSTEM) as tx:
            for table, held in rows:
                for index in _orders(table):
                    for options in _scans(table, index, held, random):
                        got = list(tx.scan(table, **options))
                        wanted = naive_scan(table, held, **options)
                        equal(got, wanted, f"{table.name}.scan({options})")


def _scans(
    table: Table[Any], index: str | None, rows: list[Any], random: Random
) -> Iterator[dict[str, Any]]:
    columns = table.columns_of(index)
    for depth in range(len(columns) + 1):
        model = random.choice(rows)
        prefix = tuple(getattr(model, column) for column in columns[:depth])
        bounds: list[tuple[Any, Any]] = [(None, None)]
        if depth < len(columns):
            bounds = _bounds([getattr(row, columns[depth]) for row in rows], random)
        for (start, stop), reverse, limit in product(bounds, (False, True), (None, 0, 1, 5)):
            yield {
                "prefix": prefix,
                "index": index,
                "start": start,
                "stop": stop,
                "reverse": reverse,
                "limit": limit,
            }


def check_scans_may_interleave(make_store: MakeStore) -> None:
    """Check that several scans and gets can be under way at once in one transaction."""
    rows = [Source("t", f"s{i:03}", f"d{i:03}") for i in range(300)]
    with closing(make_store()) as store:
        fill(store, (SOURCES, rows))
        with store.read(SYSTEM) as tx:
            seen: list[Any] = []
            forward = tx.scan(SOURCES, ("t",))
            backward = tx.scan(SOURCES, ("t",), reverse=True)
            for one, other in zip(forward, backward, strict=True):
                equal(tx.get(SOURCES, SOURCES.key_of(one)), one, "get between two scans")
                seen.append((one, other))
            equal(seen, list(zip(rows, rows[::-1], strict=True)), "two interleaved scans")


def check_values_come_back_unchanged(make_store: MakeStore) -> None:
    """Check that 64-bit numbers, any text and bytes of any length come back as given."""
    contents = [
        Content("t", seq, b"salt", data)
        for seq, data in enumerate((*BYTES, Random(0).randbytes(5_000_000)))
    ]
    heads = [Head(f"n{n}", n, -n - 1, bytes(32)) for n in NUMBERS]
    texts = (
        *WORDS,
        "x" * 2_000_000,
        "\r\n\t\x1b",
        "\u202eabc",
        "\ufeff",
        "a'; DROP TABLE meta; --",
    )
    settings = [Meta(f"{place}:{text[:99]}", text) for place, text in enumerate(texts)]
    with closing(make_store()) as store:
        fill(store, (CONTENTS, contents), (HEADS, heads), (META, settings))
        with store.read(SYSTEM) as tx:
            expect(list(tx.scan(CONTENTS, ("t",))) == contents, "bytes came back changed")
            equal(sorted(tx.scan(HEADS, ())), sorted(heads), "numbers")
            for row in settings:
                equal(tx.get(META, (row.name,)), row, "text")


def check_insert_refuses_a_taken_key(make_store: MakeStore) -> None:
    """Check that ``insert`` of a key that exists raises ``StoreError``.

    The transaction can then be undone or go on; the row that was there stays as it was, whether it was committed before or staged just now.
    """
    with closing(make_store()) as store:
        fill(store, (META, [Meta("a", "old")]))
        with raises(StoreError, "insert of a committed key"), store.write(SYSTEM) as tx:
            tx.put(META, Meta("b", "lost with the transaction"))
            tx.insert(META, [Meta("a", "new")])
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(META, ())), [Meta("a", "old")], "after the undone insert")
        with store.write(SYSTEM) as tx:
            tx.insert(META, [Meta("c", "first")])
            with raises(StoreError, "insert of a staged key"):
                tx.insert(META, [Meta("c", "second")])
            tx.insert(META, [Meta("d", "later")])
        with store.read(SYSTEM) as tx:
            kept = [Meta("a", "old"), Meta("c", "first"), Meta("d", "later")]
            equal(list(tx.scan(META, ())), kept, "a transaction that went on")


def check_put_replaces(make_store: MakeStore) -> None:
    """Check that ``put`` adds or replaces a row, and no index finds the old values any more."""
    with closing(make_store()) as store:
        fill(store, (SUBJECTS, [Subject("t", 1, "ana"), Subject("t", 2, "bo")]))
        with store.write(SYSTEM) as tx:
            tx.put(SUBJECTS, Subject("t", 1, "zoe"))
            tx.put(SUBJECTS, Subject("t", 3, "cy"))
            by_name = list(tx.scan(SUBJECTS, ("t",), index="name"))
        after = [Subject("t", 2, "bo"), Subject("t", 3, "cy"), Subject("t", 1, "zoe")]
        equal(by_name, after, "by name, inside the transaction")
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(SUBJECTS, ("t",), index="name")), after, "by name, afterwards")
            equal(list(tx.scan(SUBJECTS, ("t", "ana"), index="name")), [], "the old name")
            equal(tx.get(SUBJECTS, ("t", 1)), Subject("t", 1, "zoe"), "by key")


def check_delete_takes_a_prefix(make_store: MakeStore) -> None:
    """Check that ``delete`` removes the rows under a key prefix, and no neighbour of theirs."""
    rows = [Source(t, s, d) for t in ("a", "ab") for s in ("x", "x\0", "xy") for d in ("1", "2")]
    with closing(make_store()) as store:
        for depth in (1, 2, 3):
            fill(store, (SOURCES, rows))
            with store.write(SYSTEM) as tx:
                tx.delete(SOURCES, rows[0][:depth])
                tx.delete(SOURCES, ("nobody",))
                wanted = [row for row in rows if row[:depth] != rows[0][:depth]]
                equal(list(tx.scan(SOURCES, ())), wanted, "inside the transaction")
            with store.read(SYSTEM) as tx:
                equal(list(tx.scan(SOURCES, ())), wanted, f"delete by {depth} columns")
            with store.write(SYSTEM) as tx:
                for tenant in ("a", "ab"):
                    tx.delete(SOURCES, (tenant,))


def check_delete_and_insert_in_one_transaction(make_store: MakeStore) -> None:
    """Check that a key deleted in a transaction is free in it, and can be inserted again."""
    with closing(make_store()) as store:
        fill(store, (ACTORS, [Actor("t", 1, "old")]))
        with store.write(SYSTEM) as tx:
            tx.delete(ACTORS, ("t", 1))
            equal(tx.get(ACTORS, ("t", 1)), None, "a deleted row")
            tx.insert(ACTORS, [Actor("t", 1, "new")])
            equal(tx.get(ACTORS, ("t", 1)), Actor("t", 1, "new"), "a row inserted again")
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(ACTORS, (), index="name")), [Actor("t", 1, "new")], "afterwards")


def check_a_write_is_all_or_nothing(make_store: MakeStore) -> None:
    """Check that any exception inside ``write`` undoes all of it and passes through unchanged."""
    rows = _samples(6)
    with closing(make_store()) as store:
        fill(store, *rows)
        with store.read(SYSTEM) as tx:
            before = _everything(tx)
        for error in (Deliberate("stop"), KeyboardInterrupt()):
            with raises(type(error), "the error of the caller"), store.write(SYSTEM) as tx:
                for table, held in rows:
                    tx.delete(table, table.key_of(held[0]))
                    tx.put(table, held[1])
                    tx.insert(table, [_unlike(table, held)])
                raise error
            with store.read(SYSTEM) as tx:
                equal(_everything(tx), before, f"after {error!r}")
        fill(store, (META, [Meta("the store", "still writes")]))
        with store.read(SYSTEM) as tx:
            equal(tx.get(META, ("the store",)), Meta("the store", "still writes"), "a later write")


def _unlike(table: Table[Any], held: Iterable[Any]) -> Any:
    """Return a row whose key no row of ``held`` has."""
    taken = {table.key_of(row) for row in held}
    return next(row for row in sample_rows(table, 30, seed=1) if table.key_of(row) not in taken)


def check_a_write_sees_itself(make_store: MakeStore) -> None:
    """Check that inside ``write``, get and scan show what it did so far, in every order."""
    with closing(make_store()) as store:
        fill(store, *_samples(10))
        with store.write(SYSTEM) as tx:
            for table in TABLES:
                held = {table.key_of(row): row for row in tx.scan(table, ())}
                for row in sample_rows(table, 12, seed=2):
                    tx.put(table, row)
                    held[table.key_of(row)] = row
                gone = next(iter(held))
                tx.delete(table, gone)
                del held[gone]
                for index, reverse in product(_orders(table), (False, True)):
                    got = list(tx.scan(table, (), index=index, reverse=reverse, limit=15))
                    wanted = naive_scan(
                        table, held.values(), (), index=index, reverse=reverse, limit=15
                    )
                    equal(got, wanted, f"{table.name} by {index}")


def check_reads_of_a_thread_share_a_snapshot(make_store: MakeStore) -> None:
    """Check that reads nest in a thread, and an error in one leaves the store usable."""
    with closing(make_store()) as store:
        fill(store, (META, [Meta("a", "1")]))
        with store.read(SYSTEM) as outer:
            with raises(Deliberate, "an error inside a nested read"), store.read(SYSTEM) as inner:
                equal(inner.get(META, ("a",)), outer.get(META, ("a",)), "two nested reads")
                raise Deliberate
            equal(outer.get(META, ("a",)), Meta("a", "1"), "the outer read goes on")
        fill(store, (META, [Meta("b", "2")]))
        with store.read(SYSTEM) as tx:
            equal(len(list(tx.scan(META, ()))), 2, "a read after the nested ones")


def check_a_write_cannot_start_inside_a_transaction(make_store: MakeStore) -> None:
    """Check that a write within a transaction of its thread raises ``StoreError`` and does no harm.

    It could neither see a fresh snapshot nor be undone with the write around it.
    """
    with closing(make_store()) as store:
        with (
            store.read(SYSTEM),
            raises(StoreError, "a write inside a read"),
            store.write(SYSTEM) as tx,
        ):
            tx.put(META, Meta("a", "inside a read"))
        with store.write(SYSTEM) as outer:
            with raises(StoreError, "a write inside a write"), store.write(SYSTEM) as tx:
                tx.put(META, Meta("b", "inside a write"))
            outer.put(META, Meta("c", "outside"))
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(META, ())), [Meta("c", "outside")], "what was written")


def _together(tasks: Sequence[Callable[[], None]]) -> None:
    """Run the tasks in threads of their own and raise the first error of any."""
    errors: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
        expect(not thread.is_alive(), "a thread waits for ever")
    if errors:
        raise errors[0]


def check_a_reader_sees_one_moment(make_store: MakeStore) -> None:
    """Check that a reader sees one committed state while other threads write.

    Writers may have to wait for the reader, or not; what the reader sees does not change.
    """
    names = [f"n{i}" for i in range(40)]
    rounds = 25

    def all_at(value: int) -> list[Meta]:
        return [Meta(name, str(value)) for name in sorted(names)]

    with closing(make_store()) as store:
        fill(store, (META, all_at(0)))
        written = threading.Event()

        def writer() -> None:
            for value in range(1, rounds + 1):
                with store.write(SYSTEM) as tx:
                    for name in names:
                        tx.put(META, Meta(name, str(value)))
                written.set()

        def reader() -> None:
            written.wait(_PATIENCE)
            last = 0
            while last < rounds:
                with store.read(SYSTEM) as tx:
                    first = [row for row, _ in zip(tx.scan(META, ()), range(20), strict=False)]
                    value = int(first[0].value)
                    for row in reversed(all_at(value)):
                        equal(tx.get(META, (row.name,)), row, "one row of the moment")
                    equal(list(tx.scan(META, ())), all_at(value), "all rows of the moment")
                expect(value >= last, "a later reader saw an earlier moment")
                last = value

        _together([writer, reader, reader])


def check_nothing_is_lost_between_writers(make_store: MakeStore) -> None:
    """Check that writers of many threads take turns: no increment and no insert is lost."""
    threads, turns = 6, 12
    with closing(make_store()) as store:
        fill(store, (META, [Meta("count", "0")]))

        def writer(number: int) -> None:
            for turn in range(turns):
                with store.write(SYSTEM) as tx:
                    row = tx.get(META, ("count",))
                    expect(row is not None, "the counter is gone")
                    tx.put(META, Meta("count", str(int(row.value) + 1 if row else 0)))
                    tx.insert(SOURCES, [Source("t", f"{number}", f"{turn:02}")])

        _together([lambda number=number: writer(number) for number in range(threads)])
        with store.read(SYSTEM) as tx:
            equal(tx.get(META, ("count",)), Meta("count", str(threads * turns)), "the counter")
            wanted = [
                Source("t", f"{number}", f"{turn:02}")
                for number in range(threads)
                for turn in range(turns)
            ]
            equal(list(tx.scan(SOURCES, ())), wanted, "the rows of all threads")


def check_acknowledged_is_seen_by_other_threads(make_store: MakeStore) -> None:
    """Check that what a write acknowledged is in the next read of any thread."""
    with closing(make_store()) as store:
        for value in range(5):
            fill(store, (CONTENTS, [Content("t", value, b"", b"x")]))

            def look(value: int = value) -> None:
                with store.read(SYSTEM) as tx:
                    equal(len(list(tx.scan(CONTENTS, ("t",)))), value + 1, "rows seen")

            _together([look])


def check_blobs(make_store: MakeStore) -> None:
    """Check that blobs come back whole, can be put again, are listed sorted, and go when deleted."""
    large = Random(1).randbytes(3_000_000)
    with closing(make_store()) as store:
        blobs = store.blobs
        equal((blobs.names(), blobs.get("aa")), ([], None), "an empty store's blobs")
        blobs.delete("aa")
        for name, data in (("bb", large), ("aa", b"\0\xff"), ("cc", b"")):
            blobs.put(name, data)
        blobs.put("bb", large)
        equal(blobs.names(), ["aa", "bb", "cc"], "names")
        expect(blobs.get("bb") == large, "a large blob came back changed")
        equal((blobs.get("aa"), blobs.get("cc")), (b"\0\xff", b""), "small blobs")
        blobs.delete("bb")
        blobs.delete("bb")
        equal((blobs.names(), blobs.get("bb")), (["aa", "cc"], None), "after delete")


def check_blobs_inside_transactions(make_store: MakeStore) -> None:
    """Check that a blob put inside a write is there at once, and stays when the write commits.

    One that was there before stays whatever becomes of a transaction that puts it again; one of a
    transaction that is undone may stay, for the kernel to sweep, or go.
    """
    with closing(make_store()) as store:
        with store.write(SYSTEM) as tx:
            tx.put(META, Meta("blob", "aa"))
            store.blobs.put("aa", b"data")
            equal(store.blobs.get("aa"), b"data", "inside the transaction")
        equal(store.blobs.get("aa"), b"data", "after the commit")
        with raises(Deliberate, "the error of the caller"), store.write(SYSTEM):
            store.blobs.put("aa", b"data")
            store.blobs.put("bb", b"other")
            raise Deliberate
        equal(store.blobs.get("aa"), b"data", "an old blob after an undone transaction")
        expect(store.blobs.get("bb") in (None, b"other"), "half a blob after an undone transaction")


def check_it_tells_of_itself(make_store: MakeStore) -> None:
    """Check that a sound store checks as sound, says what it is, and that its size grows."""
    with closing(make_store()) as store:
        equal(store.check(), [], "check of a new store")
        before = store.size()
        fill(store, (CONTENTS, [Content("t", 1, b"", Random(3).randbytes(1_000_000))]))
        expect(store.size() - before >= 900_000, "size does not count a row of a megabyte")
        before = store.size()
        store.blobs.put("aa", Random(4).randbytes(1_000_000))
        expect(store.size() - before >= 900_000, "size does not count a blob of a megabyte")
        equal(store.check(), [], "check after writing")
        said = store.describe()
        for name in ("engine", "location", "durability"):
            expect(bool(said.get(name)), f"describe() does not tell its {name}")


def check_a_closed_store_refuses(make_store: MakeStore) -> None:
    """Check that after ``close`` every thread gets ``StoreClosed``, and closing twice is fine."""
    store = make_store()
    fill(store, (META, [Meta("a", "1")]))

    def refused() -> None:
        with raises(StoreClosed, "a read after close"), store.read(SYSTEM):
            pass
        with raises(StoreClosed, "a write after close"), store.write(SYSTEM) as tx:
            tx.put(META, Meta("b", "2"))

    store.close()
    refused()
    _together([refused])
    store.close()


def check_it_behaves_like_a_dictionary(make_store: MakeStore) -> None:
    """Check that random transactions, some undone, leave the rows a dictionary would hold."""
    random = Random("model")
    tables: list[Table[Any]] = [META, SUBJECTS, EVENTS, SEGMENTS, SOURCES]
    every_order = [(table, index) for table in tables for index in _orders(table)]
    held: dict[str, dict[tuple[Any, ...], Any]] = {table.name: {} for table in tables}
    with closing(make_store()) as store:
        for turn in range(60):
            staged = {name: dict(rows) for name, rows in held.items()}
            undo = random.random() < 0.3
            with suppress(Deliberate), store.write(SYSTEM) as tx:
                for _ in range(random.randrange(1, 12)):
                    _step(tx, random.choice(tables), staged, random)
                if undo:
                    raise Deliberate
            held = held if undo else staged
            with store.read(SYSTEM) as tx:
                for table, index in every_order:
                    wanted = naive_scan(table, held[table.name].values(), (), index=index)
                    got = list(tx.scan(table, (), index=index))
                    equal(got, wanted, f"{table.name} by {index}, turn {turn}")


def _step(
    tx: WriteTx,
    table: Table[Any],
    staged: dict[str, dict[tuple[Any, ...], Any]],
    random: Random,
) -> None:
    """Do one random thing to the store and to the dictionary."""
    rows = staged[table.name]
    row = random.choice(sample_rows(table, 30, seed=random.randrange(3)))
    key = table.key_of(row)
    match random.choice(("put", "put", "insert", "insert", "delete")):
        case "put":
            tx.put(table, row)
            rows[key] = row
        case "insert" if key in rows:
            with raises(StoreError, f"insert of a taken key into {table.name}"):
                tx.insert(table, [row])
        case "insert":
            tx.insert(table, [row])
            rows[key] = row
        case _:
            depth = random.randint(1, table.key)
            tx.delete(table, key[:depth])
            for doomed in [other for other in rows if other[:depth] == key[:depth]]:
                del rows[doomed]


_CHECKS: tuple[StoreCheck, ...] = (
    check_get_returns_the_row_of_a_key,
    check_scan_keeps_order_and_bounds,
    check_scans_may_interleave,
    check_values_come_back_unchanged,
    check_insert_refuses_a_taken_key,
    check_put_replaces,
    check_delete_takes_a_prefix,
    check_delete_and_insert_in_one_transaction,
    check_a_write_is_all_or_nothing,
    check_a_write_sees_itself,
    check_reads_of_a_thread_share_a_snapshot,
    check_a_write_cannot_start_inside_a_transaction,
    check_a_reader_sees_one_moment,
    check_nothing_is_lost_between_writers,
    check_acknowledged_is_seen_by_other_threads,
    check_blobs,
    check_blobs_inside_transactions,
    check_scrub_keeps_what_is_there,
    check_vacuum_keeps_what_is_there,
    check_images_show_what_is_stored,
    check_reads_are_bound,
    check_writes_are_bound,
    check_it_tells_of_itself,
    check_a_closed_store_refuses,
    check_it_behaves_like_a_dictionary,
)


def store_checks() -> tuple[StoreCheck, ...]:
    """Return every check, for a test runner to call one by one."""
    return _CHECKS


def check_store(make_store: MakeStore) -> None:
    """Run every check.

    Parameters
    ----------
    make_store : callable
        Returns a new, empty store at each call.

    Raises
    ------
    AssertionError
        At the first promise that is not kept.
    """
    for check in _CHECKS:
        check(make_store)
