"""Every format ever released is opened, brought up to date, and says what it said."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from mnemos import Memory
from mnemos.errors import NotFound
from mnemos.kernel import schema, segments
from mnemos.kernel.changes import Add, Changes, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import open_view
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.vault import Staged, Vault
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Header, Scope, State, Text

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").glob("vault-format-*.db"))
NOW = datetime(2026, 1, 10, 9, tzinfo=UTC)


def test_every_format_has_its_fixture():
    assert len(FIXTURES) == schema.FORMAT


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_an_old_vault_opens(fixture, tmp_path):
    facts = json.loads(fixture.with_suffix(".json").read_text(encoding="utf-8"))
    path = tmp_path / "old.db"
    shutil.copy(fixture, path)
    with Memory(path, embedder=HashEmbedder(16), rebuild_words=True) as memory:
        assert memory.verify().problems == []
        with memory._vault.store.read(SYSTEM) as tx:
            head = next(tx.scan(schema.HEADS, ()))
        assert (head.seq, head.hash.hex()) == (facts["seq"], facts["head"])
        assert len(memory.get_all(user_id="ana")) == facts.get("count", 149)
        assert [cube.version for cube in memory.history(facts["updated"])] == [1, 2]
        assert memory.search("tide read again", user_id="ana")[0].id == facts["updated"]
        assert memory.search("公园", user_id="ben")[0].cube.header.external_id == "b-1"
        with pytest.raises(NotFound):
            memory.get(facts["forgotten"])
        for view in facts.get("views", ()):
            assert shown(memory, view, facts["now"]) == view["sha256"], view
        memory.add("and it can be written", user_id="ana")
        assert memory.verify().problems == []


def shown(memory, view, now):
    """Return a digest of what a branch of Ana's memories shows, found by list and by search."""
    wanted = open_view(
        Scope(tenant="default", subject="user:ana"),
        now=datetime.fromisoformat(now),
        branch=view["branch"],
        as_of=view["as_of"],
    )
    with memory._vault.reader(wanted) as reader:
        cubes = list(reader.list())
        arrays, mask = reader.page()
        births = arrays.column("born")[mask].tolist()
        assert sorted(births) == sorted(cube.recorded_seq for cube in cubes)
        assert np.all(arrays.vectors[mask].any(axis=1))
    lines = [f"{cube.id} {cube.version} {cube.text}" for cube in cubes]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_newest_fixture_holds_a_row_of_every_table():
    with closing(sqlite3.connect(f"file:{FIXTURES[-1]}?mode=ro", uri=True)) as raw:
        tables = {table.name for table in schema.TABLES} - {"blobs"}  # it is one file
        empty = {
            name
            for name in tables
            if not raw.execute(f"SELECT EXISTS(SELECT 1 FROM {name})").fetchone()[0]
        }
    assert empty == set()


# --- what format 1 did not write down


