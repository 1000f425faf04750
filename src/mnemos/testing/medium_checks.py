"""The part of the store checks that is about the medium: what lies on it, and what leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from random import Random
from typing import Any, TypeAlias

from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.ports import OVERLAP, Store, Table
from mnemos.kernel.schema import SEGMENTS, SOURCES, Segment, Source
from mnemos.testing.expectations import equal, expect

MakeStore: TypeAlias = Callable[[], Store]


def fill(store: Store, *filling: tuple[Table[Any], Iterable[Any]]) -> None:
    """Write rows in one transaction."""
    with store.write(SYSTEM) as tx:
        for table, rows in filling:
            tx.insert(table, rows)


def check_scrub_keeps_what_is_there(make_store: MakeStore) -> None:
    """Check that ``scrub`` says ``""`` where nobody reads, and keeps what was not deleted."""
    segment = Segment("t", 1, 0, 1, "rows", 1, Random(2).randbytes(200_000))
    with closing(make_store()) as store:
        equal(store.scrub(), "", "scrub of a new store")
        fill(store, (SEGMENTS, [segment, segment._replace(segment=2)]))
        with store.write(SYSTEM) as tx:
            tx.delete(SEGMENTS, ("t", 1, 0, 1))
        equal(store.scrub(), "", "scrub with no reader")
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(SEGMENTS, ())), [segment._replace(segment=2)], "after scrub")


def check_vacuum_keeps_what_is_there(make_store: MakeStore) -> None:
    """Check that ``vacuum`` gives back no more than is unused or asked for, and keeps every row."""
    kept = Segment("t", 1, 0, 1, "rows", 1, Random(5).randbytes(300_000))
    with closing(make_store()) as store:
        fill(store, (SEGMENTS, [kept, *(kept._replace(segment=n) for n in range(2, 9))]))
        expect(store.free() < 300_000, "a store that was only filled says that it is empty")
        with store.write(SYSTEM) as tx:
            for n in range(2, 9):
                tx.delete(SEGMENTS, ("t", 1, 0, n))
        unused = store.free()
        given = store.vacuum(600_000)
        expect(given <= 600_000, f"{given} bytes given back, 600000 were asked for")
        expect(store.free() <= unused - given, "what was given back still counts as unused")
        store.vacuum(-1)
        expect(store.free() < 300_000, "a full vacuum left unused bytes")
        equal(store.check(), [], "check after vacuum")
        with store.read(SYSTEM) as tx:
            equal(list(tx.scan(SEGMENTS, ())), [kept], "rows after vacuum")


def _places(store: Store) -> dict[str, bytes]:
    """Return the places of a store, each put together from its pieces."""
    found: dict[str, list[bytes]] = {}
    for place, piece in store.images():
        found.setdefault(place, []).append(piece)
    return {
        place: pieces[0] + b"".join(piece[OVERLAP:] for piece in pieces[1:])
        for place, pieces in found.items()
    }


def _together(store: Store) -> bytes:
    return b"".join(_places(store).values())


def check_images_show_what_is_stored(make_store: MakeStore) -> None:
    """Check that ``images`` shows rows and blobs while they are there, and not after a ``scrub``."""
    word, number = b"seldom-said", 0x1122334455667788
    row, later = Source("t", word.decode(), "derived"), Source("t", "later", "said")
    segment = Segment("t", number, 0, 1, "rows", 1, Random(3).randbytes(90))
    blob = Random(4).randbytes(100_000)
    with closing(make_store()) as store:
        fill(store, (SOURCES, [row]), (SEGMENTS, [segment]))
        with store.write(SYSTEM):
            store.blobs.put("large", blob)
        seen = _together(store)
        for wanted in (word, segment.bytes, blob[500:564], number.to_bytes(8, "big")):
            expect(wanted in seen, "images leave out what is stored")
        fill(store, (SOURCES, [later]))
        with store.write(SYSTEM) as tx:
            tx.delete(SOURCES, ("t", word.decode()))
            tx.delete(SEGMENTS, ("t", number))
            store.blobs.delete("large")
        equal(store.scrub(), "", "scrub with no reader")
        seen = _together(store)
        for gone in (word, segment.bytes, blob[500:564], number.to_bytes(8, "big")):
            expect(gone not in seen, "images show what was deleted and scrubbed")
        expect(b"later" in seen, "images leave out what is stored")
