"""Read files that hold conversations: JSONL, chat JSON, transcripts, LoCoMo, plain text.

==============  =================================================================================
format          what it looks like
==============  =================================================================================
``jsonl``       one object per line: ``{"id", "session", "at", "speaker", "role", "text",
                "caption", "lang"}`` (only ``text`` is required), or ``{"role", "content"}``
``messages``    a JSON list of ``{"role", "content"}``, an object ``{"messages": [...]}``, or a
                list of such objects
``transcript``  lines ``[2025-03-04 18:00] Ana: text``, ``**Ana** (2025-03-04 18:00): text`` or
                ``Ana: text``; headings ``## 2025-03-04`` date what follows
``locomo``      the LoCoMo benchmark: ``{"sample_id", "conversation": {"session_1": [...]}}``,
                or a list of them
``text``        anything else, as chunks
==============  =================================================================================

Every format may be compressed (``.gz``). Where a file names no sessions, a pause of more than six
hours starts a new one: ``s1``, ``s2``, and so on.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import cast

from mnemos.errors import InvalidInput
from mnemos.memories.input_values import fields_of, later, read_time, shown
from mnemos.memories.readers import (
    TIME_KEYS,
    Turn,
    draft_turn,
    first_of,
    read_text,
    turn_of,
)
from mnemos.memories.transcripts import looks_spoken, read_transcript
from mnemos.types import Draft

FORMATS = ("jsonl", "messages", "transcript", "locomo", "text")
"""What a file can be."""

SESSION_GAP = timedelta(hours=6)
"""A longer pause starts a new session."""

MAX_BYTES = 512 * 1024 * 1024
"""Largest file read, uncompressed."""

_SPOKEN_TIME = re.compile(
    r"\s*(\d{1,2}):(\d{2})\s*([ap])\.?m\.?\s+on\s+(\d{1,2})\s+([A-Za-z]+),?\s+(\d{4})\s*", re.I
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SESSION = re.compile(r"session_(\d{1,6})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What one conversation of a file holds, in its order.

    Parameters
    ----------
    name : str
        Its own id where the file gives one (``sample_id``), else the name of the file.
    drafts : tuple of Draft
        Ready to be written.
    format : str
        One of :data:`FORMATS`.
    """

    name: str
    drafts: tuple[Draft, ...]
    format: str


@dataclass(frozen=True, slots=True)
class _File:
    """An opened file: where to say an error lies, its words, and the zone of naive times."""

    name: str
    stem: str
    text: str
    zone: tzinfo

    def wrong(self, place: str, problem: str) -> InvalidInput:
        """Return the error for a place in this file."""
        head = f"{self.name}, {place}" if place else self.name
        return InvalidInput(f"{head}: {problem}")


def read_file(
    path: str | os.PathLike[str], *, zone: tzinfo, format: str | None = None
) -> Conversation:
    """Read a file that holds one conversation.

    Parameters
    ----------
    path : str or path
        The file; ``.gz`` is uncompressed.
    zone : tzinfo
        Zone of times that name none.
    format : str or None
        One of :data:`FORMATS`; None looks at the name and the content.

    Raises
    ------
    InvalidInput
        The file cannot be read, is not in the format, or holds several conversations
        (:func:`read_files` reads those).
    """
    found = list(read_files(path, zone=zone, format=format))
    if len(found) == 1:
        return found[0]
    message = (
        f"{Path(path).name} holds {len(found)} conversations; read_file takes one, read_files"
        " takes any number"
    )
    raise InvalidInput(message)


def read_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    zone: tzinfo,
    format: str | None = None,
) -> Iterator[Conversation]:
    """Read the conversations of one file or several, one after the other.

    Takes what :func:`read_file` takes, and raises the same; a file may hold any number.
    """
    if format is not None and format not in FORMATS:
        message = f"format is {shown(format)}; allowed: {', '.join(FORMATS)}"
        raise InvalidInput(message)
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    for path in several:
        yield from _conversations(_open(Path(path), zone), Path(path), format)


def _open(path: Path, zone: tzinfo) -> _File:
    """Read a file whole, uncompressed and decoded."""
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path.name}: byte {error.start} is not UTF-8; convert the file to UTF-8"
        raise InvalidInput(message) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"{path.name} is not a sound gzip file ({error})"
        raise InvalidInput(message) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{shown(path.name)} cannot be read ({reason}); give a readable file"
        raise InvalidInput(message) from error
    if len(content) > MAX_BYTES:
        message = f"{path.name} holds more than {MAX_BYTES} bytes; split it"
        raise InvalidInput(message)
    stem = path.name.removesuffix(".gz")
    return _File(path.name, Path(stem).stem or path.name, text, zone)


def _conversations(file: _File, path: Path, wanted: str | None) -> Iterator[Conversation]:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    kind = wanted or _format(file, suffix)
    if kind in ("messages", "locomo"):
        try:
            value: object = json.loads(file.text)
        except (ValueError, RecursionError) as error:
            raise file.wrong("", f"is not JSON ({error})") from error
        yield from _json_conversations(file, value, kind)
        return
    if kind == "text":
        drafts = read_text(file.text, source=file.name, zone=file.zone)
    else:
        turns = _with_sessions(list(_jsonl(file) if kind == "jsonl" else _spoken(file)), file.zone)
        drafts = tuple(draft_turn(turn, zone=file.zone) for turn in turns)
    if not drafts:
        raise file.wrong("", "holds no message")
    yield Conversation(name=file.stem, drafts=drafts, format=kind)


def _format(file: _File, suffix: str) -> str:
    """Tell the format from the suffix and the first words."""
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    begin = file.text.lstrip()[:1]
    if suffix == ".json" or begin == "{" or (begin == "[" and not looks_spoken(file.text)):
        return _json_format(file, suffix)
    return "transcript" if looks_spoken(file.text) else "text"


