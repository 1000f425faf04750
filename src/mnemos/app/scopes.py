"""From the keywords people type to a scope and clean values, with errors that tell the way out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

from mnemos.errors import InvalidInput, ScopeRequired
from mnemos.kernel.canonical import encode_json
from mnemos.memories.readers import read_time
from mnemos.types import Kind, Scope


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
        raise InvalidInput(f"{name}={value!r} must be a non-empty string")
    encode_json(value)
    return value


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
        raise InvalidInput(f"{name}={value!r} is not allowed; give a whole number {least}–{most}")
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
    given = [value] if isinstance(value, str) else list(value)
    try:
        return frozenset(Kind(item) for item in given)
    except ValueError as error:
        allowed = ", ".join(Kind)
        raise InvalidInput(f"kinds={given!r} holds an unknown kind; allowed: {allowed}") from error
