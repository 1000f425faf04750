"""Every statement on a table of a tenant carries the scope of the transaction it runs in.

SQLite itself says so here: its authorizer names the tables each statement reads when it is
prepared, and its trace gives the statement as it ran, its values filled in.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnemos import Memory
from mnemos.errors import ScopeViolation
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import ALL_STATES, open_view, tenant_view
from mnemos.stores.memory import MemoryStore
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock, check_store
from mnemos.testing.binding_checks import check_reads_are_bound, check_writes_are_bound
from mnemos.types import Scope

FIELDS = {table.name: table.row._fields for table in schema.TABLES}
OF_TENANTS = {name for name, fields in FIELDS.items() if "tenant" in fields}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = ("user:ana", "user:bo", "user:cy")

READING = ("get", "scan")
numbers = count()


@dataclass
class Ran:
    """One statement: the view and the call of the transaction it ran in, and what it read."""

    view: Any
    call: tuple[str, Any, Any] | None
    tables: frozenset[str]
    sql: str

    def of_tenants(self) -> frozenset[str]:
        return self.tables & OF_TENANTS


@dataclass
class Watch:
    """What SQLite tells of every statement of every connection of a store."""

    deny: bool = False
    ran: list[Ran] = field(default_factory=list)
    raws: list[sqlite3.Connection] = field(default_factory=list)
    view: Any = None
    call: Any = None
    reading: set[str] = field(default_factory=set)

    def connect(self, *given: Any, **options: Any) -> sqlite3.Connection:
        """Open a connection that prepares every statement anew, so that each is told of."""
        raw = sqlite3.connect(*given, **(options | {"cached_statements": 0}))
        raw.set_authorizer(self._authorize)
        raw.set_trace_callback(self._trace)
        self.raws.append(raw)
        return raw

    def _authorize(self, action: int, table: Any, column: Any, base: Any, inner: Any) -> int:
        if action == sqlite3.SQLITE_READ and table in FIELDS:
            if self.deny and self.call is None and table in OF_TENANTS:
                return sqlite3.SQLITE_DENY
            self.reading.add(table)
        return sqlite3.SQLITE_OK

    def _trace(self, sql: str) -> None:
        self.ran.append(Ran(self.view, self.call, frozenset(self.reading), sql))
        self.reading.clear()

    @contextmanager
    def within(self, view: Any, call: Any) -> Any:
        before = self.view, self.call
        self.view, self.call = view, call
        self.reading.clear()
        try:
            yield
        finally:
            self.view, self.call = before


class Told:
    """A transaction that says, around each of its calls, which view it was opened with."""

    def __init__(self, tx: Any, view: Any, watch: Watch) -> None:
        self._tx, self._view, self._watch = tx, view, watch

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            what = (name, given, options)
            with self._watch.within(self._view, what):
                return getattr(self._tx, name)(*given, **options)

        return call


class WatchedStore(SQLiteStore):
    """A store whose transactions are told apart."""

    def __init__(self, path: Any, watch: Watch) -> None:
        self._watch = watch
        super().__init__(path, connect=watch.connect)

    @contextmanager
    def read(self, view: Any) -> Any:
        with super().read(view) as tx:
            yield Told(tx, view, self._watch)

    @contextmanager
    def write(self, view: Any) -> Any:
        with super().write(view) as tx:
            yield Told(tx, view, self._watch)


def unbound(ran: list[Ran], people: dict[tuple[str, str], int]) -> list[str]:
    """Return the statements on tables of tenants that do not carry the scope of their view."""
    return [f"{item.view}: {item.sql}" for item in ran if not _is_bound(item, people)]


def _is_bound(item: Ran, people: dict[tuple[str, str], int]) -> bool:
    if not item.of_tenants() or item.sql.startswith(("INSERT", "REPLACE")):
        return True
    if item.view is None or item.call is None:
        return False  # past every transaction
    if item.view.tenant is None:
        return True  # the kernel's own work
    (table,) = item.of_tenants()
    where = item.sql.partition(" WHERE ")[2].partition(" ORDER BY ")[0].split(" AND ")
    if f"tenant='{item.view.tenant}'" not in where:
        return False
    if item.view.subject is None:
        return True
    if table == "subjects":
        return f"name='{item.view.subject}'" in where
    if "subject" not in FIELDS[table]:
        return True
    (said,) = (int(part[8:]) for part in where if re.fullmatch(r"subject=-?\d+", part))
    if said == 0:
        name, given, _ = item.call
        return name in READING and 0 in tuple(given[1])
    return said == people.get((item.view.tenant, item.view.subject), -1)


def people_of(store: Any) -> dict[tuple[str, str], int]:
    with store.read(SYSTEM) as tx:
        return {(row.tenant, row.name): row.subject for row in tx.scan(schema.SUBJECTS, ())}


def open_memory(store: Any, tenant: str, seed: int = 0) -> Memory:
    return Memory(
        store=store,
        tenant=tenant,
        clock=SimClock(NOW),
        ids=SeededIds(seed),
        entropy=SeededEntropy(seed),
        embedder=HashEmbedder(8),
        background="off",
    )


def live(memory: Memory, who: str) -> None:
    """Lead a whole life through the public calls."""
    first = memory.add(f"{who} lives in Porto", user_id=who, external_id="home")
    ids = [memory.add(f"{who} likes kite number {n}", user_id=who).id for n in range(4)]
    memory.add("Answer in Portuguese", user_id=who, kind="instruction")
    memory.snapshot("early", user_id=who)
    memory.update(first.id, f"{who} lives in Lisbon")
    memory.supersede(ids[0], f"{who} likes rain")
    memory.contradict(ids[1], f"{who} likes snow")
    made = memory.consolidate(ids[2:], f"{who} likes kites").id
    memory.set_policy("fact", user_id=who, ttl="30d")
    branch = memory.branch("trial", user_id=who)
    branch.add(f"{who} tries a branch")
    branch.search("kites")
    memory.merge("trial", user_id=who)
    look(memory, who, first.id, made)
    memory.archive(first.id)
    memory.restore(first.id)
    memory.revert(first.id, 1)
    with memory.begin() as tx:
        tx.add(f"{who} stages this", user_id=who)
        tx.search("stages", user_id=who)
    memory.rollback(memory.add("a slip", user_id=who).seq - 1, user_id=who)
    memory.run_jobs()
    memory.sweep()
    memory.forget(ids[0])


def look(memory: Memory, who: str, first: str, made: str) -> None:
    """Ask everything that can be asked."""
    assert memory.search("Where do they live? Lisbon", user_id=who)
    assert memory.context("kites", user_id=who).text
    assert memory.get(first).version == len(memory.history(first)) == 2
    assert len(memory.get_all(user_id=who)) >= 5
    past = memory.view(as_of="early", user_id=who)
    assert past.get(first).text.endswith("Porto")
    assert past.search("Porto")
    assert memory.diff("early", user_id=who)
    assert memory.lineage(made).sources
    assert list(memory.log(user_id=who))
    assert memory.branches(user_id=who)
    assert memory.snapshots(user_id=who)
    assert memory.policies(user_id=who)
    assert memory.usage(first).reads
    memory.stats()


def look_from_the_kernel(memory: Memory) -> None:
    """Read through views of subjects and of a tenant, past the public calls."""
    vault = memory._vault
    for name in (*PEOPLE, "user:nobody"):
        for how in ({}, {"as_of": 9}, {"states": ALL_STATES}):
            scope = Scope(tenant="north", subject=name)
            with vault.reader(open_view(scope, now=NOW, **how)) as reader:
                page = reader.page()
                listed = [cube.id for cube in reader.list()]
                assert (page is None) == (name == "user:nobody")
                for id in listed:
                    assert reader.get(id).id == id
                    assert reader.history(id)
                list(reader.everything())
    view = open_view(Scope(tenant="north", subject="user:ana"), now=NOW)
    for reach in (view, tenant_view("north")):
        with vault.store.read(reach) as tx:
            for table in schema.TABLES:
                for index in (None, *table.indexes):
                    rows = list(tx.scan(table, (), index=index, limit=3))
                    assert all(tx.get(table, table.key_of(row)) == row for row in rows)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Two tenants who lived in one file, every read past the builder of statements refused."""
    watch = Watch(deny=True)
    store = WatchedStore(tmp_path_factory.mktemp("binding") / "two.db", watch)
    south = open_memory(store, "south", 1)
    memory = open_memory(store, "north")
    for who in PEOPLE:
        live(south, who[5:])
        live(memory, who[5:])
    look_from_the_kernel(memory)
    yield store, watch, people_of(store)
    store.close()


