"""Values of filters: read from what a caller handed over, compared with what a memory holds.

What a caller hands over may be a subclass that answers falsely or raises. So types are asked of
``type``, never of the object, and contents are read by the methods of dict, list, tuple, str,
int and float themselves.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple, cast

from mnemos.errors import InvalidInput
from mnemos.kernel.canonical import microseconds, moment

MOST_LEVELS = 16
"""Levels of AND, OR and NOT, and of a JSON value to compare with."""

MOST_IN_LIST = 1_000
"""Values of one list."""

MOST_CHARACTERS = 4_096
"""Characters of one string."""

MOST_BITS = 1_024
"""Bits of a whole number: what a float reaches."""

MAX_SHOWN = 60
"""Most characters of the caller's text an error message repeats."""

_ITEMS = dict[object, object].items
_COPY = list[object].copy
_EACH = tuple[object, ...].__iter__

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
"""Operators that order two values of one type."""


class Value(NamedTuple):
    """A value with its type beside it, so that 1 and true differ, and 1 and 1.0 do not.

    ``type`` is text, number, boolean, null, list (a tuple of values) or object (a frozenset of
    names with values); moment (microseconds since 1970 UTC) and several (the texts of ``tags``);
    and for what operators compare with: set (a frozenset of values) and span (two moments).
    """

    type: str
    value: Any


NOTHING = Value("null", None)
"""What a key that is not set holds."""


# ------------------------------------------------------------------------- what a caller gave


def shown(value: object) -> str:
    """Return what a caller gave for an error message, cut to :data:`MAX_SHOWN` characters.

    >>> shown("fakt"), shown([1])
    ("'fakt'", 'a list')
    """
    kind = type(value)
    if issubclass(kind, str):
        text = str.__str__(cast("str", value))
        cut = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
        return repr(cut) if cut.isprintable() else ascii(cut)
    if kind is float or kind is bool or value is None:
        return repr(value)
    if kind is int:
        bits = cast("int", value).bit_length()
        return repr(value) if bits <= 128 else f"a whole number of {bits} bits"
    name = kind.__name__
    return f"a {name[:MAX_SHOWN]}" if name.isprintable() else "an object"


def read_pairs(value: object, most: int) -> list[tuple[object, object]] | None:
    """Return the items of a dict; None for anything else.

    Raises
    ------
    InvalidInput
        If there are more than ``most``.
    """
    if not issubclass(type(value), dict):
        return None
    pairs = list(_ITEMS(cast("dict[object, object]", value)))
    if len(pairs) > most:
        raise InvalidInput(f"a filter object has {len(pairs)} keys; allowed: up to {most}")
    return pairs


def read_items(value: object) -> list[object] | None:
    """Return the items of a list or tuple; None for anything else.

    Raises
    ------
    InvalidInput
        If there are more than :data:`MOST_IN_LIST`.
    """
    if issubclass(type(value), list):
        items = _COPY(cast("list[object]", value))
    elif issubclass(type(value), tuple):
        items = list(_EACH(cast("tuple[object, ...]", value)))
    else:
        return None
    if len(items) > MOST_IN_LIST:
        raise InvalidInput(f"a filter list has {len(items)} values; allowed: up to {MOST_IN_LIST}")
    return items


