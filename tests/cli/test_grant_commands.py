"""--as, grant, grants, revoke-grant, group, groups."""

import pytest

from mnemos.cli.output import cells

ANA = ("--user", "ana")
BEN = (*ANA, "--as", "user:ben")


def test_nobody_reads_anothers_memories_until_it_is_granted_nor_after_it_is_revoked(run, vault):
    refused = run("search", "peanuts", *BEN)
    assert (refused.code, refused.out) == (3, "")
    assert "`mnemos grant user:ben read …`" in refused.err
    granted = run("grant", "user:ben", "reader", *ANA)
    assert granted.code == 0
    (id,) = [word for word in granted.out.split() if len(word) == 32]
    assert f"`mnemos revoke-grant {id} --user ana`" in granted.out
    assert "peanuts" in run("search", "peanuts", *BEN).out
    assert run("add", "I may not say so", *BEN).code == 3
    assert run("revoke-grant", id, *ANA).code == 0
    assert run("search", "peanuts", *BEN).code == 3
    assert run("search", "peanuts", *ANA, "--as", "user:ana").code == 0


def test_what_somebody_else_writes_is_theirs_and_quoted(run, vault):
    run("grant", "user:ben", "read", "write", *ANA, "--json")
    id = run("add", "The ferry leaves at noon", *BEN, "--json").json["ids"][0]
    cube = run("get", id, "--json").json
    assert (cube["owner"], cube["trust"]) == ("user:ben", 0.5)
    card = run("get", id).out
    assert "written by  user:ben" in card
    assert "trust       0.5, from user: quoted as data" in card
    assert "trust 0.5, by user:ben" in run("list", *ANA).out
    assert run("grant", "user:cleo", "writer", *ANA, "--trust", "0.9").code == 0
    cleo = run("add", "It leaves at one", *ANA, "--as", "user:cleo", "--json").json["ids"][0]
    assert run("get", cleo, "--json").json["trust"] == 0.9


def test_a_grant_says_all_that_bounds_it(run, vault):
    bounds = ("--kind", "turn", "--kind", "fact", "--label", "health", "--unmasked")
    more = ("--agent", "scout", "--run", "s1", "--trust", "0.8", "--until", "2999-01-01")
    id = run("grant", "group:family", "write", *ANA, *bounds, *more, "--json").json["ids"][0]
    run("grant", "service:backup", "admin", "--everywhere")
    run("grant", "user:dora", "reader", *ANA, "--label", "*")
    listed = run("grants", *ANA, "--json").json["grants"]
    assert listed[0]["everywhere"] is True
    one, every, last = sorted(listed, key=lambda item: item["principal"])
    assert (every["everywhere"], every["principal"]) == (True, "service:backup")
    assert every["verbs"] == ["read", "write", "forget", "approve", "share", "admin"]
    assert one == {
        "id": id,
        "principal": "group:family",
        "verbs": ["write"],
        "kinds": ["fact", "turn"],
        "agent": "scout",
        "run": "s1",
        "labels": ["health"],
        "trust": 0.8,
        "unmasked": True,
        "until": "2999-01-01T00:00:00+00:00",
        "by": "owner",
        "everywhere": False,
    }
    assert last["labels"] == "*"
    shown = run("grants", *ANA).out
    for words in (
        "group:family", "may write", "kinds: fact, turn", "agent scout, run s1", id,
        "sees label health, unmasked", "trust 0.8 at the most", "until 1 Jan 2999 00:00",
        "of everybody", "given by owner", "sees every label",
    ):  # fmt: skip
        assert words in shown


def test_labels_and_access_lists_hide_memories(run, vault):
    secret = run("add", "The diagnosis is a cold", *ANA, "--sensitivity", "health", "--json")
    listed = run("add", "Only for Cleo", *ANA, "--access", "user:cleo", "--json").json["ids"][0]
    id = secret.json["ids"][0]
    run("grant", "user:ben", "reader", *ANA)
    assert run("get", id, *BEN).code == 3
    assert run("get", listed, *BEN).code == 3
    run("grant", "user:ben", "reader", *ANA, "--label", "health")
    card = run("get", id, *BEN)
    assert (card.code, "label" in card.out) == (0, True)
    assert run("get", listed, *BEN).code == 3
    assert "may read  user:cleo" in run("get", listed).out
    assert "label health" in run("list", *ANA).out


def test_groups(run, vault):
    assert run("groups").err == "mnemos: no groups; `mnemos group` makes one\n"
    assert "2 members" in run("group", "group:family", "user:ben", "user:cleo").out
    run("grant", "group:family", "reader", *ANA)
    assert run("search", "peanuts", *BEN).code == 0
    assert run("groups", "--json").json["groups"] == {"group:family": ["user:ben", "user:cleo"]}
    shown = run("groups").out
    assert "group:family" in shown
    assert "user:cleo" in shown
    assert "dissolved" in run("group", "group:family", "--dissolve").out
    assert run("search", "peanuts", *BEN).code == 3


def test_what_concerns_everybody_is_the_owners(run, vault):
    run("grant", "user:ben", "admin", *ANA)
    for command in (("groups",), ("stats",), ("verify",)):
        refused = run(*command, "--as", "user:ben", "--json")
        assert (refused.code, refused.json["error"]["type"]) == (3, "Forbidden")
        assert "leave --as out" in refused.err


def test_a_long_name_does_not_break_the_tables(run, vault, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "user:" + "a-very-long-name" * 10
    run("grant", name, "reader", *ANA, "--kind", "turn", "--kind", "task")
    run("group", "group:family", name)
    for shown in (run("grants", *ANA).out, run("groups").out):
        assert "very-long" in shown
        assert max(map(cells, shown.split("\n"))) <= 80


def test_a_scope_with_blanks_is_quoted_in_the_hint(run, vault):
    assert "--user 'ana b'" in run("grant", "user:ben", "reader", "--user", "ana b").out


@pytest.mark.parametrize(
    ("args", "code", "way"),
    [
        (("grant", "user:ben", "reader"), 2, "--everywhere"),
        (("grant", "user:ben", "reader", *ANA, "--everywhere"), 2, "leave one"),
        (("grant", "ben", "reader", *ANA), 2, "'user:ana'"),
        (("grant", "user:ben", "nosuch", *ANA), 2, "curator"),
        (("grant", "user:ben", "reader", *ANA, "--trust", "2"), 2, "0 to 1"),
        (("grant", "user:ben", "reader", *ANA, "--until", "2001-01-01"), 2, "later"),
        (("grant", "user:ben", "reader", *ANA, "--kind", "nosuch"), 2, "turn"),
        (("grants",), 2, "--user"),
        (("revoke-grant", "nosuch", *ANA), 3, "no grant"),
        (("revoke-grant", "nosuch"), 2, "--everywhere"),
        (("group", "group:family"), 2, "--dissolve"),
        (("group", "group:family", "user:ben", "--dissolve"), 2, "--dissolve"),
        (("group", "family", "user:ben"), 2, "group:family"),
        (("list", *ANA, "--as", "ben"), 2, "'user:ana'"),
        (("list", *ANA, "--as", "group:family"), 2, "one of its members"),
    ],
)
def test_errors_tell_the_way_out(run, vault, args, code, way):
    refused = run(*args)
    assert refused.code == code
    assert way in refused.err
    assert refused.err.count("\n") == 1


def test_nothing_granted(run, vault):
    nothing = run("grants", *ANA, "--json")
    assert (nothing.code, nothing.json) == (1, {"grants": []})
