"""The append-only chain: one per tenant, of every change, holding commitments and never content.

Each event's hash covers the event and the hash before it, so an edit anywhere breaks the chain
from there on. What an edit of the end alone cannot betray (a cut tail, a chain written anew from
the first event) only an exported checkpoint can: keep one elsewhere and give it to ``verify``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mnemos.kernel import schema
from mnemos.kernel.canonical import (
    SALT_BYTES,
    commitment,
    encode_content,
    encode_record,
    event_hash,
    microseconds,
)
from mnemos.kernel.ports import Entropy, ReadTx, WriteTx
from mnemos.kernel.schema import Actor, Blob, Content, Event, Head, Subject
from mnemos.types import Header, Payload, Scope

GENESIS = bytes(32)
"""The hash before the first event."""


@dataclass(frozen=True, slots=True)
class Written:
    """An event just appended, and the blob its content names (``""`` for none) with its bytes."""

    event: Event
    blob: str = ""
    data: bytes = b""


class Journal:
    """Appends to one tenant's chain within one write transaction.

    Parameters
    ----------
    tx : WriteTx
        The transaction; nothing counts before it commits.
    tenant : str
        Whose chain.
    actor : str
        Who does this.
    now : datetime
        Wall time of the transaction; raised to the last event's where the clock went back.
    entropy : Entropy
        Source of the salts.
    """

    def __init__(
        self, tx: WriteTx, tenant: str, *, actor: str, now: datetime, entropy: Entropy
    ) -> None:
        head = tx.get(schema.HEADS, (tenant,)) or Head(tenant, 0, 0, GENESIS)
        self._tx = tx
        self._entropy = entropy
        self._tenant = tenant
        self._seq = head.seq
        self._hash = head.hash
        self._first = head.seq + 1
        self._at = max(microseconds(now), head.at)
        self._actor = _number(tx, tenant, actor)

    @property
    def seq(self) -> int:
        """Seq of the last event, committed or just appended."""
        return self._seq

    def append(
        self,
        verb: str,
        *,
        cube: str,
        subject: int,
        branch: int,
        state: str,
        content: int = 0,
        body: tuple[Scope, Header, Payload] | None = None,
        record: tuple[Scope, Mapping[str, Any]] | None = None,
    ) -> Written:
        """Append one event; with ``body`` or ``record``, store that content and commit to it."""
        self._seq += 1
        proof, name, data = b"", None, b""
        if body is not None or record is not None:
            salt = self._entropy.bytes(SALT_BYTES)
            if body is not None:
                encoded, name, data = encode_content(*body, salt)
            else:
                assert record is not None
                encoded = encode_record(*record)
            proof = commitment(salt, encoded)
            content = self._seq
            self._tx.insert(schema.CONTENTS, [Content(self._tenant, content, salt, encoded)])
            if name is not None:
                self._tx.insert(schema.BLOBS, [Blob(self._tenant, name, content)])
        event = Event(
            tenant=self._tenant,
            seq=self._seq,
            batch=self._first,
            at=self._at,
            verb=verb,
            actor=self._actor,
            branch=branch,
            subject=subject,
            cube=cube,
            content=content,
            state=state,
            commitment=proof,
            hash=b"",
        )
        event = event._replace(hash=event_hash(self._hash, event))
        self._hash = event.hash
        self._tx.insert(schema.EVENTS, [event])
        return Written(event, name or "", data)

    def finish(self) -> int:
        """Record the new end of the chain and return its seq."""
        if self._seq >= self._first:
            self._tx.put(schema.HEADS, Head(self._tenant, self._seq, self._at, self._hash))
        return self._seq


def _number(tx: WriteTx, tenant: str, name: str) -> int:
    """Return the number of an actor, giving the next one to a new name."""
    for row in tx.scan(schema.ACTORS, (tenant, name), index="name", limit=1):
        return row.actor
    last = next(tx.scan(schema.ACTORS, (tenant,), reverse=True, limit=1), None)
    number = last.actor + 1 if last else 1
    tx.insert(schema.ACTORS, [Actor(tenant, number, name)])
    return number


def find_subject(tx: ReadTx, tenant: str, name: str) -> int | None:
    """Return the number of a subject, or None if nothing was ever written for it."""
    for row in tx.scan(schema.SUBJECTS, (tenant, name), index="name", limit=1):
        return row.subject
    return None


def ensure_subject(tx: WriteTx, tenant: str, name: str) -> int:
    """Return the number of a subject, giving the next one to a new name.

    Numbers are never reused: the largest ever given is kept in ``meta``, since the row of a
    forgotten subject is erased.
    """
    found = find_subject(tx, tenant, name)
    if found is not None:
        return found
    counter = tx.get(schema.META, (f"subjects:{tenant}",))
    number = int(counter.value) + 1 if counter else 1
    tx.put(schema.META, schema.Meta(f"subjects:{tenant}", str(number)))
    tx.insert(schema.SUBJECTS, [Subject(tenant, number, name)])
    return number


def tenants(tx: ReadTx) -> list[str]:
    """Return the tenants that have a journal, those whose head is lost included."""
    found = {head.tenant for head in tx.scan(schema.HEADS, ())}
    event = next(tx.scan(schema.EVENTS, (), limit=1), None)
    while event is not None:
        found.add(event.tenant)
        event = next(tx.scan(schema.EVENTS, (), start=f"{event.tenant}\0", limit=1), None)
    return sorted(found)


def walk(tx: ReadTx, tenant: str) -> Iterator[tuple[Event, bool]]:
    """Yield every event of a chain with whether its seq and hash are right."""
    previous, expected = GENESIS, 1
    for event in tx.scan(schema.EVENTS, (tenant,)):
        yield event, event.seq == expected and event.hash == event_hash(previous, event)
        previous, expected = event.hash, event.seq + 1


def seq_at(tx: ReadTx, tenant: str, moment: datetime) -> int:
    """Return the seq of the last event at or before a wall time, 0 if there is none.

    Times never decrease along the chain, so this is a binary search over it.
    """
    wanted = microseconds(moment)
    head = tx.get(schema.HEADS, (tenant,))
    low, high = 0, head.seq if head else 0
    while low < high:
        middle = (low + high + 1) // 2
        event = tx.get(schema.EVENTS, (tenant, middle))
        if event is not None and event.at <= wanted:
            low = middle
        else:
            high = middle - 1
    return low
