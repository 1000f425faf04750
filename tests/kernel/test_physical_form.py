"""DESIGN section 11, statement by statement, on both stores."""

import hashlib
import hmac
from datetime import timedelta

import numpy as np
import pytest

from mnemos.kernel import schema, segments
from mnemos.kernel.canonical import encode_content, event_hash, microseconds
from mnemos.kernel.changes import Add
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.journal import GENESIS, seq_at, walk
from mnemos.kernel.proof.verify import DERIVED, verify
from mnemos.kernel.schema import ALIVE, TABLES
from mnemos.kernel.tokens import term_hash
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder
from mnemos.types import Draft, Header, Kind, Link, Scope, State, Text

EMBEDDER = HashEmbedder(16)


def live_a_little(world):
    """A short life with every kind of change in it; returns the ids by name."""
    ids = {}
    for name in ("kites", "boats", "tea", "porto"):
        world.clock.advance(minutes=10)
        ids[name] = world.add(f"Ana likes {name}", speaker="Ana", tags=(name,))
    ids["bo"] = world.add("Bo likes kites", subject="bo")
    ids["fact"] = world.add("likes: kites", kind=Kind.FACT, derived_from=(ids["kites"],))
    world.update(ids["porto"], "Ana lives in Lisbon")
    world.move(ids["boats"], State.ARCHIVED)
    world.clock.advance(hours=1)
    world.forget(ids["kites"])
    ids["late"] = world.add("Ana likes rain")
    return ids


def live_longer(world):
    """A life after which every table that is made from the journal has a row."""
    ids = live_a_little(world)
    tea, boats = ids["tea"], ids["boats"]
    world.add("named", external_id="m1")
    world.add("derived", derived_from=(tea,))
    forgotten = world.add("derived and forgotten", derived_from=(tea,))
    world.add("a link", links=(Link(type="contradicts", target=boats),))
    world.forget(forgotten)
    world.snapshot("before")
    branch = world.fork("trial")
    world.update(ids["porto"], "Ana lives in Faro", branch=branch)
    world.add("on the branch", branch=branch, external_id="m1b")
    world.merge(branch)
    before = world.head().seq
    world.update(tea, "Ana likes coffee")
    world.rollback(before)
    world.policy(Kind.TURN, {"days": 30})
    world.policy(None, {"days": 90}, everywhere=True)
    world.rule("redaction", "", {"mode": "mask"})
    world.noted(call="search", ids=[])
    return ids


# --- time


def test_time_is_the_seq_and_a_wall_time_is_the_last_event_before_it(world):
    live_a_little(world)
    events = world.rows(schema.EVENTS, "t")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    with world.store.read(SYSTEM) as tx:
        for event in events:
            from mnemos.kernel.canonical import moment

            last = max(other.seq for other in events if other.at == event.at)
            assert seq_at(tx, "t", moment(event.at)) == last
            assert seq_at(tx, "t", moment(event.at) - timedelta(microseconds=1)) < event.seq


def test_event_times_are_monotone_though_the_clock_is_not(world):
    for step in (0, 5, -3, -10, 1, 30):
        world.clock.advance(hours=step)
        world.add(f"turn {step}")
    times = [event.at for event in world.rows(schema.EVENTS, "t")]
    assert times == sorted(times)
    assert max(times) == microseconds(world.clock.now())


def test_an_event_commits_to_its_content_without_holding_it(world):
    header = {"speaker": "Speakerius", "metadata": {"k": "metaword"}, "external_id": "extword"}
    world.add("harbour secret", **header)
    (event,) = world.rows(schema.EVENTS, "t")
    (content,) = world.rows(schema.CONTENTS, "t")
    wanted, _, _ = encode_content(
        Scope(tenant="t", subject="ana"),
        Header(**header),
        Text(text="harbour secret"),
        content.salt,
    )
    assert content.body == wanted
    assert len(content.salt) == 32
    assert event.commitment == hmac.new(content.salt, wanted, hashlib.sha256).digest()
    assert event.hash == event_hash(GENESIS, event)
    for word in (b"harbour", b"Speakerius", b"metaword", b"extword", b"ana"):
        assert "events" not in world.found(word)


# --- as-of


def test_as_of_shows_what_was_visible_at_every_moment(world):
    """At each step the visible texts are noted; later every step can be asked for again."""
    noted = {0: []}

    def note():
        noted[world.head().seq] = world.texts()

    ids = []
    for number in range(4):
        ids.append(world.add(f"turn {number}"))
        note()
    world.update(ids[1], "turn 1, changed")
    note()
    world.move(ids[2], State.ARCHIVED)
    note()
    world.move(ids[2], State.ACTIVATED)
    note()
    for seq, texts in noted.items():
        assert world.texts(as_of=seq) == texts
        with world.reader(as_of=seq) as reader:
            arrays, mask = reader.page()
            assert int(mask.sum()) == len(texts)
            shown = zip(arrays.column("born")[mask], arrays.column("cube")[mask], strict=True)
            found = {reader.cube(int(born), int(cube)).text for born, cube in shown}
            assert found == set(texts)


