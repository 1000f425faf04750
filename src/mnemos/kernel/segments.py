"""Where the rows of a page lie: in the tail one by one, in segments many together.

New rows enter the tail. A tail that has grown is sealed into a segment, small segments are
joined, and a row that is forgotten is erased wherever it lies. This room knows the layout of a
segment; stores keep the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mnemos.kernel import schema
from mnemos.kernel.ports import ReadTx, WriteTx
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
)
"""Columns of a page row, all int64, in the order of :class:`TailRow`."""

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

    return np.frombuffer(part.bytes, "<i8").reshape(len(COLUMNS), part.n).T


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
    sealed = page._replace(sealed=last, tail=page.tail - len(rows))
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
    _join_small(tx, page[:3])
    return page


def _join_small(tx: WriteTx, key: PageKey) -> None:
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
        _join(tx, key, joined)
        n -= rows


def _join(tx: WriteTx, key: PageKey, segments: Sequence[Sequence[Segment]]) -> None:
    """Replace consecutive segments by one."""
    import numpy as np

    by_encoding = [{part.encoding: part for part in parts} for parts in segments]
    sizes = [parts["rows"].n for parts in by_encoding]
    n = sum(sizes)
    columns = np.concatenate([decode_columns(parts["rows"]) for parts in by_encoding])
    terms = [
        row
        for parts, size in zip(by_encoding, sizes, strict=True)
        for row in revert(decode_postings(parts["terms"].bytes), size)
    ]
    encoded = {"rows": encode_columns(columns), "terms": invert(terms).encode()}
    for space in tx.scan(schema.SPACES, ()):
        name, width = f"f32:{space.space}", space.dim * 4
        if any(name in parts for parts in by_encoding):
            encoded[name] = b"".join(
                parts[name].bytes if name in parts else bytes(size * width)
                for parts, size in zip(by_encoding, sizes, strict=True)
            )
    for parts in segments:
        tx.delete(schema.SEGMENTS, (*key, parts[0].segment))
    _insert_segment(tx, key, segments[0][0].segment, n, encoded)


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
        matrix = segment_vectors(part, rows.n, dim).copy()
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


def births_of(parts: Sequence[Segment]) -> NDArray[np.int64]:
    """Return the births of a segment's rows, ascending."""
    return decode_columns(next(part for part in parts if part.encoding == "rows"))[:, 0]


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


def _without(part: Segment, places: NDArray[np.int64]) -> Segment:
    """Return a segment with rows zeroed; their births stay, so that order and places do."""
    import numpy as np

    if part.encoding == "rows":
        columns = decode_columns(part).copy()
        columns[places, 1:] = 0
        data = encode_columns(columns)
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


def remains(parts: Sequence[Segment]) -> list[str]:
    """Return the encodings of one segment that still hold something of an erased row."""
    import numpy as np

    columns = {part.encoding: part for part in parts}["rows"]
    erased = decode_columns(columns)[:, 1] == 0
    found: list[str] = []
    for part in parts:
        if part.encoding == "rows":
            left = decode_columns(part)[erased, 1:].any()
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
