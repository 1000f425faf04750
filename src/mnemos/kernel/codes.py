"""A large page's vectors in twelve bits a number, and the cells they are looked for in.

A page of a million memories has 1.5 GB of float32 vectors. Search keeps them rounded: one byte a
number with a scale for each row, by which candidates are found, and half a byte more, by which the
best are put in order. It multiplies only the rows of the cells nearest to the question: an
inverted file (Sivic and Zisserman, ICCV 2003; Jégou, Douze and Schmid, TPAMI 2011, section IV),
its cells the means of spherical k-means. Both are a cache made from the stored vectors: nothing of
them lies in the vault, and what is erased or hidden is left out by the same mask as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.int64]

LARGE_ROWS = 131_072
"""Rows from which a page is large: its vectors are rounded, and search looks at candidates."""

STEPS = 127
"""Largest coarse code."""

PARTS = 16
"""Parts of a step that the fine code tells."""

BLOCK = 512
"""Rows turned into float32 and multiplied at once: few enough to stay in the processor's cache."""

ROWS_PER_CELL = 512
SAMPLE_PER_CELL = 48
ROUNDS = 8
"""Of k-means; more change little."""

TRIALS = 64
"""Questions by which a search of the cells is compared with a search of everything."""

RECALL = 0.95
"""Share of the true best ten that the trials must find, or more cells are looked into. Questions lie
nearer to rows than the trials do: of theirs 0.99 is found then, among a million."""

MOST_LOOSE = 8_192
"""Newer rows that are looked through one by one before all are put in order again."""

