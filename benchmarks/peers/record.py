"""What a run leaves: one entry for each peer, and the run around them, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mnemos.errors import InvalidInput

FORMAT = 1
"""Version of the JSON; a file of another one is refused."""

Ranks = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What writing and searching took.

    Parameters
    ----------
    add_seconds, add_cpu_ms : float
        Wall seconds of the whole ingest; processor milliseconds for each memory, all threads.
    search_ms_p50, search_ms_p95, search_cpu_ms : float
        Wall milliseconds of a search for ten; the median of processor milliseconds.
    rss_mb : float or None
        Resident memory after ingest and searches less that of the store just opened, in MiB.
    bytes_per_memory : float
        Files in its folder once closed, by the number of memories.
    """

    add_seconds: float
    add_cpu_ms: float
    search_ms_p50: float
    search_ms_p95: float
    search_cpu_ms: float
    rss_mb: float | None
    bytes_per_memory: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Kills:
    """Writes acknowledged before ``kill -9``, and how many were not found after it, by trial."""

    acknowledged: tuple[int, ...]
    lost: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Second:
    """A second process that opened and wrote while a first had the store open.

    Parameters
    ----------
    opened : bool
        Whether it could.
    acknowledged, lost : int
        Writes of both processes, and how many were not found afterwards.
    reason : str
        Why it failed, where it did.
    """

    opened: bool
    acknowledged: int
    lost: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One peer in one run.

    Parameters
    ----------
    name, kept, package, version, licence, note : str or None
        As the catalogue has them.
    bulk : bool
        Whether it was filled by its own call for many.
    failed : str or None
        Why there is nothing below.
    ranks : mapping
        For each question that was asked, the ranks of its gold among twenty.
    costs, kills, second : or None
        What was measured; None is not measured.
    """

    name: str
    kept: str
    package: str | None
    version: str
    licence: str
    bulk: bool
    note: str = ""
    failed: str | None = None
    ranks: Mapping[str, Ranks] = field(default_factory=dict[str, Ranks])
    costs: Costs | None = None
    kills: Kills | None = None
    second: Second | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run: its data, its machine, and an entry for each peer."""

    command: str
    task: str
    data_sha256: str
    embedder: str
    memories: int
    questions: int
    seed: int
    platform: str
    python: str
    cores: int
    load: tuple[float, float]
    entries: tuple[Entry, ...]


def to_json(run: Run) -> str:
    """Return a run as JSON text."""
    return json.dumps({"format": FORMAT, **asdict(run)}, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str, where: str = "record") -> Run:
    """Return the run that :func:`to_json` wrote.

    Raises
    ------
    InvalidInput
        If it is none, or one of another format.
    """
    try:
        value = json.loads(text)
        format = value.pop("format")
        value["entries"] = tuple(_entry(item) for item in value["entries"])
        value["load"] = tuple(value["load"])
        run = Run(**value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{where} is no record of a run ({error!r}); run the peers again with --out"
        raise InvalidInput(message) from error
    if format != FORMAT:
        message = f"{where} has format {format!r}; allowed: {FORMAT}, run the peers again"
        raise InvalidInput(message)
    return run


def load(path: Path) -> Run:
    """Read the record at a path.

    Raises
    ------
    InvalidInput
        If there is none, or it is something else.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read ({error}); name a record written by --out"
        raise InvalidInput(message) from error
    return from_json(text, path.name)


def _entry(value: dict[str, object]) -> Entry:
    fields: dict[str, object] = dict(value)
    ranks = fields["ranks"]
    assert isinstance(ranks, dict)
    fields["ranks"] = {id: tuple(found) for id, found in ranks.items()}
    if isinstance(kills := fields["kills"], dict):
        fields["kills"] = Kills(
            acknowledged=tuple(kills["acknowledged"]),
            lost=tuple(kills["lost"]),
            reason=kills["reason"],
        )
    for name, kind in (("costs", Costs), ("second", Second)):
        if isinstance(inner := fields[name], dict):
            fields[name] = kind(**inner)
    return Entry(**fields)  # type: ignore[arg-type]
