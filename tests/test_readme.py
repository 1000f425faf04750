"""What the README shows is run."""

import re
import warnings
from pathlib import Path

from mnemos.app.config import LexicalOnly

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_example_runs_and_is_twelve_lines(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 13  # one call is broken over two lines
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LexicalOnly)
        space: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), space)
        space["memory"].close()
    printed = capsys.readouterr().out
    assert "Lisbon" in printed
    assert "near the river" in printed


def test_make_targets_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\S+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_linked_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
