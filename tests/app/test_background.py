"""Jobs as callers see them: looked at, run, retried, paused, waited for; budgets; compaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mnemos import Memory
from mnemos.errors import Conflict, InvalidInput, ModelError, NotFound
from mnemos.kernel import pages, schema, segments
from mnemos.kernel.changes import Add, Changes
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep import compaction, jobs
from mnemos.kernel.upkeep.budgets import BudgetInfo
from mnemos.kernel.upkeep.runner import JobReport
from mnemos.kernel.upkeep.upkeep_jobs import Freed
from mnemos.kernel.vault import Staged
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Receipt, Text

Open = Callable[..., Any]


@pytest.fixture
def open_kept(clock: SimClock, tmp_path: Path) -> Iterator[Open]:
    """Open handles that run jobs, on one file unless told otherwise."""
    opened: list[Any] = []

    def make(path: Any = None, *, background: str = "inline", **options: Any) -> Any:
        ports = {
            "clock": clock,
            "ids": SeededIds(len(opened)),
            "entropy": SeededEntropy(len(opened)),
            "embedder": HashEmbedder(),
        }
        path = path if path is not None else tmp_path / "vault.db"
        opened.append(Memory(path, background=background, **(ports | options)))
        return opened[-1]

    yield make
    for memory in opened:
        memory.close()


@pytest.fixture
def kept(open_kept: Open, path: str) -> Any:
    return open_kept(path)


def fail(work: Any) -> None:
    raise ModelError("the server is away")


def bury(memory: Any, clock: SimClock) -> int:
    """Let a job fail for the last time."""
    number = memory.enqueue_job("fail", {"n": 1})
    for _ in range(jobs.MOST_ATTEMPTS):
        memory.run_jobs()
        clock.advance(days=1)
    return number


def test_jobs_are_listed(kept: Any, clock: SimClock) -> None:
    assert kept.jobs() == []
    number = kept.enqueue_job("later", {"ids": ["a1"]}, user_id="ana", after=60)
    (job,) = kept.jobs("ready")
    assert (job.number, job.kind, job.scope, job.payload) == (
        number,
        "later",
        "user:ana",
        {"ids": ["a1"]},
    )
    assert job.due == clock.now() + timedelta(seconds=60)
    assert kept.jobs("dead") == []
    with pytest.raises(InvalidInput, match="allowed: ready, leased, dead"):
        kept.jobs("gone")


def test_a_job_of_ones_own(kept: Any) -> None:
    kept.add("I moved to Lisbon in March", user_id="ana")

    def summarise(work: Any) -> list[Staged]:
        draft = Draft(payload=Text(text=f"Ana said {work.payload['most']} things"))
        add = Add(id=work.vault.ids.fresh(), draft=draft)
        return [Staged(Changes(scope=work.scope(), changes=(add,)))]

    kept.register_job("summarise", summarise)
    kept.enqueue_job("summarise", {"most": 1}, user_id="ana")
    assert [cube.text for cube in kept.get_all(user_id="ana")] == [
        "I moved to Lisbon in March",
        "Ana said 1 things",
    ]
    assert {job.kind for job in kept.jobs()} <= {"vectors"}  # the summary came without its vector
    assert verify(kept._vault).problems == []
    for kind, handler, error in (
        ("summarise", fail, Conflict),
        ("vacuum", fail, Conflict),
        ("Two words", fail, InvalidInput),
        ("new", None, InvalidInput),
        ("new", "text", InvalidInput),
    ):
        with pytest.raises(error):
            kept.register_job(kind, handler)


def test_text_is_refused_in_a_payload(kept: Any) -> None:
    with pytest.raises(InvalidInput, match="leave text in the memories"):
        kept.enqueue_job("note", {"text": "Ana lives in Lisbon"})
    assert kept.jobs() == []


def test_dead_jobs_are_retried_and_dropped(kept: Any, clock: SimClock) -> None:
    kept.register_job("fail", fail)
    number = bury(kept, clock)
    (dead,) = kept.jobs("dead")
    assert (dead.number, dead.attempts, dead.error) == (
        number,
        jobs.MOST_ATTEMPTS,
        "ModelError: the server is away",
    )
    assert kept.stats().jobs_dead == 1
    kept.retry_job(number)
    assert kept.stats().jobs_dead == 0
    assert [(job.state, job.attempts) for job in kept.jobs()] == [("ready", 1)]  # tried at once
    with pytest.raises(Conflict, match="only a dead one"):
        kept.retry_job(number)
    kept.drop_job(number)
    for call in (kept.drop_job, kept.retry_job):
        with pytest.raises(NotFound):
            call(number)
        for wrong in (0, -1, "1", None, True, 1.0):
            with pytest.raises(InvalidInput):
                call(wrong)


def test_pausing_outlasts_the_handle(open_kept: Open) -> None:
    memory = open_kept()
    memory.register_job("work", lambda work: None)
    memory.pause_jobs("work")
    memory.enqueue_job("work")
    assert memory.run_jobs() == JobReport()
    memory.close()
    again = open_kept()
    again.register_job("work", lambda work: None)
    assert again.run_jobs() == JobReport()
    again.resume_jobs()
    assert again.jobs() == []
    again.pause_jobs()
    with pytest.raises(Conflict, match="resume them all"):
        again.resume_jobs("work")
    with pytest.raises(InvalidInput):
        again.pause_jobs("No kind")


def test_budgets_over_midnight(kept: Any, clock: SimClock) -> None:
    clock.set(datetime(2026, 3, 1, 12, tzinfo=UTC))
    free = kept.budget()
    assert free == BudgetInfo(
        calls=None, tokens=None, seconds=None, spent_calls=0, spent_tokens=0, spent_seconds=0
    )
    assert kept.budget(user_id="nobody") == free
    said = kept.set_budget(user_id="ana", calls=1, seconds=0.5)
    assert (said.calls, said.tokens, said.seconds) == (1, None, 0.5)
    ran: list[int] = []

    def costly(work: Any) -> None:
        work.spend(calls=1, tokens=10)
        ran.append(work.payload["n"])

    kept.register_job("costly", costly)
    for n in range(3):
        kept.enqueue_job("costly", {"n": n}, user_id="ana")
    kept.enqueue_job("costly", {"n": 9}, user_id="bo")
    assert ran == [0, 9]
    assert kept.budget(user_id="ana").spent_tokens == 10
    assert kept.budget().spent_calls == 2
    clock.advance(hours=12)
    kept.run_jobs()
    assert ran == [0, 9, 1]
    kept.set_budget(user_id="ana")
    clock.advance(days=1)
    kept.run_jobs()
    assert ran == [0, 9, 1, 2]


@pytest.mark.parametrize(
    "limits",
    [{"calls": -1}, {"calls": 1.5}, {"tokens": "9"}, {"seconds": -1}, {"seconds": float("nan")},
     {"seconds": True}, {"seconds": 86_401}, {"calls": True}],
)  # fmt: skip
def test_a_budget_is_a_number(kept: Any, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        kept.set_budget(**limits)


class Away(HashEmbedder):
    """An embedder that can be away."""

    away = False

    def embed(self, texts: Any, *, query: bool = False) -> Any:
        if self.away:
            raise ModelError("away")
        return super().embed(texts, query=query)


def test_waiting_for_the_vectors_of_a_write(open_kept: Open, path: str, clock: SimClock) -> None:
    embedder = Away()
    memory = open_kept(path, embedder=embedder)
    memory.add("with a vector", user_id="ana")
    embedder.away = True
    receipt = memory.add("the lantern by the harbour", user_id="ana")
    assert receipt.indexed == "lexical"
    (left,) = memory.wait(receipt, timeout=0)
    assert left.kind == "vectors"
    embedder.away = False
    clock.advance(seconds=5)
    assert memory.wait(receipt) == []
    assert not memory.stats().vectors_pending
    why = memory.search("the lantern by the harbour", user_id="ana")[0].why
    assert ("meaning", 1) in {(reason.signal, reason.rank) for reason in why}


def test_a_handle_without_embedder_leaves_vectors_to_others(open_kept: Open) -> None:
    open_kept().add("with a vector", user_id="ana")
    words = open_kept(embedder=None)
    receipt = words.add("without", user_id="ana")
    (left,) = words.wait(receipt, timeout=3600)  # says at once that nobody here will do it
    assert left.kind == "vectors"


def test_what_cannot_be_waited_for(kept: Any) -> None:
    with pytest.raises(InvalidInput, match="not that of a write"):
        kept.wait("receipt")
    with pytest.raises(InvalidInput, match="not that of a write"):
        kept.wait(Receipt(verb="add", ids=()))
    receipt = kept.add("x", user_id="ana")
    for timeout in (-1, "1", 90_000):
        with pytest.raises(InvalidInput):
            kept.wait(receipt, timeout=timeout)


def test_a_thread_brings_jobs_to_their_end_and_is_joined(open_kept: Open) -> None:
    memory = open_kept(background="thread")
    threads = threading.active_count()
    memory.add("nothing is due", user_id="ana")
    assert threading.active_count() == threads
    begun, go_on = threading.Event(), threading.Event()

    def handler(work: Any) -> None:
        begun.set()
        go_on.wait(60)

    memory.register_job("slow", handler)
    memory.enqueue_job("slow")
    assert begun.wait(60)
    memory.add("writing goes on meanwhile", user_id="ana")
    assert memory.jobs()[0].state == "leased"
    go_on.set()
    memory.close()
    assert threading.active_count() == threads


def test_nothing_is_run_where_jobs_are_off(open_kept: Open) -> None:
    memory = open_kept(background="off")
    memory.register_job("work", lambda work: None)
    memory.enqueue_job("work")
    memory.add("x", user_id="ana")
    assert len(memory.jobs()) == 1
    assert memory.run_jobs(1) == JobReport(done=1)
    for limit in (0, -1, "1"):
        with pytest.raises(InvalidInput):
            memory.run_jobs(limit)
    with pytest.raises(InvalidInput, match="thread, inline, off"):
        open_kept(":memory:", background="maybe")


def test_inside_a_transaction_there_are_no_jobs(kept: Any) -> None:
    kept.register_job("work", lambda work: None)
    with kept.begin() as tx:
        tx.add("staged", user_id="ana")
        for call in (
            lambda: tx.run_jobs(),
            lambda: tx.compact(),
            lambda: tx.enqueue_job("work"),
            lambda: tx.wait(Receipt(verb="add", ids=(), seq=1)),
        ):
            with pytest.raises(Conflict, match="on the memory itself"):
                call()
    assert len(kept.get_all(user_id="ana")) == 1


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 8)
    monkeypatch.setattr(segments, "SEAL_ROWS", 4)
    monkeypatch.setattr(pages, "SEAL_ROWS", 4)
    monkeypatch.setattr(compaction, "LEAST", 8)


WORDS = ("harbour", "lantern", "bicycle", "garden", "winter", "letter")


def fill(memory: Any, turns: int) -> list[str]:
    ids = [memory.add(f"{word} at first", user_id="ana").id for word in WORDS]
    for turn in range(turns):
        for word, id in zip(WORDS, ids, strict=True):
            memory.update(id, f"{word} told in turn {turn}")
    return ids


def test_compaction_happens_by_itself_and_search_stays_right(kept: Any, small_pages: None) -> None:
    ids = fill(kept, 6)
    stats = kept.stats()
    assert stats.history_rows > 12
    assert stats.ended_rows < 24
    assert stats.history_rows + stats.ended_rows == 36
    for word, id in zip(WORDS, ids, strict=True):
        found = kept.search(f"the {word}", user_id="ana")[0]
        assert (found.id, found.text) == (id, f"{word} told in turn 5")
        assert len(kept.history(id)) == 7
    assert verify(kept._vault).problems == []


def test_compacting_now(open_kept: Open, path: str, small_pages: None) -> None:
    memory = open_kept(path, background="off")
    fill(memory, 4)
    before = memory.stats()
    assert before.history_rows == 0
    assert before.jobs_ready == 1
    freed = memory.compact()
    assert (freed.pages, freed.rows) == (1, memory.stats().history_rows)
    assert freed.rows > 12
    assert memory.run_jobs().done == 1
    assert memory.compact().rows == 0
    fill(memory, 1)
    assert memory.compact(full=True).pages == 1
    assert memory.stats().free_bytes == 0
    assert verify(memory._vault).problems == []


def test_compacting_gives_the_room_of_what_was_forgotten_back(open_kept: Open) -> None:
    memory = open_kept(embedder=None, background="off")
    ids = [memory.add("tide " * 30_000, user_id="ana", external_id=str(n)).id for n in range(6)]
    for id in ids:
        memory.forget(id)
    assert memory.stats().free_bytes > 500_000
    before = memory.stats().bytes
    freed = memory.compact()
    assert freed.bytes > 500_000
    assert memory.stats().bytes <= before - 500_000
    assert memory.stats().free_bytes == 0
    assert memory.compact() == Freed()


def test_another_tenants_jobs_are_not_ones_own(open_kept: Open) -> None:
    blue, red = open_kept(tenant="blue"), open_kept(tenant="red")
    red.pause_jobs()
    blue.register_job("work", lambda work: None)
    number = red.enqueue_job("work", {"n": 1})
    assert blue.jobs() == []
    assert blue.run_jobs() == JobReport()
    with pytest.raises(NotFound):
        blue.drop_job(number)
    with blue._vault.store.read(SYSTEM) as tx:
        assert [row.tenant for row in tx.scan(schema.JOBS, ())] == ["red"]
