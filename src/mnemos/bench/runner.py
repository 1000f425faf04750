"""Runs a task through the public calls of :class:`mnemos.Memory` and measures it.

Each conversation is remembered in a vault file of its own, in a temporary folder. Costs:

===========================  ====================================================================
``search_ms_p50``, ``_p95``  wall milliseconds of a search for the depth measured, by its trace
``search_alone_ms_p50``, …   the same without embedding the question
``ingest_cpu_ms``            processor milliseconds to remember one turn, over all threads
``ingest_alone_cpu_ms``      the same without embedding it
``bytes_per_memory``         size of the closed vault by the number of memories
``seconds``                  wall seconds of the whole run
===========================  ====================================================================
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from mnemos import __version__
from mnemos.app.config import read_embedder
from mnemos.app.memory import Memory
from mnemos.bench.bm25_floor import BM25Floor, document_text
from mnemos.bench.measuring import Seeded, SetClock, Timed, take
from mnemos.bench.metrics import LEVEL, RESAMPLES
from mnemos.bench.record import Found, QuestionResult, RunRecord
from mnemos.bench.summary import Cuts, summarise
from mnemos.bench.task import Dialogue, Question, end_of
from mnemos.bench.tasks import get_task
from mnemos.errors import InvalidInput
from mnemos.kernel.ports import Embedder, TokenCounter
from mnemos.retrieval.pack import estimate_tokens
from mnemos.types import Draft, Text

DEPTH = 50
"""Hits asked for, unless a cut lies deeper."""

SESSIONS = 5
"""Sessions that session recall counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """How a run measures."""

    budgets: tuple[int, ...]
    cuts: Cuts
    count: TokenCounter
    embedder: Timed | None
    random: Random


@dataclass(slots=True)
class _Tally:
    """What a run has counted so far."""

    results: list[QuestionResult] = field(default_factory=list[QuestionResult])
    memories: int = 0
    bytes: int = 0
    cpu: float = 0.0
    embedding_cpu: float = 0.0
    ranker: str = ""


def run(
    task: str,
    *,
    data: Path | None = None,
    embedder: Embedder | str | None = "auto",
    seed: int = 0,
    ks: Sequence[int] = (5, 10, 20, 50),
    budgets: Sequence[int] = (500, 1_000, 2_000, 4_000),
    count: TokenCounter = estimate_tokens,
    progress: Callable[[str], None] | None = None,
) -> RunRecord:
    """Measure a task.

    Parameters
    ----------
    task : str
        Name of a file in ``bench/tasks``.
    data : Path or None
        Where its data lies; None is the shipped data.
    embedder : Embedder, ``"auto"`` or None
        As :class:`mnemos.Memory` takes it; None recalls by words only.
    seed : int
        Of the intervals; ranks do not depend on it.
    ks : sequence of int
        Ranks at which results are cut.
    budgets : sequence of int
        Tokens of the packed contexts.
    count : callable
        Counts tokens; the record names it.
    progress : callable or None
        Called with a line for every conversation.

    Raises
    ------
    InvalidInput
        If there is no such task, or no data where it was looked for.
    """
    began = time.perf_counter()
    chosen = get_task(task)
    cuts = Cuts(_positive("ks", ks), max(DEPTH, *ks, 1))
    budgets = _positive("budgets", budgets)
    read = chosen.load(data)
    model = read_embedder(embedder).get()
    timed = None if model is None else Timed(model)
    plan = _Plan(budgets=budgets, cuts=cuts, count=count, embedder=timed, random=Random(seed))
    tally = _measure_all(read.dialogues, plan, progress)
    rows = summarise(chosen, tally.results, plan.cuts, seed=seed)
    return RunRecord(
        task=task,
        data=None if data is None else str(data),
        data_sha256=read.sha256,
        seed=seed,
        parameters=_parameters(plan),
        ranker=tally.ranker,
        embedder=None if model is None else model.fingerprint,
        version=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        dialogues=len(read.dialogues),
        memories=tally.memories,
        quality=rows.quality,
        floor=rows.floor,
        gain=rows.gain,
        cost=_cost(tally) | {"seconds": round(time.perf_counter() - began, 1)},
        questions=tuple(tally.results),
    )


def _positive(name: str, numbers: Sequence[int]) -> tuple[int, ...]:
    if not numbers or min(numbers) < 1:
        raise InvalidInput(f"{name}={list(numbers)!r}; give at least one number, all above 0")
    return tuple(sorted(set(numbers)))


def _parameters(plan: _Plan) -> dict[str, object]:
    count = plan.count
    return {
        "ks": list(plan.cuts.ks),
        "budgets": list(plan.budgets),
        "depth": plan.cuts.depth,
        "resamples": RESAMPLES,
        "level": LEVEL,
        "tokens": getattr(count, "__name__", type(count).__name__),
    }


