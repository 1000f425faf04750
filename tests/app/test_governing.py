"""Acting as somebody else, through the public calls: what each takes, and what is left without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnemos import Draft, Memory, Receipt, Text
from mnemos.errors import Forbidden, InvalidInput, MnemosError, NotFound
from mnemos.kernel.governance.grants import Verb
from mnemos.testing import SimClock

Open = Callable[..., Memory]
ANA = {"user_id": "ana"}
WHOLE: dict[str, Any] = {"labels": "*", "unmasked": True, "trust": 1.0}
TOOL = {"type": "object", "properties": {"celsius": {"type": "number"}}}


def shown(memory: Memory, **scope: Any) -> list[str]:
    """Return what is listed of Ana's, or nothing where that is forbidden."""
    try:
        return [cube.text for cube in memory.get_all(**(scope or ANA))]
    except Forbidden:
        return []


# --- every call, and the rights it takes -------------------------------------------------------


class Base:
    """A vault in which every call has something to do, and a folder for its files."""

    def __init__(self, memory: Memory, folder: Path) -> None:
        self.memory = memory
        self.folder = folder
        self.key = folder / "key"
        self.key.write_bytes(bytes(32))
        self.talk = folder / "talk.jsonl"
        self.talk.write_text(json.dumps({"role": "user", "content": "from a file"}))
        self.a, self.b = (memory.add(word, **ANA).id for word in ("one apple", "two pears"))
        self.archived = memory.add("three plums", **ANA).id
        memory.archive(self.archived)
        self.waits = memory.add("four figs", origin="tool", **ANA).id
        memory.quarantine(self.waits)
        memory.update(self.b, "two quinces")
        memory.snapshot("s", **ANA)
        memory.branch("b", **ANA).add("on the branch")
        memory.set_policy(ttl="900d", **ANA)
        memory.set_redaction("read", classes="email", **ANA)
        memory.set_intake(origin="import", quarantine=True, **ANA)
        memory.set_audit("audited", **ANA)

    def copy(self) -> Path:
        return self.folder / f"copy-{len(list(self.folder.iterdir()))}"


def draft() -> Draft:
    return Draft(payload=Text(text="drafted"))


