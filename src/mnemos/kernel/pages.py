"""Loading and caching pages: what a branch shows at a moment, as arrays.

A page is searched exactly, so what search needs is all in memory: one array per column, one matrix
of vectors, posting lists per block of rows. Stores keep the bytes; retrieval only scores; this
room knows the layout.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnemos.kernel import schema
from mnemos.kernel.arrays import PageArrays, Vectors, choose, join
from mnemos.kernel.branches import Line, own_cubes
from mnemos.kernel.ports import ReadTx, Table
from mnemos.kernel.postings import Postings, decode_postings, invert, together
from mnemos.kernel.schema import ALIVE, Page, Segment, Version
from mnemos.kernel.segments import (
    COLUMNS,
    SEAL_ROWS,
    PageKey,
    decode_columns,
    segment_vectors,
    tail_columns,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MOST_CHOICES = 8
"""Sets of chosen rows kept: moments and branches read of late."""

MOST_ENDED = 0.1
"""Share of ended rows up to which a mask is cheaper than choosing."""


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
    history: PageArrays | None = None
    past: PageArrays | None = None
    """The page and its history as one, while the page is as it was when they were joined."""

    def bytes(self) -> int:
        held = [self.columns, self.vectors, self.dead]
        total = sum(item.nbytes for item in held if item is not None)
        return total + sum(_bytes(item) for item in (self.history, self.past) if item is not None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What arrays are asked for: whose, along which line of branches, with which vectors.

    Parameters
    ----------
    tenant : str
        Whose page.
    subject : int
        Number of the subject.
    lines : sequence of Line
        The branch at its moment, and its ancestors.
    space : int or None
        Vector space; None leaves vectors out.
    dim : int
        Length of its vectors.
    """

    tenant: str
    subject: int
    lines: Sequence[Line]
    space: int | None
    dim: int


def segment_encodings(space: int | None) -> tuple[str, ...]:
    """Return the encodings a reader in this vector space needs."""
    return ("rows", "terms") if space is None else ("rows", "terms", f"f32:{space}")


def _tail_vectors(
    tx: ReadTx, key: PageKey, space: int, dim: int, born: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the vectors of tail rows, zeros for rows that have none yet."""
    import numpy as np

    if not len(born):
        return np.empty((0, dim), np.float32)
    found = list(tx.scan(schema.VECTORS, (*key, space), start=int(born[0])))
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
    is read again. Rows chosen from pages, for a moment or a branch, are kept under what they were
    chosen from.

    Parameters
    ----------
    budget : int
        Bytes to hold before the least recently used pages are dropped.
    """

    def __init__(self, budget: int = 1 << 30) -> None:
        self._budget = budget
        self._held: OrderedDict[PageKey, _Cached] = OrderedDict()
        self._chosen: OrderedDict[_Choice, PageArrays] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, tx: ReadTx, wanted: Wanted) -> PageArrays | None:
        """Return what a branch shows at its moment, or None if nothing was ever written to it.

        The arrays may hold rows that are not visible then; a view's mask leaves those out.
        """
        with self._lock:
            pages: list[tuple[Line, _Cached]] = []
            for line in wanted.lines:
                cached = self._fresh(tx, (wanted.tenant, wanted.subject, line.branch), wanted)
                if cached is not None:
                    pages.append((line, cached))
            if not pages:
                return None
            if len(wanted.lines) == 1 and _is_whole(*pages[0]):
                return pages[0][1].arrays
            return self._choice(tx, wanted, pages)

    def _choice(self, tx: ReadTx, wanted: Wanted, pages: list[tuple[Line, _Cached]]) -> PageArrays:
        """Return the rows visible along a line of pages, chosen into arrays of their own."""
        made_of = tuple(
            (line.branch, cached.page.epoch, min(line.cut, cached.page.changed))
            for line, cached in pages
        )
        name = (wanted.tenant, wanted.subject, wanted.space, made_of)
        found = self._chosen.pop(name, None)
        if found is None:
            found = _along(tx, wanted, pages)
        self._chosen[name] = found
        while len(self._chosen) > MOST_CHOICES:
            self._chosen.popitem(last=False)
        self._shrink()
        return found

    def _fresh(self, tx: ReadTx, key: PageKey, wanted: Wanted) -> _Cached | None:
        """Return one page as the transaction sees it, or None if there is none."""
        page = tx.get(schema.PAGES, key)
        if page is None:
            return None
        space, dim = wanted.space, wanted.dim
        cached = self._held.get(key)
        if cached is not None and cached.space == space and cached.page.epoch == page.epoch:
            if cached.page.changed == page.changed:
                self._held.move_to_end(key)
                return cached
            if cached.page.changed < page.changed and cached.page.changed >= page.sealed:
                _extend(tx, key, cached, page, dim)
                self._held.move_to_end(key)
                return cached
        fresh = _read(tx, key, page, space, dim)
        if cached is None or cached.page.changed <= page.changed:
            self._held[key] = fresh
            self._held.move_to_end(key)
            self._shrink()
        return fresh

    def drop(self, tenant: str, subject: int) -> None:
        """Forget the pages of a subject: something of it was erased."""
        with self._lock:
            for key in [key for key in self._held if key[:2] == (tenant, subject)]:
                del self._held[key]
            for name in [name for name in self._chosen if name[:2] == (tenant, subject)]:
                del self._chosen[name]

    def clear(self) -> None:
        """Forget every page held."""
        with self._lock:
            self._held.clear()
            self._chosen.clear()

    def _shrink(self) -> None:
        total = sum(item.bytes() for item in self._held.values())
        total += sum(_bytes(item) for item in self._chosen.values())
        while total > self._budget and self._chosen:
            total -= _bytes(self._chosen.popitem(last=False)[1])
        while total > self._budget and len(self._held) > 1:
            total -= self._held.popitem(last=False)[1].bytes()


