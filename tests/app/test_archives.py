"""Backup, restore, export, import: nothing whole is lost, and nothing forgotten comes back."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnemos import Draft, Header, Kind, Memory, MnemosError, Origin, Text
from mnemos.errors import Conflict, InvalidInput, NotFound, StoreBusy, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.changes import Add, Amend, Changes, Fork, Rollback, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.vault import Staged
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Activation, State

Open = Callable[..., Memory]
LARGE = Activation(model="m", encoding="e", data=b"canary" * 200_000)


@pytest.fixture
def open_at(clock: SimClock) -> Iterator[Open]:
    opened: list[Memory] = []

    def make(path: Any, **options: Any) -> Memory:
        number = len(opened)
        ports: dict[str, Any] = {
            "clock": clock,
            "ids": SeededIds(number),
            "entropy": SeededEntropy(number),
            "embedder": HashEmbedder(16),
        }
        opened.append(Memory(path, **(ports | options)))
        return opened[-1]

    yield make
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_at: Open, tmp_path: Path) -> Memory:
    return open_at(tmp_path / "vault.db")


def texts(memory: Memory, user: str = "ana") -> list[str]:
    return [cube.text for cube in memory.get_all(user_id=user)]


def problems(memory: Memory) -> list[str]:
    return verify(memory._vault).problems


def found(folder: Path, needle: bytes = b"canary") -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and needle in path.read_bytes()
    )


def restore(backup: Path, path: Path, **how: Any) -> Any:
    ports: dict[str, Any] = {
        "clock": SimClock(),
        "ids": SeededIds("restore"),
        "entropy": SeededEntropy("restore"),
    }
    return Memory.restore_backup(backup, path, **(ports | how))


def with_canaries(memory: Memory) -> list[str]:
    """Fill a memory with some that stay and some that will be forgotten."""
    memory.add("Ana lives in Lisbon", user_id="ana")
    first = memory.add("a canary sings", user_id="ana").id
    memory.update(first, "the canary sings louder")
    derived = Draft(payload=Text(text="sings: canary"), header=Header(derived_from=(first,)))
    second = memory.add_many([derived], user_id="ana").ids[0]
    large = memory.add_many([Draft(payload=LARGE)], user_id="ana").ids[0]
    memory.add("Ben sails", user_id="ben")
    return [first, second, large]


# --------------------------------------------------------------------------- backup, restore


@pytest.mark.parametrize("where", [":memory:", "vault.db"])
def test_a_backup_is_a_vault(open_at: Open, tmp_path: Path, where: str) -> None:
    memory = open_at(where if where == ":memory:" else tmp_path / where)
    with_canaries(memory)
    told: list[int] = []
    copied = memory.backup(tmp_path / "backup.db", progress=told.append)
    assert sum(told) == copied.rows > 0
    assert copied.blobs == 1
    twin = open_at(tmp_path / "backup.db")
    assert problems(twin) == []
    assert texts(twin) == texts(memory)
    assert twin.search("where does Ana live?", user_id="ana")[0].text == "Ana lives in Lisbon"
    assert not list(tmp_path.glob("*.part*"))


def test_a_backup_replaces_nothing(memory: Memory, tmp_path: Path) -> None:
    memory.add("one", user_id="ana")
    memory.backup(tmp_path / "backup.db")
    before = (tmp_path / "backup.db").read_bytes()
    for path, error in {
        tmp_path / "backup.db": Conflict,
        tmp_path / "vault.db": InvalidInput,
        tmp_path: InvalidInput,
        Path(":memory:"): InvalidInput,
        tmp_path / "nowhere" / "b.db": MnemosError,
    }.items():
        with pytest.raises(error):
            memory.backup(path)
    assert (tmp_path / "backup.db").read_bytes() == before
    (tmp_path / "half.db.part").touch()
    with pytest.raises(Conflict, match=r"half\.db\.part is there"):
        memory.backup(tmp_path / "half.db")
    (tmp_path / "lost.db.blobs").mkdir()
    (tmp_path / "lost.db.blobs" / "payload").touch()
    with pytest.raises(Conflict, match="another vault's payloads"):
        memory.backup(tmp_path / "lost.db")


def test_copies_are_made_outside_of_transactions_and_views(memory: Memory, tmp_path: Path) -> None:
    memory.add("one", user_id="ana")
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    with memory.begin() as tx:
        for handle in (tx, memory.view(user_id="ana")):
            for call in (handle.backup, handle.export, handle.suppressions):
                with pytest.raises(InvalidInput, match="transaction"):
                    call(tmp_path / "new")
            with pytest.raises(InvalidInput, match="transaction"):
                handle.import_archive(tmp_path / "ana.jsonl")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("how", ["replaced", "vault", "list", "packed list"])
def test_restoring_brings_no_forgotten_memory_back(
    open_at: Open, memory: Memory, tmp_path: Path, how: str
) -> None:
    """In no byte of the restored file, nor beside it."""
    ids = with_canaries(memory)
    memory.backup(tmp_path / "backup.db")
    for id in (ids[0], ids[2]):
        memory.forget(id)
    late = memory.add("a late canary", user_id="ana").id
    memory.forget(late)
    lists = {
        "list": tmp_path / "list.jsonl",
        "packed list": tmp_path / "list.jsonl.gz",
        "vault": tmp_path / "vault.db",
    }
    if "list" in how:
        assert memory.suppressions(lists[how]) == 4
    folder = tmp_path / "restored"
    folder.mkdir()
    if how == "replaced":
        memory.close()
        for path in tmp_path.glob("vault.db*"):
            path.rename(folder / path.name)
    target = folder / "vault.db"
    before = (tmp_path / "backup.db").read_bytes()
    report = restore(
        tmp_path / "backup.db",
        target,
        suppress=[lists[how]] if how in lists else [],
        replace=how == "replaced",
    )
    assert (report.forgotten, report.noted, report.unread) == (3, 1, ())
    assert found(folder) == []
    assert found(tmp_path)[0] == "backup.db"  # a backup keeps what it has
    assert (tmp_path / "backup.db").read_bytes() == before
    twin = open_at(target)
    assert problems(twin) == []
    assert texts(twin) == ["Ana lives in Lisbon"]
    assert texts(twin, "ben") == ["Ben sails"]
    assert found(folder) == []
    for id in (*ids, late):
        with pytest.raises(NotFound):
            twin.get(id)


def test_restoring_without_a_list_brings_everything_back(memory: Memory, tmp_path: Path) -> None:
    """The positive control of the tests above."""
    ids = with_canaries(memory)
    memory.backup(tmp_path / "backup.db")
    memory.forget(ids[0])
    (tmp_path / "restored").mkdir()
    restore(tmp_path / "backup.db", tmp_path / "restored" / "vault.db")
    assert found(tmp_path / "restored")


def test_a_vault_is_replaced_whole_or_not_at_all(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    with_canaries(memory)
    memory.backup(tmp_path / "backup.db")
    memory.add_many([Draft(payload=Activation(model="m", encoding="e", data=b"x" * 2**21))])
    memory.add("Ana moves to Faro", user_id="ana")
    with pytest.raises(Conflict, match="replace=True"):
        restore(tmp_path / "backup.db", tmp_path / "vault.db")
    with pytest.raises(StoreBusy, match="close every handle"):
        restore(tmp_path / "backup.db", tmp_path / "vault.db", replace=True)
    assert texts(memory)[-1] == "Ana moves to Faro"
    memory.close()
    restore(tmp_path / "backup.db", tmp_path / "vault.db", replace=True)
    twin = open_at(tmp_path / "vault.db")
    assert "Ana moves to Faro" not in texts(twin)
    assert problems(twin) == []
    assert len(list((tmp_path / "vault.db.blobs").iterdir())) == 1
    assert not list(tmp_path.glob("*.part*"))


def test_a_vault_written_to_meanwhile_is_not_replaced(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    memory.add("one", user_id="ana")
    memory.backup(tmp_path / "backup.db")
    memory.close()
    acted: list[int] = []

    def act(_: int) -> None:
        if not acted:
            acted.append(1)
            with open_at(tmp_path / "vault.db") as late:
                late.add("written at the last moment", user_id="ana")

    with pytest.raises(StoreBusy, match="written to"):
        restore(tmp_path / "backup.db", tmp_path / "vault.db", replace=True, progress=act)
    assert texts(open_at(tmp_path / "vault.db")) == ["one", "written at the last moment"]


def test_a_damaged_vault_can_be_replaced_and_its_list_is_missed(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    memory.add("one", user_id="ana")
    memory.backup(tmp_path / "backup.db")
    memory.close()
    (tmp_path / "vault.db").write_bytes(b"not a database" * 1000)
    report = restore(tmp_path / "backup.db", tmp_path / "vault.db", replace=True)
    assert "could not be read" in report.unread[0]
    assert texts(open_at(tmp_path / "vault.db")) == ["one"]


def test_what_is_no_backup_is_refused(memory: Memory, tmp_path: Path) -> None:
    memory.add("one", user_id="ana")
    (tmp_path / "text.db").write_text("no vault " * 200)
    (tmp_path / "empty.db").touch()
    (tmp_path / "cut.db").write_bytes(b"SQLite format 3\0" + bytes(40))
    target = tmp_path / "new.db"
    for name in ("text.db", "empty.db", "cut.db"):
        with pytest.raises(StoreCorrupt):
            restore(tmp_path / name, target)
    with pytest.raises(NotFound):
        restore(tmp_path / "nothing.db", target)
    with pytest.raises(InvalidInput, match="backup itself"):
        restore(tmp_path / "vault.db", tmp_path / "vault.db", replace=True)
    assert not list(tmp_path.glob("new.db*"))
    assert (tmp_path / "empty.db").read_bytes() == b""


def test_a_backup_of_an_older_format_is_not_changed(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "fixtures" / "vault-format-1.db"
    copied = tmp_path / "old.db"
    copied.write_bytes(old.read_bytes())
    restore(copied, tmp_path / "new.db")
    assert copied.read_bytes() == old.read_bytes()
    with Memory(tmp_path / "new.db", embedder=None) as memory:
        assert problems(memory) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.db", "old.db"]


def test_point_in_time(open_at: Open, memory: Memory, clock: SimClock, tmp_path: Path) -> None:
    ids = with_canaries(memory)
    clock.advance(hours=1)
    wanted = {user: texts(memory, user) for user in ("ana", "ben")}
    position = memory.add("late", user_id="eve").seq - 1
    clock.advance(hours=1)
    memory.update(ids[0], "the canary is silent")
    memory.add("Ben drowns", user_id="ben")
    memory.backup(tmp_path / "backup.db")
    clock.advance(hours=1)
    by_position = restore(tmp_path / "backup.db", tmp_path / "1.db", at=f"#{position}")
    by_time = restore(tmp_path / "backup.db", tmp_path / "2.db", at="2026-01-01T00:59:59")
    assert by_position.positions == by_time.positions == {"default": position}
    assert by_position.changed == 3
    for name in ("1.db", "2.db"):
        twin = open_at(tmp_path / name)
        assert {user: texts(twin, user) for user in ("ana", "ben")} == wanted
        assert texts(twin, "eve") == []
        assert problems(twin) == []
    memory.forget(ids[0])
    report = restore(
        tmp_path / "backup.db",
        tmp_path / "3.db",
        at=f"#{position}",
        suppress=tmp_path / "vault.db",
    )
    assert report.forgotten == 2
    assert "the canary sings louder" not in texts(open_at(tmp_path / "3.db"))
    for wrong in ("#99999", "#x", "yesterday", object()):
        with pytest.raises(InvalidInput):
            restore(tmp_path / "backup.db", tmp_path / "4.db", at=wrong)


def test_a_position_is_refused_where_there_are_several_tenants(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    memory.add("one", user_id="ana")
    open_at(tmp_path / "vault.db", tenant="other").add("two", user_id="ana")
    memory.backup(tmp_path / "backup.db")
    with pytest.raises(InvalidInput, match="one tenant"):
        restore(tmp_path / "backup.db", tmp_path / "new.db", at="#1")
    restore(tmp_path / "backup.db", tmp_path / "new.db", at="2025-01-01T00:00:00")
    assert texts(open_at(tmp_path / "new.db", tenant="other")) == []


# ---------------------------------------------------------------------------- suppressions


def test_a_suppression_list_holds_ids_and_is_replaced_by_the_next(
    memory: Memory, tmp_path: Path
) -> None:
    ids = with_canaries(memory)
    path = tmp_path / "list.jsonl"
    assert memory.suppressions(path) == 0
    memory.forget(ids[0])
    assert memory.suppressions(path) == 2
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["format"] == "mnemos-suppressions-1"
    assert lines[0]["tenant"] == "default"
    assert {line["id"] for line in lines[1:-1]} == set(ids[:2])
    assert all(set(line) == {"id", "seq", "at", "sum"} for line in lines[1:-1])
    (tmp_path / "letter.txt").write_text("dear Ana")
    with pytest.raises(Conflict):
        memory.suppressions(tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "dear Ana"
    cut = "".join(path.read_text().splitlines(keepends=True)[:-2])
    (tmp_path / "cut.jsonl").write_text(cut)
    memory.backup(tmp_path / "backup.db")
    with pytest.raises(InvalidInput, match=r"cut\.jsonl, line 3"):
        restore(tmp_path / "backup.db", tmp_path / "n.db", suppress=[tmp_path / "cut.jsonl"])


# -------------------------------------------------------------------------- export, import


def versions(memory: Memory, user: str = "ana") -> dict[str, list[tuple[str, str]]]:
    return {
        cube.id: [(one.text, one.state.value) for one in memory.history(cube.id)]
        for cube in memory.get_all(user_id=user)
    }


@pytest.mark.parametrize("name", ["ana.jsonl", "ana.jsonl.gz"])
def test_an_export_comes_back_the_same(
    open_at: Open, memory: Memory, tmp_path: Path, name: str
) -> None:
    with_canaries(memory)
    told: list[int] = []
    report = memory.export(tmp_path / name, user_id="ana", progress=told.append)
    assert report.written == sum(told) + 1
    other = open_at(":memory:", tenant="elsewhere")
    told.clear()
    imported = other.import_archive(tmp_path / name, progress=told.append)
    assert sum(told) == len(imported.imported) == 4
    assert (imported.duplicates, imported.suppressed, imported.left_out) == ((), (), ())
    assert versions(other) == versions(memory)
    assert problems(other) == []
    assert other.search("where does Ana live?", user_id="ana")[0].text == "Ana lives in Lisbon"
    again = other.import_archive(tmp_path / name)
    assert (again.imported, len(again.duplicates)) == ((), 4)
    same = memory.import_archive(tmp_path / name)
    assert (same.imported, len(same.duplicates)) == ((), 4)


def test_an_import_raises_nobodys_trust(open_at: Open, memory: Memory, tmp_path: Path) -> None:
    memory.add("my own words", user_id="ana")
    tool = Header(origin=Origin.TOOL, trust=0.2, tags=("kept",), kind=Kind.FACT)
    memory.add_many([Draft(payload=Text(text="a tool's words"), header=tool)], user_id="ana")
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    other = open_at(":memory:")
    other.import_archive(tmp_path / "ana.jsonl")
    own, found = other.get_all(user_id="ana")
    assert (own.header.origin, own.header.trust) == (Origin.IMPORT, 0.5)
    assert found.header == tool
    actors = [
        line for line in _exported(other, tmp_path / "2.jsonl") if line.get("type") == "event"
    ]
    assert {line["actor"] for line in actors} == {"import"}


def test_importing_an_old_export_brings_no_forgotten_memory_back(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    ids = with_canaries(memory)
    archive = tmp_path / "ana.jsonl"
    memory.export(archive, user_id="ana")
    for id in (ids[0], ids[2]):
        memory.forget(id)
    report = memory.import_archive(archive)
    assert set(report.suppressed) == set(ids)
    assert len(report.duplicates) == 1
    assert report.imported == ()
    memory.suppressions(tmp_path / "list.jsonl")
    (tmp_path / "new").mkdir()
    other = open_at(tmp_path / "new" / "vault.db")
    report = other.import_archive(archive, suppress=[tmp_path / "list.jsonl"])
    assert set(report.suppressed) == set(ids)
    assert texts(other) == texts(memory) == ["Ana lives in Lisbon"]
    memory.close()
    assert found(tmp_path / "new") == []
    assert found(tmp_path) == ["ana.jsonl"]


def test_a_derivation_from_what_was_forgotten_elsewhere_is_not_imported(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    first = memory.add("a canary", user_id="ana").id
    memory.backup(tmp_path / "twin.db")
    memory.forget(first)
    twin = open_at(tmp_path / "twin.db")
    late = Draft(payload=Text(text="made of a canary"), header=Header(derived_from=(first,)))
    made = twin.add_many([late], user_id="ana").ids[0]
    twin.export(tmp_path / "ana.jsonl", user_id="ana")
    assert memory.import_archive(tmp_path / "ana.jsonl").suppressed == (first, made)


def test_conflicts_are_reported_as_data(open_at: Open, memory: Memory, tmp_path: Path) -> None:
    memory.add("first", user_id="ana", external_id="x")
    changed = memory.add("second", user_id="ana").id
    memory.add("third", user_id="ana")
    memory.backup(tmp_path / "twin.db")
    memory.update(changed, "second, here")
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    twin = open_at(tmp_path / "twin.db")
    twin.update(changed, "second, there")
    report = twin.import_archive(tmp_path / "ana.jsonl")
    assert [(item.id, item.line) for item in report.left_out] == [(changed, 3)]
    assert "something else" in report.left_out[0].why
    assert len(report.duplicates) == 2

    fresh = open_at(":memory:")
    fresh.add("taken by something else", user_id="ana", external_id="x")
    report = fresh.import_archive(tmp_path / "ana.jsonl")
    assert len(report.imported) == 2
    assert "external_id" in report.left_out[0].why
    assert texts(fresh)[1:] == ["second, here", "third"]

    moved = open_at(tmp_path / "twin2.db")
    moved.import_archive(tmp_path / "ana.jsonl", user_id="bea")
    assert texts(moved, "bea") == ["first", "second, here", "third"]
    assert texts(moved) == []
    report = moved.import_archive(tmp_path / "ana.jsonl")
    assert [item.why for item in report.left_out] == [
        "this id belongs to somebody else's memory"
    ] * 3


def test_states_frozen_ones_and_sources_out_of_order_come_over(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    first = memory.add("first", user_id="ana").id
    later = memory.add("later", user_id="ana").id
    scope = memory._scope("ana", None, None)
    cube = memory.get(first)
    draft = Draft(
        payload=Text(text="first, from later"), header=replace(cube.header, derived_from=(later,))
    )
    memory._write("update", scope, [Update(id=first, draft=draft)])
    memory._write("update", scope, [Amend(id=first, fields={"frozen": True})])
    memory._write("update", scope, [Amend(id=first, fields={"frozen": False})])
    memory._write("update", scope, [Transition(id=first, state=State.ARCHIVED)])
    memory._write("update", scope, [Transition(id=first, state=State.ACTIVATED)])
    memory._write("update", scope, [Amend(id=first, fields={"frozen": True, "hold": True})])
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    other = open_at(":memory:")
    report = other.import_archive(tmp_path / "ana.jsonl")
    assert set(report.imported) == {first, later}
    assert [one.text for one in other.history(first)] == [one.text for one in memory.history(first)]
    assert [one.state for one in other.history(first)] == [
        one.state for one in memory.history(first)
    ]
    assert other.get(first).header.hold
    assert problems(other) == []


def test_what_cannot_be_imported_is_said(open_at: Open, memory: Memory, tmp_path: Path) -> None:
    scope = memory._scope("ana", None, None)
    before = memory.add("first", user_id="ana")
    taken_back = memory.add("second", user_id="ana").id
    memory._write("rollback", scope, [Rollback(id="a" * 32, to=before.seq)])
    memory._write("branch", scope, [Fork(id="b" * 32, name="b")])
    with memory._vault.store.read(SYSTEM) as tx:
        (branch,) = [row.branch for row in tx.scan(schema.BRANCHES, ())]
    draft = Draft(payload=Text(text="on the branch"))
    only_there = Changes(scope=scope, changes=(Add(id="c" * 32, draft=draft),), branch=branch)
    memory._vault.commit([Staged(only_there)])
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    report = open_at(":memory:").import_archive(tmp_path / "ana.jsonl")
    assert report.imported == (before.id,)
    assert {item.id: item.why.split()[0] for item in report.left_out} == {
        taken_back: "it",
        "c" * 32: "it",
    }


def _exported(memory: Memory, path: Path, **who: str) -> list[dict[str, Any]]:
    memory.export(path, **(who or {"user_id": "ana"}))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_export_says_everything_about_one_subject_and_nothing_of_others(
    open_at: Open, memory: Memory, tmp_path: Path
) -> None:
    ids = with_canaries(memory)
    gone = memory.add("to be forgotten", user_id="ana").id
    memory.forget(gone)
    open_at(tmp_path / "vault.db", tenant="other").add("not yours: tern", user_id="ana")
    lines = _exported(memory, tmp_path / "ana.jsonl")
    header, *rest, end = lines
    assert header["format"] == "mnemos-archive-1"
    assert (header["tenant"], header["subject"]) == ("default", "user:ana")
    assert header["counts"] == {"memories": 4}
    told = [line for line in rest if line["type"] == "version"]
    assert [(line["id"], line["version"]) for line in told if line["id"] == ids[0]] == [
        (ids[0], 1),
        (ids[0], 2),
    ]
    assert {line["actor"] for line in told} == {"owner"}
    forgets = [line["id"] for line in rest if line["type"] == "event" and line["verb"] == "forget"]
    assert forgets == [gone]
    assert (end["type"], end["lines"]) == ("end", len(lines) - 1)
    whole = (tmp_path / "ana.jsonl").read_bytes()
    for foreign in (b"Ben sails", b"tern", b"user:ben", b"to be forgotten"):
        assert foreign not in whole
    memory.export(tmp_path / "ana.md", user_id="ana", format="markdown")
    page = (tmp_path / "ana.md").read_text()
    assert "> the canary sings louder" in page
    assert gone in page
    assert "Ben" not in page
    assert "1200000 bytes of activations" in page


def test_an_export_refuses_what_it_cannot_do(memory: Memory, tmp_path: Path) -> None:
    memory.add("one", user_id="ana")
    path = tmp_path / "ana.jsonl"
    with pytest.raises(NotFound):
        memory.export(path, user_id="nobody")
    with pytest.raises(InvalidInput, match="format"):
        memory.export(path, user_id="ana", format="pdf")
    with pytest.raises(InvalidInput, match="not both"):
        memory.export(path, user_id="ana", agent_id="scout")
    assert not path.exists()
    memory.export(path, user_id="ana")
    with pytest.raises(Conflict):
        memory.export(path, user_id="ana")


def damaged(lines: list[bytes], how: str) -> bytes:
    match how:
        case "cut":
            return b"".join(lines[:3])
        case "cut inside":
            return b"".join(lines[:3])[:-9]
        case "changed":
            lines[3] = lines[3].replace(b"note 2", b"note 7")
        case "swapped":
            lines[2], lines[3] = lines[3], lines[2]
        case "missing":
            del lines[3]
        case "no json":
            lines[3] = b"\xff\xfe\n"
        case "more":
            lines.append(b"{}\n")
        case _:
            lines[0] = lines[0].replace(b"archive-1", b"archive-9")
    return b"".join(lines)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("cut", 4),
        ("cut inside", 3),
        ("changed", 4),
        ("swapped", 3),
        ("missing", 4),
        ("no json", 4),
        ("more", 13),
        ("header", 1),
    ],
)
def test_a_damaged_archive_is_refused_by_the_line_and_nothing_is_written(
    open_at: Open, memory: Memory, tmp_path: Path, how: str, line: int, packed: bool
) -> None:
    for number in range(5):
        memory.add(f"note {number}", user_id="ana")
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    lines = (tmp_path / "ana.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / ("bad.jsonl.gz" if packed else "bad.jsonl")
    data = damaged(lines, how)
    path.write_bytes(gzip.compress(data) if packed else data)
    other = open_at(":memory:")
    with pytest.raises(InvalidInput, match=f"line {line}:"):
        other.import_archive(path)
    assert texts(other) == []


def test_a_cut_packed_archive_is_refused(open_at: Open, memory: Memory, tmp_path: Path) -> None:
    memory.add("note", user_id="ana")
    memory.export(tmp_path / "ana.jsonl.gz", user_id="ana")
    whole = (tmp_path / "ana.jsonl.gz").read_bytes()
    for end in (0, 5, len(whole) // 2, len(whole) - 4):
        (tmp_path / "cut.jsonl.gz").write_bytes(whole[:end])
        with pytest.raises(InvalidInput, match="line"):
            open_at(":memory:").import_archive(tmp_path / "cut.jsonl.gz")


@pytest.mark.parametrize("format", ["archive", "markdown"])
def test_no_vector_is_in_an_export(open_at: Open, tmp_path: Path, format: str) -> None:
    memory = open_at(tmp_path / "vault.db")
    memory.add("I moved to Lisbon in March", user_id="ana")
    path = tmp_path / "ana.export"
    memory.export(path, user_id="ana", format=format)
    with memory._vault.store.read(SYSTEM) as tx:
        (row,) = tx.scan(schema.VECTORS, ())
    written, vault = path.read_bytes(), (tmp_path / "vault.db-wal").read_bytes()
    pieces = [row.bytes[at : at + 16] for at in range(0, len(row.bytes), 16)]
    pieces = [piece for piece in pieces if any(piece)]
    assert all(piece in vault for piece in pieces), "the control: that is how they are stored"
    for piece in pieces:
        assert piece not in written
        assert piece.hex().encode() not in written
        assert b64encode(piece)[:-4] not in written
