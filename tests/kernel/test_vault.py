"""What one opened vault promises about writing, reading, forgetting and blobs."""

import pytest

from mnemos.errors import (
    Conflict,
    FormatTooNew,
    InvalidInput,
    ModelMismatch,
    NotFound,
    Protected,
    StoreCorrupt,
    StoreError,
    StoreFull,
)
from mnemos.kernel import schema
from mnemos.kernel.blobs import orphans
from mnemos.kernel.canonical import BLOB_THRESHOLD
from mnemos.kernel.changes import Add, Changes, Forget, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.vault import Staged, Vault
from mnemos.testing import HashEmbedder, RaiseAt, SeededEntropy, disk_full
from mnemos.types import State, Text

LARGE = Text(text="large " * (BLOB_THRESHOLD // 6 + 1))


def refused(world, error, call, match=None):
    """The call raises, and not one row of any table is different."""
    before = world.everything()
    with pytest.raises(error, match=match):
        call()
    assert world.everything() == before


# --- external ids


def test_the_same_content_under_an_external_id_is_written_once(world):
    header = {"external_id": "m1", "speaker": "Ana", "metadata": {"a": [1, 2]}, "tags": ("x",)}
    id = world.add("hello", **header)
    head = world.head()
    again = Add(id=world.ids.fresh(), draft=world.draft("hello", **header))
    outcome = world.commit(again)
    assert (outcome.ids, outcome.duplicates) == ([id], 1)
    assert world.head() == head
    assert world.texts() == ["hello"]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("hello!", {}),
        ("hello", {"speaker": "Bo"}),
        ("hello", {"metadata": {"k": 2}}),
        ("hello", {"tags": ("y",)}),
    ],
)
def test_other_content_under_an_external_id_is_a_conflict(world, text, header):
    world.add("hello", external_id="m1", metadata={"k": 1})
    header = {"external_id": "m1", "metadata": {"k": 1}} | header
    refused(world, Conflict, lambda: world.add(text, **header), match="m1")


def test_replace_makes_a_new_version_of_the_same_cube(world):
    id = world.add("hello", external_id="m1")
    assert world.add("hello, again", external_id="m1", replace=True) == id
    assert world.add("hello, again", external_id="m1", replace=True) == id
    with world.reader() as reader:
        assert [cube.text for cube in reader.history(id)] == ["hello", "hello, again"]
    assert world.texts() == ["hello, again"]


def test_times_count_in_the_comparison_only_where_the_caller_gave_them(world):
    draft = world.draft("hello", external_id="m1", happened_at=world.clock.now())
    world.commit(Add(id=world.ids.fresh(), draft=draft, timed=False))
    world.clock.advance(hours=1)
    later = world.draft("hello", external_id="m1", happened_at=world.clock.now())
    assert world.commit(Add(id=world.ids.fresh(), draft=later, timed=False)).duplicates == 1
    refused(world, Conflict, lambda: world.commit(Add(id=world.ids.fresh(), draft=later)))


def test_external_ids_belong_to_a_subject(world):
    one = world.add("hello", external_id="m1", subject="ana")
    other = world.add("good day", external_id="m1", subject="bo")
    assert one != other
    world.forget(one)
    assert world.add("a new hello", external_id="m1", subject="ana") not in (one, other)
    assert world.texts("bo") == ["good day"]


def test_a_repeat_within_one_call_is_found_too(world):
    draft = world.draft("hello", external_id="m1")
    adds = [Add(id=world.ids.fresh(), draft=draft) for _ in range(3)]
    outcome = world.commit(*adds)
    assert (set(outcome.ids), outcome.duplicates) == ({adds[0].id}, 2)


def test_an_empty_external_id_is_an_id_like_any_other(world):
    one = world.add("hello", external_id="")
    assert world.add("hello", external_id="") == one
    refused(world, Conflict, lambda: world.add("good day", external_id=""))
    world.forget(one)
    assert verify(world.vault).problems == []


def test_a_vault_says_which_additions_are_stored_already(world):
    world.add("hello", external_id="m1")
    drafts = [
        world.draft("hello", external_id="m1"),
        world.draft("hello", external_id="m2"),
        world.draft("other", external_id="m1"),
        world.draft("hello"),
    ]
    adds = tuple(Add(id=world.ids.fresh(), draft=draft) for draft in drafts)
    assert world.vault.duplicates(Changes(scope=world.scope(), changes=adds)) == [0]
    assert world.vault.duplicates(Changes(scope=world.scope("bo"), changes=adds)) == []


