"""The whole State x State table, as a function and through a vault."""

from itertools import product

import pytest

from mnemos.errors import IllegalTransition, NotFound
from mnemos.kernel.lifecycle import FIRST, LEGAL, check_first, check_transition
from mnemos.types import State

S = State

STEPS = (
    {
        (S.GENERATED, S.ACTIVATED),
        (S.ACTIVATED, S.MERGED),
        (S.ACTIVATED, S.SUPERSEDED),
        (S.ACTIVATED, S.ARCHIVED),
        (S.ACTIVATED, S.EXPIRED),
        (S.MERGED, S.ARCHIVED),
        (S.MERGED, S.ACTIVATED),
        (S.SUPERSEDED, S.ARCHIVED),
        (S.SUPERSEDED, S.ACTIVATED),
        (S.ARCHIVED, S.ACTIVATED),
        (S.ARCHIVED, S.EXPIRED),
        (S.QUARANTINED, S.ACTIVATED),
        (S.QUARANTINED, S.MERGED),
        (S.QUARANTINED, S.SUPERSEDED),
        (S.QUARANTINED, S.ARCHIVED),
        (S.QUARANTINED, S.EXPIRED),
    }
    | {
        (before, S.QUARANTINED)
        for before in (S.GENERATED, S.ACTIVATED, S.MERGED, S.SUPERSEDED, S.ARCHIVED)
    }
    | {(before, S.FORGOTTEN) for before in S if before is not S.FORGOTTEN}
)
"""DESIGN section 7, written out once more, and the steps into quarantine and out of it."""

BY_APPROVAL = {(S.QUARANTINED, S.ACTIVATED)}
"""Legal, but not by a plain move."""

ROUTES = {
    S.GENERATED: (),
    S.ACTIVATED: (S.ACTIVATED,),
    S.MERGED: (S.ACTIVATED, S.MERGED),
    S.SUPERSEDED: (S.ACTIVATED, S.SUPERSEDED),
    S.ARCHIVED: (S.ACTIVATED, S.ARCHIVED),
    S.EXPIRED: (S.ACTIVATED, S.EXPIRED),
    S.QUARANTINED: (S.ACTIVATED, S.QUARANTINED),
}
"""How a new memory gets into each state it can be in."""


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_step_is_legal_or_raises(before, after):
    if (before, after) in STEPS:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransition) as caught:
            check_transition(before, after)
        assert f"from {before} to {after}" in str(caught.value)
        assert all(state in str(caught.value) for state in LEGAL[before])


@pytest.mark.parametrize("state", State)
def test_a_memory_starts_generated_activated_or_in_quarantine(state, make_world):
    world = make_world()
    if state in {S.GENERATED, S.ACTIVATED, S.QUARANTINED}:
        check_first(state)
        world.add("a new memory", state=state)
        with world.reader() as reader:
            assert [cube.state for cube in reader.list()] == [state]
    else:
        with pytest.raises(IllegalTransition, match="cannot start"):
            check_first(state)
        with pytest.raises(IllegalTransition, match="cannot start"):
            world.add("a new memory", state=state)
        assert world.head() is None
    assert {S.GENERATED, S.ACTIVATED, S.QUARANTINED} == FIRST


@pytest.mark.parametrize(
    ("before", "after"),
    [(before, after) for before in ROUTES for after in State if after is not S.FORGOTTEN],
)
def test_a_vault_takes_legal_steps_only(before, after, make_world):
    world = make_world()
    id = world.add("a memory", state=S.GENERATED)
    for state in ROUTES[before]:
        world.move(id, state)
    head, everything = world.head(), world.everything()
    if (before, after) not in STEPS - BY_APPROVAL:
        with pytest.raises(IllegalTransition):
            world.move(id, after)
        assert world.everything() == everything
        return
    assert world.move(id, after).seq == head.seq + 1
    with world.reader() as reader:
        assert reader.get(id).state is after
        assert [cube.state for cube in reader.history(id)][-2:] == [before, after]
    with world.reader(as_of=head.seq) as reader:
        assert reader.get(id).state is before


@pytest.mark.parametrize("before", ROUTES)
def test_forgetting_is_possible_from_every_state(before, make_world):
    world = make_world()
    id = world.add("a memory", state=S.GENERATED)
    for state in ROUTES[before]:
        world.move(id, state)
    world.forget(id)
    with world.reader() as reader, pytest.raises(NotFound):
        reader.get(id)


def test_an_update_that_changes_the_state_follows_the_same_table(make_world):
    world = make_world()
    id = world.add("a memory")
    with pytest.raises(IllegalTransition):
        world.update(id, "a memory, generated again", state=S.GENERATED)
    world.update(id, "a memory that ended", state=S.EXPIRED)
    with pytest.raises(IllegalTransition):
        world.update(id, "a memory come back")
