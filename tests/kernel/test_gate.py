"""Trust and quarantine: what words count, what they may not overrule, and how they are let in."""

from datetime import timedelta

import numpy as np
import pytest
from grant_calls import ANA, BEN, CY, grant, write

from mnemos.errors import Forbidden, IllegalTransition, InvalidInput, NotFound, TooLittleTrust
from mnemos.kernel.changes import Add, Amend, Approve, MergeBranch, Revert, Transition, Update
from mnemos.kernel.governance.grants import FOREIGN_TRUST, Verb
from mnemos.kernel.governance.trust import STANDING, UNSOURCED
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep.sweeping import sweep
from mnemos.memories.strength import read_law
from mnemos.types import CEILINGS, CURRENT_STATES, TRUSTED, Kind, Link, Origin, State

DATA = sorted(set(Kind) - STANDING)
BOTH = {Verb.READ, Verb.WRITE}


def read(world, id, **how):
    with world.reader(ANA, **how) as reader:
        return reader.get(id)


def trust(world, id, **how):
    return read(world, id, **how).header.trust


def state(world, id, **how):
    return read(world, id, **how).state


def commit(world, *changes, actor="owner", **where):
    return world.commit(*changes, subject=ANA, actor=actor, **where)


def visible(world, **how):
    """The ids a default view shows, by its list and by its page."""
    with world.reader(ANA, states=CURRENT_STATES, **how) as reader:
        listed = {cube.id for cube in reader.list()}
        arrays, mask = reader.page()
        rows = zip(arrays.column("born")[mask], arrays.column("cube")[mask], strict=True)
        assert {reader.cube(int(born), int(cube)).id for born, cube in rows} == listed
        assert int(np.count_nonzero(mask)) == len(listed)
        return listed


@pytest.fixture
def home(world):
    """Ana's own fact, a tool's, and Ben, who may write to her with little trust."""
    world.mine = write(world, "Ana's IBAN is 1", kind=Kind.FACT, external_id="iban")
    world.tools = write(world, "the tool's fact", kind=Kind.FACT, origin=Origin.TOOL)
    grant(world, BEN, BOTH)
    yield world
    assert verify(world.vault).ok


# ------------------------------------------------------------------------------- trust


@pytest.mark.parametrize("origin", Origin)
def test_an_origin_bounds_the_trust_of_its_words(home, origin):
    id = write(home, "words", origin=origin)
    assert trust(home, id) == (UNSOURCED if origin is Origin.DERIVED else CEILINGS[origin])
    assert trust(home, write(home, "less", origin=origin, trust=0.1)) == 0.1


def test_what_is_derived_has_the_least_trust_of_its_sources(home):
    agents = write(home, "the agent's", origin=Origin.AGENT)

    def made(*sources, origin=Origin.DERIVED):
        return write(home, "made", origin=origin, derived_from=sources)

    assert trust(home, made(home.mine)) == 1.0
    assert trust(home, made(home.mine, agents)) == CEILINGS[Origin.AGENT]
    least = made(home.mine, agents, home.tools)
    assert trust(home, least) == CEILINGS[Origin.TOOL]
    assert trust(home, made(least)) == CEILINGS[Origin.TOOL]  # and so on, at every depth
    assert trust(home, made(home.tools, origin=Origin.USER)) == CEILINGS[Origin.TOOL]


@pytest.mark.parametrize("type", ["recalled_from", "repeats"])
def test_what_comes_back_is_no_more_trusted_than_what_it_repeats(home, type):
    link = Link(type=type, target=home.tools)
    id = write(home, "again", origin=Origin.USER, links=(link,))
    assert trust(home, id) == CEILINGS[Origin.TOOL]
    free = write(home, "other", links=(Link(type="contradicts", target=home.tools),))
    assert trust(home, free) == 1.0


def test_what_another_writes_counts_what_the_grant_for_it_says(home):
    assert trust(home, write(home, "Ben's", actor=BEN)) == FOREIGN_TRUST
    grant(home, CY, BOTH, kinds=frozenset({Kind.FACT}), trust=0.9)
    grant(home, CY, BOTH, kinds=frozenset({Kind.INSTRUCTION}), trust=0.2)
    # Each memory by the grants that reach it: not the most that Cy was ever trusted with.
    rule = write(home, "obey Cy", actor=CY, kind=Kind.INSTRUCTION)
    assert (trust(home, rule), state(home, rule)) == (0.2, State.QUARANTINED)
    assert trust(home, write(home, "Cy's", actor=CY, kind=Kind.FACT)) == 0.9


