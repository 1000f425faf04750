"""LifeBench in its published shape, with invented people."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.runner import run
from mnemos.bench.task import Dialogue
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput
from mnemos.types import Draft, Text


def record(id: object, at: str, **fields: object) -> dict[str, object]:
    annotators = "Noor did something worth asking for."
    whole = {"event_id": 9, "datetime": at, "summarized_info": annotators, "phone_id": id}
    return whole | fields


def said(words: str) -> dict[str, str]:
    return {"action": "topic query", "content": words}


CALLS = [
    record(
        0, "2025-03-02 09:00:00", datetime_end="2025-03-02 09:04:00", direction=1,
        contactName="Pavel", phoneNumber="+4755500001", call_result="Connect",
    ),
    record(1, "2025-03-02 10:00:00", direction=0, contactName="Kiln shop", call_result="Connect"),
    record(2, "2025-03-05 10:00:00", call_type="Dial out", contactName="Aunt Ida"),
]  # fmt: skip
MESSAGES = [
    record(
        "7", "2025-03-03 11:00:00", message_type="Receive", contactName="Pavel",
        message_content="The kiln comes on Friday.", phoneNumber="+4755500001",
    ),
    record(
        8, "2025-03-03 10:00:00", message_type="Send", contactName="Pavel",
        message_content="When does the kiln come?",
    ),
    record(
        9, "2025-03-04 10:00:00", message_type="Send", contactName="Pavel",
        message_content="It fits through the door.",
    ),
    record(8, "2025-03-03 10:00:00", message_type="Send", message_content="Written twice."),
]  # fmt: skip
CALENDAR = [
    record(
        1, "2025-03-01 08:00:00", title="Glazing course", description="Bring an apron.",
        start_time="2025-03-08 10:00:00", end_time="2025-03-08 12:00:00",
    ),
]  # fmt: skip
NOTES = [record(1, "2025-03-06 20:00:00", title="Glazes", content="Two parts ash, one of clay.")]
PHOTOS = [
    record(
        1, "2025-03-07 15:00:00", title="IMG_1", caption="a blue bowl", ocrText="None",
        location={"city": "Bergen", "poi": "Harbour market"}, faceRecognition=["None"],
        imageTag=["bowl", "market"], image_size="1x1",
    ),
    record(2, "2025-03-07 16:00:00", caption="", ocrText="无", location=None),
]  # fmt: skip
PUSHES = [
    record(
        1, "2025-03-07 17:00:00", source="Weather", title="Storm", content="Gale tonight.",
        push_status="Read", jump_path="a→b",
    ),
]  # fmt: skip
TALKS = [
    {
        "phone_id": 3, "date": "2025-03-09", "type": "agent_chat",
        "conversation": {
            "turn 1": {"user": said("Which glaze runs least?"), "assistant": said("Tin white.")},
            "turn 2": {"user": said("Thanks."), "reference": "x"},
        },
    },
]  # fmt: skip
CONTACTS = [
    {
        "phone_id": 4, "name": "Ida Holm", "relation": "Aunt", "nickname": "Aunt Ida",
        "gender": "Female", "phoneNumber": "5550002", "idNumber": 77,
    },
]  # fmt: skip


def asked(question: str, kind: str, *evidence: tuple[str, object], **more: object) -> Any:
    row = {"question": question, "question_type": kind, "answer": "-", "ask_time": "2025-03"}
    return row | {"evidence": [{"type": type, "id": id} for type, id in evidence]} | more


QUESTIONS = [
    asked("When does the kiln come?", "Information Extraction", ("sms", 7), ("sms", "8")),
    asked(
        "Which glaze runs least?", "Multi-hop reasoning", ("agent_chat", "3"), ("note", 99),
        options=[{"option": "A", "content": "Tin white"}], ask_time="2025-03-31",
    ),
    asked("What was lost?", "Nondeclarative", ("note", 99), ("call", None)),
    {
        "question": "Which submarine sank?", "question_type": "Unanswerable", "answer": "-",
        "ask_time": "2025-02",
    },
    asked("Where was the bowl?", "Temporal and Knowledge Updating", ("photo", 1), ask_time=None),
]  # fmt: skip

FILES: dict[str, Any] = {
    "call": CALLS,
    "sms": MESSAGES,
    "calendar": CALENDAR,
    "note": NOTES,
    "photo": PHOTOS,
    "push": PUSHES,
    "agent_chat": TALKS,
    "contact": CONTACTS,
    "persona": {"name": "Noor"},
    "QA_clean": QUESTIONS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One user in the shape of the set, some files compressed."""
    user = tmp_path / "lifebench" / "en" / "noor"
    user.mkdir(parents=True)
    for name, value in FILES.items():
        text = json.dumps(value)
        if name in ("sms", "QA_clean"):
            (user / f"{name}.json.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (user / f"{name}.json").write_text(text, "utf-8")
    return tmp_path


def read(path: Path) -> Dialogue:
    (dialogue,) = get_task("lifebench").load(path).dialogues
    return dialogue


def drafts_of(path: Path) -> dict[str | None, Draft]:
    return {draft.header.external_id: draft for draft in read(path).drafts}


def words_of(draft: Draft) -> str:
    assert isinstance(draft.payload, Text)
    return draft.payload.text


def test_every_record_is_a_memory_in_order_of_time(folder: Path) -> None:
    assert list(drafts_of(folder)) == [
        "contact:4", "calendar:1", "call:0", "call:1", "sms:8", "sms:7", "sms:9", "call:2",
        "note:1", "photo:1", "push:1", "agent_chat:3",
    ]  # fmt: skip


def test_records_say_in_words_what_they_hold(folder: Path) -> None:
    found = {id: words_of(draft) for id, draft in drafts_of(folder).items()}
    assert found == {
        "contact:4": "Ida Holm, Aunt Ida, Aunt, Female",
        "calendar:1": "Glazing course\nBring an apron.\n2025-03-08 10:00:00 – 2025-03-08 12:00:00",
        "call:0": "Outgoing call to Pavel, 2025-03-02 09:00:00 – 2025-03-02 09:04:00, Connect",
        "call:1": "Incoming call from Kiln shop, 2025-03-02 10:00:00, Connect",
        "call:2": "Dial out Aunt Ida, 2025-03-05 10:00:00",
        "sms:8": "Send Pavel: When does the kiln come?",
        "sms:7": "The kiln comes on Friday.",
        "sms:9": "Send Pavel: It fits through the door.",
        "note:1": "Glazes\nTwo parts ash, one of clay.",
        "photo:1": "Harbour market, Bergen\nbowl, market",
        "push:1": "Weather\nStorm\nGale tonight.",
        "agent_chat:3": "user: Which glaze runs least?\nassistant: Tin white.\nuser: Thanks.",
    }


def test_speakers_captions_times_and_sessions(folder: Path) -> None:
    found = drafts_of(folder)
    speakers = {id: draft.header.speaker for id, draft in found.items() if draft.header.speaker}
    assert speakers == {"sms:7": "Pavel"}
    assert found["photo:1"].header.caption == "a blue bowl"
    assert found["contact:4"].header.happened_at is None
    assert found["agent_chat:3"].header.happened_at == datetime(2025, 3, 9, tzinfo=UTC)
    assert found["sms:7"].header.run_id == found["sms:8"].header.run_id == "sms:Pavel:2025-03-03"
    assert len({draft.header.run_id for draft in found.values()}) == len(found) - 1


def test_gold_is_the_evidence_that_names_a_record(folder: Path) -> None:
    questions = read(folder).questions
    assert [(question.id, question.category, question.gold) for question in questions] == [
        ("en/noor/0", "Information Extraction", ("sms:7", "sms:8")),
        ("en/noor/1", "Multi-hop reasoning", ("agent_chat:3",)),
        ("en/noor/3", "Unanswerable", ()),
        ("en/noor/4", "Temporal and Knowledge Updating", ("photo:1",)),
    ]
    assert questions[1].text == "Which glaze runs least?"
    assert [question.asked_at for question in questions] == [
        datetime(2025, 3, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2025, 3, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2025, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2025, 3, 9, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "place",
    ["lifebench", "lifebench/en", "lifebench/en/noor", "lifebench/en/noor/QA_clean.json.gz"],
)
def test_is_found_from_any_of_its_folders(folder: Path, place: str) -> None:
    assert read(folder / place) == read(folder)


def test_is_found_as_it_is_published(folder: Path, tmp_path: Path) -> None:
    user = tmp_path / "life_bench_data" / "data_en" / "noor"
    for name, value in FILES.items():
        place = user / ("QA" if name == "QA_clean" else "phone_data")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.json").write_text(json.dumps(value), "utf-8")
    assert read(tmp_path / "life_bench_data") == read(folder)
    (user / "phone_data" / "sms.json").rename(user / "sms.json")
    (user / "phone_data" / "sms.json").write_text("[]", "utf-8")
    assert read(tmp_path / "life_bench_data") == read(folder)


def test_chinese_records_keep_their_language(folder: Path) -> None:
    user = folder / "lifebench" / "zh" / "noor"
    user.mkdir(parents=True)
    messages = [
        record(
            1, "2025-03-03 10:00:00", message_type="发送", contactName="米拉", message_content="好"
        ),
        record(
            2, "2025-03-03 11:00:00", message_type="接收", contactName="米拉", message_content="行"
        ),
    ]
    calls = [record(1, "2025-03-04 10:00:00", direction=0, contactName="米拉", call_result="接通")]
    for name, value in (("sms", messages), ("call", calls), ("QA_clean", [])):
        (user / f"{name}.json").write_text(json.dumps(value), "utf-8")
    dialogue = read(user)
    assert dialogue.name == "zh/noor"
    assert [(draft.header.speaker, words_of(draft)) for draft in dialogue.drafts] == [
        (None, "发送 米拉: 好"),
        ("米拉", "行"),
        (None, "呼入 米拉, 2025-03-04 10:00:00, 接通"),
    ]
    names = [dialogue.name for dialogue in get_task("lifebench").load(folder).dialogues]
    assert names == ["en/noor", "zh/noor"]


@pytest.mark.parametrize("there", [True, False])
def test_missing_data_says_where_it_is_published(tmp_path: Path, there: bool) -> None:
    with pytest.raises(
        InvalidInput, match=r"life_bench_data of github\.com.* \(Apache-2\.0\), and"
    ):
        get_task("lifebench").load(tmp_path if there else None)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("note.json", "[", "note.json is not JSON"),
        ("note.json", "[7]", "not all of its items are objects"),
        ("note.json", '[{"title": "x"}]', "note.json, record 1 has no phone_id"),
        ("note.json", '[{"phone_id": 1, "title": "x", "datetime": "soon"}]', "has the time 'soon'"),
        ("QA_clean.json.gz", "[]", "QA_clean.json.gz cannot be read"),
    ],
)
def test_damaged_records(folder: Path, name: str, content: str, problem: str) -> None:
    (folder / "lifebench" / "en" / "noor" / name).write_text(content, "utf-8")
    with pytest.raises(InvalidInput, match=problem):
        get_task("lifebench").load(folder)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "?", "question_type": "Riddle"}, "no question_type of Information"),
        (asked("?", "Nondeclarative", ask_time="soon"), "ask_time 'soon'; allowed: 2025-03"),
    ],
)
def test_damaged_questions(folder: Path, row: dict[str, Any], problem: str) -> None:
    packed = gzip.compress(json.dumps([row]).encode())
    (folder / "lifebench" / "en" / "noor" / "QA_clean.json.gz").write_bytes(packed)
    with pytest.raises(InvalidInput, match=problem):
        get_task("lifebench").load(folder)


def test_questions_without_records(tmp_path: Path) -> None:
    (tmp_path / "QA_clean.json").write_text("[]", "utf-8")
    with pytest.raises(
        InvalidInput, match=r"LifeBench phone data is not here.*none of contact\.json, call"
    ):
        get_task("lifebench").load(tmp_path)


def test_it_runs(folder: Path) -> None:
    task = get_task("lifebench")
    assert task.apart == {"Unanswerable"}
    found = run("lifebench", data=folder, embedder=None, ks=(1, 10), budgets=(500,))
    assert found.memories == 12
    assert {name: row.n for name, row in found.quality.items()} == {
        "Information Extraction": 1,
        "Multi-hop reasoning": 1,
        "Temporal and Knowledge Updating": 1,
        "overall": 3,
    }
    assert found.quality["Information Extraction"].values["recall@10"].mean == 1.0
