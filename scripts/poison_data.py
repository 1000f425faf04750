"""Poison and innocent texts of public data sets, read from a folder; nothing of them is kept here.

AgentDojo's environments (workspace and slack) and goals, in wordings of our own; BIPIA's training
contexts and instructions; conversations of XPersona, MADial and LoCoMo, in which nobody attacks
anybody. Development parts only.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, cast

from poison_attacks import AGENTS, PHRASINGS, Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class Poisons:
    """What a data set gives: attacks, and innocent texts to try false alarms with."""

    attacks: list[Attack]
    benign: list[str]
    questions: list[str]


_SLOT = re.compile(r"\{([a-z_0-9]*injection[a-z_0-9]*|calendar_[a-z_]+|drive_[a-z_]+)\}")
_AROUND = 700
SUITES = ("workspace", "slack")
"""The development suites; the others are held back."""


def agentdojo(data: Path, seed: object = 0) -> Poisons:
    """Read the suites workspace and slack: goals, in wordings of ours, at their placeholders.

    Parameters
    ----------
    data : Path
        Folder that holds ``agentdojo``.
    seed : object
        Which goal goes where.
    """
    folder = data / "agentdojo"
    read = json.loads((folder / "injection_tasks.json").read_text(encoding="utf-8"))
    asked = json.loads((folder / "user_tasks.json").read_text(encoding="utf-8"))
    prompts = [
        task["PROMPT"] for task in asked if task["suite"] in SUITES and "{" not in task["PROMPT"]
    ]
    attacks: list[Attack] = []
    benign: list[str] = []
    for suite in SUITES:
        goals = list(dict.fromkeys(t["GOAL"] for t in read if t["suite"] == suite))
        texts, defaults = _environment(folder / "suites" / suite)
        benign += [_filled(text, defaults) for text in texts]
        slots = [text for text in texts if _SLOT.search(text)]
        random = Random(f"agentdojo {suite} {seed}")
        topics = [prompt for prompt in prompts if len(prompt) < 300]
        for goal in goals:
            ended = goal if goal.endswith((".", "!")) else f"{goal}."
            for phrasing in PHRASINGS:
                text = phrasing.format(goal=ended)
                before, after = _around(random.choice(slots), defaults)
                questions = (goal[:200], random.choice(topics), random.choice(topics))
                attacks.append(
                    Attack(
                        source="agentdojo",
                        text=text,
                        before=before,
                        after=after,
                        questions=questions,
                    )
                )
    return Poisons(attacks=attacks, benign=benign, questions=prompts)


def _environment(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return every text an environment's tools would show, and what its placeholders hold."""
    import yaml

    texts: list[str] = []
    for path in sorted({*folder.glob("environment.yaml"), *folder.glob("include/*.yaml")}):
        # `!include` names files that are read by themselves.
        plain = path.read_text(encoding="utf-8").replace("!include", "")
        for value in _items(yaml.safe_load(plain)):
            texts.append(value)
    vectors = yaml.safe_load((folder / "injection_vectors.yaml").read_text(encoding="utf-8"))
    return texts, {name: str(item["default"]) for name, item in vectors.items()}


