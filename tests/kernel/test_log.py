"""Asking the journal what happened."""

import json
from datetime import timedelta

import pytest

from mnemos import Memory
from mnemos.errors import InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.branches import RECORDS
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.log import VERBS, entries
from mnemos.types import Kind, State


def log(world, **how):
    with world.store.read(SYSTEM) as tx:
        return list(entries(tx, "t", **how))


def seqs(world, **how):
    return [entry.seq for entry in log(world, **how)]


@pytest.fixture
def full(world):
    """A world in which everything happened, an hour apart; ids by name."""
    made = {}
    step = timedelta(hours=1)

    def do(name, call):
        world.clock.advance(step)
        made[name] = call()

    do("one", lambda: world.add("secret one"))  # 1
    do("two", lambda: world.add("secret two", subject="bo"))  # 2
    do("update", lambda: world.update(made["one"], "secret again"))  # 3
    do("state", lambda: world.move(made["one"], State.ARCHIVED))  # 4
    do("snapshot", lambda: world.snapshot("named"))  # 5
    do("branch", lambda: world.fork("trial"))  # 6
    do("there", lambda: world.add("secret three", branch=made["branch"]))  # 7
    do("merge", lambda: world.merge(made["branch"]))  # 8 adopt, 9 merge
    do("rollback", lambda: world.rollback(3))  # 10 withdraw, 11 adopt, 12 rollback
    do("policy", lambda: world.policy(Kind.FACT, {"ttl": 1}))  # 13
    do("rule", lambda: world.rule("audit", "", {"mode": "audited"}))  # 14
    do("read", lambda: world.noted(call="search", ids=[]))  # 15
    do("gone", lambda: world.add("secret four"))  # 16
    do("forget", lambda: world.forget(made["gone"]))  # 17
    world.made = made
    return world


def test_every_event_is_an_entry(full):
    found = log(full)
    assert [entry.seq for entry in found] == [*range(1, 18)]
    assert {entry.verb for entry in found} == VERBS
    events = full.rows(schema.EVENTS, "t")
    assert [(entry.id, entry.verb, entry.batch) for entry in found] == [
        (event.cube, event.verb, event.batch) for event in events
    ]
    assert [(entry.seq, entry.subject) for entry in found if entry.subject != "ana"] == [(2, "bo")]
    assert [(entry.seq, entry.branch) for entry in found if entry.branch != "main"] == [
        (7, "trial")
    ]
    assert [entry.seq for entry in found if entry.content_erased] == [16]
    assert {entry.actor for entry in found} == {"owner"}
    assert [entry.seq for entry in log(full, newest_first=True)] == [*range(17, 0, -1)]


def test_an_entry_of_a_record_says_what_the_record_does(full):
    details = {entry.verb: dict(entry.detail) for entry in log(full) if entry.verb in RECORDS}
    assert details == {
        "snapshot": {"name": "named", "at": 4},
        "branch": {"name": "trial", "at": 5},
        "merge": {"branch": 6},
        "rollback": {"to": 3},
        "policy": {"kind": "fact", "policy": {"ttl": 1}},
        "rule": {"sort": "audit", "name": "", "value": {"mode": "audited"}},
        "read": {"call": "search", "ids": []},
    }
    assert all(not entry.detail for entry in log(full) if entry.verb not in RECORDS)


def test_no_entry_says_what_a_memory_says(full):
    assert "secret" not in json.dumps([entry.as_dict() for entry in log(full)])


def test_filters_narrow(full):
    full.commit(schema_add(full, "by a robot"), actor="robot")  # 18
    assert seqs(full, subject="bo") == [2]
    assert seqs(full, actor="robot") == [18]
    assert seqs(full, verbs=["adopt", "withdraw"]) == [8, 10, 11]
    assert seqs(full, verbs=[]) == []
    assert seqs(full, branch=6) == [7]
    assert seqs(full, subject="ana", verbs={"add"}, branch=0) == [1, 16, 18]
    assert seqs(full, subject="nobody") == seqs(full, actor="nobody") == []
    with pytest.raises(InvalidInput, match="erase"):
        log(full, verbs=["erase"])


def schema_add(world, text):
    from mnemos.kernel.changes import Add

    return Add(id=world.ids.fresh(), draft=world.draft(text))


def test_times_and_positions_bound_half_open(full):
    third = log(full)[2].at
    assert seqs(full, since=third, until=6) == [3, 4, 5]
    assert seqs(full, until=third) == [1, 2]
    assert seqs(full, since=third + timedelta(minutes=1), until=7) == [4, 5, 6]
    assert seqs(full, since=third - timedelta(days=99), until=2) == [1]
    assert seqs(full, since=third + timedelta(days=99)) == []
    assert seqs(full, since=9, until=4) == []
    assert seqs(full, most=2) == [1, 2]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("how", [{}, {"subject": "ana"}, {"verbs": {"add", "forget"}}])
