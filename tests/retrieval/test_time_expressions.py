"""Time expressions: what is found, what it resolves to, and what must never happen."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.retrieval.time_expressions import MAX_SCANNED, find_times
from mnemos.types import TimeMention

THURSDAY = datetime(2023, 5, 25, 13, 14, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def brief(mention: TimeMention) -> str:
    """Write a mention as ``words = start .. end``, dates alone where the hours are midnight."""
    return f"{mention.text} = {_short(mention.start)}..{_short(mention.end)}"


def _short(moment: datetime) -> str:
    midnight = moment.hour == moment.minute == 0
    return moment.strftime("%Y-%m-%d" if midnight else "%Y-%m-%dT%H:%M")


def found(text: str, anchor: datetime = THURSDAY) -> list[str]:
    return [brief(mention) for mention in find_times(text, anchor)]


ENGLISH = [
    ("I moved on 7 May 2023.", "7 May 2023 = 2023-05-07..2023-05-08"),
    ("It was May 7th, 2023, a warm day", "May 7th, 2023 = 2023-05-07..2023-05-08"),
    ("on the 7th of May 2023", "the 7th of May 2023 = 2023-05-07..2023-05-08"),
    ("Friday, 5 May, 2023", "Friday, 5 May, 2023 = 2023-05-05..2023-05-06"),
    ("free on Sunday, June 4th", "Sunday, June 4th = 2023-06-04..2023-06-05"),
    ("since then; Sept. 2021", "Sept. 2021 = 2021-09-01..2021-10-01"),
    ("half a year ago", ""),
    ("MAY 2023", "MAY 2023 = 2023-05-01..2023-06-01"),
    ("Saturday night", "Saturday night = 2023-05-20T18:00..2023-05-21T06:00"),
    ("on 2023-05-07", "2023-05-07 = 2023-05-07..2023-05-08"),
    ("at 2023-05-07T18:00:00Z", "2023-05-07T18:00:00Z = 2023-05-07..2023-05-08"),
    ("on 05/07/2023", "05/07/2023 = 2023-05-07..2023-05-08"),
    ("on 25/12/2022", "25/12/2022 = 2022-12-25..2022-12-26"),
    ("on 5/7/23", "5/7/23 = 2023-05-07..2023-05-08"),
    ("on 7.5.2023", "7.5.2023 = 2023-05-07..2023-05-08"),
    ("in 2023-04", "2023-04 = 2023-04-01..2023-05-01"),
    ("May 2023 was warm", "May 2023 = 2023-05-01..2023-06-01"),
    ("in May", "May = 2023-05-01..2023-06-01"),
    ("in June", "June = 2022-06-01..2022-07-01"),
    ("We will go in June", "June = 2023-06-01..2023-07-01"),
    ("next May", "next May = 2024-05-01..2024-06-01"),
    ("last May", "last May = 2022-05-01..2022-06-01"),
    ("In May of last year", "May of last year = 2022-05-01..2022-06-01"),
    ("2022 was hard", "2022 = 2022-01-01..2023-01-01"),
    ("in 2022", "2022 = 2022-01-01..2023-01-01"),
    ("summer 2022", "summer 2022 = 2022-06-01..2022-09-01"),
    ("winter of 2022", "winter of 2022 = 2022-12-01..2023-03-01"),
    ("last summer", "last summer = 2022-06-01..2022-09-01"),
    ("in the fall", "fall = 2022-09-01..2022-12-01"),
    ("yesterday", "yesterday = 2023-05-24..2023-05-25"),
    ("today", "today = 2023-05-25..2023-05-26"),
    ("tomorrow", "tomorrow = 2023-05-26..2023-05-27"),
    ("the day before yesterday", "the day before yesterday = 2023-05-23..2023-05-24"),
    ("tonight", "tonight = 2023-05-25T18:00..2023-05-26T06:00"),
    ("this morning", "this morning = 2023-05-25T06:00..2023-05-25T12:00"),
    ("last night", "last night = 2023-05-24T18:00..2023-05-25T06:00"),
    ("yesterday evening", "yesterday evening = 2023-05-24T18:00..2023-05-25"),
    ("two days ago", "two days ago = 2023-05-23..2023-05-24"),
    ("3 weeks ago", "3 weeks ago = 2023-05-01..2023-05-08"),
    ("a couple of weeks ago", "a couple of weeks ago = 2023-05-01..2023-05-15"),
    ("two or three weeks ago", "two or three weeks ago = 2023-05-01..2023-05-15"),
    ("a few months ago", "a few months ago = 2022-12-01..2023-04-01"),
    ("five years ago", "five years ago = 2018-01-01..2019-01-01"),
    ("in three weeks", "in three weeks = 2023-06-12..2023-06-19"),
    ("two days from now", "two days from now = 2023-05-27..2023-05-28"),
    ("last week", "last week = 2023-05-15..2023-05-22"),
    ("this month", "this month = 2023-05-01..2023-06-01"),
    ("next year", "next year = 2024-01-01..2025-01-01"),
    ("last weekend", "last weekend = 2023-05-20..2023-05-22"),
    ("this weekend", "this weekend = 2023-05-27..2023-05-29"),
    ("over the weekend", "over the weekend = 2023-05-20..2023-05-22"),
    ("two weekends ago", "two weekends ago = 2023-05-13..2023-05-15"),
    ("the week before last", "the week before last = 2023-05-08..2023-05-15"),
    ("last Friday", "last Friday = 2023-05-19..2023-05-20"),
    ("last Thursday", "last Thursday = 2023-05-18..2023-05-19"),
    ("this Friday", "this Friday = 2023-05-26..2023-05-27"),
    ("next Tuesday", "next Tuesday = 2023-05-30..2023-05-31"),
    ("next Friday", "next Friday = 2023-06-02..2023-06-03"),
    ("We met on Friday", "Friday = 2023-05-19..2023-05-20"),
    ("We will meet on Friday", "Friday = 2023-05-26..2023-05-27"),
    ("last fri", ""),
    ("last Fri", "last Fri = 2023-05-19..2023-05-20"),
    ("Monday of last week", "Monday of last week = 2023-05-15..2023-05-16"),
    ("the Sunday before 25 May 2023", "the Sunday before 25 May 2023 = 2023-05-21..2023-05-22"),
    ("the week before 9 June 2023", "the week before 9 June 2023 = 2023-06-02..2023-06-09"),
    ("the weekend before 9 June 2023", "the weekend before 9 June 2023 = 2023-06-03..2023-06-05"),
    ("the day after 9 June 2023", "the day after 9 June 2023 = 2023-06-10..2023-06-11"),
    ("two weeks before Christmas", "two weeks before Christmas = 2022-12-08..2022-12-15"),
    ("the week of 3 March", "the week of 3 March = 2023-02-27..2023-03-06"),
    ("first weekend of August", "first weekend of August = 2022-08-06..2022-08-08"),
    ("the last Friday of April", "the last Friday of April = 2023-04-28..2023-04-29"),
    ("the second week of April", "the second week of April = 2023-04-08..2023-04-15"),
    ("end of June 2022", "end of June 2022 = 2022-06-21..2022-07-01"),
    ("early May", "early May = 2023-05-01..2023-05-11"),
    ("mid-May", "mid-May = 2023-05-11..2023-05-22"),
    ("beginning of 2023", "beginning of 2023 = 2023-01-01..2023-05-01"),
    ("at the end of the month", "the end of the month = 2023-05-22..2023-06-01"),
    ("since March", "since March = 2023-03-01..2023-05-25T13:14"),
    ("since the end of March", "since the end of March = 2023-03-22..2023-05-25T13:14"),
    ("for the past two months", "the past two months = 2023-03-25T13:14..2023-05-25T13:14"),
    ("in the past week", "in the past week = 2023-05-18T13:14..2023-05-25T13:14"),
    ("the next few days", "the next few days = 2023-05-25T13:14..2023-05-30T13:14"),
    ("around Christmas", "around Christmas = 2022-12-22..2022-12-29"),
    ("on New Year's Eve", "New Year's Eve = 2022-12-31..2023-01-01"),
    ("on New Year\u2019s Day", "New Year\u2019s Day = 2023-01-01..2023-01-02"),
    ("on Valentine's Day", "Valentine's Day = 2023-02-14..2023-02-15"),
    ("Halloween 2021", "Halloween 2021 = 2021-10-31..2021-11-01"),
    ("on Feb 29", "Feb 29 = 2020-02-29..2020-03-01"),
]

OTHER_LANGUAGES = [
    ("Gestern war ich dort", "Gestern = 2023-05-24..2023-05-25"),
    ("vorgestern", "vorgestern = 2023-05-23..2023-05-24"),
    ("Das war letzten Freitag", "letzten Freitag = 2023-05-19..2023-05-20"),
    ("vor drei Wochen", "vor drei Wochen = 2023-05-01..2023-05-08"),
    ("Am 3. März 2025 ist es soweit", "3. März 2025 = 2025-03-03..2025-03-04"),
    ("Es war im Mai", "Mai = 2023-05-01..2023-06-01"),
    ("im Mai letzten Jahres", "Mai letzten Jahres = 2022-05-01..2022-06-01"),
    ("Ende des Monats", "Ende des Monats = 2023-05-22..2023-06-01"),
    ("gestern Abend", "gestern Abend = 2023-05-24T18:00..2023-05-25"),
    ("seit März bin ich hier", "seit März = 2023-03-01..2023-05-25T13:14"),
    ("Guten Morgen, bis morgen!", "morgen = 2023-05-26..2023-05-27"),
    ("Das war am 5/7/2023, nicht wahr?", "5/7/2023 = 2023-07-05..2023-07-06"),
    ("Ayer fui al cine", "Ayer = 2023-05-24..2023-05-25"),
    ("la semana pasada", "la semana pasada = 2023-05-15..2023-05-22"),
    ("hace dos días", "hace dos días = 2023-05-23..2023-05-24"),
    ("el 3 de marzo de 2025", "3 de marzo de 2025 = 2025-03-03..2025-03-04"),
    ("el próximo lunes", "próximo lunes = 2023-05-29..2023-05-30"),
    ("el viernes pasado", "el viernes pasado = 2023-05-19..2023-05-20"),
    ("mañana por la mañana", "mañana por la mañana = 2023-05-26T06:00..2023-05-26T12:00"),
    ("a finales de abril", "a finales de abril = 2023-04-21..2023-05-01"),
    ("Je suis venu hier", "hier = 2023-05-24..2023-05-25"),
    ("la semaine dernière", "la semaine dernière = 2023-05-15..2023-05-22"),
    ("il y a trois jours", "il y a trois jours = 2023-05-22..2023-05-23"),
    ("le 3 mars 2025", "3 mars 2025 = 2025-03-03..2025-03-04"),
    ("l'été dernier", "l'été dernier = 2022-06-01..2022-09-01"),
    ("Elle a été malade", ""),
    ("en mars de l'année dernière", "mars de l'année dernière = 2022-03-01..2022-04-01"),
    ("Ontem fui à praia", "Ontem = 2023-05-24..2023-05-25"),
    ("há dois dias", "há dois dias = 2023-05-23..2023-05-24"),
    ("na sexta-feira passada", "sexta-feira passada = 2023-05-19..2023-05-20"),
    ("semana que vem", "semana que vem = 2023-05-29..2023-06-05"),
    ("3 de março de 2025", "3 de março de 2025 = 2025-03-03..2025-03-04"),
    ("昨天我去了超市", "昨天 = 2023-05-24..2023-05-25"),
    ("前天", "前天 = 2023-05-23..2023-05-24"),
    ("上周五见面", "上周五 = 2023-05-19..2023-05-20"),
    ("上周一直下雨", "上周 = 2023-05-15..2023-05-22"),
    ("一周一次", ""),
    ("三天前", "三天前 = 2023-05-22..2023-05-23"),
    ("2025年3月3日", "2025年3月3日 = 2025-03-03..2025-03-04"),
    ("去年", "去年 = 2022-01-01..2023-01-01"),
    ("去年夏天", "去年夏天 = 2022-06-01..2022-09-01"),
    ("昨天晚上", "昨天晚上 = 2023-05-24T18:00..2023-05-25T06:00"),
    ("昨日は楽しかった", "昨日 = 2023-05-24..2023-05-25"),
    ("先週の金曜日に会った", "先週の金曜日 = 2023-05-19..2023-05-20"),
    ("三日前", "三日前 = 2023-05-22..2023-05-23"),
    ("去年の夏", "去年の夏 = 2022-06-01..2022-09-01"),
    ("3月からです", "3月から = 2023-03-01..2023-05-25T13:14"),
    ("어제 영화를 봤어요", "어제 = 2023-05-24..2023-05-25"),
    ("지난주", "지난주 = 2023-05-15..2023-05-22"),
    ("3일 전", "3일 전 = 2023-05-22..2023-05-23"),
    ("2025년 3월 3일", "2025년 3월 3일 = 2025-03-03..2025-03-04"),
    ("지난주 금요일", "지난주 금요일 = 2023-05-19..2023-05-20"),
]

NOT_TIMES = [
    "I may march in the sun with you.",
    "May I ask? We march 5 miles, and you may 2.",
    "The Sun shines; June said so; things fall apart.",
    "It costs $2000, or 2000 dollars, for 2000 people.",
    "Call 555-2023-99 or see v1.2022.3.",
    "99/99/2023, 2023-13-45, 31/31/2023",
    "Ich bin hier mit dem Hund",
    "a long time, the weekly, Mondays, second to none",
    "",
    " \n\t ",
]


@pytest.mark.parametrize(("text", "expected"), [*ENGLISH, *OTHER_LANGUAGES])
def test_expression_resolves(text: str, expected: str) -> None:
    assert found(text) == ([expected] if expected else [])


@pytest.mark.parametrize("text", NOT_TIMES)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert found(text) == []


def test_mentions_come_in_the_order_of_the_text() -> None:
    text = "Yesterday we talked about last summer and about 7 May 2023."
    assert [m.text for m in find_times(text, THURSDAY)] == [
        "Yesterday",
        "last summer",
        "7 May 2023",
    ]


def test_limit_keeps_the_first() -> None:
    assert [m.text for m in find_times("today, yesterday, tomorrow", THURSDAY, limit=2)] == [
        "today",
        "yesterday",
    ]
    assert find_times("today", THURSDAY, limit=0) == ()


def test_calendar_days_are_those_of_the_anchors_zone() -> None:
    late = datetime(2023, 5, 25, 23, 30, tzinfo=BERLIN)
    (mention,) = find_times("today", late)
    assert mention.start == datetime(2023, 5, 24, 22, tzinfo=UTC)
    assert mention.end == datetime(2023, 5, 25, 22, tzinfo=UTC)
    assert mention.start.tzinfo is UTC


def test_a_day_of_the_clock_change_has_its_own_length() -> None:
    (mention,) = find_times("yesterday", datetime(2023, 3, 27, 9, tzinfo=BERLIN))
    assert mention.end - mention.start == timedelta(hours=23)


def test_last_friday_said_on_a_friday_is_a_week_ago() -> None:
    friday = datetime(2023, 5, 26, 9, tzinfo=UTC)
    assert found("last Friday", friday) == ["last Friday = 2023-05-19..2023-05-20"]


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_are_survived(year: int) -> None:
    anchor = datetime(year, 1 if year == 1 else 12, 1, tzinfo=UTC)
    text = "9 decades ago, in 999 years, next year, last year, last winter, since last week"
    assert all(m.start < m.end for m in find_times(text, anchor))


def test_a_naive_anchor_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        find_times("today", THURSDAY.replace(tzinfo=None))


@pytest.mark.parametrize("limit", [-1, 1_001])
def test_an_odd_limit_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        find_times("today", THURSDAY, limit=limit)


def test_words_behind_the_scanned_length_are_not_looked_at() -> None:
    assert find_times(" " * MAX_SCANNED + "yesterday", THURSDAY) == ()


@pytest.mark.parametrize(
    "piece",
    [
        "Friday ",
        "1",
        "2 ",
        "the week before ",
        "since the end of the ",
        "2023-05-07 ",
        "two or three weeks ",
        "上周三月前年日",
        "yesterday gestern hier ayer ontem 昨天先週 어제 ",
        " ",
    ],
)
def test_adversarial_text_takes_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begin = time.perf_counter()
    find_times(text, THURSDAY, limit=1_000)
    assert time.perf_counter() - begin < 5


WORDS = st.sampled_from(
    (
        "yesterday|last|next|Friday|May|2023|two|weeks|ago|since|the|week|before|end of|in|3|of"
        "|gestern|vor|letzten|Mai|ayer|hace|días|hier|il y a|mars|ontem|há|昨天|上周|五|三天前|去年"
        "|夏天|先週の|金曜日|3月|から|어제|지난주|3일|전|2025년|99|,|.|/|-|\n|weekend|night|00/00/0000"
    ).split("|")
)
ANCHORS = st.datetimes(
    timezones=st.sampled_from(
        [UTC, BERLIN, ZoneInfo("Asia/Tokyo"), timezone(timedelta(hours=-11, minutes=-30))]
    )
)


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(WORDS, max_size=14).map(" ".join), ANCHORS)
def test_any_text_at_any_time_gives_sound_mentions(text: str, anchor: datetime) -> None:
    mentions = find_times(text, anchor)
    assert mentions == find_times(text, anchor)
    position = 0
    for mention in mentions:
        assert mention.start < mention.end
        assert mention.start.tzinfo is UTC
        assert mention.text.strip() == mention.text != ""
        position = text.index(mention.text, position) + len(mention.text)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=14).map("".join), ANCHORS)
def test_words_without_blanks_do_no_harm(text: str, anchor: datetime) -> None:
    assert all(mention.text in text for mention in find_times(text, anchor))


@settings(deadline=None)
@given(st.dates(date(1900, 1, 1), date(2060, 12, 31)), ANCHORS)
def test_a_written_date_is_that_day_whenever_it_is_said(day: date, anchor: datetime) -> None:
    anchor = anchor.replace(year=2024, month=6, day=1)
    name = day.strftime("%B")
    for text in (day.isoformat(), f"{day.day} {name} {day.year}", f"{name} {day.day}, {day.year}"):
        (mention,) = find_times(text, anchor)
        assert mention.start.astimezone(anchor.tzinfo).date() == day
        assert mention.text == text


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=300))
def test_days_ago_counts_back(count: int) -> None:
    (mention,) = find_times(f"{count} days ago", THURSDAY)
    assert (THURSDAY.date() - mention.start.date()).days == count
