"""One transaction of the SQLite store: the one place that builds statements that read rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mnemos.errors import InvalidInput
from mnemos.kernel.binding import Binding, Reach
from mnemos.kernel.ports import Faults, Key, Row, Table
from mnemos.stores.sqlite_errors import REFUSALS, translate
from mnemos.stores.sqlite_form import insert_statement, order_columns, select_statement


class SQLiteTx:
    """A transaction on one connection, bound to a view: reads, and writes where it is open for them."""

    def __init__(
        self, connection: sqlite3.Connection, faults: Faults, path: str, reach: Reach
    ) -> None:
        self._execute = connection.execute
        self._binding = Binding(reach)
        self._faults = faults
        self._path = path

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key."""
        cursor = self._walk(table, None, key, (None, None), False, 1)
        try:
            found = cursor.fetchone()
        except REFUSALS as error:
            raise translate(error, self._path) from error
        return None if found is None else table.row._make(found)

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
        """Walk the rows whose leading columns equal ``prefix``, in order."""
        return self._rows(table, self._walk(table, index, prefix, (start, stop), reverse, limit))

    def _walk(
        self,
        table: Table[Row],
        index: str | None,
        prefix: Key,
        bounds: tuple[str | int | None, str | int | None],
        reverse: bool,
        limit: int | None,
    ) -> sqlite3.Cursor:
        """Run the one statement that reads: its prefix, and what the view holds besides."""
        held = self._binding.conditions(self, table, order_columns(table, index), prefix)
        start, stop = bounds
        names = tuple([column for column, _ in held])
        bounded = (start is not None, stop is not None)
        sql = select_statement(table, index, len(prefix), names, bounded, reverse)
        given = [*prefix, *[value for _, value in held]]
        given += [bound for bound in bounds if bound is not None]
        given.append(-1 if limit is None else limit)
        return self._run(sql, given)

    def _rows(self, table: Table[Row], cursor: sqlite3.Cursor) -> Iterator[Row]:
        """Fetch; a damaged page may show itself at any row."""
        try:
            for found in cursor:
                yield table.row._make(found)
        except REFUSALS as error:
            raise translate(error, self._path) from error

    def insert(self, table: Table[Row], rows: Iterable[Row]) -> None:
        """Add rows whose primary keys are new."""
        sql = insert_statement(table.name, len(table.row._fields), "INSERT")
        for row in rows:
            self._binding.check_row(table, row)
            self._change(sql, row)

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its primary key."""
        self._binding.check_row(table, row)
        self._change(insert_statement(table.name, len(row), "REPLACE"), row)

    def delete(self, table: Table[Row], prefix: Key) -> None:
        """Remove every row whose leading key columns equal ``prefix``."""
        self._binding.check_prefix(table, prefix)
        where = " AND ".join(f"{name}=?" for name in table.row._fields[: len(prefix)])
        self._change(f"DELETE FROM {table.name} WHERE {where}", tuple(prefix))

    def change(self, sql: str) -> None:
        """Run a statement that changes the form itself, for migrations."""
        self._change(sql, ())

    def _change(self, sql: str, values: tuple[Any, ...]) -> None:
        self._faults.reach("sql")
        self._run(sql, values)

    def _run(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._execute(sql, values)
        except REFUSALS as error:
            raise translate(error, self._path) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise InvalidInput(
                f"cannot be stored: {error}; allowed are text without lone surrogates and numbers "
                "of 64 bits"
            ) from error
