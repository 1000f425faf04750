"""Loading and caching pages: what a branch shows at a moment, as arrays.

What search needs of a page is all in memory: one array per column, one matrix of vectors, posting
lists per block of rows. The vectors of a large page are held as codes, and a thread looks for the
cells they lie in while search goes through all of them. Stores keep the bytes; retrieval only
scores; this room knows the layout.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

from mnemos.kernel import schema
from mnemos.kernel.arrays import Block, PageArrays, Vectors, choose, join
from mnemos.kernel.branches import Line, own_cubes
from mnemos.kernel.codes import LARGE_ROWS, Cells, Codes, basis
from mnemos.kernel.ports import ReadTx, Table
from mnemos.kernel.postings import (
    Deferred,
    Postings,
    decode_postings,
    invert,
    revert,
    together,
)
from mnemos.kernel.schema import ALIVE, Page, Segment, Version
from mnemos.kernel.segments import (
    COLUMNS,
    SEAL_ROWS,
    SEGMENT_ROWS,
    PageKey,
    decode_columns,
    grouped,
    segment_of,
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

SEGMENTS_AT_ONCE = 16
"""Segments read together, their posting lists joined: a large page is then never held twice, and a
term is looked up in few places."""


def _growing(old: NDArray[Any] | None, n: int, new: NDArray[Any], room: int = 0) -> NDArray[Any]:
    """Append ``new`` after the first ``n`` rows of ``old``, in place while there is room.

    Readers hold slices of the first ``n`` rows only, so writing behind them disturbs nobody.
    Integer columns are kept column by column, vectors row by row.
    """
    import numpy as np

    need = n + len(new)
    if old is None or len(old) < need:
        shape = (max(need, n * 3 // 2, room), *new.shape[1:])
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
    codes: Codes | None = None
    """Instead of the vectors, on a large page."""
    cells: Cells | None = None

    def bytes(self) -> int:
        held = [self.columns, self.vectors, self.dead, self.codes, self.cells]
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
    served as it is; only newer rows and deaths, and they are appended; a new epoch, and it is read
    again. Rows chosen from pages, for a moment or a branch, are kept under what they were
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
        self._finding: dict[PageKey, threading.Thread] = {}

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
            if cached.page.changed < page.changed:
                _extend(tx, key, cached, page, dim)
                self._held.move_to_end(key)
                self._find_cells(key, cached)
                return cached
        fresh = _read(tx, key, page, space, dim)
        if cached is None or cached.page.changed <= page.changed:
            self._held[key] = fresh
            self._held.move_to_end(key)
            self._shrink()
            self._find_cells(key, fresh)
        return fresh

    def _find_cells(self, key: PageKey, cached: _Cached) -> None:
        """Let a thread find the cells of a large page, unless they are known or one is at it."""
        if cached.codes is None:
            return
        if cached.cells is not None and basis(len(cached.cells)) == basis(cached.n):
            return
        running = self._finding.get(key)
        if running is not None and running.is_alive():
            return
        arguments = (key, cached, cached.codes.part(slice(cached.n)))
        thread = threading.Thread(
            target=self._found_cells, args=arguments, name="mnemos-cells", daemon=True
        )
        self._finding[key] = thread
        thread.start()

    def _found_cells(self, key: PageKey, cached: _Cached, codes: Codes) -> None:
        """Find the cells of codes and give them to the page they are of."""
        found = Cells.of(codes)
        with self._lock:
            if self._held.get(key) is cached:
                cached.cells = found
                cached.arrays = replace(cached.arrays, stack=_stack(cached), memo={}).grown(
                    cached.arrays
                )

    def settle(self) -> None:
        """Wait until the cells of every page held are known."""
        for thread in list(self._finding.values()):
            thread.join()

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


@dataclass(slots=True)
class _Rows:
    """Rows read from segments, in order."""

    columns: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    blocks: tuple[tuple[int, Postings], ...]


def _sealed_rows(
    tx: ReadTx, key: PageKey, space: int | None, dim: int, table: Table[Segment]
) -> Iterator[_Rows]:
    """Read the segments of a page from one table, many at a time."""
    import numpy as np

    segments = iter(grouped(tx, key, table))
    while parts := list(islice(segments, SEGMENTS_AT_ONCE)):
        n = 0
        columns: list[NDArray[np.int64]] = []
        vectors: list[NDArray[np.float32]] = []
        blocks: list[tuple[int, Postings]] = []
        for segment in parts:
            by_encoding = {part.encoding: part for part in segment}
            rows = by_encoding["rows"]
            columns.append(decode_columns(rows))
            blocks.append((n, decode_postings(by_encoding["terms"].bytes)))
            if space is not None:
                found = by_encoding.get(f"f32:{space}")
                vectors.append(segment_vectors(found, rows.n, dim))
            n += rows.n
        if len(parts) == SEGMENTS_AT_ONCE:
            blocks = [(0, together(blocks))]
        matrix = np.concatenate(vectors) if vectors else None
        yield _Rows(np.concatenate(columns), matrix, tuple(blocks))


def _read(tx: ReadTx, key: PageKey, page: Page, space: int | None, dim: int) -> _Cached:
    """Read a whole page but its history."""
    import numpy as np

    empty = np.empty((0, len(COLUMNS)), np.int64)
    cached = _Cached(
        page=page,
        space=space,
        n=0,
        columns=None,
        dead=np.empty(0, np.int64),
        vectors=None,
        sealed=(),
        tail_first=0,
        tail_terms=[],
        arrays=PageArrays(empty, np.empty(0, np.int64), None, ()),
    )
    room = page.rows + page.tail
    if space is not None and room >= LARGE_ROWS:
        cached.codes = Codes.of(np.empty((0, dim), np.float32))
    for rows in _sealed_rows(tx, key, space, dim, schema.SEGMENTS):
        blocks = ((cached.n + first, block) for first, block in rows.blocks)
        cached.sealed = (*cached.sealed, *blocks)
        _append(cached, rows.columns, rows.vectors, [], room)
    cached.tail_first = cached.n
    tail = list(tx.scan(schema.TAIL, key))
    newest = tail_columns(tail)
    vectors = None if space is None else _tail_vectors(tx, key, space, dim, newest[:, 0])
    _append(cached, newest, vectors, [row.terms for row in tail], room)
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

    rows = list(_sealed_rows(tx, key, cached.space, dim, schema.HISTORY))
    empty = np.empty((0, len(COLUMNS)), np.int64)
    columns = np.asfortranarray(np.concatenate([empty, *(part.columns for part in rows)]))
    dead = np.zeros(len(columns), np.int64)
    stop = cached.page.compacted + 1
    _end(columns, dead, tx.scan(schema.VERSIONS, key, index="deaths", stop=stop))
    vectors = None
    if cached.space is not None:
        nothing = np.empty((0, dim), np.float32)
        vectors = np.concatenate([nothing, *(p.vectors for p in rows if p.vectors is not None)])
    stack = None if vectors is None else Vectors([(vectors, None)])
    begins = accumulate((len(part.columns) for part in rows), initial=0)
    blocks = [
        (begin + first, block)
        for begin, part in zip(begins, rows, strict=False)
        for first, block in part.blocks
    ]
    return PageArrays(columns, dead, stack, ((0, together(blocks)),) if blocks else ())


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
    if page.sealed > since:
        _extend_sealed(tx, key, cached, since, dim)
    tail = list(tx.scan(schema.TAIL, key, start=since + 1))
    columns = tail_columns(tail)
    vectors = None
    if cached.space is not None:
        vectors = _tail_vectors(tx, key, cached.space, dim, columns[:, 0])
    cached.page = page
    _append(cached, columns, vectors, [row.terms for row in tail])
    _mark(tx, key, cached, since=since)


def _extend_sealed(tx: ReadTx, key: PageKey, cached: _Cached, since: int, dim: int) -> None:
    """Append the rows born since that lie in segments already: a batch fills those at once."""
    import numpy as np

    first = next(iter(segment_of(tx, key, since + 1)), None)
    start = since + 1 if first is None else first.segment
    for parts in grouped(tx, key, schema.SEGMENTS, start):
        by_encoding = {part.encoding: part for part in parts}
        rows = by_encoding["rows"]
        columns = decode_columns(rows)
        new = np.flatnonzero(columns[:, 0] > since)
        if not len(new):
            continue
        terms = revert(decode_postings(by_encoding["terms"].bytes), rows.n)
        vectors = None
        if cached.space is not None:
            found = by_encoding.get(f"f32:{cached.space}")
            vectors = segment_vectors(found, rows.n, dim)[new]
        _append(cached, columns[new], vectors, [terms[place] for place in new.tolist()])


def _append(
    cached: _Cached,
    columns: NDArray[np.int64],
    vectors: NDArray[np.float32] | None,
    tail_terms: list[bytes],
    room: int = 0,
) -> None:
    import numpy as np

    n = cached.n
    cached.columns = _growing(cached.columns, n, columns, room)
    cached.n = n + len(columns)
    if vectors is not None:
        _append_vectors(cached, n, vectors, room)
    alive = np.full(len(columns), ALIVE, np.int64)
    alive[columns[:, 1] == 0] = 0  # an erased row of a segment is visible at no moment
    cached.dead = np.concatenate((cached.dead, alive))
    cached.tail_terms = cached.tail_terms + tail_terms
    if len(cached.tail_terms) >= SEAL_ROWS:  # or every append would invert them all again
        cached.sealed = _joined(
            (*cached.sealed, (cached.tail_first, invert(cached.tail_terms))), cached.n
        )
        cached.tail_first, cached.tail_terms = cached.n, []


def _append_vectors(cached: _Cached, n: int, vectors: NDArray[np.float32], room: int) -> None:
    """Append vectors behind the first ``n``, as codes where the page is large."""
    if cached.codes is None:
        cached.vectors = _growing(cached.vectors, n, vectors, room)
        if cached.n >= LARGE_ROWS:  # it grew under our eyes
            cached.codes, cached.vectors = Codes.of(cached.vectors[: cached.n]), None
        return
    held, new = cached.codes, Codes.of(vectors)
    cached.codes = Codes(
        _growing(held.coarse, n, new.coarse, room),
        _growing(held.fine, n, new.fine, room),
        _growing(held.scale, n, new.scale, room),
    )


def _stack(cached: _Cached) -> Vectors | None:
    """Return the vectors of a page, or what stands for them."""
    if cached.codes is not None:
        codes = cached.codes.part(slice(cached.n))
        cells = cached.cells
        if cells is not None and basis(len(cells)) != basis(cached.n):
            cached.cells = cells = None  # a thread finds those that such a page has
        if cells is not None and len(cells) < cached.n:
            cached.cells = cells = cells.with_rows(codes)
        return Vectors([(codes, None)], cells)
    return None if cached.vectors is None else Vectors([(cached.vectors[: cached.n], None)])


def _joined(blocks: tuple[tuple[int, Postings], ...], n: int) -> tuple[tuple[int, Postings], ...]:
    """Join the last blocks of ``n`` rows where they make up a full one, as segments are joined."""
    least = SEGMENT_ROWS // SEAL_ROWS
    if len(blocks) < least or n - blocks[-least][0] > SEGMENT_ROWS:
        return blocks
    first = blocks[-least][0]
    small = [(begin - first, block) for begin, block in blocks[-least:]]
    return (*blocks[:-least], (first, together(small)))


def _mark(tx: ReadTx, key: PageKey, cached: _Cached, since: int) -> None:
    """Write the deaths after ``since`` into the page and publish its arrays."""
    assert cached.columns is not None
    columns = cached.columns[: cached.n]
    deaths = list(tx.scan(schema.VERSIONS, key, index="deaths", start=since + 1, stop=ALIVE))
    if deaths:
        dead = cached.dead.copy()
        _end(columns, dead, deaths)
        cached.dead = dead
    blocks: tuple[tuple[int, Block], ...] = cached.sealed
    if cached.tail_terms:
        blocks = (*blocks, (cached.tail_first, Deferred(cached.tail_terms)))
    new = PageArrays(columns, cached.dead, _stack(cached), blocks)
    cached.arrays = new.grown(cached.arrays)
    cached.past = None
