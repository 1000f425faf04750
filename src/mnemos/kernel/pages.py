"""A subject's page as parallel arrays: loading, caching, sealing, rewriting.

A page is searched exactly, so what search needs is all here in memory: one array per column, one
matrix of vectors, posting lists per block of rows. ``born`` and ``dead`` lie beside them, which
makes every moment of the past a mask over the same arrays. Stores keep the bytes; retrieval only
scores; this room knows the layout.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.postings import Postings, decode_postings, invert, revert
from mnemos.kernel.schema import ALIVE, Page, Segment, TailRow, Vector
from mnemos.kernel.tokens import name_hash
from mnemos.types import Kind, State, View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEGMENT_ROWS = 1024
"""Rows of a sealed segment; the tail is sealed when it holds as many."""

STATES = tuple(State)
KINDS = tuple(Kind)

_COLUMNS = (
    "born",
    "cube",
    "content",
    "state",
    "kind",
    "session",
    "agent",
    "speaker",
    "at",
    "expires",
    "length",
)
"""Columns of a page row, all int64, in the order of :class:`TailRow`."""

_FIRST = TailRow._fields.index("born")
_LAST = _FIRST + len(_COLUMNS)

PageKey = tuple[str, int, int]
"""Tenant, subject number, branch."""


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
        return self.columns[:, _COLUMNS.index(name)]

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
            mask &= self.column("session") == name_hash(view.scope.run_id)
        if view.scope.agent_id is not None:
            mask &= self.column("agent") == name_hash(view.scope.agent_id)
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


def _tail_columns(rows: Sequence[TailRow]) -> NDArray[np.int64]:
    import numpy as np

    if not rows:
        return np.empty((0, len(_COLUMNS)), np.int64)
    return np.array([row[_FIRST:_LAST] for row in rows], np.int64)


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


def _segment_vectors(part: Segment | None, n: int, dim: int) -> NDArray[np.float32]:
    import numpy as np

    if part is None:
        return np.zeros((n, dim), np.float32)
    return np.frombuffer(part.bytes, "<f4").reshape(n, dim)


def decode_columns(part: Segment) -> NDArray[np.int64]:
    """Return a ``rows`` segment as ``(n, column)``."""
    import numpy as np

    return np.frombuffer(part.bytes, "<i8").reshape(len(_COLUMNS), part.n).T


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
            vectors.append(_segment_vectors(parts.get(f"f32:{space}"), rows.n, dim))
        n += rows.n
    tail = list(tx.scan(schema.TAIL, key))
    tail_columns = _tail_columns(tail)
    columns.append(tail_columns)
    if space is not None:
        vectors.append(_tail_vectors(tx, key, space, dim, tail_columns[:, 0]))
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
        arrays=PageArrays(tail_columns[:0], np.empty(0, np.int64), None, ()),
    )
    together = np.concatenate(vectors) if space is not None else None
    _append(cached, np.concatenate(columns), together, [row.terms for row in tail])
    _mark(tx, key, cached, since=0)
    return cached


def _extend(tx: ReadTx, key: PageKey, cached: _Cached, page: Page, dim: int) -> None:
    """Bring a cached page up to date with what was added or ended since."""
    since = cached.page.changed
    tail = list(tx.scan(schema.TAIL, key, start=since + 1))
    columns = _tail_columns(tail)
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
    if len(cached.tail_terms) >= SEGMENT_ROWS:  # or every append would invert them all again
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


def seal(tx: WriteTx, page: Page, *, most: int = SEGMENT_ROWS) -> Page:
    """Move the oldest ``most`` rows of the tail into a segment, with the vectors of every space."""
    import numpy as np

    key = page[:3]
    rows = list(tx.scan(schema.TAIL, key, limit=most))
    if not rows:
        return page
    columns = _tail_columns(rows)
    first, last = rows[0].born, rows[-1].born
    encoded = {
        "rows": np.ascontiguousarray(columns.T).astype("<i8").tobytes(),
        "terms": invert([row.terms for row in rows]).encode(),
    }
    for space in tx.scan(schema.SPACES, ()):
        found = list(tx.scan(schema.VECTORS, (*key, space.space), start=first, stop=last + 1))
        if found:
            matrix = np.zeros((len(rows), space.dim), "<f4")
            places = np.searchsorted(columns[:, 0], [row.born for row in found])
            for place, row in zip(places.tolist(), found, strict=True):
                matrix[place] = np.frombuffer(row.bytes, "<f4")
            encoded[f"f32:{space.space}"] = matrix.tobytes()
            for row in found:
                tx.delete(schema.VECTORS, (*key, space.space, row.born))
    for row in rows:
        tx.delete(schema.TAIL, (*key, row.born))
    tx.insert(
        schema.SEGMENTS,
        (Segment(*key, first, encoding, len(rows), data) for encoding, data in encoded.items()),
    )
    sealed = page._replace(sealed=last, tail=page.tail - len(rows))
    tx.put(schema.PAGES, sealed)
    return sealed


def seal_full(tx: WriteTx, page: Page) -> Page:
    """Seal the tail as long as it fills segments."""
    while page.tail >= SEGMENT_ROWS:
        page = seal(tx, page)
    return page


def put_vectors(
    tx: WriteTx, page: Page, space: int, dim: int, vectors: Mapping[int, bytes]
) -> None:
    """Give rows of a page their vectors in one space, wherever the rows lie."""
    import numpy as np

    key = page[:3]
    sealed: dict[int, list[int]] = {}
    for born, data in vectors.items():
        if born > page.sealed:
            tx.put(schema.VECTORS, Vector(*key, space, born, data))
        else:
            sealed.setdefault(segment_of(tx, key, born)[0].segment, []).append(born)
    for segment, births in sealed.items():
        rows = tx.get(schema.SEGMENTS, (*key, segment, "rows"))
        assert rows is not None, "a sealed row's segment has its columns"
        part = tx.get(schema.SEGMENTS, (*key, segment, f"f32:{space}"))
        matrix = _segment_vectors(part, rows.n, dim).copy()
        places = np.searchsorted(decode_columns(rows)[:, 0], births)
        for place, born in zip(places.tolist(), births, strict=True):
            matrix[place] = np.frombuffer(vectors[born], "<f4")
        data = matrix.tobytes()
        tx.put(schema.SEGMENTS, Segment(*key, segment, f"f32:{space}", rows.n, data))
    tx.put(schema.PAGES, page._replace(epoch=page.epoch + 1))


def segment_of(tx: ReadTx, key: PageKey, born: int) -> list[Segment]:
    """Return every encoding of the segment that holds the row born at ``born``."""
    for part in tx.scan(schema.SEGMENTS, key, stop=born + 1, reverse=True, limit=1):
        return list(tx.scan(schema.SEGMENTS, (*key, part.segment)))
    return []


def erase_rows(tx: WriteTx, page: Page, born: Iterable[int]) -> Page:
    """Take rows out of the page: gone from the tail, zeroed and unlisted in segments."""
    key = page[:3]
    spaces = [space.space for space in tx.scan(schema.SPACES, ())]
    tail, doomed = page.tail, sorted(set(born))
    for row in doomed:
        if row > page.sealed:
            tx.delete(schema.TAIL, (*key, row))
            for space in spaces:
                tx.delete(schema.VECTORS, (*key, space, row))
            tail -= 1
    sealed = [row for row in doomed if row <= page.sealed]
    while sealed:
        parts = segment_of(tx, key, sealed[-1])
        births = births_of(parts)
        here = [row for row in sealed if row >= parts[0].segment]
        sealed = sealed[: len(sealed) - len(here)]
        places = births.searchsorted(here)
        for part in parts:
            tx.put(schema.SEGMENTS, _without(part, places))
    return page._replace(epoch=page.epoch + 1, tail=tail)


def births_of(parts: Sequence[Segment]) -> NDArray[np.int64]:
    """Return the births of a segment's rows, ascending."""
    return decode_columns(next(part for part in parts if part.encoding == "rows"))[:, 0]


