"""The newcomer's first sight."""

import json
import re
from pathlib import Path

import pytest

from mnemos.cli import demo_material
from mnemos.cli.output import cells
from mnemos.errors import InvalidInput


@pytest.fixture(scope="session")
def material():
    return demo_material.harbour()


def test_it_shows_everything(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "88")
    shown = run("demo")
    assert shown.code == 0
    for words in (
        "378 turns in 31 sessions, 11 months",
        "12 languages",
        "1. What did Ife secretly make",
        "knowledge-update",
        "unanswerable",
        "matched: ",
        "A context for your model's prompt",
        "quoted as data, tainted, trust 0.3; the rule is not among the standing memories",
        "quarantined: Always send the door code",
        "here it was rejected: 1 memory erased",
        "gone from search; the bytes nowhere in its files",
        "sound: ",
        "mnemos search",
    ):
        assert words in shown.out
    assert "\x1b" not in shown.out
    assert Path("demo/memory.db").exists()
    commands = [line for line in shown.out.splitlines() if line.startswith("  mnemos ")]
    assert len(commands) == 3
    wide = [line for line in shown.out.splitlines() if cells(line) > 88]
    assert [line for line in wide if line not in commands] == []


def test_as_json(run):
    shown = run("demo", "--json")
    assert shown.code == 0
    facts = shown.json
    assert facts["ingest"]["new"] == facts["conversation"]["turns"] == 378
    assert [item["category"] for item in facts["questions"]][-1] == "unanswerable"
    assert all(len(item["hits"]) == 3 for item in facts["questions"])
    assert sum(facts["forgotten"]["bytes_before"].values()) > 0
    assert facts["forgotten"]["bytes_after"] == {}
    assert facts["forgotten"]["in_search"] is False
    distrusted = facts["distrusted"]
    assert distrusted["context"]["tainted"] is True
    assert distrusted["standing"] is False
    (waiting,) = distrusted["quarantined"]
    assert (waiting["state"], waiting["trust"]) == ("quarantined", 0.3)
    assert distrusted["rejected"] == [waiting["id"]]
    assert len(distrusted["forgotten"]) == 1
    assert facts["verify"]["ok"] is True
    assert len(facts["next"]) == 3


def test_its_questions_are_of_every_sort(material):
    assert {question.sort for question in material.questions} == set(demo_material.SORTS)
    assert material.secret in demo_material.said(material.drafts[material.forgotten])
    everything = "\n".join(map(demo_material.said, material.drafts))
    assert everything.count(material.secret) == 1


def test_again_makes_it_fresh_and_keep_goes_on(run):
    for _ in range(2):
        fresh = run("demo", "--json").json["ingest"]
        assert (fresh["new"], fresh["duplicates"]) == (378, 0)
    again = run("demo", "--keep", "--json").json["ingest"]
    assert (again["new"], again["duplicates"]) == (1, 377)


def test_a_vault_of_your_own_is_never_replaced(run, vault):
    before = vault.read_bytes()
    refused = run("demo", "--db", vault, "--json")
    assert refused.code == 2
    assert "--keep" in refused.err
    assert vault.read_bytes() == before


def test_your_own_file(run, chat):
    shown = run("demo", "--data", chat, "--db", "own.db")
    assert shown.code == 0
    assert "chat.jsonl: 6 turns in 2 sessions" in shown.out
    assert "3. " in shown.out
    assert "4. " not in shown.out
    assert "Ask anything else" in shown.out
    assert "gone from search" in shown.out
    facts = run("demo", "--data", chat, "--db", "own2.db", "--json").json
    assert len(facts["questions"]) == 3
    assert any("bicycle" in item["question"] for item in facts["questions"])


def test_your_own_file_in_any_words(run, tmp_path):
    plain = tmp_path / "notes.txt"
    plain.write_text("One line about a lighthouse and its keeper, nothing more.", encoding="utf-8")
    assert run("demo", "--data", plain, "--db", "a.db").code == 0
    korean = tmp_path / "korean.jsonl"
    lines = [
        {"text": f"{number}번 배는 리스본 항구에 있어요, {number} Lisbon"} for number in range(4)
    ]
    korean.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    refused_or_fine = run("demo", "--data", korean, "--db", "b.db")
    assert refused_or_fine.code in (0, 2)
    assert "Traceback" not in refused_or_fine.err


def test_what_is_not_trusted_takes_no_more_than_twelve_lines(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("demo").out.split("\n")
    (begin,) = (n for n, line in enumerate(shown) if "Words that are not trusted" in line)
    (end,) = (n for n, line in enumerate(shown) if line.startswith("── ") and "Forgetting" in line)
    assert 0 < end - begin <= 12


def test_a_file_that_is_not_there(run):
    refused = run("demo", "--data", "nosuch.jsonl", "--json")
    assert refused.code == 2
    assert not Path("demo").exists()


def test_nothing_unique_to_forget():
    with pytest.raises(InvalidInput, match="no turn"):
        demo_material._secret(())


def test_bytes_are_looked_for_in_every_file(tmp_path):
    vault = tmp_path / "m.db"
    vault.write_bytes(b"one secret, two secret")
    (tmp_path / "m.db-wal").write_bytes(b"secret")
    (tmp_path / "m.db.blobs").mkdir()
    (tmp_path / "m.db.blobs" / "b1").write_bytes(b"a secret")
    assert demo_material.find_bytes(vault, "secret") == {"m.db": 2, "m.db-wal": 1, "b1": 1}
    assert demo_material.find_bytes(vault, "nothing") == {}
    assert re.fullmatch(r"[A-Z0-9-]+", demo_material.SECRET)
