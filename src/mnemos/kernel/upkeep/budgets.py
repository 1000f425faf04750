"""What jobs may spend in a day: calls, tokens and seconds, per scope and for the whole tenant.

A day is a UTC day. Spending is booked before the work is done, in a transaction of its own, so
that a worker that dies has spent what it was about to spend.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mnemos.errors import BudgetSpent
from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.schema import Budget, Spent

DAY = 86_400 * 1_000_000
"""Microseconds of a day."""

KEPT_DAYS = 31
"""Days for which what was spent can be looked up."""

NO_LIMIT = -1
TENANT = 0
"""The subject number that stands for the whole tenant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetInfo:
    """What jobs of a scope may spend today, and have spent.

    Parameters
    ----------
    calls, tokens : int or None
        Allowed in a day; None is no limit.
    seconds : float or None
        Allowed in a day; None is no limit.
    spent_calls, spent_tokens : int
        Spent today.
    spent_seconds : float
        Spent today.
    """

    calls: int | None
    tokens: int | None
    seconds: float | None
    spent_calls: int
    spent_tokens: int
    spent_seconds: float


def day_of(now: datetime) -> int:
    """Return the UTC day of a moment, counted since 1970."""
    return microseconds(now) // DAY


def next_day(now: datetime) -> int:
    """Return the microsecond at which the next UTC day begins."""
    return (day_of(now) + 1) * DAY


def set_budget(
    tx: WriteTx,
    tenant: str,
    subject: int = TENANT,
    *,
    calls: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
) -> None:
    """Limit what jobs of a subject spend in a day, 0 for all of the tenant; None is no limit."""
    limits = [
        NO_LIMIT if limit is None else limit
        for limit in (calls, tokens, None if seconds is None else round(seconds * 1000))
    ]
    if all(limit == NO_LIMIT for limit in limits):
        tx.delete(schema.BUDGETS, (tenant, subject))
    else:
        tx.put(schema.BUDGETS, Budget(tenant, subject, *limits))


def spend(
    tx: WriteTx,
    tenant: str,
    subject: int,
    now: datetime,
    *,
    calls: int = 0,
    tokens: int = 0,
    seconds: float = 0,
) -> None:
    """Book what a job is about to spend, on its subject and on the tenant.

    Raises
    ------
    BudgetSpent
        If it is more than either has left today; nothing is booked then.
    """
    asked = (calls, tokens, round(seconds * 1000))
    day = day_of(now)
    booked: list[Spent] = []
    for account in dict.fromkeys((subject, TENANT)):
        spent = _spent(tx, tenant, account, day)
        total = [had + more for had, more in zip(spent[3:], asked, strict=True)]
        limits = tx.get(schema.BUDGETS, (tenant, account))
        for name, limit, wanted in zip(Budget._fields[2:], (limits or ())[2:], total, strict=False):
            if limit != NO_LIMIT and wanted > limit:
                whose = "this scope" if account else "all jobs"
                raise BudgetSpent(
                    f"{wanted} {name} would be spent today, {limit} are allowed for {whose}; the "
                    "job goes on tomorrow: raise the budget to go on now"
                )
        booked.append(Spent(tenant, account, day, *total))
    for row in booked:
        for old in list(tx.scan(schema.SPENT, row[:2], stop=day - KEPT_DAYS)):
            tx.delete(schema.SPENT, old[:3])
        tx.put(schema.SPENT, row)


def look(tx: ReadTx, tenant: str, subject: int, now: datetime) -> BudgetInfo:
    """Return what jobs of a subject may spend today and have spent; 0 for all of the tenant."""
    row = tx.get(schema.BUDGETS, (tenant, subject)) or Budget(tenant, subject, *[NO_LIMIT] * 3)
    spent = _spent(tx, tenant, subject, day_of(now))
    return BudgetInfo(
        calls=None if row.calls == NO_LIMIT else row.calls,
        tokens=None if row.tokens == NO_LIMIT else row.tokens,
        seconds=None if row.milliseconds == NO_LIMIT else row.milliseconds / 1000,
        spent_calls=spent.calls,
        spent_tokens=spent.tokens,
        spent_seconds=spent.milliseconds / 1000,
    )


def _spent(tx: ReadTx, tenant: str, subject: int, day: int) -> Spent:
    return tx.get(schema.SPENT, (tenant, subject, day)) or Spent(tenant, subject, day, 0, 0, 0)
