"""MemoryCode: sessions cut into turns, rules in force and rules replaced."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.runner import run
from mnemos.bench.task import Question, TaskData
from mnemos.bench.tasks import get_task
from mnemos.bench.tasks.memorycode import DUTIES, NAMED, question_about
from mnemos.errors import InvalidInput


def session(text: str, *rules: list[Any], history: list[list[Any]] | None = None) -> dict[str, Any]:
    return {"text": text, "session_regex": list(rules), "history_regex": history or []}


FIRST = """They meet by the window.

Ilka: Welcome, Bram.

Ilka: Start the names of methods with 'q_'.
It keeps them apart from helpers: shared ones.

Bram: Fine, methods begin with 'q_'. I will try.

Ilka: And give every function the '@timer' decorator."""
SECOND = """Bram: Morning.
Ilka: From now on method names end with '_q'.
Bram: So '_q' for a method.
Ilka: Put a try statement into functions."""
THIRD = """Ilka: Shall we talk about lunch?
Bram: Soup."""
LAST: list[list[Any]] = [
    ["method", ".*_q$"],
    ["function decorator", ["timer", True]],
    ["function try", True],
]
DIALOGUE: dict[str, Any] = {
    "context": {"mentor": "Ilka", "mentee": "Bram"},
    "sessions": [
        session(FIRST, ["method", "^q_.*"], ["function decorator", ["timer", True]]),
        session(SECOND, ["method", ".*_q$"], ["function try", True]),
        session(THIRD, history=LAST),
    ],
}


def kept(folder: Path, *dialogues: dict[str, Any]) -> Path:
    path = folder / "memorycode" / "memorycode_dev.jsonl.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, dialogues)).encode()))
    return folder


def load(path: Path) -> TaskData:
    return get_task("memorycode").load(path)


def questions(folder: Path, dialogue: dict[str, Any]) -> dict[str, Question]:
    (found,) = load(kept(folder, dialogue)).dialogues
    return {question.id.partition("/")[2]: question for question in found.questions}


def test_sessions_are_cut_at_names(tmp_path: Path) -> None:
    (dialogue,) = load(kept(tmp_path, DIALOGUE | {"file": "dialogue_7.json"})).dialogues
    assert dialogue.name == "dialogue_7"
    turns = [(d.header.external_id, d.header.speaker) for d in dialogue.drafts]
    assert turns[:3] == [("s001-01", None), ("s001-02", "Ilka"), ("s001-03", "Ilka")]
    assert turns[5:7] == [("s002-01", "Bram"), ("s002-02", "Ilka")]
    assert "helpers: shared ones" in str(dialogue.drafts[2].payload)
    first, second = dialogue.drafts[4].header, dialogue.drafts[5].header
    assert (first.run_id, second.run_id) == ("s001", "s002")
    assert first.happened_at is not None
    assert second.happened_at is not None
    assert (second.happened_at - first.happened_at).days == 6


def test_the_latest_rule_is_gold_and_what_it_replaced_is_stale(tmp_path: Path) -> None:
    method = questions(tmp_path, DIALOGUE)["method"]
    assert method.text == "What is the current naming convention for methods?"
    assert method.category == "short-updated"
    assert method.gold == ("s002-02",)
    assert method.restated == {"s002-03": "s002-02"}
    assert set(method.stale) == {"s001-03", "s001-04"}


def test_a_rule_nobody_changed(tmp_path: Path) -> None:
    found = questions(tmp_path, DIALOGUE)
    decorator, attempt = found["function decorator"], found["function try"]
    assert (decorator.category, decorator.gold, decorator.stale) == ("short", ("s001-05",), ())
    # "I will try", said in the first session, states nothing.
    assert (attempt.gold, attempt.restated) == (("s002-04",), {})


def test_two_rules_in_force_are_two_gold_turns(tmp_path: Path) -> None:
    both = session(THIRD, history=[["method", ".*_q$"], ["method", "^q_.*"]])
    dialogue = DIALOGUE | {"sessions": [*DIALOGUE["sessions"][:2], both]}
    method = questions(tmp_path, dialogue)["method"]
    assert (method.gold, method.stale) == (("s002-02", "s001-03"), ())
    assert method.category == "short"


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("Ilka: Hello.\nBram: x\nIlka: About class names, be brief.", "s001-03"),
        ("Bram: Hello.\nIlka: Be brief.\nIlka: Always.", "s001-02"),
    ],
    ids=["the object is named", "nothing is named"],
)
def test_a_rule_no_turn_has_the_words_of(tmp_path: Path, text: str, gold: str) -> None:
    rule = ["class", ".*chx.*"]
    (found,) = questions(
        tmp_path, DIALOGUE | {"sessions": [session(text, rule, history=[rule])]}
    ).values()
    assert found.gold == (gold,)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (["class", r"\b[A-Z][A-Z0-9_]*\b"], "Class names are all UPPERCASE."),
        (["class", "^[a-z0-9_]*$"], "Write class names in snake_case."),
        (["variable", r".*\d$"], "A variable has a single digit in it."),
        (["import", ["mailbox", True]], "Always import the mailbox module."),
        (["comment", True], "Comments belong in your code."),
        (["method docstring", True], "Your methods get docstrings."),
    ],
)
def test_words_a_rule_is_stated_with(tmp_path: Path, rule: list[Any], said: str) -> None:
    text = f"Ilka: A method, a class, a variable, a module, your code.\nIlka: {said}"
    (found,) = questions(
        tmp_path, DIALOGUE | {"sessions": [session(text, rule, history=[rule])]}
    ).values()
    assert found.gold == ("s001-02",)


def test_long_histories_are_categories_of_their_own(tmp_path: Path) -> None:
    sessions = DIALOGUE["sessions"]
    longer = [*sessions[:2], *[session(THIRD)] * 13, sessions[2]]
    found = questions(tmp_path, DIALOGUE | {"sessions": longer})
    assert [found[name].category for name in ("method", "function try")] == ["long-updated", "long"]


def test_dialogues_are_left_out_evenly_where_there_are_too_many(tmp_path: Path) -> None:
    text = "\n".join(["Ilka: So it is."] * 2_500)
    lines = [DIALOGUE | {"sessions": [session(text)], "file": f"d{n}.json"} for n in range(10)]
    assert [d.name for d in load(kept(tmp_path, *lines)).dialogues] == ["d0", "d3", "d6", "d9"]


def test_the_published_files_are_read_in_order(tmp_path: Path) -> None:
    for number in (10, 2):
        (tmp_path / f"dialogue_{number}.json").write_text(json.dumps(DIALOGUE), "utf-8")
    assert [d.name for d in load(tmp_path).dialogues] == ["dialogue_2", "dialogue_10"]


def test_every_object_has_a_question() -> None:
    asked = {question_about(object) for object in (*NAMED, *DUTIES)}
    assert len(asked) == len(NAMED) + len(DUTIES) == 19


def test_a_run(tmp_path: Path) -> None:
    record = run("memorycode", data=kept(tmp_path, DIALOGUE), embedder=None)
    assert {name: row.n for name, row in record.quality.items()} == {
        "short": 2,
        "short-updated": 1,
        "overall": 3,
    }
    assert "current_first" in record.quality["short-updated"].values


def test_categories() -> None:
    task = get_task("memorycode")
    assert task.categories == ("short", "short-updated", "long", "long-updated")
    assert not task.apart


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"for-ai/MemoryCode \(Apache-2\.0\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"context": {}}, r"memorycode_dev\.jsonl\.gz, dialogue 1 is not in the published form"),
        ({"sessions": []}, "no turn of the conversation has a time"),
        ({"sessions": [session(THIRD, history=[["lambda", "^a_.*"]])]}, "type 'lambda'; allowed"),
    ],
    ids=["no names", "no sessions", "other object"],
)
def test_broken_dialogues(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        load(kept(tmp_path, DIALOGUE | change))
