"""Workers that die, several workers on one file, and forks: every job takes effect once."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from mnemos.errors import ModelError
from mnemos.kernel import schema
from mnemos.kernel.changes import Add, Changes, Forget, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep import jobs, upkeep_jobs
from mnemos.kernel.upkeep.runner import JobReport, Runner
from mnemos.kernel.upkeep.statistics import measure
from mnemos.kernel.vault import Staged, Vault
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import CountFaults, KillAt, SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Header, Scope, State, Text

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

SCOPE = Scope(tenant="t", subject="user:ana")
SOURCES = ("a" * 32, "b" * 32)
SUMMARY = "c" * 32


def open_vault(path, *, faults=None, later=0):
    clock = SimClock()
    clock.advance(seconds=later)
    store = SQLiteStore(path, faults=faults)
    return Vault(store, clock=clock, ids=SeededIds(later), entropy=SeededEntropy(later))


def draft(text, **header):
    return Draft(payload=Text(text=text), header=Header(**header))


def staged(*changes, **options):
    return Staged(Changes(scope=SCOPE, changes=changes, **options))


def merge(work):
    """Make one memory of two, which are retired with it."""
    summary = draft("both live by the harbour", derived_from=SOURCES)
    retired = [Transition(id=id, state=State.MERGED) for id in SOURCES]
    return [staged(Add(id=SUMMARY, draft=summary), *retired)]


def fails(work):
    work.spend(calls=1)
    raise ModelError("away")


HANDLERS = {"merge": merge, "fails": fails, **upkeep_jobs.built_in()}


def prepare(path, kind, **payload):
    """Make a vault with two memories and a job."""
    vault = open_vault(path)
    vault.commit([staged(*(Add(id=id, draft=draft(f"home of {id[0]}")) for id in SOURCES))])
    with vault.store.write(SYSTEM) as tx:
        jobs.enqueue(tx, "t", kind, due=0, cause=2, subject=1, payload=payload)
    vault.close()


def in_child(action):
    """Run an action in a forked child and return how it ended: a signal, or an exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def run_and_die(path, n):
    vault = open_vault(path, faults=KillAt(n), later=1)
    Runner(vault, "t", HANDLERS, mode="off").run_due()


def killed_at_every_step(tmp_path, original):
    """Yield a vault per write step of running its jobs, killed before that step, and the step."""
    n = 0
    while True:
        n += 1
        path = tmp_path / f"{n}.db"
        shutil.copy(original, path)
        end = in_child(lambda path=path, n=n: run_and_die(path, n))
        if end == 0:
            return
        assert end == -signal.SIGKILL
        yield path, n


def rows(vault, table, *prefix):
    with vault.store.read(SYSTEM) as tx:
        return list(tx.scan(table, prefix))


def states(vault):
    live = [row for row in rows(vault, schema.VERSIONS, "t") if row.dead == schema.ALIVE]
    return sorted(row.state for row in live)


BEFORE, AFTER = ["activated"] * 2, ["activated", "merged", "merged"]


def test_a_fenced_commit_killed_at_every_step(tmp_path):
    prepare(tmp_path / "original.db", "merge")
    steps, seen = 0, set()
    for path, _ in killed_at_every_step(tmp_path, tmp_path / "original.db"):
        steps += 1
        vault = open_vault(path, later=2)
        assert verify(vault).problems == []
        (job,) = rows(vault, schema.JOBS)  # else the child would have come to its end
        assert states(vault) == BEFORE
        seen.add((job.state, job.attempts, job.token))
        run = Runner(vault, "t", HANDLERS, mode="off")
        if job.state == "leased":
            assert run.run_due() == JobReport()
        vault.clock.advance(seconds=jobs.LEASE)
        assert run.run_due() == JobReport(done=1)
        assert states(vault) == AFTER
        assert rows(vault, schema.JOBS) == []
        assert verify(vault).problems == []
        vault.close()
    assert seen == {("ready", 0, 0), ("leased", 1, 1)}
    assert steps > 15


