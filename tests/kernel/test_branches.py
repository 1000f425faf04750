"""What a branch reads from its ancestors, what it says itself, and when."""

import numpy as np
import pytest

from mnemos.errors import Conflict, InvalidInput, NotFound
from mnemos.kernel import schema
from mnemos.kernel.branches import DEPTH
from mnemos.kernel.changes import Add, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.pages import PageCache
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import ALIVE, MAIN
from mnemos.testing import HashEmbedder
from mnemos.types import CURRENT_STATES, State

EMBEDDER = HashEmbedder(16)


def seen(world, **how):
    """The texts searches see, which must be those that are listed."""
    with world.reader(**how) as reader:
        listed = {cube.text for cube in reader.list()}
        page = reader.page()
        found = set()
        if page is not None:
            arrays, mask = page
            for place in np.flatnonzero(mask).tolist():
                born, cube = (int(arrays.column(name)[place]) for name in ("born", "cube"))
                shown = reader.cube(born, cube)
                found.add(shown.text)
                wanted = EMBEDDER.embed([shown.text])[0].astype("<f4")
                assert arrays.vectors is None or arrays.vectors[place].tobytes() == wanted.tobytes()
        assert found == listed
    return found


@pytest.fixture
def forked(world):
    """Three memories, a branch after the second, and one more on the main line."""
    world.one = world.add("Ana lives in Porto")
    world.two = world.add("Ana likes kites")
    world.at = world.head().seq
    world.branch = world.fork("trial")
    world.three = world.add("Ana likes rain")
    return world


# --- reading


def test_a_branch_shows_what_there_was_at_its_fork(forked):
    assert seen(forked, branch=forked.branch) == {"Ana lives in Porto", "Ana likes kites"}
    assert seen(forked) == {"Ana lives in Porto", "Ana likes kites", "Ana likes rain"}
    with forked.reader(branch=forked.branch) as reader:
        assert reader.get(forked.one).version == 1
        with pytest.raises(NotFound):
            reader.get(forked.three)


def test_the_lines_do_not_see_each_other_change(forked):
    forked.update(forked.one, "Ana lives in Lisbon", branch=forked.branch)
    forked.update(forked.two, "Ana likes boats")
    forked.add("Ana likes tea", branch=forked.branch)
    on_branch = {"Ana lives in Lisbon", "Ana likes kites", "Ana likes tea"}
    assert seen(forked, branch=forked.branch) == on_branch
    assert seen(forked) == {"Ana lives in Porto", "Ana likes boats", "Ana likes rain"}
    assert verify(forked.vault).problems == []


def test_the_first_change_of_an_inherited_memory_copies_its_row_ended(forked):
    changed = forked.update(forked.one, "Ana lives in Lisbon", branch=forked.branch).seq
    cube = forked.rows(schema.IDS, "t", forked.one)[0].cube
    rows = forked.rows(schema.VERSIONS, "t", cube)
    found = {(row.branch, row.born, row.dead) for row in rows}
    assert found == {
        (MAIN, 1, ALIVE),
        (forked.branch, 1, changed),
        (forked.branch, changed, ALIVE),
    }
    forked.update(forked.one, "Ana lives in Faro", branch=forked.branch)
    assert len(forked.rows(schema.VERSIONS, "t", cube, forked.branch)) == 3


def test_a_second_change_on_the_branch_copies_nothing(forked):
    """Rows of a page are counted once, on the page they lie on."""
    for text in ("Lisbon", "Faro", "Braga"):
        forked.update(forked.one, text, branch=forked.branch)
    page = forked.page(branch=forked.branch)
    assert (page.tail, page.ended) == (3, 2)
    assert forked.page().ended == 0
    assert verify(forked.vault).problems == []


def test_history_on_a_branch_is_the_inherited_one_and_its_own(forked):
    forked.update(forked.one, "Ana lives in Lisbon", branch=forked.branch)
    forked.update(forked.one, "Ana lives in Braga")
    with forked.reader(branch=forked.branch) as reader:
        old, new = reader.history(forked.one)
        assert (old.text, old.version, old.retired_seq) == (
            "Ana lives in Porto",
            1,
            new.recorded_seq,
        )
        assert (new.text, new.version, new.retired_seq) == ("Ana lives in Lisbon", 2, None)
    with forked.reader() as reader:
        found = [cube.text for cube in reader.history(forked.one)]
        assert found == ["Ana lives in Porto", "Ana lives in Braga"]