def test_every_statement_carries_the_scope_of_its_transaction(lived):
    _, watch, people = lived
    assert unbound(watch.ran, people) == []


def test_the_life_read_every_table_through_bound_transactions(lived):
    # Else the test above would say little.
    _, watch, _ = lived
    tenants, subjects = set(), set()
    for item in watch.ran:
        if item.view is not None and item.view.tenant is not None:
            (tenants if item.view.subject is None else subjects).update(item.of_tenants())
    assert tenants == OF_TENANTS
    assert subjects == OF_TENANTS
    assert sum(bool(item.of_tenants()) for item in watch.ran) > 5_000


def test_numbers_of_subjects_differ_between_the_tenants_of_the_file(lived):
    # So that a statement bound to a subject alone would show another tenant's rows.
    _, _, people = lived
    assert {people["north", who] for who in PEOPLE} == {people["south", who] for who in PEOPLE}


def test_a_statement_past_the_builder_is_recognised(tmp_path):
    watch = Watch()
    store = WatchedStore(tmp_path / "raw.db", watch)
    memory = open_memory(store, "north")
    memory.add("a secret", user_id="ana")
    people = people_of(store)
    assert unbound(watch.ran, people) == []
    (raw,) = watch.raws
    raw.execute("SELECT body FROM contents").fetchall()
    assert len(unbound(watch.ran, people)) == 1
    # Inside of a transaction, but with another tenant, without one, or of another subject.
    view = open_view(Scope(tenant="north", subject="user:ana"), now=NOW)
    for sql in (
        "SELECT * FROM tail WHERE tenant='south' AND subject=1 ORDER BY born",
        "SELECT * FROM contents ORDER BY seq",
        "SELECT * FROM tail WHERE tenant='north' AND subject=2 ORDER BY born",
        "SELECT * FROM tail WHERE tenant='north' AND subject=0 ORDER BY born",
        "SELECT * FROM subjects WHERE tenant='north' AND subject=1 ORDER BY subject",
    ):
        watch.ran.clear()
        with watch.within(view, ("scan", (schema.TAIL, ("north",)), {})):
            raw.execute(sql).fetchall()
        assert len(unbound(watch.ran, people)) == 1, sql
    store.close()


