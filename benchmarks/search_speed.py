"""How fast search is: many small pages, warm and cold, and one large page beside plain BLAS.

    python benchmarks/search_speed.py --memories 1000000 --subjects 2000

Wall time of one thread, embedding excluded (vectors come from the generator). *Warm*: the page is
in this process's cache. *Cold*: a fresh process that has never read the page; the operating
system's cache is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from generator import GeneratedVectors, Words, drafts

from mnemos.app.memory import Memory
from mnemos.kernel.pages import PageCache
from mnemos.retrieval import signals


def timed(action) -> tuple[float, object]:
    begin = time.perf_counter()
    result = action()
    return (time.perf_counter() - begin) * 1000, result


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "n": len(ordered),
    }


def fill(path: Path, memories: int, subjects: int) -> dict[str, float]:
    words, embedder = Words(), GeneratedVectors()
    with Memory(path, embedder=embedder) as memory:
        begin, cpu = time.perf_counter(), time.process_time()
        for subject in range(subjects):
            memory.add_many(drafts(words, memories // subjects), user_id=f"u{subject}")
            if subject % max(subjects // 20, 1) == 0:
                print(f"  {subject}/{subjects} subjects", file=sys.stderr, flush=True)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        size = memory.stats().bytes
    return {
        "seconds": round(seconds, 1),
        "per_second": round(memories / seconds),
        "cpu_ms_per_memory": round(1000 * cpu / memories, 4),
        "bytes_per_memory": round(size / memories),
    }


def ask(memory: Memory, words: Words, subject: int) -> float:
    question = words.sentence(5, 12)
    elapsed, hits = timed(lambda: memory.search(question, user_id=f"u{subject}", top_k=10))
    assert len(hits) == 10
    return elapsed


def warm(path: Path, subjects: int, queries: int) -> dict[str, float]:
    words, random = Words(seed=5), np.random.default_rng(3)
    chosen = random.integers(0, subjects, queries).tolist()
    with Memory(path, embedder=GeneratedVectors()) as memory:
        memory._vault.cache = PageCache(budget=8 << 30)
        for subject in sorted(set(chosen)):
            ask(memory, words, subject)
        return summary([ask(memory, words, subject) for subject in chosen])


def cold(path: Path, subjects: int, queries: int) -> dict[str, float]:
    """Ask each subject once, each page read for the first time by this process."""
    words, random = Words(seed=6), np.random.default_rng(4)
    chosen = random.permutation(subjects)[: queries + 1].tolist()
    with Memory(path, embedder=GeneratedVectors()) as memory:
        ask(memory, words, chosen.pop())  # loads the code itself
        return summary([ask(memory, words, subject) for subject in chosen])


def first_in_process(path: Path, subjects: int, runs: int) -> dict[str, float]:
    """Time the very first search of a fresh process, modules loaded, vault just opened."""
    found = []
    for run in range(runs):
        command = [sys.executable, __file__, "--first", str(path), str(run * 37 % subjects)]
        found.append(float(subprocess.run(command, capture_output=True, check=True).stdout))
    return summary(found)


def first(path: str, subject: int) -> None:

    words, embedder = Words(seed=8), GeneratedVectors()
    question = words.sentence(5, 12)
    with Memory(":memory:", embedder=embedder) as other:
        other.add("loads every module that a search needs", user_id="x")
        other.search(question, user_id="x")
    with Memory(path, embedder=embedder) as memory:
        elapsed, _ = timed(lambda: memory.search(question, user_id=f"u{subject}"))
    print(elapsed)


def large_page(rows: int, repeats: int) -> dict[str, object]:
    """Compare the dense part on one page with float32 ``X @ q`` on the same vectors."""
    words, embedder = Words(seed=9), GeneratedVectors()
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory(Path(folder) / "page.db", embedder=embedder) as memory,
    ):
        memory.add_many(drafts(words, rows), user_id="big")
        searches = [
            timed(lambda: memory.search(words.sentence(5, 12), user_id="big"))[0] for _ in range(5)
        ]
        view = memory._view(memory._scope("big", None, None))
        with memory._vault.reader(view) as reader:
            arrays, mask = reader.page()
        plain = np.ascontiguousarray(arrays.vectors)
        page = signals.arrange(arrays, mask)
        ours, blas = [], []
        for _ in range(repeats):
            query = embedder.embed([words.sentence()])[0]
            blas.append(timed(lambda query=query: plain @ query)[0])
            ours.append(timed(lambda query=query: signals.meaning(page, query))[0])
    ratio = statistics.median(ours) / statistics.median(blas)
    return {
        "rows": rows,
        "hybrid_ms": summary(searches[1:]),
        "dense_ms": summary(ours),
        "blas_ms": summary(blas),
        "dense_over_blas": round(ratio, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--subjects", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--page", type=int, default=100_000, help="rows of the one large page")
    parser.add_argument("--vault", type=Path, help="keep, or use again, the vault at this path")
    parser.add_argument("--first", nargs=2, metavar=("VAULT", "SUBJECT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.first:
        first(given.first[0], int(given.first[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.vault or Path(folder) / "speed.db"
        report: dict[str, object] = {"memories": given.memories, "subjects": given.subjects}
        if not path.exists():
            report["ingest"] = fill(path, given.memories, given.subjects)
        report["warm_ms"] = warm(path, given.subjects, given.queries)
        queries = min(given.queries, given.subjects - 1)
        report["cold_ms"] = cold(path, given.subjects, queries)
        report["first_search_of_a_process_ms"] = first_in_process(path, given.subjects, 20)
    if given.page:
        report["one_page"] = large_page(given.page, 200)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
