"""The queue of work to be done later, in the same file as what it is about.

A job is asked for in the transaction that makes it necessary, so neither is there without the
other. Who takes one holds it for a while: the *lease*. Its *token* grows each time, so that a
worker that was too slow, or was thought dead, finds out when it wants to commit. The functions
here work inside a write transaction and move a row between three states: ``ready``, ``leased``
and ``dead``; a finished job has no row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from mnemos.errors import Conflict, InvalidInput, LeaseLost, NotFound
from mnemos.kernel import schema
from mnemos.kernel.canonical import encode_json, microseconds, moment
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.ports import Clock, ReadTx, Store, WriteTx
from mnemos.kernel.schema import Job, Meta

READY, LEASED, DEAD = "ready", "leased", "dead"
STATES = (READY, LEASED, DEAD)

SECOND = 1_000_000
"""Microseconds of a second."""

SWEEP_EVERY = 3_600
"""Seconds between two sweeps. What has expired is invisible at once, so nobody waits for one."""

LEASE = 300
"""Seconds a job is held without a sign of life. Handlers renew after every batch, which takes
seconds; longer would only delay what a killed process left behind."""

MOST_ATTEMPTS = 8
"""Tries before a job counts as dead: with the waits below, ten hours, so that an embedding server
may be away for a night."""

FIRST_WAIT, WAIT_FACTOR, LONGEST_WAIT = 10, 4, 6 * 3600
"""Seconds before the second try, the factor from wait to wait, and the longest."""

MOST_PAYLOAD = 64 * 1024
"""Bytes of a payload: some two thousand ids."""

EVERY_KIND = "*"
"""What stands for all kinds in the list of what is paused."""

_WORD = re.compile(r"[A-Za-z0-9_.:@+/=~#-]{1,200}")
_KIND = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to finish a job, until it runs out.

    Parameters
    ----------
    tenant : str
        Whose job.
    job : int
        Its number.
    token : int
        Which lease of that job.
    """

    tenant: str
    job: int
    token: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobInfo:
    """A job as one may look at it.

    Parameters
    ----------
    number : int
        Its number in the tenant.
    kind, state : str
        What is to be done; ``ready``, ``leased`` or ``dead``.
    scope : str
        Name of the subject it is about; ``""`` for the whole vault.
    payload : dict
        Ids and numbers.
    due : datetime
        From when it may be taken; for a leased job, the end of its lease.
    attempts : int
        How often it was tried, the present try included.
    cause : int
        Journal position of the first commit that asked for it.
    error : str
        Why the last try failed.
    """

    number: int
    kind: str
    state: str
    scope: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])
    due: datetime
    attempts: int
    cause: int
    error: str = ""


