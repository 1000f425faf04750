"""What the form of a question says about its answer, whatever its words are about."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LONG = 40
SHORT = 20
"""Characters of one thing in a series, a word for every eight; what is longer is a clause."""

_SEPARATORS = re.compile(r"[,;，；、]")
_SENTENCE_MARKS = re.compile(r"[:：.。?？!！]")
_AND = re.compile(
    r"(?:^|\s)(?:and|or|und|oder|y|o|et|ou|e|и|или|και|ve|dan|và|또는|그리고|أو|और|และ)\s+\S"
    r"|[和及或]|(?:^|\s)و"
)
"""The word before the last of a series, in the languages whose words for times are known."""

_NOW = re.compile(
    r"\b(?:now|current(?:ly)?|nowadays|these days|at (?:the moment|present)|right now|up to date"
    r"|(?:latest|newest|most recent(?:ly)?)"
    r"|jetzt|derzeit(?:ig\w*)?|momentan|gerade|zurzeit|zur zeit|heutzutage|aktuell\w*|neuest\w+"
    r"|ahora|actual(?:es|mente)?|hoy en día|en este momento|más recientes?"
    r"|maintenant|actuel(?:le)?(?:s|ment)?|en ce moment|à présent|de nos jours|plus récente?s?)\b"
    r"|现在|目前|当前|如今|眼下|最新|最近一次|現在|當前"
)
"""Words for how things are at the moment of asking, in English, German, Spanish, French, Chinese."""

_SINCE = re.compile(r"\b(?:now that|jetzt,? (?:da|wo)|ahora que|maintenant que)\b")
"""Words that only name a ground."""


def asks_for_now(text: str) -> bool:
    """Return whether a question asks how things are now, and so for the newest that was said.

    >>> asks_for_now("What is Ana's current address?"), asks_for_now("Where did Ana live in May?")
    (True, False)
    """
    return _NOW.search(_SINCE.sub("", text.lower())) is not None


def names_several(text: str) -> bool:
    """Return whether a question lists three things or more, as "A, B and C".

    Such a question is answered from several places, not from one.

    >>> names_several("Which preference, current state and constraint apply?")
    True
    >>> names_several("On 9 January, 2025, what did Ana and Tom plan?")
    False
    """
    pieces = _SEPARATORS.split(text.lower())
    for place, piece in enumerate(pieces[1:], start=1):
        joined = _AND.search(piece)
        if joined is None:
            continue
        head = piece[: joined.start()]
        if head.strip():  # "A, B and C": B stands alone, or it is the begin of a clause
            several = _is_thing(head, most=SHORT)
        else:  # "A, B, and C"
            several = place > 1 and _is_thing(pieces[place - 1], most=LONG)
        if several:
            return True
    return False


def _is_thing(text: str, most: int) -> bool:
    """Return whether text is short and in words, as one thing of a series is."""
    words = text.split()
    return (
        len(text) <= most
        and len(words) <= most // 8
        and any(map(str.isalpha, text))
        and _SENTENCE_MARKS.search(text) is None
    )


@lru_cache(maxsize=1 << 14)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def script_share(text: str, scripts: frozenset[str]) -> float:
    """Return the share of a text's letters written in one of some scripts; 1 if it has none.

    Scripts have the names with which Unicode begins the names of their letters.

    >>> script_share("Wo ist 北京?", frozenset({"LATIN"}))
    0.7142857142857143
    """
    letters = [char for char in unicodedata.normalize("NFKC", text) if char.isalpha()]
    known = sum(_script(char) in scripts for char in letters)
    return known / len(letters) if letters else 1.0
