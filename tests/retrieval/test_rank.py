"""The ranker: fusion against a loop, hidden rows that leave no trace, ties, and large pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.kernel.tokens import query_terms, term_hash
from mnemos.retrieval import rank as ranking
from mnemos.retrieval import redundancy, signals
from mnemos.retrieval.rank import Question, rank

DIM = 32  # random vectors in so many dimensions never say the same
WORDS = ["boat", "tea", "cat", "rain", "piano", "Ana"]


def unit(seed: int, dim: int = DIM) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return found / np.linalg.norm(found)


def ask(text: str, *, seed: int | None = 99, dim: int = DIM, spans: Any = ()) -> Question:
    vector = None if seed is None else unit(seed, dim)
    return Question(
        terms={term_hash(word): word for word in query_terms(text)}, vector=vector, spans=spans
    )


def everything(page: Any) -> np.ndarray:
    return np.ones(len(page), bool)


def conversation(line: Any, count: int, seed: int, dim: int = DIM) -> list[Any]:
    random = np.random.default_rng(seed)
    return [
        line(
            text=" ".join(random.choice(WORDS, size=random.integers(0, 6))),
            session=random.choice(["s1", "s2", "s3", None]),
            speaker=random.choice(["Ana", "Bob", None]),
            at=int(random.integers(0, 50)),
            vector=None if random.random() < 0.1 else unit(int(random.integers(1 << 30)), dim),
        )
        for _ in range(count)
    ]


@contextmanager
def depth(rows: int) -> Iterator[None]:
    """Take only so many rows from each list."""
    before, ranking.DEPTH = ranking.DEPTH, rows
    try:
        yield
    finally:
        ranking.DEPTH = before


def plain(page: Any, mask: np.ndarray, question: Question) -> dict[int, float]:
    """Return every visible row's score by loops over sorted lists."""
    rows = signals.arrange(page, mask)
    total = dict.fromkeys(range(len(rows)), 0.0)
    for scores in ranking.score_lists(rows, question)[1].values():
        told = [row for row in total if np.isfinite(scores[row])]
        best = sorted(told, key=lambda row: (-scores[row], row))
        for place, row in enumerate(best, start=1):
            total[row] += 1 / (ranking.CONSTANT + place)
    named = {term_hash(word) for word in question.terms.values()}
    for row, position in enumerate(rows.positions):
        speaker, at = page.column("speaker")[position], page.column("at")[position]
        total[row] *= (
            1
            + (speaker != 0 and int(speaker) in named)
            + any(start <= at < stop for start, stop in question.spans)
        )
    return {int(rows.positions[row]): score for row, score in total.items()}


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    seed=st.integers(0, 1 << 20),
    text=st.lists(st.sampled_from([*WORDS, "zebra"]), max_size=3).map(" ".join),
    embedded=st.booleans(),
    spans=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=2),
    hidden=st.integers(0, 100),
)
def test_fusion_is_the_sum_of_reciprocal_ranks(
    make_page: Callable[..., Any],
    line: Any,
    count: int,
    seed: int,
    text: str,
    embedded: bool,
    spans: Any,
    hidden: int,
) -> None:
    page = make_page(conversation(line, count, seed), dim=DIM)
    mask = np.random.default_rng(seed).random(count) * 100 >= hidden
    question = ask(text, seed=5 if embedded else None, spans=tuple(spans))
    expected = plain(page, mask, question)
    found = rank(page, mask, question, count)
    assert {item.position for item in found} == {row for row, score in expected.items() if score}
    for item in found:
        assert item.score == pytest.approx(expected[item.position])
        assert sum(reason.share for reason in item.why) == pytest.approx(1)
        assert {reason.signal for reason in item.why} <= ranking.DESCRIPTIONS.keys()
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert rank(page, mask, question, 3) == found[:3]


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    later=st.integers(1, 40),
    seed=st.integers(0, 1 << 20),
    block=st.integers(1, 20),
    embedded=st.booleans(),
)
def test_rows_written_later_leave_no_trace_in_the_past(
    make_page: Callable[..., Any],
    line: Any,
    count: int,
    later: int,
    seed: int,
    block: int,
    embedded: bool,
) -> None:
    lines = conversation(line, count + later, seed)
    past = make_page(lines[:count], dim=DIM, block=block)
    now = make_page(lines, dim=DIM, block=block)
    question = ask("boat Ana piano", seed=3 if embedded else None, spans=((10, 30),))
    mask = np.arange(count + later) < count
    assert _same(
        rank(now, mask, question, count), rank(past, everything(past), question, count), embedded
    )


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 20), hidden=st.sets(st.integers(0, 29)))
def test_hidden_rows_leave_no_trace_in_the_rest(
    make_page: Callable[..., Any], line: Any, seed: int, hidden: set[int]
) -> None:
    lines = conversation(line, 30, seed)
    kept = [n for n in range(30) if n not in hidden]
    alone = make_page([lines[n] for n in kept])
    page = make_page(lines)
    mask = np.array([n not in hidden for n in range(30)])
    question = ask("boat Ana piano", seed=None)
    masked = rank(page, mask, question, 30)
    bare = rank(alone, everything(alone), question, 30)
    assert [(item.position, item.score, item.why) for item in masked] == [
        (kept[item.position], item.score, item.why) for item in bare
    ]


