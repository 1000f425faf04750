"""archive, reactivate, freeze, thaw, hold, release, usage, policies, sweep; lifespans."""

from datetime import UTC, datetime, timedelta

import pytest

from mnemos.app.config import SystemClock
from mnemos.app.memory import Memory
from mnemos.testing import SimClock


def test_archive_and_reactivate(run, vault, ids):
    done = run("archive", ids["t1"])
    assert (done.code, ids["t1"] in done.out) == (0, True)
    assert ids["t1"] not in run("list", "--user", "ana").out
    gone = run("get", ids["t1"], "--json")
    assert gone.code == 3
    assert "archived" in gone.err
    assert "`mnemos reactivate`" in gone.err
    archived = ("--state", "archived")
    assert "archived" in run("get", ids["t1"], *archived).out
    listed = run("list", "--user", "ana", *archived, "--json").json["memories"]
    assert [cube["id"] for cube in listed] == [ids["t1"]]
    both = run("list", "--user", "ana", *archived, "--state", "activated", "--json").json
    assert len(both["memories"]) == 6
    found = run("search", "where did I move?", "--user", "ana", *archived, "--json").json["hits"]
    assert [hit["memory"]["id"] for hit in found] == [ids["t1"]]
    assert run("list", "--user", "ana", "--state", "forgotten").code == 2
    receipt = run("reactivate", ids["t1"], "--json").json
    assert (receipt["verb"], receipt["ids"]) == ("restore", [ids["t1"]])
    assert run("get", ids["t1"]).code == 0
    refused = run("reactivate", ids["t1"], "--json")
    assert (refused.code, refused.json["error"]["type"]) == (3, "IllegalTransition")


def test_a_frozen_memory_stays_as_it_is(run, vault, ids):
    assert "`mnemos thaw`" in run("freeze", ids["t1"]).out
    assert run("update", ids["t1"], "Other words").code == 3
    assert "frozen" in run("get", ids["t1"]).out
    assert run("get", ids["t1"], "--json").json["frozen"] is True
    assert run("thaw", ids["t1"]).code == 0
    assert run("update", ids["t1"], "Other words").code == 0


def test_a_legal_hold_stops_forgetting(run, vault, ids):
    assert "`mnemos release`" in run("hold", ids["t1"]).out
    refused = run("forget", ids["t1"], "--yes")
    assert refused.code == 3
    assert "legal hold" in refused.err
    assert "legal hold" in run("get", ids["t1"]).out
    assert run("release", ids["t1"], "--json").json["ids"] == [ids["t1"]]
    assert run("forget", ids["t1"], "--yes").code == 0


def test_on_a_branch_only(run, vault, ids):
    run("branch", "draft", "--user", "ana")
    assert run("archive", ids["t1"], "--user", "ana", "--branch", "draft").code == 0
    assert run("get", ids["t1"]).code == 0
    assert run("get", ids["t1"], "--user", "ana", "--branch", "draft").code == 3


@pytest.mark.parametrize("name", ["archive", "reactivate", "freeze", "thaw", "hold", "release"])
def test_moves_of_nothing(run, vault, name):
    refused = run(name, "nosuch", "--json")
    assert (refused.code, refused.json["error"]["type"]) == (3, "NotFound")


def test_usage(run, vault, ids):
    found = run("usage", ids["t1"], "--json").json
    assert (found["id"], found["reads"], found["law"]["law"]) == (ids["t1"], 0, "ebbinghaus")
    shown = run("usage", ids["t1"]).out
    assert "0 times" in shown
    assert "ebbinghaus" in shown


def test_policies(run, vault):
    options = ("--ttl", "90d", "--grace", "36h", "--capacity", "5")
    law = ("--archive-below", "0.1", "--law", "ebbinghaus,stability_days=30")
    done = run("policy", "set", "--user", "ana", "--kind", "turn", *options, *law)
    assert done.code == 0
    assert run("policy", "set", "--everywhere", "--retain", "2w", "--json").json["verb"]
    found = run("policy", "list", "--user", "ana", "--json").json["policies"]
    assert [entry["everywhere"] for entry in found] == [True, False]
    assert found[0]["policy"] == {"retain": 1_209_600.0}
    assert found[1]["policy"]["law"]["stability_days"] == 30
    shown = run("policy", "--user", "ana").out
    for words in ("everybody", "retain 2w", "ttl 90d", "grace 36h", "capacity 5", "0.1"):
        assert words in shown
    assert run("policy", "drop", "--user", "ana", "--kind", "turn").code == 0
    assert run("policy", "drop", "--user", "ana", "--kind", "turn").code == 3
    assert run("policy", "drop", "--everywhere", "--json").code == 0
    nothing = run("policy", "--json")
    assert (nothing.code, nothing.json) == (1, {"policies": []})


@pytest.mark.parametrize(
    ("args", "way"),
    [
        (("set", "--ttl", "30d"), "--everywhere"),
        (("set", "--user", "ana"), "mnemos policy drop"),
        (("set", "--user", "ana", "--ttl", "soon"), "30d"),
        (("set", "--user", "ana", "--law", "nosuch"), "ebbinghaus"),
        (("set", "--user", "ana", "--law", "ebbinghaus,gain=much"), "stability_days=30"),
        (("set", "--user", "ana", "--everywhere", "--capacity", "3"), "leave one"),
        (("drop",), "--everywhere"),
        (("nosuch",), "No such command"),
    ],
)
def test_policies_that_are_none(run, vault, args, way):
    refused = run("policy", *args)
    assert refused.code == 2
    assert way in refused.err
    assert refused.err.count("\n") == 1


def test_sweep_archives_what_is_too_much(run, vault):
    assert run("sweep").err == "mnemos: nothing was due\n"
    run("policy", "set", "--user", "ana", "--capacity", "2")
    report = run("sweep", "--json", "--limit", "3")
    assert (report.code, len(report.json["archived"]), report.json["more"]) == (0, 3, True)
    assert "sweep again" in report.err
    shown = run("sweep")
    assert shown.code == 0
    assert "archived" in shown.out
    assert len(run("list", "--user", "ana", "--json").json["memories"]) == 2


def test_lifespans(run):
    code = run("add", "The code is 4711", "--user", "ana", "--ttl", "24h", "--json").json
    until = datetime.fromisoformat(run("get", code["ids"][0], "--json").json["expires_at"])
    assert timedelta(hours=23) < until - SystemClock().now() <= timedelta(hours=24)
    past = run("add", "Gone already", "--user", "ana", "--expires", "2020-01-01", "--json").json
    assert run("get", past["ids"][0]).code == 3
    both = run("add", "x", "--user", "ana", "--expires", "2030-01-01", "--ttl", "1h")
    assert both.code == 2
    wrong = run("add", "x", "--user", "ana", "--ttl", "a while")
    assert wrong.code == 2
    assert "30d" in wrong.err


def test_sweep_forgets_what_has_expired(run, tmp_path):
    clock = SimClock(datetime(2020, 1, 1, tzinfo=UTC))
    with Memory(tmp_path / "memory.db", embedder=None, clock=clock) as memory:
        memory.add("Gone soon", user_id="ana", expires_at="2020-01-02")
    shown = run("sweep")
    assert "forgotten" in shown.out
    assert run("sweep", "--json").json["forgotten"] == []
