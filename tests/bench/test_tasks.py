"""Finding tasks, reading their data, repairing ids of evidence."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench import tasks
from mnemos.bench.task import digest_of, end_of
from mnemos.bench.tasks import get_task, list_tasks
from mnemos.bench.tasks.locomo import repair_evidence
from mnemos.errors import InvalidInput


def turn(speaker: str, id: str, text: str, caption: str | None = None) -> dict[str, str]:
    found = {"speaker": speaker, "dia_id": id, "text": text}
    return found | ({"blip_caption": caption} if caption else {})


def asked(question: str, category: int, *evidence: str) -> dict[str, Any]:
    return {"question": question, "answer": "-", "category": category, "evidence": list(evidence)}


SAMPLE: dict[str, Any] = {
    "sample_id": "conv-901",
    "conversation": {
        "speaker_a": "Noor",
        "speaker_b": "Pavel",
        "session_1_date_time": "10:04 am on 3 June, 2024",
        "session_1": [
            turn("Noor", "D1:1", "The greenhouse roof arrived today."),
            turn("Pavel", "D1:2", "Did the glass survive?"),
            turn("Noor", "D1:3", "Every pane but one."),
        ],
        "session_2_date_time": "9:15 pm on 21 June, 2024",
        "session_2": [
            turn("Pavel", "D2:1", "Look what grew.", "a crate of yellow tomatoes"),
            turn("Noor", "D2:2", "I planted those the week I broke my wrist."),
        ],
    },
    "qa": [
        asked("How many panes broke?", 4, "D1:3"),
        asked("What happened to the roof and what grew?", 1, "D1:1; D2:1"),
        asked("When did the roof arrive?", 2, "D:1:1"),
        asked("Would Pavel sell at a market?", 3),
        asked("What did Noor break?", 4, "D2:02 D1:3"),
        asked("Which car does Pavel drive?", 5, "D2:1"),
        asked("What is lost?", 4, "D9:9", "D"),
    ],
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Invented content in the published shape."""
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps([SAMPLE]), "utf-8")
    return path


def test_every_file_is_a_task_of_its_name() -> None:
    for name in list_tasks():
        task = get_task(name)
        assert task.name == name
        assert task.title
        assert task.apart < frozenset(task.categories)
    assert Path(tasks.__file__).with_name("locomo.py").is_file()


@pytest.mark.parametrize(
    ("name", "advice"), [("harbor", "did you mean 'harbour'"), ("x", "allowed: amst, ")]
)
def test_unknown_task(name: str, advice: str) -> None:
    with pytest.raises(InvalidInput, match=advice):
        get_task(name)


@pytest.mark.parametrize(
    ("evidence", "repaired"),
    [
        (["D1:1"], ("D1:1",)),
        (["D8:6; D9:17"], ("D8:6", "D9:17")),
        (["D9:1 D4:4 D4:6"], ("D9:1", "D4:4", "D4:6")),
        (["D:11:26"], ("D11:26",)),
        (["D30:05"], ("D30:5",)),
        (["D", "", "D10:19"], ()),
        (["D1:1", "D1:01"], ("D1:1",)),
        ([None, 7], ()),
    ],
)
def test_evidence_is_repaired(evidence: list[object], repaired: tuple[str, ...]) -> None:
    known = ["D1:1", "D8:6", "D9:17", "D9:1", "D4:4", "D4:6", "D11:26", "D30:5", None]
    assert repair_evidence(evidence, known) == repaired


def test_locomo_reads_its_published_shape(sample: Path) -> None:
    (dialogue,) = get_task("locomo").load(sample).dialogues
    assert dialogue.name == "conv-901"
    assert [draft.header.external_id for draft in dialogue.drafts] == [
        "D1:1", "D1:2", "D1:3", "D2:1", "D2:2",
    ]  # fmt: skip
    assert dialogue.drafts[3].header.caption == "a crate of yellow tomatoes"
    found = {question.text: (question.category, question.gold) for question in dialogue.questions}
    assert found == {
        "How many panes broke?": ("single-hop", ("D1:3",)),
        "What happened to the roof and what grew?": ("multi-hop", ("D1:1", "D2:1")),
        "When did the roof arrive?": ("temporal", ("D1:1",)),
        "What did Noor break?": ("single-hop", ("D2:2", "D1:3")),
        "Which car does Pavel drive?": ("adversarial", ("D2:1",)),
    }


def test_locomo_questions_are_asked_at_the_end_of_their_conversation(sample: Path) -> None:
    (dialogue,) = get_task("locomo").load(sample).dialogues
    last = datetime(2024, 6, 21, 21, 15, 1, tzinfo=UTC)
    assert {question.asked_at for question in dialogue.questions} == {last}
    assert end_of(dialogue.drafts) == last


