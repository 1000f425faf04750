"""Turn what a caller hands over into drafts: chat messages and plain text.

Words are kept verbatim, white space and all. What a reader cannot take is an
:class:`~mnemos.errors.InvalidInput` that says where, what was found, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import cast

from mnemos.errors import InvalidInput
from mnemos.memories.input_values import (
    checked_string,
    fields_of,
    optional_string,
    read_time,
    shown,
)
from mnemos.retrieval.time_expressions import find_times
from mnemos.types import Draft, Header, Kind, Origin, Text

CHUNK_CHARACTERS = 1_200
"""Longest chunk :func:`read_text` aims at; a longer paragraph is cut, a shorter one never."""

TEXT_PARTS = ("text", "input_text", "output_text")
IMAGE_PARTS = ("image_url", "input_image")
TIME_KEYS = ("timestamp", "created_at", "happened_at", "at")

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_CUT = re.compile(r"[.!?。！？…][\"'\u201d\u2019)\]]{0,3}\s+|[。！？]|\s+")


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a chat role means for a memory."""

    origin: Origin
    trust: float
    kind: Kind = Kind.TURN


ROLES: Mapping[str | None, _Standing] = {
    "user": _Standing(Origin.USER, 1.0),
    "assistant": _Standing(Origin.AGENT, 0.8),
    "system": _Standing(Origin.USER, 1.0, Kind.INSTRUCTION),
    "developer": _Standing(Origin.USER, 1.0, Kind.INSTRUCTION),
    "tool": _Standing(Origin.TOOL, 0.3),
    "function": _Standing(Origin.TOOL, 0.3),
    None: _Standing(Origin.USER, 1.0),
}
"""Standing of each role; None is a conversation among people, which has no roles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One thing said, as found in the input and not yet checked.

    Parameters
    ----------
    where : str
        Place in the input, for error messages: ``message 3``, ``chat.jsonl, line 7``.
    text, role, speaker, caption, external_id, run_id, agent_id, language, source : object
        Become the header fields of the same names.
    happened_at : object
        ISO string, unix seconds, datetime or None.
    """

    where: str
    text: object
    role: object = None
    speaker: object = None
    happened_at: object = None
    caption: object = None
    external_id: object = None
    run_id: object = None
    agent_id: object = None
    language: object = None
    source: object = None


def read_messages(
    messages: str | Mapping[str, object] | Sequence[Mapping[str, object]],
    *,
    happened_at: datetime | None = None,
    zone: tzinfo,
    run_id: str | None = None,
    agent_id: str | None = None,
    source: str | None = None,
) -> tuple[Draft, ...]:
    """Read a text or OpenAI-shape messages into one draft each.

    Parameters
    ----------
    messages : str or mapping or sequence of mappings
        ``{"role", "content"}`` with, optionally, ``name``, ``id``, ``caption`` and one of
        ``timestamp``, ``created_at``, ``happened_at`` (ISO string, unix seconds or datetime).
        ``content`` is a string or a list of parts; several text parts are joined by a line
        break, an image part counts only through its ``alt`` text, which becomes the caption.
    happened_at : datetime or None
        When it was said, for messages that do not tell themselves.
    zone : tzinfo
        Zone of naive times, and the one "yesterday" is reckoned in.
    run_id, agent_id, source : str or None
        Go into every header.

    Returns
    -------
    tuple of Draft
        In the order given, at least one.

    Raises
    ------
    InvalidInput
        Empty text, text that is not a str or not storable as UTF-8, an unknown role, no
        messages at all.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> said = datetime(2025, 3, 4, 18, tzinfo=UTC)
    >>> (draft,) = read_messages("I ran yesterday.", happened_at=said, zone=UTC)
    >>> draft.payload.text, draft.header.mentions[0].start.date().isoformat()
    ('I ran yesterday.', '2025-03-03')
    """
    shared = {"run_id": run_id, "agent_id": agent_id, "source": source}
    if isinstance(messages, str):
        turn = Turn(where="text", text=messages, role="user", happened_at=happened_at, **shared)
        return (draft_turn(turn, zone=zone),)
    turns = [
        turn_of(message, f"message {n}", happened_at=happened_at, **shared)
        for n, message in enumerate(_sequence(messages), start=1)
    ]
    if not turns:
        message = "messages is empty; give a text, a message, or at least one message in a list"
        raise InvalidInput(message)
    return tuple(draft_turn(turn, zone=zone) for turn in turns)


