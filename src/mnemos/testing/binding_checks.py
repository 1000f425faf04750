"""The part of the store checks that is about scope: a transaction reaches no further than its view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from random import Random
from typing import Any

from mnemos.errors import ScopeViolation
from mnemos.kernel.binding import TENANT_WIDE, Reach
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import open_view, tenant_view
from mnemos.kernel.ports import ReadTx, Store, Table
from mnemos.kernel.schema import SUBJECTS, TABLES, Subject
from mnemos.testing.expectations import equal, raises
from mnemos.testing.medium_checks import MakeStore, fill
from mnemos.testing.samples import naive_scan, sample_rows
from mnemos.types import Scope

TENANTS = ("a", "a\0", "ab")
"""Tenants whose names begin alike."""

PEOPLE = (
    *(Subject("a", number, name) for number, name in ((1, "ana"), (2, "bo"), (3, "cy"))),
    *(Subject("a\0", number, name) for number, name in ((1, "cy"), (2, "ana"))),
    Subject("ab", 3, "bo"),
)
"""Names and numbers that mean somebody else in the next tenant."""


def bound_views() -> list[Reach]:
    """Return views of tenants and of subjects, one of them of somebody nothing is known of."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    names = (("a", "ana"), ("a\0", "ana"), ("ab", "bo"), ("ab", "ana"))
    return [
        tenant_view("a"),
        tenant_view("ab"),
        *(open_view(Scope(tenant=tenant, subject=name), now=moment) for tenant, name in names),
    ]


def shared_rows(table: Table[Any], count: int = 48) -> list[Any]:
    """Return rows of several tenants and subjects, the tenant-wide ones included, keys distinct."""
    if table is SUBJECTS:
        return list(PEOPLE)
    random = Random(f"bound:{table.name}")
    found: dict[tuple[Any, ...], Any] = {}
    for row in sample_rows(table, count):
        given = {"tenant": random.choice(TENANTS), "subject": random.randrange(TENANT_WIDE, 4)}
        fitting = {name: value for name, value in given.items() if name in table.row._fields}
        whose = row._replace(**fitting)
        found.setdefault(table.key_of(whose), whose)
    return list(found.values())


def within(view: Reach, table: Table[Any], row: Any, given: Sequence[str] = ()) -> bool:
    """Return whether a view reaches a row; ``given`` are the columns the caller named itself."""
    fields = table.row._fields
    if view.tenant is None or "tenant" not in fields:
        return True
    if row.tenant != view.tenant:
        return False
    if view.subject is None:
        return True
    if table is SUBJECTS:
        return row.name == view.subject
    if "subject" not in fields:
        return True
    own = [who.subject for who in PEOPLE if (who.tenant, who.name) == (view.tenant, view.subject)]
    return row.subject in own or ("subject" in given and row.subject == TENANT_WIDE)


def _read(
    tx: ReadTx, view: Reach, table: Table[Any], rows: list[Any], model: Any, options: Any
) -> None:
    """Compare one scan with the unbound result, filtered; out of reach it must raise."""
    prefix, index = options["prefix"], options["index"]
    given = table.columns_of(index)[: len(prefix)]
    what = f"{table.name}.scan({options}) of {view.tenant!r}, {view.subject!r}"
    scope = [name for name in given if name in ("tenant", "subject", "name")]
    if not _may_ask(view, table, model, scope):
        with raises(ScopeViolation, what):
            list(tx.scan(table, **options))
        return
    reached = [row for row in rows if within(view, table, row, given)]
    equal(list(tx.scan(table, **options)), naive_scan(table, reached, **options), what)


def _may_ask(view: Reach, table: Table[Any], model: Any, given: Sequence[str]) -> bool:
    """Return whether a prefix taken from a row names nobody out of the view's reach."""
    if "tenant" in given and model.tenant != view.tenant:
        return False
    if table is SUBJECTS:
        return "name" not in given or view.subject in (None, model.name)
    if "subject" not in given or view.subject is None:
        return True
    return within(view, table, model._replace(tenant=view.tenant), given)


