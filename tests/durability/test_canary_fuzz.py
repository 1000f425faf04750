"""The tenant canary fuzz: no public call shows a principal a word it has no right to see.

Every value that is written holds a canary, a word that stands in one place only. A random walk calls
everything there is to call, as every principal, in two tenants on one store, while rights come and
go; whatever comes back, by an answer, a file or an error, is searched for canaries which the plain
model (:mod:`plain_grants`) does not allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from canary_calls import PRINCIPALS, SCOPES, Draws, Held
from plain_grants import OWNER, canaries, subject_of

from mnemos import Memory
from mnemos.errors import MnemosError
from mnemos.stores.memory import MemoryStore
from mnemos.stores.sqlite import SQLiteStore

PUBLIC = sorted(name for name in dir(Memory) if not name.startswith("_"))
OFTEN = {
    "search": 6, "context": 4, "get": 4, "get_all": 4, "history": 3, "add": 6, "add_many": 2,
    "grant": 8, "revoke_grant": 5, "set_group": 2, "view": 4, "diff": 2, "lineage": 2, "prov": 2,
    "export": 2, "log": 2, "reads": 2, "update": 3, "snapshot": 2, "set_redaction": 2,
    "begin": 3, "acting_as": 2, "quarantined": 2, "reveal": 2,
}  # fmt: skip
SELDOM = {
    "verify",
    "compact",
    "reembed",
    "backup",
    "run_jobs",
    "sweep",
    "delete_all",
    "restore_backup",
}
RULES = {"grant", "revoke_grant", "set_group", "set_redaction", "drop_redaction", "acting_as"}
"""Calls that change who may see what: not within a transaction, where they do not count yet."""
ERASING = {
    "forget",
    "delete",
    "delete_all",
    "reject",
    "sweep",
    "run_jobs",
    "begin",
    "import_archive",
}
WHOLE_FILE = {"backup", "verify"}
"""The file owner's, about all its tenants by design (docs/backups.md)."""
AT_ONCE = (
    "search", "context", "get_all", "get", "history", "lineage", "diff", "prov", "log", "reads",
    "export", "snapshots", "branches", "quarantined", "usage", "reveal",
)  # fmt: skip
"""What a principal tries in the moment after it lost a right."""