def _same(one: list[Any], other: list[Any], embedded: bool) -> bool:
    """Compare two rankings: exactly, but for the last bit of a cosine's shown value."""
    places = [(item.position, item.score) for item in one]
    assert places == [(item.position, item.score) for item in other]
    for left, right in zip(one, other, strict=True):
        assert [(why.signal, why.rank, why.share, why.detail) for why in left.why] == [
            (why.signal, why.rank, why.share, why.detail) for why in right.why
        ]
        values = [why.value for why in left.why]
        assert values == pytest.approx([why.value for why in right.why], abs=2e-4 * embedded)
    return True


# --- ties ------------------------------------------------------------------------------------


def test_ties_go_to_the_earlier_row(make_page: Callable[..., Any], line: Any) -> None:
    page = make_page([line(text="boat", at=n) for n in range(6)])
    found = rank(page, everything(page), ask("boat", seed=None), 6)
    ranks = [next(why.rank for why in item.why if why.signal == "words") for item in found]
    assert [item.position for item in found] == ranks_less_one(ranks) == [0, 1, 2, 3, 4, 5]


def ranks_less_one(ranks: list[int]) -> list[int]:
    return [rank - 1 for rank in ranks]


def test_equal_scores_rank_in_order() -> None:
    scores = np.array([1, 3, -np.inf, 3, 1, 2], np.float32)
    assert ranking._ranks(scores).tolist() == [4, 1, 0, 2, 5, 3]


@settings(max_examples=100)
@given(
    scores=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    most=st.integers(1, 30),
)
def test_ties_at_the_end_of_a_list_go_to_the_earlier_row_too(scores: list[int], most: int) -> None:
    with depth(most):
        cut = ranking._ranks(np.array(scores, np.float32))
    best = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:most]
    assert {row: int(rank) for row, rank in enumerate(cut) if rank} == {
        row: place for place, row in enumerate(best, start=1)
    }


# --- nothing to go by ------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is(make_page: Callable[..., Any], line: Any) -> None:
    empty = make_page([], dim=DIM)
    assert rank(empty, everything(empty), ask("boat"), 5) == []
    page = make_page([line(text="boat", vector=unit(1))], dim=DIM)
    assert rank(page, np.zeros(1, bool), ask("boat"), 5) == []
    assert rank(page, everything(page), Question(terms={}), 5) == []
    assert rank(page, everything(page), ask("zebra", seed=None), 5) == []
    assert len(rank(page, everything(page), ask("", seed=1), 5)) == 1


def test_words_alone_and_meaning_alone(make_page: Callable[..., Any], line: Any) -> None:
    lines = [line(text=word, session="s", vector=unit(n)) for n, word in enumerate(WORDS)]
    bare, full = make_page(lines), make_page(lines, dim=DIM)
    found = rank(bare, everything(bare), ask("tea", seed=1), 5)[0]
    assert found.position == 1
    assert {why.signal for why in found.why} == {"words", "window-words", "session-words"}
    found = rank(full, everything(full), ask("", seed=1), 5)
    assert found[0].position == 1
    assert {why.signal for item in found for why in item.why} == {"meaning", "window-meaning"}


