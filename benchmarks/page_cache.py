"""Which pages to keep in memory: least recently used, one-bit predictions, and the best there is.

    python benchmarks/page_cache.py --data PATH

The trace is that of the messages of published sets with dates (LoCoMo, LifeBench, DeepMemEval,
MADial-Bench, MemoryBank, LongMemEval), in order of time, those of a session together: one access
for each message to the page of whom it belongs to, a user, or a user's correspondent where the set
names them. Sessions of one day without an hour lie in an order drawn from a seed.

One-bit predictions are the discard predictions of Antoniadis et al., "Paging with Succinct
Predictions" (ICML 2023): every page carries the bit "Belady's optimum would keep it until it is asked
for again"; a page without it leaves before any that has it, least recently used first. With true bits
that is the optimum. Here the bit is learned as the trace goes: what the optimum would have done is
worked out for the past (as Jain and Lin, "Back to the Future", ISCA 2016), and told from the page's
last gaps and from how long a run its last access was part of.
"""

from __future__ import annotations

import argparse
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mnemos.bench.set_files import FileSet, find_set, published_shape, read_json, read_rows
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput

SHARES = (0.01, 0.05, 0.10, 0.25, 0.50)
TASKS = ("locomo", "lifebench", "deepmemeval", "madial")
PARALLEL = frozenset({"lifebench/zh/leimingxuan", "madial/en"})
"""Translations of another's messages: the same moments twice would be no second user."""

MEMORYBANK = FileSet(
    name="MemoryBank",
    folder="memorybank_siliconfriend",
    patterns=("memory_bank_*.json", "*/memory_bank_*.json"),
    published="get eval_data of github.com/zhongwanjun/MemoryBank-SiliconFriend (MIT)",
)
LONGMEMEVAL = FileSet(
    name="LongMemEval",
    folder="longmemeval_partial",
    patterns=("instances.jsonl", "longmemeval_*.json"),
    published="get longmemeval_s.json as github.com/xiaowu0162/LongMemEval says (MIT)",
)


# ------------------------------------------------------------------------------------- the trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Messages of one user that belong together: when they begin, and with whom each is."""

    user: str
    begins: datetime
    speakers: tuple[str, ...]


def of_task(task: str, data: Path) -> Iterator[Session]:
    """Yield the sessions of a set that is a task of ``mnemos bench``."""
    for dialogue in get_task(task).load(data).dialogues:
        user = f"{task}/{dialogue.name}"
        if user in PARALLEL:
            continue
        sessions: dict[str, list[tuple[datetime, str]]] = {}
        for draft in dialogue.drafts:
            header = draft.header
            if header.happened_at is not None:
                turn = (header.happened_at, header.speaker or "")
                sessions.setdefault(str(header.run_id), []).append(turn)
        for turns in sessions.values():
            speakers = tuple(speaker for _, speaker in turns)
            yield Session(user=user, begins=min(turns)[0], speakers=speakers)


def of_memorybank(data: Path) -> Iterator[Session]:
    """Yield a session for each user and day."""
    for path in find_set(data, MEMORYBANK):
        with published_shape(path.name):
            people: Mapping[str, Any] = read_json(path)
            for name, person in people.items():
                for day, turns in person["history"].items():
                    begins = datetime.fromisoformat(day).replace(tzinfo=UTC)
                    speakers = ("",) * (2 * len(turns))
                    yield Session(user=f"memorybank/{name}", begins=begins, speakers=speakers)


def of_longmemeval(data: Path) -> Iterator[Session]:
    """Yield the sessions of each haystack, a user of its own."""
    for path in find_set(data, LONGMEMEVAL):
        with published_shape(path.name):
            for row in read_rows(path):
                user = f"longmemeval/{row['question_id']}"
                for date, turns in zip(
                    row["haystack_dates"], row["haystack_sessions"], strict=True
                ):
                    yield Session(user=user, begins=_moment(date), speakers=("",) * len(turns))