READ: dict[str, Callable[[Memory, Base], object]] = {
    "search": lambda m, b: m.search("apple", **ANA),
    "context": lambda m, b: m.context("apple", **ANA),
    "get": lambda m, b: m.get(b.a),
    "get_all": lambda m, b: m.get_all(**ANA),
    "history": lambda m, b: m.history(b.b),
    "quarantined": lambda m, b: m.quarantined(**ANA),
    "reveal": lambda m, b: m.reveal(b.a, key=b.key),
    "lineage": lambda m, b: m.lineage(b.b),
    "prov": lambda m, b: m.prov(b.b, text=True),
    "diff": lambda m, b: m.diff("s", **ANA),
    "log": lambda m, b: m.log(**ANA),
    "view": lambda m, b: m.view(as_of="s", **ANA).get_all(),
    "snapshots": lambda m, b: m.snapshots(**ANA),
    "branches": lambda m, b: m.branches(**ANA),
    "usage": lambda m, b: m.usage(b.a),
    "policies": lambda m, b: m.policies(**ANA),
    "intake": lambda m, b: m.intake(**ANA),
    "redaction": lambda m, b: m.redaction(**ANA),
}
WRITE: dict[str, Callable[[Memory, Base], object]] = {
    "add": lambda m, b: m.add("x", **ANA),
    "add_many": lambda m, b: m.add_many([draft()], **ANA),
    "ingest": lambda m, b: m.ingest(b.talk, **ANA),
    "add_tool_output": lambda m, b: m.add_tool_output({"celsius": 1}, TOOL, tool="w", **ANA),
}
CHANGE: dict[str, Callable[[Memory, Base], object]] = {
    "update": lambda m, b: m.update(b.a, "x"),
    "supersede": lambda m, b: m.supersede(b.a, "x"),
    "contradict": lambda m, b: m.contradict(b.a, "x"),
    "consolidate": lambda m, b: m.consolidate([b.a, b.b], "x"),
    "archive": lambda m, b: m.archive(b.a),
    "restore": lambda m, b: m.restore(b.archived),
    "freeze": lambda m, b: m.freeze(b.a),
    "thaw": lambda m, b: m.thaw(b.a),
    "revert": lambda m, b: m.revert(b.b, 1),
}
FORGET: dict[str, Callable[[Memory, Base], object]] = {
    "forget": lambda m, b: m.forget(b.a),
    "delete": lambda m, b: m.delete(b.a),
    "delete_all": lambda m, b: m.delete_all(**ANA),
    "reject": lambda m, b: m.reject(b.waits),
}
APPROVE: dict[str, Callable[[Memory, Base], object]] = {
    "approve": lambda m, b: m.approve(b.waits),
    "quarantine": lambda m, b: m.quarantine(b.a),
    "revoke": lambda m, b: m.revoke(origin="user", **ANA),
}
ADMIN: dict[str, Callable[[Memory, Base], object]] = {
    "snapshot": lambda m, b: m.snapshot("t", **ANA),
    "drop_snapshot": lambda m, b: m.drop_snapshot("s", **ANA),
    "set_policy": lambda m, b: m.set_policy(ttl="9d", **ANA),
    "drop_policy": lambda m, b: m.drop_policy(**ANA),
    "set_intake": lambda m, b: m.set_intake(origin="tool", quarantine=True, **ANA),
    "drop_intake": lambda m, b: m.drop_intake(origin="import", **ANA),
    "set_redaction": lambda m, b: m.set_redaction(classes="email", **ANA),
    "drop_redaction": lambda m, b: m.drop_redaction(**ANA),
    "set_audit": lambda m, b: m.set_audit("counted", **ANA),
    "reads": lambda m, b: m.reads(**ANA),
    "read_counts": lambda m, b: m.read_counts(**ANA),
    "drop_reads": lambda m, b: m.drop_reads(older_than="1d", **ANA),
}
BOTH: dict[str, Callable[[Memory, Base], object]] = {
    "export": lambda m, b: m.export(b.copy(), **ANA),
    "rollback": lambda m, b: m.rollback("s", **ANA),
    "branch": lambda m, b: m.branch("c", **ANA),
    "merge": lambda m, b: m.merge("b", **ANA),
}
HOLD: dict[str, Callable[[Memory, Base], object]] = {
    "hold": lambda m, b: m.hold(b.a),
    "release": lambda m, b: m.release(b.a),
}
SHARE: dict[str, Callable[[Memory, Base], object]] = {
    "grant": lambda m, b: m.grant("user:cleo", "read", **ANA),
}
OWNED: dict[str, Callable[[Memory, Base], object]] = {
    "acting_as": lambda m, b: m.acting_as("user:cleo"),
    "backup": lambda m, b: m.backup(b.copy()),
    "budget": lambda m, b: m.budget(**ANA),
    "checkpoint": lambda m, b: m.checkpoint(),
    "compact": lambda m, b: m.compact(),
    "drop_job": lambda m, b: m.drop_job(1),
    "enqueue_job": lambda m, b: m.enqueue_job("x", **ANA),
    "groups": lambda m, b: m.groups(),
    "import_archive": lambda m, b: m.import_archive(b.talk, **ANA),
    "jobs": lambda m, b: m.jobs(),
    "pause_jobs": lambda m, b: m.pause_jobs(),
    "reembed": lambda m, b: m.reembed(),
    "register_job": lambda m, b: m.register_job("x", lambda work: None),
    "resume_jobs": lambda m, b: m.resume_jobs(),
    "retry_job": lambda m, b: m.retry_job(1),
    "run_jobs": lambda m, b: m.run_jobs(),
    "set_budget": lambda m, b: m.set_budget(calls=1, **ANA),
    "set_group": lambda m, b: m.set_group("group:x", ["user:ben"]),
    "stats": lambda m, b: m.stats(),
    "suppressions": lambda m, b: m.suppressions(b.copy()),
    "sweep": lambda m, b: m.sweep(),
    "verify": lambda m, b: m.verify(),
}
FREE = {"begin", "close", "grants", "principal", "restore_backup", "wait"}
FREE |= {"watermark", "read_watermark", "revoke_grant"}
"""Calls that take no right themselves; a grant is taken back by who gave it."""

