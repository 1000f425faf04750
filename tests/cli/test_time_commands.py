"""Reads of the past and of branches; snapshot, rollback, branch, merge, timeline."""

from datetime import UTC, datetime, timedelta

import pytest

from mnemos.app.memory import Memory
from mnemos.cli import timeline
from mnemos.testing import SimClock


@pytest.fixture
def texts(run):
    def texts(*options: str) -> set[str]:
        found = run("list", "--user", "ana", "--json", *options).json["memories"]
        return {cube["text"] for cube in found}

    return texts


def test_every_read_looks_at_the_past(run, vault, ids):
    assert run("snapshot", "before", "--user", "ana").code == 0
    run("update", ids["t1"], "I moved to Porto in April")
    past = ("--as-of", "before")
    hits = run("search", "where did I move?", "--user", "ana", *past, "--json").json["hits"]
    assert "I moved to Lisbon in March" in {hit["memory"]["text"] for hit in hits}
    packed = run("context", "where did I move?", "--user", "ana", *past).out
    assert "Lisbon in March" in packed
    assert "Porto" not in packed
    assert run("get", ids["t1"], *past, "--json").json["version"] == 1
    assert run("get", ids["t1"], "--as-of", "#6", "--json").json["version"] == 1
    assert len(run("history", ids["t1"], *past, "--json").json["versions"]) == 1
    assert "Porto" in run("list", "--user", "ana").out
    assert "Porto" not in run("list", "--user", "ana", *past).out


@pytest.mark.parametrize(
    ("options", "code", "way"),
    [
        (("--as-of", "nosuch"), 3, "`mnemos snapshots`"),
        (("--as-of", "#99"), 2, "#0 to #6"),
        (("--branch", "nosuch"), 3, "`mnemos branches`"),
        (("--valid-at", "soon"), 2, "--valid-at"),
    ],
)
def test_places_in_time_that_are_none(run, vault, options, code, way):
    refused = run("list", "--user", "ana", *options, "--json")
    assert refused.code == code
    assert way in refused.err
    assert refused.json["error"]["message"]


def test_a_branch_needs_to_know_whose(run, vault, ids):
    refused = run("get", ids["t1"], "--branch", "draft")
    assert refused.code == 2
    assert "--user or --agent" in refused.err
    refused = run("get", "nosuch", "--as-of", "#3")
    assert refused.code == 3
    assert "--user" in refused.err


def test_the_default_subject_and_an_agent_have_a_past_too(run):
    for whose in ((), ("--agent", "scout")):
        id = run("add", "The first words", *whose, "--json").json["ids"][0]
        seq = run("get", id, "--json").json["recorded_seq"]
        run("update", id, "Other words")
        assert "first" in run("get", id, "--as-of", f"#{seq}").out


def test_snapshots(run, vault):
    made = run("snapshot", "new year", "--user", "ana", "--at", "#3", "--json").json
    assert made["snapshot"]["seq"] == 3
    again = run("snapshot", "again year", "--user", "ana", "--at", "new year")
    assert "--as-of 'again year'" in again.out
    listed = run("snapshots", "--user", "ana", "--json").json["snapshots"]
    assert [(item["name"], item["seq"]) for item in listed] == [("again year", 3), ("new year", 3)]
    assert "new year" in run("snapshots", "--user", "ana").out
    taken = run("snapshot", "new year", "--user", "ana")
    assert taken.code == 3
    assert run("drop-snapshot", "new year", "--user", "ana").code == 0
    assert run("drop-snapshot", "again year", "--user", "ana", "--json").json["verb"]
    assert run("drop-snapshot", "new year", "--user", "ana").code == 3
    nothing = run("snapshots", "--user", "ana", "--json")
    assert (nothing.code, nothing.json) == (1, {"snapshots": []})


@pytest.mark.parametrize(
    "args",
    [
        ("snapshot", "a"), ("snapshots",), ("drop-snapshot", "a"), ("rollback", "#1", "--yes"),
        ("branch", "a"), ("branches",), ("merge", "a"), ("timeline",),
    ],
)  # fmt: skip
def test_time_machines_need_to_know_whose(run, vault, args):
    refused = run(*args)
    assert refused.code == 2
    assert "--user or --agent" in refused.err


def test_rollback_and_back_again(run, vault, ids, texts):
    before = texts()
    run("update", ids["t1"], "I moved to Porto in April")
    run("add", "Something new", "--user", "ana")
    after = texts()
    done = run("rollback", "#6", "--user", "ana", "--yes")
    assert done.code == 0
    assert "2 memories changed" in done.out
    assert texts() == before
    undo = done.out.split("`")[1].split()
    assert undo[:2] == ["mnemos", "rollback"]
    assert run(*undo[1:], "--yes", "--json").json["verb"] == "rollback"
    assert texts() == after


