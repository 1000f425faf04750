"""lineage, prov, log, checkpoint, checkpoint-key, verify with checkpoints."""

import importlib.util
import json
import sqlite3
import stat
from pathlib import Path

import pytest

signing = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None, reason="cryptography is not installed"
)


@pytest.fixture
def derived(run, vault, ids):
    """A memory made of one that was itself made of two."""
    first = run("consolidate", "Ana cycles in Lisbon", ids["t1"], ids["t4"], "--json").json["ids"]
    second = run("consolidate", "Ana: cyclist, allergic", *first, ids["t2"], "--json").json["ids"]
    return first[0], second[0]


def test_lineage_is_a_tree_both_ways(run, derived, ids):
    first, second = derived
    lines = run("lineage", first).out.splitlines()
    assert lines[0] == "made of"
    assert lines[1].startswith(f"╭─ {ids['t1']}  (turn, merged)  I moved to Lisbon")
    assert lines[2].startswith(f"├─ {ids['t4']}")
    (root,) = [number for number, line in enumerate(lines) if line.startswith(f"● {first}")]
    assert "version 1" in lines[root + 1]
    assert "by owner" in lines[root + 1]
    assert lines[-2].startswith(f"╰─ {second}  (summary, consolidate)")
    assert lines[-1] == "made of it"
    top = run("lineage", second).out.splitlines()
    assert f"│  ╭─ {ids['t1']}" in "\n".join(top) or f"   ╭─ {ids['t1']}" in "\n".join(top)
    cut = run("lineage", second, "--depth", "1")
    assert ids["t1"] not in cut.out
    assert "--depth" in cut.err


def test_lineage_as_json_and_its_links(run, vault, ids):
    new = run("contradict", ids["t1"], "I live in Porto", "--json").json["ids"][0]
    found = run("lineage", ids["t1"], "--json").json
    assert [step["verb"] for step in found["versions"]] == ["add", "update"]
    assert [link["type"] for link in found["links"]] == ["contradicted_by"]
    shown = run("lineage", ids["t1"]).out
    assert f"→ contradicted by {new}  I live in Porto" in shown
    assert f"← contradicts by {new}" in shown
    early = run("lineage", ids["t1"], "--as-of", "#6", "--json").json
    assert len(early["versions"]) == 1
    assert run("lineage", "nosuch").code == 3


def test_lineage_stays_within_the_width(run, vault, monkeypatch):
    from mnemos.cli.output import cells

    monkeypatch.setenv("COLUMNS", "60")
    id = run("add", "자전거 " * 40, "--user", "ana", "--json").json["ids"][0]
    assert max(map(cells, run("lineage", id).out.splitlines())) <= 60


def test_prov(run, derived, ids):
    found = run("prov", derived[0]).json
    assert f"memory:{ids['t1']}" in found["entity"]
    assert "Lisbon" not in json.dumps(found)
    assert "Lisbon" in run("prov", derived[0], "--text").out
    whole = run("prov", "--user", "ana", "--json").json
    assert len(whole["entity"]) > len(found["entity"])
    assert run("prov").code == 2


def test_log(run, vault, ids):
    run("update", ids["t1"], "I moved to Porto")
    run("snapshot", "calm", "--user", "ana")
    run("forget", ids["t4"], "--yes")
    events = run("log", "--user", "ana", "--json").json["events"]
    assert [event["verb"] for event in events[:3]] == ["forget", "snapshot", "update"]
    assert events[1]["detail"]["name"] == "calm"
    shown = run("log", "--limit", "3")
    assert "name=calm" in shown.out
    assert "Porto" not in shown.out
    assert f"--after {events[2]['seq']}" in shown.err
    verbs = ("--verb", "forget", "--verb", "update")
    assert len(run("log", *verbs, "--json").json["events"]) == 2
    first = run("log", "--id", ids["t1"], "--oldest-first", "--json").json["events"]
    assert [event["verb"] for event in first] == ["add", "update"]
    since = run("log", "--since", "#7", "--until", "#8", "--json").json["events"]
    assert [event["seq"] for event in since] == [7]
    assert "(forgotten)" in run("log", "--id", ids["t4"]).out


def test_log_of_nothing(run, vault):
    nothing = run("log", "--user", "nobody", "--json")
    assert (nothing.code, nothing.json) == (1, {"events": []})
    assert run("log", "--verb", "dance").code == 2
    assert run("log", "--since", "soon").code == 2


def test_a_checkpoint_shows_that_the_end_was_cut(run, vault):
    assert "not signed" in run("checkpoint", "kept.json").out
    assert json.loads(run("checkpoint").out)["seq"] == 6
    kept = run("verify", "--checkpoint", "kept.json", "--json").json
    assert (kept["ok"], kept["checkpoints"]) == (True, 1)
    assert "1 checkpoint kept" in run("verify", "--checkpoint", "kept.json").out
    with sqlite3.connect(vault) as connection:
        (head,) = connection.execute("select count(*) from events").fetchone()
        connection.execute("delete from events where seq = ?", (head,))
    connection.close()
    cut = run("verify", "--checkpoint", "kept.json")
    assert cut.code == 1
    assert "cut off" in cut.out


@signing
def test_signed_checkpoints(run, vault):
    made = run("checkpoint-key", "a.key", "a.pub", "--json").json
    assert stat.S_IMODE(Path("a.key").stat().st_mode) == 0o600
    signed = run("checkpoint", "kept.json", "--key", "a.key", "--json").json
    assert (signed["key_id"], signed["seq"]) == (made["key_id"], 6)
    proof = ("--checkpoint", "kept.json", "--public-key", "a.pub")
    assert run("verify", *proof).code == 0
    assert "keep b.key to yourself" in run("checkpoint-key", "b.key", "b.pub").out
    other = run("verify", *proof[:3], "b.pub", "--json")
    assert (other.code, other.json["ok"]) == (1, False)
    assert run("checkpoint", "kept.json", "--key", "a.key").code == 2
    assert run("checkpoint", "more.json", "--key", "a.pub").code == 2
    assert run("checkpoint-key", "a.key", "c.pub").code == 2
    assert run("checkpoint-key", "c.key", "c.key").code == 2


def test_checkpoints_that_are_none(run, vault, chat):
    assert run("verify", "--checkpoint", "nosuch.json").code == 3
    other = run("verify", "--checkpoint", chat)
    assert other.code == 2
    assert "`mnemos checkpoint` wrote" in other.err
    refused = run("verify", "--public-key", "a.pub")
    assert refused.code == 2
    assert "--checkpoint" in refused.err
