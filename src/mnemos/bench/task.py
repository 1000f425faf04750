"""What a task hands to the runner: conversations as drafts, and questions with their gold turns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from mnemos.errors import InvalidInput
from mnemos.types import Draft


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about one conversation.

    Parameters
    ----------
    id : str
        Unique in its task.
    text : str
        As it is asked.
    category : str
        One of the task's categories.
    gold : tuple of str
        External ids of the turns that hold the answer; empty where there is none.
    asked_at : datetime
        The moment of asking.
    restated : mapping of str to str
        Turns that say the same as a gold turn, and which one; finding them is as good.
    stale : tuple of str
        Turns with a value no longer valid, which the gold should outrank.
    """

    id: str
    text: str
    category: str
    gold: tuple[str, ...]
    asked_at: datetime
    restated: Mapping[str, str] = field(default_factory=_nothing)
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialogue:
    """One conversation, its turns in order, and what is asked about it."""

    name: str
    drafts: tuple[Draft, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskData:
    """What a task read: its conversations, and the SHA-256 of the files they came from."""

    dialogues: tuple[Dialogue, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task: what it is called, how its questions divide, and how its data is read.

    Parameters
    ----------
    name : str
        The name of its file in ``bench/tasks``.
    title : str
        One line for a list.
    categories : tuple of str
        In the order they are reported.
    apart : frozenset of str
        Categories reported, but no part of "overall".
    load : callable
        Reads the data from the path the caller names, or the shipped data from None.
    shipped : bool
        Whether the data lies in the package.
    """

    name: str
    title: str
    categories: tuple[str, ...]
    apart: frozenset[str]
    load: Callable[[Path | None], TaskData]
    shipped: bool = False


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files one after the other."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def end_of(drafts: Iterable[Draft]) -> datetime:
    """Return when the last turn of a conversation was said.

    Raises
    ------
    InvalidInput
        If no turn says when.
    """
    said = [draft.header.happened_at for draft in drafts if draft.header.happened_at is not None]
    if not said:
        message = "no turn of the conversation has a time; a question needs a moment of asking"
        raise InvalidInput(message)
    return max(said).astimezone(UTC)
