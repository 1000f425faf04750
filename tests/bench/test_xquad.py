"""XQuAD in its published shape, with invented articles."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mnemos.bench.runner import run
from mnemos.bench.task import Dialogue
from mnemos.bench.tasks import get_task
from mnemos.bench.tasks.xquad import CATEGORIES, EVERY, WRITTEN
from mnemos.errors import InvalidInput
from mnemos.types import Text

WORDS = {
    "en": ("The lighthouse has lamp", "Which lamp is number", "A bakery sells loaf"),
    "de": ("Der Leuchtturm hat Lampe", "Welche Lampe ist Nummer", "Ein Bäcker verkauft Brot"),
    "es": ("El faro tiene la lámpara", "Qué lámpara es el número", "Una panadería vende pan"),
}


def squad(language: str, count: int = EVERY + 1) -> dict[str, Any]:
    """Return two articles; the first has two paragraphs, the second one with ``count`` questions."""
    lamp, question, bakery = WORDS[language]
    numbers = ["zero", "one", *(f"n{number}" for number in range(2, count))]
    qas = [
        {"id": f"q{place}", "question": f"{question} {name}?", "answers": []}
        for place, name in enumerate(numbers)
    ]
    first = [
        {"context": f"{bakery}.", "qas": []},
        {"context": f"{lamp} zero.", "qas": qas[:1]},
    ]
    second = [{"context": f"{lamp} {' '.join(numbers[1:])}.", "qas": qas[1:]}]
    articles = [{"title": "A", "paragraphs": first}, {"title": "B", "paragraphs": second}]
    return {"version": "1.1", "data": articles}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three languages, one of them compressed."""
    place = tmp_path / "xquad"
    place.mkdir()
    for language in ("en", "de"):
        (place / f"xquad.{language}.json").write_text(json.dumps(squad(language)), "utf-8")
    packed = gzip.compress(json.dumps(squad("es")).encode())
    (place / "xquad.es.json.gz").write_bytes(packed)
    return tmp_path


def read(path: Path) -> dict[str, Dialogue]:
    return {dialogue.name: dialogue for dialogue in get_task("xquad").load(path).dialogues}


def test_paragraphs_are_memories_and_articles_sessions(folder: Path) -> None:
    found = read(folder)
    assert list(found) == ["en", "de", "es"]
    drafts = found["de"].drafts
    assert [draft.header.external_id for draft in drafts] == ["0:0", "0:1", "1:0"]
    assert [draft.header.run_id for draft in drafts] == ["0", "0", "1"]
    assert {draft.header.happened_at for draft in drafts} == {WRITTEN}
    assert isinstance(drafts[0].payload, Text)
    assert drafts[0].payload.text == "Ein Bäcker verkauft Brot."


def test_every_tenth_question_in_its_language_and_across(folder: Path) -> None:
    found = read(folder)
    assert [(q.id, q.category, q.gold) for q in found["en"].questions] == [
        ("en/q0", "en", ("0:1",)),
        (f"en/q{EVERY}", "en", ("1:0",)),
        ("de-en/q0", "de-en", ("0:1",)),
        (f"de-en/q{EVERY}", "de-en", ("1:0",)),
        ("es-en/q0", "es-en", ("0:1",)),
        (f"es-en/q{EVERY}", "es-en", ("1:0",)),
    ]
    german = {(q.category, q.text) for q in found["de"].questions if q.gold == ("0:1",)}
    assert german == {
        ("de", "Welche Lampe ist Nummer zero?"),
        ("en-de", "Which lamp is number zero?"),
    }


def test_a_question_the_other_language_has_not_is_dropped(folder: Path) -> None:
    path = folder / "xquad" / "xquad.de.json"
    path.write_text(json.dumps(squad("de", count=EVERY)), "utf-8")
    ids = [question.id for question in read(folder)["de"].questions]
    assert ids == ["de/q0", "en-de/q0"]


def test_one_language_alone(folder: Path) -> None:
    found = read(folder / "xquad" / "xquad.de.json")
    assert list(found) == ["de"]
    assert {question.category for question in found["de"].questions} == {"de"}


def test_categories() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 34
    assert {"en", "zh", "de-en", "en-de"} < set(CATEGORIES)
    assert get_task("xquad").categories == CATEGORIES


@pytest.mark.parametrize("there", [True, False])
def test_missing_data_says_where_it_is_published(tmp_path: Path, there: bool) -> None:
    with pytest.raises(
        InvalidInput, match=r"xquad\.\*\.json of github\.com.* \(CC BY-SA 4\.0\), and"
    ):
        get_task("xquad").load(tmp_path if there else None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "xquad.de.json is not JSON"),
        (b'{"data": [{}]}', r"not in the published form \(KeyError"),
        (b"\xff", "xquad.de.json cannot be read"),
    ],
)
def test_damaged_data(folder: Path, content: bytes, problem: str) -> None:
    (folder / "xquad" / "xquad.de.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        get_task("xquad").load(folder)


def test_it_runs(folder: Path) -> None:
    found = run("xquad", data=folder, embedder=None, ks=(1, 10), budgets=(500,))
    assert found.memories == 9
    assert {name: row.n for name, row in found.quality.items()} == {
        "en": 2, "de": 2, "es": 2, "de-en": 2, "es-en": 2, "en-de": 2, "en-es": 2, "overall": 14,
    }  # fmt: skip
    assert found.quality["de"].values["recall@10"].mean == 1.0
