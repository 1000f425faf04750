"""What every call stands on: the vault, the scope and view of a call, the one way to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from mnemos.app.config import EmbedderSource
from mnemos.app.scopes import (
    read_id,
    read_scope,
    require_scope,
)
from mnemos.app.writing import (
    stage,
    stage_outcome,
)
from mnemos.errors import Conflict, InvalidInput
from mnemos.kernel.governance import views
from mnemos.kernel.changes import Change, Changes
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import MAIN
from mnemos.kernel.vault import Read, Staged, Vault
from mnemos.types import (
    CURRENT_STATES,
    Kind,
    Receipt,
    Scope,
    State,
    View,
)

Moment = datetime | str | int | float | None
"""A moment as callers say it: a datetime, an ISO string, unix seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What ``memory.view(…)`` binds every call to.

    Parameters
    ----------
    scope : Scope
        Whose memory; calls that name another are refused.
    as_of : int or None
        Journal position.
    valid_at : datetime or None
        Moment in the world.
    branch : int
        Number of a branch.
    writable : bool
        Whether calls may write: on the present of a branch they may.
    """

    scope: Scope
    as_of: int | None = None
    valid_at: datetime | None = None
    branch: int = MAIN
    writable: bool = False


class Handle:
    """An opened vault with its tenant, zone and embedder; calls are added by the classes above."""

    _vault: Vault
    _tenant: str
    _zone: tzinfo
    _embedder: EmbedderSource
    _staged: list[Staged] | None = None
    _bound: Bound | None = None

    def _now(self) -> datetime:
        return self._vault.clock.now()

    def _scope(self, user_id: object, agent_id: object, run_id: object) -> Scope:
        scope = read_scope(self._tenant, user_id=user_id, agent_id=agent_id, run_id=run_id)
        if self._bound is None:
            return scope
        bound = self._bound.scope
        if user_id is None and agent_id is None:
            return replace(bound, run_id=run_id) if run_id is not None else bound
        if scope.subject != bound.subject:
            raise Conflict(
                f"this view is bound to {bound.subject!r}, {scope.subject!r} was asked for; leave "
                "the scope out, or open another view"
            )
        return scope

    def _required_scope(
        self, verb: str, user_id: object, agent_id: object, run_id: object
    ) -> Scope:
        """Return the scope of a call that must not touch everybody's memories."""
        if self._bound is None:
            require_scope(verb, user_id, agent_id)
        return self._scope(user_id, agent_id, run_id)

    def _scope_of(self, id: str, user_id: object, agent_id: object) -> Scope:
        """Return the scope a cube lies in; one passed by the caller must be the same."""
        read_id(id)
        view = self._view(self._scope(user_id, agent_id, None))
        subject = self._read(view, lambda reader: reader.owner(id))
        if user_id is None and agent_id is None and self._bound is None:
            return Scope(tenant=self._tenant, subject=subject)
        if view.scope.subject != subject:
            raise Conflict(
                f"memory {id!r} is not of {view.scope.subject!r}; leave the scope out, or pass "
                "the one it was written under"
            )
        return Scope(tenant=self._tenant, subject=subject)

    def _view(
        self,
        scope: Scope,
        kinds: frozenset[Kind] | None = None,
        states: frozenset[State] = CURRENT_STATES,
        *,
        ended: bool = False,
    ) -> View:
        bound = self._bound or Bound(scope=scope)
        return views.open_view(
            scope,
            now=self._now(),
            as_of=bound.as_of,
            valid_at=bound.valid_at,
            ended=ended,
            branch=bound.branch,
            kinds=kinds,
            states=states,
        )

    def _read(self, view: View, action: Callable[[Reader], Read]) -> Read:
        return self._vault.read(view, action, self._staged or ())

    def _write(
        self,
        verb: str,
        scope: Scope,
        changes: Sequence[Change],
        *,
        bases: Mapping[str, int] | None = None,
    ) -> Receipt:
        """Embed what has words, then commit, or stage inside a transaction."""
        if self._bound is not None and not self._bound.writable:
            raise InvalidInput(
                f"{verb} cannot write through a view of the past; use the memory itself, or a view "
                "of a branch without as_of and valid_at"
            )
        wanted = Changes(
            scope=scope,
            changes=tuple(changes),
            branch=self._bound.branch if self._bound is not None else MAIN,
            bases=bases or {},
        )
        staged, indexed = stage(self._vault, self._embedder, wanted)
        if self._staged is None:
            (outcome,) = self._vault.commit([staged])
        else:
            outcome = stage_outcome(self._vault, [*self._staged, staged])
            self._staged.append(staged)
        made = self._staged is None
        return Receipt(
            verb=verb,
            ids=tuple(outcome.ids),
            seq=outcome.seq if made else 0,
            before=outcome.before if made else 0,
            indexed=indexed,
            duplicates=outcome.duplicates,
            suppressed=outcome.suppressed,
            forgotten=tuple(outcome.forgotten),
            restored=tuple(outcome.restored),
            sources=tuple(outcome.sources),
        )
