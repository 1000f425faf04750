"""Whatever instant a process dies at, what was acknowledged is there afterwards."""

import json
import os
import signal

import pytest

from mnemos import Memory
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import KillAt

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def check(result):
    assert result.failures == []
    assert result.ok
    assert result.lost == result.half_done == result.unopened == result.unverified == 0


def test_kill_before_every_kind_of_step(campaign, tmp_path):
    """One kill for every kind of step, and chains of kills on one vault."""
    run = campaign.Campaign(tmp_path, seed=11)
    steps = run.steps()
    kinds = {}
    for number, step in enumerate(steps, start=1):
        kinds.setdefault(step.split(": ")[1], []).append(number)
    assert set(kinds) == {
        "sql", "commit", "fsync", "mkdir", "blob", "rename", "unlink", "checkpoint",
    }  # fmt: skip
    run.at_steps(sorted(number for numbers in kinds.values() for number in numbers[:2]))
    run.in_chains(16, steps=len(steps), outside=False)
    run.in_chains(10, steps=len(steps), outside=True, seconds=0.5)
    check(run.result)
    assert sum(run.result.kills.values()) >= 40
    assert run.result.checked > 100


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_kills(campaign, tmp_path):
    result = campaign.run(tmp_path, kills=500, seed=1)
    check(result)
    assert sum(result.kills.values()) >= 500
    assert result.acknowledged > 1_000
    json.loads(result.as_json())


def test_the_campaign_notices_a_lost_write(campaign, tmp_path):
    """A positive control: a vault that lost a memory, and one that kept half a call."""
    ledger = campaign.Ledger()
    ledger.read(
        b'{"attempt": "add", "adds": [["one", "t1"]]}\n{"acknowledged": ["a"]}\n'
        b'{"attempt": "add_many", "adds": [["two", "t2"], ["three", "t3"]]}\n{"ackn'
    )
    assert ledger.cubes == {"a": ["t1"]}
    assert ledger.settle({})[0] == 1
    ledger.effect = {"adds": [["two", "t2"], ["three", "t3"]]}
    assert ledger.settle({"a": ["t1"], "b": ["t2"]}) == (
        0,
        ["b is there and was never acknowledged"],
    )
    ledger.effect = {"adds": [["two", "t2"], ["three", "t3"]]}
    assert ledger.settle({"a": ["t1"], "b": ["t2"], "c": ["t3"]}) == (0, [])
    assert ledger.cubes == {"a": ["t1"], "b": ["t2"], "c": ["t3"]}
    assert ledger.settle({"a": ["t1"], "b": ["t2"], "c": ["t4"]})[0] == 1


def test_a_child_really_dies_at_its_step(path):
    pid = os.fork()
    if pid == 0:
        SQLiteStore(path, faults=KillAt(5))
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with Memory(path, embedder=None) as memory:
        assert memory.verify().ok