def test_where_no_row_has_company_there_are_two_lists(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [line(text=word, vector=unit(n)) for n, word in enumerate(WORDS)]
    page = make_page(lines, dim=DIM)
    found = rank(page, everything(page), ask("tea", seed=1), 5)
    assert {why.signal for item in found for why in item.why} == {"words", "meaning"}


def test_a_row_without_a_vector_is_found_by_its_words(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [line(text="tea"), *(line(text="rain", vector=unit(n)) for n in range(5))]
    page = make_page(lines, dim=DIM)
    found = rank(page, everything(page), ask("tea", seed=None), 6)
    assert [item.position for item in found] == [0]
    zeros = make_page([line(text="tea"), line(text="rain")], dim=DIM)
    assert [item.position for item in rank(zeros, everything(zeros), ask("tea"), 1)] == [0]


def test_a_named_speaker_counts_twice_and_a_named_time_too(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [line(text="tea", speaker=name, at=n) for n, name in enumerate(["Bob", "Ana"])]
    page = make_page(lines)
    found = rank(page, everything(page), ask("Ana tea", seed=None), 2)
    assert [item.position for item in found] == [1, 0]
    assert "speaker" in {why.signal for why in found[0].why}
    found = rank(page, everything(page), ask("tea", seed=None, spans=((0, 1),)), 2)
    assert [item.position for item in found] == [0, 1]
    assert "time" in {why.signal for why in found[0].why}
    assert "time" not in {why.signal for why in found[1].why}


# --- large pages -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 20), most=st.integers(5, 60))
def test_a_cut_list_moves_a_row_by_no_more_than_the_cut(
    make_page: Callable[..., Any], line: Any, seed: int, most: int
) -> None:
    """Beyond the depth a list adds less than 1 / (constant + depth): who leads by more stays."""
    page = make_page(conversation(line, 80, seed), dim=DIM, block=30)
    question = ask("boat Ana piano", spans=((10, 30),))
    full = {item.position: item.score for item in rank(page, everything(page), question, 80)}
    with depth(most):
        cut = {item.position: item.score for item in rank(page, everything(page), question, 80)}
    slack = 3 * 5 / (ranking.CONSTANT + most + 1)
    for row, score in full.items():
        assert score - slack - 1e-9 <= cut.get(row, 0.0) <= score + 1e-9
    order = list(cut)
    for better, worse in zip(list(full)[:10], list(full)[1:11], strict=False):
        if full[better] - full[worse] > slack:
            assert order.index(better) < (order.index(worse) if worse in cut else len(order))


def test_a_page_just_beyond_the_depth_ranks_its_best_alike(
    make_page: Callable[..., Any], line: Any
) -> None:
    page = make_page(conversation(line, 300, 7), dim=DIM, block=100)
    question = ask("boat Ana")
    full = rank(page, everything(page), question, 10)
    with depth(299):
        assert [item.position for item in rank(page, everything(page), question, 10)] == [
            item.position for item in full
        ]


# --- coverage before redundancy --------------------------------------------------------------


def test_what_says_the_same_as_a_better_hit_is_put_back(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [
        line(text="boat boat", vector=unit(1)),
        line(text="boat boat", vector=unit(1)),
        line(text="boat rain", vector=unit(2)),
    ]
    page = make_page(lines, dim=DIM)
    found = rank(page, everything(page), ask("boat", seed=1), 3)
    assert [item.position for item in found] == [0, 2, 1]
    (reason,) = [why for why in found[2].why if why.signal == "repeat"]
    assert (reason.value, reason.share) == (redundancy.REPEATED, 0.0)
    assert sum(why.share for why in found[2].why) == pytest.approx(1)
    assert not any(why.signal == "repeat" for item in found[:2] for why in item.why)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 20), copies=st.integers(0, 30))
def test_repeats_are_found_as_by_a_loop_and_only_lower(
    make_page: Callable[..., Any], line: Any, seed: int, copies: int
) -> None:
    random = np.random.default_rng(seed)
    lines = conversation(line, 30, seed)
    lines += [lines[int(random.integers(30))] for _ in range(copies)]
    page = make_page(lines, dim=DIM)
    question = ask("boat Ana piano")
    before = plain(page, everything(page), question)
    best = sorted(
        before, key=lambda row: (-before[row], page.conversation_order().tolist().index(row))
    )
    matrix, words = page.vectors, [set(query_terms(each.text)) for each in lines]
    asked = {word for word in question.terms.values()}

    def says_the_same(row: int, better: int) -> bool:
        near = float(matrix[row] @ matrix[better]) >= redundancy.SAME - 1e-6
        return near and words[row] & asked <= words[better] & asked

    again = {
        row
        for place, row in enumerate(best)
        if any(says_the_same(row, better) for better in best[:place])
    }
    for item in rank(page, everything(page), question, len(lines)):
        part = redundancy.REPEATED if item.position in again else 1.0
        assert item.score == pytest.approx(before[item.position] * part)
        assert any(why.signal == "repeat" for why in item.why) == (item.position in again)


def test_what_holds_another_word_of_the_question_is_no_repeat(
    make_page: Callable[..., Any], line: Any
) -> None:
    """Two readings of one gauge are all but one vector, and the question names one of them."""
    lines = [
        line(text="gauge gauge 71", vector=unit(1)),
        line(text="gauge 72", vector=unit(1)),
        line(text="rain", vector=unit(2)),
    ]
    page = make_page(lines, dim=DIM)
    found = rank(page, everything(page), ask("gauge 72", seed=1), 3)
    assert {item.position for item in found[:2]} == {0, 1}
    assert "repeat" not in {why.signal for why in next(i for i in found if i.position == 1).why}
    found = rank(page, everything(page), ask("gauge", seed=1), 3)
    assert "repeat" in {why.signal for why in next(i for i in found if i.position == 1).why}


def test_several_things_are_answered_from_several_sessions(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [line(text="tea tea", session="s1", at=n) for n in range(3)]
    lines.append(line(text="tea rain cat", session="s2"))
    page = make_page(lines)
    one, several = ask("tea", seed=None), replace(ask("tea", seed=None), several=True)
    assert [item.position for item in rank(page, everything(page), one, 2)][1] != 3
    found = rank(page, everything(page), several, 4)
    assert found[1].position == 3
    kept = [why.value for item in found for why in item.why if why.signal == "spread"]
    assert kept == pytest.approx([redundancy.SPREAD, redundancy.SPREAD**2])
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    for item in found:
        assert sum(why.share for why in item.why) == pytest.approx(1)


def test_meaning_counts_a_tenth_in_a_script_the_embedder_does_not_know(
    make_page: Callable[..., Any], line: Any
) -> None:
    lines = [line(text="rain", vector=unit(9)), line(text="tea", vector=unit(2))]
    page = make_page(lines, dim=DIM)
    question = ask("tea", seed=9)
    foreign = replace(question, foreign=True)
    assert rank(page, everything(page), foreign, 2)[0].position == 1
    (alone, *_) = rank(page, everything(page), replace(foreign, terms={}), 2)
    assert alone.position == 0, "where no word is found, meaning decides as ever"
    (known, *_) = rank(page, everything(page), replace(question, terms={}), 2)
    assert alone.score == pytest.approx(known.score * ranking.FOREIGN)


# --- how things are now ----------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 20))
def test_outdated_is_found_as_by_a_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = np.array([unit(int(one), 3) for one in random.integers(0, 6, 12)])
    at, speaker, trust = random.integers(0, 4, (3, 12))
    found = redundancy.outdated(vectors, at, speaker, trust)
    for row in range(12):
        newer = [
            other
            for other in range(12)
            if vectors[row] @ vectors[other] >= redundancy.ALIKE
            and speaker[other] == speaker[row]
            and at[other] > at[row]
            and trust[other] >= trust[row]
        ]
        assert found[row] == bool(newer)


def test_only_who_asks_for_now_and_for_one_thing_gets_the_newest(
    make_page: Callable[..., Any], line: Any
) -> None:
    near = unit(1) + 0.4 * unit(2)
    lines = [
        line(text="boat red red", vector=unit(1), speaker="Ana", at=10),
        line(text="boat red", vector=near / np.linalg.norm(near), speaker="Ana", at=20),
        line(text="boat rain", vector=unit(3), speaker="Ana", at=30),
    ]
    page = make_page(lines, dim=DIM)
    asked = ask("boat red", seed=1)
    first = {
        (current, several): rank(
            page, everything(page), replace(asked, current=current, several=several), 3
        )[0].position
        for current in (False, True)
        for several in (False, True)
    }
    assert first == {(False, False): 0, (False, True): 0, (True, False): 1, (True, True): 0}
