"""watermark key, watermark mark, watermark read."""

import json

import click
import pytest
from click.testing import CliRunner

from mnemos.cli.main import Door
from mnemos.cli.watermark_commands import COMMANDS
from mnemos.exchange.watermark import unmark

TEXT = (
    "# Everything remembered of ana\n\n"
    "> I moved to Lisbon in March, and I am allergic to peanuts and sesame,\r\n"
    "> so the bakery by the river writes me a list of what I may eat.\n\n"
    "> My bicycle has the number LC3-58820 and stands in the yard behind the house.\n"
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty folder; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ana.md").write_bytes(TEXT.encode())
    door = Door(commands={str(command.name): command for command in COMMANDS})

    def run(*args: object, stdin: str | None = None) -> click.testing.Result:
        result = CliRunner().invoke(door, ["watermark", *map(str, args)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def key(run):
    assert run("key", "exports.key").exit_code == 0
    return "exports.key"


def json_of(result):
    return json.loads(result.stdout)


def test_a_key_is_secret_fresh_and_never_overwritten(run, tmp_path):
    made = run("key", "a.key", "--json")
    assert json_of(made) == {"path": "a.key", "bytes": 32}
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert "keep it to yourself" in run("key", "b.key").stdout
    before = (tmp_path / "a.key").read_bytes()
    assert before != (tmp_path / "b.key").read_bytes()
    again = run("key", "a.key")
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr
    assert (tmp_path / "a.key").read_bytes() == before


def test_a_marked_file_says_where_it_is_from(run, key, tmp_path):
    done = run("mark", "ana.md", "--key-file", key, "--number", 17, "--out", "sent.md")
    assert done.exit_code == 0
    assert "of mark 17 to sent.md" in done.stdout
    assert unmark((tmp_path / "sent.md").read_bytes().decode()) == TEXT
    read = run("read", "sent.md", "--key-file", key)
    assert read.exit_code == 0
    assert read.stdout.startswith("from export 17, certain: ")
    found = json_of(run("read", "sent.md", "--key-file", key, "--json"))
    assert (found["verdict"], found["number"], len(found["marks"])) == ("certain", 17, 1)
    assert found["chance"] < 2**-32


def test_a_marked_text_is_printed_and_a_pasted_one_read(run, key):
    printed = run("mark", "-", "--key-file", key, "--number", 5, stdin=TEXT)
    printed = printed.stdout_bytes.decode()
    assert unmark(printed) == TEXT
    excerpt = " ".join(printed.split()[12:26])
    assert run("read", "-", "--key-file", key, stdin=excerpt).stdout.startswith("from export 5,")
    both = json_of(run("mark", "ana.md", "--key-file", key, "--number", 5, "--json"))
    assert both == {"number": 5, "copies": both["copies"], "path": None, "text": printed}
    assert both["copies"] >= 3


def test_what_bears_no_mark_of_the_key_leaves_with_1(run, key):
    run("key", "other.key")
    run("mark", "ana.md", "--key-file", "other.key", "--number", 17, "--out", "theirs.md")
    theirs = run("read", "theirs.md", "--key-file", key)
    assert theirs.exit_code == 1
    assert "not one made with this key" in theirs.stdout
    plain = run("read", "ana.md", "--key-file", key, "--json")
    assert (plain.exit_code, json_of(plain)["verdict"]) == (1, "none")
    piece = " ".join(run("mark", "ana.md", "--key-file", key, "--number", 1).stdout.split()[10:15])
    assert "too short" in run("read", "-", "--key-file", key, stdin=piece).stdout


def test_a_text_too_short_to_be_marked_says_so(run, key):
    short = run("mark", "-", "--key-file", key, "--number", 5, stdin="Only four words here.")
    assert short.exit_code == 1
    assert "too short to hold a whole mark" in short.stderr


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("mark", "none.md", "--key-file", "exports.key", "--number", "1"), 3, "no file none.md"),
        (("mark", "ana.md", "--key-file", "none.key", "--number", "1"), 3, "no file none.key"),
        (("mark", "ana.md", "--key-file", "short.key", "--number", "1"), 2, "5 bytes"),
        (("mark", "ana.md", "--key-file", "exports.key", "--number", "-1"), 2, "from 0 to"),
        (("mark", "latin.md", "--key-file", "exports.key", "--number", "1"), 2, "not UTF-8"),
        (("mark", ".", "--key-file", "exports.key", "--number", "1"), 4, "cannot read"),
        (("mark", "ana.md", "--key-file", "exports.key"), 2, "--number"),
        (("read", "ana.md"), 2, "--key-file"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, key, tmp_path, args, code, told):
    (tmp_path / "short.key").write_bytes(b"short")
    (tmp_path / "latin.md").write_bytes("caf\u00e9".encode("latin-1"))
    refused = run(*args)
    assert refused.exit_code == code
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_marked_file_replaces_nothing(run, key, tmp_path):
    refused = run("mark", "ana.md", "--key-file", key, "--number", "1", "--out", "ana.md")
    assert refused.exit_code == 3
    assert (tmp_path / "ana.md").read_bytes() == TEXT.encode()
    nowhere = run("mark", "ana.md", "--key-file", key, "--number", "1", "--out", "no/a.md")
    assert nowhere.exit_code == 4


@pytest.mark.parametrize("name", ["key", "mark", "read"])
def test_help_shows_an_example_and_json(run, name):
    shown = run(name, "--help").stdout
    assert f"mnemos watermark {name}" in shown
    assert "--json" in shown
