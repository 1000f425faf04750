"""A small world around a vault: seeded ports, and verbs that build the changes."""

from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from mnemos.kernel import schema, segments
from mnemos.kernel.branches import NOW, ancestry
from mnemos.kernel.changes import (
    Add,
    Amend,
    Changes,
    Forget,
    Fork,
    MergeBranch,
    NoteRead,
    Revert,
    Rollback,
    SetPolicy,
    SetRule,
    Snapshot,
    Transition,
    Update,
)
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import ALL_STATES, open_view
from mnemos.kernel.keys import index_text
from mnemos.kernel.pages import PageCache, Wanted
from mnemos.kernel.upkeep import compaction
from mnemos.kernel.vault import Staged, Vault
from mnemos.stores.memory import MemoryStore
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Header, Scope, State, Text

settings.register_profile(
    "mnemos", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mnemos")


class World:
    """A vault, and what a test wants to do to it in one line."""

    def __init__(self, store: Any, *, seed: int = 0, embedder: HashEmbedder | None = None) -> None:
        self.store = store
        self.clock = SimClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.ids = SeededIds(seed)
        self.vault = Vault(store, clock=self.clock, ids=self.ids, entropy=SeededEntropy(seed))
        self.embedder = embedder
        self.space = self.vault.use(embedder) if embedder is not None else None

    def scope(self, subject: str = "ana") -> Scope:
        return Scope(tenant="t", subject=subject)

    def draft(self, text: Any, *, state: State = State.ACTIVATED, **header: Any) -> Draft:
        payload = Text(text=text) if isinstance(text, str) else text
        return Draft(payload=payload, header=Header(**header), state=state)

    def staged(
        self,
        *changes: Any,
        subject: str = "ana",
        actor: str = "owner",
        branch: int = schema.MAIN,
        bases: Any = (),
    ) -> Staged:
        vectors = [self.vector(change) for change in changes]
        given = Changes(
            scope=self.scope(subject),
            changes=tuple(changes),
            actor=actor,
            branch=branch,
            bases=dict(bases),
        )
        return Staged(given, vectors, self.space)

    def vector(self, change: Any) -> bytes | None:
        draft = getattr(change, "draft", None)
        if self.embedder is None or draft is None:
            return None
        text = index_text(draft.header, draft.payload)
        return self.embedder.embed([text])[0].astype("<f4").tobytes() if text else None

    def commit(self, *changes: Any, **where: Any) -> Any:
        """Commit changes; ``where``: subject, actor, branch, bases."""
        return self.vault.commit([self.staged(*changes, **where)])[0]

    def add(
        self,
        text: Any,
        *,
        subject: str = "ana",
        branch: int = schema.MAIN,
        replace: bool = False,
        state: State = State.ACTIVATED,
        **header: Any,
    ) -> str:
        draft = self.draft(text, state=state, **header)
        made = Add(id=self.ids.fresh(), draft=draft, replace=replace)
        return self.commit(made, subject=subject, branch=branch).ids[0]

    def update(
        self,
        id: str,
        text: Any,
        *,
        subject: str = "ana",
        branch: int = schema.MAIN,
        state: State = State.ACTIVATED,
        expected: int | None = None,
        **header: Any,
    ) -> Any:
        draft = self.draft(text, state=state, **header)
        made = Update(id=id, draft=draft, expected=expected)
        return self.commit(made, subject=subject, branch=branch)

    def move(self, id: str, state: State, **where: Any) -> Any:
        return self.commit(Transition(id=id, state=state), **where)

    def amend(self, id: str, *, branch: int = schema.MAIN, **fields: Any) -> Any:
        return self.commit(Amend(id=id, fields=fields), branch=branch)

    def revert(self, id: str, version: int, **where: Any) -> Any:
        return self.commit(Revert(id=id, version=version), **where)

    def forget(self, *ids: str, sources: bool = False, **where: Any) -> Any:
        return self.commit(*(Forget(id=id, sources=sources) for id in ids), **where)

    def snapshot(self, name: str, *, at: int | None = None, **where: Any) -> Any:
        return self.commit(Snapshot(id=self.ids.fresh(), name=name, at=at), **where)

    def fork(self, name: str, *, at: int | None = None, **where: Any) -> int:
        """Begin a branch; return its number."""
        return self.commit(Fork(id=self.ids.fresh(), name=name, at=at), **where).seq

    def rollback(self, to: int, **where: Any) -> Any:
        return self.commit(Rollback(id=self.ids.fresh(), to=to), **where)

    def merge(self, branch: int, *, into: int = schema.MAIN, resolve: Any = ()) -> Any:
        made = MergeBranch(id=self.ids.fresh(), branch=branch, resolve=dict(resolve))
        return self.commit(made, branch=into)

    def policy(self, kind: Any, policy: Any, *, everywhere: bool = False, **where: Any) -> Any:
        made = SetPolicy(id=self.ids.fresh(), kind=kind, policy=policy, everywhere=everywhere)
        return self.commit(made, **where)

    def rule(
        self, sort: str, name: str, value: Any, *, everywhere: bool = False, **where: Any
    ) -> Any:
        made = SetRule(
            id=self.ids.fresh(), sort=sort, name=name, value=value, everywhere=everywhere
        )
        return self.commit(made, **where)

    def noted(self, **value: Any) -> Any:
        return self.commit(NoteRead(id=self.ids.fresh(), value=value))

    def compact(self, subject: str = "ana", branch: int = schema.MAIN, **how: Any) -> int:
        """Compact a page until nothing is left to do, or once with ``most``; return what moved."""
        moved = 0
        while True:
            with self.store.write(SYSTEM) as tx:
                page = tx.get(schema.PAGES, self.key(subject, branch, tx))
                if page is None:
                    return moved
                now = compaction.compact(tx, page, **how)[1]
            moved += now
            if how or not now:
                return moved

    def view(self, subject: str = "ana", **how: Any) -> Any:
        how.setdefault("states", ALL_STATES)
        return open_view(self.scope(subject), now=how.pop("now", self.clock.now()), **how)

    @contextmanager
    def reader(self, subject: str = "ana", *, staged: Any = (), **how: Any) -> Any:
        with self.vault.reader(self.view(subject, **how), staged) as reader:
            yield reader

    def texts(self, subject: str = "ana", **how: Any) -> list[str]:
        with self.reader(subject, **how) as reader:
            return [cube.text for cube in reader.list()]

    def rows(self, table: Any, *prefix: Any) -> list[Any]:
        with self.store.read(SYSTEM) as tx:
            return list(tx.scan(table, prefix))

    def everything(self) -> dict[str, list[Any]]:
        with self.store.read(SYSTEM) as tx:
            return {table.name: list(tx.scan(table, ())) for table in schema.TABLES}

    def head(self, tenant: str = "t") -> Any:
        with self.store.read(SYSTEM) as tx:
            return tx.get(schema.HEADS, (tenant,))

    def key(
        self, subject: str = "ana", branch: int = schema.MAIN, tx: Any = None
    ) -> tuple[str, int, int]:
        if tx is None:
            with self.store.read(SYSTEM) as tx:
                return self.key(subject, branch, tx)
        (found,) = tx.scan(schema.SUBJECTS, ("t", subject), index="name")
        return ("t", found.subject, branch)

    def page(self, subject: str = "ana", branch: int = schema.MAIN) -> Any:
        (page,) = self.rows(schema.PAGES, *self.key(subject, branch))
        return page

    def load(
        self,
        subject: str = "ana",
        cache: PageCache | None = None,
        *,
        branch: int = schema.MAIN,
        moment: int = NOW,
    ) -> Any:
        cache = cache if cache is not None else PageCache()
        with self.store.read(SYSTEM) as tx:
            number = self.key(subject, branch, tx)[1]
            return cache.load(tx, self.wanted(tx, number, branch, moment))

    def wanted(self, tx: Any, subject: int, branch: int = schema.MAIN, moment: int = NOW) -> Wanted:
        """Return what a reader of a branch at a moment asks of a page cache."""
        lines = ancestry(tx, "t", subject, branch, moment)
        space = self.space
        number, dim = (space.space, space.dim) if space else (None, 0)
        return Wanted("t", subject, lines, number, dim)

    def found(self, needle: bytes) -> list[str]:
        """Return the tables in which any value holds these bytes."""
        return [
            name
            for name, rows in self.everything().items()
            if any(needle in _bytes(value) for row in rows for value in row)
        ]


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else b""


@pytest.fixture(scope="session")
def make_store(tmp_path_factory):
    """Makes new stores of either engine."""
    folder = tmp_path_factory.mktemp("stores")
    numbers = count()
    made = []

    def make(engine="memory", **options):
        store = (
            MemoryStore()
            if engine == "memory"
            else SQLiteStore(folder / f"{next(numbers)}.db", **options)
        )
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture(scope="session")
def make_world(make_store):
    """Makes new worlds; ``store`` reopens one."""

    def make(engine="memory", *, seed=0, embedder=None, store=None, **options):
        return World(store or make_store(engine, **options), seed=seed, embedder=embedder)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def engine(request):
    return request.param


@pytest.fixture
def world(make_world, engine):
    """A fresh world with vectors, on each engine."""
    return make_world(engine, embedder=HashEmbedder(16))


@pytest.fixture(scope="module")
def small_segments():
    """Makes pages seal after two rows and join into five, instead of hundreds."""
    from mnemos.kernel import pages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_ROWS", 5)
        patch.setattr(segments, "SEAL_ROWS", 2)
        patch.setattr(pages, "SEAL_ROWS", 2)
        patch.setattr(pages, "SEGMENT_ROWS", 5)
        yield