def test_forgotten_stays_forgotten_at_every_moment(world):
    ids = live_a_little(world)
    for as_of in [None, *range(world.head().seq + 1)]:
        for subject in ("ana", "bo"):
            texts = world.texts(subject, as_of=as_of)
            assert "Ana likes kites" not in texts
            assert "likes: kites" not in texts
            with world.reader(subject, as_of=as_of) as reader:
                page = reader.page()
                assert page is None or int(page[1].sum()) == len(texts)
    assert ids["kites"] not in {row.id for row in world.rows(schema.IDS)}


def test_lexical_statistics_are_of_one_page_and_one_moment(world):
    """Another subject's words, and words written later, move no count of a page."""
    world.add("a kite and a boat")
    world.add("a boat")
    head = world.head().seq

    def counts(as_of):
        with world.reader(as_of=as_of) as reader:
            arrays, mask = reader.page()
        found = {}
        for word in ("kite", "boat"):
            places, times = arrays.lookup(term_hash(word))
            seen = mask[places]
            found[word] = (int(seen.sum()), float(times[seen].sum()))
        return found, int(mask.sum()), int(arrays.column("length")[mask].sum())

    before = counts(None)
    assert before[0] == {"kite": (1, 1.0), "boat": (2, 2.0)}
    for number in range(10):
        world.add(f"kite kite kite boat {number}", subject="bo")
    assert counts(None) == before
    world.add("kite kite")
    assert counts(head) == before
    assert counts(None)[0]["kite"] == (2, 3.0)


# --- versions


def test_versions_are_rows_born_and_dead(world):
    ids = live_a_little(world)
    number = {row.id: row.cube for row in world.rows(schema.IDS, "t")}
    by_cube = {
        name: world.rows(schema.VERSIONS, "t", number[ids[name]])
        for name in ("boats", "tea", "porto")
    }
    for rows in by_cube.values():
        assert [row.dead for row in rows] == [*(row.born for row in rows[1:]), ALIVE]
        assert rows[0].born == rows[0].cube
        assert {row.branch for row in rows} == {schema.MAIN}
    assert [len(by_cube[name]) for name in ("tea", "porto", "boats")] == [1, 2, 2]
    first, second = by_cube["porto"]
    assert (first.content, second.content) == (first.born, second.born)
    first, second = by_cube["boats"]
    assert second.content == first.content == first.born
    assert (first.state, second.state) == ("activated", "archived")


# --- erasure


def test_after_erasing_the_chain_verifies_and_the_commitment_is_counted(world):
    live_a_little(world)
    report = verify(world.vault)
    assert report.problems == []
    assert report.erased == 2
    assert report.events == world.head().seq
    with world.store.read(SYSTEM) as tx:
        assert all(sound for _, sound in walk(tx, "t"))


def test_an_erased_row_is_in_no_table(world):
    draft = world.draft("harbour secret unheard", speaker="Ana")
    change = Add(id=world.ids.fresh(), draft=draft)
    vector = world.vector(change)
    world.commit(change)
    world.add("something else")
    needles = [b"unheard", vector, term_hash("unheard").to_bytes(8, "little", signed=True)]
    assert all(world.found(needle) for needle in needles)
    (content,) = [row for row in world.rows(schema.CONTENTS) if b"unheard" in row.body]
    world.forget(change.id)
    for needle in [*needles, content.salt]:
        assert world.found(needle) == []


def test_an_erased_row_is_in_no_file(make_world, tmp_path, small_segments):
    path = tmp_path / "memory.db"
    store = SQLiteStore(path)
    world = make_world(store=store, embedder=EMBEDDER)
    changes = [
        Add(id=world.ids.fresh(), draft=world.draft(f"harbour secret{number}x"))
        for number in range(12)
    ]
    world.commit(*changes[:7])
    world.commit(*changes[7:])
    large = world.add(Text(text="blobsecret " * 100_000))
    needles = [world.vector(change) for change in changes] + [
        term_hash(f"secret{number}x").to_bytes(8, "little", signed=True) for number in range(12)
    ]
    needles += [f"secret{number}x".encode() for number in range(12)] + [b"blobsecret"]

    def files():
        return b"".join(file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file())

    held = files()
    assert all(needle in held for needle in needles)
    world.forget(*(change.id for change in changes[:11]), large)
    assert world.vault.scrub().status == "purged"
    held = files()
    kept = [needles[11], needles[23], needles[35]]
    assert [needle in held for needle in kept] == [True] * 3
    assert [needle for needle in needles if needle not in kept and needle in held] == []
    store.close()