_Choice = tuple[str, int, int | None, tuple[tuple[int, int, int], ...]]


def _bytes(arrays: PageArrays) -> int:
    vectors = arrays.stack.nbytes() if arrays.stack is not None else 0
    return arrays.columns.nbytes + arrays.dead.nbytes + vectors


def _is_whole(line: Line, cached: _Cached) -> bool:
    """Return whether a mask over the whole page serves: no history asked for, little to hide."""
    page = cached.page
    return line.cut >= page.compacted and page.ended <= MOST_ENDED * (page.rows + page.tail)


def _along(tx: ReadTx, wanted: Wanted, pages: Sequence[tuple[Line, _Cached]]) -> PageArrays:
    """Choose the rows visible at each page's cut and not overridden on a nearer branch."""
    import numpy as np

    hidden: set[int] = set()
    parts: list[tuple[PageArrays, NDArray[np.bool_]]] = []
    for line, cached in pages:
        key = (wanted.tenant, wanted.subject, line.branch)
        arrays = cached.arrays
        if line.cut < cached.page.compacted:
            arrays = _with_history(tx, key, cached, wanted.dim)
        mask = (arrays.column("born") <= line.cut) & (arrays.dead > line.cut)
        if hidden:
            mask &= ~np.isin(arrays.column("cube"), list(hidden))
        parts.append((arrays, mask))
        if line.fork:
            hidden |= own_cubes(tx, wanted.tenant, wanted.subject, line)
    return choose(parts[::-1])  # ancestors first, so that rows lie in order of birth


def _read_segments(
    tx: ReadTx, key: PageKey, space: int | None, table: Table[Segment]
) -> dict[int, dict[str, Segment]]:
    """Return the page's segments by first birth and encoding."""
    wanted = segment_encodings(space)
    found: dict[int, dict[str, Segment]] = {}
    for part in tx.scan(table, key):
        if part.encoding in wanted:
            found.setdefault(part.segment, {})[part.encoding] = part
    return found


@dataclass(slots=True)
class _Rows:
    """Rows read from segments, in order."""

    n: int
    columns: list[NDArray[np.int64]]
    vectors: list[NDArray[np.float32]]
    blocks: tuple[tuple[int, Postings], ...]


