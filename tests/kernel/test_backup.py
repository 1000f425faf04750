"""Copies of a vault: whole, of one moment, without what was erased; and old ones brought up to date."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import Conflict, MnemosError, StoreBusy, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.blobs import MissingBlob
from mnemos.kernel.changes import (
    Add,
    Amend,
    Changes,
    DropSnapshot,
    Fork,
    SetPolicy,
    Snapshot,
)
from mnemos.kernel.copies import backup
from mnemos.kernel.copies.backup import Suppression, copy, roll_back, suppress, suppressions
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.vault import Staged
from mnemos.stores.memory import MemoryStore
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy
from mnemos.types import Activation, State

LARGE = Activation(model="m", encoding="application/octet-stream", data=b"canary" * 200_000)
ENTROPY = SeededEntropy("restore")


def on_branch(world, branch, *changes, subject="ana"):
    given = Changes(scope=world.scope(subject), changes=tuple(changes), branch=branch)
    return world.vault.commit([Staged(given)])[0]


def filled(world):
    """A world with a bit of everything; returns the ids it names."""
    first = world.add("Ana lives in Porto")
    world.update(first, "Ana lives in Lisbon")
    second = world.add("a canary sings", derived_from=(first,))
    world.add("Ben sails", subject="ben")
    world.commit(Snapshot(id=world.ids.fresh(), name="before"))
    world.commit(Fork(id=world.ids.fresh(), name="what if"))
    branch = world.head().seq
    on_branch(world, branch, Add(id=world.ids.fresh(), draft=world.draft("Ana lives in Faro")))
    world.commit(SetPolicy(id=world.ids.fresh(), kind=None, policy={"ttl": 3}))
    large = world.add(LARGE)
    world.move(first, State.ARCHIVED)
    return first, second, large, branch


def reopened(make_world, store):
    return make_world(store=store, seed=99)


def all_texts(world, subjects=("ana", "ben"), branches=(0,), **how):
    found = {}
    for subject in subjects:
        for branch in branches if subject == "ana" else (0,):
            with world.reader(subject, branch=branch, **how) as reader:
                found[subject, branch] = [
                    (cube.id, cube.header, cube.payload, cube.state)
                    for cube in reader.list(expired=True)
                ]
    return found


# ------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("into", ["memory", "sqlite"])
def test_a_copy_holds_the_same_rows_and_blobs_and_verifies(world, make_world, make_store, into):
    *_, branch = filled(world)
    target = make_store(into)
    told = []
    copied = copy(world.store, target, progress=told.append)

    twin = make_world(store=target)
    assert twin.everything() == world.everything()
    assert sum(told) == copied.rows == sum(len(rows) for rows in world.everything().values())
    assert copied.blobs == 1
    assert copied.heads == {"t": world.head().seq}
    for name in world.store.blobs.names():
        assert target.blobs.get(name) == world.store.blobs.get(name)
    assert verify(twin.vault).problems == []
    assert all_texts(twin, branches=(0, branch)) == all_texts(world, branches=(0, branch))


def test_a_copy_goes_on_as_a_vault_of_its_own(world, make_world, make_store):
    first, *_ = filled(world)
    target = make_store("sqlite")
    copy(world.store, target)
    twin = reopened(make_world, target)
    twin.forget(first)
    assert first in [row.id for row in world.rows(schema.IDS)]
    assert first not in [row.id for row in twin.rows(schema.IDS)]
    assert verify(twin.vault).ok
    assert verify(world.vault).ok


def test_a_copy_into_something_that_is_not_empty_is_refused(world, make_store):
    world.add("one")
    target = make_store("memory")
    copy(world.store, target)
    with pytest.raises(Conflict, match="empty"):
        copy(world.store, target)


def test_large_tables_are_copied_in_batches(world, make_store, monkeypatch):
    monkeypatch.setattr(backup, "BATCH_ROWS", 3)
    for number in range(8):
        world.add(f"note {number}")
    told = []
    copied = copy(world.store, make_store("memory"), progress=told.append)
    assert max(told) == 3
    assert sum(told) == copied.rows
    monkeypatch.setattr(backup, "BATCH_BYTES", 1)
    told.clear()
    copy(world.store, make_store("memory"), progress=told.append)
    assert set(told) == {1}


def test_nothing_erased_is_in_the_bytes_of_a_copy(make_world, tmp_path):
    world = make_world("sqlite", embedder=HashEmbedder(16))
    doomed = world.add("the canary sings at dawn", speaker="canarybird")
    large = world.add(LARGE)
    world.add("Ana stays")
    world.forget(doomed, large)
    path = tmp_path / "copy.db"
    target = SQLiteStore(path)
    copy(world.store, target)
    target.close()
    assert b"canary" not in path.read_bytes()
    assert b"Ana stays" in path.read_bytes()
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]


# -------------------------------------------------------------------------------------- blobs


class Overtaken:
    """Blobs of a store, one of which is erased by another process while they are read."""

    def __init__(self, store, act):
        self._store = store
        self.acts = act

    def __getattr__(self, name):
        return getattr(self._store.blobs, name)

    def get(self, name):
        if self.acts:
            self.acts.pop()()
        return self._store.blobs.get(name)


class Busy:
    """A store whose blobs are :class:`Overtaken`."""

    def __init__(self, store, acts):
        self._store = store
        self.blobs = Overtaken(store, acts)

    def __getattr__(self, name):
        return getattr(self._store, name)


def forget_blob(world, place):
    """Forget the memory whose blob comes at a place in the order of copying."""
    named = world.rows(schema.BLOBS)[place]
    cube = next(row.cube for row in world.rows(schema.VERSIONS) if row.content == named.content)
    id = next(row.id for row in world.rows(schema.IDS) if row.cube == cube)
    world.forget(id)
    return id


@pytest.fixture
def twice_open(make_world, tmp_path):
    """Two handles on one vault with three large memories."""
    path = tmp_path / "source.db"
    world = make_world(store=SQLiteStore(path))
    other = make_world(store=SQLiteStore(path), seed=7)
    for number in range(3):
        world.add(Activation(model="m", encoding="e", data=bytes([number]) * 2**20))
    yield world, other
    world.store.close()
    other.store.close()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_blob_erased_under_the_copy_makes_it_start_again(twice_open, make_world, place):
    world, other = twice_open
    gone = []
    acts = [lambda: gone.append(forget_blob(other, place)), lambda: None]
    target = MemoryStore()
    copied = copy(Busy(world.store, acts), target)
    twin = make_world(store=target)
    assert copied.blobs == len(target.blobs.names()) == len(twin.rows(schema.BLOBS))
    # the first had been copied already: the copy is of the moment before
    assert copied.blobs == (3 if place == 0 else 2)
    assert (gone[0] in [row.id for row in twin.rows(schema.IDS)]) == (place == 0)
    assert verify(twin.vault).problems == []


def test_a_blob_that_is_lost_or_altered_makes_no_copy(world, make_store):
    world.add(LARGE)
    (name,) = world.store.blobs.names()
    world.store.blobs.delete(name)
    with pytest.raises(MissingBlob, match=name):
        copy(world.store, make_store("memory"))
    world.store.blobs.put(name, b"something else")
    with pytest.raises(StoreCorrupt, match="not what the journal"):
        copy(world.store, make_store("memory"))


def test_a_copy_that_is_always_overtaken_gives_up(twice_open, monkeypatch):
    monkeypatch.setattr(backup, "ATTEMPTS", 2)
    world, other = twice_open
    target = MemoryStore()
    with pytest.raises(StoreBusy, match="2 attempts"):
        copy(Busy(world.store, [lambda: forget_blob(other, 0)] * 2), target)
    with target.read(SYSTEM) as tx:
        assert [row for table in schema.TABLES for row in tx.scan(table, ())] == []


# ------------------------------------------------------------------- another process at work

WRITER = """
import sys
from mnemos import Memory
with Memory(sys.argv[1], embedder=None) as memory:
    number = 0
    while True:
        with memory.begin() as tx:
            tx.add(f"left {number}", user_id="ana")
            tx.add(f"right {number}", user_id="ana")
        if number % 5 == 4:
            memory.forget(memory.get_all(user_id="ana")[0].id)
        number += 1
        if number == 10:
            print("going", flush=True)
