"""Everything a vault holds about one subject, walked in one snapshot.

This is what a person may ask to see: every version on every branch whatever its state, who wrote
it and when, what was forgotten. It names one tenant and one subject in every look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mnemos.errors import NotFound, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.blobs import load_body
from mnemos.kernel.branches import NOW, Line, ancestry, versions_of
from mnemos.kernel.canonical import decode_content, moment
from mnemos.kernel.journal import GENESIS, find_subject
from mnemos.kernel.ports import Blobs, ReadTx
from mnemos.kernel.schema import ALIVE, MAIN, Branch, Event, Named, PolicyRow, Version
from mnemos.types import Header, Payload, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One version of a memory as it stands in the vault, with who recorded it.

    Parameters
    ----------
    id : str
        Of the memory.
    version : int
        From 1, along the branch.
    state : State
        In the life cycle.
    verb, actor : str
        What brought it, and who did.
    recorded_at, recorded_seq
        When, as wall time and as journal position.
    retired_seq : int or None
        Where it stopped being the current one of its branch.
    branch : str or None
        None is the main line.
    header, payload
        What it says.
    """

    id: str
    version: int
    state: State
    verb: str
    actor: str
    recorded_at: datetime
    recorded_seq: int
    retired_seq: int | None
    branch: str | None
    header: Header
    payload: Payload


class Disclosure:
    """What one snapshot of a vault holds about one subject.

    Parameters
    ----------
    tx : ReadTx
        The snapshot; it must stay open while one walks.
    blobs : Blobs
        Where large payloads lie.
    tenant, subject : str
        About whom.

    Raises
    ------
    NotFound
        If nothing was ever written of the subject, or all of it was forgotten.
    """

    def __init__(self, tx: ReadTx, blobs: Blobs, tenant: str, subject: str) -> None:
        number = find_subject(tx, tenant, subject)
        if number is None:
            raise NotFound(
                f"nothing is remembered of {subject!r}: it was forgotten, or never written"
            )
        self._tx = tx
        self._blobs = blobs
        self._key = (tenant, number)
        self.tenant = tenant
        self.subject = subject
        self.head = tx.get(schema.HEADS, (tenant,)) or schema.Head(tenant, 0, 0, GENESIS)
        self.actors = {row.actor: row.name for row in tx.scan(schema.ACTORS, (tenant,))}
        self.branches: dict[int, Branch] = {
            row.branch: row for row in tx.scan(schema.BRANCHES, self._key)
        }
        self._lines: dict[int, list[Line]] = {
            branch: ancestry(tx, tenant, number, branch, NOW) for branch in (MAIN, *self.branches)
        }

    def branch_name(self, branch: int) -> str | None:
        """Return the name of a branch; the main line has none."""
        row = self.branches.get(branch)
        return row.name if row is not None else None

    def cubes(self) -> list[int]:
        """Return the numbers of the subject's memories, in order of first writing."""
        rows = self._tx.scan(schema.VERSIONS, self._key, index="deaths")
        return sorted({row.cube for row in rows})

    def versions(self) -> Iterator[Recorded]:
        """Walk every version on every branch, memory by memory, in order of recording."""
        for cube in self.cubes():
            rows = self._tx.scan(schema.VERSIONS, (self.tenant, cube))
            # A copy of an inherited row only says what became of it on the branch.
            own = [row for row in rows if row.born > self._lines[row.branch][0].fork]
            for row in sorted(own, key=lambda row: row.born):
                yield self._recorded(row)

    def _recorded(self, row: Version) -> Recorded:
        first = self._event(row.cube)
        event = self._event(row.born)
        body = load_body(self._tx, self._blobs, self.tenant, row.content)
        if body is None or body.payload is None:
            raise StoreCorrupt(f"memory {first.cube} has lost its content; run `mnemos verify`")
        along = versions_of(self._tx, self.tenant, row.cube, self._lines[row.branch])
        return Recorded(
            id=first.cube,
            version=1 + sum(item.born < row.born for item in along),
            state=State(row.state),
            verb=event.verb,
            actor=self.actors.get(event.actor, ""),
            recorded_at=moment(event.at),
            recorded_seq=row.born,
            retired_seq=None if row.dead == ALIVE else row.dead,
            branch=self.branch_name(row.branch),
            header=body.header,
            payload=body.payload,
        )

    def _event(self, seq: int) -> Event:
        event = self._tx.get(schema.EVENTS, (self.tenant, seq))
        if event is None:
            raise StoreCorrupt(f"event {seq} is missing; run `mnemos verify`")
        return event

    def snapshots(self) -> Iterator[Named]:
        """Walk the subject's snapshots."""
        return self._tx.scan(schema.SNAPSHOTS, self._key)

    def policies(self) -> Iterator[PolicyRow]:
        """Walk the life-cycle policies set for the subject."""
        return self._tx.scan(schema.POLICIES, self._key)

    def rules(self) -> Iterator[schema.RuleRow]:
        """Walk the rules of governance set for the subject: grants, redaction, audit."""
        return self._tx.scan(schema.RULES, self._key)

    def read_notes(self) -> Iterator[tuple[Event, Mapping[str, Any]]]:
        """Walk the audited reads of the subject's memories: who was given what, when and why."""
        for record in self._tx.scan(schema.RECORDS, self._key):
            row = self._tx.get(schema.CONTENTS, (self.tenant, record.seq))
            value = decode_content(row.body).record if row is not None else None
            if record.verb == "read" and value is not None:
                yield self._event(record.seq), value

    def read_counts(self) -> Iterator[schema.ReadCount]:
        """Walk how often who read of the subject, day by day."""
        return self._tx.scan(schema.READS, self._key)

    def usage(self) -> Iterator[tuple[str, schema.Usage]]:
        """Walk how the memories are used, with their ids."""
        for row in self._tx.scan(schema.USAGE, self._key):
            yield self._event(row.cube).cube, row

    def budget(self) -> schema.Budget | None:
        """Return what jobs about the subject may spend in a day."""
        return self._tx.get(schema.BUDGETS, self._key)

    def spent(self) -> Iterator[schema.Spent]:
        """Walk what jobs about the subject have spent, day by day."""
        return self._tx.scan(schema.SPENT, self._key)

    def jobs(self) -> Iterator[schema.Job]:
        """Walk the work that is to be done about the subject."""
        rows = self._tx.scan(schema.JOBS, (self.tenant,))
        return (row for row in rows if row.subject == self._key[1])

    def events(self) -> Iterator[Event]:
        """Walk the journal's entries about the subject, those of what was forgotten included."""
        rows = self._tx.scan(schema.EVENTS, (self.tenant,))
        return (row for row in rows if row.subject == self._key[1])
