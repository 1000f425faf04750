"""The numbers a task is expected to give: written by the tool, checked in continuous integration.

``bench/expected/<task>.json`` holds, for each setting (``words``, or an embedder's fingerprint),
the means of quality. Only quality is checked, never a timing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnemos.bench.differences import Difference, Means, compare_means, means_of
from mnemos.bench.record import WORDS, RunRecord, setting_of
from mnemos.errors import InvalidInput

FOLDER = Path(__file__).parent / "expected"
TOLERANCE = 0.005
"""Half a point: largest absolute change of a mean that passes."""

MODEL_FLIPS = 1
"""Questions per category that another processor may decide otherwise where a model takes part: the
last bits of its vectors depend on the machine's instructions, and a near tie on the last bits."""

DIGITS = 4


def expected_file(task: str) -> Path:
    """Return where the expected numbers of a task lie in the package."""
    return FOLDER / f"{task}.json"


def write_expected(record: RunRecord, path: Path | None = None) -> Path:
    """Write the numbers of a record as the expected ones of its setting; the others stay.

    Parameters
    ----------
    record : RunRecord
        A run of the whole task.
    path : Path or None
        File to write; None is the one in the package.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    InvalidInput
        If it cannot be written.
    """
    target = path or expected_file(record.task)
    known: dict[str, Any] = _read(target)["settings"] if target.is_file() else {}
    known[setting_of(record)] = {
        "command": record.command,
        "data_sha256": record.data_sha256,
        "ranker": record.ranker,
        "tokens": record.parameters["tokens"],
        "quality": _rounded(means_of(record.quality)),
        "floor": _rounded(means_of(record.floor)),
    }
    value = {"task": record.task, "tolerance": TOLERANCE, "settings": dict(sorted(known.items()))}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        message = f"{target} cannot be written ({error.strerror}); run it in a source checkout"
        raise InvalidInput(message) from error
    return target


def check_expected(record: RunRecord, path: Path | None = None) -> list[Difference]:
    """Return what a record has otherwise than expected; nothing where all is well.

    Shares of evidence kept depend on who counts tokens, and are compared only where the same
    counter did.

    Parameters
    ----------
    record : RunRecord
        A run of the whole task.
    path : Path or None
        File to check against; None is the one in the package.

    Raises
    ------
    InvalidInput
        If there are no expected numbers for the task or its setting.
    """
    source = path or expected_file(record.task)
    settings: dict[str, Any] = _read(source)["settings"]
    setting = setting_of(record)
    if setting not in settings:
        message = (
            f"{source.name} has no numbers for {setting!r}, only for {', '.join(settings)}; "
            "write them with --write-expected"
        )
        raise InvalidInput(message)
    wanted: Mapping[str, Any] = settings[setting]
    same_counter = wanted["tokens"] == record.parameters["tokens"]
    found = [
        Difference(what=name, before=wanted[name], after=value)
        for name, value in (("data_sha256", record.data_sha256), ("ranker", record.ranker))
        if wanted[name] != value
    ]
    for name, rows in (("quality", record.quality), ("floor", record.floor)):
        before, after = _comparable(wanted[name], same_counter), means_of(rows)
        after = _comparable(after, same_counter)
        flips = 0 if setting == WORDS else MODEL_FLIPS
        found.extend(compare_means(before, after, tolerance=TOLERANCE, flips=flips, name=name))
    return found


def _comparable(means: Means, with_kept: bool) -> Means:
    return {
        group: {key: value for key, value in row.items() if with_kept or "kept@" not in key}
        for group, row in means.items()
    }


def _rounded(means: Means) -> dict[str, dict[str, float]]:
    return {
        group: {key: round(value, DIGITS) for key, value in row.items()}
        for group, row in means.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        message = f"there are no expected numbers at {path.name}; write them with --write-expected"
        raise InvalidInput(message) from error
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({error}); delete it and use --write-expected"
        raise InvalidInput(message) from error
    return value
