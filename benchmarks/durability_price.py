"""What a synced commit costs: additions one by one, FULL beside NORMAL, in one run.

python benchmarks/durability_price.py
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from mnemos.app.memory import Memory
from mnemos.stores.sqlite import SQLiteStore


class Unsynced(sqlite3.Connection):
    """A connection that answers the wish for FULL with NORMAL: commits are not synced."""

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *values)


def connect(*values: object, **more: object) -> sqlite3.Connection:
    return sqlite3.connect(*values, **more, factory=Unsynced)


def rate(path: Path, additions: int, unsynced: bool) -> float:
    store = SQLiteStore(path, connect=connect) if unsynced else SQLiteStore(path)
    with Memory(store=store, embedder=None) as memory:
        begin = time.perf_counter()
        for number in range(additions):
            memory.add(f"the tide stood at {number} cm this morning", user_id="ana")
        return additions / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--additions", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            for unsynced, rates in found.items():
                path = Path(folder) / f"{turn}-{unsynced}.db"
                rates.append(rate(path, given.additions, unsynced))
    full, normal = (statistics.median(found[unsynced]) for unsynced in (False, True))
    report = {
        "additions_per_second_synced": round(full),
        "additions_per_second_unsynced": round(normal),
        "price": round(normal / full, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