def test_a_statement_past_the_builder_is_refused_where_the_connection_says_so(lived):
    store, watch, _ = lived
    with store.read(SYSTEM) as tx:
        assert tx.get(schema.HEADS, ("north",)) is not None
    for sql in ("SELECT body FROM contents", "DELETE FROM tail WHERE tenant='north'"):
        with pytest.raises(sqlite3.DatabaseError, match="prohibited"):
            watch.raws[-1].execute(sql)


class LeakyStore(MemoryStore):
    """A store that forgets what its transactions are bound to."""

    def read(self, view: Any) -> Any:
        return super().read(SYSTEM)

    def write(self, view: Any) -> Any:
        return super().write(SYSTEM)


@pytest.mark.parametrize("check", [check_reads_are_bound, check_writes_are_bound, check_store])
def test_a_store_that_is_not_bound_does_not_pass_the_public_checks(check):
    with pytest.raises(AssertionError, match=r"ScopeViolation was not raised|got .* wanted"):
        check(LeakyStore)


# ------------------------------------------------------------ two tenants, three subjects


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def filled(request, tmp_path_factory):
    """A store with two tenants of three subjects, and what it holds, table by table."""
    path = tmp_path_factory.mktemp("filled") / "two.db"
    store = MemoryStore() if request.param == "memory" else SQLiteStore(path)
    for seed, tenant in enumerate(("north", "south")):
        memory = open_memory(store, tenant, seed)
        for who in PEOPLE:
            live(memory, who[5:])
    with store.read(SYSTEM) as tx:
        held = {table.name: list(tx.scan(table, ())) for table in schema.TABLES}
    yield store, held, people_of(store)
    store.close()