def _sequence(messages: object) -> Sequence[object]:
    if isinstance(messages, Mapping):
        return [cast("Mapping[object, object]", messages)]
    if isinstance(messages, Sequence) and not isinstance(messages, bytes | bytearray):
        return cast("Sequence[object]", messages)
    message = (
        f"messages is a {type(messages).__name__}; allowed: a str, a mapping with 'role' and"
        " 'content', or a sequence of such mappings"
    )
    raise InvalidInput(message)


def turn_of(message: object, where: str, **shared: object) -> Turn:
    """Read one OpenAI-shape message; ``shared`` fills what the message leaves open."""
    if not isinstance(message, Mapping):
        problem = (
            f"{where} is a {type(message).__name__}; allowed: a mapping with 'role' and 'content'"
        )
        raise InvalidInput(problem)
    fields = cast("Mapping[str, object]", message)
    if fields.get("role") is None:
        problem = f"{where} has no 'role'; allowed: {_roles()}"
        raise InvalidInput(problem)
    text, caption = _content(fields.get("content"), where)
    return Turn(
        where=where,
        text=text,
        role=fields["role"],
        speaker=fields.get("name"),
        happened_at=first_of(fields, TIME_KEYS, shared.get("happened_at")),
        caption=fields.get("caption") or caption,
        external_id=fields.get("id"),
        run_id=first_of(fields, ("run_id", "session"), shared.get("run_id")),
        agent_id=shared.get("agent_id"),
        language=fields.get("lang"),
        source=shared.get("source"),
    )


def first_of(fields: Mapping[str, object], keys: Sequence[str], otherwise: object) -> object:
    """Return the first of ``keys`` that is there and not None."""
    return next((fields[key] for key in keys if fields.get(key) is not None), otherwise)


def _content(content: object, where: str) -> tuple[object, str | None]:
    """Return the text of a message and the caption its image parts carry."""
    if not isinstance(content, list | tuple):
        return content, None
    texts: list[str] = []
    captions: list[str] = []
    for part in cast("Sequence[object]", content):
        if isinstance(part, str):
            texts.append(part)
            continue
        fields = fields_of(part)
        kind = fields.get("type")
        if kind in TEXT_PARTS:
            texts.append(checked_string(fields.get("text"), f"text part of {where}"))
        elif kind in IMAGE_PARTS:
            captions.extend(_alt(fields))
        else:
            allowed = ", ".join((*TEXT_PARTS, *IMAGE_PARTS))
            problem = f"{where} has a part of type {shown(kind)}; allowed: {allowed}"
            raise InvalidInput(problem)
    return "\n".join(texts), "\n".join(captions) or None


def _alt(part: Mapping[str, object]) -> list[str]:
    image = fields_of(part.get("image_url"))
    found = (holder.get(key) for holder in (part, image) for key in ("alt", "alt_text", "caption"))
    return [alt for alt in found if isinstance(alt, str) and alt.strip()][:1]


def draft_turn(turn: Turn, *, zone: tzinfo) -> Draft:
    """Check a turn and make it a draft; naive times are in ``zone``."""
    caption = optional_string(turn.caption, "caption", turn.where)
    text = checked_string(turn.text, f"content of {turn.where}")
    if not text.strip() and not (caption and caption.strip()):
        problem = f"{turn.where} has no words; give text that is not only white space"
        raise InvalidInput(problem)
    role = _role(turn.role, turn.where)
    standing = ROLES[role]
    said = read_time(turn.happened_at, zone=zone, where=turn.where)
    header = Header(
        kind=standing.kind,
        speaker=optional_string(turn.speaker, "speaker", turn.where),
        role=role,
        run_id=optional_string(turn.run_id, "session", turn.where),
        agent_id=optional_string(turn.agent_id, "agent", turn.where),
        happened_at=None if said is None else said.astimezone(UTC),
        caption=caption,
        mentions=() if said is None else find_times(text, said),
        external_id=optional_string(turn.external_id, "id", turn.where),
        source=optional_string(turn.source, "source", turn.where),
        language=optional_string(turn.language, "language", turn.where),
        origin=standing.origin,
        trust=standing.trust,
    )
    return Draft(payload=Text(text=text), header=header)


