"""What the patterns of the time tables mean: from matched words to a span of wall-clock time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mnemos.retrieval.time_spans import (
    DAY,
    Cycle,
    Edge,
    Part,
    Recurs,
    Span,
    Unit,
    Which,
    after,
    away,
    before,
    calendar_unit,
    choose,
    day_of,
    days,
    iso_week,
    months,
    nth_in,
    part_of,
    step,
    third,
    weekend,
)
from mnemos.retrieval.time_words import Language, Quantity


@dataclass(frozen=True, slots=True)
class Reading:
    """What an expression means.

    Parameters
    ----------
    span : Span
        The stretch of time.
    unit : Unit
        Its size.
    cycle : Cycle or None
        The bare name it came from, which a year or week beside it narrows.
    weak : bool
        Counts only if something beside it makes it a time.
    part : Part or None
        A bare part of the day, which waits for its day.
    leadable : bool
        A lead word ("in", "on") is enough for a weak one.
    """

    span: Span
    unit: Unit
    cycle: Cycle | None = None
    weak: bool = False
    part: Part | None = None
    leadable: bool = True


NO_SPAN = Span(datetime.min, datetime.min)  # noqa: DTZ901


@dataclass(frozen=True, slots=True)
class Found:
    """A matched pattern, with the table its words are in and the moment it is seen from."""

    match: re.Match[str]
    language: Language
    now: datetime
    day_first: bool
    ahead: bool
    inner: Reading = Reading(NO_SPAN, Unit.DAY)

    def has(self, slot: str) -> bool:
        """Whether ``slot`` is part of the pattern and was filled."""
        return slot in self.match.re.groupindex and self.match[slot] is not None

    def word(self, slot: str) -> str:
        """Return the word in ``slot`` as the tables spell it."""
        return " ".join(self.match[slot].casefold().split()).replace("\u2019", "'")

    def number(self, slot: str) -> Quantity:
        """Return the number in ``slot``, in digits or words."""
        word = self.word(slot)
        if word.isdecimal():
            return Quantity(int(word), int(word))
        return self.language.numbers[word]

    @property
    def quantity(self) -> Quantity:
        """How many; one where the pattern has no number."""
        if not self.has("qty"):
            return Quantity(1, 1)
        low = self.number("qty")
        top = self.number("top") if self.has("top") else low
        return Quantity(min(low.low, top.low), max(low.high, top.high))

    @property
    def unit(self) -> Unit:
        """The unit."""
        return self.language.units[self.word("unit")]

    @property
    def month(self) -> int:
        """The month, by name or number."""
        if self.has("month"):
            return self.language.names[self.name("month")].value
        return self.number("m").low

    def name(self, slot: str) -> str:
        """Return the name in ``slot``; ``ValueError`` where it lacks the capital it needs."""
        word = self.word(slot)
        if word in self.language.capitals and self.match[slot][0].islower():
            message = f"{word!r} is no name here"
            raise ValueError(message)
        return word

    @property
    def which(self) -> Which:
        """Which one of several."""
        return self.language.which[self.word("which")]


def _stretch(moment: datetime, unit: Unit, near: int, far: int) -> Reading:
    """Read from the unit ``near`` steps away to the one ``far`` steps away, in either order."""
    one, other = away(moment, unit, near), away(moment, unit, far)
    span = Span(min(one.start, other.start), max(one.end, other.end))
    return Reading(span, unit if near == far and unit is not Unit.DECADE else Unit.PART)


def _ago(found: Found) -> Reading:
    return _stretch(found.now, found.unit, -found.quantity.low, -found.quantity.high)


def _ahead(found: Found) -> Reading:
    return _stretch(found.now, found.unit, found.quantity.low, found.quantity.high)


def _trailing(found: Found) -> Reading:
    return Reading(Span(step(found.now, found.unit, -found.quantity.high), found.now), Unit.PART)


def _leading(found: Found) -> Reading:
    return Reading(Span(found.now, step(found.now, found.unit, found.quantity.high)), Unit.PART)


def _unit_away(found: Found, count: int, *, weak: bool = False) -> Reading | None:
    unit = found.unit
    if unit < Unit.WEEKEND:
        return None
    return Reading(calendar_unit(found.now, unit, count), unit, weak=weak, leadable=False)


_STEPS = {Which.LAST: -1, Which.PAST: -1, Which.THIS: 0, Which.COMING: 1, Which.NEXT: 1}


def _shift(found: Found) -> Reading | None:
    which = found.which
    if which is Which.COMING and found.unit is Unit.WEEKEND:
        return Reading(_coming_weekend(found.now), Unit.WEEKEND)
    return _unit_away(found, _STEPS[which])


def _coming_weekend(now: datetime) -> Span:
    here = weekend(now)
    return here if here.start > now else days(here.start + 7 * DAY, 2)


def _weekend(found: Found) -> Reading:
    """Read "over the weekend": the one going on or just past, ahead with a future word."""
    if found.ahead:
        return Reading(_coming_weekend(found.now), Unit.WEEKEND)
    here = weekend(found.now)
    span = here if here.start <= found.now else days(here.start - 7 * DAY, 2)
    return Reading(span, Unit.WEEKEND)


def _choose(found: Found) -> Reading | None:
    cycle = found.language.names[found.name("name")]
    span = choose(cycle, found.now, found.which)
    return None if span is None else Reading(span, cycle.unit)


def _plain(found: Found) -> Reading | None:
    word = found.name("name" if found.has("name") else "weekday")
    cycle = found.language.names[word]
    span = choose(cycle, found.now, Which.COMING if found.ahead else Which.PAST)
    if span is None:
        return None
    return Reading(span, cycle.unit, cycle, weak=word in found.language.weak)


def _month(found: Found) -> Reading | None:
    cycle = Cycle(Recurs.MONTH, found.month)
    if not 1 <= cycle.value <= 12:
        return None
    span = choose(cycle, found.now, Which.COMING if found.ahead else Which.PAST)
    return None if span is None else Reading(span, Unit.MONTH, cycle)


def _date(found: Found) -> Reading | None:
    cycle = Cycle(Recurs.DATE, found.month, found.number("d").low)
    day_of(2000, cycle.value, cycle.day)
    span = choose(cycle, found.now, Which.COMING if found.ahead else Which.PAST)
    if span is None:
        return None
    weak = (
        found.has("month")
        and found.word("month") in found.language.ordinary
        and found.match["month"][0].islower()
        and not found.has("nth")
    )
    return Reading(span, Unit.DAY, cycle, weak=weak)


def _numeric(found: Found) -> Reading | None:
    year, month = int(found.match["y"]), found.month
    if not found.has("d"):
        if not 1 <= month <= 12:
            return None
        return Reading(months(year, month), Unit.MONTH)
    return Reading(day_of(year, month, found.number("d").low), Unit.DAY)


def _slashed(found: Found) -> Reading:
    one, two = int(found.match["a"]), int(found.match["b"])
    day, month = (one, two) if one > 12 or (found.day_first and two <= 12) else (two, one)
    if found.has("y"):
        year = int(found.match["y"])
    else:
        short = int(found.match["yy"])
        year = short + (2000 if 2000 + short <= found.now.year + 20 else 1900)
    return Reading(day_of(year, month, day), Unit.DAY)


def _year(found: Found) -> Reading:
    year = int(found.match["y"])
    weak = not 1900 <= year <= found.now.year + 50
    return Reading(months(year, 1, 12), Unit.YEAR, weak=weak)


def _counted(found: Found) -> Reading:
    return Reading(months(int(found.match["y"]), 1, 12), Unit.YEAR, weak=True)


def _when(found: Found) -> Reading:
    offset = found.language.when[found.word("when")]
    return Reading(calendar_unit(found.now, offset.unit, offset.count), offset.unit)


def _in_week(found: Found) -> Reading | None:
    offset = found.language.when[found.word("when")]
    if offset.unit is not Unit.WEEK:
        return None
    week = calendar_unit(found.now, Unit.WEEK, offset.count)
    weekday = found.language.nth[found.word("nth")]
    return Reading(days(week.start + (weekday - 1) * DAY), Unit.DAY)


def _moment(found: Found) -> Reading:
    shift, part = found.language.moments[found.word("moment")]
    return Reading(part_of(found.now + shift * DAY, part), Unit.PART)


def _part(found: Found) -> Reading:
    part = found.language.parts[found.word("part")]
    span = part_of(found.now, part)
    return Reading(span, Unit.PART, weak=True, part=part, leadable=False)


MEANINGS: dict[str, Callable[[Found], Reading | None]] = {
    "ago": _ago,
    "ahead": _ahead,
    "trailing": _trailing,
    "leading": _leading,
    "shift": _shift,
    "this": lambda found: _unit_away(found, 0, weak=True),
    "last but one": lambda found: _unit_away(found, -2),
    "next but one": lambda found: _unit_away(found, 2),
    "weekend": _weekend,
    "choose": _choose,
    "plain": _plain,
    "month": _month,
    "date": _date,
    "numeric": _numeric,
    "slashed": _slashed,
    "year": _year,
    "counted": _counted,
    "when": _when,
    "in week": _in_week,
    "moment": _moment,
    "part": _part,
}
"""Meaning of an expression by itself."""


def _since(found: Found) -> Reading | None:
    inner = found.inner
    span = choose(inner.cycle, found.now, Which.PAST) if inner.cycle else inner.span
    if span is None or span.start >= found.now:
        return None
    return Reading(Span(span.start, found.now), Unit.PART)


def _some_before(found: Found) -> Reading:
    quantity = found.quantity
    return _stretch(found.inner.span.start, found.unit, -quantity.low, -quantity.high)


def _some_after(found: Found) -> Reading:
    quantity = found.quantity
    return _stretch(found.inner.span.end - DAY, found.unit, quantity.low, quantity.high)


def _unit_before(found: Found) -> Reading | None:
    if found.has("weekday"):
        cycle = found.language.names[found.name("weekday")]
        span = choose(cycle, found.inner.span.start, Which.LAST)
        return None if span is None else Reading(span, Unit.DAY)
    return Reading(before(found.inner.span, found.unit), found.unit)


def _unit_after(found: Found) -> Reading | None:
    if found.has("weekday"):
        cycle = found.language.names[found.name("weekday")]
        span = choose(cycle, found.inner.span.end - DAY, Which.COMING)
        return None if span is None else Reading(span, Unit.DAY)
    return Reading(after(found.inner.span, found.unit), found.unit)


def _unit_of(found: Found) -> Reading | None:
    if found.inner.unit is not Unit.DAY or found.unit not in (Unit.WEEK, Unit.WEEKEND):
        return None
    whole = iso_week if found.unit is Unit.WEEK else weekend
    return Reading(whole(found.inner.span.start), found.unit)


def _third(found: Found) -> Reading | None:
    if found.inner.unit < Unit.WEEK:
        return None
    edge: Edge = found.language.edges[found.word("edge")]
    return Reading(third(found.inner.span, edge), Unit.PART)


def _nth(found: Found) -> Reading | None:
    """Read "the first weekend of", "the last Friday of", "the second week of"."""
    count = found.language.nth[found.word("nth")]
    outer = found.inner
    if outer.unit < Unit.MONTH:
        return None
    if found.has("weekday"):
        cycle = found.language.names[found.name("weekday")]
        span = nth_in(outer.span, cycle.value, count)
        return None if span is None else Reading(span, Unit.DAY)
    if found.unit is Unit.WEEKEND:
        span = nth_in(outer.span, 5, count, 2)
        return None if span is None else Reading(span, Unit.WEEKEND)
    return _nth_unit(outer, found.unit, count)


def _nth_unit(outer: Reading, unit: Unit, count: int) -> Reading | None:
    if unit is Unit.MONTH:
        first = outer.span.start if count > 0 else outer.span.end
        span = months(first.year, first.month + (count - 1 if count > 0 else count))
    elif unit in (Unit.DAY, Unit.WEEK):
        length = 7 if unit is Unit.WEEK else 1
        first = outer.span.start if count > 0 else outer.span.end
        span = days(first + (count - 1 if count > 0 else count) * length * DAY, length)
    else:
        return None
    inside = outer.span.start <= span.start and span.end <= outer.span.end
    return Reading(span, unit) if inside else None


def _around(found: Found) -> Reading | None:
    inner = found.inner
    if inner.weak:
        return None
    if inner.unit is not Unit.DAY:
        return Reading(inner.span, inner.unit)
    return Reading(Span(inner.span.start - 3 * DAY, inner.span.end + 3 * DAY), Unit.PART)


CHANGES: dict[str, Callable[[Found], Reading | None]] = {
    "since": _since,
    "before": _some_before,
    "after": _some_after,
    "unit before": _unit_before,
    "unit after": _unit_after,
    "unit of": _unit_of,
    "third": _third,
    "nth": _nth,
    "around": _around,
}
"""What words before or behind an expression make of it."""
