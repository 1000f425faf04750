"""Pages made by hand, for tests of scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from mnemos.kernel.arrays import PageArrays, Vectors
from mnemos.kernel.postings import encode_terms, invert
from mnemos.kernel.schema import ALIVE, TailRow
from mnemos.kernel.tokens import count_terms, name_hash, speaker_hash

COLUMNS = TailRow._fields[TailRow._fields.index("born") : TailRow._fields.index("terms")]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a page, as a test writes it."""

    text: str = ""
    session: str | None = None
    speaker: str | None = None
    at: int = 0
    vector: Sequence[float] | None = None


MakePage = Callable[..., PageArrays]


def build(lines: Sequence[Line], *, dim: int = 0, block: int = 3) -> PageArrays:
    """Return a page of lines, born 1, 2, 3 …, posting lists in blocks of so many rows."""
    columns = np.zeros((len(lines), len(COLUMNS)), np.int64, order="F")
    vectors = np.zeros((len(lines), dim), np.float32) if dim else None
    terms: list[bytes] = []
    for place, line in enumerate(lines):
        counts = count_terms(line.text)
        terms.append(encode_terms(counts))
        row = {
            "born": place + 1,
            "cube": place + 1,
            "content": place + 1,
            "session": name_hash(line.session),
            "speaker": speaker_hash(line.speaker),
            "at": line.at,
            "expires": ALIVE,
            "length": sum(counts.values()),
        }
        columns[place] = [row.get(name, 0) for name in COLUMNS]
        if vectors is not None and line.vector is not None:
            vectors[place] = line.vector
    blocks = tuple(
        (first, invert(terms[first : first + block])) for first in range(0, len(lines), block)
    )
    dead: NDArray[np.int64] = np.full(len(lines), ALIVE, np.int64)
    stack = None if vectors is None else Vectors([(vectors, None)])
    return PageArrays(columns, dead, stack, blocks)


@pytest.fixture(scope="session")
def make_page() -> MakePage:
    return build


@pytest.fixture(scope="session")
def line() -> type[Line]:
    return Line
