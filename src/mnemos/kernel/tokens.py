"""The tokeniser of the lexical index: one, ours, versioned in the vault.

Text is folded (NFKC, case, accents of alphabets that write them as marks), cut into words, and
each word is stemmed by the Snowball algorithm of its script. Scripts written without spaces
(Han, kana, Hangul, Thai, Lao, Khmer, Burmese) become overlapping pairs of characters, so that a
two-character word is found. A term enters the index as a 64-bit hash of its spelling.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Protocol, cast

import Stemmer  # pyright: ignore[reportMissingTypeStubs] - PyStemmer ships none

_SNOWBALL = cast("_Snowball", Stemmer)

VERSION = f"mnemos-1/snowball-{_SNOWBALL.version()}"
"""Recorded in every vault; terms made by another version are rebuilt, never mixed."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7af"  # Hangul
    "\U00020000-\U0003134f"  # Han, supplementary
)
_JOINED_MARKS = "\u0900-\u0963\u0966-\u0dff\u0f18-\u0fbc"
"""Indic scripts and Tibetan write vowels as marks, which are part of the word."""

_WORD = rf"(?:[^\W_{_UNSPACED}]|[{_JOINED_MARKS}])"
_PIECES = re.compile(rf"[{_UNSPACED}]+|{_WORD}+(?:['’]{_WORD}+)*")
_ASCII_PIECES = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
"""What the pieces come to in folded ASCII, where most texts lie."""

_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_STRIPPED_MARKS = re.compile(
    "[\u0300-\u0305\u0307-\u036f"  # accents
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    "\u064b-\u065f\u0670]"  # Arabic vowel signs
    "|(?<!\u0438)\u0306"  # the breve, but for Cyrillic й, a letter of its own
)
_ELISION = re.compile(r"^(?:l|d|c|j|m|n|s|t|qu|dell|all|nell|sull|dall|un)'(?=\w{2})")
"""Articles and pronouns that French and Italian join to a word: they would hide it."""

_ALGORITHMS = (
    ("\u0041", "\u024f", "english"),
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0530", "\u058f", "armenian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
)

STOP_WORDS = frozenset(
    """a about am an and any are as at be been being but by can could did do does doing for from
    had has have having he her hers him his how i if in into is it its me my of on or our ours
    she should so than that the their theirs them then there these they this those to too was we
    were what when where which who whom whose why will with would you your yours
    der die das und ist ein eine von mit zu den dem im
    el la los las un una de y que es en por con se su
    le les des du et est une dans pour""".split()
)
"""Dropped from a question, never from the index; kept when a question has nothing else."""

_local = threading.local()


class _Stemming(Protocol):
    def stemWord(self, word: str, /) -> str: ...


class _Snowball(Protocol):
    def version(self) -> str: ...
    def Stemmer(self, algorithm: str, /) -> _Stemming: ...


def _stemmer(algorithm: str) -> _Stemming:
    """Return this thread's stemmer; PyStemmer objects may not be shared between threads."""
    stemmers: dict[str, _Stemming] = _local.__dict__.setdefault("stemmers", {})
    if algorithm not in stemmers:
        stemmers[algorithm] = _SNOWBALL.Stemmer(algorithm)
    return stemmers[algorithm]


@lru_cache(maxsize=1 << 16)
def _term(word: str) -> str:
    return _stem(_bare(word))


def _stem(word: str) -> str:
    for first, last, algorithm in _ALGORITHMS:
        if first <= word[0] <= last:
            return _stemmer(algorithm).stemWord(word)
    return word


def fold(text: str) -> str:
    """Return text with case, compatibility forms and accents folded away.

    >>> fold("Café ﬁn Straße")
    'cafe fin strasse'
    """
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFKC", text).casefold()
    stripped = _STRIPPED_MARKS.sub("", unicodedata.normalize("NFD", composed))
    return unicodedata.normalize("NFC", stripped)


def words(text: str) -> list[str]:
    """Return the folded words of a text in order, unspaced scripts as character pairs.

    >>> words("Ana's boats, 北京公园")
    ["ana's", 'boats', '北京', '京公', '公园']
    """
    if text.isascii():
        return _ASCII_PIECES.findall(text.lower())
    found: list[str] = []
    for piece in _PIECES.findall(fold(text)):
        if len(piece) > 1 and _IS_UNSPACED.match(piece):
            found.extend(piece[i : i + 2] for i in range(len(piece) - 1))
        else:
            found.append(piece)
    return found


def terms(text: str) -> list[str]:
    """Return the stems of a text in order: what the index holds.

    >>> terms("Ana's boats were painted")
    ['ana', 'boat', 'were', 'paint']
    """
    return list(map(_term, words(text)))


def _bare(word: str) -> str:
    """Return a word without elided article, possessive and apostrophes."""
    if "'" not in word and "’" not in word:
        return word
    plain = word.replace("’", "'")
    return _ELISION.sub("", plain, count=1).removesuffix("'s").replace("'", "")


def query_terms(text: str) -> list[str]:
    """Return the distinct stems worth looking for, in order of appearance.

    >>> query_terms("Where did Ana paint the boat?")
    ['ana', 'paint', 'boat']
    """
    wanted = [word for word in words(text) if word not in STOP_WORDS]
    return list(dict.fromkeys(terms(" ".join(wanted) if wanted else text)))


@lru_cache(maxsize=1 << 17)
def term_hash(term: str) -> int:
    """Return the signed 64-bit number under which a term or name is filed; 0 for none."""
    if not term:
        return 0
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


@lru_cache(maxsize=1 << 16)
def _filed(word: str) -> int:
    return term_hash(_term(word))


def count_terms(text: str) -> Counter[int]:
    """Return how often each term occurs, by hash."""
    return Counter(map(_filed, words(text)))


def name_hash(name: str | None) -> int:
    """Return the hash of a name, folded, so that ``Ana`` and ``ana`` are one."""
    return term_hash(fold(name).strip()) if name else 0


def speaker_hash(name: str | None) -> int:
    """Return the hash of the first word of a name as a question would mention it; 0 for none."""
    first = next(iter(terms(name)), "") if name else ""
    return term_hash(first)
