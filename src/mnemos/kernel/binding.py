"""Scope, bound into every statement: what a transaction may touch, whatever it is asked for.

A store opens each transaction with a view. From then on every look-up of a table that names a
tenant carries the view's tenant, and of a table that names a subject also its subject: as a
condition of the statement where the caller did not give it, as a check where it did. So a slip
above cannot reach another's rows, it can only find nothing or raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from mnemos.errors import ScopeViolation
from mnemos.kernel import schema
from mnemos.kernel.ports import Key, ReadTx, Row, Table, WriteTx

TENANT_WIDE = 0
"""Subject number of what a tenant says for all its subjects: policies, rules, budgets."""

NOBODY = -1
"""Subject number that matches no row: the view names a subject of whom nothing was written."""

Conditions = tuple[tuple[str, str | int], ...]


class Reach(Protocol):
    """How far a view reaches; None is no bound."""

    @property
    def tenant(self) -> str | None:
        """Whose rows."""
        ...

    @property
    def subject(self) -> str | None:
        """Whose page within the tenant."""
        ...


class Binding:
    """What every statement of one transaction is bound to.

    Parameters
    ----------
    reach : Reach
        The view the transaction was opened with.
    """

    def __init__(self, reach: Reach) -> None:
        self.tenant = reach.tenant
        self._name = reach.subject
        self._number: int | None = None

    def conditions(
        self, tx: ReadTx, table: Table[Any], columns: tuple[str, ...], prefix: Key
    ) -> Conditions:
        """Return what a statement must hold besides its prefix.

        Parameters
        ----------
        tx : ReadTx
            The transaction itself, to look up the number of the subject once.
        table : Table
            What is read.
        columns : tuple of str
            The columns ``prefix`` gives the leading values of.
        prefix : sequence
            What the caller asked for.

        Raises
        ------
        ScopeViolation
            If it asked for another tenant or subject.
        """
        if self.tenant is None:
            return ()
        tenant_at, owner, owner_at = _scope_columns(table, columns[: len(prefix)])
        held: Conditions = ()
        if tenant_at == _NOT_GIVEN:
            held = (("tenant", self.tenant),)
        elif tenant_at is not None and prefix[tenant_at] != self.tenant:
            raise _violation(table, "tenant")
        if self._name is None or owner_at is None:
            return held
        allowed = (self._name,) if owner == "name" else (self._subject(tx), TENANT_WIDE)
        if owner_at == _NOT_GIVEN:
            return (*held, (owner, allowed[0]))
        if prefix[owner_at] not in allowed:
            raise _violation(table, owner)
        return held

    def _subject(self, tx: ReadTx) -> int:
        if self._number is None:
            assert self.tenant is not None
            rows = tx.scan(schema.SUBJECTS, (self.tenant, str(self._name)), index="name", limit=1)
            row = next(rows, None)
            if row is None:
                return NOBODY  # not kept: a write transaction may be about to number it
            self._number = row.subject
        return self._number

    def check_row(self, table: Table[Any], row: Any) -> None:
        """Pass if a row may be written.

        Raises
        ------
        ScopeViolation
            If it is another tenant's, or the view is of one subject: such a view only reads.
        """
        self._check_writer(table)
        if self.tenant is None or table.row._fields[0] != "tenant":
            return
        if row[0] != self.tenant:
            raise ScopeViolation(
                f"a write to {table.name} named another tenant than its view is bound to; nothing "
                "was written"
            )

    def check_prefix(self, table: Table[Any], prefix: Key) -> None:
        """Pass if rows with this prefix may be removed.

        Raises
        ------
        ScopeViolation
            If they may be another tenant's, or the view is of one subject.
        """
        self._check_writer(table)
        if self.tenant is None or table.row._fields[0] != "tenant":
            return
        if not prefix or prefix[0] != self.tenant:
            raise ScopeViolation(
                f"a removal from {table.name} named another tenant than its view is bound to; "
                "nothing was removed"
            )

    def _check_writer(self, table: Table[Any]) -> None:
        if self._name is not None:
            raise ScopeViolation(
                f"a write to {table.name} came through the view of one subject, which only reads; "
                "open the transaction with the view of its tenant"
            )


_NOT_GIVEN = -1
_PLACES: dict[tuple[str, tuple[str, ...]], tuple[int | None, str, int | None]] = {}


def _scope_columns(table: Table[Any], given: tuple[str, ...]) -> tuple[int | None, str, int | None]:
    """Return where a prefix gives the tenant, by which column a table names whose a row is, and where.

    A place is None where the table has no such column. Worked out once for each way to walk a table.
    """
    found = _PLACES.get((table.name, given))
    if found is None:
        owner = "name" if table is schema.SUBJECTS else "subject"
        places = [
            None
            if name not in table.row._fields
            else given.index(name)
            if name in given
            else _NOT_GIVEN
            for name in ("tenant", owner)
        ]
        found = _PLACES[table.name, given] = (places[0], owner, places[1])
    return found


def _violation(table: Table[Any], column: str) -> ScopeViolation:
    return ScopeViolation(
        f"a read of {table.name} asked for another {column} than its view is bound to; nothing was "
        "read"
    )


class BoundTx:
    """A transaction bound to a view, over one that is not: for stores without statements.

    Parameters
    ----------
    base : WriteTx
        What it reads and writes; a ReadTx serves where nothing is written.
    reach : Reach
        The view.
    """

    def __init__(self, base: Any, reach: Reach) -> None:
        self._base: WriteTx = base
        self._binding = Binding(reach)

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key, if the view reaches it."""
        held = self._binding.conditions(self, table, table.columns_of(None), key)
        row = self._base.get(table, key)
        return row if row is not None and _fits(row, held) else None

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
        """Walk the rows whose leading columns equal ``prefix`` and that the view reaches."""
        held = self._binding.conditions(self, table, table.columns_of(index), prefix)
        rows = self._base.scan(
            table,
            prefix,
            index=index,
            start=start,
            stop=stop,
            reverse=reverse,
            limit=None if held else limit,
        )
        given = 0
        for row in rows:
            if held and limit is not None and given >= limit:
                return
            if _fits(row, held):
                yield row
                given += 1

    def insert(self, table: Table[Row], rows: Iterable[Row]) -> None:
        """Add rows whose primary keys are new."""
        checked: list[Row] = []
        for row in rows:
            self._binding.check_row(table, row)
            checked.append(row)
        self._base.insert(table, checked)

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its primary key."""
        self._binding.check_row(table, row)
        self._base.put(table, row)

    def delete(self, table: Table[Row], prefix: Key) -> None:
        """Remove every row whose leading key columns equal ``prefix``."""
        self._binding.check_prefix(table, prefix)
        self._base.delete(table, prefix)


def _fits(row: Any, held: Conditions) -> bool:
    return all(getattr(row, column) == value for column, value in held)
