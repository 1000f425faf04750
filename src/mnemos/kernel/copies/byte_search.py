"""Finding any of many byte strings in much data, in one pass over it.

Each string is entered in a table under the four or eight bytes it has at a few neighbouring
offsets, as many as it takes for one of them to fall on an even step through the data. Walking the
data is then a table look-up per step, on whole arrays; only where it hits are strings compared.
The offsets are chosen where a string says what few others say, so that comparisons stay rare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 6
"""Length of the shortest string that can be looked for."""

_SHORT = (4, 2)
_LONG = (8, 8)
_FROM_LONG = sum(_LONG) - 1
_TABLE_BITS = 20
_SHIFT = 64 - _TABLE_BITS
_MIXES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
"""Odd numbers: the upper bits of a product with one depend on every bit of the other factor."""

_MANY = 1 << 30
"""How often bytes that are mostly zero are taken to occur."""


class _Grams:
    """Strings by the ``width`` bytes at ``step`` neighbouring offsets."""

    def __init__(self, width: int, step: int, strings: Mapping[int, bytes]) -> None:
        self.width, self.step = width, step
        self._strings = strings
        self._first = dict(zip(strings, self._anchors(), strict=True))
        self.entries: dict[int, list[tuple[int, int]]] = {}
        for number in strings:
            for gram, offset in self._grams_of(number):
                self.entries.setdefault(gram, []).append((number, offset))
        self._tables = [self._table(mix) for mix in _MIXES]

    def _anchors(self) -> Iterator[int]:
        """Yield for each string the first of the offsets at which its grams are the rarest."""
        import numpy as np

        joined = np.frombuffer(b"".join(self._strings.values()) + bytes(self.width), np.uint8)
        n = len(joined) - self.width
        values = np.zeros(n, np.uint64)
        zeros = np.zeros(n, np.uint8)
        for place in range(self.width):
            part = joined[place : place + n]
            values |= part.astype(np.uint64) << np.uint64(8 * place)
            zeros += part == 0
        hashed = ((values * np.uint64(_MIXES[0])) >> np.uint64(_SHIFT)).astype(np.int64)
        often = np.bincount(hashed)[hashed]
        often[zeros > self.width // 2] = _MANY
        before = np.concatenate(([0], np.cumsum(often)))
        start = 0
        for data in self._strings.values():
            stop = start + len(data) - self.width - self.step + 2
            costs = before[start + self.step : stop + self.step] - before[start:stop]
            yield int(costs.argmin())
            start += len(data)

    def _table(self, mix: int) -> tuple[np.uint64, NDArray[np.bool_]]:
        """Return which hashes some gram has; what is not in both tables is no gram."""
        import numpy as np

        grams = np.fromiter(self.entries, np.uint64, len(self.entries))
        table = np.zeros(1 << _TABLE_BITS, bool)
        table[(grams * np.uint64(mix)) >> np.uint64(_SHIFT)] = True
        return np.uint64(mix), table

    def _grams_of(self, number: int) -> Iterator[tuple[int, int]]:
        data, first = self._strings[number], self._first[number]
        for offset in range(first, first + self.step):
            yield int.from_bytes(data[offset : offset + self.width], "little"), offset

    def drop(self, number: int) -> None:
        """Look for a string no more."""
        for gram, offset in self._grams_of(number):
            self.entries[gram].remove((number, offset))

    def hits(self, data: bytes) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield the offsets in ``data`` at which a gram lies, and whose it is."""
        import numpy as np

        (mix, table), (other_mix, other) = self._tables
        shift = np.uint64(_SHIFT)
        kind = "<u4" if self.width == 4 else "<u8"
        for start in range(0, self.width, self.step):
            count = (len(data) - start) // self.width
            if count <= 0:
                continue
            words = np.frombuffer(data, kind, count, start).astype(np.uint64, copy=False)
            places = np.flatnonzero(table[(words * mix) >> shift])
            places = places[other[(words[places] * other_mix) >> shift]]
            for place, gram in zip(places.tolist(), words[places].tolist(), strict=True):
                if self.entries.get(gram):
                    yield place * self.width + start, self.entries[gram]


class ByteSearch:
    """Looks for many byte strings at once.

    Parameters
    ----------
    wanted : sequence of bytes
        What to look for, each of ``LEAST`` bytes or more.
    most : int
        How often one is reported; then it is not looked for any more, so that what is everywhere
        costs no more than what is rare.

    Examples
    --------
    >>> search = ByteSearch([b"needle", b"a longer needle altogether"], most=2)
    >>> sorted(search.find(b"hay needle hay, a longer needle altogether"))
    [(0, 4), (0, 25), (1, 16)]
    >>> list(search.find(b"another needle"))
    []
    """

    def __init__(self, wanted: Sequence[bytes], *, most: int) -> None:
        self._wanted = wanted
        self._left = [most] * len(wanted)
        numbered = dict(enumerate(wanted))
        short = {number: data for number, data in numbered.items() if len(data) < _FROM_LONG}
        long = {number: data for number, data in numbered.items() if number not in short}
        self._grams = [
            _Grams(*shape, strings)
            for shape, strings in ((_SHORT, short), (_LONG, long))
            if strings
        ]

    def find(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield which string lies where: its number and its offset in ``data``."""
        for grams in self._grams:
            for at, entries in grams.hits(data):
                here = [
                    (number, at - offset)
                    for number, offset in entries
                    if at >= offset and data.startswith(self._wanted[number], at - offset)
                ]
                for number, _ in here:
                    self._left[number] -= 1
                    if self._left[number] == 0:
                        grams.drop(number)
                yield from here
