"""The two axes of time through the public calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mnemos.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    MergeConflict,
    NotFound,
    Protected,
    VersionConflict,
)
from mnemos.kernel.changes import Transition
from mnemos.types import Draft, Header, Kind, State, Text

DAY = timedelta(days=1)


def texts(memory, **how):
    how.setdefault("user_id", "ana")
    return [cube.text for cube in memory.get_all(**how)]


@pytest.fixture
def home(memory, clock):
    """Ana's home through three versions, a day apart."""
    id = memory.add("Ana lives in Porto", user_id="ana").id
    for place in ("Lisbon", "Faro"):
        clock.advance(DAY)
        memory.update(id, f"Ana lives in {place}")
    return id


# ------------------------------------------------------------------------------------ as_of


@pytest.mark.parametrize(
    ("as_of", "place"),
    [
        ("2026-01-01T12:00:00+00:00", "Porto"),
        ("2026-01-02T12:00:00+00:00", "Lisbon"),
        (datetime(2026, 1, 2, 12, tzinfo=UTC), "Lisbon"),
        (datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp(), "Lisbon"),
        ("#1", "Porto"),
        ("#3", "Faro"),
    ],
)
def test_every_read_answers_from_the_moment_of_its_view(memory, home, as_of, place):
    view = memory.view(as_of=as_of, user_id="ana")
    wanted = f"Ana lives in {place}"
    assert view.get(home).text == wanted
    assert texts(view) == [wanted]
    assert [hit.text for hit in view.search("where does Ana live")] == [wanted]
    assert place in view.context("where does Ana live").text
    assert view.history(home)[-1].text == wanted
    assert texts(memory) == ["Ana lives in Faro"]


def test_a_receipt_names_the_moment_after_its_call(memory):
    first = memory.add("one", user_id="ana")
    second = memory.add("two", user_id="ana")
    assert texts(memory.view(as_of=first, user_id="ana")) == ["one"]
    assert texts(memory.view(as_of=second, user_id="ana")) == ["one", "two"]


def test_before_the_first_event_nothing_was_known(memory, home):
    view = memory.view(as_of="#0", user_id="ana")
    assert texts(view) == []
    assert list(view.search("Ana")) == []
    with pytest.raises(NotFound):
        view.get(home)


@pytest.mark.parametrize("as_of", ["#99", "#", "#-1", "nonsense", "", True, b"x"])
def test_a_moment_that_cannot_be_is_refused(memory, home, as_of):
    del home
    with pytest.raises((InvalidInput, NotFound)):
        memory.view(as_of=as_of, user_id="ana")


def test_a_view_of_the_past_cannot_be_written_to(memory, home):
    for view in (
        memory.view(as_of="#1", user_id="ana"),
        memory.view(valid_at="2026-01-01", user_id="ana"),
    ):
        for write in (
            lambda v: v.add("no"),
            lambda v: v.update(home, "no"),
            lambda v: v.forget(home),
            lambda v: v.snapshot("no"),
            lambda v: v.rollback("#1"),
        ):
            with pytest.raises(InvalidInput, match="cannot write through a view of the past"):
                write(view)
    assert texts(memory) == ["Ana lives in Faro"]


def test_a_view_is_bound_to_its_scope(memory, home):
    memory.add("Ben lives in Rome", user_id="ben")
    view = memory.view(user_id="ana")
    assert texts(view, user_id=None) == ["Ana lives in Faro"]
    with pytest.raises(Conflict, match="bound to 'user:ana'"):
        view.search("Rome", user_id="ben")
    with pytest.raises(Conflict):
        memory.view(user_id="ben").get(home)


def test_closing_a_view_leaves_the_memory_open(memory, home):
    with memory.view(as_of="#1", user_id="ana") as view:
        assert view.get(home).version == 1
    assert memory.get(home).version == 3


def test_what_was_forgotten_is_forgotten_at_every_moment(memory, home):
    memory.snapshot("then", user_id="ana")
    memory.branch("line", user_id="ana")
    memory.forget(home)
    for view in (
        memory.view(as_of="#2", user_id="ana"),
        memory.view(as_of="#1", user_id="ana"),
    ):
        assert texts(view) == []


# --------------------------------------------------------------------------------- valid_at


