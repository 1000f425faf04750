"""A conversation of six turns in the shape of Harbour, small enough to work results out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ASKED = "2025-02-01T12:00:00+00:00"


def _turn(id: str, speaker: str, text: str, **more: str) -> dict[str, str]:
    session, _, number = id.partition("-")
    day = {"s01": "2025-01-10", "s02": "2025-01-20"}[session]
    at = f"{day}T10:{number}:00+00:00"
    return {"id": id, "session": session, "at": at, "speaker": speaker, "text": text} | more


TURNS = [
    _turn("s01-01", "Noor", "The greenhouse roof arrived in Bergen."),
    _turn("s01-02", "Pavel", "What did the kiln cost?"),
    _turn("s01-03", "Noor", "The kiln came to 900 crowns."),
    _turn("s02-01", "Noor", "They raised the bill: the kiln was 950 crowns after all."),
    _turn("s02-02", "Pavel", "So 950 for the kiln, noted."),
    _turn("s02-03", "Noor", "Look at this.", caption="a crate of yellow tomatoes"),
]


def _question(id: str, text: str, category: str, *gold: str, **more: list[str]) -> dict[str, Any]:
    row = {"id": id, "question": text, "category": category, "asked_at": ASKED}
    return row | {"evidence": list(gold)} | more


QUESTIONS = [
    _question("q1", "Where did the greenhouse roof arrive?", "single-hop", "s01-01"),
    _question("q2", "Which photo has yellow tomatoes?", "single-hop", "s02-03"),
    _question("q3", "Which bill was raised?", "knowledge-update", "s02-01", stale=["s01-03"]),
    _question("q4", "Who noted 950?", "multi-hop", "s02-01", also=["s02-02"]),
    _question("q5", "Which submarine sank?", "unanswerable"),
]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the folder of the small conversation."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name, rows in (("harbour.jsonl", TURNS), ("harbour_questions.jsonl", QUESTIONS)):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return folder