"""


def test_a_copy_while_another_process_writes_is_one_moment(make_world, tmp_path):
    path = tmp_path / "busy.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline().strip() == "going"
        source = SQLiteStore(path)
        heads = []
        for _ in range(3):
            target = MemoryStore()
            heads.append(copy(source, target).heads["default"])
            twin = make_world(store=target)
            assert verify(twin.vault).problems == []
            contents = [row.body for row in twin.rows(schema.CONTENTS)]
            left = sum(b"left" in body for body in contents)
            right = sum(b"right" in body for body in contents)
            # each pair came in one commit, and only lefts or rights already paired are forgotten
            assert abs(left - right) <= len(twin.rows(schema.FORGOTTEN))
            events = [row for row in twin.rows(schema.EVENTS) if row.verb == "add"]
            assert len(events) % 2 == 0
        source.close()
    finally:
        writer.kill()
        writer.communicate()
    assert heads == sorted(heads)


# -------------------------------------------------------------------------------- suppression


def test_what_was_forgotten_since_does_not_come_back(world, make_world, make_store):
    first, second, large, _ = filled(world)
    late_copy = make_store("sqlite")
    copy(world.store, late_copy)
    after = world.add("a canary written after the backup")
    world.forget(first, large, after)
    with world.store.read(SYSTEM) as tx:
        (given,) = suppressions(tx)
    assert {first, second, large, after} == set(given.ids)

    twin = reopened(make_world, late_copy)
    assert twin.found(b"canary")
    # `second` goes with `first`, it was made from it
    assert suppress(twin.vault, given, entropy=ENTROPY) == (3, 1)
    assert twin.found(b"canary") == []
    assert late_copy.blobs.names() == []
    assert verify(twin.vault).problems == []
    assert {row.id for row in twin.rows(schema.FORGOTTEN)} == set(given.ids)
    restorers = {row.actor for row in twin.rows(schema.ACTORS) if row.name == "restore"}
    forgets = [row for row in twin.rows(schema.EVENTS) if row.verb == "forget"]
    assert {row.actor for row in forgets} == restorers
    assert suppress(twin.vault, given, entropy=ENTROPY) == (0, 0)
    with pytest.raises(Conflict, match="was forgotten"):
        twin.commit(Add(id=after, draft=twin.draft("a canary again")))


def test_a_hold_that_was_lifted_later_does_not_keep_what_was_forgotten(
    world, make_world, make_store
):
    held = world.add("the canary", hold=True, frozen=True)
    copied = make_store("memory")
    copy(world.store, copied)
    world.commit(Amend(id=held, fields={"hold": False}))
    world.forget(held)
    with world.store.read(SYSTEM) as tx:
        (given,) = suppressions(tx)
    twin = reopened(make_world, copied)
    assert suppress(twin.vault, given, entropy=ENTROPY) == (1, 0)
    assert twin.found(b"canary") == []
    assert verify(twin.vault).problems == []


def test_names_of_dropped_snapshots_do_not_come_back(world, make_world, make_store):
    world.add("Ana")
    world.commit(Snapshot(id=world.ids.fresh(), name="canary day"))
    copied = make_store("memory")
    copy(world.store, copied)
    world.commit(DropSnapshot(name="canary day"))
    with world.store.read(SYSTEM) as tx:
        (given,) = suppressions(tx)
    twin = reopened(make_world, copied)
    assert suppress(twin.vault, given, entropy=ENTROPY) == (1, 0)
    assert twin.rows(schema.SNAPSHOTS) == []
    assert twin.found(b"canary") == []
    assert verify(twin.vault).problems == []


def test_a_derivation_forgotten_by_itself_stays_underived(world, make_world, make_store):
    source = world.add("Ana lives in Porto, a canary town")
    copied = make_store("memory")
    copy(world.store, copied)
    derived = world.add("Ana: Porto", derived_from=(source,))
    world.forget(derived)
    with world.store.read(SYSTEM) as tx:
        (given,) = suppressions(tx)
    twin = reopened(make_world, copied)
    suppress(twin.vault, given, entropy=ENTROPY)
    again = twin.draft("Ana: Porto", derived_from=(source,))
    outcome = twin.commit(Add(id=twin.ids.fresh(), draft=again))
    assert (outcome.suppressed, outcome.ids) == (1, [])


def test_a_tenant_the_copy_does_not_know_has_nothing_to_forget(world):
    world.add("Ana")
    before = world.everything()
    given = Suppression(tenant="other", ids=("0" * 32,))
    assert suppress(world.vault, given, entropy=ENTROPY) == (0, 0)
    assert world.everything() == before


def test_many_ids_are_forgotten_in_several_commits(world, make_world, make_store, monkeypatch):
    monkeypatch.setattr(backup, "FORGET_BATCH", 2)
    first = world.add("zero")
    ids = [first, *(world.add(f"canary {n}", derived_from=(first,)) for n in range(5))]
    given = Suppression(tenant="t", ids=tuple(ids))
    assert suppress(world.vault, given, entropy=ENTROPY) == (6, 0)
    assert world.rows(schema.IDS) == []
    assert verify(world.vault).problems == []


# ------------------------------------------------------------------------------ point in time

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "update", "archive", "freeze", "hold", "fork", "on branch"]),
        st.sampled_from(["ana", "ben"]),
        st.integers(0, 5),
    ),
    min_size=2,
    max_size=14,
)


def play(world, operations):
    """Do what can be done of some operations; return the branches of Ana and Ben."""
    ids = {"ana": [], "ben": []}
    branches = {"ana": [0], "ben": [0]}
    for number, (verb, subject, choice) in enumerate(operations):
        mine = ids[subject]
        try:
            if verb == "add" or not mine:
                mine.append(world.add(f"{subject} {number}", subject=subject))
                continue
            id = mine[choice % len(mine)]
            if verb == "update":
                world.update(id, f"{subject} {number} again", subject=subject)
            elif verb == "archive":
                world.move(id, State.ARCHIVED, subject=subject)
            elif verb in ("freeze", "hold"):
                name = "frozen" if verb == "freeze" else "hold"
                world.commit(Amend(id=id, fields={name: True}), subject=subject)
            elif verb == "fork":
                world.commit(Fork(id=world.ids.fresh(), name=f"b{number}"), subject=subject)
                branches[subject].append(world.head().seq)
            else:
                branch = branches[subject][choice % len(branches[subject])]
                fresh = world.ids.fresh()
                draft = world.draft(f"{subject} {number} on {branch}")
                on_branch(world, branch, Add(id=fresh, draft=draft), subject=subject)
        except MnemosError:  # a frozen one, say
            continue
    return branches


def seen(world, branches, as_of=None):
    found = {}
    for subject, numbers in branches.items():
        for branch in numbers:
            if as_of is not None and branch > as_of:
                continue
            with world.reader(subject, branch=branch, as_of=as_of) as reader:
                found[subject, branch] = [
                    (cube.id, cube.header, cube.payload, cube.state) for cube in reader.list()
                ]
    return found


@settings(max_examples=40)
@given(operations=OPERATIONS, share=st.floats(0, 1))
def test_rolled_back_every_subject_and_branch_says_what_it_said(make_world, operations, share):
    world = make_world("memory")
    branches = play(world, operations)
    to = round(world.head().seq * share)
    wanted = seen(world, branches, as_of=to)
    target = MemoryStore()
    copy(world.store, target)
    twin = reopened(make_world, target)
    before = seen(twin, branches)
    undo = twin.head().seq
    roll_back(twin.vault, "t", to)
    now = seen(twin, branches)
    assert {key: now[key] for key in wanted} == wanted
    assert verify(twin.vault).problems == []
    roll_back(twin.vault, "t", undo)  # and back again
    assert seen(twin, branches) == before


def test_rollbacks_are_journalled_and_change_no_subject_that_stayed(world):
    world.add("Ana", subject="ana")
    world.add("Ben", subject="ben")
    to = world.head().seq
    world.add("Ana again", subject="ana")
    assert roll_back(world.vault, "t", to) == 1
    names = {row.actor: row.name for row in world.rows(schema.ACTORS)}
    made = [row for row in world.rows(schema.EVENTS) if names[row.actor] == "restore"]
    assert [row.verb for row in made] == ["withdraw", "rollback"]
    assert {row.subject for row in made} == {world.key("ana")[1]}