def reached(view: Any, table: Any, row: Any, number: int, asked: tuple[str, ...]) -> bool:
    if "tenant" not in FIELDS[table.name]:
        return True
    if row.tenant != view.tenant:
        return False
    if view.subject is None or "subject" not in FIELDS[table.name]:
        return True
    return row.subject == number or (row.subject == 0 and "subject" in asked)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_of_another_comes_out_of_a_bound_transaction(filled, data):
    store, held, people = filled
    tenant = data.draw(st.sampled_from(("north", "south")))
    name = data.draw(st.sampled_from((None, *PEOPLE, "user:nobody")))
    view = tenant_view(tenant)
    if name is not None:
        view = open_view(Scope(tenant=tenant, subject=name), now=NOW)
    number = people.get((tenant, str(name)), -1)
    table = data.draw(st.sampled_from([item for item in schema.TABLES if held[item.name]]))
    index = data.draw(st.sampled_from((None, *table.indexes)))
    columns = table.columns_of(index)
    model = data.draw(st.sampled_from(held[table.name]))
    depth = data.draw(st.integers(0, len(columns)))
    prefix = tuple(getattr(model, column) for column in columns[:depth])
    options: dict[str, Any] = {"index": index, "reverse": data.draw(st.booleans())}
    if depth < len(columns):
        values = sorted({getattr(row, columns[depth]) for row in held[table.name]})
        for bound in ("start", "stop"):
            options[bound] = data.draw(st.none() | st.sampled_from(values))
    limit = data.draw(st.none() | st.integers(0, 4))
    with store.read(SYSTEM) as tx:
        free = list(tx.scan(table, prefix, **options))
    try:
        with store.read(view) as tx:
            rows = list(tx.scan(table, prefix, limit=limit, **options))
    except ScopeViolation:
        # Only where somebody else was asked for.
        assert not reached(view, table, model, number, columns[:depth])
        return
    wanted = [row for row in free if reached(view, table, row, number, columns[:depth])]
    assert rows == wanted[:limit]


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_key_of_another_is_answered(filled, data):
    store, held, people = filled
    name = data.draw(st.sampled_from(PEOPLE))
    view = open_view(Scope(tenant="north", subject=name), now=NOW)
    table = data.draw(st.sampled_from([item for item in schema.TABLES if held[item.name]]))
    row = data.draw(st.sampled_from(held[table.name]))
    own = reached(view, table, row, people["north", name], table.columns_of(None))
    with store.read(view) as tx:
        try:
            found = tx.get(table, table.key_of(row))
        except ScopeViolation:
            found = None
    assert found == (row if own else None)


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_a_name_that_gets_its_number_within_a_transaction_is_found_by_it(engine, tmp_path):
    store = MemoryStore() if engine == "memory" else SQLiteStore(tmp_path / f"{next(numbers)}.db")
    view = open_view(Scope(tenant="north", subject="user:new"), now=NOW)
    page = schema.empty_page("north", 1, 0)
    with store.read(view) as tx:
        assert list(tx.scan(schema.PAGES, ())) == []
    with store.write(tenant_view("north")) as tx:
        tx.insert(schema.PAGES, [page])
        tx.insert(schema.SUBJECTS, [schema.Subject("north", 1, "user:new")])
    with store.read(view) as tx:
        assert list(tx.scan(schema.PAGES, ())) == [page]
    store.close()
