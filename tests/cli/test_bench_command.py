"""bench, as a door to the bench room."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mnemos.bench.record import from_json
from mnemos.bench.task import TaskData
from mnemos.bench.tasks import get_task, harbour, list_tasks
from mnemos.cli import bench_command
from mnemos.models import weights


def first_questions(data: Path | None) -> TaskData:
    whole = harbour.load(data)
    (dialogue,) = whole.dialogues
    return replace(whole, dialogues=(replace(dialogue, questions=dialogue.questions[:20]),))


def test_a_task_that_does_not_exist(run):
    refused = run("bench", "harbor", "--json")
    assert refused.code == 2
    assert "harbour" in refused.json["error"]["message"]


def test_help_lists_every_task(run):
    words = " ".join(run("bench", "--help").out.split())
    for name in list_tasks():
        assert f" {name} {get_task(name).title} " in words


def test_harbour_by_words(run, tmp_path, capsys, monkeypatch):
    few = replace(harbour.TASK, load=first_questions)
    monkeypatch.setattr(harbour, "TASK", few)
    shown = run("bench", "harbour", "--json", "--out", tmp_path / "kept")
    assert shown.code == 0
    record = shown.json
    assert record["task"] == "harbour"
    assert record["embedder"] is None
    assert len(record["questions"]) == 20
    (kept,) = (tmp_path / "kept").glob("*.json")
    assert json.loads(kept.read_text("utf-8"))["quality"] == record["quality"]
    bench_command._show(from_json(shown.out), False)
    assert "Evidence found" in capsys.readouterr().out


def test_data_is_named_by_option_or_environment(monkeypatch, run):
    monkeypatch.setenv("MNEMOS_DATA", "somewhere")
    assert str(bench_command._data("locomo", None)) == "somewhere"
    assert str(bench_command._data("locomo", "here")) == "here"
    assert bench_command._data("harbour", None) is None
    refused = run("bench", "locomo", "--json")
    assert refused.code == 2
    monkeypatch.delenv("MNEMOS_DATA")
    assert bench_command._data("locomo", None) is None
    assert run("bench", "locomo").code == 2


@pytest.mark.skipif(weights.package_folder() is None, reason="the vocabulary is not installed")
def test_tokens_are_counted_by_the_model_where_its_vocabulary_is_at_hand(run):
    assert bench_command._counter()("hello world") == 2
    run("models", "add", "minilm")
    assert bench_command._counter()("hello world") == 2


def test_tokens_are_estimated_elsewhere(run, monkeypatch):
    monkeypatch.setattr(weights, "package_folder", lambda: None)
    assert bench_command._counter().__name__ == "estimate_tokens"
