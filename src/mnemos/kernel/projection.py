"""From journal to tables: what each event means for ids, versions and pages.

The same function runs when an event is committed and when ``verify`` or a rebuild replays the
journal, so derived tables can always be compared with, or made again from, what was committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnemos.errors import StoreCorrupt
from mnemos.kernel import schema, segments
from mnemos.kernel.branches import NOW, RECORDS, ancestry, version_at
from mnemos.kernel.canonical import Body, encode_json, microseconds
from mnemos.kernel.governance.guards import guard_of
from mnemos.kernel.governance.trust import brought, is_echo, sources_of
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import WriteTx
from mnemos.kernel.postings import encode_terms
from mnemos.kernel.schema import (
    ALIVE,
    EARLIEST,
    FULL_TRUST,
    UNRANKED,
    Branch,
    Event,
    External,
    Forgotten,
    Id,
    Link,
    Named,
    Page,
    PolicyRow,
    Record,
    RuleRow,
    Source,
    TailRow,
    Version,
)
from mnemos.kernel.tokens import count_terms, speaker_hash, term_hash
from mnemos.types import Header, State


def page_row(event: Event, cube: int, body: Body) -> TailRow:
    """Return the searchable row of the version an event brought."""
    header = body.header
    counts = count_terms(index_text(header, body.payload) if body.payload else "")
    return TailRow(
        tenant=event.tenant,
        subject=event.subject,
        branch=event.branch,
        born=event.seq,
        cube=cube,
        content=event.content,
        state=segments.STATES.index(State(event.state)),
        kind=segments.KINDS.index(header.kind),
        session=term_hash(header.run_id or ""),
        agent=term_hash(header.agent_id or ""),
        speaker=speaker_hash(header.speaker),
        at=microseconds(header.happened_at) if header.happened_at else event.at,
        expires=microseconds(header.expires_at) if header.expires_at else ALIVE,
        length=UNRANKED if is_echo(header) else sum(counts.values()),
        since=microseconds(header.valid_from) if header.valid_from else EARLIEST,
        until=microseconds(header.valid_to) if header.valid_to else ALIVE,
        guard=guard_of(header),
        trust=round(FULL_TRUST * brought(header)),
        terms=encode_terms(counts),
    )


class Projection:
    """Applies events to the derived tables of one write transaction."""

    def __init__(self, tx: WriteTx) -> None:
        self._tx = tx
        self._pages: dict[segments.PageKey, Page] = {}
        self._erased: dict[segments.PageKey, dict[int, bool]] = {}

    def page(self, key: segments.PageKey) -> Page:
        """Return the page as this transaction has it so far."""
        if key not in self._pages:
            self._pages[key] = self._tx.get(schema.PAGES, key) or schema.empty_page(*key)
        return self._pages[key]

    def touched(self) -> list[Page]:
        """Return the pages changed so far."""
        return list(self._pages.values())

    def apply(self, event: Event, body: Body | None) -> None:
        """Carry one event into the tables; ``body`` is the content it names, if still there."""
        if event.verb in RECORDS:
            self._record(event, body)
            return
        match event.verb:
            case "add":
                self._add(event, body)
            case "update" | "state" | "adopt":
                self._replace(event, body)
            case "withdraw":
                self._end(event, self._number(event))
            case _:
                self._forget(event)

    def finish(self) -> None:
        """Erase what was forgotten, each segment once, and write the pages touched."""
        for key, ended in self._erased.items():
            self._pages[key] = segments.erase_rows(self._tx, self.page(key), ended)
        for page in self._pages.values():
            self._tx.put(schema.PAGES, page)

    # ------------------------------------------------------------------ memories

    def _number(self, event: Event) -> int:
        found = self._tx.get(schema.IDS, (event.tenant, event.cube))
        if found is None:
            raise StoreCorrupt(f"memory {event.cube} has no first event; run `mnemos verify`")
        return found.cube

    def _add(self, event: Event, body: Body | None) -> None:
        tx, tenant = self._tx, event.tenant
        tx.insert(schema.IDS, [Id(tenant, event.cube, event.seq, event.subject)])
        self._version(event, event.seq, body)

    def _replace(self, event: Event, body: Body | None) -> None:
        cube = self._number(event)
        self._end(event, cube)
        self._version(event, cube, body)

    def _end(self, event: Event, cube: int) -> None:
        """End the version of a cube that is current on the event's branch, if there is one."""
        lines = ancestry(self._tx, event.tenant, event.subject, event.branch, NOW)
        live = version_at(self._tx, event.tenant, cube, lines)
        key = (event.tenant, event.subject, event.branch)
        if live is None:
            return
        page = self.page(key)
        if live.branch == event.branch:
            self._tx.put(schema.VERSIONS, live._replace(dead=event.seq))
            own = live.born > lines[0].fork
        else:  # inherited: copied beside the branch's own rows, ended
            copied = live._replace(branch=event.branch, dead=event.seq)
            self._tx.insert(schema.VERSIONS, [copied])
            own = False
        self._pages[key] = page._replace(changed=event.seq, ended=page.ended + own)

    def _refer(self, event: Event, header: Header) -> None:
        """Enter the names a content brings: the caller's id, what it was made from, its links."""
        tenant, cube = event.tenant, event.cube
        external = header.external_id
        if external is not None:
            row = External(tenant, event.subject, event.branch, external, cube)
            self._tx.put(schema.EXTERNALS, row)
        for source in sources_of(header):
            self._tx.put(schema.SOURCES, Source(tenant, source, cube))
        for link in header.links:
            if self._tx.get(schema.IDS, (tenant, link.target)) is not None:
                self._tx.put(schema.LINKS, Link(tenant, link.target, cube))

    def _version(self, event: Event, cube: int, body: Body | None) -> None:
        if body is not None and event.verb != "state":
            self._refer(event, body.header)
        version = Version(
            tenant=event.tenant,
            cube=cube,
            branch=event.branch,
            born=event.seq,
            dead=ALIVE,
            content=event.content,
            state=event.state,
            subject=event.subject,
        )
        self._tx.insert(schema.VERSIONS, [version])
        if body is not None:
            self._tx.insert(schema.TAIL, [page_row(event, cube, body)])
        key = (event.tenant, event.subject, event.branch)
        page = self.page(key)
        self._pages[key] = page._replace(changed=event.seq, tail=page.tail + (body is not None))

    def _forget(self, event: Event) -> None:
        """Erase a cube on every branch, or a record."""
        tx, tenant, subject = self._tx, event.tenant, event.subject
        found = tx.get(schema.IDS, (tenant, event.cube))
        if found is None:
            self._forget_record(event)
            tx.put(schema.FORGOTTEN, Forgotten(tenant, event.cube, event.seq))
            return
        branches: set[int] = set()
        for row in list(tx.scan(schema.VERSIONS, (tenant, found.cube))):
            branches.add(row.branch)
            line = ancestry(tx, tenant, subject, row.branch, NOW)[0]
            if row.born > line.fork:  # else a copy, whose page row lies on an ancestor's page
                key = (tenant, subject, row.branch)
                self._erased.setdefault(key, {})[row.born] = row.dead != ALIVE
        for branch in branches:
            key = (tenant, subject, branch)
            self._pages[key] = self.page(key)._replace(changed=event.seq)
        tx.delete(schema.VERSIONS, (tenant, found.cube))
        tx.delete(schema.IDS, (tenant, event.cube))
        tx.delete(schema.SOURCES, (tenant, event.cube))
        tx.delete(schema.LINKS, (tenant, event.cube))
        tx.put(schema.FORGOTTEN, Forgotten(tenant, event.cube, event.seq))

    # ------------------------------------------------------------------- records

    def _record(self, event: Event, body: Body | None) -> None:
        if body is None or body.record is None:
            raise StoreCorrupt(f"event {event.seq} has lost its record; run `mnemos verify`")
        tx, given = self._tx, body.record
        record = Record(event.tenant, event.subject, event.cube, event.seq, event.verb)
        tx.insert(schema.RECORDS, [record])
        applied: dict[str, Callable[[Event, Any], None]] = {
            "snapshot": self._snapshot,
            "branch": self._branch,
            "merge": self._merged,
            "policy": self._policy,
            "rule": self._rule,
        }
        if event.verb in applied:
            applied[event.verb](event, given)

    def _snapshot(self, event: Event, given: Any) -> None:
        row = Named(
            event.tenant, event.subject, given["name"], event.branch, given["at"], event.cube
        )
        self._tx.put(schema.SNAPSHOTS, row)

    def _branch(self, event: Event, given: Any) -> None:
        row = Branch(
            tenant=event.tenant,
            subject=event.subject,
            branch=event.seq,
            parent=event.branch,
            fork=given["at"],
            merged=given["at"],
            name=given["name"],
        )
        self._tx.insert(schema.BRANCHES, [row])

    def _merged(self, event: Event, given: Any) -> None:
        row = self._tx.get(schema.BRANCHES, (event.tenant, event.subject, given["branch"]))
        if row is None:
            raise StoreCorrupt(f"event {event.seq} merges a branch there is not")
        self._tx.put(schema.BRANCHES, row._replace(merged=event.seq))

    def _policy(self, event: Event, given: Any) -> None:
        key = (event.tenant, event.subject, given["kind"])
        if given["policy"] is None:
            self._tx.delete(schema.POLICIES, key)
            return
        body = encode_json(given["policy"])
        self._tx.put(schema.POLICIES, PolicyRow(*key, event.cube, body))

    def _rule(self, event: Event, given: Any) -> None:
        key = (event.tenant, event.subject, given["sort"], given["name"])
        if given["value"] is None:
            self._tx.delete(schema.RULES, key)
            return
        self._tx.put(schema.RULES, RuleRow(*key, event.cube, encode_json(given["value"])))

    def _forget_record(self, event: Event) -> None:
        tx, key = self._tx, (event.tenant, event.subject)
        record = tx.get(schema.RECORDS, (*key, event.cube))
        if record is None:
            return
        tx.delete(schema.RECORDS, (*key, event.cube))
        if record.verb == "branch":
            tx.delete(schema.BRANCHES, (*key, record.seq))
        for named in list(tx.scan(schema.SNAPSHOTS, key)):
            if named.id == event.cube:
                tx.delete(schema.SNAPSHOTS, named[:3])
        for policy in list(tx.scan(schema.POLICIES, key)):
            if policy.id == event.cube:
                tx.delete(schema.POLICIES, policy[:3])
        for rule in list(tx.scan(schema.RULES, key)) if record.verb == "rule" else ():
            if rule.id == event.cube:
                tx.delete(schema.RULES, rule[:4])
