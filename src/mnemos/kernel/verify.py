"""Checking a vault: the chain, the contents it commits to, and every table made from them.

The journal is replayed through the same projection that wrote the tables, into memory, one
tenant at a time, and the two are compared row by row.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mnemos.errors import StoreCorrupt
from mnemos.kernel import journal, schema, segments
from mnemos.kernel.blobs import load_payload, orphans
from mnemos.kernel.canonical import Body, commitment, decode_content
from mnemos.kernel.overlay import Overlay
from mnemos.kernel.ports import Key, ReadTx, Row, Table
from mnemos.kernel.projection import Projection
from mnemos.kernel.schema import Event
from mnemos.kernel.vault import Vault

MOST_PROBLEMS = 100
_LARGEST = 1e6
"""More than any number of a sound vector, which should have length one."""

DERIVED: tuple[Table[Any], ...] = (
    schema.IDS,
    schema.VERSIONS,
    schema.EXTERNALS,
    schema.SOURCES,
)
"""Tables made from the journal row by row; pages are compared as rows, sealed or not."""


@dataclass(slots=True)
class Report:
    """What ``verify`` found.

    Parameters
    ----------
    events, contents, erased : int
        Events checked, contents proved against their commitments, contents that were forgotten.
    rows : int
        Rows of derived tables compared.
    problems : list of str
        What is wrong and where; empty if all is well.
    """

    events: int = 0
    contents: int = 0
    erased: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def note(self, problem: str) -> None:
        """Record a problem, up to a hundred of them."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class _Nothing:
    """A snapshot of an empty vault."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return None: there is nothing."""
        return None

    def scan(self, table: Table[Row], prefix: Key, **_: Any) -> Iterator[Row]:
        """Walk nothing."""
        return iter(())


def verify(vault: Vault, *, progress: Callable[[int], None] | None = None) -> Report:
    """Check a whole vault and report; nothing is changed.

    Parameters
    ----------
    vault : Vault
        What to check.
    progress : callable or None
        Called with 1 after every event.
    """
    report = Report()
    for problem in vault.store.check():
        report.note(f"file: {problem}")
    with vault.store.read() as tx:
        for tenant in journal.tenants(tx):
            try:
                _tenant(tx, vault, tenant, report, progress)
            except (LookupError, TypeError, ValueError) as error:
                report.note(f"journal of {tenant!r}: damage ends the check ({error})")
        strays = orphans(tx, vault.store.blobs)
    if strays:
        with vault.store.write() as tx:  # under the lock none is on its way to its commit
            strays = orphans(tx, vault.store.blobs)
    for name in strays:
        report.note(f"blob {name} belongs to no memory; it is swept at the next opening")
    return report


def _tenant(
    tx: ReadTx,
    vault: Vault,
    tenant: str,
    report: Report,
    progress: Callable[[int], None] | None,
) -> None:
    forgotten = {event.cube for event in _events(tx, tenant) if event.verb == "forget"}
    rebuilt = Overlay(_Nothing())
    projection = Projection(rebuilt)
    last: Event | None = None
    for event, sound in journal.walk(tx, tenant):
        report.events += 1
        last = event
        if not sound:
            report.note(f"journal of {tenant!r}: event {event.seq} does not fit the chain")
        body = _content(tx, vault, event, event.cube in forgotten, report)
        if event.cube not in forgotten:
            _replay(projection, event, body, report)
        if progress is not None:
            progress(1)
    projection.finish()
    _head(tx, tenant, last, report)
    _compare(tx, rebuilt, tenant, report)


def _replay(projection: Projection, event: Event, body: Body | None, report: Report) -> None:
    try:
        projection.apply(event, body)
    except (StoreCorrupt, ValueError) as error:
        report.note(f"event {event.seq}: it cannot be replayed ({error})")


def _events(tx: ReadTx, tenant: str) -> Iterable[Event]:
    return tx.scan(schema.EVENTS, (tenant,))


def _head(tx: ReadTx, tenant: str, last: Event | None, report: Report) -> None:
    head = tx.get(schema.HEADS, (tenant,))
    end = (last.seq, last.at, last.hash) if last is not None else None
    if head is None or (head.seq, head.at, head.hash) != end:
        report.note(f"journal of {tenant!r}: its end is not the event the head names")


