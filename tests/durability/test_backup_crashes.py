"""A backup, restore or import that dies at any step: the source stays, and no half is a whole."""

import os
import shutil

import pytest

from mnemos import Draft, Header, Memory, Text
from mnemos.kernel.proof.verify import verify
from mnemos.stores import placing, sqlite
from mnemos.testing import (
    CountFaults,
    KillAt,
    RaiseAt,
    SeededEntropy,
    SeededIds,
    SimClock,
    disk_full,
)
from mnemos.types import Activation

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def open_at(path):
    ports = {"clock": SimClock(), "ids": SeededIds(1), "entropy": SeededEntropy(1)}
    return Memory(path, embedder=None, **ports)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A vault, its backup and archive of before, each with a blob; made once, copied for each kill."""
    folder = tmp_path_factory.mktemp("scene")
    with open_at(folder / "vault.db") as memory:
        first = memory.add("a canary", user_id="ana").id
        memory.update(first, "a canary sings")
        derived = Draft(payload=Text(text="sings"), header=Header(derived_from=(first,)))
        memory.add_many([derived], user_id="ana")
        large = Activation(model="m", encoding="e", data=bytes(2**20))
        memory.add_many([Draft(payload=large)], user_id="ana")
        memory.add("Ana stays", user_id="ana")
        memory.backup(folder / "backup.db")
        memory.export(folder / "ana.jsonl", user_id="ana")
        memory.forget(first)
        memory.add("Ana moves on", user_id="ana")
    return folder


def backup(folder):
    with open_at(folder / "vault.db") as memory:
        memory.backup(folder / "new.db")


def restore(folder):
    Memory.restore_backup(folder / "backup.db", folder / "new.db", suppress=[folder / "vault.db"])


def replace(folder):
    Memory.restore_backup(folder / "backup.db", folder / "vault.db", replace=True)


def bring(folder):
    with open_at(folder / "into.db") as memory:
        memory.import_archive(folder / "ana.jsonl")


def state(path):
    """Return what a vault says, after proving that it is sound; None where there is none."""
    if not path.exists():
        return None
    with Memory(path, embedder=None) as memory:
        assert verify(memory._vault).problems == []
        return sorted(
            (cube.text, len(memory.history(cube.id))) for cube in memory.get_all(user_id="ana")
        )


BEFORE = [("", 1), ("Ana moves on", 1), ("Ana stays", 1)]
BACKED_UP = [("", 1), ("Ana stays", 1), ("a canary sings", 2), ("sings", 1)]
RESTORED = [("", 1), ("Ana stays", 1)]

CALLS = {
    "backup": (backup, "new.db", (None, BEFORE)),
    "restore": (restore, "new.db", (None, RESTORED)),
    "replace": (replace, "vault.db", (BEFORE, RESTORED)),
}


def steps_of(call, scene, tmp_path, monkeypatch):
    folder = tmp_path / "counted"
    shutil.copytree(scene, folder)
    faults = CountFaults()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "NoFaults", lambda: faults)
        patch.setattr(placing, "NoFaults", lambda: faults)
        call(folder)
    return faults.steps


def die_at(call, folder, step):
    """Run a call in a child that dies before one step; return whether it died."""
    pid = os.fork()
    if pid == 0:
        faults = KillAt(step)
        sqlite.NoFaults = placing.NoFaults = lambda: faults
        call(folder)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def chosen(steps, each):
    """The first and last few steps of every kind; all of them where ``each`` is None."""
    kinds = {}
    for number, step in enumerate(steps, start=1):
        kinds.setdefault(step, []).append(number)
    return sorted(
        {
            number
            for numbers in kinds.values()
            for number in (numbers if each is None else numbers[:each] + numbers[-each:])
        }
    )


def untouched(scene, folder, name):
    return (scene / name).read_bytes() == (folder / name).read_bytes()


def check_kills(name, each, scene, tmp_path, monkeypatch):
    call, target, allowed = CALLS[name]
    steps = steps_of(call, scene, tmp_path, monkeypatch)
    assert {"sql", "commit", "fsync", "rename"} <= set(steps)
    ends = set()
    for step in chosen(steps, each):
        folder = tmp_path / f"{name}-{step}"
        shutil.copytree(scene, folder)
        assert die_at(call, folder, step)
        assert untouched(scene, folder, "backup.db")
        found = state(folder / target)
        assert found in allowed, steps[step - 1]
        ends.add(allowed.index(found))
        if target != "vault.db":
            assert state(folder / "vault.db") == BEFORE
        for part in folder.glob("*.part*"):  # as the message asks for
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        if found == allowed[0]:
            call(folder)
            assert state(folder / target) == allowed[1]
            assert list(folder.glob("*.part*")) == []
        shutil.rmtree(folder)
    assert ends == {0, 1}


@pytest.mark.parametrize("name", CALLS)
def test_killed_at_every_kind_of_step(name, scene, tmp_path, monkeypatch):
    check_kills(name, 1, scene, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", CALLS)
def test_killed_at_every_step(name, scene, tmp_path, monkeypatch):
    check_kills(name, None, scene, tmp_path, monkeypatch)


def test_an_import_that_is_killed_leaves_whole_memories(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("mnemos.app.importing.BATCH_MEMORIES", 1)
    steps = steps_of(bring, scene, tmp_path, monkeypatch)
    seen = set()
    for step in [at for at, step in enumerate(steps, start=1) if step == "commit"]:
        folder = tmp_path / f"import-{step}"
        shutil.copytree(scene, folder)
        assert die_at(bring, folder, step)
        assert untouched(scene, folder, "ana.jsonl")
        found = state(folder / "into.db") or []
        assert set(found) <= set(BACKED_UP)
        seen.add(len(found))
        bring(folder)
        assert state(folder / "into.db") == BACKED_UP
        shutil.rmtree(folder)
    assert seen >= {0, 1, 2, 3}


@pytest.mark.parametrize("name", CALLS)
def test_a_full_disk_leaves_nothing_behind(name, scene, tmp_path, monkeypatch):
    call, target, (before, _) = CALLS[name]
    for step in ("fsync", "rename"):
        folder = tmp_path / step
        shutil.copytree(scene, folder)
        faults = RaiseAt(1, disk_full(), step=step)
        with monkeypatch.context() as patch:
            patch.setattr(placing, "NoFaults", lambda faults=faults: faults)
            with pytest.raises(Exception, match="no room"):
                call(folder)
        assert list(folder.glob("*.part*")) == []
        assert state(folder / target) == before


def test_a_child_killed_and_one_that_lives_are_told_apart(scene, tmp_path):
    shutil.copytree(scene, tmp_path / "x")
    assert die_at(backup, tmp_path / "x", 3)
    (tmp_path / "x" / "new.db.part").unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "x" / "new.db.part.blobs", ignore_errors=True)
    assert not die_at(backup, tmp_path / "x", 10**9)
