"""The one place that builds views: what a principal may read, of which page, at which moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mnemos.errors import InvalidInput
from mnemos.kernel.schema import MAIN
from mnemos.types import CURRENT_STATES, Kind, Scope, State, View

ALL_STATES = frozenset(State) - {State.FORGOTTEN}
"""Everything that is still there, archived and superseded included."""


def open_view(
    scope: Scope,
    *,
    now: datetime,
    principal: str = "owner",
    as_of: int | None = None,
    valid_at: datetime | None = None,
    ended: bool = False,
    branch: int = MAIN,
    kinds: Iterable[Kind] | None = None,
    states: Iterable[State] = CURRENT_STATES,
) -> View:
    """Return the view a principal has of one subject's page.

    Embedded there is one principal, ``owner``, with all rights: here scope is isolation, not
    security.

    Raises
    ------
    InvalidInput
        If ``now`` or ``valid_at`` has no time zone, or ``as_of`` is negative.
    """
    if now.tzinfo is None:
        raise InvalidInput(f"now={now!r} has no time zone; pass an aware datetime")
    if valid_at is not None and valid_at.tzinfo is None:
        raise InvalidInput(f"valid_at={valid_at!r} has no time zone; pass an aware datetime")
    if as_of is not None and as_of < 0:
        raise InvalidInput(f"as_of={as_of!r} is not a journal position; allowed: 0 and above")
    return View(
        scope=scope,
        principal=principal,
        branch=branch,
        as_of=as_of,
        valid_at=valid_at,
        ended=ended,
        now=now,
        kinds=frozenset(kinds) if kinds is not None else None,
        states=frozenset(states),
    )
