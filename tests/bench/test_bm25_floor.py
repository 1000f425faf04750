"""The floor against the formula written out, and the words it reads."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.bench.bm25_floor import BM25Floor, document_text, floor_words
from mnemos.types import Draft, Header, Text

WORDS = st.lists(st.sampled_from("boat cat dog harbour lisbon red the".split()), max_size=9)


def formula(documents: list[list[str]], question: list[str]) -> list[int]:
    """Rank by the formula of Robertson and Zaragoza, term by term."""
    mean = sum(map(len, documents)) / len(documents) or 1.0
    scores: list[float] = []
    for words in documents:
        score = 0.0
        for term in dict.fromkeys(question):
            holding = sum(term in other for other in documents)
            idf = log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            f = words.count(term)
            score += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * len(words) / mean))
        scores.append(score)
    found = [place for place, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda place: (-scores[place], place))


@given(st.lists(WORDS, min_size=1, max_size=12), WORDS)
def test_ranks_are_those_of_the_formula(documents: list[list[str]], question: list[str]) -> None:
    floor = BM25Floor([" ".join(words) for words in documents])
    assert floor.search(" ".join(question), 50) == formula(documents, question)


def test_top_k_cuts_and_unknown_words_find_nothing() -> None:
    floor = BM25Floor(["red boat", "red cat", "red dog"])
    assert floor.search("red", 2) == [0, 1]
    assert floor.search("submarine", 5) == []


def test_nothing_is_stemmed_or_left_out() -> None:
    assert BM25Floor(["the boats", "a boat"]).search("boat", 5) == [1]
    assert BM25Floor(["the boats", "a boat"]).search("the", 5) == [0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP", ["don", "t", "stop"]),
        ("北京", ["北京"]),
        ("山", ["山"]),
        ("東京タワーtower", ["東京", "京タ", "タワ", "ワー", "tower"]),
        ("부산에서", ["부산", "산에", "에서"]),
        ("7:40 p.m.", ["7", "40", "p", "m"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert floor_words(text) == words


def test_speaker_and_caption_are_read() -> None:
    header = Header(speaker="Ana", caption="a red kayak")
    text = document_text(Draft(payload=Text(text="Look at this."), header=header))
    assert text == "Ana: Look at this. a red kayak"
    assert BM25Floor([text]).search("kayak", 5) == [0]
