"""Snapshots, rollbacks, merges, and the changes that say what they were made from."""

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
from mnemos.kernel import schema
from mnemos.kernel.canonical import decode_content
from mnemos.kernel.changes import Add, DropSnapshot, Update
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import MAIN
from mnemos.types import CURRENT_STATES, Kind, State


def refused(world, error, call, match=None):
    """The call raises, and not one row of any table is different."""
    before = world.everything()
    with pytest.raises(error, match=match) as caught:
        call()
    assert world.everything() == before
    return caught.value


def said(world, id, **how):
    with world.reader(**how) as reader:
        return [cube.text for cube in reader.history(id)]


@pytest.fixture(autouse=True)
def sound(world):
    """Whatever a test here did, the vault verifies afterwards."""
    yield
    assert verify(world.vault).problems == []


# --- snapshots


def test_a_snapshot_names_a_position(world):
    world.add("one")
    made = world.snapshot("first")
    world.add("two")
    world.snapshot("earlier", at=1)
    rows = {row.name: row for row in world.rows(schema.SNAPSHOTS, "t")}
    assert {name: (row.branch, row.at) for name, row in rows.items()} == {
        "first": (MAIN, 1),
        "earlier": (MAIN, 1),
    }
    assert rows["first"].id == made.ids[0]
    assert world.texts(as_of=rows["first"].at) == ["one"]


def test_a_snapshot_of_a_branch_names_a_position_of_it(world):
    world.add("one")
    branch = world.fork("trial")
    world.add("two", branch=branch)
    world.snapshot("there", branch=branch)
    (row,) = world.rows(schema.SNAPSHOTS, "t")
    assert (row.branch, row.at) == (branch, world.head().seq - 1)


def test_a_name_is_given_once_until_it_is_dropped(world):
    world.add("one")
    world.snapshot("first")
    refused(world, Conflict, lambda: world.snapshot("first"), match="first")
    world.commit(DropSnapshot(name="first"))
    assert world.rows(schema.SNAPSHOTS, "t") == []
    refused(world, NotFound, lambda: world.commit(DropSnapshot(name="first")), match="first")
    world.add("two")
    world.snapshot("first")
    assert [row.at for row in world.rows(schema.SNAPSHOTS, "t")] == [world.head().seq - 1]
    assert world.texts() == ["one", "two"]


def test_a_dropped_snapshot_leaves_no_name_behind(world):
    world.add("one")
    world.snapshot("unheard name")
    assert set(world.found(b"unheard name")) == {"contents", "snapshots"}
    world.commit(DropSnapshot(name="unheard name"))
    assert world.found(b"unheard name") == []


@pytest.mark.parametrize("at", [-1, 3])
def test_a_position_that_was_never_reached_is_refused(world, at):
    world.add("one")
    world.add("two")
    for call in (world.snapshot, world.fork):
        refused(world, InvalidInput, lambda call=call: call("name", at=at), match="0–2")
    refused(world, InvalidInput, lambda: world.rollback(at), match="0–2")


# --- rollback


def test_a_rollback_appends_what_undoes(world):
    kept, changed = world.add("kept"), world.add("Porto")
    moved = world.add("moved")
    to = world.head().seq
    added = world.add("added")
    world.update(changed, "Lisbon")
    world.move(moved, State.ARCHIVED)
    before = world.head()
    outcome = world.rollback(to)
    assert world.texts(states=CURRENT_STATES) == ["kept", "Porto", "moved"]
    assert set(outcome.ids) == {changed, moved, added}
    assert outcome.before == before.seq
    assert said(world, changed) == ["Porto", "Lisbon", "Porto"]
    with world.reader() as reader:
        assert reader.get(kept).version == 1
        assert reader.get(changed).version == 3
        assert [cube.retired_seq is None for cube in reader.history(added)] == [False]
        with pytest.raises(NotFound):
            reader.get(added)
    assert world.texts(as_of=before.seq) == ["kept", "Lisbon", "moved", "added"]


def test_nothing_is_copied_by_a_rollback(world):
    id = world.add("Porto")
    world.update(id, "Lisbon")
    contents = world.rows(schema.CONTENTS, "t")
    world.rollback(1)
    (record,) = [row for row in world.rows(schema.CONTENTS, "t") if row not in contents]
    assert dict(decode_content(record.body).record) == {"to": 1}
    verbs = [event.verb for event in world.rows(schema.EVENTS, "t")]
    assert verbs == ["add", "update", "adopt", "rollback"]


