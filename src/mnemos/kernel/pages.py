"""A subject's page as parallel arrays: loading, caching, masks.

A page is searched exactly, so what search needs is all here in memory: one array per column, one
matrix of vectors, posting lists per block of rows. ``born`` and ``dead`` lie beside them, which
makes every moment of the past a mask over the same arrays. Stores keep the bytes; retrieval only
scores; this room knows the layout.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.postings import Postings, decode_postings, invert
from mnemos.kernel.schema import ALIVE, Page, Segment
from mnemos.kernel.segments import (
    COLUMNS,
    KINDS,
    SEAL_ROWS,
    STATES,
    PageKey,
    decode_columns,
    segment_vectors,
    tail_columns,
)
from mnemos.kernel.tokens import term_hash
from mnemos.types import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _growing(old: NDArray[Any] | None, n: int, new: NDArray[Any]) -> NDArray[Any]:
    """Append ``new`` after the first ``n`` rows of ``old``, in place while there is room.

    Readers hold slices of the first ``n`` rows only, so writing behind them disturbs nobody.
    Integer columns are kept column by column, vectors row by row.
    """
    import numpy as np

    need = n + len(new)
    if old is None or len(old) < need:
        shape = (max(need, n * 3 // 2), *new.shape[1:])
        grown = np.empty(shape, new.dtype, order="F" if new.dtype == np.int64 else "C")
        if old is not None:
            grown[:n] = old[:n]
        old = grown
    old[n:need] = new
    return old


@dataclass(frozen=True, slots=True)
class PageArrays:
    """A loaded page: everything search needs, row by row in order of birth.

    Parameters
    ----------
    columns : (rows, column) int64
        The page's columns, each contiguous; ``born`` ascends.
    dead : (rows,) int64
        Seq at which each row stopped being current, ``ALIVE`` if it has not.
    vectors : (rows, dim) float32 or None
        Unit vectors; a row of zeros where there is none. None without an embedder.
    blocks : sequence of (int, Postings)
        Posting lists with the position of their first row.
    memo : dict
        What was computed from these arrays once and is asked for again.
    """

    columns: NDArray[np.int64]
    dead: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    blocks: tuple[tuple[int, Postings], ...]
    memo: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, Any], compare=False)

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, name: str) -> NDArray[np.int64]:
        """Return one column by name."""
        return self.columns[:, COLUMNS.index(name)]

    def conversation_order(self) -> NDArray[np.int64]:
        """Return all positions so that the turns of a session are neighbours, in order of time.

        Rows of one moment keep the order in which their cubes were first written.
        """
        import numpy as np

        if "order" not in self.memo:
            keys = (self.column("cube"), self.column("at"), self.column("session"))
            self.memo["order"] = np.lexsort(keys)
        return self.memo["order"]

    def lookup(self, term: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions of the rows that hold a term, and how often, over all blocks."""
        import numpy as np

        rows: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.float32]] = []
        for first, block in self.blocks:
            positions, found = block.lookup(term)
            if len(positions):
                rows.append(positions.astype(np.int64) + first)
                counts.append(found.astype(np.float32))
        if not rows:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        return np.concatenate(rows), np.concatenate(counts)

    def visible(self, view: View) -> NDArray[np.bool_]:
        """Return which rows a view may see: moment, state, kind, agent, run and expiry as masks."""
        import numpy as np

        moment = ALIVE - 1 if view.as_of is None else view.as_of
        mask = (self.column("born") <= moment) & (self.dead > moment)
        mask &= self.column("expires") > microseconds(view.now)
        states = [STATES.index(state) for state in view.states]
        mask &= np.isin(self.column("state"), states)
        if view.kinds is not None:
            mask &= np.isin(self.column("kind"), [KINDS.index(kind) for kind in view.kinds])
        if view.scope.run_id is not None:
            mask &= self.column("session") == term_hash(view.scope.run_id)
        if view.scope.agent_id is not None:
            mask &= self.column("agent") == term_hash(view.scope.agent_id)
        return mask


@dataclass(slots=True)
class _Cached:
    """What a process remembers of a page, and how much of it is up to date."""

    page: Page
    space: int | None
    n: int
    columns: NDArray[np.int64] | None
    dead: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    sealed: tuple[tuple[int, Postings], ...]
    tail_first: int
    tail_terms: list[bytes]
    arrays: PageArrays

    def bytes(self) -> int:
        held = [self.columns, self.vectors, self.dead]
        return sum(item.nbytes for item in held if item is not None)


def segment_encodings(space: int | None) -> tuple[str, ...]:
    """Return the encodings a reader in this vector space needs."""
    return ("rows", "terms") if space is None else ("rows", "terms", f"f32:{space}")


