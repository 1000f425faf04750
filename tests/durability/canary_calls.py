"""Every public call with drawn arguments, valid and hostile, and what the plain model learns of it.

A method of :class:`Draws` has the name of a call and returns its arguments; ``after_<name>`` is told
of one that succeeded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from plain_grants import (
    CANARY,
    OWNER,
    ROLES,
    Given,
    Rights,
    Row,
    Told,
    canaries,
    strings,
    subject_of,
)

from mnemos import Draft, Header, Kind, Memory, Receipt, Text
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

KINDS = ("turn", "turn", "fact", "fact", "profile", "instruction")
LABELS = ("health", "money")
SCOPES: tuple[dict[str, str], ...] = (
    {"user_id": "ana"},
    {"user_id": "ben"},
    {"agent_id": "scout"},
    {"user_id": "ana", "agent_id": "scout"},
)
PRINCIPALS = ("user:ana", "user:ben", "user:cleo", "agent:scout", "service:audit")
GROUPS = ("group:crew", "group:all")
STATES = ("activated", "archived", "superseded", "merged", "expired", "quarantined", "generated")
MAIL = re.compile(rf"({CANARY.pattern})@sea\.org")
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Held:
    """A handle, whose it is, and what it is bound to, if anything."""

    memory: Memory
    tenant: str
    who: str
    subject: str | None = None
    agent: str | None = None


class Draws:
    """Two tenants on one store, the plain model of their rights, and a source of arguments."""

    def __init__(self, store: Any, folder: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = SimClock()
        self.folder = folder
        self.key = folder / "key"
        self.key.write_bytes(bytes(range(32)))
        self.rights = {tenant: Rights() for tenant in ("north", "south")}
        self.carriers: dict[str, set[Row]] = {}
        self.told: list[Told] = []
        self.names: list[tuple[Row, str]] = []
        self.archived: list[str] = []
        self.waiting: list[str] = []
        self.grant_ids: list[tuple[str, str, str | None]] = []
        self.extra = ""
        self.out = folder / "none"
        self.files = 0
        self.exports: dict[str, list[Path]] = {tenant: [] for tenant in self.rights}
        self.owners = {
            tenant: Memory(
                store=store,
                tenant=tenant,
                embedder=HashEmbedder(8),
                clock=self.clock,
                ids=SeededIds(f"{tenant}{seed}"),
                entropy=SeededEntropy(f"{tenant}{seed}"),
                background="off",
                seal_key=self.key,
            )
            for tenant in self.rights
        }
        self.held = Held(self.owners["north"], "north", OWNER)
        self.pool = {
            (tenant, who): [Held(memory if who == OWNER else memory.acting_as(who), tenant, who)]
            for tenant, memory in self.owners.items()
            for who in (OWNER, *PRINCIPALS)
        }

    # --------------------------------------------------------------------------- drawing

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def fresh(self) -> str:
        return f"kz{self.rng.getrandbits(40):010x}zk"

    def bait(self) -> str:
        return self.rng.choice(sorted(self.carriers)) if self.carriers else self.fresh()

    def words(self) -> str:
        letters = "abdefgilmnoprstu"
        return " ".join("".join(self.rng.choices(letters, k=6)) for _ in range(8))

    def text(self) -> str:
        mail = f" {self.fresh()}@sea.org" if self.chance(0.4) else ""
        return f"{self.words()} {self.fresh()}{mail}"

    def scope(self, *, none: float = 0.15) -> dict[str, Any]:
        if self.chance(0.5 if self.held.subject else none):
            return {}
        return dict(self.rng.choice((*SCOPES, *SCOPES, {"user_id": "zoe"})))

    def id(self) -> str:
        """Return an id: mostly one of the tenant's own, sometimes another's, or nobody's."""
        pick = self.rng.choice(self.told) if self.told else None
        for _ in range(6):
            if pick and not self._is_mine(pick.row) and self.chance(0.85):
                pick = self.rng.choice(self.told)
        return pick.id if pick and self.chance(0.98) else "f" * 32

    def _is_mine(self, row: Row) -> bool:
        held, rights = self.held, self.rights[self.held.tenant]
        ours = row.tenant == held.tenant and held.subject in (None, row.subject)
        return ours and rights.may_see(held.who, row, self.clock.now())

    def name(self) -> str:
        return self.rng.choice(self.names)[1] if self.names and self.chance(0.9) else self.bait()

    def moment(self) -> Any:
        return self.rng.choice((None, "#3", "2026-01-01T12:00", self.name(), f"#{len(self.told)}"))

    def query(self) -> str:
        if self.chance(0.25) or not self.told:
            return self.bait()
        return self.rng.choice(self.told).words

    def filters(self) -> Any:
        key = self.rng.choice(("metadata.note", "source", "speaker", "external_id", "run_id"))
        one = self.rng.choice(({key: self.bait()}, {"tags": {"contains": self.bait()}}, {}))
        return self.rng.choice((None, None, one, {"NOT": one} if one else None))

    def path(self, name: str = "out") -> Path:
        self.files += 1
        self.out = self.folder / f"{name}-{self.files}"
        return self.out

    def of(self, id: str) -> Told | None:
        return next((item for item in self.told if item.id == id), None)

    def by_id(self, *more: Any, **words: Any) -> Arguments:
        scope = self.scope() if self.chance(0.2) else {}
        return (self.id(), *more), {**scope, **words}

    def header(self) -> dict[str, Any]:
        access = self.rng.sample((*PRINCIPALS, *GROUPS), 2) if self.chance(0.25) else []
        return {
            "kind": self.rng.choice(KINDS),
            "tags": [self.fresh()],
            "metadata": {"note": self.fresh(), "deep": [{"er": self.fresh()}]},
            "source": f"https://sea.org/{self.fresh()}",
            "external_id": self.bait() if self.chance(0.1) else self.fresh(),
            "sensitivity": self.rng.choice((None, None, *LABELS)),
            "access": access,
        }

    # ----------------------------------------------------------------------- what is known

    def carry(self, row: Row, *values: Any) -> None:
        """Note that a row carries every canary in some values."""
        mails = {word for text in strings(values) for word in MAIL.findall(text)}
        mode = self.rights[row.tenant].mode(row.subject)
        how = {"mask": "gone", "vault": "vaulted"}.get(mode, "open")
        for word in canaries(*values):
            made = replace(row, mail=how) if word in mails else row
            self.carriers.setdefault(word, set()).add(made)

    def row(self, scope: dict[str, Any], header: dict[str, Any]) -> Row:
        subject = subject_of(scope, self.held.subject)
        return Row(
            tenant=self.held.tenant,
            subject=subject,
            kind=header.get("kind", "turn"),
            label=header.get("sensitivity"),
            access=frozenset(header.get("access", ())),
            owner=self.held.who,
            agent=self.agent_of(scope),
            run=scope.get("run_id"),
        )

    def agent_of(self, scope: dict[str, Any]) -> str | None:
        if scope.get("user_id") or scope.get("agent_id"):
            return scope.get("agent_id") if scope.get("user_id") else None
        return self.held.agent

    def learn(self, row: Row, result: Receipt, *values: Any) -> None:
        self.carry(row, *values)
        words = CANARY.sub(
            "", " ".join(text for text in strings(values) if text.count(" ") > 6)
        ).replace("@sea.org", "")
        known = {item.id for item in self.told[-200:]}
        self.told += [Told(id, row, words) for id in result.ids if id not in known]

    def follow(self, id: str, result: Receipt, *values: Any) -> None:
        """Note words written in the place of a memory: whoever may see them must reach it."""
        before = self.of(id)
        if before is not None:
            whole = self._is_whole(before.row.subject)
            row = before.row if whole else replace(before.row, owner=self.held.who)
            self.learn(row, result, *values)

    @contextmanager
    def as_holder(self, held: Held) -> Iterator[None]:
        before, self.held = self.held, held
        try:
            yield
        finally:
            self.held = before

    # -------------------------------------------------------------------------- writing

    def add(self) -> Arguments:
        words = {**self.header(), **self.scope(none=0.02)}
        run = self.rng.choice((None, "r1", "r2", f"run-{self.fresh()}"))
        derived = [self.id()] if self.chance(0.08) else []
        conflict = self.rng.choice(("error", "update"))
        role = self.rng.choice(("user", "assistant", "tool"))
        message = {"role": role, "content": self.text(), "name": self.fresh()}
        more = {"run_id": run, "derived_from": derived, "on_conflict": conflict}
        return (message,), {**words, **more}

    def after_add(self, args: Any, words: Any, result: Any) -> None:
        self.learn(self.row(words, words), result, args, words)

    def add_many(self) -> Arguments:
        header = self.header()
        draft = Draft(
            payload=Text(text=self.text()),
            header=Header(
                kind=Kind(header["kind"]),
                speaker=self.fresh(),
                caption=self.fresh(),
                tags=(self.fresh(),),
                entities=(self.fresh(),),
                external_id=header["external_id"],
                sensitivity=header["sensitivity"],
                access=tuple(header["access"]),
                owner=self.rng.choice((None, "user:cleo")),
            ),
        )
        return ([draft],), self.scope(none=0.02)

    def after_add_many(self, args: Any, words: Any, result: Any) -> None:
        header = args[0][0].header
        said = {"kind": header.kind.value, "sensitivity": header.sensitivity}
        row = self.row(words, {**said, "access": header.access})
        owner = row.owner if not self._is_whole(row.subject) else header.owner
        self.learn(replace(row, owner=owner, agent=header.agent_id), result, args)

    def _is_whole(self, subject: str) -> bool:
        return self.held.who in (OWNER, subject)

    def ingest(self) -> Arguments:
        self.extra = json.dumps({"role": "user", "content": self.text(), "name": self.fresh()})
        path = self.path("talk").with_suffix(".jsonl")
        path.write_text(self.extra + "\n")
        return (path,), self.scope(none=0.02)

    def after_ingest(self, args: Any, words: Any, result: Any) -> None:
        self.learn(self.row(words, {}), result, json.loads(self.extra))

    def add_tool_output(self) -> Arguments:
        said = self.fresh()
        schema = {"type": "object", "properties": {"sea": {"enum": [said]}}}
        words = {"tool": "radar", "source": self.fresh(), **self.scope(none=0.02)}
        return ({"sea": said, "note": self.fresh()}, schema), words

    def after_add_tool_output(self, args: Any, words: Any, result: Any) -> None:
        said = (args[0]["sea"], words)
        self.learn(self.row(words, {"kind": "event"}), result, said)

    def update(self) -> Arguments:
        metadata = {"metadata": {"note": self.fresh()}} if self.chance(0.3) else {}
        return self.by_id(self.text(), **metadata)

    def after_update(self, args: Any, words: Any, result: Any) -> None:
        self.follow(args[0], result, args, words)

    def supersede(self) -> Arguments:
        return self.by_id(self.text())

    after_supersede = after_update

    contradict, after_contradict = supersede, after_update

    def consolidate(self) -> Arguments:
        first = self.of(self.id())
        place = (first.row.tenant, first.row.subject) if first else None
        same = [item.id for item in self.told if (item.row.tenant, item.row.subject) == place]
        ids = self.rng.sample(same, 2) if len(same) > 1 else [self.id(), self.id()]
        return (ids, self.text()), {}

    def after_consolidate(self, args: Any, words: Any, result: Any) -> None:
        first = self.of(args[0][0])
        if first is not None:
            row = Row(self.held.tenant, first.row.subject, "summary", owner=self.held.who)
            self.learn(row, result, args)

    def revert(self) -> Arguments:
        return self.by_id(self.rng.randint(1, 2))

    def approve(self) -> Arguments:
        args, words = self.by_id()
        chosen = (self.rng.choice(self.waiting),) if self.waiting and self.chance(0.5) else args
        return chosen, {**words, "as_data": self.chance(0.5)}

    def revoke(self) -> Arguments:
        what = self.rng.choice(({"source": "https://sea.org/kz0*"}, {"origin": "tool"}))
        return (), {**what, **self.scope()}

    def delete_all(self) -> Arguments:
        run = {"run_id": self.rng.choice(("r1", "r2"))} if self.chance(0.8) else {}
        return (), {**self.scope(), **run, "dry_run": self.chance(0.7)}

    def forget(self) -> Arguments:
        how = self.rng.random()
        if how < 0.6:
            return self.by_id(dry_run=self.chance(0.6))
        if how < 0.8:
            words = {"query": self.query(), "top_k": 2}
            return (), {**words, **self.scope(), "dry_run": self.chance(0.8)}
        return (), {"source": self.bait(), **self.scope()}

    # ------------------------------------------------------------------------- looking

    def search(self) -> Arguments:
        states = self.rng.choice((None, None, STATES))
        words = {"top_k": self.rng.choice((3, 50)), "filters": self.filters(), "states": states}
        return (self.query(),), {**self.scope(), **words}

    def context(self) -> Arguments:
        return (self.query(),), {**self.scope(), "filters": self.filters(), "budget": 900}

    def get(self) -> Arguments:
        return self.by_id(states=self.rng.choice((None, STATES)))

    def get_all(self) -> Arguments:
        after = self.id() if self.chance(0.1) else None
        words = {"filters": self.filters(), "states": self.rng.choice((None, STATES))}
        return (), {**self.scope(), **words, "after": after, "limit": 40}

    def prov(self) -> Arguments:
        how = (self.id(),) if self.chance(0.5) else ()
        return how, {**({} if how else self.scope()), "text": self.chance(0.7)}

    def log(self) -> Arguments:
        id = self.id() if self.chance(0.2) else None
        return (), {**self.scope(), "id": id, "newest_first": self.chance(0.5)}

    def diff(self) -> Arguments:
        branch = self.name() if self.chance(0.3) else None
        return (self.moment(), self.moment()), {**self.scope(), "branch_b": branch}

    def reveal(self) -> Arguments:
        return self.by_id(key=self.rng.choice((None, self.key)))

    def reads(self) -> Arguments:
        who = self.rng.choice((None, *PRINCIPALS))
        return (), {**self.scope(), "principal": who, "newest_first": self.chance(0.5)}

    def drop_reads(self) -> Arguments:
        return (), {**self.scope(), "older_than": "30d"}

    def export(self) -> Arguments:
        form = self.rng.choice(("archive", "markdown"))
        return (self.path("export"),), {**self.scope(), "format": form}

    def after_export(self, args: Any, words: Any, result: Any) -> None:
        if words["format"] == "archive":
            self.exports[self.held.tenant].append(args[0])

    def import_archive(self) -> Arguments:
        own = self.exports[self.held.tenant]
        every = [path for paths in self.exports.values() for path in paths]
        paths = own if self.held.who == OWNER else every
        return (self.rng.choice(paths[-3:]) if paths else self.folder / "none",), {}

    usage = by_id

    # ------------------------------------------------------------------ moments and lines

    def _named(self, name: str) -> Arguments:
        scope = self.scope()
        self._name(name, scope)  # a branch that is begun and may not be looked at has it too
        return (name,), scope

    def _name(self, name: str, scope: dict[str, Any]) -> None:
        row = self.row(scope, {})
        self.carry(replace(row, need="all"), name)
        self.names.append((row, name))

    def after_snapshot(self, args: Any, words: Any, result: Any) -> None:
        self._name(args[0], words)

    def snapshot(self) -> Arguments:
        return self._named(f"snap {self.fresh()}")

    def branch(self) -> Arguments:
        return self._named(f"line {self.fresh()}")

    def after_branch(self, args: Any, words: Any, result: Any) -> None:
        self._name(args[0], words)
        self.after_view(args, words, result)

    def view(self) -> Arguments:
        moment = self.moment() if self.chance(0.6) else None
        branch = self.name() if self.chance(0.5) else None
        return (), {**self.scope(none=0.05), "as_of": moment, "branch": branch}

    def after_view(self, args: Any, words: Any, result: Any) -> None:
        kept = self.pool[self.held.tenant, self.held.who]
        subject = subject_of(words, self.held.subject)
        made = replace(self.held, memory=result, subject=subject, agent=self.agent_of(words))
        kept[1:] = [*kept[1:][-4:], made]

    def drop_snapshot(self) -> Arguments:
        own = [item for item in self.names if item[0].tenant == self.held.tenant]
        if not own or self.chance(0.3):
            return (self.name(),), self.scope()
        row, name = self.rng.choice(own)
        kind, _, whose = row.subject.partition(":")
        return (name,), {f"{kind}_id": whose} if whose else {}

    merge = drop_snapshot

    def after_archive(self, args: Any, words: Any, result: Any) -> None:
        self.archived.append(args[0])

    def restore(self) -> Arguments:
        args, words = self.by_id()
        return ((self.rng.choice(self.archived),), {}) if self.archived else (args, words)

    def after_quarantine(self, args: Any, words: Any, result: Any) -> None:
        self.waiting.append(args[0])

    def reject(self) -> Arguments:
        args, words = self.by_id()
        return ((self.rng.choice(self.waiting),), {}) if self.waiting else (args, words)

    def rollback(self) -> Arguments:
        return (self.moment() or "#5",), self.scope()

    # --------------------------------------------------------------------------- rights

    def acting_as(self) -> Arguments:
        return (self.rng.choice(PRINCIPALS),), {"reason": f"because {self.fresh()}"}

    def after_acting_as(self, args: Any, words: Any, result: Any) -> None:
        for scope in SCOPES:
            self.carry(replace(self.row(scope, {}), need="admin"), words)
        made = replace(self.held, memory=result, who=args[0])
        self.pool[made.tenant, made.who][1:1] = [made]

    def grant(self) -> Arguments:
        what = self.rng.choice((*ROLES, "reader", "reader", "write", ["read", "share"]))
        everywhere = {"everywhere": True} if self.chance(0.08) else {}
        whole = self.chance(0.35)
        until = self.clock.now() + timedelta(minutes=self.rng.randint(1, 30))
        words = {
            "kinds": None if whole or self.chance(0.6) else ["fact"],
            "labels": "*" if whole else self.rng.choice(((), (), "health", ["health", "money"])),
            "run_id": None if whole or self.chance(0.8) else self.rng.choice(("r1", "r2")),
            "unmasked": whole or self.chance(0.15),
            "until": until if self.chance(0.3) else None,
        }
        name = self.rng.choice((*PRINCIPALS, *PRINCIPALS, *GROUPS))
        return (name, what), {**(everywhere or self.scope(none=0)), **words}

    def after_grant(self, args: Any, words: Any, result: Any) -> None:
        name, what = args
        verbs = ROLES.get(what, {what}) if isinstance(what, str) else what
        wide = words.get("everywhere", False)
        subject = None if wide else subject_of(words, self.held.subject)
        labels = words["labels"]
        kinds = words["kinds"]
        given = Given(
            id=result.id,
            subject=subject,
            principal=name,
            verbs=frozenset(verbs),
            by=self.held.who,
            kinds=frozenset(kinds) if kinds else None,
            agent=None if wide else self.agent_of(words),
            run=words["run_id"],
            labels=None
            if labels == "*"
            else frozenset([labels] if isinstance(labels, str) else labels),
            unmasked=words["unmasked"],
            until=words["until"],
        )
        self.rights[self.held.tenant].grants[given.id] = given
        self.grant_ids.append((self.held.tenant, given.id, subject))

    def revoke_grant(self) -> Arguments:
        mine = [item for item in self.grant_ids if item[0] == self.held.tenant]
        if not mine or self.chance(0.05):
            return ("e" * 32,), self.scope()
        _, id, subject = self.rng.choice(mine)
        kind, _, name = (subject or "").partition(":")
        return (id,), {f"{kind}_id": name} if name else {"everywhere": True}

    def after_revoke_grant(self, args: Any, words: Any, result: Any) -> None:
        self.rights[self.held.tenant].grants.pop(args[0], None)
        self.grant_ids = [item for item in self.grant_ids if item[1] != args[0]]

    def set_group(self) -> Arguments:
        return (self.rng.choice(GROUPS), self.rng.sample((*PRINCIPALS, "group:crew"), 2)), {}

    def after_set_group(self, args: Any, words: Any, result: Any) -> None:
        self.rights[self.held.tenant].groups[args[0]] = set(args[1])

    def set_redaction(self) -> Arguments:
        mode = self.rng.choice(("read", "read", "read", "vault", "mask"))
        everywhere = {"everywhere": True} if self.chance(0.2) else {}
        return (mode,), {"classes": "email", **(everywhere or self.scope())}

    def drop_redaction(self) -> Arguments:
        return (), {"everywhere": True} if self.chance(0.2) else self.scope()

    def set_audit(self) -> Arguments:
        return (self.rng.choice(("counted", "audited")),), self.scope()

    def set_intake(self) -> Arguments:
        return (), {"source": self.fresh(), "memories_per_hour": 9_999, **self.scope(none=0)}

    def after_set_intake(self, args: Any, words: Any, result: Any) -> None:
        self.carry(replace(self.row(words, {}), need="all"), words)

    def drop_intake(self) -> Arguments:
        return (), {"source": self.bait(), **self.scope()}

    def set_policy(self) -> Arguments:
        return ("turn",), {"capacity": 5_000, **self.scope()}

    # ------------------------------------------------------------------ the vault as a whole

    def backup(self) -> Arguments:
        return (self.path("copy"),), {}

    suppressions = checkpoint = backup

    def restore_backup(self) -> Arguments:
        return (str(self.folder / f"no {self.bait()}"), self.path("back")), {}

    def enqueue_job(self) -> Arguments:
        return ("nothing", {"most": 3}), self.scope()

    def register_job(self) -> Arguments:
        return (f"job-{self.rng.getrandbits(40)}", lambda work: None), {}

    def wait(self) -> Arguments:
        return (Receipt(verb="add", ids=(), seq=10**6, before=0),), {"timeout": 0}

    def retry_job(self) -> Arguments:
        return (self.rng.randint(1, 9),), {}

    drop_job = retry_job

    def watermark(self) -> Arguments:
        return (f"{self.words()} {self.bait()}",), {"key": self.key, "number": 7}

    def read_watermark(self) -> Arguments:
        return (self.bait(),), {"key": self.key}

    # ---------------------------------------------------- calls that take an id, a scope, nothing

    def _scoped(self) -> Arguments:
        return (), self.scope()

    def _nothing(self) -> Arguments:
        return (), {}

    quarantined = _scoped
    archive = delete = freeze = history = hold = lineage = quarantine = release = thaw = usage
    branches = budget = drop_policy = grants = intake = policies = read_counts = _scoped
    redaction = set_budget = snapshots = _scoped
    compact = groups = jobs = pause_jobs = reembed = resume_jobs = run_jobs = _nothing
    stats = sweep = verify = _nothing
    begin = close = principal = _nothing
