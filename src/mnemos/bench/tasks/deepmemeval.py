"""DeepMemEval: what holds now, what held then, and what rests on something that changed.

The data is Apache-2.0 and not shipped: one JSON list of scenarios, each of a few short sessions of
one invented person and a question. A scenario alone has as few as four turns, so the scenarios of a
person (``p007`` in their ids) share a page, in order of time, a memory for each turn. There the
same fact is told in several scenarios; a turn of any of them that states a gold fact restates the
gold turn, the assistant's echo of it too, and every turn that states a stale fact is stale. A turn
states a fact if it holds its words, upper and lower case alike, up to the end of a sentence.
Turns of a session follow its date a minute apart. All is asked when the person's history has ended;
a question about the past names its time itself.

=======================  =========================================================================
category                 gold, and what is stale
=======================  =========================================================================
belief-update            the user's turn with the fact valid now; the facts before it are stale
temporal-belief          the turn with the fact valid then; the current fact is stale
noise-resistance         the user's turns of the sessions that are signal
cascade-propagation      the turns with the dependent fact and with the change of what it rests on:
                         the answer, that it is uncertain, needs both
uncertainty-abstention   the same two, as the reason given for the uncertainty names them
delta-efficiency         none: it measures tokens, and its question asks for nothing that was said
=======================  =========================================================================

A question whose turns cannot be told from its metadata is not scored. The published judge is a
language model and takes an answer that mentions the stale value as wrong; what is measured here is
the recall of evidence, and how often the gold outranks what is stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_one, published_shape, read_json
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft, Text

CATEGORIES = (
    "belief-update",
    "temporal-belief",
    "noise-resistance",
    "cascade-propagation",
    "uncertainty-abstention",
    "delta-efficiency",
)
"""The scenario types of the published set."""

FILES = FileSet(
    name="DeepMemEval",
    folder="deepmemeval",
    patterns=("deepmemeval*.json",),
    published="get data/deepmemeval_500.json of github.com/nambok/DeepMemEval (Apache-2.0)",
)

_PERSON = re.compile(r"(?<![a-z0-9])p\d{3}(?!\d)")
_REASON = re.compile(
    r"Root fact changed \((?P<before>.+) → (?P<now>.+)\), dependent belief '(?P<dependent>.+)' was"
)

Scenario = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """The facts a scenario's answer rests on, each with the session it was told in, if known."""

    gold: tuple[tuple[str, str | None], ...] = ()
    stale: tuple[str, ...] = ()


def load(data: Path | None) -> TaskData:
    """Read the scenarios of a file, or of the one in a folder.

    Parameters
    ----------
    data : Path or None
        The file, the set's folder, or the one that holds it.

    Raises
    ------
    InvalidInput
        If there is no such file, or it is not in the published form.
    """
    path = find_one(data, FILES)
    people: dict[str, list[Scenario]] = {}
    with published_shape(path.name):
        for scenario in read_json(path):
            people.setdefault(_person(scenario["scenario_id"]), []).append(scenario)
    dialogues = tuple(_page(name, people[name]) for name in sorted(people))
    return TaskData(dialogues=dialogues, sha256=digest_of((path,)))


def _person(id: str) -> str:
    found = _PERSON.search(id)
    if found is None:
        message = f"scenario {id[:60]!r} names no person; ids look like belief-p007-database"
        raise InvalidInput(message)
    return found[0]


def _page(name: str, scenarios: Sequence[Scenario]) -> Dialogue:
    """Return the page of one person: all turns in order of time, all questions at its end."""
    drafts: list[Draft] = []
    for scenario in scenarios:
        with published_shape(f"scenario {scenario['scenario_id']}"):
            drafts.extend(_drafts(scenario))
    drafts.sort(key=lambda draft: (draft.header.happened_at, draft.header.run_id))
    end = end_of(drafts)
    questions: list[Question] = []
    for scenario in scenarios:
        with published_shape(f"scenario {scenario['scenario_id']}"):
            questions.append(_question(scenario, drafts, end))
    return Dialogue(name=name, drafts=tuple(drafts), questions=tuple(questions))


