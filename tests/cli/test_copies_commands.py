"""backup, restore, export, import, suppressions."""

import gzip

import pytest


def texts(run, db: str, user: str = "ana") -> set[str]:
    found = run("list", "--user", user, "--db", db, "--json").json["memories"]
    return {cube["text"] for cube in found}


def test_backup_and_restore(run, vault):
    copied = run("backup", "copy.db", "--json").json
    assert copied["path"] == "copy.db"
    assert copied["rows"] > 6
    done = run("restore", "copy.db", "--to", "again.db")
    assert done.code == 0
    assert "`mnemos verify --db again.db`" in done.out
    assert "--suppress" in done.err
    assert texts(run, "again.db") == texts(run, "memory.db")
    assert run("verify", "--db", "again.db").code == 0


def test_a_backup_never_replaces(run, vault):
    assert "copied" in run("backup", "copy.db").out
    assert run("backup", "copy.db", "--json").code == 3
    assert run("backup", "memory.db").code == 2
    refused = run("restore", "copy.db", "--to", "memory.db")
    assert refused.code == 3
    assert "--replace" in refused.err
    assert run("restore", "nosuch.db", "--to", "a.db").code in (3, 4)


def test_what_was_forgotten_stays_forgotten(run, vault, ids):
    run("backup", "copy.db")
    run("forget", ids["t4"], "--yes")
    listed = run("suppressions", "gone.jsonl", "--json").json
    assert listed == {"path": "gone.jsonl", "ids": 1}
    done = run("restore", "copy.db", "--to", "again.db", "--suppress", "gone.jsonl")
    assert "forgot again 1 memory" in done.out
    assert done.err == ""
    assert len(texts(run, "again.db")) == 5
    replaced = run("restore", "copy.db", "--to", "memory.db", "--replace", "--json")
    assert (replaced.code, replaced.json["forgotten"]) == (0, 1)
    assert len(texts(run, "memory.db")) == 5


def test_restore_to_a_moment(run, vault):
    run("backup", "copy.db")
    done = run("restore", "copy.db", "--to", "early.db", "--at", "#2")
    assert "rolled 'default' back to #2" in done.out
    assert "4 memories changed" in done.out
    assert len(texts(run, "early.db")) == 2


def test_export_and_import(run, vault, ids):
    report = run("export", "ana.jsonl.gz", "--user", "ana", "--json").json
    assert (report["subject"], report["format"]) == ("user:ana", "archive")
    assert gzip.open("ana.jsonl.gz", "rt", encoding="utf-8").readline().startswith("{")
    done = run("import", "ana.jsonl.gz", "--db", "other.db")
    assert done.code == 0
    assert "imported" in done.out
    assert texts(run, "other.db") == texts(run, "memory.db")
    again = run("import", "ana.jsonl.gz", "--db", "other.db", "--json")
    assert (len(again.json["imported"]), len(again.json["duplicates"])) == (0, 6)
    assert "nothing new" in again.err
    assert run("import", "ana.jsonl.gz", "--db", "third.db", "--user", "bea").code == 0
    assert len(texts(run, "third.db", "bea")) == 6


def test_import_leaves_the_forgotten_out(run, vault, ids):
    run("export", "ana.jsonl", "--user", "ana")
    run("forget", ids["t4"], "--yes")
    run("suppressions", "gone.jsonl")
    done = run("import", "ana.jsonl", "--db", "other.db", "--suppress", "gone.jsonl", "--json")
    assert done.json["suppressed"] == [ids["t4"]]
    back = run("import", "ana.jsonl", "--json").json
    assert (back["imported"], back["suppressed"]) == ([], [ids["t4"]])


def test_export_for_people(run, vault):
    shown = run("export", "ana.md", "--user", "ana", "--format", "markdown")
    assert "paragraph" in shown.out
    with open("ana.md", encoding="utf-8") as file:
        assert "I am allergic to peanuts and sesame" in file.read()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("export", "a.jsonl"), 2),
        (("export", "a.jsonl", "--user", "ana", "--agent", "scout"), 2),
        (("export", "a.jsonl", "--user", "nobody"), 3),
        (("export", "a.jsonl", "--user", "ana", "--format", "csv"), 2),
        (("import", "chat.jsonl"), 2),
        (("restore", "memory.db"), 2),
        (("suppressions", "chat.jsonl"), 3),
    ],
)
def test_copies_that_cannot_be_made(run, vault, chat, args, code):
    refused = run(*args, "--json")
    assert refused.code == code
    assert refused.err.count("\n") == 1
    assert refused.json["error"]["message"]