def _tail_vectors(
    tx: ReadTx, key: PageKey, space: int, dim: int, born: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the vectors of tail rows, zeros for rows that have none yet."""
    import numpy as np

    found = list(tx.scan(schema.VECTORS, (*key, space), start=int(born[0]) if len(born) else 0))
    if len(found) == len(born):
        joined = b"".join(row.bytes for row in found)
        return np.frombuffer(joined, "<f4").reshape(len(born), dim)
    matrix = np.zeros((len(born), dim), np.float32)
    places = np.searchsorted(born, [row.born for row in found])
    for place, row in zip(places.tolist(), found, strict=True):
        matrix[place] = np.frombuffer(row.bytes, "<f4")
    return matrix


class PageCache:
    """Loaded pages of this process, least recently used dropped first.

    A page is validated inside the reader's own snapshot: same epoch and last change, and it is
    served as it is; only newer tail rows and deaths, and they are appended; a new epoch, and it
    is read again.

    Parameters
    ----------
    budget : int
        Bytes to hold before the least recently used pages are dropped.
    """

    def __init__(self, budget: int = 1 << 30) -> None:
        self._budget = budget
        self._held: OrderedDict[PageKey, _Cached] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, tx: ReadTx, key: PageKey, space: int | None, dim: int) -> PageArrays | None:
        """Return the page as the transaction sees it, or None if nothing was ever written to it."""
        page = tx.get(schema.PAGES, key)
        if page is None:
            return None
        with self._lock:
            cached = self._held.get(key)
            if cached is not None and cached.space == space and cached.page.epoch == page.epoch:
                if cached.page.changed == page.changed:
                    self._held.move_to_end(key)
                    return cached.arrays
                if cached.page.changed < page.changed and cached.page.changed >= page.sealed:
                    _extend(tx, key, cached, page, dim)
                    self._held.move_to_end(key)
                    return cached.arrays
            fresh = _read(tx, key, page, space, dim)
            if cached is None or cached.page.changed <= page.changed:
                self._held[key] = fresh
                self._held.move_to_end(key)
                self._shrink()
            return fresh.arrays

    def clear(self) -> None:
        """Forget every page held."""
        with self._lock:
            self._held.clear()

    def _shrink(self) -> None:
        total = sum(item.bytes() for item in self._held.values())
        while total > self._budget and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            total -= dropped.bytes()


def _read_segments(
    tx: ReadTx, key: PageKey, page: Page, space: int | None
) -> dict[int, dict[str, Segment]]:
    """Return the page's segments by first birth and encoding."""
    if page.sealed == 0:
        return {}
    wanted = segment_encodings(space)
    found: dict[int, dict[str, Segment]] = {}
    for part in tx.scan(schema.SEGMENTS, key):
        if part.encoding in wanted:
            found.setdefault(part.segment, {})[part.encoding] = part
    return found


def _read(tx: ReadTx, key: PageKey, page: Page, space: int | None, dim: int) -> _Cached:
    """Read a whole page."""
    import numpy as np

    segments = _read_segments(tx, key, page, space)
    columns: list[NDArray[np.int64]] = []
    vectors: list[NDArray[np.float32]] = []
    blocks: list[tuple[int, Postings]] = []
    n = 0
    for _, parts in sorted(segments.items()):
        rows = parts["rows"]
        columns.append(decode_columns(rows))
        blocks.append((n, decode_postings(parts["terms"].bytes)))
        if space is not None:
            vectors.append(segment_vectors(parts.get(f"f32:{space}"), rows.n, dim))
        n += rows.n
    tail = list(tx.scan(schema.TAIL, key))
    newest = tail_columns(tail)
    columns.append(newest)
    if space is not None:
        vectors.append(_tail_vectors(tx, key, space, dim, newest[:, 0]))
    cached = _Cached(
        page=page,
        space=space,
        n=0,
        columns=None,
        dead=np.empty(0, np.int64),
        vectors=None,
        sealed=tuple(blocks),
        tail_first=n,
        tail_terms=[],
        arrays=PageArrays(newest[:0], np.empty(0, np.int64), None, ()),
    )
    together = np.concatenate(vectors) if space is not None else None
    _append(cached, np.concatenate(columns), together, [row.terms for row in tail])
    _mark(tx, key, cached, since=0)
    return cached


def _extend(tx: ReadTx, key: PageKey, cached: _Cached, page: Page, dim: int) -> None:
    """Bring a cached page up to date with what was added or ended since."""
    since = cached.page.changed
    tail = list(tx.scan(schema.TAIL, key, start=since + 1))
    columns = tail_columns(tail)
    vectors = None
    if cached.space is not None:
        vectors = _tail_vectors(tx, key, cached.space, dim, columns[:, 0])
    cached.page = page
    _append(cached, columns, vectors, [row.terms for row in tail])
    _mark(tx, key, cached, since=since)


def _append(
    cached: _Cached,
    columns: NDArray[np.int64],
    vectors: NDArray[np.float32] | None,
    tail_terms: list[bytes],
) -> None:
    import numpy as np

    n = cached.n
    cached.columns = _growing(cached.columns, n, columns)
    if vectors is not None:
        cached.vectors = _growing(cached.vectors, n, vectors)
    cached.n = n + len(columns)
    alive = np.full(len(columns), ALIVE, np.int64)
    alive[columns[:, 1] == 0] = 0  # an erased row of a segment is visible at no moment
    cached.dead = np.concatenate((cached.dead, alive))
    cached.tail_terms = cached.tail_terms + tail_terms
    if len(cached.tail_terms) >= SEAL_ROWS:  # or every append would invert them all again
        cached.sealed = (*cached.sealed, (cached.tail_first, invert(cached.tail_terms)))
        cached.tail_first, cached.tail_terms = cached.n, []


def _mark(tx: ReadTx, key: PageKey, cached: _Cached, since: int) -> None:
    """Write the deaths after ``since`` into the page and publish its arrays."""
    import numpy as np

    assert cached.columns is not None
    columns = cached.columns[: cached.n]
    deaths = list(tx.scan(schema.VERSIONS, key, index="deaths", start=since + 1, stop=ALIVE))
    if deaths:
        dead = cached.dead.copy()
        places = np.searchsorted(columns[:, 0], [row.born for row in deaths])
        dead[places] = [row.dead for row in deaths]
        cached.dead = dead
    blocks = cached.sealed
    if cached.tail_terms:
        blocks = (*blocks, (cached.tail_first, invert(cached.tail_terms)))
    vectors = None if cached.vectors is None else cached.vectors[: cached.n]
    cached.arrays = PageArrays(columns, cached.dead, vectors, blocks)
