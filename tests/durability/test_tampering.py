"""A vault edited behind our back: what was changed, and where, is found and named.

The edits are made with plain ``sqlite3`` on a copy of the file. Whoever edits the chain without
computing hashes anew is found by the chain itself; who computes them anew, by a checkpoint.
"""

import random
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mnemos.kernel import schema
from mnemos.kernel.canonical import event_hash
from mnemos.kernel.changes import (
    Add,
    Amend,
    Changes,
    DropSnapshot,
    Forget,
    Fork,
    MergeBranch,
    NoteRead,
    Revert,
    Rollback,
    SetPolicy,
    SetRule,
    Snapshot,
    Transition,
    Update,
)
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.journal import GENESIS
from mnemos.kernel.proof.checkpoints import take
from mnemos.kernel.proof.log import VERBS
from mnemos.kernel.proof.verify import DERIVED, verify
from mnemos.kernel.schema import ALIVE, MAIN, Event
from mnemos.kernel.vault import Staged, Vault
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import SeededEntropy, SeededIds, SimClock
from mnemos.types import Draft, Header, Kind, Link, Scope, State, Text

SECRET = "zanzibar"
"""In every text, name and external id: no message may hold it."""
COLUMNS = Event._fields
PLACES = ",".join("?" * len(COLUMNS))


class Life:
    """A vault with one event of every kind, and more."""

    def __init__(self, path, *, seed=0):
        self.clock = SimClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.ids = SeededIds(seed)
        self.store = SQLiteStore(path)
        self.vault = Vault(self.store, clock=self.clock, ids=self.ids, entropy=SeededEntropy(seed))
        self.checkpoints = [self.checkpoint()]

    def checkpoint(self):
        with self.store.read(SYSTEM) as tx:
            return take(tx, "t", now=self.clock.now())

    def do(self, *changes: Any, branch: int = MAIN, subject: str = f"user:{SECRET}", actor="owner"):
        self.clock.advance(timedelta(seconds=7))
        scope = Scope(tenant="t", subject=subject)
        given = Changes(scope=scope, changes=changes, branch=branch, actor=actor)
        (outcome,) = self.vault.commit([Staged(given)])
        self.checkpoints.append(self.checkpoint())
        return outcome

    def add(self, words: str, how: dict[str, Any] | None = None, **header: Any) -> str:
        draft = Draft(payload=Text(text=f"{words} {SECRET}"), header=Header(**header))
        return self.do(Add(id=self.ids.fresh(), draft=draft), **(how or {})).ids[0]

    def update(self, id: str, words: str, branch: int = MAIN) -> Any:
        draft = Draft(payload=Text(text=f"{words} {SECRET}"))
        return self.do(Update(id=id, draft=draft), branch=branch)


