"""What a source may write: caps counted in the commit, quarantine on arrival; and replays of it all."""

from dataclasses import replace
from datetime import timedelta

import pytest
from grant_calls import ANA, BEN, CY, grant, group, take_back, write

from mnemos.errors import Forbidden, IntakeFull, InvalidInput, VersionConflict
from mnemos.kernel import schema
from mnemos.kernel.changes import (
    Add,
    Amend,
    Approve,
    Forget,
    MergeBranch,
    Revert,
    Transition,
    Update,
)
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.governance.intake import KEPT_HOURS, MOST, Intake, rule_name
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.upkeep.sweeping import sweep
from mnemos.memories.strength import read_law
from mnemos.types import Kind, Origin, State

RULES = {
    rule_name(origin=Origin.TOOL): {"origin": Origin.TOOL},
    rule_name(source="web"): {"source": "web"},
    rule_name(principal=BEN): {"actor": BEN},
}


def cap(world, name, *, everywhere=False, subject=ANA, **fields):
    value = Intake(**fields).to_json()
    return world.rule("intake", name, value, everywhere=everywhere, subject=subject)


def lift(world, name, *, everywhere=False):
    world.rule("intake", name, None, everywhere=everywhere, subject=ANA)


def count(world):
    """Return what is counted: memories and bytes of every hour, in order."""
    return [(row.memories, row.bytes) for row in world.rows(schema.INTAKE)]


def state(world, id):
    with world.reader(ANA) as reader:
        return reader.get(id).state


@pytest.fixture
def home(world):
    write(world, "a turn")
    grant(world, BEN, {Verb.READ, Verb.WRITE})
    yield world
    assert verify(world.vault).ok


# ------------------------------------------------------------------------------- caps


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_a_source_writes_so_many_memories_in_an_hour(home, name, everywhere):
    cap(home, name, memories_per_hour=3, everywhere=everywhere)
    for n in range(3):
        write(home, f"memory {n}", **RULES[name])
    before = home.head().hash, count(home)
    for _ in range(2):
        with pytest.raises(IntakeFull, match="3 memories"):
            write(home, "one more", **RULES[name])
    assert (home.head().hash, count(home)) == before
    write(home, "from elsewhere", origin=Origin.DOCUMENT, source="disk")
    home.clock.advance(hours=1)
    write(home, "in the next hour", **RULES[name])
    lift(home, name, everywhere=everywhere)
    for n in range(4):
        write(home, f"free {n}", **RULES[name])


def test_a_source_writes_so_many_bytes_in_an_hour(home):
    write(home, "x" * 100, source="other")
    cap(home, "source:web", bytes_per_hour=1_000)
    write(home, "x" * 500, source="web")
    ((memories, size),) = count(home)
    assert memories == 1
    assert 500 < size < 700  # header and payload
    with pytest.raises(IntakeFull, match="1000 bytes"):
        write(home, "x" * 500, source="web")
    write(home, "x" * (1_000 - size - (size - 500)), source="web")
    assert count(home) == [(2, 1_000)]
    with pytest.raises(IntakeFull):
        write(home, "", source="web")


def test_one_memory_is_so_large_at_most(home):
    cap(home, "source:web", bytes_each=300)
    with pytest.raises(IntakeFull, match="is larger than 300"):
        write(home, "x" * 300, source="web")
    write(home, "x" * 30, source="web")
    # Letters count as what they are stored as.
    with pytest.raises(IntakeFull):
        write(home, "ж" * 140, source="web")


@pytest.mark.parametrize("field", ["memories_per_hour", "bytes_per_hour", "bytes_each"])
def test_a_cap_of_nothing_lets_nothing_in(home, field):
    cap(home, "origin:tool", **{field: 0})
    with pytest.raises(IntakeFull):
        write(home, "x", origin=Origin.TOOL)
    assert Intake(**{field: 0}).to_json() == {field: 0}


