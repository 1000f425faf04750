"""MemoryCode: a mentor's coding rules, some of them changed later, among other talk.

The data is Apache-2.0 and not shipped: dialogues of a mentor and a mentee over up to a hundred
sessions. The published evaluation asks for code and tests the names in it against the rules of the
whole history, where the latest rule wins. Without a language model, what can be measured is whether
the turn with the current rule is found: for every object the history has rules on (functions,
variables, decorators of methods, ...), one neutral question is asked, the same in every dialogue.

- A page is a dialogue, a turn a memory. A session's text is cut where a line begins with the name
  of the mentor or the mentee and a colon. Nothing says when, so sessions are a week apart and turns
  a minute.
- The rules in force are the last session's ``history_regex``. The gold of a rule is the first of
  the mentor's turns that states it in the latest session that sets it; everybody's other turns that
  state it restate the gold. An object with two rules in force (how names begin, and how they end)
  has two gold turns.
- A turn states a rule if it holds what the rule is about: the part of a name its pattern asks for
  ("x_", "a digit"), the decorator or module by name, or a word for a duty (annotations, try,
  comments). If turns with that also name the object, only those count. Where no turn of the session
  has it, the mentor's turns that name the object stand for the rule, else all turns of the mentor.
- Turns that state an earlier rule on the object, no longer in force, are stale. Questions that have
  some are categories of their own, since only there can the current rule be outranked.

"short" are dialogues of at most fifteen sessions, "long" are more, as the published tables divide
them. Where a file has more than 10,000 turns, every second, third, ... dialogue is taken, as few
as needed to stay below, so that a run takes minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mnemos.bench.set_files import FileSet, find_set, published_shape, read_rows
from mnemos.bench.task import Dialogue, Question, Task, TaskData, digest_of, end_of
from mnemos.errors import InvalidInput
from mnemos.memories.readers import Turn, draft_turn
from mnemos.types import Draft

CATEGORIES = ("short", "short-updated", "long", "long-updated")

SHORT = 15
"""Most sessions of a short history."""

MOST_TURNS = 10_000
"""Turns of a run; where there are more, dialogues are left out evenly."""

BEGINS = datetime(2024, 1, 1, 9, tzinfo=UTC)
"""When the first session of every dialogue is held."""

FILES = FileSet(
    name="MemoryCode",
    folder="memorycode",
    patterns=("memorycode*.jsonl", "dialogue_*.json"),
    published="get the files of dataset in github.com/for-ai/MemoryCode (Apache-2.0)",
)

NAMED = {
    "variable": "variables",
    "function": "functions",
    "method": "methods",
    "function argument": "function arguments",
    "attribute": "attributes",
    "class": "classes",
}
"""Objects whose rules are about their names, and their plural."""

DUTIES = {
    "function annotation": "annotations in functions",
    "method annotation": "annotations in methods",
    "function docstring": "docstrings in functions",
    "method docstring": "docstrings in methods",
    "function try": "try statements in functions",
    "method try": "try statements in methods",
    "function assert": "assert statements in functions",
    "method assert": "assert statements in methods",
    "function decorator": "decorators for functions",
    "method decorator": "decorators for methods",
    "class decorator": "decorators for classes",
    "comment": "comments in code",
    "import": "modules to import",
}
"""All other objects with rules, and what a question calls them."""

STYLES = {
    r"\b[A-Z][A-Z0-9_]*\b": "upper.?case",
    "^[a-z0-9_]*$": "snake.?case",
    r"^[A-Z][a-z0-9]*((\d|[a-z])[A-Z\d]*[a-z0-9]*)*$": "(?:camel|pascal).?case",
}
"""Patterns that are no literal, and the words a turn has for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spoken:
    """A turn as it was cut from a session."""

    id: str
    text: str
    mentor: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule on an object.

    ``value`` is a pattern for names, or the name of a decorator or module; empty where the object
    itself is the duty. ``wanted`` is false where it is to be left out.
    """

    object: str
    value: str
    wanted: bool

    @property
    def about(self) -> re.Pattern[str]:
        """What a turn that states the rule holds."""
        return re.compile(_about(self.object, self.value), re.IGNORECASE)

    @property
    def named(self) -> re.Pattern[str]:
        """What a turn that names the object holds."""
        words = self.object.split()
        noun = words[0] if self.object in DUTIES else words[-1]
        noun = "module" if noun == "import" else noun
        return re.compile(rf"\b{noun}(?:e?s)?\b", re.IGNORECASE)


def _about(object: str, value: str) -> str:
    r"""Return a pattern of the words a rule is stated with.

    >>> print(_about("method", "^a_.*"), _about("class", ".*chx.*"), _about("variable", ".*_m$"))
    (?<!\w)a_ chx _m(?!\w)
    """
    if object in DUTIES:
        word = value or object.split()[-1]
        # "I will try" is no rule: a try statement is called one, or paired with except.
        return {"try": r"\btry\W+(?:\w+\W+)?(?:statement|block|except|catch)"}.get(
            word, rf"\b{re.escape(word)}"
        )
    if value in STYLES:
        return STYLES[value]
    if r"\d" in value:
        return r"\bdigits?\b"
    literal = re.escape(value.removeprefix("^").removesuffix("$").replace(".*", ""))
    before = r"(?<!\w)" if value.startswith("^") else ""
    return before + literal + (r"(?!\w)" if value.endswith("$") else "")


def question_about(object: str) -> str:
    """Return the question about an object's rules, the same in every dialogue.

    >>> question_about("function argument")
    'What is the current naming convention for function arguments?'
    >>> question_about("method try")
    'What is the current rule on try statements in methods?'
    """
    if object in NAMED:
        return f"What is the current naming convention for {NAMED[object]}?"
    return f"What is the current rule on {DUTIES[object]}?"


def load(data: Path | None) -> TaskData:
    """Read the dialogues of a file or of the files in a folder.

    Parameters
    ----------
    data : Path or None
        Dialogues as JSON lines or one of the published files, a folder of those, or the one that
        holds that.

    Raises
    ------
    InvalidInput
        If there is no such file, or it is not in the published form.
    """
    paths = find_set(data, FILES)
    dialogues: list[Dialogue] = []
    for path in paths:
        stem = path.name.partition(".")[0]
        rows = read_rows(path)
        for number, row in enumerate(rows, start=1):
            with published_shape(f"{path.name}, dialogue {number}"):
                name = row.get("file", stem if len(rows) == 1 else f"{stem}_{number}")
                dialogues.append(_dialogue(name.removesuffix(".json"), row))
    return TaskData(dialogues=_bounded(dialogues), sha256=digest_of(paths))


def _bounded(dialogues: Sequence[Dialogue], most: int = MOST_TURNS) -> tuple[Dialogue, ...]:
    """Return every n-th dialogue, n as small as the bound on turns allows."""
    for step in range(1, len(dialogues)):
        taken = dialogues[::step]
        if sum(len(dialogue.drafts) for dialogue in taken) <= most:
            return tuple(taken)
    return tuple(dialogues[:1])


def _dialogue(name: str, row: Mapping[str, Any]) -> Dialogue:
    mentor, mentee = row["context"]["mentor"], row["context"]["mentee"]
    drafts: list[Draft] = []
    spoken: list[list[_Spoken]] = []
    for number, session in enumerate(row["sessions"], start=1):
        began = BEGINS + timedelta(weeks=number - 1)
        spoken.append([])
        for place, (speaker, text) in enumerate(_turns(session["text"], (mentor, mentee))):
            id = f"s{number:03}-{place + 1:02}"
            said = Turn(
                where=f"turn {id} of {name}",
                text=text,
                speaker=speaker,
                happened_at=began + timedelta(minutes=place),
                external_id=id,
                run_id=f"s{number:03}",
            )
            drafts.append(draft_turn(said, zone=UTC))
            spoken[-1].append(_Spoken(id=id, text=text, mentor=speaker == mentor))
    end = end_of(drafts)
    questions = tuple(_questions(name, row["sessions"], spoken, end))
    return Dialogue(name=name, drafts=tuple(drafts), questions=questions)


def _turns(text: str, names: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Cut a session at lines that begin with a name; words before the first have no speaker."""
    either = "|".join(map(re.escape, names))
    parts = re.split(rf"^\s*({either}):", text, flags=re.MULTILINE)
    if parts[0].strip():
        yield None, parts[0].strip()
    for speaker, words in zip(parts[1::2], parts[2::2], strict=True):
        if words.strip():
            yield speaker, words.strip()