def live(life: Life) -> None:
    """Bring every verb and record about."""
    a = life.add("one", external_id=f"{SECRET}-1")
    b = life.add("two", links=(Link(type="about", target=a),))
    c = life.add("three", derived_from=(a,), method="summary", kind=Kind.FACT)
    life.add("of another", {"subject": "agent:scout", "actor": "robot"})
    life.update(a, "one again")
    life.do(Transition(id=b, state=State.ARCHIVED))
    life.do(Amend(id=b, fields={"tags": (SECRET,)}), actor="robot")
    life.do(Snapshot(id=life.ids.fresh(), name=f"{SECRET} snap"))
    life.do(Snapshot(id=life.ids.fresh(), name="dropped"))
    life.do(DropSnapshot(name="dropped"))
    fork = life.do(Fork(id=life.ids.fresh(), name=f"{SECRET} branch")).seq
    life.update(c, "three on the branch", branch=fork)
    life.add("only on the branch", {"branch": fork})
    life.do(MergeBranch(id=life.ids.fresh(), branch=fork))
    before = life.checkpoints[-1].seq
    life.add("to be withdrawn")
    life.update(a, "wrong")
    life.do(Rollback(id=life.ids.fresh(), to=before))
    life.do(Revert(id=a, version=1))
    life.do(SetPolicy(id=life.ids.fresh(), kind=Kind.FACT, policy={"ttl": 5}))
    life.do(SetPolicy(id=life.ids.fresh(), kind=None, policy={"ttl": 9}, everywhere=True))
    life.do(SetRule(id=life.ids.fresh(), sort="audit", name="", value={"mode": SECRET}))
    life.do(NoteRead(id=life.ids.fresh(), value={"call": "search", "ids": [SECRET]}))
    doomed = life.add("to be forgotten")
    life.update(doomed, "still to be forgotten")
    life.do(Forget(id=doomed))
    life.do(
        *(
            Add(id=life.ids.fresh(), draft=Draft(payload=Text(text=f"batch {n} {SECRET}")))
            for n in range(3)
        )
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The file of a sound vault, with the checkpoints taken on the way."""
    path = tmp_path_factory.mktemp("tampering") / "sound.db"
    life = Life(path)
    live(life)
    assert verify(life.vault, checkpoints=life.checkpoints).problems == []
    life.vault.close()
    return path, life.checkpoints


class Tampered:
    """A copy of the vault, edited and put right again with plain ``sqlite3``."""

    def __init__(self, source, path):
        shutil.copyfile(source, path)
        self.raw = sqlite3.connect(path, timeout=30)
        self.raw.execute("PRAGMA synchronous=OFF")
        self.tables = {
            table.name: self.raw.execute(f"SELECT * FROM {table.name}").fetchall()
            for table in schema.TABLES
        }
        self.events = [Event(*row) for row in self.tables["events"]]
        self.store = SQLiteStore(path)
        self.vault = Vault(self.store, clock=SimClock(), ids=SeededIds(1), entropy=SeededEntropy(1))

    def close(self):
        self.vault.close()
        self.raw.close()

    def write(self, name, rows):
        """Put these rows in the place of a table's."""
        self.raw.execute(f"DELETE FROM {name}")
        if rows:
            places = ",".join("?" * len(rows[0]))
            self.raw.executemany(f"INSERT INTO {name} VALUES ({places})", rows)

    def problems(self, *, checkpoints=(), **tables):
        """Return what is found with some tables replaced, and put them right again."""
        try:
            for name, rows in tables.items():
                self.write(name, rows)
            self.raw.commit()
            found = verify(self.vault, checkpoints=checkpoints).problems
        finally:
            self.raw.rollback()
            for name in tables:
                self.write(name, self.tables[name])
            self.raw.commit()
        assert not any(SECRET in problem for problem in found), found
        return found


@pytest.fixture(scope="module")
def tampered(original, tmp_path_factory):
    made = Tampered(original[0], tmp_path_factory.mktemp("tampering") / "edited.db")
    yield made
    assert made.problems() == []
    made.close()


def names(problem: str, seq: int) -> bool:
    """Return whether a message says event, or position, ``seq``."""
    for first, last in re.findall(r"(?:events?|position|and) (-?\d+)(?:–(-?\d+))?", problem):
        if int(first) <= seq <= int(last or first):
            return True
    return False


def located(found: list[str], seq: int) -> bool:
    return bool(found) and names(found[0], seq)


def flips(value: Any) -> list[Any]:
    """Return a value with one thing of it changed, in several ways."""
    if isinstance(value, int):
        return [value + 1 if value < ALIVE else value - 1, value // 2 - 1, value ^ (1 << 40)]
    if isinstance(value, bytes):
        places = sorted({0, len(value) // 2, len(value) - 1}) if value else []
        return [
            *(value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in places),
            value[:-1] if value else b"x",
        ]
    return [chr(ord(value[0]) ^ 1) + value[1:] if value else "x", value + "x", value[:-1] + "é"]


def few(found: list[str]) -> bool:
    """Return whether one damage was told in few words: what, and what follows from it."""
    return len([item for item in found if "follow differences" not in item]) <= 2


# --- columns of events


def edits(events, ways):
    for place, event in enumerate(events):
        for column in COLUMNS[1:]:
            changed = [
                value for value in flips(getattr(event, column)) if value != getattr(event, column)
            ]
            for value in changed[ways]:
                yield place, column, event._replace(**{column: value})


def check_edit(tampered, place, column, edited):
    events = [*tampered.events]
    seq, events[place] = events[place].seq, edited
    if len({event.seq for event in events}) < len(events):
        return  # the primary key forbids it
    found = tampered.problems(events=events)
    assert located(found, seq), (seq, column, found)
    assert few(found), (seq, column, found)


def test_every_verb_and_record_is_there(tampered):
    assert {event.verb for event in tampered.events} == VERBS


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_a_changed_column_of_any_event_is_found_and_located(tampered, column):
    for place, name, edited in edits(tampered.events, slice(0, 1)):
        if name == column:
            check_edit(tampered, place, name, edited)


@pytest.mark.slow
def test_every_way_of_changing_every_column_is_found_and_located(tampered):
    for place, name, edited in edits(tampered.events, slice(1, None)):
        check_edit(tampered, place, name, edited)


@pytest.mark.parametrize(
    ("column", "value"),
    [("verb", "forget"), ("state", "archived"), ("actor", 2), ("branch", 0), ("batch", 1)],
)
def test_the_message_says_what_the_column_was(tampered, column, value):
    place = next(
        number for number, event in enumerate(tampered.events) if getattr(event, column) != value
    )
    event = tampered.events[place]
    events = [*tampered.events]
    events[place] = event._replace(**{column: value})
    (found,) = tampered.problems(events=events)
    was = getattr(event, column)
    assert f"event {event.seq}: its {column} was changed from {was!r} to {value!r}" in found


def test_a_changed_hash_is_told_from_a_changed_event(tampered):
    for place, event in enumerate(tampered.events):
        events = [*tampered.events]
        events[place] = event._replace(hash=bytes(32))
        (found,) = tampered.problems(events=events)
        assert f"event {event.seq}: its hash was changed, and nothing else" in found


def test_an_event_moved_to_another_tenant_is_missed(tampered):
    events = [*tampered.events]
    events[4] = events[4]._replace(tenant="other")
    found = tampered.problems(events=events)
    assert any("'t'" in problem and names(problem, 5) for problem in found)
    assert any("'other'" in problem for problem in found)


# --- events taken out, put in, and out of order


def test_every_deleted_event_is_found_and_located(tampered):
    for place, event in enumerate(tampered.events):
        found = tampered.problems(events=tampered.events[:place] + tampered.events[place + 1 :])
        assert "missing" in found[0]
        assert located(found, event.seq), found
        assert few(found), found


def test_every_deleted_run_is_found_and_located(tampered):
    for first in range(len(tampered.events) - 2):
        found = tampered.problems(events=tampered.events[:first] + tampered.events[first + 3 :])
        assert re.search(f"events {first + 1}–{first + 3} are missing", found[0]), found
        assert few(found), found


def renumbered(events):
    return [event._replace(seq=number) for number, event in enumerate(events, start=1)]


def test_every_deletion_hidden_by_renumbering_is_found_and_located(tampered):
    for place, event in enumerate(tampered.events):
        rest = renumbered(tampered.events[:place] + tampered.events[place + 1 :])
        found = tampered.problems(events=rest)
        assert "missing" in found[0]
        assert located(found, event.seq), found
        assert len(found) <= 3, found


def test_every_adjacent_swap_is_found_and_located(tampered):
    for place in range(len(tampered.events) - 1):
        events = [*tampered.events]
        events[place : place + 2] = events[place + 1], events[place]
        (found,) = tampered.problems(events=renumbered(events))
        assert f"events {place + 1} and {place + 2} were swapped" in found


def test_every_move_is_found_and_located(tampered):
    last = len(tampered.events)
    for place in range(last):
        to = (place * 7 + 3) % last
        if to == place:
            continue
        events = [*tampered.events]
        events.insert(to, events.pop(place))
        found = tampered.problems(events=renumbered(events))
        assert any(names(problem, place + 1) for problem in found), found
        assert any(names(problem, to + 1) for problem in found), found
        assert len(found) <= 2, found


def test_every_renumbered_event_is_found_and_located(tampered):
    for place, event in enumerate(tampered.events):
        for seq in (1_000, -3):
            events = [*tampered.events]
            events[place] = event._replace(seq=seq)
            found = tampered.problems(events=events)
            assert any(names(problem, event.seq) for problem in found), found
            assert few(found), found


def test_every_copy_put_in_between_is_found_and_located(tampered):
    last = len(tampered.events)
    for place in range(last):
        source = (place * 5 + 2) % last
        events = [*tampered.events]
        events.insert(place, events[source])
        found = tampered.problems(events=renumbered(events))
        assert any("copy" in problem and names(problem, source + 1) for problem in found), found
        assert len(found) <= 3, found


def test_every_event_overwritten_by_a_copy_is_found_and_located(tampered):
    last = len(tampered.events)
    for place in range(last):
        source = (place * 5 + 2) % last
        if source == place:
            continue
        events = [*tampered.events]
        events[place] = events[source]._replace(seq=place + 1)
        found = tampered.problems(events=events)
        assert f"a copy of event {source + 1}" in found[0]
        assert located(found, place + 1), found
        assert few(found), found


def test_an_event_written_anew_with_its_hash_is_found_and_located(tampered):
    before = GENESIS
    for place, event in enumerate(tampered.events[:-1]):
        events = [*tampered.events]
        forged = event._replace(at=event.at + 1)
        events[place] = forged._replace(hash=event_hash(before, forged))
        found = tampered.problems(events=events)
        # The forged event fits what is before it: the one behind it is the first that does not.
        assert located(found, event.seq) or located(found, event.seq + 1), found
        before = event.hash


# --- what only a checkpoint shows


def chained(events):
    """Compute every hash anew, as one who knows the format would."""
    done, before = [], GENESIS
    for event in events:
        done.append(event._replace(hash=event_hash(before, event)))
        before = done[-1].hash
    return done


def head(events):
    return [("t", events[-1].seq, events[-1].at, events[-1].hash)] if events else []


def test_a_suffix_written_anew_is_found_only_against_a_checkpoint(tampered, original):
    checkpoints = original[1]
    for place, event in enumerate(tampered.events):
        events = [*tampered.events]
        events[place] = event._replace(actor=3 - event.actor)
        events = chained(events)
        assert tampered.problems(events=events, heads=head(events)) == []
        found = tampered.problems(events=events, heads=head(events), checkpoints=checkpoints)
        first = next(item.seq for item in checkpoints if item.seq > place)
        assert f"at event {first}: event {first} has another hash" in found[0]
        assert all(
            names(problem.split(":")[0], item.seq)
            for problem, item in zip(
                found, [each for each in checkpoints if each.seq > place], strict=True
            )
        )


def test_every_cut_tail_is_found_against_a_checkpoint(tampered, original):
    newest = original[1][-1]
    for kept in range(len(tampered.events)):
        events = tampered.events[:kept]
        found = tampered.problems(events=events, heads=head(events), checkpoints=[newest])
        said = [problem for problem in found if problem.startswith("checkpoint")]
        (problem,) = said
        if kept:
            assert f"the journal ends at event {kept}" in problem
            assert names(problem.split("ends at")[1], kept + 1)
        else:
            assert "all of it is gone" in problem


def test_a_tail_cut_with_all_its_traces_is_found_only_against_a_checkpoint(tampered, tmp_path):
    """The file as it was after the first memories is a sound vault, and an older one."""
    life = Life(tmp_path / "younger.db")
    for number in range(3):
        life.add(f"turn {number}")
    younger, older = life.checkpoints[-1], life.checkpoints[1]
    life.vault.close()
    shutil.copyfile(tmp_path / "younger.db", tmp_path / "kept.db")
    life = Life(tmp_path / "younger.db", seed=1)
    life.add("turn 3")
    newest = life.checkpoints[-1]
    life.vault.close()
    with closing(Tampered(tmp_path / "kept.db", tmp_path / "set back.db")) as cut:
        assert cut.problems() == []
        assert cut.problems(checkpoints=[older, younger]) == []
        (found,) = cut.problems(checkpoints=[older, younger, newest])
        assert "the journal ends at event 3: event 4 was cut off" in found
        assert "the one at event 3 still holds" in found


def test_without_its_hashes_a_cut_tail_is_missed_by_the_head(tampered):
    for kept in range(1, len(tampered.events)):
        found = tampered.problems(events=tampered.events[:kept])
        assert names(found[0], kept + 1)
        assert "missing from its end" in found[0]


@pytest.mark.parametrize("column", ["seq", "at", "hash"])
def test_a_changed_head_is_told_from_a_changed_journal(tampered, column):
    row = schema.Head(*tampered.tables["heads"][0])
    for value in flips(getattr(row, column)):
        (found,) = tampered.problems(heads=[row._replace(**{column: value})])
        assert "its head was changed" in found
    (found,) = tampered.problems(heads=[])
    assert "its head is missing" in found


# --- contents


@pytest.mark.parametrize("column", ["salt", "body"])
def test_every_changed_content_is_found_and_named(tampered, column):
    rows = [schema.Content(*row) for row in tampered.tables["contents"]]
    by_seq = {event.seq: event for event in tampered.events}
    for place, row in enumerate(rows):
        for value in flips(getattr(row, column))[1:3]:
            edited = [*rows]
            edited[place] = row._replace(**{column: value})
            found = tampered.problems(contents=edited)
            assert names(found[0], row.seq), found
            assert by_seq[row.seq].cube in found[0], found
            assert len(found) <= 3, found


def test_every_lost_and_every_foreign_content_is_found_and_named(tampered):
    rows = tampered.tables["contents"]
    for place, row in enumerate(rows):
        found = tampered.problems(contents=rows[:place] + rows[place + 1 :])
        assert "is missing and was never forgotten" in found[0]
        assert names(found[0], row[1]), found
        assert len(found) <= 2, found
    found = tampered.problems(contents=[*rows, ("t", 900, b"s" * 32, rows[0][3])])
    assert found == ["journal of 't': contents: row 900 belongs to no event"]


def test_the_version_of_a_changed_content_is_named(tampered):
    first = tampered.events[0].cube
    second = [event for event in tampered.events if event.cube == first][1]
    rows = [
        (*row[:3], row[3].replace(b"again", b"never")) if row[1] == second.seq else row
        for row in tampered.tables["contents"]
    ]
    found = tampered.problems(contents=rows)
    assert f"event {second.seq}: the content of memory {first}, version 2" in found[0]


# --- derived tables


@pytest.mark.parametrize("table", [*DERIVED, schema.TAIL], ids=lambda table: table.name)
def test_every_edited_derived_row_is_found_and_named(tampered, table):
    rows = [table.row(*row) for row in tampered.tables[table.name]]
    assert rows, table.name
    for place, row in enumerate(rows):
        changes = [("", None)]
        for column in table.row._fields[1:]:
            changes += [(column, value) for value in flips(getattr(row, column))[:1]]
        for column, value in changes:
            edited = [*rows]
            if column:
                edited[place] = row._replace(**{column: value})
            else:
                del edited[place]
            if len({table.key_of(item) for item in edited}) < len(edited):
                continue
            found = tampered.problems(**{table.name: edited})
            said = "pages" if table is schema.TAIL else table.name
            assert any(said in problem or "page (" in problem for problem in found), (column, found)
            assert any(about(tampered, row) in problem for problem in found), (column, found)


def about(tampered, row):
    """Return the memory, record or branch a derived row is about."""
    values = row._asdict()
    if "cube" in values:
        return next(event.cube for event in tampered.events if event.seq == row.cube)
    if isinstance(row, schema.Branch):
        return f"branch {row.branch}"
    return next(values[name] for name in ("id", "derived", "source") if name in values)


def test_a_subject_given_another_name_is_found(tampered):
    rows = [
        (*row[:2], "user:mallory") if row[1] == 1 else row for row in tampered.tables["subjects"]
    ]
    found = tampered.problems(subjects=rows)
    assert found == [
        "subjects: the name of subject 1 is not the one its contents were written under"
    ]


def test_a_lost_actor_is_found(tampered):
    found = tampered.problems(actors=tampered.tables["actors"][:-1])
    assert found == ["actors: the name of actor 2 is missing"]


# --- a larger campaign


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_damage_to_a_larger_vault_is_found(tmp_path, seed):
    """Several edits at once, anywhere in the chain: found, and the first of them located."""
    dice = random.Random(seed)
    life = Life(tmp_path / "large.db", seed=seed)
    for _ in range(6):
        for number in range(40):
            life.add(f"turn {number}")
        id = life.add("kept")
        life.update(id, "changed")
        life.do(Forget(id=life.add("forgotten")))
    life.vault.close()
    tampered = Tampered(tmp_path / "large.db", tmp_path / "edited.db")
    with closing(tampered):
        for _ in range(150):
            events = [*tampered.events]
            places = sorted(dice.sample(range(len(events)), dice.randint(1, 4)))
            for place in places:
                column = dice.choice(COLUMNS[2:])
                value = getattr(events[place], column)
                other = dice.choice([new for new in flips(value) if new != value])
                events[place] = events[place]._replace(**{column: other})
            for place in dice.sample(places, len(places) // 2):
                events[place] = None
            found = tampered.problems(events=[event for event in events if event is not None])
            for place in places:
                near = {place + 1, place + 2} if place - 1 in places else {place + 1}
                assert any(names(problem, seq) for seq in near for problem in found), (
                    places,
                    found,
                )
