"""Same input, same store: two runs with seeded ports end in the same journal."""

from contextlib import suppress

import pytest
from operations import OPERATIONS, build, fingerprint, open_memory

from mnemos.errors import MnemosError
from mnemos.kernel import schema, segments
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.upkeep import compaction


@pytest.fixture(autouse=True)
def _segments_as_they_were():
    kept = segments.SEAL_ROWS, segments.SEGMENT_ROWS, compaction.LEAST
    yield
    segments.SEAL_ROWS, segments.SEGMENT_ROWS, compaction.LEAST = kept


def heads(memory):
    with memory._vault.store.read(SYSTEM) as tx:
        return list(tx.scan(schema.HEADS, ()))


def story(path, seed="run"):
    """Run every call that writes, one after the other, on one vault; return its end."""
    ids = build(path)
    refused = []
    with open_memory(path, seed) as memory:
        for operation in OPERATIONS:
            try:
                operation.run(memory, ids)
            except MnemosError as error:  # an earlier call took what this one needs
                refused.append((operation.name, type(error).__name__))
        assert memory.verify().problems == []
        return heads(memory), fingerprint(memory), refused


def test_two_runs_with_seeded_ports_end_in_the_same_journal(tmp_path):
    one, two = story(tmp_path / "one.db"), story(tmp_path / "two.db")
    assert one == two
    assert one[0][0].seq > 60
    assert len(one[2]) < len(OPERATIONS) // 3, one[2]


def test_another_seed_ends_elsewhere(tmp_path):
    """A positive control: the salts are part of the chain."""
    one, two = story(tmp_path / "one.db"), story(tmp_path / "two.db", seed="other")
    assert one[0][0].seq == two[0][0].seq
    assert one[0] != two[0]


def test_a_vault_closed_between_calls_ends_in_the_same_journal(tmp_path):
    """Neither caches nor handles leave a trace in the chain."""
    path = tmp_path / "reopened.db"
    build(path)
    with open_memory(path, "tail") as memory:
        memory.add("a last word", user_id="ana")
        open_all = heads(memory)
    path = tmp_path / "again.db"
    build(path)
    with suppress(MnemosError), open_memory(path, "reader") as memory:
        memory.search("ferry", user_id="ana")
    with open_memory(path, "tail") as memory:
        memory.add("a last word", user_id="ana")
        assert heads(memory) == open_all
