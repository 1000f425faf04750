"""diff, revert, supersede, contradict, consolidate."""

import pytest

from mnemos.cli import differences
from mnemos.cli.differences import NEW, OLD, SAME, Part, change_lines, word_parts
from mnemos.cli.output import cells


@pytest.fixture
def moved(run, vault, ids):
    """A memory of three versions."""
    run("update", ids["t1"], "I moved to Porto in April")
    run("update", ids["t1"], "I moved to Porto in May", "--metadata", '{"sure": true}')
    return ids["t1"]


def test_diff_of_a_scope_word_by_word(run, moved, ids):
    run("snapshot", "now", "--user", "ana")
    run("add", "Nina has a boat", "--user", "ana")
    run("forget", ids["t3"], "--yes")
    run("archive", ids["t4"])
    shown = run("diff", "#6", "--user", "ana")
    assert shown.code == 0
    for words in (
        "I moved to [-Lisbon-]{+Porto+} in [-March-]{+May+}",
        "metadata: none → {'sure': True}",
        f"+ {run('list', '--user', 'ana', '--json').json['memories'][-1]['id']}",
        f"- {ids['t4']}",
        "1 added, 1 removed, 1 changed",
    ):
        assert words in shown.out
    assert "\x1b" not in shown.out
    assert ids["t1"] not in run("diff", "now", "--user", "ana").out


def test_diff_as_json(run, moved):
    found = run("diff", "#6", "--user", "ana", "--json").json
    (item,) = found["differences"]
    assert (item["id"], item["change"]) == (moved, "changed")
    assert item["before"]["text"] == "I moved to Lisbon in March"
    assert item["after"]["version"] == 3
    assert ["-", "Lisbon"] in item["words"]
    assert item["fields"] == {"metadata": [{}, {"sure": True}]}


def test_diff_of_versions(run, moved):
    def words(*numbers: str) -> str:
        found = run("diff", "--id", moved, *numbers, "--json").json["differences"]
        return "".join(text for item in found for mark, text in item["words"] if mark != "=")

    assert words("1", "2") == "LisbonPortoMarchApril"
    assert words() == words("2", "3") == "AprilMay"
    assert words("2", "1") == "PortoLisbonAprilMarch"
    refused = run("diff", "--id", moved, "4")
    assert refused.code == 2
    assert "1 to 3" in refused.err


def test_diff_of_branches(run, vault, ids):
    run("branch", "draft", "--user", "ana")
    run("update", ids["t1"], "I moved to Faro", "--user", "ana", "--branch", "draft")
    found = run("diff", "--user", "ana", "--to-branch", "draft", "--json").json["differences"]
    assert [item["id"] for item in found] == [ids["t1"]]
    back = run("diff", "--user", "ana", "--from-branch", "draft", "--json").json["differences"]
    assert back[0]["after"]["text"] == "I moved to Lisbon in March"


@pytest.mark.parametrize("args", [(), ("--user", "ana"), ("#1",)])
def test_diff_needs_to_know_what(run, vault, args):
    assert run("diff", *args).code == 2


def test_nothing_differs(run, vault):
    same = run("diff", "#6", "--user", "ana", "--json")
    assert (same.code, same.json["differences"]) == (1, [])
    assert "nothing differs" in same.err
    refused = run("diff", "nosuch", "--user", "ana")
    assert refused.code == 3
    assert "`mnemos snapshots`" in refused.err


def test_words_that_stand_together_are_one_change():
    assert word_parts("a quick brown fox", "a slow red fox") == [
        Part(SAME, "a "), Part(OLD, "quick brown"), Part(NEW, "slow red"), Part(SAME, " fox"),
    ]  # fmt: skip
    assert word_parts("same", "same") == [Part(SAME, "same")]
    assert word_parts("", "new") == [Part(NEW, "new")]


def test_scripts_without_blanks_are_compared_letter_by_letter():
    parts = word_parts("두 번째 자전거", "세 번째 자전거")
    assert parts[:2] == [Part(OLD, "두"), Part(NEW, "세")]


def test_a_change_is_wrapped_and_its_long_middle_left_out(monkeypatch):
    long = " ".join(f"word{number}" for number in range(200))
    parts = word_parts(f"old start {long} old end", f"new start {long} new end")
    lines = change_lines(parts, 40)
    assert max(map(cells, lines)) <= 40
    assert "…" in " ".join(lines)
    assert len(lines) < 12
    monkeypatch.setattr(differences.output, "colourful", lambda: True)
    painted = change_lines(word_parts("see \x1b[2J this", "see that"), 40)
    assert "\\x1b" in painted[0]
    assert "\x1b[32m" in painted[0]


def test_huge_texts_are_not_compared_word_by_word():
    old, new = "a " * 5_000, "b " * 5_000
    assert [part.mark for part in word_parts(old, new)] == [OLD, NEW]


def test_revert(run, moved):
    assert run("revert", moved, "1").code == 0
    shown = run("get", moved, "--json").json
    assert (shown["text"], shown["version"]) == ("I moved to Lisbon in March", 4)
    receipt = run("revert", moved, "2", "--json").json
    assert (receipt["verb"], receipt["ids"]) == ("revert", [moved])
    assert run("revert", moved, "9").code == 2
    assert run("revert", "nosuch", "1").code == 3


def test_supersede_leaves_the_older_one_out_of_view(run, vault, ids):
    done = run("supersede", ids["t1"], "I live in Lisbon", "--json").json
    (new,) = done["ids"]
    assert run("get", new, "--json").json["links"] == [
        {"type": "supersedes", "target": ids["t1"]},
    ]
    gone = run("get", ids["t1"])
    assert gone.code == 3
    assert "superseded" in gone.err
    assert "`mnemos reactivate`" in gone.err
    assert run("reactivate", ids["t1"]).code == 0
    assert run("get", ids["t1"]).code == 0
    assert "in the place of" in run("supersede", ids["t2"], "-", stdin="Allergic to nuts").out


def test_contradict_shows_what_was_true_when(run, vault, ids):
    done = run("contradict", ids["t1"], "I live in Porto", "--at", "2025-03-01", "--json").json
    texts = [
        {cube["text"] for cube in run("list", "--user", "ana", "--json", *options).json["memories"]}
        for options in ((), ("--valid-at", "2025-02-01"))
    ]
    assert "I live in Porto" in texts[0] - texts[1]
    assert "I moved to Lisbon in March" in texts[1] - texts[0]
    gone = run("get", ids["t1"])
    assert (gone.code, "--valid-at" in gone.err) == (3, True)
    assert "true until" in run("get", ids["t1"], "--valid-at", "2025-02-01").out
    assert done["ids"] != [ids["t1"]]
    assert "true no longer" in run("contradict", ids["t2"], "I am allergic to nothing").out


def test_consolidate(run, vault, ids):
    made = run("consolidate", "Ana cycles in Lisbon", ids["t1"], ids["t4"], "--json").json
    cube = run("get", made["ids"][0], "--json").json
    assert (cube["kind"], cube["derived_from"]) == ("summary", [ids["t1"], ids["t4"]])
    assert run("get", ids["t1"]).code == 3
    assert run("consolidate", "One is not enough", ids["t2"]).code == 2
    shown = run("consolidate", "Both of the rest", ids["t2"], ids["t3"], "--kind", "fact")
    assert "made of 2 memories" in shown.out


def test_update_that_expects_another_version(run, moved):
    refused = run("update", moved, "Too late", "--expect", "2", "--json")
    assert refused.code == 3
    assert refused.json["error"]["type"] == "VersionConflict"
    assert run("update", moved, "In time", "--expect", "3").code == 0
