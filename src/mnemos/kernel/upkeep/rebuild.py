"""Making the word index again from the memories themselves, when the tokeniser has changed."""

from __future__ import annotations

from collections.abc import Callable

from mnemos.kernel import schema, segments
from mnemos.kernel.blobs import load_body
from mnemos.kernel.canonical import decode_content
from mnemos.kernel.ports import Blobs, ReadTx, WriteTx
from mnemos.kernel.projection import page_row
from mnemos.kernel.schema import External, Page, TailRow


def rebuild_terms(tx: WriteTx, blobs: Blobs) -> None:
    """Give every row of every page the terms and name hashes of today's tokeniser."""
    for page in list(tx.scan(schema.PAGES, ())):
        _rebuild(tx, blobs, page, lambda _: True)


_ADDED = (
    b'"valid_from"',
    b'"valid_to"',
    b'"access"',
    b'"sensitivity"',
    b'"origin"',
    b'"trust"',
    b'"caption"',
)
"""Header fields that rows of older formats did not carry."""


def rebuild_columns(tx: WriteTx, blobs: Blobs) -> None:
    """Write when things were true, who may read them and their trust, where rows did not say so."""
    bounded = {
        (row.tenant, row.seq)
        for row in tx.scan(schema.CONTENTS, ())
        if any(name in row.body for name in _ADDED)
    }
    for page in list(tx.scan(schema.PAGES, ())) if bounded else ():
        _rebuild(tx, blobs, page, lambda row: (row.tenant, row.content) in bounded)


def rebuild_externals(tx: WriteTx) -> None:
    """Enter every memory that bore a caller's own id where the last one alone used to be kept."""
    found: list[External] = []
    for row in tx.scan(schema.CONTENTS, ()):
        if b'"external_id"' in row.body:
            external = decode_content(row.body).header.external_id
            event = tx.get(schema.EVENTS, (row.tenant, row.seq))
            if external is not None and event is not None:
                key = (row.tenant, event.subject, event.branch)
                found.append(External(*key, external, event.cube))
    for name in found:
        tx.put(schema.EXTERNALS, name)


def _rebuild(tx: WriteTx, blobs: Blobs, page: Page, wanted: Callable[[TailRow], bool]) -> None:
    """Make the wanted rows of a page again from their contents."""
    key = page[:3]
    for row in list(tx.scan(schema.TAIL, key)):
        if wanted(row):
            tx.put(schema.TAIL, _fresh(tx, blobs, row))
    for table in (schema.SEGMENTS, schema.HISTORY):
        for parts in list(segments.grouped(tx, key, table)):
            rows = {row.born: row for row in segments.segment_rows(parts)}
            fresh = {born: _fresh(tx, blobs, row) for born, row in rows.items() if wanted(row)}
            for part in parts if fresh else ():
                changed = segments.with_rows(part, segments.births_of(parts), rows | fresh)
                tx.put(table, changed)
    tx.put(schema.PAGES, page._replace(epoch=page.epoch + 1))


def _fresh(tx: ReadTx, blobs: Blobs, row: TailRow) -> TailRow:
    event = tx.get(schema.EVENTS, (row.tenant, row.born))
    body = load_body(tx, blobs, row.tenant, row.content)
    assert event is not None
    assert body is not None, "a row that was not erased has its content"
    return page_row(event, row.cube, body)
