"""Where the rows of a page lie: in the tail one by one, in segments many together.

New rows enter the tail. A tail that has grown is sealed into a segment, small segments are
joined, and a row that is forgotten is erased wherever it lies. This room knows the layout of a
segment; stores keep the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mnemos.kernel import schema
from mnemos.kernel.ports import ReadTx, Table, WriteTx
from mnemos.kernel.postings import decode_postings, invert, revert
from mnemos.kernel.schema import Page, Segment, TailRow, Vector
from mnemos.types import Kind, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEGMENT_ROWS = 1024
"""Rows of a full segment."""

SEAL_ROWS = 128
"""Rows the tail may hold: then they are sealed into a small segment, and eight small ones are
joined into a full one. A cold page is so read in a few large pieces, and an addition rewrites
little."""

STATES = tuple(State)
KINDS = tuple(Kind)

COLUMNS = (
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
    "since",
    "until",
    "guard",
    "trust",
)
"""Columns of a page row, all int64, in the order of :class:`TailRow`."""

_ADDED = (schema.EARLIEST, schema.ALIVE, 0, schema.FULL_TRUST)
"""What the last columns say where a segment was sealed before there were these."""

_FIRST = TailRow._fields.index("born")
_LAST = _FIRST + len(COLUMNS)

PageKey = tuple[str, int, int]
"""Tenant, subject number, branch."""


def tail_columns(rows: Sequence[TailRow]) -> NDArray[np.int64]:
    """Return the columns of tail rows, ``(n, column)``."""
    import numpy as np

    if not rows:
        return np.empty((0, len(COLUMNS)), np.int64)
    return np.array([row[_FIRST:_LAST] for row in rows], np.int64)


def decode_columns(part: Segment) -> NDArray[np.int64]:
    """Return a ``rows`` segment as ``(n, column)``."""
    import numpy as np

    if not part.n:
        return np.empty((0, len(COLUMNS)), np.int64)
    stored = np.frombuffer(part.bytes, "<i8").reshape(-1, part.n)
    missing = len(COLUMNS) - len(stored)
    if missing:
        added = np.repeat(np.array(_ADDED[-missing:], "<i8")[:, None], part.n, axis=1)
        stored = np.concatenate((stored, added))
    return stored.T


def encode_columns(columns: NDArray[np.int64]) -> bytes:
    """Return ``(n, column)`` as the bytes of a ``rows`` segment."""
    import numpy as np

    return np.ascontiguousarray(columns.T).astype("<i8").tobytes()


def segment_vectors(part: Segment | None, n: int, dim: int) -> NDArray[np.float32]:
    """Return a segment's vectors ``(n, dim)``, zeros where it has none in this space."""
    import numpy as np

    if part is None:
        return np.zeros((n, dim), np.float32)
    return np.frombuffer(part.bytes, "<f4").reshape(n, dim)


def seal(tx: WriteTx, page: Page, most: int) -> Page:
    """Move the oldest ``most`` rows of the tail into a segment, with their vectors."""
    import numpy as np

    key = page[:3]
    rows = list(tx.scan(schema.TAIL, key, limit=most))
    if not rows:
        return page
    columns = tail_columns(rows)
    first, last = rows[0].born, rows[-1].born
    encoded = {
        "rows": encode_columns(columns),
        "terms": invert([row.terms for row in rows]).encode(),
    }
    for space in tx.scan(schema.SPACES, ()):
        found = list(tx.scan(schema.VECTORS, (*key, space.space), start=first, stop=last + 1))
        if found:
            matrix = np.zeros((len(rows), space.dim), "<f4")
            places = np.searchsorted(columns[:, 0], [row.born for row in found])
            for place, row in zip(places.tolist(), found, strict=True):
                matrix[place] = np.frombuffer(row.bytes, "<f4")
                tx.delete(schema.VECTORS, (*key, space.space, row.born))
            encoded[f"f32:{space.space}"] = matrix.tobytes()
    for row in rows:
        tx.delete(schema.TAIL, (*key, row.born))
    _insert_segment(tx, key, first, len(rows), encoded)
    sealed = page._replace(sealed=last, tail=page.tail - len(rows), rows=page.rows + len(rows))
    tx.put(schema.PAGES, sealed)
    return sealed


def _insert_segment(
    tx: WriteTx, key: PageKey, first: int, n: int, encoded: Mapping[str, bytes]
) -> None:
    tx.insert(
        schema.SEGMENTS,
        (Segment(*key, first, encoding, n, data) for encoding, data in encoded.items()),
    )


def seal_full(tx: WriteTx, page: Page) -> Page:
    """Seal the tail as long as it fills segments, and join small segments into full ones."""
    if page.tail < SEAL_ROWS:
        return page
    while page.tail >= SEAL_ROWS:
        page = seal(tx, page, SEAL_ROWS)
    join_small(tx, page[:3])
    return page


