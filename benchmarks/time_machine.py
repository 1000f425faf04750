"""What time costs: snapshot and branch at two sizes, and search on pages that have a past.

    python benchmarks/time_machine.py

Part one names a snapshot and begins a branch in vaults of 10³ and 10⁵ memories, and counts the
time, the bytes of log and the bytes of rows each takes. Part two searches a page of 10⁴ memories
with five versions each and three branches, beside the same memories with one version, before and
after compaction: the present, one past moment again and again, and a past moment that is new with
every question. All ratios are of medians taken in turn in one run; embedding is excluded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from generator import GeneratedVectors, Words, drafts

from mnemos.app.memory import Memory
from mnemos.kernel import schema
from mnemos.kernel.changes import Changes, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.keys import index_text
from mnemos.kernel.upkeep import compaction
from mnemos.kernel.vault import Staged
from mnemos.types import Draft, Scope, Text

USER = "ana"


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def fill(path: Path, memories: int) -> Memory:
    memory = Memory(path, embedder=GeneratedVectors(), background="off")  # compacts when told
    memory.add_many(drafts(Words(), memories), user_id=USER)
    return memory


# --------------------------------------------------------------------------- snapshot and branch


def held(memory: Memory) -> int:
    """Return the bytes of every row but those of memories."""
    tables = (schema.EVENTS, schema.CONTENTS, schema.RECORDS, schema.SNAPSHOTS, schema.BRANCHES)
    total = 0
    with memory._vault.store.read(SYSTEM) as tx:
        head = tx.get(schema.HEADS, ("default",))
        assert head is not None
        for table in tables:
            start = max(head.seq - 3, 0) if table in (schema.EVENTS, schema.CONTENTS) else None
            for row in tx.scan(table, ("default",), start=start):
                total += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in row)
    return total


def prices(folder: Path, sizes: tuple[int, int], turns: int) -> dict[str, Any]:
    """Take snapshots and begin branches in a small and a large vault, in turn."""
    memories: dict[int, Memory] = {}
    for size in sizes:
        say(f"{size} memories")
        memories[size] = fill(folder / f"{size}.db", size)
    found: dict[tuple[int, str], list[tuple[float, int, int]]] = {}
    for turn in range(turns):
        for size, memory in memories.items():
            actions = {"snapshot": memory.snapshot, "branch": memory.branch}
            wal = folder / f"{size}.db-wal"
            for verb, action in actions.items():
                assert memory._vault.store.scrub() == ""  # an empty log, to see what it grows by
                rows = held(memory)
                begin = time.perf_counter()
                action(f"{verb} {turn}", user_id=USER)
                elapsed = (time.perf_counter() - begin) * 1000
                grown = wal.stat().st_size
                found.setdefault((size, verb), []).append((elapsed, grown, held(memory) - rows))
    report: dict[str, Any] = {}
    small, large = sizes
    for verb in ("snapshot", "branch"):
        told = {
            f"{size:,} memories": {
                "ms": round(statistics.median(ms for ms, _, _ in found[size, verb]), 3),
                "wal_bytes": round(statistics.median(log for _, log, _ in found[size, verb])),
                "row_bytes": max(rows for _, _, rows in found[size, verb][4:]),
            }
            for size in sizes
        }
        one, other = told[f"{small:,} memories"], told[f"{large:,} memories"]
        told["large / small"] = {
            name: round(other[name] / one[name], 2) for name in ("ms", "wal_bytes")
        }
        report[verb] = told
    for memory in memories.values():
        memory.close()
    return report


# --------------------------------------------------------------------- pages that have a past


def rewrite(memory: Memory, ids: list[str], words: Words) -> None:
    """Give every memory a further version, in a shuffled order, 500 to a commit."""
    embedder, space = GeneratedVectors(), memory._vault.space()
    for start in range(0, len(ids), 500):
        chosen = ids[start : start + 500]
        texts = [words.sentence() for _ in chosen]
        cubes = [memory.get(id) for id in chosen]
        made = [
            Draft(payload=Text(text=text), header=cube.header)
            for text, cube in zip(texts, cubes, strict=True)
        ]
        rows = embedder.embed([index_text(draft.header, draft.payload) for draft in made])
        changes = Changes(
            scope=Scope(subject=f"user:{USER}"),
            changes=tuple(
                Update(id=id, draft=draft) for id, draft in zip(chosen, made, strict=True)
            ),
        )
        vectors = [row.astype("<f4").tobytes() for row in rows]
        memory._vault.commit([Staged(changes, vectors, space)])


def grow(path: Path, cubes: int, versions: int) -> tuple[Memory, list[int]]:
    """Return a memory with a past, and positions at which all memories had been written."""
    memory = fill(path, cubes)
    ids = [cube.id for cube in memory.get_all(user_id=USER, limit=100_000)]
    moments = [position(memory)]
    random = np.random.default_rng(1)
    for turn in range(1, versions):
        say(f"version {turn + 1} of {versions}")
        rewrite(memory, [ids[i] for i in random.permutation(len(ids))], Words(seed=100 + turn))
        moments.append(position(memory))
    for number in range(3):
        branch = memory.branch(f"line {number}", user_id=USER)
        for id in ids[number * 50 : number * 50 + 50]:
            branch.update(id, Words(seed=number).sentence())
    return memory, moments


def position(memory: Memory) -> int:
    with memory._vault.store.read(SYSTEM) as tx:
        head = tx.get(schema.HEADS, ("default",))
    return head.seq if head else 0


def compact(memory: Memory) -> None:
    moved = 1
    while moved:
        moved = 0
        with memory._vault.store.write(SYSTEM) as tx:
            for page in list(tx.scan(schema.PAGES, ())):
                moved += compaction.compact(tx, page)[1]


def search(memory: Memory, question: str) -> float:
    begin = time.perf_counter()
    hits = memory.search(question, top_k=10)
    elapsed = (time.perf_counter() - begin) * 1000
    assert len(hits) == 10
    return elapsed


def compare(plain: Memory, old: Memory, moments: list[int], queries: int) -> dict[str, Any]:
    """Ask every view the same questions in turn."""
    words, random = Words(seed=5), np.random.default_rng(3)
    low, high = moments[0], moments[-1]
    views = {
        "one version": plain.view(user_id=USER),
        "current": old.view(user_id=USER),
        "same moment": old.view(as_of=f"#{(low + high) // 2}", user_id=USER),
        "branch": old.view(branch="line 1", user_id=USER),
    }
    for view in views.values():
        search(view, words.sentence(5, 12))
    found: dict[str, list[float]] = {name: [] for name in (*views, "new moment")}
    for _ in range(queries):
        question = words.sentence(5, 12)
        for name, view in views.items():
            found[name].append(search(view, question))
        fresh = old.view(as_of=f"#{int(random.integers(low, high))}", user_id=USER)
        found["new moment"].append(search(fresh, question))
    medians = {name: statistics.median(times) for name, times in found.items()}
    report: dict[str, Any] = {name: round(ms, 3) for name, ms in medians.items()}
    report["current / one version"] = round(medians["current"] / medians["one version"], 3)
    for name in ("same moment", "new moment", "branch"):
        report[f"{name} / current"] = round(medians[name] / medians["current"], 3)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs=2, default=(1_000, 100_000))
    parser.add_argument("--cubes", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--skip-prices", action="store_true")
    parser.add_argument("--only-prices", action="store_true")
    given = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if not given.skip_prices:
            report["prices"] = prices(here, tuple(given.sizes), given.turns)
        if given.only_prices:
            print(json.dumps(report, indent=2))
            return
        say(f"{given.cubes} memories")
        plain = fill(here / "plain.db", given.cubes)
        old, moments = grow(here / "old.db", given.cubes, given.versions)
        report["search ms, before compaction"] = compare(plain, old, moments, given.queries)
        say("compacting")
        begin = time.perf_counter()
        compact(old)
        report["compaction seconds"] = round(time.perf_counter() - begin, 2)
        report["search ms, after compaction"] = compare(plain, old, moments, given.queries)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
