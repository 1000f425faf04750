"""Files that are no vault, no longer one, or out of reach: a typed error, never wrong data."""

import errno
import os
import shutil
import sqlite3
from random import Random

import pytest

from mnemos import Memory
from mnemos.errors import (
    FormatTooNew,
    InvalidInput,
    MnemosError,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
)
from mnemos.kernel import canonical, segments
from mnemos.kernel.schema import FORMAT
from mnemos.stores.files import network_filesystem
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock


def open_plain(path):
    return Memory(path, embedder=None)


def make(path, count=5):
    with open_plain(path) as memory:
        return {memory.add(f"number {n} harbour", user_id="ana").id: n for n in range(count)}


# ------------------------------------------------------------------------- not a vault at all


@pytest.mark.parametrize(
    "data",
    [b"not a database at all, but long enough " * 40, b"\0" * 5_000, os.urandom(9_000), b"xy"],
    ids=["text", "zeros", "noise", "two bytes"],
)
def test_not_a_database(path, data):
    path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        open_plain(path)
    assert type(caught.value) is not StoreError
    assert path.read_bytes() == data
    assert not path.with_name(path.name + ".blobs").exists()


def test_the_database_of_another_program_stays_as_it_is(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url)")
    other.execute("INSERT INTO bookmarks VALUES ('here')")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another program"):
        open_plain(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_newer_format(path):
    make(path)
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version={FORMAT + 1}")
    raw.close()
    with pytest.raises(FormatTooNew, match="upgrade"):
        open_plain(path)


def test_an_empty_file_becomes_a_vault(path):
    path.touch()
    assert len(make(path)) == 5
    with open_plain(path) as memory:
        assert memory.verify().ok


def test_a_folder_as_path(tmp_path):
    with pytest.raises(InvalidInput, match="folder"):
        open_plain(tmp_path)
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(StoreReadOnly, match="folder exists"):
        open_plain(tmp_path / "nowhere" / "memory.db")
    assert not (tmp_path / "nowhere").exists()


# ------------------------------------------------------------------------------------- damage


def test_a_truncated_vault(path):
    """Cut anywhere, it is reported when opened or when verified."""
    make(path, count=40)
    whole = path.read_bytes()
    for size in [*range(100, len(whole), 8_192), len(whole) - 1]:
        path.write_bytes(whole[:size])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        try:
            with open_plain(path) as memory:
                assert not memory.verify().ok, size
        except StoreError:
            pass


def look(path, texts):
    """Return ``"refused"``, ``"reported"``, or ``"unharmed"`` where every answer is right."""
    embedder = HashEmbedder(16)
    try:
        with Memory(path, embedder=embedder) as memory:
            if not memory.verify().ok:
                return "reported"
            found = {c.id: c.text for c in memory.get_all(user_id="ana", limit=10_000)}
            assert found == texts
            for id, text in list(texts.items())[::5]:
                assert any(hit.id == id for hit in memory.search(text, user_id="ana"))
            return "unharmed"
    except MnemosError:
        return "refused"


@pytest.fixture
def sealed(path, monkeypatch):
    """A vault of a few pages with sealed segments, a tail and forgotten memories."""
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 16)
    monkeypatch.setattr(segments, "SEAL_ROWS", 8)
    texts = {}
    ports = {"clock": SimClock(), "ids": SeededIds(1), "entropy": SeededEntropy(1)}
    with Memory(path, embedder=HashEmbedder(16), **ports) as memory:
        for number in range(44):
            text = f"mk{number}x harbour lantern on 3 March {2000 + number}"
            texts[memory.add(text, user_id="ana", external_id=f"e{number}").id] = text
        for id in sorted(texts)[:4]:
            memory.forget(id)
            del texts[id]
    return path.read_bytes(), texts