def test_names_leave_with_the_last_memory_that_bore_them(world):
    id = world.add("hello", subject="user:unusual", external_id="extword")
    world.forget(id, subject="user:unusual")
    for word in (b"unusual", b"extword", b"hello"):
        assert world.found(word) == []


# --- isolation


def test_every_table_of_memories_leads_its_key_with_the_tenant():
    without = {table.name for table in TABLES if table.row._fields[0] != "tenant"}
    assert without == {"meta", "spaces"}
    for table in TABLES:
        if table.name not in without:
            assert all(columns[0] == "tenant" for columns in table.indexes.values())


def test_pages_of_two_subjects_share_no_row(world):
    for number in range(5):
        world.add(f"ana {number}", subject="ana")
        world.add(f"bo {number}", subject="bo")
    one, other = world.load("ana"), world.load("bo")
    assert not set(one.column("born").tolist()) & set(other.column("born").tolist())
    assert len(one.lookup(term_hash("bo"))[0]) == 0
    assert len(other.lookup(term_hash("bo"))[0]) == 5


def test_tenants_do_not_meet(make_world, engine):
    from mnemos.kernel.changes import Changes
    from mnemos.kernel.vault import Staged

    world = make_world(engine)
    for tenant in ("t", "other"):
        change = Add(id=f"{tenant:0>32}", draft=Draft(payload=Text(text=f"of {tenant}")))
        scope = Scope(tenant=tenant, subject="ana")
        world.vault.commit([Staged(Changes(scope=scope, changes=(change,)))])
    assert [world.head(tenant).seq for tenant in ("t", "other")] == [1, 1]
    assert world.texts() == ["of t"]
    assert verify(world.vault).problems == []


# --- derived tables


def test_derived_tables_are_what_the_journal_and_contents_say(world, small_segments):
    live_a_little(world)
    report = verify(world.vault)
    assert report.ok
    assert report.rows > 10


@pytest.mark.parametrize("table", [table.name for table in (*DERIVED, schema.TAIL)])
@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_verify_finds_a_derived_row_that_was_lost_or_changed(world, table, damage):
    live_longer(world)
    found = next(item for item in TABLES if item.name == table)
    row = world.rows(found, "t")[0]
    last = row._fields[-1]
    old = getattr(row, last)
    other = old + b"0123456789" if isinstance(old, bytes) else old * 2
    changed = row._replace(**{last: other})
    with world.store.write(SYSTEM) as tx:
        tx.delete(found, found.key_of(row))
        if damage == "changed":
            tx.put(found, changed)
    assert verify(world.vault).problems != []


@pytest.mark.parametrize("column", ["salt", "body"])
def test_verify_finds_a_content_that_was_changed(world, column):
    live_a_little(world)
    row = world.rows(schema.CONTENTS, "t")[0]
    old = getattr(row, column)
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.CONTENTS, row._replace(**{column: old.replace(old[40:41] or old[:1], b"Z")}))
    assert any("committed" in problem for problem in verify(world.vault).problems)


def test_verify_finds_lost_content_cut_tails_and_edited_events(world):
    live_a_little(world)
    contents, events = world.rows(schema.CONTENTS, "t"), world.rows(schema.EVENTS, "t")
    damages = [
        lambda tx: tx.delete(schema.CONTENTS, ("t", contents[0].seq)),
        lambda tx: tx.delete(schema.EVENTS, ("t", events[-1].seq)),
        lambda tx: tx.delete(schema.EVENTS, ("t", 2)),
        lambda tx: tx.put(schema.EVENTS, events[2]._replace(at=events[2].at + 1)),
        lambda tx: tx.delete(schema.HEADS, ("t",)),
    ]
    undo = [
        lambda tx: tx.put(schema.CONTENTS, contents[0]),
        lambda tx: tx.put(schema.EVENTS, events[-1]),
        lambda tx: tx.put(schema.EVENTS, events[1]),
        lambda tx: tx.put(schema.EVENTS, events[2]),
    ]
    for place, damage in enumerate(damages):
        with world.store.write(SYSTEM) as tx:
            damage(tx)
        assert verify(world.vault).problems != [], place
        if place < len(undo):
            with world.store.write(SYSTEM) as tx:
                undo[place](tx)
            assert verify(world.vault).problems == [], place


