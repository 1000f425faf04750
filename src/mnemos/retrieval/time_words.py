"""Shape of a language table for time expressions, English, and dates written in numbers.

A table holds words and patterns; :mod:`mnemos.retrieval.time_expressions` gives both their
meaning. In a pattern ``<slot>`` stands for any word of that slot's table, a blank for the gap
between words, and the rest is an ordinary regular expression. Every repetition is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mnemos.retrieval.time_spans import Cycle, Edge, Offset, Part, Recurs, Unit, Which

Rules = tuple[tuple[str, str], ...]
Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many: exactly one number, or from ``low`` to ``high`` for "a few"."""

    low: int
    high: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """The words and patterns of one language.

    Parameters
    ----------
    code : str
        BCP 47 tag.
    names : mapping
        Weekdays, months, seasons and fixed holidays.
    weak : frozenset of str
        Names that are ordinary words too: they count only next to a number, a year or a lead.
    capitals : frozenset of str
        Names that count only when written with a capital.
    ordinary : frozenset of str
        Month names that, in lower case, need more than a number beside them ("march 5 miles").
    units, numbers, when, moments, parts, which, edges, nth : mapping
        Words of the slots of the same name (``number`` fills ``<qty>``).
    rules : tuple of (str, str)
        Name of the meaning and pattern of each expression.
    before, behind : tuple of (str, str)
        The same for what stands before or behind an expression and changes it ("since").
    leads : mapping
        Pattern of the words that make a weak name of this kind a time ("in").
    future : str
        Pattern of the words that turn a bare name to the future.
    to : str
        Pattern between two numbers of a range ("two or three").
    common : frozenset of str
        Frequent words by which a text in this language is told from the others.
    script : str
        Pattern a text must contain, for languages told by their script.
    gap : str
        What a blank in a pattern stands for.
    edge_left, edge_right : str
        What must surround an expression.
    """

    code: str
    rules: Rules
    names: Mapping[str, Cycle] = field(default_factory=dict[str, Cycle])
    weak: frozenset[str] = frozenset()
    capitals: frozenset[str] = frozenset()
    ordinary: frozenset[str] = frozenset()
    units: Mapping[str, Unit] = field(default_factory=dict[str, Unit])
    numbers: Mapping[str, Quantity] = field(default_factory=dict[str, Quantity])
    when: Mapping[str, Offset] = field(default_factory=dict[str, Offset])
    moments: Mapping[str, tuple[int, Part]] = field(default_factory=dict[str, tuple[int, Part]])
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])
    which: Mapping[str, Which] = field(default_factory=dict[str, Which])
    edges: Mapping[str, Edge] = field(default_factory=dict[str, Edge])
    nth: Mapping[str, int] = field(default_factory=dict[str, int])
    before: Rules = ()
    behind: Rules = ()
    leads: Mapping[Recurs | None, str] = field(default_factory=dict[Recurs | None, str])
    future: str = r"(?!)"
    to: str = r"[-\u2013]"
    common: frozenset[str] = frozenset()
    script: str = ""
    gap: str = r"\s{1,3}"
    edge_left: str = r"(?<!\w)"
    edge_right: str = r"(?!\w)"


def spread(meanings: Mapping[Meaning, str]) -> dict[str, Meaning]:
    """Turn ``{meaning: "word other_word"}`` round; ``_`` stands for a blank within a word.

    Examples
    --------
    >>> spread({1: "one", 2: "two a_pair"})
    {'one': 1, 'two': 2, 'a pair': 2}
    """
    return {
        word.replace("_", " ").casefold(): meaning
        for meaning, words in meanings.items()
        for word in words.split()
    }


def cycles(kind: Recurs, words: str) -> dict[str, Cycle]:
    """Count the names of ``words`` from 0, months from 1; ``|`` parts spellings of one name.

    Examples
    --------
    >>> sorted(cycles(Recurs.WEEKDAY, "monday|mon tuesday|tue"))
    ['mon', 'monday', 'tue', 'tuesday']
    """
    first = 1 if kind is Recurs.MONTH else 0
    return spread(
        {
            Cycle(kind, first + n): spellings.replace("|", " ")
            for n, spellings in enumerate(words.split())
        }
    )


