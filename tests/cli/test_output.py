"""Counts of work whose end is unknown; names from others never reach the terminal raw."""

import io

import pytest

from mnemos.app.memory import Memory
from mnemos.cli import output


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_tally_counts_on_a_terminal_and_clears_its_line(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with output.tally("copying", "row") as advance:
        for _ in range(3):
            advance(400)
    told = shown.getvalue()
    assert "copying: 400 rows" in told
    assert "copying: 1,200 rows" in told
    assert told.endswith("\r")


def test_a_tally_is_silent_elsewhere(capsys):
    with output.tally("copying", "row") as advance:
        advance(1)
    assert capsys.readouterr().err == ""


@pytest.fixture
def hostile(tmp_path):
    """A vault whose names would clear the screen."""
    with Memory(tmp_path / "memory.db", embedder=None) as memory:
        id = memory.add("words", user_id="a\x1bca").id
        memory.snapshot("snap\x1bc", user_id="a\x1bca")
        memory.branch("branch\x1bc", user_id="a\x1bca").update(id, "see \x1bc")
        memory.update(id, "that \x1bc")
    return id


@pytest.mark.parametrize(
    "args",
    [
        ("snapshots",), ("branches",), ("timeline",), ("log",), ("diff", "#1"),
        ("merge", "branch\x1bc"), ("snapshot", "b\x1bc"), ("branch", "b\x1bc"),
        ("rollback", "snap\x1bc", "--yes"), ("drop-snapshot", "snap\x1bc"),
        ("forget", "--all", "--dry-run"), ("policy", "set", "--ttl", "1d"),
        ("export", "out.jsonl"), ("policy", "list"),
    ],
    ids=lambda args: args[0],
)  # fmt: skip
def test_hostile_names_are_spelled_out(run, hostile, args):
    done = run(*args, "--user", "a\x1bca")
    assert done.code in (0, 1, 3)
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("name", ["lineage", "history", "get"])
def test_hostile_words_are_spelled_out(run, hostile, name):
    shown = run(name, hostile).out
    assert "\x1b" not in shown
    assert "\\x1bc" in shown


def test_timeline_stays_within_the_width(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    with Memory(tmp_path / "memory.db", embedder=None) as memory:
        memory.add("words", user_id="ana")
        memory.snapshot("자전거" * 30, user_id="ana")
    shown = run("timeline", "--user", "ana").out
    assert max(map(output.cells, shown.splitlines())) <= 70