def join_small(tx: WriteTx, key: PageKey) -> None:
    """Join runs of small segments at the page's end that make up a full one."""
    small: list[int] = []
    n = 0
    for part in tx.scan(schema.SEGMENTS, key, reverse=True):
        if part.encoding != "rows":
            continue
        if part.n >= SEGMENT_ROWS:
            break
        small.append(part.segment)
        n += part.n
    while n >= SEGMENT_ROWS:
        joined: list[list[Segment]] = []
        rows = 0
        while rows < SEGMENT_ROWS:
            parts = list(tx.scan(schema.SEGMENTS, (*key, small.pop())))
            joined.append(parts)
            rows += parts[0].n
        join(tx, key, joined)
        n -= rows


def join(tx: WriteTx, key: PageKey, groups: Sequence[Sequence[Segment]]) -> None:
    """Replace consecutive segments by one."""
    together = merged(tx, groups)
    for parts in groups:
        tx.delete(schema.SEGMENTS, (*key, parts[0].segment))
    tx.insert(schema.SEGMENTS, together)


def merged(tx: ReadTx, groups: Sequence[Sequence[Segment]]) -> list[Segment]:
    """Return several segments' rows as one in order of birth, named by the first of the names."""
    import numpy as np

    by_encoding = [{part.encoding: part for part in parts} for parts in groups]
    sizes = [parts["rows"].n for parts in by_encoding]
    n = sum(sizes)
    columns = np.concatenate([decode_columns(parts["rows"]) for parts in by_encoding])
    order = np.argsort(columns[:, 0], kind="stable")
    terms: list[bytes] = [
        row
        for parts, size in zip(by_encoding, sizes, strict=True)
        for row in revert(decode_postings(parts["terms"].bytes), size)
    ]
    encoded = {
        "rows": encode_columns(columns[order]),
        "terms": invert([terms[int(place)] for place in order]).encode(),
    }
    for space in tx.scan(schema.SPACES, ()):
        name = f"f32:{space.space}"
        if any(name in parts for parts in by_encoding):
            matrices = [
                segment_vectors(parts.get(name), size, space.dim)
                for parts, size in zip(by_encoding, sizes, strict=True)
            ]
            encoded[name] = np.concatenate(matrices)[order].tobytes()
    first = min(parts[0].segment for parts in groups)
    key = groups[0][0][:3]
    return [Segment(*key, first, encoding, n, data) for encoding, data in encoded.items()]


def put_vectors(
    tx: WriteTx, page: Page, space: int, dim: int, vectors: Mapping[int, bytes]
) -> None:
    """Give rows of a page their vectors in one space, wherever the rows lie."""
    import numpy as np

    key = page[:3]
    for born in vectors:
        if born > page.sealed:
            tx.put(schema.VECTORS, Vector(*key, space, born, vectors[born]))
    sealed = [born for born in vectors if born <= page.sealed]
    for table, parts, places in located(tx, key, sealed):
        by_encoding = {part.encoding: part for part in parts}
        n = by_encoding["rows"].n
        matrix = segment_vectors(by_encoding.get(f"f32:{space}"), n, dim).copy()
        for born, place in places.items():
            matrix[place] = np.frombuffer(vectors[born], "<f4")
        data = matrix.tobytes()
        tx.put(table, Segment(*key, parts[0].segment, f"f32:{space}", n, data))
    tx.put(schema.PAGES, page._replace(epoch=page.epoch + 1))


def segment_of(
    tx: ReadTx, key: PageKey, born: int, table: Table[Segment] = schema.SEGMENTS
) -> list[Segment]:
    """Return every encoding of the segment in whose range a birth lies."""
    for part in tx.scan(table, key, stop=born + 1, reverse=True, limit=1):
        return list(tx.scan(table, (*key, part.segment)))
    return []


def located(
    tx: ReadTx, key: PageKey, births: Iterable[int]
) -> Iterator[tuple[Table[Segment], list[Segment], dict[int, int]]]:
    """Yield where sealed rows lie: the table, a segment's encodings, the places of rows in it."""
    left = sorted(births)
    for table in (schema.SEGMENTS, schema.HISTORY):
        elsewhere: list[int] = []
        while left:
            parts = segment_of(tx, key, left[-1], table)
            if not parts:
                break
            here = [born for born in left if born >= parts[0].segment]
            left = left[: len(left) - len(here)]
            there = {born: place for place, born in enumerate(births_of(parts).tolist())}
            places = {born: there[born] for born in here if born in there}
            elsewhere.extend(born for born in here if born not in there)
            if places:
                yield table, parts, places
        left = sorted([*left, *elsewhere])


def births_of(parts: Sequence[Segment]) -> NDArray[np.int64]:
    """Return the births of a segment's rows, ascending."""
    return decode_columns(next(part for part in parts if part.encoding == "rows"))[:, 0]