RAISING = {
    "update": lambda home, id: Update(
        id=id, draft=home.draft("x", kind=Kind.FACT, origin=Origin.TOOL, trust=1.0)
    ),
    "update, approved": lambda home, id: Update(
        id=id, draft=home.draft("x", origin=Origin.TOOL, trust=1.0, approved_by="owner")
    ),
    "update from a source": lambda home, id: Update(
        id=id, draft=home.draft("x", origin=Origin.DERIVED, derived_from=(home.tools,))
    ),
    "amend": lambda home, id: Amend(id=id, fields={"trust": 1.0}),
    "amend the origin": lambda home, id: Amend(id=id, fields={"origin": Origin.USER, "trust": 1.0}),
    "amend, approved": lambda home, id: Amend(id=id, fields={"approved_by": "owner", "trust": 1.0}),
    "amend away its sources": lambda home, id: Amend(
        id=id, fields={"derived_from": (), "links": (), "origin": Origin.DERIVED, "trust": 1.0}
    ),
    "revert": lambda home, id: Revert(id=id, version=1),
}


@pytest.mark.parametrize("actor", ["owner", ANA, BEN])
@pytest.mark.parametrize("name", RAISING)
def test_no_change_raises_the_trust_of_the_words(home, name, actor):
    commit(home, RAISING[name](home, home.tools), actor=actor)
    header = read(home, home.tools).header
    assert (header.trust, header.approved_by) == (CEILINGS[Origin.TOOL], None)


def test_nobody_is_approved_on_arrival(home):
    id = write(home, "x", kind=Kind.INSTRUCTION, origin=Origin.TOOL, approved_by="owner")
    header = read(home, id).header
    assert (header.approved_by, header.trust) == (None, CEILINGS[Origin.TOOL])
    assert state(home, id) is State.QUARANTINED


def test_an_approval_holds_for_what_was_vouched_for_and_no_more(home):
    grant(home, CY, {Verb.READ, Verb.APPROVE}, trust=0.75)
    commit(home, Approve(id=home.tools), actor=CY)
    header = read(home, home.tools).header
    assert (header.trust, header.approved_by) == (0.75, CY)
    again = home.draft(
        "the tool's fact", kind=Kind.FACT, origin=Origin.TOOL, trust=1.0, approved_by=CY
    )
    commit(home, Update(id=home.tools, draft=again))
    assert trust(home, home.tools) == 0.75
    commit(home, Amend(id=home.tools, fields={"trust": 1.0}))
    assert trust(home, home.tools) == 0.75
    # Another's name, or none, or another origin: then it is not approved.
    commit(home, Amend(id=home.tools, fields={"approved_by": "owner"}))
    assert trust(home, home.tools) == CEILINGS[Origin.TOOL]


# -------------------------------------------------------------------------- overruling


def added(home, **header):
    return Add(id=home.ids.fresh(), draft=home.draft("IBAN 2", **({"kind": Kind.FACT} | header)))


def by_tool(home, **header):
    return added(home, origin=Origin.TOOL, **header)


def with_successor(home, make, follow):
    new = make(home)
    return [new, follow(home.mine, new.id)]


def superseded(id, successor):
    return Transition(id=id, state=State.SUPERSEDED, successor=successor)


def ended(home):
    return lambda id, new: Amend(id=id, fields={"valid_to": home.clock.now()}, successor=new)


def replaced(home, **header):
    new = by_tool(home, external_id="iban", **header)
    return [Add(id=new.id, draft=new.draft, replace=True)]


def consolidated(home):
    new = added(home, origin=Origin.DERIVED, derived_from=(home.mine, home.tools))
    return [new, Transition(id=home.mine, state=State.MERGED, successor=new.id)]