def test_a_large_memory_is_the_same_when_it_comes_again(world):
    one = world.add(LARGE, external_id="m1")
    assert world.add(LARGE, external_id="m1") == one
    assert len(world.store.blobs.names()) == 1


@pytest.mark.parametrize("metadata", [{"a": (1, 2)}, {"a": {"b": ((1,),)}}])
def test_metadata_that_json_writes_alike_is_the_same_content(world, metadata):
    id = world.add("hello", external_id="m1", metadata=metadata)
    assert world.add("hello", external_id="m1", metadata=metadata) == id


def test_metadata_that_json_writes_otherwise_is_other_content(world):
    world.add("hello", external_id="m1", metadata={"agreed": 1})
    refused(
        world,
        Conflict,
        lambda: world.add("hello", external_id="m1", metadata={"agreed": True}),
    )


@pytest.mark.parametrize("metadata", [{1: "a"}, {None: "a"}, {"k": {True: 1}}])
def test_metadata_keys_that_are_no_text_are_refused(world, metadata):
    refused(world, InvalidInput, lambda: world.add("hello", metadata=metadata))


# --- updates


def test_an_update_keeps_the_old_version(world):
    id = world.add("Ana lives in Porto")
    first = world.head().seq
    outcome = world.update(id, "Ana lives in Lisbon", speaker="Ana")
    with world.reader() as reader:
        cube = reader.get(id)
        assert (cube.text, cube.version, cube.recorded_seq) == ("Ana lives in Lisbon", 2, first + 1)
        old, new = reader.history(id)
        assert (old.text, old.retired_seq, new.retired_seq) == (
            "Ana lives in Porto",
            outcome.seq,
            None,
        )
    with world.reader(as_of=first) as reader:
        assert reader.get(id).text == "Ana lives in Porto"
        assert len(reader.history(id)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda id, world: Update(id=id, draft=world.draft("mine now")),
        lambda id, world: Transition(id=id, state=State.ARCHIVED),
        lambda id, world: Forget(id=id),
    ],
)
def test_the_memory_of_another_subject_is_not_found(world, change):
    id = world.add("a secret of Ana's", subject="ana")
    world.add("hello", subject="bo")
    for subject in ("bo", "nobody"):
        refused(
            world,
            NotFound,
            lambda subject=subject: world.commit(change(id, world), subject=subject),
        )
        with world.reader(subject) as reader:
            for look in (reader.get, reader.history):
                with pytest.raises(NotFound):
                    look(id)
    refused(world, NotFound, lambda: world.commit(change("0" * 32, world)))


def test_another_tenant_sees_nothing(world):
    from mnemos.kernel.governance.views import open_view
    from mnemos.types import Scope

    id = world.add("a secret")
    elsewhere = open_view(Scope(tenant="other", subject="ana"), now=world.clock.now())
    with world.vault.reader(elsewhere) as reader:
        assert reader.page() is None
        assert list(reader.list()) == []
        for look in (reader.get, reader.history):
            with pytest.raises(NotFound):
                look(id)
    with pytest.raises(NotFound):
        world.vault.owner_of("other", id, "owner")


def test_a_frozen_memory_cannot_be_changed_but_forgotten(world):
    id = world.add("never change", frozen=True, external_id="m1")
    refused(world, Protected, lambda: world.update(id, "changed"))
    refused(world, Protected, lambda: world.add("changed", external_id="m1", replace=True))
    world.forget(id)
    assert world.texts() == []


def test_a_frozen_memory_does_not_change_its_state(world):
    id = world.add("never change", frozen=True)
    refused(world, Protected, lambda: world.move(id, State.ARCHIVED))


def test_several_changes_are_one_transaction(world):
    one = world.add("one")
    made = Add(id=world.ids.fresh(), draft=world.draft("two"))
    refused(world, NotFound, lambda: world.commit(made, Forget(id=one), Forget(id="0" * 32)))
    staged = [world.staged(made), world.staged(Forget(id="0" * 32), subject="bo")]
    refused(world, NotFound, lambda: world.vault.commit(staged))


def test_an_id_is_given_once(world):
    id = world.add("one")
    refused(world, StoreError, lambda: world.commit(Add(id=id, draft=world.draft("another one"))))


# --- forgetting


