"""What a shorter form of vectors costs: bytes against recall@10 and the time of a search.

    python benchmarks/vector_codecs.py --data PATH --rows 100000

Real vectors are those of LoCoMo's turns, or without ``--data`` those of the shipped conversation;
questions are always real. Recall is the share of the exact float32 top ten that a codec finds,
among the real vectors alone and among ``--rows`` made of them (``PerturbedVectors``). CPU
milliseconds are of a whole search of the latter in numpy, one thread: scores, the choice of the
best and, where told, rescoring; codecs take turns at every question. ``scanned`` are the bytes a
search reads of every vector; rescoring reads 4 bytes per dimension of the best few besides, which
have to be kept somewhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from generator import BLOCK, Floats, PerturbedVectors, real_vectors
from numpy.typing import NDArray

from mnemos.errors import InvalidInput

K = 10
SLICE = 1_024
"""Rows decoded together: 384 float32 of each fit into a core's second cache."""

Codes = NDArray[Any]


class Codec(Protocol):
    """A shorter form of vectors; what it must know of them it learns from a sample when made."""

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        """Return the parts of the codes of ``(n, dim)`` vectors, each part ``(n, …)``."""
        ...

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        """Return one number per row, ``(n,)``: the higher, the nearer to the query, ``(dim,)``."""
        ...


def _sliced(codes: Codes, decode: Callable[[Codes, Floats], object], query: Floats) -> Floats:
    """Return ``decoded @ query``, decoding a slice at a time into one buffer."""
    found = np.empty(len(codes), np.float32)
    buffer = np.empty((SLICE, codes.shape[1]), np.float32)
    for begin in range(0, len(codes), SLICE):
        part = codes[begin : begin + SLICE]
        decode(part, buffer[: len(part)])
        np.dot(buffer[: len(part)], query, out=found[begin : begin + SLICE])
    return found


def _widen(part: Codes, buffer: Floats) -> None:
    np.copyto(buffer, part)


class Float32:
    """The vectors as they are."""

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        return (vectors,)

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        return codes[0] @ query


class Float16:
    """Half precision."""

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        return (vectors.astype(np.float16),)

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        return _sliced(codes[0], _widen, query)


class Int8:
    """Whole numbers from -127 to 127, and one scale for each vector."""

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12).astype(np.float32) / 127
        return np.rint(vectors / scales[:, None]).astype(np.int8), scales

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        return _sliced(codes[0], _widen, query) * codes[1]


class Binary:
    """One bit for the sign of each coordinate, compared by how many differ.

    ``centred`` takes the mean of the sample off first: where vectors lean to one side, the bare
    signs of many coordinates say nothing.
    """

    def __init__(self, sample: Floats, *, centred: bool) -> None:
        self._mean = sample.mean(axis=0) if centred else np.zeros(sample.shape[1], np.float32)

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        bits = np.packbits(vectors > self._mean, axis=1)
        whole = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))  # of words of 64 bits
        return (whole.view(np.uint64),)

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        (asked,) = self.encode(query[None])
        found = np.empty(len(codes[0]), np.float32)
        for begin in range(0, len(found), SLICE):
            differ = np.bitwise_count(codes[0][begin : begin + SLICE] ^ asked)
            np.negative(differ.sum(axis=1, dtype=np.int16), out=found[begin : begin + SLICE])
        return found


def e4m3() -> Floats:
    """Return the 256 values of the 8-bit float e4m3 (OCP FP8, 2023), its two NaNs as ±448.

    >>> table = e4m3()
    >>> [float(table[code]) for code in (0x00, 0x01, 0x38, 0x7E, 0xB8)]
    [0.0, 0.001953125, 1.0, 448.0, -1.0]
    """
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    normal = (8 + mantissa) * 2.0 ** (exponent - 10.0)
    size = np.where(exponent == 0, mantissa * 2.0**-9, normal)
    return (np.where(code & 128, -1, 1) * np.minimum(size, 448)).astype(np.float32)