def test_a_commit_that_came_about_is_not_repeated(tmp_path):
    """Killed after its last step, nothing is left to do."""
    path = tmp_path / "vault.db"
    prepare(path, "merge")
    assert in_child(lambda: run_and_die(path, 10_000)) == 0
    vault = open_vault(path, later=2 * jobs.LEASE)
    assert Runner(vault, "t", HANDLERS, mode="off").run_due() == JobReport()
    assert states(vault) == AFTER
    vault.close()


def test_failing_killed_at_every_step(tmp_path):
    prepare(tmp_path / "original.db", "fails")
    seen = []
    for path, _ in killed_at_every_step(tmp_path, tmp_path / "original.db"):
        vault = open_vault(path, later=2)
        assert verify(vault).problems == []
        (job,) = rows(vault, schema.JOBS)
        spent = [row.calls for row in rows(vault, schema.SPENT)]
        seen.append((job.state, job.attempts, job.error, tuple(spent)))
        vault.clock.advance(seconds=jobs.LEASE)
        assert Runner(vault, "t", HANDLERS, mode="off").run_due() == JobReport(retried=1)
        vault.close()
    assert set(seen) == {
        ("ready", 0, "", ()),
        ("leased", 1, "", ()),
        ("leased", 1, "", (1, 1)),  # of the scope and of the tenant, both or none
    }


def test_compaction_killed_at_every_step(tmp_path, monkeypatch):
    from mnemos.kernel import pages, segments
    from mnemos.kernel.upkeep import compaction

    for module, name, value in (
        (segments, "SEGMENT_ROWS", 5),
        (segments, "SEAL_ROWS", 2),
        (pages, "SEAL_ROWS", 2),
        (compaction, "LEAST", 4),
    ):
        monkeypatch.setattr(module, name, value)
    original = tmp_path / "original.db"
    prepare(original, "compact", branch=0)
    vault = open_vault(original)
    for turn in range(6):
        vault.commit([staged(*(Update(id=id, draft=draft(f"turn {turn}")) for id in SOURCES))])
    vault.close()
    killed = 0
    for path, n in killed_at_every_step(tmp_path, original):
        if n % 3:
            continue
        killed += 1
        vault = open_vault(path, later=2 + jobs.LEASE)
        assert verify(vault).problems == []
        Runner(vault, "t", HANDLERS, mode="off").run_due()
        assert rows(vault, schema.JOBS) == []
        assert measure(vault, "t").history_rows >= 8
        assert verify(vault).problems == []
        vault.close()
    assert killed > 3


@pytest.mark.parametrize("most", [10**9, -1])
def test_a_vacuum_killed_at_every_step(tmp_path, most):
    original = tmp_path / "original.db"
    vault = open_vault(original)
    texts = ["kept", *("tide " * 50_000 for _ in range(3))]
    ids = [f"{n:032x}" for n in range(4)]
    for id, text in zip(ids, texts, strict=True):
        vault.commit([staged(Add(id=id, draft=draft(text)))])
    vault.commit([staged(*(Forget(id=id) for id in ids[1:]))])
    vault.scrub()
    vault.close()
    counted = CountFaults()
    probe = tmp_path / "probe.db"
    shutil.copy(original, probe)
    store = SQLiteStore(probe, faults=counted)
    assert store.vacuum(most) > 500_000
    store.close()
    last = len(counted.steps)
    for n in sorted({*range(1, last, 40), *range(max(last - 3, 1), last + 1)}):
        path = tmp_path / f"{most}-{n}.db"
        shutil.copy(original, path)

        def die(path=path, n=n):
            SQLiteStore(path, faults=KillAt(n)).vacuum(most)

        assert in_child(die) == -signal.SIGKILL
        vault = open_vault(path)
        assert verify(vault).problems == []
        vault.store.vacuum(most)
        assert vault.store.free() == 0
        assert vault.store.size() < original.stat().st_size / 2
        assert verify(vault).problems == []
        vault.close()


