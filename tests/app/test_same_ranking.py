"""Ids and scores of every answer are the same after a restart, a rebuild, a copy, a compaction.

A page's rows move whenever that happens: other segments, other places, ended rows gone. Texts that
are equal, and moments that are, must not change their order by it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnemos import Draft, Header, Kind, Memory, Text
from mnemos.kernel import pages, schema, segments
from mnemos.kernel.arrays import Vectors
from mnemos.kernel.copies.backup import copy
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.pages import PageCache
from mnemos.stores.memory import MemoryStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

START = datetime(2025, 11, 3, 9, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEAKERS = ("Ana", "Bruno", "Chiara", "Dmitri")
THINGS = "boat lamp goat kiln ferry letter violin bakery harbour winter garden bicycle".split()
DEEDS = ("sold", "painted", "lost", "repaired", "found", "lent")
OFTEN = ("Yes, thank you.", "I see.", "The ferry was late again.", "How is the boat?", "!")

QUESTIONS = (
    *(f"Who {deed} the {thing}?" for deed, thing in zip(DEEDS * 2, THINGS, strict=True)),
    *(f"What did {name} say about the {thing}?" for name in SPEAKERS for thing in THINGS[:4]),
    *OFTEN,
    "What happened last week?",
    "Which boat, lamp and goat did Ana and Bruno sell?",
    "What was lost in December 2025?",
    "yes",
    "harbour 7",
    "nothing of the kind",
    "What did Chiara do yesterday?",
)

PACKED = QUESTIONS[::8]
"""Questions that are also asked for a context."""


def drafts(count: int, seed: int, *, sessions: int = 12) -> list[Draft]:
    """Return turns of sessions that run side by side; many say the same, at the same moment."""
    random = Random(seed)
    found: list[Draft] = []
    for number in range(count):
        text = random.choice(OFTEN)
        if random.random() < 0.7:
            text = f"I {random.choice(DEEDS)} the {random.choice(THINGS)} {number % 9}."
        header = Header(
            speaker=random.choice(SPEAKERS),
            run_id=f"s{random.randrange(sessions)}" if number % 10 else None,
            happened_at=START + timedelta(days=random.randrange(58), hours=random.randrange(3)),
            external_id=f"{seed}/{number}",
        )
        found.append(Draft(payload=Text(text=text), header=header))
    return found


def change(memory: Memory, ids: list[str], random: Random, times: int) -> None:
    """Update and forget some of the memories."""
    for id in random.sample(ids, times):
        memory.update(id, f"I {random.choice(DEEDS)} the {random.choice(THINGS)} after all.")
    gone = random.sample(ids, times // 3)
    for id in gone:
        memory.forget(id)
        ids.remove(id)
    for id in random.sample(ids, 3):
        memory.archive(id)
        ids.remove(id)


def fill(memory: Memory) -> None:
    """Write joined and sealed segments, history, a tail, a snapshot and a branch."""
    random = Random(11)
    ids = list(memory.add_many(drafts(1_100, 1), user_id="ana").ids)
    change(memory, ids, random, 60)
    memory.snapshot("then", user_id="ana")
    assert memory.compact(full=True).rows
    ids += memory.add_many(drafts(300, 2), user_id="ana").ids
    change(memory, ids, random, 60)
    branch = memory.branch("aside", user_id="ana")
    for number in range(40):
        branch.add(f"Aside I painted the boat {number % 4}.")
    branch.update(ids[5], "Aside the lamp was sold.")
    ids += memory.add_many(drafts(50, 3), user_id="ana").ids
    memory.add_many(
        [
            Draft(payload=Text(text="Never mention the goat."), header=Header(kind=kind))
            for kind in (Kind.INSTRUCTION, Kind.PREFERENCE)
        ],
        user_id="ben",
    )
    memory.add_many(drafts(30, 4, sessions=2), user_id="ben")


def listed(reads: Any, question: str, **scope: str) -> list[Any]:
    """Return what a question finds, with scores to the last bit; of some, what is packed too."""
    found: list[Any] = []
    for top_k in (10, 50):
        hits = reads.search(question, top_k=top_k, **scope)
        found.append([[hit.id, hit.score.hex()] for hit in hits])
    if question in PACKED:
        packed = reads.context(question, budget=100_000, **scope)
        found.append([citation.id for citation in packed.citations])
    return found


def present(memory: Memory) -> dict[str, list[Any]]:
    """Return the answers about one subject's present."""
    return {question: listed(memory, question, user_id="ana") for question in QUESTIONS}


