"""Embedders that fail, change or are not there: no memory is ever lost or hidden by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnemos import Draft, Memory, Text
from mnemos.errors import InvalidInput, ModelError, ModelMismatch, ModelUnavailable
from mnemos.kernel.upkeep.reembed import Progress
from mnemos.stores.memory import MemoryStore
from mnemos.testing import HashEmbedder

Open = Callable[..., Memory]


class Moody(HashEmbedder):
    """Fails while it is told to."""

    well = True

    def embed(self, texts: Any, *, query: bool = False) -> Any:
        if not self.well:
            raise ModelUnavailable("the model is down; start it again")
        return super().embed(texts, query=query)


class Interrupted(Exception):
    pass


def fill(memory: Memory, count: int, user_id: str = "ana") -> list[str]:
    drafts = [Draft(payload=Text(text=f"boat number {n}")) for n in range(count)]
    return list(memory.add_many(drafts, user_id=user_id).ids)


def signals(memory: Memory, query: str = "boat number 7", user_id: str = "ana") -> set[str]:
    return {
        reason.signal
        for hit in memory.search(query, user_id=user_id, top_k=50)
        for reason in hit.why
    }


def test_a_failing_embedder_delays_the_vector_never_the_memory(open_at: Open, path: str) -> None:
    model = Moody()
    memory = open_at(path, embedder=model)
    memory.add("the first", user_id="ana")
    model.well = False
    receipt = memory.add("Ana sails a boat", user_id="ana")
    assert receipt.indexed == "lexical"
    assert memory.update(receipt.id, "Ana sails a red boat").indexed == "lexical"
    assert memory.get(receipt.id).text == "Ana sails a red boat"
    assert memory.stats().vectors_pending
    with pytest.raises(ModelError):
        memory.reembed()
    assert memory.stats().vectors_pending
    model.well = True
    assert {reason.signal for reason in memory.search("boat", user_id="ana")[0].why} >= {"words"}
    found = memory.reembed()
    assert (found.done, found.total, found.switched) == (2, 2, True), "both versions"
    assert not memory.stats().vectors_pending
    (best, *_) = memory.search("boat", user_id="ana")
    assert next(reason.value for reason in best.why if reason.signal == "meaning") > 0
    assert memory.reembed() == Progress(done=0, total=0, switched=True)
    assert memory.verify().problems == []


def test_a_query_that_cannot_be_embedded_is_answered_by_words(open_at: Open) -> None:
    model = Moody()
    memory = open_at(embedder=model)
    memory.add("boat", user_id="ana")
    model.well = False
    hits = memory.search("boat", user_id="ana")
    assert [hit.text for hit in hits] == ["boat"]
    assert hits.trace.embedder is None
    assert hits.trace.notes == ("the embedder failed: recalled by words only",)
    assert "boat" in memory.context("boat", user_id="ana").text


@pytest.mark.parametrize("shape", [(1, 3), (0, 64), (2, 64), (64,)])
def test_rows_of_another_shape_are_refused(open_at: Open, shape: tuple[int, ...]) -> None:
    class Wrong(HashEmbedder):
        def embed(self, texts: Any, *, query: bool = False) -> Any:
            return np.ones(shape, np.float32)

    memory = open_at(embedder=Wrong())
    with pytest.raises(ModelError, match="shape"):
        memory.add("boat", user_id="ana")
    assert memory.stats().events == 0


def test_another_embedder_is_a_mismatch_that_tells_the_way_out(
    open_at: Open, tmp_path: Path
) -> None:
    file = tmp_path / "v.db"
    with open_at(file) as memory:
        memory.add("boat", user_id="ana")
    memory = open_at(file, embedder=HashEmbedder(32, name="other"))
    calls: list[Callable[[], object]] = [
        lambda: memory.search("boat", user_id="ana"),
        lambda: memory.context("boat", user_id="ana"),
        lambda: memory.add("ship", user_id="ana"),
    ]
    for call in calls:
        with pytest.raises(ModelMismatch, match=r"hash-64.*other-32.*mnemos reembed"):
            call()
    assert memory.stats().memories == 1
    assert memory.reembed().switched
    for call in calls:
        call()
    assert memory.verify().problems == []


def test_without_an_embedder_vectors_are_left_alone(open_at: Open, path: str) -> None:
    memory = open_at(path)
    memory.add("Ana sails a boat", user_id="ana")
    if path == ":memory:":
        bare = open_at(store=memory._vault.store, embedder=None)
    else:
        bare = open_at(path, embedder=None)
    hits = bare.search("boat", user_id="ana")
    assert [hit.text for hit in hits] == ["Ana sails a boat"]
    assert hits.trace.embedder is None
    assert any("words only" in note for note in hits.trace.notes)
    assert bare.add("a ship", user_id="ana").indexed == "lexical"
    with pytest.raises(InvalidInput, match="no embedder"):
        bare.reembed()
    assert {"meaning", "words"} <= signals(memory, "boat")
    assert memory.search("ship", user_id="ana")[0].text == "a ship"


def test_a_change_of_embedder_goes_on_where_it_stopped(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "v.db"
    old = open_at(file)
    fill(old, 1_500)  # one sealed segment and a tail
    fill(old, 20, user_id="bob")
    new = open_at(file, embedder=HashEmbedder(32, name="new"))
    before = [hit.id for hit in old.search("boat number 7", user_id="ana")]
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        assert [hit.id for hit in old.search("boat number 7", user_id="ana")] == before
        if len(seen) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        new.reembed(progress=stop)
    assert [(step.done, step.total) for step in seen] == [(256, 1520), (512, 1520)]
    assert "hash-64" in (old.stats().embedder or ""), "not switched"
    with pytest.raises(ModelMismatch):
        new.search("boat", user_id="ana")
    old.add("boat written meanwhile", user_id="ana")
    assert new.reembed(progress=seen.append) == Progress(done=1009, total=1009, switched=True)
    assert "new-32" in (new.stats().embedder or "")
    assert "meaning" in signals(new)
    assert "new-32" in (new.search("boat", user_id="bob").trace.embedder or "")
    with pytest.raises(ModelMismatch, match="new-32"):
        old.search("boat", user_id="ana")
    with pytest.raises(ModelMismatch):
        old.add("boat", user_id="ana")
    assert new.verify().problems == []
    assert new.stats().memories == 1521


def test_what_is_written_while_it_runs_gets_its_vector_too(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "v.db"
    old, new = open_at(file), open_at(file, embedder=HashEmbedder(name="new"))
    ids = fill(old, 5)
    written: list[str] = []

    def write(progress: Progress) -> None:
        if len(written) < 3:
            written.append(old.add(f"late {len(written)}", user_id="ana").id)
            old.forget(ids.pop())

    assert new.reembed(progress=write).switched
    assert {hit.id for hit in new.search("late", user_id="ana", top_k=10)} == {*ids, *written}
    for hit in new.search("late", user_id="ana", top_k=10):
        assert "meaning" in {reason.signal for reason in hit.why}
    assert new.verify().problems == []


def test_what_is_there_already_is_not_embedded_again(open_at: Open) -> None:
    class Counting(HashEmbedder):
        asked = 0

        def embed(self, texts: Any, *, query: bool = False) -> Any:
            assert texts, "asked for nothing"
            self.asked += len(texts)
            return super().embed(texts, query=query)

    model = Counting()
    memory = open_at(embedder=model)
    for _ in range(3):
        assert memory.add("boat", user_id="ana", external_id="e1").indexed == "full"
    assert model.asked == 1


class Interloper(MemoryStore):
    """Lets something happen just before the write lock is taken."""

    first: Callable[[], object] | None = None

    def write(self, view) -> Any:
        if self.first is not None:
            self.first()
        return super().write(view)


def test_a_write_just_before_the_switch_puts_it_off(open_at: Open) -> None:
    store = Interloper()
    old, new = open_at(store=store), open_at(store=store, embedder=HashEmbedder(name="new"))
    fill(old, 3)
    new.reembed()
    assert new.reembed() == Progress(done=0, total=0, switched=True), "nothing left to embed"
    back = HashEmbedder()
    writes = 0

    def write_late() -> None:
        nonlocal writes
        writes += 1
        if writes == 3:  # the space made, one batch written; this is the switch
            store.first = None
            new.add("late", user_id="ana")

    store.first = write_late
    assert open_at(store=store, embedder=back).reembed().done == 4
    hits = old.search("late", user_id="ana")
    assert hits[0].text == "late"
    assert "meaning" in {reason.signal for reason in hits[0].why if reason.value > 0.1}


def test_an_embedder_comes_to_a_vault_of_words(open_at: Open, path: str) -> None:
    bare = open_at(path, embedder=None)
    ids = fill(bare, 10)
    full = open_at(store=bare._vault.store) if path == ":memory:" else open_at(path)
    assert [hit.id for hit in full.search("boat number 7", user_id="ana", top_k=1)] == [ids[7]]
    assert full.reembed().done == 10
    assert "meaning" in signals(full)


def test_a_transaction_staged_before_a_switch_is_refused(open_at: Open, tmp_path: Path) -> None:
    file = tmp_path / "v.db"
    old, new = open_at(file), open_at(file, embedder=HashEmbedder(name="new"))
    fill(old, 3)

    def switch_before_the_end() -> None:
        with old.begin() as tx:
            tx.add("staged", user_id="ana")
            new.reembed()

    with pytest.raises(ModelMismatch, match="nothing was written"):
        switch_before_the_end()
    assert new.stats().memories == 3


_NO_WEIGHTS = """
import importlib.util, os, sys, warnings

os.environ["MNEMOS_CACHE"] = sys.argv[1]
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if "minilm" in name else find(name, *rest)

from mnemos import Memory
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with Memory(":memory:") as memory:
        assert memory.add("Ana sails a boat", user_id="ana").indexed == "lexical"
        assert memory.add("Ana likes tea", user_id="ana").indexed == "lexical"
        hits = memory.search("boat", user_id="ana")
        assert hits[0].text == "Ana sails a boat", hits
        assert hits.trace.embedder is None
        memory.context("boat", user_id="ana")
        try:
            memory.reembed()
        except Exception as error:
            print(type(error).__name__)
for item in caught:
    print(item.category.__name__, "|", item.message)
"""


def test_without_weights_one_warning_and_recall_by_words(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _NO_WEIGHTS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    first, *rest = run.stdout.splitlines()
    assert first == "InvalidInput"
    assert [line.partition(" |")[0] for line in rest if "Only |" in line] == ["LexicalOnly"]
    assert "mnemos models add" in run.stdout