def test_a_file_begun_by_format_1_gives_room_back_when_made_anew(tmp_path):
    path = tmp_path / "old.db"
    shutil.copy(Path(__file__).parents[1] / "fixtures" / "vault-format-1.db", path)
    store = SQLiteStore(path)
    with store.write(SYSTEM) as tx:
        tx.insert(schema.META, [schema.Meta("ballast", "x" * 3_000_000)])
    with store.write(SYSTEM) as tx:
        tx.delete(schema.META, ("ballast",))
    assert store.free() > 2_000_000
    assert store.vacuum(10**9) == 0
    assert store.vacuum(-1) > 2_000_000
    with store.write(SYSTEM) as tx:
        tx.insert(schema.META, [schema.Meta("ballast", "x" * 3_000_000)])
    with store.write(SYSTEM) as tx:
        tx.delete(schema.META, ("ballast",))
    assert store.vacuum(10**9) > 2_000_000  # from now on a little at a time
    assert store.check() == []
    store.close()


# ------------------------------------------------------------------------------- several processes

WORKER = """
import sys
from mnemos.kernel.changes import Add, Changes
from mnemos.kernel.upkeep.runner import Runner
from mnemos.kernel.vault import Staged, Vault
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Scope, Text

def handler(work):
    n = work.payload["n"]
    change = Add(id=f"{n:032x}", draft=Draft(payload=Text(text=f"job {n}")))
    ran.append(n)
    return [Staged(Changes(scope=Scope(tenant="t", subject="user:ana"), changes=(change,)))]

def stuck(work):
    print("begun", flush=True)
    sys.stdin.readline()

ran = []
vault = Vault(SQLiteStore(sys.argv[1]), clock=SimClock(), ids=SeededIds(), entropy=SeededEntropy())
print("ready", flush=True)
sys.stdin.readline()
report = Runner(vault, "t", {"work": handler, "stuck": stuck}, mode="off").run_due()
assert report.lost == report.retried == 0, report
print(*ran)
vault.close()
"""


def test_processes_share_the_jobs_and_none_is_run_twice(script, path):
    vault = open_vault(path)
    with vault.store.write(SYSTEM) as tx:
        for n in range(60):
            jobs.enqueue(tx, "t", "work", due=0, cause=0, payload={"n": n})
    workers = [script(WORKER, path) for _ in range(3)]
    assert [worker.line() for worker in workers] == ["ready"] * 3
    for worker in workers:
        worker.go_on()
    ran = [[int(n) for n in worker.end().split()] for worker in workers]
    assert sorted(n for one in ran for n in one) == list(range(60))
    assert rows(vault, schema.JOBS) == []
    assert len(rows(vault, schema.IDS)) == 60
    assert verify(vault).problems == []
    vault.close()


def test_the_job_of_a_killed_process_is_taken_over_after_its_lease(script, path):
    vault = open_vault(path)
    with vault.store.write(SYSTEM) as tx:
        jobs.enqueue(tx, "t", "stuck", due=0, cause=0)
    worker = script(WORKER, path)
    assert worker.line() == "ready"
    worker.go_on()
    assert worker.line() == "begun"
    worker.kill()
    run = Runner(vault, "t", {"stuck": lambda work: None}, mode="off")
    assert run.run_due() == JobReport()
    vault.clock.advance(seconds=jobs.LEASE)
    assert run.run_due() == JobReport(done=1)
    vault.close()


# ------------------------------------------------------------------------------------------- forks


def test_parent_and_child_both_run_jobs_after_a_fork(path):
    vault = open_vault(path)
    begun, go_on = threading.Event(), threading.Event()

    def slow(work):
        begun.set()
        assert go_on.wait(60)

    handlers = {"slow": slow, "quick": lambda work: None}
    run = Runner(vault, "t", handlers, mode="thread")

    def ask(kind):
        with vault.store.write(SYSTEM) as tx:
            jobs.enqueue(tx, "t", kind, due=0, cause=1)
        run.nudge()

    ask("slow")
    assert begun.wait(60)

    def child():
        assert run._thread is not None  # the parent's, which is not here
        ask("quick")
        (left,) = run.wait(0, 1, timeout=0.3)
        assert (left.kind, left.state) == ("slow", "leased")
        run.close()
        vault.close()

    assert in_child(child) == 0
    go_on.set()
    assert run.wait(0, 1, timeout=60) == []
    ask("quick")
    assert run.wait(0, 1, timeout=60) == []
    run.close()
    assert verify(vault).problems == []
    vault.close()