def test_what_the_parent_did_after_the_fork_retires_nothing_on_the_branch(forked):
    forked.update(forked.one, "Ana lives in Lisbon")
    with forked.reader(branch=forked.branch) as reader:
        assert reader.get(forked.one).retired_seq is None
        assert [cube.retired_seq for cube in reader.history(forked.one)] == [None]
        assert {cube.retired_seq for cube in reader.list()} == {None}


def test_a_state_changes_on_the_branch_alone(forked):
    forked.move(forked.one, State.ARCHIVED, branch=forked.branch)
    assert seen(forked, branch=forked.branch, states=CURRENT_STATES) == {"Ana likes kites"}
    assert "Ana lives in Porto" in seen(forked, states=CURRENT_STATES)


def test_a_memory_taken_back_on_a_branch_is_gone_there_alone(forked):
    forked.rollback(1, branch=forked.branch)
    assert seen(forked, branch=forked.branch) == {"Ana lives in Porto"}
    assert seen(forked) == {"Ana lives in Porto", "Ana likes kites", "Ana likes rain"}
    with forked.reader(branch=forked.branch) as reader:
        with pytest.raises(NotFound):
            reader.get(forked.two)
        assert [cube.text for cube in reader.history(forked.two)] == ["Ana likes kites"]
    assert verify(forked.vault).problems == []


def test_a_view_of_a_branch_before_its_fork_is_its_parents(forked):
    branch = forked.branch
    forked.update(forked.one, "Ana lives in Lisbon", branch=branch)
    for as_of in range(forked.at + 1):
        assert seen(forked, branch=branch, as_of=as_of) == seen(forked, as_of=as_of)
    for as_of in range(forked.at, branch + 1):
        assert seen(forked, branch=branch, as_of=as_of) == {"Ana lives in Porto", "Ana likes kites"}


def test_a_branch_can_begin_in_the_past(world):
    id = world.add("Ana lives in Porto")
    world.update(id, "Ana lives in Lisbon")
    world.add("Ana likes kites")
    branch = world.fork("back then", at=1)
    assert seen(world, branch=branch) == {"Ana lives in Porto"}
    empty = world.fork("before everything", at=0)
    assert seen(world, branch=empty) == set()
    world.add("a new life", branch=empty)
    assert seen(world, branch=empty) == {"a new life"}
    assert verify(world.vault).problems == []


def test_a_branch_of_a_branch(forked):
    one, branch = forked.one, forked.branch
    forked.update(one, "Ana lives in Lisbon", branch=branch)
    inner = forked.fork("inner", branch=branch)
    forked.update(one, "Ana lives in Faro", branch=branch)
    forked.add("Ana likes tea", branch=inner)
    assert seen(forked, branch=inner) == {"Ana lives in Lisbon", "Ana likes kites", "Ana likes tea"}
    forked.update(one, "Ana lives in Braga", branch=inner)
    assert seen(forked, branch=inner) == {"Ana lives in Braga", "Ana likes kites", "Ana likes tea"}
    assert seen(forked, branch=branch) == {"Ana lives in Faro", "Ana likes kites"}
    with forked.reader(branch=inner) as reader:
        found = [cube.text for cube in reader.history(one)]
        assert found == ["Ana lives in Porto", "Ana lives in Lisbon", "Ana lives in Braga"]
    assert verify(forked.vault).problems == []


def test_a_branch_of_a_branch_that_begins_before_that_one_changed_anything(forked):
    """A branch holds a copied row from before the fork it reads it at."""
    branch = forked.branch
    forked.update(forked.one, "Ana lives in Lisbon", branch=branch)
    inner = forked.fork("inner", branch=branch, at=branch)
    assert seen(forked, branch=inner) == {"Ana lives in Porto", "Ana likes kites"}
    forked.update(forked.one, "Ana lives in Faro", branch=inner)
    assert seen(forked, branch=inner) == {"Ana lives in Faro", "Ana likes kites"}
    assert verify(forked.vault).problems == []


