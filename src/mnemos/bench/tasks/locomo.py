"""LoCoMo: long conversations between two people (Maharana et al., ACL 2024, arXiv:2402.17753).

The data is CC BY-NC 4.0 and not shipped. ``--data`` names the file ``locomo10.json`` (it may be
compressed) or its folder. Where files ``qa_normalized*.jsonl(.gz)`` lie beside it, the questions of
the conversations they name are taken from them, since their evidence is repaired; every other
conversation's own questions are repaired here: "D8:6; D9:17" names two turns, "D:11:26" is
D11:26, "D30:05" is D30:5, and an id that names no turn is dropped. A question left without
evidence is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_one, read_rows
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.conversation_files import Conversation, read_files

CATEGORIES = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}
"""The numbers the file gives them."""

FILES = FileSet(
    name="LoCoMo",
    folder="locomo",
    patterns=("locomo*.json",),
    published="get data/locomo10.json of github.com/snap-research/LoCoMo (CC BY-NC 4.0)",
)
NORMALIZED = ("qa_normalized*.jsonl", "qa_normalized*.jsonl.gz")

_ID = re.compile(r"D:?(\d+):(\d+)")


def repair_evidence(evidence: Iterable[object], known: Iterable[str | None]) -> tuple[str, ...]:
    """Return the ids of turns that evidence names, in order, each once.

    Parameters
    ----------
    evidence : iterable
        Strings as the file has them.
    known : iterable of str or None
        Ids of the conversation's turns.

    Examples
    --------
    >>> repair_evidence(["D1:2; D1:3", "D:1:4", "D1:05", "D", "D9:9"], ["D1:2", "D1:4", "D1:5"])
    ('D1:2', 'D1:4', 'D1:5')
    """
    parts = [part for item in evidence for part in re.split(r"[;\s]+", str(item))]
    matches = [match for part in parts if (match := _ID.fullmatch(part))]
    named = [f"D{int(match[1])}:{int(match[2])}" for match in matches]
    turns = frozenset(known)
    return tuple(dict.fromkeys(turn for turn in named if turn in turns))


def load(data: Path | None, *, audited: bool = False) -> TaskData:
    """Read the conversations and questions of a file, or of the one in a folder.

    Parameters
    ----------
    data : Path or None
        The file, or its folder.
    audited : bool
        Whether the evidence an audit of the data set named stands for the annotators' own.

    Raises
    ------
    InvalidInput
        If there is none, several are in one folder, or one is not as published.
    """
    path = find_one(data, FILES)
    beside = sorted(file for name in NORMALIZED for file in path.parent.glob(name))
    normalized: dict[str, list[Mapping[str, Any]]] = {}
    for file in beside:
        for row in read_rows(file):
            normalized.setdefault(str(row.get("sample_id")), []).append(row)
    read = list(read_files(path, zone=UTC, format="locomo"))
    dialogues: list[Dialogue] = []
    for conversation, sample in zip(read, read_rows(path), strict=True):
        own: list[Mapping[str, Any]] = sample.get("qa") or []
        rows = normalized.get(conversation.name, own)
        questions = tuple(_questions(conversation, rows, audited=audited))
        dialogues.append(
            Dialogue(name=conversation.name, drafts=conversation.drafts, questions=questions)
        )
    return TaskData(dialogues=tuple(dialogues), sha256=digest_of((path, *beside)))


def _questions(
    conversation: Conversation, rows: Iterable[Mapping[str, Any]], *, audited: bool
) -> Iterator[Question]:
    known = [draft.header.external_id for draft in conversation.drafts]
    end = end_of(conversation.drafts)
    for number, row in enumerate(rows):
        id = f"{conversation.name}/{row.get('qid', number)}"
        category = CATEGORIES.get(row.get("category", 0))
        text = row.get("question")
        if category is None or not isinstance(text, str):
            message = f"question {id} has no text or no category from 1 to 5"
            raise InvalidInput(message)
        corrected = row.get("audit_evidence") if audited else None
        gold = repair_evidence(corrected or row.get("evidence", ()), known)
        if gold:
            yield Question(id=id, text=text, category=category, gold=gold, asked_at=end)


TASK = Task(
    name="locomo",
    title="long conversations between two people (LoCoMo, not shipped)",
    categories=tuple(CATEGORIES.values()),
    apart=frozenset({"adversarial"}),
    load=load,
)
