"""Any sequence of calls, crashes included, leaves what a plain model of them says.

Hypothesis draws the calls; ``plain_model`` says what each must do. Every call is compared with the
model as it returns or refuses; between calls the present, the past, snapshots, branches, searches
and differences are read and compared. Segments are made small, so that sealing, joining and
compaction happen within a few calls.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mnemos import Memory
from mnemos.errors import MnemosError, NotFound
from mnemos.kernel import pages, schema, segments
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.keys import index_text
from mnemos.kernel.upkeep import compaction
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, KillAt, SeededEntropy, SimClock
from mnemos.types import MemCube, Receipt, Scope, State


def _beside(name: str) -> ModuleType:
    """Return a module that lies beside this one: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


model = _beside("plain_model")
drawn = _beside("machine_calls")

EVERYTHING = frozenset(State) - {State.FORGOTTEN}
VERIFY_EVERY = 25
STEPS: Counter[str] = Counter()
"""How often each call was made, refused or run otherwise, by the test under way."""
SEEN: Counter[str] = Counter()
"""What came of them."""

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

NUMBERS = st.integers(0, 2**20)
CALLS = (
    "add", "add", "add", "many", "many", "update", "update", "update", "revert", "revert",
    "supersede", "contradict", "consolidate", "consolidate", "move", "flag", "forget", "forget",
    "forget_sources", "delete_all", "snapshot", "drop_snapshot", "branch", "branch", "merge",
    "merge", "rollback", "rollback", "undo", "transaction", "transaction", "advance", "compact",
)  # fmt: skip
"""What is called how often."""
ALONE = ("advance", "compact", "reopen", "crash")
"""Steps that are no calls on memories."""


