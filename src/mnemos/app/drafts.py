"""Drafts made by hand, checked before they reach the journal: Python does not check field types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, cast

from mnemos.app.scopes import read_metadata, read_name
from mnemos.errors import InvalidInput
from mnemos.memories.input_values import checked_string, shown
from mnemos.types import (
    Activation,
    Draft,
    Header,
    Kind,
    Link,
    Origin,
    Parameters,
    State,
    Text,
    TimeMention,
)

_NAMES = frozenset(
    "speaker role run_id agent_id caption external_id source method model language owner "
    "sensitivity approved_by".split()
)
_MOMENTS = frozenset({"happened_at", "valid_from", "valid_to", "expires_at"})
_SEVERAL: Mapping[str, type] = {
    "derived_from": str,
    "tags": str,
    "entities": str,
    "access": str,
    "mentions": TimeMention,
    "links": Link,
    "sealed": tuple,
}
_PLAIN: Mapping[str, tuple[type, ...]] = {
    "kind": (Kind,),
    "origin": (Origin,),
    "trust": (int, float),
    "priority": (int,),
    "frozen": (bool,),
    "hold": (bool,),
}

_FIELDS = tuple(item.name for item in fields(Header))
_VALUES: Callable[[object], tuple[Any, ...]] = attrgetter(*_FIELDS)
_DEFAULTS = _VALUES(Header())
_PARTS: Callable[[object], tuple[Any, ...]] = attrgetter("payload", "header", "state")


def check_draft(draft: object) -> Draft:
    """Return a draft if every field is of the type it promises.

    Raises
    ------
    InvalidInput
        Otherwise; the message names the field and what it takes.
    """
    if not isinstance(draft, Draft):
        raise InvalidInput(
            f"drafts holds a {type(draft).__name__}; each must be a Draft (`add` takes texts and "
            "messages)"
        )
    payload, header, state = _PARTS(draft)
    if not isinstance(payload, (Text, Activation, Parameters)):
        raise _wrong("payload", payload, "a Text, Activation or Parameters")
    if isinstance(payload, Text):
        checked_string(payload.text, "text of a draft")
    if not isinstance(header, Header):
        raise _wrong("header", header, "a Header")
    if not isinstance(state, State):
        raise _wrong("state", state, "a State")
    for name, value, default in zip(_FIELDS, _VALUES(header), _DEFAULTS, strict=True):
        if value is not default:
            _check(name, value)
    check_validity(header.valid_from, header.valid_to)
    return draft


def check_validity(start: datetime | None, end: datetime | None) -> None:
    """Pass if a memory is true for some time.

    Raises
    ------
    InvalidInput
        If it would cease to be true before it began.
    """
    if start is not None and end is not None and end <= start:
        raise InvalidInput(
            f"valid_to={end.isoformat()} is not after valid_from={start.isoformat()}; give a "
            "later end, or leave one of them out"
        )


def _check(name: str, value: Any) -> None:
    if name in _NAMES:
        read_name(name, value)
    elif name == "metadata":
        read_metadata(value)
    elif name in _MOMENTS:
        if value is not None and not (isinstance(value, datetime) and value.tzinfo):
            raise _wrong(name, value, "an aware datetime, or None")
    elif name in _SEVERAL:
        kind = _SEVERAL[name]
        items = cast("tuple[object, ...]", value)
        if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in items):
            raise _wrong(name, items, f"a tuple of {kind.__name__}")
    else:
        kinds = _PLAIN[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _wrong(name, value, " or ".join(kind.__name__ for kind in kinds))


def _wrong(name: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{name}={shown(value)} is not allowed; give {allowed}")
