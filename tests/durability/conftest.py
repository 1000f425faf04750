"""What the tests of durability share: the crash campaign, and processes of their own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnemos import Memory
from mnemos.stores.sqlite import SQLiteStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def campaign():
    """The module ``scripts/crash_campaign.py``."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    spec = importlib.util.spec_from_file_location(
        "crash_campaign", ROOT / "scripts" / "crash_campaign.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path(tmp_path):
    return tmp_path / "memory.db"


@pytest.fixture
def open_memory(path):
    """Open handles on one vault, closed at the end of the test."""
    opened = []

    def make(where=path, embedder=None, **options):
        opened.append(Memory(embedder=embedder, store=SQLiteStore(where, **options)))
        return opened[-1]

    yield make
    for memory in opened:
        memory.close()


class Script:
    """A Python process that runs lines of code and can be talked to over its pipes."""

    def __init__(self, code, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},  # noqa: TID251 - handed on
        )

    def line(self):
        return self.process.stdout.readline().strip()

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        """Wait for it and return what else it said; it must have ended well."""
        said, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said
        return said.strip()

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def script():
    """Start processes that are gone at the end of the test."""
    started = []

    def start(code, *args):
        started.append(Script(code, *args))
        return started[-1]

    yield start
    for one in started:
        one.kill()