class InMemory(drawn.Calls, RuleBasedStateMachine):
    """Calls on a vault that is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SimClock()
        self.world = drawn.World()
        self.steps = self.words = self.openings = 0
        self.receipts: list[tuple[str, str | None, Receipt, int]] = []
        self.kill_at, self.kill_before = 0, None
        self.sound = True
        """Whether the last step ended as it should."""
        self.memory = self.open()

    def open(self, **options: Any) -> Memory:
        self.openings += 1
        self.ids = drawn.Foreseen(str(self.openings))
        return self.make(
            clock=self.clock,
            ids=self.ids,
            entropy=SeededEntropy(self.openings),
            embedder=HashEmbedder(8),
            background="off",
            **options,
        )

    def make(self, **options: Any) -> Memory:
        return Memory(":memory:", **options)

    def teardown(self) -> None:
        try:
            if self.sound:
                self.look_at_everything()
        finally:
            self.memory.close()

    # --------------------------------------------------------------------- making

    def head(self) -> int:
        with self.memory._vault.store.read(SYSTEM) as tx:
            row = tx.get(schema.HEADS, ("default",))
        return row.seq if row else 0

    def bind(self, memory: Memory, op: drawn.Op) -> Memory:
        return memory.view(branch=op.line, user_id=op.subject) if op.line else memory

    def do(self, op: drawn.Op) -> bool:
        """Make a call, here or in a process that is killed, and compare it with the model.

        Returns whether it was made, and not refused.
        """
        trial = op.after or self.world.begin(self.clock.now())
        wanted, errors = self.foresee(op, trial)
        if self.kill_at:
            self.crash_during(op, trial, errors)
            return not errors
        before = self.head()
        if errors:
            with pytest.raises(errors):
                op.call(self.bind(self.memory, op))
            assert self.head() == before
            return False
        got = op.call(self.bind(self.memory, op))
        self.adopt(trial)
        if isinstance(got, Receipt):
            self.check_receipt(op, got, wanted, before)
        if op.check is not None:
            op.check(got, wanted)
        SEEN["clashes"] += len(wanted.clashes)
        SEEN["merged"] += len(wanted.ids) * (getattr(got, "applied", False))
        return True

    def foresee(self, op: drawn.Op, trial: drawn.World) -> tuple[Any, tuple[type[Exception], ...]]:
        try:
            return op.effect(trial.pages[op.subject]), ()
        except model.Refused as refused:
            return None, refused.errors

    def adopt(self, trial: drawn.World) -> None:
        trial.positions.append(self.head())
        trial.walls.append(self.clock.now())
        self.world = trial

    def check_receipt(self, op: drawn.Op, receipt: Receipt, wanted: Any, before: int) -> None:
        assert (receipt.before, receipt.seq) == (before, self.head())
        if receipt.seq:
            self.receipts.append((op.subject, op.line, receipt, len(self.world.positions) - 1))
        if receipt.verb in ("snapshot", "drop_snapshot"):
            return
        assert sorted(receipt.ids) == sorted(wanted.ids)
        assert (receipt.duplicates, receipt.suppressed) == (wanted.duplicates, wanted.suppressed)
        assert set(receipt.forgotten) == wanted.forgotten
        assert set(receipt.restored) == wanted.restored
        assert set(receipt.sources) == wanted.sources
        for name in ("duplicates", "suppressed"):
            SEEN[name] += getattr(wanted, name)
        for name in ("forgotten", "restored", "sources"):
            SEEN[name] += len(getattr(wanted, name))

    def crash_during(
        self, op: drawn.Op, trial: drawn.World, errors: tuple[type[Exception], ...]
    ) -> None:
        raise AssertionError("only a file outlives a process")

    # ------------------------------------------------------------------- the rules

    @initialize(n=NUMBERS)
    def begin(self, n: int) -> None:
        """Write something first, so that there is something to call about."""
        self.do(self.make_many(Random(n)))

    @rule(name=st.sampled_from(CALLS), n=NUMBERS)
    def call(self, name: str, n: int) -> None:
        self.step(name, n)

    def step(self, name: str, n: int) -> None:
        self.sound = False
        self.steps += 1
        random = Random(n)
        if name in ALONE:
            getattr(self, name)(random)
            STEPS[name] += 1
        else:
            made = self.do(getattr(self, f"make_{name}")(random))
            STEPS[name if made else f"{name}, refused"] += 1
        self.sound = True

    def advance(self, random: Random) -> None:
        self.clock.advance(hours=random.randint(1, 60))

    def compact(self, random: Random) -> None:
        with self.memory._vault.store.write(SYSTEM) as tx:
            for page in list(tx.scan(schema.PAGES, ())):
                moved = 1
                while moved:
                    page, moved = compaction.compact(tx, page, most=random.randint(1, 4))
                    SEEN["rows compacted"] += moved
        self.look_at_everything()

    # ------------------------------------------------------------------- comparing

    def view(self, subject: str, line: str | None, as_of: Any = None, **how: Any) -> Memory:
        return self.memory.view(branch=line, as_of=as_of, user_id=subject, **how)

    def facts(self, page: Any, line: str | None, id: str, tick: int | None) -> tuple[Any, ...]:
        entries = page.versions(line, id, tick)
        return self.told(id, entries[-1].version, len(entries))

    def told(self, id: str, version: Any, number: int) -> tuple[Any, ...]:
        said = version.said
        plain = (getattr(said, name) for name in model.Said.__dataclass_fields__)
        return id, number, version.state, *plain

    def compare_list(
        self,
        cubes: list[MemCube],
        world: drawn.World,
        subject: str,
        line: str | None,
        tick: int | None = None,
        *,
        current: bool = False,
        forgotten: bool = False,
        **how: Any,
    ) -> None:
        """Compare a listing; with ``forgotten`` numbers of versions are left out."""
        page = world.pages[subject]
        page.now = self.clock.now()
        wanted = [self.facts(page, line, id, tick) for id in page.visible(line, tick, **how)]
        found = [drawn.read(cube) for cube in cubes]
        if forgotten:
            wanted, found = ([(row[0], *row[2:]) for row in rows] for rows in (wanted, found))
        assert found == wanted
        for cube in cubes if not forgotten else ():
            made = page.versions(line, cube.id, tick)[-1].since
            if made < len(world.positions):
                assert world.positions[made - 1] < cube.recorded_seq <= world.positions[made]
            assert not current or cube.retired_seq is None

    @invariant()
    def look(self) -> None:
        random, self.sound = Random(self.steps), False
        for check in random.sample(self.CHECKS, 3):
            getattr(self, f"check_{check}")(random)
        if self.steps % VERIFY_EVERY == VERIFY_EVERY - 1:
            assert self.memory.verify().problems == []
        self.sound = True

    CHECKS = (
        "present", "present", "past", "past", "valid_at", "states", "history", "search", "search",
        "past_search", "diff", "catalogue", "gone",
    )  # fmt: skip

    def check_present(self, random: Random) -> None:
        subject, line = self.place(random)
        self.look_at(subject, line)

    def look_at(self, subject: str, line: str | None) -> None:
        cubes = self.view(subject, line).get_all()
        self.compare_list(cubes, self.world, subject, line, current=True)

    def check_past(self, random: Random) -> None:
        subject, line = self.place(random)
        as_of, tick = self.as_of(random, subject)
        cubes = self.view(subject, line, as_of).get_all()
        self.compare_list(cubes, self.world, subject, line, tick)

    def check_valid_at(self, random: Random) -> None:
        subject, line = self.place(random)
        as_of, tick = self.as_of(random, subject) if random.random() < 0.5 else (None, None)
        when = self.days(random, -5, 5)
        cubes = self.view(subject, line, as_of, valid_at=when).get_all()
        self.compare_list(cubes, self.world, subject, line, tick, valid_at=when)

    def check_states(self, random: Random) -> None:
        subject, line = self.place(random)
        states = frozenset(random.sample(sorted(EVERYTHING), random.randint(1, 6)))
        view = self.view(subject, line)
        opened = view._view(Scope(tenant="default", subject=f"user:{subject}"), states=states)
        cubes = view._read(opened, lambda reader: list(reader.list()))
        named = frozenset(state.value for state in states)
        self.compare_list(cubes, self.world, subject, line, states=named)

    def check_history(self, random: Random) -> None:
        subject, line = self.place(random)
        as_of, tick = self.as_of(random, subject) if random.random() < 0.5 else (None, None)
        view, page = self.view(subject, line, as_of), self.page(subject)
        for id in random.sample(list(page.order), min(len(page.order), 4)):
            entries = page.versions(line, id, tick)
            if not entries or page.expired(entries[-1].version):
                with pytest.raises(NotFound):
                    view.history(id)
                continue
            found = [drawn.read(cube) for cube in view.history(id)]
            assert found == [
                self.told(id, item.version, number) for number, item in enumerate(entries, 1)
            ]
            if page.shows(page.at(line, id, tick)):
                assert drawn.read(view.get(id)) == self.facts(page, line, id, tick)
            else:
                with pytest.raises(NotFound):
                    view.get(id)

    def check_search(self, random: Random) -> None:
        subject, line = self.place(random)
        self.search(random, subject, line, None, None)

    def check_past_search(self, random: Random) -> None:
        subject, line = self.place(random)
        as_of, tick = self.as_of(random, subject)
        when = self.days(random, -5, 5) if random.random() < 0.3 else None
        self.search(random, subject, line, as_of, tick, valid_at=when)

    def search(
        self,
        random: Random,
        subject: str,
        line: str | None,
        as_of: Any,
        tick: int | None,
        valid_at: datetime | None = None,
    ) -> None:
        """Look for words that one version alone holds, and see that nothing hidden comes up."""
        view, page = self.view(subject, line, as_of, valid_at=valid_at), self.page(subject)
        visible = {
            id: page.at(line, id, tick) for id in page.visible(line, tick, valid_at=valid_at)
        }
        texts = {version.said.text for id in page.order for version in page.contents(id)}
        for text in random.sample(sorted(texts), min(len(texts), 3)):
            hits = view.search(text.split()[0], top_k=1_000)
            found = {hit.id: hit.text for hit in hits}
            assert found.items() <= {(id, item.said.text) for id, item in visible.items()}
            by_words = {hit.id for hit in hits if any(why.signal == "words" for why in hit.why)}
            assert by_words == {id for id, item in visible.items() if item.said.text == text}
        if texts:
            self.check_vectors(view, random.choice(sorted(texts)))

    def check_vectors(self, view: Memory, text: str) -> None:
        """See that every hit is as near as the vector of its own words makes it."""
        embedder, hits = HashEmbedder(8), view.search(text, top_k=1_000)
        (question,) = embedder.embed([text], query=True)
        said = [index_text(hit.cube.header, hit.cube.payload) for hit in hits]
        near = [why.value for hit in hits for why in hit.why if why.signal == "meaning"]
        assert near == pytest.approx((embedder.embed(said) @ question).tolist(), abs=1e-3)

    def check_diff(self, random: Random) -> None:
        subject = random.choices(drawn.SUBJECTS, (6, 1))[0]
        page, last = self.page(subject), len(self.world.positions) - 1
        lines = [None, *sorted(page.branches)]
        one, other = random.choice(lines), random.choice(lines)
        a, first = self.as_of(random, subject) if random.random() < 0.7 else (None, last)
        b, second = self.as_of(random, subject) if random.random() < 0.5 else (None, last)
        found = self.memory.diff(a, b, branch_a=one, branch_b=other, user_id=subject)
        wanted = page.differing((one, first), (other, second))
        assert {item.id for item in found} == set(wanted)
        for item in found:
            before, after = wanted[item.id]
            change = "added" if before is None else "removed" if after is None else "changed"
            assert item.change == change
            assert (item.before and item.before.text) == (before and before.said.text)
            assert (item.after and item.after.text) == (after and after.said.text)

    def check_catalogue(self, random: Random) -> None:
        for subject in drawn.SUBJECTS:
            page, at = self.page(subject), self.world.positions
            assert {
                (item.name, item.seq, item.branch)
                for item in self.memory.snapshots(user_id=subject)
            } == {(name, at[tick], line) for name, (tick, line) in page.snapshots.items()}
            assert {
                (item.name, item.parent, item.seq) for item in self.memory.branches(user_id=subject)
            } == {(name, item.parent, at[item.fork]) for name, item in page.branches.items()}

    def check_gone(self, random: Random) -> None:
        subject, line = self.place(random)
        gone = sorted(self.page(subject).gone)
        for id in random.sample(gone, min(len(gone), 3)):
            for memory in (self.memory, self.view(subject, line, f"#{self.head()}")):
                with pytest.raises(NotFound):
                    memory.get(id)
                with pytest.raises(NotFound):
                    memory.history(id)

    def look_at_everything(self) -> None:
        """Compare every line and every snapshot, search each, and verify."""
        random = Random(self.steps)
        for subject in drawn.SUBJECTS:
            page = self.page(subject)
            for line in (None, *sorted(page.branches)):
                self.look_at(subject, line)
                self.search(random, subject, line, None, None)
                for name, (tick, _) in sorted(page.snapshots.items()):
                    cubes = self.view(subject, line, name).get_all()
                    self.compare_list(cubes, self.world, subject, line, tick)
        assert self.memory.verify().problems == []


class OnFile(InMemory):
    """Calls on a vault that outlives processes, some of which are killed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mnemos-machine-"))
        super().__init__()

    def make(self, *, faults: Any = None, **options: Any) -> Memory:
        return Memory(store=SQLiteStore(self.folder / "vault.db", faults=faults), **options)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.folder)

    @rule(name=st.sampled_from((*CALLS, "crash", "crash", "crash", "reopen")), n=NUMBERS)
    def call(self, name: str, n: int) -> None:
        self.step(name, n)

    def reopen(self, _: Random) -> None:
        self.memory.close()
        self.memory = self.open()

    def crash(self, random: Random) -> None:
        """Have the next call made by a process that dies before one of its write steps."""
        self.kill_at = random.randint(1, random.choice([8, 24, 60]))
        self.kill_before = None
        if random.random() < 0.3:  # after the commit, in what makes an erasure leave the log
            self.kill_at, self.kill_before = 1, "checkpoint"
            self.do(self.make_forget(random))

    def crash_during(
        self, op: drawn.Op, trial: drawn.World, errors: tuple[type[Exception], ...]
    ) -> None:
        before, at, self.kill_at = self.head(), self.kill_at, 0
        self.memory.close()
        child = os.fork()
        if child == 0:
            self.die(op, at, errors)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        SEEN["killed" if killed else "not killed"] += 1
        self.memory = self.open()
        if not killed:
            assert os.waitstatus_to_exitcode(status) == (REFUSED if errors else 0)
        happened = self.head() != before
        if happened or not (killed or errors):
            assert not errors
            SEEN["killed after the commit"] += killed
            self.adopt(trial)
        self.look_at_everything()

    def die(self, op: drawn.Op, at: int, errors: tuple[type[Exception], ...]) -> None:
        """Be the child: make the call, and be killed before write step ``at`` of it."""
        code = FAILED
        try:
            faults = KillAt(1 << 30, step=self.kill_before)
            entropy = SeededEntropy(f"child {self.openings}")
            memory = self.make(
                faults=faults,
                clock=self.clock,
                ids=self.ids,
                entropy=entropy,
                embedder=HashEmbedder(8),
                background="off",
            )
            faults.left = at
            op.call(self.bind(memory, op))
            code = 0
        except MnemosError as error:
            code = REFUSED if isinstance(error, errors) else FAILED
        finally:
            os._exit(code)


