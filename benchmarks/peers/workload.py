"""What every peer is given: the turns of a task as texts with vectors, and its questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnemos.bench.task import Dialogue, Question
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Embedder
from mnemos.types import Draft, Text

DISTINCT = 400
"""Memories of the trials in which writes are counted after a crash."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question as it is sent, and the ids that answer it."""

    id: str
    user: str
    text: str
    asked_at: str
    gold: tuple[str, ...]
    restated: Mapping[str, str]

    def ranks(self, found: Sequence[str]) -> tuple[int | None, ...]:
        """Return at which ranks the gold was found; a turn that restates gold counts as it."""
        turns = [self.restated.get(id, id) for id in found]
        rank = {turn: place for place, turn in reversed(list(enumerate(turns, start=1)))}
        return tuple(rank.get(turn) for turn in self.gold)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Items and questions with their vectors, and the digest of the files they came from."""

    task: str
    sha256: str
    embedder: str
    items: tuple[Mapping[str, Any], ...]
    item_vectors: Floats
    questions: tuple[Asked, ...]
    question_vectors: Floats

    def write(self, folder: Path) -> Path:
        """Write the files a worker reads into a folder, made where there is none; return it."""
        folder.mkdir(parents=True, exist_ok=True)
        queries = [
            {"user": item.user, "text": item.text, "asked_at": item.asked_at}
            for item in self.questions
        ]
        for name, rows in (("items", self.items), ("queries", queries)):
            lines = (json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        np.savez(folder / "vectors.npz", items=self.item_vectors, queries=self.question_vectors)
        return folder

    def distinct(self, count: int = DISTINCT) -> Workload:
        """Return at most ``count`` items of the first user, no two alike, and no questions.

        A memory that is looked for by its own text must be the only one to answer to it.
        """
        user = self.items[0]["user"]
        first: dict[str, int] = {}
        for place, item in enumerate(self.items):
            if item["user"] == user:
                first.setdefault(item["words"], place)
        places = list(first.values())[:count]
        return replace(
            self,
            items=tuple(self.items[place] for place in places),
            item_vectors=self.item_vectors[places],
            questions=(),
            question_vectors=self.question_vectors[:0],
        )


def prepare(
    task: str, data: Path | None, *, embedder: Embedder, cache: Path, seed: int
) -> Workload:
    """Read a task, and embed its turns and questions or take their vectors from the cache.

    Questions without gold, and those a task sets apart, are not asked; the others are shuffled,
    so that a peer too slow for all of them answers a fair sample.

    Parameters
    ----------
    task : str
        A task of ``mnemos bench``.
    data : Path or None
        Where its data lies; None is the shipped data.
    embedder : Embedder
        Makes all vectors.
    cache : Path
        Folder that keeps vectors by the digest of what was embedded, and by what.
    seed : int
        Of the order of the questions.

    Raises
    ------
    InvalidInput
        If the task or its data is not there, or nothing in it can be asked.
    """
    chosen = get_task(task)
    read = chosen.load(data)
    items: list[Mapping[str, Any]] = []
    questions: list[Asked] = []
    for number, dialogue in enumerate(read.dialogues):
        user = f"user-{number}"
        items.extend(_item(user, draft) for draft in dialogue.drafts)
        questions.extend(_asked(user, dialogue, chosen.apart))
    if not questions:
        raise InvalidInput(f"no question of {task} has gold; give data with questions to score")
    Random(seed).shuffle(questions)
    texts = [item["text"] for item in items]
    return Workload(
        task=task,
        sha256=read.sha256,
        embedder=embedder.fingerprint,
        items=tuple(items),
        item_vectors=_embedded(texts, embedder, cache, query=False),
        questions=tuple(questions),
        question_vectors=_embedded(
            [question.text for question in questions], embedder, cache, query=True
        ),
    )


def _item(user: str, draft: Draft) -> Mapping[str, Any]:
    header = draft.header
    assert isinstance(draft.payload, Text)
    moment = header.happened_at
    return {
        "id": _id(user, header.external_id),
        "user": user,
        "text": index_text(header, draft.payload),
        "words": draft.payload.text,
        "speaker": header.speaker,
        "role": header.role,
        "caption": header.caption,
        "session": header.run_id,
        "said_at": moment.isoformat() if moment is not None else None,
    }


def _id(user: str, turn: str | None) -> str:
    return f"{user}/{turn}"


def _asked(user: str, dialogue: Dialogue, apart: frozenset[str]) -> list[Asked]:
    def scored(question: Question) -> bool:
        return bool(question.gold) and question.category not in apart

    return [
        Asked(
            id=f"{user}/{question.id}",
            user=user,
            text=question.text,
            asked_at=question.asked_at.isoformat(),
            gold=tuple(_id(user, turn) for turn in question.gold),
            restated={_id(user, a): _id(user, b) for a, b in question.restated.items()},
        )
        for question in dialogue.questions
        if scored(question)
    ]


def _embedded(texts: Sequence[str], embedder: Embedder, cache: Path, *, query: bool) -> Floats:
    digest = hashlib.sha256(json.dumps([embedder.fingerprint, query, *texts]).encode())
    path = cache / f"vectors-{digest.hexdigest()[:32]}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return kept["vectors"]
    vectors = np.concatenate(
        [
            embedder.embed(texts[start : start + 64], query=query)
            for start in range(0, len(texts), 64)
        ]
    ).astype(np.float32)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, vectors=vectors)
    return vectors