def test_forgetting_a_source_takes_everything_derived_along(world):
    turn, other = world.add("Ana likes kites"), world.add("Bo likes boats")
    fact = world.add("likes: kites", derived_from=(turn,))
    both = world.add("summary: kites, boats", derived_from=(turn, other))
    profile = world.add("profile", derived_from=(fact, both))
    assert world.forget(turn).forgotten == [turn, fact, both, profile]
    assert world.texts() == ["Bo likes boats"]
    assert world.rows(schema.SOURCES) == []
    for needle in (b"kites", b"profile"):
        assert world.found(needle) == []
    assert verify(world.vault).problems == []


def test_forgetting_what_was_derived_leaves_its_sources(world):
    turn = world.add("Ana likes kites")
    fact = world.add("likes: kites", derived_from=(turn,))
    world.forget(fact)
    assert world.texts() == ["Ana likes kites"]
    assert world.forget(turn).forgotten == [turn]


def test_a_source_and_its_derivation_can_be_forgotten_in_one_call(world):
    turn = world.add("Ana likes kites")
    fact = world.add("likes: kites", derived_from=(turn,))
    outcome = world.forget(turn, fact)
    assert (outcome.ids, outcome.forgotten) == ([turn, fact], [turn, fact])


def test_an_unknown_source_is_refused(world):
    refused(world, NotFound, lambda: world.add("fact", derived_from=("0" * 32,)))


def test_a_source_named_by_an_update_takes_the_memory_along(world):
    first, second = world.add("Ana likes kites"), world.add("Ana likes boats")
    profile = world.add("likes: kites", derived_from=(first,))
    world.update(profile, "likes: kites, boats", derived_from=(first, second))
    world.forget(second)
    assert world.texts() == ["Ana likes kites"]
    assert verify(world.vault).problems == []


def test_an_update_from_an_unknown_source_is_refused(world):
    id = world.add("fact")
    refused(world, NotFound, lambda: world.update(id, "fact", derived_from=("0" * 32,)))


def test_an_external_id_given_by_an_update_is_taken(world):
    id = world.add("hello")
    world.update(id, "hello", external_id="m1")
    assert world.add("hello", external_id="m1") == id


def test_an_update_cannot_take_or_lose_the_external_id_of_another(world):
    keeper, taker = world.add("keeper", external_id="m1"), world.add("taker")
    try:
        world.update(taker, "taker", external_id="m1")
    except Conflict:
        pass
    world.forget(taker)
    assert world.add("keeper", external_id="m1") == keeper
    assert verify(world.vault).problems == []


def test_a_hold_stops_forgetting_and_says_so(world):
    id = world.add("evidence", hold=True)
    refused(world, Protected, lambda: world.forget(id), match="hold")


def test_a_hold_on_a_derivation_stops_forgetting_its_source(world):
    turn = world.add("Ana likes kites")
    world.add("evidence", derived_from=(turn,), hold=True)
    other = world.add("another")
    refused(world, Protected, lambda: world.forget(other, turn), match="hold")


def test_a_hold_can_be_lifted(world):
    id = world.add("evidence", hold=True)
    world.update(id, "evidence", hold=False)
    world.forget(id)
    assert world.texts() == []


@pytest.mark.parametrize("hold", [False, True])
def test_a_transition_to_forgotten_forgets_or_is_refused(world, hold):
    id = world.add("a secret", hold=hold)
    try:
        world.move(id, State.FORGOTTEN)
    except (Protected, InvalidInput):
        assert world.texts() == ["a secret"]
    else:
        assert world.found(b"a secret") == []


def test_an_update_to_forgotten_is_refused(world):
    id = world.add("a secret")
    refused(world, InvalidInput, lambda: world.update(id, "a secret", state=State.FORGOTTEN))


def test_forgetting_leaves_no_words_anywhere(world):
    kept = world.add("Ana likes boats")
    id = world.add(
        "harbour secret",
        speaker="Speakerius",
        tags=("tagword",),
        entities=("Entity",),
        metadata={"k": "metaword"},
        external_id="extword",
        source="sourceword",
        run_id="runword",
        agent_id="agentword",
    )
    world.update(id, "harbour secret, second")
    needles = [b"harbour", b"Speakerius", b"tagword", b"Entity", b"metaword", b"extword"]
    needles += [b"sourceword", b"runword", b"agentword", id.encode()]
    assert all(world.found(needle) for needle in needles)
    world.forget(id)
    assert [world.found(needle) for needle in needles[:-1]] == [[]] * (len(needles) - 1)
    assert world.found(needles[-1]) == ["events", "forgotten"]
    with world.reader() as reader:
        assert reader.get(kept).text == "Ana likes boats"


