"""Kill a process that writes memories, again and again, and look at what is left.

Part A kills at every write step of a scripted workload: each statement, commit, sync, rename,
removal, checkpoint and blob, once before each, on a fresh vault. Part B kills from outside at
random moments and at random steps, kill after kill on one vault. After every kill another process
opens the vault and compares it with what was acknowledged through a pipe.

    python scripts/crash_campaign.py --kills 500

The parent never opens a vault, so children are forked from a warm process and start at once.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashlib
import json
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import click
import numpy  # noqa: F401 - loaded before the forks
from tabulate import tabulate

from mnemos import Memory
from mnemos.errors import NotFound
from mnemos.kernel import segments
from mnemos.kernel.canonical import BLOB_THRESHOLD
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import CountFaults, HashEmbedder, KillAt, SeededEntropy, SeededIds
from mnemos.types import Draft, Header, Text

USER = "ana"
SEAL_ROWS, SEGMENT_ROWS = 2, 6
WORDS = "harbour lantern ferry bread winter letter garden bicycle rain market".split()
CHAIN = 8
"""Kills on one vault before the next is begun."""
REPEAT = 60
"""How often a child that is killed from outside repeats the workload at most."""


def marker(name: str) -> str:
    """Return a word that no other text holds."""
    return "mk" + hashlib.blake2b(name.encode(), digest_size=9).hexdigest()


def make_text(name: str, *, large: bool = False) -> str:
    """Return the text of one memory, the same whenever it is asked for.

    Every text has figures of its own: one that repeats a memory already read but for a word is an
    echo, and is not found by its own word.
    """
    random = Random(name)
    words = " ".join(random.choice(WORDS) for _ in range(random.randint(3, 12)))
    day, year = random.randint(1, 28), random.randint(1026, 2026)
    text = f"{marker(name)} {words} on {day} March {year}"
    return f"{text} {'x' * BLOB_THRESHOLD}" if large else text


def digest(text: str) -> str:
    """Return what an acknowledgement says of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def seal_often() -> None:
    """Have segments sealed and joined every few memories in this process."""
    assert segments.SEAL_ROWS > SEAL_ROWS or segments.SEGMENT_ROWS == SEGMENT_ROWS
    segments.SEAL_ROWS, segments.SEGMENT_ROWS = SEAL_ROWS, SEGMENT_ROWS


def open_memory(path: Path, name: str, faults: Any = None) -> Memory:
    """Open a vault so that it seals segments every few memories."""
    segments.SEGMENT_ROWS = SEGMENT_ROWS
    segments.SEAL_ROWS = SEGMENT_ROWS // 2
    return Memory(
        embedder=HashEmbedder(16),
        ids=SeededIds(name),
        entropy=SeededEntropy(name),
        store=SQLiteStore(path, faults=faults),
    )


# ------------------------------------------------------------------------- the one that is killed


