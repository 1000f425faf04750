"""The runner in its modes, fenced commits of handlers, and the jobs a vault asks for itself."""

import threading
from datetime import timedelta

import pytest
from job_calls import DAY, ask, change, claim, listed, runner

from mnemos.errors import InvalidInput, ModelError, StoreFull, VersionConflict
from mnemos.kernel import schema, segments
from mnemos.kernel.changes import Add, Changes, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep import budgets, compaction, jobs, upkeep_jobs
from mnemos.kernel.upkeep.runner import JobReport, Runner
from mnemos.kernel.upkeep.statistics import measure
from mnemos.kernel.vault import Staged, Vault
from mnemos.memories.strength import read_law
from mnemos.testing import HashEmbedder, RaiseAt, SeededEntropy, SeededIds, SimClock
from mnemos.types import State


def _put(tx, row):
    tx.put(schema.JOBS, row)


# ------------------------------------------------------------------------------------------- runner


def test_a_turn_more_is_no_failure(world):
    ask(world)
    turns = []

    def slow(work):
        turns.append(work.job.attempts)
        if len(turns) < 20:
            work.again(seconds=1 if len(turns) == 10 else 0)

    run = runner(world, work=slow)
    assert run.run_due() == JobReport(continued=10)
    world.clock.advance(seconds=1)
    assert run.run_due() == JobReport(continued=9, done=1)
    assert turns == [1] * 20


def test_a_handler_cannot_both_return_changes_and_go_on(world):
    ask(world)

    def both(work):
        work.again()
        return [world.staged(Add(id=world.ids.fresh(), draft=world.draft("x")))]

    assert runner(world, work=both).run_due() == JobReport(retried=1)
    assert world.rows(schema.EVENTS) == []


def test_a_limit_is_kept(world):
    for n in range(5):
        ask(world, n=n)
    run = runner(world, work=lambda work: None)
    assert run.run_due(2) == JobReport(done=2)
    assert run.run_due() == JobReport(done=3)


def test_who_lost_the_lease_writes_nothing_and_the_next_one_does(world):
    ask(world)
    calls = []

    def slow(work):
        calls.append(work.job.token)
        if len(calls) == 1:
            world.clock.advance(seconds=jobs.LEASE + 1)  # thought dead
            other = runner(world, work=slow)
            assert other.run_due() == JobReport(done=1)
        return [world.staged(Add(id=world.ids.fresh(), draft=world.draft("made once")))]

    assert runner(world, work=slow).run_due() == JobReport(lost=1)
    assert calls == [1, 2]
    assert world.texts() == ["made once"]
    assert verify(world.vault).problems == []


def test_a_dropped_job_writes_nothing(world):
    number = ask(world)

    def dropped(work):
        change(world, jobs.drop, "t", number)
        return [world.staged(Add(id=world.ids.fresh(), draft=world.draft("x")))]

    assert runner(world, work=dropped).run_due() == JobReport(lost=1)
    assert world.rows(schema.EVENTS) == []


def consolidate(world, meddle=None):
    """A handler that makes one memory of two and retires both, from the versions it read."""

    def handler(work):
        ids = work.payload["ids"]
        with work.vault.store.read(SYSTEM) as tx:
            cubes = [tx.get(schema.IDS, ("t", id)).cube for id in ids]
            bases = {
                id: max(row.born for row in tx.scan(schema.VERSIONS, ("t", cube)))
                for id, cube in zip(ids, cubes, strict=True)
            }
        if meddle is not None:
            meddle(ids)
        summary = world.draft("both live by the harbour", derived_from=tuple(ids))
        made = Changes(
            scope=work.scope(),
            changes=(
                Add(id=work.vault.ids.fresh(), draft=summary),
                *(Transition(id=id, state=State.MERGED) for id in ids),
            ),
            bases=bases,
        )
        return [Staged(made)]

    return handler