def _rules(pairs: Iterable[Sequence[Any]]) -> list[_Rule]:
    """Return the rules of a session or a history, each once."""
    found: list[_Rule] = []
    for object, value in pairs:
        if object not in NAMED and object not in DUTIES:
            message = f"object type {str(object)[:60]!r}; allowed: {', '.join([*NAMED, *DUTIES])}"
            raise InvalidInput(message)
        match value:
            case str():
                found.append(_Rule(object, value, True))
            case [str(name), bool(wanted)]:
                found.append(_Rule(object, name, wanted))
            case _:
                found.append(_Rule(object, "", bool(value)))
    return list(dict.fromkeys(found))


def _stating(rule: _Rule, turns: Sequence[_Spoken]) -> list[_Spoken]:
    """Return the turns that state a rule, those of the mentor first."""
    said = [turn for turn in turns if rule.about.search(turn.text)]
    said = [turn for turn in said if rule.named.search(turn.text)] or said
    return sorted(said, key=lambda turn: not turn.mentor)


def _standing_for(rule: _Rule, turns: Sequence[_Spoken]) -> list[_Spoken]:
    """Return the turns that state a rule, or those that stand for it where none does."""
    mentors = [turn for turn in turns if turn.mentor]
    near = [turn for turn in mentors if rule.named.search(turn.text)]
    return _stating(rule, turns) or near or mentors


