"""Compaction moves rows that ended out of the way of searches, and no view tells the difference."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import MergeConflict
from mnemos.kernel import schema, segments
from mnemos.kernel.changes import Add
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.pages import PageCache
from mnemos.kernel.proof.verify import verify
from mnemos.kernel.schema import ALIVE, MAIN
from mnemos.kernel.tokens import term_hash, terms
from mnemos.kernel.upkeep import compaction
from mnemos.kernel.upkeep.reembed import reembed
from mnemos.kernel.vault import Staged, Vault
from mnemos.testing import HashEmbedder, SeededEntropy
from mnemos.types import State

pytestmark = pytest.mark.usefixtures("small_segments")

EMBEDDER = HashEmbedder(8)
WORDS = ("boat", "lisbon", "peanut", "harbour", "kite")

small = st.integers(0, 30)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), small, small),
        st.tuples(st.just("add"), small, small),
        st.tuples(st.just("update"), small, small),
        st.tuples(st.just("update"), small, small),
        st.tuples(st.just("move"), small, small),
        st.tuples(st.just("forget"), small, small),
        st.tuples(st.just("rollback"), small, small),
        st.tuples(st.just("fork"), small, small),
        st.tuples(st.just("merge"), small, small),
        st.tuples(st.just("compact"), small, small),
        st.tuples(st.just("compact"), small, small),
    ),
    min_size=2,
    max_size=26,
)


class Story:
    """A world with branches, and a plain dictionary per branch and moment of what it should show.

    ``now`` maps a branch to what it shows, id to text and state; ``noted`` keeps a copy of it per
    journal position.
    """

    def __init__(self, world):
        self.world = world
        self.count = 0
        self.now = {MAIN: {}}
        self.noted = {0: {MAIN: {}}}
        self.forks = {}
        """Per branch its parent, its fork and the position up to which it was merged."""
        self.vectors = {}
        self.secrets = {}
        self.forgotten = []

    def do(self, operation):
        verb, place, number = operation
        branch = sorted(self.now)[place % len(self.now)]
        getattr(self, verb)(branch, number)
        head = self.world.head()
        if head is not None:
            self.noted[head.seq] = {at: dict(shown) for at, shown in self.now.items()}

    def past(self, branch, at):
        """Return what a branch showed at a noted position."""
        if branch not in self.noted[at]:
            parent, fork, _ = self.forks[branch]
            return self.past(parent, min(at, fork))
        return self.left(self.noted[at][branch])

    def left(self, shown):
        return {id: said for id, said in shown.items() if id in self.secrets}

    def said(self, number):
        self.count += 1
        text = f"{WORDS[number % 5]} {WORDS[number % 3]} secret{self.count}word"
        self.vectors[text] = EMBEDDER.embed([text])[0].astype("<f4").tobytes()
        return text

    def remember(self, id, text):
        hidden = term_hash(terms(text)[-1]).to_bytes(8, "little", signed=True)
        self.secrets.setdefault(id, []).extend([text.encode(), hidden, self.vectors[text]])

    def choose(self, branch, number):
        known = sorted(self.now[branch])
        return known[number % len(known)] if known else None

    def add(self, branch, number):
        text = self.said(number)
        id = self.world.add(text, branch=branch)
        self.remember(id, text)
        self.now[branch][id] = (text, State.ACTIVATED)

    def update(self, branch, number):
        id = self.choose(branch, number)
        if id is not None:
            text, state = self.said(number), self.now[branch][id][1]
            self.world.update(id, text, branch=branch, state=state)
            self.remember(id, text)
            self.now[branch][id] = (text, state)

    def move(self, branch, number):
        id = self.choose(branch, number)
        if id is not None:
            text, state = self.now[branch][id]
            state = State.ARCHIVED if state is State.ACTIVATED else State.ACTIVATED
            self.world.move(id, state, branch=branch)
            self.now[branch][id] = (text, state)

    def forget(self, branch, number):
        id = self.choose(branch, number)
        if id is None or len(self.secrets) == 1:  # the last would take the branches along
            return
        self.world.forget(id, branch=branch)
        self.forgotten.extend(self.secrets.pop(id))
        self.now = {at: self.left(shown) for at, shown in self.now.items()}

    def rollback(self, branch, number):
        to = sorted(self.noted)[number % len(self.noted)]
        if self.secrets:
            self.world.rollback(to, branch=branch)
            self.now[branch] = self.past(branch, to)

    def fork(self, branch, number):
        at = sorted(self.noted)[number % len(self.noted)]
        if self.secrets and len(self.now) < 4:
            made = self.world.fork(f"branch {self.count} {len(self.now)}", at=at, branch=branch)
            self.forks[made] = (branch, at, at)
            self.now[made] = self.past(branch, at)

    def merge(self, branch, number):
        if branch == MAIN:
            return
        parent, fork, merged = self.forks[branch]
        base, theirs, ours = self.past(branch, merged), self.now[branch], self.now[parent]
        changed = {
            id: theirs.get(id)
            for id in base.keys() | theirs.keys()
            if theirs.get(id) not in (base.get(id), ours.get(id))
        }
        collisions = {id for id in changed if ours.get(id) != base.get(id)}
        side = ("branch", "parent", None)[number % 3]
        before = self.world.head()
        if collisions and side is None:
            with pytest.raises(MergeConflict) as caught:
                self.world.merge(branch, into=parent)
            assert {item.id for item in caught.value.collisions} == collisions
            assert self.world.head() == before
            return
        resolve = dict.fromkeys(collisions, side)
        seq = self.world.merge(branch, into=parent, resolve=resolve).seq
        for id, said in changed.items():
            if id in collisions and side == "parent":
                continue
            self.now[parent].pop(id, None)
            if said is not None:
                self.now[parent][id] = said
        self.forks[branch] = (parent, fork, seq)

    def compact(self, branch, number):
        if not self.secrets:
            return
        if number % 2:
            self.world.compact(branch=branch, most=1)
            return
        self.world.compact(branch=branch)
        self.spares_searches(branch)

    def spares_searches(self, branch):
        """After compaction the segments searches read hold nothing but current rows."""
        key = self.world.key(branch=branch)
        parts = [row for row in self.world.rows(schema.SEGMENTS, *key) if row.encoding == "rows"]
        held = [row for part in parts for row in segments.segment_rows([part, *self.terms(part)])]
        dead = {
            row.born: row.dead
            for row in self.world.rows(schema.VERSIONS, "t")
            if row.branch == branch
        }
        assert {dead[row.born] for row in held} <= {ALIVE}

    def terms(self, part):
        rows = self.world.rows(schema.SEGMENTS, *part[:4])
        return [row for row in rows if row.encoding == "terms"]

    def check(self, moments=None):
        """Compare every branch, at every position noted, with what it showed then."""
        for at in sorted(self.noted) if moments is None else moments:
            for branch in self.now:
                self.compare(branch, at, self.past(branch, at))
        for branch, shown in self.now.items():
            self.compare(branch, None, shown)

    def compare(self, branch, as_of, shown):
        with self.world.reader(branch=branch, as_of=as_of) as reader:
            listed = {cube.id: (cube.text, cube.state) for cube in reader.list()}
            assert listed == shown, (branch, as_of)
            assert {id: reader.get(id).text for id in shown} == {
                id: text for id, (text, _) in shown.items()
            }
            page = reader.page()
            if page is None:
                assert not shown
                return
            arrays, mask = page
            positions = np.flatnonzero(mask)
            found = {
                position: reader.cube(
                    int(arrays.column("born")[position]), int(arrays.column("cube")[position])
                )
                for position in positions.tolist()
            }
        assert len(found) == len(shown)
        assert {cube.id: (cube.text, cube.state) for cube in found.values()} == shown
        for position, cube in found.items():
            assert arrays.vectors[position].tobytes() == self.vectors[cube.text]
        for word in WORDS:
            places, counts = arrays.lookup(term_hash(word))
            times = dict(zip(places.tolist(), counts.tolist(), strict=True))
            held = {place: count for place, count in times.items() if mask[place]}
            assert held == {
                position: cube.text.split().count(word)
                for position, cube in found.items()
                if word in cube.text.split()
            }


def play(world, taken, *, every_step):
    story = Story(world)
    for operation in taken:
        story.do(operation)
        if every_step or operation[0] in ("compact", "rollback", "merge"):
            story.check()
    story.check()
    world.vault.cache = PageCache()
    story.check()
    for secret in story.forgotten:
        assert world.found(secret) == []
    assert verify(world.vault).problems == []
    return story


@settings(max_examples=80)
@given(operations)
def test_every_branch_shows_at_every_moment_what_it_showed_then(make_world, taken):
    play(make_world(embedder=EMBEDDER), taken, every_step=False)


@settings(max_examples=5)
@given(operations)
def test_every_branch_on_disk_shows_what_it_showed_then(make_world, taken):
    play(make_world("sqlite", embedder=EMBEDDER), taken, every_step=False)


# --- one thing at a time


@pytest.fixture
def aged(world):
    """Nine memories, six of them changed once: rows that ended lie in segments and in the tail."""
    world.given = [world.add(f"turn {number} of kites") for number in range(9)]
    for number in range(6):
        world.update(world.given[number], f"turn {number} of boats")
    return world


def births(world, table, branch=MAIN):
    parts = world.rows(table, *world.key(branch=branch))
    held = [segments.births_of([part]).tolist() for part in parts if part.encoding == "rows"]
    return [born for part in held for born in part]


def moments(world, branch=MAIN):
    """What every past moment shows, by list and by search, words and vectors included."""
    found = {}
    for as_of in (None, *range(world.head().seq + 1)):
        with world.reader(as_of=as_of, branch=branch) as reader:
            listed = [(cube.id, cube.text, cube.version) for cube in reader.list()]
            page = reader.page()
            rows = {}
            if page is not None:
                arrays, mask = page
                born = arrays.column("born")
                held = {
                    word: {int(born[place]) for place in arrays.lookup(term_hash(word))[0].tolist()}
                    for word in ("turn", "kites", "boats")
                }
                for place in np.flatnonzero(mask).tolist():
                    seq = int(born[place])
                    words = [word for word, rows in held.items() if seq in rows]
                    columns = tuple(arrays.columns[place].tolist())
                    rows[seq] = (columns, words, arrays.vectors[place].tobytes())
        assert len(rows) == len(listed)
        found[as_of] = (listed, rows)
    return found


def test_rows_that_ended_move_to_history(aged):
    before, texts = moments(aged), aged.everything()
    page = aged.page()
    assert (page.rows, page.tail, page.ended, page.compacted) == (14, 1, 6, 0)
    assert aged.compact() == 6
    page = aged.page()
    assert (page.rows, page.ended) == (8, 0)
    assert births(aged, schema.HISTORY) == list(range(1, 7))
    assert births(aged, schema.SEGMENTS) == list(range(7, 15))
    assert (page.compacted, page.cleared) == (15, 15)
    assert moments(aged) == before
    aged.vault.cache = PageCache()
    assert moments(aged) == before
    assert verify(aged.vault).problems == []
    after = aged.everything()
    for table in ("events", "contents", "versions", "tail", "vectors", "ids"):
        assert after[table] == texts[table]


def test_compaction_step_by_step_ends_where_it_ends_at_once(make_world):
    worlds = [make_world(embedder=EMBEDDER) for _ in range(2)]
    steps = []
    for place, world in enumerate(worlds):
        ids = [world.add(f"turn {number} of kites") for number in range(16)]
        for number in range(0, 16, 3):
            world.update(ids[number], f"turn {number} of boats")
        if place:
            world.compact()
            continue
        before = moments(world)
        while moved := world.compact(most=1):
            steps.append(moved)
            assert moments(world) == before
            assert verify(world.vault).problems == []
    assert len(steps) > 1
    one, other = worlds
    assert births(one, schema.HISTORY) == births(other, schema.HISTORY)
    assert births(one, schema.SEGMENTS) == births(other, schema.SEGMENTS)
    assert one.page()._replace(epoch=0) == other.page()._replace(epoch=0)


def test_a_row_that_ended_in_the_tail_waits_for_its_segment(aged):
    aged.add("fills the tail")
    aged.add("soon taken back")
    aged.rollback(16)
    before = moments(aged)
    assert aged.compact() == 6
    page = aged.page()
    assert (page.tail, page.ended, page.cleared) == (1, 1, 17)
    assert 17 not in births(aged, schema.HISTORY)
    aged.vault.cache = PageCache()
    assert moments(aged) == before
    assert verify(aged.vault).problems == []
    for number in range(3):
        aged.add(f"and on {number}")
    assert aged.compact() == 1
    assert births(aged, schema.HISTORY)[-1] == 17


def test_compaction_again_finds_nothing_to_do(aged):
    aged.compact()
    before = aged.everything()
    assert aged.compact() == 0
    assert aged.everything() == before


def test_compaction_goes_on_with_what_ended_since(aged):
    for number in range(3):
        aged.compact()
        for id in aged.given[number:]:
            aged.update(id, f"once more {number}")
        before = moments(aged)
        assert aged.compact() > 0
        assert moments(aged) == before
        assert verify(aged.vault).problems == []
    found = births(aged, schema.HISTORY)
    assert found == sorted(found)
    parts = [part for part in aged.rows(schema.HISTORY) if part.encoding == "rows"]
    assert all(part.n <= segments.SEGMENT_ROWS for part in parts)


def test_erased_rows_leave_with_the_ended_ones(make_world):
    """Segments in which everything was erased count as work done, or a job would stop at them."""
    world = make_world(embedder=EMBEDDER)
    ids = [world.add(f"turn {number}") for number in range(21)]
    world.forget(*ids[:12])
    world.update(ids[15], "changed")
    assert min(births(world, schema.SEGMENTS)) == 1
    assert [world.compact(most=1) for _ in range(4)] == [6, 6, 1, 0]
    assert min(births(world, schema.SEGMENTS)) == 13
    assert births(world, schema.HISTORY) == [16]
    assert verify(world.vault).problems == []


def test_a_page_is_due_when_enough_of_it_has_ended():
    page = schema.empty_page("t", 1, 0)
    least, share = compaction.LEAST, compaction.SHARE
    many = int(least / share) * 10
    assert not compaction.is_due(page)
    assert not compaction.is_due(page._replace(rows=least, ended=least - 1))
    assert compaction.is_due(page._replace(rows=least, ended=least))
    assert not compaction.is_due(page._replace(rows=many, ended=int(many * share) - 1))
    assert compaction.is_due(page._replace(rows=many, ended=int(many * share)))


def test_a_page_of_a_branch_is_compacted_by_itself(aged):
    branch = aged.fork("trial")
    for number, id in enumerate(aged.given):
        for step in range(2):
            aged.update(id, f"turn {number} of trains {step}", branch=branch)
    before, main = moments(aged, branch), moments(aged)
    assert aged.compact(branch=branch) > 0
    assert births(aged, schema.HISTORY) == []
    assert set(births(aged, schema.HISTORY, branch)) > set()
    assert (moments(aged, branch), moments(aged)) == (before, main)
    aged.compact()
    assert (moments(aged, branch), moments(aged)) == (before, main)
    assert verify(aged.vault).problems == []


def test_a_branch_reads_what_its_parent_has_moved_to_history(aged):
    branch = aged.fork("trial", at=9)
    aged.compact()
    assert births(aged, schema.HISTORY) == list(range(1, 7))
    kites = [f"turn {number} of kites" for number in range(9)]
    assert aged.texts(branch=branch) == kites
    arrays = aged.load(branch=branch)
    assert sorted(arrays.column("born").tolist()) == list(range(1, 10))
    for id in aged.given:  # the vectors of what is adopted lie in history too
        aged.move(id, State.ARCHIVED, branch=branch)
    arrays = aged.load(branch=branch)
    assert len(arrays) == 9
    assert arrays.vectors.any(axis=1).all()


def test_a_rollback_brings_rows_of_history_back(aged):
    aged.compact()
    aged.rollback(9)
    assert aged.texts() == [f"turn {number} of kites" for number in range(9)]
    arrays = aged.load()
    shown = arrays.vectors[arrays.dead == ALIVE]
    kites = aged.embedder.embed([f"turn {number} of kites" for number in range(9)])
    assert {row.tobytes() for row in shown} == {row.tobytes() for row in kites}


def test_forgetting_erases_what_lies_in_history(aged):
    aged.compact()
    secret, row = aged.given[2], aged.load(moment=9)
    place = row.column("born").tolist().index(3)
    needles = [row.vectors[place].tobytes(), b"turn 2"]
    assert all(aged.found(needle) for needle in needles)
    assert "history" in aged.found(needles[0])
    aged.forget(secret)
    assert [aged.found(needle) for needle in needles] == [[], []]
    for shown, _ in moments(aged).values():
        assert secret not in {id for id, _, _ in shown}
    assert verify(aged.vault).problems == []
    aged.forget(*(id for id in aged.given if id != secret))
    assert aged.rows(schema.HISTORY) == aged.rows(schema.SEGMENTS) == []


def test_verify_finds_what_an_erasure_left_in_history(aged):
    aged.compact()
    parts = aged.rows(schema.HISTORY)
    aged.forget(aged.given[2])
    for part in parts:
        (now,) = aged.rows(schema.HISTORY, *part[:5])
        if now == part:
            continue
        with aged.store.write(SYSTEM) as tx:
            tx.put(schema.HISTORY, part)
        assert verify(aged.vault).problems, part.encoding
        with aged.store.write(SYSTEM) as tx:
            tx.put(schema.HISTORY, now)
    assert verify(aged.vault).problems == []


def test_verify_finds_an_ended_row_that_searches_would_take_for_current(aged):
    aged.update(aged.given[8], "turn 8 of boats")
    page = aged.page()
    with aged.store.write(SYSTEM) as tx:
        tx.put(schema.PAGES, page._replace(cleared=page.changed))
    assert any("history" in problem for problem in verify(aged.vault).problems)


def test_reembed_covers_history(aged):
    aged.compact()
    other = HashEmbedder(24, name="other")
    texts = {number + 1: f"turn {number} of kites" for number in range(9)}
    assert reembed(aged.vault, other).total == 15
    aged.space = aged.vault.space()
    arrays = aged.load(moment=9)
    for place, born in enumerate(arrays.column("born").tolist()):
        wanted = other.embed([texts[born]])[0].astype("<f4").tobytes()
        assert arrays.vectors[place].tobytes() == wanted
    encodings = {part.encoding for part in aged.rows(schema.HISTORY)}
    assert encodings == {"rows", "terms", f"f32:{aged.space.space}"}
    assert verify(aged.vault).problems == []


def test_vectors_that_come_late_reach_rows_in_history(make_world):
    world = make_world(embedder=EMBEDDER)
    changes = [Add(id=world.ids.fresh(), draft=world.draft(f"turn {n}")) for n in range(4)]
    staged = world.staged(*changes)
    world.vault.commit([Staged(staged.changes, [None] * 4, staged.space)])
    for change in changes:
        world.update(change.id, f"{change.id} changed")
    assert world.compact() == 4
    assert reembed(world.vault, EMBEDDER).done == 4
    arrays = world.load(moment=4)
    assert arrays.vectors.tobytes() == b"".join(world.vector(change) for change in changes)


def test_words_are_made_anew_in_history_too(aged):
    aged.compact()
    before, at = aged.everything(), moments(aged)
    with aged.store.write(SYSTEM) as tx:
        tx.put(schema.META, schema.Meta("lexicon", "another"))
        for part in list(tx.scan(schema.HISTORY, ())):
            if part.encoding == "terms":
                tx.put(
                    schema.HISTORY, part._replace(bytes=segments.invert([b""] * part.n).encode())
                )
    assert verify(aged.vault).problems
    aged.vault = Vault(
        aged.store,
        clock=aged.clock,
        ids=aged.ids,
        entropy=SeededEntropy(1),
        rebuild_words=True,
    )
    after = aged.everything()
    assert moments(aged) == at
    assert after["history"] == before["history"]


def test_a_reader_that_began_before_compaction_reads_on(make_world):
    world = make_world("sqlite", embedder=EMBEDDER)
    ids = [world.add(f"turn {number} of kites") for number in range(8)]
    for id in ids[:6]:
        world.update(id, f"{id} changed")
    wanted = world.texts()
    with ThreadPoolExecutor(1) as pool, world.reader() as reader:
        assert [cube.text for cube in reader.list()] == wanted
        assert pool.submit(world.compact).result() == 6
        pool.submit(world.texts).result()
        assert int(reader.page()[1].sum()) == len(wanted)
        assert [cube.text for cube in reader.list()] == wanted
    for _ in range(2):
        with world.reader(as_of=8) as reader:
            assert int(reader.page()[1].sum()) == 8
