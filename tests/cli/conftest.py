"""A vault to ask, made once without a model, and a runner of commands."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mnemos.app.memory import Memory
from mnemos.cli.main import cli

TURNS = [
    ("t1", "s1", "2025-01-14T19:05:00+01:00", "Ana", "I moved to Lisbon in March"),
    ("t2", "s1", "2025-01-14T19:06:00+01:00", "Ana", "I am allergic to peanuts and sesame"),
    ("t3", "s1", "2025-01-14T19:07:00+01:00", "Rui", "Noted: no peanuts at all"),
    ("t4", "s2", "2025-02-03T09:00:00+01:00", "Ana", "My bicycle has the number LC3-58820"),
    ("t5", "s2", "2025-02-03T09:01:00+01:00", "Rui", "두 번째 자전거를 리스본으로 보내기로 했어요"),
    ("t6", "s2", "2025-02-03T09:02:00+01:00", "Ana", "The bicycle shop in Lisbon opens at ten"),
]


FAMILIES = ("jobs", "policy", "quarantine", "intake", "redaction", "audit")
"""Commands that have commands of their own."""

WITHOUT_VAULT = ("models", "restore", "checkpoint-key", "watermark")
"""Commands that open no vault, so know nothing of embedders."""


def write_turns(path: Path) -> Path:
    lines = [
        {"id": id, "session": session, "at": at, "speaker": who, "role": "user", "text": text}
        for id, session, at, who, text in TURNS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return write_turns(tmp_path / "chat.jsonl")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    path = folder / "memory.db"
    with Memory(path, embedder=None) as memory:
        memory.ingest(write_turns(folder / "chat.jsonl"), user_id="ana")
    return path


@pytest.fixture
def vault(made: Path, tmp_path: Path) -> Path:
    """A copy of the vault, to be written to."""
    for path in made.parent.glob("memory.db*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "memory.db"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, without a model unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNEMOS_CACHE", str(tmp_path / "models"))
    monkeypatch.delenv("MNEMOS_DB", raising=False)
    monkeypatch.delenv("MNEMOS_DATA", raising=False)

    def run(*args: object, stdin: str | None = None, embedder: bool = False) -> Outcome:
        given = [str(arg) for arg in args]
        if not embedder and given[0] not in WITHOUT_VAULT and not given[0].startswith("-"):
            of_family = given[0] in FAMILIES and given[1:] and not given[1].startswith("-")
            given.insert(2 if of_family else 1, "--no-embedder")
        result = CliRunner().invoke(cli, given, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def ids(vault: Path) -> dict[str, str]:
    """Ids of the turns by their external ids."""
    with Memory(vault, embedder=None) as memory:
        cubes = memory.get_all(user_id="ana")
    return {str(cube.header.external_id): cube.id for cube in cubes}


Answered = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def asked(vault: Path, monkeypatch: pytest.MonkeyPatch) -> Answered:
    """Run a command in a process whose standard input is a terminal at which somebody answers."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYTHONUTF8", "1")

    def asked(answer: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        command = [sys.executable, "-m", "mnemos.cli", *args]
        done = subprocess.run(
            command, cwd=vault.parent, stdin=theirs, capture_output=True, check=False
        )
        os.close(theirs)
        os.close(ours)
        return done

    return asked