def _questions(
    name: str,
    sessions: Sequence[Mapping[str, Any]],
    spoken: Sequence[Sequence[_Spoken]],
    end: datetime,
) -> Iterator[Question]:
    """Yield a question for every object the history has rules on."""
    history = "short" if len(sessions) <= SHORT else "long"
    told = [_rules(session["session_regex"]) for session in sessions]
    in_force = _rules(sessions[-1]["history_regex"])
    for object in dict.fromkeys(rule.object for rule in in_force):
        restated: dict[str, str] = {}
        for rule in in_force:
            if rule.object == object:
                restated |= _current(rule, told, spoken)
        gold = tuple(dict.fromkeys(restated.values()))
        stale = [
            turn.id
            for rules, turns in zip(told, spoken, strict=True)
            for rule in rules
            if rule.object == object and rule not in in_force
            for turn in _stating(rule, turns)
            if turn.id not in restated
        ]
        yield Question(
            id=f"{name}/{object}",
            text=question_about(object),
            category=f"{history}-updated" if stale else history,
            gold=gold,
            asked_at=end,
            restated={other: turn for other, turn in restated.items() if other not in gold},
            stale=tuple(dict.fromkeys(stale)),
        )


def _current(
    rule: _Rule, told: Sequence[Sequence[_Rule]], spoken: Sequence[Sequence[_Spoken]]
) -> dict[str, str]:
    """Return the turns that state a rule in force, and for each the gold turn it says again."""
    setting = [turns for rules, turns in zip(told, spoken, strict=True) if rule in rules]
    if not setting or not (latest := _standing_for(rule, setting[-1])):
        return {}
    earlier = [turn for turns in setting[:-1] for turn in _stating(rule, turns)]
    return {turn.id: latest[0].id for turn in (*latest, *earlier)}


TASK = Task(
    name="memorycode",
    title="coding rules a mentor changes, at most 10,000 turns (MemoryCode, not shipped)",
    categories=CATEGORIES,
    apart=frozenset(),
    load=load,
)