def _json_format(file: _File, suffix: str) -> str:
    try:
        value: object = json.loads(file.text)
    except (ValueError, RecursionError):
        first = file.text.lstrip().partition("\n")[0].rstrip()
        if first.startswith("{") and first.endswith("}"):
            return "jsonl"
        return "messages" if suffix == ".json" else "text"
    heads = cast("list[object]", value)[:1] if isinstance(value, list) else [value]
    head = fields_of(heads[0] if heads else None)
    if "conversation" in head:
        return "locomo"
    return "jsonl" if isinstance(value, dict) and "messages" not in head else "messages"


def _spoken(file: _File) -> Iterator[Turn]:
    return read_transcript(file.text, name=file.name, zone=file.zone)


# --- JSON ------------------------------------------------------------------------------------


def _jsonl(file: _File) -> Iterator[Turn]:
    for number, line in enumerate(file.text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise file.wrong(where, f"is not JSON ({error}); allowed: one object") from error
        fields = fields_of(value)
        place = f"{file.name}, {where}"
        if "content" in fields:
            yield turn_of(fields, place, source=file.name)
        elif "text" in fields or "caption" in fields:
            yield Turn(
                where=place,
                text=fields.get("text", ""),
                role=fields.get("role"),
                speaker=first_of(fields, ("speaker", "name"), None),
                happened_at=first_of(fields, TIME_KEYS, None),
                caption=fields.get("caption"),
                external_id=fields.get("id"),
                run_id=fields.get("session"),
                language=fields.get("lang"),
                source=file.name,
            )
        else:
            found = ", ".join(sorted(fields)[:8]) if fields else type(value).__name__
            allowed = "an object with 'text', or with 'role' and 'content'"
            raise file.wrong(where, f"found {shown(found)}; allowed: {allowed}")


def _json_conversations(file: _File, value: object, kind: str) -> Iterator[Conversation]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    if kind == "messages" and items and isinstance(value, list) and not _holds_messages(items[0]):
        items = [{"messages": items}]
    for number, item in enumerate(items, start=1):
        where = f"conversation {number}"
        fields = fields_of(item)
        if kind == "locomo":
            turns = list(_locomo(file, fields, where))
        else:
            turns = _with_sessions(list(_messages(file, fields, where)), file.zone)
        if not turns:
            raise file.wrong(where, "holds no message")
        name = first_of(fields, ("sample_id", "name", "id"), None)
        if not isinstance(name, str) or not name:
            name = file.stem if len(items) == 1 else f"{file.stem}-{number}"
        drafts = tuple(draft_turn(turn, zone=file.zone) for turn in turns)
        yield Conversation(name=name, drafts=drafts, format=kind)


def _holds_messages(value: object) -> bool:
    return "messages" in fields_of(value)


def _messages(file: _File, fields: Mapping[str, object], where: str) -> Iterator[Turn]:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise file.wrong(where, "has no list 'messages'; allowed: {\"messages\": [...]} or a list")
    for number, message in enumerate(cast("list[object]", messages), start=1):
        yield turn_of(message, f"{file.name}, message {number}", source=file.name)


def _locomo(file: _File, fields: Mapping[str, object], where: str) -> Iterator[Turn]:
    """Read LoCoMo sessions; the turns of one lie a second apart, so that their order survives."""
    sessions = fields_of(fields.get("conversation"))
    if not sessions:
        raise file.wrong(where, "has no object 'conversation'; allowed: a LoCoMo sample")
    numbers = sorted(int(m[1]) for m in map(_SESSION.fullmatch, sessions) if m)
    for number in numbers:
        key = f"session_{number}"
        place = f"{file.name}, {where}, {key}"
        start = _spoken_time(sessions.get(f"{key}_date_time"), file.zone, place)
        turns = sessions.get(key)
        if not isinstance(turns, list):
            raise file.wrong(f"{where}, {key}", "is not a list of turns")
        for index, value in enumerate(cast("list[object]", turns)):
            turn = fields_of(value)
            yield Turn(
                where=f"{place}, turn {index + 1}",
                text=turn.get("text", ""),
                speaker=turn.get("speaker"),
                happened_at=None if start is None else later(start, index),
                caption=turn.get("blip_caption"),
                external_id=turn.get("dia_id"),
                run_id=key,
                source=file.name,
            )


def _spoken_time(value: object, zone: tzinfo, where: str) -> datetime | None:
    """Read ``1:56 pm on 8 May, 2023`` or an ISO string."""
    match = _SPOKEN_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return read_time(value, zone=zone, where=where)
    hour, minute, half, day, month, year = match.groups()
    try:
        clock = (int(hour) % 12) + (12 if half in "pP" else 0)
        index = _MONTHS.index(month[:3].lower()) + 1
        return datetime(int(year), index, int(day), clock, int(minute), tzinfo=zone)
    except ValueError as error:
        problem = f"{where} has the time {shown(value)}; allowed: '1:56 pm on 8 May, 2023'"
        raise InvalidInput(problem) from error


def _with_sessions(turns: list[Turn], zone: tzinfo) -> list[Turn]:
    """Count the sessions of a file that names none, by its pauses."""
    if any(turn.run_id is not None for turn in turns):
        return turns
    number = 1
    latest: datetime | None = None
    numbered: list[Turn] = []
    for turn in turns:
        said = read_time(turn.happened_at, zone=zone, where=turn.where)
        if said is not None:
            if latest is not None and said - latest > SESSION_GAP:
                number += 1
            latest = said
        numbered.append(replace(turn, run_id=f"s{number}"))
    return numbered
