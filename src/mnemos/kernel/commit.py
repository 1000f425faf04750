"""Changes, checked and carried out inside one write transaction: all of them or none.

Models have run before; nothing here waits for one. Each change becomes one event of the journal
and its projection onto the tables; vectors, which lie outside the chain, are put beside the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mnemos.errors import Conflict, InvalidInput, NotFound, Protected
from mnemos.kernel import lifecycle, schema, segments
from mnemos.kernel.blobs import load_body
from mnemos.kernel.canonical import Body, decode_content, encode_header, encode_json
from mnemos.kernel.journal import Journal, ensure_subject, find_subject
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Blobs, Entropy, ReadTx, WriteTx
from mnemos.kernel.projection import Projection, live_version
from mnemos.kernel.schema import MAIN, External, Id, Vector, Version
from mnemos.types import (
    Add,
    Change,
    Changes,
    Draft,
    Forget,
    Header,
    Scope,
    State,
    Transition,
    Update,
)


@dataclass(slots=True)
class Outcome:
    """What a commit did: the seq reached, the cubes touched, what it erased and what it stored."""

    seq: int = 0
    ids: list[str] = field(default_factory=list[str])
    duplicates: int = 0
    forgotten: list[str] = field(default_factory=list[str])
    dropped_blobs: list[str] = field(default_factory=list[str])


def find(tx: ReadTx, tenant: str, id: str) -> Id:
    """Return the number and subject of a public id.

    Raises
    ------
    NotFound
        If this tenant has no such cube.
    """
    found = tx.get(schema.IDS, (tenant, id))
    if found is None:
        raise NotFound(
            f"no memory {id!r} in this tenant: it was forgotten or never written; "
            "`get_all` lists what there is"
        )
    return found


def find_external(tx: ReadTx, scope: Scope, external_id: str | None) -> Id | None:
    """Return the cube a caller's own id names in a scope."""
    if external_id is None:
        return None
    subject = find_subject(tx, scope.tenant, scope.subject)
    if subject is None:
        return None
    row = tx.get(schema.EXTERNALS, (scope.tenant, subject, external_id))
    return find(tx, scope.tenant, row.id) if row else None