def test_a_contradiction_ends_the_truth_of_the_older_and_links_both(memory):
    old = memory.add("Ana lives in Porto", user_id="ana", valid_from="2024-05-01").id
    new = memory.contradict(old, "Ana lives in Lisbon", at="2025-03-01").id
    assert texts(memory) == ["Ana lives in Lisbon"]
    for moment, wanted in (
        ("2024-04-30", []),
        ("2024-12-01", ["Ana lives in Porto"]),
        ("2025-02-28T23:59:59", ["Ana lives in Porto"]),
        ("2025-03-01", ["Ana lives in Lisbon"]),
        ("2030-01-01", ["Ana lives in Lisbon"]),
    ):
        view = memory.view(valid_at=moment, user_id="ana")
        assert texts(view) == wanted
        assert [hit.text for hit in view.search("Ana lives")] == wanted
    first, second = memory.history(old)
    assert (first.header.valid_to, second.header.valid_to) == (
        None,
        datetime(2025, 3, 1, tzinfo=UTC),
    )
    assert [(link.type, link.target) for link in second.header.links] == [("contradicted_by", new)]
    (link,) = memory.get(new).header.links
    assert (link.type, link.target) == ("contradicts", old)


def test_what_is_to_come_is_shown_and_what_has_ended_is_not(memory, clock):
    memory.add("the fair opens", user_id="ana", valid_from=clock.now() + DAY)
    memory.add("the bridge is closed", user_id="ana", valid_to=clock.now() + DAY)
    assert texts(memory) == ["the fair opens", "the bridge is closed"]
    clock.advance(DAY)
    assert texts(memory) == ["the fair opens"]
    assert [hit.text for hit in memory.search("bridge fair", user_id="ana")] == ["the fair opens"]
    with pytest.raises(InvalidInput, match="valid_from"):
        memory.add("never true", user_id="ana", valid_from="2026-02-01", valid_to="2026-01-01")


def test_the_axes_are_asked_together(memory, clock):
    old = memory.add("Ana lives in Porto", user_id="ana", valid_from="2024-05-01").id
    before = memory.add("something else", user_id="ana")
    clock.advance(DAY)
    memory.contradict(old, "Ana lives in Lisbon", at="2025-03-01")
    view = memory.view(as_of=before, valid_at="2025-12-01", user_id="ana")
    assert texts(view) == ["Ana lives in Porto", "something else"]


def test_a_contradiction_must_come_after_the_truth_it_ends(memory):
    id = memory.add("so it is", user_id="ana", valid_from="2025-03-01").id
    with pytest.raises(InvalidInput, match="not after"):
        memory.contradict(id, "it never was", at="2025-03-01")


# --------------------------------------------------------------------------------- versions


def test_an_update_from_an_old_version_is_a_conflict(memory, home):
    with pytest.raises(VersionConflict, match="at version 3, version 2 was expected"):
        memory.update(home, "Ana lives in Rome", expected_version=2)
    memory.update(home, "Ana lives in Rome", expected_version=3)
    assert [cube.version for cube in memory.history(home)] == [1, 2, 3, 4]


def test_a_revert_is_a_new_version_with_old_words(memory, home):
    memory.revert(home, 1)
    found = memory.history(home)
    assert [cube.text[-6:] for cube in found] == [" Porto", "Lisbon", "n Faro", " Porto"]
    assert memory.search("Porto", user_id="ana")[0].id == home
    for number in (0, 5, True):
        with pytest.raises(InvalidInput):
            memory.revert(home, number)


def test_what_was_superseded_stays_and_is_named(memory, home):
    new = memory.supersede(home, "Ana has no home").id
    assert texts(memory) == ["Ana has no home"]
    assert memory.get(new).header.links[0].target == home
    assert memory.history(home)[-1].state is State.SUPERSEDED
    memory.revert(home, 3)
    assert len(texts(memory)) == 2


def test_what_was_consolidated_comes_back_with_the_end_of_its_successor(memory):
    ids = [memory.add(f"note {n}", user_id="ana").id for n in range(3)]
    whole = memory.consolidate(ids[:2], "two notes").id
    assert texts(memory) == ["note 2", "two notes"]
    made = memory.get(whole)
    assert (made.header.kind, made.header.derived_from) == (Kind.SUMMARY, tuple(ids[:2]))
    receipt = memory.forget(ids[0])
    assert set(receipt.forgotten) == {ids[0], whole}
    assert receipt.restored == (ids[1],)
    assert texts(memory) == ["note 1", "note 2"]


def test_consolidating_needs_several_memories_of_one_scope(memory):
    one = memory.add("one", user_id="ana").id
    two = memory.add("two", user_id="ben").id
    for ids in ([], [one], [one, one], [one, two]):
        with pytest.raises((InvalidInput, Conflict)):
            memory.consolidate(ids, "no")
    assert texts(memory) == ["one"]


