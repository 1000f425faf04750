"""The examples of every help page run, and a whole life of a vault is told with the commands."""

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest

from mnemos.app.memory import Memory
from mnemos.cli.main import cli
from mnemos.testing import SimClock

ELSEWHERE = {"models add", "bench", "demo", "reembed"}
"""Those need a model, a server or a file that is not here, or have tests of their own."""

BEFORE = {
    "snapshot": ["drop-snapshot before-move --user ana"],
    "thaw": ["freeze 0f3a9c…"],
    "release": ["hold 0f3a9c…"],
    "reactivate": ["archive 0f3a9c…"],
    "policy drop": ["policy set --user ana --kind turn --ttl 90d"],
    "policy list": ["policy set --user ana --kind turn --ttl 90d"],
    "quarantine list": ["quarantine add 0f3a9c…"],
    "quarantine approve": ["quarantine add 0f3a9c…", "quarantine add 77b1e0…"],
    "quarantine reject": ["quarantine add 77b1e0…"],
    "intake drop": ["intake set --origin tool --quarantine --user ana"],
    "intake list": ["intake set --origin tool --quarantine --user ana"],
    "redaction set": ["watermark key vault.key"],
    "redaction drop": ["redaction set mask --user ana"],
    "redaction show": ["redaction set mask --user ana"],
    "reveal": ["watermark key vault.key"],
    "audit reads": ["audit set audited --user ana", "get 0f3a9c… --user ana"],
    "audit counts": ["get 0f3a9c… --user ana"],
    "export": ["watermark key exports.key"],
    "watermark mark": ["watermark key exports.key", "export ana.md --user ana --format markdown"],
    "watermark read": [
        "watermark key exports.key",
        "export ana.md --user ana --format markdown",
        "watermark mark ana.md --key-file exports.key --number 17 --out pasted.txt",
    ],
    "groups": ["group group:family user:ana user:ben"],
    "restore": [
        "backup backups/2025-03-04.db",
        "backup old.db",
        "suppressions forgotten.jsonl",
    ],
    "import": ["export ana.jsonl.gz --user ana", "suppressions forgotten.jsonl"],
    "checkpoint": ["checkpoint-key mnemos.key mnemos.pub"],
    "verify": [
        "checkpoint-key mnemos.key mnemos.pub",
        "checkpoint kept/2025-03-04.json --key mnemos.key",
    ],
}
"""What has to be done before the examples of a command make sense."""

REFUSED = {"jobs retry 17": 3, "jobs drop 17": 3}
"""There is no such job here."""

NOTHING = {
    "jobs list", "models list", "list", "revoke", "audit reads", "audit drop", "watermark read",
}  # fmt: skip
"""Where there is nothing to list, or to do, which is no error."""

ASKING = ("forget", "rollback", "revoke ", "quarantine reject", "audit drop")
"""Those that ask before they do it."""

GOES_ON = (
    "branch", "checkpoint", "policy set", "group", "quarantine list", "quarantine approve", "audit reads",
)  # fmt: skip
"""Those whose second example is about what the first one left."""

NEEDED = {
    "mnemos.key": "cryptography",
    "vault.key": "cryptography",
    "redaction set": "phonenumbers",
}
"""Words of examples, and the package they need."""


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def examples(command: click.Command) -> list[str]:
    return re.findall(r"^  .*?(?<=mnemos )(.+)$", command.epilog or "", re.MULTILINE)


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory):
    """A folder with a vault in which everything the examples name is there."""
    folder = tmp_path_factory.mktemp("examples")
    clock = SimClock(datetime(2024, 12, 20, tzinfo=UTC))
    (folder / "chat.jsonl").write_text('{"text": "one"}\n')
    with Memory(folder / "memory.db", embedder=None, clock=clock) as memory:
        home = memory.add("Ana lives in Lisbon", user_id="ana").id
        other = memory.add("Ana has a bicycle", user_id="ana", run_id="s3").id
        for number in range(12):
            memory.add(f"Ana said number {number} to her old address", user_id="ana")
        memory.snapshot("before-move", user_id="ana")
        clock.advance(timedelta(days=50))
        memory.update(home, "Ana lives in Braga")
        clock.advance(timedelta(days=50))
        memory.add("The lease of the flat ends", user_id="ana")
        memory.forget(memory.add("A secret", user_id="ana").id)
        memory.ingest(folder / "chat.jsonl", user_id="ana")
        memory.branch("draft", user_id="ana").add("Ana may learn to sail")
        granted = memory.grant("user:ben", "reader", user_id="ana").id
    for name in ("backups", "kept"):
        (folder / name).mkdir()
    (folder / "notes.md").write_text("One line.\n")
    (folder / "export.json").write_text('[{"role": "user", "content": "hello"}]')
    return folder, {"0f3a9c…": home, "77b1e0…": other, "5e21d7…": granted}


