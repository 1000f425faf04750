"""Threads, processes and forks on one vault: nobody sees an error and nothing is lost."""

import json
import os
import signal
import sys
import threading
import time

import pytest

from mnemos import Memory
from mnemos.errors import StoreError
from mnemos.kernel import canonical, schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

WRITERS = """
import json, sys, threading
from mnemos import Memory
from mnemos.testing import HashEmbedder
from mnemos.types import Draft, Text

path, name, adds = sys.argv[1], sys.argv[2], int(sys.argv[3])
memory = Memory(path, embedder=HashEmbedder(16))
written, errors = {}, []

def work(thread):
    try:
        for number in range(adds):
            text = f"{name} {thread} {number} harbour"
            id = memory.add(text, user_id="ana", external_id=f"{name}-{thread}-{number}").id
            written[id] = text
            if number % 25 == 5:
                drafts = [Draft(payload=Text(text=f"{text} many {n}")) for n in range(3)]
                for id, draft in zip(memory.add_many(drafts, user_id="ana").ids, drafts):
                    written[id] = draft.payload.text
            if number % 20 == 7:
                memory.update(id, text + " changed")
                written[id] = text + " changed"
            if number % 20 == 11:
                assert any(hit.id == id for hit in memory.search(text, user_id="ana", top_k=20))
            if number % 30 == 13:
                memory.forget(id)
                del written[id]
    except BaseException as error:
        errors.append(f"{thread}: {error!r}")

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
memory.close()
print(json.dumps({"written": written, "errors": errors}))
"""


def write_together(script, path, *, adds):
    started = [script(WRITERS, path, name, adds) for name in ("one", "two")]
    assert [process.line() for process in started] == ["ready", "ready"]
    for process in started:
        process.go_on()
    said = [json.loads(process.end()) for process in started]
    assert [one["errors"] for one in said] == [[], []]
    return {id: text for one in said for id, text in one["written"].items()}


def check_all_there(path, written):
    with Memory(path, embedder=HashEmbedder(16)) as memory:
        cubes = memory.get_all(user_id="ana", limit=100_000)
        assert {cube.id: cube.text for cube in cubes} == written
        report = memory.verify()
        assert report.problems == []


def test_two_processes_with_four_writers_each(script, path):
    written = write_together(script, path, adds=25)
    assert len(written) > 190
    check_all_there(path, written)


@pytest.mark.slow
def test_two_processes_with_four_writers_each_for_long(script, path):
    written = write_together(script, path, adds=120)
    assert len(written) > 2 * 4 * 120
    check_all_there(path, written)


def test_each_process_sees_what_the_other_committed(script, path):
    code = """
import sys
from mnemos import Memory
memory = Memory(sys.argv[1], embedder=None)
for number in range(5):
    sys.stdin.readline()
    texts = [cube.text for cube in memory.get_all(user_id="ana")]
    found = memory.search(f"parent{number}", user_id="ana")
    assert texts[-1] == found[0].text == f"parent{number}", texts
    print(memory.add(f"child{number}", user_id="ana").id, flush=True)
memory.close()
"""
    with Memory(path, embedder=None) as memory:
        other = script(code, path)
        for number in range(5):
            memory.add(f"parent{number}", user_id="ana")
            other.go_on()
            id = other.line()
            assert memory.get(id).text == f"child{number}"
            assert memory.search(f"child{number}", user_id="ana")[0].id == id
        other.end()
        assert memory.verify().ok


def test_eight_processes_make_the_same_vault_at_once(script, path):
    code = """
import sys
from mnemos import Memory
print("ready", flush=True)
sys.stdin.readline()
with Memory(sys.argv[1], embedder=None) as memory:
    memory.add(f"from {sys.argv[2]}", user_id="ana")
"""
    started = [script(code, path, number) for number in range(8)]
    assert {process.line() for process in started} == {"ready"}
    for process in started:
        process.go_on()
    for process in started:
        process.end()
    with Memory(path, embedder=None) as memory:
        texts = {cube.text for cube in memory.get_all(user_id="ana")}
        assert texts == {f"from {number}" for number in range(8)}
        assert memory.verify().ok


def test_threads_share_a_handle(open_memory):
    memory, errors, ids = open_memory(embedder=HashEmbedder(16)), [], []

    def work(thread):
        try:
            for number in range(20):
                text = f"thread{thread} number{number}"
                ids.append(memory.add(text, user_id="ana").id)
                assert memory.search(text, user_id="ana", top_k=3)
        except BaseException as error:  # noqa: BLE001 - the main thread shows it
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {cube.id for cube in memory.get_all(user_id="ana")} == set(ids)
    assert len(ids) == 120
    assert memory.verify().ok


