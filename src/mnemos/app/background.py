"""Work done later: jobs looked at, run, retried and paused, their budgets, and the file's size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mnemos.app.config import GivenEmbedder
from mnemos.app.handle import Handle
from mnemos.app.scopes import read_callable, read_count
from mnemos.errors import Conflict, InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.governance.views import OWNER
from mnemos.kernel.journal import ensure_subject, find_subject
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.upkeep import budgets, jobs, upkeep_jobs
from mnemos.kernel.upkeep.budgets import BudgetInfo
from mnemos.kernel.upkeep.due import ReadLaw
from mnemos.kernel.upkeep.jobs import JobInfo
from mnemos.kernel.upkeep.runner import Handler, JobReport, Runner
from mnemos.kernel.upkeep.upkeep_jobs import Freed
from mnemos.memories.input_values import shown
from mnemos.types import Receipt, Scope

MOST = 2**53
"""Largest count a budget may name; every JSON reader keeps it."""

LONGEST_WAIT = 86_400.0
"""Seconds :meth:`Background.wait` waits at most."""


class Background(Handle):
    """Calls about the work a vault leaves for later."""

    _runner: Runner
    _handlers: dict[str, Handler]

    def _open_jobs(self, mode: str, *, strength: ReadLaw | None = None) -> None:
        """Begin to run jobs as ``mode`` says; the vault and the embedder are there by now."""
        source = self._embedder
        words_only = isinstance(source, GivenEmbedder) and source.get() is None
        self._handlers = upkeep_jobs.built_in(None if words_only else source.get, strength=strength)
        self._runner = Runner(self._vault, self._tenant, self._handlers, mode=mode)
        self._vault.after_commit = self._runner.nudge

    def _close_jobs(self) -> None:
        """Wait for the job under way; before the vault is closed."""
        self._runner.close()

    def jobs(self, state: str | None = None) -> list[JobInfo]:
        """Return the jobs that are not done, in order of their numbers.

        Parameters
        ----------
        state : str or None
            ``ready``, ``leased`` (under way) or ``dead`` (failed for the last time); None is all.

        Raises
        ------
        InvalidInput
            If there is no such state.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     memory.jobs("dead")
        []
        """
        with self._records() as tx:
            return jobs.list_jobs(tx, self._tenant, state)

    def run_jobs(self, limit: int | None = None) -> JobReport:
        """Run jobs in this thread until none is due, or ``limit`` were run; return how they ended.

        A job that fails is tried again later and is no error of this call.

        Raises
        ------
        InvalidInput
            If ``limit`` is not a positive whole number.
        Conflict
            Inside a transaction.
        """
        self._check_outside("run_jobs")
        self._check_owner("run jobs")
        return self._runner.run_due(None if limit is None else read_count("limit", limit))

    def retry_job(self, number: int) -> None:
        """Put a dead job back, due at once.

        Raises
        ------
        NotFound, Conflict
            If there is no such job, or it is not dead.
        """
        number = _read_number(number)
        with self._keeping("run jobs") as tx:
            jobs.retry(tx, self._tenant, number, self._now())
        self._nudge()

    def drop_job(self, number: int) -> None:
        """Remove a job; if it is under way, what it makes is not written.

        Raises
        ------
        NotFound
            If there is no such job.
        """
        number = _read_number(number)
        with self._keeping("drop jobs") as tx:
            jobs.drop(tx, self._tenant, number)

    def pause_jobs(self, kind: str | None = None) -> None:
        """Let no job of a kind begin, None of any kind, until :meth:`resume_jobs`.

        It holds for every handle of the tenant, and after the vault was closed.
        """
        with self._keeping("pause jobs") as tx:
            jobs.pause(tx, self._tenant, kind)

    def resume_jobs(self, kind: str | None = None) -> None:
        """Let jobs of a kind begin again; None of every kind.

        Raises
        ------
        Conflict
            If all kinds are paused and one is named.
        """
        with self._keeping("resume jobs") as tx:
            jobs.resume(tx, self._tenant, kind)
        self._nudge()

    def wait(self, receipt: Receipt, *, timeout: float = 60.0) -> list[JobInfo]:
        """Wait until the jobs a write asked for are done.

        Parameters
        ----------
        receipt : Receipt
            What the write returned.
        timeout : float
            Seconds to wait at most; 0 only looks.

        Returns
        -------
        list of JobInfo
            Those not done: dead, paused, of a kind this handle does not know, or late. Empty if
            all are done.

        Raises
        ------
        InvalidInput
            If it is not the receipt of a write that was made, or ``timeout`` is no duration.
        """
        self._check_outside("wait")
        if not isinstance(receipt, Receipt) or not receipt.seq:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may say anything
            raise InvalidInput(
                f"receipt={shown(receipt)} is not that of a write that was made; inside a "
                "transaction nothing is, until it ends"
            )
        seconds = _read_limit("timeout", timeout, LONGEST_WAIT)
        left = self._runner.wait(receipt.before, receipt.seq, timeout=seconds or 0.0)
        if self._principal == OWNER:
            return left
        with self._vault.store.read(self._tenant_reach()) as tx:
            return [job for job in left if job.scope and self._may_read(tx, job.scope)]

    def _may_read(self, tx: ReadTx, subject: str) -> bool:
        access = self._access(tx, Scope(tenant=self._tenant, subject=subject))
        return access.whole or bool(access.having(Verb.READ))

    def set_budget(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        calls: int | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
    ) -> BudgetInfo:
        """Limit what jobs spend in a UTC day, for a scope, or without one for all of the tenant.

        A job that would spend more goes on the next day. What is None has no limit; given anew,
        all three are replaced.

        Raises
        ------
        InvalidInput
            If a limit is negative or no number.
        """
        calls, tokens = _read_whole("calls", calls), _read_whole("tokens", tokens)
        seconds = _read_limit("seconds", seconds, 86_400.0)
        with self._keeping("set budgets") as tx:
            subject = self._account(tx, user_id, agent_id)
            budgets.set_budget(
                tx, self._tenant, subject, calls=calls, tokens=tokens, seconds=seconds
            )
            return budgets.look(tx, self._tenant, subject, self._now())

    def budget(self, *, user_id: str | None = None, agent_id: str | None = None) -> BudgetInfo:
        """Return what jobs may spend today and have spent, in a scope or in the whole tenant."""
        with self._records() as tx:
            subject = budgets.TENANT
            if self._names_scope(user_id, agent_id):
                name = self._scope(user_id, agent_id, None).subject
                # A scope nothing was written for has no number yet, so no limit and no expenses.
                subject = find_subject(tx, self._tenant, name) or -1
            return budgets.look(tx, self._tenant, subject, self._now())

    def register_job(self, kind: str, handler: Handler) -> None:
        """Have jobs of a kind done by a function of yours, in this handle.

        Parameters
        ----------
        kind : str
            Lower-case letters, digits and ``_.:-``.
        handler : callable
            Given a :class:`mnemos.kernel.upkeep.runner.Work`, returns the staged changes it wants, or
            None. They are committed together with the end of the job, or not at all if it was
            taken over meanwhile.

        Raises
        ------
        InvalidInput
            If ``kind`` names no kind, or the handler cannot be called.
        Conflict
            If the kind has a handler.
        """
        jobs.check_kind(kind)
        self._check_owner("register jobs")
        if handler is None:  # pyright: ignore[reportUnnecessaryComparison] - callers may say anything
            raise InvalidInput("handler=None cannot be called; give a function")
        read_callable("handler", handler)
        if kind in self._handlers:
            raise Conflict(f"jobs of kind {kind!r} have a handler; choose another name")
        self._handlers[kind] = handler

    def enqueue_job(
        self,
        kind: str,
        payload: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        after: float = 0.0,
    ) -> int:
        """Ask for a job and return its number; the same one that waits already is not doubled.

        Parameters
        ----------
        kind : str
            What is to be done; whoever registered a handler for it does it.
        payload : mapping or None
            Ids, numbers and lists of them; text belongs into memories.
        user_id, agent_id : str or None
            What it is about; none is the whole tenant.
        after : float
            Seconds from now before it is due.

        Raises
        ------
        InvalidInput
            If the kind or the payload is not allowed.
        Conflict
            Inside a transaction.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     number = memory.enqueue_job("summarise", {"most": 3}, user_id="ana")
        ...     memory.jobs()[0].scope
        'user:ana'
        """
        self._check_outside("enqueue_job")
        wait = _read_limit("after", after, 366 * 86_400.0) or 0.0
        with self._keeping("ask for jobs") as tx:
            head = tx.get(schema.HEADS, (self._tenant,))
            number = jobs.enqueue(
                tx,
                self._tenant,
                kind,
                due=microseconds(self._now()) + int(wait * jobs.SECOND),
                cause=head.seq if head else 0,
                subject=self._account(tx, user_id, agent_id),
                payload=payload,
            )
        self._nudge()
        return number

    def compact(self, *, full: bool = False) -> Freed:
        """Move rows that are no longer current out of what searches read, and shrink the file.

        Parameters
        ----------
        full : bool
            Do it for every page in which rows have ended, not only where it pays, and make the
            file anew, which takes its size once more in memory.

        Raises
        ------
        Conflict
            Inside a transaction.
        """
        self._check_outside("compact")
        self._check_owner("compact the vault")
        return upkeep_jobs.compact_all(self._vault, self._tenant, full=full)

    def _nudge(self) -> None:
        if self._staged is None:
            self._runner.nudge()

    def _check_outside(self, verb: str) -> None:
        if self._staged is not None:
            raise Conflict(f"{verb} cannot be part of a transaction; call it on the memory itself")

    def _names_scope(self, user_id: str | None, agent_id: str | None) -> bool:
        return user_id is not None or agent_id is not None or self._bound is not None

    def _account(self, tx: WriteTx, user_id: str | None, agent_id: str | None) -> int:
        """Return the number of the scope named, giving it one; of none, that of the tenant."""
        if not self._names_scope(user_id, agent_id):
            return budgets.TENANT
        return ensure_subject(tx, self._tenant, self._scope(user_id, agent_id, None).subject)


def _read_number(value: object) -> int:
    return read_count("number", value, most=MOST)


def _read_whole(name: str, value: object) -> int | None:
    return None if value is None else read_count(name, value, least=0, most=MOST)


def _read_limit(name: str, value: object, most: float) -> float | None:
    """Return a duration in seconds, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise InvalidInput(f"{name}={shown(value)} is no number of seconds; give 0 or more")
    if not 0 <= value <= most:
        raise InvalidInput(f"{name}={shown(value)} is not allowed; give seconds 0–{most:g}")
    return float(value)
