"""Running jobs: in the caller's thread, in a thread of their own, or only when asked.

A handler computes outside of any transaction and returns the changes it wants; they are committed
in the transaction that finishes the job, if the job is still held. So a job that is run twice,
because a worker was thought dead, takes effect once.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from mnemos.errors import (
    BudgetSpent,
    InvalidInput,
    LeaseLost,
    MnemosError,
    NotFound,
    StoreError,
)
from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.ports import WriteTx
from mnemos.kernel.schema import Job
from mnemos.kernel.upkeep import budgets, jobs
from mnemos.kernel.upkeep.jobs import JobInfo
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import Scope

MODES = ("thread", "inline", "off")

INLINE_LIMIT = 4
"""Jobs run after one write in the caller's thread; what is left is done after the next."""

POLL = 0.02
"""Seconds between two looks at whether a job that others may be running is done."""


class Stopped(Exception):
    """The vault is being closed; the job goes on when it is opened again."""


class Work:
    """A job in the hands of its handler.

    Parameters
    ----------
    vault : Vault
        The vault, for reading; changes are returned, not made.
    job : Job
        The row as it was taken.
    stopping : callable
        Says whether the handler should come to an end.
    """

    def __init__(self, vault: Vault, job: Job, stopping: Callable[[], bool]) -> None:
        self.vault = vault
        self.job = job
        self.payload: Mapping[str, Any] = json.loads(job.payload)
        self.lease = jobs.lease_of(job)
        self.later: int | None = None
        """Microsecond at which the job goes on, if :meth:`again` was called."""
        self._stopping = stopping

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.vault.clock.now()

    def scope(self) -> Scope:
        """Return the scope the job is about.

        Raises
        ------
        NotFound
            If it is about none, or everything of that subject was forgotten.
        """
        with self.vault.store.read(tenant_view(self.job.tenant)) as tx:
            row = tx.get(schema.SUBJECTS, (self.job.tenant, self.job.subject))
        if row is None:
            raise NotFound(f"job {self.job.job} is about a subject of whom nothing is left")
        return Scope(tenant=self.job.tenant, subject=row.name)

    def renew(self) -> None:
        """Say that the job is being worked on; call it after every batch.

        Raises
        ------
        LeaseLost
            If another worker has taken it over: whatever is returned would not be written.
        Stopped
            If the vault is being closed; let it pass, and the job begins again later.
        """
        if self._stopping():
            raise Stopped
        with self.write():
            pass

    @contextmanager
    def write(self) -> Generator[WriteTx, None, None]:
        """Open a write transaction that comes about only if the job is still held; renews it.

        For work on tables that lie outside the journal, in steps that may be repeated.
        """
        with self.vault.store.write(tenant_view(self.job.tenant)) as tx:
            jobs.renew(tx, self.lease, self.now)
            yield tx

    def spend(self, *, calls: int = 0, tokens: int = 0, seconds: float = 0) -> None:
        """Book what is about to be spent, before it is.

        Raises
        ------
        BudgetSpent
            If today's budget does not allow it; let it pass, and the job goes on tomorrow.
        """
        with self.write() as tx:
            budgets.spend(
                tx,
                self.job.tenant,
                self.job.subject,
                self.now,
                calls=calls,
                tokens=tokens,
                seconds=seconds,
            )

    def again(self, *, seconds: float = 0) -> None:
        """Ask for another turn, after so many seconds: there is more to do, or not yet.

        A handler that asks for it returns nothing.
        """
        self.later = microseconds(self.now) + int(seconds * jobs.SECOND)


