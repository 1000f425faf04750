"""The power may go at any moment: what the disk was never told to keep may be gone, or torn.

The store runs on SQLite through a recording file system (apsw), with the blob files recorded
beside it. For many moments of the record the files are put together as a power loss could leave
them: everything synced before is there, of what was written after the last sync of each file a
random part is, sector by sector; names are there once their folder was synced. The vault is then
opened with the ordinary store.
"""

import itertools
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from mnemos import Memory
from mnemos.kernel import canonical, segments
from mnemos.kernel.governance.system import SYSTEM
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds

apsw = pytest.importorskip("apsw", reason="apsw records what SQLite tells its files")

pytestmark = pytest.mark.slow
SECTOR = 512
USER = "ana"
names = (f"recording{number}" for number in itertools.count())


# ------------------------------------------------------------------------------- the recording


@dataclass
class Log:
    """Every change of every file in order; ``acknowledged`` is what had returned by then."""

    root: Path
    entries: list[tuple] = field(default_factory=list)

    def add(self, verb, name, *rest):
        self.entries.append((verb, os.path.relpath(name, self.root), *rest))


class RecordingFile(apsw.VFSFile):
    def __init__(self, log, base, name, flags):
        super().__init__(base, name, flags)
        self.log = log
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else name

    def xWrite(self, data, offset):
        self.log.add("write", self.name, bytes(data), offset)
        super().xWrite(data, offset)

    def xTruncate(self, size):
        self.log.add("truncate", self.name, size)
        super().xTruncate(size)

    def xSync(self, flags):
        self.log.add("sync", self.name)
        super().xSync(flags)


class RecordingSystem(apsw.VFS):
    def __init__(self, log):
        self.name, self.log = next(names), log
        super().__init__(self.name, "")

    def xOpen(self, name, flags):
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None and not os.path.exists(path):
            self.log.add("create", path)
        return RecordingFile(self.log, "", name, flags)

    def xDelete(self, name, sync_folder):
        self.log.add("delete", name)
        super().xDelete(name, sync_folder)
        if sync_folder:
            self.log.add("sync folder", os.path.dirname(name))


class Cursor:
    def __init__(self, cursor):
        self.cursor = cursor

    def __iter__(self):
        with as_sqlite3():
            yield from self.cursor

    def fetchone(self):
        with as_sqlite3():
            return self.cursor.fetchone()

    def fetchall(self):
        with as_sqlite3():
            return self.cursor.fetchall()


class as_sqlite3:
    """Raises apsw's errors as those of the standard library."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, apsw.Error):
            shown = sqlite3.OperationalError(str(error))
            code = getattr(error, "extendedresult", 1)
            shown.sqlite_errorname = apsw.mapping_extended_result_codes.get(
                code, apsw.mapping_result_codes.get(code & 0xFF, "SQLITE_ERROR")
            )
            raise shown from error


class Connection:
    """As much of :class:`sqlite3.Connection` as the store uses, on apsw."""

    def __init__(self, path, vfs, synchronous):
        with as_sqlite3():
            self.raw = apsw.Connection(path, vfs=vfs)
            self.raw.set_busy_timeout(1000)
        self.synchronous = synchronous

    def execute(self, sql, values=()):
        if sql.startswith("PRAGMA synchronous="):
            sql = f"PRAGMA synchronous={self.synchronous}"
        with as_sqlite3():
            return Cursor(self.raw.execute(sql, tuple(values)))

    @property
    def in_transaction(self):
        return self.raw.in_transaction

    def close(self):
        self.raw.close()


def record_blobs(log, monkeypatch):
    """Log what the store does to the files it writes itself."""
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink", "mkdir", "pwrite")}
    swept = set()

    def pwrite(handle, data, offset):
        name = os.readlink(f"/proc/self/fd/{handle}")
        swept.add(name)
        log.add("write", name, bytes(data), offset)
        return real["pwrite"](handle, data, offset)

    def fsync(handle):
        name = os.readlink(f"/proc/self/fd/{handle}")
        if os.path.isdir(name):
            log.add("sync folder", name)
        elif name in swept:  # the database, in which single places were overwritten
            log.add("sync", name)
        else:
            log.add("put", name, Path(name).read_bytes())
            log.add("sync", name)
        real["fsync"](handle)

    def replace(old, new):
        if not any(e[:2] == ("put", os.path.relpath(old, log.root)) for e in log.entries):
            log.add("put", old, Path(old).read_bytes())
        log.add("rename", old, os.path.relpath(new, log.root))
        real["replace"](old, new)

    def unlink(name, **options):
        log.add("delete", name)
        real["unlink"](name, **options)

    def mkdir(name, *args, **options):
        log.add("mkdir", name)
        real["mkdir"](name, *args, **options)

    for name, fake in (
        ("fsync", fsync), ("replace", replace), ("unlink", unlink), ("mkdir", mkdir),
        ("pwrite", pwrite),
    ):  # fmt: skip
        monkeypatch.setattr(os, name, fake)


# --------------------------------------------------------------------------------- the rebuilding


@dataclass
class Inode:
    """A file's durable bytes, and what was done to it since they were."""

    data: bytearray = field(default_factory=bytearray)
    loose: list[tuple] = field(default_factory=list)

    def apply(self, change, keep=lambda: True):
        match change:
            case ("write", data, offset):
                for start in range(offset - offset % SECTOR, offset + len(data), SECTOR):
                    if keep():
                        first, last = max(start, offset), min(start + SECTOR, offset + len(data))
                        if len(self.data) < last:
                            self.data.extend(bytes(last - len(self.data)))
                        self.data[first:last] = data[first - offset : last - offset]
            case ("truncate", size):
                if keep():
                    del self.data[size:]
                    self.data.extend(bytes(size - len(self.data)))
            case ("put", data):
                kept = bytearray(data)
                for start in range(0, len(kept), SECTOR):
                    if not keep():
                        kept[start : start + SECTOR] = bytes(len(kept[start : start + SECTOR]))
                self.data = kept

    def settle(self):
        for change in self.loose:
            self.apply(change)
        self.loose.clear()