def everything(memory: Memory) -> dict[str, list[Any]]:
    """Return the answers of the present, of the past, of a branch, of a run, and packed texts."""
    found = present(memory)
    for name, reads in {
        "then": memory.view(as_of="then", user_id="ana"),
        "aside": memory.view(branch="aside", user_id="ana"),
        "run": memory.view(user_id="ana", run_id="s3"),
    }.items():
        found |= {f"{name}: {question}": listed(reads, question) for question in PACKED}
    for question in PACKED:
        packed = memory.context(question, user_id="ben", budget=300)
        found[f"text: {question}"] = [packed.text, *listed(memory, question, user_id="ben")]
    return found


def open_vault(path: str | Path, **options: Any) -> Memory:
    ports: dict[str, Any] = {
        "clock": SimClock(NOW),
        "ids": SeededIds("same"),
        "entropy": SeededEntropy("same"),
        "embedder": HashEmbedder(),
        "background": "off",
    }
    return Memory(path, **(ports | options))


class KeptInMemory(MemoryStore):
    """A store that outlives the handles on it, as a file does."""

    def close(self) -> None:
        pass


class Vault:
    """A vault on either store that can be opened again and again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "vault.db"
        self._store = KeptInMemory() if kind == "memory" else None

    def open(self, **options: Any) -> Memory:
        if self._store is not None:
            return open_vault(":memory:", store=self._store, **options)
        return open_vault(self.path, **options)

    def twin(self, folder: Path) -> Vault:
        """Return a copy on a store of the same kind."""
        found = Vault(self.kind, folder)
        with self.open() as memory:
            if found._store is not None:
                copy(memory._vault.store, found._store)
            else:
                memory.backup(found.path)
        return found


@pytest.fixture(scope="module", params=["memory", "file"])
def vault(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Vault:
    found = Vault(request.param, tmp_path_factory.mktemp("same"))
    with found.open() as memory:
        fill(memory)
    return found


@pytest.fixture(scope="module")
def before(vault: Vault) -> dict[str, list[Any]]:
    with vault.open() as memory:
        return everything(memory)


@pytest.fixture
def memory(vault: Vault) -> Iterator[Memory]:
    with vault.open() as opened:
        yield opened


def now(answers: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the answers that are about the present of the large page."""
    return {question: answers[question] for question in QUESTIONS}


def test_the_vault_has_what_could_move(memory: Memory, before: dict[str, list[Any]]) -> None:
    stats = memory.stats()
    assert stats.history_rows
    assert stats.ended_rows
    with memory._vault.store.read(SYSTEM) as tx:
        sizes = [part.n for part in tx.scan(schema.SEGMENTS, ()) if part.encoding == "rows"]
        assert list(tx.scan(schema.TAIL, ()))
    assert max(sizes) > segments.SEAL_ROWS
    assert min(sizes) <= segments.SEAL_ROWS
    texts = [cube.text for cube in memory.get_all(user_id="ana", limit=5_000)]
    assert len(texts) - len(set(texts)) > 300
    assert len(QUESTIONS) >= 40
    assert {len(found[1]) for found in now(before).values()} == {50}


def test_asked_again(memory: Memory, before: dict[str, list[Any]]) -> None:
    for reads in (
        memory.view(as_of="then", user_id="ana"),
        memory.view(user_id="ana", run_id="s3"),
    ):
        for question in PACKED:  # a second question to chosen rows goes another way
            assert listed(reads, question) == listed(reads, question)
    assert everything(memory) == before


def test_opened_again(vault: Vault, before: dict[str, list[Any]]) -> None:
    with vault.open() as memory:
        assert everything(memory) == before


def test_the_cache_emptied_before_each_question(
    memory: Memory, before: dict[str, list[Any]]
) -> None:
    for question, answer in now(before).items():
        memory._vault.cache = PageCache()
        assert listed(memory, question, user_id="ana") == answer


