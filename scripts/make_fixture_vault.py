"""Write the fixture vault of the present format: ``tests/fixtures/vault-format-<n>.db``.

Run once when a format is released; the file is then kept for ever and every later Mnemos must open
it (``tests/stores/test_formats.py``).
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mnemos import Memory
from mnemos.kernel import schema
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

FOLDER = Path(__file__).parent.parent / "tests" / "fixtures"


def main() -> None:
    path = FOLDER / f"vault-format-{schema.FORMAT}.db"
    FOLDER.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    clock = SimClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
    memory = Memory(
        path,
        embedder=HashEmbedder(16),
        clock=clock,
        ids=SeededIds(1),
        entropy=SeededEntropy(1),
    )
    ids = []
    for number in range(150):  # more than a tail: a segment is in it too
        clock.advance(timedelta(minutes=7))
        said = {
            "role": "user",
            "name": "Ana",
            "content": f"Note {number}: the tide was {number} cm",
        }
        ids.append(memory.add(said, user_id="ana", run_id=f"day-{number // 20}").id)
    memory.update(ids[3], "Note 3: the tide was 33 cm, read again")
    memory.forget(ids[5])
    memory.add("北京公园 und das Café", user_id="ben", external_id="b-1", kind="preference")
    report = memory.verify()
    assert report.ok, report.problems
    with memory._vault.store.read() as tx:
        head = next(tx.scan(schema.HEADS, ()))
    memory.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
    facts = {"head": head.hash.hex(), "seq": head.seq, "updated": ids[3], "forgotten": ids[5]}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes, head {head.seq}")


if __name__ == "__main__":
    main()