class ReducedFloat8:
    """The coordinates along the sample's directions of greatest variance, in eight bits each.

    The mean is taken off first; it adds the same to every score of a query.
    """

    def __init__(self, sample: Floats, dim: int = 128) -> None:
        self._mean = sample.mean(axis=0)
        centred = (sample - self._mean).astype(np.float64)
        basis = np.linalg.eigh(centred.T @ centred).eigenvectors[:, ::-1][:, :dim]
        self._basis = np.ascontiguousarray(basis, np.float32)
        largest = np.abs((sample - self._mean) @ self._basis).max()
        self._scale = np.float32(448 / max(float(largest), 1e-12))
        self._table = e4m3()
        order = np.argsort(self._table, kind="stable")
        values = self._table[order]
        self._order = order.astype(np.uint8)
        self._between = (values[1:] + values[:-1]) / 2

    def encode(self, vectors: Floats) -> tuple[Codes, ...]:
        reduced = (vectors - self._mean) @ self._basis * self._scale
        return (self._order[np.searchsorted(self._between, reduced)],)

    def scores(self, codes: tuple[Codes, ...], query: Floats) -> Floats:
        return _sliced(codes[0], self._look_up, query @ self._basis)

    def _look_up(self, part: Codes, buffer: Floats) -> None:
        # The mode that checks nothing writes straight into the buffer; eight bits are in range.
        np.take(self._table, part, out=buffer, mode="clip")


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """Encoded vectors, and how many of the best are rescored from float32; 0 trusts the codes."""

    name: str
    codec: Codec
    codes: tuple[Codes, ...]
    rescored: int

    def bytes(self) -> int:
        """Return the bytes of one vector's codes."""
        return sum(part.nbytes for part in self.codes) // len(self.codes[0])

    def search(self, exact: Floats, query: Floats) -> NDArray[np.intp]:
        """Return the places of the ten nearest, in no order."""
        scores = self.codec.scores(self.codes, query)
        if not self.rescored:
            return best(scores, K)
        places = best(scores, self.rescored)
        return places[best(exact[places] @ query, K)]


def best(scores: Floats, k: int) -> NDArray[np.intp]:
    """Return the places of the highest scores, in no order."""
    return np.argpartition(scores, -k)[-k:] if len(scores) > k else np.arange(len(scores))


def searches(vectors: Floats) -> list[Searched]:
    """Encode vectors with every codec; those that learn do so from the first block."""
    sample = vectors[:BLOCK]
    signs, centred = Binary(sample, centred=False), Binary(sample, centred=True)
    reduced = ReducedFloat8(sample)
    plans: list[tuple[str, Codec, tuple[int, ...]]] = [
        ("float32", Float32(), (0,)),
        ("float16", Float16(), (0,)),
        ("int8", Int8(), (0, 64)),
        ("binary", signs, (0, 200)),
        ("binary, centred", centred, (0, 200)),
        ("PCA 128, float8", reduced, (0, 64, 200)),
    ]
    return [
        Searched(
            name=f"{name}, best {rescored} rescored" if rescored else name,
            codec=codec,
            codes=codes,
            rescored=rescored,
        )
        for name, codec, depths in plans
        for codes in [encoded(codec, vectors)]
        for rescored in depths
    ]


def encoded(codec: Codec, vectors: Floats) -> tuple[Codes, ...]:
    """Return the codes of all vectors, encoded a block at a time."""
    blocks = [
        codec.encode(vectors[begin : begin + BLOCK]) for begin in range(0, len(vectors), BLOCK)
    ]
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one codec took and found."""

    name: str
    bytes: int
    recall: float
    cpu_ms: float


def measure(vectors: Floats, questions: Floats) -> list[Measured]:
    """Return recall against exact search, and the median CPU time, of every codec."""
    if len(vectors) < K or not len(questions):
        raise InvalidInput(f"{len(vectors)} vectors, {len(questions)} questions; give {K} and 1")
    rivals = searches(vectors)
    hits = [0] * len(rivals)
    spent: list[list[float]] = [[] for _ in rivals]
    for query in questions:
        exact = set(best(vectors @ query, K).tolist())
        for place, rival in enumerate(rivals):
            begin = time.process_time()
            found = rival.search(vectors, query)
            spent[place].append((time.process_time() - begin) * 1000)
            hits[place] += len(exact.intersection(found.tolist()))
    return [
        Measured(
            name=rival.name,
            bytes=rival.bytes(),
            recall=100 * hit / (K * len(questions)),
            cpu_ms=statistics.median(times),
        )
        for rival, hit, times in zip(rivals, hits, spent, strict=True)
    ]


def table(real: Sequence[Measured], many: Sequence[Measured], counts: tuple[int, int]) -> str:
    """Return both measurements side by side, in Markdown."""
    lines = [
        f"| codec | bytes scanned | recall@10 of {counts[0]:,} real | of {counts[1]:,} "
        "| CPU ms | of float32 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {few.name} | {few.bytes:,} | {few.recall:.1f} | {more.recall:.1f} "
        f"| {more.cpu_ms:.2f} | {more.cpu_ms / many[0].cpu_ms:.2f} |"
        for few, more in zip(real, many, strict=True)
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="where LoCoMo lies; without it, Harbour")
    parser.add_argument("--rows", type=int, default=100_000, help="vectors to search")
    parser.add_argument("--questions", type=int, default=200, help="how many to ask at most")
    options = parser.parse_args(arguments)
    real = real_vectors(options.data)
    questions = real.questions[:: max(len(real.questions) // options.questions, 1)]
    questions = questions[: options.questions]
    print(f"  {real.source}: {len(real.turns)} vectors, {len(questions)} asked", file=sys.stderr)
    few = measure(real.turns, questions)
    many = measure(PerturbedVectors(real.turns).rows(options.rows), questions)
    print(table(few, many, (len(real.turns), options.rows)))


if __name__ == "__main__":
    main()