def _sealed_rows(
    tx: ReadTx, key: PageKey, space: int | None, dim: int, table: Table[Segment]
) -> _Rows:
    """Read the segments of a page from one table."""
    n = 0
    columns: list[NDArray[np.int64]] = []
    vectors: list[NDArray[np.float32]] = []
    blocks: list[tuple[int, Postings]] = []
    for _, parts in sorted(_read_segments(tx, key, space, table).items()):
        rows = parts["rows"]
        columns.append(decode_columns(rows))
        blocks.append((n, decode_postings(parts["terms"].bytes)))
        if space is not None:
            vectors.append(segment_vectors(parts.get(f"f32:{space}"), rows.n, dim))
        n += rows.n
    return _Rows(n, columns, vectors, tuple(blocks))


def _read(tx: ReadTx, key: PageKey, page: Page, space: int | None, dim: int) -> _Cached:
    """Read a whole page but its history."""
    import numpy as np

    rows = _sealed_rows(tx, key, space, dim, schema.SEGMENTS)
    tail = list(tx.scan(schema.TAIL, key))
    newest = tail_columns(tail)
    if space is not None:
        rows.vectors.append(_tail_vectors(tx, key, space, dim, newest[:, 0]))
    cached = _Cached(
        page=page,
        space=space,
        n=0,
        columns=None,
        dead=np.empty(0, np.int64),
        vectors=None,
        sealed=rows.blocks,
        tail_first=rows.n,
        tail_terms=[],
        arrays=PageArrays(newest[:0], np.empty(0, np.int64), None, ()),
    )
    together = np.concatenate(rows.vectors) if space is not None else None
    columns = np.concatenate([*rows.columns, newest])
    _append(cached, columns, together, [row.terms for row in tail])
    _mark(tx, key, cached, since=page.cleared)
    return cached


def _with_history(tx: ReadTx, key: PageKey, cached: _Cached, dim: int) -> PageArrays:
    """Return a page with the rows that were moved to its history."""
    if cached.history is None:
        cached.history = _read_history(tx, key, cached, dim)
    if cached.past is None:
        cached.past = join(cached.arrays, cached.history)
    return cached.past


def _read_history(tx: ReadTx, key: PageKey, cached: _Cached, dim: int) -> PageArrays:
    """Read the rows of a page that ended and were moved away."""
    import numpy as np

    rows = _sealed_rows(tx, key, cached.space, dim, schema.HISTORY)
    empty = np.empty((0, len(COLUMNS)), np.int64)
    columns = np.asfortranarray(np.concatenate([empty, *rows.columns]))
    dead = np.zeros(len(columns), np.int64)
    stop = cached.page.compacted + 1
    _end(columns, dead, tx.scan(schema.VERSIONS, key, index="deaths", stop=stop))
    vectors = None
    if cached.space is not None:
        vectors = np.concatenate([np.empty((0, dim), np.float32), *rows.vectors])
    stack = None if vectors is None else Vectors([(vectors, None)])
    blocks = ((0, together(rows.blocks)),) if rows.blocks else ()
    return PageArrays(columns, dead, stack, blocks)


def _end(columns: NDArray[np.int64], dead: NDArray[np.int64], versions: Iterable[Version]) -> None:
    """Write deaths into the array beside the columns, for the rows that are among them."""
    import numpy as np

    pairs = [(row.born, row.dead) for row in versions]
    if not pairs or not len(columns):
        return
    births = np.array([born for born, _ in pairs], np.int64)
    ends = np.array([end for _, end in pairs], np.int64)
    places = np.minimum(columns[:, 0].searchsorted(births), len(columns) - 1)
    here = columns[places, 0] == births
    dead[places[here]] = ends[here]


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
    assert cached.columns is not None
    columns = cached.columns[: cached.n]
    deaths = list(tx.scan(schema.VERSIONS, key, index="deaths", start=since + 1, stop=ALIVE))
    if deaths:
        dead = cached.dead.copy()
        _end(columns, dead, deaths)
        cached.dead = dead
    blocks = cached.sealed
    if cached.tail_terms:
        blocks = (*blocks, (cached.tail_first, invert(cached.tail_terms)))
    stack = None
    if cached.vectors is not None:
        stack = Vectors([(cached.vectors[: cached.n], None)])
    cached.arrays = PageArrays(columns, cached.dead, stack, blocks)
    cached.past = None