@pytest.mark.parametrize(
    "path", [path for path, _ in leaves(cli) if path not in ELSEWHERE], ids=str
)
def test_examples_run(path, run, lived_in, tmp_path):
    folder, ids = lived_in
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    told = " ".join([*BEFORE.get(path, ()), *dict(EXAMPLES)[path]])
    for word, extra in NEEDED.items():
        if word in told and importlib.util.find_spec(extra) is None:
            pytest.skip(f"{extra} is not installed")

    def tell(line: str):
        for word, id in ids.items():
            line = line.replace(word, id)
        given = shlex.split(line)
        asks = line.startswith(ASKING) and not {"--yes", "--dry-run"} & set(given)
        given += ["--yes"] if asks else []
        return run(*given, stdin="from standard input")

    for line in BEFORE.get(path, ()):
        assert tell(line).code == 0, line
    lines = dict(EXAMPLES)[path]
    assert lines
    for number, line in enumerate(lines):
        # Each begins anew where the one before it changed what it is about.
        if number and path not in GOES_ON:
            for name in ("memory.db", "memory.db-wal", "memory.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
            shutil.copy(folder / "memory.db", tmp_path)
        done = tell(line)
        expected = {REFUSED.get(line, 0)} | ({1} if path in NOTHING else set())
        assert done.code in expected, (line, done.err)


EXAMPLES = [(path, examples(command)) for path, command in leaves(cli)]


def test_the_life_of_a_vault(run, tmp_path):
    """Remember, change, branch, merge, go back, prove, copy, forget, restore."""

    def ids(*args: str) -> list[str]:
        return run(*args, "--user", "ana", "--json").json["ids"]

    (home,) = ids("add", "I live in Lisbon")
    (food,) = ids("add", "I am allergic to peanuts")
    run("snapshot", "start", "--user", "ana")
    run("update", home, "I live in Porto")
    run("branch", "plan", "--user", "ana")
    run("update", home, "I live in Faro", "--user", "ana", "--branch", "plan")
    (dream,) = ids("add", "I sail every day", "--branch", "plan")
    assert run("merge", "plan", "--user", "ana").code == 0
    assert run("get", home, "--json").json["text"] == "I live in Faro"

    (both,) = ids("consolidate", "Ana: Faro, no peanuts", home, food)
    assert run("lineage", both, "--json").json["sources"]
    run("checkpoint", "kept.json")
    assert run("backup", "copy.db").code == 0

    assert run("rollback", "start", "--user", "ana", "--yes").code == 0
    assert run("get", home, "--json").json["text"] == "I live in Lisbon"
    assert run("get", dream).code == 3
    drawn = run("timeline", "--user", "ana").out
    for words in ("snapshot start", "branch plan", "merged plan", "rolled back to #2"):
        assert words in drawn

    gone = run("forget", food, "--yes", "--verify", "--json").json
    assert set(gone["forgotten"]) == {food, both}
    assert gone["places"][-1]["status"] == "purged"
    assert run("suppressions", "gone.jsonl").code == 0
    restored = run("restore", "copy.db", "--to", "back.db", "--suppress", "gone.jsonl", "--json")
    assert restored.json["forgotten"] == 2
    for db in ("memory.db", "back.db"):
        assert run("verify", "--db", db, "--checkpoint", "kept.json", "--json").json["ok"], db
        assert run("search", "peanuts", "--db", db, "--user", "ana", "--json").json["hits"] == []
        assert b"peanuts" not in (tmp_path / db).read_bytes()
