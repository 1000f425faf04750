"""The trace is in order of time, and no policy finds more than Belady's optimum."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mnemos.errors import InvalidInput


@pytest.fixture(scope="module")
def cache(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("page_cache")


def random_trace(seed: int, pages: int = 12, accesses: int = 400) -> list[int]:
    """Return pages asked for in runs, some far more often than others."""
    random = np.random.default_rng(seed)
    chosen = random.zipf(1.5, accesses) % pages
    return np.repeat(chosen, random.integers(1, 4, accesses))[:accesses].tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_true_bits_are_the_optimum_and_nothing_beats_it(cache, seed, size) -> None:
    trace = random_trace(seed)
    most = sum(cache.belady(trace, size))
    bits = cache.true_bits(trace, size)
    assert sum(bits) == most
    assert sum(cache.one_bit(trace, size, bits.__getitem__)) == most
    lru = sum(cache.least_recently_used(trace, size))
    assert max(lru, sum(cache.one_bit(trace, size, cache.LearnedBit(trace, size)))) <= most
    assert most - lru > 0 or size in (1, 12)
    for same in (True, False):
        assert sum(cache.one_bit(trace, size, lambda place, same=same: same)) == lru


def test_bits_are_learned_where_the_past_tells(cache) -> None:
    """Pages asked for once flood the cache between two returns of the others."""
    trace: list[int] = []
    for turn in range(300):
        trace += [turn % 4, 1000 + 3 * turn, 1001 + 3 * turn]
    size = 6
    lru = sum(cache.least_recently_used(trace, size))
    learned = sum(cache.one_bit(trace, size, cache.LearnedBit(trace, size)))
    assert lru == 0
    assert learned > 0.8 * sum(cache.belady(trace, size)) > 200


def test_bits_know_nothing_of_what_comes(cache) -> None:
    trace = random_trace(9)
    other = [*trace[:200], *random_trace(10)[200:]]
    one, two = cache.LearnedBit(trace, 4), cache.LearnedBit(other, 4)
    assert [one(place) for place in range(200)] == [two(place) for place in range(200)]


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write the two sets that are no tasks, invented, in their published shapes."""
    turn = {"query": "Is the ferry late?", "response": "By an hour."}
    people = {
        name: {"history": {"2023-05-01": [turn], "2023-05-03": [turn, turn]}}
        for name in ("Ilse", "Tomek")
    }
    write(tmp_path / "memorybank_siliconfriend" / "en" / "memory_bank_en.json", people)
    said = [{"role": "user", "content": "I keep goats."}]
    haystack = {
        "question_id": "q1",
        "haystack_dates": ["2023/05/02 (Tue) 02:21", "2023-05-04T06:13:00"],
        "haystack_sessions": [said * 3, said],
    }
    write(tmp_path / "longmemeval_partial" / "instances.jsonl", haystack)
    return tmp_path


def test_sessions_lie_in_order_of_time(cache, data) -> None:
    sessions = cache.in_time([*cache.of_memorybank(data), *cache.of_longmemeval(data)])
    assert all(one.begins <= other.begins for one, other in pairwise(sessions))
    assert sessions[2].begins == datetime(2023, 5, 2, 2, 21, tzinfo=UTC)
    assert [session.user.partition("/")[0] for session in sessions] == [
        *["memorybank"] * 2,
        "longmemeval",
        *["memorybank"] * 2,
        "longmemeval",
    ]
    trace = cache.trace_of(sessions, by_speaker=False)
    assert trace[:7] == [0, 0, 1, 1, 2, 2, 2]
    assert len(trace) == 2 * 2 + 3 + 2 * 4 + 1


def test_a_page_may_be_a_correspondents(cache) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    session = cache.Session(user="ana", begins=moment, speakers=("Ben", "Cleo", "Ben"))
    assert cache.trace_of([session], by_speaker=True) == [0, 1, 0]
    assert cache.trace_of([session], by_speaker=False) == [0, 0, 0]


def test_rates_tell_returns_from_runs(cache) -> None:
    found = cache.rates([1, 1, 2, 1], [False, True, False, True])
    assert (found.every, found.returning) == (50, pytest.approx(100 / 3))


def test_what_is_there_is_measured_and_what_is_not_is_named(cache, data, capsys) -> None:
    cache.main(["--data", str(data)])
    printed = capsys.readouterr()
    left_out = [line for line in printed.err.splitlines() if line.startswith("  left out: the ")]
    assert [line.split()[3] for line in left_out] == [
        "LoCoMo",
        "LifeBench",
        "DeepMemEval",
        "MADial-Bench",
    ]
    heads = [line for line in printed.out.splitlines() if "accesses" in line]
    assert heads[0].startswith("| a page per user: 3 pages, 16 accesses | LRU |")
    # Three users in turn, twice: with room for two, LRU always drops the one that comes next.
    assert "| 50%: 2 | 62.5 (0.0) | 62.5 (0.0) | 75.0 (33.3) |" in printed.out
    with pytest.raises(InvalidInput, match="holds none of the sets"):
        cache.main(["--data", str(data / "nothing")])