class Disk:
    """A folder as the medium has it: names and bytes, those that are safe and those that are not."""

    def __init__(self):
        self.safe: dict[str, Inode | None] = {}
        self.now: dict[str, Inode | None] = {}

    def run(self, entry):
        verb, name, *rest = entry
        match verb:
            case "create":
                self.now[name] = Inode()
            case "mkdir":
                self.now[name] = None
            case "write" | "truncate" | "put":
                inode = self.now.setdefault(name, Inode())
                inode.loose.append((verb, *rest))
            case "sync":
                if self.now.get(name) is not None:
                    self.now[name].settle()
                if ".blobs" not in name:  # SQLite syncs the folder with a new log's first sync
                    self.sync_folder(".")
            case "delete":
                self.now.pop(name, None)
            case "rename":
                self.now[rest[0]] = self.now.pop(name)
            case "sync folder":
                self.sync_folder(name)

    def sync_folder(self, folder):
        inside = {
            name for name in {*self.safe, *self.now} if (os.path.dirname(name) or ".") == folder
        }
        for name in inside:
            if name in self.now:
                self.safe[name] = self.now[name]
            else:
                self.safe.pop(name, None)

    def lose_power(self, folder, random):
        """Write to ``folder`` what might be left."""
        share = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        keep = lambda: random.random() < share  # noqa: E731
        left = dict(self.safe)
        for name in {*self.safe, *self.now}:
            if self.safe.get(name, ...) is not self.now.get(name, ...) and keep():
                if name in self.now:
                    left[name] = self.now[name]
                else:
                    left.pop(name)
        folder.mkdir()
        for name, inode in sorted(left.items()):
            if inode is None:
                (folder / name).mkdir()
                continue
            rebuilt = Inode(bytearray(inode.data))
            for change in inode.loose:
                rebuilt.apply(change, keep)
            if (folder / name).parent.is_dir():
                (folder / name).write_bytes(rebuilt.data)


# -------------------------------------------------------------------------------------- the tests


def record(root, monkeypatch, *, synchronous="FULL", calls=30, seed=1):
    """Write through the recording store; return the log, which holds the acknowledgements too."""
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 5_000)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 12)
    monkeypatch.setattr(segments, "SEAL_ROWS", 4)
    log, random = Log(root), Random(seed)
    system = RecordingSystem(log)
    store = SQLiteStore(
        root / "memory.db", connect=lambda path, **_: Connection(path, system.name, synchronous)
    )
    # a small log, so that checkpoints write into the file again and again
    with store.read(SYSTEM) as tx:
        tx._execute("PRAGMA wal_autocheckpoint=40")
    memory = Memory(
        embedder=HashEmbedder(16), ids=SeededIds(seed), entropy=SeededEntropy(seed), store=store
    )
    log.entries.append(("acknowledged", {}))
    alive = {}
    with monkeypatch.context() as patch:
        record_blobs(log, patch)
        for number in range(calls):
            kind = random.choice(["add", "add", "add", "update", "forget", "large"])
            if kind in {"add", "large"} or len(alive) < 3:
                text = f"number {number} harbour lantern{'y' * (6_000 * (kind == 'large'))}"
                alive[memory.add(text, user_id=USER).id] = text
            elif kind == "update":
                id = random.choice(sorted(alive))
                memory.update(id, f"number {number} changed")
                alive[id] = f"number {number} changed"
            else:
                id = random.choice(sorted(alive))
                memory.forget(id)
                del alive[id]
            log.entries.append(("acknowledged", dict(alive)))
        memory.close()
    return log


