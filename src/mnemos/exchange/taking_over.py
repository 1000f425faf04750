"""From archived versions to changes: the versions of a memory written anew, one after another.

An archive is a file from outside, whoever says they made it: what it brings is of origin
``import`` where it claims to be the user's or the agent's own words, and trusted no more than a
document. Everything else in the header stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from mnemos.exchange.archive import Archived
from mnemos.kernel import lifecycle
from mnemos.kernel.changes import Add, Amend, Change, Transition, Update
from mnemos.kernel.commit import FLAGS
from mnemos.types import Draft, Header, Origin, State

MOST_TRUST = 0.5
"""What a document is trusted, the most an import can be."""

_OWN_WORDS = frozenset({Origin.USER, Origin.AGENT})


def taken_over(header: Header) -> Header:
    """Return the header under which an archived version is written.

    Examples
    --------
    >>> taken_over(Header(origin=Origin.USER, trust=1.0)).trust
    0.5
    >>> taken_over(Header(origin=Origin.TOOL, trust=0.3)).origin.value
    'tool'
    """
    origin = Origin.IMPORT if header.origin in _OWN_WORDS else header.origin
    return replace(header, origin=origin, trust=min(header.trust, MOST_TRUST), approved_by=None)


def draft_of(version: Archived) -> Draft:
    """Return an archived version as a draft."""
    return Draft(payload=version.payload, header=taken_over(version.header), state=version.state)


def changes_of(versions: Sequence[Archived]) -> list[Change]:
    """Return what writes the versions of one memory anew, in order."""
    changes: list[Change] = []
    before: Draft | None = None
    for version in versions:
        draft = draft_of(version)
        if before is None:
            changes.extend(_first(version.id, draft))
        else:
            changes.extend(_next(version.id, before, draft))
        before = draft
    return changes


def _first(id: str, draft: Draft) -> list[Change]:
    if draft.state in lifecycle.FIRST:
        return [Add(id=id, draft=draft)]
    steps = _steps(State.ACTIVATED, draft.state)
    first = Add(id=id, draft=replace(draft, state=State.ACTIVATED))
    return [first, *(Transition(id=id, state=state) for state in steps)]


def _next(id: str, before: Draft, draft: Draft) -> list[Change]:
    steps = _steps(before.state, draft.state)
    changed = _differences(before.header, draft.header)
    if draft.payload == before.payload and not changed:
        return [Transition(id=id, state=state) for state in steps]
    if draft.payload == before.payload and changed.keys() <= FLAGS and not steps:
        return [Amend(id=id, fields=changed)]
    way: list[Change] = [Transition(id=id, state=state) for state in steps[:-1]]
    return [*way, Update(id=id, draft=draft)]


def _differences(before: Header, after: Header) -> dict[str, Any]:
    return {
        item.name: getattr(after, item.name)
        for item in fields(Header)
        if getattr(after, item.name) != getattr(before, item.name)
    }


def _steps(before: State, after: State) -> list[State]:
    """Return the shortest legal way from one state to another; where none is, the step itself.

    A rollback may have gone where no single step leads.
    """
    if before == after:
        return []
    ways: list[list[State]] = [[before]]
    seen = {before}
    for way in ways:
        for state in sorted(lifecycle.LEGAL[way[-1]] - seen - {State.FORGOTTEN}):
            if state == after:
                return [*way[1:], state]
            seen.add(state)
            ways.append([*way, state])
    return [after]
