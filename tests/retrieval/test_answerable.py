"""Whether hits answer: shares of rare words, worked out by hand, and what nothing is compared with."""

from __future__ import annotations

from math import log1p
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.kernel.tokens import query_terms, term_hash
from mnemos.retrieval import rank as ranking
from mnemos.retrieval.answerable import LOOKED_AT, Judgement, judge
from mnemos.retrieval.rank import Question, rank


def judged(page: Any, text: str, vector: np.ndarray | None = None, top_k: int = 10) -> Judgement:
    terms = {term_hash(word): word for word in query_terms(text)}
    found = rank(page, np.ones(len(page), bool), Question(terms=terms, vector=vector), top_k)
    return judge(found)


def test_one_hit_has_to_hold_the_words_and_rare_ones_weigh_more(make_page: Any, line: Any) -> None:
    texts = ("the boat", "the boat leaks", "a kiln", "rain", "rain again")
    page = make_page([line(text=text) for text in texts])
    boat, leak, kiln = log1p(5 / 3), log1p(5 / 2), log1p(5 / 2)
    together = judged(page, "Does the boat leak?")
    assert together == Judgement(words=1.0)
    apart = judged(page, "boat leak kiln")
    assert apart.words == pytest.approx((boat + leak) / (boat + leak + kiln), abs=1e-4)
    unheard = judged(page, "Does the boat sail?")
    assert unheard.words == pytest.approx(boat / (boat + log1p(5)), abs=1e-4)
    assert unheard.value == unheard.words < together.value


def test_meaning_is_the_nearest_hit(make_page: Any, line: Any) -> None:
    page = make_page(
        [line(text="boat", vector=(1, 0)), line(text="rain", vector=(0.6, 0.8))], dim=2
    )
    found = judged(page, "boat", np.array([0, 1], np.float32))
    assert found == Judgement(words=1.0, meaning=pytest.approx(0.8))
    assert found.value == pytest.approx(0.9)
    turned = judged(page, "boat", np.array([-1, 0], np.float32))
    assert turned.meaning == 0


def test_of_a_large_page_meaning_alone_is_known(
    make_page: Any, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "LARGE_ROWS", 2)
    page = make_page(
        [line(text="boat", vector=(1, 0)), line(text="rain", vector=(0.6, 0.8))], dim=2
    )
    found = judged(page, "glacier", np.array([1, 0], np.float32))
    assert found == Judgement(meaning=1.0)


def test_nothing_found_answers_nothing() -> None:
    assert judge([]).value == 0
    assert judge([]).parts == {}


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from(["boat", "tea", "cat", "rain"]), max_size=4).map(" ".join),
        min_size=1,
        max_size=12,
    ),
    asked=st.lists(st.sampled_from(["boat", "tea", "cat", "glacier"]), min_size=1, max_size=4),
)
def test_it_lies_between_0_and_1_and_only_the_best_count(
    make_page: Any, line: Any, texts: list[str], asked: list[str]
) -> None:
    page = make_page([line(text=text) for text in texts])
    whole = judged(page, " ".join(asked), top_k=12)
    assert 0 <= whole.value <= 1
    assert whole == judged(page, " ".join(asked), top_k=LOOKED_AT)