def test_consolidation_is_copy_on_write(world):
    ids = [world.add("ana lives by the harbour"), world.add("bo lives by the harbour")]
    subject = world.key()[1]
    ask(world, "consolidate", subject=subject, ids=ids)
    meddled = []

    def meddle(ids):
        if not meddled:
            meddled.append(world.update(ids[0], "ana moved to the hills"))

    run = runner(world, consolidate=consolidate(world, meddle))
    assert run.run_due() == JobReport(retried=1)
    assert "VersionConflict" in listed(world)[0].error
    assert world.texts(states={State.ACTIVATED}) == [
        "ana moved to the hills",
        "bo lives by the harbour",
    ]
    world.clock.set(listed(world)[0].due)
    before = world.head().seq
    assert run.run_due() == JobReport(done=1)
    assert world.texts(states={State.ACTIVATED}) == ["both live by the harbour"]
    assert [row.batch for row in world.rows(schema.EVENTS, "t")][-3:] == [before + 1] * 3
    assert listed(world) == [] or {job.kind for job in listed(world)} == {"vectors"}
    assert verify(world.vault).problems == []


def test_a_concurrent_update_is_a_version_conflict(world):
    id = world.add("one")
    born = world.head().seq
    world.update(id, "two")
    ask(world)
    lease = jobs.lease_of(claim(world))
    draft = world.draft("from one", derived_from=(id,))
    made = Changes(
        scope=world.scope(), changes=(Add(id=world.ids.fresh(), draft=draft),), bases={id: born}
    )
    with pytest.raises(VersionConflict):
        world.vault.commit([Staged(made)], lease=lease)
    assert [job.state for job in listed(world)] == ["leased"]