BEST = 10
FEWEST_PROBES = 16
MORE_PROBES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Vectors rounded to twelve bits a number.

    Parameters
    ----------
    coarse : (n, dim) int8
        Each vector divided by its scale.
    fine : (n, dim / 2, rounded up) uint8
        Sixteenths of a step left over, two numbers a byte: the first half of the vector in the
        low bits, the second in the high ones.
    scale : (n,) float32
        Largest absolute number of each vector over 127; 0 for a row of zeros.

    Examples
    --------
    >>> import numpy as np
    >>> codes = Codes.of(np.array([[0.6, 0.8], [0.0, 0.0]], np.float32))
    >>> codes.coarse.tolist(), codes.dot(np.array([0.0, 1.0], np.float32)).round(1).tolist()
    ([[95, 127], [0, 0]], [0.800000011920929, 0.0])
    >>> codes.rows(np.array([0])).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """

    coarse: NDArray[np.int8]
    fine: NDArray[np.uint8]
    scale: Floats

    @classmethod
    def of(cls, vectors: Floats) -> Codes:
        """Round vectors ``(n, dim)``."""
        import numpy as np

        n, dim = vectors.shape
        half = (dim + 1) // 2
        codes = cls(
            np.empty((n, dim), np.int8),
            np.empty((n, half), np.uint8),
            np.empty((n,), np.float32),
        )
        for start in range(0, n, BLOCK):
            part = slice(start, start + BLOCK)
            scale = np.abs(vectors[part]).max(axis=1, initial=0.0) / np.float32(STEPS)
            codes.scale[part] = scale
            steps = vectors[part] / np.where(scale > 0, scale, np.float32(1))[:, None]
            whole = np.rint(steps)
            codes.coarse[part] = whole
            steps -= whole
            steps *= PARTS
            rest = np.clip(np.floor(steps), -PARTS // 2, PARTS // 2 - 1).astype(np.int8)
            rest += PARTS // 2
            codes.fine[part] = rest[:, :half]
            codes.fine[part, : dim - half] += (rest[:, half:] << 4).view(np.uint8)
        return codes

    def __len__(self) -> int:
        return len(self.coarse)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.coarse.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.coarse.nbytes + self.fine.nbytes + self.scale.nbytes

    def part(self, rows: slice) -> Codes:
        """Return some rows, not copied."""
        return Codes(self.coarse[rows], self.fine[rows], self.scale[rows])

    def rows(self, places: Places | slice) -> Floats:
        """Return rows as float32, ``(k, dim)``, as near as the codes tell."""
        import numpy as np

        found = self.coarse[places].astype(np.float32)
        fine = self.fine[places]
        half, rest = fine.shape[1], found.shape[1] - fine.shape[1]
        middle = np.float32(PARTS // 2 - 0.5)
        found[:, :half] += ((fine & 15).astype(np.float32) - middle) / PARTS
        found[:, half:] += ((fine[:, :rest] >> 4).astype(np.float32) - middle) / PARTS
        found *= self.scale[places][:, None]
        return found

    def dot(self, query: Floats, places: Places | None = None) -> Floats:
        """Return the inner products of all rows, or of those at places, by the coarse codes."""
        import numpy as np

        n = len(self) if places is None else len(places)
        found = np.empty(n, np.float32)
        held = np.empty((BLOCK, self.coarse.shape[1]), np.float32)
        taken = np.empty((BLOCK, self.coarse.shape[1]), np.int8)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            block = held[: stop - start]
            if places is None:
                block[:] = self.coarse[start:stop]
            else:
                chosen = taken[: stop - start]
                np.take(self.coarse, places[start:stop], axis=0, out=chosen, mode="clip")
                block[:] = chosen
            np.matmul(block, query, out=found[start:stop])
        found *= self.scale if places is None else self.scale[places]
        return found


class Cells:
    """Which rows lie near which of some directions.

    The directions come from the first rows of a page, as many as the greatest power of two that it
    holds; every later row joins the nearest. A page that grew has so the cells of one that is read.

    Parameters
    ----------
    centroids : (cells, dim) float32
        Unit vectors.
    probes : int
        Cells a question looks into.
    cell : (n,) uint16
        The cell of each row.
    order : (m,) int32
        The places of the first ``m`` rows, cell by cell; the others are looked through.
    """

    def __init__(
        self,
        centroids: Floats,
        probes: int,
        cell: NDArray[np.uint16],
        order: NDArray[np.int32] | None = None,
    ) -> None:
        import numpy as np

        self.centroids = centroids
        self.probes = probes
        self.cell = cell
        if order is None:
            order = np.argsort(cell, kind="stable").astype(np.int32)
        self.order = order
        self._bounds = np.searchsorted(cell[order], np.arange(len(centroids) + 1))

    @classmethod
    def of(cls, codes: Codes) -> Cells:
        """Find the cells of codes, and how many of them a question must look into.

        The same codes give the same cells.
        """
        import numpy as np

        first = codes.part(slice(basis(len(codes))))
        random = np.random.default_rng(len(first))
        count = max(2, min(len(first) // ROWS_PER_CELL, 65_535))
        sample = random.choice(len(first), min(len(first), SAMPLE_PER_CELL * count), replace=False)
        centroids = _means(first.rows(np.sort(sample)), count, random)
        cells = cls(centroids, FEWEST_PROBES, _nearest_of(first, centroids))
        pairs = random.choice(len(first), (2, TRIALS))
        trials = first.rows(pairs[0]) + first.rows(pairs[1])  # between rows, as questions are
        while cells.probes < count and cells.recall(first, trials) < RECALL:
            cells.probes = min(cells.probes + MORE_PROBES, count)
        return cells.with_rows(codes)

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.cell.nbytes + self.order.nbytes + self.centroids.nbytes

    def with_rows(self, codes: Codes) -> Cells:
        """Return these cells with all rows of the codes; those behind ours join the nearest."""
        import numpy as np

        new = _nearest_of(codes.part(slice(len(self), None)), self.centroids)
        cell = np.concatenate((self.cell, new))
        loose = len(cell) - len(self.order)
        return Cells(self.centroids, self.probes, cell, self.order if loose < MOST_LOOSE else None)

    def near(self, query: Floats) -> Places:
        """Return the places of the rows in the cells nearest to a query, ascending."""
        import numpy as np

        likeness = self.centroids @ query
        best = np.argpartition(-likeness, min(self.probes, len(likeness)) - 1)[: self.probes]
        parts = [self.order[self._bounds[cell] : self._bounds[cell + 1]] for cell in best]
        loose = np.isin(self.cell[len(self.order) :], best)
        found = np.sort(np.concatenate(parts)).astype(np.int64)
        return np.concatenate((found, np.flatnonzero(loose) + len(self.order)))

    def recall(self, codes: Codes, queries: Floats) -> float:
        """Return the share of the true best ten of queries ``(q, dim)`` that the cells hold."""
        import numpy as np

        found = 0
        for query, best in zip(queries, _best(codes, queries), strict=True):
            found += int(np.isin(best, self.near(query)).sum())
        return found / (BEST * len(queries))


def basis(rows: int) -> int:
    """Return how many rows of a page its directions are made from.

    >>> basis(1_000_000), basis(131_072)
    (524288, 131072)
    """
    return 1 << (rows.bit_length() - 1)


def _means(sample: Floats, count: int, random: np.random.Generator) -> Floats:
    """Return the directions of spherical k-means (Dhillon and Modha, 2001)."""
    import numpy as np

    means = sample[random.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        cell = _argmax(sample, means)
        order = np.argsort(cell, kind="stable")
        held = np.bincount(cell, minlength=count)
        begins = np.minimum(np.concatenate(([0], np.cumsum(held)[:-1])), len(sample) - 1)
        sums = np.add.reduceat(sample[order], begins, axis=0)
        sums[held == 0] = sample[random.choice(len(sample), int((held == 0).sum()))]
        means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return np.ascontiguousarray(means, np.float32)


def _argmax(rows: Floats, centroids: Floats) -> NDArray[np.uint16]:
    import numpy as np

    found = np.empty(len(rows), np.uint16)
    for start in range(0, len(rows), 2 * BLOCK):
        block = rows[start : start + 2 * BLOCK]
        found[start : start + 2 * BLOCK] = np.argmax(block @ centroids.T, axis=1)
    return found


def _nearest_of(codes: Codes, centroids: Floats) -> NDArray[np.uint16]:
    """Return each row's nearest centroid; its length does not matter, so no scale is needed."""
    import numpy as np

    found = np.empty(len(codes), np.uint16)
    for start in range(0, len(codes), 2 * BLOCK):
        block = codes.coarse[start : start + 2 * BLOCK].astype(np.float32)
        found[start : start + 2 * BLOCK] = _argmax(block, centroids)
    return found


def _best(codes: Codes, queries: Floats) -> Places:
    """Return the places of the best ten of each query among all rows, ``(q, 10)``."""
    import numpy as np

    scores = np.empty((len(queries), 0), np.float32)
    places = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(codes), 2 * BLOCK):
        part = codes.rows(slice(start, start + 2 * BLOCK))
        here = np.broadcast_to(np.arange(start, start + len(part)), (len(queries), len(part)))
        scores = np.concatenate((scores, queries @ part.T), axis=1)
        places = np.concatenate((places, here), axis=1)
        kept = np.argpartition(-scores, min(BEST, scores.shape[1]) - 1, axis=1)[:, :BEST]
        scores = np.take_along_axis(scores, kept, axis=1)
        places = np.take_along_axis(places, kept, axis=1)
    return places