def test_a_rollback_is_undone_by_a_rollback(world):
    ids = [world.add(f"turn {number}") for number in range(3)]
    to = world.head().seq
    world.update(ids[0], "changed")
    world.move(ids[1], State.ARCHIVED)
    world.add("added", external_id="m1")
    before = world.rollback(to).before
    texts = world.texts(as_of=before)
    assert world.texts() != texts
    world.rollback(before)
    assert world.texts() == texts
    with world.reader() as now, world.vault.reader(world.view(as_of=before)) as then:
        assert [(c.id, c.text, c.state) for c in now.list()] == [
            (c.id, c.text, c.state) for c in then.list()
        ]
    assert world.add("added", external_id="m1") == world.rows(schema.EXTERNALS, "t")[0].id


def test_a_rollback_to_where_one_is_changes_nothing(world):
    world.add("one")
    assert world.rollback(world.head().seq).ids == []
    assert world.texts() == ["one"]


def test_a_rollback_to_before_everything_leaves_nothing_in_sight(world):
    world.add("one")
    world.rollback(0)
    assert world.texts() == []
    assert world.load() is None or not (world.load().dead == schema.ALIVE).any()
    world.add("two")
    assert world.texts() == ["two"]
    world.rollback(1)
    assert world.texts() == ["one"]


def test_what_was_forgotten_stays_forgotten_through_a_rollback(world):
    gone, kept = world.add("a secret"), world.add("kept")
    to = world.head().seq
    world.update(kept, "changed")
    world.forget(gone)
    world.rollback(to)
    assert world.texts() == ["kept"]
    assert world.found(b"a secret") == []


def test_searches_through_a_warm_cache_follow_a_rollback(world):
    """Rows end, and none is added."""
    for number in range(4):
        world.add(f"turn {number}")
        with world.reader() as reader:
            assert int(reader.page()[1].sum()) == number + 1
    for to in (2, 0):
        world.rollback(to)
        with world.reader() as reader:
            assert int(reader.page()[1].sum()) == to
    with world.reader(as_of=3) as reader:
        assert int(reader.page()[1].sum()) == 3


def test_another_subject_is_not_rolled_back(world):
    world.add("one")
    to = world.head().seq
    world.add("two")
    world.add("hello", subject="bo")
    world.rollback(to)
    assert world.texts("bo") == ["hello"]


def test_a_rollback_on_a_branch_stays_there(world):
    one = world.add("Porto")
    before = world.head().seq
    world.update(one, "Lisbon")
    branch = world.fork("trial")
    world.update(one, "Faro", branch=branch)
    world.rollback(branch, branch=branch)
    assert world.texts(branch=branch) == ["Lisbon"]
    world.rollback(before, branch=branch)
    assert (world.texts(branch=branch), world.texts()) == (["Porto"], ["Lisbon"])
    assert said(world, one, branch=branch) == ["Porto", "Lisbon", "Faro", "Lisbon", "Porto"]


def test_a_rollback_keeps_vectors(world, small_segments):
    ids = [world.add(f"turn {number}") for number in range(5)]
    to = world.head().seq
    for id in ids:
        world.update(id, f"{id} changed")
    world.rollback(to)
    arrays = world.load()
    shown = arrays.dead == schema.ALIVE
    wanted = world.embedder.embed([f"turn {number}" for number in range(5)])
    assert arrays.vectors[shown].tobytes() == wanted.astype("<f4").tobytes()


def test_a_row_without_a_vector_passes_none_on(world, small_segments):
    """A segment holds zeros for it, which are no vector: reembed must still find it lacking."""
    from mnemos.kernel.upkeep.reembed import reembed
    from mnemos.kernel.vault import Staged

    changes = [Add(id=world.ids.fresh(), draft=world.draft(f"turn {n}")) for n in range(3)]
    staged = world.staged(*changes)
    world.vault.commit([Staged(staged.changes, [staged.vectors[0], None, None], staged.space)])
    moved = world.move(changes[1].id, State.ARCHIVED).seq
    world.add("fills the tail")
    world.move(changes[2].id, State.ARCHIVED)
    assert len({row.born for row in world.rows(schema.VECTORS, "t")} & {moved}) == 0
    assert reembed(world.vault, world.embedder).switched
    arrays = world.load()
    assert arrays.vectors.any(axis=1).all()