def test_many_threads_run_every_job_once(world):
    ran = []

    def handler(work):
        ran.append(work.job.job)
        return [world.staged(Add(id=f"{work.job.job:032x}", draft=world.draft(f"n{work.job.job}")))]

    numbers = [ask(world, n=n) for n in range(40)]
    runners = [runner(world, work=handler) for _ in range(4)]
    threads = [threading.Thread(target=one.run_due) for one in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == numbers
    assert len(world.texts()) == 40
    assert verify(world.vault).problems == []


# -------------------------------------------------------------------------------------------- modes


def test_inline_runs_a_few_after_each_write_and_never_raises(world):
    for n in range(6):
        ask(world, n=n)
    done = []

    def handler(work):
        done.append(work.payload["n"])
        if work.payload["n"] == 1:
            raise RuntimeError("boom")
        return [world.staged(Add(id=f"{len(done):032x}", draft=world.draft(f"n{len(done)}")))]

    run = runner(world, "inline", work=handler)
    world.vault.after_commit = run.nudge
    world.add("a write")
    assert done == [0, 1, 2, 3]
    world.add("another")
    assert done == [0, 1, 2, 3, 4, 5]
    assert [job.payload for job in listed(world)] == [{"n": 1}]


def test_off_runs_nothing_by_itself(world):
    ask(world)
    run = runner(world, "off", work=lambda work: None)
    world.vault.after_commit = run.nudge
    world.add("a write")
    assert len(listed(world)) == 1
    with pytest.raises(InvalidInput, match="thread, inline, off"):
        runner(world, "sometimes")


def test_two_inline_runs_write_the_same_journal(make_world, engine):
    heads = []
    for _ in range(2):
        world = make_world(engine)

        def handler(work, world=world):
            work.spend(calls=1)
            text = f"summary {work.payload['n']} at {work.now:%H:%M}"
            return [world.staged(Add(id=work.vault.ids.fresh(), draft=world.draft(text)))]

        run = runner(world, "inline", work=handler)
        world.vault.after_commit = run.nudge
        change(world, budgets.set_budget, "t", calls=3)
        for n in range(8):
            ask(world, due=n * 3600 * jobs.SECOND, n=n)
            world.add(f"said {n}")
            world.clock.advance(hours=5)
        heads.append((world.head(), world.rows(schema.JOBS), world.rows(schema.SPENT)))
    assert heads[0] == heads[1]
    assert heads[0][0].seq == 8 + 6
    assert len(heads[0][1]) == 2


def test_a_thread_runs_what_is_due_and_ends(world):
    ran = threading.Event()
    run = runner(world, "thread", work=lambda work: ran.set())
    world.vault.after_commit = run.nudge
    world.add("nothing is due")
    assert run._thread is None
    number = ask(world)
    world.add("now something is")
    assert ran.wait(60)
    assert run.wait(0, 10, timeout=60) == []
    run.close()
    assert run._thread is None
    assert run.trouble is None
    assert number not in {job.number for job in listed(world)}


def test_closing_waits_for_the_job_under_way(world):
    begun, go_on = threading.Event(), threading.Event()
    ended = []

    def handler(work):
        begun.set()
        go_on.wait(60)
        work.renew()  # where a handler finds out that it should end
        ended.append("never")

    run = runner(world, "thread", work=handler)
    ask(world)
    run.nudge()
    assert begun.wait(60)
    closer = threading.Thread(target=run.close)
    closer.start()
    while not run._closing:
        pass
    go_on.set()
    closer.join(60)
    assert not closer.is_alive()
    assert ended == []
    (job,) = listed(world)
    assert (job.state, job.attempts) == ("ready", 0)


def test_a_process_that_lives_for_one_write_still_gets_something_done(world):
    for n in range(3):
        ask(world, n=n)
    left = []
    while listed(world):
        run = runner(world, "thread", work=lambda work: None)
        run.nudge()
        run.close()
        left.append(len(listed(world)))
    assert left[-1] == 0
    assert len(left) <= 3


def test_trouble_of_the_store_does_not_reach_the_writer(tmp_path):
    from mnemos.stores.sqlite import SQLiteStore

    faults = RaiseAt(0, StoreFull("no room"))
    clock = SimClock()
    vault = Vault(
        SQLiteStore(tmp_path / "v.db", faults=faults),
        clock=clock,
        ids=SeededIds(),
        entropy=SeededEntropy(),
    )
    with vault.store.write(SYSTEM) as tx:
        jobs.enqueue(tx, "t", "work", due=0, cause=0)
    run = Runner(vault, "t", {"work": lambda work: None}, mode="inline")
    faults.left = 1
    run.nudge()
    assert isinstance(run.trouble, StoreFull)
    run.nudge()
    with vault.store.read(SYSTEM) as tx:
        assert jobs.list_jobs(tx, "t") == []
    vault.close()


def test_waiting_tells_what_is_left(world):
    done = ask(world, cause=5)
    foreign = ask(world, "foreign", cause=5)
    later = ask(world, due=DAY * jobs.SECOND, cause=5, n=1)
    dead = ask(world, "dead", cause=5)
    halted = ask(world, "halted", cause=5)
    ask(world, "unrelated", cause=9)
    change(world, jobs.pause, "t", "halted")
    kinds = dict.fromkeys(("work", "halted", "unrelated"), lambda work: None)
    for row in world.rows(schema.JOBS):
        if row.job == dead:
            change(world, _put, row._replace(state="dead"))
    left = runner(world, "inline", **kinds).wait(4, 5, timeout=0)
    assert {job.number for job in left} == {foreign, later, dead, halted}
    change(world, jobs.drop, "t", later)
    left = runner(world, "inline", **kinds).wait(4, 5, timeout=3600)  # nobody will do the others
    assert {job.number for job in left} == {foreign, dead, halted}
    assert done not in {job.number for job in left}


def test_waiting_finds_a_job_that_two_commits_asked_for(world):
    ask(world, cause=5)
    ask(world, cause=8)
    run = runner(world, "off")
    assert [len(run.wait(b, s, timeout=0)) for b, s in ((4, 5), (7, 8), (8, 9), (3, 4))] == [
        1, 1, 0, 0,
    ]  # fmt: skip


# ---------------------------------------------------------------------------------- built-in upkeep


@pytest.fixture
def small(small_segments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "LEAST", 4)
        yield


def upkeep(world, mode="inline"):
    source = None if world.embedder is None else lambda: world.embedder
    run = Runner(world.vault, "t", upkeep_jobs.built_in(source), mode=mode)
    world.vault.after_commit = run.nudge
    return run


def test_compaction_runs_after_many_updates_and_searches_stay_right(small, world):
    upkeep(world)
    ids = [world.add(f"memory {n} of the harbour") for n in range(6)]
    for turn in range(8):
        for n, id in enumerate(ids):
            world.update(id, f"memory {n} as told in turn {turn}")
    stats = measure(world.vault, "t")
    assert stats.history_rows > 0
    assert stats.ended_rows < 20
    assert stats.jobs_ready == stats.jobs_dead == 0
    assert world.texts() == [f"memory {n} as told in turn 7" for n in range(6)]
    with world.reader(as_of=6) as reader:
        texts = [cube.text for cube in reader.list()]
    assert texts == [f"memory {n} of the harbour" for n in range(6)]
    assert verify(world.vault).problems == []


def test_the_rows_counted_are_the_rows_there(small, world):
    upkeep(world)
    ids = [world.add(f"memory {n}") for n in range(9)]
    for turn in range(5):
        for id in ids:
            world.update(id, f"turn {turn}")
    world.forget(ids[0])
    world.move(ids[1], State.ARCHIVED)
    stats = measure(world.vault, "t")
    history = sum(int((births != 0).sum()) for births in _history(world))
    assert stats.history_rows == history > 0
    assert stats.ended_rows == sum(page.ended for page in world.rows(schema.PAGES))


def _history(world):
    for part in world.rows(schema.HISTORY):
        if part.encoding == "rows":
            columns = segments.decode_columns(part)
            yield columns[:, 0] * (columns[:, 1] != 0)


def test_compaction_goes_on_where_its_turn_ended(small, world, monkeypatch):
    monkeypatch.setattr(compaction, "STEP", 1)
    monkeypatch.setattr(upkeep_jobs, "STEPS", 1)
    run = upkeep(world, "off")
    monkeypatch.setattr(compaction.compact, "__kwdefaults__", {"most": 1})
    ids = [world.add(f"memory {n}") for n in range(20)]
    for id in ids:
        world.update(id, f"again {id[:4]}")
    report = run.run_due()
    assert report.done == 1
    assert report.continued > 1
    assert world.texts() == [f"again {id[:4]}" for id in ids]
    assert verify(world.vault).problems == []


def test_compaction_of_a_page_that_is_gone_is_nothing(small, world):
    ask(world, "compact", subject=99, branch=0)
    assert upkeep(world).run_due() == JobReport(done=1)


def test_missing_vectors_are_brought(make_world, engine):
    world = make_world(engine, embedder=HashEmbedder(16))
    run = upkeep(world)
    world.vault.commit([_without_vectors(world, f"lantern {n}") for n in range(3)])
    assert [job.kind for job in listed(world)] == ["vectors"]
    assert measure(world.vault, "t").vectors_pending
    world.clock.advance(seconds=5)
    world.add("the next write")
    assert listed(world) == []
    assert not measure(world.vault, "t").vectors_pending
    matrix = world.load().vectors
    assert (abs(matrix).sum(axis=1) > 0).all()
    assert run.run_due() == JobReport()


def _without_vectors(world, text):
    change = Add(id=world.ids.fresh(), draft=world.draft(text))
    return Staged(Changes(scope=world.scope(), changes=(change,)))


def test_vectors_come_in_turns(make_world, monkeypatch):
    monkeypatch.setattr(upkeep_jobs, "BATCHES", 1)
    monkeypatch.setattr("mnemos.kernel.upkeep.reembed.BATCH", 2)
    world = make_world(embedder=HashEmbedder(16))
    run = upkeep(world)
    world.vault.commit([_without_vectors(world, f"lantern {n}") for n in range(7)])
    world.clock.advance(seconds=5)
    assert run.run_due() == JobReport(continued=4, done=1)
    assert not measure(world.vault, "t").vectors_pending


class Flaky(HashEmbedder):
    """An embedder whose server is away a few times."""

    away = 0

    def embed(self, texts, *, query=False):
        if self.away:
            self.away -= 1
            raise ModelError("the server is away")
        return super().embed(texts, query=query)


def test_an_embedder_that_is_away_is_asked_again(make_world):
    world = make_world(embedder=Flaky(16))
    run = upkeep(world, "off")
    world.vault.commit([_without_vectors(world, "lantern")])
    world.embedder.away = 2
    world.clock.advance(seconds=5)
    for _ in range(2):
        assert run.run_due() == JobReport(retried=1)
        world.clock.set(listed(world)[0].due)
    assert run.run_due() == JobReport(done=1)


def test_another_embedder_does_not_take_the_vault_over(make_world):
    world = make_world(embedder=HashEmbedder(16))
    world.vault.commit([_without_vectors(world, "lantern")])
    world.clock.advance(seconds=5)
    for source, name in (
        (lambda: HashEmbedder(8), "ModelMismatch"),
        (lambda: None, "ModelUnavailable"),
    ):
        run = Runner(world.vault, "t", upkeep_jobs.built_in(source), mode="off")
        assert run.run_due() == JobReport(retried=1)
        (job,) = listed(world)
        assert job.error.startswith(name)
        world.clock.set(job.due)
    assert len(world.rows(schema.SPACES)) == 1
    words_only = Runner(world.vault, "t", upkeep_jobs.built_in(None), mode="off")
    assert words_only.run_due() == JobReport()  # left to a handle that has the embedder


def test_a_sweep_forgets_what_is_over_in_turns(world, monkeypatch):
    monkeypatch.setattr(upkeep_jobs, "SWEPT", 2)
    end = world.clock.now() + timedelta(days=1)
    for n in range(5):
        world.add(f"for a day {n}", expires_at=end)
    world.add("for ever")
    world.clock.advance(days=30)
    ask(world, "sweep")
    handlers = upkeep_jobs.built_in(strength=read_law)
    report = Runner(world.vault, "t", handlers, mode="off").run_due()
    assert report.continued >= 2
    assert report.retried == report.dead == 0
    assert world.texts(now=world.clock.now()) == ["for ever"]
    assert verify(world.vault).problems == []


def blocked(world, message):
    """A scrub that a reader prevents until the list is empty."""
    real = world.store.scrub
    world.store.scrub = lambda: message[0] if message else real()


def test_an_erasure_is_finished_by_a_job_when_the_reader_is_gone(world):
    reader = ["a reader holds the log"]
    blocked(world, reader)
    run = upkeep(world)
    id = world.add("secret")
    world.forget(id)
    assert world.vault.scrub().status == "pending"
    world.clock.advance(seconds=5)
    assert run.run_due() == JobReport(continued=1)
    world.clock.advance(seconds=59)
    assert run.run_due() == JobReport()
    reader.clear()
    world.clock.advance(seconds=1)
    assert run.run_due() == JobReport(done=1)
    assert world.rows(schema.META, "scrub") == []


def test_an_erasure_that_needs_no_job_leaves_none(world):
    run = upkeep(world)
    world.forget(world.add("secret"))
    assert [job.kind for job in listed(world)] == ["scrub"]
    assert world.vault.scrub().status == "purged"
    assert listed(world) == []
    assert run.run_due() == JobReport()


def test_a_file_that_is_mostly_empty_is_cut(make_world, monkeypatch):
    monkeypatch.setattr("mnemos.kernel.vault.FREE_LEAST", 200_000)
    monkeypatch.setattr(upkeep_jobs, "FREE_LEAST", 0)
    monkeypatch.setattr(upkeep_jobs, "PIECE", 400_000)
    world = make_world("sqlite")
    run = upkeep(world, "off")
    ids = [world.add(f"{n} " + "tide " * 20_000) for n in range(12)]
    world.add("kept")
    world.forget(*ids[:11])
    before = world.store.size()
    assert world.vault.is_loose()
    assert measure(world.vault, "t").free_bytes > 200_000
    report = run.run_due()
    assert report.continued > 1
    assert not world.vault.is_loose()
    assert world.store.free() == 0
    assert world.store.size() < before / 3
    assert len(world.texts()) == 2
    assert verify(world.vault).problems == []


def test_an_update_needs_no_upkeep(world):
    id = world.add("one")
    world.commit(Update(id=id, draft=world.draft("two")))
    assert listed(world) == []