def check_kind(kind: object) -> str:
    """Return the name of a kind of job as given.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InvalidInput(
            f"kind={str(kind)[:80]!r} names no kind of job; give up to 64 lower-case letters, "
            "digits and '_.:-', a letter first"
        )
    return kind


def encode_payload(payload: Mapping[str, Any]) -> bytes:
    """Return a payload as canonical JSON: ids and numbers, so that no text of a user gets in.

    Raises
    ------
    InvalidInput
        If there is anything else in it.

    Examples
    --------
    >>> encode_payload({"ids": ["a1", "b2"], "most": 3})
    b'{"ids":["a1","b2"],"most":3}'
    >>> encode_payload({"note": "Ana lives in Lisbon"})
    Traceback (most recent call last):
        ...
    mnemos.errors.InvalidInput: payload['note'] holds text; a job may hold ids, numbers and lists of them: leave text in the memories and name their ids
    """
    for name, value in payload.items():
        if not isinstance(cast("object", name), str) or not _WORD.fullmatch(name):
            raise InvalidInput(f"payload key {str(name)[:40]!r} is no short word; rename it")
        _check_value(name, value, depth=4)
    encoded = encode_json(dict(payload))
    if len(encoded) > MOST_PAYLOAD:
        raise InvalidInput(
            f"payload has {len(encoded)} bytes, allowed are {MOST_PAYLOAD}; split the job"
        )
    return encoded


def _check_value(name: str, value: object, depth: int) -> None:
    if isinstance(value, str) and not _WORD.fullmatch(value):
        raise InvalidInput(
            f"payload[{name!r}] holds text; a job may hold ids, numbers and lists of them: leave "
            "text in the memories and name their ids"
        )
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    if depth and isinstance(value, (list, tuple)):
        for item in cast("Iterable[object]", value):
            _check_value(name, item, depth - 1)
        return
    raise InvalidInput(
        f"payload[{name!r}] holds a {type(value).__name__}; allowed are ids, finite numbers, None "
        "and lists of them"
    )


def enqueue(
    tx: WriteTx,
    tenant: str,
    kind: str,
    *,
    due: int,
    cause: int,
    subject: int = 0,
    payload: Mapping[str, Any] | None = None,
) -> int:
    """Ask for a job and return its number.

    One that waits already, of the same kind, subject and payload, is not queued a second time: it
    keeps its number and the earlier of both moments.

    Parameters
    ----------
    tx : WriteTx
        The transaction that makes the job necessary.
    tenant, kind : str
        Whose job, and what is to be done.
    due : int
        Microseconds since 1970 from which it may be taken.
    cause : int
        Journal position of the commit that asks for it.
    subject : int
        Number of the subject it is about; 0 for the whole vault.
    payload : mapping or None
        Ids and numbers.

    Raises
    ------
    InvalidInput
        If the kind or the payload is not allowed.
    """
    encoded = encode_payload(payload or {})
    check_kind(kind)
    for twin in _twins(tx, (tenant, kind, subject, encoded), READY):
        again = twin._replace(due=min(twin.due, due), latest=max(twin.latest, cause))
        if again != twin:
            tx.put(schema.JOBS, again)
        return twin.job
    counter = tx.get(schema.META, (f"jobs:{tenant}",))
    number = int(counter.value) + 1 if counter else 1
    tx.put(schema.META, Meta(f"jobs:{tenant}", str(number)))
    tx.insert(
        schema.JOBS,
        [
            Job(
                tenant=tenant,
                job=number,
                state=READY,
                due=due,
                kind=kind,
                subject=subject,
                payload=encoded,
                attempts=0,
                token=0,
                cause=cause,
                latest=cause,
                error="",
            )
        ],
    )
    return number


def _twins(tx: ReadTx, asked: tuple[str, str, int, bytes], state: str) -> list[Job]:
    found = tx.scan(schema.JOBS, (asked[0], state), index="due")
    return [row for row in found if (row.tenant, row.kind, row.subject, row.payload) == asked]


def withdraw(tx: WriteTx, tenant: str, kind: str) -> None:
    """Take back waiting jobs of a kind, because what they were for is done."""
    for row in list(tx.scan(schema.JOBS, (tenant, READY), index="due")):
        if row.kind == kind:
            tx.delete(schema.JOBS, (tenant, row.job))


def next_due(
    tx: ReadTx, tenant: str, now: int, *, kinds: Iterable[str] | None = None
) -> Job | None:
    """Return the job to be taken next: ready, or left by a worker whose lease ran out.

    ``kinds`` names those one can do, None all; of equally due jobs the older goes first.
    """
    stopped = paused(tx, tenant)
    if EVERY_KIND in stopped:
        return None
    wanted = None if kinds is None else frozenset(kinds)

    def first(state: str) -> Iterator[Job]:
        for row in tx.scan(schema.JOBS, (tenant, state), index="due", stop=now + 1):
            if row.kind not in stopped and (wanted is None or row.kind in wanted):
                yield row
                return

    found = [*first(READY), *first(LEASED)]
    return min(found, key=lambda row: (row.due, row.job), default=None)


def claim(
    store: Store,
    clock: Clock,
    tenant: str,
    *,
    lease_seconds: float = LEASE,
    kinds: Iterable[str] | None = None,
) -> Job | None:
    """Take the next job that is due, or None; nobody else has it until the lease runs out.

    A job whose last allowed try never came to an end counts as dead: it may be what kills workers.
    """
    known = None if kinds is None else frozenset(kinds)
    with store.read(tenant_view(tenant)) as tx:
        if next_due(tx, tenant, microseconds(clock.now()), kinds=known) is None:
            return None
    with store.write(tenant_view(tenant)) as tx:
        now = microseconds(clock.now())
        while (row := next_due(tx, tenant, now, kinds=known)) is not None:
            if row.attempts < MOST_ATTEMPTS:
                row = row._replace(
                    state=LEASED,
                    due=now + int(lease_seconds * SECOND),
                    attempts=row.attempts + 1,
                    token=row.token + 1,
                )
                tx.put(schema.JOBS, row)
                return row
            _bury(tx, row, "LeaseLost: every try ended without a word; the worker may have died")
    return None


def lease_of(row: Job) -> Lease:
    """Return the lease of a job just taken."""
    return Lease(tenant=row.tenant, job=row.job, token=row.token)


def held(tx: ReadTx, lease: Lease, now: datetime) -> Job:
    """Return a job that is held by this lease.

    Raises
    ------
    LeaseLost
        If it ran out, or another worker took the job over, or the job is gone.
    """
    row = tx.get(schema.JOBS, (lease.tenant, lease.job))
    if row is None or row.state != LEASED or row.token != lease.token:
        raise LeaseLost(f"job {lease.job} was taken over by another worker; nothing was written")
    if row.due <= microseconds(now):
        raise LeaseLost(
            f"the lease of job {lease.job} ran out; nothing was written: renew it more often"
        )
    return row


def renew(tx: WriteTx, lease: Lease, now: datetime, *, lease_seconds: float = LEASE) -> None:
    """Hold a job for a full lease from now; raises ``LeaseLost`` as :func:`held` does."""
    row = held(tx, lease, now)
    tx.put(schema.JOBS, row._replace(due=microseconds(now) + int(lease_seconds * SECOND)))


def finish(tx: WriteTx, lease: Lease, now: datetime) -> None:
    """Remove a job that is done; raises ``LeaseLost`` as :func:`held` does."""
    held(tx, lease, now)
    tx.delete(schema.JOBS, (lease.tenant, lease.job))


def wait_after(job: int, attempts: int) -> int:
    """Return the microseconds to wait after so many tries failed.

    The waits grow by a factor, and differ by up to a half from job to job, so that jobs that
    failed together do not come back together. It is worked out from the number: replayed runs
    wait alike.

    >>> [wait_after(1, n) // 1_000_000 for n in (1, 2, 3, 8)]
    [13, 52, 209, 28274]
    """
    wait = min(FIRST_WAIT * WAIT_FACTOR ** (attempts - 1), LONGEST_WAIT)
    spread = (job * 2_654_435_769) % 2**32  # Knuth's multiplicative hash: neighbours lie far apart
    return wait * SECOND + wait * SECOND * spread // 2**33


def fail(tx: WriteTx, lease: Lease, now: datetime, error: str) -> Job:
    """Put a job back for another try later, or, after the last one, among the dead.

    ``error`` says why and must not repeat what people wrote. Raises ``LeaseLost`` as
    :func:`held` does.
    """
    row = held(tx, lease, now)
    if row.attempts >= MOST_ATTEMPTS:
        return _bury(tx, row, error)
    due = microseconds(now) + wait_after(row.job, row.attempts)
    row = row._replace(state=READY, due=due, error=error)
    tx.put(schema.JOBS, row)
    return row


def _bury(tx: WriteTx, row: Job, error: str) -> Job:
    """Keep a job for somebody to look at; it takes the place of one that asked the same."""
    for twin in _twins(tx, (row.tenant, row.kind, row.subject, row.payload), DEAD):
        tx.delete(schema.JOBS, (twin.tenant, twin.job))
    row = row._replace(state=DEAD, error=error)
    tx.put(schema.JOBS, row)
    return row


def postpone(
    tx: WriteTx, lease: Lease, now: datetime, *, due: int, again: bool = False, why: str = ""
) -> None:
    """Give a job back until ``due`` (microseconds), as if this try had not been.

    With ``again`` it got on, and starts to count its tries anew. Raises ``LeaseLost`` as
    :func:`held` does.
    """
    row = held(tx, lease, now)
    attempts = 0 if again else row.attempts - 1
    tx.put(schema.JOBS, row._replace(state=READY, due=due, attempts=attempts, error=why))


def retry(tx: WriteTx, tenant: str, job: int, now: datetime) -> None:
    """Put a dead job back, due at once and with all its tries.

    Raises
    ------
    NotFound, Conflict
        If there is no such job, or it is not dead.
    """
    row = _known(tx, tenant, job)
    if row.state != DEAD:
        raise Conflict(f"job {job} is {row.state}; only a dead one can be retried")
    if _twins(tx, (row.tenant, row.kind, row.subject, row.payload), READY):
        tx.delete(schema.JOBS, (tenant, job))  # it waits already under another number
        return
    tx.put(schema.JOBS, row._replace(state=READY, due=microseconds(now), attempts=0, error=""))


def drop(tx: WriteTx, tenant: str, job: int) -> None:
    """Remove a job; a worker that holds it will not be able to commit.

    Raises
    ------
    NotFound
        If there is no such job.
    """
    _known(tx, tenant, job)
    tx.delete(schema.JOBS, (tenant, job))


def _known(tx: ReadTx, tenant: str, job: int) -> Job:
    row = tx.get(schema.JOBS, (tenant, job))
    if row is None:
        raise NotFound(f"no job {job}: it is done, or there never was one; `jobs()` lists them")
    return row


def pause(tx: WriteTx, tenant: str, kind: str | None = None) -> None:
    """Let no job of a kind be taken, None of any, until :func:`resume`; it outlasts the process."""
    name = EVERY_KIND if kind is None else check_kind(kind)
    _set_paused(tx, tenant, paused(tx, tenant) | {name})


def resume(tx: WriteTx, tenant: str, kind: str | None = None) -> None:
    """Let jobs of a kind be taken again; None of every kind, whichever were paused."""
    found = paused(tx, tenant)
    if kind is not None and EVERY_KIND in found:
        raise Conflict(f"all kinds are paused, not {check_kind(kind)!r} alone; resume them all")
    _set_paused(tx, tenant, found - {check_kind(kind)} if kind is not None else frozenset())


def paused(tx: ReadTx, tenant: str) -> frozenset[str]:
    """Return the kinds that are paused; :data:`EVERY_KIND` among them stands for all."""
    row = tx.get(schema.META, (f"paused:{tenant}",))
    return frozenset(row.value.split()) if row else frozenset()


def _set_paused(tx: WriteTx, tenant: str, kinds: frozenset[str]) -> None:
    if kinds:
        tx.put(schema.META, Meta(f"paused:{tenant}", " ".join(sorted(kinds))))
    else:
        tx.delete(schema.META, (f"paused:{tenant}",))


def list_jobs(tx: ReadTx, tenant: str, state: str | None = None) -> list[JobInfo]:
    """Return the jobs of a tenant in order of their numbers.

    Raises
    ------
    InvalidInput
        If there is no such state.
    """
    if state is not None and state not in STATES:
        raise InvalidInput(f"state={state!r} is unknown; allowed: {', '.join(STATES)}")
    return [
        describe(tx, row)
        for row in tx.scan(schema.JOBS, (tenant,))
        if state is None or row.state == state
    ]


def caused_by(tx: ReadTx, tenant: str, before: int, seq: int) -> list[Job]:
    """Return the jobs a commit asked for that wrote the events after ``before``, up to ``seq``."""
    return [
        row for row in tx.scan(schema.JOBS, (tenant,)) if row.cause <= seq and row.latest > before
    ]


def describe(tx: ReadTx, row: Job) -> JobInfo:
    """Return a job as one may look at it."""
    subject = tx.get(schema.SUBJECTS, (row.tenant, row.subject))
    return JobInfo(
        number=row.job,
        kind=row.kind,
        state=row.state,
        scope=subject.name if subject else "",
        payload=json.loads(row.payload),
        due=moment(row.due),
        attempts=row.attempts,
        cause=row.cause,
        error=row.error,
    )
