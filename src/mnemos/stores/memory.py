"""The in-memory store: plain sorted lists, gone with the process.

Small and obviously right; the other stores are compared with it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from mnemos.errors import StoreClosed, StoreError
from mnemos.kernel.binding import BoundTx, Reach
from mnemos.kernel.overlay import Overlay, in_range, order_of
from mnemos.kernel.ports import Blobs, Key, ReadTx, Row, Table, WriteTx
from mnemos.kernel.schema import TABLES


class _Walk:
    """The keys of one table in one order."""

    def __init__(self, places: tuple[int, ...]) -> None:
        self.places = places
        self.keys: list[tuple[Any, ...]] = []

    def rank(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(row[place] for place in self.places)

    def add(self, row: tuple[Any, ...]) -> None:
        rank = self.rank(row)
        if not self.keys or rank > self.keys[-1]:
            self.keys.append(rank)
        else:
            insort(self.keys, rank)

    def drop(self, row: tuple[Any, ...]) -> None:
        del self.keys[bisect_left(self.keys, self.rank(row))]


class _Rows:
    """One table: rows by primary key, and one walk per order."""

    def __init__(self, table: Table[Any]) -> None:
        self.table = table
        self.rows: dict[tuple[Any, ...], Any] = {}
        self.walks = {index: _Walk(order_of(table, index)) for index in (None, *table.indexes)}

    def set(self, key: tuple[Any, ...], row: Any) -> None:
        old = self.rows.pop(key, None)
        if old is not None:
            for walk in self.walks.values():
                walk.drop(old)
        if row is not None:
            self.rows[key] = row
            for walk in self.walks.values():
                walk.add(row)

    def scan(
        self,
        prefix: tuple[Any, ...],
        index: str | None,
        start: str | int | None,
        stop: str | int | None,
    ) -> Iterator[Any]:
        walk = self.walks[index]
        depth = len(prefix)
        low = prefix if start is None else (*prefix, start)
        by_key = [walk.places.index(place) for place in range(self.table.key)]
        for at in range(bisect_left(walk.keys, low), len(walk.keys)):
            rank = walk.keys[at]
            if rank[:depth] != prefix or (
                stop is not None and not in_range(rank[depth], None, stop)
            ):
                return
            yield self.rows[tuple(rank[place] for place in by_key)]


_BETWEEN = bytes(64)
"""Keeps values from touching, so that nothing is seen that none of them holds."""


def _bytes_of(value: str | int | bytes) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(8, "big", signed=True)
    return value.encode() if isinstance(value, str) else value


class MemoryBlobs:
    """Large payloads in a dictionary."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Store ``data`` under ``name``."""
        self._held[name] = data

    def get(self, name: str) -> bytes | None:
        """Return what was stored under ``name``."""
        return self._held.get(name)

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there."""
        self._held.pop(name, None)

    def names(self) -> list[str]:
        """List what is stored, sorted."""
        return sorted(self._held)


class MemoryStore:
    """A vault that lives as long as its handle.

    Readers and writers take turns behind one lock: what a reader sees is therefore one snapshot.

    Examples
    --------
    >>> from mnemos.kernel.governance.views import tenant_view
    >>> from mnemos.kernel.schema import META, Meta
    >>> store = MemoryStore()
    >>> with store.write(tenant_view("default")) as tx:
    ...     tx.put(META, Meta("colour", "blue"))
    >>> with store.read(tenant_view("default")) as tx:
    ...     tx.get(META, ("colour",))
    Meta(name='colour', value='blue')
    """

    def __init__(self) -> None:
        self._tables = {table.name: _Rows(table) for table in TABLES}
        self._lock = threading.RLock()
        self._blobs = MemoryBlobs()
        self._closed = False
        self._depth = 0

    @property
    def blobs(self) -> Blobs:
        """Where large payloads lie."""
        return self._blobs

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key."""
        return self._tables[table.name].rows.get(tuple(key))

    def scan(
        self,
        table: Table[Row],
        prefix: Key,
        *,
        index: str | None = None,
        start: str | int | None = None,
        stop: str | int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Walk the rows whose leading columns equal ``prefix``, in order."""
        found = list(self._tables[table.name].scan(tuple(prefix), index, start, stop))
        return iter((found[::-1] if reverse else found)[:limit])

    @contextmanager
    def read(self, view: Reach) -> Generator[ReadTx, None, None]:
        """Open a snapshot through a view."""
        with self._turn():
            yield BoundTx(self, view)

    @contextmanager
    def write(self, view: Reach) -> Generator[WriteTx, None, None]:
        """Take the lock; leaving normally applies the writes, leaving by exception drops them."""
        with self._turn(writing=True):
            overlay = Overlay(self)
            yield BoundTx(overlay, view)
            for name, changes in overlay.changes.items():
                rows = self._tables[name]
                for key, row in changes.items():
                    rows.set(key, row)

    def scrub(self) -> str:
        """Nothing lingers in memory that was deleted."""
        return ""

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield the values of every row, a table in a piece, and the blobs."""
        with self._turn():
            held = {
                table.table.name: [_bytes_of(value) for row in table.rows.values() for value in row]
                for table in self._tables.values()
            }
            held["blobs"] = [self._blobs.get(name) or b"" for name in self._blobs.names()]
        for place, values in held.items():
            yield place, _BETWEEN.join(values)

    def check(self) -> list[str]:
        """There are no files to be damaged."""
        return []

    def size(self) -> int:
        """Return the bytes held in rows and blobs, roughly."""
        rows = sum(
            sum(len(item) if isinstance(item, (str, bytes)) else 8 for item in row)
            for table in self._tables.values()
            for row in table.rows.values()
        )
        return rows + sum(len(self._blobs.get(name) or b"") for name in self._blobs.names())

    def free(self) -> int:
        """Nothing is kept for later."""
        return 0

    def vacuum(self, most: int) -> int:
        """There is nothing to give back."""
        return 0

    def describe(self) -> dict[str, str]:
        """Return what a person would want to know."""
        return {"engine": "memory", "location": ":memory:", "durability": "none"}

    def close(self) -> None:
        """Release everything."""
        self._closed = True

    @contextmanager
    def _turn(self, *, writing: bool = False) -> Generator[None, None, None]:
        with self._lock:
            if self._closed:
                raise StoreClosed("this store was closed; open a new one")
            if writing and self._depth:
                raise StoreError("a write cannot start inside another transaction of its thread")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
