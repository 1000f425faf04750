"""Find time expressions in a text and resolve them against the moment it was said.

Words and patterns live in tables, one per language (:mod:`mnemos.retrieval.time_words`,
:mod:`mnemos.retrieval.time_languages`); what a pattern means lives in
:mod:`mnemos.retrieval.time_meanings`. This module runs the patterns, joins what belongs together
("Friday" + "last week", "May" + "2023"), applies what stands around ("since", "the week
before") and keeps the longest of what overlaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache

from mnemos.errors import InvalidInput
from mnemos.retrieval.time_languages import LANGUAGES
from mnemos.retrieval.time_meanings import CHANGES, MEANINGS, Found, Reading
from mnemos.retrieval.time_spans import DAY, Recurs, Unit, in_year, part_of, within
from mnemos.retrieval.time_words import NUMERIC, Language, Rules
from mnemos.types import TimeMention

MAX_SCANNED = 20_000
"""Characters of a text that are searched; what stands behind them is not looked at."""

MAX_LIMIT = 1_000
_REACH = 56
_LAYERS = 4
_SENTENCE = re.compile(r"[.!?](?=\s)|[\n。！？]")
_WORD = re.compile(r"[^\W\d_]+")
_TIE = re.compile(
    r"\s{0,3}(?:(?:of|in|on|the|der|des|dem|im|am|de|del|en|el|la|le|du|em|da|do|a|à"
    r"|por la|l['\u2019]|d['\u2019]|の|に|의|에|的)\s{0,2}){0,3}"
)
_YEAR = re.compile(r"\d{4}")
_ASCII_DIGIT = re.compile(r"[0-9]")
_COMMA = re.compile(r"\s{0,2},\s{0,3}(?:the\s|den\s|le\s)?")


MOST_RELATIVE = timedelta(days=8)


def is_relative(mention: TimeMention, text: str) -> bool:
    """Return whether a mention needs a moment to be understood: "yesterday", "last Friday".

    "3 May" carries its date in its words, "May", "Friday" and "Christmas" alone do not say which
    one is meant, and of "last year" the words say more than a first day would.

    Parameters
    ----------
    mention : TimeMention
        One of those found in ``text``.
    text : str
        Where it was found.
    """
    words = mention.text
    dated = any(letter.isdigit() for letter in words)
    lone_name = words[:1].isupper() and " " not in words and not text.startswith(words)
    return not dated and not lone_name and mention.end - mention.start <= MOST_RELATIVE


@dataclass(frozen=True, slots=True)
class _Atom:
    start: int
    end: int
    reading: Reading


def find_times(text: str, anchor: datetime, *, limit: int = 16) -> tuple[TimeMention, ...]:
    """Find the time expressions of ``text``, in order, resolved against ``anchor``.

    Calendar arithmetic happens in the anchor's own zone; the results are UTC and half open. No
    text makes it fail: what resolves to no date is skipped. The choices, where words leave one:

    - ``05/07/2023`` is May 7 (US order) unless the first number exceeds 12 or the words around
      are German, Spanish, French or Portuguese; ``7.5.2023`` is 7 May.
    - "last Friday", and plain "Friday" or "on Friday", are the latest Friday before the anchor's
      day; "this Friday" lies in the anchor's ISO week, "next Friday" in the following one. A word
      of the future in the sentence ("will", "next", "going to") turns a plain weekday, date,
      month or season to the first one that is not over. "Sunday, June 4" is the nearest June 4
      that is a Sunday.
    - "in May", "May 7", "Christmas" are the latest that began not after the anchor; "last May" is
      the latest that is over, "next May" the first that has not begun.
    - Seasons are the northern meteorological ones; winter 2022 begins in December 2022.
    - "three days ago" is that day, "three weeks ago" the seven days centred on the day three
      weeks back, "three months ago" and "three years ago" the calendar month and year. "A couple"
      is 2 to 3, "a few" 2 to 5, "several" 3 to 7: one interval that spans them.
    - "in three weeks" is ahead; "the past two months" and "since March" end at the anchor.
    - "the week before 9 June" are the seven days before it; "the week of 3 March" the ISO week.
    - "beginning", "middle", "end" of something are its thirds; "around" a day adds three days on
      each side. A night runs from 18 to 6 o'clock, "last night" began yesterday.
    - "may", "march", "sun", "fall" and their like count only next to a number or a lead word.

    Parameters
    ----------
    text : str
        The words; the first :data:`MAX_SCANNED` characters are searched.
    anchor : datetime
        When they were said (aware).
    limit : int
        At most so many mentions, the first ones; at most 1,000.

    Returns
    -------
    tuple of TimeMention
        Not overlapping, in the order of the text.

    Raises
    ------
    InvalidInput
        ``anchor`` is naive, or ``limit`` is negative or too large.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> said = datetime(2023, 5, 25, 13, 14, tzinfo=UTC)
    >>> [(m.text, m.start.date().isoformat()) for m in find_times("We met last Friday.", said)]
    [('last Friday', '2023-05-19')]
    """
    if anchor.tzinfo is None or anchor.utcoffset() is None:
        message = f"anchor {anchor!r} has no time zone; give an aware datetime"
        raise InvalidInput(message)
    if not 0 <= limit <= MAX_LIMIT:
        message = f"limit must be 0 to {MAX_LIMIT}, not {limit!r}"
        raise InvalidInput(message)
    text = text[:MAX_SCANNED]
    languages, day_first = _spoken(text)
    if not languages:
        return ()
    now = anchor.replace(tzinfo=None)
    atoms = _longest(_atoms(text, now, languages, day_first))
    joined = _joined(text, atoms)
    changed = (_changed(text, atom, now, languages) for atom in joined)
    settled = [*changed, *joined]
    strong = (a for a in settled if not a.reading.weak or _led(text, a, languages))
    mentions = (_mention(text, atom, anchor.tzinfo) for atom in _longest(strong))
    return tuple(m for m in mentions if m is not None)[:limit]


def _mention(text: str, atom: _Atom, zone: tzinfo) -> TimeMention | None:
    try:
        start = atom.reading.span.start.replace(tzinfo=zone).astimezone(UTC)
        end = atom.reading.span.end.replace(tzinfo=zone).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    if not start < end:
        return None
    return TimeMention(text=text[atom.start : atom.end].strip(), start=start, end=end)


# --- which languages -------------------------------------------------------------------------


def _spoken(text: str) -> tuple[tuple[Language, ...], bool]:
    """Return the tables worth running, and whether ``a/b/year`` begins with the day."""
    words = {word.casefold() for word in _WORD.findall(text)}
    dated = _holds_digit(text)
    if not dated and text.isascii() and words.isdisjoint(_every_cue()):
        return (), False
    scores = {tongue.code: len(tongue.common & words) for tongue in LANGUAGES}
    best = max(scores.values())
    chosen = [
        tongue for tongue in LANGUAGES if _plausible(tongue, text, words, scores[tongue.code], best)
    ]
    if dated:
        chosen.append(NUMERIC)
    return tuple(chosen), best > scores["en"]


def _holds_digit(text: str) -> bool:
    if text.isascii():
        return _ASCII_DIGIT.search(text) is not None
    return any(map(str.isdigit, text))


def _plausible(tongue: Language, text: str, words: set[str], score: int, best: int) -> bool:
    if tongue.script:
        return not text.isascii() and re.search(tongue.script, text) is not None
    if 2 * score < best - 1:
        return False
    return not words.isdisjoint(_cues(tongue.code)) or _YEAR.search(text) is not None


@cache
def _cues(code: str) -> frozenset[str]:
    """List words without which a language has nothing to say about time."""
    tongue = next(tongue for tongue in LANGUAGES if tongue.code == code)
    tables = (tongue.names, tongue.units, tongue.when, tongue.moments, tongue.parts)
    parts = (_WORD.findall(word) for table in tables for word in table)
    return frozenset(max(words, key=len) for words in parts)


@cache
def _every_cue() -> frozenset[str]:
    """List the cues of all languages ASCII can spell: without one or a digit, no table is run."""
    return frozenset[str]().union(
        *(_cues(tongue.code) for tongue in LANGUAGES if not tongue.script)
    )


# --- patterns --------------------------------------------------------------------------------


@cache
def _compiled(code: str, place: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Compile the patterns of one language: ``rules``, ``before`` or ``behind``."""
    tongue = next(t for t in (*LANGUAGES, NUMERIC) if t.code == code)
    rules: Rules = {"rules": tongue.rules, "before": tongue.before, "behind": tongue.behind}[place]
    left = "" if place == "behind" else tongue.edge_left
    right = tongue.edge_right if place == "rules" else ""
    if place == "before":
        right = r"\Z"
    return tuple(
        (name, re.compile(left + _pattern(rule, tongue) + right, re.IGNORECASE))
        for name, rule in rules
    )