def feasts(
    christmas: str, eve: str, new_year: str, last_day: str, valentine: str, halloween: str
) -> dict[str, Cycle]:
    """Name the fixed holidays."""
    return spread(
        {
            Cycle(Recurs.DATE, 12, 25): christmas,
            Cycle(Recurs.DATE, 12, 24): eve,
            Cycle(Recurs.DATE, 1, 1): new_year,
            Cycle(Recurs.DATE, 12, 31): last_day,
            Cycle(Recurs.DATE, 2, 14): valentine,
            Cycle(Recurs.DATE, 10, 31): halloween,
        }
    )


def quantities(
    words: str, few: str = "", couple: str = "", several: str = ""
) -> dict[str, Quantity]:
    """Count the words of ``words`` from 1; a few is 2 to 5, a couple 2 to 3, several 3 to 7."""
    exact = {Quantity(n, n): w.replace("|", " ") for n, w in enumerate(words.split(), start=1)}
    vague = {Quantity(2, 5): few, Quantity(2, 3): couple, Quantity(3, 7): several}
    return spread({**exact, **vague})


_COUNTED = r"(?!\s{1,3}(?-i:(?!(?:was|is|as|has|its|this|does)\b)[a-z]{2,15}s|people|km|kg)\b)"

_CLOCK = r"(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"

NUMERIC = Language(
    code="und",
    edge_left=r"(?<![\w$€£#])(?<!\d[.,:/-])",
    edge_right=r"(?!\w|[.,:/-]\d|\s?[%€$£])",
    rules=(
        ("numeric", rf"<y>(?P<sep>[-/.])<m>(?P=sep)<d>{_CLOCK}"),
        ("slashed", r"<a>/<b>/(?:<y>|<yy>)"),
        ("numeric", r"<d>\.\s?<m>\.\s?<y>"),
        ("numeric", r"<y>-(?P<m>0[1-9]|1[0-2])"),
        ("year", rf"<y>{_COUNTED}"),
        ("counted", r"<y>"),
    ),
)
"""Dates in numbers, in any language."""

_BEFORE_NAME = r"in|since|until|till|by|during|from|through|around|before|after"

