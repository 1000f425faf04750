"""kill -9 at every write step of every call that writes: afterwards it happened whole, or not."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from operations import OPERATIONS, Operation, build, fingerprint, open_memory, said

from mnemos.kernel import segments
from mnemos.kernel.upkeep import compaction
from mnemos.testing import CountFaults, KillAt

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
FEW = 2
"""Steps tried for each call in the fast tier, spread over it."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A vault with a past, and the ids of its memories."""
    kept = segments.SEAL_ROWS, segments.SEGMENT_ROWS, compaction.LEAST
    path = tmp_path_factory.mktemp("base") / "memory.db"
    yield path, build(path)
    segments.SEAL_ROWS, segments.SEGMENT_ROWS, compaction.LEAST = kept


def copied(base: Path, folder: Path) -> Path:
    folder.mkdir()
    path = folder / "memory.db"
    for name in ("memory.db", "memory.db-wal", "memory.db.blobs"):
        source = base.with_name(name)
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy(source, folder / name)
    return path


def run(operation: Operation, path: Path, ids: dict[str, str], faults: Any) -> bool:
    """Run the call in a child of its own; return whether it came to its end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            memory = open_memory(path, "run", faults)
            operation.run(memory, ids)
            os.write(write, b"done")
            memory.close()
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    done = os.read(read, 4) == b"done"
    os.close(read)
    status = os.waitpid(pid, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or (done and os.WEXITSTATUS(status) == 0), "the child failed by itself"
    return done


def look(path: Path, ids: dict[str, str], operation: Operation) -> tuple[Any, Any]:
    """Open what a kill left, check it, and return what it holds and what it shows."""
    with open_memory(path, "look") as memory:
        assert memory.verify().problems == []
        held, shown = fingerprint(memory), None
        if operation.resumable:
            operation.run(memory, ids)
            assert memory.verify().problems == []
            shown = said(memory)
    return held, shown


def campaign(operation: Operation, base: tuple[Path, dict[str, str]], folder: Path, few: int):
    """Kill the call before chosen steps; return how often it had happened and how often not."""
    source, ids = base
    before, _ = look(copied(source, folder / "before"), ids, operation)
    whole = copied(source, folder / "whole")
    faults = CountFaults()
    with open_memory(whole, "run", faults) as memory:
        operation.run(memory, ids)
    steps = len(faults.steps)
    after, shown = look(whole, ids, operation)
    assert after != before or operation.resumable
    chosen = range(1, steps + 1) if not few else sorted({1 + i * steps // few for i in range(few)})
    happened = [0, 0]
    for step in chosen:
        path = copied(source, folder / f"at {step}")
        done = run(operation, path, ids, KillAt(step))
        held, again = look(path, ids, operation)
        if operation.resumable:
            assert again == shown, f"step {step} of {steps}"
        else:
            assert held in (before, after), f"step {step} of {steps} left something half done"
            assert held == after or not done, f"step {step}: acknowledged, and not there"
        happened[held == after] += 1
        shutil.rmtree(path.parent)
    return steps, happened


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: item.name)
def test_a_kill_at_a_few_steps(operation, base, tmp_path):
    campaign(operation, base, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_at_every_step(base, tmp_path, capsys):
    """Every step of every call; prints how many there were."""
    total, not_done, done = 0, 0, 0
    for number, operation in enumerate(OPERATIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        steps, happened = campaign(operation, base, folder, 0)
        total += steps
        not_done, done = not_done + happened[0], done + happened[1]
        with capsys.disabled():
            print(f"\n  {operation.name}: {steps} kills, {happened[1]} after the commit", end="")
    with capsys.disabled():
        print(f"\n  {len(OPERATIONS)} calls, {total} kills: {not_done} before, {done} after")
    assert not_done > total // 2
    assert done > 0


def test_the_check_notices_half_a_call(base, tmp_path):
    """A positive control: a call that is two commits is caught between them."""
    half = Operation(
        "two commits", lambda m, _: (m.add("one", user_id="ana"), m.add("two", user_id="ana"))
    )
    with pytest.raises(AssertionError, match="half done"):
        campaign(half, base, tmp_path, 0)
