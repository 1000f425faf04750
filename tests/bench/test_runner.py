"""A run of six turns: what is found, packed, counted, kept as JSON, replayed and printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.differences import means_of
from mnemos.bench.record import RunRecord, from_json, load, save, to_json
from mnemos.bench.replay import compare, replay
from mnemos.bench.report import report
from mnemos.bench.runner import run
from mnemos.errors import InvalidInput
from mnemos.testing import HashEmbedder


def measured(data: Path, **options: Any) -> RunRecord:
    settings: dict[str, Any] = {"embedder": None, "ks": (1, 5), "budgets": (30, 500)}
    return run("harbour", data=data, **settings | options)


@pytest.fixture
def record(small: Path) -> RunRecord:
    return measured(small)


def test_rows_by_category(record: RunRecord) -> None:
    assert {name: row.n for name, row in record.quality.items()} == {
        "single-hop": 2,
        "multi-hop": 1,
        "knowledge-update": 1,
        "overall": 4,
    }
    overall = means_of(record.quality)["overall"]
    assert overall["recall@5"] == 1.0
    assert overall["session_recall@5"] == 1.0
    assert overall["kept@500"] == 1.0
    assert "current_first" not in overall
    assert means_of(record.quality)["knowledge-update"]["current_first"] == 1.0
    assert set(record.floor["overall"].values) < set(record.quality["overall"].values)


def test_gain_is_the_paired_difference(record: RunRecord) -> None:
    ours, floor = means_of(record.quality), means_of(record.floor)
    for name, row in means_of(record.gain).items():
        for measure, value in row.items():
            if measure != "n":
                assert value == pytest.approx(ours[name][measure] - floor[name][measure])


def test_captions_are_found_and_packed(record: RunRecord) -> None:
    (tomatoes,) = [question for question in record.questions if question.id == "q2"]
    assert tomatoes.ours.ranks == (1,)
    assert tomatoes.floor.ranks == (1,)
    assert tomatoes.kept == {"30": 1.0, "500": 1.0}


def test_a_turn_that_restates_the_gold_counts_as_it(record: RunRecord) -> None:
    # The gold has one of the words asked for, the turn that restates it both.
    (kiln,) = [question for question in record.questions if question.id == "q4"]
    assert kiln.floor.ranks == (1,)
    assert kiln.gold == ("s02-01",)


def test_a_question_without_gold_is_asked_and_not_scored(record: RunRecord) -> None:
    (last,) = [question for question in record.questions if not question.gold]
    assert (last.id, last.ours.ranks, last.kept) == ("q5", (), {})
    assert "unanswerable" not in record.quality


def test_the_embedder_is_timed_and_named(small: Path) -> None:
    embedder = HashEmbedder()
    record = measured(small, embedder=embedder)
    assert record.embedder == embedder.fingerprint
    assert record.cost["ingest_alone_cpu_ms"] <= record.cost["ingest_cpu_ms"]
    assert all(0 < question.embedding_ms <= question.ms for question in record.questions)
    assert record.command == f"mnemos bench harbour --data {small}"


def test_costs_without_an_embedder(record: RunRecord) -> None:
    assert record.cost["search_ms_p50"] == record.cost["search_alone_ms_p50"] > 0
    assert record.cost["bytes_per_memory"] > 0
    assert record.command.endswith("--no-embedder")


def test_the_counter_is_handed_in_and_named(small: Path) -> None:
    def letters(text: str) -> int:
        return len(text)

    record = measured(small, count=letters)
    assert record.parameters["tokens"] == "letters"
    assert means_of(record.quality)["overall"]["kept@30"] == 0.0
    assert measured(small).parameters["tokens"] == "estimate_tokens"


def test_progress_is_a_line_for_each_conversation(small: Path) -> None:
    lines: list[str] = []
    measured(small, progress=lines.append)
    assert lines == ["1 of 1: harbour, 6 turns, 5 questions"]


@pytest.mark.parametrize("wrong", [{"ks": ()}, {"ks": (0, 5)}, {"budgets": (-1,)}])
def test_impossible_parameters(small: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="at least one number"):
        measured(small, **wrong)


def test_a_record_survives_json(record: RunRecord, tmp_path: Path) -> None:
    assert from_json(to_json(record)) == replace(
        record, questions=from_json(to_json(record)).questions
    )
    path = save(record, tmp_path / "made" / "here")
    assert path.name == f"harbour-{record.data_sha256[:8]}-words-seed0.json"
    assert to_json(load(path)) == to_json(record) == path.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "is no record"),
        ("{}", "is no record"),
        ('{"format": 1}', "is no record"),
        ("[]", "is no record"),
    ],
)
def test_a_file_that_is_no_record(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=problem):
        load(path)


def test_a_record_of_another_format(record: RunRecord) -> None:
    other = json.loads(to_json(record)) | {"format": 99}
    with pytest.raises(InvalidInput, match="format 99; allowed: 1"):
        from_json(json.dumps(other))


def test_replay_of_the_same_finds_nothing(small: Path, tmp_path: Path) -> None:
    path = save(measured(small, embedder=HashEmbedder(), seed=3), tmp_path)
    again = replay(path, embedder=HashEmbedder())
    assert again.differences == ()
    assert again.after.seed == 3
    assert means_of(again.after.gain) == means_of(again.before.gain)
    assert again.after.quality == again.before.quality


def test_replay_says_what_changed(small: Path, tmp_path: Path) -> None:
    path = save(measured(small), tmp_path)
    turns = small / "harbour.jsonl"
    turns.write_text(turns.read_text("utf-8").replace("yellow tomatoes", "red apples"), "utf-8")
    told = [str(found) for found in replay(path).differences]
    assert told[0].startswith("data_sha256: was ")
    assert "quality single-hop recall@1: was 1.0000, is 0.5000" in told
    assert any(line.startswith("ranks of q2: was {'s02-03': 1}, is ") for line in told)


def test_replay_needs_the_data(small: Path, tmp_path: Path) -> None:
    path = save(measured(small), tmp_path)
    moved = small.rename(tmp_path / "moved")
    with pytest.raises(InvalidInput, match="harbour"):
        replay(path)
    assert replay(path, data=moved).differences == ()


def test_comparison_names_questions_that_came_or_went(record: RunRecord) -> None:
    fewer = replace(record, questions=record.questions[1:])
    (found,) = compare(record, fewer)
    assert str(found) == "ranks of q1: was {'s01-01': 1}, is absent"


@pytest.mark.parametrize("markdown", [False, True])
def test_report(record: RunRecord, markdown: bool) -> None:
    text = report(record, markdown=markdown)
    assert text.startswith("## harbour" if markdown else "harbour: one shipped")
    assert ("| overall " in text) == markdown
    for words in (
        "4 questions with evidence",
        "by words only",
        "Tokens counted by estimate_tokens",
        "recall@5",
        "nDCG@5",
        "difference",
        "500 tokens",
        "1 conversation, 6 memories",
        "of 1 knowledge-update question;",
        "no evidence: 1 unanswerable question.",
        " ranks can hold",
        "bytes on disk per memory",
    ):
        assert words in text
    assert all(line == line.rstrip() or markdown for line in text.splitlines())