def test_rollback_needs_one_moment_and_somebody_to_ask(run, vault, texts):
    for args in ((), ("#1", "--before", "3"), ("#1",)):
        refused = run("rollback", "--user", "ana", *args, stdin="y\n")
        assert refused.code == 2
        assert refused.err.count("\n") == 1
    assert len(texts()) == 6


def test_rollback_shows_what_changes_and_asks(run, asked, ids, texts):
    run("update", ids["t1"], "I moved to Porto in April")
    refused = asked("n", "rollback", "#6", "--user", "ana", "--no-embedder")
    assert refused.returncode == 1
    assert b"[-Porto-]{+Lisbon+}" in refused.stdout
    assert b"Roll 1 memory back" in refused.stderr
    assert "I moved to Porto in April" in texts()
    agreed = asked("y", "rollback", "#6", "--user", "ana", "--no-embedder")
    assert agreed.returncode == 0
    assert "I moved to Lisbon in March" in texts()


def test_a_branch_is_a_line_of_its_own(run, vault, ids, texts):
    begun = run("branch", "what if", "--user", "ana", "--json").json["branch"]
    assert (begun["name"], begun["parent"], begun["seq"]) == ("what if", None, 6)
    on = ("--user", "ana", "--branch", "what if")
    run("update", ids["t1"], "I moved to Porto in April", *on)
    run("add", "Only here", *on)
    assert texts("--branch", "what if") - texts() == {"I moved to Porto in April", "Only here"}
    assert run("branch", "deeper", "--user", "ana", "--from", "what if").code == 0
    assert run("branch", "deeper", "--user", "ana").code == 3
    listed = run("branches", "--user", "ana", "--json").json["branches"]
    assert [(item["name"], item["parent"]) for item in listed] == [
        ("what if", None), ("deeper", "what if"),
    ]  # fmt: skip
    assert "not yet" in run("branches", "--user", "ana").out
    assert run("branches", "--user", "bea").code == 1
    run("add", "Deep", "--user", "ana", "--branch", "deeper")
    into = run("merge", "deeper", "--user", "ana")
    assert "into what if: 1 memory changed" in into.out
    assert "Deep" in texts("--branch", "what if") - texts()
    merged = run("merge", "what if", "--user", "ana", "--json").json
    assert (merged["applied"], len(merged["receipt"]["ids"])) == (True, 3)
    assert {"Deep", "Only here", "I moved to Porto in April"} <= texts()


def test_files_are_read_on_a_branch(run, vault, tmp_path, texts):
    (tmp_path / "more.jsonl").write_text('{"text": "From a file"}\n')
    run("branch", "draft", "--user", "ana")
    run("ingest", "more.jsonl", "--user", "ana", "--branch", "draft")
    assert texts("--branch", "draft") - texts() == {"From a file"}


@pytest.fixture
def clash(run, vault, ids):
    run("branch", "draft", "--user", "ana")
    for id in (ids["t1"], ids["t2"]):
        run("update", id, "What the branch says", "--user", "ana", "--branch", "draft")
        run("update", id, "What the main line says")
    return ids["t1"], ids["t2"]


def test_a_clash_is_shown_side_by_side_and_nothing_applied(run, clash, texts):
    before = texts()
    shown = run("merge", "draft", "--user", "ana")
    assert shown.code == 3
    for words in (*clash, "What the branch says", "What the main line says", "I moved to Lisbon"):
        assert words in shown.out
    assert f"--resolve {clash[0]}=branch" in shown.err
    assert shown.err.count("\n") == 1
    found = run("merge", "draft", "--user", "ana", "--json")
    assert (found.code, found.json["applied"], found.json["receipt"]) == (3, False, None)
    sides = [
        [item[side]["text"] for side in ("parent", "branch")] for item in found.json["clashes"]
    ]
    assert sides == [["What the main line says", "What the branch says"]] * 2
    assert texts() == before


def test_clashes_are_resolved_one_by_one_or_all(run, clash):
    one, other = clash
    partly = run("merge", "draft", "--user", "ana", "--resolve", f"{one}=branch", "--json")
    assert (partly.code, [item["id"] for item in partly.json["clashes"]]) == (3, [other])
    options = ("--resolve", f"{one}=branch", "--resolve", "all=parent")
    assert run("merge", "draft", "--user", "ana", *options).code == 0
    assert run("get", one, "--json").json["text"] == "What the branch says"
    assert run("get", other, "--json").json["text"] == "What the main line says"


