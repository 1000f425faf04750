"""What every call stands on: the vault, the scope and view of a call, the one way to write."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from mnemos.app.config import EmbedderSource, RerankerSource
from mnemos.app.incoming import cleaned, recognised
from mnemos.app.scopes import (
    read_id,
    read_scope,
    require_scope,
)
from mnemos.app.writing import (
    additions,
    stage,
    stage_outcome,
)
from mnemos.errors import Conflict, Forbidden, InvalidInput
from mnemos.kernel.changes import Add, Change, Changes, NoteRead, Update
from mnemos.kernel.governance import auditing, rules, views
from mnemos.kernel.governance.cleaning import Cleaner
from mnemos.kernel.governance.grants import Access, Verb, access_of
from mnemos.kernel.governance.redaction import Detector
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.governance.views import ALL_STATES, OWNER, Right, TenantView, View
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import MAIN
from mnemos.kernel.vault import Read, Staged, Vault
from mnemos.types import (
    CURRENT_STATES,
    Draft,
    Kind,
    Receipt,
    Scope,
    State,
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
    """An opened vault with its tenant, zone and models; calls are added by the classes above."""

    _vault: Vault
    _tenant: str
    _zone: tzinfo
    _embedder: EmbedderSource
    _reranker: RerankerSource
    _staged: list[Staged] | None = None
    _bound: Bound | None = None
    _principal: str = OWNER
    _reason: str | None = None
    _seal_key: bytes | None = None

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
        asked = self._scope(user_id, agent_id, None)
        subject = self._owner_of(id)
        if user_id is None and agent_id is None and self._bound is None:
            return Scope(tenant=self._tenant, subject=subject)
        if asked.subject != subject:
            raise Conflict(
                f"memory {id!r} is not of {asked.subject!r}; leave the scope out, or pass "
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
            principal=self._principal,
            as_of=bound.as_of,
            valid_at=bound.valid_at,
            ended=ended,
            branch=bound.branch,
            kinds=kinds,
            states=states,
        )

    def _read(self, view: View, action: Callable[[Reader], Read]) -> Read:
        return self._vault.read(view, action, self._staged or ())

    def _owner_of(self, id: str) -> str:
        """Return the subject a cube belongs to, staged ones included."""
        for item in self._staged or ():
            made = (change.id for change in item.changes.changes if isinstance(change, Add))
            if id in made:
                return item.changes.scope.subject
        return self._vault.owner_of(self._tenant, id, self._principal)

    @contextmanager
    def _records(
        self, scope: Scope | None = None, verb: Verb = Verb.READ, *, part: bool = False
    ) -> Generator[ReadTx, None, None]:
        """Open a snapshot of the tenant's records: branches, snapshots, rules, the journal.

        Parameters
        ----------
        scope : Scope or None
            Whose records are looked at; None is the whole tenant, for its owner alone.
        verb : Verb
            What the principal must be allowed to do with everything of the scope.
        part : bool
            Whether a part of it will do: for finding a moment or a branch, not for what lies there.

        Raises
        ------
        Forbidden
            If it may not.
        """
        if scope is None:
            self._check_owner("look at what concerns the whole tenant")
        with self._vault.store.read(views.tenant_view(self._tenant)) as tx:
            if scope is not None and part:
                access = self._access(tx, scope)
                if not access.whole and not access.having(verb):
                    access.check(verb)
            elif scope is not None:
                self._check_all(tx, scope, verb)
            yield tx

    @contextmanager
    def _everything(self, view: View) -> Generator[ReadTx, None, None]:
        """Open a snapshot of one subject's page for a call that shows all that hangs together.

        Raises
        ------
        Forbidden
            If the principal may not read everything of the subject.
        """
        with self._vault.store.read(view) as tx:
            self._check_all(tx, view.scope, Verb.READ)
            self._check_lists(tx, view)
            yield tx

    @contextmanager
    def _keeping(self, what: str) -> Generator[WriteTx, None, None]:
        """Write what concerns the upkeep of the whole tenant, for its owner alone."""
        self._check_owner(what)
        with self._vault.store.write(views.tenant_view(self._tenant)) as tx:
            yield tx

    def _access(self, tx: ReadTx, scope: Scope) -> Access:
        return access_of(tx, self._tenant, self._principal, scope.subject, self._now())

    def _may_all(self, tx: ReadTx, scope: Scope, verb: Verb) -> bool:
        """Return whether the principal may do something with everything of a scope."""
        access = self._access(tx, scope)
        return access.whole or any(
            grant.right() == Right(labels=None, unmasked=True) for grant in access.having(verb)
        )

    def _check_all(self, tx: ReadTx, scope: Scope, verb: Verb) -> None:
        """Pass if the principal may do something with everything of a scope."""
        if self._may_all(tx, scope, verb):
            return
        self._access(tx, scope).check(verb)
        raise Forbidden(
            f"{self._principal!r} may {verb.value} a part of {scope.subject!r} only; this call is "
            "about everything of it: grant every kind, every label and unmasked=True"
        )

    def _check_lists(self, tx: ReadTx, view: View) -> None:
        """Pass if no memory of a subject is kept from the principal by its access list."""
        access, vault = self._access(tx, view.scope), self._vault
        if access.whole:
            return
        reader = Reader(
            tx, vault.store.blobs, view, cache=vault.cache, space=None, detectors=vault.detectors
        )
        everything = (header for _, headers in reader.everything() for header in headers)
        if any(
            item.access and not access.names & {*item.access, item.owner} for item in everything
        ):
            raise Forbidden(
                f"{self._principal!r} may not read memories of {view.subject!r} that are for others "
                "by their access lists, and this call is about everything; ask for one memory"
            )

    def _check_owner(self, what: str) -> None:
        if self._principal != OWNER:
            raise Forbidden(
                f"{self._principal!r} may not {what}; only the owner of the vault may, with the "
                "memory it opened"
            )

    def _add(
        self,
        verb: str,
        scope: Scope,
        drafts: Iterable[Draft],
        *,
        on_conflict: str = "error",
        timed: bool = True,
    ) -> Receipt:
        """Write new memories."""
        changes = additions(self._vault, drafts, on_conflict=on_conflict, timed=timed)
        return self._write(verb, scope, changes)

    def _incoming(self, scope: Scope, changes: Sequence[Change]) -> list[Change]:
        """Return changes redacted, and with what they repeat named."""
        if not any(isinstance(change, (Add, Update)) for change in changes):
            return list(changes)
        given = cleaned(changes, self._cleaner(scope))
        view = self._view(scope, states=ALL_STATES, ended=True)
        return recognised(self._vault, view, given, self._staged or ())

    def _cleaner(self, scope: Scope) -> Cleaner | None:
        """Return what takes secrets out of what is written to a scope; None where no rule says so."""
        with self._vault.store.read(self._tenant_reach()) as tx:
            number = find_subject(tx, self._tenant, scope.subject)
            rule = rules.nearest(tx, self._tenant, number, Sort.REDACTION)
        if rule is None:
            return None
        return Cleaner(rule, self._detector, key=self._seal_key, entropy=self._vault.entropy)

    def _detector(self, classes: frozenset[str] | None, region: str) -> Detector:
        assert self._vault.detectors is not None, "set when the vault was opened"
        return self._vault.detectors(classes, region)

    def _tenant_reach(self) -> TenantView:
        return views.tenant_view(self._tenant)

    def _rule_scope(
        self, verb: str, user_id: str | None, agent_id: str | None, everywhere: bool
    ) -> Scope:
        """Return the scope of a rule: somebody's, or the whole tenant's."""
        if everywhere and (user_id is not None or agent_id is not None):
            raise InvalidInput(f"{verb} is for one scope or everywhere; leave one of them out")
        if everywhere:
            self._check_owner(f"{verb} for the whole tenant")
            return Scope(tenant=self._tenant)
        return self._required_scope(verb, user_id, agent_id, None)

    def _note_read(
        self, call: str, view: View, ids: Sequence[str], cost: Mapping[str, int] | None = None
    ) -> None:
        """Note that a principal was given memories: counted, or journalled before it gets them."""
        scope = view.scope
        self._vault.reads.hand_out(self._tenant, scope.subject, ids)
        with self._vault.store.read(self._tenant_reach()) as tx:
            number = find_subject(tx, self._tenant, scope.subject)
            rule = rules.nearest(tx, self._tenant, number, Sort.AUDIT)
        if rule is None or rule.value["mode"] == auditing.Mode.COUNTED:
            reads, who = self._vault.reads, self._principal
            if reads.note(self._tenant, scope.subject, who, call, len(ids), view.now):
                self._vault.flush_usage()
            return
        value = auditing.record_of(
            call, self._principal, scope.subject, ids, reason=self._reason, cost=cost or {}
        )
        note = NoteRead(id=self._vault.ids.fresh(), value=value, everywhere=number is None)
        wanted = Changes(scope=scope, changes=(note,), actor=self._principal)
        self._vault.commit([Staged(wanted)])

    def _write(
        self,
        verb: str,
        scope: Scope,
        changes: Sequence[Change],
        *,
        bases: Mapping[str, int] | None = None,
        whole: bool = False,
    ) -> Receipt:
        """Embed what has words, then commit, or stage inside a transaction."""
        if self._bound is not None and not self._bound.writable:
            raise InvalidInput(
                f"{verb} cannot write through a view of the past; use the memory itself, or a view "
                "of a branch without as_of and valid_at"
            )
        wanted = Changes(
            scope=scope,
            changes=tuple(self._incoming(scope, changes)),
            actor=self._principal,
            branch=self._bound.branch if self._bound is not None else MAIN,
            whole=whole,
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