# ----------------------------------------------------------------------------------------- forks


class Fork:
    """A forked child that does steps when told to; it is killed, or ends by itself."""

    def __init__(self, *steps):
        mine, theirs = os.pipe(), os.pipe()
        self.go, self.done = mine[1], theirs[0]
        self.pid = os.fork()
        if self.pid == 0:
            os.close(mine[1])  # so that the parent's end, whatever its cause, is seen here
            os.close(theirs[0])
            signal.alarm(60)
            try:
                for step in steps:
                    if not os.read(mine[0], 1):
                        break
                    os.write(theirs[1], step() or b".")
                os.read(mine[0], 1)
            except BaseException as error:  # noqa: BLE001 - the parent shows it
                os.write(theirs[1], repr(error).encode())
            finally:
                os._exit(0)
        os.close(mine[0])
        os.close(theirs[1])

    def step(self):
        os.write(self.go, b".")
        return os.read(self.done, 4096).decode()

    def end(self, *, kill=False):
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.go)
        os.close(self.done)
        return os.waitpid(self.pid, 0)[1]


def texts(path):
    with Memory(path, embedder=None) as memory:
        assert memory.verify().problems == []
        return {cube.text for cube in memory.get_all(user_id="ana", limit=100_000)}


@needs_fork
def test_parent_and_child_both_go_on(path):
    memory = Memory(path, embedder=None)
    memory.add("before", user_id="ana")
    child = Fork(lambda: memory.add("child", user_id="ana") and None, lambda: memory.close())
    memory.add("parent", user_id="ana")
    assert child.step() == "."
    memory.add("parent again", user_id="ana")
    assert len(memory.get_all(user_id="ana")) == 4
    assert child.step() == "."
    child.end()
    memory.add("after the child's end", user_id="ana")
    memory.close()
    assert texts(path) == {"before", "child", "parent", "parent again", "after the child's end"}


@needs_fork
def test_a_child_loses_nothing_when_its_parent_closes(path):
    """SQLite in the child believes in locks it never had; the log was deleted under it."""
    memory = Memory(path, embedder=None)
    memory.add("before", user_id="ana")
    child = Fork(
        lambda: memory.add("child", user_id="ana") and None,
        lambda: memory.add("child, parent gone", user_id="ana") and None,
    )
    assert child.step() == "."
    memory.close()
    assert child.step() == "."
    child.end(kill=True)
    assert texts(path) == {"before", "child", "child, parent gone"}


@needs_fork
def test_the_end_of_a_child_deletes_nobodys_log(script, path):
    """A child that never used the vault ends after another process died with its log unmerged."""
    code = """
import os, sys
from mnemos import Memory
memory = Memory(sys.argv[1], embedder=None)
memory.add("before", user_id="ana")
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(write)
    os.read(read, 1)
    sys.exit(0)  # not _exit: everything is torn down
memory.close()
other = os.fork()
if other == 0:
    Memory(sys.argv[1], embedder=None).add("died here", user_id="ana")
    os.kill(os.getpid(), 9)
os.waitpid(other, 0)
os.close(write)
os.waitpid(pid, 0)
"""
    script(code, path).end()
    assert texts(path) == {"before", "died here"}


@needs_fork
def test_a_fork_waits_for_the_writer_of_another_thread(path):
    store = SQLiteStore(path)
    inside, errors = threading.Event(), []

    def write():
        with store.write(SYSTEM) as tx:
            tx.put(schema.META, schema.Meta("thread", "1"))
            inside.set()
            time.sleep(0.2)

    def child_writes():
        with store.write(SYSTEM) as tx:
            tx.put(schema.META, schema.Meta("child", "1"))

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    child = Fork(child_writes)
    thread.join()
    assert child.step() == "."
    child.end()
    with store.read(SYSTEM) as tx:
        assert {row.name for row in tx.scan(schema.META, ())} == {"thread", "child"}
    store.close()
    assert errors == []


@needs_fork
def test_a_child_forked_inside_a_transaction_is_refused(path):
    store = SQLiteStore(path)

    def refused():
        said = []
        for attempt in (lambda: store.read(SYSTEM).__enter__(), lambda: SQLiteStore(path)):
            try:
                attempt()
            except StoreError as error:
                said.append("forked" in str(error))
        return json.dumps(said).encode()

    with store.write(SYSTEM) as tx:
        tx.put(schema.META, schema.Meta("parent", "1"))
        child = Fork(refused)
        assert child.step() == "[true, true]"
        child.end()
    with store.read(SYSTEM) as tx:
        assert tx.get(schema.META, ("parent",)).value == "1"
    store.close()