def stored_twin(tx: ReadTx, blobs: Blobs, scope: Scope, change: Add) -> bool:
    """Return whether an addition says what is stored already under its external id."""
    found = find_external(tx, scope, change.draft.header.external_id)
    live = live_version(tx, scope.tenant, found.cube, MAIN) if found else None
    return live is not None and _same(load_body(tx, blobs, scope.tenant, live.content), change)


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
        self._tx = tx
        self._blobs = blobs
        self._changes = changes
        self._tenant = changes.scope.tenant
        self._journal = Journal(tx, self._tenant, actor=changes.actor, now=now, entropy=entropy)
        self._projection = Projection(tx)
        self._space = space
        self._now = now
        self._subject: int | None = None
        self._wordy = 0  # rows with words and without a vector
        self._outcome = Outcome()

    def run(self, vectors: Sequence[bytes | None] = ()) -> Outcome:
        """Carry out every change; ``vectors`` are parallel to the changes, float32 bytes or None.

        Raises
        ------
        Conflict, NotFound, Protected, IllegalTransition
            If a change cannot be made; the caller's transaction is then undone.
        """
        for place, change in enumerate(self._changes.changes):
            vector = vectors[place] if place < len(vectors) else None
            self._one(change, vector)
        self._projection.finish()
        self._drop_empty_subjects()
        if self._wordy and next(self._tx.scan(schema.SPACES, (), limit=1), None):
            self._tx.put(schema.META, schema.Meta("vectors", "pending"))
        self._outcome.seq = self._journal.finish()
        return self._outcome

    def _drop_empty_subjects(self) -> None:
        """Erase the name of a subject whose last memory was forgotten."""
        if not self._outcome.forgotten:
            return
        for page in self._projection.touched():
            key = page[:3]
            if next(self._tx.scan(schema.VERSIONS, key, index="deaths", limit=1), None) is None:
                self._tx.delete(schema.PAGES, key)
                self._tx.delete(schema.SEGMENTS, key)
                self._tx.delete(schema.SUBJECTS, key[:2])

    def touched(self) -> list[schema.Page]:
        """Return the pages this commit changed."""
        return self._projection.touched()

    def _one(self, change: Change, vector: bytes | None) -> None:
        match change:
            case Add():
                self._add(change, vector)
            case Update():
                self._update(change.id, change.draft, vector)
            case Transition():
                self._transition(change)
            case Forget():
                self._forget(change)

    def _add(self, change: Add, vector: bytes | None) -> None:
        lifecycle.check_first(change.draft.state)
        existing = self._external(change.draft.header)
        if existing is not None and not self._expired(existing):
            if stored_twin(self._tx, self._blobs, self._changes.scope, change):
                self._outcome.ids.append(existing.id)
                self._outcome.duplicates += 1
            elif change.replace:
                self._update(existing.id, change.draft, vector)
            else:
                raise Conflict(
                    f"external_id {change.draft.header.external_id!r} is taken by memory "
                    f"{existing.id} with other content; pass on_conflict='update' to make this "
                    "its new version"
                )
            return
        self._check_sources(change.draft.header)
        if self._subject is None:
            self._subject = ensure_subject(self._tx, self._tenant, self._changes.scope.subject)
        self._write("add", change.id, self._subject, change.draft, vector)
        self._outcome.ids.append(change.id)

    def _check_sources(self, header: Header) -> None:
        for source in header.derived_from:
            find(self._tx, self._tenant, source)

    def _external(self, header: Header) -> Id | None:
        return find_external(self._tx, self._changes.scope, header.external_id)

    def _live(self, found: Id) -> Version:
        live = live_version(self._tx, self._tenant, found.cube, MAIN)
        if live is None:
            raise NotFound(f"memory {found.id!r} has no current version on this branch")
        return live

    def _check_thawed(self, found: Id) -> None:
        body = self._live_body(found)
        if body is not None and body.header.frozen:
            raise Protected(f"memory {found.id} is frozen; add a new one, or forget this one")

    def _expired(self, found: Id) -> bool:
        """Return whether a cube's lifespan is over: its external id is then free again."""
        body = self._live_body(found)
        end = body.header.expires_at if body is not None else None
        return end is not None and end <= self._now

    def _live_body(self, found: Id) -> Body | None:
        return load_body(self._tx, self._blobs, self._tenant, self._live(found).content)

    def _own(self, id: str) -> Id:
        """Return a cube of this scope's subject.

        A cube of another subject is reported as not found: that it exists is not this scope's
        to know.
        """
        found = find(self._tx, self._tenant, id)
        subject = find_subject(self._tx, self._tenant, self._changes.scope.subject)
        if found.subject != subject:
            raise NotFound(
                f"no memory {id!r} of {self._changes.scope.subject!r}; `get_all` lists what there is"
            )
        return found

    def _update(self, id: str, draft: Draft, vector: bytes | None) -> None:
        found = self._own(id)
        live = self._live(found)
        self._check_thawed(found)
        if draft.state.value != live.state:
            _check_step(live, draft.state)
        self._check_sources(draft.header)
        existing = self._external(draft.header)
        if existing is not None and existing.id != id:
            raise Conflict(
                f"external_id {draft.header.external_id!r} is taken by memory {existing.id}; "
                "give another one, or update that memory"
            )
        self._write("update", id, found.subject, draft, vector)
        self._outcome.ids.append(id)

    def _write(self, verb: str, id: str, subject: int, draft: Draft, vector: bytes | None) -> None:
        scope = Scope(tenant=self._tenant, subject=self._changes.scope.subject)
        written = self._journal.append(
            verb,
            cube=id,
            subject=subject,
            branch=MAIN,
            state=draft.state,
            body=(scope, draft.header, draft.payload),
        )
        if written.blob:
            self._blobs.put(written.blob, written.data)
        body = Body(scope=scope, header=draft.header, payload=draft.payload)
        self._projection.apply(written.event, body)
        if vector is not None and self._space is not None:
            row = Vector(self._tenant, subject, MAIN, self._space, written.event.seq, vector)
            self._tx.insert(schema.VECTORS, [row])
        elif index_text(draft.header, draft.payload):
            self._wordy += 1

    def _transition(self, change: Transition) -> None:
        found = self._own(change.id)
        live = self._live(found)
        _check_step(live, change.state)
        self._check_thawed(found)
        written = self._journal.append(
            "state",
            cube=change.id,
            subject=found.subject,
            branch=MAIN,
            state=change.state,
            content=live.content,
        )
        page = self._projection.page((self._tenant, found.subject, MAIN))
        self._projection.apply(
            written.event, load_body(self._tx, self._blobs, self._tenant, live.content)
        )
        for space in list(self._tx.scan(schema.SPACES, ())):
            data = segments.vector_of(self._tx, page, space.space, live.born)
            if data is not None:
                row = Vector(
                    self._tenant, found.subject, MAIN, space.space, written.event.seq, data
                )
                self._tx.insert(schema.VECTORS, [row])
        self._outcome.ids.append(change.id)

    def _forget(self, change: Forget) -> None:
        if change.id in self._outcome.forgotten:  # taken along by a source, earlier in this call
            self._outcome.ids.append(change.id)
            return
        self._own(change.id)
        doomed = self._with_derived(change.id)
        headers = {id: self._headers(id) for id in doomed}
        held = [id for id in doomed if self._held(id)]
        if held:
            raise Protected(
                f"memory {held[0]} is under a legal hold; lift the hold before forgetting "
                f"{change.id}"
            )
        for id in doomed:
            self._erase(id, headers[id])
        self._outcome.ids.append(change.id)

    def _with_derived(self, id: str) -> list[str]:
        """Return a cube and everything derived from it, sources first."""
        doomed = [id]
        for source in doomed:
            doomed.extend(
                row.derived
                for row in self._tx.scan(schema.SOURCES, (self._tenant, source))
                if row.derived not in doomed
            )
        return [item for item in doomed if self._tx.get(schema.IDS, (self._tenant, item))]

    def _held(self, id: str) -> bool:
        live = self._live(find(self._tx, self._tenant, id))
        row = self._tx.get(schema.CONTENTS, (self._tenant, live.content))
        return row is not None and decode_content(row.body).header.hold

    def _contents(self, id: str) -> list[schema.Content]:
        found = find(self._tx, self._tenant, id)
        seqs = {row.content for row in self._tx.scan(schema.VERSIONS, (self._tenant, found.cube))}
        rows = (self._tx.get(schema.CONTENTS, (self._tenant, seq)) for seq in sorted(seqs))
        return [row for row in rows if row is not None]

    def _headers(self, id: str) -> list[Header]:
        return [decode_content(row.body).header for row in self._contents(id)]

    def _free(self, row: External) -> None:
        """Give a caller's id back, unless another memory has taken it over."""
        if self._tx.get(schema.EXTERNALS, row[:3]) == row:
            self._tx.delete(schema.EXTERNALS, row[:3])

    def _erase(self, id: str, headers: Sequence[Header]) -> None:
        found = find(self._tx, self._tenant, id)
        for row in self._contents(id):
            blob = decode_content(row.body).blob
            if blob is not None:
                self._tx.delete(schema.BLOBS, (self._tenant, blob))
                self._outcome.dropped_blobs.append(blob)
            self._tx.delete(schema.CONTENTS, (self._tenant, row.seq))
        for header in headers:
            for source in header.derived_from:
                self._tx.delete(schema.SOURCES, (self._tenant, source, id))
            if header.external_id is not None:
                self._free(External(self._tenant, found.subject, header.external_id, id))
        written = self._journal.append(
            "forget",
            cube=id,
            subject=found.subject,
            branch=MAIN,
            state=State.FORGOTTEN,
        )
        self._projection.apply(written.event, None)
        self._outcome.forgotten.append(id)


def _check_step(live: Version, after: State) -> None:
    """Pass if the life cycle leads there; forgetting is more than a step, it erases."""
    if after is State.FORGOTTEN:
        raise InvalidInput("a state of 'forgotten' cannot be given; use forget, which erases")
    lifecycle.check_transition(State(live.state), after)


def _same(body: Body | None, change: Add) -> bool:
    """Return whether an addition says what is stored already."""
    if body is None or body.payload != change.draft.payload:
        return False
    stored, given = encode_header(body.header), encode_header(change.draft.header)
    if not change.timed:
        for name in ("happened_at", "mentions"):
            stored.pop(name, None)
            given.pop(name, None)
    return encode_json(stored) == encode_json(given)