def read_text(value: object, where: str) -> str | None:
    """Return a string as a plain one; None for anything else.

    Raises
    ------
    InvalidInput
        If it is longer than :data:`MOST_CHARACTERS`, or UTF-8 cannot hold it.
    """
    if not issubclass(type(value), str):
        return None
    text = str.__str__(cast("str", value))
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(
            f"{where}: a string of {len(text)} characters; allowed: up to {MOST_CHARACTERS}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{where}: a lone surrogate at position {error.start}, which UTF-8 cannot hold; "
            'repair it with text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from None
    return text


def read_number(value: object) -> int | float | None:
    """Return a finite number, whole where it can be; None for anything else.

    >>> read_number(3.0), read_number(0.5), read_number(True)
    (3, 0.5, None)
    """
    kind = type(value)
    if issubclass(kind, int) and not issubclass(kind, bool):
        whole = int.__int__(cast("int", value))
        return whole if whole.bit_length() <= MOST_BITS else None
    if not issubclass(kind, float):
        return None
    plain = float.__float__(cast("float", value))
    if not math.isfinite(plain):
        return None
    return int(plain) if plain.is_integer() else plain


def read_moment(value: object, zone: tzinfo, where: str) -> int | None:
    """Return a moment as microseconds since 1970 UTC; None for anything else.

    >>> read_moment("1970-01-01T00:00:01", UTC, "since"), read_moment(2, UTC, "since")
    (1000000, 2000000)
    """
    kind = type(value)
    text = read_text(value, where)
    seconds = read_number(value)
    try:
        if issubclass(kind, datetime):
            # a subclass may do its own arithmetic; its ISO form is read like any other
            given = cast("datetime", value)
            read = given if kind is datetime else datetime.fromisoformat(datetime.isoformat(given))
        elif text is not None:
            read = datetime.fromisoformat(text.strip())
        elif seconds is not None:
            read = datetime.fromtimestamp(seconds, tz=UTC)
        else:
            return None
        aware = read.replace(tzinfo=zone) if read.utcoffset() is None else read
        return microseconds(aware.astimezone(UTC))
    except (ValueError, OverflowError, OSError, TypeError, NotImplementedError):
        return None


# ------------------------------------------------------------------------ what a memory holds


def typed(value: object, room: int = MOST_LEVELS) -> Value:
    """Return a stored JSON value with its type.

    What lies deeper than a filter reaches equals no filter's value, so it is cut off.

    >>> typed(1) == typed(1.0), typed(1) == typed(True)
    (True, False)
    """
    match value:
        case None:
            return NOTHING
        case bool():
            return Value("boolean", value)
        case int() | float():
            return Value("number", value)
        case str():
            return Value("text", value)
        case list() | tuple() if room:
            items = cast("list[object]", value)
            return Value("list", tuple(typed(item, room - 1) for item in items))
        case Mapping() if room:
            pairs = cast("Mapping[object, object]", value).items()
            return Value("object", frozenset((key, typed(item, room - 1)) for key, item in pairs))
        case _:
            return Value("deeper", None)


def plain(value: Value) -> Any:
    """Return a value as JSON.

    >>> plain(typed({"b": [1, None], "a": "x"}))
    {'a': 'x', 'b': [1, None]}
    """
    match value.type:
        case "moment":
            return moment(value.value).isoformat()
        case "span":
            return [moment(end).isoformat() for end in value.value]
        case "list" | "set":
            return [plain(item) for item in value.value]
        case "object":
            return {key: plain(item) for key, item in sorted(value.value)}
        case _:
            return value.value


# ----------------------------------------------------------------------------- comparing them


def passes(operator: str, found: Value, wanted: Value) -> bool:
    """Return whether what was found under a key stands in a relation to what is wanted.

    >>> passes("gte", typed(3), typed(2.5)), passes("gte", typed("3"), typed(2.5))
    (True, False)
    """
    match operator:
        case "ne":
            return not passes("eq", found, wanted)
        case "nin":
            return not passes("in", found, wanted)
        case "eq":
            return wanted in found.value if found.type == "several" else found == wanted
        case "in":
            each: tuple[Value, ...] = found.value if found.type == "several" else (found,)
            return not wanted.value.isdisjoint(each)
        case "exists":
            return (found != NOTHING) == wanted.value
        case "contains":
            return _contains(found, wanted)
        case "icontains":
            return _contains(_folded(found), _folded(wanted))
        case "between":
            return found.type == "moment" and wanted.value[0] <= found.value < wanted.value[1]
        case _:
            return found.type == wanted.type and ORDER[operator](found.value, wanted.value)


def _contains(found: Value, wanted: Value) -> bool:
    if found.type in ("several", "list"):
        return wanted in found.value
    return found.type == wanted.type == "text" and wanted.value in found.value


def _folded(value: Value) -> Value:
    """Return a text, or the texts of a list, without regard to case."""
    if value.type in ("several", "list"):
        return Value("list", tuple(map(_folded, value.value)))
    return Value("text", value.value.casefold()) if value.type == "text" else value