ENGLISH = Language(
    code="en",
    names={
        **cycles(
            Recurs.MONTH,
            "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug"
            " september|sep|sept october|oct november|nov december|dec",
        ),
        **cycles(
            Recurs.WEEKDAY,
            "monday|mon tuesday|tue|tues wednesday|wed thursday|thu|thur|thurs friday|fri"
            " saturday|sat sunday|sun",
        ),
        **cycles(Recurs.SEASON, "spring|springtime summer|summertime autumn|fall winter"),
        **feasts(
            "christmas christmas_day",
            "christmas_eve",
            "new_year's_day new_years_day",
            "new_year's_eve new_years_eve",
            "valentine's_day valentines_day",
            "halloween",
        ),
    },
    capitals=frozenset(
        "mon tue tues wed thu thur thurs fri sat sun jan feb mar apr jun jul aug sep sept oct"
        " nov dec".split()
    ),
    ordinary=frozenset({"may", "march"}),
    weak=frozenset(
        "mon tue tues wed thu thur thurs fri sat sun jan feb mar apr jun jul aug sep sept oct"
        " nov dec march april may june august spring summer autumn fall winter springtime"
        " summertime".split()
    ),
    units=spread(
        {
            Unit.MINUTE: "minute minutes",
            Unit.HOUR: "hour hours",
            Unit.DAY: "day days",
            Unit.WEEK: "week weeks",
            Unit.WEEKEND: "weekend weekends",
            Unit.MONTH: "month months",
            Unit.YEAR: "year years",
            Unit.DECADE: "decade decades",
        }
    ),
    numbers=quantities(
        "one|a|an two three four five six seven eight nine ten eleven twelve",
        few="a_few few some",
        couple="a_couple_of a_couple couple_of couple",
        several="several",
    ),
    when=spread(
        {
            Offset(Unit.DAY, 0): "today",
            Offset(Unit.DAY, -1): "yesterday",
            Offset(Unit.DAY, 1): "tomorrow",
            Offset(Unit.DAY, -2): "the_day_before_yesterday day_before_yesterday",
            Offset(Unit.DAY, 2): "the_day_after_tomorrow day_after_tomorrow",
        }
    ),
    moments=spread(
        {
            (0, Part.NIGHT): "tonight",
            (-1, Part.NIGHT): "last_night",
            (0, Part.MORNING): "this_morning",
            (0, Part.AFTERNOON): "this_afternoon",
            (0, Part.EVENING): "this_evening",
        }
    ),
    parts=spread({p: p.value for p in Part}),
    which=spread(
        {
            Which.LAST: "last past previous this_past",
            Which.THIS: "this current",
            Which.COMING: "coming upcoming this_coming this_upcoming",
            Which.NEXT: "next",
        }
    ),
    edges=spread(
        {
            Edge.START: "beginning_of start_of early_in early early_part_of",
            Edge.MIDDLE: "middle_of mid mid- in_the_middle_of",
            Edge.END: "end_of late late_in tail_end_of",
        }
    ),
    nth=spread({1: "first 1st", 2: "second 2nd", 3: "third 3rd", 4: "fourth 4th", -1: "last"}),
    to=r"\s?[-\u2013]\s?|\s(?:or|to)\s",
    rules=(
        ("ago", r"(?<!half\s)<qty> <unit>(?: or so)? (?:ago|back)"),
        ("ahead", r"in (?:about |another )?<qty> <unit>(?:['\u2019]? time)?(?! of\b)"),
        ("ahead", r"<qty> <unit> from (?:now|today)"),
        ("trailing", r"(?:the |these )?(?:past|last) <qty> <unit>"),
        ("trailing", r"(?:for|over|in|during|within|throughout) the (?:past|last) <unit>"),
        ("trailing", r"the past <unit>"),
        ("leading", r"(?:the )?(?:next|coming) <qty> <unit>"),
        ("shift", r"<which> <unit>(?! of\b)"),
        ("this", r"the <unit>"),
        ("weekend", r"(?:over|on|at|during|for) the weekend"),
        ("last but one", r"the <unit> before last"),
        ("next but one", r"the <unit> after next"),
        ("choose", r"<which> <name>"),
        ("plain", r"<name>"),
        ("date", r"(?:the )?<d>(?P<nth>st|nd|rd|th)? (?:of )?<month>\.?"),
        ("date", r"<month>\.? (?:the )?<d>(?P<nth>st|nd|rd|th)?(?!:\d|[.,]\d|%)"),
        ("numeric", r"(?P<month>jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.,? <y>"),
        ("when", r"<when>"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(
        ("since", r"since (?:about |around )?(?:the )?"),
        ("before", r"<qty> <unit> (?:before|prior to) (?:the )?"),
        ("after", r"<qty> <unit> after (?:the )?"),
        ("unit before", r"(?:the )?(?:<unit>|<weekday>) (?:before|prior to|preceding) (?:the )?"),
        ("unit after", r"(?:the )?(?:<unit>|<weekday>) (?:after|following) (?:the )?"),
        ("unit of", r"(?:the )?<unit> of (?:the )?"),
        ("third", r"(?:the )?<edge>(?:(?<=-)| )(?:the )?"),
        ("nth", r"(?:the )?<nth> (?:<unit>|<weekday>) (?:of|in) (?:the )?"),
        ("around", r"(?:around|circa) (?:the )?"),
    ),
    leads={
        Recurs.MONTH: rf"(?:{_BEFORE_NAME}|of|to|early|mid|late)",
        Recurs.DATE: r"(?:on|by|since|until|till|before|after|around|from)",
        Recurs.WEEKDAY: r"(?:on|by|since|until|till|before|after|from)",
        Recurs.SEASON: rf"(?:{_BEFORE_NAME}|over|throughout|of)(?: the| early| late)?",
        None: rf"(?:{_BEFORE_NAME}|of|year|early|late|mid)",
    },
    future=(
        r"\b(?:will|won['\u2019]t|going to|gonna|shall|next|upcoming|looking forward"
        r"|plan(?:s|ning)? to|can['\u2019]t wait)\b|['\u2019]ll\b"
    ),
    common=frozenset(
        "the and of to is was i my you it that with for we he she they have at are be had did"
        " will his her our this me so but not just in on at by from a an were would about".split()
    ),
)