TABLE = {
    name: (call, frozenset(verbs.split()))
    for verbs, calls in {
        "read": READ,
        "write": WRITE,
        "read write": CHANGE,
        "read forget": FORGET,
        "read approve": APPROVE,
        "admin": ADMIN,
        "read admin": BOTH,
        "read admin ": HOLD,
        "read share": SHARE,
    }.items()
    for name, call in calls.items()
}


def test_every_call_is_in_the_table_of_rights() -> None:
    public = {name for name in dir(Memory) if not name.startswith("_")}
    assert public == TABLE.keys() | OWNED.keys() | FREE


@pytest.mark.parametrize("name", TABLE)
def test_a_call_is_allowed_with_its_rights_and_forbidden_without_one(
    open_at: Open, tmp_path: Path, name: str
) -> None:
    call, needed = TABLE[name]
    base = Base(open_at(), tmp_path)
    ben = base.memory.acting_as("user:ben")
    for lacking in sorted(needed):
        others = sorted({*Verb} - {lacking})
        id = base.memory.grant("user:ben", others, **WHOLE, **ANA).id
        before = base.memory.verify().events
        with pytest.raises((Forbidden, NotFound)) as caught:
            call(ben, base)
        if isinstance(caught.value, Forbidden):
            assert "grant" in str(caught.value) or "pass" in str(caught.value)
        assert base.memory.verify().events == before
        base.memory.revoke_grant(id, **ANA)
    more = {"write"} if name in HOLD else set[str]()  # it changes a header
    base.memory.grant("user:ben", sorted(needed | more), **WHOLE, **ANA)
    call(ben, base)


@pytest.mark.parametrize("name", OWNED)
def test_what_concerns_the_whole_tenant_is_its_owners(
    open_at: Open, tmp_path: Path, name: str
) -> None:
    base = Base(open_at(), tmp_path)
    base.memory.grant("user:ben", "admin", everywhere=True, **WHOLE)
    files = sorted(tmp_path.iterdir())
    for who in ("user:ben", "user:ana"):
        with pytest.raises(Forbidden, match="owner"):
            OWNED[name](base.memory.acting_as(who), base)
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("name", TABLE)
def test_who_has_no_right_at_all_learns_nothing_by_any_call(
    open_at: Open, tmp_path: Path, name: str
) -> None:
    base = Base(open_at(), tmp_path)
    with pytest.raises((Forbidden, NotFound)) as caught:
        TABLE[name][0](base.memory.acting_as("user:cleo"), base)
    assert "apple" not in str(caught.value)


# --- acting ------------------------------------------------------------------------------------


def test_a_user_and_an_agent_do_everything_with_their_own(memory: Memory) -> None:
    ana, scout = memory.acting_as("user:ana"), memory.acting_as("agent:scout")
    id = ana.add("the boat is Alma", **ANA).id
    assert (ana.principal, memory.principal) == ("user:ana", "owner")
    assert ana.get(id).text == memory.get(id).text == "the boat is Alma"
    assert scout.add("a note", agent_id="scout").ids
    assert shown(scout, agent_id="scout") == ["a note"]
    assert shown(scout) == shown(ana, agent_id="scout") == []
    with pytest.raises(NotFound):
        scout.get(id)
    ana.hold(id)
    ana.snapshot("s", **ANA)
    assert ana.view(as_of="s", **ANA).get(id).text == "the boat is Alma"
    ana.close()
    assert memory.get(id).text == "the boat is Alma"


