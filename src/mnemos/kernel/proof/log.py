"""Asking the journal what happened: who did what to which memory, and when.

An entry never holds what a memory says. Ranges of time become ranges of positions by a binary
search; the events of one memory are found through its versions, so a journal of a million events
need not be read for either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from mnemos.errors import InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.branches import RECORDS
from mnemos.kernel.canonical import decode_content, moment
from mnemos.kernel.journal import find_subject, seq_at
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import ALIVE, MAIN, Event

VERBS = frozenset({"add", "update", "state", "adopt", "withdraw", "forget"}) | RECORDS
"""Every verb an event can have."""

MAIN_NAME = "main"
_TICK = timedelta(microseconds=1)


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event of the journal, in words.

    Parameters
    ----------
    seq : int
        Its position.
    at : datetime
        Its wall time (UTC).
    verb : str
        What was done (:data:`VERBS`).
    actor : str
        Who did it.
    id : str
        The memory, or the record of a snapshot, branch, rollback, merge or policy.
    subject : str or None
        Whose; None for the whole tenant, or where the name was erased with the last memory.
    branch : str
        Name of the branch, ``main`` for the main line; its number where the name was erased.
    state : str
        Life-cycle state of the version it brought; empty for records.
    batch : int
        Position of the first event committed with it.
    content_erased : bool
        Whether what it brought was forgotten since.
    detail : mapping
        What a record says; empty for memories.
    """

    seq: int
    at: datetime
    verb: str
    actor: str
    id: str
    subject: str | None
    branch: str
    state: str
    batch: int
    content_erased: bool = False
    detail: Mapping[str, Any] = field(default_factory=_nothing)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"at": self.at.isoformat(), "detail": dict(self.detail)}