def _scans(table: Table[Any], rows: list[Any], random: Random) -> Iterator[tuple[Any, Any]]:
    for index in (None, *table.indexes):
        columns = table.columns_of(index)
        for depth in range(len(columns) + 1):
            for model in random.sample(rows, min(4, len(rows))):
                prefix = tuple(getattr(model, column) for column in columns[:depth])
                bound = None
                if depth < len(columns):
                    bound = getattr(random.choice(rows), columns[depth])
                bounds = ((None, None), (bound, None), (None, bound))
                for (start, stop), reverse, limit in product(bounds, (False, True), (None, 0, 2)):
                    yield (
                        model,
                        {
                            "prefix": prefix,
                            "index": index,
                            "start": start,
                            "stop": stop,
                            "reverse": reverse,
                            "limit": limit,
                        },
                    )


def check_reads_are_bound(make_store: MakeStore) -> None:
    """Check that a bound ``get`` or ``scan`` gives exactly the unbound result, filtered to the view.

    That holds for every table and order, prefix, start, stop, limit, both ways. What belongs to the
    whole tenant is given where its subject, 0, was asked for. To ask for another tenant or subject
    raises ``ScopeViolation``.
    """
    rows = {table.name: shared_rows(table) for table in TABLES}
    with closing(make_store()) as store:
        fill(store, *((table, rows[table.name]) for table in TABLES))
        for view in bound_views():
            random = Random(f"{view.tenant}:{view.subject}")
            with store.read(view) as tx:
                for table in TABLES:
                    held = rows[table.name]
                    for model, options in _scans(table, held, random):
                        _read(tx, view, table, held, model, options)
                    for row in held:
                        _get(tx, view, table, row)


def _get(tx: ReadTx, view: Reach, table: Table[Any], row: Any) -> None:
    key, given = table.key_of(row), table.columns_of(None)
    what = f"{table.name}.get({key}) of {view.tenant!r}, {view.subject!r}"
    if not _may_ask(view, table, row, given):
        with raises(ScopeViolation, what):
            tx.get(table, key)
        return
    equal(tx.get(table, key), row if within(view, table, row, given) else None, what)


def _everything(store: Store) -> dict[str, list[Any]]:
    with store.read(SYSTEM) as tx:
        return {table.name: list(tx.scan(table, ())) for table in TABLES}


def check_writes_are_bound(make_store: MakeStore) -> None:
    """Check that a tenant's transaction adds, replaces and removes rows of that tenant alone.

    Another's raise ``ScopeViolation``, and so does every write through the view of one subject.
    """
    tables = [table for table in TABLES if "tenant" in table.row._fields]
    filling = [(table, shared_rows(table)) for table in tables]
    with closing(make_store()) as store:
        fill(store, *filling)
        before = _everything(store)
        for view in bound_views():
            for table, rows in filling:
                _refuse(store, view, table, rows)
        equal(_everything(store), before, "rows after writes that were refused")
        with store.write(tenant_view("a")) as tx:
            for table, rows in filling:
                own = [row for row in rows if row.tenant == "a"]
                tx.delete(table, table.key_of(own[0]))
                tx.insert(table, [own[0]])
                tx.put(table, own[-1])
        equal(_everything(store), before, "rows put back by their tenant")
        with store.write(tenant_view("a")) as tx:
            for table, _ in filling:
                tx.delete(table, ("a",))
        kept = {
            table.name: [row for row in before[table.name] if row.tenant != "a"] for table in tables
        }
        after = {table.name: _everything(store)[table.name] for table in tables}
        equal(after, kept, "rows of others after a tenant removed its own")


def _refuse(store: Store, view: Reach, table: Table[Any], rows: list[Any]) -> None:
    """Try to write what the view does not reach."""
    another = next(row for row in rows if row.tenant != view.tenant)
    targets = [another]
    if view.subject is not None:
        targets += [row for row in rows if row.tenant == view.tenant][:2]
    with store.write(view) as tx:
        for row in targets:
            what = f"of {table.key_of(row)} in {table.name} by {view.tenant!r}, {view.subject!r}"
            with raises(ScopeViolation, f"put {what}"):
                tx.put(table, row)
            with raises(ScopeViolation, f"insert {what}"):
                tx.insert(table, [row])
            for depth in range(table.key + 1):
                with raises(ScopeViolation, f"delete by {depth} columns {what}"):
                    tx.delete(table, table.key_of(row)[:depth])
