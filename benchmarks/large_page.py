"""A million memories of one subject: how fast search is, how right, and how much it holds.

    python benchmarks/large_page.py --data PATH

Vectors are made from real ones, of LoCoMo's turns where ``--data`` names it and else of the
conversation that ships with Mnemos, by mixing and perturbing; questions are its real ones. The
text is of made-up words, as frequent as words are, and questions are five to eleven of them.
CPU milliseconds of one thread, embedding excluded; recall@10 beside an exact search in float32.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from generator import PerturbedVectors, Words, drafts
from numpy.typing import NDArray

from mnemos.app.memory import Memory
from mnemos.bench.bm25_floor import document_text
from mnemos.bench.tasks import get_task
from mnemos.kernel.pages import PageCache
from mnemos.retrieval import signals

BATCH = 1_024
QUESTIONS = 200


class Handed:
    """An embedder that hands out vectors made elsewhere, in turn."""

    fingerprint = "handed-vectors/1"

    def __init__(self, vectors: Iterable[NDArray[np.float32]], dim: int) -> None:
        self.dim = dim
        self._left = np.empty((0, dim), np.float32)
        self._blocks = iter(vectors)
        self.question: NDArray[np.float32] | None = None

    def embed(self, texts, *, query: bool = False) -> NDArray[np.float32]:
        """Return the next vectors, or the question's."""
        if query:
            assert self.question is not None
            return self.question[None]
        while len(self._left) < len(texts):
            self._left = np.concatenate((self._left, next(self._blocks)))
        found, self._left = self._left[: len(texts)], self._left[len(texts) :]
        return found


def resident() -> int:
    """Return the bytes of this process in memory that are not a file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise SystemExit("this script reads /proc, which only Linux has")


def real_vectors(data: Path | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of real turns and of real questions."""
    talks = get_task("locomo" if data else "harbour").load(data).dialogues
    with Memory(":memory:") as memory:
        embedder = memory._embedder.get()
        assert embedder is not None, "the embedding model is needed: `make install`"
        turns = [document_text(draft) for talk in talks for draft in talk.drafts]
        questions = [question.text for talk in talks for question in talk.questions]
        return embedder.embed(turns[:3_000]), embedder.embed(questions[:QUESTIONS], query=True)


def fill(path: Path, real: NDArray[np.float32], memories: int) -> dict[str, float]:
    """Fill a vault, a batch at a time."""
    words, embedder = Words(), Handed(PerturbedVectors(real).blocks(memories), real.shape[1])
    begin, cpu = time.perf_counter(), time.process_time()
    with Memory(path, embedder=embedder) as memory:
        turns = drafts(words, memories)
        while batch := list(itertools.islice(turns, BATCH)):
            memory.add_many(batch, user_id="one")
        size = memory.stats().bytes
    cpu = time.process_time() - cpu
    return {
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu_ms_per_memory": round(1_000 * cpu / memories, 3),
        "bytes_per_memory": round(size / memories),
    }


def exact(path: Path, questions: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the births of the ten rows nearest to each question, by every stored float32."""
    scores = np.full((len(questions), 0), 0, np.float32)
    births = np.empty(0, np.int64)
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    sealed = connection.execute(
        "SELECT rows.bytes, vectors.bytes FROM segments rows JOIN segments vectors"
        " USING (tenant, subject, branch, segment)"
        " WHERE rows.encoding = 'rows' AND vectors.encoding LIKE 'f32:%'"
    )
    tail = connection.execute("SELECT born, bytes FROM vectors")
    pieces = ((np.frombuffer(rows, "<i8"), vectors) for rows, vectors in sealed)
    for columns, data in itertools.chain(pieces, ((np.array([born]), data) for born, data in tail)):
        matrix = np.frombuffer(data, "<f4").reshape(-1, questions.shape[1])
        scores = np.concatenate((scores, questions @ matrix.T), axis=1)
        births = np.concatenate((births, columns[: len(matrix)]))
        if len(births) > 100_000:
            scores, births = _kept(scores, births)
    connection.close()
    best = np.argsort(-scores, axis=1)[:, :10]
    return births[best]


def _kept(
    scores: NDArray[np.float32], births: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Drop the rows that are among the best ten of no question."""
    best = np.unique(np.argpartition(-scores, 10, axis=1)[:, :10])
    return scores[:, best], births[best]


def ask(path: Path, questions: NDArray[np.float32]) -> dict[str, object]:
    """Open the vault and ask: how long the first answer takes, the later ones, and what is held."""
    words, embedder = Words(seed=5), Handed((), questions.shape[1])
    with Memory(path, embedder=embedder) as memory:
        cache = memory._vault.cache = PageCache(budget=8 << 30)

        def search(vector: NDArray[np.float32]) -> float:
            embedder.question = vector
            text, begin = words.sentence(5, 12), time.process_time()
            assert len(memory.search(text, user_id="one")) == 10
            return 1_000 * (time.process_time() - begin)

        begin = time.perf_counter()
        search(questions[0])
        first = time.perf_counter() - begin
        without = [search(vector) for vector in questions[:10]]
        begin = time.perf_counter()
        cache.settle()
        cells = time.perf_counter() - begin
        hybrid = [search(vector) for vector in questions]
        view = memory._view(memory._scope("one", None, None))
        with memory._vault.reader(view) as reader:
            arrays, mask = reader.page()
        dense, found = [], []
        for vector in questions:
            begin = time.process_time()
            near = np.sort(arrays.stack.near(vector, mask, 100))
            likeness = signals.nearness(arrays, near, vector)
            best = near[np.argsort(-likeness)[:10]]
            dense.append(1_000 * (time.process_time() - begin))
            found.append(arrays.column("born")[best].tolist())
    peak = 1_024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "first_search_seconds": round(first, 1),
        "cells_found_after_seconds": round(cells, 1),
        "hybrid_cpu_ms_without_cells": summary(without),
        "hybrid_cpu_ms": summary(hybrid),
        "dense_cpu_ms": summary(dense),
        "resident_mb": round(resident() / 2**20),
        "peak_resident_mb": round(peak / 2**20),
        "found": found,
    }


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="LoCoMo, whose vectors are then perturbed")
    parser.add_argument("--vault", type=Path, help="keep, or use again, the vault at this path")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ask(given.vault, np.load(given.ask))))
        return
    real, questions = real_vectors(given.data)
    with tempfile.TemporaryDirectory() as folder:
        path = given.vault or Path(folder) / "page.db"
        report: dict[str, object] = {"memories": given.memories}
        if not path.exists():
            report["ingest"] = fill(path, real, given.memories)
        asked = Path(folder) / "questions.npy"
        np.save(asked, questions)
        command = [sys.executable, __file__, "--vault", str(path), "--ask", str(asked)]
        answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        found, best = answer.pop("found"), exact(path, questions)
        hits = [len(set(ours) & set(true)) for ours, true in zip(found, best.tolist(), strict=True)]
        report |= answer | {"dense_recall_at_10": round(sum(hits) / best.size, 4)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
