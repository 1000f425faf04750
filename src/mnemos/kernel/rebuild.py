"""Making the word index again from the memories themselves, when the tokeniser has changed."""

from __future__ import annotations

from mnemos.kernel import schema, segments
from mnemos.kernel.blobs import load_body
from mnemos.kernel.ports import Blobs, ReadTx, WriteTx
from mnemos.kernel.projection import page_row
from mnemos.kernel.schema import TailRow


def rebuild_terms(tx: WriteTx, blobs: Blobs) -> None:
    """Give every row of every page the terms and name hashes of today's tokeniser."""
    for page in list(tx.scan(schema.PAGES, ())):
        key = page[:3]
        for row in list(tx.scan(schema.TAIL, key)):
            tx.put(schema.TAIL, _fresh(tx, blobs, row))
        for first in sorted({part.segment for part in tx.scan(schema.SEGMENTS, key)}):
            parts = list(tx.scan(schema.SEGMENTS, (*key, first)))
            fresh = {row.born: _fresh(tx, blobs, row) for row in segments.segment_rows(parts)}
            for part in parts:
                tx.put(schema.SEGMENTS, segments.with_rows(part, segments.births_of(parts), fresh))
        tx.put(schema.PAGES, page._replace(epoch=page.epoch + 1))


def _fresh(tx: ReadTx, blobs: Blobs, row: TailRow) -> TailRow:
    event = tx.get(schema.EVENTS, (row.tenant, row.born))
    body = load_body(tx, blobs, row.tenant, row.content)
    assert event is not None
    assert body is not None, "a row that was not erased has its content"
    return page_row(event, row.cube, body)