def test_a_derived_memory_is_not_derived_again_once_it_was_forgotten(memory):
    source = memory.add("I had coffee with Ben", user_id="ana").id
    fact = Draft(
        payload=Text(text="Ana knows Ben"), header=Header(kind=Kind.FACT, derived_from=(source,))
    )
    first = memory.add_many([fact], user_id="ana").id
    receipt = memory.forget(first)
    assert receipt.sources == (source,)
    again = memory.add_many([fact], user_id="ana")
    assert (again.ids, again.suppressed) == ((), 1)
    assert texts(memory) == ["I had coffee with Ben"]


# ---------------------------------------------------------------- snapshot, rollback, branch


def test_a_snapshot_names_a_moment(memory, home, clock):
    memory.snapshot("faro", user_id="ana")
    memory.snapshot("porto", at="#1", user_id="ana")
    clock.advance(DAY)
    memory.update(home, "Ana lives in Rome")
    found = memory.snapshots(user_id="ana")
    assert [(item.name, item.seq) for item in found] == [("porto", 1), ("faro", 3)]
    assert texts(memory.view(as_of="faro", user_id="ana")) == ["Ana lives in Faro"]
    assert texts(memory.view(as_of="porto", user_id="ana")) == ["Ana lives in Porto"]
    with pytest.raises(Conflict):
        memory.snapshot("faro", user_id="ana")
    memory.drop_snapshot("faro", user_id="ana")
    with pytest.raises(NotFound):
        memory.view(as_of="faro", user_id="ana")
    with pytest.raises(NotFound):
        memory.drop_snapshot("faro", user_id="ana")


def test_a_rollback_and_its_undoing(memory, home):
    other = memory.add("something later", user_id="ana").id
    before = [(cube.id, cube.text) for cube in memory.get_all(user_id="ana")]
    receipt = memory.rollback("#1", user_id="ana")
    assert texts(memory) == ["Ana lives in Porto"]
    assert set(receipt.ids) == {home, other}
    with pytest.raises(NotFound):
        memory.get(other)
    assert texts(memory.view(as_of=f"#{receipt.before}", user_id="ana"))[-1] == "something later"
    memory.rollback(before=receipt, user_id="ana")
    assert [(cube.id, cube.text) for cube in memory.get_all(user_id="ana")] == before
    assert memory.verify().problems == []


def test_a_rollback_touches_one_scope_only(memory, home):
    del home
    memory.add("Ben's", user_id="ben")
    memory.rollback("#0", user_id="ana")
    assert texts(memory) == []
    assert texts(memory, user_id="ben") == ["Ben's"]


def test_a_rollback_stops_before_what_is_protected(memory, home):
    draft = Draft(payload=Text(text="ice"), header=Header(frozen=True))
    memory.add_many([draft], user_id="ana")
    with pytest.raises(Protected, match="frozen"):
        memory.rollback("#1", user_id="ana")
    assert memory.get(home).version == 3
    for wrong in ({}, {"to": "#1", "before": memory.add("x", user_id="ana")}):
        with pytest.raises(InvalidInput, match="one moment"):
            memory.rollback(**wrong, user_id="ana")


def test_a_branch_is_a_line_of_its_own(memory, home):
    branch = memory.branch("draft", user_id="ana")
    branch.update(home, "Ana lives in Rome")
    only = branch.add("only here").id
    memory.add("only there", user_id="ana")
    assert texts(branch) == ["Ana lives in Rome", "only here"]
    assert texts(memory) == ["Ana lives in Faro", "only there"]
    assert branch.search("where does Ana live")[0].text == "Ana lives in Rome"
    assert [cube.text[13:] for cube in branch.history(home)] == ["Porto", "Lisbon", "Faro", "Rome"]
    assert texts(memory.view(branch="draft", as_of="#1", user_id="ana")) == ["Ana lives in Porto"]
    with pytest.raises(NotFound):
        memory.get(only)
    with pytest.raises(Conflict):
        memory.branch("draft", user_id="ana")
    with pytest.raises(NotFound, match="no branch 'none'"):
        memory.view(branch="none", user_id="ana")
    (info,) = memory.branches(user_id="ana")
    assert (info.name, info.parent, info.seq, info.merged) == ("draft", None, 3, None)


