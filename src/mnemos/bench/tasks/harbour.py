"""Harbour: the shipped conversation of 378 turns and its 160 questions.

See ``bench/data/README.md``. Unanswerable questions have no gold and are listed, not scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of
from mnemos.errors import InvalidInput
from mnemos.memories.conversation_files import read_file

FOLDER = Path(__file__).parent.parent / "data"
TURNS = "harbour.jsonl"
QUESTIONS = "harbour_questions.jsonl"


def load(data: Path | None) -> TaskData:
    """Read the shipped conversation, or files of the same names and shape in a folder."""
    folder = FOLDER if data is None else data
    turns, questions = folder / TURNS, folder / QUESTIONS
    missing = [path.name for path in (turns, questions) if not path.is_file()]
    if missing:
        message = (
            f"{folder} has no {' and no '.join(missing)}; leave --data out to use what is shipped"
        )
        raise InvalidInput(message)
    drafts = read_file(turns, zone=UTC, format="jsonl").drafts
    known = frozenset(draft.header.external_id for draft in drafts)
    asked = [
        _question(f"{QUESTIONS}, line {number}", line)
        for number, line in enumerate(questions.read_text("utf-8").splitlines(), start=1)
        if line.strip()
    ]
    for question in asked:
        named = {*question.gold, *question.restated, *question.stale}
        if not named <= known:
            lost = ", ".join(sorted(named - known))
            message = f"{QUESTIONS}, {question.id} names turns that {TURNS} has not: {lost}"
            raise InvalidInput(message)
    dialogue = Dialogue(name="harbour", drafts=drafts, questions=tuple(asked))
    return TaskData(dialogues=(dialogue,), sha256=digest_of((turns, questions)))


def _question(where: str, line: str) -> Question:
    try:
        row: Mapping[str, Any] = json.loads(line)
        gold = tuple(row["evidence"])
        return Question(
            id=row["id"],
            text=row["question"],
            category=row["category"],
            gold=gold,
            asked_at=datetime.fromisoformat(row["asked_at"]).astimezone(UTC),
            restated={other: _restates(other, gold) for other in row.get("also", ())},
            stale=tuple(row.get("stale", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{where} is not a question ({error!r}); see the README beside the shipped file"
        raise InvalidInput(message) from error


def _restates(other: str, gold: tuple[str, ...]) -> str:
    """Return the gold turn another one restates: that of its session, or the only one there is."""
    if len(gold) == 1:
        return gold[0]
    (same,) = [turn for turn in gold if turn.partition("-")[0] == other.partition("-")[0]]
    return same


TASK = Task(
    name="harbour",
    title="one shipped conversation of 378 turns, 160 questions, twelve languages",
    categories=(
        "single-hop",
        "multi-hop",
        "temporal",
        "knowledge-update",
        "cross-lingual",
        "open-domain",
        "unanswerable",
    ),
    apart=frozenset({"unanswerable"}),
    load=load,
    shipped=True,
)
