"""The group: help, version, exit codes, processes without a terminal, imports."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from mnemos import __version__, errors
from mnemos.cli.main import cli, exit_code

COMMANDS = (
    "add ingest search context get list history update diff revert supersede contradict"
    " consolidate snapshot snapshots drop-snapshot rollback branch branches merge timeline archive"
    " reactivate freeze thaw hold release usage policy sweep forget backup restore export import"
    " suppressions grant grants revoke-grant group groups quarantine revoke intake redaction reveal"
    " audit watermark lineage prov log checkpoint checkpoint-key verify stats reembed jobs compact"
    " models demo bench"
).split()
FAMILIES = {
    "models": ("list", "add", "path"),
    "policy": ("list", "set", "drop"),
    "quarantine": ("list", "add", "approve", "reject"),
    "intake": ("list", "set", "drop"),
    "redaction": ("show", "set", "drop"),
    "audit": ("set", "reads", "counts", "drop"),
    "watermark": ("key", "mark", "read"),
    "jobs": ("list", "run", "retry", "drop", "pause", "resume", "budget"),
}
MODULE = ("-m", "mnemos.cli")
LEAVES = [
    *((name,) for name in COMMANDS if name not in FAMILIES),
    *((family, name) for family, names in FAMILIES.items() for name in names),
]


@pytest.fixture
def process(monkeypatch):
    """Run a command as a process of its own, without a terminal."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.delenv("MNEMOS_DB", raising=False)

    def process(
        *args: str, cwd: Path, stdin: str = "", encoding: str = "utf-8"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            args if args[0] == "sh" else [sys.executable, *args],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            encoding=encoding,
            check=False,
        )

    return process


def test_help_lists_every_command_and_exit_code(run):
    for shown in (run("--help"), run("--", embedder=True)):
        assert shown.code == 0
        for name in COMMANDS:
            assert re.search(rf"^  {name} ", shown.out, re.MULTILINE), name
        for code in range(6):
            assert f"\n    {code}  " in shown.out
    assert list(cli.commands) == COMMANDS
    assert {name: set(cli.commands[name].commands) for name in FAMILIES} == {
        name: set(names) for name, names in FAMILIES.items()
    }


def test_help_tells_every_command_in_a_whole_sentence(run):
    listed = run("--help").out.partition("Exit codes")[0].partition("--help")[2]
    assert "..." not in listed
    for family in FAMILIES:
        assert "..." not in run(family, "--help", embedder=True).out.partition("Commands:")[2]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(run, path):
    shown = run(*path, "--help", embedder=True)
    assert shown.code == 0
    assert re.search(r"Examples?:\n +mnemos " + " ".join(path), shown.out)
    assert "--json" in shown.out
    assert "…" not in shown.out.split("Options:")[0]


def test_version(run):
    assert run("--version").out == f"mnemos, version {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput, 2), (errors.ScopeRequired, 2),
        (errors.NotFound, 3), (errors.Conflict, 3), (errors.Protected, 3),
        (errors.IllegalTransition, 3), (errors.Forbidden, 3), (errors.IntakeFull, 3),
        (errors.StoreError, 4), (errors.StoreBusy, 4),
        (errors.FormatTooNew, 4), (errors.ModelError, 5), (errors.MissingExtra, 5),
        (click.UsageError, 2),
    ],
)  # fmt: skip
def test_exit_codes(error, code):
    assert exit_code(error("x")) == code


@pytest.mark.parametrize("args", [("nosuch",), ("search",), ("search", "a", "--nosuch"), ("add",)])
def test_wrong_usage_is_one_line_that_says_how(run, args):
    refused = run(*args)
    assert refused.code == 2
    assert refused.err.startswith("mnemos: ")
    assert refused.err.count("\n") == 1
    assert "--help" in refused.err
    assert refused.out == ""


def test_other_exceptions_propagate(run, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mnemos.app.memory.Memory.add", fail)
    with pytest.raises(ZeroDivisionError):
        run("add", "words")


def test_an_interrupt_has_a_code_of_its_own(run, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnemos.app.memory.Memory.add", stop)
    stopped = run("add", "words")
    assert stopped.code == 130
    assert stopped.err.strip().endswith("mnemos: interrupted")


def test_json_after_a_double_dash_is_words(run):
    refused = run("get", "--", "--json")
    assert refused.code == 2
    assert refused.out == ""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("stats",), 0),
        (("search", "xylophone", "--user", "ana"), 1),
        (("search", "peanuts", "--user", "ana", "-k", "0"), 2),
        (("get", "nosuch"), 3),
        (("stats", "--db", "text.db"), 4),
        (("models", "add", "nosuch"), 5),
    ],
)
def test_exit_codes_of_processes(vault, process, args, code):
    (vault.parent / "text.db").write_text("not a database, not at all" * 100)
    options = () if args[0] == "models" else ("--no-embedder",)
    done = process(*MODULE, *args, *options, "--json", cwd=vault.parent)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert isinstance(json.loads(done.stdout), dict)


def test_a_process_without_a_terminal_shows_no_bar_and_no_colour(vault, process, chat):
    done = process(*MODULE, "ingest", str(chat), "--user", "bea", "--no-embedder", cwd=vault.parent)
    assert (done.returncode, done.stderr) == (0, "")
    done = process(*MODULE, "verify", cwd=vault.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    done = process(*MODULE, "forget", "--all", "--user", "bea", cwd=vault.parent, stdin="y\n")
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_a_narrow_encoding_does_not_stop_it(vault, process, monkeypatch):
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    command = (*MODULE, "search", "자전거", "--user", "ana", "--no-embedder")
    shown = process(*command, "--why", cwd=vault.parent, encoding="latin-1")
    assert shown.returncode == 0
    assert "\\uc790" in shown.stdout
    found = process(*command, "--json", cwd=vault.parent, encoding="latin-1")
    assert found.returncode == 0
    assert "자전거" in json.loads(found.stdout)["query"]


def test_a_broken_pipe_is_quiet(vault, process):
    command = f"{sys.executable} -m mnemos.cli list --user ana --json | head -c 1"
    done = process("sh", "-c", command, cwd=vault.parent)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.parametrize("args", [["--help"], ["bench", "--help"]])
def test_help_loads_nothing_heavy(process, tmp_path, args):
    code = (
        f"import sys; from mnemos.cli.main import cli; cli.main({args}, standalone_mode=False)\n"
        "print(sorted({'numpy', 'onnxruntime', 'tabulate', 'sqlite3'} & set(sys.modules)))"
    )
    assert process("-c", code, cwd=tmp_path).stdout.splitlines()[-1] == "[]"


def test_speed_of_one_search(vault, process, record_property):
    """No limit is asserted: the time goes into the report."""
    command = (*MODULE, "search", "peanuts", "--user", "ana", "--no-embedder")
    started = time.perf_counter()
    done = process(*command, cwd=vault.parent)
    record_property("seconds", round(time.perf_counter() - started, 3))
    assert done.returncode == 0