REFUSED, FAILED = 3, 4


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch):
    """Have segments sealed and joined every few memories."""
    monkeypatch.setattr(segments, "SEAL_ROWS", 3)
    monkeypatch.setattr(pages, "SEAL_ROWS", 3)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 9)
    STEPS.clear()
    SEEN.clear()


def drive(machine: type[InMemory], *, runs: int, length: int) -> None:
    """Run a machine on drawn sequences of calls, the same every time.

    A failing sequence is shown as it is. To have it made short, which takes minutes, add
    ``Phase.shrink``.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=length,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
            report_multiple_bugs=False,
        ),
    )


def test_five_hundred_steps():
    drive(InMemory, runs=10, length=80)
    drive(OnFile, runs=4, length=60)
    assert STEPS.total() >= 500


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_steps():
    """Every call is made many times, and what is rare happens too."""
    drive(InMemory, runs=65, length=100)
    drive(OnFile, runs=60, length=100)
    for title, counts in (("steps", STEPS), ("seen", SEEN)):
        print(f"\n{title}: {counts.total()}")
        print(*(f"  {count:>6} {name}" for name, count in sorted(counts.items())), sep="\n")
    assert STEPS.total() >= 10_000
    few = {name: STEPS[name] for name in {*CALLS, *ALONE} if STEPS[name] < 40}
    assert not few
    rare = {name: count for name, count in SEEN.items() if count < 5}
    assert not rare