def _role(role: object, where: str) -> str | None:
    if role is None:
        return None
    if isinstance(role, str) and role in ROLES:
        return role
    problem = f"{where} has role {shown(role)}; allowed: {_roles()}"
    raise InvalidInput(problem)


def _roles() -> str:
    return ", ".join(repr(role) for role in ROLES if role is not None)


def read_text(
    text: str,
    *,
    source: str | None,
    happened_at: datetime | None = None,
    zone: tzinfo = UTC,
    run_id: str | None = None,
    agent_id: str | None = None,
    language: str | None = None,
) -> tuple[Draft, ...]:
    r"""Split a document into chunks at paragraph borders, one draft each.

    The chunks joined give the text back; ``metadata`` of each holds its ``start`` and ``end``
    in characters. Only a paragraph longer than :data:`CHUNK_CHARACTERS` is cut, at the end of a
    sentence or at a blank where there is one.

    Raises
    ------
    InvalidInput
        The text is empty, only white space, not a str, or holds a lone surrogate.

    Examples
    --------
    >>> chunks = read_text("One.\n\nTwo.", source="notes.txt")
    >>> chunks[0].payload.text, dict(chunks[0].header.metadata)
    ('One.\n\nTwo.', {'start': 0, 'end': 10})
    """
    place = source or "text"
    if not checked_string(text, place).strip():
        problem = f"{place} has no words; give text that is not only white space"
        raise InvalidInput(problem)
    said = read_time(happened_at, zone=zone, where=place)
    drafts: list[Draft] = []
    start = 0
    for end in _chunk_ends(text):
        chunk = text[start:end]
        header = Header(
            kind=Kind.CHUNK,
            run_id=run_id,
            agent_id=agent_id,
            happened_at=None if said is None else said.astimezone(UTC),
            mentions=() if said is None else find_times(chunk, said),
            source=source,
            language=language,
            metadata={"start": start, "end": end},
            origin=Origin.DOCUMENT,
            trust=0.5,
        )
        drafts.append(Draft(payload=Text(text=chunk), header=header))
        start = end
    return tuple(drafts)


def _chunk_ends(text: str) -> Iterator[int]:
    """Yield where each chunk ends; paragraphs are packed as long as they fit."""
    start = held = 0
    for end in _piece_ends(text):
        if held > start and len(text[start:end].rstrip()) > CHUNK_CHARACTERS:
            yield held
            start = held
        held = end
    yield held


def _piece_ends(text: str) -> Iterator[int]:
    """Yield the end of each paragraph with the blank lines behind it, long ones cut."""
    start = 0
    leading = len(text) - len(text.lstrip())
    borders = (gap.end() for gap in _PARAGRAPH_END.finditer(text, leading))
    for end in (*(border for border in borders if border < len(text)), len(text)):
        words = start + len(text[start:end].rstrip())
        while words - start > CHUNK_CHARACTERS:
            start = _cut(text, start)
            yield start
        yield end
        start = end


def _cut(text: str, start: int) -> int:
    """Return where to cut a long paragraph: a sentence end, else a blank, else anywhere."""
    limit = start + CHUNK_CHARACTERS
    gaps = list(_CUT.finditer(text, start + CHUNK_CHARACTERS // 2, limit))
    sentences = [gap for gap in gaps if not gap[0].isspace()]
    best = (sentences or gaps)[-1:]
    return best[0].end() if best else limit
