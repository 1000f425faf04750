"""Where a memory comes from and what came of it; the same as W3C PROV."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from mnemos import Memory
from mnemos.errors import NotFound, ScopeRequired, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.branches import ancestry
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.lineage import lineage
from mnemos.kernel.proof.prov import PREFIXES, prov
from mnemos.types import Kind, Link, Origin, State


def line(world, id, *, depth=8, **how):
    with world.store.read(SYSTEM) as tx:
        return lineage(tx, world.view(**how), id, depth=depth)


def document(world, id=None, *, text=False, **how):
    with world.store.read(SYSTEM) as tx:
        return prov(tx, world.store.blobs, world.view(**how), id, text=text)


def ids(relatives):
    return [item.id for item in relatives]


# --- up and down


def test_sources_and_what_was_derived_are_found_both_ways(world):
    turn, other = world.add("turn"), world.add("other")
    fact = world.add(
        "fact",
        derived_from=(turn, other),
        method="rules",
        model="m-1",
        trust=0.5,
        kind=Kind.FACT,
        origin=Origin.DERIVED,
    )
    summary = world.add("summary", derived_from=(fact,), kind=Kind.SUMMARY)
    up, down = line(world, summary), line(world, turn)
    assert [(item.id, item.via, item.depth) for item in up.sources] == [
        (fact, summary, 1),
        (turn, fact, 2),
        (other, fact, 2),
    ]
    assert ids(down.derived) == [fact, summary]
    said = up.sources[0]
    assert (said.kind, said.origin, said.method, said.model) == ("fact", "derived", "rules", "m-1")
    assert (said.trust, said.state) == (0.5, "activated")
    assert (up.derived, down.sources, up.truncated) == ((), (), False)


def test_depth_bounds_the_walk_and_says_so(world):
    chain = [world.add("0")]
    for number in range(1, 5):
        chain.append(world.add(str(number), derived_from=(chain[-1],)))
    found = line(world, chain[-1], depth=2)
    assert (ids(found.sources), found.truncated) == ([chain[3], chain[2]], True)
    assert not line(world, chain[-1], depth=4).truncated
    assert line(world, chain[0], depth=3).truncated


def test_cycles_end(world):
    a = world.add("a")
    b = world.add("b", derived_from=(a,))
    world.update(a, "a again", derived_from=(b,))
    world.update(b, "b itself", derived_from=(b, a))
    found = line(world, a)
    assert (ids(found.sources), ids(found.derived), found.truncated) == ([b], [b], False)


def test_too_many_relatives_are_cut_off(world, monkeypatch):
    import mnemos.kernel.proof.lineage as module

    monkeypatch.setattr(module, "MOST", 3)
    root = world.add("root")
    for number in range(5):
        world.add(str(number), derived_from=(root,))
    found = line(world, root)
    assert (len(found.derived), found.truncated) == (3, True)


def test_another_subjects_and_forgotten_cubes_never_appear(world):
    mine = world.add("mine")
    theirs = world.add("theirs", subject="bo", links=(Link(type="x", target=mine),))
    borrowed = world.add("borrowed", derived_from=(mine,), links=(Link(type="y", target=theirs),))
    gone = world.add("gone", derived_from=(mine,), links=(Link(type="z", target=mine),))
    pointing = world.add("pointing", links=(Link(type="to", target=gone),))
    world.forget(gone)
    found = line(world, mine)
    assert (ids(found.derived), found.linked_by) == ([borrowed], ())
    assert ids(line(world, borrowed).sources) == [mine]
    assert (line(world, borrowed).links, line(world, pointing).links) == ((), ())
    for id in (gone, theirs, "0" * 32):
        with pytest.raises(NotFound):
            line(world, id)
    assert theirs not in json.dumps(document(world))
    assert gone not in json.dumps(document(world))


def test_an_expired_cube_never_appears(world):
    source = world.add("source")
    short = world.add(
        "short", derived_from=(source,), expires_at=world.clock.now() + timedelta(hours=1)
    )
    assert ids(line(world, source).derived) == [short]
    world.clock.advance(hours=2)
    assert line(world, source).derived == ()
    with pytest.raises(NotFound):
        line(world, short)


def test_archived_and_superseded_sources_are_shown(world):
    source = world.add("source")
    made = world.add("made", derived_from=(source,))
    world.move(source, State.ARCHIVED)
    assert [(item.id, item.state) for item in line(world, made).sources] == [(source, "archived")]


# --- links


def test_links_are_shown_both_ways_with_what_the_header_says(world):
    target = world.add("target")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    link = Link(type="supersedes", target=target, weight=0.5, valid_from=since)
    carrier = world.add("carrier", links=(link, Link(type="about", target=target)))
    for steps in (line(world, carrier).links, line(world, target).linked_by):
        assert [(step.type, step.source, step.target) for step in steps] == [
            ("supersedes", carrier, target),
            ("about", carrier, target),
        ]
        assert (steps[0].weight, steps[0].valid_from) == (0.5, since)
    world.update(carrier, "no links any more")
    assert line(world, target).linked_by == ()


# --- versions


def test_every_version_says_who_did_what_where_and_when(world):
    id = world.add("one")
    world.clock.advance(hours=1)
    world.commit(world_update(world, id, "two"), actor="robot")
    world.move(id, State.ARCHIVED)
    world.move(id, State.ACTIVATED)
    branch = world.fork("trial")
    world.update(id, "three", branch=branch)
    world.merge(branch)
    world.revert(id, 1)
    steps = line(world, id).versions
    assert [(step.number, step.verb, step.actor, step.branch, step.state) for step in steps] == [
        (1, "add", "owner", "main", "activated"),
        (2, "update", "robot", "main", "activated"),
        (3, "state", "owner", "main", "archived"),
        (4, "state", "owner", "main", "activated"),
        (5, "adopt", "owner", "main", "activated"),
        (6, "adopt", "owner", "main", "activated"),
    ]
    assert [(step.adopted, step.adopted_from) for step in steps[4:]] == [(6, "trial"), (1, "main")]
    assert steps[1].at - steps[0].at == timedelta(hours=1)
    with world.reader() as reader:
        assert [cube.recorded_seq for cube in reader.history(id)] == [step.seq for step in steps]


def world_update(world, id, text):
    from mnemos.kernel.changes import Update

    return Update(id=id, draft=world.draft(text))


def test_a_withdrawal_and_what_came_after_are_steps(world):
    world.add("first")
    before = world.head().seq
    id = world.add("second")
    made = world.add("made of it", derived_from=(id,))
    after = world.head().seq
    world.rollback(before)
    (added, withdrawn) = line(world, id).versions
    assert (added.verb, withdrawn.verb, withdrawn.number) == ("add", "withdraw", 1)
    assert [item.state for item in line(world, id).derived] == [None]
    world.rollback(after)
    assert [step.verb for step in line(world, id).versions] == ["add", "withdraw", "adopt"]
    assert [item.id for item in line(world, id).derived if item.state == "activated"] == [made]


def test_a_view_of_the_past_shows_what_was_known_then(world):
    source = world.add("source")
    then = world.head().seq
    made = world.add("made", derived_from=(source,))
    world.update(source, "changed")
    assert [step.seq for step in line(world, source, as_of=then).versions] == [1]
    assert line(world, source, as_of=then).derived == ()
    with pytest.raises(NotFound):
        line(world, made, as_of=then)


def test_a_branch_does_not_see_its_parents_later_days(world):
    kept = world.add("kept")
    lost = world.add("lost")
    made = world.add("made", derived_from=(lost,))
    branch = world.fork("trial")
    world.rollback(1)
    assert [step.verb for step in line(world, lost, branch=branch).versions] == ["add"]
    assert [item.state for item in line(world, made, branch=branch).sources] == ["activated"]
    assert [item.state for item in line(world, made).sources] == [None]
    assert "wasInvalidatedBy" not in document(world, kept, branch=branch)
    assert "wasInvalidatedBy" not in document(world, lost, branch=branch)
    assert "wasInvalidatedBy" in document(world, lost)


def test_a_damaged_branch_does_not_lead_in_a_circle(world):
    world.add("one")
    branch = world.fork("trial")
    (row,) = world.rows(schema.BRANCHES, "t")
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.BRANCHES, row._replace(parent=branch))
        with pytest.raises(StoreCorrupt, match="verify"):
            ancestry(tx, "t", row.subject, branch, 99)


def test_a_lineage_is_json(world):
    turn = world.add("turn")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = world.add(
        "made", derived_from=(turn,), links=(Link(type="x", target=turn, valid_from=since),)
    )
    plain = json.loads(json.dumps(line(world, made).as_dict()))
    assert plain["sources"][0]["id"] == turn
    assert plain["links"][0]["valid_from"] == "2026-01-01T00:00:00+00:00"
    assert plain["versions"][0]["at"] == world.clock.now().isoformat()
    assert "turn" not in {value for step in plain["versions"] for value in step.values()}


# --- PROV

RELATIONS = {
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "used": ("prov:activity", "prov:entity"),
    "wasInvalidatedBy": ("prov:entity", "prov:activity"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "specializationOf": ("prov:specificEntity", "prov:generalEntity"),
    "alternateOf": ("prov:alternate1", "prov:alternate2"),
}
KINDS = {"entity": "entity", "activity": "activity", "agent": "agent"}
KINDS |= {"generatedEntity": "entity", "usedEntity": "entity", "specificEntity": "entity"}
KINDS |= {"generalEntity": "entity", "alternate1": "entity", "alternate2": "entity"}


def check_structure(found):
    """PROV-JSON, sections 2 and 3: names under declared prefixes, statements about what is there."""
    assert json.loads(json.dumps(found)) == found
    assert set(found) <= {"prefix", "entity", "activity", "agent", *RELATIONS}
    assert found["prefix"] == PREFIXES
    known = {*found["prefix"], "prov", "xsd"}
    for section in ("entity", "activity", "agent"):
        for name, attributes in found.get(section, {}).items():
            assert name.split(":", 1)[0] in known
            check_attributes(attributes, known)
    for relation, (first, second) in RELATIONS.items():
        for name, statement in found.get(relation, {}).items():
            assert name.startswith("_:")
            check_attributes(statement, known)
            for role in (first, second):
                kind = KINDS[role.removeprefix("prov:")]
                assert statement[role] in found[kind], (relation, role, statement)
            if "prov:activity" in statement:
                assert statement["prov:activity"] in found["activity"]


def check_attributes(attributes, known):
    for name, value in attributes.items():
        assert name.split(":", 1)[0] in known
        if isinstance(value, dict):
            assert set(value) == {"$", "type"}
            assert value["type"] in {"xsd:QName", "xsd:dateTime", "xsd:double"}
            assert isinstance(value["$"], str)
            if value["type"] == "xsd:QName":
                assert value["$"].split(":")[0] in known
        else:
            assert type(value) in {str, int}
        if name in {"prov:time", "prov:startTime", "prov:endTime"}:
            assert datetime.fromisoformat(value).tzinfo is not None


def eventful(world):
    """Bring about everything a PROV document can say; return the id in the middle of it."""
    turn = world.add("the first turn", happened_at=datetime(2026, 1, 1, tzinfo=UTC))
    fact = world.add(
        "a fact", derived_from=(turn,), method="rules", model="model 1/ü:x", kind=Kind.FACT
    )
    world.add("a summary", derived_from=(fact,), method="summary")
    world.update(turn, "the second turn")
    world.update(fact, "another fact", derived_from=(turn,), model="model 1/ü:x")
    world.move(fact, State.ARCHIVED)
    world.move(fact, State.ACTIVATED)
    world.revert(fact, 1)
    before = world.head().seq
    world.add("withdrawn", derived_from=(fact,))
    world.rollback(before)
    return fact


@pytest.mark.parametrize("whole", [True, False])
def test_a_document_is_prov_json(world, whole):
    fact = eventful(world)
    found = document(world, None if whole else fact)
    check_structure(found)
    assert set(RELATIONS) <= set(found)
    revisions = [
        item
        for item in found["wasDerivedFrom"].values()
        if item.get("prov:type") == {"$": "prov:Revision", "type": "xsd:QName"}
    ]
    assert {item["prov:generatedEntity"].split(".")[0] for item in revisions} >= {f"version:{fact}"}
    sources = [item for item in found["wasDerivedFrom"].values() if "prov:type" not in item]
    assert {item["prov:usedEntity"].rsplit(".")[1] for item in sources} >= {"1", "4"}
    (model,) = [name for name in found["agent"] if name.startswith("model:")]
    assert found["agent"][model]["prov:type"]["$"] == "prov:SoftwareAgent"
    assert {item["prov:role"] for item in found["wasInvalidatedBy"].values()} == {
        "update",
        "state",
        "adopt",
        "withdraw",
    }
    (alternate,) = found["alternateOf"].values()
    assert alternate["prov:alternate2"] == f"version:{fact}.2"


def test_words_are_in_a_document_only_where_asked_for(world):
    fact = eventful(world)
    assert "turn" not in json.dumps(document(world, fact)["entity"]).replace('"turn"', "")
    said = [item.get("prov:value") for item in document(world, fact, text=True)["entity"].values()]
    assert {"the first turn", "a fact", "another fact"} <= set(said)


def test_a_source_beyond_the_depth_is_declared(world):
    chain = [world.add("0")]
    for number in range(1, 4):
        chain.append(world.add(str(number), derived_from=(chain[-1],)))
    with world.store.read(SYSTEM) as tx:
        found = prov(tx, world.store.blobs, world.view(), chain[-1], depth=1)
    check_structure(found)
    assert found["entity"][f"version:{chain[1]}.2"] == {}


def test_nothing_is_known_of_a_stranger(world):
    world.add("mine")
    for id in (None, "0" * 32):
        with pytest.raises(NotFound):
            document(world, id, subject="bo")


@pytest.mark.slow
@pytest.mark.parametrize("text", [True, False])
def test_the_reference_library_reads_it(make_world, text):
    model = pytest.importorskip("prov.model", reason="the package `prov` is not installed")
    world = make_world()
    eventful(world)
    stated = document(world, text=text)
    read = model.ProvDocument.deserialize(content=json.dumps(stated), format="json")
    assert len(read.get_records()) == sum(
        len(items) for name, items in stated.items() if name != "prefix"
    )
    again = model.ProvDocument.deserialize(content=read.serialize(format="json"), format="json")
    assert again == read


# --- through the public calls


def test_the_calls_find_the_scope_of_an_id():
    with Memory(":memory:", embedder=None) as memory:
        id = memory.add("Ana lives in Porto", user_id="ana").id
        assert memory.lineage(id) == memory.lineage(id, user_id="ana")
        check_structure(memory.prov(id))
        assert memory.prov(user_id="ana") == memory.prov(id)
        with pytest.raises(ScopeRequired):
            memory.prov()
        with pytest.raises(NotFound):
            memory.lineage("0" * 32)
