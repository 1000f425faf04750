"""Check values callers and files hand over: strings that can be stored, and moments.

Error messages say where, what was found and what is allowed; they never repeat more than
:data:`MAX_SHOWN` characters of the caller's words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import cast

from mnemos.errors import InvalidInput

MAX_ID_BITS = 128
"""Largest number that serves as an id."""

MAX_SHOWN = 60
"""Most characters of the caller's text an error message repeats."""


def optional_string(value: object, what: str, where: str) -> str | None:
    """Check a header string; a number serves as an id or a session."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and what in ("id", "session"):
        if value.bit_length() > MAX_ID_BITS:
            problem = f"{what} of {where} is {shown(value)}; allowed: up to {MAX_ID_BITS} bits"
            raise InvalidInput(problem)
        return str(value)
    return checked_string(value, f"{what} of {where}") or None


def checked_string(value: object, what: str) -> str:
    """Return ``value`` if it is a str that UTF-8 can hold; ``what`` names it in the error."""
    if not isinstance(value, str):
        problem = f"{what} is {_typed(value)}; allowed: str"
        raise InvalidInput(problem)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        problem = (
            f"{what} has a lone surrogate at position {error.start}, which UTF-8 cannot hold;"
            ' repair it with text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        )
        raise InvalidInput(problem) from None
    return value


def _typed(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"


def shown(value: object) -> str:
    """Return ``value`` for an error message, cut to :data:`MAX_SHOWN` characters.

    Examples
    --------
    >>> shown("moderator")
    "'moderator'"
    """
    if isinstance(value, str):
        cut = value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"
        return ascii(cut) if not cut.isprintable() else repr(cut)
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an int of {value.bit_length()} bits"
    if value is None or isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def read_time(value: object, *, zone: tzinfo, where: str) -> datetime | None:
    """Read an ISO string, unix seconds or a datetime as an aware time in ``zone``.

    Raises
    ------
    InvalidInput
        Anything else, or a moment outside the years 1 to 9999.

    Examples
    --------
    >>> from datetime import UTC
    >>> read_time("2025-03-04T18:00", zone=UTC, where="message 1").isoformat()
    '2025-03-04T18:00:00+00:00'
    """
    if value is None:
        return None
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = _from_unix(value)
        else:
            moment = None
        if moment is not None:
            aware = moment.replace(tzinfo=zone) if moment.utcoffset() is None else moment
            return aware.astimezone(UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        pass
    problem = (
        f"{where} has the time {shown(value)}; allowed: an ISO 8601 string such as"
        " '2025-03-04T18:00:00+01:00', unix seconds, or a datetime"
    )
    raise InvalidInput(problem)


def _from_unix(seconds: float) -> datetime:
    if not math.isfinite(seconds):
        problem = "not a moment"
        raise ValueError(problem)
    return datetime.fromtimestamp(seconds, tz=UTC)


def later(moment: datetime, seconds: int) -> datetime:
    """Return ``moment`` so many seconds on; itself at the end of the calendar."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return moment


def fields_of(value: object) -> Mapping[str, object]:
    """Return ``value`` as the fields of a JSON object; no fields where it is something else."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value)
    nothing: dict[str, object] = {}
    return nothing
