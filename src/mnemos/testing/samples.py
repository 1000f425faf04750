"""Rows for trying a store with, and the plainest scan to compare its own with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, get_type_hints

from mnemos.kernel.ports import Table

NUMBERS = (-(2**63), -1, 0, 1, 255, 2**31, 2**63 - 1)
WORDS = ("", "a", "a\0", "a\0b", "ab", "b", "B", "é", "e\u0301", "日本", "\U00010348", "\uffff")
BYTES = (b"", b"\0", b"\0\xff\0", bytes(range(256)))


def sample_rows(table: Table[Any], count: int, *, seed: int = 0) -> list[Any]:
    """Return rows for a table with distinct keys, shared prefixes and awkward values."""
    random = Random(f"{table.name}:{seed}")
    types = get_type_hints(table.row)
    values = {int: NUMBERS, str: WORDS, bytes: BYTES}
    found: dict[tuple[Any, ...], Any] = {}
    for _ in range(count * 4):
        row = table.row._make(random.choice(values[types[name]]) for name in table.row._fields)
        found.setdefault(table.key_of(row), row)
    return list(found.values())[:count]


def naive_scan(
    table: Table[Any],
    rows: Iterable[Any],
    prefix: Sequence[str | int],
    *,
    index: str | None = None,
    start: str | int | None = None,
    stop: str | int | None = None,
    reverse: bool = False,
    limit: int | None = None,
) -> list[Any]:
    """Return what :meth:`mnemos.kernel.ports.ReadTx.scan` promises, the slow and plain way."""
    order = [*table.columns_of(index), *table.columns_of(None)]

    def shown(row: Any) -> bool:
        ranks = [getattr(row, column) for column in order]
        if ranks[: len(prefix)] != list(prefix):
            return False
        bounded: Any = next(iter(ranks[len(prefix) :]), None)
        return (start is None or bounded >= start) and (stop is None or bounded < stop)

    found = sorted(
        filter(shown, rows),
        key=lambda row: [getattr(row, column) for column in order],
        reverse=reverse,
    )
    return found[:limit]