BY_THE_HOST = {
    "update": lambda home: [Update(id=home.mine, draft=by_tool(home).draft)],
    "replace": replaced,
    "replace, approved": lambda home: replaced(home, approved_by="owner"),
    "supersede": lambda home: with_successor(home, by_tool, superseded),
    "supersede by what is there": lambda home: [superseded(home.mine, home.tools)],
    "contradict": lambda home: with_successor(home, by_tool, ended(home)),
    "consolidate": consolidated,
}
BY_BEN = {
    "update": lambda home: [Update(id=home.mine, draft=added(home).draft)],
    "supersede": lambda home: with_successor(home, added, superseded),
    "supersede by what is trusted": lambda home: [superseded(home.mine, home.other)],
    "supersede by itself": lambda home: [superseded(home.mine, home.mine)],
    "contradict": lambda home: with_successor(home, added, ended(home)),
    "contradict by what is trusted": lambda home: [ended(home)(home.mine, home.other)],
    "end": lambda home: [Amend(id=home.mine, fields={"valid_to": home.clock.now()})],
    "tag": lambda home: [Amend(id=home.mine, fields={"tags": ("wrong",)})],
    "archive": lambda home: [Transition(id=home.mine, state=State.ARCHIVED)],
    "expire": lambda home: [Transition(id=home.mine, state=State.EXPIRED)],
    "revert": lambda home: [Revert(id=home.mine, version=1)],
    "consolidate": consolidated,
}


@pytest.mark.parametrize("name", BY_THE_HOST)
def test_untrusted_words_do_not_overrule_trusted_ones(home, name):
    before = home.head().hash
    with pytest.raises(TooLittleTrust):
        commit(home, *BY_THE_HOST[name](home))
    assert home.head().hash == before


@pytest.mark.parametrize("name", BY_BEN)
def test_an_untrusted_principal_does_not_overrule_trusted_words(home, name):
    home.other = write(home, "Ana likes tea")
    before = home.head().hash
    with pytest.raises(TooLittleTrust):
        commit(home, *BY_BEN[name](home), actor=BEN)
    assert home.head().hash == before


def test_an_untrusted_principal_does_not_put_trusted_words_into_quarantine(home):
    grant(home, CY, {Verb.READ, Verb.APPROVE}, trust=0.5)
    with pytest.raises(TooLittleTrust):
        commit(home, Transition(id=home.mine, state=State.QUARANTINED), actor=CY)
    grant(home, CY, {Verb.APPROVE}, trust=0.9)
    commit(home, Transition(id=home.mine, state=State.QUARANTINED), actor=CY)
    assert state(home, home.mine) is State.QUARANTINED


def test_an_untrusted_principal_does_not_bring_back_what_its_owner_distrusts(home):
    commit(home, Amend(id=home.mine, fields={"trust": 0.2}))
    with pytest.raises(TooLittleTrust):
        commit(home, Revert(id=home.mine, version=1), actor=BEN)
    commit(home, Revert(id=home.mine, version=1))
    assert trust(home, home.mine) == 1.0


def test_equals_overrule_each_other_and_so_do_the_trusted(home):
    commit(home, Update(id=home.tools, draft=by_tool(home).draft))
    commit(home, Update(id=home.tools, draft=added(home).draft), actor=BEN)
    assert trust(home, home.tools) == FOREIGN_TRUST
    agents = added(home, origin=Origin.AGENT, external_id="iban")
    commit(home, Update(id=home.mine, draft=agents.draft))
    assert TRUSTED <= trust(home, home.mine) == CEILINGS[Origin.AGENT] < 1.0


def test_what_waits_in_quarantine_takes_nobodys_place(home):
    home.rule("intake", "source:web", {"quarantine": True}, subject=ANA)
    for follow in (superseded, ended(home)):
        held = added(home, source="web")
        with pytest.raises(TooLittleTrust, match="waits in quarantine"):
            commit(home, held, follow(home.mine, held.id))
    held = write(home, "IBAN 2", source="web", kind=Kind.FACT)
    commit(home, Approve(id=held))
    commit(home, superseded(home.mine, held))


# -------------------------------------------------------------------------- quarantine


@pytest.mark.parametrize("first", [State.ACTIVATED, State.GENERATED, State.QUARANTINED])
@pytest.mark.parametrize("kind", sorted(STANDING))
def test_what_would_steer_waits_unless_it_is_trusted(home, kind, first):
    for origin in (Origin.TOOL, Origin.DOCUMENT, Origin.IMPORT, Origin.DERIVED):
        id = write(home, "obey", kind=kind, origin=origin, state=first)
        assert state(home, id) is State.QUARANTINED
        assert id not in visible(home)
    assert state(home, write(home, "obey", kind=kind, actor=BEN)) is State.QUARANTINED
    for origin in (Origin.USER, Origin.AGENT):
        assert state(home, write(home, "obey", kind=kind, origin=origin, state=first)) is first