def test_every_rule_that_bears_on_a_memory_must_hold(home):
    cap(home, "origin:tool", memories_per_hour=9)
    cap(home, "source:web", memories_per_hour=2)
    cap(home, f"principal:{BEN}", memories_per_hour=1)
    both = {"origin": Origin.TOOL, "source": "web"}
    write(home, "x", actor=BEN, **both)
    with pytest.raises(IntakeFull, match="this principal"):
        write(home, "x", actor=BEN, **both)
    write(home, "x", **both)
    with pytest.raises(IntakeFull, match="this source"):
        write(home, "x", **both)
    write(home, "x", origin=Origin.TOOL)
    assert sorted(count(home))[0][0] == 1
    assert sorted(memories for memories, _ in count(home)) == [1, 2, 3]


def test_the_rule_of_a_subject_counts_in_place_of_the_tenants(home):
    cap(home, "source:web", memories_per_hour=0, everywhere=True)
    cap(home, "source:web", memories_per_hour=1)
    write(home, "x", source="web")
    with pytest.raises(IntakeFull):
        write(home, "x", source="web", subject="user:dan")
    lift(home, "source:web")
    with pytest.raises(IntakeFull):
        write(home, "x", source="web")


def test_what_a_principal_may_write_is_counted_for_who_wrote_it(home):
    cap(home, f"principal:{BEN}", memories_per_hour=0)
    write(home, "the owner's", owner=BEN)
    with pytest.raises(IntakeFull):
        write(home, "Ben's", actor=BEN)


def test_counts_are_part_of_the_transaction(home):
    cap(home, "source:web", memories_per_hour=2)
    adds = [Add(id=home.ids.fresh(), draft=home.draft(f"n {n}", source="web")) for n in range(3)]
    with pytest.raises(IntakeFull):
        home.commit(*adds, subject=ANA)
    assert count(home) == []
    wrong = Update(id=write(home, "mine"), draft=home.draft("x"), expected=7)
    with pytest.raises(VersionConflict):
        home.commit(*adds[:2], wrong, subject=ANA)
    assert count(home) == []
    staged = [home.staged(*adds[:2], subject=ANA)]
    with home.reader(ANA, staged=staged) as reader:
        assert len(list(reader.list())) == 4
    home.vault.preview(staged)
    assert count(home) == []
    home.commit(*adds[:2], subject=ANA)
    assert [memories for memories, _ in count(home)] == [2]


def test_what_is_there_already_is_not_counted(home):
    cap(home, "source:web", memories_per_hour=1)
    for _ in range(3):
        write(home, "the page", source="web", external_id="page")
    assert [memories for memories, _ in count(home)] == [1]


def test_counts_are_dropped_after_a_day_and_with_their_subject(home):
    cap(home, "source:web", memories_per_hour=9)
    for _ in range(KEPT_HOURS + 5):
        write(home, "x", source="web")
        home.clock.advance(hours=1)
    assert len(count(home)) == KEPT_HOURS + 1
    with home.reader(ANA) as reader:
        ids = [id for id, _ in reader.everything()]
    lift(home, "source:web")
    changes = [Forget(id=id) for id in ids]
    (outcome,) = home.vault.commit([_whole(home, changes)])
    assert len(outcome.forgotten) >= len(ids)
    assert count(home) == []


def _whole(home, changes):
    staged = home.staged(*changes, subject=ANA)
    return replace(staged, changes=replace(staged.changes, whole=True))


def test_of_a_source_only_a_hash_is_counted(home):
    cap(home, "source:https://a.example/page", memories_per_hour=9, everywhere=True)
    id = write(home, "x", source="https://a.example/page")
    assert count(home)
    home.forget(id, subject=ANA)
    assert "intake" not in home.found(b"a.example")


@pytest.mark.parametrize("field", ["memories_per_hour", "bytes_per_hour", "bytes_each"])
@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3", MOST + 1, float("nan")])
def test_a_cap_that_is_no_number_is_refused(field, wrong):
    with pytest.raises(InvalidInput, match=field):
        Intake(**{field: wrong})


# -------------------------------------------------------------------------- quarantine


