"""DeepMemEval: scenarios of one person on a page, gold and stale turns by scenario type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.runner import run
from mnemos.bench.task import Question, TaskData
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput


def session(id: str, date: str, user: str, assistant: str = "Noted.") -> dict[str, Any]:
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return {"session_id": id, "date": date, "turns": turns}


def scenario(
    id: str, kind: str, question: str, metadata: dict[str, Any], *sessions: dict[str, Any]
) -> dict[str, Any]:
    return {
        "scenario_id": id,
        "scenario_type": kind,
        "conversation_history": list(sessions),
        "question": question,
        "expected_answer": "-",
        "metadata": metadata,
    }


OVEN = "Bakes in a gas oven"
STONE = "Bakes in a stone oven"
PEEL = "Lifts loaves with a tin peel"
BELIEF = scenario(
    "belief-p101-oven", "belief-update", "Which oven does Tove Ahlin use now?",
    {
        "stale_answers": [OVEN],
        "belief_timeline": [
            {"fact": OVEN, "valid_until": "2031-03-01", "source_session": "s001"},
            {"fact": STONE, "valid_until": None, "source_session": "s002"},
        ],
    },
    session("s001", "2031-01-05", OVEN, "Got it, noted that you bakes in a gas oven."),
    session("s002", "2031-03-01", f"{STONE}. Better crust."),
)  # fmt: skip
TEMPORAL = scenario(
    "temporal-p101-oven", "temporal-belief", "Which oven did Tove Ahlin have in February 2031?",
    {"belief_at_timestamp": OVEN, "current_belief": STONE, "query_timestamp": "2031-02-01"},
    session("s001", "2031-01-06", OVEN),
    session("s002", "2031-03-02", STONE),
)  # fmt: skip
NOISE = scenario(
    "noise-p101-flour-light", "noise-resistance", "Which flour does Tove Ahlin use?",
    {"signal_sessions": ["s002"]},
    session("s001", "2031-01-07", "How do I sharpen a chisel?", "With a stone."),
    session("s002", "2031-01-09", "Uses spelt flour", "Noted, uses spelt flour."),
)  # fmt: skip
CASCADE = scenario(
    "cascade-p101-peel-via-oven", "cascade-propagation", "What peel does Tove Ahlin use?",
    {"root_change": f"{OVEN} → {STONE}", "old_dependent": PEEL},
    session("s001", "2031-01-10", OVEN),
    session("s002", "2031-01-12", PEEL),
    session("s003", "2031-03-03", f"{STONE}. It was a gift"),
)  # fmt: skip
UNCERTAIN = scenario(
    "uncertain-p101-peel-via-oven", "uncertainty-abstention", "Does Tove Ahlin still use tin?",
    {
        "uncertainty_reason": f"Root fact changed ({OVEN} → {STONE}), dependent belief '{PEEL}' "
        "was never explicitly updated"
    },
    session("s001", "2031-01-13", OVEN),
    session("s002", "2031-01-11", PEEL),
    session("s003", "2031-03-04", STONE),
)  # fmt: skip
DELTA = scenario(
    "delta-p102-var2", "delta-efficiency", "Measure it", {"established_facts_by_turn_5": ["-"]},
    session("s001", "2031-01-08", "Rows at dawn"),
)  # fmt: skip
NOTHING: dict[str, Any] = {}
ALL = [BELIEF, TEMPORAL, NOISE, CASCADE, UNCERTAIN, DELTA]


def kept(folder: Path, scenarios: object) -> Path:
    path = folder / "deepmemeval_500.json"
    path.write_text(json.dumps(scenarios), "utf-8")
    return folder


def load(path: Path) -> TaskData:
    return get_task("deepmemeval").load(path)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Question]:
    """Return the questions by scenario."""
    pages = load(kept(tmp_path, ALL)).dialogues
    return {question.id: question for page in pages for question in page.questions}


def test_a_page_holds_all_scenarios_of_a_person_in_order_of_time(tmp_path: Path) -> None:
    first, second = load(kept(tmp_path, ALL)).dialogues
    assert (first.name, second.name) == ("p101", "p102")
    assert len(first.drafts) == 24
    said = [draft.header.happened_at for draft in first.drafts if draft.header.happened_at]
    assert said == sorted(said)
    header = first.drafts[1].header
    assert header.external_id == "belief-p101-oven/s001/2"
    assert header.run_id == "belief-p101-oven/s001"
    assert (header.role, header.happened_at) == (
        "assistant",
        datetime(2031, 1, 5, 0, 1, tzinfo=UTC),
    )
    assert {question.asked_at for question in first.questions} == {said[-1]}


def test_what_holds_now(asked: dict[str, Question]) -> None:
    question = asked["belief-p101-oven"]
    assert question.gold == ("belief-p101-oven/s002/1",)
    assert set(question.restated) == {
        "temporal-p101-oven/s002/1",
        "cascade-p101-peel-via-oven/s003/1",
        "uncertain-p101-peel-via-oven/s003/1",
    }
    assert set(question.stale) == {
        "belief-p101-oven/s001/1",
        "belief-p101-oven/s001/2",
        "temporal-p101-oven/s001/1",
        "cascade-p101-peel-via-oven/s001/1",
        "uncertain-p101-peel-via-oven/s001/1",
    }


def test_what_held_then(asked: dict[str, Question]) -> None:
    question = asked["temporal-p101-oven"]
    assert question.gold == ("temporal-p101-oven/s001/1",)
    assert "belief-p101-oven/s001/2" in question.restated
    assert "temporal-p101-oven/s002/1" in question.stale


def test_signal_in_noise(asked: dict[str, Question]) -> None:
    question = asked["noise-p101-flour-light"]
    assert question.gold == ("noise-p101-flour-light/s002/1",)
    assert question.restated == {"noise-p101-flour-light/s002/2": question.gold[0]}
    assert question.stale == ()


@pytest.mark.parametrize("name", ["cascade-p101-peel-via-oven", "uncertain-p101-peel-via-oven"])
def test_what_rests_on_a_change(asked: dict[str, Question], name: str) -> None:
    question = asked[name]
    assert question.gold == (f"{name}/s002/1", f"{name}/s003/1")
    assert question.restated["belief-p101-oven/s002/1"] == f"{name}/s003/1"


def test_what_cannot_be_told_is_not_scored(tmp_path: Path, asked: dict[str, Question]) -> None:
    assert asked["delta-p102-var2"].gold == ()
    unsaid = UNCERTAIN | {"metadata": {"uncertainty_reason": "Never mentioned"}}
    lost = CASCADE | {"metadata": CASCADE["metadata"] | {"old_dependent": "Keeps bees"}}
    (page,) = load(kept(tmp_path, [unsaid, lost])).dialogues
    assert [question.gold for question in page.questions] == [(), ()]


def test_a_longer_fact_is_another_fact(tmp_path: Path) -> None:
    other = session("s003", "2031-04-01", f"{STONE} with two doors")
    longer = BELIEF | {"conversation_history": [*BELIEF["conversation_history"], other]}
    (page,) = load(kept(tmp_path, [longer])).dialogues
    assert page.questions[0].restated == {}


def test_a_run(tmp_path: Path) -> None:
    record = run("deepmemeval", data=kept(tmp_path, ALL), embedder=None)
    assert {name: row.n for name, row in record.quality.items()} == {
        "belief-update": 1,
        "temporal-belief": 1,
        "noise-resistance": 1,
        "cascade-propagation": 1,
        "uncertainty-abstention": 1,
        "overall": 5,
    }
    assert "current_first" in record.quality["belief-update"].values


def test_categories() -> None:
    task = get_task("deepmemeval")
    assert len(task.categories) == 6
    assert task.apart == {"delta-efficiency"}


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nambok/DeepMemEval \(Apache-2\.0\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("scenarios", "problem"),
    [
        ({"a": 1}, r"deepmemeval_500\.json is not in the published form"),
        ([BELIEF | {"scenario_id": "belief-oven"}], "'belief-oven' names no person"),
        ([BELIEF | {"scenario_type": "juggling"}], "type 'juggling'; allowed: belief-update"),
        (
            [BELIEF | {"metadata": NOTHING}],
            "scenario belief-p101-oven is not in the published form",
        ),
        ([BELIEF | {"conversation_history": 7}], "belief-p101-oven is not in the published form"),
    ],
    ids=["no list", "no person", "other type", "no metadata", "no history"],
)
def test_broken_scenarios(tmp_path: Path, scenarios: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        load(kept(tmp_path, scenarios))
