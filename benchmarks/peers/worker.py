"""Runs one adapter inside the environment of its peer, told what to do by JSON lines.

    python worker.py ADAPTER.py DATA_FOLDER

One command a line on standard input, one answer a line on what was standard output; whatever a
peer prints goes to standard error. A peer's exception ends the process: its last line on standard
error is the reason that the table shows. Nothing but the standard library and numpy is needed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from contract import Item, Query, Store

# A module of this folder must not stand for one that a peer imports.
sys.path.pop(0)


class Vectors:
    """Finds the vector of a text; the harness computed them all before the run.

    White space around a text is no part of it: mem0 takes it off a question, and it changes no
    vector.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def learn(self, text: str, vector: Any) -> None:
        self._known[text.strip()] = vector

    def __call__(self, text: str) -> Any:
        key = text.strip()
        if key not in self._known:
            message = f"no vector for {text[:60]!r}: the peer changed the text it was given"
            raise LookupError(message)
        return self._known[key]


class Worker:
    """One opened peer, and the data of the run."""

    def __init__(self, adapter: Path, data: Path) -> None:
        self._adapter = adapter
        vectors = np.load(data / "vectors.npz")
        self._look_up = Vectors()
        self.items: list[Item] = []
        self.queries: list[Query] = []
        for kind, name, into in (
            (Item, "items", self.items),
            (Query, "queries", self.queries),
        ):
            lines = (data / f"{name}.jsonl").read_text("utf-8").splitlines()
            for line, vector in zip(lines, vectors[name], strict=True):
                entry = kind(**json.loads(line), vector=vector)
                self._look_up.learn(entry.text, vector)
                into.append(entry)
        self._dim = int(vectors["items"].shape[1])
        self._by_id = {item.id: item for item in self.items}
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        assert self._store is not None, "the first command is open"
        return self._store

    def open(self, *, folder: str, variant: str) -> dict[str, Any]:
        began = time.perf_counter()
        name = f"adapter_{self._adapter.stem}"
        spec = importlib.util.spec_from_file_location(name, self._adapter)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._store = module.open_store(Path(folder), self._dim, self._look_up, variant)
        return {"seconds": time.perf_counter() - began, "rss": resident()}

    def add(self, *, start: int, stop: int, acks: bool = False) -> dict[str, Any]:
        """Add items one by one; with ``acks``, say so after each."""
        wall, cpu = time.perf_counter(), time.process_time()
        for item in self.items[start:stop]:
            self.store.add(item)
            if acks:
                answer({"ack": item.id})
        if not acks:
            self.store.finish()
        return spent(wall, cpu)

    def add_all(self) -> dict[str, Any]:
        """Add everything by the peer's own call for many, one call for each user."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _, group in groupby(self.items, key=lambda item: item.user):
            self.store.add_all(list(group))
        self.store.finish()
        return spent(wall, cpu)

    def finish(self) -> dict[str, Any]:
        self.store.finish()
        return {}

    def ask(self, *, k: int, places: list[int], seconds: float) -> dict[str, Any]:
        """Ask questions in the order given until the time is up."""
        found: list[list[str]] = []
        walls: list[float] = []
        cpus: list[float] = []
        began = time.perf_counter()
        for place in places:
            wall, cpu = time.perf_counter(), time.process_time()
            found.append(list(self.store.search(self.queries[place], k)))
            cpus.append((time.process_time() - cpu) * 1000)
            walls.append((time.perf_counter() - wall) * 1000)
            if time.perf_counter() - began > seconds:
                break
        return {"found": found, "wall_ms": walls, "cpu_ms": cpus, "rss": resident()}

    def find(self, *, ids: list[str]) -> dict[str, Any]:
        """Return which memories are not found by their own text and vector."""
        return {"missing": [id for id in ids if not self._is_found(self._by_id[id])]}

    def _is_found(self, item: Item) -> bool:
        query = Query(user=item.user, text=item.text, vector=item.vector, asked_at=item.said_at)
        # A neighbour may be as near, and an approximate index may miss: look deeper once.
        return any(item.id in self.store.search(query, k) for k in (10, 50))

    def close(self) -> dict[str, Any]:
        self.store.close()
        return {}


def spent(wall: float, cpu: float) -> dict[str, Any]:
    """Return the seconds since two readings, by the clock and by the processor."""
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "rss": resident(),
    }


def resident() -> int | None:
    """Return the bytes of memory this process holds, where the system says so."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None
    return int(status.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Peers print: what they print must not be taken for an answer.
_answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def answer(value: dict[str, Any]) -> None:
    _answers.write(json.dumps(value) + "\n")
    _answers.flush()


def main() -> None:
    worker = Worker(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        answer({"done": do, **getattr(worker, do)(**command)})
        if do == "close":
            # Threads that a peer left running must not keep the harness waiting.
            _answers.flush()
            os._exit(0)


if __name__ == "__main__":
    main()