def test_only_the_owner_acts_as_somebody_else(memory: Memory) -> None:
    memory.add("x", **ANA)
    for handle in (memory.acting_as("user:ben"), memory.acting_as("user:ana").view(**ANA)):
        with pytest.raises(Forbidden, match="owner"):
            handle.acting_as("owner")
    with pytest.raises(InvalidInput, match="group cannot act"):
        memory.acting_as("group:family")
    assert memory.acting_as("owner").get_all(**ANA)


def test_a_transaction_acts_for_who_began_it(memory: Memory) -> None:
    ben = memory.acting_as("user:ben")
    with memory.begin() as tx, pytest.raises(InvalidInput, match="begin"):
        tx.acting_as("user:ben")
    with ben.begin() as tx:
        tx.add("mine", user_id="ben")
        assert shown(tx, user_id="ben") == ["mine"]
    with pytest.raises(Forbidden), ben.begin() as tx:
        tx.add("yours", **ANA)
    assert shown(memory) == []


def test_a_view_opened_before_shows_nothing_after_a_grant_is_taken_back(memory: Memory) -> None:
    first = memory.add("the boat is Alma", **ANA)
    id = memory.grant("user:ben", "read", **WHOLE, **ANA).id
    ben = memory.acting_as("user:ben")
    views = [ben, ben.view(as_of=first, **ANA), ben.view(**ANA)]
    assert [shown(view) for view in views] == [["the boat is Alma"]] * 3
    memory.revoke_grant(id, **ANA)
    for view in views:
        for call in (lambda v: v.get_all(**ANA), lambda v: v.search("boat", **ANA)):
            with pytest.raises(Forbidden, match="grant"):
                call(view)
        with pytest.raises(NotFound):
            view.get(first.id)


# --- grants ------------------------------------------------------------------------------------


def test_a_grant_is_listed_used_and_taken_back(memory: Memory) -> None:
    memory.add("x", **ANA)
    given = memory.grant("user:ben", "writer", kinds="fact", run_id="r", trust=0.6, **ANA)
    (grant,) = memory.grants(**ANA)
    assert (grant.id, grant.principal, grant.by) == (given.id, "user:ben", "owner")
    assert (grant.verbs, grant.kinds, grant.run_id) == ({"read", "write"}, {"fact"}, "r")
    assert (grant.trust, grant.labels, grant.unmasked, grant.until) == (
        0.6,
        frozenset(),
        False,
        None,
    )
    memory.revoke_grant(given.id, **ANA)
    assert memory.grants(**ANA) == ()
    for scope in (ANA, {"user_id": "ben"}, {"everywhere": True}):
        with pytest.raises(NotFound, match="no grant"):
            memory.revoke_grant(given.id, **scope)


def test_a_principal_that_may_not_share_sees_its_own_grants_only(memory: Memory) -> None:
    memory.add("x", **ANA)
    for who in ("user:ben", "user:cleo"):
        memory.grant(who, "read", **ANA)
    assert len(memory.acting_as("user:ana").grants(**ANA)) == 2
    assert [item.principal for item in memory.acting_as("user:ben").grants(**ANA)] == ["user:ben"]
    assert memory.acting_as("user:dan").grants(**ANA) == ()


