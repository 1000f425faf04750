"""Read chat transcripts: lines somebody spoke, with or without a time.

``[2025-03-04 18:00] Ana: text``, ``**Ana** (2025-03-04 18:00): text`` and ``Ana: text`` begin a
message; what begins otherwise goes on with the one before. A heading ``## 2025-03-04`` dates the
undated messages under it, one second apart so that their order survives. As soon as one line
carries its own time, only such lines begin a message: a ``Note:`` inside a text stays there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from itertools import islice

from mnemos.errors import InvalidInput
from mnemos.memories.input_values import later, read_time, shown
from mnemos.memories.readers import Turn

_DATE = r"\d{4}-\d{2}-\d{2}"
_MOMENT = rf"{_DATE}[ T]\d{{1,2}}:\d{{2}}(?::\d{{2}})?"
_NAME = r"[^\W\d_][\w.'\u2019-]{0,39}(?: [\w.'\u2019-]{1,40}){0,3}"
_HEADING = re.compile(rf"#{{1,6}}\s+(?P<at>{_MOMENT}|{_DATE})\b")
_DATED = (
    re.compile(rf"\[(?P<at>{_MOMENT})\]\s{{0,3}}(?P<name>{_NAME}):(?: (?P<text>.*)|\s*$)"),
    re.compile(rf"\*\*(?P<name>{_NAME})\*\*\s{{0,3}}\((?P<at>{_MOMENT})\):(?: (?P<text>.*)|\s*$)"),
)
_NAMED = re.compile(rf"(?:\*\*)?(?P<name>{_NAME})(?:\*\*:|:\*\*|:)(?: (?P<text>.*)|\s*$)")
_ROLE_NAMES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
}
"""Names that are roles; everybody else is a speaker."""


def looks_spoken(text: str) -> bool:
    """Whether the first words are somebody's: with a time, or two lines that begin with a name."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return False
    if any(pattern.match(lines[0]) for pattern in _DATED):
        return True
    named = (line for line in lines if _NAMED.match(line))
    return _NAMED.match(lines[0]) is not None and len(list(islice(named, 2))) == 2


def read_transcript(text: str, *, name: str, zone: tzinfo) -> Iterator[Turn]:
    r"""Read the turns of a transcript; ``name`` is the file, for errors and as source.

    Raises
    ------
    InvalidInput
        Words before the first message, or a time that is none.

    Examples
    --------
    >>> from datetime import UTC
    >>> turns = read_transcript("Ana: Hello.\nBo: Hi!", name="chat.txt", zone=UTC)
    >>> [(turn.speaker, turn.text) for turn in turns]
    [('Ana', 'Hello.'), ('Bo', 'Hi!')]
    """
    lines = text.split("\n")
    dated = any(pattern.match(line) for line in lines for pattern in _DATED)
    patterns: Sequence[re.Pattern[str]] = _DATED if dated else (_NAMED,)
    day: datetime | None = None
    spoken: Turn | None = None
    words: list[str] = []
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        heading = _HEADING.match(line)
        match = next((m for m in (pattern.match(line) for pattern in patterns) if m), None)
        if heading or match:
            if spoken:
                yield replace(spoken, text=_joined(words))
            spoken = None
        if heading:
            day = read_time(_padded(heading["at"]), zone=zone, where=where)
        elif match:
            spoken, day = _line(match, day, name, zone, where)
            words = [match["text"] or ""]
        elif spoken:
            words.append(line)
        elif line.strip() and not line.startswith("#"):
            problem = (
                f"{where}: found {shown(line)}; allowed: 'Ana: text' or a heading '## 2025-03-04'"
            )
            raise InvalidInput(problem)
    if spoken:
        yield replace(spoken, text=_joined(words))


def _line(
    match: re.Match[str], day: datetime | None, source: str, zone: tzinfo, where: str
) -> tuple[Turn, datetime | None]:
    """Return the turn a line begins, and the time of an undated one behind it."""
    own = match.groupdict().get("at")
    said = read_time(_padded(own), zone=zone, where=where) if own else day
    name = match["name"]
    role = _ROLE_NAMES.get(name.casefold())
    turn = Turn(
        where=where,
        text="",
        role=role,
        speaker=None if role else name,
        happened_at=said,
        source=source,
    )
    return turn, None if said is None else later(said, 1)


def _padded(moment: str) -> str:
    """Give the hour its second digit: ``2025-03-04 9:30`` as ISO wants it."""
    return re.sub(r"(?<=[ T])(\d):", r"0\1:", moment)


def _joined(words: list[str]) -> str:
    return "\n".join(words).rstrip("\r\n")
