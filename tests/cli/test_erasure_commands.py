"""forget: by ids, source, query and scope; tried, asked, proved."""

import pytest


@pytest.fixture
def derived(run, vault, ids):
    """A memory made of two others."""
    return run("consolidate", "Ana cycles in Lisbon", ids["t1"], ids["t4"], "--json").json["ids"][0]


def left(run) -> set[str]:
    found = run("list", "--user", "ana", "--json").json["memories"]
    return {str(cube.get("external_id")) for cube in found}


def test_several_ids_at_once(run, vault, ids):
    done = run("forget", ids["t1"], ids["t2"], "--yes", "--json")
    assert set(done.json["forgotten"]) == {ids["t1"], ids["t2"]}
    assert left(run) == {"t3", "t4", "t5", "t6"}


def test_all_or_nothing(run, vault, ids):
    run("hold", ids["t2"])
    assert run("forget", ids["t1"], ids["t2"], "--yes").code == 3
    assert run("forget", ids["t1"], "nosuch", "--yes").code == 3
    assert "t1" in left(run)


def test_by_source_and_by_query(run, vault, ids):
    done = run("forget", "--query", "peanuts", "--user", "ana", "-k", "1", "--yes")
    assert done.code == 0
    assert len(left(run)) == 5
    source = run("list", "--user", "ana", "--json").json["memories"][0]["source"]
    assert "5 memories" in run("forget", "--source", source, "--user", "ana", "--yes").out
    again = run("forget", "--source", source, "--user", "ana", "--yes", "--json")
    assert again.code == 1
    assert "nothing to forget" in again.err


def test_what_was_derived_goes_too(run, derived, ids):
    done = run("forget", ids["t1"], "--yes")
    assert "forgot 2 memories, 1 of them derived" in done.out
    assert f"are current again: {ids['t4']}" in done.out
    assert run("get", derived).code == 3


def test_sources_are_named_or_taken_along(run, derived, ids):
    tried = run("forget", derived, "--dry-run")
    assert "still said by" in tried.out
    assert "--sources" in tried.out
    done = run("forget", derived, "--sources", "--yes", "--json").json
    assert set(done["forgotten"]) == {derived, ids["t1"], ids["t4"]}


def test_a_trial_changes_nothing(run, derived, ids):
    before = left(run)
    tried = run("forget", ids["t1"], "--dry-run")
    assert tried.code == 0
    for words in ("would forget 2 memories", "I moved to Lisbon in March", "(derived)"):
        assert words in tried.out
    found = run("forget", "--all", "--user", "ana", "--dry-run", "--json").json
    assert (found["dry_run"], len(found["forgotten"])) == (True, 7)
    assert {place["status"] for place in found["places"]} == {"pending"}
    assert left(run) == before
    nothing = run("forget", "--query", "xylophone", "--user", "ana", "--dry-run")
    assert (nothing.code, nothing.out) == (1, "")


def test_a_proof_looks_into_the_files(run, vault, ids):
    done = run("forget", ids["t4"], "--yes", "--verify", "--json").json
    assert done["places"][-1] == {"name": "scan", "status": "purged", "why": ""}


@pytest.mark.parametrize(
    "args",
    [
        ("x", "--query", "y", "--user", "ana"),
        ("--source", "s"),
        ("--query", "q"),
        ("--query", "a", "--source", "b", "--user", "ana"),
        ("--all", "--user", "ana", "--sources"),
        ("x", "--dry-run", "--verify"),
    ],
)
def test_what_cannot_be_meant(run, vault, args):
    refused = run("forget", "--yes", *args)
    assert refused.code == 2
    assert refused.err.count("\n") == 1


def test_it_shows_what_goes_and_asks(run, derived, asked, ids):
    refused = asked("n", "forget", ids["t1"], "--no-embedder")
    assert refused.returncode == 1
    assert b"Forget 2 memories for good?" in refused.stderr
    assert b"I moved to Lisbon in March" in refused.stderr
    assert run("history", ids["t1"]).code == 0
    agreed = asked("y", "forget", ids["t1"], "--no-embedder")
    assert agreed.returncode == 0
    assert b"forgot 2 memories" in agreed.stdout
    assert run("history", ids["t1"]).code == 3