def test_lists_of_a_branch_page_through_with_a_cursor(world):
    ids = [world.add(f"turn {number}") for number in range(5)]
    branch = world.fork("trial")
    for number in (0, 3):
        world.update(ids[number], f"turn {number}, changed", branch=branch)
    ids += [world.add(f"more {number}", branch=branch) for number in range(2)]
    world.add("elsewhere")
    for as_of in (None, world.head().seq):
        given, after = [], None
        while True:
            with world.reader(branch=branch, as_of=as_of) as reader:
                part = [cube.id for cube in reader.list(after=after, limit=3)]
            if not part:
                break
            given, after = given + part, part[-1]
        assert given == ids


def test_branches_of_another_subject_or_tenant_are_nothing(forked):
    forked.add("hello", subject="bo")
    assert forked.texts("bo", branch=forked.branch) == []
    before = forked.everything()
    for subject, branch in (("bo", forked.branch), ("ana", 999), ("nobody", 999)):
        with pytest.raises(NotFound, match=f"branch {branch}"):
            forked.add("lost", subject=subject, branch=branch)
    assert forked.everything() == before


def test_a_branch_erased_with_its_subject_cannot_be_written_to(forked):
    forked.forget(forked.one, forked.two, forked.three)
    forked.add("a new life")
    with pytest.raises(NotFound, match="forgotten"):
        forked.add("lost", branch=forked.branch)
    assert verify(forked.vault).problems == []


# --- search arrays


def test_search_arrays_of_a_branch_follow_it_through_a_warm_cache(world, small_segments):
    ids = [world.add(f"turn {number} of kites") for number in range(7)]
    branch = world.fork("trial")
    for number, id in enumerate(ids):
        world.update(id, f"turn {number} of boats", branch=branch)
        world.update(id, f"turn {number} of trains")
        boats = {f"turn {n} of boats" for n in range(number + 1)}
        kites = {f"turn {n} of kites" for n in range(number + 1, 7)}
        assert seen(world, branch=branch) == boats | kites
        trains = {f"turn {n} of trains" for n in range(number + 1)}
        assert seen(world) == trains | kites
    for as_of in range(world.head().seq + 1):
        seen(world, branch=branch, as_of=as_of)
    assert verify(world.vault).problems == []


def test_a_cache_too_small_for_a_branch_still_gives_it(forked):
    cache = PageCache(budget=1)
    for _ in range(2):
        arrays = forked.load(cache=cache, branch=forked.branch)
        assert sorted(arrays.column("born").tolist()) == [1, 2]


def test_rows_of_a_branch_lie_in_order_of_birth(forked):
    """Who takes the newest of some kind takes the last."""
    inner = forked.fork("inner", branch=forked.branch)
    for branch in (forked.branch, inner):
        forked.add("Ana likes tea", branch=branch)
    forked.add("Ana likes rain", branch=inner)
    births = forked.load(branch=inner).column("born").tolist()
    assert len(births) == 4
    assert births == sorted(births)


def test_many_moments_share_a_cache(world):
    ids = [world.add(f"turn {number}") for number in range(3)]
    for step in range(12):
        world.update(ids[step % 3], f"step {step}")
    cache = PageCache()
    for moment in (*range(1, 16), *range(15, 0, -1)):
        arrays = world.load(cache=cache, moment=moment)
        shown = (arrays.column("born") <= moment) & (arrays.dead > moment)
        assert int(shown.sum()) == min(moment, 3)


def test_a_state_on_a_branch_keeps_the_inherited_vector(world, small_segments):
    """Wherever the row lies from which it is taken: tail, segment, or another branch's page."""
    ids = [world.add(f"turn {number}") for number in range(5)]
    branch = world.fork("trial")
    inner = world.fork("inner", branch=branch)
    for id in ids:
        world.move(id, State.ARCHIVED, branch=branch)
    for id in ids[:2]:
        world.move(id, State.ARCHIVED, branch=inner)
    assert len(seen(world, branch=branch)) == len(seen(world, branch=inner)) == 5


# --- a caller's own ids


def test_an_external_id_names_the_inherited_memory(world):
    id = world.add("hello", external_id="m1")
    branch = world.fork("trial")
    again = Add(id=world.ids.fresh(), draft=world.draft("hello", external_id="m1"))
    assert world.commit(again, branch=branch).duplicates == 1
    with pytest.raises(Conflict):
        world.add("other", external_id="m1", branch=branch)
    assert world.add("other", external_id="m1", replace=True, branch=branch) == id
    assert (world.texts(), world.texts(branch=branch)) == (["hello"], ["other"])
    assert world.add("hello", external_id="m1") == id


