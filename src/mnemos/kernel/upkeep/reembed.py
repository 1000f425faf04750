"""Changing the embedder, or bringing missing vectors: resumable, and switched in one transaction.

A new space is built beside the one in use, page by page, from the memories themselves. Whatever
is interrupted goes on with the rows that still lack a vector. The switch happens under the write
lock, and only if nothing was written since a pass that found nothing missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mnemos.errors import ModelError
from mnemos.kernel import schema, segments
from mnemos.kernel.blobs import load_body
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Embedder, ReadTx, WriteTx
from mnemos.kernel.schema import Page, Segment, Space
from mnemos.kernel.vault import Vault, active_space

BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a change of embedder has come: rows embedded, rows in all, and whether it is done."""

    done: int
    total: int
    switched: bool = False


def _ensure_space(vault: Vault, embedder: Embedder) -> Space:
    """Return the embedder's space, made beside the others where there is none."""
    with vault.store.write(SYSTEM) as tx:
        known = list(tx.scan(schema.SPACES, ()))
        for space in known:
            if space.fingerprint == embedder.fingerprint:
                return space
        number = 1 + max((space.space for space in known), default=0)
        space = Space(number, embedder.fingerprint, embedder.dim, "building")
        tx.insert(schema.SPACES, [space])
        return space


def _without_vector(tx: ReadTx, page: Page, space: int) -> Iterator[schema.TailRow]:
    """Yield the rows of a page that lack a vector in a space and have words to make one of."""
    key = page[:3]
    have = {row.born for row in tx.scan(schema.VECTORS, (*key, space))}
    for table in (schema.SEGMENTS, schema.HISTORY):
        for parts in segments.grouped(tx, key, table):
            have.update(_filled(parts, space))
    for row in segments.page_rows(tx, key):
        if row.length > 0 and row.born not in have:
            yield row


def _filled(parts: list[Segment], space: int) -> list[int]:
    """Return the births of a segment's rows that have a vector in a space."""
    import numpy as np

    for part in parts:
        if part.encoding == f"f32:{space}":
            filled = np.frombuffer(part.bytes, "<f4").reshape(part.n, -1).any(axis=1)
            return segments.births_of(parts)[filled].tolist()
    return []


def _heads(tx: ReadTx) -> tuple[schema.Head, ...]:
    return tuple(tx.scan(schema.HEADS, ()))


def reembed(
    vault: Vault, embedder: Embedder, *, progress: Callable[[Progress], None] | None = None
) -> Progress:
    """Give every row a vector by ``embedder`` and make its space the one in use.

    Raises
    ------
    ModelError
        If the embedder fails; what was embedded stays and the next call goes on from there.
    """
    space = _ensure_space(vault, embedder)
    done = 0
    tried: set[tuple[segments.PageKey, int]] = set()
    while True:
        with vault.store.read(SYSTEM) as tx:
            heads = _heads(tx)
            every = list(tx.scan(schema.PAGES, ()))
            missing = {page[:3]: list(_without_vector(tx, page, space.space)) for page in every}
        total = done + sum(map(len, missing.values()))
        if total == done:
            switched = _switch(vault, space, heads)
            if switched:
                return Progress(done=done, total=total, switched=True)
            continue
        wanted = {(key, row.born) for key, rows in missing.items() for row in rows}
        if wanted & tried:
            raise ModelError(
                f"{embedder.fingerprint!r} gives no usable vector for {len(wanted & tried)} "
                "memories; the vault keeps the vectors it had: try another embedder"
            )
        tried |= wanted
        for key, rows in missing.items():
            for start in range(0, len(rows), BATCH):
                done += _embed(vault, embedder, space, key, rows[start : start + BATCH])
                if progress is not None:
                    progress(Progress(done=done, total=total))


def _embed(
    vault: Vault,
    embedder: Embedder,
    space: Space,
    key: segments.PageKey,
    rows: list[schema.TailRow],
) -> int:
    texts: dict[int, str] = {}
    with vault.store.read(SYSTEM) as tx:
        for row in rows:
            body = load_body(tx, vault.store.blobs, key[0], row.content)
            if body is not None and body.payload is not None:
                texts[row.born] = index_text(body.header, body.payload)
    if not texts:
        return 0
    vectors = embedder.embed(list(texts.values()))
    made = {
        born: vector.astype("<f4").tobytes() for born, vector in zip(texts, vectors, strict=True)
    }
    with vault.store.write(SYSTEM) as tx:
        page = tx.get(schema.PAGES, key)
        if page is not None:
            alive = {born: data for born, data in made.items() if _there(tx, page, born)}
            segments.put_vectors(tx, page, space.space, space.dim, alive)
    return len(rows)


def _there(tx: ReadTx, page: Page, born: int) -> bool:
    return segments.row_at(tx, page, born) is not None


def _switch(vault: Vault, space: Space, heads: tuple[schema.Head, ...]) -> bool:
    """Make a complete space the one in use, unless something was written meanwhile."""
    with vault.store.write(SYSTEM) as tx:
        if _heads(tx) != heads:
            return False
        old = active_space(tx)
        if old is not None and old.space != space.space:
            _drop(tx, old)
        tx.put(schema.SPACES, space._replace(status="active"))
        tx.delete(schema.META, ("vectors",))
    vault.cache.clear()
    return True


def _drop(tx: WriteTx, space: Space) -> None:
    tx.delete(schema.SPACES, (space.space,))
    for page in list(tx.scan(schema.PAGES, ())):
        key = page[:3]
        tx.delete(schema.VECTORS, (*key, space.space))
        for table in (schema.SEGMENTS, schema.HISTORY):
            for first in sorted({part.segment for part in tx.scan(table, key)}):
                tx.delete(table, (*key, first, f"f32:{space.space}"))