@dataclass
class Walk:
    """A random walk through the public calls, and what it saw.

    ``stand_in`` hands out the handle that is really called: for positive controls another one than
    the principal's own.
    """

    draws: Draws
    stand_in: Callable[[Held], Memory] = lambda held: held.memory
    calls: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    revocations: int = 0
    allowed: int = 0
    leaks: list[str] = field(default_factory=list)

    def seed(self) -> None:
        """Write what there is at the beginning, as the owners."""
        draws = self.draws
        for tenant in draws.owners:
            held = draws.pool[tenant, OWNER][0]
            for scope in SCOPES:
                for name in ("add", "add", "add", "add_many", "snapshot", "branch"):
                    args, words = self.drawn(held, name)
                    left = {"user_id", "agent_id", "derived_from"}
                    given = {key: item for key, item in words.items() if key not in left}
                    self.call(held, name, (args, given | scope))

    def run(self, calls: int) -> None:
        """Make so many calls."""
        draws = self.draws
        weights = [OFTEN.get(name, 0.15 if name in SELDOM else 1) for name in PUBLIC]
        while self.calls.total() < calls:
            tenant = draws.rng.choice(sorted(draws.owners))
            who = OWNER if draws.chance(0.25) else draws.rng.choice(PRINCIPALS)
            (name,) = draws.rng.choices(PUBLIC, weights)
            if name in RULES | {"snapshot", "branch", "archive", "quarantine"} and draws.chance(
                0.5
            ):
                who = OWNER
            held = draws.rng.choice(draws.pool[tenant, who])
            if draws.chance(0.05):
                draws.clock.advance(minutes=1)
            self.call(held, name)

    def call(self, held: Held, name: str, drawn: Any = None, given: set[str] | None = None) -> Any:
        """Make one call, look at everything that came of it, and tell the model."""
        draws = self.draws
        self.calls[name] += 1
        with draws.as_holder(held):
            args, words = drawn or self.drawn(held, name)
            said = canaries(args, words, draws.extra) | (given or set())
            result: Any = None
            try:
                result = self._made(held, name, args, words, said)
            except MnemosError as error:
                self.look(held, name, said, error)
            else:
                self.succeeded[name] += 1
                if name not in WHOLE_FILE:
                    self.look(held, name, said, result)
                getattr(draws, f"after_{name}", lambda *_: None)(args, words, result)
                self._follow_rules(held, name, args, words)
        return result

    def drawn(self, held: Held, name: str) -> Any:
        """Return arguments for a call through a handle."""
        draws = self.draws
        draws.extra, draws.out = "", draws.folder / "none"
        with draws.as_holder(held):
            return getattr(draws, name)()

    def _made(self, held: Held, name: str, args: Any, words: Any, said: set[str]) -> Any:
        memory = self.stand_in(held)
        if name == "begin":
            return self._transaction(memory, held, said)
        if name == "principal":
            return memory.principal
        if name == "close" and held.who == OWNER and held.subject is None:
            return None  # the vault itself stays open
        return getattr(memory, name)(*args, **words)

    def _transaction(self, memory: Memory, held: Held, said: set[str]) -> None:
        with memory.begin() as tx:
            inside = replace(held, memory=tx)
            for _ in range(self.draws.rng.randint(1, 4)):
                inner = self.draws.rng.choice(PUBLIC)
                if inner not in RULES | SELDOM | {"begin", "view", "branch", "close"}:
                    drawn = self.drawn(inside, inner)
                    said |= canaries(drawn, self.draws.extra)
                    self._inside(inside, inner, drawn, said)

    def _inside(self, inside: Held, name: str, drawn: Any, said: set[str]) -> None:
        keep = self.stand_in
        self.stand_in = lambda held: held.memory
        try:
            self.call(inside, name, drawn, said)
        finally:
            self.stand_in = keep

    def look(self, held: Held, name: str, said: set[str], seen: Any) -> None:
        """Search what came back for canaries that this principal may not see."""
        draws = self.draws
        written = draws.out.is_file() and name != "ingest"
        files = draws.out.read_text(errors="replace") if written else ""
        found = canaries(None if isinstance(seen, Memory) else seen, files) - said
        now = draws.clock.now()
        for word in found:
            rows = [row for row in draws.carriers.get(word, ()) if row.tenant == held.tenant]
            if any(draws.rights[held.tenant].may_see(held.who, row, now) for row in rows):
                self.allowed += 1
            else:
                rows = sorted(map(str, draws.carriers.get(word, ())))
                self.leaks.append(f"{name} as {held.who} of {held.tenant}: {word} of {rows}")

    def _follow_rules(self, held: Held, name: str, args: Any, words: Any) -> None:
        draws, rights = self.draws, self.draws.rights[held.tenant]
        if name in ERASING or name in ("set_redaction", "drop_redaction"):
            owner = draws.owners[held.tenant]  # a subject's rules go with its last memory
            for scope in SCOPES:
                rule = owner.redaction(**scope)
                rights.masks[subject_of(scope, None)] = rule.mode if rule else ""
        if name in ("revoke_grant", "set_group"):
            self.revocations += 1
            subject = subject_of(words, held.subject)
            for who in draws.rng.sample(PRINCIPALS, 2):
                self.at_once(held.tenant, who, subject)

    def at_once(self, tenant: str, who: str, subject: str) -> None:
        """Try to read in the moment after a right was taken back, through every handle there is."""
        draws = self.draws
        kind, _, name = subject.partition(":")
        scope = {f"{kind}_id": name} if name else {}
        place = (tenant, subject)
        told = [item for item in draws.told if (item.row.tenant, item.row.subject) == place]
        by_id = ("get", "history", "lineage", "usage", "reveal", "prov")
        for held in draws.pool[tenant, who][:2]:
            for call in draws.rng.sample(AT_ONCE, 4):
                args, words = self.drawn(held, call)
                if told and args and call in by_id:
                    args, words = (draws.rng.choice(told).id,), {}
                elif call not in by_id:
                    words = {**words, "user_id": None, "agent_id": None, **scope}
                self.call(held, call, (args, words))

    def report(self) -> str:
        """Return what was done, as figures."""
        each = sorted(self.calls.items())
        counted = ", ".join(f"{name} {self.succeeded[name]}/{n}" for name, n in each)
        return (
            f"{self.calls.total()} calls, {self.succeeded.total()} succeeded, {self.revocations} times "
            f"rights were taken back, {len(self.draws.carriers)} canaries, {self.allowed} allowed "
            f"sights, {len(self.leaks)} leaks\n{counted}"
        )


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """One store for all tenants."""
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "vault.db")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the calls write their files."""
    made = tmp_path / "out"
    made.mkdir()
    return made


def walk(store: Any, folder: Path, calls: int, *, seed: int = 1, **options: Any) -> Walk:
    """Seed a store, walk, and return what was seen."""
    made = Walk(Draws(store, folder, seed), **options)
    made.seed()
    made.run(calls)
    return made


def test_the_fuzz_knows_every_public_call() -> None:
    assert set(PUBLIC) - vars(Draws).keys() == set()


def test_no_call_shows_a_canary_of_somebody_else(store: Any, folder: Path) -> None:
    found = walk(store, folder, 2_000)
    assert found.leaks == [], found.report()
    assert found.allowed > 500
    assert found.revocations >= 10
    for owner in found.draws.owners.values():
        assert owner.verify().problems == []


@pytest.mark.parametrize("control", ["an owner in place of a principal", "another tenant"])
def test_where_rights_are_not_checked_canaries_are_found(folder: Path, control: str) -> None:
    def owner(held: Held) -> Memory:
        return found.draws.owners[held.tenant] if held.who != OWNER else held.memory

    def other(held: Held) -> Memory:
        tenant = "south" if held.tenant == "north" else "north"
        return found.draws.pool[tenant, held.who][0].memory if held.subject is None else held.memory

    draws = Draws(MemoryStore(), folder, 1)
    found = Walk(draws)
    found.seed()
    found.stand_in = owner if control.startswith("an owner") else other
    found.run(400)
    assert len(found.leaks) > 20
    assert {leak.split()[0] for leak in found.leaks} > {"search", "get_all"}


@pytest.mark.slow
def test_no_call_of_thirty_thousand_shows_a_canary_of_somebody_else(
    store: Any, folder: Path
) -> None:
    found = walk(store, folder, 15_000, seed=2)
    print(found.report())
    assert found.leaks == []
    for owner in found.draws.owners.values():
        assert owner.verify().problems == []
