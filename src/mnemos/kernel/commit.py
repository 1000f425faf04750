"""Carrying out ``Changes``: checked against what is stored, then written in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mnemos.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
    TooLittleTrust,
)
from mnemos.kernel import erasure, lifecycle, schema, timeline
from mnemos.kernel.batch import Batch, Outcome, check_step, find_external
from mnemos.kernel.blobs import load_body
from mnemos.kernel.canonical import Body, encode_header, encode_json
from mnemos.kernel.changes import (
    Add,
    Amend,
    Approve,
    Change,
    Changes,
    DropReads,
    DropSnapshot,
    Forget,
    Fork,
    MergeBranch,
    NoteRead,
    Revert,
    Rollback,
    SetPolicy,
    SetRule,
    Snapshot,
    Transition,
    Update,
)
from mnemos.kernel.governance.gate import Gate
from mnemos.kernel.governance.grants import Grant, Verb
from mnemos.kernel.governance.rules import Rule, Sort
from mnemos.kernel.governance.trust import ECHOES, STANDING, sources_of, steers
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Blobs, Entropy, ReadTx, WriteTx
from mnemos.kernel.schema import Version
from mnemos.kernel.upkeep import retention
from mnemos.types import CURRENT_STATES, TRUSTED, Draft, Header, Scope, State

FLAGS = frozenset({"frozen", "hold"})
"""The header fields that can be changed on a frozen memory."""


Vectors = Mapping[int, bytes]
Recorded = (
    Snapshot
    | DropSnapshot
    | Fork
    | Rollback
    | MergeBranch
    | SetPolicy
    | SetRule
    | NoteRead
    | DropReads
)
"""Changes that are about no memory."""


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
        self._any_forgotten: bool | None = None
        self._batch = Batch(tx, blobs, changes, now=now, entropy=entropy)
        self._gate = Gate(tx, self._batch.scope, changes.actor, now)

    def run(self, vectors: Sequence[bytes | None] = ()) -> Outcome:
        """Carry out every change; ``vectors`` are parallel to the changes, float32 bytes or None.

        Raises
        ------
        Conflict, NotFound, Protected, IllegalTransition
            If a change cannot be made; the caller's transaction is then undone.
        """
        batch = self._batch
        if not all(isinstance(change, NoteRead) for change in self._changes.changes):
            self._gate.check_known()
        batch.check_branch()
        batch.check_bases(self._changes.bases)
        for place, change in enumerate(self._changes.changes):
            data = vectors[place] if place < len(vectors) else None
            known = {} if data is None or self._space is None else {self._space: data}
            self._one(change, known)
        emptied: list[int] = []
        if batch.outcome.forgotten:
            erasure.quiet_jobs(batch)
            emptied = erasure.forget_records(batch, self._changes.actor, whole=self._changes.whole)
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
            case Approve():
                self._approve(change)
            case Forget():
                erasure.forget(self._batch, change, self._gate)
            case _:
                self._record(change)

    def _record(self, change: Recorded) -> None:
        match change:
            case SetRule():
                self._set_rule(change)
            case NoteRead():  # of whoever reads: nobody needs a right to be noted
                self._batch.record("read", change.id, change.value, everywhere=change.everywhere)
                self._batch.outcome.ids.append(change.id)
            case DropReads():
                self._gate.check_all(Verb.ADMIN)
                erasure.forget_reads(self._batch, change.before)
            case _:
                self._gate.check_all(Verb.ADMIN)
                self._of_time(change)

    def _of_time(
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
                if change.everywhere:
                    self._gate.check_owner("set a policy")
                timeline.set_policy(self._batch, change)
                self._policies = None

    def _add(self, change: Add, vectors: Vectors) -> None:
        batch, header = self._batch, change.draft.header
        lifecycle.check_first(change.draft.state)
        self._gate.check_write(header)
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
        if self._was_forgotten(change.id):
            raise Conflict(f"memory {change.id} was forgotten and cannot be written again")
        draft = self._gate.incoming(change.draft, self._sources(header))
        if erasure.is_suppressed(batch, draft):
            batch.outcome.suppressed += 1
            return
        self._gate.book(draft, batch.subject())
        batch.write("add", change.id, self._with_lifespan(draft), vectors)
        batch.outcome.ids.append(change.id)

    def _was_forgotten(self, id: str) -> bool:
        """Return whether an id was forgotten; of many, each is asked about only if any ever was."""
        tx, tenant, changes = self._batch.tx, self._batch.tenant, self._changes.changes
        if self._any_forgotten is None:
            self._any_forgotten = (
                len(changes) == 1
                or any(isinstance(change, Forget) for change in changes)
                or next(tx.scan(schema.FORGOTTEN, (tenant,), limit=1), None) is not None
            )
        return self._any_forgotten and tx.get(schema.FORGOTTEN, (tenant, id)) is not None

    def _with_lifespan(self, draft: Draft) -> Draft:
        """Return a new memory's draft with the lifespan its kind's policy gives it."""
        batch = self._batch
        if self._policies is None:
            self._policies = retention.stored(batch.tx, batch.tenant, batch.subject())
        return retention.with_lifespan(draft, self._policies, batch.now)

    def _sources(self, header: Header) -> dict[str, Header]:
        """Return the headers of everything a memory was made from; all must be of this scope."""
        batch = self._batch
        return {id: batch.newest(batch.own(id)) for id in sources_of(header)}

    def _update(self, change: Update, vectors: Vectors) -> None:
        batch = self._batch
        live = batch.live(batch.own(change.id))
        before, state = batch.body(live).header, State(live.state)
        sources = self._sources(change.draft.header)
        draft = self._gate.incoming(change.draft, sources, (before, self._standing(live)))
        self._gate.check(Verb.WRITE, before)
        if state is State.QUARANTINED and draft.state is not state:
            self._gate.check(_verb_of(live, draft.state), before)
        self._gate.check_over(change.id, before, draft.header.counted_trust, "replace")
        batch.check_thawed(change.id, live)
        batch.check_expected(change.id, live, change.expected)
        if draft.state != state:
            check_step(live, draft.state)
        batch.check_external(change.id, draft.header.external_id)
        self._gate.book(draft, batch.subject(), new=False)
        batch.write("update", change.id, draft, vectors)
        batch.outcome.ids.append(change.id)

    def _transition(self, change: Transition) -> None:
        batch, gate = self._batch, self._gate
        if change.successor is not None and not self._is_there(change.successor):
            return
        live = batch.live(batch.own(change.id))
        header = batch.body(live).header
        verb, what = _verb_of(live, change.state), _MOVES.get(change.state, "move")
        gate.check(verb, header)
        gate.check_ceiling(change.id, header, what, verb)
        self._check_successor(change.id, header, change.successor, what)
        check_step(live, change.state)
        waits = self._standing(live) is State.QUARANTINED
        if change.state is State.ACTIVATED and (waits or steers(header)):
            raise IllegalTransition(
                f"memory {change.id} is in quarantine, or would steer without being trusted to; "
                "approve it"
            )
        batch.check_thawed(change.id, live)
        batch.move(change.id, live, change.state)
        batch.outcome.ids.append(change.id)

    def _check_successor(self, id: str, before: Header, successor: str | None, what: str) -> None:
        """Pass if what takes a memory's place, where something does, may overrule it."""
        if successor is None:
            return
        found = self._batch.own(successor)
        self._gate.check_over(id, before, self._batch.newest(found).counted_trust, what)
        live = self._batch.current(found.cube)
        if live is not None and live.state == State.QUARANTINED:
            raise TooLittleTrust(
                f"memory {successor} waits in quarantine and takes nobody's place before it is "
                f"approved; add it beside memory {id}"
            )

    def _standing(self, live: Version) -> State:
        """Return a version's state, or ``quarantined`` where it was set aside from quarantine.

        To be archived or merged lets nothing out, else to be restored would.
        """
        for row in reversed(self._batch.versions(live.cube)):
            if row.state in CURRENT_STATES or row.state == State.QUARANTINED:
                return State(row.state if row.state == State.QUARANTINED else live.state)
        return State(live.state)

    def _approve(self, change: Approve) -> None:
        batch = self._batch
        live = batch.live(batch.own(change.id))
        body = batch.body(live)
        assert body.payload is not None
        header, state = body.header, State(live.state)
        self._gate.check(Verb.APPROVE, header)
        batch.check_thawed(change.id, live)
        if change.as_data and header.kind in STANDING:
            raise InvalidInput(
                f"memory {change.id} is of kind {header.kind.value}, which steers and cannot be "
                "let in as data; approve it, or reject it"
            )
        if state not in (State.QUARANTINED, State.ACTIVATED, State.GENERATED):
            raise IllegalTransition(
                f"memory {change.id} is {state.value}; only what is in quarantine or current can "
                "be approved"
            )
        if not change.as_data:
            trust = max(header.counted_trust, self._gate.ceiling(header, Verb.APPROVE))
            header = replace(header, trust=trust, approved_by=self._gate.actor)
            if steers(header):
                raise TooLittleTrust(
                    f"memory {change.id} is of kind {header.kind.value}, which steers and takes a "
                    f"trust of {TRUSTED:g}; {self._gate.actor!r} vouches for {trust:g} at most"
                )
        draft = Draft(payload=body.payload, header=header, state=State.ACTIVATED)
        batch.write("update", change.id, draft, batch.vectors(live, batch.lines()))
        batch.outcome.ids.append(change.id)

    def _set_rule(self, change: SetRule) -> None:
        batch, sort = self._batch, Sort(change.sort)
        key = (
            batch.tenant,
            0 if change.everywhere else batch.subject(),
            sort.value,
            change.name,
        )
        row = batch.tx.get(schema.RULES, key)
        old = None
        if row is not None:
            old = Rule(
                id=row.id,
                sort=sort,
                name=row.name,
                value=json.loads(row.body),
                everywhere=change.everywhere,
            )
        if change.value is None and old is None:
            raise NotFound(f"there is no {sort.value} {change.name!r} here to remove")
        grant = None
        if sort is Sort.GRANT and change.value is not None:
            rule = Rule(
                id=change.id,
                sort=sort,
                name=change.name,
                value=change.value,
                everywhere=change.everywhere,
            )
            grant = Grant.of(rule)
        self._gate.check_rule(sort, old, grant, change.everywhere)
        value = {"sort": sort.value, "name": change.name, "value": change.value}
        batch.record("rule", change.id, value, everywhere=change.everywhere)
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
        self._gate.check(Verb.ADMIN if "hold" in change.fields else Verb.WRITE, body.header)
        self._gate.check_ceiling(change.id, body.header, "amend")
        self._check_successor(change.id, body.header, change.successor, "amend")
        header = replace(body.header, **change.fields)
        batch.outcome.ids.append(change.id)
        if header == body.header:
            return
        # The words stay, so what is believed of them does not grow.
        header = replace(header, trust=min(header.trust, body.header.counted_trust))
        before = (body.header, self._standing(live))
        given = Draft(payload=body.payload, header=header, state=State(live.state))
        draft = self._gate.incoming(given, self._sources(header), before)
        header = replace(draft.header, owner=body.header.owner)
        batch.check_external(change.id, header.external_id)
        draft = Draft(payload=body.payload, header=header, state=draft.state)
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
        self._gate.check(Verb.WRITE, header)
        self._gate.check_ceiling(change.id, header, "revert")
        batch.check_external(change.id, header.external_id)
        if live is not None:
            before = batch.body(live).header
            self._gate.check(Verb.WRITE, before)
            self._gate.check_ceiling(change.id, before, "revert")
            batch.check_thawed(change.id, live)
            timeline.check_hold(batch, change.id, live, header)
        state = State(wanted.state)
        if steers(header) or self._standing(live or versions[-1]) is State.QUARANTINED:
            state = State.QUARANTINED
        elif state not in CURRENT_STATES:
            state = State.ACTIVATED
        if live is not None and state.value != live.state:
            check_step(live, state)
        batch.adopt(change.id, wanted, batch.lines(), state=state)
        batch.outcome.ids.append(change.id)


