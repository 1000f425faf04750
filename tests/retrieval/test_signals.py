"""Signals: every array formula against a loop that says the same in the plainest words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.kernel.tokens import term_hash, terms
from mnemos.retrieval import signals

WORDS = ["boat", "tea", "cat", "rain", "piano"]
sessions = st.lists(st.integers(0, 3), max_size=30).map(
    lambda steps: np.cumsum(np.array([min(step, 1) for step in steps], np.int64))
)
texts = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=20
)


def everything(page: Any) -> np.ndarray:
    return np.ones(len(page), bool)


# --- BM25 ------------------------------------------------------------------------------------


def reference_bm25(documents: list[list[str]], query: list[str]) -> list[float]:
    """BM25 as Robertson and Zaragoza write it, one document and one term at a time."""
    n = len(documents)
    mean = sum(map(len, documents)) / n
    scores: list[float] = []
    for document in documents:
        score = 0.0
        for word in query:
            holding = sum(word in other for other in documents)
            rarity = math.log(1 + (n - holding + 0.5) / (holding + 0.5))
            often = document.count(word)
            norm = signals.K1 * (1 - signals.B + signals.B * len(document) / max(mean, 1e-9))
            score += rarity * often * (signals.K1 + 1) / (often + norm) if often else 0.0
        scores.append(score)
    return scores


@settings(deadline=None)
@given(texts=texts, query=st.lists(st.sampled_from([*WORDS, "zebra"]), min_size=1, unique=True))
def test_bm25_is_what_the_book_says(
    make_page: Callable[..., Any], line: Any, texts: list[str], query: list[str]
) -> None:
    page = make_page([line(text=text) for text in texts])
    rows = signals.arrange(page, everything(page))
    counts = signals.term_counts(rows, [term_hash(terms(word)[0]) for word in query])
    stems = [terms(word)[0] for word in query]
    expected = reference_bm25([terms(text) for text in texts], stems)
    by_row = signals.bm25(counts, rows.length)
    found = np.empty(len(texts))
    found[rows.positions] = by_row
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_bm25_of_nothing_is_nothing() -> None:
    for shape in ((0, 0), (2, 0), (0, 3)):
        scores = signals.bm25(np.zeros(shape, np.float32), np.zeros(shape[1], np.float32))
        assert scores.tolist() == [0.0] * shape[1]
    empty = signals.bm25(np.zeros((1, 3), np.float32), np.zeros(3, np.float32))
    assert empty.tolist() == [0, 0, 0], "documents without a word"


def test_a_word_every_document_holds_still_counts() -> None:
    counts = np.array([[1, 1, 2]], np.float32)
    scores = signals.bm25(counts, np.array([3, 3, 3], np.float32))
    assert scores[0] == scores[1] > 0
    assert scores[2] > scores[0]


# --- order, windows and sessions -------------------------------------------------------------


@given(session=sessions, reach=st.integers(0, 4), data=st.data())
def test_a_window_is_the_neighbours_of_the_same_session(
    session: np.ndarray, reach: int, data: st.DataObject
) -> None:
    n = len(session)
    flat = data.draw(st.lists(st.integers(-9, 9), min_size=2 * n, max_size=2 * n))
    values = np.array(flat, np.float32).reshape(2, n)
    found = signals.window_sum(values, session, reach)
    for row in range(n):
        near = [
            other
            for other in range(max(0, row - reach), min(n, row + reach + 1))
            if session[other] == session[row]
        ]
        assert found[:, row].tolist() == values[:, near].sum(axis=1).tolist()
    one = signals.window_sum(values[0], session, reach)
    assert one.tolist() == found[0].tolist()


@given(session=sessions, data=st.data())
def test_a_session_sum_is_the_sum_of_its_rows(session: np.ndarray, data: st.DataObject) -> None:
    n = len(session)
    session = session - (session[0] if n else 0)
    values = np.array(data.draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n)), np.float32)
    found = signals.session_sum(values, session)
    assert found.tolist() == [values[session == s].sum() for s in sorted(set(session.tolist()))]
    assert signals.session_sum(values[None], session).tolist() == [found.tolist()]


def test_a_window_does_not_reach_into_another_session(
    make_page: Callable[..., Any], line: Any
) -> None:
    page = make_page(
        [
            line(text="boat", session="b", at=3),
            line(text="tea", session="a", at=1),
            line(text="tea", session="b", at=2),
            line(text="cat", session="a", at=9),
        ]
    )
    rows = signals.arrange(page, everything(page))
    in_order = [(int(page.column("session")[p]), int(page.column("at")[p])) for p in rows.positions]
    assert in_order == sorted(in_order), "sessions together, each in order of time"
    assert rows.session.tolist() == [0, 0, 1, 1]
    sums = signals.window_sum(np.ones(4, np.float32), rows.session)
    assert sums.tolist() == [2, 2, 2, 2]


def test_rows_without_a_session_have_one_each(make_page: Callable[..., Any], line: Any) -> None:
    page = make_page([line(text="boat", at=n, session=("s" if n > 2 else None)) for n in range(5)])
    rows = signals.arrange(page, everything(page))
    assert len(set(rows.session.tolist())) == 4
    assert np.all(np.diff(rows.session) >= 0)
    assert rows.session[0] == 0
    sums = signals.window_sum(np.ones(5, np.float32), rows.session)
    assert sorted(sums.tolist()) == [1, 1, 1, 2, 2]


def test_rows_of_one_moment_keep_the_order_of_writing(
    make_page: Callable[..., Any], line: Any
) -> None:
    page = make_page([line(text="boat", session="s", at=7) for _ in range(6)])
    assert signals.arrange(page, everything(page)).positions.tolist() == [0, 1, 2, 3, 4, 5]


@given(
    hidden=st.sets(st.integers(0, 9)),
    session=st.lists(st.sampled_from(["a", "b", None]), min_size=10, max_size=10),
    at=st.lists(st.integers(0, 3), min_size=10, max_size=10),
)
def test_hidden_rows_are_nobodys_neighbours(
    make_page: Callable[..., Any],
    line: Any,
    hidden: set[int],
    session: list[str | None],
    at: list[int],
) -> None:
    lines = [line(text=f"w{n}", session=session[n], at=at[n]) for n in range(10)]
    page = make_page(lines)
    mask = np.array([n not in hidden for n in range(10)])
    kept = [n for n in range(10) if n not in hidden]
    alone = make_page([lines[n] for n in kept])
    masked, bare = signals.arrange(page, mask), signals.arrange(alone, everything(alone))
    assert masked.positions.tolist() == [kept[place] for place in bare.positions]
    assert masked.session.tolist() == bare.session.tolist()
    assert masked.length.tolist() == bare.length.tolist()


# --- counts, meaning, speaker, time ----------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 100])
def test_counts_are_found_in_every_block(
    make_page: Callable[..., Any], line: Any, block: int
) -> None:
    page = make_page([line(text="boat " * n + "tea") for n in range(5)], block=block)
    mask = np.array([True, True, False, True, True])
    rows = signals.arrange(page, mask)
    counts = signals.term_counts(rows, [term_hash("boat"), term_hash("zebra"), term_hash("tea")])
    assert counts[0].tolist() == [int(position) for position in rows.positions]
    assert counts[1].tolist() == [0] * 4
    assert counts[2].tolist() == [1] * 4
    assert signals.term_counts(rows, []).shape == (0, 4)


def test_meaning_is_the_cosine(make_page: Callable[..., Any], line: Any) -> None:
    page = make_page(
        [line(vector=[1, 0]), line(), line(vector=[0.6, 0.8]), line(vector=[0, -1])], dim=2
    )
    rows = signals.arrange(page, np.array([True, True, True, False]))
    found = signals.meaning(rows, np.array([0, 1], np.float32))
    assert found is not None
    assert found.tolist() == pytest.approx([0, 0, 0.8])


def test_without_vectors_there_is_no_meaning(make_page: Callable[..., Any], line: Any) -> None:
    query = np.array([0, 1], np.float32)
    for page in (make_page([line(text="x")]), make_page([line(text="x")], dim=3)):
        assert signals.meaning(signals.arrange(page, everything(page)), query) is None


def test_a_speaker_is_known_by_the_first_name(make_page: Callable[..., Any], line: Any) -> None:
    page = make_page([line(speaker="Ana Maria"), line(speaker="Bob"), line(), line(speaker="ANA")])
    rows = signals.arrange(page, everything(page))
    assert signals.speaker_match(rows, [term_hash("ana")]).tolist() == [True, False, False, True]
    assert signals.speaker_match(rows, []).tolist() == [False] * 4
    assert signals.speaker_match(rows, [0]).tolist() == [False] * 4, "nobody is not a name"


def test_a_span_of_time_is_half_open(make_page: Callable[..., Any], line: Any) -> None:
    page = make_page([line(at=at) for at in (0, 5, 9, 10, 20)])
    rows = signals.arrange(page, everything(page))
    assert signals.within(rows, [(5, 10)]).tolist() == [False, True, True, False, False]
    assert signals.within(rows, [(0, 1), (20, 21)]).tolist() == [True, False, False, False, True]
    assert not signals.within(rows, []).any()
    assert not signals.within(rows, [(10, 5)]).any()


def test_an_empty_page_has_no_rows(make_page: Callable[..., Any], line: Any) -> None:
    for page, mask in (
        (make_page([]), np.ones(0, bool)),
        (make_page([line(text="x")]), np.zeros(1, bool)),
    ):
        rows = signals.arrange(page, mask)
        assert len(rows) == 0
        assert signals.term_counts(rows, [1]).shape == (1, 0)
        assert signals.window_sum(rows.length, rows.session).tolist() == []
        assert signals.session_sum(rows.length, rows.session).tolist() == []
