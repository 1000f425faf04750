"""Payloads too large for the tables: read back under proof, swept when nothing names them."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

from mnemos.errors import StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.canonical import Body, decode_content, decode_payload
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.ports import Blobs, ReadTx, Store


class MissingBlob(StoreCorrupt):
    """A content names a blob that is not there: lost, or erased while it was being read."""


def load_payload(blobs: Blobs, body: Body, salt: bytes) -> Body:
    """Return ``body`` with the payload its blob holds.

    Raises
    ------
    MissingBlob
        If the blob is gone.
    StoreCorrupt
        If it is not what the journal committed to.
    """
    assert body.blob is not None
    data = blobs.get(body.blob)
    if data is None:
        raise MissingBlob(
            f"blob {body.blob} is missing from the vault's blob folder; restore it from a backup "
            "or forget the memory"
        )
    if hmac.new(salt, data, hashlib.sha256).hexdigest() != body.blob:
        raise StoreCorrupt(f"blob {body.blob} was altered; restore it from a backup")
    return replace(body, payload=decode_payload(json.loads(data)), blob=None)


def load_body(tx: ReadTx, blobs: Blobs, tenant: str, content: int) -> Body | None:
    """Return a content with its payload, wherever it lies; None if it was erased."""
    row = tx.get(schema.CONTENTS, (tenant, content))
    if row is None:
        return None
    body = decode_content(row.body)
    return body if body.blob is None else load_payload(blobs, body, row.salt)


def orphans(tx: ReadTx, blobs: Blobs) -> list[str]:
    """Return the blobs no content names: left by a process that died before its commit."""
    named = {row.name for row in tx.scan(schema.BLOBS, ())}
    return [name for name in blobs.names() if name not in named]


def sweep(store: Store) -> list[str]:
    """Remove orphaned blobs and return their names.

    Runs under the write lock, as does every write of a blob, so none can be on its way.
    """
    if not store.blobs.names():
        return []
    with store.write(SYSTEM) as tx:
        found = orphans(tx, store.blobs)
        for name in found:
            store.blobs.delete(name)
    return found
