"""What the documents say of tests and files is so."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*) \|$", re.MULTILINE)
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
WORDS = (
    "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen".split()
)
WORDS += "fifteen sixteen seventeen eighteen nineteen twenty twenty-one twenty-two".split()


def rows() -> list[tuple[str, ...]]:
    return ROW.findall((ROOT / "docs" / "memory-os.md").read_text(encoding="utf-8"))


def test_the_table_of_capabilities_is_whole() -> None:
    assert [int(number) for number, *_ in rows()] == list(range(1, 45))
    assert {state for _, _, state, _ in rows()} == {"done", "partly", "not yet"}


def test_what_is_done_has_its_proof() -> None:
    for number, name, state, told in rows():
        assert PROOF.search(told) or state != "done", f"row {number} ({name}) names no test"
        assert told.strip() or state == "not yet", f"row {number} ({name}) says nothing"


def test_the_count_at_the_end_is_right() -> None:
    found = Counter(state for _, _, state, _ in rows())
    said = f"{WORDS[found['done']]} rows are done, {WORDS[found['partly']]} partly, "
    said += f"{WORDS[found['not yet']]} not yet."
    text = (ROOT / "docs" / "memory-os.md").read_text(encoding="utf-8")
    assert said in text.lower()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_named_exists(document: Path) -> None:
    for file, name in PROOF.findall(document.read_text(encoding="utf-8")):
        path = ROOT / file
        assert path.is_file(), f"{document.name} names {file}"
        assert f"def {name}(" in path.read_text(encoding="utf-8"), (
            f"{document.name}: {file}::{name}"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_linked_exists(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize(
    ("page", "left"),
    [
        ("time.md", ["Ana lives in Lisbon"]),
        ("governance.md", ["The boat is called Alma", "Mail me at [EMAIL]"]),
    ],
)
def test_the_code_of_a_page_is_run(
    page: str,
    left: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    del recwarn  # without weights it recalls by words, and says so once
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, page, "exec"), space)
    with space["memory"] as memory:
        assert [cube.text for cube in memory.get_all(user_id="ana")] == left