def _moment(date: str) -> datetime:
    """Return the moment of ``2023/05/20 (Sat) 02:21``, or of ISO 8601 as repackagers write it."""
    day, _, hour = date.partition(" (")
    written = f"{day.replace('/', '-')} {hour.rpartition(' ')[2]}" if hour else date
    found = datetime.fromisoformat(written)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def in_time(sessions: Iterable[Session], *, seed: int = 5) -> list[Session]:
    """Return sessions in order of time, those that begin together in any order."""
    random = Random(seed)
    keyed = [(session.begins, random.random(), session) for session in sessions]
    return [session for _, _, session in sorted(keyed, key=lambda item: item[:2])]


def trace_of(sessions: Sequence[Session], *, by_speaker: bool) -> list[int]:
    """Return the number of the page that each message asks for."""
    numbers: dict[tuple[str, str], int] = {}
    return [
        numbers.setdefault((session.user, speaker if by_speaker else ""), len(numbers))
        for session in sessions
        for speaker in session.speakers
    ]


# ---------------------------------------------------------------------------------- what to keep

Hits = list[bool]


def least_recently_used(trace: Sequence[int], size: int) -> Hits:
    """Return which accesses find their page, when the one unused for longest leaves.

    >>> least_recently_used([1, 2, 1, 3, 2], 2)
    [False, False, True, False, False]
    """
    held: OrderedDict[int, None] = OrderedDict()
    hits: Hits = []
    for page in trace:
        hits.append(page in held)
        held[page] = None
        held.move_to_end(page)
        if len(held) > size:
            held.popitem(last=False)
    return hits


def belady(trace: Sequence[int], size: int) -> Hits:
    """Return which accesses find their page, when the one asked for latest leaves (Belady 1966).

    >>> belady([1, 2, 1, 3, 2], 2)
    [False, False, True, False, True]
    """
    after = next_uses(trace)
    held: dict[int, int] = {}
    hits: Hits = []
    for place, page in enumerate(trace):
        hits.append(page in held)
        if page not in held and len(held) == size:
            del held[max(held, key=held.__getitem__)]
        held[page] = after[place]
    return hits


def next_uses(trace: Sequence[int]) -> list[int]:
    """Return for each access the place of the next one to its page, or the end.

    >>> next_uses([1, 2, 1])
    [2, 3, 3]
    """
    seen: dict[int, int] = {}
    after = [len(trace)] * len(trace)
    for place in reversed(range(len(trace))):
        after[place] = seen.get(trace[place], len(trace))
        seen[trace[place]] = place
    return after


def one_bit(trace: Sequence[int], size: int, predict: Callable[[int], bool]) -> Hits:
    """Return which accesses find their page, when those predicted not to be needed leave first.

    Parameters
    ----------
    trace : sequence of int
        The pages asked for.
    size : int
        Pages that fit.
    predict : callable
        The bit of the page just asked for, given the place of the access; called in order.

    Examples
    --------
    >>> one_bit([1, 2, 1, 3, 2], 2, lambda place: place != 2)
    [False, False, True, False, True]
    """
    unneeded: OrderedDict[int, None] = OrderedDict()
    needed: OrderedDict[int, None] = OrderedDict()
    hits: Hits = []
    for place, page in enumerate(trace):
        found = page in unneeded or page in needed
        hits.append(found)
        if found:
            (unneeded if page in unneeded else needed).pop(page)
        elif len(unneeded) + len(needed) == size:
            (unneeded or needed).popitem(last=False)
        (needed if predict(place) else unneeded)[page] = None
    return hits


class Optimum:
    """Which accesses Belady's optimum would have found, told as they come.

    A page is kept from one access to the next if at each access between them at most ``size - 2``
    other pages are kept so, one place being taken by the page asked for (Jain and Lin 2016).
    """

    def __init__(self, accesses: int, size: int) -> None:
        self._kept = np.zeros(accesses, np.int32)
        self._most = size - 1

    def keeps(self, before: int, now: int) -> bool:
        """Return whether a page asked for at two places is kept between; to call in order."""
        between = self._kept[before + 1 : now]
        if len(between) and between.max() >= self._most:
            return False
        between += 1
        return True


