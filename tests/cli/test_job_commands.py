"""jobs, their budgets, compact."""

import pytest

from mnemos.app.config import SystemClock
from mnemos.app.memory import Memory
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.upkeep import jobs


@pytest.fixture
def dead(vault) -> int:
    """A job that failed for the last time."""
    now = SystemClock().now()
    with Memory(vault, embedder=None) as memory:
        store = memory._vault.store
        with store.write(SYSTEM) as tx:
            number = jobs.enqueue(tx, "default", "compact", due=0, cause=1, payload={"branch": 0})
            row = tx.get(jobs.schema.JOBS, ("default", number))
            tx.put(jobs.schema.JOBS, row._replace(attempts=jobs.MOST_ATTEMPTS - 1))
        row = jobs.claim(store, memory._vault.clock, "default", kinds=["compact"])
        with store.write(SYSTEM) as tx:
            assert jobs.fail(tx, jobs.lease_of(row), now, "no\nway \x1b[2J").state == jobs.DEAD
    return number


def test_nothing_to_do(run, vault):
    nothing = run("jobs", "--json")
    assert (nothing.code, nothing.json) == (1, {"jobs": []})
    done = run("jobs", "run")
    assert (done.code, done.out) == (0, "none was due; 0 jobs left\n")


def test_a_dead_job_is_shown_and_tried_again(run, vault, dead):
    (job,) = run("jobs", "list", "--state", "dead", "--json").json["jobs"]
    assert (job["number"], job["kind"], job["state"]) == (dead, "compact", "dead")
    shown = run("jobs").out
    assert "no way" in shown
    assert "\x1b" not in shown
    assert run("jobs", "--state", "ready").code == 1
    assert run("jobs", "retry", str(dead)).code == 0
    assert run("jobs", "retry", str(dead)).code == 3
    done = run("jobs", "run", "--json").json
    assert (done["done"], done["left"]) == (1, 0)


def test_drop(run, vault, dead):
    assert run("jobs", "drop", dead, "--json").json == {"verb": "drop", "job": dead}
    assert run("jobs", "list").code == 1
    refused = run("jobs", "drop", dead)
    assert refused.code == 3
    assert "`mnemos jobs` lists" in refused.err


def test_pause_and_resume(run, vault, dead):
    assert "`mnemos jobs resume`" in run("jobs", "pause", "compact").out
    run("jobs", "retry", dead)
    assert run("jobs", "run", "--json").json["left"] == 1
    assert run("jobs", "resume", "compact", "--json").json == {"verb": "resume", "kind": "compact"}
    assert run("jobs", "run", "--json").json["left"] == 0
    run("jobs", "pause")
    assert run("jobs", "resume", "compact").code == 3
    assert run("jobs", "resume").code == 0


def test_a_job_that_fails_for_the_last_time_is_an_exit_code(run, vault, dead, monkeypatch):
    with Memory(vault, embedder=None) as memory, memory._vault.store.write(SYSTEM) as tx:
        row = tx.get(jobs.schema.JOBS, ("default", dead))
        ready = row._replace(state=jobs.READY, due=0, attempts=jobs.MOST_ATTEMPTS - 1)
        tx.put(jobs.schema.JOBS, ready._replace(payload=b"{}"))
    failed = run("jobs", "run")
    assert failed.code == 1
    assert "--state dead" in failed.err


def test_budgets(run, vault):
    assert "no limit" in run("jobs", "budget").out
    found = run("jobs", "budget", "--user", "ana", "--calls", "20", "--seconds", "1.5", "--json")
    assert found.json | {"calls": 20, "seconds": 1.5, "tokens": None} == found.json
    shown = run("jobs", "budget", "--user", "ana").out
    assert "20" in shown
    assert run("jobs", "budget", "--json").json["calls"] is None
    cleared = run("jobs", "budget", "--user", "ana", "--unlimited", "--json").json
    assert cleared["calls"] is None
    assert run("jobs", "budget", "--calls", "1", "--unlimited").code == 2
    assert run("jobs", "budget", "--calls", "-1").code == 2


def test_compact(run, vault, ids):
    for number in range(3):
        run("update", ids["t1"], f"Version {number}")
    done = run("compact", "--full", "--json").json
    assert set(done) == {"pages", "rows", "bytes"}
    assert "gave" in run("compact").out
    assert run("verify").code == 0


@pytest.mark.parametrize(
    "args", [("list", "--state", "odd"), ("retry", "x"), ("nosuch",), ("drop",)]
)
def test_wrong_usage(run, vault, args):
    refused = run("jobs", *args)
    assert refused.code == 2
    assert refused.err.count("\n") == 1
