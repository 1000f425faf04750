"""The life of a memory as a table of legal steps.

generated → activated; activated → merged, superseded, archived, expired; merged or superseded →
archived, activated (a revert); archived → activated, expired; anything → forgotten, which is the
end. Frozen is a flag of the header, not a state.
"""

from __future__ import annotations

from mnemos.errors import IllegalTransition
from mnemos.types import State

LEGAL: dict[State, frozenset[State]] = {
    State.GENERATED: frozenset({State.ACTIVATED, State.FORGOTTEN}),
    State.ACTIVATED: frozenset(
        {State.MERGED, State.SUPERSEDED, State.ARCHIVED, State.EXPIRED, State.FORGOTTEN}
    ),
    State.MERGED: frozenset({State.ARCHIVED, State.ACTIVATED, State.FORGOTTEN}),
    State.SUPERSEDED: frozenset({State.ARCHIVED, State.ACTIVATED, State.FORGOTTEN}),
    State.ARCHIVED: frozenset({State.ACTIVATED, State.EXPIRED, State.FORGOTTEN}),
    State.EXPIRED: frozenset({State.FORGOTTEN}),
    State.FORGOTTEN: frozenset(),
}

FIRST = frozenset({State.GENERATED, State.ACTIVATED})
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
