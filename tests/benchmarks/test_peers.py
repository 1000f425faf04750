"""The harness of the peers, on a tiny conversation, with Mnemos and the two floors: no installs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mnemos.errors import InvalidInput
from mnemos.testing import HashEmbedder

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"

TURNS = [
    ("s01-01", "Ilse", "The lighthouse lamp was replaced in Vardø."),
    ("s01-02", "Tomek", "What did the lens cost?"),
    ("s01-03", "Ilse", "The lens came to 400 guilders."),
    ("s02-01", "Tomek", "I keep three goats behind the mill."),
    ("s02-02", "Ilse", "My brother repairs accordions."),
    ("s02-03", "Tomek", "The ferry was late again, by an hour."),
]
ASKED = [
    ("q1", "Where was the lighthouse lamp replaced?", ["s01-01"]),
    ("q2", "Who keeps goats behind the mill?", ["s02-01"]),
    ("q3", "Who repairs accordions, and what did the lens come to?", ["s01-03", "s02-02"]),
    ("q4", "Which comet fell?", []),
]


@pytest.fixture(scope="module")
def harness() -> Iterator[ModuleType]:
    """Import the harness as its command line does: from its own folder, gone again afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(PEERS))
    try:
        import run

        yield run
    finally:
        sys.path.remove(str(PEERS))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(PEERS) in str(
                sys.modules[name].__file__
            ):
                del sys.modules[name]


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an invented conversation in the shape of Harbour."""
    folder = tmp_path_factory.mktemp("tiny")
    turns = [
        {
            "id": id,
            "session": id.partition("-")[0],
            "at": f"2025-03-0{id[2]}T10:{id[-2:]}:00+00:00",
            "speaker": speaker,
            "text": text,
        }
        for id, speaker, text in TURNS
    ]
    questions = [
        {
            "id": id,
            "question": text,
            "category": "single-hop" if gold else "unanswerable",
            "evidence": gold,
            "asked_at": "2025-04-01T12:00:00+00:00",
        }
        for id, text, gold in ASKED
    ]
    for name, rows in (("harbour.jsonl", turns), ("harbour_questions.jsonl", questions)):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return folder


@pytest.fixture(scope="module")
def measured(
    harness: ModuleType, conversation: Path, tmp_path_factory: pytest.TempPathFactory
) -> object:
    """Run the command line end to end and read the record it wrote."""
    folder = tmp_path_factory.mktemp("out")
    code = harness.main(
        [
            "harbour",
            *("--data", str(conversation)),
            *("--peers", "mnemos,bm25,dense"),
            *("--kills", "1"),
            *("--envs", str(folder / "envs")),
            *("--out", str(folder / "record.json")),
        ],
        embedder=HashEmbedder(),
    )
    assert code == 0
    return harness.record.load(folder / "record.json")


def test_end_to_end(measured: object) -> None:
    entries = {entry.name: entry for entry in measured.entries}
    assert list(entries) == ["mnemos", "bm25", "dense"]
    assert (measured.memories, measured.questions) == (6, 3)
    for entry in entries.values():
        assert entry.failed is None
        assert {id: ranks[0] for id, ranks in entry.ranks.items()}["user-0/q2"] == 1
        assert entry.costs.search_ms_p95 >= entry.costs.search_ms_p50 > 0
    mnemos, bm25 = entries["mnemos"], entries["bm25"]
    assert mnemos.costs.bytes_per_memory > 0
    assert bm25.costs.bytes_per_memory == 0
    assert bm25.kills is None
    assert bm25.second is None


def test_mnemos_loses_no_acknowledged_write(measured: object) -> None:
    mnemos = measured.entries[0]
    assert mnemos.kills.acknowledged[0] >= 1
    assert mnemos.kills.lost == (0,)
    assert (mnemos.second.opened, mnemos.second.lost, mnemos.second.reason) == (True, 0, "")


def test_the_table_names_every_row_and_reason(harness: ModuleType, measured: object) -> None:
    gone = replace(
        measured.entries[1], name="mem0", failed="install: no such package", ranks={}, costs=None
    )
    text = harness.render(replace(measured, entries=(*measured.entries, gone)))
    assert "mem0" in text
    assert "not measured [" in text
    assert "install: no such package" in text
    assert "floor: exact cosine in numpy" in text
    github = harness.render(measured, "github")
    assert github.count("\n|") == 2 + len(measured.entries)


def test_a_sample_is_said_to_be_one(harness: ModuleType, measured: object) -> None:
    bm25 = measured.entries[1]
    few = dict(list(bm25.ranks.items())[:2])
    text = harness.render(
        replace(measured, entries=(measured.entries[0], replace(bm25, ranks=few)))
    )
    assert "bm25 answered the first 2 of the shuffled questions" in text
    assert "on these Mnemos has R@10" in text


def test_lost_writes_and_refused_processes_are_shown(harness: ModuleType, measured: object) -> None:
    record = harness.record
    worse = replace(
        measured.entries[0],
        kills=record.Kills(acknowledged=(40, 2), lost=(3, 0)),
        second=record.Second(opened=False, acknowledged=9, lost=0, reason="it is locked"),
    )
    text = harness.render(replace(measured, entries=(worse,)))
    assert "3/42" in text
    assert "no [1]" in text
    assert "[1] it is locked" in text


def test_records_are_checked(harness: ModuleType, measured: object) -> None:
    record = harness.record
    text = record.to_json(measured)
    assert record.from_json(text) == measured
    with pytest.raises(InvalidInput, match="format 2; allowed: 1"):
        record.from_json(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(InvalidInput, match="no record of a run"):
        record.from_json("[]")
    with pytest.raises(InvalidInput, match="cannot be read"):
        record.load(Path("nowhere.json"))


def test_unknown_names_are_refused(harness: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(["harbour", "--peers", "mnemos,nobody"]) == 2
    assert "there is no peer 'nobody'; allowed: mnemos, " in capsys.readouterr().err


def test_a_peer_that_raises_is_a_row_with_the_reason(
    harness: ModuleType, conversation: Path, tmp_path: Path
) -> None:
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    (adapters / "broken.py").write_text(
        "def open_store(folder, dim, look_up, variant):\n"
        "    print('chatter that is no answer')\n"
        "    raise RuntimeError('no such engine')\n",
        "utf-8",
    )

    class Broken(harness.choose.__globals__["Peer"]):  # type: ignore[misc]
        @property
        def adapter_file(self) -> Path:
            return adapters / "broken.py"

    workload = harness.prepare(
        "harbour", conversation, embedder=HashEmbedder(), cache=tmp_path, seed=0
    )
    plan = harness.Plan(
        environments=tmp_path, folder=tmp_path / "run", seconds=5, limit=60, kills=0, seed=0
    )
    entry = harness.measure(Broken(name="broken", adapter="broken", kept="memory"), workload, plan)
    assert entry.failed == "RuntimeError: no such engine"


def test_every_peer_is_pinned_and_adapted(harness: ModuleType) -> None:
    for peer in harness.choose([]):
        assert peer.adapter_file.is_file()
        assert peer.version[0].isdigit()
        text = peer.adapter_file.read_text("utf-8")
        own = peer.adapter in ("mnemos", "bm25")
        assert own or "from mnemos" not in text


def test_the_worker_needs_nothing_of_mnemos() -> None:
    for name in ("worker.py", "contract.py"):
        assert "import mnemos" not in (PEERS / name).read_text("utf-8")
    run = subprocess.run(
        [sys.executable, str(PEERS / "run.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
