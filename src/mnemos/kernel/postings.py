"""Compressed posting lists: which rows hold which term, and how often.

One row's terms are two parallel arrays, hashes sorted ascending and counts. A block of rows is
the inverse, in compressed sparse rows: sorted hashes, offsets, row positions and counts. Looking
a term up is a binary search; nothing is unpacked into dictionaries, so a cold page costs what
reading its bytes costs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 65_535
_HEADER = struct.Struct("<QQ")


def encode_terms(counts: Mapping[int, int]) -> bytes:
    """Return one row's terms: int64 hashes ascending, then uint16 counts."""
    hashes = sorted(counts)
    often = [counts[item] for item in hashes]
    if often and max(often) > _MOST:
        often = [min(count, _MOST) for count in often]
    return struct.pack(f"<{len(hashes)}q{len(hashes)}H", *hashes, *often)


def decode_terms(data: bytes) -> dict[int, int]:
    """Return the counts that :func:`encode_terms` wrote.

    >>> decode_terms(encode_terms({7: 2, -3: 1}))
    {-3: 1, 7: 2}
    """
    n = len(data) // 10
    values = struct.unpack(f"<{n}q{n}H", data)
    return dict(zip(values[:n], values[n:], strict=True))


@dataclass(frozen=True, slots=True)
class Postings:
    """The inverted lists of a block of rows.

    Parameters
    ----------
    hashes : (terms,) int64
        Sorted term hashes.
    offsets : (terms + 1,) uint32
        Where each term's entries begin.
    rows : (entries,) uint32
        Row positions within the block, ascending per term.
    counts : (entries,) uint16
        Occurrences.
    """

    hashes: NDArray[np.int64]
    offsets: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    counts: NDArray[np.uint16]

    def lookup(self, term: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return the rows that hold a term and how often; empty arrays if none does."""
        at = int(self.hashes.searchsorted(term))
        if at == len(self.hashes) or self.hashes[at] != term:
            return self.rows[:0], self.counts[:0]
        part = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
        return self.rows[part], self.counts[part]

    def lookup_all(self, terms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the entries of several terms at once: their rows, and each one's place in ``terms``.

        >>> import numpy as np
        >>> block = invert([encode_terms({5: 1}), encode_terms({5: 3, 9: 1})])
        >>> [array.tolist() for array in block.lookup_all(np.array([9, 4, 5]))]
        [[1, 0, 1], [0, 2, 2]]
        """
        import numpy as np

        if not len(self.hashes):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.minimum(self.hashes.searchsorted(terms), len(self.hashes) - 1)
        which = np.flatnonzero(self.hashes[at] == terms)
        at = at[which]
        starts = self.offsets[at].astype(np.int64)
        sizes = self.offsets[at + 1].astype(np.int64) - starts
        ends = sizes.cumsum()
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
        return self.rows[places].astype(np.int64), np.repeat(which, sizes)

    def encode(self) -> bytes:
        """Return the block as bytes."""
        parts = (self.hashes, self.offsets, self.rows, self.counts)
        return _HEADER.pack(len(self.hashes), len(self.rows)) + b"".join(
            part.tobytes() for part in parts
        )


def decode_postings(data: bytes) -> Postings:
    """Return the block that :meth:`Postings.encode` wrote, as views into ``data``."""
    import numpy as np

    terms, entries = _HEADER.unpack_from(data)
    at = _HEADER.size
    hashes = np.frombuffer(data, np.int64, terms, at)
    at += hashes.nbytes
    offsets = np.frombuffer(data, np.uint32, terms + 1, at)
    at += offsets.nbytes
    rows = np.frombuffer(data, np.uint32, entries, at)
    at += rows.nbytes
    return Postings(hashes, offsets, rows, np.frombuffer(data, np.uint16, entries, at))


def invert(rows: Sequence[bytes]) -> Postings:
    """Return the inverted lists of rows given as :func:`encode_terms` wrote them.

    >>> block = invert([encode_terms({5: 1}), encode_terms({5: 3, 9: 1})])
    >>> [array.tolist() for array in block.lookup(5)]
    [[0, 1], [1, 3]]
    """
    import numpy as np

    sizes = np.fromiter((len(row) // 10 for row in rows), np.int64, len(rows))
    hashes = np.frombuffer(
        b"".join(row[: 8 * size] for row, size in zip(rows, sizes.tolist(), strict=True)), np.int64
    )
    counts = np.frombuffer(
        b"".join(row[8 * size :] for row, size in zip(rows, sizes.tolist(), strict=True)),
        np.uint16,
    )
    positions = np.repeat(np.arange(len(rows), dtype=np.uint32), sizes)
    order = np.argsort(hashes, kind="stable")
    unique, starts = np.unique(hashes[order], return_index=True)
    offsets = np.append(starts, len(order)).astype(np.uint32)
    return Postings(unique, offsets, positions[order], counts[order])


class Deferred:
    """Rows whose lists are inverted when a term is first looked up, if one ever is.

    A page is brought up to date at each addition, and often nobody searches between two.

    Parameters
    ----------
    rows : sequence of bytes
        As :func:`encode_terms` wrote them; not changed afterwards.

    Examples
    --------
    >>> [array.tolist() for array in Deferred([encode_terms({5: 3})]).lookup(5)]
    [[0], [3]]
    """

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._rows = rows
        self._block: Postings | None = None

    def lookup(self, term: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return the rows that hold a term and how often; empty arrays if none does."""
        return self._inverted().lookup(term)

    def lookup_all(self, terms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the entries of several terms at once (:meth:`Postings.lookup_all`)."""
        return self._inverted().lookup_all(terms)

    def _inverted(self) -> Postings:
        if self._block is None:
            self._block = invert(self._rows)
        return self._block


def together(blocks: Sequence[tuple[int, Postings]]) -> Postings:
    """Return blocks of rows, each with the position of its first, as one block.

    A search then looks a term up once and not once a block.

    >>> one = invert([encode_terms({5: 1})])
    >>> [array.tolist() for array in together([(0, one), (1, one)]).lookup(5)]
    [[0, 1], [1, 1]]
    """
    import numpy as np

    sizes = [np.diff(block.offsets.astype(np.int64)) for _, block in blocks]
    hashes = np.concatenate(
        [np.repeat(block.hashes, size) for (_, block), size in zip(blocks, sizes, strict=True)]
    )
    rows = np.concatenate([block.rows + np.uint32(first) for first, block in blocks])
    counts = np.concatenate([block.counts for _, block in blocks])
    order = np.argsort(hashes, kind="stable")
    unique, starts = np.unique(hashes[order], return_index=True)
    offsets = np.append(starts, len(order)).astype(np.uint32)
    return Postings(unique, offsets, rows[order], counts[order])


def revert(block: Postings, n: int) -> list[bytes]:
    """Return the rows of a block, the inverse of :func:`invert`."""
    import numpy as np

    hashes = np.repeat(block.hashes, np.diff(block.offsets.astype(np.int64)))
    order = np.argsort(block.rows, kind="stable")
    hashes, counts = hashes[order], block.counts[order]
    bounds = np.searchsorted(block.rows[order], np.arange(n + 1)).tolist()
    return [
        hashes[start:stop].tobytes() + counts[start:stop].tobytes()
        for start, stop in pairwise(bounds)
    ]