def test_the_last_memory_takes_the_subjects_name_along(world):
    id = world.add("hello", subject="user:unusual")
    world.add("hello")
    assert "subjects" in world.found(b"user:unusual")
    world.forget(id, subject="user:unusual")
    assert world.found(b"user:unusual") == []
    assert world.texts() == ["hello"]


def test_a_forgotten_memory_cannot_be_touched_again(world):
    id = world.add("hello")
    world.add("keeps the subject alive")
    world.forget(id)
    for change in (
        Forget(id=id),
        Transition(id=id, state=State.ARCHIVED),
        Update(id=id, draft=world.draft("back")),
    ):
        refused(world, NotFound, lambda change=change: world.commit(change))


def test_scrub_is_owed_after_forgetting_until_it_is_done(world):
    assert world.vault.scrub().status == "purged"
    world.forget(world.add("hello"))
    assert [row.name for row in world.rows(schema.META, "scrub")] == ["scrub"]
    assert world.vault.scrub().status == "purged"
    assert world.rows(schema.META, "scrub") == []


def test_scrub_that_a_reader_prevents_is_pending_and_finished_at_the_next_opening(
    make_world, make_store
):
    store = make_store("sqlite")
    world = make_world(store=store)
    world.forget(world.add("hello"))
    hindrance = store.scrub
    store.scrub = lambda: "a reader"
    place = world.vault.scrub()
    store.scrub = hindrance
    assert (place.status, place.why) == ("pending", "a reader")
    make_world(store=store)
    assert world.rows(schema.META, "scrub") == []


# --- blobs


def test_a_large_memory_lies_in_a_blob_and_comes_back(world):
    id = world.add(LARGE)
    (name,) = world.store.blobs.names()
    assert [row.name for row in world.rows(schema.BLOBS)] == [name]
    assert world.found(b"large large") == []
    with world.reader() as reader:
        assert reader.get(id).payload == LARGE
    assert verify(world.vault).problems == []


def test_a_transition_does_not_copy_a_blob_and_forget_deletes_it(world):
    id = world.add(LARGE)
    world.move(id, State.ARCHIVED)
    world.update(id, Text(text=LARGE.text + "!"))
    assert len(world.store.blobs.names()) == 2
    outcome = world.forget(id)
    assert len(outcome.dropped_blobs) == 2
    assert world.store.blobs.names() == []
    assert world.rows(schema.BLOBS) == []


@pytest.mark.parametrize("damage", ["gone", "altered"])
def test_a_damaged_blob_is_told(world, damage):
    id = world.add(LARGE)
    (name,) = world.store.blobs.names()
    if damage == "gone":
        world.store.blobs.delete(name)
    else:
        world.store.blobs.put(name, b"something else")
    with world.reader() as reader, pytest.raises(StoreCorrupt, match=name):
        reader.get(id)
    assert any(name in problem for problem in verify(world.vault).problems)


def test_blobs_are_written_before_the_row_that_names_them(make_world, make_store, tmp_path):
    steps = []

    class Watch:
        def reach(self, step):
            steps.append(step)

    world = make_world(store=make_store("sqlite", faults=Watch()))
    steps.clear()
    world.add(LARGE)
    assert steps.index("rename") < steps.index("commit")
    assert steps.count("commit") == 1
    assert "rename" not in steps[steps.index("commit") :]


def test_a_blob_without_a_row_is_swept_at_the_next_opening(world):
    world.add(LARGE)
    kept = world.store.blobs.names()
    world.store.blobs.put("0" * 64, b"left by a process that died")
    with world.store.read(SYSTEM) as tx:
        assert orphans(tx, world.store.blobs) == ["0" * 64]
    assert any("0" * 64 in problem for problem in verify(world.vault).problems)
    Vault(world.store, clock=world.clock, ids=world.ids, entropy=SeededEntropy(1))
    assert world.store.blobs.names() == kept


