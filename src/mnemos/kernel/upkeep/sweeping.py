"""The sweeper: carries out what the policies say, on the clock it is given.

What is past its end is expired, what has been expired for longer than the grace is forgotten,
what is weak or beyond capacity is archived; each by an event of the actor ``sweeper``. Everything
is decided again from what is stored, so a sweep that was cut short is simply followed by another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice

from mnemos.errors import Conflict, IllegalTransition, NotFound, Protected
from mnemos.kernel import schema
from mnemos.kernel.changes import Changes, DropReads
from mnemos.kernel.erasure import SWEEPER
from mnemos.kernel.governance import rules
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.journal import seq_at
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.upkeep.due import Plan, ReadLaw, Step
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import Scope, State

BATCH = 256
"""Memories moved or forgotten in one commit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """What a sweep did.

    Parameters
    ----------
    expired, archived, forgotten : tuple of str
        Memories touched; what was derived from forgotten ones went with them and is named too.
    held : tuple of str
        Due to be forgotten, but a legal hold on them or on what was derived from them stops it.
    passed : tuple of str
        Changed by somebody else meanwhile; the next sweep looks at them again.
    more : bool
        Whether it stopped at its limit: sweep again.
    mortal : bool
        Whether anything that stays has an end or a policy: sweep again in time.
    """

    expired: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    more: bool = False
    mortal: bool = False


def sweep(vault: Vault, tenant: str, *, strength: ReadLaw, limit: int = 10_000) -> SweepReport:
    """Expire, forget and archive what the policies of a tenant say, on every branch.

    Parameters
    ----------
    vault : Vault
        What is remembered; its clock says what time it is.
    tenant : str
        Whose.
    strength : callable
        Turns a policy's law, a JSON value, into a :class:`mnemos.kernel.upkeep.usage.Law`.
    limit : int
        Most memories to touch; the report says whether there are more.
    """
    run = _Sweep(vault, tenant, strength, limit)
    with vault.store.read(tenant_view(tenant)) as tx:
        subjects = list(tx.scan(schema.SUBJECTS, (tenant,)))
    for subject in subjects:
        if run.left <= 0:
            run.more = True
            break
        run.subject(subject)
    if run.forgotten:
        vault.scrub()
    return SweepReport(
        expired=tuple(run.expired),
        archived=tuple(run.archived),
        forgotten=tuple(run.forgotten),
        held=tuple(run.held),
        passed=tuple(run.passed),
        more=run.more,
        mortal=run.mortal,
    )


class _Sweep:
    """One run over a tenant: what is left to touch, and what was done."""

    def __init__(self, vault: Vault, tenant: str, strength: ReadLaw, limit: int) -> None:
        self._vault = vault
        self._tenant = tenant
        self._strength = strength
        self._now = vault.clock.now()
        self.left = limit
        self.more = False
        self.mortal = False
        self.expired: list[str] = []
        self.archived: list[str] = []
        self.forgotten: dict[str, None] = {}
        self.held: list[str] = []
        self.passed: list[str] = []

    def subject(self, subject: schema.Subject) -> None:
        """Carry out what is due of one subject, as far as the limit goes."""
        with self._vault.store.read(tenant_view(self._tenant)) as tx:
            plan = Plan(tx, self._vault, subject, self._strength, self._now)
            steps = list(islice(plan.steps(), self.left + 1))
            before = self._kept_reads(tx, subject)
        self.held += plan.held
        self.mortal |= plan.mortal
        if len(steps) > self.left:
            self.more = True
            steps.pop()
        self.left -= len(steps)
        scope = Scope(tenant=self._tenant, subject=subject.name)
        if before is not None:
            wanted = Changes(scope=scope, changes=(DropReads(before=before),), actor=SWEEPER)
            self._vault.commit([Staged(wanted)])
        for branch, together in groupby(steps, key=lambda step: step.branch):
            group = list(together)
            for first in range(0, len(group), BATCH):
                self._commit(scope, branch, group[first : first + BATCH])

    def _kept_reads(self, tx: ReadTx, subject: schema.Subject) -> int | None:
        """Return the position before which notes of reads are to be erased; None if there are none."""
        rule = rules.nearest(tx, self._tenant, subject.subject, Sort.AUDIT)
        if rule is None or "keep" not in rule.value:
            return None
        self.mortal = True
        before = seq_at(tx, self._tenant, self._now - timedelta(seconds=rule.value["keep"])) + 1
        rows = tx.scan(schema.RECORDS, (self._tenant, subject.subject))
        return before if any(row.verb == "read" and row.seq < before for row in rows) else None

    def _commit(self, scope: Scope, branch: int, steps: Sequence[Step]) -> None:
        """Commit steps together; where one of them cannot be made, the others apart from it."""
        steps = [step for step in steps if step.id not in self.forgotten]
        if not steps:
            return
        wanted = Changes(
            scope=scope,
            changes=tuple(change for step in steps for change in step.changes()),
            actor=SWEEPER,
            branch=branch,
            bases={step.id: step.born for step in steps if step.born},
        )
        try:
            (outcome,) = self._vault.commit([Staged(wanted)])
        except (Conflict, NotFound, Protected, IllegalTransition) as error:
            if len(steps) == 1:
                stopped = isinstance(error, Protected) and not steps[0].states
                (self.held if stopped else self.passed).append(steps[0].id)
                return
            middle = len(steps) // 2
            self._commit(scope, branch, steps[:middle])
            self._commit(scope, branch, steps[middle:])
            return
        self.forgotten.update(dict.fromkeys(outcome.forgotten))
        for step in steps:
            if step.states:
                done = self.expired if step.states[-1] is State.EXPIRED else self.archived
                done.append(step.id)
