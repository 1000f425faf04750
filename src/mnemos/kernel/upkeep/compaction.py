"""Keeping pages small: rows that ended leave the segments searches read for the page's history.

A segment in which enough rows have ended is split: what is current stays, the rest moves to the
table ``history``, which has the same layout and is read by views of the past alone. Small segments
that remain are joined. A row that was erased is dropped for good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mnemos.kernel import schema, segments
from mnemos.kernel.ports import ReadTx, WriteTx
from mnemos.kernel.postings import decode_postings, invert, revert
from mnemos.kernel.schema import ALIVE, Page, Segment
from mnemos.kernel.segments import PageKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARE = 0.25
"""Share of a page's rows that must have ended before it is worth compacting."""

LEAST = 64
"""Ended rows below which a page is left as it is."""

STEP = 16
"""Segments split in one transaction."""


def is_due(page: Page) -> bool:
    """Return whether so many rows of a page have ended that searches should be spared them.

    Rows of the tail count as if none had ended: they cannot move before they are sealed.
    """
    return page.ended - page.tail >= max(LEAST, SHARE * page.rows)


def compact(tx: WriteTx, page: Page, *, most: int = STEP) -> tuple[Page, int]:
    """Move ended rows of up to ``most`` segments to history, and drop the erased ones beside them.

    Returns the page and how many rows left its segments; none means that nothing is left to do.
    """
    key = page[:3]
    dead = tx.scan(schema.VERSIONS, key, index="deaths", start=page.cleared + 1, stop=ALIVE)
    left = {row.born: row.dead for row in dead}
    moved, latest, erased = 0, page.compacted, 0
    for number, parts in enumerate(_worth_splitting(tx, key, left)):
        if number == most:
            break
        columns = segments.decode_columns(next(p for p in parts if p.encoding == "rows"))
        ended = [born for born in columns[:, 0].tolist() if born in left]
        erased += _split(tx, key, parts, columns, ended)
        latest = max([latest, *(left.pop(born) for born in ended)])
        moved += len(ended)
    else:
        in_tail = (dead for born, dead in left.items() if born > page.sealed)
        page = page._replace(cleared=min(in_tail, default=page.changed + 1) - 1)
    if moved or erased:
        _join_runs(tx, key)
        page = page._replace(
            epoch=page.epoch + 1,
            rows=page.rows - moved - erased,
            ended=page.ended - moved,
            compacted=latest,
        )
    tx.put(schema.PAGES, page)
    return page, moved + erased


def _worth_splitting(tx: ReadTx, key: PageKey, left: Mapping[int, int]) -> Iterator[list[Segment]]:
    """Yield the segments that hold a row which ended, or nothing but erased ones."""
    for rows in _columns_of(tx, key):
        columns = segments.decode_columns(rows)
        if not columns[:, 1].any() or any(born in left for born in columns[:, 0].tolist()):
            yield list(tx.scan(schema.SEGMENTS, (*key, rows.segment)))


def _columns_of(tx: ReadTx, key: PageKey) -> list[Segment]:
    return [part for part in tx.scan(schema.SEGMENTS, key) if part.encoding == "rows"]


def _join_runs(tx: WriteTx, key: PageKey) -> None:
    """Join neighbours that together make no more than one full segment."""
    run: list[int] = []
    total = 0
    sizes = [(part.segment, part.n) for part in _columns_of(tx, key)]
    for first, n in [*sizes, (0, segments.SEGMENT_ROWS + 1)]:
        if total + n > segments.SEGMENT_ROWS:
            if len(run) > 1:
                segments.join(tx, key, [list(tx.scan(schema.SEGMENTS, (*key, i))) for i in run])
            run, total = [], 0
        run.append(first)
        total += n


def _split(
    tx: WriteTx,
    key: PageKey,
    parts: Sequence[Segment],
    columns: NDArray[np.int64],
    ended: Sequence[int],
) -> int:
    """Leave a segment its current rows, merge the ended ones into history, drop the erased.

    Returns how many were dropped.
    """
    import numpy as np

    erased = columns[:, 1] == 0
    gone = np.isin(columns[:, 0], ended) & ~erased
    kept = ~gone & ~erased
    tx.delete(schema.SEGMENTS, (*key, parts[0].segment))
    if kept.any():
        # The first birth stays the segment's name, so that ranges do not change.
        tx.insert(schema.SEGMENTS, take(parts, kept, parts[0].segment))
    if gone.any():
        _file(tx, key, take(parts, gone, int(columns[gone][0, 0])))
    return int(erased.sum())


def take(parts: Sequence[Segment], mask: NDArray[np.bool_], first: int) -> list[Segment]:
    """Return a segment's encodings with only the rows of a mask, named by another first birth."""
    import numpy as np

    n = int(mask.sum())
    found: list[Segment] = []
    for part in parts:
        if part.encoding == "rows":
            data = segments.encode_columns(segments.decode_columns(part)[mask])
        elif part.encoding == "terms":
            rows = revert(decode_postings(part.bytes), part.n)
            data = invert([row for row, stays in zip(rows, mask, strict=True) if stays]).encode()
        else:
            data = np.frombuffer(part.bytes, "<f4").reshape(part.n, -1)[mask].tobytes()
        found.append(part._replace(segment=first, n=n, bytes=data))
    return found


def _file(tx: WriteTx, key: PageKey, incoming: list[Segment]) -> None:
    """Merge rows into the history of a page, which stays in order of birth."""
    import numpy as np

    births = segments.births_of(incoming)
    while len(births):
        held = segments.segment_of(tx, key, int(births[-1]), schema.HISTORY)
        first = held[0].segment if held else 0
        here = births >= first
        group = take(incoming, here, int(births[here][0]))
        incoming = take(incoming, ~here, int(births[0])) if not here.all() else []
        if held:
            tx.delete(schema.HISTORY, (*key, first))
            group = segments.merged(tx, [held, group])
        n = group[0].n
        for start in range(0, n, segments.SEGMENT_ROWS):
            chosen = np.zeros(n, bool)
            chosen[start : start + segments.SEGMENT_ROWS] = True
            name = int(segments.births_of(group)[start])
            tx.insert(schema.HISTORY, take(group, chosen, name))
        births = segments.births_of(incoming) if incoming else births[:0]