@pytest.mark.parametrize("kind", DATA)
def test_data_is_let_in_whatever_its_trust(home, kind):
    assert write(home, "data", kind=kind, origin=Origin.TOOL) in visible(home)


def held_as_data(home):
    home.rule("intake", "source:web", {"quarantine": True}, subject=ANA)
    return write(home, "from the web", kind=Kind.FACT, source="web", origin=Origin.DOCUMENT)


def held_as_steering(home):
    return write(home, "obey", kind=Kind.PROCEDURE, origin=Origin.TOOL)


HELD = {"steering": held_as_steering, "data": held_as_data}


def again(home, id, state=State.ACTIVATED):
    header = read(home, id).header
    fields = {name: getattr(header, name) for name in ("kind", "origin", "source", "trust")}
    return Update(id=id, draft=home.draft("new words", state=state, **fields))


def move(id, state):
    return Transition(id=id, state=state)


def rolled_back(home, id):
    at = home.head().seq
    commit(home, again(home, id))
    home.rollback(at, subject=ANA)


def withdrawn(home, id):
    home.rollback(read(home, id).recorded_seq - 1, subject=ANA)
    with pytest.raises(NotFound):
        read(home, id)
    commit(home, Revert(id=id, version=1))


def merged(home, id):
    branch = home.fork("trial", subject=ANA)
    commit(home, again(home, id), branch=branch)
    assert state(home, id, branch=branch) is State.QUARANTINED
    commit(home, MergeBranch(id=home.ids.fresh(), branch=branch))


def archived(home, id, *after):
    commit(home, move(id, State.ARCHIVED))
    for change in after:
        with pytest.raises(IllegalTransition, match="approve it"):
            commit(home, change)


STAYING = {
    "update": lambda home, id: commit(home, again(home, id)),
    "update as generated": lambda home, id: commit(home, again(home, id, State.GENERATED)),
    "amend": lambda home, id: commit(home, Amend(id=id, fields={"tags": ("x",), "priority": 9})),
    "revert": lambda home, id: commit(home, again(home, id), Revert(id=id, version=1)),
    "rollback": rolled_back,
    "withdrawal and revert": withdrawn,
    "merge": merged,
    "restore": lambda home, id: archived(home, id, move(id, State.ACTIVATED)),
    "update of the archived": lambda home, id: (
        archived(home, id),
        commit(home, again(home, id)),
    ),
    "revert of the archived": lambda home, id: (
        archived(home, id),
        commit(home, Revert(id=id, version=1)),
    ),
    "amend of the archived": lambda home, id: (
        archived(home, id),
        commit(home, Amend(id=id, fields={"tags": ("x",)})),
    ),
}


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("name", STAYING)
def test_what_waits_leaves_quarantine_by_no_other_way_than_approval(home, name, held):
    id = HELD[held](home)
    with pytest.raises(IllegalTransition, match="approve it"):
        commit(home, move(id, State.ACTIVATED))
    STAYING[name](home, id)
    assert id not in visible(home)
    if state(home, id) is State.ARCHIVED:
        commit(home, move(id, State.QUARANTINED))
    assert state(home, id) is State.QUARANTINED
    commit(home, Approve(id=id))
    assert id in visible(home)


@pytest.mark.parametrize("held", HELD)
def test_a_writer_does_not_move_what_waits(home, held):
    id = HELD[held](home)
    grant(home, CY, BOTH, trust=1.0)
    for change in (
        move(id, State.ARCHIVED),
        move(id, State.SUPERSEDED),
        again(home, id, State.ARCHIVED),
        Approve(id=id),
        Approve(id=id, as_data=True),
    ):
        with pytest.raises(Forbidden):
            commit(home, change, actor=CY)


def test_what_is_made_to_steer_goes_into_quarantine(home):
    for make in (
        lambda id: Amend(id=id, fields={"kind": Kind.INSTRUCTION}),
        lambda id: Update(id=id, draft=by_tool(home, kind=Kind.PROFILE).draft),
    ):
        id = write(home, "the tool's", kind=Kind.FACT, origin=Origin.TOOL)
        commit(home, make(id))
        assert state(home, id) is State.QUARANTINED
        assert id not in visible(home)


# ---------------------------------------------------------------------------- approval


