"""Packing: whole memories within a budget, in order, cited, each once, outsiders quoted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos import Memory
from mnemos.kernel.tokens import fold
from mnemos.memories.readers import read_messages
from mnemos.retrieval.pack import STANDING_SHARE, estimate_tokens, is_trusted, pack
from mnemos.types import Header, Kind, MemCube, Origin, Scope, Text, TimeMention, Trace

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def cube(text: str, id: str | None = None, *, hours: float = 0, **header: Any) -> MemCube:
    header.setdefault("happened_at", NOON + timedelta(hours=hours))
    return MemCube(
        id=id or text,
        scope=Scope(),
        header=Header(**header),
        payload=Text(text=text),
        recorded_at=NOON,
    )


def letters(text: str) -> int:
    return len(text)


def test_the_layout() -> None:
    packed = pack(
        [
            cube("Ana is a sailor", "p", kind=Kind.PROFILE, priority=1),
            cube("Answer in English", "i", kind=Kind.INSTRUCTION, priority=2),
        ],
        [
            cube("It rains", "r", hours=30, speaker="Bob"),
            cube("I sail", "s", speaker="Ana"),
            cube("How nice", "n", hours=1, role="assistant"),
        ],
        budget=1_000,
    )
    assert packed.text == (
        "# Standing\n"
        "- Answer in English [m1]\n"
        "- Ana is a sailor [m2]\n"
        "\n"
        "[4 March 2026]\n"
        "Ana: I sail [2]\n"
        "assistant: How nice [3]\n"
        "[5 March 2026]\n"
        "Bob: It rains [1]"
    )
    assert [(citation.label, citation.id) for citation in packed.citations] == [
        ("m1", "i"),
        ("m2", "p"),
        ("1", "r"),
        ("2", "s"),
        ("3", "n"),
    ]
    assert not packed.tainted
    assert packed.tokens == estimate_tokens(packed.text)


def test_nothing_to_pack_is_an_empty_text() -> None:
    packed = pack([], [], budget=10)
    assert (packed.text, packed.tokens, packed.citations, packed.tainted) == ("", 0, (), False)


def test_a_trace_is_handed_on() -> None:
    trace = Trace(ranker="mine")
    assert pack([], [], budget=10, trace=trace).trace is trace


def test_a_time_that_words_hide_is_said_in_figures() -> None:
    mentions = (
        TimeMention(
            text="yesterday",
            start=NOON - timedelta(hours=36),
            end=NOON - timedelta(hours=12),
        ),
        TimeMention(text="5 May", start=NOON, end=NOON),
    )
    packed = pack([], [cube("I ran yesterday, not on 5 May", mentions=mentions)], budget=100)
    assert "(yesterday = 3 March 2026)" in packed.text
    assert packed.text.count("5 May") == 1


def test_a_memory_without_a_time_stands_under_its_recording() -> None:
    assert pack([], [cube("x", happened_at=None)], budget=99).text.startswith("[4 March 2026]")


def test_the_best_is_kept_and_what_does_not_fit_is_passed_over() -> None:
    best, long, third = cube("best"), cube("long " * 50), cube("third")
    packed = pack([], [best, long, third], budget=45, count=letters)
    assert [citation.id for citation in packed.citations] == ["best", "third"]
    assert [citation.label for citation in packed.citations] == ["1", "2"]


def test_standing_memories_take_half_at_most() -> None:
    standing = [cube(f"standing {n:03}", kind=Kind.PROFILE) for n in range(50)]
    evidence = [cube(f"evidence {n:03}") for n in range(50)]
    packed = pack(standing, evidence, budget=400, count=letters)
    head, _, tail = packed.text.partition("\n\n")
    assert 100 < len(head) <= 400 * STANDING_SHARE
    assert len(tail) > 100


def plain(text: str) -> str:
    """Return text without what quoting changes: brackets of a kind, and breaks of lines."""
    return "".join(text.replace("⏎", " ").replace("<", "‹").replace(">", "›").split())


cubes = st.lists(
    st.builds(
        cube,
        st.one_of(st.text(max_size=40), st.sampled_from(["boat", "Boat", "BOAT ", "tea"])),
        id=st.uuids().map(str),
        hours=st.floats(-200, 200),
        origin=st.sampled_from(Origin),
        speaker=st.none() | st.text(max_size=8),
        caption=st.none() | st.text(max_size=8),
        priority=st.integers(-2, 2),
    ),
    max_size=12,
)
COUNTERS: dict[str, Callable[[str], int]] = {
    "estimate": estimate_tokens,
    "letters": letters,
    "words": lambda text: len(text.split()),
    "joined": lambda text: len(text.replace("\n", "")),
    "superadditive": lambda text: len(text) + text.count("\n") ** 2,
}


@given(
    standing=cubes,
    evidence=cubes,
    budget=st.integers(0, 400),
    counter=st.sampled_from(sorted(COUNTERS)),
)
def test_whatever_is_packed(
    standing: list[MemCube], evidence: list[MemCube], budget: int, counter: str
) -> None:
    count = COUNTERS[counter]
    packed = pack(standing, evidence, budget=budget, count=count)
    assert packed.tokens == count(packed.text) <= budget == packed.budget
    by_id = {item.id: item for item in (*standing, *evidence)}
    chosen = [by_id[citation.id] for citation in packed.citations]
    labels = [citation.label for citation in packed.citations]
    assert len(set(labels)) == len(labels)
    for item, label in zip(chosen, labels, strict=True):
        assert f"[{label}]" in packed.text
        assert plain(item.text) in plain(packed.text), "a memory is packed whole or not at all"
    words = [fold(f"{item.text} {item.header.caption or ''}").strip() for item in chosen]
    assert len(set(words)) == len(words), "each once"
    pictures = sum(is_trusted(item) and bool(item.header.caption) for item in chosen)
    untrusted = sum(not is_trusted(item) for item in chosen)
    assert packed.tainted == bool(pictures or untrusted)
    trusted_marks = sum(
        f"{item.text}{item.header.speaker}".count("</quoted>")
        for item in chosen
        if is_trusted(item)
    )
    assert packed.text.count("</quoted>") == untrusted + pictures + trusted_marks


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("é" * 3, 2), ("雨", 1)]
)
def test_the_estimate_is_a_quarter_of_the_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_a_relative_day_is_told_as_the_day_it_was_where_it_was_said():
    zone = ZoneInfo("Europe/Lisbon")
    said = datetime(2025, 7, 8, 9, tzinfo=zone)
    for text, shown in (
        ("I swam yesterday", "(yesterday = 7 July 2025)"),
        ("I swam last week", "(last week = 30 June 2025 to 6 July 2025)"),
        ("I swam on 3 July", None),
    ):
        (draft,) = read_messages(text, happened_at=said, zone=zone)
        with Memory(":memory:", embedder=None) as memory:
            memory.add_many([draft], user_id="ana")
            packed = memory.context("swam", user_id="ana").text
        assert text in packed
        assert shown in packed if shown else "=" not in packed