def test_an_external_id_belongs_to_a_branch(world):
    world.add("before")
    branch = world.fork("trial")
    one = world.add("on main", external_id="m1")
    other = world.add("on the branch", external_id="m1", branch=branch)
    assert one != other
    world.forget(other)
    assert world.add("on main", external_id="m1") == one
    assert world.add("again", external_id="m1", branch=branch) not in (one, other)
    assert verify(world.vault).problems == []


def test_an_external_id_freed_and_taken_on_the_parent_stays_taken_on_the_branch(world):
    world.add("before")
    before = world.head().seq
    one = world.add("hello", external_id="m1")
    branch = world.fork("trial")
    world.rollback(before)
    other = world.add("good day", external_id="m1")
    assert one != other
    assert world.add("hello", external_id="m1", branch=branch) == one
    assert seen(world, branch=branch) == {"before", "hello"}
    assert verify(world.vault).problems == []


@pytest.mark.parametrize("second", [False, True])
def test_forgetting_one_of_two_who_bore_an_external_id(world, second):
    world.add("keeps the subject alive")
    before = world.head().seq
    one = world.add("hello", external_id="m1")
    world.rollback(before)
    other = world.add("good day", external_id="m1")
    world.forget(other if second else one)
    assert verify(world.vault).problems == []
    if second:
        world.rollback(before + 1)
        assert world.add("hello", external_id="m1") == one
    else:
        assert world.add("good day", external_id="m1") == other


def test_an_update_on_a_branch_cannot_take_an_inherited_external_id(world):
    world.add("hello", external_id="m1")
    other = world.add("other")
    branch = world.fork("trial")
    draft = world.draft("other", external_id="m1")
    with pytest.raises(Conflict):
        world.commit(Update(id=other, draft=draft), branch=branch)


# --- limits and names


def test_branches_nest_to_a_depth(world):
    world.add("hello")
    branch = MAIN
    for number in range(DEPTH - 1):
        branch = world.fork(f"level {number}", branch=branch)
    assert seen(world, branch=branch) == {"hello"}
    before = world.everything()
    with pytest.raises(InvalidInput, match=str(DEPTH)):
        world.fork("one more", branch=branch)
    assert world.everything() == before


def test_names_of_branches_are_given_once(forked):
    before = forked.everything()
    with pytest.raises(Conflict, match="trial"):
        forked.fork("trial")
    for at in (-1, forked.head().seq + 1):
        with pytest.raises(InvalidInput, match="position"):
            forked.fork("other", at=at)
    assert forked.everything() == before
    forked.add("hello", subject="bo")
    assert forked.fork("trial", subject="bo") > forked.branch


def test_a_subject_of_which_nothing_is_known_has_no_branches(world):
    before = world.everything()
    for call in (world.fork, world.snapshot):
        with pytest.raises(NotFound):
            call("trial")
    assert world.everything() == before


def test_forgetting_erases_on_every_branch(forked):
    branch = forked.branch
    forked.update(forked.one, "Ana lives in Lisbon", branch=branch)
    inner = forked.fork("inner", branch=branch)
    forked.update(forked.one, "Ana lives in Faro", branch=inner)
    forked.forget(forked.one)
    for word in (b"Porto", b"Lisbon", b"Faro"):
        assert forked.found(word) == []
    for at in (MAIN, branch, inner):
        for as_of in (None, *range(forked.head().seq + 1)):
            assert not any("lives" in text for text in seen(forked, branch=at, as_of=as_of))
    assert verify(forked.vault).problems == []


def test_a_memory_of_a_branch_can_be_forgotten_from_the_main_line(forked):
    id = forked.add("a secret", branch=forked.branch)
    forked.forget(id)
    assert forked.found(b"a secret") == []
    assert verify(forked.vault).problems == []


def test_verify_finds_a_page_row_that_was_lost_though_nothing_lies_on_it(forked):
    """A branch that only took a memory back has a page without rows, and needs it."""
    forked.rollback(1, branch=forked.branch)
    key = forked.key(branch=forked.branch)
    assert forked.page(branch=forked.branch).tail == 0
    with forked.store.write(SYSTEM) as tx:
        tx.delete(schema.PAGES, key)
    assert any("page" in problem for problem in verify(forked.vault).problems)
