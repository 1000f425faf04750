"""Filters through the public calls, held to a brute-force evaluation on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from injection_corpus import CORPUS

from mnemos import MemCube, Memory
from mnemos.errors import InvalidInput
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

ANA = {"user_id": "ana"}
KINDS = ("turn", "fact", "profile", "event")
TAGS = ("boat", "tax", "sea", "'")
TIERS = (None, 1, 2, 3, 3.5, "3", True)
WORDS = "boat harbour ferry island rain tax key choir".split()


def fill(memory: Memory) -> None:
    """Write memories that differ in every field that filters name."""
    for n in range(60):
        memory.add(
            {
                "role": "user",
                "content": f"{WORDS[n % 8]} number {n}",
                "name": ("Ben", "Cleo")[n % 2],
            },
            kind=KINDS[n % 4],
            tags=[tag for place, tag in enumerate(TAGS) if n % (place + 2) == 0],
            metadata={"tier": TIERS[n % 7], "deep": {"er": n % 5}} if n % 3 else {},
            source=f"file-{n % 6}" if n % 4 else None,
            run_id=("r1", "r2", None)[n % 3],
            origin=("user", "tool", "document")[n % 3],
            happened_at=datetime(2025, 1 + n % 12, 1, tzinfo=UTC),
            **ANA,
        )


@pytest.fixture(scope="module", params=["memory", "file"])
def memory(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Memory]:
    ports = {"clock": SimClock(), "ids": SeededIds(), "entropy": SeededEntropy()}
    file = request.param == "file"
    store = SQLiteStore(tmp_path_factory.mktemp("v") / "v.db") if file else None
    where = ":memory:" if store is None else "unused"
    with Memory(where, store=store, embedder=HashEmbedder(8), background="off", **ports) as made:
        fill(made)
        made.snapshot("early", **ANA)
        draft = made.branch("draft", **ANA)
        for cube in made.get_all(**ANA)[:6]:
            draft.update(cube.id, cube.text, metadata={"tier": 9})
        yield made
    if store is not None:
        store.close()


# --- brute force -------------------------------------------------------------------------------

MISSING = object()


def value(cube: MemCube, key: str) -> Any:
    header = cube.header
    if key.startswith("metadata."):
        found: Any = header.metadata
        for part in key.split(".")[1:]:
            found = found.get(part, MISSING) if isinstance(found, Mapping) else MISSING
        return found
    found = getattr(header, key)
    return MISSING if found is None else found


def is_number(item: Any) -> bool:
    return isinstance(item, (int, float)) and not isinstance(item, bool)


def alike(one: Any, other: Any) -> bool:
    return (
        is_number(one) == is_number(other)
        and isinstance(one, bool) == isinstance(other, bool)
        and one == other
    )


def holds(has: Any, operator: str, wanted: Any) -> bool:
    if operator in ("ne", "nin"):
        return not holds(has, {"ne": "eq", "nin": "in"}[operator], wanted)
    if has is MISSING or has is None:
        return False
    if operator == "eq":
        return alike(has, wanted)
    if operator == "in":
        return any(alike(has, item) for item in wanted)
    if operator == "contains":
        return any(alike(item, wanted) for item in has)
    if is_number(has) != is_number(wanted) or isinstance(has, bool):
        return False
    compare = {"gt": has > wanted, "gte": has >= wanted, "lt": has < wanted, "lte": has <= wanted}
    return compare[operator]


def fits(cube: MemCube, filters: Mapping[str, Any]) -> bool:
    """Return whether a memory fits, worked out once more and plainly."""
    for key, said in filters.items():
        if key == "NOT":
            ok = not fits(cube, said)
        elif key in ("AND", "OR"):
            ok = (all if key == "AND" else any)(fits(cube, item) for item in said)
        else:
            operators = said if isinstance(said, Mapping) else {"eq": said}
            ok = all(holds(value(cube, key), name, wanted) for name, wanted in operators.items())
        if not ok:
            return False
    return True


numbers = st.sampled_from([0, 1, 2, 3, 3.5, 9])
plain: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(KINDS).map(lambda kind: {"kind": kind}),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3).map(lambda k: {"kind": {"in": k}}),
    st.sampled_from(TAGS).map(lambda tag: {"tags": {"contains": tag}}),
    st.sampled_from(["r1", "r2", "r3"]).map(lambda run: {"run_id": run}),
    st.sampled_from(["r1", "r2"]).map(lambda run: {"run_id": {"ne": run}}),
    st.sampled_from(["Ben", "Cleo", "Dan"]).map(lambda name: {"speaker": name}),
    st.integers(0, 6).map(lambda n: {"source": f"file-{n}"}),
    st.sampled_from(["user", "tool", "import"]).map(lambda origin: {"origin": origin}),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"]), numbers).map(
        lambda pair: {"metadata.tier": {pair[0]: pair[1]}}
    ),
    st.integers(0, 5).map(lambda n: {"metadata.deep.er": n}),
    st.sampled_from(["3", True, 3]).map(lambda tier: {"metadata.tier": tier}),
    st.tuples(st.sampled_from(["gte", "lt"]), st.integers(1, 12)).map(
        lambda pair: {"happened_at": {pair[0]: datetime(2025, pair[1], 1, tzinfo=UTC)}}
    ),
)
trees = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"AND": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"OR": items}),
        inner.map(lambda item: {"NOT": item}),
    ),
    max_leaves=5,
)


@settings(max_examples=120, deadline=None)
@given(filters=trees)
def test_a_filter_is_what_brute_force_says(memory: Memory, filters: dict[str, Any]) -> None:
    every = memory.get_all(**ANA)
    wanted = [cube.id for cube in every if fits(cube, filters)]
    assert [cube.id for cube in memory.get_all(filters=filters, **ANA)] == wanted
    hits = memory.search("number", top_k=100, filters=filters, **ANA)
    assert {hit.id for hit in hits} == set(wanted)
    packed = memory.context("number", filters=filters, budget=10_000, **ANA)
    standing = {cube.id for cube in every if cube.header.kind == "profile"}
    assert {item.id for item in packed.citations} <= set(wanted) | standing


@settings(max_examples=60, deadline=None)
@given(
    filters=trees, kind=st.sampled_from(KINDS), month=st.integers(1, 12), top_k=st.integers(1, 9)
)
def test_a_filter_narrows_together_with_kinds_runs_and_times(
    memory: Memory, filters: dict[str, Any], kind: str, month: int, top_k: int
) -> None:
    since = datetime(2025, month, 1, tzinfo=UTC)
    wanted = {
        cube.id
        for cube in memory.get_all(kinds=kind, run_id="r1", **ANA)
        if fits(cube, filters) and cube.header.happened_at >= since
    }
    narrow = {"filters": filters, "kinds": kind, "run_id": "r1", "since": since, **ANA}
    assert {hit.id for hit in memory.search("number", top_k=100, **narrow)} == wanted
    few = memory.search("number", top_k=top_k, **narrow)
    assert len(few) == min(top_k, len(wanted))
    listed = memory.get_all(kinds=kind, run_id="r1", filters=filters, **ANA)
    assert wanted <= {cube.id for cube in listed}


@settings(max_examples=40, deadline=None)
@given(filters=trees)
def test_a_filter_holds_in_views_branches_and_transactions(
    memory: Memory, filters: dict[str, Any]
) -> None:
    def agrees(there: Memory) -> None:
        wanted = [cube.id for cube in there.get_all(**ANA) if fits(cube, filters)]
        assert [cube.id for cube in there.get_all(filters=filters, **ANA)] == wanted
        hits = there.search("number", top_k=100, filters=filters, **ANA)
        assert {hit.id for hit in hits} == set(wanted)

    agrees(memory.view(as_of="early", **ANA))
    agrees(memory.view(branch="draft", **ANA))
    with memory.begin() as tx:
        tx.add("staged number", kind="fact", metadata={"tier": 9}, tags=["boat"], **ANA)
        agrees(tx)
        tx.__exit__(KeyError, KeyError(), None)


def test_pages_of_a_filtered_list_follow_each_other(memory: Memory) -> None:
    filters = {"tags": {"contains": "boat"}}
    every = [cube.id for cube in memory.get_all(filters=filters, **ANA)]
    seen: list[str] = []
    while page := memory.get_all(filters=filters, limit=7, after=(seen or [None])[-1], **ANA):
        seen += [cube.id for cube in page]
    assert seen == every


def test_a_filter_shows_nothing_that_a_right_does_not(memory: Memory) -> None:
    id = memory.grant("user:ben", "read", kinds="fact", **ANA).id
    ben = memory.acting_as("user:ben")
    for filters in (
        {"kind": "turn"},
        {"NOT": {"kind": "fact"}},
        {"OR": [{"kind": {"ne": "fact"}}]},
    ):
        assert ben.get_all(filters=filters, **ANA) == []
        assert len(ben.search("number", filters=filters, **ANA)) == 0
        assert ben.context("number", filters=filters, **ANA).citations == ()
    assert {cube.header.kind for cube in ben.get_all(filters={}, **ANA)} == {"fact"}
    memory.revoke_grant(id, **ANA)


CALLED: tuple[Callable[[Memory, Any], list[str]], ...] = (
    lambda m, f: [cube.id for cube in m.get_all(filters=f, **ANA)],
    lambda m, f: [hit.id for hit in m.search("number", filters=f, **ANA)],
    lambda m, f: [item.id for item in m.context("rain", filters=f, **ANA).citations],
)


def called(memory: Memory, filters: Any) -> list[str]:
    """Return what the three calls give for a filter; nothing where each refuses it in few words."""
    try:
        return [id for call in CALLED for id in call(memory, filters)]
    except InvalidInput as error:
        said = {str(error).encode()}
    for call in CALLED:
        with pytest.raises(InvalidInput) as caught:
            call(memory, filters)
        said.add(str(caught.value).encode())
    assert len(said) == 1
    assert len(said.pop()) < 2_000
    return []


def test_an_injected_name_or_value_finds_nothing(memory: Memory) -> None:
    before = memory.verify().events
    standing = {cube.id for cube in memory.get_all(kinds="profile", **ANA)}
    for word in CORPUS:
        for filters in ({word: "fact"}, {f"metadata.{word}": 1}, {"source": word}):
            if word not in ("", "AND", "OR", "NOT"):  # an empty source is none
                assert set(called(memory, filters)) <= standing, filters
    assert memory.verify().events == before


def test_an_injected_operator_is_refused(memory: Memory) -> None:
    known = {"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains"}
    for word in CORPUS:
        if word not in known:
            with pytest.raises(InvalidInput):
                memory.get_all(filters={"source": {word: "file-1"}}, **ANA)


def test_an_injected_value_is_found_where_it_was_written(memory: Memory) -> None:
    words = [word for word in CORPUS if word.strip() and len(word) <= 64 and word.isprintable()]
    for word in words[::5]:
        id = memory.add("a strange note", tags=[word], metadata={"k": word}, user_id="strange").id
        for filters in ({"tags": {"contains": word}}, {"metadata.k": word}):
            found = memory.get_all(filters=filters, user_id="strange")
            assert [cube.id for cube in found] == [id]
        memory.forget(id)