def _pattern(rule: str, tongue: Language) -> str:
    """Fill the slots of ``rule``; a blank becomes the language's gap."""
    slots = _slots(tongue)
    spaced = rule.replace(" ", tongue.gap)
    return "(?:" + re.sub(r"(?<!\?P)<([a-z]+)>", lambda slot: slots[slot[1]], spaced) + ")"


def _slots(tongue: Language) -> dict[str, str]:
    names = tongue.names
    months = [word for word, cycle in names.items() if cycle.kind is Recurs.MONTH]
    weekdays = [word for word, cycle in names.items() if cycle.kind is Recurs.WEEKDAY]
    exact = [word for word, many in tongue.numbers.items() if many.low == many.high]
    digits = rf"\d{{1,3}}|{_either(tongue.numbers)}"
    short = rf"\d{{1,2}}|{_either(exact)}" if tongue.script else r"\d{1,2}"
    return {
        "name": f"(?P<name>{_either(names)})",
        "month": f"(?P<month>{_either(months)})",
        "weekday": f"(?P<weekday>{_either(weekdays)})",
        "unit": f"(?P<unit>{_either(tongue.units)})",
        "when": f"(?P<when>{_either(tongue.when)})",
        "moment": f"(?P<moment>{_either(tongue.moments)})",
        "part": f"(?P<part>{_either(tongue.parts)})",
        "which": f"(?P<which>{_either(tongue.which)})",
        "edge": f"(?P<edge>{_either(tongue.edges)})",
        "nth": f"(?P<nth>{_either(tongue.nth)})",
        "qty": rf"(?<!\d)(?<!\d[.,])(?P<qty>{digits})(?:(?:{tongue.to})(?P<top>{digits}))?",
        "y": r"(?P<y>(?:1[5-9]|20|21)\d\d)",
        "yy": r"(?P<yy>\d\d)",
        "m": rf"(?<!\d)(?P<m>{short})",
        "d": rf"(?<!\d)(?P<d>{short})(?!\d)",
        "a": r"(?P<a>\d{1,2})",
        "b": r"(?P<b>\d{1,2})",
    }


