"""Delete means delete: what goes along, what comes back, what is never derived again."""

import pytest

from mnemos.errors import Conflict, NotFound, Protected
from mnemos.kernel import schema
from mnemos.kernel.changes import Add, Forget, Fork, Snapshot, Transition
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import MAIN
from mnemos.types import CURRENT_STATES, Kind, Link, State


def refused(world, error, call, match=None):
    """The call raises, and not one row of any table is different."""
    before = world.everything()
    with pytest.raises(error, match=match):
        call()
    assert world.everything() == before


@pytest.fixture(autouse=True)
def sound(world):
    """Whatever a test here did, the vault verifies afterwards."""
    yield
    assert verify(world.vault).problems == []


# --- what goes along


def test_derived_memories_go_with_their_source_on_every_branch(world):
    turn = world.add("Ana likes kites")
    branch = world.fork("trial")
    fact = world.add("likes: kites", derived_from=(turn,), branch=branch)
    inner = world.fork("inner", branch=branch)
    world.add("profile of kites", derived_from=(fact,), branch=inner)
    kept = world.add("Ana likes boats")
    outcome = world.forget(turn)
    assert len(outcome.forgotten) == 3
    assert outcome.forgotten[0] == turn
    assert world.found(b"kites") == []
    assert world.rows(schema.SOURCES) == []
    assert [row.id for row in world.rows(schema.IDS)] == [kept]


def test_an_earlier_versions_source_takes_a_memory_along(world):
    first, second = world.add("Ana likes kites"), world.add("Ana likes boats")
    fact = world.add("likes: kites", derived_from=(first,))
    world.update(fact, "likes: boats", derived_from=(second,))
    assert world.forget(first).forgotten == [first, fact]
    assert world.texts() == ["Ana likes boats"]


def test_forgetting_with_sources_takes_them_and_all_they_carry(world):
    turns = [world.add(f"Ana likes {name}") for name in ("kites", "boats")]
    fact = world.add("likes: kites, boats", derived_from=turns)
    profile = world.add("profile: likes much", derived_from=(fact,))
    other = world.add("another fact of kites", derived_from=(turns[0],))
    kept = world.add("Ana has a cat")
    outcome = world.forget(profile, sources=True)
    assert set(outcome.forgotten) == {*turns, fact, profile, other}
    assert (outcome.ids, outcome.sources) == ([profile], [])
    assert world.texts() == ["Ana has a cat"]
    assert world.rows(schema.SUPPRESSED) == []
    assert [row.id for row in world.rows(schema.IDS)] == [kept]


def test_forgetting_a_derived_memory_names_the_sources_that_still_say_it(world):
    turns = [world.add(f"Ana likes {name}") for name in ("kites", "boats")]
    fact = world.add("likes: kites, boats", derived_from=turns)
    outcome = world.forget(fact)
    assert (outcome.forgotten, set(outcome.sources)) == ([fact], set(turns))
    assert len(world.texts()) == 2


def test_links_to_and_from_a_forgotten_memory_leave(world):
    one, other = world.add("one"), world.add("other")
    linked = world.add(
        "both", links=tuple(Link(type="contradicts", target=id) for id in (one, other))
    )
    assert {(row.target, row.source) for row in world.rows(schema.LINKS)} == {
        (one, linked),
        (other, linked),
    }
    world.forget(one)
    assert {row.target for row in world.rows(schema.LINKS)} == {other}
    world.move(linked, State.ARCHIVED)
    world.revert(linked, 1)
    assert {row.target for row in world.rows(schema.LINKS)} == {other}
    world.forget(linked)
    assert world.rows(schema.LINKS) == []


def test_use_and_bytes_of_every_version_leave(world):
    id, kept = world.add("a secret", external_id="m1"), world.add("kept")
    branch = world.fork("trial")
    world.update(id, "a secret of the branch", external_id="m2", branch=branch)
    world.update(id, "a secret of main", external_id="m3")
    cube = world.rows(schema.IDS, "t", id)[0].cube
    subject = world.key()[1]
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.USAGE, schema.Usage("t", subject, cube, 3, 1, 2, 1000))
    world.forget(id, branch=branch)
    for needle in (b"secret", b"m1", b"m2", b"m3"):
        assert world.found(needle) == []
    assert world.rows(schema.USAGE) == []
    assert world.found(id.encode()) == ["events", "forgotten"]
    for line in (MAIN, branch):
        for as_of in (None, *range(world.head().seq + 1)):
            assert set(world.texts(branch=line, as_of=as_of)) <= {"kept"}
    assert kept


# --- what comes back


@pytest.fixture
def merged(world):
    """Two turns merged into a fact: their successor is current, they are not."""
    world.turns = [world.add(f"Ana likes {name}") for name in ("kites", "boats")]
    made = Add(id=world.ids.fresh(), draft=world.draft("likes both", derived_from=world.turns))
    moves = [Transition(id=id, state=State.MERGED) for id in world.turns]
    world.commit(made, *moves)
    world.fact = made.id
    return world


