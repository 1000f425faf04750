"""Every write passes the fault point: what SQLite's own trace saw is what the port counted."""

import re
import sqlite3

from mnemos import Memory
from mnemos.kernel import segments
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import CountFaults, HashEmbedder

WRITES = re.compile(
    r"INSERT|REPLACE|DELETE|UPDATE|CREATE|DROP|ALTER|COMMIT"
    r"|PRAGMA (application_id|user_version) ?=|PRAGMA journal_mode ?=",
    re.IGNORECASE,
)
CHECKPOINT = re.compile(r"PRAGMA wal_checkpoint", re.IGNORECASE)


def test_no_write_evades_the_fault_point(path, campaign, monkeypatch):
    seen = []

    def connect(*args, **options):
        connection = sqlite3.connect(*args, **options)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(segments, "SEGMENT_ROWS", campaign.SEGMENT_ROWS)
    monkeypatch.setattr(segments, "SEAL_ROWS", campaign.SEAL_ROWS)
    faults = CountFaults()
    store = SQLiteStore(path, faults=faults, connect=connect)
    memory = Memory(embedder=HashEmbedder(16), store=store)
    diary = campaign.Diary(-1)
    monkeypatch.setattr(diary, "say", lambda **line: None)
    campaign.workload(memory, diary, "traced")
    memory.reembed()
    memory.close()

    written = [sql for sql in seen if WRITES.match(sql)]
    passed = [step for step in faults.steps if step in {"sql", "commit"}]
    assert len(written) == len(passed) > 150
    assert sum(sql == "COMMIT" for sql in written) == faults.steps.count("commit")
    assert sum(bool(CHECKPOINT.match(sql)) for sql in seen) == faults.steps.count("checkpoint")
    order = ["commit" if sql == "COMMIT" else "sql" for sql in written]
    assert order == passed


def test_the_trace_knows_every_kind_of_statement(path):
    """A statement of a kind not listed here would have to be added to ``WRITES``, or be a read."""
    seen = []

    def connect(*args, **options):
        connection = sqlite3.connect(*args, **options)
        connection.set_trace_callback(seen.append)
        return connection

    memory = Memory(embedder=None, store=SQLiteStore(path, connect=connect))
    memory.forget(memory.add("Ana lives in Lisbon", user_id="ana").id)
    memory.search("Lisbon", user_id="ana")
    memory.verify()
    memory.close()
    harmless = re.compile(r"SELECT|BEGIN|ROLLBACK|PRAGMA", re.IGNORECASE)
    assert [sql for sql in seen if not (WRITES.match(sql) or harmless.match(sql))] == []
    pragmas = {re.match(r"PRAGMA (\w+)", sql)[1] for sql in seen if sql.startswith("PRAGMA")}
    assert pragmas == {
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "freelist_count",
        "integrity_check",
        "journal_mode",
        "page_size",
        "secure_delete",
        "synchronous",
        "temp_store",
        "user_version",
        "wal_checkpoint",
    }