_MOVES = {State.SUPERSEDED: "supersede", State.MERGED: "merge", State.ARCHIVED: "archive"}
"""What moves to a state do to a memory, for messages."""

_GOVERNED = ("trust", "owner", "approved_by", "sealed")
"""What governance makes of a header when it is written: no part of what the caller said."""


def _verb_of(live: Version, state: State) -> Verb:
    """Return the right it takes to move a version: in and out of quarantine, that to approve."""
    both = (live.state, state)
    return Verb.APPROVE if State.QUARANTINED in both and state != State.EXPIRED else Verb.WRITE


def _same(body: Body | None, change: Add) -> bool:
    """Return whether an addition says what is stored already."""
    if body is None or body.payload != change.draft.payload:
        return False
    stored, given = encode_header(body.header), encode_header(change.draft.header)
    for said in (stored, given):
        for name in _GOVERNED:
            said.pop(name, None)
        links = [link for link in said.pop("links", []) if link["type"] not in ECHOES]
        said.update({"links": links} if links else {})
    if not change.timed:
        for name in ("happened_at", "mentions"):
            stored.pop(name, None)
            given.pop(name, None)
    if change.draft.header.expires_at is None:  # what is stored may have got one from a policy
        stored.pop("expires_at", None)
    return encode_json(stored) == encode_json(given)
