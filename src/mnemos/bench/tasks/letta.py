"""Letta core memory: facts about invented people, and a later one that contradicts one of them.

The data is Apache-2.0 and not shipped: ``core_memory_update.jsonl``, whose lines hold a question,
ten facts, which of them support its answer, and a fact that contradicts those. The published
evaluation puts the ten facts into an agent's memory, tells it the contradicting fact and asks; its
ground truth is the answer by the contradicting fact. The set's other half, "read", asks the same
questions of the facts alone. So there are two categories, each on a page of its own:

read
    Before the contradiction is told: gold are the supporting facts.
update
    After it: gold is the contradicting fact, and the supporting facts are stale.

Ten facts at a time would all be among ten hits. The facts of all samples therefore lie on one page,
each once, a memory each: people's names do not recur between samples, so a question still means one
of them. On the page of "update" every contradiction is told, after all facts and each in a session
of its own, as each is told in a conversation of its own in the published set. Nothing there says
when; the facts of a sample are a session a day, their order a second apart.

Where a file has more than 400 questions, all its facts and contradictions are told, and every
second, third, ... question is asked, so that a run takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_one, published_shape, read_rows
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

BEGINS = datetime(2024, 1, 1, 9, tzinfo=UTC)
"""When the first facts are told."""

MOST_ASKED = 400
"""Questions of a category; where there are more, questions are left out evenly."""

FILES = FileSet(
    name="Letta core memory",
    folder="letta_core_memory",
    patterns=("core_memory_update*.jsonl",),
    published=(
        "get core_memory_update.jsonl of letta-leaderboard in github.com/letta-ai/letta-evals "
        "(Apache-2.0)"
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A line of the file: a question, its sample, the facts that support it, and the one after."""

    id: str
    text: str
    sample: int
    supporting: tuple[str, ...]
    contradicting: str


def load(data: Path | None) -> TaskData:
    """Read the facts and questions of a file, or of the one in a folder.

    Parameters
    ----------
    data : Path or None
        The file, the set's folder, or the one that holds it.

    Raises
    ------
    InvalidInput
        If there is no such file, or it is not in the published form.
    """
    path = find_one(data, FILES)
    samples: dict[tuple[str, ...], int] = {}
    asked: list[_Asked] = []
    for number, row in enumerate(read_rows(path), start=1):
        with published_shape(f"{path.name}, question {number}"):
            asked.append(_asked(row, number, samples))
    if not asked:
        message = f"{path.name} holds no question; fetch it again"
        raise InvalidInput(message)
    facts = _facts(samples)
    pages = (_read(facts, asked), _update(facts, asked))
    return TaskData(dialogues=pages, sha256=digest_of((path,)))


def _asked(row: Mapping[str, Any], number: int, samples: dict[tuple[str, ...], int]) -> _Asked:
    """Check a line; a sample is numbered when its facts are first seen."""
    extra: Mapping[str, Any] = row["agent_args"]["extra"]
    facts = tuple(map(str, extra["facts"]))
    places: list[int] = list(extra["supporting_fact_indices"])
    if not all(0 <= place < len(facts) for place in places):
        message = f"supporting_fact_indices {places} of {len(facts)} facts"
        raise IndexError(message)
    return _Asked(
        id=f"q{number:04}",
        text=row["input"],
        sample=samples.setdefault(facts, len(samples) + 1),
        supporting=tuple(dict.fromkeys(facts[place] for place in places)),
        contradicting=extra["contradicting_fact"],
    )


def _draft(text: str, *, id: str, session: str, at: datetime) -> Draft:
    turn = Turn(where=f"fact {id}", text=text, happened_at=at, external_id=id, run_id=session)
    return draft_turn(turn, zone=UTC)


def _facts(samples: Mapping[tuple[str, ...], int]) -> dict[str, Draft]:
    """Return every distinct fact with its draft, a session for each sample."""
    drafts: dict[str, Draft] = {}
    for facts, number in samples.items():
        began = BEGINS + timedelta(days=number - 1)
        for place, fact in enumerate(facts):
            id, at = f"s{number:03}-{place}", began + timedelta(seconds=place)
            drafts.setdefault(fact, _draft(fact, id=id, session=f"s{number:03}", at=at))
    return drafts


def _ids(facts: Mapping[str, Draft], wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(facts[fact].header.external_id or "" for fact in wanted)


def _taken(asked: Sequence[_Asked]) -> Sequence[_Asked]:
    """Return every n-th question, n as small as the bound allows."""
    return asked[:: -(-len(asked) // MOST_ASKED)]


def _read(facts: Mapping[str, Draft], asked: Sequence[_Asked]) -> Dialogue:
    """Return the page of the facts alone."""
    drafts = tuple(facts.values())
    end = end_of(drafts)
    questions = [
        Question(
            id=f"read/{item.id}",
            text=item.text,
            category="read",
            gold=_ids(facts, item.supporting),
            asked_at=end,
        )
        for item in _taken(asked)
    ]
    return Dialogue(name="letta-read", drafts=drafts, questions=tuple(questions))


def _update(facts: Mapping[str, Draft], asked: Sequence[_Asked]) -> Dialogue:
    """Return the page of the facts and of everything that contradicts one of them."""
    drafts = list(facts.values())
    began = end_of(drafts) + timedelta(days=1)
    for place, item in enumerate(asked):
        at = began + timedelta(hours=place)
        session = f"s{item.sample:03}-{item.id}"
        drafts.append(_draft(item.contradicting, id=item.id, session=session, at=at))
    end = end_of(drafts)
    questions = [
        Question(
            id=f"update/{item.id}",
            text=item.text,
            category="update",
            gold=(item.id,),
            asked_at=end,
            stale=_ids(facts, item.supporting),
        )
        for item in _taken(asked)
    ]
    return Dialogue(name="letta-update", drafts=tuple(drafts), questions=tuple(questions))


TASK = Task(
    name="letta",
    title="facts, then ones that contradict, every n-th asked (Letta core memory, not shipped)",
    categories=("read", "update"),
    apart=frozenset(),
    load=load,
)
