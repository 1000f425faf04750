"""The table of levers: its first row is the shipped ranking, and every lever does what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mnemos.bench.tasks import get_task
from mnemos.testing import HashEmbedder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def ablation() -> Iterator[ModuleType]:
    """Import the script as its command line does: from its own folder, gone again afterwards."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import ablation as script

        yield script
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("ablation", None)


@pytest.fixture(scope="module")
def measured(ablation: ModuleType) -> list[Any]:
    return ablation.measure("harbour", None, HashEmbedder(), every=20)[0]


@pytest.fixture(scope="module")
def searches(ablation: ModuleType) -> list[Any]:
    """Return the searches of a few questions, with their rows."""
    found: list[Any] = []

    def note(search: Any, rows: Any, plain: Any) -> list[int]:
        found.append((search, rows, plain))
        return plain.fused(search, rows)

    ablation.measure(
        "harbour", None, HashEmbedder(), every=30, levers=[ablation.Lever("note", change=note)]
    )
    return found[::2]  # each is run twice: once to embed, once to be timed


def test_the_first_row_is_the_shipped_ranking(ablation: ModuleType, searches: list[Any]) -> None:
    for search, rows, plain in searches:
        shipped = ablation.ranking.rank(search.arrays, search.mask, search.question, ablation.DEPTH)
        assert rows.positions[plain.fused(search, rows)].tolist() == [
            item.position for item in shipped
        ]


def test_a_question_is_scored_as_mnemos_bench_does(ablation: ModuleType) -> None:
    asked = ablation.Asked(
        id="q",
        text="?",
        category="multi-hop",
        gold=("a1", "c1", "d1"),
        asked_at=datetime(2026, 1, 1, tzinfo=UTC),
        restated={"b2": "a1"},
    )
    found = ["b1", "b2", "a1", "c1", "e1", "f1", "g1", "d1"]
    row = ablation.Row(ablation.LEVERS[0])
    row.note(asked, found, {turn: turn[0] for turn in [*found, *asked.gold]})
    assert row.recall == [1.0]
    gain = 1 / np.log2(3) + 1 / np.log2(5) + 1 / np.log2(9)
    assert row.ndcg == [pytest.approx(gain / (1 + 1 / np.log2(3) + 1 / np.log2(4)))]
    assert row.sessions == [pytest.approx(2 / 3)], "d is the seventh session: b a c e f g d"


def test_every_lever_answers_and_most_move_something(
    ablation: ModuleType, measured: list[Any]
) -> None:
    whole, *others = measured
    assert len(whole.recall) == 8
    for row in measured:
        assert len(row.recall) == len(row.seconds) == 8
        assert all(0 <= value <= 1 for value in [*row.recall, *row.ndcg, *row.sessions])
    moved = [row.lever.name for row in others if row.ndcg != whole.ndcg]
    assert len(moved) >= len(others) - 3, moved


def test_the_table_has_a_row_for_each(ablation: ModuleType, measured: list[Any]) -> None:
    text = ablation.table(measured)
    assert text.count("\n") == 1 + len(ablation.LEVERS)
    assert "multi-hop recall@10" in text
    assert all(lever.name in text for lever in ablation.LEVERS)
    first, second = text.splitlines()[2:4]
    assert "(" not in first.partition("|")[2].split("|")[2], "it is compared with itself"
    assert "(" in second.split("|")[3]


def ranked(lever: Any, found: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Return the ranking without and with a lever."""
    search, rows, plain = found
    return plain.fused(search, rows), lever(search, rows, plain)


def test_marginal_relevance_chooses_the_same_best_and_nothing_twice(
    ablation: ModuleType, searches: list[Any]
) -> None:
    for found in searches:
        plain, other = ranked(ablation.marginal_relevance, found)
        assert other[0] == plain[0]
        assert len(set(other)) == len(other) == len(plain)


def test_neighbours_take_ranks_8_to_10(ablation: ModuleType, searches: list[Any]) -> None:
    for found in searches:
        plain, other = ranked(ablation.neighbours, found)
        rows = found[1]
        assert other[:7] == plain[:7]
        for row in other[7:10]:
            beside = [best for best in other[:7] if abs(best - row) == 1]
            assert any(rows.session[best] == rows.session[row] for best in beside)
        assert set(plain[:40]) <= set(other)


def test_feedback_asks_for_words_that_were_not_asked(
    ablation: ModuleType, searches: list[Any]
) -> None:
    asked: list[Any] = []

    class Noting(ablation.Lever):  # type: ignore[misc, name-defined]
        def fused(self, search: Any, rows: Any, question: Any = None, extra: Any = None) -> Any:
            asked.append(question)
            return super().fused(search, rows, question, extra)

    search, rows, _ = searches[0]
    ablation.feedback(search, rows, Noting("noting"))
    before, after = set(search.question.terms), set(asked[-1].terms)
    assert before < after
    assert len(after) <= len(before) + 2 * ablation.TOP


def test_a_question_of_one_part_stays_whole(ablation: ModuleType, searches: list[Any]) -> None:
    search, rows, plain = searches[0]
    one = ablation.replace(search, text="Where does the harbour begin?")
    assert ablation.decomposed(one, rows, plain) == plain.fused(search, rows)
    two = ablation.replace(search, text="Who painted Ana's red boat and sold the old lamp?")
    assert ablation.decomposed(two, rows, plain) != plain.fused(search, rows)


def test_vectors_are_computed_once(ablation: ModuleType) -> None:
    class Counting(HashEmbedder):
        asked = 0

        def embed(self, texts: Any, *, query: bool = False) -> Any:
            self.asked += len(texts)
            return super().embed(texts, query=query)

    model = Counting()
    levers = ablation.LEVERS[:5]
    rows, _ = ablation.measure("harbour", None, model, every=10, levers=levers)
    turns = {draft.payload.text for draft in get_task("harbour").load(None).dialogues[0].drafts}
    assert model.asked <= 378 + len(rows[0].recall)
    assert model.asked >= len(turns)


def test_the_command_line(ablation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["harbour", "--every", "50"], embedder=HashEmbedder()) == 0
    printed = capsys.readouterr().out
    assert "| the whole ranking" in printed
    assert "harbour: 3 questions, ranker rrf-" in printed
