"""MADial-Bench in its published shape, with invented children."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.runner import run
from mnemos.bench.task import Dialogue
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput
from mnemos.types import Text


def memory(id: str, time: str, event: str, **more: object) -> dict[str, Any]:
    return {id: {"time": time, "scene": "Activity", "emotion": "Happy", "event": event} | more}


def dialogue(user: int, gold: list[int], *lines: str, turn: int = 2) -> dict[str, Any]:
    whole = ["<BOD>\n", *(f"{line}\n" for line in lines), "<EOD>\n"]
    return {"dialogue": whole, "test-turn": [turn], "relevant-id": gold, "user-id": user}


ENGLISH = [
    memory("1", "2023-05-01", "Tove built a raft of driftwood."),
    memory("4", "last summer", "Emil found a hedgehog."),
    memory("7", "2023-08-09", "Emil lost his red kite.", scene=None, emotion=""),
]
CHINESE = [
    memory("1", "2023-05-01", "小托造了一只木筏。", **{"user-id": 1}),
    memory("4", "2023-06-02", "小埃找到了一只刺猬。", **{"user-id": 2}),
]
ASKED = [
    dialogue(1, [1, 99], '<Tove>: "I want to go on the water!"', '<Assistant>: "Like your raft?"'),
    dialogue(2, [7, 4], '<Emil>: "I found a kite."', '<Assistant>: "A red one?"'),
    dialogue(2, [99], '<Emil>: "Nothing."', '<Assistant>: "Nothing?"'),
]


def write(path: Path, rows: Iterable[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both languages in the shape of the set."""
    for language, place, memories in (("en", "en", ENGLISH), ("zh", "ch", CHINESE)):
        start = tmp_path / "madial" / place / f"MADial-Bench-{language}"
        write(Path(f"{start}-memory.json"), memories)
        write(Path(f"{start}-dialogue-dev.json"), ASKED)
    return tmp_path


def read(path: Path) -> dict[str, Dialogue]:
    return {dialogue.name: dialogue for dialogue in get_task("madial").load(path).dialogues}


def test_memories_of_a_user_in_chinese_and_of_all_in_english(folder: Path) -> None:
    found = {
        name: [draft.header.external_id for draft in dialogue.drafts]
        for name, dialogue in read(folder).items()
    }
    assert found == {"zh/1": ["1"], "zh/2": ["4"], "en": ["1", "4", "7"]}


def test_a_memory_is_its_event_with_scene_and_emotion(folder: Path) -> None:
    drafts = read(folder)["en"].drafts
    texts = [draft.payload.text for draft in drafts if isinstance(draft.payload, Text)]
    assert texts == [
        "Tove built a raft of driftwood. (Activity, Happy)",
        "Emil found a hedgehog. (Activity, Happy)",
        "Emil lost his red kite.",
    ]
    assert [draft.header.happened_at for draft in drafts] == [
        datetime(2023, 5, 1, tzinfo=UTC),
        None,
        datetime(2023, 8, 9, tzinfo=UTC),
    ]


def test_questions_are_the_lines_before_the_turn_under_test(folder: Path) -> None:
    found = read(folder)
    assert [(q.id, q.text, q.category, q.gold) for q in found["en"].questions] == [
        ("en/0", '<Tove>: "I want to go on the water!"', "en", ("1",)),
        ("en/1", '<Emil>: "I found a kite."', "en", ("7", "4")),
    ]
    assert [(q.id, q.gold) for q in found["zh/1"].questions] == [("zh/0", ("1",))]
    assert [(q.id, q.gold) for q in found["zh/2"].questions] == [("zh/1", ("4",))]
    assert {q.asked_at for q in found["en"].questions} == {datetime(2023, 8, 9, tzinfo=UTC)}


@pytest.mark.parametrize("place", ["madial", "madial/en", "madial/en/MADial-Bench-en-memory.json"])
def test_is_found_from_its_own_folders(folder: Path, place: str) -> None:
    assert read(folder / place)["en"] == read(folder)["en"]


def test_dialogues_of_the_published_settings_are_passed_over(folder: Path) -> None:
    write(folder / "madial" / "en" / "MADial-Bench-en-dialogue-setting2.json", [])
    assert len(read(folder)["en"].questions) == 2
    write(folder / "madial" / "en" / "MADial-Bench-en-dialogue.json", ASKED)
    with pytest.raises(InvalidInput, match="several files for one"):
        read(folder)


@pytest.mark.parametrize("there", [True, False])
def test_missing_data_says_where_it_is_published(tmp_path: Path, there: bool) -> None:
    with pytest.raises(InvalidInput, match=r"get data/ch .* github\.com/hejunqing.* \(MIT\), and"):
        get_task("madial").load(tmp_path if there else None)


def test_half_a_language(folder: Path) -> None:
    (folder / "madial" / "en" / "MADial-Bench-en-memory.json").unlink()
    with pytest.raises(InvalidInput, match=r"has the en dialogues but no en-memory\.json"):
        get_task("madial").load(folder)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("memory", "{", "memory.json is not JSON"),
        ("memory", '{"1": {"time": "2023-01-01"}}', "line 1 is no memory with an event"),
        (
            "dialogue-dev",
            '{"dialogue": []}',
            r"dialogue en/0 is not in the published form \(KeyError",
        ),
    ],
)
def test_damaged_data(folder: Path, name: str, content: str, problem: str) -> None:
    (folder / "madial" / "en" / f"MADial-Bench-en-{name}.json").write_text(content, "utf-8")
    with pytest.raises(InvalidInput, match=problem):
        get_task("madial").load(folder)


def test_it_runs(folder: Path) -> None:
    assert get_task("madial").categories == ("zh", "en")
    found = run("madial", data=folder, embedder=None, ks=(1, 10), budgets=(500,))
    assert found.memories == 5
    assert {name: row.n for name, row in found.quality.items()} == {"zh": 2, "en": 2, "overall": 4}
    assert found.quality["en"].values["any@10"].mean > 0