def test_locomo_takes_repaired_questions_that_lie_beside(sample: Path) -> None:
    rows = [
        asked("Repaired?", 4, "D1:2") | {"qid": "a_0", "sample_id": "conv-901"},
        asked("Another's?", 4, "D1:2") | {"qid": "b_0", "sample_id": "conv-902"},
    ]
    beside = sample.parent / "qa_normalized_dev.jsonl.gz"
    beside.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    before = digest_of([sample])
    read = get_task("locomo").load(sample)
    (question,) = read.dialogues[0].questions
    assert (question.id, question.text) == ("conv-901/a_0", "Repaired?")
    assert read.sha256 not in (before, digest_of([beside]))


@pytest.mark.parametrize("place", [".", "locomo"])
def test_locomo_is_found_in_a_folder_and_compressed(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    packed = gzip.compress(json.dumps([SAMPLE]).encode())
    (folder / "locomo_dev.json.gz").write_bytes(packed)
    (dialogue,) = get_task("locomo").load(tmp_path).dialogues
    assert len(dialogue.questions) == 5


@pytest.mark.parametrize("there", [True, False])
def test_missing_data_says_where_it_is_expected(tmp_path: Path, there: bool) -> None:
    said = r"not shipped; get .* of github\.com/\S+ .*\(CC BY-NC 4\.0\), .*--data PATH or in MNEMOS_DATA"
    with pytest.raises(InvalidInput, match=said):
        get_task("locomo").load(tmp_path if there else None)


def test_locomo_refuses_several_files(sample: Path) -> None:
    sample.with_name("locomo_dev.json").write_text("[]", "utf-8")
    with pytest.raises(InvalidInput, match=r"several files \(locomo10\.json, locomo_dev\.json\)"):
        get_task("locomo").load(sample.parent)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not gzip", "not a sound gzip file"),
        (gzip.compress(b"{"), "is not JSON"),
        (gzip.compress(json.dumps([SAMPLE | {"qa": [{"category": 9}]}]).encode()), "category"),
    ],
    ids=["not packed", "not JSON", "not questions"],
)
def test_damaged_data(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "locomo10.json.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        get_task("locomo").load(path)


def test_harbour_is_as_its_readme_says() -> None:
    (dialogue,) = get_task("harbour").load(None).dialogues
    assert len(dialogue.drafts) == 378
    assert Counter(question.category for question in dialogue.questions) == {
        "single-hop": 50,
        "multi-hop": 25,
        "temporal": 25,
        "knowledge-update": 22,
        "cross-lingual": 18,
        "open-domain": 10,
        "unanswerable": 10,
    }
    for question in dialogue.questions:
        assert bool(question.gold) == (question.category != "unanswerable")
        assert bool(question.stale) == (question.category == "knowledge-update")
        assert not set(question.stale) & set(question.gold)
        assert question.asked_at > end_of(dialogue.drafts)
    assert sum(bool(question.restated) for question in dialogue.questions) == 8


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ({}, "line 1 is not a question"),
        ({"evidence": ["s99-99"]}, "turns that harbour.jsonl has not: s99-99"),
    ],
)
def test_harbour_names_what_is_wrong(
    tmp_path: Path, question: dict[str, Any], problem: str
) -> None:
    whole = {
        "id": "q1", "question": "?", "category": "single-hop", "asked_at": "2025-11-30T12:00:00Z",
    }  # fmt: skip
    row = {"id": "s01-01", "at": "2025-01-01T12:00:00Z", "session": "s01", "text": "Hello"}
    (tmp_path / "harbour.jsonl").write_text(json.dumps(row), "utf-8")
    (tmp_path / "harbour_questions.jsonl").write_text(
        json.dumps(question and whole | question), "utf-8"
    )
    with pytest.raises(InvalidInput, match=problem):
        get_task("harbour").load(tmp_path)


def test_harbour_elsewhere_needs_both_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no harbour\.jsonl and no harbour_questions\.jsonl"):
        get_task("harbour").load(tmp_path)


def test_audited_evidence_stands_for_the_annotators_own(sample: Path) -> None:
    row = {
        "qid": "locomo_0_qa0",
        "sample_id": "conv-901",
        "category": 4,
        "question": "What did Rosa grow?",
        "evidence": ["D1:1"],
        "audit_evidence": ["D1:2"],
    }
    beside = sample.parent / "qa_normalized_dev.jsonl.gz"
    beside.write_bytes(gzip.compress(json.dumps(row).encode()))
    for name, gold in (("locomo", ("D1:1",)), ("locomo_audited", ("D1:2",))):
        questions = [q for one in get_task(name).load(sample).dialogues for q in one.questions]
        assert [q.gold for q in questions if q.text == row["question"]] == [gold]
