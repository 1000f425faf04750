"""From journal to tables: what each event means for ids, versions and pages.

The same function runs when an event is committed and when ``verify`` or a rebuild replays the
journal, so derived tables can always be compared with, or made again from, what was committed.
"""

from __future__ import annotations

from mnemos.errors import StoreCorrupt
from mnemos.kernel import schema, segments
from mnemos.kernel.canonical import Body, microseconds
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.postings import encode_terms
from mnemos.kernel.schema import ALIVE, Event, External, Id, Page, Source, TailRow, Version
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
        length=sum(counts.values()),
        terms=encode_terms(counts),
    )


def live_version(tx: ReadTx, tenant: str, cube: int, branch: int) -> Version | None:
    """Return the current version of a cube on a branch."""
    rows = tx.scan(schema.VERSIONS, (tenant, cube, branch), reverse=True, limit=1)
    return next((row for row in rows if row.dead == ALIVE), None)


class Projection:
    """Applies events to the derived tables of one write transaction."""

    def __init__(self, tx: WriteTx) -> None:
        self._tx = tx
        self._pages: dict[segments.PageKey, Page] = {}
        self._erased: dict[segments.PageKey, list[int]] = {}

    def page(self, key: segments.PageKey) -> Page:
        """Return the page as this transaction has it so far."""
        if key not in self._pages:
            self._pages[key] = self._tx.get(schema.PAGES, key) or Page(*key, 0, 0, 0, 0)
        return self._pages[key]

    def touched(self) -> list[Page]:
        """Return the pages changed so far."""
        return list(self._pages.values())

    def apply(self, event: Event, body: Body | None) -> None:
        """Carry one event into the tables; ``body`` is the content it names, if still there."""
        match event.verb:
            case "add":
                self._add(event, body)
            case "update" | "state":
                self._replace(event, body)
            case _:
                self._forget(event)

    def finish(self) -> None:
        """Erase what was forgotten, each segment once, and write the pages touched."""
        for key, born in self._erased.items():
            self._pages[key] = segments.erase_rows(self._tx, self.page(key), born)
        for page in self._pages.values():
            self._tx.put(schema.PAGES, page)

    def _add(self, event: Event, body: Body | None) -> None:
        tx, tenant = self._tx, event.tenant
        tx.insert(schema.IDS, [Id(tenant, event.cube, event.seq, event.subject)])
        self._version(event, event.seq, body)

    def _replace(self, event: Event, body: Body | None) -> None:
        found = self._tx.get(schema.IDS, (event.tenant, event.cube))
        if found is None:
            raise StoreCorrupt(f"memory {event.cube} has no first event; run `mnemos verify`")
        live = live_version(self._tx, event.tenant, found.cube, event.branch)
        if live is not None:
            self._tx.put(schema.VERSIONS, live._replace(dead=event.seq))
        self._version(event, found.cube, body)

    def _refer(self, event: Event, header: Header) -> None:
        """Enter the names a new content brings: the caller's id, and what it was made from."""
        external = header.external_id
        if external is not None:
            row = External(event.tenant, event.subject, external, event.cube)
            self._tx.put(schema.EXTERNALS, row)
        for source in header.derived_from:
            self._tx.put(schema.SOURCES, Source(event.tenant, source, event.cube))

    def _version(self, event: Event, cube: int, body: Body | None) -> None:
        if body is not None and event.content == event.seq:
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
        tx, tenant = self._tx, event.tenant
        found = tx.get(schema.IDS, (tenant, event.cube))
        if found is None:
            return
        versions = list(tx.scan(schema.VERSIONS, (tenant, found.cube)))
        key = (tenant, event.subject, event.branch)
        self._erased.setdefault(key, []).extend(row.born for row in versions)
        self._pages[key] = self.page(key)._replace(changed=event.seq)
        tx.delete(schema.VERSIONS, (tenant, found.cube))
        tx.delete(schema.IDS, (tenant, event.cube))
        tx.delete(schema.SOURCES, (tenant, event.cube))