def _either(words: Iterable[str]) -> str:
    """Alternatives, the longest first, with free gaps and either apostrophe."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    escaped = (re.escape(word).replace(r"\ ", r"\s{1,3}") for word in ordered)
    return "|".join(escaped).replace("'", "['\u2019]") or r"(?!)"


# --- finding ---------------------------------------------------------------------------------


def _atoms(
    text: str, now: datetime, languages: tuple[Language, ...], day_first: bool
) -> Iterator[_Atom]:
    for tongue in languages:
        for name, pattern in _compiled(tongue.code, "rules"):
            for match in pattern.finditer(text):
                found = Found(match, tongue, now, day_first, _ahead(text, match, tongue))
                reading = _read(MEANINGS[name], found)
                if reading is not None:
                    yield _Atom(match.start(), match.end(), reading)


def _read(meaning: Callable[[Found], Reading | None], found: Found) -> Reading | None:
    try:
        return meaning(found)
    except (LookupError, ValueError, OverflowError):
        return None


def _ahead(text: str, match: re.Match[str], tongue: Language) -> bool:
    """Whether a word of the future stands in the sentence of ``match``."""
    before = _SENTENCE.split(text[max(0, match.start() - 200) : match.start()])[-1]
    behind = _SENTENCE.split(text[match.end() : match.end() + 200])[0]
    return re.search(tongue.future, f"{before} {behind}", re.IGNORECASE) is not None


def _longest(atoms: Iterable[_Atom]) -> list[_Atom]:
    """Keep the longest of overlapping atoms (then the surest, then the first)."""
    ranked = sorted(atoms, key=lambda a: (a.start - a.end, a.reading.weak, a.start))
    taken: set[int] = set()
    kept: list[_Atom] = []
    for atom in ranked:
        if taken.isdisjoint(range(atom.start, atom.end)):
            taken.update(range(atom.start, atom.end))
            kept.append(atom)
    return sorted(kept, key=lambda a: a.start)


# --- joining ---------------------------------------------------------------------------------

_Join = Callable[[Reading, Reading], Reading | None]


def _joined(text: str, atoms: list[_Atom]) -> list[_Atom]:
    """Join neighbours that make one expression, in four passes, each linear."""
    for join in (_fit, _fit_reversed, _same_day, _part_of_day):
        kept: list[_Atom] = []
        for atom in atoms:
            reading = _tied(text, kept[-1], atom, join) if kept else None
            if reading is None:
                kept.append(atom)
            else:
                kept[-1] = _Atom(kept[-1].start, atom.end, reading)
        atoms = kept
    return atoms


def _tied(text: str, left: _Atom, right: _Atom, join: _Join) -> Reading | None:
    if right.start - left.end > 16:
        return None
    tie = _TIE.fullmatch(text, left.end, right.start)
    if tie is None and not _comma(text, left, right, join):
        return None
    return join(left.reading, right.reading)


def _comma(text: str, left: _Atom, right: _Atom, join: _Join) -> bool:
    """Whether a comma ties them: before a bare year, or between a weekday and its date."""
    if _COMMA.fullmatch(text, left.end, right.start) is None:
        return False
    return join is _same_day or (join is _fit and text[right.start : right.end].isdecimal())


def _fit(inner: Reading, outer: Reading) -> Reading | None:
    """Narrow to the occurrence in a year or week: "May" + "2023", "Friday" + "last week"."""
    cycle = inner.cycle
    if cycle is None or outer.cycle is not None:
        return None
    wanted = Unit.WEEK if cycle.kind is Recurs.WEEKDAY else Unit.YEAR
    if outer.unit is not wanted or (outer.span.end - outer.span.start) > 366 * DAY:
        return None
    span = within(cycle, outer.span)
    return None if span is None else Reading(span, inner.unit)


def _fit_reversed(outer: Reading, inner: Reading) -> Reading | None:
    return _fit(inner, outer)


def _same_day(weekday: Reading, day: Reading) -> Reading | None:
    """Join a weekday and its date, in the year in which they agree: "Friday, 5 May"."""
    if weekday.cycle is None or weekday.cycle.kind is not Recurs.WEEKDAY:
        return None
    if day.unit is not Unit.DAY or (day.cycle and day.cycle.kind is Recurs.WEEKDAY):
        return None
    if day.cycle is not None:
        here = day.span.start.year
        years = (in_year(day.cycle, here + n) for n in (0, 1, -1))
        agreeing = (y for y in years if y and y.start.weekday() == weekday.cycle.value)
        day = replace(day, span=next(agreeing, day.span))
    return replace(day, weak=False)


def _part_of_day(left: Reading, right: Reading) -> Reading | None:
    day, part = (left, right.part) if right.part else (right, left.part)
    if part is None or day.unit is not Unit.DAY or day.part:
        return None
    return Reading(part_of(day.span.start, part), Unit.PART, weak=day.weak)


# --- what stands around ----------------------------------------------------------------------


def _led(text: str, atom: _Atom, languages: tuple[Language, ...]) -> bool:
    """Whether a lead word before a weak name makes it a time: "in" before "May"."""
    if not atom.reading.leadable:
        return False
    kind = atom.reading.cycle.kind if atom.reading.cycle else None
    low = max(0, atom.start - _REACH)
    return any(
        kind in tongue.leads and _lead(tongue.code, kind).search(text, low, atom.start) is not None
        for tongue in languages
    )


@cache
def _lead(code: str, kind: Recurs | None) -> re.Pattern[str]:
    tongue = next(tongue for tongue in LANGUAGES if tongue.code == code)
    return re.compile(rf"(?<!\w)(?:{tongue.leads[kind]})\s{{1,3}}\Z", re.IGNORECASE)


def _changed(text: str, atom: _Atom, now: datetime, languages: tuple[Language, ...]) -> _Atom:
    """Apply what stands before and behind, layer by layer: "since the end of" + "May"."""
    for _ in range(_LAYERS):
        wider = _wider(text, atom, now, languages)
        if wider is None:
            return atom
        atom = wider
    return atom


def _wider(text: str, atom: _Atom, now: datetime, languages: tuple[Language, ...]) -> _Atom | None:
    """Return the widest change of ``atom`` by one pattern before or behind it."""
    best: _Atom | None = None
    for tongue, name, match in _around(text, atom, languages):
        found = Found(match, tongue, now, day_first=False, ahead=False, inner=atom.reading)
        reading = _read(CHANGES[name], found)
        if reading is None:
            continue
        wide = _Atom(min(atom.start, match.start()), max(atom.end, match.end()), reading)
        if best is None or wide.end - wide.start > best.end - best.start:
            best = wide
    return best


def _around(
    text: str, atom: _Atom, languages: tuple[Language, ...]
) -> Iterator[tuple[Language, str, re.Match[str]]]:
    low = max(0, atom.start - _REACH)
    for tongue in languages:
        for name, pattern in _compiled(tongue.code, "before"):
            match = pattern.search(text, low, atom.start)
            if match:
                yield tongue, name, match
        for name, pattern in _compiled(tongue.code, "behind"):
            match = pattern.match(text, atom.end)
            if match:
                yield tongue, name, match
