"""A filter on a whole page: columns decide what they can, memories are read for the rest.

Every row is yes, no, or not known yet. What the columns of a page say goes up the tree in this
three-valued logic, and only rows that are visible and still unknown are fetched.

- ``kind``, ``state``, ``expires_at``, ``valid_from`` and ``valid_to`` lie in columns and are exact;
  a vault lifted from format 1 holds no validity there until it is rebuilt, for views as for
  filters.
- ``run_id`` and ``agent_id`` lie there as 64-bit hashes. Equal hashes are taken for equal names,
  as views take them: confirming would read every memory of the agent, two names meet by chance
  once in 2^64 pairs, and to find a second name for a given hash takes as many tries. Who fetches
  the rows found anyway may ask :meth:`Filter.matches` once more.
- ``speaker`` lies there as the hash of a name's first stem, which can only say no.
- ``happened_at`` lies in ``at``, which holds the time of recording where it is not set. What the
  column excludes is excluded; what it does not is fetched.
- All other keys are decided on the memory itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.governance.filter_tree import And, Compare, Filter, Node, Not, Or
from mnemos.kernel.governance.filter_values import NOTHING, ORDER, Value
from mnemos.kernel.schema import ALIVE, EARLIEST
from mnemos.kernel.segments import KINDS, STATES
from mnemos.kernel.tokens import speaker_hash, term_hash
from mnemos.types import MemCube

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHOICES = {"kind": KINDS, "state": STATES}
_HASHES = {"run_id": "session", "agent_id": "agent"}
_MOMENTS = {
    "expires_at": ("expires", ALIVE),
    "valid_from": ("since", EARLIEST),
    "valid_to": ("until", ALIVE),
}
"""Columns of moments, with what they hold where none is set."""

_OPPOSITE = {"ne": "eq", "nin": "in"}


class _Decided(NamedTuple):
    """Which rows fit, and which do not, ``(n,)`` each; the others are not known yet."""

    yes: NDArray[np.bool_]
    no: NDArray[np.bool_]


def mask(
    filter: Filter,
    arrays: PageArrays,
    visible: NDArray[np.bool_],
    fetch: Callable[[int], MemCube],
) -> NDArray[np.bool_]:
    """Return which visible rows of a page fit a filter, ``(rows,)``.

    Parameters
    ----------
    filter : Filter
        What to look for.
    arrays : PageArrays
        The page.
    visible : (rows,) bool
        The rows the view may see; no other is fetched.
    fetch : callable
        Returns the memory of a row by its position.
    """
    import numpy as np

    known = _decide(filter.root, arrays)
    found = visible & known.yes
    for place in np.flatnonzero(visible & ~known.yes & ~known.no).tolist():
        found[place] = filter.matches(fetch(place))
    return found


def _decide(node: Node, arrays: PageArrays) -> _Decided:
    match node:
        case Compare():
            return _compared(node, arrays)
        case Not():
            return _turned(_decide(node.part, arrays))
        case And():
            return reduce(_both, (_decide(part, arrays) for part in node.parts))
        case Or():
            parts = (_turned(_decide(part, arrays)) for part in node.parts)
            return _turned(reduce(_both, parts))


def _both(one: _Decided, other: _Decided) -> _Decided:
    return _Decided(one.yes & other.yes, one.no | other.no)


def _turned(known: _Decided) -> _Decided:
    return _Decided(known.no, known.yes)


def _exact(yes: NDArray[np.bool_]) -> _Decided:
    return _Decided(yes, ~yes)


def _not_if(no: NDArray[np.bool_]) -> _Decided:
    """Return rows that are known not to fit; the others are not known."""
    return _Decided(no & False, no)


def _compared(compare: Compare, arrays: PageArrays) -> _Decided:
    """Return what the columns say of one condition."""
    operator, value = compare.operator, compare.value
    if operator in _OPPOSITE:
        return _turned(_positive(compare.key, _OPPOSITE[operator], value, arrays))
    if operator == "exists":
        unset = _positive(compare.key, "eq", NOTHING, arrays)
        return _turned(unset) if value.value else unset
    return _positive(compare.key, operator, value, arrays)


def _positive(key: str, operator: str, value: Value, arrays: PageArrays) -> _Decided:
    """Return what the columns say of a condition that is no negation of another."""
    import numpy as np

    if key in _CHOICES:
        names = _CHOICES[key]
        wanted = [names.index(item.value) for item in _wanted(operator, value) if item != NOTHING]
        return _exact(_among(arrays.column(key), wanted))
    if key in _HASHES:
        column = arrays.column(_HASHES[key])
        if operator not in ("eq", "in"):
            return _not_if(column == 0)
        return _exact(_among(column, [term_hash(_name(item)) for item in _wanted(operator, value)]))
    if key == "speaker" and operator in ("eq", "in"):
        wanted = [speaker_hash(_name(item)) for item in _wanted(operator, value)]
        return _not_if(~_among(arrays.column(key), wanted))
    if key in _MOMENTS:
        name, open_end = _MOMENTS[key]
        return _exact(_moments(arrays.column(name), open_end, operator, value))
    if key == "happened_at" and NOTHING not in _wanted(operator, value):
        return _not_if(~_moments(arrays.column("at"), ALIVE, operator, value))
    return _not_if(np.zeros(len(arrays), np.bool_))


def _wanted(operator: str, value: Value) -> list[Value]:
    """Return what a condition may be equal to; nothing where it asks for something else."""
    if operator == "in":
        return list(value.value)
    return [value] if operator == "eq" else []


def _name(value: Value) -> str:
    return value.value or ""


def _among(column: NDArray[np.int64], wanted: list[int]) -> NDArray[np.bool_]:
    import numpy as np

    return np.isin(column, np.array(wanted, np.int64))


def _moments(
    column: NDArray[np.int64], open_end: int, operator: str, value: Value
) -> NDArray[np.bool_]:
    """Return which moments of a column fit a condition."""
    unset = column == open_end
    if operator == "between":
        start, end = value.value
        return (column >= start) & (column < end) & ~unset
    if operator in ORDER:
        return ORDER[operator](column, value.value) & ~unset
    wanted = _wanted(operator, value)
    found = _among(column, [item.value for item in wanted if item != NOTHING]) & ~unset
    return found | unset if NOTHING in wanted else found
