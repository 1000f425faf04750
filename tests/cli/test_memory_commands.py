"""add, ingest, get, list, history, update, forget."""

import json
from pathlib import Path

import pytest

from mnemos.app.memory import Memory


def test_add_tells_the_id_and_the_memory_is_there(run):
    added = run("add", "Ana lives in Porto", "--user", "ana")
    assert (added.code, added.err) == (0, "")
    id = added.out.split()[-1]
    assert run("get", id, "--json").json["text"] == "Ana lives in Porto"


def test_add_keeps_every_detail(run):
    added = run(
        *("add", "Ana lives in Porto", "--user", "ana", "--run", "r1", "--kind", "fact"),
        *("--at", "2025-03-01T10:00", "--tz", "Europe/Lisbon", "--id", "x1"),
        *("--tag", "home", "--tag", "city", "--metadata", '{"from": "form"}', "--json"),
    ).json
    assert added["verb"] == "add"
    cube = run("get", added["ids"][0], "--json").json
    assert cube["kind"] == "fact"
    assert cube["subject"] == "user:ana"
    assert cube["run"] == "r1"
    assert cube["external_id"] == "x1"
    assert cube["tags"] == ["home", "city"]
    assert cube["metadata"] == {"from": "form"}
    assert cube["happened_at"] == "2025-03-01T10:00:00+00:00"


def test_add_reads_standard_input(run):
    id = run("add", "-", "--user", "ana", stdin="two\nlines", embedder=False).out.split()[-1]
    assert run("get", id, "--json").json["text"] == "two\nlines"


def test_add_twice_under_one_id_is_one_memory(run):
    first = run("add", "same words", "--user", "ana", "--id", "x1", "--json").json
    again = run("add", "same words", "--user", "ana", "--id", "x1", "--json").json
    assert again["ids"] == first["ids"]
    assert again["duplicates"] == 1
    assert "already" in run("add", "same words", "--user", "ana", "--id", "x1").out


def test_add_other_words_under_an_id_is_a_conflict_unless_it_updates(run):
    run("add", "first words", "--user", "ana", "--id", "x1")
    refused = run("add", "other words", "--user", "ana", "--id", "x1")
    assert refused.code == 3
    assert "--on-conflict update" in refused.err
    arguments = ("--user", "ana", "--id", "x1", "--on-conflict", "update")
    assert run("add", "other words", *arguments).code == 0
    assert run("list", "--user", "ana", "--json").json["memories"][0]["text"] == "other words"


@pytest.mark.parametrize("metadata", ["{", "[1]", '"text"'])
def test_metadata_must_be_an_object(run, metadata):
    refused = run("add", "words", "--metadata", metadata)
    assert refused.code == 2
    assert "--metadata" in refused.err
    assert not Path("memory.db").exists()


def test_add_refuses_nothing_to_remember(run):
    assert run("add", "  ", "--user", "ana").code == 2


def test_ingest_counts_and_does_it_once(run, chat):
    first = run("ingest", chat, "--user", "ana", "--json")
    assert first.code == 0
    (file,) = first.json["files"]
    assert (file["new"], file["duplicates"], file["format"]) == (6, 0, "jsonl")
    (file,) = run("ingest", chat, "--user", "ana", "--json").json["files"]
    assert (file["new"], file["duplicates"]) == (0, 6)
    table = run("ingest", chat, "--user", "ana").out
    assert "duplicates" in table
    assert len(run("list", "--user", "ana", "--json").json["memories"]) == 6


