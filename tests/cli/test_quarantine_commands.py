"""quarantine, revoke, intake; what is shown of trust; --origin, --source, --filter."""

import json

import pytest

ANA = ("--user", "ana")
RULE = "Always bring an umbrella"
FEED = "https://weather.example/1"


@pytest.fixture
def waiting(run, vault):
    """The id of an instruction a tool gave, which waits for approval."""
    done = run("add", RULE, *ANA, "--origin", "tool", "--kind", "instruction", "--json")
    assert done.json["quarantined"] is True
    return done.json["ids"][0]


@pytest.fixture
def heard(run, vault):
    """The id of what a tool said, which is current."""
    done = run(
        "add", "Rain is due on Saturday", *ANA, "--origin", "tool", "--source", FEED, "--json"
    )
    assert done.json["quarantined"] is False
    return done.json["ids"][0]


def test_what_waits_is_shown_by_quarantine_alone(run, waiting):
    assert RULE not in run("list", *ANA).out
    assert RULE not in run("search", "umbrella", *ANA).out
    assert RULE not in run("context", "umbrella", *ANA).out
    hidden = run("get", waiting)
    assert hidden.code == 3
    assert "--state quarantined" in hidden.err
    assert "quarantined" in run("get", waiting, "--state", "quarantined").out
    for shown in (run("quarantine", *ANA), run("quarantine", "list", *ANA)):
        assert RULE in shown.out
        assert "trust 0.3, in quarantine" in shown.out
    (cube,) = run("quarantine", "list", *ANA, "--json").json["memories"]
    assert (cube["id"], cube["state"], cube["trust"]) == (waiting, "quarantined", 0.3)
    told = run("add", "Always bring boots", *ANA, "--origin", "tool", "--kind", "instruction")
    assert "`mnemos quarantine approve`" in told.err
    more = run("quarantine", *ANA, "--limit", "1")
    assert more.err == f"mnemos: there may be more: --after {waiting}\n"
    assert "boots" in run("quarantine", *ANA, "--after", waiting).out


def test_approve_vouches(run, waiting):
    refused = run("quarantine", "approve", waiting, "--as-data")
    assert (refused.code, "approve it" in refused.err) == (2, True)
    assert "may steer" in run("quarantine", "approve", waiting).out
    packed = run("context", "peanuts", *ANA)
    standing, _, _ = packed.out.partition("\n\n")
    assert standing.startswith("# Standing\n- ")
    assert RULE in standing
    assert "<quoted" not in standing
    assert packed.err == ""
    card = run("get", waiting).out
    assert "approved by  owner" in card
    assert "trust        1, from tool" in card
    assert "approved by owner" in run("list", *ANA).out
    assert run("get", waiting, "--json").json["approved_by"] == "owner"


def test_add_and_approve_as_data(run, heard):
    assert "`mnemos quarantine approve`" in run("quarantine", "add", heard).out
    assert "Rain" not in run("list", *ANA).out
    receipt = run("quarantine", "approve", heard, "--as-data", "--json").json
    assert (receipt["verb"], receipt["ids"]) == ("approve", [heard])
    assert '<quoted origin="tool">' in run("context", "rain", *ANA).out
    assert "approved_by" not in run("get", heard, "--json").json


def test_reject_erases_after_it_asked(run, waiting, asked):
    assert run("quarantine", "reject", waiting).code == 2
    options = ("quarantine", "reject", waiting, "--no-embedder")
    declined = asked("n", *options)
    assert declined.returncode == 1
    assert RULE in declined.stderr.decode()
    assert "nothing was rejected" in declined.stderr.decode()
    agreed = asked("y", *options)
    assert (agreed.returncode, "forgot 1 memory" in agreed.stdout.decode()) == (0, True)
    assert run("history", waiting).code == 3
    assert run("quarantine", *ANA).code == 1


def test_reject_is_for_what_waits(run, heard):
    refused = run("quarantine", "reject", heard, "--yes")
    assert refused.code == 2
    assert "`mnemos forget`" in refused.err
    assert run("get", heard).code == 0


def test_revoke_puts_what_came_of_a_source_into_quarantine(run, heard, ids):
    both = run("consolidate", "Rain and peanuts", heard, ids["t2"], "--json").json["ids"][0]
    other = run("add", "Fair on Sunday", *ANA, "--origin", "tool", "--source", "b", "--json")
    done = run("revoke", "--source", "https://weather.example*", *ANA, "--yes", "--json").json
    assert set(done["quarantined"]) == {heard, both}
    assert run("get", ids["t2"]).code == 0
    assert run("get", other.json["ids"][0]).code == 0
    again = run("revoke", "--source", FEED, *ANA, "--yes")
    assert (again.code, again.err) == (1, "mnemos: there was nothing to revoke\n")
    assert "1 memory went" in run("revoke", "--origin", "tool", *ANA, "--yes").out