class Diary:
    """Tells the parent what is tried and what was acknowledged, one line each."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.call = "open"

    def say(self, **line: Any) -> None:
        """Write one line."""
        os.write(self._pipe, json.dumps(line).encode() + b"\n")

    def attempt(self, call: str, **effect: Any) -> None:
        """Say what the next call will do."""
        self.call = call
        self.say(attempt=call, **effect)

    def acknowledge(self, *ids: str) -> None:
        """Say that it returned, and the ids of what it added."""
        self.say(acknowledged=ids)


class Killer(KillAt):
    """Names its step, then dies."""

    def __init__(self, n: int, diary: Diary) -> None:
        super().__init__(n)
        self._diary = diary

    def reach(self, step: str) -> None:
        if self.left == 1:
            self._diary.say(step=step, call=self._diary.call)
        super().reach(step)


def workload(memory: Memory, diary: Diary, name: str, *, blobs: bool = True) -> None:
    """Write through every call that writes; ``name`` makes the texts of this run its own."""
    texts = {
        key: make_text(f"{name}/{key}", large=blobs and key.startswith("large"))
        for key in ("one", "outer", "outer 2", "update", "large", "large 2", "late", "tx 1", "tx 2")
    }
    many = [make_text(f"{name}/many {number}") for number in range(5)]
    outer = f"outer-{name}"

    def add(key: str, call: str = "add", **more: Any) -> str:
        diary.attempt(call, adds=[[f"{name}/{key}", digest(texts[key])]])
        id = memory.add(texts[key], user_id=USER, **more).id
        diary.acknowledge(id)
        return id

    def forget(id: str, call: str = "forget") -> None:
        diary.attempt(call, forgets=[id])
        places = memory.forget(id).places
        assert all(place.status == "purged" for place in places), places
        diary.acknowledge()

    one = add("one")
    outer_id = add("outer", "add external", external_id=outer)
    diary.attempt("add_many", adds=[[f"{name}/many {n}", digest(t)] for n, t in enumerate(many)])
    drafts = [
        Draft(payload=Text(text=text), header=Header(external_id=f"{outer}-{n}"))
        for n, text in enumerate(many)
    ]
    ids = memory.add_many(drafts, user_id=USER).ids
    diary.acknowledge(*ids)
    diary.attempt("update", updates={one: [f"{name}/update", digest(texts["update"])]})
    memory.update(one, texts["update"])
    diary.acknowledge()
    large = add("large", "add blob" if blobs else "add")
    diary.attempt("replace", updates={outer_id: [f"{name}/outer 2", digest(texts["outer 2"])]})
    memory.add(texts["outer 2"], user_id=USER, external_id=outer, on_conflict="update")
    diary.acknowledge()
    forget(ids[1])
    forget(large, "forget blob" if blobs else "forget")
    diary.attempt(
        "transaction",
        adds=[[f"{name}/{key}", digest(texts[key])] for key in ("tx 1", "tx 2")],
        updates={ids[2]: [f"{name}/late", digest(texts["late"])]},
    )
    with memory.begin() as tx:
        first, second = (tx.add(texts[key], user_id=USER).id for key in ("tx 1", "tx 2"))
        tx.update(ids[2], texts["late"])
    diary.acknowledge(first, second)
    add("large 2", "add blob" if blobs else "add")


def write(path: Path, name: str, pipe: int, *, at: int = 0, repeat: int = 1) -> None:
    """Be the child: write until killed before step ``at``, or from outside."""
    diary = Diary(pipe)
    memory = open_memory(path, name, Killer(at, diary) if at else None)
    for turn in range(repeat):
        workload(memory, diary, f"{name}.{turn}", blobs=bool(at) or turn % 12 == 8)
    diary.say(finished=True)


def count_steps(path: Path, name: str, pipe: int) -> None:
    """Be a child that is not killed, and list the steps with the calls they belong to."""
    diary = Diary(os.open(os.devnull, os.O_WRONLY))

    class Labelled(CountFaults):
        def reach(self, step: str) -> None:
            self.steps.append(f"{diary.call}: {step}")

    faults = Labelled()
    memory = open_memory(path, name, faults)
    workload(memory, diary, f"{name}.0")
    os.write(pipe, json.dumps(faults.steps).encode())


# --------------------------------------------------------------------------- the one that checks


def inspect(path: Path, known: dict[str, str], gone: dict[str, str], seed: int, pipe: int) -> None:
    """Be the child that opens the vault after the kill, and report what is in it.

    Parameters
    ----------
    known : dict of str to str
        Ids that must be there, and the unique word of their present text.
    gone : dict of str to str
        Ids whose erasure was acknowledged, and the unique words of their texts.
    """
    found: dict[str, Any] = {"opened": False, "problems": []}
    problems: list[str] = found["problems"]
    try:
        residue = _residue(path, gone)
        memory = open_memory(path, f"check {seed}")
        found["opened"] = True
        cubes = memory.get_all(user_id=USER, limit=100_000)
        found["cubes"] = {
            cube.id: [digest(version.text) for version in memory.history(cube.id)] for cube in cubes
        }
        report = memory.verify()
        found["verified"] = report.ok
        problems.extend(report.problems)
        problems.extend(f"the bytes of forgotten {id} are still on the medium" for id in residue)
        problems.extend(_unsearchable(memory, known, gone, Random(seed)))
        memory.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
        problems.append(f"{type(error).__name__}: {error}")
    data = memoryview(json.dumps(found).encode())
    while data:
        data = data[os.write(pipe, data) :]


def _residue(path: Path, gone: dict[str, str]) -> list[str]:
    """Return erased ids whose words still lie in the files."""
    files = [path, Path(f"{path}-wal"), *Path(f"{path}.blobs").glob("*")]
    data = b"".join(file.read_bytes() for file in files if file.is_file())
    return [
        id for id, words in gone.items() if any(word.encode() in data for word in words.split())
    ]


def _unsearchable(
    memory: Memory, known: dict[str, str], gone: dict[str, str], random: Random
) -> Iterator[str]:
    for id in random.sample(sorted(known), min(4, len(known))):
        hits = memory.search(known[id], user_id=USER, top_k=3)
        if id not in [hit.id for hit in hits]:
            yield f"memory {id} is not found by its own word"
    for id in random.sample(sorted(gone), min(3, len(gone))):
        with suppress(NotFound):
            memory.get(id)
            yield f"forgotten memory {id} can be read"
        if any(hit.id == id for hit in memory.search(gone[id], user_id=USER)):
            yield f"forgotten memory {id} is found"


# ------------------------------------------------------------------------------------ the parent


@dataclass
class Ledger:
    """What a vault must hold: acknowledged texts by id, and the one call under way."""

    cubes: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    effect: dict[str, Any] | None = None
    step: str = ""
    call: str = "open"
    finished: bool = False
    acknowledged: int = 0

    def read(self, lines: bytes) -> None:
        """Take over what a child said before it died; a half written line counts for nothing."""
        self.step, self.call, self.effect, self.finished = "", "open", None, False
        for line in lines.split(b"\n")[:-1]:
            said = json.loads(line)
            if "attempt" in said:
                self.effect, self.call = said, said["attempt"]
            elif "acknowledged" in said:
                assert self.effect is not None
                self._apply(self.effect, said["acknowledged"])
                self.effect = None
                self.acknowledged += 1
            elif "step" in said:
                self.step, self.call = said["step"], said["call"]
            else:
                self.finished = True

    def _apply(self, effect: dict[str, Any], ids: list[str]) -> None:
        for id, (name, text) in zip(ids, effect.get("adds", ()), strict=True):
            self.cubes[id] = [text]
            self.words[id] = marker(name)
        for id, (name, text) in effect.get("updates", {}).items():
            self.cubes[id].append(text)
            self.words[id] += " " + marker(name)
        for id in effect.get("forgets", ()):
            del self.cubes[id]
            self.gone[id] = self.words.pop(id)

    def present(self) -> dict[str, str]:
        """Return the word each memory must be found by, but those the open call may change."""
        effect = self.effect or {}
        unsure = {*effect.get("updates", ()), *effect.get("forgets", ())}
        return {id: words.split()[-1] for id, words in self.words.items() if id not in unsure}

    def settle(self, found: dict[str, list[str]]) -> tuple[int, list[str]]:
        """Compare with what a vault holds; return how much was lost and what is half done.

        The open call may have happened or not, whole. Which one becomes part of the ledger.
        """
        before, effect = dict(self.cubes), self.effect
        self.effect = None
        new = {id: versions for id, versions in found.items() if id not in before}
        if effect is not None:
            wanted = Counter(text for _, text in effect.get("adds", ()))
            happened = dict(before)
            for id, (_, text) in effect.get("updates", {}).items():
                happened[id] = [*before[id], text]
            for id in effect.get("forgets", ()):
                happened.pop(id)
            rest = {id: versions for id, versions in found.items() if id not in new}
            if rest == happened and Counter(v[0] for v in new.values()) == wanted:
                order = {text: id for id, (text, *_) in new.items()}
                self._apply(effect, [order[text] for _, text in effect.get("adds", ())])
                return 0, []
        lost = [id for id, versions in before.items() if found.get(id) != versions]
        half = [f"{id} is there and was never acknowledged" for id in new]
        return len(lost), half + [f"acknowledged {id} is not as it was written" for id in lost]


@dataclass
class Result:
    """What the campaign saw."""

    steps: int = 0
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    acknowledged: int = 0
    checked: int = 0
    lost: int = 0
    unopened: int = 0
    unverified: int = 0
    half_done: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was lost and nothing else went wrong."""
        return not (self.lost or self.unopened or self.unverified or self.failures)

    def table(self) -> str:
        """Return the result for people."""
        rows = [(part, step, count) for (part, step), count in sorted(self.kills.items())]
        rows.append(("total", "", self.kills.total()))
        facts = [
            ("write steps of the workload, each killed at", self.steps),
            ("calls acknowledged before a kill", self.acknowledged),
            ("acknowledged memories checked after kills", self.checked),
            ("lost", self.lost),
            ("half done", self.half_done),
            ("vaults that did not open", self.unopened),
            ("verify failures", self.unverified),
            ("other failures", len(self.failures)),
            ("seconds", round(self.seconds)),
        ]
        return f"{tabulate(rows, headers=['part', 'killed before', 'kills'])}\n\n{tabulate(facts)}"

    def as_json(self) -> str:
        """Return the result for programs."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["kills"] = [[part, step, count] for (part, step), count in self.kills.items()]
        return json.dumps({**plain, "ok": self.ok}, indent=2)


class Child:
    """A forked process that runs one function and answers through a pipe."""

    def __init__(self, work: Callable[..., None], *args: Any, **more: Any) -> None:
        self._read, end = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            code = 1
            try:
                work(*args, end, **more)
                code = 0
            except BaseException as error:  # noqa: BLE001 - a child ends here in any case
                os.write(2, f"child failed: {error!r}\n".encode())
            finally:
                os._exit(code)
        os.close(end)

    def answer(self, *, kill_after: float | None = None) -> bytes:
        """Return what it wrote until its end, which ``kill_after`` seconds bring about."""
        data = bytearray()
        until = None if kill_after is None else time.monotonic() + kill_after
        while True:
            wait = None if until is None else max(until - time.monotonic(), 0)
            if until is not None and not select.select([self._read], [], [], wait)[0]:
                os.kill(self.pid, signal.SIGKILL)
                until = None
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                break
            data += chunk
        os.close(self._read)
        self.status = os.waitpid(self.pid, 0)[1]
        return bytes(data)


class Campaign:
    """Kills and checks, vault by vault.

    Parameters
    ----------
    folder : Path
        Where the vaults lie.
    seed : int
        Chooses the texts and the random moments.
    tick : callable
        Called after every kill.
    """

    def __init__(self, folder: Path, seed: int, tick: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._seed = seed
        self._random = Random(seed)
        self._tick = tick
        self._vaults = 0
        self.result = Result()
        warm()

    def steps(self) -> list[str]:
        """Return every write step of the workload, with the call it belongs to."""
        path = self._fresh()
        listed = json.loads(Child(count_steps, path, self._name(0)).answer())
        self._remove(path)
        self.result.steps = len(listed)
        return listed

    def at_steps(self, numbers: list[int]) -> None:
        """Part A: kill before each of these steps, every time on a fresh vault."""
        for number in numbers:
            path, ledger = self._fresh(), Ledger()
            self._kill("A: every step", path, ledger, 0, at=number)
            self._remove(path)

    def in_chains(self, kills: int, *, steps: int, outside: bool, seconds: float = 0.0) -> None:
        """Part B: kill at random, again and again on one vault."""
        path, ledger, run, done = self._fresh(), Ledger(), 0, 0
        while done < kills:
            if run == CHAIN:
                self._remove(path)
                path, ledger, run = self._fresh(), Ledger(), 0
            if outside:
                after = self._random.uniform(0, seconds)
                done += self._kill(
                    "B: outside, in chains", path, ledger, run, after=after, repeat=REPEAT
                )
            else:
                at = self._random.randint(1, steps)
                done += self._kill("B: random step, in chains", path, ledger, run, at=at)
            run += 1
        self._remove(path)

    def _kill(
        self,
        part: str,
        path: Path,
        ledger: Ledger,
        run: int,
        *,
        at: int = 0,
        after: float | None = None,
        repeat: int = 1,
    ) -> bool:
        """Let a child write until its death, check the vault; return whether it was killed."""
        result, before = self.result, ledger.acknowledged
        child = Child(write, path, self._name(run), at=at, repeat=repeat)
        ledger.read(child.answer(kill_after=after))
        killed = os.WIFSIGNALED(child.status) and os.WTERMSIG(child.status) == signal.SIGKILL
        if not (killed or ledger.finished):
            result.failures.append(f"{part}: the child failed by itself at {ledger.call}")
        step = ledger.step or f"any moment of {ledger.call}"
        if killed:
            result.kills[part, step] += 1
        result.acknowledged += ledger.acknowledged - before
        self._check(f"{part}, step {at} ({step} of {ledger.call})", path, ledger)
        if killed:
            self._tick()
        return killed

    def _check(self, where: str, path: Path, ledger: Ledger) -> None:
        result = self.result
        seed = self._random.getrandbits(32)
        answer = Child(inspect, path, ledger.present(), ledger.gone, seed).answer()
        found = json.loads(answer) if answer else {"opened": False, "problems": ["no answer"]}
        problems = found["problems"]
        if not found["opened"]:
            result.unopened += 1
        elif "cubes" in found:
            result.checked += len(ledger.cubes) + len(ledger.gone)
            lost, wrong = ledger.settle(found["cubes"])
            result.lost += lost
            result.half_done += len(wrong) - lost
            problems.extend(wrong)
        if not found.get("verified", True):
            result.unverified += 1
        if problems:
            result.failures.append(f"{where}: {'; '.join(problems[:4])}")

    def _name(self, run: int) -> str:
        return f"{self._seed}-{self._vaults}-{run}"

    def _fresh(self) -> Path:
        self._vaults += 1
        folder = self._folder / str(self._vaults)
        folder.mkdir()
        return folder / "memory.db"

    def _remove(self, path: Path) -> None:
        shutil.rmtree(path.parent)


def warm() -> None:
    """Load everything a child will need, without opening a file."""
    memory = Memory(":memory:", embedder=HashEmbedder(16))
    workload(memory, Diary(os.open(os.devnull, os.O_WRONLY)), "warm")
    memory.search("harbour", user_id=USER)
    assert memory.verify().ok


def run(folder: Path, kills: int, seed: int, tick: Callable[[], None] = lambda: None) -> Result:
    """Run the campaign: every step once, the rest at random."""
    started = time.monotonic()
    campaign = Campaign(folder, seed, tick)
    steps = campaign.steps()
    begun = time.monotonic()
    campaign.at_steps(list(range(1, len(steps) + 1)))
    pace = (time.monotonic() - begun) / len(steps)
    rest = max(kills - len(steps), 100)
    campaign.in_chains(rest // 2, steps=len(steps), outside=False)
    campaign.in_chains(rest - rest // 2, steps=len(steps), outside=True, seconds=2 * pace)
    campaign.result.seconds = time.monotonic() - started
    return campaign.result


@click.command()
@click.option("--kills", default=500, show_default=True, help="At least so many; all steps anyway.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
@click.option("--folder", type=click.Path(file_okay=False, exists=True), help="Where vaults lie.")
def main(kills: int, seed: int, as_json: bool, folder: str | None) -> None:
    """Kill a writing process many times and check that nothing acknowledged was lost."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        with click.progressbar(length=kills, label="killing", file=sys.stderr) as bar:
            result = run(Path(place), kills, seed, lambda: bar.update(1))
    click.echo(result.as_json() if as_json else result.table())
    for failure in result.failures[:20]:
        click.echo(f"FAILED {failure}", err=True)
    sys.exit(0 if result.ok else 1)


if __name__ == "__main__":
    main()
