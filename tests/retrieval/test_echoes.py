"""Recalled text that comes back: found when changed, told from new text, at bounded cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.retrieval.echoes import CANDIDATES, FETCHES, Echo, Lists, recognise, repeats
from mnemos.retrieval.pack import pack
from mnemos.types import Header, Kind, MemCube, Origin, Scope, Text, TimeMention

TURNS = (
    "Ana painted the old rowing boat green and moored it at the north pier last weekend.",
    "Ben wants to plant three apple trees behind the school before the first frost comes.",
    "The harbour master closed the lighthouse stairs because two of the steps are rotten.",
    "My sister Olga starts her new job at the bakery in Lisbon on the first of October.",
    "We agreed that invoices above 900 euros need a second signature from the treasurer.",
    "The red kayak leaks near the stern, so please take the yellow one to the island.",
    "北京的冬天很冷，我们去年十二月在颐和园的湖面上滑冰，还吃了冰糖葫芦。",
    "昨日は友達と一緒に鎌倉の海岸を歩いて、夕方に小さな喫茶店でケーキを食べました。",
    "나는 지난 토요일에 부산에서 온 사촌과 함께 오래된 시장을 구경하고 국수를 먹었어.",
)
STRANGE = "zebra quartz violin mosaic thunder pepper glacier saddle tunnel copper".split()


@pytest.fixture
def ask(make_page: Callable[..., Any], line: Callable[..., Any]) -> Callable[..., Echo]:
    def recognised(
        text: str,
        turns: Sequence[str] = TURNS,
        known: Sequence[bool] | None = None,
        fetch: Callable[[int], str] | None = None,
    ) -> Echo:
        page = make_page([line(text=turn) for turn in turns])
        mask = np.ones(len(turns), bool) if known is None else np.array(known, bool)
        return recognise(text, Lists(page, mask), fetch or turns.__getitem__)

    return recognised


def cube(text: str, place: int, **header: Any) -> MemCube:
    moment = datetime(2026, 3, 4, 12, tzinfo=UTC) + timedelta(days=place)
    return MemCube(
        id=str(place),
        scope=Scope(),
        header=Header(happened_at=moment, **header),
        payload=Text(text=text),
        recorded_at=moment,
    )


@pytest.mark.parametrize("place", range(len(TURNS)))
@pytest.mark.parametrize(
    "change",
    [
        str,
        str.upper,
        lambda text: "According to my notes: " + text,
        lambda text: "Ana: " + text,
        lambda text: text.replace(",", "").replace(".", " !!"),
        lambda text: text.replace(" ", "\n  ", 3),
        lambda text: text[: len(text) // 2],
        lambda text: text[len(text) // 2 :],
    ],
)
def test_a_memory_is_recognised_however_it_is_dressed(
    ask: Callable[..., Echo], place: int, change: Callable[[str], str]
) -> None:
    echo = ask(change(TURNS[place]))
    assert echo.is_echo
    assert echo.repeated[0].position == place


@settings(max_examples=60)
@given(data=st.data())
def test_a_fifth_of_the_words_may_be_others(
    make_page: Callable[..., Any], line: Callable[..., Any], data: st.DataObject
) -> None:
    page = make_page([line(text=turn) for turn in TURNS])
    place = data.draw(st.integers(0, 5))
    words = TURNS[place].split()
    kept = [at for at, word in enumerate(words) if not word.isdigit()]
    for at in data.draw(st.lists(st.sampled_from(kept), max_size=len(words) // 5, unique=True)):
        words[at] = data.draw(st.sampled_from(STRANGE))
    echo = recognise(" ".join(words), Lists(page, np.ones(len(TURNS), bool)), TURNS.__getitem__)
    assert echo.is_echo
    assert echo.repeated[0].position == place


def test_the_words_of_an_unchanged_memory_are_all_accounted_for(ask: Callable[..., Echo]) -> None:
    echo = ask(TURNS[0])
    assert echo.covered == 1.0
    assert echo.words == 16.0
    found = echo.repeated[0]
    assert (found.position, found.words, found.share) == (0, 16.0, 1.0)
    assert (found.of_source, found.run) == (1.0, 16.0)


@pytest.mark.parametrize("flat", [False, True])
def test_a_packed_context_is_recognised_whole(ask: Callable[..., Echo], flat: bool) -> None:
    mention = TimeMention(
        text="last weekend",
        start=datetime(2026, 2, 28, tzinfo=UTC),
        end=datetime(2026, 3, 2, tzinfo=UTC),
    )
    text = pack(
        [cube(TURNS[1], 1, kind=Kind.PROFILE)],
        [
            cube(TURNS[0], 0, speaker="Ana", mentions=(mention,), caption="a green boat"),
            *(cube(TURNS[place], place, origin=Origin.TOOL) for place in range(2, 9)),
        ],
        budget=10_000,
    ).text
    assert "(last weekend = " in text
    assert '<quoted origin="tool">' in text
    echo = ask(" ".join(text.split()) if flat else text)
    assert echo.covered > 0.97, "of a picture only its description is new here"
    assert {item.position for item in echo.repeated if repeats(item)} == set(range(9))


def test_new_text_is_no_echo_and_nothing_is_fetched(ask: Callable[..., Echo]) -> None:
    def fetch(position: int) -> str:
        raise AssertionError(position)

    echo = ask("Tomorrow I will bake bread with rye flour for all my neighbours.", fetch=fetch)
    assert echo == Echo(words=12.0)


def test_a_reply_with_parts_of_the_turn_before_is_no_echo(ask: Callable[..., Echo]) -> None:
    reply = "Three apple trees behind the school sound lovely! Who digs, and will Mira water them?"
    assert not ask(reply).is_echo


def test_function_words_alone_are_no_evidence(ask: Callable[..., Echo]) -> None:
    said = "what did you do there and where have you been with them"
    assert ask(said, turns=(*TURNS, said)).covered == 0.0


def test_a_text_of_five_words_is_never_an_echo(ask: Callable[..., Echo]) -> None:
    assert not ask("Thanks Mel, see you tomorrow", turns=["Thanks Mel, see you tomorrow"]).is_echo


def test_another_figure_makes_a_correction_and_is_still_traced(ask: Callable[..., Echo]) -> None:
    echo = ask(TURNS[4].replace("900", "950"))
    assert not echo.is_echo
    assert repeats(echo.repeated[0])


def test_rows_that_are_not_known_are_not_compared(ask: Callable[..., Echo]) -> None:
    assert ask(TURNS[0], known=[place != 0 for place in range(9)]).repeated == ()


def test_a_memory_quoted_within_new_text_is_found_and_the_text_is_new(
    ask: Callable[..., Echo],
) -> None:
    text = f"I looked into the matter for an hour. {TURNS[2]} A carpenter could come on Tuesday \
with oak boards, and until then the museum offers tours of its cellar and the chart room instead."
    echo = ask(text)
    assert not echo.is_echo
    assert [item.position for item in echo.repeated if repeats(item)] == [2]


def test_six_running_words_repeat_a_long_memory(ask: Callable[..., Echo]) -> None:
    long = " ".join(TURNS[:6])
    words = TURNS[3].split()
    echo = ask(" ".join([*STRANGE[:2], *words[:7], *STRANGE[2:4]]), turns=[long])
    assert repeats(echo.repeated[0])
    echo = ask(" ".join([*STRANGE[:2], *words[:5], *STRANGE[2:4]]), turns=[long])
    assert not any(map(repeats, echo.repeated))


def test_an_empty_page_and_an_empty_text_have_no_echo(ask: Callable[..., Echo]) -> None:
    assert ask(TURNS[0], turns=[]) == Echo(words=16.0)
    assert ask("") == Echo()
    assert ask(" \n [3] \n", turns=TURNS) == Echo()


def test_the_work_is_bounded_on_a_long_text_of_many_copies(ask: Callable[..., Echo]) -> None:
    turns = [
        f"{turn} {word} {other}." for word in STRANGE[:4] for other in STRANGE for turn in TURNS
    ]
    fetched: list[int] = []

    def fetch(position: int) -> str:
        fetched.append(position)
        return turns[position]

    assert ask(TURNS[0], turns=turns, fetch=fetch).is_echo
    assert len(fetched) <= CANDIDATES
    fetched.clear()
    assert ask("\n".join(turns), turns=turns, fetch=fetch).covered > 0.3
    assert len(fetched) <= FETCHES
    assert len(fetched) == len(set(fetched))


def test_of_a_very_long_text_parts_are_looked_at(ask: Callable[..., Echo]) -> None:
    echo = ask("\n".join(TURNS[place % len(TURNS)] for place in range(1_000)))
    assert echo.is_echo
    assert {item.position for item in echo.repeated} == set(range(len(TURNS)))


def test_a_long_memory_is_recognised_by_its_middle(ask: Callable[..., Echo]) -> None:
    long = " ".join(TURNS[:6] * 3 + TURNS[6:])
    assert ask(long[len(long) // 4 : 3 * len(long) // 4], turns=[long, *TURNS[:2]]).is_echo


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), turns=st.lists(st.text(max_size=80), max_size=6))
def test_every_text_gets_an_answer_with_shares_between_0_and_1(
    make_page: Callable[..., Any], line: Callable[..., Any], text: str, turns: list[str]
) -> None:
    page = make_page([line(text=turn) for turn in turns])
    for said in (text, " ".join(turns), text.join(turns)):
        echo = recognise(said, Lists(page, np.ones(len(turns), bool)), turns.__getitem__)
        assert 0.0 <= echo.covered <= 1.0
        for item in echo.repeated:
            assert 0.0 < item.words
            assert 0.0 < item.of_source <= 1.0
            assert item.share <= 1.0
