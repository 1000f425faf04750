"""Prompt-ready text within a token budget: standing memories first, then cited evidence in time.

The layout keeps a stable prefix (standing memories change seldom), says each date once, and
quotes what outsiders said as data. A memory is packed whole or not at all: a model that reads
half a sentence guesses the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mnemos.kernel.governance.trust import brought, is_name
from mnemos.kernel.keys import spoken_date
from mnemos.kernel.ports import TokenCounter
from mnemos.kernel.tokens import fold
from mnemos.retrieval.time_expressions import is_relative
from mnemos.types import (
    TRUSTED,
    Citation,
    Context,
    Kind,
    MemCube,
    TimeMention,
    Trace,
)

STANDING = (Kind.INSTRUCTION, Kind.PROFILE, Kind.PREFERENCE)
"""Kinds that are always packed, whatever is asked: similarity finds almost none of them."""

STANDING_SHARE = 0.5
"""At most this part of the budget goes to standing memories."""

_DAY = timedelta(hours=23)  # the shortest there is: clocks go forward
_NOON = timedelta(hours=12)
_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+\s*")


_LOOKALIKES = dict.fromkeys(map(ord, "<\uff1c\ufe64\u226e"), "‹") | dict.fromkeys(
    map(ord, ">\uff1e\ufe65\u226f"), "›"
)
"""Every character that normalisation (NFKD) turns into a bracket of a fence, and what it becomes."""


def estimate_tokens(text: str) -> int:
    """Return a token count where no tokenizer is given: one for every four bytes, rounded up.

    >>> estimate_tokens("Hello, Ana")
    3
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


@dataclass(frozen=True, slots=True)
class _Line:
    """One packed memory: where it belongs in time, its line, and its cube."""

    when: float
    heading: str
    text: str
    cube: MemCube


def _heading(cube: MemCube) -> str:
    moment = cube.header.happened_at or cube.recorded_at
    return f"[{spoken_date(moment)}]"


def _days(mention: TimeMention) -> str:
    """Return the day a mention means, or its first and last.

    Spans are UTC, days were meant where they were said: noon of a local day lies on that day in
    UTC too, its midnight may not.
    """
    length = mention.end - mention.start
    if length < _DAY:
        return spoken_date(mention.start)
    first, last = spoken_date(mention.start + _NOON), spoken_date(mention.end - _NOON)
    return first if first == last else f"{first} to {last}"


def _words(cube: MemCube) -> str:
    """Return a memory's own words, unchanged, with its caption and resolved times after them."""
    header = cube.header
    said = cube.text.strip()
    if header.caption:
        said = f"{said} {_caption(cube)}".strip()
    meant = [
        f"{mention.text} = {_days(mention)}"
        for mention in header.mentions
        if is_relative(mention, said)
    ]
    return f"{said} ({'; '.join(meant)})" if meant else said


def _caption(cube: MemCube) -> str:
    """Return what a picture's description says: never the words of who sent it, so quoted."""
    caption = cube.header.caption or ""
    if not is_trusted(cube):  # then all of the line is quoted
        return f"[picture: {caption}]"
    return f"<quoted>{_unmarked(caption)}</quoted>"


def _name(cube: MemCube) -> str:
    """Return who speaks; outside of a quotation only if it can be a name."""
    name = " ".join((cube.header.speaker or cube.header.role or "").split())
    return name if is_name(name) or not is_trusted(cube) else cube.header.role or ""


def is_trusted(cube: MemCube) -> bool:
    """Return whether a memory is packed as it is, not quoted as outside content."""
    return cube.header.counted_trust >= TRUSTED


def _line(cube: MemCube, label: str) -> _Line:
    moment = cube.header.happened_at or cube.recorded_at
    name = _name(cube)
    said = f"{name}: {_words(cube)}" if name else _words(cube)
    if not is_trusted(cube):
        said = f'<quoted origin="{cube.header.origin}">{_unmarked(said)}</quoted>'
    return _Line(moment.timestamp(), _heading(cube), f"{said} [{label}]", cube)


def _unmarked(text: str) -> str:
    """Return text that can neither close nor open a quotation, nor begin a line of its own.

    Who said it stands inside: a name is outside content as well.
    """
    return _BREAKS.sub(" ⏎ ", text.strip()).translate(_LOOKALIKES)


def _layout(standing: Sequence[_Line], evidence: Iterable[_Line]) -> str:
    parts: list[str] = []
    if standing:
        parts.append("# Standing")
        parts.extend(f"- {line.text}" for line in standing)
    heading = ""
    ordered = sorted(evidence, key=lambda line: line.when)
    if ordered and parts:
        parts.append("")
    for line in ordered:
        if line.heading != heading:
            heading = line.heading
            parts.append(heading)
        parts.append(line.text)
    return "\n".join(parts)


def _distinct(cubes: Iterable[MemCube], seen: set[str]) -> Iterable[MemCube]:
    for cube in cubes:
        key = fold(f"{cube.text} {cube.header.caption or ''}").strip()
        if key and key not in seen:
            seen.add(key)
            yield cube


def pack(
    standing: Sequence[MemCube],
    evidence: Sequence[MemCube],
    *,
    budget: int,
    count: TokenCounter = estimate_tokens,
    trace: Trace | None = None,
) -> Context:
    """Return as much as fits: standing memories by priority, then evidence by rank.

    Parameters
    ----------
    standing : sequence of MemCube
        Profile, preferences and instructions; larger priority first, older first.
    evidence : sequence of MemCube
        Best first; packed in order of time.
    budget : int
        Tokens the whole text may take, as ``count`` counts them.
    count : TokenCounter
        The host model's tokenizer.
    trace : Trace or None
        Explanation to hand on.
    """
    seen: set[str] = set()
    kept_standing: list[_Line] = []
    kept: list[_Line] = []
    spent = 0
    for cube in _distinct(sorted(standing, key=lambda item: -item.header.priority), seen):
        line = _line(cube, f"m{len(kept_standing) + 1}")
        cost = count(f"- {line.text}\n") + (0 if kept_standing else count("# Standing\n\n"))
        if spent + cost <= budget * STANDING_SHARE:
            kept_standing.append(line)
            spent += cost
    headings: set[str] = set()
    for cube in _distinct(evidence, seen):
        line = _line(cube, str(len(kept) + 1))
        cost = count(line.text + "\n")
        if line.heading not in headings:
            cost += count(line.heading + "\n")
        if spent + cost <= budget:
            kept.append(line)
            headings.add(line.heading)
            spent += cost
    text = _layout(kept_standing, kept)
    while kept and count(text) > budget:
        kept.pop()
        text = _layout(kept_standing, kept)
    if count(text) > budget:
        kept_standing, text = [], ""
    lines = [*kept_standing, *kept]
    return Context(
        text=text,
        tokens=count(text),
        budget=budget,
        citations=tuple(
            Citation(label=line.text.rsplit("[", 1)[1].rstrip("]"), id=line.cube.id)
            for line in lines
        ),
        tainted=any(brought(line.cube.header) < TRUSTED for line in lines),
        max_trust=min((brought(line.cube.header) for line in lines), default=1.0),
        trace=trace or Trace(),
    )
