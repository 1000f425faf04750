"""A page is what its versions and contents say, at every moment and for every reader."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.kernel import schema, segments
from mnemos.kernel.branches import NOW
from mnemos.kernel.canonical import decode_content
from mnemos.kernel.changes import Add, Changes, Forget, Transition, Update
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import open_view
from mnemos.kernel.journal import find_subject
from mnemos.kernel.keys import index_text
from mnemos.kernel.lifecycle import LEGAL
from mnemos.kernel.pages import PageCache
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import ALIVE
from mnemos.kernel.tokens import count_terms, speaker_hash, term_hash, terms
from mnemos.kernel.vault import Staged, Vault
from mnemos.testing import HashEmbedder
from mnemos.types import CURRENT_STATES, Kind, Scope, State

EMBEDDER = HashEmbedder(8)
WORDS = ("boat", "lisbon", "peanut", "harbour", "kite")
KINDS = (Kind.TURN, Kind.FACT)
RUNS = (None, "s1", "s2")


pytestmark = pytest.mark.usefixtures("small_segments")

small = st.integers(0, 50)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), small, st.booleans()),
        st.tuples(st.just("add"), small, st.booleans()),
        st.tuples(st.just("update"), small, st.booleans()),
        st.tuples(st.just("move"), small, small),
        st.tuples(st.just("forget"), small),
        st.tuples(st.just("batch"), small, small),
        st.tuples(st.just("seal"), small),
        st.tuples(st.just("fill"), small),
    ),
    min_size=1,
    max_size=22,
)


class Life:
    """A world in which one subject lives, with what each of its rows should be."""

    def __init__(self, world):
        self.world = world
        self.count = 0
        self.vectors = {}
        """Vector bytes by birth, None where there is none."""
        self.secrets = {}
        """Per cube: every text, term and vector it ever had."""
        self.forgotten = []

    def do(self, operation):
        verb, *how = operation
        getattr(self, verb)(*how)

    def draft(self, number):
        self.count += 1
        text = f"{WORDS[number % 5]} {WORDS[number % 3]} secret{self.count}word"
        world = self.world
        expires = world.clock.now() + timedelta(days=number - 5) if number % 7 == 0 else None
        return world.draft(
            text,
            kind=KINDS[number % 2],
            run_id=RUNS[number % 3],
            speaker="Ana" if number % 4 else None,
            happened_at=world.clock.now() if number % 3 else None,
            expires_at=expires,
        )

    def remember(self, id, draft, born, vector):
        self.vectors[born] = vector
        text = draft.payload.text
        hidden = [text.encode(), term_hash(terms(text)[-1]).to_bytes(8, "little", signed=True)]
        self.secrets.setdefault(id, []).extend(hidden + ([vector] if vector else []))

    def commit(self, change, embedded):
        world = self.world
        given = Changes(scope=world.scope(), changes=(change,))
        vector = world.vector(change) if embedded else None
        outcome = world.vault.commit([Staged(given, [vector], world.space)])[0]
        self.remember(change.id, change.draft, outcome.seq, vector)

    def add(self, number, embedded):
        change = Add(id=self.world.ids.fresh(), draft=self.draft(number))
        self.commit(change, embedded)

    def choose(self, number):
        known = sorted(self.secrets)
        return known[number % len(known)] if known else None

    def update(self, number, embedded):
        id = self.choose(number)
        if id is None or self.live(id).state == State.EXPIRED:
            return
        self.commit(Update(id=id, draft=self.draft(number)), embedded)

    def live(self, id):
        world = self.world
        (row,) = world.rows(schema.IDS, "t", id)
        return world.rows(schema.VERSIONS, "t", row.cube)[-1]

    def move(self, number, which):
        id = self.choose(number)
        if id is None:
            return
        live = self.live(id)
        ways = sorted(LEGAL[State(live.state)] - {State.FORGOTTEN})
        if ways:
            outcome = self.world.move(id, ways[which % len(ways)])
            self.vectors[outcome.seq] = self.vectors[live.born]

    def forget(self, number):
        id = self.choose(number)
        if id is not None:
            self.world.forget(id)
            self.forgotten.extend(self.secrets.pop(id))

    def batch(self, number, other):
        """Forget one, add two and move one of them, in one transaction."""
        world, gone = self.world, self.choose(other)
        made = [Add(id=world.ids.fresh(), draft=self.draft(number + i)) for i in range(2)]
        changes = [*made, Transition(id=made[0].id, state=State.ARCHIVED)]
        if gone is not None:
            changes.insert(1, Forget(id=gone))
        end = world.commit(*changes).seq
        self.remember(made[0].id, made[0].draft, end - len(changes) + 1, world.vector(made[0]))
        self.remember(made[1].id, made[1].draft, end - 1, world.vector(made[1]))
        self.vectors[end] = world.vector(made[0])
        if gone is not None:
            self.forgotten.extend(self.secrets.pop(gone))

    def page(self):
        with self.world.store.read(SYSTEM) as tx:
            subject = find_subject(tx, "t", "ana")
            return None if subject is None else tx.get(schema.PAGES, ("t", subject, 0))

    def seal(self, most):
        page = self.page()
        if page is not None:
            with self.world.store.write(SYSTEM) as tx:
                segments.seal(tx, page, most % 4 + 1)

    def fill(self, number):
        """Bring the vectors of some rows that lack one, as a change of embedder does."""
        page = self.page()
        if page is None:
            return
        born = [row.born for row in self.world.rows(schema.VERSIONS, "t")]
        lacking = [seq for seq in born if self.vectors[seq] is None][number % 3 :]
        space = self.world.space
        made = {seq: EMBEDDER.embed([f"late {seq}"])[0].tobytes() for seq in lacking}
        with self.world.store.write(SYSTEM) as tx:
            segments.put_vectors(tx, page, space.space, space.dim, made)
        self.vectors.update(made)
        ids = {row.cube: row.id for row in self.world.rows(schema.IDS, "t")}
        for row in self.world.rows(schema.VERSIONS, "t"):
            if row.born in made:
                self.secrets[ids[row.cube]].append(made[row.born])


def snapshot(store, make_store):
    """Return a copy of a store, as a reader that began now would go on seeing it."""
    copy = make_store()
    with store.read(SYSTEM) as old, copy.write(SYSTEM) as new:
        for table in schema.TABLES:
            new.insert(table, old.scan(table, ()))
    return copy


def views(scope, now, head):
    for as_of in [None, *range(head + 1)]:
        yield open_view(scope, now=now, as_of=as_of, states=frozenset(State))
        yield open_view(scope, now=now, as_of=as_of)
    yield open_view(scope, now=now, kinds=frozenset({Kind.FACT}))
    narrow = Scope(tenant=scope.tenant, subject=scope.subject, run_id="s1")
    yield open_view(narrow, now=now, states=CURRENT_STATES | {State.ARCHIVED})


def shows(view, row, header):
    moment = 2**62 if view.as_of is None else view.as_of
    return (
        row.born <= moment < row.dead
        and row.state in view.states
        and (header.expires_at is None or header.expires_at > view.now)
        and (view.kinds is None or header.kind in view.kinds)
        and (view.scope.run_id is None or header.run_id == view.scope.run_id)
    )


def check(life, tx, cache, vectors):
    """Compare the page of one snapshot with a plain recomputation from versions and contents.

    Returns the arrays a reader of the present was given.
    """
    world = life.world
    subject = find_subject(tx, "t", "ana")
    if subject is None:
        return None
    key = ("t", subject, 0)
    versions = sorted(tx.scan(schema.VERSIONS, key, index="deaths"), key=lambda row: row.born)
    bodies = {
        row.born: decode_content(tx.get(schema.CONTENTS, ("t", row.content)).body)
        for row in versions
    }
    loaded, seen = {}, set()
    for view in views(world.scope(), world.clock.now(), tx.get(schema.HEADS, ("t",)).seq):
        moment = NOW if view.as_of is None else view.as_of
        if moment not in loaded:
            loaded[moment] = cache.load(tx, world.wanted(tx, subject, moment=moment))
        arrays = loaded[moment]
        wanted = [row.born for row in versions if shows(view, row, bodies[row.born].header)]
        assert arrays.column("born")[arrays.visible(view)].tolist() == wanted
    for moment, arrays in {id(arrays): (at, arrays) for at, arrays in loaded.items()}.values():
        seen |= same_rows(tx, arrays, versions, bodies, vectors)
        if (arrays.dead == ALIVE).all():  # all rows, if none has ended; or those of a moment
            assert all(row.dead > moment for row in versions if row.born in arrays.column("born"))
    assert seen == {row.born for row in versions}
    return loaded[NOW]


def same_rows(tx, arrays, versions, bodies, vectors):
    """Compare every row of some arrays with its version; return the births of those rows."""
    born = arrays.column("born").tolist()
    assert all(one < other for one, other in pairwise(born))
    assert len(arrays.dead) == len(arrays.vectors) == len(born)
    places = {seq: place for place, seq in enumerate(born)}
    everywhere = {}
    for row in versions:
        if row.born not in places:
            continue
        place, body = places[row.born], bodies[row.born]
        same_row(arrays, place, row, body, tx.get(schema.EVENTS, ("t", row.born)))
        assert arrays.vectors[place].tobytes() == (vectors[row.born] or bytes(32))
        for term, count in count_terms(index_text(body.header, body.payload)).items():
            everywhere.setdefault(term, []).append((place, count))
    for term in [*everywhere, *map(term_hash, WORDS), *map(term_hash, ["nowhere"])]:
        found, counts = arrays.lookup(term)
        pairs = list(zip(found.tolist(), counts.tolist(), strict=True))
        assert pairs == everywhere.get(term, [])
    alive = {row.born for row in versions}
    for place, seq in enumerate(born):
        if seq not in alive:
            assert arrays.dead[place] == 0
            assert not arrays.vectors[place].any()
            assert not arrays.columns[place, 1:].any()
    return alive & set(born)


def same_row(arrays, place, row, body, event):
    header = body.header
    columns = {
        "cube": row.cube,
        "content": row.content,
        "state": segments.STATES.index(State(row.state)),
        "kind": segments.KINDS.index(header.kind),
        "session": term_hash(header.run_id or ""),
        "speaker": speaker_hash(header.speaker),
        "length": count_terms(index_text(header, body.payload)).total(),
    }
    if header.happened_at is None:
        columns["at"] = event.at
    assert {name: int(arrays.column(name)[place]) for name in columns} == columns
    assert arrays.dead[place] == row.dead or (arrays.dead == ALIVE).all()


def frozen_copy(arrays):
    return (
        arrays.columns.copy(),
        arrays.dead.copy(),
        arrays.vectors.copy(),
        postings_of(arrays),
    )


def postings_of(arrays):
    found = {term: arrays.lookup(term) for term in map(term_hash, WORDS)}
    return {term: (rows.tolist(), counts.tolist()) for term, (rows, counts) in found.items()}


def same_copy(arrays, copy):
    columns, dead, vectors, blocks = copy
    assert np.array_equal(arrays.columns, columns)
    assert np.array_equal(arrays.dead, dead)
    assert np.array_equal(arrays.vectors, vectors)
    assert postings_of(arrays) == blocks


@settings(max_examples=60)
@given(operations)
def test_a_page_equals_its_recomputation_at_every_moment(make_world, taken):
    life = Life(make_world(embedder=EMBEDDER))
    warm, held = PageCache(), []
    for operation in taken:
        life.do(operation)
        with life.world.store.read(SYSTEM) as tx:
            check(life, tx, PageCache(), life.vectors)
            arrays = check(life, tx, warm, life.vectors)
        if arrays is not None:
            held.append((arrays, frozen_copy(arrays)))
    for arrays, copy in held:  # what a reader was given never changes under it
        same_copy(arrays, copy)
    for secret in life.forgotten:
        assert life.world.found(secret) == []
    assert verify(life.world.vault).problems == []


@settings(max_examples=40)
@given(operations, st.lists(small, min_size=4, max_size=16))
def test_readers_of_different_moments_may_share_a_cache(make_world, make_store, taken, order):
    life = Life(make_world(embedder=EMBEDDER))
    snapshots = []
    for operation in taken:
        life.do(operation)
        snapshots.append((snapshot(life.world.store, make_store), dict(life.vectors)))
    shared = PageCache()
    for number in order:
        store, vectors = snapshots[number % len(snapshots)]
        with store.read(SYSTEM) as tx:
            check(life, tx, shared, vectors)


@settings(max_examples=6)
@given(operations)
def test_a_page_on_disk_equals_its_recomputation(make_world, taken):
    life = Life(make_world("sqlite", embedder=EMBEDDER))
    warm = PageCache()
    for operation in taken:
        life.do(operation)
        with life.world.store.read(SYSTEM) as tx:
            check(life, tx, warm, life.vectors)
    with life.world.store.read(SYSTEM) as tx:
        check(life, tx, PageCache(), life.vectors)
    for secret in life.forgotten:
        assert life.world.found(secret) == []


def test_the_search_for_secrets_finds_what_is_there(make_world, engine):
    """The laws above would be empty if a secret could not be found where it is."""
    world = make_world(engine, embedder=EMBEDDER)
    life = Life(world)
    for number in range(6):
        life.add(number + 1, True)
    for found in life.secrets.values():
        text, term, vector = (set(world.found(secret)) for secret in found)
        assert text == {"contents"}
        assert term <= {"tail", "segments"}
        assert vector <= {"vectors", "segments"}
        assert term
        assert vector


def test_a_segment_is_erased_row_by_row_until_the_subject_is_gone(make_world):
    world = make_world(embedder=EMBEDDER)
    ids = [world.add(f"turn {number} of many") for number in range(11)]
    page = world.rows(schema.PAGES, *world.key())[0]
    assert (page.sealed, page.tail) == (10, 1)
    parts = world.rows(schema.SEGMENTS, *world.key())
    assert [part.n for part in parts if part.encoding == "rows"] == [6, 2, 2]
    for left, id in zip(range(10, -1, -1), ids[::2] + ids[1::2], strict=True):
        world.forget(id)
        assert len(world.texts()) == left
        assert verify(world.vault).problems == []
    for table in (schema.PAGES, schema.SEGMENTS, schema.TAIL, schema.VECTORS, schema.SUBJECTS):
        assert world.rows(table) == []


@pytest.mark.parametrize("encoding", ["rows", "terms", "f32:1"])
def test_verify_finds_what_an_erasure_left_in_a_segment(make_world, encoding):
    world = make_world(embedder=EMBEDDER)
    ids = [world.add(f"turn {number} of many") for number in range(3)]
    parts = {part.encoding: part for part in world.rows(schema.SEGMENTS, *world.key())}
    world.forget(ids[0])
    assert verify(world.vault).problems == []
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.SEGMENTS, parts[encoding])
    assert verify(world.vault).problems


def test_a_subject_that_comes_back_starts_a_new_page(make_world):
    world = make_world(embedder=EMBEDDER)
    for _ in range(2):
        ids = [world.add(f"turn {number}") for number in range(6)]
        assert len(world.load()) == 6
        world.forget(*ids)
    assert [row.value for row in world.rows(schema.META, "subjects:t")] == ["2"]
    again = world.add("back once more")
    with world.reader() as reader:
        arrays, mask = reader.page()
        assert (len(arrays), mask.tolist()) == (1, [True])
        assert [cube.id for cube in reader.list()] == [again]


def test_pages_load_without_an_embedder(make_world):
    world = make_world()
    for number in range(6):
        world.add(f"turn {number}")
    arrays = world.load()
    assert arrays.vectors is None
    assert arrays.lookup(term_hash("turn"))[0].tolist() == list(range(6))


def test_the_cache_keeps_to_its_budget(make_world):
    world = make_world(embedder=EMBEDDER)
    cache = PageCache(budget=1)
    for subject in ("ana", "bo", "cy"):
        world.add("hello", subject=subject)
        world.load(subject, cache)
    assert len(cache._held) == 1
    first = world.load("cy", cache)
    assert world.load("cy", cache) is first
    cache.clear()
    assert world.load("cy", cache) is not first


def test_a_vault_opened_twice_sees_what_the_other_handle_wrote(make_world, make_store):
    store = make_store("sqlite")
    world = make_world(store=store, embedder=EMBEDDER)
    other = Vault(store, clock=world.clock, ids=world.ids, entropy=world.vault.entropy)
    ids = [world.add(f"turn {number}") for number in range(3)]
    for step in range(4):
        with other.reader(world.view()) as reader:
            arrays, mask = reader.page()
            assert int(mask.sum()) == len(list(reader.list())) == len(ids)
            assert np.all(arrays.vectors[mask].any(axis=1))
        ids.append(world.add(f"more {step}"))
        world.update(ids[step], f"changed {step}")
        world.forget(ids.pop(0))


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_readers_and_a_writer_in_threads_share_a_vault(make_world, engine):
    world = make_world(engine, embedder=EMBEDDER)
    world.add("turn zero of kites")

    def write():
        ids = []
        for number in range(30):
            ids.append(world.add(f"turn {number} of kites"))
            if number % 3 == 2:
                world.update(ids[-2], f"turn {number} of boats")
                world.forget(ids.pop(0))
        return len(ids)

    def read(until):
        looks = 0
        while not until.done() or looks < 3:
            with world.reader() as reader:
                arrays, mask = reader.page()
                texts = [cube.text for cube in reader.list()]
                assert int(mask.sum()) == len(texts)
                for word in ("kites", "boats"):
                    places, _ = arrays.lookup(term_hash(terms(word)[0]))
                    assert int(mask[places].sum()) == sum(word in text for text in texts)
                assert arrays.vectors[mask].any(axis=1).all()
            looks += 1
        return looks

    with ThreadPoolExecutor(4) as pool:
        writer = pool.submit(write)
        readers = [pool.submit(read, writer) for _ in range(3)]
        left = writer.result()
        assert len(world.texts()) == left + 1
        assert all(reader.result() for reader in readers)
    assert len(world.texts()) == writer.result() + 1


def test_sealing_keeps_vectors_of_every_space_with_their_rows(make_world):
    world = make_world(embedder=EMBEDDER)
    wide = HashEmbedder(24, name="wide")
    with world.store.write(SYSTEM) as tx:
        tx.insert(schema.SPACES, [schema.Space(9, wide.fingerprint, 24, "building")])
    ids = [world.add(f"turn {number}") for number in range(3)]
    page = world.rows(schema.PAGES, *world.key())[0]
    late = wide.embed(["late"])[0].astype("<f4").tobytes()
    with world.store.write(SYSTEM) as tx:
        segments.put_vectors(tx, page, 9, 24, {2: late})
    moved = world.move(ids[1], State.ARCHIVED).seq
    page = world.rows(schema.PAGES, *world.key())[0]
    assert page.sealed == moved
    with world.store.read(SYSTEM) as tx:
        assert [segments.vector_of(tx, page, 9, born) for born in (1, 2, 3, moved)] == [
            bytes(96),
            late,
            bytes(96),
            late,
        ]
    world.forget(ids[1])
    assert world.found(late) == []