@pytest.mark.parametrize("resolve", ["x", "x=left", "=branch"])
def test_a_side_that_is_none(run, clash, resolve):
    refused = run("merge", "draft", "--user", "ana", "--resolve", resolve)
    assert refused.code == 2
    assert "ID=branch or ID=parent" in refused.err


def test_merge_of_no_branch(run, vault):
    refused = run("merge", "nosuch", "--user", "ana")
    assert refused.code == 3
    assert "`mnemos branches`" in refused.err


# -------------------------------------------------------------------------------------- timeline


@pytest.fixture
def lived(tmp_path):
    """A vault of ten days: changes, a snapshot, a branch, a merge, a rollback."""
    clock = SimClock(datetime(2025, 1, 1, tzinfo=UTC))
    with Memory(tmp_path / "memory.db", embedder=None, clock=clock) as memory:
        ids = [memory.add(f"memory {number}", user_id="ana").id for number in range(5)]
        clock.advance(timedelta(days=1))
        memory.snapshot("calm", user_id="ana")
        draft = memory.branch("draft", user_id="ana")
        clock.advance(timedelta(days=1))
        draft.update(ids[0], "changed on the branch")
        clock.advance(timedelta(days=1))
        memory.update(ids[1], "changed on the main line")
        clock.advance(timedelta(days=1))
        memory.merge("draft", user_id="ana")
        open_ended = memory.branch("open", user_id="ana")
        clock.advance(timedelta(days=5))
        open_ended.add("only there", user_id="ana")
        memory.rollback("calm", user_id="ana")
    return tmp_path / "memory.db"


def test_timeline_is_a_picture(run, lived):
    shown = run("timeline", "--user", "ana")
    assert shown.code == 0
    lines = shown.out.splitlines()
    graphs = [line[27:33].rstrip() for line in lines]
    labels = [line[33:] for line in lines]
    assert graphs == ["●", "◆", "├─╮", "│ ●", "● │", "├─╯", "├───╮", "│   ●", "↺   │"]
    assert "█ 5 added" in labels[0]
    for label, words in zip(
        labels[1:],
        (
            "snapshot calm", "branch draft", "1 updated on draft", "1 updated",
            "merged draft: 1 memory changed", "branch open", "1 added on open",
            "rolled back to #5: 2 memories changed",
        ),
        strict=True,
    ):  # fmt: skip
        assert words in label
    assert lines[0].startswith("1 Jan 2025 00:00")
    assert "#1–5" in lines[0]


def test_timeline_as_json(run, lived):
    found = run("timeline", "--user", "ana", "--json").json
    assert [item["name"] for item in found["branches"]] == ["draft", "open"]
    assert [item["name"] for item in found["snapshots"]] == ["calm"]
    assert [row["what"] for row in found["rows"]] == [
        "changes", "snapshot", "branch", "changes", "changes", "merge", "branch", "changes",
        "rollback",
    ]  # fmt: skip
    assert found["rows"][0]["counts"] == {"add": 5}
    assert found["rows"][3]["branch"] == "draft"
    assert found["rows"][-1]["to"] == 5


def test_timeline_of_nobody(run, vault):
    nothing = run("timeline", "--user", "nobody", "--json")
    assert (nothing.code, nothing.json["rows"]) == (1, [])


def test_marks_of_the_past_stand_where_they_point(run, vault, tmp_path):
    run("snapshot", "early", "--user", "ana", "--at", "#2")
    run("branch", "from-early", "--user", "ana", "--at", "early")
    rows = run("timeline", "--user", "ana", "--json").json["rows"]
    assert [(row["what"], row["first"], row["last"]) for row in rows] == [
        ("changes", 1, 2), ("snapshot", 2, 2), ("branch", 2, 2), ("changes", 3, 6),
    ]  # fmt: skip


def test_what_was_forgotten_is_in_the_picture_and_dropped_names_are_not(run, vault, ids):
    run("snapshot", "secret name", "--user", "ana")
    run("drop-snapshot", "secret name", "--user", "ana")
    run("forget", ids["t1"], "--yes")
    shown = run("timeline", "--user", "ana").out
    assert "1 forgotten" in shown
    assert "secret" not in shown


def test_long_times_are_cut_into_stretches(tmp_path, run):
    clock = SimClock(datetime(2025, 1, 1, tzinfo=UTC))
    with Memory(tmp_path / "memory.db", embedder=None, clock=clock) as memory:
        for number in range(60):
            memory.add(f"memory {number}", user_id="ana")
            clock.advance(timedelta(days=1))
    rows = run("timeline", "--user", "ana", "--json").json["rows"]
    assert 10 <= len(rows) <= timeline.STRETCHES + 1
    assert sum(row["counts"]["add"] for row in rows) == 60
