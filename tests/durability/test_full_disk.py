"""No room left: a typed error, nothing half written, and the vault goes on when there is room."""

import errno
import json
import os

import pytest

from mnemos import Memory
from mnemos.errors import StoreFull
from mnemos.kernel import canonical
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, RaiseAt, disk_full
from mnemos.types import Draft, Text

MANY = [Draft(payload=Text(text=f"number {n} {'harbour ' * 200}")) for n in range(40)]


def fill(memory, limit=2_000):
    """Add until there is no room; return what was acknowledged."""
    return add_all(memory, (f"number {number} {'lantern ' * 150}" for number in range(limit)))


def add_all(memory, texts):
    written = {}
    for text in texts:
        try:
            written[memory.add(text, user_id="ana").id] = text.strip()
        except StoreFull:
            return written
    raise AssertionError("there was room for all")


def stored(memory):
    return {cube.id: cube.text.strip() for cube in memory.get_all(user_id="ana", limit=100_000)}


def test_a_vault_at_its_limit(path, open_memory):
    memory = open_memory(max_bytes=825_000, embedder=HashEmbedder(16))
    written = fill(memory)
    assert len(written) > 50
    assert stored(memory) == written
    assert memory.verify().problems == []
    with pytest.raises(StoreFull):
        memory.add_many(MANY, user_id="ana")
    assert stored(memory) == written, "a batch is written whole or not at all"
    assert memory.search("lantern number 3", user_id="ana")
    for id in sorted(written)[:10]:
        memory.forget(id)
        del written[id]
    id = memory.add("room again", user_id="ana").id
    assert stored(memory) == {**written, id: "room again"}
    assert memory.verify().problems == []
    assert path.stat().st_size <= 825_000
    memory.close()
    with Memory(path, embedder=HashEmbedder(16)) as reopened:
        assert stored(reopened) == {**written, id: "room again"}
        assert reopened.verify().ok


def test_a_limit_that_is_raised(path, open_memory):
    small = open_memory(max_bytes=400_000)
    written = fill(small)
    small.close()
    larger = open_memory(max_bytes=4_000_000)
    ids = larger.add_many(MANY, user_id="ana").ids
    assert set(stored(larger)) == {*written, *ids}
    assert larger.verify().ok


CHILD = """
import json, resource, sys
from mnemos import Memory
from mnemos.errors import StoreFull
from mnemos.kernel import canonical
from mnemos.testing import HashEmbedder

path, limit, large = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "large"
canonical.BLOB_THRESHOLD = 50_000
memory = Memory(path, embedder=HashEmbedder(16))
kept = [memory.add("before the limit", user_id="ana").id]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
refused = []
for number in range(400):
    text = f"number {number} " + ("x" * 200_000 if large else "lantern " * 100)
    try:
        kept.append(memory.add(text, user_id="ana").id)
    except StoreFull as error:
        refused.append(str(error))
        if len(refused) == 3:
            break
sound = memory.verify().problems
found = [cube.id for cube in memory.get_all(user_id="ana", limit=10_000)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
kept.append(memory.add("after the limit", user_id="ana").id)
again = memory.verify().problems
memory.close()
print(json.dumps([kept, refused, sound, found, again]))
"""


@pytest.mark.parametrize(("size", "limit"), [("small", 300_000), ("large", 150_000)])
def test_a_file_that_may_not_grow(script, path, size, limit):
    """The system refuses the write itself: of the log, and of a blob half-way through."""
    pytest.importorskip("resource", reason="needs POSIX limits")
    kept, refused, sound, found, again = json.loads(script(CHILD, path, limit, size).end())
    assert len(refused) == 3
    assert all("room" in text for text in refused)
    assert sound == []
    assert found == kept[:-1]
    assert again == []
    assert list(path.parent.glob("*.blobs/*.tmp")) == []
    with Memory(path, embedder=HashEmbedder(16)) as memory:
        assert list(stored(memory)) == kept
        assert memory.verify().ok


@pytest.mark.parametrize("step", ["mkdir", "blob", "fsync", "rename"])
def test_a_full_disk_at_every_step_of_a_blob(path, open_memory, monkeypatch, step):
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    faults = RaiseAt(1, disk_full(), step=step)
    memory = open_memory(faults=faults)
    id = memory.add("small", user_id="ana").id
    with pytest.raises(StoreFull) as caught:
        memory.add("large " + "x" * 5_000, user_id="ana")
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert list(stored(memory)) == [id]
    assert memory.verify().problems == []
    second = memory.add("large " + "x" * 5_000, user_id="ana").id
    assert list(stored(memory)) == [id, second]
    assert memory.verify().problems == []
    assert len(os.listdir(f"{path}.blobs")) == 1


def test_a_blob_whose_rows_find_no_room(path, monkeypatch):
    """The blob is written, then the tables are full: it does not stay behind."""
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    memory = Memory(embedder=None, store=SQLiteStore(path, max_bytes=400_000))
    written = fill(memory)
    large = (f"large {n} " + " ".join(f"word{n}x{m}" for m in range(2_000)) for n in range(50))
    written.update(add_all(memory, large))
    assert stored(memory) == written
    assert memory.verify().problems == []
    memory.close()
