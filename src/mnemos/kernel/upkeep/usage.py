"""How memories are used: counted on every read, buffered, written with the next commit.

Counts lie outside the journal: reading changes no memory. They are lossy by design; what a process
had not yet written when it died, or when a commit failed, is lost. They are erased with their
memory, and a count that comes late does not bring its row back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds, moment
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.schema import Usage

MOST_PENDING = 1_000
"""Memories with counts not yet written, above which they are written without a commit."""

UNIT = 1_000
"""What ``strength`` of a stored row is for a memory neither reinforced nor suppressed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageOf:
    """How one memory was used: everything a law of strength may look at.

    Parameters
    ----------
    recorded : datetime
        When it was first written.
    reads : int
        How often it was returned or packed.
    first, last : datetime or None
        The first and the last of those reads.
    factor : float
        What reinforcement and suppression have made of it; 1 where neither happened.
    interactions : int
        How many turns it stands for; 1 for a memory of its own.
    """

    recorded: datetime
    reads: int = 0
    first: datetime | None = None
    last: datetime | None = None
    factor: float = 1.0
    interactions: int = 1

    def age(self, now: datetime) -> float:
        """Return the seconds since it was written, never below 0."""
        return max(0.0, (now - self.recorded).total_seconds())

    def idle(self, now: datetime) -> float:
        """Return the seconds since it was last read, or written where it never was."""
        return max(0.0, (now - (self.last or self.recorded)).total_seconds())


class Law(Protocol):
    """Says how strong a memory is; :mod:`mnemos.memories.strength` holds the published ones."""

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the strength at a moment, 0 and above, larger is stronger."""
        ...


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads of one memory not yet written: how many, and the microseconds of first and last."""

    count: int
    first: int
    last: int


class UsageBuffer:
    """Counts of one process that wait for the next commit; safe between threads.

    Examples
    --------
    >>> from datetime import UTC
    >>> buffer = UsageBuffer()
    >>> buffer.note("default", [1, 2], datetime(2026, 1, 1, tzinfo=UTC))
    False
    >>> len(buffer)
    2
    """

    def __init__(self) -> None:
        self._pending: dict[tuple[str, int], Reads] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pending)

    def note(self, tenant: str, cubes: Iterable[int], now: datetime) -> bool:
        """Count one read of each cube, by number; return whether it is time to write."""
        at = microseconds(now)
        with self._lock:
            for cube in cubes:
                known = self._pending.get((tenant, cube), Reads(0, at, at))
                self._pending[tenant, cube] = Reads(
                    known.count + 1, min(known.first, at), max(known.last, at)
                )
            return len(self._pending) > MOST_PENDING

    def pending(self, tenant: str, cube: int) -> Reads | None:
        """Return what is not yet written of a cube."""
        with self._lock:
            return self._pending.get((tenant, cube))

    def flush(self, tx: WriteTx, only: str | None = None) -> None:
        """Write the counts into the rows of the memories there still are; of one tenant, or all."""
        if not self._pending:
            return
        with self._lock:
            taken = {key: self._pending[key] for key in self._pending if only in (None, key[0])}
            self._pending = {key: n for key, n in self._pending.items() if key not in taken}
        for (tenant, cube), reads in taken.items():
            version = next(tx.scan(schema.VERSIONS, (tenant, cube), limit=1), None)
            if version is not None:  # else it was forgotten meanwhile
                row = tx.get(schema.USAGE, (tenant, version.subject, cube))
                tx.put(schema.USAGE, _merged(tenant, version.subject, cube, row, reads))


def _merged(tenant: str, subject: int, cube: int, row: Usage | None, reads: Reads) -> Usage:
    """Return a row with reads added; being read ends what suppression there was."""
    if row is None:
        return Usage(tenant, subject, cube, reads.count, reads.first, reads.last, UNIT)
    return row._replace(
        reads=row.reads + reads.count,
        first=min(row.first, reads.first) if row.reads else reads.first,
        last=max(row.last, reads.last) if row.reads else reads.last,
        strength=max(row.strength, UNIT),
    )


def weigh(tx: WriteTx, tenant: str, subject: int, cube: int, factor: float) -> None:
    """Multiply a memory's factor, to suppress (below 1) or to reinforce it (above 1)."""
    found = tx.get(schema.USAGE, (tenant, subject, cube))
    row = found or Usage(tenant, subject, cube, 0, 0, 0, UNIT)
    tx.put(schema.USAGE, row._replace(strength=round(row.strength * factor)))


def read_usage(
    tx: ReadTx, tenant: str, subject: int, cubes: Iterable[int], buffer: UsageBuffer | None = None
) -> dict[int, UsageOf]:
    """Return how cubes of a subject were used, by number.

    Parameters
    ----------
    tx : ReadTx
        The snapshot.
    tenant, subject
        Whose memories.
    cubes : iterable of int
        Their numbers.
    buffer : UsageBuffer or None
        Counts not yet written, to be added.
    """
    rows = {row.cube: row for row in tx.scan(schema.USAGE, (tenant, subject))}
    return {
        cube: _usage_of(
            tx, tenant, subject, cube, rows, buffer.pending(tenant, cube) if buffer else None
        )
        for cube in cubes
    }


def _usage_of(
    tx: ReadTx,
    tenant: str,
    subject: int,
    cube: int,
    rows: Mapping[int, Usage],
    reads: Reads | None,
) -> UsageOf:
    event = tx.get(schema.EVENTS, (tenant, cube))  # a cube's number is the seq of its first event
    recorded = moment(event.at if event else 0)
    row = rows.get(cube)
    if reads is not None:
        row = _merged(tenant, subject, cube, row, reads)
    if row is None:
        return UsageOf(recorded=recorded)
    return UsageOf(
        recorded=recorded,
        reads=row.reads,
        first=moment(row.first) if row.reads else None,
        last=moment(row.last) if row.reads else None,
        factor=row.strength / UNIT,
    )
