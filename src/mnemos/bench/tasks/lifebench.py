"""LifeBench: a year of one person's phone, and questions about their life.

The set is Apache-2.0 and not shipped: ``life_bench_data/data`` (zh) and ``data_en`` (en) of
github.com/1754955896/LifeBench. ``--data`` names a user's folder, a language's, the set's, or the
one that holds the set's as ``lifebench``; users are found by their ``QA_clean.json``, their records
beside it or in ``phone_data``. Each user and language is one conversation.

**Memories.** One for each call, sms, calendar entry, note, photo, push message, talk with the
assistant (``agent_chat``) and contact; the persona is none. The external id is ``type:phone_id``; a
second record with the id of one before is that one written twice, and left out. The text is what the
record says in words, in its own language: no ids or numbers, and not ``summarized_info``, a sentence
of the annotators about each record in the wording of their questions, which no phone has. A photo's
caption stands where captions stand. The speaker is the other side of a message that was received;
what the user sent says to whom. Times name no zone and are read as UTC; a contact has none.
The published answers are judged by a model; recall of evidence is ours.

**Sessions.** The messages with one contact on one day are one. A talk is a single record, and no
other record is part of a conversation: each is a session of its own.

**Questions.** Asked as they stand, options of multiple choice left out, at the end of the month (or
the day) of ``ask_time``; later records are in memory all the same. Gold is the evidence that names a
record; a question whose evidence names none is not asked, unless it is unanswerable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from mnemos.bench.set_files import FileSet, find_set, read_rows
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.input_values import fields_of
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

CATEGORIES = (
    "Information Extraction",
    "Multi-hop reasoning",
    "Temporal and Knowledge Updating",
    "Nondeclarative",
    "Unanswerable",
)
"""``question_type``, as the files spell it."""

UNANSWERABLE = "Unanswerable"
TYPES = ("contact", "call", "sms", "calendar", "note", "photo", "push", "agent_chat")
LANGUAGES = {"data": "zh", "data_en": "en"}
"""What the published folders are called."""

PUBLISHED = "get life_bench_data of github.com/1754955896/LifeBench (Apache-2.0)"
FILES = FileSet(
    name="LifeBench",
    folder="lifebench",
    patterns=tuple(
        f"{above}{within}QA_clean.json" for above in ("", "*/", "*/*/") for within in ("", "QA/")
    ),
    published=PUBLISHED,
)
RECORDS = FileSet(
    name="LifeBench phone",
    folder=".",
    patterns=tuple(f"{within}{type}.json" for within in ("", "phone_data/") for type in TYPES),
    published=PUBLISHED,
)
"""What a user's folder holds, beside the questions or in ``phone_data``."""

NOTHING = frozenset({"", "none", "无", "無"})
"""How the files write that a picture shows no text or nobody."""

DIRECTIONS = {
    "en": {0: "Incoming call from", 1: "Outgoing call to"},
    "zh": {0: "呼入", 1: "呼出"},
}
"""What the numbers of ``direction`` mean."""


def load(data: Path | None) -> TaskData:
    """Read the users whose folders are found.

    Parameters
    ----------
    data : Path or None
        The folder of a user, a language or the set, or the one that holds the set's.

    Raises
    ------
    InvalidInput
        If there are none, one has no records, or a file is not as published.
    """
    files: list[Path] = []
    dialogues: list[Dialogue] = []
    for asked in find_set(data, FILES):
        user = asked.parent.parent if asked.parent.name == "QA" else asked.parent
        records = _records(user)
        files += [*records.values(), asked]
        dialogues.append(_dialogue(user, asked, records))
    return TaskData(dialogues=tuple(dialogues), sha256=digest_of(files))


def _records(user: Path) -> dict[str, Path]:
    """Return a user's files of records by type, those beside the questions first."""
    found: dict[str, Path] = {}
    for file in sorted(find_set(user, RECORDS), key=lambda file: len(file.parts)):
        found.setdefault(file.name.partition(".")[0], file)
    return {type: found[type] for type in TYPES if type in found}


def _dialogue(user: Path, asked: Path, records: Mapping[str, Path]) -> Dialogue:
    language = LANGUAGES.get(user.parent.name, user.parent.name)
    drafts: dict[str, Draft] = {}
    for type, file in records.items():
        for number, row in enumerate(read_rows(file), start=1):
            turn = _turn(type, row, language, f"{file.name}, record {number}")
            if turn is not None:
                drafts.setdefault(str(turn.external_id), draft_turn(turn, zone=UTC))
    ordered = tuple(sorted(drafts.values(), key=_moment))
    name = f"{language}/{user.name}"
    end = end_of(ordered)
    rows = enumerate(read_rows(asked))
    questions = [_question(f"{name}/{number}", row, drafts.keys(), end) for number, row in rows]
    kept = tuple(one for one in questions if one.gold or one.category == UNANSWERABLE)
    return Dialogue(name=name, drafts=ordered, questions=kept)


def _moment(draft: Draft) -> datetime:
    """Return where a record stands in time; contacts were there from the beginning."""
    return draft.header.happened_at or datetime.min.replace(tzinfo=UTC)


