"""Staged writes over a snapshot: reads see both, the snapshot stays as it is.

Used to let a transaction read what it has staged, to check a change before it is made, and as
the write half of the in-memory store.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from mnemos.errors import StoreCorrupt
from mnemos.kernel.ports import Blobs, Key, ReadTx, Row, Table


def in_range(value: Any, start: str | int | None, stop: str | int | None) -> bool:
    """Return whether ``start <= value < stop``, a bound of None being open."""
    return (start is None or value >= start) and (stop is None or value < stop)


def matches(
    row: Any, places: tuple[int, ...], prefix: Key, start: str | int | None, stop: str | int | None
) -> bool:
    """Return whether a row's columns at ``places`` start with ``prefix`` and lie in range."""
    depth = len(prefix)
    if any(row[place] != wanted for place, wanted in zip(places, prefix, strict=False)):
        return False
    return depth == len(places) or in_range(row[places[depth]], start, stop)


def order_of(table: Table[Any], index: str | None) -> tuple[int, ...]:
    """Return the columns, as positions, by which an order sorts: the index, then the key."""
    names = table.row._fields
    chosen = [names.index(column) for column in table.columns_of(index)]
    return tuple(dict.fromkeys([*chosen, *range(table.key)]))


class Overlay:
    """A write transaction that keeps its writes to itself.

    Parameters
    ----------
    base : ReadTx
        What lies beneath.
    """

    def __init__(self, base: ReadTx) -> None:
        self._base = base
        self.changes: dict[str, dict[tuple[Any, ...], Any]] = {}
        """Per table and primary key: the new row, or None for a deletion."""

    def _staged(self, table: Table[Any]) -> dict[tuple[Any, ...], Any]:
        return self.changes.setdefault(table.name, {})

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key."""
        staged = self.changes.get(table.name, {})
        wanted = tuple(key)
        return staged[wanted] if wanted in staged else self._base.get(table, key)

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
        """Walk base and staged rows together, in order."""
        staged = self.changes.get(table.name, {})
        beneath = self._base.scan(
            table,
            prefix,
            index=index,
            start=start,
            stop=stop,
            reverse=reverse,
            limit=None if staged else limit,
        )
        if not staged:
            yield from beneath
            return
        places = order_of(table, index)

        def rank(row: Any) -> tuple[Any, ...]:
            return tuple(row[place] for place in places)

        kept = (row for row in beneath if table.key_of(row) not in staged)
        mine = [
            row
            for row in list(staged.values())
            if row is not None and matches(row, places, prefix, start, stop)
        ]
        mine.sort(key=rank, reverse=reverse)
        merged = heapq.merge(kept, mine, key=rank, reverse=reverse)
        for count, row in enumerate(merged):
            if limit is not None and count >= limit:
                return
            yield row

    def insert(self, table: Table[Row], rows: Iterable[Row]) -> None:
        """Stage rows whose primary keys are new."""
        for row in rows:
            key = table.key_of(row)
            if self.get(table, key) is not None:
                raise StoreCorrupt(f"{table.name} already holds a row {key!r}")
            self._staged(table)[key] = row

    def put(self, table: Table[Row], row: Row) -> None:
        """Stage a row, or its replacement."""
        self._staged(table)[table.key_of(row)] = row

    def delete(self, table: Table[Row], prefix: Key) -> None:
        """Stage the removal of every row whose leading key columns equal ``prefix``."""
        if len(prefix) == table.key:
            self._staged(table)[tuple(prefix)] = None
            return
        for row in list(self.scan(table, prefix)):
            self._staged(table)[table.key_of(row)] = None


class StagedBlobs:
    """Blobs that keep what is put to themselves.

    Parameters
    ----------
    base : Blobs
        What lies beneath.
    """

    def __init__(self, base: Blobs) -> None:
        self._base = base
        self._staged: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Stage a blob."""
        self._staged[name] = data

    def get(self, name: str) -> bytes | None:
        """Return a staged blob, or the one beneath."""
        return self._staged[name] if name in self._staged else self._base.get(name)

    def delete(self, name: str) -> None:
        """Drop a staged blob; those beneath stay."""
        self._staged.pop(name, None)

    def names(self) -> list[str]:
        """List what is staged and what lies beneath, sorted."""
        return sorted({*self._base.names(), *self._staged})