def entries(
    tx: ReadTx,
    tenant: str,
    *,
    subject: str | None = None,
    id: str | None = None,
    actor: str | None = None,
    verbs: Collection[str] | None = None,
    since: datetime | int | None = None,
    until: datetime | int | None = None,
    branch: int | None = None,
    most: int | None = None,
    after: int | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[Entry]:
    """Yield the events of a tenant's journal that fit, in order.

    Parameters
    ----------
    tx : ReadTx
        The snapshot to look in.
    tenant : str
        Whose journal.
    subject, id, actor, verbs, branch
        Narrow to a subject by name, a memory or record by id, who did it, verbs, a branch number.
    since, until : datetime, int or None
        Wall times or positions: from ``since`` on, before ``until``.
    most : int or None
        Last position to look at, for a view of the past.
    after : int or None
        Position of the last entry of the previous call: continue behind it.
    limit : int or None
        Most entries to yield.
    newest_first : bool
        Walk back in time.

    Raises
    ------
    InvalidInput
        If a verb is unknown.
    """
    unknown = sorted(set(verbs or ()) - VERBS)
    if unknown:
        raise InvalidInput(f"verb {unknown[0]!r} is unknown; allowed: {', '.join(sorted(VERBS))}")
    start, stop = _position(tx, tenant, since, 1), _position(tx, tenant, until, ALIVE)
    if most is not None:
        stop = min(stop, most + 1)
    if after is not None:
        start, stop = (start, min(stop, after)) if newest_first else (max(start, after + 1), stop)
    wanted = _Wanted(tx, tenant, subject, actor, verbs, branch)
    if not wanted.possible:
        return
    names = Names(tx, tenant)
    found = _events(tx, tenant, id, start, stop, newest_first)
    given = 0
    for event in found:
        if given == limit:
            return
        if wanted.fits(event):
            yield names.entry(event)
            given += 1


def _position(tx: ReadTx, tenant: str, bound: datetime | int | None, default: int) -> int:
    """Return the first position at or after a bound."""
    if bound is None or isinstance(bound, int):
        return default if bound is None else bound
    return seq_at(tx, tenant, bound - _TICK) + 1


def _events(
    tx: ReadTx, tenant: str, id: str | None, start: int, stop: int, reverse: bool
) -> Iterator[Event]:
    if start >= stop:
        return
    if id is None:
        yield from tx.scan(schema.EVENTS, (tenant,), start=start, stop=stop, reverse=reverse)
        return
    for seq in sorted(events_of(tx, tenant, id), reverse=reverse):
        event = tx.get(schema.EVENTS, (tenant, seq)) if start <= seq < stop else None
        if event is not None:
            yield event


def events_of(tx: ReadTx, tenant: str, id: str) -> set[int]:
    """Return the positions of every event about one memory or record.

    Of what was forgotten no version is left: then the journal is walked back from the event that
    says so to the first.
    """
    found = tx.get(schema.IDS, (tenant, id))
    if found is not None:
        rows = list(tx.scan(schema.VERSIONS, (tenant, found.cube)))
        ends = {row.dead for row in rows} - {ALIVE}
        return {row.born for row in rows} | {seq for seq in ends if _is_of(tx, tenant, seq, id)}
    gone = tx.get(schema.FORGOTTEN, (tenant, id))
    if gone is None:
        return {row.seq for row in tx.scan(schema.RECORDS, (tenant,)) if row.id == id}
    seqs: set[int] = set()
    for event in tx.scan(schema.EVENTS, (tenant,), stop=gone.seq + 1, reverse=True):
        if event.cube == id:
            seqs.add(event.seq)
            if event.verb == "add" or event.verb in RECORDS:
                break
    return seqs


def _is_of(tx: ReadTx, tenant: str, seq: int, id: str) -> bool:
    event = tx.get(schema.EVENTS, (tenant, seq))
    return event is not None and event.cube == id


class _Wanted:
    """What an event must be, in numbers."""

    def __init__(
        self,
        tx: ReadTx,
        tenant: str,
        subject: str | None,
        actor: str | None,
        verbs: Collection[str] | None,
        branch: int | None,
    ) -> None:
        self._subject = find_subject(tx, tenant, subject) if subject is not None else None
        self._actor = find_actor(tx, tenant, actor) if actor is not None else None
        self._verbs = frozenset(verbs) if verbs is not None else VERBS
        self._branch = branch
        self.possible = not (
            (subject is not None and self._subject is None)
            or (actor is not None and self._actor is None)
        )

    def fits(self, event: Event) -> bool:
        """Return whether an event is wanted."""
        return (
            event.verb in self._verbs
            and self._subject in (None, event.subject)
            and self._actor in (None, event.actor)
            and self._branch in (None, event.branch)
        )


def find_actor(tx: ReadTx, tenant: str, name: str) -> int | None:
    """Return the number of an actor, or None if nobody of that name did anything."""
    row = next(tx.scan(schema.ACTORS, (tenant, name), index="name", limit=1), None)
    return row.actor if row is not None else None


class Names:
    """Numbers to names, each looked up once."""

    def __init__(self, tx: ReadTx, tenant: str) -> None:
        self._tx = tx
        self._tenant = tenant
        self._actors: dict[int, str] = {}
        self._subjects: dict[int, str | None] = {}
        self._branches: dict[tuple[int, int], str] = {}

    def entry(self, event: Event) -> Entry:
        """Return an event in words."""
        tx, tenant = self._tx, self._tenant
        own = event.content == event.seq
        content = tx.get(schema.CONTENTS, (tenant, event.content)) if event.content else None
        detail: Mapping[str, Any] | None = None
        if own and content is not None and event.verb in RECORDS:
            detail = decode_content(content.body).record
        return Entry(
            seq=event.seq,
            at=moment(event.at),
            verb=event.verb,
            actor=self.actor(event.actor),
            id=event.cube,
            subject=self._subject(event.subject),
            branch=self.branch(event.subject, event.branch),
            state=str(event.state),
            batch=event.batch,
            content_erased=bool(event.content) and content is None,
            detail=detail if detail is not None else _nothing(),
        )

    def actor(self, number: int) -> str:
        """Return who a number stands for."""
        if number not in self._actors:
            row = self._tx.get(schema.ACTORS, (self._tenant, number))
            self._actors[number] = row.name if row is not None else f"#{number}"
        return self._actors[number]

    def branch(self, subject: int, number: int) -> str:
        """Return the name of a branch."""
        if number == MAIN:
            return MAIN_NAME
        key = (subject, number)
        if key not in self._branches:
            row = self._tx.get(schema.BRANCHES, (self._tenant, *key))
            self._branches[key] = row.name if row is not None else f"#{number}"
        return self._branches[key]

    def _subject(self, number: int) -> str | None:
        if number not in self._subjects:
            row = self._tx.get(schema.SUBJECTS, (self._tenant, number))
            self._subjects[number] = row.name if row is not None else None
        return self._subjects[number]
