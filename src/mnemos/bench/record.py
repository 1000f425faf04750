"""A run as a value: everything needed to read it, check it and run it again, as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnemos.bench.metrics import Interval
from mnemos.errors import InvalidInput

FORMAT = 1
"""Version of the JSON; a file of another one is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one system found for one question.

    Parameters
    ----------
    ranks : tuple of (int or None)
        Rank of each gold turn, in the question's order; None is beyond the depth searched.
    session_recall : float
        Share of the gold's sessions among the first five, sessions ranked by their first turn.
    stale : int or None
        Best rank of a turn with a value no longer valid.
    """

    ranks: tuple[int | None, ...]
    session_recall: float
    stale: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionResult:
    """One question's result.

    Parameters
    ----------
    id, category : str
        Whose result it is.
    gold : tuple of str
        The gold turns; empty for a question without an answer, which is not scored.
    ours, floor : Found
        What Mnemos and the BM25 floor found.
    contested : bool
        Whether there are stale turns to outrank.
    kept : mapping of str to float
        For each token budget the share of the gold that stands in the packed context.
    ms, embedding_ms : float
        Wall milliseconds of the search by its trace, and those of them spent embedding.
    """

    id: str
    category: str
    gold: tuple[str, ...]
    ours: Found
    floor: Found
    contested: bool
    kept: Mapping[str, float]
    ms: float
    embedding_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Means over the questions of one category, with their intervals, by name of the measure."""

    n: int
    values: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run of one task.

    Parameters
    ----------
    task : str
        Its name.
    data : str or None
        Path as given; None is the shipped data.
    data_sha256 : str
        Of the files read.
    seed : int
        Of the intervals.
    parameters : mapping
        ``ks``, ``budgets``, ``depth``, ``resamples``, ``level``, and ``tokens``: who counted.
    ranker : str
        Name of the ranker.
    embedder : str or None
        Fingerprint; None recalled by words only.
    version, python, platform : str
        Of Mnemos, of Python, and the machine's kind.
    dialogues, memories : int
        How much was remembered.
    quality, floor, gain : mapping of str to Row
        By category and for ``overall``: Mnemos, BM25, and the paired difference of the two.
    cost : mapping of str to float
        Milliseconds, bytes and seconds; see :mod:`mnemos.bench.runner`.
    questions : tuple of QuestionResult
        In the order asked.
    """

    task: str
    data: str | None
    data_sha256: str
    seed: int
    parameters: Mapping[str, Any]
    ranker: str
    embedder: str | None
    version: str
    python: str
    platform: str
    dialogues: int
    memories: int
    quality: Mapping[str, Row]
    floor: Mapping[str, Row]
    gain: Mapping[str, Row]
    cost: Mapping[str, float]
    questions: tuple[QuestionResult, ...]

    @property
    def command(self) -> str:
        """The command line that makes this record."""
        data = f" --data {self.data}" if self.data is not None else ""
        return f"mnemos bench {self.task}{data}" + ("" if self.embedder else " --no-embedder")


def to_json(record: RunRecord) -> str:
    """Return a record as JSON text."""
    value = {"format": FORMAT, "command": record.command, **asdict(record)}
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str, where: str = "record") -> RunRecord:
    """Return the record that :func:`to_json` wrote.

    Raises
    ------
    InvalidInput
        If it is no record, or one of another format.
    """
    try:
        value: dict[str, Any] = json.loads(text)
        format = value["format"]
        fields = {key: value[key] for key in RunRecord.__dataclass_fields__}
        for key in ("quality", "floor", "gain"):
            fields[key] = {name: _row(row) for name, row in value[key].items()}
        fields["questions"] = tuple(_question(item) for item in value["questions"])
        record = RunRecord(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{where} is no record of a run ({error!r}); run the task again with --out"
        raise InvalidInput(message) from error
    if format != FORMAT:
        message = f"{where} has format {format!r}; allowed: {FORMAT}, run the task again"
        raise InvalidInput(message)
    return record


def _row(value: Mapping[str, Any]) -> Row:
    return Row(n=value["n"], values={name: Interval(**x) for name, x in value["values"].items()})


def _found(value: Mapping[str, Any]) -> Found:
    fields: dict[str, Any] = dict(value)
    fields["ranks"] = tuple(value["ranks"])
    return Found(**fields)


def _question(value: Mapping[str, Any]) -> QuestionResult:
    fields: dict[str, Any] = dict(value)
    fields["gold"] = tuple(value["gold"])
    fields["ours"], fields["floor"] = _found(value["ours"]), _found(value["floor"])
    return QuestionResult(**fields)


WORDS = "words"
"""The setting without an embedder."""


def setting_of(record: RunRecord) -> str:
    """Return what a record was measured with: ``words``, or the embedder's fingerprint."""
    return record.embedder or WORDS


def save(record: RunRecord, folder: Path) -> Path:
    """Write a record into a folder, made where there is none; return its path.

    A record of the same task, data, embedder and seed is replaced.

    Raises
    ------
    InvalidInput
        If it cannot be written.
    """
    setting = re.sub(r"[^\w.-]+", "_", setting_of(record))
    path = folder / f"{record.task}-{record.data_sha256[:8]}-{setting}-seed{record.seed}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(record), "utf-8")
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); name another folder with --out"
        raise InvalidInput(message) from error
    return path


def load(path: Path) -> RunRecord:
    """Read a record that :func:`save` wrote.

    Raises
    ------
    InvalidInput
        If there is none, or the file is something else.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read ({error}); name a record written by --out"
        raise InvalidInput(message) from error
    return from_json(text, path.name)
