"""AMST-Bench (AutoMemoryBench): cases of a life cycle, with facts that change, expire, are deleted.

The data is Apache-2.0 and not shipped: one JSON file for each domain, ``{"cases": [...]}``. A case
is a page of about thirty turns, a memory each; a session's turns follow its timestamp a second
apart. A query's gold are the turns its gold units were stated in: the first source of a unit is
gold, its further sources restate it, and a unit that reinforces another is a unit of its own. The
turns of units a query forbids (superseded, deleted, restricted, near misses), where no gold unit
rests on them too, are stale: the gold should outrank them.

One page for a case, not for a domain: the five cases of a published domain are counterfactual
variants of one another, which ask the same questions in the same words and differ in two or three
turns of thirty. Pooled, a question names no case, and which of five equal turns is "its" one would
be a guess. A query asks for four to nine turns at once, so a case leaves room within ten hits. For
the same reason there are fewer independent questions than questions, and intervals are narrower
than they should be.

Categories are task types. The ten kinds of probe within "planning" have four different wordings
each in four domains, too few to report by themselves. Queries without gold (memory is not needed,
or the right answer is a refusal) keep none and are not scored.

The published scores also judge what a system writes, refuses and does with tools; what is measured
here is the part that needs no language model to answer, the recall of evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_set, published_shape, read_json
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of
from mnemos.errors import InvalidInput
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

CATEGORIES = (
    "answer",
    "update",
    "tool",
    "planning",
    "write",
    "retrieval",
    "compression",
    "evolution",
    "forget",
    "governance",
    "no_memory",
)
"""The task types of the published set."""

FILES = FileSet(
    name="AMST-Bench",
    folder="automemorybench",
    patterns=("*.json",),
    published=(
        "get the files of data/sample/shards of github.com/wuyuVerse/AutoMemoryBench (Apache-2.0)"
    ),
)


def load(data: Path | None) -> TaskData:
    """Read the cases of the domains in a folder, or of one file.

    Parameters
    ----------
    data : Path or None
        A domain's file, the set's folder, or the one that holds it.

    Raises
    ------
    InvalidInput
        If there is no such file, or it is not in the published form.
    """
    paths = find_set(data, FILES)
    dialogues: list[Dialogue] = []
    for path in paths:
        with published_shape(path.name):
            cases: list[Mapping[str, Any]] = list(read_json(path)["cases"])
        for number, case in enumerate(cases, start=1):
            with published_shape(f"{path.name}, case {number}"):
                dialogues.append(_dialogue(case))
    return TaskData(dialogues=tuple(dialogues), sha256=digest_of(paths))


def _dialogue(case: Mapping[str, Any]) -> Dialogue:
    name: str = case["case_id"]
    drafts = tuple(_drafts(case))
    known = frozenset(draft.header.external_id for draft in drafts)
    sources: dict[str, tuple[str, ...]] = {}
    for unit in case["gold_memory_units"]:
        sources[unit["memory_id"]] = tuple(unit["source_turn_ids"])
    lost = {turn for turns in sources.values() for turn in turns} - known
    if lost:
        message = f"units of {name} name turns it does not have: {', '.join(sorted(lost))}"
        raise InvalidInput(message)
    questions = tuple(_question(query, sources) for query in case["queries"])
    return Dialogue(name=name, drafts=drafts, questions=questions)


def _drafts(case: Mapping[str, Any]) -> Iterator[Draft]:
    for session in case["sessions"]:
        began = datetime.fromisoformat(session["timestamp"])
        for place, turn in enumerate(session["turns"]):
            id: str = turn["turn_id"]
            said = Turn(
                where=f"turn {id}",
                text=turn["content"],
                role=turn["role"],
                happened_at=began + timedelta(seconds=place),
                external_id=id,
                run_id=session["session_id"],
            )
            yield draft_turn(said, zone=UTC)


def _question(query: Mapping[str, Any], sources: Mapping[str, tuple[str, ...]]) -> Question:
    id, category = query["query_id"], query["task_type"]
    if category not in CATEGORIES:
        message = f"{id} has task type {str(category)[:60]!r}; allowed: {', '.join(CATEGORIES)}"
        raise InvalidInput(message)
    units = [sources[unit] for unit in query["gold_memory_ids"]]
    gold = tuple(dict.fromkeys(turns[0] for turns in units if turns))
    restated = {other: turns[0] for turns in units for other in turns[1:] if other not in gold}
    forbidden = [turn for unit in query["forbidden_memory_ids"] for turn in sources[unit]]
    wanted = {*gold, *restated}
    return Question(
        id=id,
        text=query["prompt"],
        category=category,
        gold=gold,
        asked_at=datetime.fromisoformat(query["timestamp"]).astimezone(UTC),
        restated=restated,
        stale=tuple(dict.fromkeys(turn for turn in forbidden if turn not in wanted)),
    )


TASK = Task(
    name="amst",
    title="life cycle of facts in cases of thirty turns (AMST-Bench, not shipped)",
    categories=CATEGORIES,
    apart=frozenset({"no_memory"}),
    load=load,
)
