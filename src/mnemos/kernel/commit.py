"""Carrying out ``Changes``: checked against what is stored, then written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mnemos.errors import Conflict, InvalidInput
from mnemos.kernel import erasure, lifecycle, schema, timeline
from mnemos.kernel.batch import Batch, Outcome, check_step, find_external
from mnemos.kernel.blobs import load_body
from mnemos.kernel.canonical import Body, encode_header, encode_json
from mnemos.kernel.changes import (
    Add,
    Amend,
    Change,
    Changes,
    DropSnapshot,
    Forget,
    Fork,
    MergeBranch,
    Revert,
    Rollback,
    SetPolicy,
    Snapshot,
    Transition,
    Update,
)
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Blobs, Entropy, ReadTx, WriteTx
from mnemos.kernel.upkeep import retention
from mnemos.types import CURRENT_STATES, Draft, Header, Scope, State

FLAGS = frozenset({"frozen", "hold"})
"""The header fields that can be changed on a frozen memory."""


Vectors = Mapping[int, bytes]


def stored_twin(tx: ReadTx, blobs: Blobs, scope: Scope, change: Add, branch: int) -> bool:
    """Return whether an addition says what is stored already under its external id."""
    found = find_external(tx, scope, change.draft.header.external_id, branch)
    return found is not None and _same(load_body(tx, blobs, scope.tenant, found[1].content), change)


class Commit:
    """One write transaction's worth of changes.

    Parameters
    ----------
    tx : WriteTx
        The transaction.
    blobs : Blobs
        Where large payloads go, before the row that names them.
    changes : Changes
        What to do.
    now : datetime
        Wall time.
    entropy : Entropy
        Source of the salts.
    space : int or None
        Vector space of ``vectors``.
    """

    def __init__(
        self,
        tx: WriteTx,
        blobs: Blobs,
        changes: Changes,
        *,
        now: datetime,
        entropy: Entropy,
        space: int | None = None,
    ) -> None:
        self._changes = changes
        self._space = space
        self._policies: tuple[retention.PolicyEntry, ...] | None = None
        self._batch = Batch(tx, blobs, changes, now=now, entropy=entropy)

    def run(self, vectors: Sequence[bytes | None] = ()) -> Outcome:
        """Carry out every change; ``vectors`` are parallel to the changes, float32 bytes or None.

        Raises
        ------
        Conflict, NotFound, Protected, IllegalTransition
            If a change cannot be made; the caller's transaction is then undone.
        """
        batch = self._batch
        batch.check_branch()
        batch.check_bases(self._changes.bases)
        for place, change in enumerate(self._changes.changes):
            data = vectors[place] if place < len(vectors) else None
            known = {} if data is None or self._space is None else {self._space: data}
            self._one(change, known)
        emptied: list[int] = []
        if batch.outcome.forgotten:
            erasure.quiet_jobs(batch)
            emptied = erasure.forget_records(batch, self._changes.actor)
        batch.projection.finish()
        erasure.drop_subjects(batch, emptied)
        if batch.wordy and next(batch.tx.scan(schema.SPACES, (), limit=1), None):
            batch.tx.put(schema.META, schema.Meta("vectors", "pending"))
        batch.outcome.seq = batch.journal.finish()
        return batch.outcome

    def touched(self) -> list[schema.Page]:
        """Return the pages this commit changed."""
        return self._batch.projection.touched()

    def _one(self, change: Change, vectors: Vectors) -> None:
        match change:
            case Add():
                self._add(change, vectors)
            case Update():
                self._update(change, vectors)
            case Transition():
                self._transition(change)
            case Amend():
                self._amend(change)
            case Revert():
                self._revert(change)
            case Forget():
                erasure.forget(self._batch, change)
            case _:
                self._record(change)

    def _record(
        self, change: Snapshot | DropSnapshot | Fork | Rollback | MergeBranch | SetPolicy
    ) -> None:
        match change:
            case Snapshot():
                timeline.snapshot(self._batch, change)
            case DropSnapshot():
                timeline.drop_snapshot(self._batch, change)
            case Fork():
                timeline.fork(self._batch, change)
            case Rollback():
                timeline.rollback(self._batch, change)
            case MergeBranch():
                timeline.merge(self._batch, change)
            case SetPolicy():
                timeline.set_policy(self._batch, change)
                self._policies = None

    def _add(self, change: Add, vectors: Vectors) -> None:
        batch, header = self._batch, change.draft.header
        lifecycle.check_first(change.draft.state)
        taken = find_external(batch.tx, batch.scope, header.external_id, batch.branch)
        if taken is not None and not batch.is_over(taken[1]):
            id = taken[0].id
            if stored_twin(batch.tx, batch.blobs, batch.scope, change, batch.branch):
                batch.outcome.ids.append(id)
                batch.outcome.duplicates += 1
            elif change.replace:
                self._update(Update(id=id, draft=self._with_lifespan(change.draft)), vectors)
            else:
                raise Conflict(
                    f"external_id {header.external_id!r} is taken by memory {id} with other "
                    "content; pass on_conflict='update' to make this its new version"
                )
            return
        if batch.tx.get(schema.FORGOTTEN, (batch.tenant, change.id)) is not None:
            raise Conflict(f"memory {change.id} was forgotten and cannot be written again")
        self._check_sources(header)
        if erasure.is_suppressed(batch, change.draft):
            batch.outcome.suppressed += 1
            return
        batch.write("add", change.id, self._with_lifespan(change.draft), vectors)
        batch.outcome.ids.append(change.id)

    def _with_lifespan(self, draft: Draft) -> Draft:
        """Return a new memory's draft with the lifespan its kind's policy gives it."""
        batch = self._batch
        if self._policies is None:
            self._policies = retention.stored(batch.tx, batch.tenant, batch.subject())
        return retention.with_lifespan(draft, self._policies, batch.now)

    def _check_sources(self, header: Header) -> None:
        for source in header.derived_from:
            self._batch.own(source)

    def _update(self, change: Update, vectors: Vectors) -> None:
        batch, draft = self._batch, change.draft
        live = batch.live(batch.own(change.id))
        batch.check_thawed(change.id, live)
        batch.check_expected(change.id, live, change.expected)
        if draft.state.value != live.state:
            check_step(live, draft.state)
        self._check_sources(draft.header)
        batch.check_external(change.id, draft.header.external_id)
        batch.write("update", change.id, draft, vectors)
        batch.outcome.ids.append(change.id)

    def _transition(self, change: Transition) -> None:
        batch = self._batch
        if change.successor is not None and not self._is_there(change.successor):
            return
        live = batch.live(batch.own(change.id))
        check_step(live, change.state)
        batch.check_thawed(change.id, live)
        batch.move(change.id, live, change.state)
        batch.outcome.ids.append(change.id)

    def _is_there(self, id: str) -> bool:
        return self._batch.tx.get(schema.IDS, (self._batch.tenant, id)) is not None

    def _amend(self, change: Amend) -> None:
        batch = self._batch
        live = batch.live(batch.own(change.id))
        if not change.fields.keys() <= FLAGS:
            batch.check_thawed(change.id, live)
        body = batch.body(live)
        assert body.payload is not None
        header = replace(body.header, **change.fields)
        batch.outcome.ids.append(change.id)
        if header == body.header:
            return
        self._check_sources(header)
        batch.check_external(change.id, header.external_id)
        draft = Draft(payload=body.payload, header=header, state=State(live.state))
        same = index_text(header, body.payload) == index_text(body.header, body.payload)
        vectors = batch.vectors(live, batch.lines()) if same else None
        batch.write("update", change.id, draft, vectors)

    def _revert(self, change: Revert) -> None:
        batch = self._batch
        found = batch.own(change.id)
        versions = batch.versions(found.cube)
        if not 1 <= change.version <= len(versions):
            raise InvalidInput(
                f"memory {change.id} has no version {change.version}; allowed: 1–{len(versions)}"
            )
        live, wanted = batch.current(found.cube), versions[change.version - 1]
        header = batch.body(wanted).header
        batch.check_external(change.id, header.external_id)
        if live is not None:
            batch.check_thawed(change.id, live)
            timeline.check_hold(batch, change.id, live, header)
        state = State(wanted.state)
        if state not in CURRENT_STATES:
            state = State.ACTIVATED
        if live is not None and state.value != live.state:
            check_step(live, state)
        batch.adopt(change.id, wanted, batch.lines(), state=state)
        batch.outcome.ids.append(change.id)


def _same(body: Body | None, change: Add) -> bool:
    """Return whether an addition says what is stored already."""
    if body is None or body.payload != change.draft.payload:
        return False
    stored, given = encode_header(body.header), encode_header(change.draft.header)
    if not change.timed:
        for name in ("happened_at", "mentions"):
            stored.pop(name, None)
            given.pop(name, None)
    if change.draft.header.expires_at is None:  # what is stored may have got one from a policy
        stored.pop("expires_at", None)
    return encode_json(stored) == encode_json(given)