def erase_rows(tx: WriteTx, page: Page, ended: Mapping[int, bool]) -> Page:
    """Take rows out of the page: gone from the tail, zeroed and unlisted in segments.

    ``ended`` maps the births of the rows to whether they had stopped being current.
    """
    key = page[:3]
    spaces = [space.space for space in tx.scan(schema.SPACES, ())]
    tail, gone = page.tail, 0
    for born in sorted(ended):
        if born > page.sealed:
            tx.delete(schema.TAIL, (*key, born))
            for space in spaces:
                tx.delete(schema.VECTORS, (*key, space, born))
            tail -= 1
            gone += ended[born]
    for table, parts, places in located(tx, key, [b for b in ended if b <= page.sealed]):
        for part in parts:
            tx.put(table, _without(part, list(places.values())))
        if table is schema.SEGMENTS:
            gone += sum(ended[born] for born in places)
    return page._replace(epoch=page.epoch + 1, tail=tail, ended=page.ended - gone)


def _without(part: Segment, places: Sequence[int]) -> Segment:
    """Return a segment with rows zeroed; their births stay, so that order and places do."""
    import numpy as np

    if part.encoding == "rows":
        columns = decode_columns(part).copy()
        columns[places, 1:] = 0
        data = encode_columns(columns)
    elif part.encoding == "terms":
        rows = revert(decode_postings(part.bytes), part.n)
        for place in places:
            rows[place] = b""
        data = invert(rows).encode()
    else:
        matrix = np.frombuffer(part.bytes, "<f4").reshape(part.n, -1).copy()
        matrix[places] = 0
        data = matrix.tobytes()
    return part._replace(bytes=data)


def remains(parts: Sequence[Segment]) -> list[str]:
    """Return the encodings of one segment that still hold something of an erased row."""
    import numpy as np

    columns = {part.encoding: part for part in parts}["rows"]
    erased = decode_columns(columns)[:, 1] == 0
    found: list[str] = []
    for part in parts:
        if part.encoding == "rows":
            kept = decode_columns(part)[erased]
            added = len(_ADDED)
            left = kept[:, 1:-added].any() or (~np.isin(kept[:, -added:], (0, *_ADDED))).any()
        elif part.encoding == "terms":
            rows = revert(decode_postings(part.bytes), part.n)
            left = any(rows[place] for place in np.flatnonzero(erased).tolist())
        else:
            left = np.frombuffer(part.bytes, "<f4").reshape(part.n, -1)[erased].any()
        if left:
            found.append(part.encoding)
    return found


def with_rows(part: Segment, births: NDArray[np.int64], rows: Mapping[int, TailRow]) -> Segment:
    """Return a segment with its columns and terms written anew from rows, by birth."""
    if part.encoding == "rows":
        columns = decode_columns(part).copy()
        for place, born in enumerate(births.tolist()):
            if born in rows:
                columns[place] = rows[born][_FIRST:_LAST]
        return part._replace(bytes=encode_columns(columns))
    if part.encoding == "terms":
        terms = [rows[born].terms if born in rows else b"" for born in births.tolist()]
        return part._replace(bytes=invert(terms).encode())
    return part


def row_at(tx: ReadTx, page: Page, born: int) -> TailRow | None:
    """Return one row of a page, wherever it lies."""
    key = page[:3]
    if born > page.sealed:
        return tx.get(schema.TAIL, (*key, born))
    for _, parts, _ in located(tx, key, [born]):
        return next((row for row in segment_rows(parts) if row.born == born), None)
    return None


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


def grouped(
    tx: ReadTx, key: PageKey, table: Table[Segment], start: int | None = None
) -> Iterable[list[Segment]]:
    """Yield the segments of a page, each with all its encodings, in order of birth."""
    held: list[Segment] = []
    for part in tx.scan(table, key, start=start):
        if held and held[0].segment != part.segment:
            yield held
            held = []
        held.append(part)
    if held:
        yield held


def page_rows(tx: ReadTx, key: PageKey) -> Iterable[TailRow]:
    """Return every row of a page: sealed ones in order of birth, those of history, the tail."""
    for table in (schema.SEGMENTS, schema.HISTORY):
        for parts in grouped(tx, key, table):
            yield from segment_rows(parts)
    yield from tx.scan(schema.TAIL, key)


def vector_of(tx: ReadTx, page: Page, space: int, born: int) -> bytes | None:
    """Return one row's vector bytes, wherever they lie."""
    key = page[:3]
    if born > page.sealed:
        row = tx.get(schema.VECTORS, (*key, space, born))
        return row.bytes if row else None
    for _, parts, places in located(tx, key, [born]):
        for part in parts:
            if part.encoding == f"f32:{space}":
                width = len(part.bytes) // part.n
                return part.bytes[places[born] * width : (places[born] + 1) * width]
    return None
