"""AMST-Bench: cases, the turns behind units, what is stale."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.differences import means_of
from mnemos.bench.runner import run
from mnemos.bench.task import TaskData
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput

ASKED = "2031-05-20T09:00:00Z"


def turn(id: str, content: str, role: str = "user") -> dict[str, str]:
    return {"turn_id": id, "content": content, "role": role}


def unit(id: str, *turns: str) -> dict[str, Any]:
    return {"memory_id": id, "source_turn_ids": list(turns)}


def query(id: str, kind: str, prompt: str, gold: list[str], forbidden: list[str]) -> dict[str, Any]:
    return {
        "query_id": f"case_1:{id}",
        "task_type": kind,
        "probe_type": f"{kind}_probe",
        "prompt": prompt,
        "gold_memory_ids": gold,
        "forbidden_memory_ids": forbidden,
        "timestamp": ASKED,
    }


def case() -> dict[str, Any]:
    return {
        "case_id": "case_1",
        "sessions": [
            {
                "session_id": "case_1:s1",
                "timestamp": "2031-05-01T09:00:00Z",
                "turns": [
                    turn("case_1:s1:t1", "Remember that the ferry to Skagen leaves from pier 4."),
                    turn("case_1:s1:t2", "Confirm: the ferry to Skagen leaves from pier 4."),
                    turn("case_1:s1:t3", "Remember that Ilka feeds the goats."),
                ],
            },
            {
                "session_id": "case_1:s2",
                "timestamp": "2031-05-08T09:00:00Z",
                "turns": [
                    turn("case_1:s2:t1", "Update this: the ferry to Skagen leaves from pier 9."),
                    turn("case_1:s2:t1a", "I will use the updated pier.", "assistant"),
                    turn("case_1:s2:t2", "As I said: Ilka feeds the goats."),
                ],
            },
        ],
        "gold_memory_units": [
            unit("m_old", "case_1:s1:t1"),
            unit("m_old_again", "case_1:s1:t2"),
            unit("m_new", "case_1:s2:t1"),
            unit("m_goats", "case_1:s1:t3", "case_1:s2:t2"),
            unit("m_unsaid"),
        ],
        "queries": [
            query("q1", "update", "Which pier does the ferry to Skagen leave from?", ["m_new"],
                  ["m_old", "m_old_again", "m_new"]),
            query("q2", "answer", "Who feeds the goats?", ["m_goats", "m_unsaid"], []),
            query("q3", "no_memory", "Sort these words.", [], []),
        ],
    }  # fmt: skip


Kept = Callable[[dict[str, Any]], Path]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Return what writes a domain's file and gives its folder's parent."""

    def keep(found: dict[str, Any]) -> Path:
        path = tmp_path / "automemorybench" / "harbour_office.json.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(json.dumps({"cases": [found]}).encode()))
        return tmp_path

    return keep


def load(path: Path) -> TaskData:
    return get_task("amst").load(path)


def test_a_case_is_a_page_of_its_turns(kept: Kept) -> None:
    (dialogue,) = load(kept(case())).dialogues
    assert dialogue.name == "case_1"
    headers = [draft.header for draft in dialogue.drafts]
    assert [header.external_id for header in headers][3:5] == ["case_1:s2:t1", "case_1:s2:t1a"]
    assert headers[4].run_id == "case_1:s2"
    assert headers[4].role == "assistant"
    assert headers[4].happened_at == datetime(2031, 5, 8, 9, 0, 1, tzinfo=UTC)


def test_gold_are_the_first_sources_and_stale_the_forbidden_ones(kept: Kept) -> None:
    (dialogue,) = load(kept(case())).dialogues
    update, answer, none = dialogue.questions
    assert (update.id, update.category, update.gold) == ("case_1:q1", "update", ("case_1:s2:t1",))
    assert update.stale == ("case_1:s1:t1", "case_1:s1:t2")
    assert update.asked_at == datetime.fromisoformat(ASKED)
    assert answer.gold == ("case_1:s1:t3",)
    assert answer.restated == {"case_1:s2:t2": "case_1:s1:t3"}
    assert (none.category, none.gold) == ("no_memory", ())


def test_a_run(kept: Kept) -> None:
    record = run("amst", data=kept(case()), embedder=None)
    assert record.dialogues == 1
    assert means_of(record.quality)["overall"]["recall@10"] == 1.0
    assert "current_first" in means_of(record.floor)["update"]
    assert "no_memory" not in record.quality


def test_categories() -> None:
    task = get_task("amst")
    assert task.categories[0] == "answer"
    assert len(task.categories) == 11
    assert task.apart == {"no_memory"}


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"wuyuVerse/AutoMemoryBench \(Apache-2\.0\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sessions": None}, r"harbour_office\.json\.gz, case 1 is not in the published form"),
        ({"gold_memory_units": [unit("m", "t99")]}, "name turns it does not have: t99"),
        ({"queries": [query("q", "juggle", "?", [], [])]}, "task type 'juggle'; allowed: answer"),
        ({"queries": [query("q", "tool", "?", ["m_none"], [])]}, "case 1 is not in the published"),
    ],
    ids=["no sessions", "lost turn", "other type", "lost unit"],
)
def test_broken_cases(kept: Kept, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        load(kept(case() | change))


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]", "utf-8")
    with pytest.raises(InvalidInput, match=r"other\.json is not in the published form"):
        load(path)