Handler = Callable[[Work], Sequence[Staged] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobReport:
    """How often jobs were run, and to which end.

    Parameters
    ----------
    done : int
        Finished.
    continued : int
        Got on, and have more to do.
    retried : int
        Failed; they are tried again later.
    dead : int
        Failed for the last time.
    postponed : int
        Had no budget left, or the vault was closed.
    lost : int
        Taken over by another worker.
    """

    done: int = 0
    continued: int = 0
    retried: int = 0
    dead: int = 0
    postponed: int = 0
    lost: int = 0


class _Caught:
    """Keeps the error of code that is not ours, as a value, so that every job comes to an end."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return isinstance(error, Exception)


class Runner:
    """Runs the jobs of one tenant that are due.

    Parameters
    ----------
    vault : Vault
        Where the jobs lie.
    tenant : str
        Whose jobs.
    handlers : mapping of str to callable
        Kind to handler; jobs of other kinds are left to others. It may grow.
    mode : str
        ``thread``: after a write that leaves something due, in a thread that ends when nothing
        is. ``inline``: a few after each write, in the thread that wrote. ``off``: when
        :meth:`run_due` is called.

    Raises
    ------
    InvalidInput
        If there is no such mode.
    """

    def __init__(
        self, vault: Vault, tenant: str, handlers: Mapping[str, Handler], *, mode: str
    ) -> None:
        if mode not in MODES:
            raise InvalidInput(f"background={mode!r} is unknown; allowed: {', '.join(MODES)}")
        self.mode = mode
        self.trouble: Exception | None = None
        """What last kept jobs from being looked for in the background."""
        self._vault = vault
        self._tenant = tenant
        self._handlers = handlers
        self._closing = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._thread: threading.Thread | None = None
        self._wanted = False

    def _after_fork(self) -> None:
        """Begin anew in a forked child, where the thread and who held the lock are not."""
        if self._pid != os.getpid():
            self._begin()

    def run_due(self, limit: int | None = None) -> JobReport:
        """Run jobs in this thread until none is due, or so many were run.

        Handlers may fail, jobs are then tried again later; only the store's own errors are raised.
        Closing ends it after the job under way, so that even where every process lives for one
        write, something gets done.
        """
        self._after_fork()
        ends: Counter[str] = Counter()
        nested = getattr(self._inside, "running", False)
        self._inside.running = True
        try:
            while limit is None or ends.total() < limit:
                row = jobs.claim(
                    self._vault.store, self._vault.clock, self._tenant, kinds=self._handlers
                )
                if row is None:
                    break
                ends[self._run(row)] += 1
                if self._closing:
                    break
        finally:
            self._inside.running = nested
        return JobReport(**ends)

    def _run(self, row: Job) -> str:
        """Run one job and return its end, as a field of :class:`JobReport`."""
        work = Work(self._vault, row, lambda: self._closing)
        with _Caught() as caught:
            return self._carry_out(work)
        try:
            return self._give_back(work, caught.error)
        except LeaseLost:
            return "lost"

    def _carry_out(self, work: Work) -> str:
        staged = self._handlers[work.job.kind](work)
        if work.later is None:
            self._vault.commit(staged or (), lease=work.lease)
            return "done"
        if staged:
            raise InvalidInput(
                "a handler that called again() returned changes; return them in the last turn, or "
                "queue another job for the rest"
            )
        with self._vault.store.write(tenant_view(self._tenant)) as tx:
            jobs.postpone(tx, work.lease, work.now, due=work.later, again=True)
        return "continued"

    def _give_back(self, work: Work, error: BaseException | None) -> str:
        """Put a job back that did not come to its end."""
        if isinstance(error, LeaseLost):
            return "lost"
        with self._vault.store.write(tenant_view(self._tenant)) as tx:
            now = work.now
            if isinstance(error, BudgetSpent):
                due = budgets.next_day(now)
                jobs.postpone(tx, work.lease, now, due=due, why=_told(error))
                return "postponed"
            if isinstance(error, Stopped):
                jobs.postpone(tx, work.lease, now, due=microseconds(now))
                return "postponed"
            row = jobs.fail(tx, work.lease, now, _told(error))
        return "dead" if row.state == jobs.DEAD else "retried"

    def nudge(self) -> None:
        """Look whether something is due, and have it run as the mode says; never raises.

        Called after every commit. An error of the store is kept in :attr:`trouble`: the write
        that came before it was made.
        """
        self._after_fork()
        if self.mode == "off" or self._closing or getattr(self._inside, "running", False):
            return
        try:
            if self._is_due():
                self._start() if self.mode == "thread" else self.run_due(INLINE_LIMIT)
        except (StoreError, RuntimeError) as error:  # a closing interpreter starts no threads
            self.trouble = error

    def _is_due(self) -> bool:
        now = microseconds(self._vault.clock.now())
        with self._vault.store.read(tenant_view(self._tenant)) as tx:
            return jobs.next_due(tx, self._tenant, now, kinds=self._handlers) is not None

    def _start(self) -> None:
        with self._lock:
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._until_idle, name="mnemos-jobs", daemon=True
                )
                self._thread.start()

    def _until_idle(self) -> None:
        """Run what is due as often as it was wanted meanwhile; the body of the thread."""
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                self._wanted = False
            try:
                self.run_due()
            except StoreError as error:
                self.trouble = error

    def wait(self, before: int, seq: int, *, timeout: float) -> list[JobInfo]:
        """Wait for the jobs of the commit that wrote the events after ``before``, up to ``seq``.

        Parameters
        ----------
        before, seq : int
            Journal positions.
        timeout : float
            Seconds to wait at most.

        Returns
        -------
        list of JobInfo
            What is left: nothing, or jobs that are dead, paused, of a kind nobody here knows, or
            not done in time.
        """
        pace, left = threading.Event(), timeout
        while True:
            self.run_due() if self.mode == "inline" else self.nudge()
            with self._vault.store.read(tenant_view(self._tenant)) as tx:
                found = jobs.caused_by(tx, self._tenant, before, seq)
                stopped = jobs.paused(tx, self._tenant)
                told = [jobs.describe(tx, row) for row in found]
            if left <= 0 or not any(self._moves(row, stopped) for row in found):
                return told
            pace.wait(min(POLL, left))
            left -= POLL

    def _moves(self, row: Job, stopped: frozenset[str]) -> bool:
        """Return whether somebody runs a job or will."""
        if row.state == jobs.READY:
            halted = row.kind in stopped or jobs.EVERY_KIND in stopped
            return not halted and row.kind in self._handlers
        return row.state == jobs.LEASED

    def close(self) -> None:
        """Wait for the thread to end, which it does after the job under way or about to begin.

        That job is told when it next calls :meth:`Work.renew`.
        """
        self._after_fork()
        self._closing = True
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


def _told(error: BaseException | None) -> str:
    """Return what may be kept of an error; a foreign one may quote what people wrote."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, MnemosError) else name