def _content(
    tx: ReadTx, vault: Vault, event: Event, forgotten: bool, report: Report
) -> Body | None:
    """Return an event's content, proved against its commitment."""
    if not event.content:
        return None
    row = tx.get(schema.CONTENTS, (event.tenant, event.content))
    if row is None:
        if forgotten:
            report.erased += event.content == event.seq
        else:
            report.note(f"event {event.seq}: its content is missing and was never forgotten")
        return None
    if forgotten:
        report.note(f"event {event.seq}: content of a forgotten memory is still there")
    if event.content == event.seq:
        report.contents += 1
        if commitment(row.salt, row.body) != event.commitment:
            report.note(f"event {event.seq}: its content is not what was committed to")
    try:
        body = decode_content(row.body)
        return body if body.blob is None else load_payload(vault.store.blobs, body, row.salt)
    except StoreCorrupt as error:
        report.note(f"event {event.seq}: {error}")
        return None


def _compare(tx: ReadTx, rebuilt: Overlay, tenant: str, report: Report) -> None:
    """Compare every derived table with the one replayed from the journal."""
    for table in DERIVED:
        _difference(table.name, tx.scan(table, (tenant,)), rebuilt.scan(table, (tenant,)), report)
    known = {page[:3] for page in tx.scan(schema.PAGES, (tenant,))}
    known |= {page[:3] for page in rebuilt.scan(schema.PAGES, (tenant,)) if page.tail}
    for key in sorted(known):
        try:
            present = list(segments.page_rows(tx, key))
        except (LookupError, ValueError, MemoryError, struct.error) as error:
            report.note(f"page {key}: its segments cannot be read ({error})")
            continue
        _difference("pages", present, segments.page_rows(rebuilt, key), report)
        _vectors(tx, key, report)
        _erased(tx, key, report)
        _row_of_page(tx, key, report)


def _row_of_page(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check that searches find the rows of a page through the one that describes it."""
    page = tx.get(schema.PAGES, key)
    tail = [row.born for row in tx.scan(schema.TAIL, key)]
    sealed = [part.segment for part in tx.scan(schema.SEGMENTS, key)]
    if page is None:
        if tail or sealed:
            report.note(f"page {key}: its own row is missing")
    elif page.tail != len(tail):
        report.note(f"page {key}: its tail holds {len(tail)} rows, {page.tail} were counted")
    elif not max(sealed, default=0) <= page.sealed < min(tail, default=schema.ALIVE):
        report.note(f"page {key}: {page.sealed} does not part its segments from its tail")


def _vectors(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check the form of a page's vectors; which they are lies outside the chain."""
    import numpy as np

    for space in tx.scan(schema.SPACES, ()):
        width = 4 * space.dim
        found = [(row.bytes, width) for row in tx.scan(schema.VECTORS, (*key, space.space))]
        found.extend(
            (part.bytes, part.n * width)
            for part in tx.scan(schema.SEGMENTS, key)
            if part.encoding == f"f32:{space.space}"
        )
        if any(
            len(data) != size or not (abs(np.frombuffer(data, "<f4")) < _LARGEST).all()
            for data, size in found
        ):
            report.note(f"page {key}: vectors of space {space.space} are damaged; run reembed")


def _erased(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check that nothing of a forgotten memory is left in a segment."""
    for first in sorted({part.segment for part in tx.scan(schema.SEGMENTS, key)}):
        parts = list(tx.scan(schema.SEGMENTS, (*key, first)))
        report.problems.extend(
            f"page {key}: {encoding} of segment {first} holds something of a forgotten memory"
            for encoding in segments.remains(parts)
        )


def _difference(name: str, present: Iterable[Any], expected: Iterable[Any], report: Report) -> None:
    have, want = Counter(present), Counter(expected)
    report.rows += have.total()
    for row in list((want - have).elements())[:5]:
        report.note(f"{name}: row {_shown(row)} is missing or differs from the journal")
    for row in list((have - want).elements())[:5]:
        report.note(f"{name}: row {_shown(row)} is not what the journal says")


def _shown(row: Any) -> str:
    """Return the leading numbers of a row, never what people wrote."""
    return str(tuple(value for value in row[:4] if not isinstance(value, bytes)))
