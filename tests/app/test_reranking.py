"""A reranker decides the order of the best hits; one that fails changes nothing, and is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mnemos import Draft, Header, Memory, Text
from mnemos.app.reranking import IN_CONTEXT
from mnemos.errors import InvalidInput, MissingExtra, ModelError, ModelUnavailable
from mnemos.testing import ScriptedReranker

Open = Callable[..., Memory]


def fill(memory: Memory, count: int = 60) -> list[str]:
    drafts = [
        Draft(
            payload=Text(text=f"the boat numbered n{number:02} is red"),
            header=Header(speaker="Ana"),
        )
        for number in range(count)
    ]
    return list(memory.add_many(drafts, user_id="ana").ids)


@pytest.fixture
def model() -> ScriptedReranker:
    return ScriptedReranker({"n15": 3.0, "n07": 2.0, "n59": 9.0})


@pytest.fixture
def reranked(open_at: Open, path: str, model: ScriptedReranker) -> Memory:
    memory = open_at(path, reranker=model)
    fill(memory)
    return memory


@pytest.fixture
def plain(open_at: Open, path: str, reranked: Memory) -> Memory:
    if path == ":memory:":
        return open_at(store=reranked._vault.store)
    return open_at(path)


def ids(hits: Any) -> list[str]:
    return [hit.id for hit in hits]


def test_it_decides_the_order_of_the_best_twenty(
    reranked: Memory, plain: Memory, model: ScriptedReranker
) -> None:
    before = plain.search("red boat", user_id="ana", top_k=20)
    hits = reranked.search("red boat", user_id="ana", top_k=3)
    assert [hit.text.split()[3] for hit in hits] == ["n15", "n07", "n00"], "n59 was not among them"
    ((question, texts),) = model.asked
    assert question == "red boat"
    assert list(texts) == [f"Ana: {hit.text}" for hit in before], "as they are indexed"
    rest = [id for id in ids(before) if id not in ids(hits[:2])]
    assert ids(reranked.search("red boat", user_id="ana", top_k=20))[2:] == rest, "ties stay"


def test_twice_as_many_are_read_as_are_asked_for(reranked: Memory, model: ScriptedReranker) -> None:
    hits = reranked.search("red boat", user_id="ana", top_k=30)
    assert len(hits) == 30
    assert len(model.asked[0][1]) == 60
    assert "n59" in hits[0].text, "the last of all"


def test_why_and_trace_name_it(reranked: Memory) -> None:
    hits = reranked.search("red boat", user_id="ana", top_k=3)
    first, *others = hits[0].why
    assert (first.signal, first.rank, first.value, first.share) == ("reranker", 1, 3.0, 1.0)
    assert {"words", "meaning"} <= {reason.signal for reason in others}
    assert all(reason.share == 0 and reason.rank > 0 for reason in others)
    assert [hit.score for hit in hits] == [3.0, 2.0, 0.0]
    assert hits.trace.reranker == "scripted"
    assert hits.trace.notes == ()
    names = [step.name for step in hits.trace.steps]
    assert names == ["plan", "page", "rank", "judge", "fetch", "rerank"]
    assert dict(hits.trace.steps[-1].counts) == {"texts": 20}


def test_a_context_takes_its_order(
    reranked: Memory, plain: Memory, model: ScriptedReranker
) -> None:
    packed = reranked.context("red boat", user_id="ana", budget=40)
    assert "n15" in packed.text
    assert "n15" not in plain.context("red boat", user_id="ana", budget=40).text
    assert len(model.asked[0][1]) == IN_CONTEXT
    assert packed.trace.reranker == "scripted"
    whole = reranked.context("red boat", user_id="ana", budget=100_000)
    assert len(whole.citations) == 60, "what was not read again is packed behind"


@pytest.mark.parametrize("top_k", [3, 10, 60])
def test_one_that_fails_leaves_everything_as_it_was(
    reranked: Memory, plain: Memory, model: ScriptedReranker, top_k: int
) -> None:
    model.failure = ModelUnavailable("the model is down")
    hits = reranked.search("red boat", user_id="ana", top_k=top_k)
    expected = plain.search("red boat", user_id="ana", top_k=top_k)
    assert hits.items == expected.items
    assert hits.trace.reranker is None
    (note,) = hits.trace.notes
    assert note == "the reranker failed: the order is as it was (the model is down)"
    packed = reranked.context("red boat", user_id="ana", budget=60)
    assert packed.text == plain.context("red boat", user_id="ana", budget=60).text
    assert packed.trace.notes == (note,)
    model.failure = None
    assert reranked.search("red boat", user_id="ana").trace.reranker == "scripted"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones(19), r"shape \(19,\) where \(20,\)"),
        (np.ones((20, 3)), r"shape \(20, 3\).*one score per text"),
        (np.float32(1), r"shape \(\)"),
        (np.array([1.0, np.nan] + [0.0] * 18), "nan for text 1 of 20.*finite"),
        (np.array([np.inf] * 20), "inf for text 0 of 20"),
        (["much"] * 20, "no array of numbers"),
        (object(), "no array of numbers"),
    ],
)
def test_scores_that_are_none_are_a_typed_error(
    open_at: Open, scores: object, message: str
) -> None:
    class Wrong(ScriptedReranker):
        def score(self, question: str, texts: Any) -> Any:
            return scores

    memory = open_at(reranker=Wrong(name="wrong"))
    fill(memory)
    with pytest.raises(ModelError, match=f"'wrong'.*{message}"):
        memory.search("red boat", user_id="ana")
    with pytest.raises(ModelError, match="'wrong'"):
        memory.context("red boat", user_id="ana")


def test_nothing_found_is_not_read(open_at: Open, model: ScriptedReranker) -> None:
    memory = open_at(reranker=model)
    assert memory.search("red boat", user_id="ana").items == ()
    assert memory.context("red boat", user_id="ana").text == ""
    assert model.asked == []


def test_views_transactions_and_forgetting_use_it_too(
    reranked: Memory, model: ScriptedReranker
) -> None:
    assert "n15" in reranked.view(user_id="ana").search("red boat")[0].text
    with reranked.begin() as tx:
        assert "n15" in tx.search("red boat", user_id="ana")[0].text
    best = reranked.search("red boat", user_id="ana", top_k=1)[0]
    assert reranked.forget(query="red boat", top_k=1, user_id="ana").ids == (best.id,)


def test_only_what_is_returned_counts_as_read(reranked: Memory) -> None:
    hits = reranked.search("red boat", user_id="ana", top_k=2)
    read = [cube.id for cube in reranked.get_all(user_id="ana") if reranked.usage(cube.id).reads]
    assert sorted(read) == sorted(ids(hits))


@pytest.mark.parametrize("value", ["auto", "sentence-transformers:", "mine", ""])
def test_a_name_that_is_none_is_refused(open_at: Open, value: str) -> None:
    with pytest.raises(InvalidInput, match=r"reranker=.*sentence-transformers:NAME"):
        open_at(reranker=value)


def test_an_object_that_lacks_a_member_is_refused(open_at: Open) -> None:
    with pytest.raises(InvalidInput, match="without fingerprint, score"):
        open_at(reranker=object())


def test_a_named_one_is_opened_on_first_use(open_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    memory = open_at(reranker="sentence-transformers:cross-encoder/none")
    memory.add("boat", user_id="ana")
    with pytest.raises(MissingExtra, match="This reranker needs sentence-transformers"):
        memory.search("boat", user_id="ana")