def _drafts(scenario: Scenario) -> Iterator[Draft]:
    for session in scenario["conversation_history"]:
        began = datetime.fromisoformat(session["date"]).replace(tzinfo=UTC)
        run = f"{scenario['scenario_id']}/{session['session_id']}"
        for place, turn in enumerate(session["turns"]):
            said = Turn(
                where=f"turn {run}/{place + 1}",
                text=turn["content"],
                role=turn["role"],
                happened_at=began + timedelta(minutes=place),
                external_id=f"{run}/{place + 1}",
                run_id=run,
            )
            yield draft_turn(said, zone=UTC)


def _question(scenario: Scenario, drafts: Sequence[Draft], end: datetime) -> Question:
    """Return the question of a scenario with its gold on the page of its person."""
    id, category = scenario["scenario_id"], scenario["scenario_type"]
    if category not in CATEGORIES:
        message = f"{id} has type {str(category)[:60]!r}; allowed: {', '.join(CATEGORIES)}"
        raise InvalidInput(message)
    wanted = _wanted(scenario)
    gold: dict[str, str] = {}
    for fact, session in wanted.gold:
        within = f"{id}/" if session is None else f"{id}/{session}/"
        told = [turn for turn in _stating(fact, drafts, role="user") if turn.startswith(within)]
        if told:
            gold[told[0]] = fact
    if len(gold) < len(wanted.gold):
        gold = {}
    restated = {
        other: turn
        for turn, fact in gold.items()
        for other in _stating(fact, drafts)
        if other not in gold
    }
    stale = dict.fromkeys(turn for fact in wanted.stale for turn in _stating(fact, drafts))
    return Question(
        id=id,
        text=scenario["question"],
        category=category,
        gold=tuple(gold),
        asked_at=end,
        restated=restated,
        stale=tuple(turn for turn in stale if turn not in gold and turn not in restated),
    )


def _wanted(scenario: Scenario) -> _Wanted:
    """Return the facts of a scenario that are gold and stale, by its type."""
    meta: Mapping[str, Any] = scenario["metadata"]
    match scenario["scenario_type"]:
        case "belief-update":
            entries: Iterable[Mapping[str, Any]] = meta["belief_timeline"]
            now = [(e["fact"], e["source_session"]) for e in entries if e["valid_until"] is None]
            past = [entry["fact"] for entry in entries if entry["valid_until"] is not None]
            return _Wanted(gold=tuple(now), stale=tuple(past))
        case "temporal-belief":
            return _Wanted(
                gold=((meta["belief_at_timestamp"], None),), stale=(meta["current_belief"],)
            )
        case "noise-resistance":
            signal = frozenset(meta["signal_sessions"])
            return _Wanted(gold=tuple(_told(scenario, signal)))
        case "cascade-propagation":
            now = meta["root_change"].rpartition(" → ")[2]
            return _Wanted(gold=((meta["old_dependent"], None), (now, None)))
        case "uncertainty-abstention":
            reason = _REASON.match(meta["uncertainty_reason"])
            return _Wanted(
                gold=((reason["dependent"], None), (reason["now"], None)) if reason else ()
            )
        case _:
            return _Wanted()


def _told(scenario: Scenario, sessions: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield what the user said in sessions."""
    for session in scenario["conversation_history"]:
        if session["session_id"] in sessions:
            said = [turn["content"] for turn in session["turns"] if turn["role"] == "user"]
            yield from ((text, session["session_id"]) for text in said)


def _stating(fact: str, drafts: Iterable[Draft], role: str | None = None) -> list[str]:
    """Return the ids of turns that hold a fact's words up to the end of a sentence."""
    words = re.escape(fact.casefold().rstrip(" .!?"))
    pattern = re.compile(rf"(?<!\w){words}(?=\s*(?:$|[.,;:!?]))")
    return [
        draft.header.external_id or ""
        for draft in drafts
        if role in (None, draft.header.role)
        and isinstance(draft.payload, Text)
        and pattern.search(draft.payload.text.casefold())
    ]


TASK = Task(
    name="deepmemeval",
    title="facts that change, rest on others, or drown in noise (DeepMemEval, not shipped)",
    categories=CATEGORIES,
    apart=frozenset({"delta-efficiency"}),
    load=load,
)