@pytest.mark.parametrize("name", RULES)
def test_a_source_can_be_held_back_whatever_it_says(home, name):
    cap(home, name, quarantine=True)
    for kind in Kind:
        id = write(home, "x", kind=kind, state=State.GENERATED, **RULES[name])
        assert state(home, id) is State.QUARANTINED
    assert state(home, write(home, "x", kind=Kind.FACT)) is State.ACTIVATED
    lift(home, name)
    assert state(home, id) is State.QUARANTINED  # what waits goes on waiting
    assert state(home, write(home, "x", kind=Kind.FACT, **RULES[name])) is State.ACTIVATED


def test_a_rule_of_intake_is_an_administrators_to_set(home):
    grant(home, CY, {Verb.READ, Verb.WRITE, Verb.SHARE, Verb.APPROVE}, trust=1.0)
    for actor in (BEN, CY):
        for value in ({"memories_per_hour": 9}, None):
            with pytest.raises(Forbidden):
                home.rule("intake", "source:web", value or {}, subject=ANA, actor=actor)
    with pytest.raises(Forbidden):
        home.rule("intake", "source:web", {}, subject=ANA, actor=ANA, everywhere=True)


# ------------------------------------------------------------------------------ replays


def lead_a_life(world):
    """Do something of everything that governance decides on."""
    mine = write(world, "Ana's own", kind=Kind.FACT)
    rule = write(world, "obey", kind=Kind.INSTRUCTION, origin=Origin.TOOL)
    lost = write(world, "never mind", kind=Kind.PROFILE, origin=Origin.TOOL)
    group(world, "group:family", BEN)
    held = grant(world, "group:family", frozenset(Verb), trust=0.8, labels=None)
    grant(world, CY, {Verb.READ, Verb.WRITE}, by=BEN, trust=0.4)
    cap(world, "source:web", memories_per_hour=2, quarantine=True)
    page = write(world, "a page", source="web", origin=Origin.DOCUMENT, kind=Kind.FACT)
    write(world, "another page", source="web", actor=CY)
    with pytest.raises(IntakeFull):
        write(world, "one too many", source="web", actor=CY)
    world.commit(Approve(id=page, as_data=True), subject=ANA, actor=BEN)
    world.commit(Approve(id=rule), subject=ANA, actor=BEN)
    write(world, "labelled", actor=BEN, sensitivity="health", access=(CY,))
    branch = world.fork("trial", subject=ANA)
    world.commit(Amend(id=mine, fields={"tags": ("x",)}), subject=ANA, branch=branch)
    world.commit(MergeBranch(id=world.ids.fresh(), branch=branch), subject=ANA)
    world.commit(Transition(id=page, state=State.ARCHIVED), subject=ANA)
    world.commit(Transition(id=page, state=State.ACTIVATED), subject=ANA)
    world.commit(Revert(id=mine, version=1), subject=ANA)
    take_back(world, held)
    with pytest.raises(Forbidden):
        write(world, "no more", actor=CY)
    world.clock.advance(timedelta(days=31))
    assert lost in sweep(world.vault, "t", strength=read_law).expired
    lift(world, "source:web")
    world.forget(mine, subject=ANA)


def test_two_runs_of_a_governed_life_end_in_the_same_journal(make_world):
    heads, tables = [], []
    for engine in ("memory", "sqlite", "sqlite"):
        world = make_world(engine, seed=7)
        lead_a_life(world)
        assert verify(world.vault).ok
        heads.append(world.head())
        tables.append(world.everything())
    assert heads[0] == heads[1] == heads[2]
    assert tables[0] == tables[1] == tables[2]


def test_a_rule_changed_by_hand_is_seen_by_verify(make_world):
    world = make_world()
    lead_a_life(world)
    row = next(row for row in world.rows(schema.RULES) if row.sort == "grant")
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.RULES, row._replace(body=row.body.replace(b"0.4", b"1.0")))
    assert row.body != world.rows(schema.RULES, *row[:4])[0].body
    assert not verify(world.vault).ok