def test_sources_of_a_forgotten_merger_come_back(merged):
    assert merged.texts(states=CURRENT_STATES) == ["likes both"]
    outcome = merged.forget(merged.fact)
    assert set(outcome.restored) == set(merged.turns)
    assert merged.texts(states=CURRENT_STATES) == ["Ana likes kites", "Ana likes boats"]
    arrays = merged.load()
    shown = arrays.vectors[arrays.dead == schema.ALIVE]
    assert shown.any(axis=1).all()


def test_the_other_sources_of_a_merger_come_back(merged):
    outcome = merged.forget(merged.turns[0])
    assert set(outcome.forgotten) == {merged.turns[0], merged.fact}
    assert outcome.restored == [merged.turns[1]]
    assert merged.texts(states=CURRENT_STATES) == ["Ana likes boats"]


def test_a_source_with_another_successor_stays_merged(merged):
    merged.move(merged.turns[0], State.ACTIVATED)
    draft = merged.draft("another summary", derived_from=(merged.turns[0],))
    other = Add(id=merged.ids.fresh(), draft=draft)
    merged.commit(other, Transition(id=merged.turns[0], state=State.MERGED))
    outcome = merged.forget(merged.fact)
    assert outcome.restored == [merged.turns[1]]
    assert merged.texts(states=CURRENT_STATES) == ["Ana likes boats", "another summary"]
    assert merged.forget(other.id).restored == [merged.turns[0]]


def test_what_was_derived_apart_keeps_no_source_merged(merged):
    apart = merged.add("Ana has a hobby", derived_from=(merged.turns[0],))
    assert set(merged.forget(merged.fact).restored) == set(merged.turns)
    assert merged.forget(apart).restored == []


def test_nothing_is_derived_from_anothers_memory(world):
    theirs = world.add("theirs", subject="bo")
    mine = world.add("mine")
    refused(world, NotFound, lambda: world.add("borrowed", derived_from=(theirs,)))
    refused(world, NotFound, lambda: world.update(mine, "borrowed", derived_from=(theirs,)))


@pytest.mark.parametrize("from_branch", [False, True])
def test_merged_sources_come_back_on_every_branch_that_saw_them_merged(merged, from_branch):
    branch = merged.fork("trial")
    before = merged.fork("before", at=2)
    lines = {"branch": branch if from_branch else MAIN}
    assert set(merged.forget(merged.fact, **lines).restored) == set(merged.turns)
    for line in (MAIN, branch, before):
        shown = merged.texts(states=CURRENT_STATES, branch=line)
        assert shown == ["Ana likes kites", "Ana likes boats"]
    assert merged.rows(schema.PAGES, *merged.key(branch=before)) == []


def test_sources_in_other_states_stay_as_they_are(merged):
    merged.move(merged.turns[0], State.ARCHIVED)
    assert merged.forget(merged.fact).restored == [merged.turns[1]]


# --- what is not derived again


def derive(world, text, *sources, **header):
    draft = world.draft(text, derived_from=sources, kind=Kind.FACT, **header)
    return world.commit(Add(id=world.ids.fresh(), draft=draft))


def test_a_forgotten_derivation_is_not_derived_again(world):
    turn, other = world.add("Ana likes kites"), world.add("Ana flies kites")
    made = derive(world, "likes: kites", turn)
    world.forget(made.ids[0])
    head = world.head()
    for text in ("likes: kites", "Kites: LIKES!"):
        outcome = derive(world, text, turn)
        assert (outcome.suppressed, outcome.ids) == (1, [])
        assert derive(world, text, turn, other).suppressed == 1
    assert world.head() == head
    assert derive(world, "likes: boats", turn).suppressed == 0
    assert derive(world, "likes: kites", other).suppressed == 0
    assert world.found(b"likes: kites") != []


def test_what_is_suppressed_cannot_be_read_and_leaves_with_its_source(world):
    turn = world.add("Ana flies much")
    other = world.add("Ana walks")
    fact = derive(world, "unheard secret", turn, other).ids[0]
    world.forget(fact)
    assert world.found(b"unheard") == []
    assert [row.source for row in world.rows(schema.SUPPRESSED)] == sorted((turn, other))
    salts = {row.salt for row in world.rows(schema.SUPPRESSED)}
    assert len(salts) == 2
    world.forget(turn)
    assert [row.source for row in world.rows(schema.SUPPRESSED)] == [other]
    assert derive(world, "unheard secret", other).suppressed == 1
    world.forget(other)
    assert world.rows(schema.SUPPRESSED) == []


def test_a_derivation_of_a_branch_forgotten_from_elsewhere_is_suppressed_too(world):
    turn = world.add("Ana likes kites")
    branch = world.fork("trial")
    fact = world.add("likes: kites", derived_from=(turn,), kind=Kind.FACT, branch=branch)
    world.forget(fact)
    assert derive(world, "likes: kites", turn).suppressed == 1