@pytest.mark.parametrize("flag", ["frozen", "hold"])
@pytest.mark.parametrize("added", [False, True])
def test_a_protected_memory_stops_a_rollback(world, flag, added):
    other = world.add("other")
    id = None if added else world.add("Porto")
    to = world.head().seq
    if added:
        world.add("evidence", **{flag: True})
    else:
        world.update(id, "Lisbon", **{flag: True})
    world.update(other, "changed")
    refused(
        world, Protected, lambda: world.rollback(to), match="frozen" if flag == "frozen" else "hold"
    )


def test_a_rollback_between_two_holds_is_no_release(world):
    id = world.add("evidence", hold=True)
    world.update(id, "evidence, amended", hold=True)
    world.rollback(1)
    assert world.texts() == ["evidence"]
    refused(world, Protected, lambda: world.forget(id), match="hold")


# --- merging


@pytest.fixture
def split(world):
    """Four memories and a branch of them."""
    world.given = [world.add(f"turn {number}") for number in range(4)]
    world.branch = world.fork("trial")
    return world


def test_a_merge_takes_what_only_the_branch_changed(split):
    world, ids, branch = split, split.given, split.branch
    world.update(ids[0], "turn 0, from the branch", branch=branch)
    world.move(ids[1], State.ARCHIVED, branch=branch)
    added = world.add("from the branch", branch=branch)
    world.update(ids[3], "turn 3, from the parent")
    outcome = world.merge(branch)
    assert set(outcome.ids) == {ids[0], ids[1], added}
    assert world.texts(states=CURRENT_STATES) == [
        "turn 0, from the branch",
        "turn 2",
        "turn 3, from the parent",
        "from the branch",
    ]
    assert "turn 3" in world.texts(branch=branch)
    verbs = [event.verb for event in world.rows(schema.EVENTS, "t")][-4:]
    assert verbs == ["adopt", "adopt", "adopt", "merge"]


def test_a_merge_gives_adopted_rows_their_vectors(split, small_segments):
    world, branch = split, split.branch
    for number, id in enumerate(split.given):
        world.update(id, f"changed {number}", branch=branch)
    world.merge(branch)
    arrays = world.load()
    shown = arrays.dead == schema.ALIVE
    wanted = world.embedder.embed([f"changed {number}" for number in range(4)])
    assert arrays.vectors[shown].tobytes() == wanted.astype("<f4").tobytes()


def test_the_same_on_both_sides_is_no_conflict(split):
    world, id = split, split.given[0]
    for branch in (MAIN, split.branch):
        world.move(id, State.ARCHIVED, branch=branch)
        world.rollback(4, branch=branch)
        world.move(id, State.ARCHIVED, branch=branch)
    assert world.merge(split.branch).ids == []


def test_a_merge_with_a_conflict_says_all_of_them_and_writes_nothing(split):
    world, ids, branch = split, split.given, split.branch
    theirs = world.update(ids[0], "from the branch", branch=branch).seq
    world.rollback(1, branch=branch)  # takes 1, 2 and 3 back, and 0 to what it was
    theirs = world.update(ids[0], "from the branch, again", branch=branch).seq
    ours = [world.update(id, "from the parent").seq for id in ids[:2]]
    error = refused(world, MergeConflict, lambda: world.merge(branch), match="2 memories")
    found = {item.id: (item.base, item.branch, item.parent) for item in error.collisions}
    assert found == {ids[0]: (1, theirs, ours[0]), ids[1]: (2, 0, ours[1])}
    one = {ids[0]: "branch"}
    error = refused(world, MergeConflict, lambda: world.merge(branch, resolve=one))
    assert [item.id for item in error.collisions] == [ids[1]]
    wrong = {ids[0]: "mine", ids[1]: "branch"}
    refused(world, InvalidInput, lambda: world.merge(branch, resolve=wrong), match="mine")


@pytest.mark.parametrize("side", ["branch", "parent"])
def test_a_conflict_is_resolved_to_either_side(split, side):
    world, ids, branch = split, split.given, split.branch
    world.update(ids[0], "of branch", branch=branch)
    world.update(ids[0], "of parent")
    world.merge(branch, resolve={ids[0]: side})
    assert world.texts()[0] == f"of {side}"
    world.update(ids[1], "only here", branch=branch)
    assert world.merge(branch).ids == [ids[1]]
    assert world.texts()[:2] == [f"of {side}", "only here"]


def test_what_a_branch_took_back_a_merge_takes_back(split):
    world, branch = split, split.branch
    world.rollback(2, branch=branch)
    assert set(world.merge(branch).ids) == set(split.given[2:])
    assert world.texts() == ["turn 0", "turn 1"]