def true_bits(trace: Sequence[int], size: int) -> list[bool]:
    """Return for each access whether the optimum keeps its page until the next one.

    >>> true_bits([1, 2, 1, 3, 2], 2)
    [True, True, False, False, False]
    """
    optimum = Optimum(len(trace), size)
    bits = [False] * len(trace)
    last: dict[int, int] = {}
    for place, page in enumerate(trace):
        if page in last:
            bits[last[page]] = optimum.keeps(last[page], place)
        last[page] = place
    return bits


class LearnedBit:
    """The bit of the page just asked for, from what the optimum did after accesses like it.

    Alike are accesses with the same length of run and the same two last gaps between runs, each
    in powers of two. A page that is not asked for again while eight times as many others as fit
    are counts as one the optimum would not have kept.
    """

    def __init__(self, trace: Sequence[int], size: int) -> None:
        self._trace = trace
        self._horizon = 8 * size
        self._optimum = Optimum(len(trace), size)
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._last: dict[int, int] = {}
        self._run: dict[int, int] = {}
        self._gaps: dict[int, tuple[int, int]] = {}
        self._kind: dict[int, tuple[int, ...]] = {}
        self._counts: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, place: int) -> bool:
        """Return the bit after the access at a place; places come one after the other."""
        page = self._trace[place]
        last = self._last.get(page, place)
        if page in self._recent:
            self._learn(page, kept=self._optimum.keeps(last, place))
        self._recent[page] = None
        self._recent.move_to_end(page)
        if len(self._recent) > self._horizon:
            self._learn(self._recent.popitem(last=False)[0], kept=False)
        self._last[page] = place
        gap = place - last
        if gap == 1:
            self._run[page] += 1
        else:
            self._run[page] = 1
            self._gaps[page] = (gap.bit_length(), self._gaps.get(page, (0, 0))[0])
        self._kind[page] = (self._run[page].bit_length(), *self._gaps[page])
        dropped, kept = self._counts.get(self._kind[page], (0, 0))
        return kept >= dropped

    def _learn(self, page: int, *, kept: bool) -> None:
        self._counts.setdefault(self._kind[page], [0, 0])[kept] += 1


# ------------------------------------------------------------------------------------- the report


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Hit rates, in per cent: of all accesses, and of those that come after another page's."""

    every: float
    returning: float


def rates(trace: Sequence[int], hits: Hits) -> Rates:
    """Return the hit rates of a policy."""
    first = [
        hit for place, hit in enumerate(hits) if place == 0 or trace[place] != trace[place - 1]
    ]
    return Rates(every=100 * sum(hits) / len(hits), returning=100 * sum(first) / len(first))


def compare(trace: Sequence[int], size: int) -> dict[str, Rates]:
    """Return what every policy reaches in a cache of so many pages."""
    found = {
        "LRU": least_recently_used(trace, size),
        "one bit": one_bit(trace, size, LearnedBit(trace, size)),
        "Belady": belady(trace, size),
    }
    return {name: rates(trace, hits) for name, hits in found.items()}


def table(trace: Sequence[int], title: str) -> str:
    """Return the hit rates at every size, in Markdown."""
    pages = len(set(trace))
    rows: list[str] = []
    names: list[str] = []
    for share in SHARES:
        size = max(round(share * pages), 1)
        found = compare(trace, size)
        names = list(found)
        cells = (f"{rate.every:.1f} ({rate.returning:.1f})" for rate in found.values())
        rows.append(f"| {share:.0%}: {size} | {' | '.join(cells)} |")
    head = f"| {title}: {pages} pages, {len(trace):,} accesses | {' | '.join(names)} |"
    return "\n".join([head, "| --- " * (len(names) + 1) + "|", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    data = parser.parse_args(arguments).data
    sessions: list[Session] = []
    tasks = [partial(of_task, task) for task in TASKS]
    for read in (*tasks, of_memorybank, of_longmemeval):
        try:
            sessions += list(read(data))  # all of a set, or nothing of it
        except InvalidInput as error:
            print(f"  left out: {error}", file=sys.stderr)
    if not sessions:
        raise InvalidInput(f"{data} holds none of the sets; the lines above say where they are")
    ordered = in_time(sessions)
    print(table(trace_of(ordered, by_speaker=False), "a page per user"))
    print()
    print(table(trace_of(ordered, by_speaker=True), "a page per correspondent"))


if __name__ == "__main__":
    main()
