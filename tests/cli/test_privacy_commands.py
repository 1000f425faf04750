"""redaction, reveal, audit; --seal-key and --reason."""

from datetime import UTC, datetime, timedelta

import pytest

from mnemos.app.memory import Memory
from mnemos.cli.output import cells
from mnemos.testing import SimClock

pytest.importorskip("phonenumbers")

ANA = ("--user", "ana")
MAIL = "Write to ann@sea.org"


@pytest.fixture
def key(run):
    pytest.importorskip("cryptography")
    assert run("watermark", "key", "vault.key").code == 0
    return ("--seal-key", "vault.key")


def test_masking_is_for_good(run, vault):
    assert "mask, email" in run("redaction", "set", "mask", "--class", "email", *ANA).out
    id = run("add", MAIL, *ANA, "--json").json["ids"][0]
    assert run("get", id, "--json").json["text"] == "Write to [EMAIL]"
    assert b"ann@sea.org" not in vault.read_bytes()
    shown = run("redaction", *ANA).out
    assert shown.splitlines()[:3] == ["for      ana", "mode     mask", "classes  email"]
    assert run("redaction", "show", *ANA, "--json").json["redaction"] == {
        "mode": "mask", "classes": ["email"], "region": "US", "everywhere": False,
    }  # fmt: skip
    assert run("redaction", "drop", *ANA).code == 0
    assert run("redaction", "drop", *ANA).code == 3
    nothing = run("redaction", *ANA, "--json")
    assert (nothing.code, nothing.json) == (1, {"redaction": None})
    kept = run("add", MAIL, *ANA, "--json").json["ids"][0]
    assert run("get", kept, "--json").json["text"] == MAIL


def test_vaulting_and_revealing(run, vault, key):
    refused = run("redaction", "set", "vault", *ANA)
    assert (refused.code, "--seal-key" in refused.err) == (2, True)
    assert "every class" in run("redaction", "set", "vault", *ANA, *key).out
    without = run("add", MAIL, *ANA)
    assert (without.code, "--seal-key" in without.err) == (2, True)
    id = run("add", MAIL, *ANA, *key, "--json").json["ids"][0]
    cube = run("get", id, "--json").json
    (token,) = cube["sealed"]
    assert cube["text"] == f"Write to {token}"
    assert f"sealed    {token}" in run("get", id).out
    assert MAIL in run("reveal", id, *key).out
    assert run("reveal", id, *key, "--json").json["text"] == MAIL
    refused = run("reveal", id)
    assert (refused.code, "--seal-key" in refused.err) == (2, True)
    run("watermark", "key", "other.key")
    assert run("reveal", id, "--seal-key", "other.key").code == 2
    lost = run("reveal", id, "--seal-key", "nosuch.key")
    assert (lost.code, "`mnemos watermark key`" in lost.err) == (3, True)


def test_masking_on_reading_is_for_others(run, vault):
    run("redaction", "set", "read", "--everywhere", "--json")
    id = run("add", MAIL, *ANA, "--json").json["ids"][0]
    run("grant", "user:ben", "reader", *ANA)
    run("grant", "user:cleo", "reader", *ANA, "--unmasked")

    def seen(name: str) -> str:
        return run("get", id, *ANA, "--as", f"user:{name}", "--json").json["text"]

    assert (seen("ana"), seen("cleo")) == (MAIL, MAIL)
    assert "ann@sea.org" not in seen("ben")
    assert "everybody" in run("redaction", *ANA).out


def test_reads_are_counted(run, vault, ids):
    run("grant", "agent:scout", "reader", *ANA)
    for _ in range(2):
        run("search", "peanuts", *ANA)
    run("get", ids["t1"], *ANA, "--as", "agent:scout")
    counted = run("audit", "counts", *ANA, "--json").json["counts"]
    calls = {(item["principal"], item["call"]): item["calls"] for item in counted}
    assert calls["owner", "search"] == 2
    assert calls["agent:scout", "get"] == 1
    shown = run("audit", "counts", *ANA).out
    assert "agent:scout" in shown
    assert "search" in shown
    assert run("audit", "counts", "--user", "bea", "--json").code == 1


