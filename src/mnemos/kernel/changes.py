"""What a call wants to happen, as data: checked by the kernel, committed all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mnemos.types import Draft, Kind, Scope, State


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Add:
    """Write a new cube under ``id``.

    Where the draft's ``external_id`` is taken by the same content nothing is written; by other
    content it is a conflict, or with ``replace`` a new version of that cube. ``timed`` is False
    where the caller did not say when it happened: then times are no part of that comparison.
    """

    id: str
    draft: Draft
    replace: bool = False
    timed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """Write a new version of ``id``; the old one stays in the history.

    ``expected`` is the number of the version it was made from: another live one is a conflict.
    """

    id: str
    draft: Draft
    expected: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """Move the current version of ``id`` to another life-cycle state.

    With ``successor``, only if that memory is there: one that is not derived again, because it was
    forgotten, takes nobody's place. It must be as trusted as what it follows.
    """

    id: str
    state: State
    successor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amend:
    """Write a new version of ``id`` with the same payload and some header fields changed.

    The only change a frozen memory accepts is one that sets ``frozen`` or ``hold``. A ``successor``
    that ends the truth of this memory must be as trusted as it.
    """

    id: str
    fields: Mapping[str, Any]
    successor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Approve:
    """Let a memory out of quarantine: vouched for, or as data that stays quoted."""

    id: str
    as_data: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Revert:
    """Make an earlier version of ``id`` (its number, from 1) the current one again."""

    id: str
    version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forget:
    """Erase every version of ``id`` and of everything derived from it.

    With ``sources`` what it was derived from goes too; without, a derived memory is not derived
    again from the sources that stay.
    """

    id: str
    sources: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Give a journal position of the branch a name; ``id`` names the record."""

    id: str
    name: str
    at: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DropSnapshot:
    """Take a snapshot's name away; what it named stays."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """Begin a branch at a journal position of this one; ``id`` names the record."""

    id: str
    name: str
    at: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """Append inverse versions until the branch says what it said at position ``to``."""

    id: str
    to: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeBranch:
    """Bring what a branch changed into this one, its parent.

    ``resolve`` says for cubes changed on both which side stays: ``branch`` or ``parent``.
    """

    id: str
    branch: int
    resolve: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPolicy:
    """Set the life-cycle policy of a kind (None: of all) in this scope, or of the whole tenant.

    ``policy`` holds JSON values (:class:`mnemos.kernel.upkeep.retention.Policy`); None removes it.
    """

    id: str
    kind: Kind | None
    policy: Mapping[str, Any] | None
    everywhere: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SetRule:
    """Set a rule of governance in this scope, or for the whole tenant; a value of None removes it.

    ``sort`` and ``name`` are those of :class:`mnemos.kernel.governance.rules.Rule`.
    """

    id: str
    sort: str
    name: str
    value: Mapping[str, Any] | None
    everywhere: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteRead:
    """Journal that something was read: ``value`` says by which call, what, why, at what cost."""

    id: str
    value: Mapping[str, Any]
    everywhere: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DropReads:
    """Erase what the journal notes of reads before a position; that there were reads stays."""

    before: int


Change = (
    Add
    | Update
    | Transition
    | Amend
    | Revert
    | Forget
    | Snapshot
    | DropSnapshot
    | Fork
    | Rollback
    | MergeBranch
    | SetPolicy
    | Approve
    | SetRule
    | NoteRead
    | DropReads
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What one call wants to happen, as data: the kernel checks it and commits all or nothing.

    Parameters
    ----------
    scope : Scope
        Whose memories.
    changes : tuple of Change
        In order.
    actor : str
        Who does it.
    branch : int
        The branch it happens on; 0 is the main line.
    whole : bool
        Whether these erase everything of the scope, its rules included.
    bases : mapping of str to int
        Cubes these changes were computed from, and the seq at which the version then current was
        born: if one of them has changed since, nothing is written.
    """

    scope: Scope
    changes: tuple[Change, ...]
    actor: str = "owner"
    branch: int = 0
    whole: bool = False
    bases: Mapping[str, int] = field(default_factory=_nothing)