def test_revoke_asks_and_changes_nothing_when_declined(run, heard, asked):
    refused = run("revoke", "--origin", "tool", *ANA)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    options = ("revoke", "--origin", "tool", *ANA, "--no-embedder")
    declined = asked("n", *options)
    said = declined.stderr.decode()
    assert declined.returncode == 1
    assert "Rain is due" in said
    assert "Put 1 memory into quarantine?" in said
    assert run("get", heard).code == 0
    agreed = asked("y", *options)
    assert (agreed.returncode, "1 memory went" in agreed.stdout.decode()) == (0, True)
    assert run("get", heard).code == 3


def test_revoke_of_a_principal_since_a_time(run, vault):
    run("grant", "user:ben", "writer", *ANA)
    ben = (*ANA, "--as", "user:ben", "--json")
    old = run("add", "Said long ago", *ben, "--at", "2020-01-01").json["ids"][0]
    new = run("add", "Said of late", *ben).json["ids"][0]
    done = run(
        "revoke", "--principal", "user:ben", "--since", "2024-01-01", *ANA, "--yes", "--json"
    )
    assert done.json["ids"] == [new]
    assert run("get", old).code == 0


def test_intake_caps_and_holds_back(run, vault):
    limits = ("--memories-per-hour", "1", "--bytes-each", "4000", "--quarantine")
    assert "origin tool set for ana" in run("intake", "set", "--origin", "tool", *limits, *ANA).out
    run("intake", "set", "--source", FEED, "--bytes-per-hour", "9000", "--everywhere")
    held = run("add", "One", *ANA, "--origin", "tool", "--json").json
    assert held["quarantined"] is True
    full = run("add", "Two", *ANA, "--origin", "tool", "--json")
    assert (full.code, full.json["error"]["type"]) == (3, "IntakeFull")
    assert "`mnemos intake set`" in full.err
    rules = {rule["source"]: rule for rule in run("intake", "list", *ANA, "--json").json["rules"]}
    assert rules["origin:tool"]["intake"] == {
        "memories_per_hour": 1, "bytes_per_hour": None, "bytes_each": 4000, "quarantine": True,
    }  # fmt: skip
    assert rules[f"source:{FEED}"]["everywhere"] is True
    shown = run("intake", *ANA).out
    for words in (
        "1 memory per hour", "4,000 bytes each", "waits for approval", "origin tool",
        "everybody", "9,000 bytes per hour", f"source {FEED}",
    ):  # fmt: skip
        assert words in shown
    assert run("intake", "drop", "--origin", "tool", *ANA).code == 0
    assert run("intake", "drop", "--origin", "tool", *ANA).code == 3
    assert run("add", "Three", *ANA, "--origin", "tool", "--json").json["quarantined"] is False
    assert run("intake", "drop", "--source", FEED, "--everywhere", "--json").json["verb"]
    nothing = run("intake", *ANA, "--json")
    assert (nothing.code, nothing.json) == (1, {"rules": []})


@pytest.mark.parametrize(
    ("args", "code", "way"),
    [
        (("quarantine", "list"), 2, "--user"),
        (("quarantine", "approve", "nosuch"), 3, "nosuch"),
        (("quarantine", "add", "nosuch"), 3, "nosuch"),
        (("quarantine", "reject", "nosuch", "--yes"), 3, "nosuch"),
        (("quarantine", "nosuch"), 2, "--help"),
        (("revoke", *ANA, "--yes"), 2, "--source, --principal or --origin"),
        (("revoke", "--origin", "tool", "--yes"), 2, "--user"),
        (("revoke", "--principal", "ben", *ANA, "--yes"), 2, "'user:ana'"),
        (("revoke", "--origin", "nosuch", *ANA, "--yes"), 2, "document"),
        (("intake", "set", "--origin", "tool", *ANA), 2, "`mnemos intake drop`"),
        (("intake", "set", "--quarantine", *ANA), 2, "--principal"),
        (("intake", "set", "--origin", "tool", "--source", "a", "--quarantine", *ANA), 2, "one"),
        (("intake", "set", "--origin", "tool", "--quarantine"), 2, "--everywhere"),
        (("intake", "set", "--origin", "tool", "--bytes-each", "-1", *ANA), 2, "whole number"),
        (("intake", "drop", "--origin", "tool"), 2, "--everywhere"),
    ],
)
def test_errors_tell_the_way_out(run, vault, args, code, way):
    refused = run(*args)
    assert refused.code == code
    assert way in refused.err
    assert refused.err.count("\n") == 1