@pytest.mark.parametrize("width", [1, 64])
def test_flipped_bytes_are_never_taken_for_right(path, sealed, width):
    """A hundred places, one byte and a run of bytes: refused, reported, or without effect."""
    whole, texts = sealed
    random = Random(width)
    outcomes = []
    written = [place for place, byte in enumerate(whole[:-width]) if byte]
    for place in random.sample(written, 100):
        data = bytearray(whole)
        for n in range(place, place + width):
            data[n] ^= random.randrange(1, 256)
        for name in path.parent.glob(path.name + "*"):
            name.unlink()
        path.write_bytes(data)
        outcomes.append(look(path, texts))
    assert outcomes.count("refused") + outcomes.count("reported") > 50


def test_a_damaged_blob(path, monkeypatch):
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    with open_plain(path) as memory:
        id = memory.add("large " + "x" * 5_000, user_id="ana").id
        (blob,) = path.with_name(path.name + ".blobs").iterdir()
        data = blob.read_bytes()
        blob.write_bytes(data[:-20] + b"y" * 20)
        assert not memory.verify().ok
        with pytest.raises(StoreCorrupt, match="altered"):
            memory.get(id)
        blob.unlink()
        assert not memory.verify().ok
        with pytest.raises(StoreCorrupt, match="missing"):
            memory.get(id)


def test_a_deleted_log_leaves_a_sound_earlier_state(path, tmp_path):
    """What lay in the log alone is gone with it; what is left is whole. (Nothing can tell more.)"""
    memory = open_plain(path)
    ids = [memory.add(f"number {number}", user_id="ana").id for number in range(20)]
    memory._vault.store.scrub()
    memory.add("in the log alone", user_id="ana")
    copy = tmp_path / "copy.db"
    memory.close = lambda: None
    shutil.copyfile(path, copy)
    with open_plain(copy) as left:
        assert [cube.id for cube in left.get_all(user_id="ana")] == ids
        assert left.verify().ok


# ------------------------------------------------------------------------------- out of reach


def as_nobody(work):
    """Run ``work`` in a child without root's rights; return the name of what it raised."""
    if not hasattr(os, "setuid") or os.getuid() != 0:
        pytest.skip("needs root, to become somebody without its rights")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            work()
            os.write(write, b"nothing")
        except BaseException as error:  # noqa: BLE001 - its name is the answer
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def reachable(tmp_path_factory):
    """A folder that somebody without rights can come to."""
    import tempfile

    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    yield os.path.join(folder, "memory.db")
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("what", ["file", "folder", "new"])
def test_without_the_right_to_write(reachable, what):
    if what != "new":
        make(reachable)
        os.chmod(reachable, 0o444 if what == "file" else 0o666)
    if what == "file":
        os.chmod(os.path.dirname(reachable), 0o777)
    said = as_nobody(lambda: open_plain(reachable).add("x", user_id="ana"))
    assert said.startswith("StoreReadOnly"), said
    if what != "new":
        with open_plain(reachable) as memory:
            assert memory.verify().ok
            assert len(memory.get_all(user_id="ana")) == 5


@pytest.mark.parametrize("kind", [StoreReadOnly, StoreError], ids=["no right", "a broken disk"])
def test_a_refused_blob(path, kind, monkeypatch):
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    code = errno.EACCES if kind is StoreReadOnly else errno.EIO

    class Refuse:
        def reach(self, step):
            if step == "blob":
                raise OSError(code, os.strerror(code))

    memory = Memory(embedder=None, store=SQLiteStore(path, faults=Refuse()))
    with pytest.raises(kind):
        memory.add("large " + "x" * 5_000, user_id="ana")
    assert memory.get_all(user_id="ana") == []
    assert memory.verify().ok
    memory.close()


# -------------------------------------------------------------------------- paths and handles


@pytest.mark.parametrize(
    "name",
    ["with space.db", "häfen-港.db", "hash#mark.db", "question?mode=ro.db", "per%20cent.db",
     "file:uri.db", "semi;colon'quote\".db", "noextension", ":memory.db"],
)  # fmt: skip
def test_names_of_files(tmp_path, name, monkeypatch):
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    path = tmp_path / name
    with open_plain(path) as memory:
        id = memory.add("large " + "x" * 5_000, user_id="ana").id
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name}.blobs"])
    with open_plain(path) as memory:
        assert memory.get(id).text.startswith("large")
        assert memory.verify().ok


