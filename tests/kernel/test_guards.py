"""Which memories a grant shows: labels, access lists, agents and runs; what a stranger learns."""

import pytest
from grant_calls import (
    ANA,
    BEN,
    CY,
    DAN,
    acted,
    grant,
    group,
    is_refused,
    sees,
    take_back,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import Forbidden, InvalidInput, NotFound
from mnemos.kernel.changes import (
    Add,
    Amend,
    Approve,
    Forget,
    Revert,
    SetRule,
    Transition,
    Update,
)
from mnemos.kernel.governance.grants import Grant, Verb, check_principal
from mnemos.kernel.proof.verify import verify
from mnemos.types import Kind, Link, State


@pytest.fixture
def home(world):
    """Ana's page: a turn and a fact, and one thing that waits in quarantine."""
    world.turn = write(world, "a turn")
    world.fact = write(world, "a fact", kind=Kind.FACT)
    world.waiting = write(world, "a rule", kind=Kind.INSTRUCTION, trust=0.1)
    return world


# --------------------------------------------------------- labels, access lists, rectangles


def test_a_label_takes_a_clearance(home):
    write(home, "an illness", sensitivity="health")
    write(home, "a debt", sensitivity="money")
    write(home, "a secret", sensitivity="secret")
    plain = {"a turn", "a fact", "a rule"}
    grant(home, BEN, Verb.READ)
    assert sees(home, BEN) == plain
    grant(home, BEN, Verb.READ, labels=frozenset({"health", "money"}), kinds=frozenset({Kind.TURN}))
    assert sees(home, BEN) == plain | {"an illness", "a debt"}
    grant(home, CY, Verb.READ, labels=None)
    assert len(sees(home, CY)) == 6
    assert len(sees(home, ANA)) == len(sees(home, "owner")) == 6


def test_a_labelled_memory_is_not_written_without_clearance(home):
    grant(home, BEN, {Verb.READ, Verb.WRITE}, trust=1.0, labels=frozenset({"health"}))
    id = write(home, "an illness", actor=BEN, sensitivity="health")
    for change in (
        Add(id=home.ids.fresh(), draft=home.draft("x", sensitivity="money")),
        Amend(id=id, fields={"sensitivity": "money"}),
    ):
        with pytest.raises(Forbidden):
            acted(home, change)


def test_an_access_list_shows_a_memory_to_those_on_it_and_to_who_wrote_it(home):
    for principal in (BEN, CY, DAN):
        grant(home, principal, {Verb.READ, Verb.WRITE})
    write(home, "for Cy", access=(CY,))
    write(home, "Ben's for Cy", actor=BEN, access=(CY,))
    plain = {"a turn", "a fact", "a rule"}
    assert sees(home, BEN) == plain | {"Ben's for Cy"}
    assert sees(home, CY) == plain | {"for Cy", "Ben's for Cy"}
    assert sees(home, DAN) == plain
    assert len(sees(home, ANA)) == 5


@pytest.mark.parametrize("first", [BEN, DAN])
def test_two_lists_alike_of_two_writers_are_told_apart(home, first):
    # A guard is asked about by one row that carries it, so it must say who wrote that row.
    second = DAN if first == BEN else BEN
    for principal in (BEN, CY, DAN):
        grant(home, principal, {Verb.READ, Verb.WRITE})
    for writer in (first, second):
        write(home, f"by {writer}", actor=writer, access=(CY,))
    assert sees(home, BEN) - sees(home, DAN) == {f"by {BEN}"}
    assert sees(home, DAN) - sees(home, BEN) == {f"by {DAN}"}
    assert verify(home.vault).ok


def test_a_label_put_on_later_hides_what_was_before_it(home):
    grant(home, BEN, Verb.READ)
    with home.reader(ANA, principal=BEN) as reader:
        assert reader.history(home.turn)
    home.commit(Amend(id=home.turn, fields={"sensitivity": "health"}), subject=ANA)
    assert sees(home, BEN) == {"a fact", "a rule"}
    with home.reader(ANA, principal=BEN) as reader, pytest.raises(NotFound):
        reader.history(home.turn)


def test_a_grant_of_an_agent_and_of_a_run_reach_their_rows(home):
    for agent, run in (("a", "r"), ("a", "q"), ("b", "r")):
        write(home, f"{agent}{run}", agent_id=agent, run_id=run)
    grant(home, BEN, Verb.READ, agent_id="a")
    assert sees(home, BEN) == {"ar", "aq"}
    grant(home, CY, Verb.READ, agent_id="a", run_id="r")
    grant(home, CY, {Verb.READ, Verb.WRITE}, run_id="q", trust=1.0)
    assert sees(home, CY) == {"ar", "aq"}
    with pytest.raises(Forbidden):
        write(home, "elsewhere", actor=CY, run_id="r", agent_id="a")
    write(home, "there", actor=CY, run_id="q", agent_id="b")
    assert sees(home, CY) == {"ar", "aq", "there"}


def test_guards_hold_in_segments_on_branches_and_in_the_past(make_world, engine, small_segments):
    home = make_world(engine)
    for n in range(9):
        write(home, f"open {n}")
        write(home, f"closed {n}", sensitivity="health", access=(CY,) if n % 2 else ())
    grant(home, BEN, Verb.READ)
    grant(home, CY, Verb.READ, labels=None)
    at = home.head().seq
    branch = home.fork("trial", subject=ANA)
    write(home, "closed on a branch", branch=branch, sensitivity="health")
    write(home, "open on a branch", branch=branch)
    write(home, "closed later", sensitivity="health")
    plain = {f"open {n}" for n in range(9)}
    closed = {f"closed {n}" for n in range(9)}
    assert home.page(ANA).sealed > 0
    assert sees(home, BEN) == sees(home, BEN, as_of=at) == plain
    assert sees(home, BEN, branch=branch) == plain | {"open on a branch"}
    assert sees(home, CY) == plain | closed | {"closed later"}
    assert sees(home, CY, as_of=at) == plain | closed
    assert sees(home, CY, branch=branch) >= closed | {"closed on a branch"}


def test_a_grant_taken_back_counts_from_the_next_read(home):
    held = grant(home, BEN, Verb.READ)
    assert len(sees(home, BEN)) == 3  # every index is loaded and cached now
    take_back(home, held)
    assert is_refused(home, BEN)
    assert is_refused(home, BEN, as_of=home.head().seq - 1)  # nor is the past of it a way round
    with pytest.raises(NotFound):
        home.vault.owner_of("t", home.turn, BEN)
    grant(home, BEN, Verb.READ, kinds=frozenset({Kind.FACT}))
    assert sees(home, BEN) == {"a fact"}


def test_a_grant_that_is_staged_counts_within_the_transaction_alone(home):
    id = home.ids.fresh()
    given = Grant(id=id, principal=BEN, verbs=frozenset({Verb.READ}))
    change = SetRule(id=id, sort="grant", name=id, value=given.to_json())
    staged = [home.staged(change, subject=ANA)]
    assert len(sees(home, BEN, staged=staged)) == 3
    assert is_refused(home, BEN)


# ----------------------------------------------------------------- what a stranger learns


def test_a_stranger_learns_nothing_of_an_id_by_reading(home):
    missing = home.ids.fresh()
    said = []
    for id in (home.turn, missing):
        with pytest.raises(NotFound) as refusal:
            home.vault.owner_of("t", id, BEN)
        said.append(str(refusal.value).replace(id, "ID"))
    assert said[0] == said[1]
    grant(home, BEN, Verb.READ, kinds=frozenset({Kind.FACT}))
    for call in ("get", "history"):
        said = []
        for id in (home.turn, missing):
            with home.reader(ANA, principal=BEN) as reader, pytest.raises(NotFound) as refusal:
                getattr(reader, call)(id)
            said.append(str(refusal.value).replace(id, "ID"))
        assert said[0] == said[1]


def test_a_stranger_learns_nothing_by_writing(home):
    write(home, "named", external_id="taken")
    fresh = home.ids.fresh
    said = {}
    for id in (home.turn, fresh()):
        for change in (
            Update(id=id, draft=home.draft("x")),
            Amend(id=id, fields={"tags": ("x",)}),
            Transition(id=id, state=State.ARCHIVED),
            Transition(id=home.turn, state=State.SUPERSEDED, successor=id),
            Revert(id=id, version=1),
            Approve(id=id),
            Forget(id=id),
            Add(id=fresh(), draft=home.draft("x", derived_from=(id,))),
            Add(id=fresh(), draft=home.draft("x", links=(Link(type="repeats", target=id),))),
        ):
            with pytest.raises(Forbidden) as refusal:
                acted(home, change)
            said.setdefault(str(refusal.value), []).append(change)
        with pytest.raises(Forbidden):
            home.commit(
                Add(id=fresh(), draft=home.draft("x")), subject=ANA, actor=BEN, bases={id: 1}
            )
    assert len(said) == 1
    for external in ("taken", "free"):
        with pytest.raises(Forbidden):
            write(home, "x", actor=BEN, external_id=external)
    grant(home, BEN, Verb.READ)  # who reads only learns no more of names that are taken
    for external in ("taken", "free"):
        with pytest.raises(Forbidden):
            write(home, "x", actor=BEN, external_id=external)


@pytest.mark.parametrize(
    "name", ["", "ben", "user:", "user: ben", "user:ben ", "robot:x", "group:x", "user:a\nb", 7]
)
def test_a_name_that_is_no_principal_is_refused(name):
    with pytest.raises(InvalidInput):
        check_principal(name)
    assert check_principal("user:ben k") == "user:ben k"
    assert check_principal("group:x", groups=True) == "group:x"


# ---------------------------------------------------------------------------- a law

KINDS = [Kind.TURN, Kind.FACT]
NAMED = st.none() | st.sampled_from(["a", "b"])
LABEL = st.none() | st.sampled_from(["health", "money"])
ROW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "agent_id": NAMED,
        "run_id": NAMED,
        "sensitivity": LABEL,
        "access": st.lists(st.sampled_from([BEN, CY]), unique=True, max_size=2).map(tuple),
        "owner": st.none() | st.sampled_from([BEN, CY, DAN]),
    }
)
GIVEN = st.fixed_dictionaries(
    {
        "principal": st.sampled_from([BEN, "group:g"]),
        "verbs": st.just(frozenset({Verb.READ})),
        "kinds": st.none() | st.sets(st.sampled_from(KINDS), min_size=1).map(frozenset),
        "agent_id": NAMED,
        "run_id": NAMED,
        "labels": st.none() | st.sets(st.sampled_from(["health", "money"])).map(frozenset),
    }
)


def may_see(row, right):
    """Say what a grant shows, the plain way."""
    if row["access"] and BEN not in (*row["access"], row["owner"]):
        return False
    if row["sensitivity"] and right["labels"] is not None:
        if row["sensitivity"] not in right["labels"]:
            return False
    if right["kinds"] is not None and row["kind"] not in right["kinds"]:
        return False
    return all(right[name] in (None, row[name]) for name in ("agent_id", "run_id"))


@pytest.mark.parametrize("engine", ["memory"])
@given(
    rows=st.lists(ROW, min_size=1, max_size=8),
    grants=st.lists(GIVEN, max_size=3),
    everywhere=st.booleans(),
)
def test_page_list_get_and_history_show_what_the_grants_say(
    make_world, engine, small_segments, rows, grants, everywhere
):
    home = make_world(engine)
    group(home, "group:g", BEN)
    for n, row in enumerate(rows):
        write(home, f"row {n}", **row)
    for right in grants:
        grant(home, everywhere=everywhere, **right)
    if not grants:
        assert is_refused(home, BEN)
        return
    wanted = {
        f"row {n}" for n, row in enumerate(rows) if any(may_see(row, right) for right in grants)
    }
    assert sees(home, BEN) == wanted