def test_a_cursor_walks_everything_once(full, newest_first, how):
    whole = seqs(full, newest_first=newest_first, **how)
    walked = []
    while True:
        after = walked[-1] if walked else None
        more = seqs(full, newest_first=newest_first, limit=3, after=after, **how)
        if not more:
            break
        assert len(more) <= 3
        walked += more
    assert walked == whole


def test_the_events_of_one_memory_are_all_found(full):
    for id in {event.cube for event in full.rows(schema.EVENTS, "t")}:
        wanted = [event.seq for event in full.rows(schema.EVENTS, "t") if event.cube == id]
        assert seqs(full, id=id) == wanted
        assert seqs(full, id=id, newest_first=True) == wanted[::-1]
        assert seqs(full, id=id, since=wanted[0] + 1) == wanted[1:]
    assert seqs(full, id="0" * 32) == []
    assert seqs(full, id=full.made["one"], subject="bo") == []


def test_one_memorys_events_are_not_searched_for_in_the_whole_journal(make_world):
    world = make_world()
    id = world.add("wanted")
    for number in range(50):
        world.add(str(number))
    world.update(id, "changed")
    read = []

    class Counting:
        def __init__(self, tx):
            self.tx = tx

        def get(self, table, key):
            read.append(table.name)
            return self.tx.get(table, key)

        def scan(self, table, *args, **how):
            for row in self.tx.scan(table, *args, **how):
                read.append(table.name)
                yield row

    with world.store.read(SYSTEM) as tx:
        counting = Counting(tx)
        assert len(list(entries(counting, "t", id=id))) == 2
        few = read.count("events")
        first = world.clock.now()
        assert list(entries(counting, "t", since=first, until=first)) == []
    assert few < 6
    assert read.count("events") < 30


def test_names_that_were_erased_are_not_made_up(world):
    id = world.add("one")
    branch = world.fork("trial")
    world.forget(world.add("two", branch=branch))
    world.forget(id)
    found = log(world)
    assert {entry.subject for entry in found} == {None}
    assert f"#{branch}" in {entry.branch for entry in found}
    assert all(entry.content_erased for entry in found if entry.verb == "add")
    assert [dict(entry.detail) for entry in found if entry.verb == "branch"] == [{}]


# --- through the public calls


@pytest.fixture
def memory():
    with Memory(":memory:", embedder=None) as opened:
        yield opened


def test_the_call_narrows_and_goes_on(memory):
    one = memory.add("one", user_id="ana")
    two = memory.add("two", user_id="bo")
    memory.update(one.id, "one again")
    memory.forget(one.id)
    assert [entry.verb for entry in memory.log()] == ["add", "add", "update", "forget"]
    assert [entry.seq for entry in memory.log(user_id="bo")] == [two.seq]
    assert [entry.seq for entry in memory.log(id=one.id)] == [1, 3, 4]
    assert [entry.seq for entry in memory.log(id=one.id, user_id="bo")] == []
    assert [entry.seq for entry in memory.log(verbs="add", newest_first=True)] == [2, 1]
    assert [entry.seq for entry in memory.log(limit=2, after=1)] == [2, 3]
    assert [entry.seq for entry in memory.log(since="#2", until="#4")] == [2, 3]
    assert memory.log(since="2100-01-01") == []
    assert len(memory.log(since="2020-01-01", until="2100-01-01T00:00+00:00")) == 4


@pytest.mark.parametrize(
    "bad",
    [
        {"verbs": "erase"},
        {"verbs": 5},
        {"verbs": [5]},
        {"since": "#x"},
        {"since": "#99999999999999999999"},
        {"until": "soon"},
        {"limit": 0},
        {"after": -1},
        {"after": "5"},
        {"id": " "},
        {"actor": ""},
        {"user_id": 5},
    ],
)
def test_what_cannot_be_used_is_refused(memory, bad):
    memory.add("one", user_id="ana")
    with pytest.raises(InvalidInput):
        memory.log(**bad)


def test_a_view_of_the_past_shows_no_later_events(memory):
    first = memory.add("one", user_id="ana")
    memory.add("two", user_id="ana")
    memory.add("three", user_id="bo")
    assert [entry.seq for entry in memory.view(as_of=first, user_id="ana").log()] == [1]
    assert [entry.seq for entry in memory.view(user_id="ana").log()] == [1, 2]