def test_ingest_reads_all_files_before_it_writes(run, chat, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine"}\n{"nothing": 1}\n', encoding="utf-8")
    refused = run("ingest", chat, bad, "--user", "ana")
    assert refused.code == 2
    assert "line 2" in refused.err
    assert not Path("memory.db").exists()


def test_ingest_of_a_changed_file_says_what_stayed(run, chat, tmp_path):
    run("ingest", chat, "--user", "ana")
    chat.write_text(chat.read_text("utf-8").replace("at ten", "at nine"), encoding="utf-8")
    refused = run("ingest", chat, "--user", "ana")
    assert refused.code == 3
    assert "first 0 of 6 memories were written" in refused.err
    updated = run("ingest", chat, "--user", "ana", "--on-conflict", "update")
    assert updated.code == 0
    found = run("search", "when does the bicycle shop open?", "--user", "ana", "--json").json
    assert "The bicycle shop in Lisbon opens at nine" in [
        hit["memory"]["text"] for hit in found["hits"]
    ]


def test_get_shows_what_is_known(run, vault, ids):
    shown = run("get", ids["t1"])
    assert shown.code == 0
    for words in (ids["t1"], "t1", "14 Jan 2025 18:05", "user:ana", "I moved to Lisbon in March"):
        assert words in shown.out
    assert "14 Jan 2025 19:05" in run("get", ids["t1"], "--tz", "Europe/Berlin").out


def test_get_of_nothing(run, vault):
    refused = run("get", "nosuch", "--json")
    assert refused.code == 3
    assert refused.json["error"]["type"] == "NotFound"
    assert refused.err.startswith("mnemos: ")
    assert "`mnemos list`" in refused.err


def test_list(run, vault, ids):
    listed = run("list", "--user", "ana")
    assert listed.code == 0
    assert all(id in listed.out for id in ids.values())
    cubes = run("list", "--user", "ana", "--json").json["memories"]
    assert [cube["external_id"] for cube in cubes] == list(ids)
    some = run("list", "--user", "ana", "--run", "s2", "--kind", "turn", "--json").json["memories"]
    assert [cube["external_id"] for cube in some] == ["t4", "t5", "t6"]


def test_list_goes_on_where_it_stopped(run, vault, ids):
    first = run("list", "--user", "ana", "--limit", "4")
    assert ids["t4"] in first.err
    rest = run("list", "--user", "ana", "--after", ids["t4"], "--json").json["memories"]
    assert [cube["external_id"] for cube in rest] == ["t5", "t6"]


def test_list_of_nobody_and_of_nothing(run, vault):
    assert run("list").code == 2
    nothing = run("list", "--user", "nobody", "--json")
    assert nothing.code == 1
    assert nothing.json == {"memories": []}


def test_update_and_history(run, vault, ids):
    assert run("update", ids["t1"], "I moved to Porto in April").code == 0
    versions = run("history", ids["t1"], "--json").json["versions"]
    assert [cube["text"] for cube in versions] == [
        "I moved to Lisbon in March",
        "I moved to Porto in April",
    ]
    shown = run("history", ids["t1"]).out
    assert shown.index("Porto") < shown.index("Lisbon")
    assert "replaced" in shown
    receipt = run("update", ids["t1"], "-", "--metadata", '{"a": 1}', "--json", stdin="And back")
    assert receipt.json["ids"] == [ids["t1"]]
    assert run("get", ids["t1"], "--json").json["metadata"] == {"a": 1}


def test_update_and_history_of_nothing(run, vault):
    assert run("update", "nosuch", "words").code == 3
    assert run("history", "nosuch").code == 3


def test_forget_shows_the_places(run, vault, ids):
    forgotten = run("forget", ids["t4"], "--yes")
    assert forgotten.code == 0
    assert "purged" in forgotten.out
    assert run("get", ids["t4"]).code == 3
    assert all(b"LC3-58820" not in path.read_bytes() for path in vault.parent.glob("memory.db*"))
    receipt = run("forget", ids["t3"], "--yes", "--json").json
    assert {place["status"] for place in receipt["places"]} == {"purged"}


def test_forget_all_of_a_run_and_of_a_user(run, vault):
    receipt = run("forget", "--all", "--user", "ana", "--run", "s1", "--yes", "--json").json
    assert len(receipt["ids"]) == 3
    assert "3 memories" in run("forget", "--all", "--user", "ana", "--yes").out
    assert run("forget", "--all", "--user", "ana", "--yes", "--json").code == 1


@pytest.mark.parametrize(
    "args", [(), ("--all",), ("x", "--all", "--user", "ana"), ("--all", "--run", "s1")]
)
def test_forget_needs_to_know_what(run, vault, args):
    assert run("forget", "--yes", *args).code == 2


def test_forget_without_yes_needs_a_terminal(run, vault, ids):
    refused = run("forget", ids["t1"], "--json", stdin="y\n")
    assert refused.code == 2
    assert "--yes" in refused.json["error"]["message"]
    assert run("get", ids["t1"]).code == 0


def test_control_characters_never_reach_the_terminal(run):
    with Memory("memory.db", embedder=None) as memory:
        id = memory.add("see \x1b[2J this", user_id="ana").id
    for args in (("get", id), ("list", "--user", "ana"), ("context", "see this", "--user", "ana")):
        shown = run(*args).out
        assert "\x1b" not in shown
        assert "\\x1b[2J" in shown
    assert json.loads(run("get", id, "--json").out)["text"] == "see \x1b[2J this"


def test_a_memory_is_true_for_a_time(run, tmp_path):
    where = ("--db", str(tmp_path / "true.db"), "--user", "ana", "--no-embedder")
    times = ("--valid-from", "2020-01-01", "--valid-to", "2020-02-01")
    assert run("add", "the bridge is closed", *times, *where).code == 0
    assert run("list", *where).code == 1
    then = run("list", "--valid-at", "2020-01-15", "--json", *where)
    assert [item["text"] for item in then.json["memories"]] == ["the bridge is closed"]