def lower(path, columns_of_rows=11):
    """Turn a vault without branches into one of format 1, whose tables the fixture still has."""
    with closing(sqlite3.connect(f"file:{FIXTURES[0]}?mode=ro", uri=True)) as old:
        made = old.execute(
            "SELECT tbl_name,sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall()
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
    known = {name for name, _ in made}
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            if name not in known:
                raw.execute(f"DROP TABLE {name}")
        for table in ("externals", "tail", "pages"):
            raw.execute(f"ALTER TABLE {table} RENAME TO new_{table}")
            raw.execute(next(sql for name, sql in made if name == table))
            names = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
            columns = ",".join(names)
            # A caller's own id named the last memory that bore it.
            raw.execute(
                f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM new_{table} o "
                + (
                    "ORDER BY (SELECT cube FROM ids i WHERE i.id=o.id)"
                    if table == "externals"
                    else ""
                )
            )
            raw.execute(f"DROP TABLE new_{table}")
        for *key, n, data in raw.execute(
            "SELECT tenant,subject,branch,segment,n,bytes FROM segments WHERE encoding='rows'"
        ).fetchall():
            raw.execute(
                "UPDATE segments SET bytes=? WHERE (tenant,subject,branch,segment)=(?,?,?,?) "
                "AND encoding='rows'",
                (data[: columns_of_rows * n * 8], *key),
            )
        raw.execute("DELETE FROM meta WHERE name='lift'")
        raw.execute("PRAGMA user_version=1")


def opened(path, clock):
    vault = Vault(SQLiteStore(path), clock=clock, ids=SeededIds(3), entropy=SeededEntropy(3))
    vault.use(HashEmbedder(16))
    return vault


def everything(vault):
    """Return every row, those of segments as the tail would hold them.

    Left out is what format 1 did not have, jobs, and how often a page was rewritten.
    """
    with vault.store.read(SYSTEM) as tx:
        found = {table.name: list(tx.scan(table, ())) for table in schema.TABLES}
        found["segments"] = [
            row
            for page in found["pages"]
            for parts in segments.grouped(tx, page[:3], schema.SEGMENTS)
            for row in segments.segment_rows(parts)
        ]
    found["pages"] = [page._replace(epoch=0) for page in found["pages"]]
    found["meta"] = [row for row in found["meta"] if not row.name.startswith("jobs:")]
    del found["jobs"]
    return found


def bounded(count):
    """Drafts of which every third is true for a while, every fifth since a moment."""
    for number in range(count):
        header = {"external_id": f"m{number}"}
        if number % 3 == 0:
            header["valid_to"] = NOW + timedelta(days=number)
        if number % 5 == 0:
            header["valid_from"] = NOW - timedelta(days=number)
        yield Draft(payload=Text(text=f"note {number} valid_from"), header=Header(**header))


@pytest.fixture
def lifted(tmp_path, monkeypatch):
    """A vault as it was written, and as it is after it was one of format 1 and was lifted.

    Rows with bounds lie in segments and in the tail; some were updated, moved and forgotten; one
    external id was borne by two memories.
    """
    from mnemos.kernel import pages
    from mnemos.kernel.changes import Forget

    monkeypatch.setattr(segments, "SEAL_ROWS", 8)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 24)
    monkeypatch.setattr(pages, "SEAL_ROWS", 8)
    path, clock, ids = tmp_path / "memory.db", SimClock(NOW), SeededIds(1)
    vault = opened(path, clock)

    def commit(*changes):
        given = Changes(scope=Scope(tenant="t", subject="ana"), changes=changes)
        vault.commit([Staged(given)])

    adds = [Add(id=ids.fresh(), draft=draft) for draft in bounded(40)]
    commit(*adds)
    soon = Header(external_id="twice", expires_at=NOW + timedelta(hours=1))
    commit(Add(id=ids.fresh(), draft=Draft(payload=Text(text="gone soon"), header=soon)))
    clock.advance(timedelta(hours=2))
    commit(
        Add(
            id=ids.fresh(),
            draft=Draft(payload=Text(text="here again"), header=Header(external_id="twice")),
        )
    )
    commit(Update(id=adds[0].id, draft=next(bounded(1))))
    commit(Transition(id=adds[3].id, state=State.ARCHIVED))
    commit(Forget(id=adds[6].id))
    vault.scrub()
    before = everything(vault)
    assert before["segments"]
    assert before["tail"]
    vault.close()
    lower(path)
    return before, path, clock


def test_a_vault_that_was_of_format_1_is_as_it_was_written(lifted):
    before, path, clock = lifted
    vault = opened(path, clock)
    after = everything(vault)
    for name in before:
        assert after[name] == before[name], name
    assert len([row for row in after["externals"] if row.external == "twice"]) == 2
    assert verify(vault).problems == []
    vault.close()


def test_when_things_were_true_survives_the_lift_into_searches(lifted):
    _, path, clock = lifted
    vault = opened(path, clock)
    counts = []
    for days in range(-40, 45, 7):
        moment = NOW + timedelta(days=days)
        view = open_view(Scope(tenant="t", subject="ana"), now=clock.now(), valid_at=moment)
        with vault.reader(view) as reader:
            listed = sorted(cube.recorded_seq for cube in reader.list())
            arrays, mask = reader.page()
            assert sorted(arrays.column("born")[mask].tolist()) == listed
            counts.append(len(listed))
    assert len(set(counts)) > 3
    vault.close()


def test_a_lift_that_was_interrupted_is_finished_at_the_next_opening(lifted):
    """The store lifts the tables in one transaction, the kernel what is in them in the next."""
    before, path, clock = lifted
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT value FROM meta WHERE name='lift'").fetchone() == ("3",)
    vault = opened(path, clock)
    after = everything(vault)
    assert {name for name in before if after[name] != before[name]} == set()
    vault.close()