def judge(folder, sure, next_state):
    """Open what a power loss left and say what is wrong with it."""
    try:
        with Memory(folder / "memory.db", embedder=HashEmbedder(16)) as memory:
            found = {cube.id: cube.text for cube in memory.get_all(user_id=USER)}
            report = memory.verify()
            problems = list(report.problems)
            if found not in (sure, next_state):
                lost = [id for id in sure if id in next_state and found.get(id) != sure[id]]
                problems.append(f"{len(lost)} acknowledged are lost, {len(found)} are there")
            if found and not len(memory.search("harbour", user_id=USER)):
                problems.append("nothing is found")
            return problems
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
        return [f"{type(error).__name__}: {error}"]


def cut_everywhere(log, tmp_path, *, cuts, subsets, seed=1):
    """Lose power at ``cuts`` moments, in ``subsets`` ways each; return how often and what was wrong."""
    random = Random(seed)
    moments = sorted(random.sample(range(1, len(log.entries)), cuts))
    states = [(n, entry[1]) for n, entry in enumerate(log.entries) if entry[0] == "acknowledged"]
    disk, done, tried, wrong = Disk(), 0, 0, []
    for moment in moments:
        for entry in log.entries[done:moment]:
            if entry[0] != "acknowledged":
                disk.run(entry)
        done = moment
        sure = next((state for n, state in reversed(states) if n < moment), {})
        later = next((state for n, state in states if n >= moment), sure)
        for _ in range(subsets):
            folder = tmp_path / f"cut{tried}"
            disk.lose_power(folder, random)
            wrong.extend(f"cut {moment}: {problem}" for problem in judge(folder, sure, later))
            tried += 1
            with suppress(OSError):
                for file in sorted(folder.rglob("*"), reverse=True):
                    file.rmdir() if file.is_dir() else file.unlink()
    return tried, wrong


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "recorded"
    folder.mkdir()
    return folder


@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost(root, tmp_path, monkeypatch):
    log = record(root, monkeypatch, calls=60)
    verbs = {entry[0] for entry in log.entries}
    assert verbs >= {"write", "sync", "truncate", "put", "rename", "delete", "mkdir", "sync folder"}
    tried, wrong = cut_everywhere(log, tmp_path, cuts=320, subsets=4)
    assert tried == 1280
    assert wrong == []


@pytest.mark.timeout(600)
def test_without_syncs_at_commit_memories_are_lost(root, tmp_path, monkeypatch):
    """The positive control: with ``synchronous=NORMAL`` the same test must fail."""
    log = record(root, monkeypatch, synchronous="NORMAL", calls=30)
    _, wrong = cut_everywhere(log, tmp_path, cuts=60, subsets=2)
    lost = [problem for problem in wrong if "acknowledged are lost" in problem]
    assert len(lost) > 10
    assert len(wrong) == len(lost), "even NORMAL must leave a sound vault"


@pytest.mark.parametrize("missing", ["sync", "sync folder"])
def test_a_blob_without_its_sync_is_lost(root, tmp_path, monkeypatch, missing):
    """The positive control for blobs: forget one of their syncs and the test must fail."""
    log = record(root, monkeypatch, calls=30)
    log.entries = [
        entry for entry in log.entries if not (entry[0] == missing and ".blobs" in entry[1])
    ]
    _, wrong = cut_everywhere(log, tmp_path, cuts=60, subsets=2)
    assert any("blob" in problem for problem in wrong)


def test_blobs_are_synced_before_the_row_that_names_them(root, monkeypatch):
    """Written aside, synced, renamed, folder synced: all before the log is synced at the commit."""
    log = record(root, monkeypatch, calls=30)
    renames = [n for n, entry in enumerate(log.entries) if entry[0] == "rename"]
    assert renames
    for place in renames:
        aside, name = log.entries[place][1:]
        assert aside.endswith(".tmp")
        assert [entry[0] for entry in log.entries[place - 2 : place]] == ["put", "sync"]
        assert log.entries[place + 1] == ("sync folder", os.path.dirname(name))
        since = max(n for n, entry in enumerate(log.entries[:place]) if entry[0] == "acknowledged")
        before = log.entries[since:place]
        assert ("sync", "memory.db-wal") not in [entry[:2] for entry in before]