@pytest.mark.parametrize("step", ["blob", "fsync", "rename"])
def test_a_full_disk_under_a_blob_leaves_the_vault_as_it_was(make_world, make_store, step):
    faults = RaiseAt(0, disk_full(), step=step)
    world = make_world(store=make_store("sqlite", faults=faults))
    id = world.add(LARGE)
    faults.left = 1
    refused(world, StoreFull, lambda: world.add(Text(text=LARGE.text + "!")), match="room")
    with world.reader() as reader:
        assert reader.get(id).payload == LARGE
    world.add(Text(text=LARGE.text + "?"))
    make_world(store=world.store)
    assert len(world.store.blobs.names()) == 2


def test_any_failing_step_of_a_write_undoes_all_of_it(make_world, make_store):
    faults = RaiseAt(0, StoreError("injected"))
    world = make_world(store=make_store("sqlite", faults=faults), embedder=HashEmbedder(8))
    world.add("before")
    for step in range(1, 100):
        faults.left = step
        before = world.everything()
        try:
            world.commit(
                Add(id=world.ids.fresh(), draft=world.draft("hello", external_id="m1")),
                Add(id=world.ids.fresh(), draft=world.draft(LARGE)),
            )
        except StoreError:
            assert world.everything() == before
            continue
        break
    assert step > 10
    faults.left = 0
    assert [text[:6] for text in world.texts()] == ["before", "hello", LARGE.text[:6]]
    make_world(store=world.store)
    assert len(world.store.blobs.names()) == 1
    assert verify(world.vault).problems == []


# --- vector spaces and formats


def test_another_embedder_is_refused(world):
    world.add("hello")
    with pytest.raises(ModelMismatch, match="reembed"):
        world.vault.use(HashEmbedder(32))
    assert world.vault.use(world.embedder) == world.space


def test_vectors_of_a_space_no_longer_in_use_are_refused(world):
    from mnemos.kernel.upkeep.reembed import reembed

    world.add("hello")
    assert reembed(world.vault, HashEmbedder(32)).switched
    refused(world, ModelMismatch, lambda: world.add("of the old space"))


def test_a_vector_of_another_length_is_refused(world):
    change = Add(id=world.ids.fresh(), draft=world.draft("hello"))
    staged = Staged(Changes(scope=world.scope(), changes=(change,)), [bytes(12)], world.space)
    refused(world, (ModelMismatch, InvalidInput), lambda: world.vault.commit([staged]))


def test_a_failing_first_use_can_be_tried_again(make_world, make_store):
    faults = RaiseAt(0, StoreError("injected"), step="commit")
    world = make_world(store=make_store("sqlite", faults=faults))
    faults.left = 1
    with pytest.raises(StoreError):
        world.vault.use(HashEmbedder(8))
    assert world.vault.space() is None
    assert world.vault.use(HashEmbedder(8)) == world.vault.space()


def test_words_of_another_tokeniser_are_refused_or_made_anew(make_world, small_segments):
    world = make_world(embedder=HashEmbedder(8))
    ids = [world.add(f"turn {number} kites") for number in range(6)]
    world.forget(ids[1])
    world.vault.scrub()
    before = world.everything()
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.META, schema.Meta("lexicon", "another"))
    ports = {"clock": world.clock, "ids": world.ids, "entropy": SeededEntropy(1)}
    with pytest.raises(FormatTooNew, match="--words"):
        Vault(world.store, **ports)
    Vault(world.store, rebuild_words=True, **ports)
    after = world.everything()
    pages_before, pages_after = before.pop("pages"), after.pop("pages")
    assert after == before
    assert [page._replace(epoch=0) for page in pages_after] == [
        page._replace(epoch=0) for page in pages_before
    ]


def test_a_lone_surrogate_is_refused_wherever_it_is(world):
    world.add("hello")
    for header in ({"speaker": "\ud800"}, {"run_id": "\ud800"}, {"metadata": {"k": "\ud800"}}):
        refused(world, InvalidInput, lambda header=header: world.add("hello", **header))
    refused(world, InvalidInput, lambda: world.add("\ud800"))


@pytest.mark.parametrize("where", ["external_id", "derived_from", "subject", "actor"])
def test_a_lone_surrogate_in_a_name_is_refused(make_world, where):
    world = make_world("sqlite")
    world.add("hello")
    draft = world.draft("hello")
    if where == "external_id":
        draft = world.draft("hello", external_id="\ud800")
    elif where == "derived_from":
        draft = world.draft("hello", derived_from=("\ud800",))
    names = {where: "\ud800"} if where in ("subject", "actor") else {}
    change = Add(id=world.ids.fresh(), draft=draft)
    refused(world, (InvalidInput, NotFound), lambda: world.commit(change, **names))