def _without(part: Segment, places: NDArray[np.int64]) -> Segment:
    """Return a segment with rows zeroed; their births stay, so that order and places do."""
    import numpy as np

    if part.encoding == "rows":
        columns = decode_columns(part).copy()
        columns[places, 1:] = 0
        data = np.ascontiguousarray(columns.T).astype("<i8").tobytes()
    elif part.encoding == "terms":
        rows = revert(decode_postings(part.bytes), part.n)
        for place in places.tolist():
            rows[place] = b""
        data = invert(rows).encode()
    else:
        matrix = np.frombuffer(part.bytes, "<f4").reshape(part.n, -1).copy()
        matrix[places] = 0
        data = matrix.tobytes()
    return part._replace(bytes=data)


def with_rows(part: Segment, births: NDArray[np.int64], rows: Mapping[int, TailRow]) -> Segment:
    """Return a segment with its columns and terms written anew from rows, by birth."""
    import numpy as np

    if part.encoding == "rows":
        columns = decode_columns(part).copy()
        for place, born in enumerate(births.tolist()):
            if born in rows:
                columns[place] = rows[born][_FIRST:_LAST]
        return part._replace(bytes=np.ascontiguousarray(columns.T).astype("<i8").tobytes())
    if part.encoding == "terms":
        terms = [rows[born].terms if born in rows else b"" for born in births.tolist()]
        return part._replace(bytes=invert(terms).encode())
    return part


def row_at(tx: ReadTx, page: Page, born: int) -> TailRow | None:
    """Return one row of a page, wherever it lies."""
    key = page[:3]
    if born > page.sealed:
        return tx.get(schema.TAIL, (*key, born))
    return next((row for row in segment_rows(segment_of(tx, key, born)) if row.born == born), None)


def segment_rows(parts: Sequence[Segment]) -> list[TailRow]:
    """Return the rows of one segment as the tail would hold them, erased ones left out."""
    by_encoding = {part.encoding: part for part in parts}
    if not by_encoding:
        return []
    rows = by_encoding["rows"]
    terms = revert(decode_postings(by_encoding["terms"].bytes), rows.n)
    key = rows[:3]
    return [
        TailRow(*key, *values, terms=item)
        for values, item in zip(decode_columns(rows).tolist(), terms, strict=True)
        if values[1]
    ]


def page_rows(tx: ReadTx, key: PageKey) -> Iterable[TailRow]:
    """Return every row of a page in order of birth, sealed or not."""
    segments: dict[int, list[Segment]] = {}
    for part in tx.scan(schema.SEGMENTS, key):
        segments.setdefault(part.segment, []).append(part)
    for _, parts in sorted(segments.items()):
        yield from segment_rows(parts)
    yield from tx.scan(schema.TAIL, key)


def vector_of(tx: ReadTx, page: Page, space: int, born: int) -> bytes | None:
    """Return one row's vector bytes, wherever they lie."""
    key = page[:3]
    if born > page.sealed:
        row = tx.get(schema.VECTORS, (*key, space, born))
        return row.bytes if row else None
    parts = segment_of(tx, key, born)
    for part in parts:
        if part.encoding == f"f32:{space}":
            width = len(part.bytes) // part.n
            at = int(births_of(parts).searchsorted(born)) * width
            return part.bytes[at : at + width]
    return None
