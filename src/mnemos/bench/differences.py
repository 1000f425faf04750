"""What differs between two sets of numbers, said so that a person can act on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mnemos.bench.record import Row

Means = Mapping[str, Mapping[str, float]]
"""Means by category and measure; ``n`` stands among the measures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing that is not as it was."""

    what: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.what}: was {_shown(self.before)}, is {_shown(self.after)}"


def _shown(value: object) -> str:
    if value is None:
        return "absent"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def means_of(rows: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Return the means of rows, without their intervals."""
    return {
        name: {"n": row.n} | {key: value.mean for key, value in row.values.items()}
        for name, row in rows.items()
    }


def compare_means(
    before: Means, after: Means, *, tolerance: float, flips: int = 0, name: str = ""
) -> Iterator[Difference]:
    """Yield every mean that moved by more than ``tolerance``, came or went.

    Parameters
    ----------
    before, after : mapping of str to mapping of str to float
        Means by category and measure.
    tolerance : float
        Largest absolute change that counts as none.
    flips : int
        So many questions of a category may come out otherwise.
    name : str
        Put before what differs.

    Examples
    --------
    >>> (found,) = compare_means({"all": {"mrr": 0.5}}, {"all": {"mrr": 0.75}}, tolerance=0.005)
    >>> str(found)
    'all mrr: was 0.5000, is 0.7500'
    """
    for group in dict.fromkeys([*before, *after]):
        old, new = before.get(group, {}), after.get(group, {})
        allowed = max(tolerance, flips / max(old.get("n", 1), 1))
        for measure in dict.fromkeys([*old, *new]):
            first, second = old.get(measure), new.get(measure)
            # A rounded number may lie just beyond the tolerance by its last digit.
            if first is None or second is None or abs(first - second) > allowed + 1e-9:
                what = f"{name} {group} {measure}".strip()
                yield Difference(what=what, before=first, after=second)