@needs_fork
def test_many_forks_while_threads_write(path):
    memory, stop, errors, count = Memory(path, embedder=None), threading.Event(), [], [0, 0]

    def work(thread):
        try:
            while not stop.is_set():
                memory.add(f"thread {thread} {count[thread]}", user_id="ana")
                count[thread] += 1
        except BaseException as error:  # noqa: BLE001 - the main thread shows it
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for number in range(10):
        child = Fork(lambda number=number: memory.add(f"fork {number}", user_id="ana") and None)
        assert child.step() == "."
        child.end(kill=number % 2 == 0)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    memory.close()
    assert len(texts(path)) == 10 + sum(count)


# --------------------------------------------------------------------------------- long snapshots

READER = """
import sys
from mnemos.kernel import canonical, schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1])
with store.read(SYSTEM) as tx:
    before = len(list(tx.scan(schema.EVENTS, ())))
    print("reading", flush=True)
    sys.stdin.readline()
    assert len(list(tx.scan(schema.EVENTS, ()))) == before
store.close()
print("done", flush=True)
"""


def pending(memory):
    with memory._vault.store.read(SYSTEM) as tx:
        return tx.get(schema.META, ("scrub",)) is not None


def holds(path, word):
    """Look into the files from a process of its own: closing one here would drop SQLite's locks."""
    code = (
        "import sys; print(any(sys.argv[1].encode() in open(f, 'rb').read() for f in sys.argv[2:]))"
    )
    files = [str(file) for file in (path, path.with_name(path.name + "-wal")) if file.exists()]
    with os.popen(" ".join([sys.executable, "-c", f'"{code}"', word, *files])) as answer:
        return answer.read().strip() == "True"


@pytest.mark.parametrize("finisher", ["forget", "open"])
def test_a_long_reader_leaves_an_erasure_pending(script, path, finisher):
    memory = Memory(path, embedder=None)
    secret = memory.add("the password is zanzibarium", user_id="ana").id
    other = memory.add("something else", user_id="ana").id
    reader = script(READER, path)
    assert reader.line() == "reading"
    started = time.monotonic()
    memory.add("written meanwhile", user_id="ana")
    place = memory.forget(secret).places[-1]
    assert time.monotonic() - started < 10, "an erasure must not wait long for a reader"
    assert (place.name, place.status) == ("log", "pending")
    assert "reader" in place.why
    assert pending(memory)
    reader.go_on()
    assert reader.line() == "done"
    reader.end()
    if finisher == "forget":
        assert memory.forget(other).places[-1].status == "purged"
    else:
        memory.close()
        memory = Memory(path, embedder=None)
    assert not pending(memory)
    assert not holds(path, "zanzibarium")
    assert memory.verify().ok
    memory.close()
    assert not holds(path, "zanzibarium")


def test_a_staged_forget_leaves_no_bytes_behind(path):
    memory = Memory(path, embedder=None)
    id = memory.add("the password is zanzibarium", user_id="ana").id
    with memory.begin() as tx:
        tx.forget(id)
    assert not pending(memory)
    assert not holds(path, "zanzibarium")
    memory.close()


@pytest.mark.parametrize("call", ["get_all", "search"])
def test_an_erasure_overtakes_a_read_of_a_large_memory(open_memory, monkeypatch, call):
    """The blob is gone while the reader's snapshot still names it: it was forgotten, not damaged."""
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    memory = open_memory()
    id = memory.add(f"harbour {'x' * 3_000}", user_id="ana").id
    memory.add("harbour, the small one", user_id="ana")
    blobs = memory._vault.store.blobs
    read = blobs.get

    def overtaken(name):
        monkeypatch.setattr(blobs, "get", read)
        thread = threading.Thread(target=memory.forget, args=(id,))
        thread.start()
        thread.join()
        return read(name)

    monkeypatch.setattr(blobs, "get", overtaken)
    if call == "search":
        found = [hit.text for hit in memory.search("harbour", user_id="ana")]
    else:
        found = [cube.text for cube in memory.get_all(user_id="ana")]
    assert found == ["harbour, the small one"]


def test_verify_beside_a_writer_of_blobs(open_memory, script, path, monkeypatch):
    """A blob on its way to its commit is no orphan."""
    monkeypatch.setattr(canonical, "BLOB_THRESHOLD", 2_000)
    memory, problems, stop = open_memory(), [], threading.Event()

    def check():
        other = open_memory()
        while not stop.is_set():
            problems.extend(other.verify().problems)

    thread = threading.Thread(target=check)
    thread.start()
    for number in range(60):
        memory.add(f"harbour {number} {'x' * 3_000}", user_id="ana")
    stop.set()
    thread.join()
    assert problems == []