def test_what_went_with_its_source_is_not_suppressed_elsewhere(world):
    one, other = world.add("Ana likes kites"), world.add("Ana likes kites, she says")
    derive(world, "likes: kites", one, other)
    world.forget(one)
    assert derive(world, "likes: kites", other).suppressed == 0


def test_a_verbatim_memory_is_never_suppressed(world):
    turn = world.add("Ana likes kites")
    world.forget(derive(world, "likes: kites", turn).ids[0])
    assert (
        world.commit(Add(id=world.ids.fresh(), draft=world.draft("likes: kites"))).suppressed == 0
    )


# --- ids


def test_a_forgotten_id_cannot_be_written_again(world):
    world.add("keeps the subject alive")
    id = world.add("hello")
    world.forget(id)
    (row,) = world.rows(schema.FORGOTTEN)
    assert (row.id, row.seq) == (id, world.head().seq)
    again = Add(id=id, draft=world.draft("hello"))
    refused(world, Conflict, lambda: world.commit(again), match="forgotten")
    with pytest.raises(NotFound):
        world.revert(id, 1)


def test_forgetting_twice_in_one_call_is_forgetting_once(world):
    id = world.add("hello")
    outcome = world.commit(Forget(id=id), Forget(id=id))
    assert (outcome.ids, outcome.forgotten) == ([id, id], [id])
    assert len(world.rows(schema.FORGOTTEN)) == 1


# --- the records of a subject


def test_records_of_an_emptied_subject_are_erased(world):
    one = world.add("hello", subject="user:unusual")
    world.add("of somebody else")
    world.snapshot("snapname", subject="user:unusual")
    branch = world.fork("branchname", subject="user:unusual")
    inner = world.fork("innername", subject="user:unusual", branch=branch)
    other = world.add("on the branch", subject="user:unusual", branch=inner)
    world.policy(Kind.FACT, {"note": "policyword"}, subject="user:unusual")
    world.rollback(world.head().seq, subject="user:unusual")
    needles = [b"snapname", b"branchname", b"innername", b"policyword", b"user:unusual"]
    assert all(world.found(needle) for needle in needles)
    world.forget(one, subject="user:unusual")
    assert all(world.found(needle) for needle in needles)
    outcome = world.forget(other, subject="user:unusual", branch=inner)
    assert outcome.forgotten == [other]
    assert [world.found(needle) for needle in needles] == [[]] * len(needles)
    for table in (
        schema.RECORDS,
        schema.SNAPSHOTS,
        schema.BRANCHES,
        schema.POLICIES,
        schema.HISTORY,
    ):
        assert world.rows(table) == []
    assert world.texts() == ["of somebody else"]
    assert len(world.rows(schema.PAGES)) == 1


def test_the_tenants_policies_stay_when_a_subject_is_emptied(world):
    id = world.add("hello")
    world.policy(None, {"days": 3}, everywhere=True)
    world.forget(id)
    assert [row.body for row in world.rows(schema.POLICIES)] == [b'{"days":3}']


def test_names_are_free_again_for_a_subject_that_comes_back(world):
    id = world.add("hello")
    names = (Snapshot(id=world.ids.fresh(), name="a"), Fork(id=world.ids.fresh(), name="b"))
    world.commit(*names)
    world.forget(id)
    world.add("hello again")
    world.snapshot("a")
    branch = world.fork("b")
    assert world.texts(branch=branch) == ["hello again"]


# --- holds


@pytest.mark.parametrize("held_on_main", [False, True])
def test_a_hold_on_any_branch_protects(world, held_on_main):
    id = world.add("evidence")
    branch = world.fork("trial")
    where = MAIN if held_on_main else branch
    world.amend(id, branch=where, hold=True)
    for line in (MAIN, branch):
        refused(world, Protected, lambda line=line: world.forget(id, branch=line), match="hold")
    world.amend(id, branch=where, hold=False)
    world.forget(id)
    assert world.found(b"evidence") == []


def test_a_hold_a_branch_has_inherited_protects_too(world):
    id = world.add("evidence", hold=True)
    branch = world.fork("trial")
    inner = world.fork("inner", branch=branch)
    world.amend(id, hold=False)
    refused(world, Protected, lambda: world.forget(id), match="hold")
    world.amend(id, branch=branch, hold=False)
    refused(world, Protected, lambda: world.forget(id), match="hold")
    world.amend(id, branch=inner, hold=False)
    world.forget(id)
    assert world.found(b"evidence") == []


def test_a_hold_on_a_branchs_derivation_protects_the_source(world):
    turn = world.add("Ana likes kites")
    branch = world.fork("trial")
    world.add("evidence", derived_from=(turn,), hold=True, branch=branch)
    refused(world, Protected, lambda: world.forget(turn), match="hold")


def test_a_hold_on_a_source_stops_forgetting_with_sources(world):
    turn = world.add("Ana likes kites", hold=True)
    fact = world.add("likes: kites", derived_from=(turn,))
    refused(world, Protected, lambda: world.forget(fact, sources=True), match="hold")
    world.forget(fact)
    assert world.texts() == ["Ana likes kites"]
