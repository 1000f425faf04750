"""Calendar arithmetic on wall-clock spans: units, names that come round, thirds.

Everything here is naive local time, half open. The caller knows the zone and puts it on at the
end, so that "yesterday" is a calendar day where the words were said, also across a clock change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum, StrEnum

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


class Unit(IntEnum):
    """Size of a span, ordered from small to large."""

    MINUTE = 1
    HOUR = 2
    PART = 3
    DAY = 4
    WEEKEND = 5
    WEEK = 6
    MONTH = 7
    SEASON = 8
    YEAR = 9
    DECADE = 10


class Part(StrEnum):
    """Part of a day."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    NIGHT = "night"


class Edge(StrEnum):
    """Third of a span."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class Which(StrEnum):
    """Which one of the things that come round."""

    LAST = "last"
    PAST = "past"
    THIS = "this"
    COMING = "coming"
    NEXT = "next"


class Recurs(StrEnum):
    """How a name comes round."""

    WEEKDAY = "weekday"
    MONTH = "month"
    SEASON = "season"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open stretch of wall-clock time."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Cycle:
    """A name that comes round: weekday 0-6, month 1-12, season 0-3 from spring, or a date."""

    kind: Recurs
    value: int
    day: int = 1

    @property
    def unit(self) -> Unit:
        """Size of one occurrence."""
        if self.kind is Recurs.MONTH:
            return Unit.MONTH
        return Unit.SEASON if self.kind is Recurs.SEASON else Unit.DAY


@dataclass(frozen=True, slots=True)
class Offset:
    """A unit so many steps away from now, negative in the past."""

    unit: Unit
    count: int


PART_HOURS = {Part.MORNING: (6, 6), Part.AFTERNOON: (12, 6), Part.EVENING: (18, 6)}
"""Where a part of the day begins, and how many hours it lasts; the night runs from 18 to 6."""


def midnight(moment: datetime) -> datetime:
    """Begin of the day of ``moment``."""
    return datetime.combine(moment.date(), time())


def days(start: datetime, count: int = 1) -> Span:
    """Return ``count`` whole days from the day of ``start`` on."""
    begin = midnight(start)
    return Span(begin, begin + count * DAY)


def day_of(year: int, month: int, day: int) -> Span:
    """One calendar day; ``ValueError`` where there is none."""
    return days(datetime.combine(date(year, month, day), time()))


def months(year: int, month: int, count: int = 1) -> Span:
    """Whole months; ``month`` may lie outside 1 to 12 and carries into the year."""
    return Span(_first_of(year, month), _first_of(year, month + count))


def _first_of(year: int, month: int) -> datetime:
    carry, index = divmod(month - 1, 12)
    return datetime.combine(date(year + carry, index + 1, 1), time())


def part_of(day: datetime, part: Part) -> Span:
    """Part of the day of ``day``; the night ends at six on the next one."""
    hour, hours = PART_HOURS.get(part, (18, 12))
    start = midnight(day) + timedelta(hours=hour)
    return Span(start, start + timedelta(hours=hours))


def iso_week(moment: datetime) -> Span:
    """Monday to Sunday around ``moment``."""
    return days(midnight(moment) - moment.weekday() * DAY, 7)


def weekend(moment: datetime) -> Span:
    """Saturday and Sunday of the ISO week of ``moment``."""
    return days(iso_week(moment).start + 5 * DAY, 2)


def calendar_unit(moment: datetime, unit: Unit, count: int) -> Span:
    """Return the calendar unit ``count`` steps from the one ``moment`` lies in.

    Examples
    --------
    >>> span = calendar_unit(datetime.fromisoformat("2023-05-25T10:00"), Unit.MONTH, -1)
    >>> span.start.isoformat(), span.end.isoformat()
    ('2023-04-01T00:00:00', '2023-05-01T00:00:00')
    """
    if unit is Unit.DAY:
        return days(midnight(moment) + count * DAY)
    if unit is Unit.WEEK:
        return iso_week(moment + count * WEEK)
    if unit is Unit.WEEKEND:
        return weekend(moment + count * WEEK)
    if unit is Unit.MONTH:
        return months(moment.year, moment.month + count)
    if unit is Unit.YEAR:
        return months(moment.year + count, 1, 12)
    if unit is Unit.DECADE:
        return months((moment.year // 10 + count) * 10, 1, 120)
    message = f"no calendar unit {unit!r}"
    raise ValueError(message)


def step(moment: datetime, unit: Unit, count: int) -> datetime:
    """Move ``moment`` by ``count`` units; the day is clamped to the length of the month."""
    if unit is Unit.MINUTE:
        return moment + timedelta(minutes=count)
    if unit is Unit.HOUR:
        return moment + timedelta(hours=count)
    if unit is Unit.DAY:
        return moment + count * DAY
    if unit in (Unit.WEEK, Unit.WEEKEND):
        return moment + count * WEEK
    reach = count * {Unit.MONTH: 1, Unit.YEAR: 12, Unit.DECADE: 120}[unit]
    month = months(moment.year, moment.month + reach)
    last = (month.end - DAY).day
    return moment.replace(year=month.start.year, month=month.start.month, day=min(moment.day, last))


def away(moment: datetime, unit: Unit, count: int) -> Span:
    """Return what "``count`` units ago" (or ahead) covers, seen from ``moment``.

    A day is that day, a month or year the calendar one, a week the seven days centred on the
    day so many weeks away, hours and minutes one unit centred on the moment.
    """
    there = step(moment, unit, count)
    if unit is Unit.WEEK:
        return days(midnight(there) - 3 * DAY, 7)
    if unit is Unit.MINUTE or unit is Unit.HOUR:
        half = timedelta(seconds=30 if unit is Unit.MINUTE else 1800)
        return Span(there - half, there + half)
    return calendar_unit(there, Unit.YEAR if unit is Unit.DECADE else unit, 0)


def in_year(cycle: Cycle, year: int) -> Span | None:
    """Occurrence that begins in ``year``; None for 29 February of a common year.

    Winter begins in December of its year and runs into the next one.
    """
    try:
        if cycle.kind is Recurs.MONTH:
            return months(year, cycle.value)
        if cycle.kind is Recurs.SEASON:
            return months(year, 3 + 3 * cycle.value, 3)
        return day_of(year, cycle.value, cycle.day)
    except ValueError:
        return None


def within(cycle: Cycle, outer: Span) -> Span | None:
    """Occurrence of ``cycle`` that begins in ``outer`` (a week, or a year)."""
    if cycle.kind is not Recurs.WEEKDAY:
        return in_year(cycle, outer.start.year)
    ahead = (cycle.value - outer.start.weekday()) % 7
    found = days(outer.start + ahead * DAY)
    return found if found.end <= outer.end else None


def choose(cycle: Cycle, moment: datetime, which: Which) -> Span | None:
    """Pick an occurrence of ``cycle`` seen from ``moment``.

    ``LAST`` is over before today; ``PAST`` is the latest that has begun (for a weekday: before
    today); ``THIS`` is the one going on, else that of this year or ISO week; ``COMING`` is the
    first not yet over (for a weekday: after today); ``NEXT`` is the first that has not begun
    (for a weekday: that of the following ISO week).
    """
    if cycle.kind is Recurs.WEEKDAY:
        return _choose_weekday(cycle.value, moment, which)
    reach = 8 if (cycle.value, cycle.day) == (2, 29) else 2
    around = (in_year(cycle, moment.year + n) for n in range(-reach, reach + 1))
    spans = [span for span in around if span is not None]
    today = midnight(moment)
    if which is Which.LAST:
        return _last([s for s in spans if s.end <= today])
    if which is Which.PAST:
        return _last([s for s in spans if s.start <= moment])
    if which is Which.THIS:
        going = [s for s in spans if s.start <= moment < s.end]
        return _last(going) or in_year(cycle, moment.year)
    if which is Which.COMING:
        return next((s for s in spans if s.end > moment), None)
    return next((s for s in spans if s.start > moment), None)


def _choose_weekday(value: int, moment: datetime, which: Which) -> Span:
    today = midnight(moment)
    if which in (Which.LAST, Which.PAST):
        return days(today - ((today.weekday() - value - 1) % 7 + 1) * DAY)
    if which is Which.COMING:
        return days(today + ((value - today.weekday() - 1) % 7 + 1) * DAY)
    monday = iso_week(today).start
    return days(monday + (value + (7 if which is Which.NEXT else 0)) * DAY)


def _last(spans: list[Span]) -> Span | None:
    return spans[-1] if spans else None


def third(span: Span, edge: Edge) -> Span:
    """First, middle or last third: by months where the span is whole quarters, else by days."""
    year_month = (span.end.year - span.start.year) * 12 + span.end.month - span.start.month
    if year_month >= 3 and span.start.day == span.end.day == 1:
        size = year_month // 3
        first = months(span.start.year, span.start.month, size).end
        second = months(span.end.year, span.end.month - size, size).start
    else:
        length = max(1, round((span.end - span.start).days / 3))
        first = span.start + length * DAY
        second = max(first, span.end - length * DAY)
    pieces = {
        Edge.START: Span(span.start, first),
        Edge.MIDDLE: Span(first, second),
        Edge.END: Span(second, span.end),
    }
    return pieces[edge]


def before(span: Span, unit: Unit) -> Span:
    """Return the whole unit just before ``span``: the week before 9 June is 2 to 8 June."""
    if unit is Unit.WEEK:
        return days(span.start - WEEK, 7)
    if unit is Unit.WEEKEND:
        latest = span.start - DAY
        return days(latest - ((latest.weekday() + 1) % 7 + 1) * DAY, 2)
    return calendar_unit(span.start, unit, -1)


def after(span: Span, unit: Unit) -> Span:
    """Return the whole unit just after ``span``: the week after 9 June is 10 to 16 June."""
    if unit is Unit.WEEK:
        return days(span.end, 7)
    if unit is Unit.WEEKEND:
        return days(span.end + ((5 - span.end.weekday()) % 7) * DAY, 2)
    return calendar_unit(span.end - DAY, unit, 1)


def nth_in(span: Span, weekday: int, count: int, length: int = 1) -> Span | None:
    """Return ``length`` days from the ``count``-th such weekday on; -1 counts from the end."""
    if count > 0:
        first = span.start + ((weekday - span.start.weekday()) % 7) * DAY
        found = first + (count - 1) * WEEK
    else:
        latest = span.end - length * DAY
        found = latest - ((latest.weekday() - weekday) % 7) * DAY
    return days(found, length) if span.start <= found < span.end else None
