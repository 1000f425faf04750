"""Who read what: counted without a price, or journalled before the answer is given.

``counted`` adds up calls and memories per principal and day in a buffer, written with the next
commit: free, and lossy over a crash. ``audited`` appends an event for every read, whose record says
who, by which call, what, why and at what cost, before the caller gets the answer. What was asked is
never noted: a question is personal data as well.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import WriteTx

DAY = 86_400_000_000
MOST_PENDING = 1_000
"""Counts held before they are written."""

MOST_RECENT = 65_536
"""Ids remembered of what was handed out, for recognising it when it comes back."""

MOST_IDS = 1_000
"""Ids a record names; of a longer answer it says how many there were."""


class Mode(StrEnum):
    """How reads are audited."""

    COUNTED = "counted"
    AUDITED = "audited"


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadNote:
    """One audited read.

    Parameters
    ----------
    seq : int
        Its position in the journal.
    at : datetime
        When (UTC).
    principal : str
        Who read.
    call : str
        By which call.
    subject : str
        Whose memories.
    ids : tuple of str
        What was returned, the first thousand.
    memories : int
        How many were returned.
    reason : str or None
        Why, as given to ``acting_as``.
    cost : mapping of str to int
        What it took: ``rows`` looked at, ``tokens`` packed.
    """

    seq: int
    at: datetime
    principal: str
    call: str
    subject: str
    ids: tuple[str, ...] = ()
    memories: int = 0
    reason: str | None = None
    cost: Mapping[str, int] = field(default_factory=_nothing)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadCount:
    """How often somebody read of a subject on a day, and how much came back."""

    day: str
    principal: str
    call: str
    calls: int
    memories: int


def record_of(
    call: str,
    principal: str,
    subject: str,
    ids: Sequence[str],
    *,
    reason: str | None,
    cost: Mapping[str, int],
) -> dict[str, Any]:
    """Return the record of one read, JSON values."""
    value: dict[str, Any] = {
        "call": call,
        "principal": principal,
        "subject": subject,
        "ids": list(ids[:MOST_IDS]),
        "memories": len(ids),
    }
    if reason is not None:
        value["reason"] = reason
    if cost:
        value["cost"] = dict(cost)
    return value


class ReadBuffer:
    """Counts of one process that wait for the next commit; safe between threads."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str, int, str, str], tuple[int, int]] = {}
        self._recent: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pending)

    def hand_out(self, tenant: str, subject: str, ids: Iterable[str]) -> None:
        """Remember memories of a subject that a caller was given."""
        with self._lock:
            known = self._recent.setdefault((tenant, subject), set())
            self._recent.move_to_end((tenant, subject))
            before = len(known)
            known.update(ids)
            self._held += len(known) - before
            while self._held > MOST_RECENT and len(self._recent) > 1:
                self._held -= len(self._recent.popitem(last=False)[1])

    def handed_out(self, tenant: str, subject: str) -> frozenset[str]:
        """Return the memories of a subject that this process gave to callers, of late."""
        with self._lock:
            return frozenset(self._recent.get((tenant, subject), ()))

    def note(
        self, tenant: str, subject: str, principal: str, call: str, memories: int, now: datetime
    ) -> bool:
        """Count one read; return whether it is time to write."""
        key = (tenant, subject, microseconds(now) // DAY, principal, call)
        with self._lock:
            calls, before = self._pending.get(key, (0, 0))
            self._pending[key] = (calls + 1, before + memories)
            return len(self._pending) > MOST_PENDING

    def flush(self, tx: WriteTx, only: str | None = None) -> None:
        """Write the counts about subjects there still are; of one tenant, or all."""
        if not self._pending:
            return
        with self._lock:
            taken = {key: self._pending[key] for key in self._pending if only in (None, key[0])}
            self._pending = {key: n for key, n in self._pending.items() if key not in taken}
        for (tenant, name, day, principal, call), (calls, memories) in taken.items():
            subject = find_subject(tx, tenant, name)
            if subject is None:
                continue
            key = (tenant, subject, day, principal, call)
            row = tx.get(schema.READS, key) or schema.ReadCount(*key, 0, 0)
            added = row._replace(calls=row.calls + calls, memories=row.memories + memories)
            tx.put(schema.READS, added)