def _turn(type: str, row: Mapping[str, Any], language: str, where: str) -> Turn | None:
    """Return a record as a memory, or None for one without words."""
    id = row.get("phone_id")
    if id is None:
        raise InvalidInput(f"{where} has no phone_id; fetch the file again")
    external_id = f"{type}:{id}"
    contact = _word(row.get("contactName"))
    caption = _word(row.get("caption")) if type == "photo" else ""
    text = _text(type, row, language)
    if not text and not caption:
        return None
    day = str(row.get("datetime", ""))[:10]
    received = type == "sms" and not _sent(row)
    return Turn(
        where=where,
        text=text,
        speaker=contact or None if received else None,
        happened_at=row.get("datetime", row.get("date")),
        caption=caption or None,
        external_id=external_id,
        run_id=f"sms:{contact}:{day}" if type == "sms" else external_id,
        language=language,
    )


def _text(type: str, row: Mapping[str, Any], language: str) -> str:
    """Return what a record says in words."""
    match type:
        case "call":
            return _call(row, language)
        case "sms":
            words = _word(row.get("message_content"))
            heads = (_word(row.get("message_type")), _word(row.get("contactName")))
            return f"{' '.join(filter(None, heads))}: {words}" if _sent(row) else words
        case "calendar":
            times = _joined(row, ("start_time", "end_time"), " – ")
            return "\n".join(filter(None, (_joined(row, ("title", "description"), "\n"), times)))
        case "note":
            return _joined(row, ("title", "content"), "\n")
        case "push":
            return _joined(row, ("source", "title", "content"), "\n")
        case "contact":
            return _joined(row, ("name", "nickname", "relation", "gender"), ", ")
        case "photo":
            return _photo(row)
        case _:
            return "\n".join(_spoken(row.get("conversation")))


def _sent(row: Mapping[str, Any]) -> bool:
    return str(row.get("message_type")).lower() in ("send", "发送")


def _call(row: Mapping[str, Any], language: str) -> str:
    """Return who called whom, when, and with what result; most records code the direction."""
    named = DIRECTIONS.get(language, DIRECTIONS["en"]).get(row.get("direction", -1))
    who = " ".join(
        filter(None, (named or _word(row.get("call_type")), _word(row.get("contactName"))))
    )
    times = _joined(row, ("datetime", "datetime_end"), " – ")
    return ", ".join(filter(None, (who, times, _word(row.get("call_result")))))


def _photo(row: Mapping[str, Any]) -> str:
    """Return where a photo was taken, who and what is on it, and the text it shows."""
    place = fields_of(row.get("location"))
    where = _joined(place, ("poi", "streetName", "district", "city", "province"), ", ")
    people = _listed(row.get("faceRecognition"))
    shown = _word(row.get("ocrText"))
    return "\n".join(filter(None, (where, people, _listed(row.get("imageTag")), shown)))


def _spoken(conversation: object) -> Iterator[str]:
    """Yield the turns of a talk with the assistant, without the labels of their acts."""
    for turn in fields_of(conversation).values():
        for role in ("user", "assistant"):
            said = fields_of(turn).get(role)
            words = _word(
                fields_of(said).get("content") or (said if isinstance(said, str) else None)
            )
            if words:
                yield f"{role}: {words}"


def _joined(row: Mapping[str, Any], names: Iterable[str], between: str) -> str:
    return between.join(filter(None, (_word(row.get(name)) for name in names)))


def _listed(value: object) -> str:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return ", ".join(filter(None, map(_word, items)))


def _word(value: object) -> str:
    """Return a field's text; a placeholder for nothing is none."""
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in NOTHING else text


def _question(id: str, row: Mapping[str, Any], known: Iterable[str], end: datetime) -> Question:
    text, category = row.get("question"), row.get("question_type")
    if not isinstance(text, str) or category not in CATEGORIES:
        message = f"question {id} has no text or no question_type of {', '.join(CATEGORIES)}"
        raise InvalidInput(message)
    records = frozenset(known)
    evidence = map(fields_of, row.get("evidence") or ())
    named = [f"{item.get('type')}:{item.get('id')}" for item in evidence]
    gold = tuple(dict.fromkeys(name for name in named if name in records))
    asked_at = _asked_at(id, row.get("ask_time"), end)
    return Question(id=id, text=text, category=category, gold=gold, asked_at=asked_at)


def _asked_at(id: str, time: object, end: datetime) -> datetime:
    """Return the last second of a month ``2025-03`` or a day ``2025-03-31``, else the end.

    >>> _asked_at("q", "2025-02", datetime.max).isoformat()
    '2025-02-28T23:59:59+00:00'
    """
    if time is None:
        return end
    try:
        day = datetime.fromisoformat(f"{time}-01" if len(str(time)) == 7 else str(time))
    except ValueError as error:
        message = f"question {id} has ask_time {str(time)[:60]!r}; allowed: 2025-03 or 2025-03-31"
        raise InvalidInput(message) from error
    if len(str(time)) == 7:
        day = (day + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return day.replace(hour=23, minute=59, second=59, tzinfo=UTC)


TASK = Task(
    name="lifebench",
    title="a year of a person's phone, English and Chinese (LifeBench, not shipped)",
    categories=CATEGORIES,
    apart=frozenset({UNANSWERABLE}),
    load=load,
)
