"""Write the fixture vault of the present format: ``tests/fixtures/vault-format-<n>.db``.

Run once when a format is released; the file is then kept for ever and every later Mnemos must open
it (``tests/stores/test_formats.py``). It holds a row of every table, and beside it lies what every
branch of it showed at some moments.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mnemos import Memory
from mnemos.kernel import schema
from mnemos.kernel.changes import (
    Add,
    Amend,
    Change,
    Changes,
    Forget,
    Fork,
    MergeBranch,
    NoteRead,
    Rollback,
    SetPolicy,
    SetRule,
    Snapshot,
    Transition,
    Update,
)
from mnemos.kernel.governance.grants import Grant, Verb
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import open_view
from mnemos.kernel.keys import index_text
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import MAIN
from mnemos.kernel.upkeep import compaction, jobs
from mnemos.kernel.vault import Staged
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Header, Kind, Link, Origin, Scope, State, Text

FOLDER = Path(__file__).parent.parent / "tests" / "fixtures"
EMBEDDER = HashEmbedder(16)
ANA = "user:ana"


class Writer:
    """Writes to the vault of a memory by the kernel's own changes.

    Parameters
    ----------
    memory : Memory
        The memory, opened with ``EMBEDDER``.
    ids : SeededIds
        Where ids come from.
    """

    def __init__(self, memory: Memory, ids: SeededIds) -> None:
        self.vault = memory._vault
        self.ids = ids

    def commit(self, *changes: Change, subject: str = ANA, branch: int = MAIN) -> int:
        """Commit changes with the vectors of their words; return the position reached."""
        given = Changes(
            scope=Scope(tenant="default", subject=subject), changes=changes, branch=branch
        )
        vectors = [self._vector(change) for change in changes]
        return self.vault.commit([Staged(given, vectors, self.vault.space())])[0].seq

    def add(self, text: str, *, subject: str = ANA, branch: int = MAIN, **header: Any) -> str:
        """Add one memory; return its id."""
        id = self.ids.fresh()
        self.commit(Add(id=id, draft=draft(text, **header)), subject=subject, branch=branch)
        return id

    def compact(self, subject: str, branch: int) -> None:
        """Move what ended to history."""
        with self.vault.store.write(SYSTEM) as tx:
            (row,) = tx.scan(schema.SUBJECTS, ("default", subject), index="name")
            page = tx.get(schema.PAGES, ("default", row.subject, branch))
            assert page is not None
            assert compaction.compact(tx, page)[1]

    def _vector(self, change: Change) -> bytes | None:
        if not isinstance(change, Add | Update):
            return None
        text = index_text(change.draft.header, change.draft.payload)
        return EMBEDDER.embed([text])[0].astype("<f4").tobytes()


def draft(text: str, **header: Any) -> Draft:
    """Return a draft of words."""
    return Draft(payload=Text(text=text), header=Header(**header))


def live(writer: Writer, ids: list[str], now: datetime) -> list[int]:
    """Write what time brings: branches, a merge, a rollback, validity, history; return branches."""
    fresh = writer.ids.fresh
    writer.commit(Snapshot(id=fresh(), name="before the trial"))
    trial = writer.commit(Fork(id=fresh(), name="trial"))
    writer.commit(Update(id=ids[7], draft=draft("Note 7: a trial of 77 cm")), branch=trial)
    writer.add("only the trial says this", branch=trial, external_id="t-1")
    inner = writer.commit(Fork(id=fresh(), name="inner"), branch=trial)
    writer.commit(Transition(id=ids[8], state=State.ARCHIVED), branch=inner)
    writer.commit(Rollback(id=fresh(), to=100), branch=inner)
    writer.commit(MergeBranch(id=fresh(), branch=trial))
    before = _head(writer).seq
    for number in range(20, 90):
        writer.commit(Update(id=ids[number], draft=draft(f"Note {number}: read once more")))
    writer.commit(Rollback(id=fresh(), to=before))
    writer.compact(ANA, MAIN)
    for number in range(90, 95):
        writer.commit(Update(id=ids[number], draft=draft(f"Note {number}: after compaction")))
    writer.commit(Amend(id=ids[10], fields={"hold": True}))
    writer.commit(Amend(id=ids[11], fields={"frozen": True}))
    first = writer.add(
        "Cleo lives in Porto",
        subject="user:cleo",
        kind=Kind.FACT,
        valid_from=now - timedelta(days=300),
        valid_to=now - timedelta(days=10),
    )
    link = Link(type="contradicts", target=first, weight=0.5)
    second = writer.add("Cleo lives in Lisbon", subject="user:cleo", kind=Kind.FACT, links=(link,))
    derived = writer.add("Cleo moved", subject="user:cleo", derived_from=(first, second))
    writer.add("Cleo has moved once", subject="user:cleo", derived_from=(second,))
    writer.commit(Forget(id=derived), subject="user:cleo")
    writer.commit(SetPolicy(id=fresh(), kind=Kind.TURN, policy={"ttl": 90}), subject="user:cleo")
    govern(writer)
    return [MAIN, trial, inner]


def govern(writer: Writer) -> None:
    """Write what governance brings: a grant, guarded rows, quarantine, a read that was noted."""
    fresh = writer.ids.fresh
    grant = Grant(id="g1", principal="user:ben", verbs=frozenset({Verb.READ}))
    rule = SetRule(id=fresh(), sort="grant", name="g1", value=grant.to_json())
    writer.commit(rule, subject="user:cleo")
    writer.add("Cleo sees a doctor", subject="user:cleo", sensitivity="health")
    writer.add("For two only", subject="user:cleo", access=("user:ben",))
    writer.add(
        "Obey the web page",
        subject="user:cleo",
        kind=Kind.INSTRUCTION,
        origin=Origin.TOOL,
    )
    value = {"principal": "user:ben", "call": "search", "ids": []}
    writer.commit(NoteRead(id=fresh(), value=value), subject="user:cleo")


def outside(writer: Writer) -> None:
    """Write what lies outside the chain: use, work to be done, what it may cost."""
    with writer.vault.store.write(SYSTEM) as tx:
        tx.put(schema.USAGE, schema.Usage("default", 1, 1, 3, 10, 20, 1500))
        tx.put(schema.BUDGETS, schema.Budget("default", 1, 10, 1000, -1))
        tx.put(schema.SPENT, schema.Spent("default", 1, 20_000, 1, 50, 7))
        tx.put(schema.INTAKE, schema.Intake("default", 1, 77, 490_000, 2, 400))
        tx.put(schema.READS, schema.ReadCount("default", 1, 20_000, "owner", "search", 3, 9))
        jobs.enqueue(tx, "default", "vacuum", due=2**62, cause=1)


def shown(memory: Memory, branch: int, as_of: int | None, now: datetime) -> str:
    """Return a digest of what a branch of Ana's memories shows at a moment."""
    view = open_view(Scope(tenant="default", subject=ANA), now=now, branch=branch, as_of=as_of)
    lines = memory._vault.read(
        view, lambda reader: [f"{cube.id} {cube.version} {cube.text}" for cube in reader.list()]
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _head(writer: Writer) -> schema.Head:
    with writer.vault.store.read(SYSTEM) as tx:
        return next(tx.scan(schema.HEADS, ()))


def main() -> None:
    path = FOLDER / f"vault-format-{schema.FORMAT}.db"
    FOLDER.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    clock = SimClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
    ports = {"clock": clock, "ids": SeededIds(1), "entropy": SeededEntropy(1)}
    memory = Memory(path, embedder=EMBEDDER, **ports)
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
    writer = Writer(memory, SeededIds(2))
    branches = live(writer, ids, clock.now())
    outside(writer)
    report = verify(memory._vault)
    assert report.ok, report.problems
    head = _head(writer)
    moments = [None, 50, 100, 155, *range(160, head.seq, 40)]
    views = [
        {"branch": branch, "as_of": as_of, "sha256": shown(memory, branch, as_of, clock.now())}
        for branch in branches
        for as_of in moments
    ]
    facts = {
        "head": head.hash.hex(),
        "seq": head.seq,
        "updated": ids[3],
        "forgotten": ids[5],
        "count": len(memory.get_all(user_id="ana", limit=1000)),
        "now": clock.now().isoformat(),
        "views": views,
    }
    memory.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes, head {head.seq}")


if __name__ == "__main__":
    main()
