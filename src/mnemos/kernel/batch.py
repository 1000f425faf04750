"""One commit's batch of events: what every change is made of.

A change is one or more of four steps: a new content, an old content made current again, a move in
the life cycle, an end without successor. Each appends an event, carries it into the tables, and
puts the vector, which lies outside the chain, beside the row.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mnemos.errors import Conflict, InvalidInput, NotFound, Protected, VersionConflict
from mnemos.kernel import lifecycle, schema, segments
from mnemos.kernel.blobs import load_body
from mnemos.kernel.branches import NOW, Line, ancestry, fork_of, home, version_at, versions_of
from mnemos.kernel.canonical import Body
from mnemos.kernel.changes import Changes
from mnemos.kernel.journal import Journal, ensure_subject, find_subject
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Blobs, Entropy, ReadTx, WriteTx
from mnemos.kernel.projection import Projection
from mnemos.kernel.schema import Event, Id, Vector, Version
from mnemos.types import Draft, Header, Scope, State


@dataclass(slots=True)
class Outcome:
    """What a commit did: the seq reached, the cubes touched, what it erased and what it stored."""

    seq: int = 0
    before: int = 0
    ids: list[str] = field(default_factory=list[str])
    duplicates: int = 0
    suppressed: int = 0
    forgotten: list[str] = field(default_factory=list[str])
    restored: list[str] = field(default_factory=list[str])
    sources: list[str] = field(default_factory=list[str])
    dropped_blobs: list[str] = field(default_factory=list[str])
    mortal: bool = False
    """Whether something written has an end the sweeper must see to."""


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


def find_external(
    tx: ReadTx, scope: Scope, external_id: str | None, branch: int
) -> tuple[Id, Version] | None:
    """Return the cube a caller's own id names in a scope, and its current version."""
    subject = find_subject(tx, scope.tenant, scope.subject) if external_id is not None else None
    if subject is None or external_id is None:
        return None
    lines = ancestry(tx, scope.tenant, subject, branch, NOW)
    for line in lines:
        bearers = tx.scan(schema.EXTERNALS, (scope.tenant, subject, line.branch, external_id))
        ids = (tx.get(schema.IDS, (scope.tenant, row.id)) for row in bearers)
        cubes = sorted((found for found in ids if found), key=lambda found: found.cube)
        for found in reversed(cubes):  # where an earlier one has expired, the later one is meant
            live = version_at(tx, scope.tenant, found.cube, lines)
            if live is not None:
                return found, live
    return None


