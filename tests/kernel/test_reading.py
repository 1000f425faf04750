"""What a reader sees through a view, with and without staged changes over it."""

from datetime import timedelta

import pytest

from mnemos.errors import (
    NotFound,
)
from mnemos.kernel import schema
from mnemos.kernel.canonical import BLOB_THRESHOLD
from mnemos.kernel.changes import Add, Forget, Transition, Update
from mnemos.kernel.governance.views import open_view
from mnemos.kernel.proof.verify import verify
from mnemos.types import CURRENT_STATES, Scope, State, Text

LARGE = Text(text="large " * (BLOB_THRESHOLD // 6 + 1))


# --- staged reads


def test_staged_reads_see_what_is_staged_and_leave_nothing_behind(world):
    kept, gone = world.add("Ana likes boats"), world.add("Ana likes kites")
    changed = world.add("Ana lives in Porto")
    large = Add(id=world.ids.fresh(), draft=world.draft(LARGE))
    made = Add(id=world.ids.fresh(), draft=world.draft("Ana likes tea"))
    staged = [
        world.staged(made, Forget(id=gone), large),
        world.staged(Update(id=changed, draft=world.draft("Ana lives in Lisbon"))),
        world.staged(Transition(id=kept, state=State.ARCHIVED)),
    ]
    before, blobs = world.everything(), world.store.blobs.names()
    with world.reader(staged=staged) as reader:
        found = {cube.id: (cube.text, cube.state) for cube in reader.list()}
        arrays, mask = reader.page()
        assert int(mask.sum()) == 4
        assert arrays.vectors[mask].any(axis=1).sum() == 4
    assert found == {
        kept: ("Ana likes boats", State.ARCHIVED),
        changed: ("Ana lives in Lisbon", State.ACTIVATED),
        made.id: ("Ana likes tea", State.ACTIVATED),
        large.id: (LARGE.text, State.ACTIVATED),
    }
    assert world.everything() == before
    assert world.store.blobs.names() == blobs
    world.vault.commit(staged)
    with world.reader() as reader:
        assert {cube.id: (cube.text, cube.state) for cube in reader.list()} == found


def test_staged_reads_fail_as_the_commit_would(world):
    staged = [world.staged(Forget(id="0" * 32))]
    with pytest.raises(NotFound), world.reader(staged=staged):
        pass


# --- reading


def test_list_pages_through_with_a_cursor(world):
    ids = [world.add(f"turn {number}") for number in range(7)]
    for number in (0, 2, 4):
        world.update(ids[number], f"turn {number}, changed")
    for as_of in (None, world.head().seq):
        seen, after = [], None
        while True:
            with world.reader(as_of=as_of) as reader:
                part = [cube.id for cube in reader.list(after=after, limit=2)]
            if not part:
                break
            seen, after = seen + part, part[-1]
        assert seen == ids


@pytest.mark.parametrize(
    "swept",
    [
        False,
        True,
    ],
)
def test_the_external_id_of_an_expired_memory_is_free_again(world, swept):
    end = world.clock.now() + timedelta(hours=1)
    id = world.add("gone soon", external_id="m1", expires_at=end)
    world.clock.advance(hours=1)
    if swept:
        world.move(id, State.EXPIRED)
    world.add("here again", external_id="m1")
    assert world.texts(states=CURRENT_STATES) == ["here again"]
    assert verify(world.vault).problems == []


def test_a_scrub_owed_by_a_later_forget_is_not_written_off(make_world):
    """Somebody forgets between the checkpoint and the note that it was made."""
    world = make_world("sqlite")
    one, other = world.add("one"), world.add("other")
    world.forget(one)
    checkpoint = world.store.scrub

    def interrupted():
        world.forget(other)
        return checkpoint() and ""

    world.store.scrub = interrupted
    world.vault.scrub()
    world.store.scrub = checkpoint
    assert [row.name for row in world.rows(schema.META, "scrub")] == ["scrub"]


def test_an_expired_memory_is_invisible_at_once(world):
    end = world.clock.now() + timedelta(hours=1)
    id = world.add("gone soon", expires_at=end)
    assert world.texts() == ["gone soon"]
    world.clock.advance(hours=1)
    with world.reader() as reader:
        assert list(reader.list()) == []
        assert [cube.id for cube in reader.list(expired=True)] == [id]
        assert not reader.page()[1].any()
        with pytest.raises(NotFound):
            reader.get(id)


@pytest.mark.parametrize("name", ["run_id", "agent_id"])
def test_a_page_and_a_list_narrow_a_view_alike(world, name):
    world.add("of the one", **{name: "S1"})
    world.add("of the other", **{name: "s1"})
    scope = Scope(tenant="t", subject="ana", **{name: "s1"})
    view = open_view(scope, now=world.clock.now())
    with world.vault.reader(view) as reader:
        assert len(list(reader.list())) == int(reader.page()[1].sum()) == 1
