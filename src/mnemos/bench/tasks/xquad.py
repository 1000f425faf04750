"""XQuAD: paragraphs and questions, parallel in twelve languages (Artetxe et al., ACL 2020).

The set is CC BY-SA 4.0 and not shipped: ``xquad.<language>.json`` of
github.com/google-deepmind/xquad (arXiv:1910.11856). ``--data`` names their folder, or the one that
holds it as ``xquad``. Languages whose file is not there are left out.

**Memories.** One for each paragraph, and a conversation for each language. The external id is
``article:paragraph``, counted from 0; the paragraphs of an article are a session. Paragraphs have no
time: all have that of the paper.

**Questions.** The gold is the paragraph the question was written for.

* ``de`` and the like: the question in its own language (BM25 alone finds nearly all: a control);
* ``de-en``: the German question over the English paragraphs;
* ``en-de``: the English question over the German paragraphs.

So each is asked in 34 ways; every tenth, by its place in the file, is taken, so that a run takes
minutes. The languages are parallel, so they are the same ones in all 34.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_set, not_here, published_shape, read_json
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
OTHERS = LANGUAGES[1:]
CATEGORIES = (
    *LANGUAGES,
    *(f"{other}-en" for other in OTHERS),
    *(f"en-{other}" for other in OTHERS),
)
"""Language of the question, then of the paragraphs where it is another."""

EVERY = 10
"""One question of so many is asked."""

WRITTEN = datetime(2019, 10, 25, tzinfo=UTC)
"""When the paper appeared."""

FILES = FileSet(
    name="XQuAD",
    folder="xquad",
    patterns=tuple(f"xquad.{language}.json" for language in LANGUAGES),
    published="get xquad.*.json of github.com/google-deepmind/xquad (CC BY-SA 4.0)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    """One language: its paragraphs, its questions by id, and the paragraph each belongs to."""

    drafts: tuple[Draft, ...]
    asked: Mapping[str, str]
    gold: Mapping[str, str]


def load(data: Path | None) -> TaskData:
    """Read the languages that are found.

    Parameters
    ----------
    data : Path or None
        One of the files, their folder, or the folder that holds it.

    Raises
    ------
    InvalidInput
        If there is none, or a file is not as published.
    """
    names = {file.name.removesuffix(".gz"): file for file in reversed(find_set(data, FILES))}
    files = {language: names.get(f"xquad.{language}.json") for language in LANGUAGES}
    there = {language: file for language, file in files.items() if file is not None}
    if not there:
        raise not_here(data, FILES)
    pages = {language: _read(language, file) for language, file in there.items()}
    dialogues = tuple(
        Dialogue(name=name, drafts=page.drafts, questions=tuple(_questions(name, pages)))
        for name, page in pages.items()
    )
    return TaskData(dialogues=dialogues, sha256=digest_of(there.values()))


def _read(language: str, path: Path) -> _Page:
    drafts: list[Draft] = []
    asked: dict[str, str] = {}
    gold: dict[str, str] = {}
    with published_shape(path.name):
        for number, article in enumerate(read_json(path)["data"]):
            for place, paragraph in enumerate(article["paragraphs"]):
                id = f"{number}:{place}"
                drafts.append(_draft(language, f"{path.name}, {id}", id, paragraph))
                for row in paragraph["qas"]:
                    asked[row["id"]] = row["question"]
                    gold[row["id"]] = id
    return _Page(drafts=tuple(drafts), asked=asked, gold=gold)


def _draft(language: str, where: str, id: str, paragraph: Mapping[str, Any]) -> Draft:
    turn = Turn(
        where=where,
        text=paragraph["context"],
        happened_at=WRITTEN,
        external_id=id,
        run_id=id.partition(":")[0],
        language=language,
    )
    return draft_turn(turn, zone=UTC)


def _questions(name: str, pages: Mapping[str, _Page]) -> Iterator[Question]:
    """Yield what is asked over the paragraphs of a language, in its own and across."""
    page = pages[name]
    for asked in [name, *(other for other in pages if (other == "en") != (name == "en"))]:
        category = name if asked == name else f"{asked}-{name}"
        for id, text in list(pages[asked].asked.items())[::EVERY]:
            if id in page.gold:
                yield Question(
                    id=f"{category}/{id}",
                    text=text,
                    category=category,
                    gold=(page.gold[id],),
                    asked_at=WRITTEN,
                )


TASK = Task(
    name="xquad",
    title="paragraphs in twelve languages, every tenth question (XQuAD, not shipped)",
    categories=CATEGORIES,
    apart=frozenset(),
    load=load,
)
