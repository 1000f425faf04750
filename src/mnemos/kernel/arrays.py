"""A page as parallel arrays, and what a view sees of it.

``born`` and ``dead`` lie beside the columns, which makes every moment of the past a mask over the
same arrays. Where a mask would hide most of a page, or rows of several pages are seen together,
the visible rows are chosen once into arrays of their own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mnemos.kernel.canonical import microseconds
from mnemos.kernel.codes import LARGE_ROWS, Cells, Codes
from mnemos.kernel.governance.views import Right, View
from mnemos.kernel.schema import ALIVE, EARLIEST
from mnemos.kernel.segments import COLUMNS, KINDS, STATES
from mnemos.kernel.tokens import term_hash
from mnemos.types import CURRENT_STATES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Piece = tuple[NDArray[np.float32] | Codes, NDArray[np.int64] | None]


class Block(Protocol):
    """Posting lists of some rows of a page."""

    def lookup(self, term: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the positions of the rows that hold a term, and how often."""
        ...


MOST_MERGED = 256
"""New rows that are put into an order one by one; more, and all are sorted again."""

GATHER = 256
"""Rows gathered at once before they are multiplied: few enough to stay in the processor's cache."""


class Vectors:
    """A page's vectors in pieces, which are shared with the pages they come from.

    Parameters
    ----------
    pieces : sequence of (matrix, (k,) int64 or None)
        Matrices, ``(m, dim)`` float32 or codes of them, with the places of their rows that count;
        None means all of them.
    cells : Cells or None
        Where to look in the only piece, which are codes, for search that need not be exact.
    """

    def __init__(self, pieces: Sequence[Piece], cells: Cells | None = None) -> None:
        self._pieces = pieces
        self._cells = cells
        self._asked = False

    def __len__(self) -> int:
        return sum(len(rows if places is None else places) for rows, places in self._pieces)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        rows = self._pieces[0][0]
        return rows.dim if isinstance(rows, Codes) else rows.shape[1]

    def matrix(self) -> NDArray[np.float32]:
        """Return all rows as one matrix, ``(n, dim)``; it is kept from then on, unless coded."""
        import numpy as np

        rows, places = self._pieces[0]
        if len(self._pieces) == 1 and places is None and not isinstance(rows, Codes):
            return rows
        coded = any(isinstance(rows, Codes) for rows, _ in self._pieces)
        whole = np.concatenate([_rows_of(rows, places) for rows, places in self._pieces])
        if not coded:
            self._pieces = [(whole, None)]
        return whole

    def dot(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the inner product of every row with a query, ``(n,)``.

        A row's product is the same wherever it lies: equal texts score the same, before and after
        rows have moved. A product of a matrix has no such rule, whose last bits depend on the place
        of a row in it; ``einsum`` adds up each row by itself, in the same time.

        The first question to chosen rows is answered without copying them; who asks again is
        worth a copy.
        """
        import numpy as np

        rows, places = self._pieces[0]
        if len(self._pieces) == 1 and isinstance(rows, Codes):
            return rows.dot(query, places)
        whole = len(self._pieces) == 1 and places is None
        if whole or (self._asked and not any(isinstance(p[0], Codes) for p in self._pieces)):
            return np.einsum("ij,j->i", self.matrix(), query)
        self._asked = True
        return np.concatenate([_dot(rows, places, query) for rows, places in self._pieces])

    def near(
        self, query: NDArray[np.float32], mask: NDArray[np.bool_], most: int
    ) -> NDArray[np.int64]:
        """Return the positions of the ``most`` rows of a mask most like a query, in no order.

        They are looked for in the nearest cells where there are cells and those show enough, among
        all rows otherwise: what hides most of a page must not cost what is left.
        """
        import numpy as np

        if self._cells is not None:
            codes = self._pieces[0][0]
            assert isinstance(codes, Codes)
            places = self._cells.near(query)
            places = places[mask[places]]
            if len(places) >= most:
                return _best(places, codes.dot(query, places), most)
        places = np.flatnonzero(mask)
        if len(places) <= most:
            return places
        return _best(places, self.dot(query)[places], most)

    def take(self, positions: NDArray[np.int64]) -> Vectors:
        """Return the rows at ascending positions, not copied."""
        import numpy as np

        taken: list[Piece] = []
        first = 0
        for rows, places in self._pieces:
            n = len(rows if places is None else places)
            low, high = np.searchsorted(positions, (first, first + n))
            here = positions[low:high] - first
            taken.append((rows, here if places is None else places[here]))
            first += n
        return Vectors(taken)

    def joined(self, other: Vectors) -> Vectors:
        """Return these rows and another's behind them, not copied."""
        return Vectors((*self._pieces, *other._pieces))

    def nbytes(self) -> int:
        """Return the bytes of what is held by nobody else."""
        rows, places = self._pieces[0]
        return rows.nbytes if len(self._pieces) == 1 and places is None else 0


def _best(places: NDArray[np.int64], scores: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return the places of the highest scores, in no order."""
    import numpy as np

    return places[np.argpartition(scores, len(scores) - most)[-most:]]


def _rows_of(
    rows: NDArray[np.float32] | Codes, places: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return chosen rows of a matrix as float32."""
    if isinstance(rows, Codes):
        return rows.rows(slice(None) if places is None else places)
    return rows if places is None else rows[places]


def _dot(
    rows: NDArray[np.float32] | Codes, places: NDArray[np.int64] | None, query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Multiply chosen rows with a query, a cacheful at a time."""
    import numpy as np

    if isinstance(rows, Codes):
        return rows.dot(query, places)
    if places is None:
        return np.einsum("ij,j->i", rows, query)
    found = np.empty(len(places), np.float32)
    held = np.empty((GATHER, rows.shape[1]), np.float32)
    for start in range(0, len(places), GATHER):
        chosen = places[start : start + GATHER]
        block = held[: len(chosen)]
        np.take(rows, chosen, axis=0, out=block, mode="clip")
        np.einsum("ij,j->i", block, query, out=found[start : start + GATHER])
    return found


@dataclass(frozen=True, slots=True)
class PageArrays:
    """A loaded page: everything search needs, row by row in order of birth.

    Parameters
    ----------
    columns : (rows, column) int64
        The page's columns, each contiguous; ``born`` ascends.
    dead : (rows,) int64
        Seq at which each row stopped being current, ``ALIVE`` if it has not.
    stack : Vectors or None
        Unit vectors; a row of zeros where there is none. None without an embedder.
    blocks : sequence of (int, Postings)
        Posting lists with the position of their first row.
    memo : dict
        What was computed from these arrays once and is asked for again.
    """

    columns: NDArray[np.int64]
    dead: NDArray[np.int64]
    stack: Vectors | None
    blocks: tuple[tuple[int, Block], ...]
    memo: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, name: str) -> NDArray[np.int64]:
        """Return one column by name."""
        return self.columns[:, COLUMNS.index(name)]

    @property
    def vectors(self) -> NDArray[np.float32] | None:
        """The unit vectors as one matrix, ``(rows, dim)``."""
        return None if self.stack is None else self.stack.matrix()

    def conversation_order(self) -> NDArray[np.int64]:
        """Return all positions so that the turns of a session are neighbours, in order of time.

        Rows of one moment keep the order in which their cubes were first written.
        """
        import numpy as np

        order: NDArray[np.int64] | None = self.memo.get("order")
        if order is None or len(self) - len(order) > MOST_MERGED:
            keys = (self.column("cube"), self.column("at"), self.column("session"))
            order = np.lexsort(keys)
        elif len(order) < len(self):
            order = self._merged(order, len(order))
        self.memo["order"] = order
        return order

    def _merged(self, order: NDArray[np.int64], known: int) -> NDArray[np.int64]:
        """Return the order of the first ``known`` rows with the others put where they belong."""
        import numpy as np

        session, at, cube = self.column("session"), self.column("at"), self.column("cube")

        def key(position: int) -> tuple[int, int, int, int]:
            return int(session[position]), int(at[position]), int(cube[position]), position

        new = sorted(range(known, len(self)), key=key)
        places = [bisect_left(order, key(position), key=key) for position in new]
        return np.insert(order, places, new)

    def grown(self, since: PageArrays) -> PageArrays:
        """Return these arrays with what was known of them when they had fewer rows."""
        order = since.memo.get("order")
        if order is not None:
            self.memo.setdefault("order", order)
        return self

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
        """Return which rows a view may see: moment, truth, state, kind, agent, run and expiry."""
        narrowed = view.kinds is not None or view.scope.run_id is not None
        narrowed = narrowed or view.scope.agent_id is not None or view.states != CURRENT_STATES
        if len(self) < LARGE_ROWS or narrowed or view.as_of is not None:
            return self._shown(view, slice(None))
        plain, others = self._plain()
        mask = plain.copy()
        mask[others] = self._shown(view, others)
        return mask

    def _plain(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which rows every view of today sees whole, and the places of all others."""
        import numpy as np

        if "plain" not in self.memo:
            plain = self.dead == ALIVE
            for name, always in (("expires", ALIVE), ("since", EARLIEST), ("until", ALIVE)):
                plain &= self.column(name) == always
            current = [STATES.index(state) for state in CURRENT_STATES]
            plain &= np.isin(self.column("state"), current)
            self.memo["plain"] = plain, np.flatnonzero(~plain)
        return self.memo["plain"]

    def _shown(self, view: View, places: slice | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some rows a view may see."""
        import numpy as np

        def column(name: str) -> NDArray[np.int64]:
            return self.column(name)[places]

        moment = ALIVE - 1 if view.as_of is None else view.as_of
        mask = (column("born") <= moment) & (self.dead[places] > moment)
        now = microseconds(view.now)
        mask &= column("expires") > now
        if view.valid_at is not None:
            true = microseconds(view.valid_at)
            mask &= (column("since") <= true) & (column("until") > true)
        elif not view.ended:
            mask &= column("until") > now
        states = [STATES.index(state) for state in view.states]
        mask &= np.isin(column("state"), states)
        if view.kinds is not None:
            mask &= np.isin(column("kind"), [KINDS.index(kind) for kind in view.kinds])
        if view.scope.run_id is not None:
            mask &= column("session") == term_hash(view.scope.run_id)
        if view.scope.agent_id is not None:
            mask &= column("agent") == term_hash(view.scope.agent_id)
        return mask

    def within(self, right: Right) -> NDArray[np.bool_]:
        """Return which rows lie in a right's rectangle: its kinds, agent and run."""
        import numpy as np

        mask = np.ones(len(self), bool)
        if right.kinds is not None:
            mask &= np.isin(self.column("kind"), [KINDS.index(kind) for kind in right.kinds])
        if right.run_id is not None:
            mask &= self.column("session") == term_hash(right.run_id)
        if right.agent_id is not None:
            mask &= self.column("agent") == term_hash(right.agent_id)
        return mask


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The posting lists of chosen rows: those of a page, each position led to its new one."""

    page: PageArrays
    place: NDArray[np.int64]

    def lookup(self, term: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions of the chosen rows that hold a term, and how often."""
        positions, counts = self.page.lookup(term)
        places = self.place[positions]
        kept = places >= 0
        return places[kept], counts[kept]


def choose(parts: Sequence[tuple[PageArrays, NDArray[np.bool_]]]) -> PageArrays:
    """Return the rows of several pages' masks as one page, every row of it current.

    Parameters
    ----------
    parts : sequence of (PageArrays, (rows,) bool)
        Pages with the rows to choose; all with vectors of one space, or none.
    """
    import numpy as np

    columns: list[NDArray[np.int64]] = []
    stack: Vectors | None = None
    blocks: list[tuple[int, Block]] = []
    orders: list[NDArray[np.int64]] = []
    n = 0
    for page, mask in parts:
        positions = np.flatnonzero(mask)
        place = np.full(len(page), -1, np.int64)
        place[positions] = np.arange(n, n + len(positions))
        columns.append(_take(page.columns, positions))
        if page.stack is not None:
            taken = page.stack.take(positions)
            stack = taken if stack is None else stack.joined(taken)
        blocks.append((0, _Chosen(page, place)))
        order = page.conversation_order()
        orders.append(place[order[mask[order]]])
        n += len(positions)
    whole = columns[0] if len(columns) == 1 else np.asfortranarray(np.concatenate(columns))
    memo = {"order": orders[0]} if len(orders) == 1 else {}
    return PageArrays(whole, np.full(n, ALIVE, np.int64), stack, tuple(blocks), memo)


def _take(columns: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows of columns, each column contiguous again."""
    import numpy as np

    taken = np.empty((len(positions), columns.shape[1]), np.int64, order="F")
    for column in range(columns.shape[1]):
        np.take(columns[:, column], positions, out=taken[:, column], mode="clip")
    return taken


def join(first: PageArrays, second: PageArrays) -> PageArrays:
    """Return the rows of two pages as one page."""
    import numpy as np

    stack = None
    if first.stack is not None and second.stack is not None:
        stack = first.stack.joined(second.stack)
    moved = tuple((start + len(first), block) for start, block in second.blocks)
    return PageArrays(
        np.asfortranarray(np.concatenate((first.columns, second.columns))),
        np.concatenate((first.dead, second.dead)),
        stack,
        (*first.blocks, *moved),
    )
