"""The queue: leases and fencing, back-off and dead letters, pausing, budgets."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_calls import ask, change, claim, listed, now, runner

from mnemos.errors import (
    BudgetSpent,
    Conflict,
    InvalidInput,
    LeaseLost,
    ModelError,
    NotFound,
)
from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.changes import Add, Transition
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.upkeep import budgets, jobs
from mnemos.kernel.upkeep.runner import JobReport
from mnemos.types import State

# ------------------------------------------------------------------------------------- the queue


def test_jobs_are_taken_when_due_and_oldest_first(world):
    late = ask(world, due=10 * jobs.SECOND, n=1)
    soon = ask(world, due=5 * jobs.SECOND, n=2)
    assert claim(world) is None
    world.clock.advance(seconds=10)
    taken = [claim(world), claim(world)]
    assert [row.job for row in taken] == [soon, late]
    assert [(row.state, row.attempts, row.token) for row in taken] == [("leased", 1, 1)] * 2
    assert claim(world) is None


def test_a_job_that_waits_is_not_queued_twice(world):
    first = ask(world, due=60, ids=["a"], cause=3)
    assert ask(world, due=30, ids=["a"], cause=7) == first
    (row,) = world.rows(schema.JOBS)
    assert (row.due, row.cause, row.latest) == (now(world) + 30, 3, 7)
    others = [
        ask(world, ids=["b"]),
        ask(world, "other", ids=["a"]),
        ask(world, subject=1, ids=["a"]),
    ]
    assert len({first, *others}) == 4
    world.clock.advance(seconds=60)
    while claim(world) is not None:
        pass
    assert ask(world, ids=["a"]) not in {first, *others}  # the one under way may have looked before


def test_numbers_are_never_given_twice(world):
    first = ask(world)
    change(world, jobs.drop, "t", first)
    assert ask(world) == first + 1


def test_tenants_do_not_see_each_others_jobs(world):
    with world.store.write(SYSTEM) as tx:
        jobs.enqueue(tx, "other", "work", due=0, cause=0)
        jobs.pause(tx, "other")
    assert claim(world) is None
    assert listed(world) == []
    ask(world)
    assert claim(world).tenant == "t"


def test_kinds_nobody_knows_here_are_left(world):
    ask(world, "foreign")
    mine = ask(world, "mine")
    assert claim(world, kinds=["mine"]).job == mine
    assert claim(world, kinds=["mine"]) is None
    assert claim(world).kind == "foreign"


@pytest.mark.parametrize(
    "payload",
    [
        {"note": "Ana lives in Lisbon"},
        {"note": "café"},
        {"note": ""},
        {"note": "x" * 201},
        {"a b": 1},
        {"deep": [["ok", ["two words"]]]},
        {"deep": [[[[[[1]]]]]]},
        {"map": {"a": 1}},
        {"number": float("nan")},
        {"bytes": b"x"},
        {"ids": ["a" * 100] * 1000},
    ],
)
def test_no_text_gets_into_a_job(world, payload):
    with pytest.raises(InvalidInput), world.store.write(SYSTEM) as tx:
        jobs.enqueue(tx, "t", "work", due=0, cause=0, payload=payload)
    assert listed(world) == []


@pytest.mark.parametrize("kind", ["", "Work", "two words", "9", "x" * 65, None, 5])
def test_a_kind_is_a_short_name(world, kind):
    with pytest.raises(InvalidInput, match="names no kind"):
        ask(world, kind)


@given(
    st.dictionaries(
        st.text("abc_", min_size=1, max_size=5),
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text("abcdef0123456789:-", min_size=1, max_size=64),
            st.lists(st.integers(0, 9), max_size=3),
        ),
        max_size=4,
    )
)
def test_payloads_come_back(payload):
    assert json.loads(jobs.encode_payload(payload)) == payload


# --------------------------------------------------------------------------------- leases, fencing


def test_a_lease_that_ran_out_is_taken_over_and_the_old_token_is_worth_nothing(world):
    ask(world)
    old = jobs.lease_of(claim(world, lease_seconds=10))
    assert claim(world) is None
    world.clock.advance(seconds=10)
    with pytest.raises(LeaseLost, match="ran out"):
        change(world, jobs.finish, old, world.clock.now())
    new = claim(world, lease_seconds=10)
    assert (new.token, new.attempts) == (2, 2)
    for verb, rest in (
        (jobs.finish, {}),
        (jobs.renew, {}),
        (jobs.fail, {"error": "x"}),
        (jobs.postpone, {"due": 0}),
    ):
        with pytest.raises(LeaseLost, match="taken over"):
            change(world, verb, old, world.clock.now(), **rest)
    change(world, jobs.finish, jobs.lease_of(new), world.clock.now())
    assert listed(world) == []
    with pytest.raises(LeaseLost):
        change(world, jobs.finish, jobs.lease_of(new), world.clock.now())


def test_renewing_holds_a_job(world):
    ask(world)
    lease = jobs.lease_of(claim(world, lease_seconds=10))
    for _ in range(5):
        world.clock.advance(seconds=9)
        change(world, jobs.renew, lease, world.clock.now(), lease_seconds=10)
    assert claim(world) is None
    change(world, jobs.finish, lease, world.clock.now())


def test_a_job_whose_workers_all_die_is_dead_in_the_end(world):
    ask(world)
    for attempt in range(1, jobs.MOST_ATTEMPTS + 1):
        assert claim(world).attempts == attempt
        world.clock.advance(seconds=jobs.LEASE)
    assert claim(world) is None
    (dead,) = listed(world, "dead")
    assert dead.error.startswith("LeaseLost")


def test_a_fenced_commit_finishes_the_job_or_writes_nothing(world):
    ask(world)
    old = jobs.lease_of(claim(world, lease_seconds=10))
    world.clock.advance(seconds=10)
    new = jobs.lease_of(claim(world, lease_seconds=10))
    made = world.staged(Add(id=world.ids.fresh(), draft=world.draft("made by a job")))
    with pytest.raises(LeaseLost):
        world.vault.commit([made], lease=old)
    assert world.rows(schema.EVENTS) == []
    assert len(listed(world)) == 1
    world.vault.commit([made], lease=new)
    assert world.texts() == ["made by a job"]
    assert listed(world) == []


def test_a_refused_commit_leaves_the_job(world):
    ask(world)
    lease = jobs.lease_of(claim(world))
    with pytest.raises(NotFound):
        world.vault.commit(
            [world.staged(Transition(id="f" * 32, state=State.ARCHIVED))], lease=lease
        )
    assert [job.state for job in listed(world)] == ["leased"]


# ------------------------------------------------------------------------- failing, dead, retrying


def test_waits_grow_and_are_the_same_in_every_run(world):
    number = ask(world)
    waits = []

    def failing(work):
        raise ModelError("the server is away")

    run = runner(world, work=failing)
    for attempt in range(1, jobs.MOST_ATTEMPTS):
        assert run.run_due() == JobReport(retried=1)
        (job,) = listed(world)
        assert (job.state, job.attempts, job.number) == ("ready", attempt, number)
        assert job.error == "ModelError: the server is away"
        waits.append(microseconds(job.due) - now(world))
        world.clock.set(job.due)
    assert waits == [jobs.wait_after(number, n) for n in range(1, jobs.MOST_ATTEMPTS)]
    assert waits == sorted(waits)
    assert all(wait < 1.5 * jobs.LONGEST_WAIT * jobs.SECOND for wait in waits)
    assert run.run_due() == JobReport(dead=1)
    assert [job.attempts for job in listed(world, "dead")] == [jobs.MOST_ATTEMPTS]
    world.clock.advance(days=9)
    assert run.run_due() == JobReport()


def test_jobs_that_failed_together_come_back_apart():
    assert len({jobs.wait_after(job, 3) for job in range(1, 200)}) == 199


def kill(world, number):
    """Let a job fail for the last time."""
    row = world.rows(schema.JOBS, "t", number)[0]
    change(world, _put, row._replace(attempts=jobs.MOST_ATTEMPTS - 1))
    assert claim(world).job == number
    row = world.rows(schema.JOBS, "t", number)[0]
    change(world, jobs.fail, jobs.lease_of(row), world.clock.now(), "ModelError: no")


def _put(tx, row):
    tx.put(schema.JOBS, row)


def test_dead_letters_are_looked_at_retried_and_dropped(world):
    number = ask(world, ids=["a1"])
    with pytest.raises(Conflict, match="only a dead one"):
        change(world, jobs.retry, "t", number, world.clock.now())
    kill(world, number)
    (dead,) = listed(world, "dead")
    assert (dead.number, dead.payload, dead.error) == (number, {"ids": ["a1"]}, "ModelError: no")
    assert listed(world, "ready") == []
    change(world, jobs.retry, "t", number, world.clock.now())
    assert runner(world, work=lambda work: None).run_due() == JobReport(done=1)
    for verb in (jobs.drop, jobs.retry):
        with pytest.raises(NotFound, match="no job"):
            change(world, verb, "t", number, *([] if verb is jobs.drop else [world.clock.now()]))


def test_the_dead_do_not_pile_up(world):
    first = ask(world)
    kill(world, first)
    second = ask(world)
    kill(world, second)
    assert [job.number for job in listed(world)] == [second]
    ask(world)
    change(world, jobs.retry, "t", second, world.clock.now())
    assert len(listed(world)) == 1


def test_an_unknown_state_is_refused(world):
    with pytest.raises(InvalidInput, match="ready, leased, dead"):
        listed(world, "done")


def test_words_of_a_foreign_error_are_not_kept(world):
    ask(world)
    ask(world, "typed")

    def foreign(work):
        raise ValueError("Ana lives in Lisbon")

    def typed(work):
        raise NotFound("no memory a1")

    report = runner(world, work=foreign, typed=typed).run_due()
    assert report == JobReport(retried=2)
    assert {job.error for job in listed(world)} == {"ValueError", "NotFound: no memory a1"}
    assert world.found(b"Lisbon") == []


def test_interrupts_pass_and_the_job_comes_back(world):
    ask(world)

    def interrupted(work):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner(world, work=interrupted).run_due()
    world.clock.advance(seconds=jobs.LEASE)
    assert runner(world, work=lambda work: None).run_due() == JobReport(done=1)


# ------------------------------------------------------------------------------------------ pausing


def test_pausing_a_kind_and_all(world):
    ask(world, "one")
    ask(world, "two")
    run = runner(world, one=lambda work: None, two=lambda work: None)
    change(world, jobs.pause, "t", "one")
    assert run.run_due() == JobReport(done=1)
    assert [job.kind for job in listed(world)] == ["one"]
    change(world, jobs.pause, "t")
    with pytest.raises(Conflict, match="resume them all"):
        change(world, jobs.resume, "t", "one")
    change(world, jobs.resume, "t")
    assert run.run_due() == JobReport(done=1)


def test_a_pause_outlasts_the_process(make_world, make_store, tmp_path):
    from mnemos.stores.sqlite import SQLiteStore

    world = make_world(store=SQLiteStore(tmp_path / "vault.db"))
    ask(world)
    change(world, jobs.pause, "t", "work")
    world.vault.close()
    again = make_world(store=SQLiteStore(tmp_path / "vault.db"))
    assert claim(again) is None
    change(again, jobs.resume, "t", "work")
    assert claim(again) is not None
    again.vault.close()


# ------------------------------------------------------------------------------------------ budgets


def spend(world, subject=1, **what):
    with world.store.write(SYSTEM) as tx:
        budgets.spend(tx, "t", subject, world.clock.now(), **what)


def test_a_scope_and_the_tenant_are_both_charged(world):
    change(world, budgets.set_budget, "t", 1, calls=2)
    change(world, budgets.set_budget, "t", calls=3, seconds=1.5)
    spend(world, calls=2, seconds=0.5)
    with pytest.raises(BudgetSpent, match="3 calls would be spent today, 2 are allowed"):
        spend(world, calls=1)
    spend(world, 2, calls=1)
    with pytest.raises(BudgetSpent, match="for all jobs"):
        spend(world, 2, calls=1)
    with pytest.raises(BudgetSpent, match="milliseconds"):
        spend(world, 2, seconds=1.001)
    spend(world, 2, tokens=10**9, seconds=1)
    with world.store.read(SYSTEM) as tx:
        mine = budgets.look(tx, "t", 1, world.clock.now())
        everyone = budgets.look(tx, "t", 0, world.clock.now())
    assert (mine.calls, mine.spent_calls, mine.tokens, mine.spent_seconds) == (2, 2, None, 0.5)
    assert (everyone.spent_calls, everyone.spent_tokens, everyone.spent_seconds) == (3, 10**9, 1.5)


def test_what_is_refused_is_not_booked(world):
    change(world, budgets.set_budget, "t", calls=1)
    with pytest.raises(BudgetSpent):
        spend(world, calls=2, tokens=5)
    assert world.rows(schema.SPENT) == []


def test_a_budget_ends_at_midnight_utc_and_the_job_goes_on(world):
    world.clock.set(datetime(2026, 1, 1, 23, 59, tzinfo=UTC))
    change(world, budgets.set_budget, "t", calls=1)
    for n in range(3):
        ask(world, n=n)

    def costly(work):
        work.spend(calls=1)

    run = runner(world, work=costly)
    assert run.run_due() == JobReport(done=1, postponed=2)
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    left = listed(world)
    assert [(job.state, job.attempts, job.due) for job in left] == [("ready", 0, midnight)] * 2
    assert all("BudgetSpent" in job.error for job in left)
    world.clock.set(midnight.replace(microsecond=0))
    assert run.run_due() == JobReport(done=1, postponed=1)
    world.clock.advance(days=1)
    assert run.run_due() == JobReport(done=1)
    assert len(world.rows(schema.SPENT)) == 3


def test_old_expenses_are_forgotten_and_a_budget_can_be_lifted(world):
    for _ in range(budgets.KEPT_DAYS + 5):
        spend(world, 0, calls=1)
        world.clock.advance(days=1)
    assert len(world.rows(schema.SPENT)) == budgets.KEPT_DAYS + 1
    change(world, budgets.set_budget, "t", calls=0)
    with pytest.raises(BudgetSpent):
        spend(world, calls=1)
    change(world, budgets.set_budget, "t")
    assert world.rows(schema.BUDGETS) == []
    spend(world, calls=1)
