"""From the keywords people type to a scope and clean values, with errors that tell the way out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar, cast

from mnemos.errors import InvalidInput, ScopeRequired
from mnemos.kernel.canonical import checked_metadata, encode_json
from mnemos.kernel.governance.grants import check_principal
from mnemos.memories.input_values import checked_string, read_time, shown
from mnemos.types import CURRENT_STATES, Kind, Origin, Scope, State

Port = TypeVar("Port")

MOST_LEVELS = 64
"""Nesting of metadata that is read back wherever the reader stands on its own stack."""


def read_port(name: str, value: Port, *members: str) -> Port:
    """Return a port as given, or None.

    Raises
    ------
    InvalidInput
        If the object lacks what the port needs.
    """
    if value is not None and not all(hasattr(value, member) for member in members):
        raise InvalidInput(
            f"{name}={shown(value)} cannot serve; give an object with {', '.join(members)}, "
            "or leave it out"
        )
    return value


def read_name(name: str, value: object) -> str | None:
    """Return an id as given, or None.

    Raises
    ------
    InvalidInput
        If it is not a non-empty string that can be stored.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{name}={shown(value)} must be a non-empty string")
    return checked_string(value, name)


def read_id(value: object) -> str:
    """Return the id of a memory; None is none."""
    found = read_name("id", value)
    if found is None:
        raise InvalidInput("id=None must be a non-empty string; get_all lists the ids there are")
    return found


def read_string(name: str, value: object, *, instead: str = "give its words") -> str:
    """Return a text with words in it.

    Raises
    ------
    InvalidInput
        If it is not a non-empty string that can be stored.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{name}={shown(value)} must be a non-empty string; {instead}")
    return checked_string(value, name)


def read_path(value: object) -> Path:
    """Return the path of a file.

    Raises
    ------
    InvalidInput
        If it is not a non-empty string or path.
    """
    if not isinstance(value, (str, Path)) or not str(value).strip() or "\0" in str(value):
        raise InvalidInput(f"path={shown(value)} is no file name; give a str or Path")
    return Path(value)


def read_callable(name: str, value: object) -> None:
    """Pass if a call-back is None or can be called.

    Raises
    ------
    InvalidInput
        Otherwise.
    """
    if value is not None and not callable(value):
        raise InvalidInput(f"{name}={shown(value)} cannot be called; give a function")


def read_scope(
    tenant: str,
    *,
    user_id: object = None,
    agent_id: object = None,
    run_id: object = None,
) -> Scope:
    """Return the scope of a call; the user is the subject where one is named, else the agent."""
    user, agent, run = (
        read_name("user_id", user_id),
        read_name("agent_id", agent_id),
        read_name("run_id", run_id),
    )
    if user is not None:
        subject = f"user:{user}"
    elif agent is not None:
        subject, agent = f"agent:{agent}", None
    else:
        subject = "default"
    return Scope(tenant=tenant, subject=subject, agent_id=agent, run_id=run)


def require_scope(verb: str, user_id: object, agent_id: object) -> None:
    """Pass if somebody is named.

    Raises
    ------
    ScopeRequired
        Otherwise.
    """
    if user_id is None and agent_id is None:
        raise ScopeRequired(
            f"{verb} needs user_id or agent_id: without one it would touch everybody's memories"
        )


def read_count(name: str, value: object, *, least: int = 1, most: int = 100_000) -> int:
    """Return a whole number within its bounds.

    Raises
    ------
    InvalidInput
        Otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(
            f"{name}={shown(value)} is not allowed; give a whole number {least}–{most}"
        )
    return value


def read_moment(name: str, value: object, zone: tzinfo) -> datetime | None:
    """Return a moment in UTC from a datetime, an ISO string or unix seconds.

    Raises
    ------
    InvalidInput
        If it is none of these.
    """
    moment = read_time(value, zone=zone, where=name)
    return moment.astimezone(UTC) if moment is not None else None


def read_kinds(value: Kind | str | Iterable[Kind | str] | None) -> frozenset[Kind] | None:
    """Return a set of kinds.

    Raises
    ------
    InvalidInput
        If one of them is unknown.
    """
    if value is None:
        return None
    try:
        return frozenset(Kind(item) for item in ([value] if isinstance(value, str) else value))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"kinds={shown(value)} is not a kind or several; allowed: {', '.join(Kind)}"
        ) from error


def read_origin(value: Origin | str | None) -> Origin | None:
    """Return an origin, or None.

    Raises
    ------
    InvalidInput
        If it is unknown.
    """
    if value is None:
        return None
    try:
        return Origin(value)
    except ValueError as error:
        raise InvalidInput(
            f"origin={shown(value)} is unknown; allowed: {', '.join(Origin)}"
        ) from error


def read_states(value: State | str | Iterable[State | str] | None) -> frozenset[State]:
    """Return a set of life-cycle states; None is what a default view shows.

    Raises
    ------
    InvalidInput
        If one of them is unknown, or is ``forgotten``, of which nothing is left to show.
    """
    if value is None:
        return CURRENT_STATES
    found: frozenset[State] = frozenset()
    with suppress(TypeError, ValueError):  # which leave nothing found, and that is refused
        found = frozenset(State(item) for item in ([value] if isinstance(value, str) else value))
    if not found or State.FORGOTTEN in found:
        allowed = ", ".join(state for state in State if state is not State.FORGOTTEN)
        raise InvalidInput(f"states={shown(value)} is not a state or several; allowed: {allowed}")
    return found


def read_tags(value: object) -> tuple[str, ...]:
    """Return tags as given.

    Raises
    ------
    InvalidInput
        If they are not several non-empty strings.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidInput(
            f"tags={shown(cast('object', value))} must be several strings; give a list of them"
        )
    tags = tuple(cast("Iterable[str]", value))
    for tag in tags:
        if read_name("tag", tag) is None:
            raise InvalidInput("tag=None must be a non-empty string; leave it out")
    return tags


def _read_several(name: str, value: object) -> list[object]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidInput(
            f"{name}={shown(cast('object', value))} must be several strings; give a list of them"
        )
    return list(cast("Iterable[object]", value))


def read_ids(name: str, value: object) -> tuple[str, ...]:
    """Return several ids.

    Raises
    ------
    InvalidInput
        If they are not several non-empty strings.
    """
    return tuple(dict.fromkeys(map(read_id, _read_several(name, value))))


def read_principals(name: str, value: object) -> tuple[str, ...]:
    """Return several principals or groups.

    Raises
    ------
    InvalidInput
        If one of them is none.
    """
    found = (check_principal(item, groups=True) for item in _read_several(name, value))
    return tuple(dict.fromkeys(found))


def read_metadata(value: object) -> dict[str, Any] | None:
    """Return metadata as it will be read back, or None.

    Raises
    ------
    InvalidInput
        If it is not a mapping of strings to what JSON can say.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"metadata={shown(value)} is not allowed; give a dict of string keys and JSON values"
        )
    if not value:
        return {}
    return json.loads(encode_json(checked_metadata(cast("Mapping[str, Any]", value))))