def test_grants_narrow_to_kinds_runs_agents_and_labels(memory: Memory) -> None:
    for text, words in {
        "turn": {},
        "fact": {"kind": "fact"},
        "run": {"run_id": "r"},
        "agent": {"agent_id": "scout"},
        "health": {"sensitivity": "health"},
        "money": {"sensitivity": "money"},
    }.items():
        memory.add(text, **ANA, **words)
    open_to_all = ["turn", "fact", "run", "agent"]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, open_to_all),
        ({"kinds": "fact"}, ["fact"]),
        ({"run_id": "r"}, ["run"]),
        ({"agent_id": "scout"}, ["agent"]),
        ({"labels": "health"}, [*open_to_all, "health"]),
        ({"labels": "*"}, [*open_to_all, "health", "money"]),
        ({"kinds": "turn", "labels": ["money"]}, ["turn", "run", "agent", "money"]),
    ]
    ben = memory.acting_as("user:ben")
    for words, wanted in cases:
        id = memory.grant("user:ben", "read", **ANA, **words).id
        assert shown(ben) == wanted, words
        assert {hit.text for hit in ben.search("turn fact run agent", **ANA)} <= set(wanted)
        memory.revoke_grant(id, **ANA)
        assert shown(ben) == []


def test_a_grant_ends_at_its_moment(memory: Memory, clock: SimClock) -> None:
    memory.add("x", **ANA)
    memory.grant("user:ben", "read", until="2026-01-02", **ANA)
    ben = memory.acting_as("user:ben")
    assert shown(ben) == ["x"]
    clock.advance(days=1)
    assert shown(ben) == []
    with pytest.raises(InvalidInput, match="over already"):
        memory.grant("user:ben", "read", until="2026-01-01", **ANA)


def test_groups_within_groups_grant_and_their_members_leave(memory: Memory) -> None:
    memory.add("x", **ANA)
    memory.set_group("group:inner", ["user:ben"])
    memory.set_group("group:outer", ["group:inner", "agent:scout"])
    memory.grant("group:outer", "read", **ANA)
    ben, scout = memory.acting_as("user:ben"), memory.acting_as("agent:scout")
    assert shown(ben) == shown(scout) == ["x"]
    memory.set_group("group:inner", [])
    assert memory.groups() == {"group:outer": ("agent:scout", "group:inner")}
    assert (shown(ben), shown(scout)) == ([], ["x"])


def test_what_is_passed_on_reaches_no_further_and_no_longer(memory: Memory) -> None:
    memory.add("x", kind="fact", **ANA)
    root = memory.grant("user:ben", "sharer", kinds="fact", **ANA).id
    ben, cleo = memory.acting_as("user:ben"), memory.acting_as("user:cleo")
    for more in ({"kinds": None}, {"labels": "*"}, {"unmasked": True}, {"trust": 0.6}):
        with pytest.raises(Forbidden, match="pass this on"):
            ben.grant("user:cleo", "read", **({"kinds": "fact"} | ANA | more))
    with pytest.raises(Forbidden):
        ben.grant("user:cleo", "writer", kinds="fact", **ANA)
    passed = ben.grant("user:cleo", "sharer", kinds="fact", **ANA).id
    cleo.grant("user:dan", "read", kinds="fact", **ANA)
    dan = memory.acting_as("user:dan")
    assert shown(cleo) == shown(dan) == ["x"]
    with pytest.raises(Forbidden, match="who gave it"):
        cleo.revoke_grant(root, **ANA)
    memory.revoke_grant(root, **ANA)
    assert shown(ben) == shown(cleo) == shown(dan) == []
    memory.grant("user:ben", "sharer", **ANA)
    assert shown(dan) == ["x"]
    ben.revoke_grant(passed, **ANA)
    assert (shown(cleo), shown(dan)) == ([], [])


def test_a_grant_everywhere_is_the_owners_to_give_and_holds_in_its_tenant(open_at: Open) -> None:
    from mnemos.stores.memory import MemoryStore

    store = MemoryStore()
    north, south = (open_at(store=store, tenant=name) for name in ("north", "south"))
    for memory in (north, south):
        memory.add("x", **ANA)
    with pytest.raises(Forbidden, match="owner"):
        north.acting_as("user:ana").grant("user:ben", "read", everywhere=True)
    north.grant("user:ben", "read", everywhere=True)
    assert shown(north.acting_as("user:ben")) == ["x"]
    assert shown(south.acting_as("user:ben")) == []


