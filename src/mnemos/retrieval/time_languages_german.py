"""Words for time in German."""

from __future__ import annotations

from mnemos.retrieval.time_spans import Edge, Offset, Part, Recurs, Unit, Which
from mnemos.retrieval.time_words import Language, cycles, feasts, quantities, spread

_SHORT_MONTHS = "jan feb mär apr jun jul aug sep sept okt nov dez"
_GERMAN_ENDS = ("e", "en", "er", "es", "em")


def _inflected(*stems: str) -> str:
    return " ".join(stem + end for stem in stems for end in _GERMAN_ENDS)


GERMAN = Language(
    code="de",
    names={
        **cycles(
            Recurs.MONTH,
            "januar|jänner|jan februar|feb märz|mär april|apr mai juni|jun juli|jul august|aug"
            " september|sep|sept oktober|okt november|nov dezember|dez",
        ),
        **cycles(
            Recurs.WEEKDAY,
            "montag dienstag mittwoch donnerstag freitag samstag|sonnabend sonntag",
        ),
        **cycles(Recurs.SEASON, "frühling|frühjahr sommer herbst winter"),
        **feasts("weihnachten", "heiligabend", "neujahr", "silvester", "valentinstag", "halloween"),
    },
    capitals=frozenset(_SHORT_MONTHS.split()),
    weak=frozenset(f"{_SHORT_MONTHS} frühling frühjahr sommer herbst winter".split()),
    units=spread(
        {
            Unit.MINUTE: "minute minuten",
            Unit.HOUR: "stunde stunden",
            Unit.DAY: "tag tage tagen tages",
            Unit.WEEK: "woche wochen",
            Unit.WEEKEND: "wochenende wochenenden wochenendes",
            Unit.MONTH: "monat monate monaten monats",
            Unit.YEAR: "jahr jahre jahren jahres",
            Unit.DECADE: "jahrzehnt jahrzehnte jahrzehnten",
        }
    ),
    numbers=quantities(
        "ein|eine|einem|einer|einen|eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        few="ein_paar paar einige einigen wenigen",
        several="mehrere mehreren",
    ),
    when=spread(
        {
            Offset(Unit.DAY, -2): "vorgestern",
            Offset(Unit.DAY, -1): "gestern",
            Offset(Unit.DAY, 0): "heute",
            Offset(Unit.DAY, 1): "morgen",
            Offset(Unit.DAY, 2): "übermorgen",
            Offset(Unit.WEEK, -2): "vorletzte_woche",
            Offset(Unit.YEAR, -2): "vorletztes_jahr",
        }
    ),
    moments=spread(
        {
            (0, Part.MORNING): "heute_morgen heute_früh",
            (0, Part.EVENING): "heute_abend",
            (0, Part.NIGHT): "heute_nacht",
            (-1, Part.NIGHT): "letzte_nacht gestern_nacht",
            (-1, Part.MORNING): "gestern_morgen",
            (1, Part.MORNING): "morgen_früh",
        }
    ),
    parts=spread(
        {
            Part.MORNING: "früh vormittag",
            Part.AFTERNOON: "mittag nachmittag",
            Part.EVENING: "abend",
            Part.NIGHT: "nacht",
        }
    ),
    which=spread(
        {
            Which.LAST: _inflected("letzt", "vergangen", "vorig"),
            Which.THIS: _inflected("dies"),
            Which.COMING: _inflected("kommend"),
            Which.NEXT: _inflected("nächst"),
        }
    ),
    edges=spread(
        {Edge.START: "anfang beginn", Edge.MIDDLE: "mitte", Edge.END: "ende"},
    ),
    nth=spread(
        {
            1: _inflected("erst"),
            2: _inflected("zweit"),
            3: _inflected("dritt"),
            4: _inflected("viert"),
            -1: _inflected("letzt"),
        }
    ),
    to=r"\s?[-\u2013]\s?|\s(?:oder|bis)\s",
    rules=(
        ("ago", r"vor (?:etwa |rund |circa |ca\. )?<qty> <unit>"),
        ("ahead", r"in (?:etwa |rund |circa |ca\. )?<qty> <unit>"),
        ("trailing", r"(?:die |den |der )?(?:letzten|vergangenen) <qty> <unit>"),
        ("leading", r"(?:die |den |der )?(?:nächsten|kommenden) <qty> <unit>"),
        ("shift", r"<which> <unit>"),
        ("this", r"(?:der|die|das|des|dem|den) <unit>"),
        ("weekend", r"(?:am|übers|über das) wochenende"),
        ("choose", r"<which> <name>"),
        ("plain", r"<name>"),
        ("plain", r"<weekday>(?:morgen|vormittag|mittag|nachmittag|abend|nacht)"),
        ("date", r"<d>\.? ?<month>\.?"),
        ("when", r"(?<!guten\s)(?<!am\s)(?<!jeden\s)(?<!diesen\s)<when>"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(
        ("since", r"seit (?:dem |der |den )?"),
        ("before", r"<qty> <unit> vor (?:dem |der )?"),
        ("after", r"<qty> <unit> nach (?:dem |der )?"),
        ("unit before", r"(?:der |die |das )?(?:<unit>|<weekday>) vor (?:dem |der )?"),
        ("unit after", r"(?:der |die |das )?(?:<unit>|<weekday>) nach (?:dem |der )?"),
        ("unit of", r"(?:der |die |das )?<unit> (?:vom|um den|ab dem) "),
        ("third", r"<edge> "),
        ("nth", r"(?:der |die |das |dem )?<nth> (?:<unit>|<weekday>) (?:im|des|in) "),
        ("around", r"(?:um|rund um|gegen) (?:den |die )?"),
    ),
    leads={
        Recurs.MONTH: r"im|in|seit|bis|ab|vom|von|des",
        Recurs.SEASON: r"im|seit|bis|den ganzen",
        None: r"im jahr|im jahre|seit|bis|in|von|anfang|ende|mitte",
    },
    future=r"\b(?:werde|wirst|wird|werden|werdet|nächste[nrsm]?|kommende[nrsm]?|freue mich)\b",
    common=frozenset(
        "der die das und ist nicht ich du wir sie es ein eine mit auf für von zu im den dem habe"
        " hat war bin sich auch haben wie aber nach des am im an als um seit".split()
    ),
)
