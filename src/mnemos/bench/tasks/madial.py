"""MADial-Bench: which memories an assistant should bring up in a dialogue (arXiv:2409.15240).

The set is MIT and not shipped: ``data/ch`` and ``data/en`` of github.com/hejunqing/MADial-Bench.
``--data`` names its folder, or the one that holds it as ``madial``. Files are found by their names,
``MADial-Bench-zh-dialogue*.json`` and ``MADial-Bench-zh-memory.json``, and the same with ``en``.

**Memories.** One line of the memory file each: the event, with its scene and emotion, which the
published embeddings read too; the external id is its number. They are single events, each a session
of its own, happened at the beginning of their day (UTC), or at no known time where ``time`` is no
date, and stand in the order of the file. In Chinese a user's own memories are the candidates; the
English file does not say whose a memory is, so all of them are.

**Questions.** The lines of the dialogue before the first turn under test, as they stand, without the
mark of the beginning. Gold is ``relevant-id``; ids that name no candidate are dropped, and a
dialogue left without gold is not asked. Dialogues have no time: they are asked after the last memory.

The published scores cut at 1, 3, 5 and 10; recall and MRR are the same measures here, nDCG is not
(theirs divides by the best order of what was found).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_set, not_here, published_shape, read_rows
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.input_values import fields_of
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

LANGUAGES = ("zh", "en")
FILES = FileSet(
    name="MADial-Bench",
    folder="madial",
    patterns=tuple(
        f"{above}MADial-Bench-*-{kind}.json"
        for above in ("", "*/")
        for kind in ("dialogue*", "memory")
    ),
    published="get data/ch and data/en of github.com/hejunqing/MADial-Bench (MIT)",
)
BEGINNING = "<BOD>"


def load(data: Path | None) -> TaskData:
    """Read the languages that are found.

    Parameters
    ----------
    data : Path or None
        The set's folder, or the one that holds it.

    Raises
    ------
    InvalidInput
        If there is none, one of its two files is missing, or a file is not as published.
    """
    # A language is two files, so one of them names the folder it lies in.
    found = find_set(data.parent if data is not None and data.is_file() else data, FILES)
    files: list[Path] = []
    dialogues: list[Dialogue] = []
    for language in LANGUAGES:
        asked = _one_of(found, f"MADial-Bench-{language}-dialogue")
        kept = _one_of(found, f"MADial-Bench-{language}-memory")
        if bool(asked) != bool(kept):
            there, missing = ("dialogues", "memory") if asked else ("memories", "dialogue")
            lacks = f"{data} has the {language} {there} but no {language}-{missing}.json"
            raise InvalidInput(f"{lacks}; {FILES.published}")
        if asked and kept:
            files += [kept, asked]
            dialogues.extend(_dialogues(language, kept, asked))
    if not dialogues:
        raise not_here(data, FILES)
    return TaskData(dialogues=tuple(dialogues), sha256=digest_of(files))


def _one_of(files: Iterable[Path], start: str) -> Path | None:
    """Return the one file whose name begins so, if there is any."""
    # The published folder also holds the dialogues of two settings with memories written into them.
    found = [file for file in files if file.name.startswith(start) and "-setting" not in file.name]
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise InvalidInput(f"there are several files for one ({names}); keep one of them")
    return found[0] if found else None


def _dialogues(language: str, kept: Path, asked: Path) -> Iterator[Dialogue]:
    """Yield one conversation for all the memories that are candidates together."""
    memories: dict[str, dict[str, Draft]] = {}
    for number, row in enumerate(read_rows(kept), start=1):
        where = f"{kept.name}, line {number}"
        for id, value in row.items():
            memory = fields_of(value)
            if not memory.get("event"):
                raise InvalidInput(f"{where} is no memory with an event; fetch the file again")
            name = _page(language, memory)
            memories.setdefault(name, {})[id] = draft_turn(
                _turn(id, memory, language, where), zone=UTC
            )
    rows = list(enumerate(read_rows(asked)))
    for name, drafts in memories.items():
        end = end_of(drafts.values())
        own = [(number, row) for number, row in rows if _page(language, row) == name]
        questions = (
            _question(f"{language}/{number}", language, row, drafts, end) for number, row in own
        )
        yield Dialogue(
            name=name,
            drafts=tuple(drafts.values()),
            questions=tuple(question for question in questions if question.gold),
        )


def _page(language: str, row: Mapping[str, Any]) -> str:
    """Return the name of the conversation a memory or a dialogue belongs to."""
    return f"zh/{row.get('user-id')}" if language == "zh" else language


def _turn(id: str, memory: Mapping[str, Any], language: str, where: str) -> Turn:
    feeling = ", ".join(str(memory[key]) for key in ("scene", "emotion") if memory.get(key))
    return Turn(
        where=where,
        text=f"{memory['event']} ({feeling})" if feeling else memory["event"],
        happened_at=_day(memory.get("time")),
        external_id=id,
        run_id=id,
        language=language,
    )


def _day(time: object) -> datetime | None:
    try:
        day = date.fromisoformat(str(time))
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _question(
    id: str, language: str, row: Mapping[str, Any], known: Iterable[str], end: datetime
) -> Question:
    with published_shape(f"dialogue {id}"):
        lines: list[str] = row["dialogue"][: row["test-turn"][0]]
        text = "".join(line for line in lines if line.strip() != BEGINNING).strip()
        named = [str(memory) for memory in row["relevant-id"]]
    candidates = frozenset(known)
    gold = tuple(dict.fromkeys(memory for memory in named if memory in candidates))
    return Question(id=id, text=text, category=language, gold=gold, asked_at=end)


TASK = Task(
    name="madial",
    title="memories to bring up in a dialogue, Chinese and English (MADial-Bench, not shipped)",
    categories=LANGUAGES,
    apart=frozenset(),
    load=load,
)