def test_in_another_process(vault: Vault, before: dict[str, list[Any]]) -> None:
    if vault.kind == "memory":
        pytest.skip("a store in memory belongs to one process")
    run = subprocess.run(
        [sys.executable, __file__, str(vault.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == before


class Renamed(HashEmbedder):
    """The same directions under another fingerprint."""

    @property
    def fingerprint(self) -> str:
        return "mnemos.testing/renamed"


def test_words_and_vectors_made_again(
    vault: Vault, before: dict[str, list[Any]], tmp_path: Path
) -> None:
    twin = vault.twin(tmp_path)
    with twin.open() as memory, memory._vault.store.write(SYSTEM) as tx:
        tx.put(schema.META, schema.Meta("lexicon", "another"))
    with twin.open(rebuild_words=True, embedder=Renamed()) as rebuilt:
        assert rebuilt.reembed().switched
        assert everything(rebuilt) == before


def test_backed_up_and_restored(
    memory: Memory, before: dict[str, list[Any]], tmp_path: Path
) -> None:
    memory.backup(tmp_path / "backup.db")
    Memory.restore_backup(tmp_path / "backup.db", tmp_path / "restored.db")
    with open_vault(tmp_path / "restored.db") as restored:
        assert everything(restored) == before
    with open_vault(tmp_path / "backup.db") as copied:
        for question in PACKED:
            assert listed(copied, question, user_id="ana") == before[question]


def test_exported_and_imported(
    vault: Vault, memory: Memory, before: dict[str, list[Any]], tmp_path: Path
) -> None:
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    with Vault(vault.kind, tmp_path).open() as other:
        left = other.import_archive(tmp_path / "ana.jsonl").left_out
        assert {item.why.partition(";")[0] for item in left} == {"it lies on a branch alone"}
        assert present(other) == now(before)


def test_compacted(vault: Vault, before: dict[str, list[Any]], tmp_path: Path) -> None:
    with vault.twin(tmp_path).open() as memory:
        assert memory.compact(full=True).rows
        assert everything(memory) == before


def test_a_row_scores_the_same_wherever_it_lies() -> None:
    """A product of a matrix depends on the place of a row; ours must not."""
    random = np.random.default_rng(5)
    row = random.standard_normal(384).astype(np.float32)
    query = random.standard_normal(384).astype(np.float32)
    alone = Vectors([(row[None], None)]).dot(query).item()
    for n in (2, 3, 5, 17, 255, 256, 257, 1_030):
        matrix = np.tile(row, (n, 1))
        gathered = Vectors([(matrix, np.arange(n)), (matrix[:1], None)])
        for products in (Vectors([(matrix, None)]).dot(query), gathered.dot(query)):
            assert set(products.tolist()) == {alone}


# --- small pages, at random -----------------------------------------------------------------------

STEP = st.tuples(st.sampled_from(["add", "update", "forget", "compact"]), st.integers(0, 99))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 8)
    monkeypatch.setattr(segments, "SEAL_ROWS", 4)
    monkeypatch.setattr(pages, "SEAL_ROWS", 4)


def carry_out(memory: Memory, steps: list[tuple[str, int]]) -> None:
    ids: list[str] = []
    for number, (step, pick) in enumerate(steps):
        if step == "add":
            wanted = drafts(1 + pick % 7, 100 + number, sessions=3)
            ids += memory.add_many(wanted, user_id="ana").ids
        elif step == "compact":
            memory.compact(full=True)
        elif ids and step == "update":
            memory.update(ids[pick % len(ids)], OFTEN[pick % len(OFTEN)])
        elif ids:
            memory.forget(ids.pop(pick % len(ids)))
    memory.add_many(drafts(2, 99), user_id="ana")


@pytest.mark.parametrize("kind", ["memory", "file"])
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEP, min_size=3, max_size=20))
def test_small_pages_at_random(
    kind: str,
    small_pages: None,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
) -> None:
    folder = tmp_path_factory.mktemp("random")

    def answers(memory: Memory) -> list[Any]:
        return [listed(memory, question, user_id="ana") for question in PACKED]

    first = Vault(kind, folder)
    with first.open() as memory:
        carry_out(memory, steps)
        expected = answers(memory)
        memory.export(folder / "ana.jsonl", user_id="ana")
        memory._vault.cache = PageCache()
        assert answers(memory) == expected, "cache emptied"
    with first.open() as memory:
        assert answers(memory) == expected, "opened again"
        memory.compact(full=True)
        assert answers(memory) == expected, "compacted"
        memory.backup(folder / "backup.db")
    with open_vault(folder / "backup.db") as memory:
        assert answers(memory) == expected, "backed up"
    (folder / "other").mkdir()
    with Vault(kind, folder / "other").open() as memory:
        memory.import_archive(folder / "ana.jsonl")
        assert answers(memory) == expected, "imported"


if __name__ == "__main__":
    with open_vault(sys.argv[1]) as opened:
        sys.stdout.write(json.dumps(everything(opened)))