def test_a_second_merge_takes_only_what_is_new(split):
    world, ids, branch = split, split.given, split.branch
    world.update(ids[0], "first", branch=branch)
    world.merge(branch)
    assert world.merge(branch).ids == []
    world.update(ids[0], "from the parent")
    assert world.merge(branch).ids == []
    assert world.texts()[0] == "from the parent"
    world.update(ids[1], "second", branch=branch)
    assert world.merge(branch).ids == [ids[1]]
    world.update(ids[0], "third", branch=branch)
    refused(world, MergeConflict, lambda: world.merge(branch))


def test_a_merge_is_undone_by_a_rollback(split):
    world, branch = split, split.branch
    texts = world.texts()
    world.update(split.given[0], "from the branch", branch=branch)
    world.add("added", branch=branch)
    world.rollback(world.merge(branch).before)
    assert world.texts() == texts


def test_what_was_forgotten_meanwhile_is_not_merged(split):
    world, branch = split, split.branch
    world.update(split.given[0], "a secret", branch=branch)
    world.forget(split.given[0])
    assert world.merge(branch).ids == []
    assert world.found(b"a secret") == []


def test_a_branch_is_merged_into_its_parent_only(split):
    world, branch = split, split.branch
    inner = world.fork("inner", branch=branch)
    world.update(split.given[0], "from inside", branch=inner)
    for wrong in (inner, 999):
        refused(world, InvalidInput, lambda wrong=wrong: world.merge(wrong), match="begun on")
    world.merge(inner, into=branch)
    assert world.texts(branch=branch)[0] == "from inside"
    world.merge(branch)
    assert world.texts()[0] == "from inside"


@pytest.mark.parametrize("flag", ["frozen", "hold"])
def test_a_protected_memory_stops_a_merge(split, flag):
    world, id = split, split.given[0]
    world.update(id, "from the branch", branch=split.branch)
    world.amend(id, **{flag: True})
    side = {id: "branch"}
    refused(world, Protected, lambda: world.merge(split.branch, resolve=side))
    world.merge(split.branch, resolve={id: "parent"})
    assert world.texts()[0] == "turn 0"


def test_an_external_id_taken_on_both_sides_stops_a_merge(split):
    world, branch = split, split.branch
    world.add("on the branch", external_id="m1", branch=branch)
    world.add("on main", external_id="m1")
    refused(world, Conflict, lambda: world.merge(branch), match="m1")


def test_a_merge_gives_back_external_ids_before_it_takes_them(world):
    world.add("before")
    before = world.head().seq
    old = world.add("old", external_id="m1")
    branch = world.fork("trial")
    new = world.add("new", branch=branch)
    world.rollback(before, branch=branch)
    world.rollback(world.head().seq - 3, branch=branch)
    assert world.texts(branch=branch) == ["before", "old", "new"]
    world.rollback(before, branch=branch)
    world.revert(new, 1, branch=branch)
    world.update(new, "new", branch=branch, external_id="m1")
    world.merge(branch)
    assert world.texts() == ["before", "new"]
    assert world.add("new", external_id="m1") == new != old


# --- changes that say what they were made from


def test_an_update_may_say_which_version_it_was_made_from(world):
    id = world.add("Porto")
    world.update(id, "Lisbon", expected=1)
    refused(world, VersionConflict, lambda: world.update(id, "Faro", expected=1), match="version 2")
    world.move(id, State.ARCHIVED)
    refused(world, VersionConflict, lambda: world.update(id, "Faro", expected=2))
    world.update(id, "Faro", expected=3, state=State.ARCHIVED)
    assert world.texts() == ["Faro"]


def test_the_version_expected_is_that_of_the_branch(world):
    id = world.add("Porto")
    branch = world.fork("trial")
    world.update(id, "Lisbon")
    world.update(id, "Faro", expected=1, branch=branch)
    world.update(id, "Braga", expected=2, branch=branch)
    assert (world.texts(), world.texts(branch=branch)) == (["Lisbon"], ["Braga"])


def test_changes_are_refused_if_what_they_were_computed_from_has_changed(world):
    source, other = world.add("Ana likes kites"), world.add("other")
    made = Add(id=world.ids.fresh(), draft=world.draft("likes: kites", derived_from=(source,)))
    world.update(other, "changed")
    world.move(source, State.ARCHIVED)
    refused(
        world,
        VersionConflict,
        lambda: world.commit(made, bases={source: 1}),
        match=source,
    )
    world.commit(made, bases={source: world.head().seq})
    update = Update(id=source, draft=world.draft("too late", state=State.ARCHIVED))
    for gone in (lambda: world.rollback(1), lambda: world.forget(other)):
        gone()
        refused(world, VersionConflict, lambda: world.commit(update, bases={other: 3}))