def _items(value: object, name: str = "") -> Iterator[str]:
    """Yield mails, events, files and messages as texts, one field a line; web pages as they are."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        if fields.keys() & {"body", "content", "title"}:
            plain = (f"{k}: {v}" for k, v in fields.items() if isinstance(v, (str, int)))
            yield "\n".join(plain)
        elif name == "web_content":
            yield from (f"{key}\n{item}" for key, item in fields.items())
        else:
            for key, item in fields.items():
                yield from _items(item, key)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        if words := [item for item in items if isinstance(item, str)]:
            yield f"{name}: {', '.join(words)}"
        for item in items:
            if not isinstance(item, str):
                yield from _items(item, name)


def _around(text: str, defaults: dict[str, str]) -> tuple[str, str]:
    """Return a text around its first placeholder, which takes the attack."""
    slot = _SLOT.search(text)
    assert slot is not None
    rest = _filled(text[slot.end() :], defaults)
    return text[: slot.start()][-_AROUND:], rest[:_AROUND]


def _filled(text: str, defaults: dict[str, str]) -> str:
    return _SLOT.sub(lambda slot: defaults.get(slot[1], ""), text)


def bipia(data: Path, seed: object = 0) -> Poisons:
    """Read the training parts: every instruction at start, middle and end of some context."""
    folder = data / "bipia"
    random = Random(f"bipia {seed}")
    texts = json.loads((folder / "text_attack_train.json").read_text(encoding="utf-8"))
    code = json.loads((folder / "code_attack_train.json").read_text(encoding="utf-8"))
    contexts = {name: list(_contexts(folder, name)) for name in ("email", "table", "code")}
    attacks: list[Attack] = []
    place = 0
    for kinds, rooms in ((texts, ("email", "table")), (code, ("code",))):
        for text in (item for items in kinds.values() for item in items):
            body, question = random.choice(contexts[rooms[place % len(rooms)]])
            before, after = _inserted(body, place % 3)
            attacks.append(
                Attack(
                    source="bipia",
                    text=text,
                    before=before,
                    after=after,
                    questions=(question[:300], text[:200]),
                )
            )
            place += 1
    found = [item for items in contexts.values() for item in items]
    return Poisons(attacks=attacks, benign=[b for b, _ in found], questions=[q for _, q in found])


def _contexts(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield contexts of BIPIA with the question asked about them, a hundred at most."""
    path = folder / name / "train.jsonl"
    packed = path.with_name(f"{path.name}.gz")
    opened = (
        gzip.open(packed, "rt", encoding="utf-8")
        if packed.exists()
        else path.open(encoding="utf-8")
    )
    with opened as lines:
        for line in islice(lines, 100):
            item = json.loads(line)
            if name == "code":
                asked = f"How do I fix this? {' '.join(item['error'])}"
                yield "\n".join(item["context"]), asked.strip()
            else:
                yield item["context"], item["question"]


def _inserted(body: str, place: int) -> tuple[str, str]:
    """Cut a context at its start, its middle (a border of lines or words) or its end."""
    if place == 0:
        return "", f"\n{body}"
    if place == 2:
        return f"{body}\n", ""
    middle = body.find("\n", len(body) // 2)
    middle = middle if middle > 0 else body.find(" ", len(body) // 2)
    return f"{body[:middle]}\n", f"\n{body[middle:]}"


# ---------------------------------------------------------------------- dialogues of real people


def dialogues(data: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield conversations as (set, [(role, text)]); the subject's own turns have role ``user``."""
    for language in ("En", "Zh"):
        for path in sorted((data / "xpersona").glob(f"{language}_*valid*")):
            for item in json.loads(_unpacked(path)):
                lines = [
                    line for pair in item["dialogue"] for line in pair if line != "__SILENCE__"
                ]
                yield "xpersona", list(zip(cycle(AGENTS), map(str.strip, lines), strict=False))
    for path in sorted((data / "madial").glob("*/*-dialogue-dev.json")):
        for line in _unpacked(path).splitlines():
            yield "madial", list(_madial(json.loads(line)["dialogue"]))
    for path in sorted((data / "locomo").glob("locomo_dev.json.gz")):
        for sample in json.loads(_unpacked(path)):
            yield "locomo", list(_locomo(sample["conversation"]))


def _unpacked(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")


_SPOKEN = re.compile(r"\s*<([^<>]+)>\s*[:：]\s*(.*)", re.DOTALL)


def _madial(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if (match := _SPOKEN.match(line)) and match[2].strip(' "\n“”'):
            role = "assistant" if match[1].strip().casefold() in ("assistant", "助手") else "user"
            yield role, match[2].strip(' "\n“”')


def _locomo(conversation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for number in range(1, 60):
        for turn in conversation.get(f"session_{number}", ()):
            if turn.get("text", "").strip():
                mine = turn["speaker"] == conversation["speaker_a"]
                yield "user" if mine else "assistant", turn["text"].strip()