def test_audited_reads_say_who_what_and_why(run, vault, ids, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert "audited from now on" in run("audit", "set", "audited", *ANA, "--keep", "90d").out
    run("grant", "agent:scout", "reader", *ANA)
    run("search", "peanuts", *ANA, "--as", "agent:scout", "--reason", "planning a dinner " * 4)
    run("get", ids["t1"], "--reason", "as the owner")
    run("list", *ANA)
    last, owner, scout = run("audit", "reads", *ANA, "--json").json["reads"]
    assert (last["call"], last["memories"], len(last["ids"])) == ("get_all", 6, 6)
    assert (owner["principal"], owner["reason"]) == ("owner", "as the owner")
    assert owner["ids"] == [ids["t1"]]
    assert (scout["principal"], scout["call"]) == ("agent:scout", "search")
    assert scout["reason"].startswith("planning a dinner")
    assert scout["cost"]["rows"] == 6
    first = run("audit", "reads", *ANA, "--oldest-first", "--limit", "1")
    assert "agent:scout" in first.out
    assert "--limit" in first.err
    narrowed = run("audit", "reads", *ANA, "--principal", "owner", "--id", ids["t1"], "--json")
    assert [item["call"] for item in narrowed.json["reads"]] == ["get_all", "get"]
    assert run("audit", "reads", *ANA, "--until", "2020-01-01").code == 1
    shown = run("audit", "reads", *ANA).out
    for words in (
        "owner: 6 memories",
        "… and 3 more",
        "reason: planning a dinner",
        "reason: as the",
    ):
        assert words in shown
    assert "\n\n" not in shown
    assert max(map(cells, shown.split("\n"))) <= 80
    assert "get_all: 6 memories" in run("log", *ANA).out


def test_dropping_erases_only_what_is_old(run, tmp_path, asked):
    (tmp_path / "memory.db").unlink()
    clock = SimClock(datetime(2020, 1, 1, tzinfo=UTC))
    with Memory(tmp_path / "memory.db", embedder=None, clock=clock) as memory:
        memory.add("The boat is called Alma", user_id="ana")
        memory.set_audit("audited", user_id="ana")
        memory.search("boat", user_id="ana")
        clock.advance(timedelta(days=1))
    run("list", *ANA)
    assert len(run("audit", "reads", *ANA, "--json").json["reads"]) == 2
    old = ("audit", "drop", "--older-than", "30d", *ANA)
    assert run(*old).code == 2
    declined = asked("n", *old)
    assert (declined.returncode, b"nothing was erased" in declined.stderr) == (1, True)
    assert "erased" in run(*old, "--yes").out
    assert [item["call"] for item in run("audit", "reads", *ANA, "--json").json["reads"]] == [
        "get_all"
    ]
    again = run(*old, "--yes")
    assert (again.code, "no read" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("args", "code", "way"),
    [
        (("redaction", "set", "nosuch", *ANA), 2, "vault"),
        (("redaction", "set", "mask"), 2, "--everywhere"),
        (("redaction", "set", "mask", *ANA, "--everywhere"), 2, "leave one"),
        (("redaction", "set", "mask", *ANA, "--class", "names"), 2, "email"),
        (("redaction", "set", "mask", *ANA, "--region", "nosuch"), 2, "region"),
        (("redaction", "drop"), 2, "--everywhere"),
        (("reveal", "nosuch"), 3, "nosuch"),
        (("audit", "set", "nosuch", *ANA), 2, "counted"),
        (("audit", "set", "audited"), 2, "--everywhere"),
        (("audit", "set", "audited", *ANA, "--keep", "long"), 2, "30d"),
        (("audit", "reads"), 2, "--user"),
        (("audit", "counts"), 2, "--user"),
        (("audit", "drop", "--older-than", "1d", "--yes"), 2, "--user"),
        (("audit", "drop", "--older-than", "long", *ANA, "--yes"), 2, "30d"),
        (("audit", "drop", *ANA), 2, "--older-than"),
        (("audit",), 2, "--help"),
    ],
)
def test_errors_tell_the_way_out(run, vault, args, code, way):
    refused = run(*args)
    assert refused.code == code
    assert way in refused.err
    assert refused.err.count("\n") == 1
