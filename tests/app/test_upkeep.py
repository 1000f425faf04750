"""Opening, looking after and repeating a vault, through the public calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnemos import Draft, Header, Memory, Receipt, Text
from mnemos.errors import (
    MnemosError,
    StoreClosed,
)
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.testing import SimClock

Open = Callable[..., Memory]


def turn(text: str, **header: Any) -> Draft:
    return Draft(payload=Text(text=text), header=Header(**header))


# --- opening, upkeep -------------------------------------------------------------------------


def test_everything_is_there_after_reopening(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    with open_at(file) as memory:
        id = memory.add("Ana lives in Porto", user_id="ana").id
        memory.update(id, "Ana lives in Lisbon")
        before = (memory.history(id), memory.get_all(user_id="ana"), memory.stats().events)
    memory = open_at(str(file))
    assert (memory.history(id), memory.get_all(user_id="ana"), memory.stats().events) == before
    assert memory.verify().problems == []


def test_stats_count_what_there_is(memory: Memory, path: str) -> None:
    empty = memory.stats()
    assert (empty.memories, empty.versions, empty.subjects, empty.events) == (0, 0, 0, 0)
    assert (empty.embedder, empty.vectors_pending) == (None, False)
    id = memory.add("one", user_id="ana").id
    memory.update(id, "two")
    memory.add("three")
    full = memory.stats()
    assert (full.memories, full.versions, full.subjects, full.events) == (2, 3, 2, 3)
    assert full.bytes > 0
    assert full.embedder is not None
    assert full.store["engine"].startswith("memory" if path == ":memory:" else "sqlite")


def test_verify_counts_events_and_calls_back(memory: Memory) -> None:
    seen: list[int] = []
    id = memory.add("one", user_id="ana").id
    memory.update(id, "two")
    memory.add("three", user_id="ana")
    memory.forget(id)
    report = memory.verify(progress=seen.append)
    assert (report.events, report.contents, report.erased, report.ok) == (4, 1, 2, True)
    assert seen == [1] * 4


ID = "0" * 32

TOOL = {"type": "object", "properties": {"celsius": {"type": "number"}}}

CALLS: dict[str, Callable[[Memory], object]] = {
    "add": lambda memory: memory.add("x"),
    "add_tool_output": lambda memory: memory.add_tool_output({"celsius": 1}, TOOL, tool="x"),
    "approve": lambda memory: memory.approve(ID),
    "drop_intake": lambda memory: memory.drop_intake(origin="tool", user_id="ana"),
    "drop_reads": lambda memory: memory.drop_reads(older_than="1d", user_id="ana"),
    "drop_redaction": lambda memory: memory.drop_redaction(user_id="ana"),
    "grant": lambda memory: memory.grant("user:ben", "reader", user_id="ana"),
    "grants": lambda memory: memory.grants(user_id="ana"),
    "groups": lambda memory: memory.groups(),
    "intake": lambda memory: memory.intake(user_id="ana"),
    "quarantine": lambda memory: memory.quarantine(ID),
    "quarantined": lambda memory: memory.quarantined(user_id="ana"),
    "read_counts": lambda memory: memory.read_counts(user_id="ana"),
    "reads": lambda memory: memory.reads(user_id="ana"),
    "redaction": lambda memory: memory.redaction(user_id="ana"),
    "reject": lambda memory: memory.reject(ID),
    "reveal": lambda memory: memory.reveal(ID, key=__file__),
    "revoke": lambda memory: memory.revoke(origin="tool", user_id="ana"),
    "revoke_grant": lambda memory: memory.revoke_grant(ID, user_id="ana"),
    "set_audit": lambda memory: memory.set_audit("audited", user_id="ana"),
    "set_group": lambda memory: memory.set_group("group:x", ["user:ana"]),
    "set_intake": lambda memory: memory.set_intake(origin="tool", quarantine=True, user_id="ana"),
    "set_redaction": lambda memory: memory.set_redaction(user_id="ana"),
    "add_many": lambda memory: memory.add_many([turn("x")]),
    "update": lambda memory: memory.update(ID, "x"),
    "forget": lambda memory: memory.forget(ID),
    "delete_all": lambda memory: memory.delete_all(user_id="ana"),
    "search": lambda memory: memory.search("x"),
    "context": lambda memory: memory.context("x"),
    "get": lambda memory: memory.get(ID),
    "get_all": lambda memory: memory.get_all(user_id="ana"),
    "history": lambda memory: memory.history(ID),
    "stats": lambda memory: memory.stats(),
    "verify": lambda memory: memory.verify(),
    "reembed": lambda memory: memory.reembed(),
    "archive": lambda memory: memory.archive(ID),
    "backup": lambda memory: memory.backup("copy.db"),
    "branch": lambda memory: memory.branch("x", user_id="ana"),
    "branches": lambda memory: memory.branches(user_id="ana"),
    "budget": lambda memory: memory.budget(),
    "checkpoint": lambda memory: memory.checkpoint(),
    "compact": lambda memory: memory.compact(),
    "consolidate": lambda memory: memory.consolidate([ID, "1" * 32], "x"),
    "contradict": lambda memory: memory.contradict(ID, "x"),
    "delete": lambda memory: memory.delete(ID),
    "diff": lambda memory: memory.diff(user_id="ana"),
    "drop_job": lambda memory: memory.drop_job(1),
    "drop_policy": lambda memory: memory.drop_policy(user_id="ana"),
    "drop_snapshot": lambda memory: memory.drop_snapshot("x", user_id="ana"),
    "enqueue_job": lambda memory: memory.enqueue_job("x"),
    "export": lambda memory: memory.export("ana.jsonl", user_id="ana"),
    "freeze": lambda memory: memory.freeze(ID),
    "hold": lambda memory: memory.hold(ID),
    "jobs": lambda memory: memory.jobs(),
    "lineage": lambda memory: memory.lineage(ID),
    "log": lambda memory: memory.log(),
    "merge": lambda memory: memory.merge("x", user_id="ana"),
    "pause_jobs": lambda memory: memory.pause_jobs(),
    "policies": lambda memory: memory.policies(user_id="ana"),
    "prov": lambda memory: memory.prov(ID),
    "release": lambda memory: memory.release(ID),
    "restore": lambda memory: memory.restore(ID),
    "resume_jobs": lambda memory: memory.resume_jobs(),
    "retry_job": lambda memory: memory.retry_job(1),
    "revert": lambda memory: memory.revert(ID, 1),
    "rollback": lambda memory: memory.rollback("#0", user_id="ana"),
    "run_jobs": lambda memory: memory.run_jobs(),
    "set_budget": lambda memory: memory.set_budget(calls=1),
    "set_policy": lambda memory: memory.set_policy(user_id="ana", ttl=60),
    "snapshot": lambda memory: memory.snapshot("x", user_id="ana"),
    "snapshots": lambda memory: memory.snapshots(user_id="ana"),
    "supersede": lambda memory: memory.supersede(ID, "x"),
    "suppressions": lambda memory: memory.suppressions("list.jsonl"),
    "sweep": lambda memory: memory.sweep(),
    "thaw": lambda memory: memory.thaw(ID),
    "usage": lambda memory: memory.usage(ID),
    "view": lambda memory: memory.view(branch="x", user_id="ana"),
    "wait": lambda memory: memory.wait(Receipt(verb="add", ids=(), seq=1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_handle_says_so(
    memory: Memory, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where calls that write files leave nothing
    memory.close()
    memory.close()
    with pytest.raises(StoreClosed, match="open"):
        CALLS[name](memory)
    assert [file for file in tmp_path.iterdir() if "vault" not in file.name] == []


def test_the_table_of_calls_is_whole() -> None:
    public = {name for name in dir(Memory) if not name.startswith("_")}
    elsewhere = {"begin", "close", "ingest", "import_archive", "register_job", "restore_backup"}
    elsewhere |= {"acting_as", "principal", "watermark", "read_watermark"}  # which open nothing
    assert public - CALLS.keys() == elsewhere


# --- the same input makes the same store -----------------------------------------------------


def _script(memory: Memory, clock: SimClock) -> None:
    ids = memory.add(
        [{"role": "user", "content": f"turn {n}"} for n in range(5)], user_id="ana", run_id="s1"
    ).ids
    clock.advance(hours=1)
    memory.update(ids[0], "turn 0, again", metadata={"a": 1})
    memory.add("big " * 270_000, user_id="ana", external_id="e1")
    memory.forget(ids[1])
    with memory.begin() as tx:
        tx.add("staged", user_id="bob")
        tx.search("staged", user_id="bob")
    memory.search("turn", user_id="ana")
    with pytest.raises(MnemosError):
        memory.add("other", user_id="ana", external_id="e1")
    memory.delete_all(user_id="bob")


def _head(memory: Memory) -> bytes:
    with memory._vault.store.read(SYSTEM) as tx:
        (head,) = tx.scan(schema.HEADS, ())
    return head.hash


def test_seeded_ports_give_the_same_journal_on_every_store(tmp_path: Path) -> None:
    from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds

    heads: list[bytes] = []
    for path in (":memory:", tmp_path / "one.db", tmp_path / "two.db"):
        clock = SimClock()
        ports = {"clock": clock, "ids": SeededIds(1), "entropy": SeededEntropy(1)}
        with Memory(path, embedder=HashEmbedder(), **ports) as memory:
            _script(memory, clock)
            heads.append(_head(memory))
            assert memory.verify().problems == []
    assert len(set(heads)) == 1