# --- access lists and labels -------------------------------------------------------------------


def test_a_memory_with_an_access_list_is_for_those_on_it(memory: Memory, tmp_path: Path) -> None:
    memory.set_group("group:crew", ["user:dan"])
    id = memory.add("for Cleo", access=["user:cleo", "group:crew"], **ANA).id
    for who in ("user:ben", "user:cleo", "user:dan"):
        memory.grant(who, "read", **WHOLE, **ANA)
    ben, cleo = memory.acting_as("user:ben"), memory.acting_as("user:cleo")
    assert (shown(ben), shown(cleo)) == ([], ["for Cleo"])
    assert shown(memory.acting_as("user:ana")) == ["for Cleo"]
    assert cleo.prov(id, text=True)
    calls: tuple[Callable[[], object], ...] = (
        lambda: ben.prov(id, text=True),
        lambda: ben.prov(**ANA, text=True),
        lambda: ben.lineage(id),
        lambda: ben.export(tmp_path / "out", **ANA),
    )
    for call in calls:
        with pytest.raises(Forbidden, match="access list"):
            call()
    assert not (tmp_path / "out").exists()


def test_a_group_on_an_access_list_names_its_members(memory: Memory) -> None:
    memory.set_group("group:crew", ["user:dan"])
    memory.add("for the crew", access=["group:crew"], **ANA)
    for who in ("user:ben", "user:dan"):
        memory.grant(who, "read", **ANA)
    assert shown(memory.acting_as("user:dan")) == ["for the crew"]
    assert memory.acting_as("user:dan").search("crew", **ANA)
    assert shown(memory.acting_as("user:ben")) == []


@pytest.mark.parametrize("call", ["supersede", "contradict", "update"])
def test_what_takes_the_place_of_a_memory_keeps_its_label_and_its_list(
    memory: Memory, call: str
) -> None:
    words = {"sensitivity": "health", "access": ["user:cleo"], "tags": ["asthma"]}
    id = memory.add("Ana has asthma", **ANA, **words).id
    new = getattr(memory, call)(id, "Ana has no asthma").ids[0]
    header = memory.get(new).header
    assert (header.sensitivity, header.access, header.tags) == (
        "health",
        ("user:cleo",),
        ("asthma",),
    )
    memory.grant("user:ben", "read", **ANA)
    assert shown(memory.acting_as("user:ben")) == []


def test_jobs_of_others_are_not_listed_by_waiting(memory: Memory) -> None:
    memory.add("x", **ANA)
    memory.enqueue_job("nothing", **ANA)
    made = Receipt(verb="add", ids=(), seq=10**6)
    assert [job.scope for job in memory.wait(made, timeout=0)] == ["user:ana"]
    assert memory.acting_as("user:ben").wait(made, timeout=0) == []
    assert [job.scope for job in memory.acting_as("user:ana").wait(made, timeout=0)] == ["user:ana"]


def test_why_somebody_read_is_for_who_administers(memory: Memory, tmp_path: Path) -> None:
    memory.add("x", **ANA)
    memory.set_audit("audited", **ANA)
    shown(memory.acting_as("owner", reason="the diagnosis"))
    memory.grant("user:ben", "read", **WHOLE, **ANA)
    memory.grant("user:cleo", "admin", **WHOLE, **ANA)
    assert "diagnosis" in str(memory.acting_as("user:cleo").log(**ANA))
    ben = memory.acting_as("user:ben")
    assert ben.log(**ANA)
    assert "diagnosis" not in str(ben.log(**ANA))
    assert ben.log(verbs="read", **ANA) == []
    with pytest.raises(Forbidden, match="admin"):
        ben.export(tmp_path / "out", **ANA)
    assert not (tmp_path / "out").exists()
    with pytest.raises(MnemosError, match="admin"):
        ben.reads(**ANA)