# ------------------------------------------------------------------------- what is shown of trust


def test_search_and_context_say_when_they_are_tainted(run, heard):
    for command in ("search", "context"):
        clean = run(command, "peanuts sesame", *ANA, "--filter", '{"origin": "user"}', "--json")
        assert (clean.json["tainted"], clean.json["max_trust"]) == (False, 1.0)
        plain = run(command, "peanuts sesame", *ANA, "--filter", '{"origin": "user"}')
        assert plain.err == ""
        tainted = run(command, "rain on Saturday", *ANA, "--json")
        assert (tainted.json["tainted"], tainted.json["max_trust"]) == (True, 0.3)
        assert tainted.err == ""
        said = run(command, "rain on Saturday", *ANA)
        assert said.err.startswith("mnemos: tainted: ")
        assert said.err.count("\n") == 1
        assert "trust 0.3" in said.err
    assert f"id {heard}  trust 0.3" in run("search", "rain on Saturday", *ANA).out


def test_what_is_usual_is_not_shown(run, vault, ids):
    cube = run("get", ids["t1"], "--json").json
    assert not {"trust", "owner", "approved_by", "sensitivity", "access", "sealed"} & set(cube)
    shown = run("get", ids["t1"]).out + run("list", *ANA).out
    for word in ("trust", "approved", "written by", "label", "quarantine"):
        assert word not in shown


def test_trust_of_nought_is_shown(run, vault):
    run("grant", "user:ben", "writer", *ANA, "--trust", "0")
    id = run("add", "Rumour", *ANA, "--as", "user:ben", "--json").json["ids"][0]
    assert run("get", id, "--json").json["trust"] == 0
    assert "trust 0, by user:ben" in run("list", *ANA).out


def test_filters_narrow_search_context_and_list(run, heard, ids):
    tool = json.dumps({"OR": [{"origin": "tool"}, {"source": {"icontains": "nosuch"}}]})
    listed = run("list", *ANA, "--filter", tool, "--json").json["memories"]
    assert [cube["id"] for cube in listed] == [heard]
    found = run("search", "peanuts rain", *ANA, "--filter", tool, "--json").json["hits"]
    assert [hit["memory"]["id"] for hit in found] == [heard]
    packed = run("context", "peanuts rain", *ANA, "--filter", tool, "--json").json
    assert [item["id"] for item in packed["citations"]] == [heard]
    assert run("list", *ANA, "--filter", '{"tags": "nosuch"}').code == 1


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ("{tags", "is not JSON"),
        ("[1]", '{"kind": "fact"}'),
        ("null", "leave it out"),
        ('{"nosuch": 1}', "metadata.<name>"),
        ('{"trust": {"contains": 1}}', "gte"),
        ("[" * 5_000, "is not JSON"),
    ],
)
def test_filters_that_are_none(run, vault, given, way):
    for command in (("list",), ("search", "x"), ("context", "x")):
        refused = run(*command, *ANA, "--filter", given)
        assert refused.code == 2
        assert way in refused.err
        assert refused.err.count("\n") == 1
        assert len(refused.err) < 700


def test_words_of_less_trust_do_not_replace(run, vault, ids):
    for command in ("update", "supersede", "contradict"):
        refused = run(command, ids["t1"], "I never moved", "--origin", "tool", "--json")
        assert (refused.code, refused.json["error"]["type"]) == (3, "TooLittleTrust")
        assert run(command, ids["t1"], "I never moved", "--origin", "nosuch").code == 2
    new = run("supersede", ids["t1"], "Ana moved in May", "--origin", "agent", "--json").json
    assert run("get", new["ids"][0], "--json").json["origin"] == "agent"


def test_how_long_it_waits_is_a_policy(run, vault):
    assert run("policy", "set", *ANA, "--quarantine", "10d").code == 0
    assert "quarantine 10d" in run("policy", *ANA).out
    (entry,) = run("policy", *ANA, "--json").json["policies"]
    assert entry["policy"] == {"quarantine": 864_000.0}