class Batch:
    """One write transaction's events, of one scope on one branch.

    Parameters
    ----------
    tx : WriteTx
        The transaction.
    blobs : Blobs
        Where large payloads go, before the row that names them.
    changes : Changes
        What is to be done: here its scope, actor and branch matter.
    now : datetime
        Wall time.
    entropy : Entropy
        Source of the salts.
    """

    def __init__(
        self,
        tx: WriteTx,
        blobs: Blobs,
        changes: Changes,
        *,
        now: datetime,
        entropy: Entropy,
    ) -> None:
        self.tx = tx
        self.blobs = blobs
        self.scope = Scope(tenant=changes.scope.tenant, subject=changes.scope.subject)
        self.tenant = changes.scope.tenant
        self.branch = changes.branch
        self.now = now
        self.entropy = entropy
        self.journal = Journal(tx, self.tenant, actor=changes.actor, now=now, entropy=entropy)
        self.projection = Projection(tx)
        self.outcome = Outcome(before=self.journal.seq)
        self.wordy = 0
        """Rows with words and without a vector."""
        self._subject: int | None = None
        self._lines: list[Line] = []

    # ---------------------------------------------------------------- looking up

    def subject(self) -> int:
        """Return the number of the scope's subject, giving it one if it has none."""
        if self._subject is None:
            self._subject = ensure_subject(self.tx, self.tenant, self.scope.subject)
        return self._subject

    def lines(self) -> list[Line]:
        """Return the branch written to, and its ancestors."""
        if not self._lines:
            self._lines = ancestry(self.tx, self.tenant, self.subject(), self.branch, NOW)
        return self._lines

    @contextmanager
    def on(self, branch: int) -> Generator[None, None, None]:
        """Look and write on another branch of the same subject for a while."""
        here, lines = self.branch, self._lines
        self.branch, self._lines = branch, lines if branch == here else []
        try:
            yield
        finally:
            self.branch, self._lines = here, lines

    def own(self, id: str) -> Id:
        """Return a cube of this scope's subject.

        A cube of another subject is reported as not found: that it exists is not this scope's
        to know.
        """
        found = find(self.tx, self.tenant, id)
        if found.subject != find_subject(self.tx, self.tenant, self.scope.subject):
            raise NotFound(
                f"no memory {id!r} of {self.scope.subject!r}; `get_all` lists what there is"
            )
        return found

    def current(self, cube: int) -> Version | None:
        """Return the current version of a cube on this branch, or None."""
        return version_at(self.tx, self.tenant, cube, self.lines())

    def live(self, found: Id) -> Version:
        """Return the current version of a cube on this branch."""
        live = self.current(found.cube)
        if live is None:
            raise NotFound(f"memory {found.id!r} has no current version on this branch")
        return live

    def versions(self, cube: int) -> list[Version]:
        """Return every version of a cube on this branch, in order."""
        return versions_of(self.tx, self.tenant, cube, self.lines())

    def body(self, version: Version) -> Body:
        """Return the content of a version."""
        body = load_body(self.tx, self.blobs, self.tenant, version.content)
        if body is None:
            raise NotFound("the content of this version was erased")
        return body

    def newest(self, found: Id) -> Header:
        """Return the header of a cube's current version, or of its last where it has none."""
        row = self.current(found.cube)
        if row is None:
            rows = self.tx.scan(schema.VERSIONS, (self.tenant, found.cube))
            row = max(rows, key=lambda item: item.born)
        return self.body(row).header

    def check_branch(self) -> None:
        """Pass if the branch written to is one of the scope's.

        Raises
        ------
        NotFound
            Otherwise.
        """
        if self.branch == schema.MAIN:
            return
        subject = find_subject(self.tx, self.tenant, self.scope.subject)
        if subject is None or fork_of(self.tx, self.tenant, subject, self.branch) is None:
            raise NotFound(
                f"there is no branch {self.branch} of {self.scope.subject!r}: it was never begun, "
                "or everything of it was forgotten"
            )

    def check_thawed(self, id: str, live: Version) -> None:
        """Pass if the current version may be followed by another."""
        if self.body(live).header.frozen:
            raise Protected(f"memory {id} is frozen; thaw it, add a new one, or forget this one")

    def check_bases(self, bases: Mapping[str, int]) -> None:
        """Pass if the cubes a change was computed from are as they were.

        Raises
        ------
        VersionConflict
            Otherwise.
        """
        for id, born in bases.items():
            found = self.tx.get(schema.IDS, (self.tenant, id))
            live = self.current(found.cube) if found else None
            if live is None or live.born != born:
                raise VersionConflict(
                    f"memory {id} was changed since it was read; read it again and repeat"
                )

    def check_expected(self, id: str, live: Version, expected: int | None) -> None:
        """Pass if the current version of a cube has the number expected.

        Raises
        ------
        VersionConflict
            Otherwise.
        """
        if expected is None:
            return
        births = [row.born for row in self.versions(find(self.tx, self.tenant, id).cube)]
        number = births.index(live.born) + 1
        if number != expected:
            raise VersionConflict(
                f"memory {id} is at version {number}, version {expected} was expected; read it "
                "again and repeat"
            )

    def is_over(self, live: Version) -> bool:
        """Return whether a cube's lifespan is over: its external id is then free again."""
        end = self.body(live).header.expires_at
        return live.state == State.EXPIRED or (end is not None and end <= self.now)

    def check_external(self, id: str, external_id: str | None) -> None:
        """Pass if a caller's own id is free or names this cube.

        Raises
        ------
        Conflict
            Otherwise.
        """
        taken = find_external(self.tx, self.scope, external_id, self.branch)
        if taken is not None and taken[0].id != id and not self.is_over(taken[1]):
            raise Conflict(
                f"external_id {external_id!r} is taken by memory {taken[0].id}; give another "
                "one, or update that memory"
            )

    # ------------------------------------------------------------------- writing

    def write(
        self, verb: str, id: str, draft: Draft, vectors: Mapping[int, bytes] | None = None
    ) -> None:
        """Append a new content, as the first version of a cube or the next.

        ``vectors`` maps spaces to the float32 bytes of its words.
        """
        self.outcome.mortal |= draft.header.expires_at is not None
        self.outcome.mortal |= draft.state is State.QUARANTINED
        written = self.journal.append(
            verb,
            cube=id,
            subject=self.subject(),
            branch=self.branch,
            state=draft.state,
            body=(self.scope, draft.header, draft.payload),
        )
        if written.blob:
            self.blobs.put(written.blob, written.data)
        body = Body(scope=self.scope, header=draft.header, payload=draft.payload)
        self.projection.apply(written.event, body)
        if vectors:
            self._put_vectors(written.event, vectors)
        elif index_text(draft.header, draft.payload):
            self.wordy += 1

    def vectors(self, version: Version, lines: list[Line]) -> dict[int, bytes]:
        """Return the vectors of a version that is visible along some lines, by space."""
        key = (self.tenant, version.subject, home(lines, version.born))
        if key[2] == self.branch:
            page = self.projection.page(key)
        else:
            page = self.tx.get(schema.PAGES, key) or schema.empty_page(*key)
        found = {
            space.space: segments.vector_of(self.tx, page, space.space, version.born)
            for space in self.tx.scan(schema.SPACES, ())
        }
        # A segment holds zeros where a row has no vector yet: that is none to pass on.
        return {space: data for space, data in found.items() if data is not None and any(data)}

    def adopt(self, id: str, version: Version, lines: list[Line], *, state: str = "") -> None:
        """Make a content the vault holds the current one of this branch.

        Parameters
        ----------
        id : str
            The cube.
        version : Version
            Whose content; ``lines`` is the branch it is visible on, from which its vector comes.
        state : str
            The state it takes; its own if left out.
        """
        self._repeat("adopt", id, version, lines, state or version.state)

    def move(self, id: str, live: Version, state: State) -> None:
        """Let the current version go on in another state of the life cycle."""
        check_step(live, state)
        self.outcome.mortal |= state is State.QUARANTINED
        self._repeat("state", id, live, self.lines(), state)

    def _repeat(self, verb: str, id: str, version: Version, lines: list[Line], state: str) -> None:
        vectors = self.vectors(version, lines)
        written = self.journal.append(
            verb,
            cube=id,
            subject=version.subject,
            branch=self.branch,
            state=state,
            content=version.content,
        )
        self.projection.apply(written.event, self.body(version))
        self._put_vectors(written.event, vectors)

    def withdraw(self, id: str, live: Version) -> None:
        """End the current version of a cube without a successor."""
        written = self.journal.append(
            "withdraw", cube=id, subject=live.subject, branch=self.branch, state=live.state
        )
        self.projection.apply(written.event, None)

    def record(
        self, verb: str, id: str, value: Mapping[str, Any], *, everywhere: bool = False
    ) -> Event:
        """Append an event that is about no memory; ``everywhere`` makes it the tenant's."""
        scope = Scope(tenant=self.tenant, subject="") if everywhere else self.scope
        self.outcome.mortal |= verb in ("policy", "rule")
        written = self.journal.append(
            verb,
            cube=id,
            subject=0 if everywhere else self.subject(),
            branch=self.branch,
            state="",
            record=(scope, value),
        )
        self.projection.apply(written.event, Body(scope=scope, record=value))
        return written.event

    def _put_vectors(self, event: Event, vectors: Mapping[int, bytes]) -> None:
        key = (self.tenant, event.subject, self.branch)
        rows = [Vector(*key, space, event.seq, data) for space, data in vectors.items()]
        self.tx.insert(schema.VECTORS, rows)


def check_step(live: Version, after: State) -> None:
    """Pass if the life cycle leads there; forgetting is more than a step, it erases."""
    if after is State.FORGOTTEN:
        raise InvalidInput("a state of 'forgotten' cannot be given; use forget, which erases")
    lifecycle.check_transition(State(live.state), after)