def test_an_approval_vouches(home):
    id = held_as_steering(home)
    commit(home, Approve(id=id))
    header = read(home, id).header
    assert (header.trust, header.approved_by, header.origin) == (1.0, "owner", Origin.TOOL)
    assert id in visible(home)
    # It is kept by what follows, and bounds what is made of it.
    commit(home, Amend(id=id, fields={"tags": ("x",)}))
    assert (trust(home, id), state(home, id)) == (1.0, State.ACTIVATED)
    assert trust(home, write(home, "made", origin=Origin.DERIVED, derived_from=(id,))) == 1.0
    with pytest.raises(InvalidInput, match="steers"):
        commit(home, Approve(id=id, as_data=True))


def test_data_is_let_in_without_vouching(home):
    id = held_as_data(home)
    commit(home, Approve(id=id, as_data=True))
    header = read(home, id).header
    assert (header.trust, header.approved_by) == (CEILINGS[Origin.DOCUMENT], None)
    assert id in visible(home)
    commit(home, again(home, id))
    commit(home, move(id, State.ARCHIVED))
    commit(home, move(id, State.ACTIVATED))
    commit(home, Revert(id=id, version=1))  # it waited then, and was let in since
    assert id in visible(home)


def test_an_approver_vouches_for_what_its_grant_trusts_it_with(home):
    id = held_as_steering(home)
    both = {Verb.READ, Verb.APPROVE}
    grant(home, CY, both, kinds=frozenset({Kind.FACT}), trust=0.9)
    with pytest.raises(Forbidden):
        commit(home, Approve(id=id), actor=CY)
    grant(home, CY, both, trust=0.6)
    with pytest.raises(TooLittleTrust, match=r"vouches for 0\.6"):
        commit(home, Approve(id=id), actor=CY)
    commit(home, Approve(id=home.tools), actor=CY)
    assert trust(home, home.tools) == 0.9
    grant(home, CY, both, trust=TRUSTED)
    commit(home, Approve(id=id), actor=CY)
    assert (trust(home, id), read(home, id).header.approved_by) == (TRUSTED, CY)


def test_what_is_no_longer_there_is_not_approved(home):
    for after in (State.ARCHIVED, State.EXPIRED, State.SUPERSEDED):
        id = held_as_steering(home)
        commit(home, move(id, after))
        with pytest.raises(IllegalTransition):
            commit(home, Approve(id=id))


# --------------------------------------------------------------------------- its end


def swept(home):
    return sweep(home.vault, "t", strength=read_law)


@pytest.mark.parametrize("policy", [None, {"quarantine": 3_600.0}])
def test_what_waits_expires_and_is_forgotten(home, policy):
    if policy is not None:
        home.policy(None, policy, subject=ANA)
    id, approved = held_as_steering(home), held_as_steering(home)
    commit(home, Approve(id=approved))
    waits = timedelta(days=30) if policy is None else timedelta(hours=1)
    home.clock.advance(waits - timedelta(seconds=1))
    assert swept(home).expired == ()
    home.clock.advance(timedelta(seconds=1))
    report = swept(home)
    assert (report.expired, state(home, id)) == ((id,), State.EXPIRED)
    for change in (move(id, State.ACTIVATED), Revert(id=id, version=1), Approve(id=id)):
        with pytest.raises(IllegalTransition):
            commit(home, change)
    home.clock.advance(timedelta(days=8))
    assert swept(home).forgotten == (id,)
    assert approved in visible(home)


def test_what_is_derived_has_the_label_and_the_list_of_its_sources(world):
    one = write(world, "asthma", sensitivity="health", access=(BEN, CY))
    two = write(world, "a salary", sensitivity="pay", access=(BEN,))
    plain = write(world, "a boat")
    derived = write(world, "one of them", derived_from=(one, plain))
    both = write(world, "both of them", derived_from=(one, two))
    echo = write(world, "asthma again", links=(Link(type="recalled_from", target=one),))
    assert read(world, derived).header.sensitivity == "health"
    assert set(read(world, derived).header.access) == {BEN, CY}
    assert read(world, both).header.sensitivity == "health+pay"
    assert read(world, both).header.access == (BEN,)
    assert read(world, echo).header.sensitivity == "health"
    apart = write(world, "for Cy", access=(CY,))
    assert read(world, write(world, "nobody's", derived_from=(two, apart))).header.access == (ANA,)
    named = write(world, "declassified", derived_from=(one,), sensitivity="public")
    assert read(world, named).header.sensitivity == "public"