CHECKED = {table.name for table in (*DERIVED, schema.HEADS, schema.EVENTS, schema.CONTENTS)}
CHECKED |= {"tail", "segments", "history"}
"""What the chain commits to or implies; vectors, names and settings lie outside it."""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_verify_reports_whatever_is_damaged_and_never_fails(make_world, small_segments, table):
    """Every value of every table, one at a time: cut, changed, or its row lost."""
    world = make_world(embedder=EMBEDDER)
    live_longer(world)
    assert world.compact()
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.BLOBS, schema.Blob("t", "0" * 64, 1))
        tx.put(schema.USAGE, schema.Usage("t", 1, 1, 3, 10, 20, 1000))
        tx.put(schema.INTAKE, schema.Intake("t", 1, 77, 490_000, 2, 400))
        tx.put(schema.READS, schema.ReadCount("t", 1, 20_000, "owner", "search", 3, 9))
        tx.put(schema.JOBS, schema.Job("t", 1, "ready", 5, "sweep", 1, b"{}", 0, 0, 0, 9, ""))
        tx.put(schema.BUDGETS, schema.Budget("t", 1, 10, 1000, -1))
        tx.put(schema.SPENT, schema.Spent("t", 1, 20_000, 1, 50, 7))
    assert world.rows(table)
    for row in world.rows(table):
        with world.store.read(SYSTEM) as tx:
            whole = list(tx.scan(table, ()))
        for damaged in (None, *damages(row)):
            with world.store.write(SYSTEM) as tx:
                tx.delete(table, table.key_of(row))
                if damaged is not None:
                    tx.put(table, damaged)
            found = verify(world.vault).problems
            if table.name in CHECKED and not unseen(row, damaged):
                assert found, (row, damaged)
            with world.store.write(SYSTEM) as tx:
                if damaged is not None:
                    tx.delete(table, table.key_of(damaged))
                for each in whole:
                    tx.put(table, each)


def unseen(row, damaged):
    """Whether the damage is to a vector, behind the postings, or to an erased row."""
    if not isinstance(row, schema.Segment):
        return False
    if row.encoding == "terms":
        return (
            damaged is not None
            and schema.SEGMENTS.key_of(damaged) == schema.SEGMENTS.key_of(row)
            and damaged.bytes[: len(row.bytes)] == row.bytes
        )
    if row.encoding != "rows":
        return True
    if damaged is None or len(damaged.bytes) != len(row.bytes) or damaged[:-1] != row[:-1]:
        return False
    old, new = segments.decode_columns(row), segments.decode_columns(damaged)
    return bool(np.array_equal(old[old[:, 1] != 0], new[old[:, 1] != 0]))


def damages(row):
    """Yield the row with one value changed, in several ways per value."""
    for name, old in row._asdict().items():
        if isinstance(old, int):
            changed = [old + 1, -old - 1, 2**62]
        elif isinstance(old, str):
            changed = [old + "x", ""]
        else:
            places = {0, len(old) // 2, len(old) - 1} if old else set()
            flips = [old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :] for at in places]
            changed = [old[:-1], old * 2, old + b"x", *flips]
        yield from (row._replace(**{name: new}) for new in changed if new != old)


# --- vectors


def test_a_vector_is_the_bytes_the_embedder_gave(world, small_segments):
    texts = [f"turn {number} of kites" for number in range(9)]
    for text in texts:
        world.add(text)
    arrays = world.load()
    wanted = EMBEDDER.embed(texts)
    assert arrays.vectors.tobytes() == wanted.astype("<f4").tobytes()
    parts = {part.encoding for part in world.rows(schema.SEGMENTS)}
    assert parts == {"rows", "terms", "f32:1"}
    assert sum(part.n for part in world.rows(schema.SEGMENTS) if part.encoding == "rows") == 8
    assert np.allclose(np.linalg.norm(arrays.vectors, axis=1), 1)


# --- replay


def replay(make_world, engine, seed=3):
    world = make_world(engine, seed=seed, embedder=EMBEDDER)
    live_a_little(world)
    return world


def test_the_same_input_gives_the_same_store_on_every_engine(make_world):
    worlds = [replay(make_world, engine) for engine in ("memory", "memory", "sqlite")]
    first, *others = [world.everything() for world in worlds]
    assert worlds[0].head().hash == worlds[2].head().hash
    assert others == [first, first]
    assert replay(make_world, "memory", seed=4).head().hash != worlds[0].head().hash


def test_vectors_are_outside_the_chain(make_world):
    with_vectors = replay(make_world, "memory")
    without = make_world("memory", seed=3)
    live_a_little(without)
    assert with_vectors.head() == without.head()
    assert with_vectors.rows(schema.VECTORS)


def test_a_vault_opened_again_is_the_same(make_world, tmp_path):
    path = tmp_path / "memory.db"
    world = make_world(store=SQLiteStore(path), embedder=EMBEDDER)
    live_a_little(world)
    world.vault.scrub()
    before, texts = world.everything(), world.texts()
    world.vault.close()
    again = make_world(store=SQLiteStore(path), embedder=EMBEDDER)
    assert again.everything() == before
    assert again.texts() == texts
    again.vault.close()