# --- going back by one memory, and flags


def test_a_revert_makes_an_earlier_version_current(world):
    id = world.add("Porto", speaker="Ana")
    world.update(id, "Lisbon")
    world.revert(id, 1)
    assert said(world, id) == ["Porto", "Lisbon", "Porto"]
    with world.reader() as reader:
        assert (reader.get(id).version, reader.get(id).header.speaker) == (3, "Ana")
    for version in (0, 4):
        refused(world, InvalidInput, lambda v=version: world.revert(id, v), match="1–3")
    arrays = world.load()
    place = arrays.column("born").tolist().index(world.head().seq)
    first = world.vector(Add(id="", draft=world.draft("Porto", speaker="Ana")))
    assert arrays.vectors[place].tobytes() == first


def test_a_revert_of_a_superseded_memory_brings_it_back(world):
    id = world.add("Porto")
    world.move(id, State.SUPERSEDED)
    world.revert(id, 1)
    assert world.texts(states=CURRENT_STATES) == ["Porto"]
    world.move(id, State.EXPIRED)
    refused(world, IllegalTransition, lambda: world.revert(id, 1))


def test_a_revert_brings_back_what_was_taken_back(world):
    world.add("one")
    id = world.add("two")
    world.rollback(1)
    world.revert(id, 1)
    assert world.texts() == ["one", "two"]


def test_a_revert_changes_nothing_that_is_protected(world):
    id = world.add("Porto")
    world.update(id, "Lisbon", frozen=True)
    refused(world, Protected, lambda: world.revert(id, 1), match="frozen")
    world.amend(id, frozen=False, hold=True)
    refused(world, Protected, lambda: world.revert(id, 1), match="hold")
    world.revert(id, 3)


def test_a_revert_cannot_take_the_external_id_of_another(world):
    id = world.add("hello", external_id="m1")
    branch = world.fork("trial")
    world.rollback(0)
    world.add("another", external_id="m1")
    refused(world, Conflict, lambda: world.revert(id, 1), match="m1")
    world.revert(id, 1, branch=branch)


def test_flags_change_on_a_frozen_memory_and_nothing_else(world):
    id = world.add("Porto", frozen=True, priority=1)
    refused(world, Protected, lambda: world.amend(id, priority=2), match="frozen")
    refused(world, Protected, lambda: world.amend(id, frozen=False, priority=2), match="frozen")
    refused(world, Protected, lambda: world.move(id, State.ARCHIVED), match="frozen")
    world.amend(id, hold=True)
    world.amend(id, frozen=False)
    world.amend(id, priority=2)
    with world.reader() as reader:
        cube = reader.get(id)
        flags = (cube.header.frozen, cube.header.hold, cube.header.priority)
        assert flags == (False, True, 2)
        assert [cube.text for cube in reader.history(id)] == ["Porto"] * 4
    arrays = world.load()
    assert arrays.vectors[-1].tobytes() == world.embedder.embed(["Porto"])[0].tobytes()


def test_an_amendment_that_changes_nothing_is_not_written(world):
    id = world.add("Porto", frozen=True)
    head = world.head()
    assert world.amend(id, frozen=True).ids == [id]
    assert world.head() == head


def test_an_amendment_cannot_take_the_external_id_of_another(world):
    world.add("hello", external_id="m1")
    id = world.add("other")
    refused(world, Conflict, lambda: world.amend(id, external_id="m1"), match="m1")
    refused(world, NotFound, lambda: world.amend(id, derived_from=("0" * 32,)))


# --- policies


def test_a_policy_is_recorded_and_replaced_and_removed(world):
    world.add("one")
    world.policy(Kind.TURN, {"days": 30})
    world.policy(None, {"days": 90}, everywhere=True)
    subject = world.key()[1]
    found = {(row.subject, row.kind): row.body for row in world.rows(schema.POLICIES, "t")}
    assert found == {(subject, "turn"): b'{"days":30}', (0, ""): b'{"days":90}'}
    world.policy(Kind.TURN, {"days": 5})
    world.policy(None, None, everywhere=True)
    assert [row.body for row in world.rows(schema.POLICIES, "t")] == [b'{"days":5}']
    assert world.texts() == ["one"]
    assert [event.verb for event in world.rows(schema.EVENTS, "t")].count("policy") == 4
