"""The statements of the SQLite store: they make its tables, lift old ones, read and write rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from mnemos.kernel.ports import Table
from mnemos.kernel.schema import ALIVE, EARLIEST, FULL_TRUST, TABLES, TAIL

_SQL_TYPE = {"int": "INTEGER", "str": "TEXT", "bytes": "BLOB"}


def table_statements(table: Table[Any]) -> Iterator[str]:
    """Yield the statements that make one table."""
    types: dict[str, type] = table.row.__annotations__
    columns = ",".join(
        f"{name} {_SQL_TYPE[types[name].__name__]} NOT NULL" for name in table.row._fields
    )
    key = ",".join(table.columns_of(None))
    yield f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"
    for index, names in table.indexes.items():
        yield f"CREATE INDEX {table.name}_{index} ON {table.name} ({','.join(names)})"


def create_statements() -> Iterator[str]:
    """Yield the statements that make an empty vault."""
    for table in TABLES:
        yield from table_statements(table)


def mistyped(table: Table[Any]) -> str:
    """Return a statement that finds a row with a value no statement of ours can have put there."""
    types: dict[str, type] = table.row.__annotations__
    wrong = " OR ".join(
        f"typeof({name})<>'{_SQL_TYPE[types[name].__name__].lower()}'" for name in table.row._fields
    )
    return f"SELECT 1 FROM {table.name} WHERE {wrong} LIMIT 1"


_NEW_IN_2 = frozenset(
    "links forgotten suppressed branches snapshots records policies usage jobs budgets spent "
    "history".split()
)


def _lift_to_2(tx: Any) -> None:
    """Time: branches, history, validity of rows, caller's ids per branch, jobs."""
    for table in TABLES:
        if table.name in _NEW_IN_2:
            for statement in table_statements(table):
                tx.change(statement)
    for name, columns in (
        ("externals", "tenant,subject,0,external,id"),
        (
            "tail",
            "tenant,subject,branch,born,cube,content,state,kind,session,agent,speaker,at,expires,"
            f"length,{EARLIEST},{ALIVE},0,{FULL_TRUST},terms",
        ),
        (
            "pages",
            "tenant,subject,branch,epoch,sealed,changed,tail,"
            "(SELECT coalesce(sum(n),0) FROM segments s WHERE s.tenant=o.tenant AND "
            "s.subject=o.subject AND s.branch=o.branch AND s.encoding='rows'),"
            "(SELECT count(*) FROM versions v WHERE v.tenant=o.tenant AND v.subject=o.subject "
            f"AND v.branch=o.branch AND v.dead<{ALIVE}),0,0",
        ),
    ):
        _reshape(tx, name, columns)
    tx.change("INSERT INTO forgotten SELECT tenant,cube,seq FROM events WHERE verb='forget'")
    tx.change("REPLACE INTO meta VALUES ('lift', '2')")


_NEW_IN_3 = frozenset("rules intake reads".split())


def _lift_to_3(tx: Any) -> None:
    """Governance: rules, intake, counts of reads, and who may read a row."""
    for table in TABLES:
        if table.name in _NEW_IN_3:
            for statement in table_statements(table):
                tx.change(statement)
    new = {"guard": "0", "trust": str(FULL_TRUST)}
    columns = ",".join(new.get(name, name) for name in TAIL.row._fields)
    _reshape(tx, "tail", columns)
    tx.change("REPLACE INTO meta VALUES ('lift', '3')")


def _reshape(tx: Any, name: str, columns: str) -> None:
    """Make a table anew in today's form, its rows selected from the old one."""
    tx.change(f"ALTER TABLE {name} RENAME TO old_{name}")
    table = next(item for item in TABLES if item.name == name)
    for statement in table_statements(table):
        tx.change(statement)
    tx.change(f"INSERT INTO {name} SELECT {columns} FROM old_{name} o")
    tx.change(f"DROP TABLE old_{name}")


MIGRATIONS: dict[int, Callable[[Any], None]] = {1: _lift_to_2, 2: _lift_to_3}
"""Format to the function that lifts a vault from it to the next."""


# ---------------------------------------------------------------- reading and writing rows


_SELECTS: dict[tuple[Any, ...], str] = {}
"""Statements made so far: as many as there are ways to walk the tables."""

_ORDERS: dict[tuple[str, str | None], tuple[str, ...]] = {}


def select_statement(
    table: Table[Any],
    index: str | None,
    depth: int,
    held: tuple[str, ...],
    bounds: tuple[bool, bool],
    reverse: bool,
) -> str:
    """Return the statement that walks a table: ``depth`` columns given, the next one bounded.

    ``held`` are the columns of scope that the view holds besides. Made once: a commit of one
    memory walks some thirty times.
    """
    name = (table.name, index, depth, held, bounds, reverse)
    found = _SELECTS.get(name)
    if found is None:
        order = order_columns(table, index)
        found = _SELECTS[name] = _select(table, order, depth, held, bounds, reverse)
    return found


def _select(
    table: Table[Any],
    order: tuple[str, ...],
    depth: int,
    held: tuple[str, ...],
    bounds: tuple[bool, bool],
    reverse: bool,
) -> str:
    where = [f"{column}=?" for column in (*order[:depth], *held)]
    if bounds[0]:
        where.append(f"{order[depth]}>=?")
    if bounds[1]:
        where.append(f"{order[depth]}<?")
    direction = " DESC" if reverse else ""
    return (
        f"SELECT {','.join(table.row._fields)} FROM {table.name}"
        + (f" WHERE {' AND '.join(where)}" if where else "")
        + f" ORDER BY {','.join(column + direction for column in order)} LIMIT ?"
    )


def order_columns(table: Table[Any], index: str | None) -> tuple[str, ...]:
    """Return the columns by which an order sorts, ties broken by the primary key."""
    found = _ORDERS.get((table.name, index))
    if found is None:
        found = tuple(dict.fromkeys([*table.columns_of(index), *table.columns_of(None)]))
        _ORDERS[table.name, index] = found
    return found


@lru_cache(maxsize=128)
def insert_statement(name: str, width: int, verb: str) -> str:
    """Return the statement that adds a row, ``INSERT`` or ``REPLACE``."""
    return f"{verb} INTO {name} VALUES ({','.join('?' * width)})"