def _measure_all(
    dialogues: Sequence[Dialogue], plan: _Plan, progress: Callable[[str], None] | None
) -> _Tally:
    """Measure every conversation in a folder of its own, gone afterwards."""
    tally = _Tally()
    with tempfile.TemporaryDirectory(prefix="mnemos-bench-") as folder:
        for number, dialogue in enumerate(dialogues, start=1):
            if progress is not None:
                turns, asked = len(dialogue.drafts), len(dialogue.questions)
                place = f"{number} of {len(dialogues)}"
                progress(f"{place}: {dialogue.name}, {turns} turns, {asked} questions")
            own = Path(folder) / str(number)
            own.mkdir()
            _measure(dialogue, own, plan, tally)
    return tally


def _measure(dialogue: Dialogue, folder: Path, plan: _Plan, tally: _Tally) -> None:
    """Remember one conversation in an empty folder and ask all its questions."""
    clock = SetClock(end_of(dialogue.drafts))
    seeded = Seeded(plan.random)
    memory = Memory(
        folder / "vault.db", embedder=plan.embedder, clock=clock, ids=seeded, entropy=seeded
    )
    subject = _Asking(dialogue, memory, plan)
    with memory:
        cpu = time.process_time()
        receipt = memory.add_many(dialogue.drafts, user_id=dialogue.name)
        tally.cpu += time.process_time() - cpu
        tally.embedding_cpu += take(plan.embedder).cpu
        for question in dialogue.questions:
            clock.moment = question.asked_at
            tally.results.append(subject.ask(question, tally))
    tally.memories += len(receipt.ids)
    tally.bytes += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class _Asking:
    """Asks questions about one conversation, of Mnemos and of the floor."""

    def __init__(self, dialogue: Dialogue, memory: Memory, plan: _Plan) -> None:
        self._name = dialogue.name
        self._memory = memory
        self._plan = plan
        self._turns = [draft.header.external_id or "" for draft in dialogue.drafts]
        self._drafts = dict(zip(self._turns, dialogue.drafts, strict=True))
        self._floor = BM25Floor([document_text(draft) for draft in dialogue.drafts])

    def ask(self, question: Question, tally: _Tally) -> QuestionResult:
        depth, embedder = self._plan.cuts.depth, self._plan.embedder
        take(embedder)
        hits = self._memory.search(question.text, user_id=self._name, top_k=depth)
        embedding = take(embedder).wall * 1_000
        tally.ranker = hits.trace.ranker or ""
        ours = [hit.cube.header.external_id or "" for hit in hits]
        theirs = [self._turns[place] for place in self._floor.search(question.text, depth)]
        return QuestionResult(
            id=question.id,
            category=question.category,
            gold=question.gold,
            ours=self._judge(question, ours),
            floor=self._judge(question, theirs),
            contested=bool(question.stale),
            kept=self._kept(question) if question.gold else {},
            ms=round(sum(step.ms for step in hits.trace.steps), 3),
            embedding_ms=round(embedding, 3),
        )

    def _judge(self, question: Question, found: Sequence[str]) -> Found:
        """Return at which ranks the gold stands; a turn that restates gold counts as it."""
        turns = [question.restated.get(turn, turn) for turn in found]
        rank = {turn: place for place, turn in reversed(list(enumerate(turns, start=1)))}
        sessions = list(dict.fromkeys(map(self._session, turns)))[:SESSIONS]
        wanted = {self._session(turn) for turn in question.gold}
        return Found(
            ranks=tuple(rank.get(turn) for turn in question.gold),
            session_recall=len(wanted.intersection(sessions)) / max(len(wanted), 1),
            stale=min((rank[turn] for turn in question.stale if turn in rank), default=None),
        )

    def _session(self, turn: str) -> str | None:
        return self._drafts[turn].header.run_id

    def _kept(self, question: Question) -> Mapping[str, float]:
        """Return for each budget the share of the gold whose whole words are in the context."""
        spellings = [
            [turn, *(other for other, meant in question.restated.items() if meant == turn)]
            for turn in question.gold
        ]
        kept: dict[str, float] = {}
        for budget in self._plan.budgets:
            text = self._memory.context(
                question.text, user_id=self._name, budget=budget, count=self._plan.count
            ).text
            there = [
                any(_stands(self._drafts[turn], text) for turn in turns) for turns in spellings
            ]
            kept[str(budget)] = sum(there) / len(there)
        return kept


def _stands(draft: Draft, context: str) -> bool:
    """Return whether a turn's words and caption stand in a context, whole."""
    words = draft.payload.text.strip() if isinstance(draft.payload, Text) else ""
    return words in context and (draft.header.caption or "") in context


def _cost(tally: _Tally) -> dict[str, float]:
    memories = max(tally.memories, 1)
    cost = {
        "ingest_cpu_ms": tally.cpu * 1_000 / memories,
        "ingest_alone_cpu_ms": (tally.cpu - tally.embedding_cpu) * 1_000 / memories,
        "bytes_per_memory": tally.bytes / memories,
    }
    whole = [result.ms for result in tally.results]
    alone = [result.ms - result.embedding_ms for result in tally.results]
    for name, times in (("search_ms", whole), ("search_alone_ms", alone)):
        for percent in (50, 95):
            cost[f"{name}_p{percent}"] = float(np.percentile(times, percent)) if times else 0.0
    return {name: round(value, 3) for name, value in cost.items()}
