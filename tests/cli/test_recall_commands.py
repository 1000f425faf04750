"""search and context."""

import pytest

from mnemos.cli import recall_commands
from mnemos.retrieval import answerable
from mnemos.retrieval.rank import DESCRIPTIONS
from mnemos.types import Hits, Trace


def test_search_prints_date_speaker_words_and_id(run, vault, ids):
    found = run("search", "what is Ana allergic to?", "--user", "ana", "-k", "2")
    assert (found.code, found.err) == (0, "")
    for words in ("14 Jan 2025 18:06", "Ana", "I am allergic to peanuts and sesame", ids["t2"]):
        assert words in found.out


def test_search_says_why(run, vault):
    found = run("search", "what is Ana allergic to?", "--user", "ana", "--why").out
    assert "█" in found
    assert "allerg" in found
    assert DESCRIPTIONS["words"] in found


def test_search_as_json(run, vault, ids):
    found = run("search", "what is Ana allergic to?", "--user", "ana", "-k", "3", "--json").json
    (first,) = [hit for hit in found["hits"] if hit["memory"]["id"] == ids["t2"]]
    assert sum(reason["share"] for reason in first["why"]) == pytest.approx(1, abs=0.01)
    (words,) = [reason for reason in first["why"] if reason["signal"] == "words"]
    assert "allerg" in words["matched"]
    assert found["trace"]["notes"]
    assert 0.5 < found["answerable"] <= 1


def test_by_words_alone_nothing_is_doubted(run, vault):
    asked = ("search", "which glacier has a bicycle melted in?", "--user", "ana")
    assert run(*asked, "--json").json["answerable"] < 0.5
    assert run(*asked).err == ""


def test_what_lies_below_the_threshold_is_doubted(capsys):
    for value, doubted in ((answerable.UNLIKELY, False), (answerable.UNLIKELY / 2, True)):
        recall_commands._doubt(Hits(trace=Trace(embedder="some"), answerable=value))
        assert ("probably nothing here answers this" in capsys.readouterr().err) is doubted
        recall_commands._doubt(Hits(answerable=value))
        assert capsys.readouterr().err == ""


def test_search_within_times_and_kinds(run, vault):
    def found(*options: str) -> set[str]:
        hits = run("search", "bicycle Lisbon", "--user", "ana", "--json", *options).json["hits"]
        return {hit["memory"]["external_id"] for hit in hits}

    assert "t1" in found()
    assert found("--since", "2025-02-01") <= {"t4", "t5", "t6"}
    assert found("--until", "2025-02-01") <= {"t1", "t2", "t3"}
    assert found("--kind", "turn") == found()
    assert found("--kind", "fact", "--kind", "profile") == set()
    assert found("--run", "s2") <= {"t4", "t5", "t6"}


def test_nothing_found(run, vault):
    nothing = run("search", "xylophone", "--user", "ana")
    assert (nothing.code, nothing.out) == (1, "")
    nothing = run("search", "xylophone", "--user", "ana", "--json")
    assert (nothing.code, nothing.json["hits"]) == (1, [])
    assert "--user" in run("search", "peanuts").err


@pytest.mark.parametrize(
    "args",
    [
        ("search", ""),
        ("search", "a", "-k", "0"),
        ("search", "a", "-k", "x"),
        ("search", "a", "--since", "soon"),
        ("search", "a", "--kind", "nonsense"),
        ("search", "a", "--tz", "Mars/Olympus"),
        ("context", "a", "--budget", "0"),
    ],
)
def test_wrong_usage(run, vault, args):
    refused = run(*args, "--json")
    assert refused.code == 2
    assert refused.json["error"]["message"]
    assert refused.err.count("\n") == 1


def test_wide_letters_stay_within_the_width(run, vault, monkeypatch):
    from mnemos.cli.output import cells

    monkeypatch.setenv("COLUMNS", "80")
    found = run("search", "자전거 bicycle", "--user", "ana", "--why").out
    assert "자전거" in found
    assert max(cells(line) for line in found.splitlines() if "자" in line) <= 80


def test_context_is_the_text_itself(run, vault):
    packed = run("context", "what is Ana allergic to?", "--user", "ana", "--budget", "60")
    assert packed.code == 0
    assert "[14 January 2025]" in packed.out
    assert "peanuts" in packed.out


def test_context_as_json(run, vault, ids):
    packed = run("context", "allergic to peanuts", "--user", "ana", "--budget", "60", "--json").json
    assert packed["tokens"] <= packed["budget"] == 60
    assert {citation["id"] for citation in packed["citations"]} <= set(ids.values())


def test_context_without_anything_to_say(run, vault):
    nothing = run("context", "xylophone", "--user", "nobody", "--json")
    assert nothing.code == 1
    assert nothing.json["text"] == ""


def test_the_environment_names_the_vault(run, vault, monkeypatch, tmp_path):
    vault.rename(tmp_path / "other.db")
    assert run("search", "peanuts", "--user", "ana").code == 2
    monkeypatch.setenv("MNEMOS_DB", "other.db")
    assert run("search", "peanuts", "--user", "ana").code == 0


def test_a_command_that_looks_makes_no_vault(run, tmp_path):
    for args in (("search", "a"), ("context", "a"), ("get", "a"), ("stats",), ("verify",)):
        refused = run(*args)
        assert refused.code == 2
        assert "no vault" in refused.err
    assert not (tmp_path / "memory.db").exists()
