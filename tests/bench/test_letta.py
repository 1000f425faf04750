"""Letta core memory: a page of facts, and one on which some are contradicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.differences import means_of
from mnemos.bench.runner import run
from mnemos.bench.task import TaskData
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput

BAKERY = ["Orla Finch bakes rye bread in Tromso.", "Bram Odell and Orla Finch share a kiln."]
OBSERVATORY = [
    "Petra Lund runs an observatory.",
    "Petra Lund grinds her own lenses.",
    "Ivo Marsh paints comets.",
]


def line(question: str, facts: list[str], supporting: list[int], after: str) -> dict[str, Any]:
    extra = {
        "facts": facts,
        "supporting_fact_indices": supporting,
        "contradicting_fact": after,
        "contradicting_answer": "-",
    }
    return {"input": question, "ground_truth": "-", "agent_args": {"extra": extra}}


LINES = [
    line("Where does Orla Finch bake?", BAKERY, [0], "Orla Finch bakes rye bread in Vardo."),
    line("Who shares a kiln with Bram Odell?", BAKERY, [1], "Bram Odell shares a kiln with Noor."),
    line("What does Petra Lund do?", OBSERVATORY, [0, 1], "Petra Lund sells umbrellas."),
]


def kept(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "letta_core_memory" / "core_memory_update.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


def load(path: Path) -> TaskData:
    return get_task("letta").load(path)


def test_every_fact_lies_on_the_page_once(tmp_path: Path) -> None:
    kept(tmp_path, *LINES)
    read, update = load(tmp_path).dialogues
    ids = [draft.header.external_id for draft in read.drafts]
    assert ids == ["s001-0", "s001-1", "s002-0", "s002-1", "s002-2"]
    assert read.drafts[2].header.run_id == "s002"
    assert update.drafts[:5] == read.drafts
    assert [draft.header.external_id for draft in update.drafts[5:]] == ["q0001", "q0002", "q0003"]
    told = [draft.header.happened_at for draft in update.drafts if draft.header.happened_at]
    assert told == sorted(told)
    assert len({draft.header.run_id for draft in update.drafts}) == 5


def test_before_the_contradiction_and_after_it(tmp_path: Path) -> None:
    read, update = load(kept(tmp_path, *LINES)).dialogues
    before, after = read.questions[2], update.questions[2]
    assert (before.id, before.category) == ("read/q0003", "read")
    assert (before.gold, before.stale) == (("s002-0", "s002-1"), ())
    assert (after.id, after.category) == ("update/q0003", "update")
    assert (after.gold, after.stale) == (("q0003",), ("s002-0", "s002-1"))
    assert before.text == after.text


def test_questions_are_left_out_evenly_and_what_is_told_is_not(tmp_path: Path) -> None:
    many = [line(f"Question {n}?", BAKERY, [0], f"Orla Finch bakes at {n}.") for n in range(801)]
    read, update = load(kept(tmp_path, *many)).dialogues
    assert (len(read.drafts), len(update.drafts)) == (2, 803)
    for page in (read, update):
        assert len(page.questions) == 267
        assert [q.text for q in page.questions[:2]] == ["Question 0?", "Question 3?"]


def test_a_run(tmp_path: Path) -> None:
    record = run("letta", data=kept(tmp_path, *LINES), embedder=None)
    assert {name: row.n for name, row in record.quality.items()} == {
        "read": 3, "update": 3, "overall": 6,
    }  # fmt: skip
    assert means_of(record.quality)["read"]["recall@10"] == 1.0
    assert "current_first" in means_of(record.quality)["update"]


def test_categories() -> None:
    assert get_task("letta").categories == ("read", "update")
    assert not get_task("letta").apart


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"letta-ai/letta-evals \(Apache-2\.0\)"):
        load(tmp_path)


def test_broken_lines(tmp_path: Path) -> None:
    beyond = line("Who?", BAKERY, [2], "Nobody.")
    with pytest.raises(InvalidInput, match=r"question 2 is not in the .*\[2\] of 2 facts"):
        load(kept(tmp_path, LINES[0], beyond))
    with pytest.raises(InvalidInput, match="question 1 is not in the published form"):
        load(kept(tmp_path, {"input": "Who?"}))
    with pytest.raises(InvalidInput, match="holds no question"):
        load(kept(tmp_path))