def test_a_merge_brings_home_what_the_branch_changed(memory, home):
    branch = memory.branch("draft", user_id="ana")
    branch.update(home, "Ana lives in Rome")
    memory.add("meanwhile", user_id="ana")
    merged = memory.merge("draft", user_id="ana")
    assert merged.applied
    assert merged.receipt.ids == (home,)
    assert texts(memory) == ["Ana lives in Rome", "meanwhile"]
    memory.rollback(before=merged.receipt, user_id="ana")
    assert texts(memory) == ["Ana lives in Faro", "meanwhile"]


def test_clashes_come_back_as_data_and_nothing_is_applied(memory, home):
    branch = memory.branch("draft", user_id="ana")
    branch.update(home, "Ana lives in Rome")
    branch.add("a new one")
    memory.update(home, "Ana lives in Oslo")
    merged = memory.merge("draft", user_id="ana")
    assert (merged.applied, merged.receipt) == (False, None)
    (clash,) = merged.clashes
    assert (clash.base.text[13:], clash.branch.text[13:], clash.parent.text[13:]) == (
        "Faro",
        "Rome",
        "Oslo",
    )
    assert texts(memory) == ["Ana lives in Oslo"]
    with pytest.raises(InvalidInput, match="'branch' or 'parent'"):
        memory.merge("draft", resolve={home: "mine"}, user_id="ana")
    assert memory.merge("draft", resolve={home: "parent"}, user_id="ana").applied
    assert texts(memory) == ["Ana lives in Oslo", "a new one"]
    assert memory.merge("draft", user_id="ana").receipt.ids == ()


def test_a_branch_is_not_begun_inside_a_transaction(memory, home):
    del home
    with memory.begin() as tx, pytest.raises(InvalidInput, match="begin it before"):
        tx.branch("draft", user_id="ana")
    assert memory.branches(user_id="ana") == []


def test_a_clash_inside_a_transaction_undoes_it(memory, home):
    branch = memory.branch("draft", user_id="ana")
    branch.update(home, "Ana lives in Rome")
    tx = memory.begin()
    tx.update(home, "Ana lives in Oslo")
    tx.merge("draft", user_id="ana")
    with pytest.raises(MergeConflict):
        tx.__exit__(None, None, None)
    assert texts(memory) == ["Ana lives in Faro"]


# ------------------------------------------------------------------------------------- diff


def test_a_diff_says_what_was_added_changed_and_removed(memory, home):
    first = memory.snapshot("first", user_id="ana")
    gone = memory.add("soon gone", user_id="ana")
    memory.update(home, "Ana lives in Rome")
    memory.add("new", user_id="ana")
    found = memory.diff(first, user_id="ana")
    assert {(item.change, item.after.text) for item in found} == {
        ("added", "soon gone"),
        ("changed", "Ana lives in Rome"),
        ("added", "new"),
    }
    back = memory.diff(b=first, user_id="ana")
    assert {item.change for item in back} == {"removed", "changed"}
    memory.forget(gone.id)
    assert gone.id not in [item.id for item in memory.diff("first", user_id="ana")]
    assert memory.diff(user_id="ana") == []


def test_a_diff_of_one_memory_and_of_two_branches(memory, home):
    branch = memory.branch("draft", user_id="ana")
    branch.update(home, "Ana lives in Rome")
    memory.add("meanwhile", user_id="ana")
    (item,) = memory.diff("#1", "#3", id=home)
    assert (item.before.text[13:], item.after.text[13:]) == ("Porto", "Faro")
    found = memory.diff(branch_b="draft", user_id="ana")
    assert {(item.change, (item.after or item.before).text) for item in found} == {
        ("changed", "Ana lives in Rome"),
        ("removed", "meanwhile"),
    }


def test_time_needs_somebody(memory):
    for call in (
        lambda: memory.snapshot("x"),
        lambda: memory.snapshots(),
        lambda: memory.rollback("#0"),
        lambda: memory.branch("x"),
        lambda: memory.branches(),
        lambda: memory.merge("x"),
        lambda: memory.diff("#0"),
    ):
        with pytest.raises(InvalidInput, match="needs user_id or agent_id"):
            call()
    with pytest.raises(NotFound, match="nothing is remembered"):
        memory.snapshot("x", user_id="nobody")


def test_a_step_the_life_cycle_does_not_know_is_refused(memory, home):
    scope = memory._scope_of(home, None, None)
    with pytest.raises(IllegalTransition):
        memory._write("state", scope, [Transition(id=home, state=State.GENERATED)])
