"""The shipped conversation end to end, against the numbers the tool wrote down."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnemos.app.config import cache_folder
from mnemos.bench.differences import means_of
from mnemos.bench.expected import check_expected, expected_file, write_expected
from mnemos.bench.metrics import Interval
from mnemos.bench.record import RunRecord
from mnemos.bench.runner import run
from mnemos.errors import InvalidInput, ModelUnavailable
from mnemos.models.minilm import MiniLM
from mnemos.retrieval.pack import estimate_tokens


@pytest.fixture(scope="session")
def model() -> MiniLM | ModelUnavailable:
    try:
        return MiniLM.open(cache_folder())
    except ModelUnavailable as error:
        return error


@pytest.fixture(scope="session")
def words_only(model: MiniLM | ModelUnavailable) -> RunRecord:
    # With the model's own counter, where it is here, what is packed is compared as well.
    count = model.tokenizer if isinstance(model, MiniLM) else estimate_tokens
    return run("harbour", embedder=None, count=count)


@pytest.fixture
def written(words_only: RunRecord, tmp_path: Path) -> Path:
    """Return a file of expected numbers as the tool writes it from this very run."""
    return write_expected(words_only, tmp_path / "harbour.json")


def test_words_only_gives_the_expected_numbers(words_only: RunRecord) -> None:
    assert [str(found) for found in check_expected(words_only)] == []


def test_minilm_gives_the_expected_numbers(model: MiniLM | ModelUnavailable) -> None:
    if not isinstance(model, MiniLM):
        pytest.skip(f"no weights of all-MiniLM-L6-v2 here: {model}")
    record = run("harbour", embedder=model, count=model.tokenizer)
    assert [str(found) for found in check_expected(record)] == []


def test_every_part_is_there(words_only: RunRecord) -> None:
    assert words_only.memories == 378
    assert words_only.quality["overall"].n == 150
    assert "unanswerable" not in words_only.quality
    assert sum(not question.gold for question in words_only.questions) == 10
    assert "current_first" in words_only.quality["knowledge-update"].values
    assert words_only.gain["overall"].values["recall@10"].low > 0


def changed(record: RunRecord, category: str, measure: str, by: float) -> RunRecord:
    row = record.quality[category]
    value = row.values[measure]
    moved = Interval(value.mean + by, value.low, value.high)
    row = replace(row, values={**row.values, measure: moved})
    return replace(record, quality={**record.quality, category: row})


@pytest.mark.parametrize("by", [-0.0051, 0.0051])
def test_a_number_moved_beyond_half_a_point_is_told(
    words_only: RunRecord, written: Path, by: float
) -> None:
    (found,) = check_expected(changed(words_only, "overall", "recall@10", by), written)
    assert found.what == "quality overall recall@10"


@pytest.mark.parametrize("by", [-0.0049, 0.0049])
def test_a_smaller_move_passes(words_only: RunRecord, written: Path, by: float) -> None:
    assert check_expected(changed(words_only, "overall", "recall@10", by), written) == []


def perturb(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text("utf-8"))
    edit(value["settings"]["words"])
    path.write_text(json.dumps(value), "utf-8")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda it: it["quality"]["temporal"].update(mrr=0.1), "quality temporal mrr"),
        (lambda it: it["floor"]["overall"].update({"any@5": 0.9}), "floor overall any@5"),
        (lambda it: it["quality"]["overall"].update(n=149), "quality overall n"),
        (lambda it: it["quality"]["overall"].pop("mrr"), "quality overall mrr"),
        (lambda it: it["quality"]["overall"].update({"kept@500": 0.1}), "overall kept@500"),
        (lambda it: it.update(ranker="another"), "ranker"),
        (lambda it: it.update(data_sha256="00"), "data_sha256"),
    ],
)
def test_a_perturbed_expectation_is_told(
    words_only: RunRecord, written: Path, edit: Callable[[dict[str, Any]], object], told: str
) -> None:
    assert check_expected(words_only, written) == []
    perturb(written, edit)
    (found,) = check_expected(words_only, written)
    assert told in str(found)


def test_timings_are_not_checked(words_only: RunRecord, written: Path) -> None:
    slow = {name: value * 100 for name, value in words_only.cost.items()}
    assert check_expected(replace(words_only, cost=slow), written) == []
    assert "_ms" not in written.read_text("utf-8")


def test_shares_kept_are_compared_for_one_counter_alone(
    words_only: RunRecord, written: Path
) -> None:
    moved = changed(words_only, "overall", "kept@500", 0.2)
    assert [found.what for found in check_expected(moved, written)] == ["quality overall kept@500"]
    other = replace(moved, parameters={**moved.parameters, "tokens": "another"})
    assert check_expected(other, written) == []


def test_writing_one_setting_leaves_the_others(words_only: RunRecord, tmp_path: Path) -> None:
    path = write_expected(words_only, tmp_path / "made" / "harbour.json")
    write_expected(replace(words_only, embedder="other/1"), path)
    settings = json.loads(path.read_text("utf-8"))["settings"]
    assert list(settings) == ["other/1", "words"]
    assert settings["other/1"]["quality"] == settings["words"]["quality"]


def test_what_was_never_measured_has_no_numbers(words_only: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no numbers for 'other/1', only for all-MiniLM"):
        check_expected(replace(words_only, embedder="other/1"))
    with pytest.raises(InvalidInput, match="--write-expected"):
        check_expected(words_only, tmp_path / "none.json")


def test_the_expected_file_was_written_by_the_tool(words_only: RunRecord) -> None:
    written = json.loads(expected_file("harbour").read_text("utf-8"))
    assert written["tolerance"] == 0.005
    for setting in written["settings"].values():
        assert setting["data_sha256"] == words_only.data_sha256
        assert set(setting["quality"]) == set(means_of(words_only.quality))
