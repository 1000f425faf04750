"""The life of a memory as a table of legal steps.

generated → activated; activated → merged, superseded, archived, expired; merged or superseded →
archived, activated (a revert); archived → activated, expired; all but the expired → quarantined, and
quarantined → any of them, to activated by an approval alone; anything → forgotten, which is the end.
Frozen is a flag of the header, not a state.
"""

from __future__ import annotations

from mnemos.errors import IllegalTransition
from mnemos.types import State

_ASIDE = frozenset({State.QUARANTINED, State.FORGOTTEN})
"""Whatever is there can be put into quarantine, and forgotten."""

LEGAL: dict[State, frozenset[State]] = {
    State.GENERATED: _ASIDE | {State.ACTIVATED},
    State.ACTIVATED: _ASIDE | {State.MERGED, State.SUPERSEDED, State.ARCHIVED, State.EXPIRED},
    State.MERGED: _ASIDE | {State.ARCHIVED, State.ACTIVATED},
    State.SUPERSEDED: _ASIDE | {State.ARCHIVED, State.ACTIVATED},
    State.ARCHIVED: _ASIDE | {State.ACTIVATED, State.EXPIRED},
    State.QUARANTINED: frozenset(State) - {State.GENERATED, State.QUARANTINED},
    State.EXPIRED: frozenset({State.FORGOTTEN}),
    State.FORGOTTEN: frozenset(),
}

FIRST = frozenset({State.GENERATED, State.ACTIVATED, State.QUARANTINED})
"""The states a new cube may start in."""


def check_transition(before: State, after: State) -> None:
    """Pass if the life cycle leads from ``before`` to ``after`` in one step.

    Raises
    ------
    IllegalTransition
        Otherwise; the message lists the steps allowed.

    Examples
    --------
    >>> check_transition(State.ACTIVATED, State.ARCHIVED)
    """
    if after not in LEGAL[before]:
        allowed = ", ".join(sorted(LEGAL[before])) or "nothing: it is the end"
        raise IllegalTransition(f"cannot go from {before} to {after}; allowed: {allowed}")


def check_first(state: State) -> None:
    """Pass if a new cube may start in this state.

    Raises
    ------
    IllegalTransition
        Otherwise.
    """
    if state not in FIRST:
        allowed = ", ".join(sorted(FIRST))
        raise IllegalTransition(f"a new memory cannot start as {state}; allowed: {allowed}")