def test_the_working_folder_may_change(tmp_path, monkeypatch):
    """Other threads open their connections later; the vault is where it was opened."""
    import threading

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    monkeypatch.chdir(tmp_path / "one")
    memory, ids = open_plain("memory.db"), []
    monkeypatch.chdir(tmp_path / "two")
    thread = threading.Thread(
        target=lambda: ids.append(memory.add("large " + "x" * 5_000, user_id="ana").id)
    )
    thread.start()
    thread.join()
    memory.close()
    assert os.listdir(tmp_path / "two") == []
    with open_plain(tmp_path / "one" / "memory.db") as memory:
        assert [cube.id for cube in memory.get_all(user_id="ana")] == ids


def test_a_link_leads_to_the_same_vault(tmp_path, monkeypatch):
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    with open_plain(tmp_path / "link.db") as memory:
        id = memory.add("large " + "x" * 5_000, user_id="ana").id
    with open_plain(tmp_path / "real.db") as memory:
        assert memory.get(id).text.startswith("large")
        assert memory.verify().ok


def test_two_handles_in_one_process(path):
    with open_plain(path) as one, open_plain(path) as two:
        first = one.add("by one", user_id="ana").id
        assert two.get(first).text == "by one"
        two.update(first, "by two")
        assert one.get(first).text == "by two"
        one.forget(first)
        assert two.get_all(user_id="ana") == []
        assert one.verify().ok
        assert two.verify().ok


def test_one_handle_closed_leaves_the_other(path):
    one, two = open_plain(path), open_plain(path)
    one.close()
    id = two.add("still here", user_id="ana").id
    assert two.get(id).text == "still here"
    two.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.add("x", user_id="ana"),
        lambda memory: memory.search("x", user_id="ana"),
        lambda memory: memory.get_all(user_id="ana"),
        lambda memory: memory.forget("x"),
        lambda memory: memory.verify(),
    ],
)
def test_use_after_close(path, call):
    memory = open_plain(path)
    memory.close()
    memory.close()
    with pytest.raises(StoreClosed):
        call(memory)


def test_closing_while_threads_work(path):
    """Threads at work see their handle closed, or end before; what they were told is kept."""
    import threading

    memory, told, errors = open_plain(path), [], []

    def work():
        try:
            while True:
                told.append(memory.add("x", user_id="ana").id)
        except StoreClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - the main thread shows it
            errors.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(told) < 20:
        pass
    memory.close()
    for thread in threads:
        thread.join()
    assert errors == []
    with open_plain(path) as memory:
        assert {cube.id for cube in memory.get_all(user_id="ana", limit=100_000)} >= set(told)
        assert memory.verify().ok


def test_network_file_systems_are_known(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        "server:/export /mnt/nfs nfs4 rw 0 0\n"
        "//server/share /mnt/with\\040space cifs rw 0 0\n"
        "/dev/sdb1 /mnt/nfs/local ext4 rw 0 0\n"
    )
    answers = {
        "/home/ana": None,
        "/mnt/nfs/deep/er": "nfs4",
        "/mnt/nfsother": None,
        "/mnt/with space/vaults": "cifs",
        "/mnt/nfs/local/vaults": None,
    }
    from pathlib import Path

    assert {p: network_filesystem(Path(p), mounts) for p in answers} == answers
    assert network_filesystem(tmp_path, tmp_path / "no mounts here") is None


def test_a_vault_on_a_network_file_system_is_refused(path, monkeypatch):
    from mnemos.stores import sqlite

    monkeypatch.setattr(sqlite, "network_filesystem", lambda _: "nfs4")
    with pytest.raises(StoreError, match="local disk"):
        open_plain(path)
    assert not path.exists()


def test_a_new_vault_does_not_sweep_the_blobs_of_a_lost_one(tmp_path):
    path = tmp_path / "memory.db"
    with Memory(path, embedder=None) as memory:
        memory.add("x" * 1_100_000, user_id="ana")
    (kept,) = (tmp_path / "memory.db.blobs").iterdir()
    path.unlink()
    with pytest.raises(StoreError, match=r"another vault's payloads"):
        Memory(path, embedder=None)
    assert kept.exists()
