"""A page decides as its memories do, and no string means more than itself."""

import json
import random
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from filter_samples import (
    ALL_OPERATORS,
    BARE,
    DAYS,
    MEANS_BARE,
    MEANS_NEITHER,
    MEANS_RICH,
    NOON,
    RICH,
    angry,
    cube,
    nested,
    page,
    read,
    refused,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from injection_corpus import CORPUS, UNICODE

from mnemos.errors import InvalidInput
from mnemos.kernel.governance.filter_masks import mask
from mnemos.kernel.governance.filter_tree import OPERATORS, TYPES, type_of
from mnemos.kernel.governance.filter_values import MOST_CHARACTERS, MOST_LEVELS
from mnemos.kernel.governance.filters import Filter, parse_filter
from mnemos.types import Kind, Origin, State

BERLIN = ZoneInfo("Europe/Berlin")

# --- laws -------------------------------------------------------------------------------------

NAMES = ["s1", "s2", "Ana", "ana silva", "!!!", "bo at", ""]
MOMENTS = [NOON + timedelta(hours=n) for n in (-30, -1, 0, 1, 30)]
SCALARS = [0, 1, 1.0, 2, -1, 0.5, True, False, None, "", "1", "a", "A", "ab", "true"]
JSON = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)
names = st.none() | st.sampled_from(NAMES)
moments = st.none() | st.sampled_from(MOMENTS)
tags = st.lists(st.sampled_from(["boat", "Boat", "sail"]), max_size=2).map(tuple)

headers = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(Kind),
        **dict.fromkeys(["speaker", "run_id", "agent_id", "role", "owner"], names),
        **dict.fromkeys(["happened_at", "valid_from", "valid_to", "expires_at"], moments),
        **dict.fromkeys(["tags", "entities"], tags),
        **dict.fromkeys(["frozen", "hold"], st.booleans()),
        "origin": st.sampled_from(Origin),
        "trust": st.sampled_from([0.0, 0.5, 1.0]),
        "priority": st.integers(-1, 2),
        "metadata": st.dictionaries(st.sampled_from(["a", "b", "a.b"]), JSON, max_size=3),
    },
)
cubes = st.builds(
    lambda text, at, state, version, header: cube(
        text, at=at, state=state, version=version, **header
    ),
    st.sampled_from(["", "a boat", "A Boat", "s1"]),
    st.sampled_from(MOMENTS),
    st.sampled_from(State),
    st.integers(1, 3),
    headers,
)
pages = st.lists(cubes, min_size=1, max_size=6)

VALUES = {
    "text": st.sampled_from([*NAMES, "boat", "a boat"]),
    "number": st.sampled_from([0, 0.5, 1, 1.0, 2]),
    "boolean": st.booleans(),
    "moment": st.sampled_from([*MOMENTS, "2025-03-04T13:00:00+01:00", 1741089600]),
    "several": st.sampled_from(["boat", "BOAT", "sail", "x"]),
    "json": JSON,
}
PATHS = ["metadata.a", "metadata.b", "metadata.a.b", r"metadata.a\.b", "metadata.a.b.c"]


@st.composite
def conditions(draw, keys=(*TYPES, *PATHS)):
    key = draw(st.sampled_from(keys))
    kind = type_of(key)
    values = VALUES[kind] if kind != "choice" else st.sampled_from(CHOICE_VALUES[key])
    if kind == "json":
        scalar = st.sampled_from(["", "1", "a", "A", "ab", 0, 1, 2, 0.5])
        text = st.sampled_from(["", "A", "b", "true"])
    else:
        scalar = text = values
    operator = draw(st.sampled_from(OPERATORS[kind]))
    match operator:
        case "eq" | "ne":
            value = draw(values | st.none())
        case "in" | "nin":
            value = draw(st.lists(values | st.none(), max_size=3))
        case "exists":
            value = draw(st.booleans())
        case "between":
            value = sorted(draw(st.tuples(*[st.sampled_from(MOMENTS)] * 2)))
        case "icontains":
            value = draw(text)
        case _:
            value = draw(scalar)
    if operator == "in" and draw(st.booleans()):
        return {key: value}
    if operator == "eq" and not isinstance(value, dict | list) and draw(st.booleans()):
        return {key: value}
    return {key: {operator: value}}


CHOICE_VALUES = {
    "kind": list(Kind),
    "state": [state.value for state in State],
    "origin": list(Origin),
}


def grown(leaves):
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"AND": parts})
            | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"OR": parts})
            | st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"NOT": parts})
            | inner.map(lambda part: {"NOT": part})
            | st.lists(inner, min_size=2, max_size=2).map(lambda two: {**two[0], **two[1]})
        ),
        max_leaves=6,
    )


filters = grown(conditions())


@settings(max_examples=300)
@given(filters)
def test_the_canonical_form_is_read_as_the_same_filter(value):
    found = read(value)
    plain = found.as_dict()
    again = read(json.loads(json.dumps(plain)), BERLIN)
    assert again == found
    assert hash(again) == hash(found)
    assert again.as_dict() == plain
    assert json.dumps(again.as_dict()) == json.dumps(plain)


@pytest.mark.parametrize("name", ["NOT", "AND", "OR"])
def test_a_filter_at_its_bounds_has_a_canonical_form_within_them(name):
    leaves = [{"priority": n, "hold": True} for n in range(20)]
    for value in (nested(MOST_LEVELS, name), {name: leaves}, {name: [{name: leaves}]}):
        found = read(value)
        assert read(found.as_dict()) == found


@settings(max_examples=300)
@given(filters, filters, cubes)
def test_de_morgan_holds(one, other, item):
    def fits(value):
        return read(value).matches(item)

    a, b = fits(one), fits(other)
    assert fits({"AND": [one, other]}) == (a and b)
    assert fits({"OR": [one, other]}) == (a or b)
    assert fits({"NOT": one}) == (not a)
    assert fits({"NOT": {"AND": [one, other]}}) == fits({"OR": [{"NOT": one}, {"NOT": other}]})
    assert fits({"NOT": [one, other]}) == fits({"AND": [{"NOT": one}, {"NOT": other}]})


def shuffled(value, order):
    """Return a filter with every object, group and list of alternatives in another order."""
    if isinstance(value, dict):
        pairs = list(value.items())
        order.shuffle(pairs)
        return {
            key: item if key in ("eq", "between", "contains") else shuffled(item, order)
            for key, item in pairs
        }
    if isinstance(value, list):
        items = [shuffled(item, order) if isinstance(item, dict) else item for item in value]
        order.shuffle(items)
        return items
    return value


@settings(max_examples=300)
@given(filters, st.integers(0, 9))
def test_order_does_not_matter(value, seed):
    found = read(value)
    other = read(shuffled(value, random.Random(seed)))
    assert other == found
    assert other.as_dict() == found.as_dict()


@settings(max_examples=500)
@given(pages, filters, st.data())
def test_a_page_decides_as_its_memories_do(items, value, data):
    found = read(value)
    seen = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    visible = np.array(seen)
    fetched = []

    def fetch(place):
        fetched.append(place)
        return items[place]

    chosen = mask(found, page(items), visible, fetch)
    assert chosen.dtype == bool
    wanted = [see and found.matches(item) for see, item in zip(seen, items, strict=True)]
    assert chosen.tolist() == wanted
    assert visible.tolist() == seen
    assert len(set(fetched)) == len(fetched)
    assert all(seen[place] for place in fetched)


EXACT = ("kind", "state", "expires_at", "valid_from", "valid_to")


@settings(max_examples=200)
@given(pages, grown(conditions(keys=EXACT)))
def test_what_lies_in_columns_is_decided_without_a_memory(items, value):
    found = read(value)
    chosen = mask(found, page(items), np.ones(len(items), bool), angry)
    assert chosen.tolist() == [found.matches(item) for item in items]


def fetches(value, items):
    fetched = []

    def fetch(place):
        fetched.append(place)
        return items[place]

    mask(read(value), page(items), np.ones(len(items), bool), fetch)
    return fetched


def test_columns_cut_down_what_is_fetched():
    items = [
        cube(
            str(n),
            kind=Kind.FACT if n % 2 else Kind.TURN,
            run_id=f"s{n % 5}",
            speaker=f"name{n % 5} x{n}",
            happened_at=DAYS[0] + timedelta(hours=n) if n % 10 else None,
            at=DAYS[3],
        )
        for n in range(50)
    ]
    assert fetches({"run_id": "s1"}, items) == []
    assert fetches({"run_id": {"exists": True}, "kind": "fact"}, items) == []
    assert fetches({"text": "7", "run_id": "s2"}, items) == [7 + 5 * n - 5 for n in range(10)]
    assert fetches({"OR": [{"kind": ["fact", "turn"]}, {"text": "7"}]}, items) == []
    assert fetches({"NOT": {"kind": "turn", "text": "8"}}, items) == list(range(0, 50, 2))
    assert fetches({"speaker": "name3 x3"}, items) == list(range(3, 50, 5))
    assert fetches({"happened_at": {"lt": DAYS[0] + timedelta(hours=3)}}, items) == [1, 2]
    assert fetches({"happened_at": {"gt": DAYS[0] + timedelta(hours=47)}}, items) == [
        0, 10, 20, 30, 40, 48, 49
    ]  # fmt: skip


def test_a_time_of_recording_is_not_taken_for_when_it_happened():
    unset, said = cube(at=DAYS[1]), cube(at=DAYS[3], happened_at=DAYS[1])
    items = [unset, said]
    for value, wanted in (
        ({"happened_at": DAYS[1]}, [False, True]),
        ({"happened_at": {"ne": DAYS[1]}}, [True, False]),
        ({"happened_at": None}, [True, False]),
        ({"happened_at": {"lte": DAYS[2]}}, [False, True]),
        ({"NOT": {"happened_at": {"lte": DAYS[2]}}}, [True, False]),
    ):
        assert (
            mask(read(value), page(items), np.ones(2, bool), items.__getitem__).tolist() == wanted
        )


def test_a_page_of_no_rows_is_masked():
    empty = page([])
    for value in ({"kind": "fact"}, {"text": "x"}, {"NOT": {"run_id": None}}):
        assert mask(read(value), empty, np.ones(0, bool), angry).tolist() == []


# --- injection and fuzz -----------------------------------------------------------------------


def short(text: str) -> str:
    return ascii(text)[:40]


def places(text: str) -> list[object]:
    """Return a filter for every place a string can stand in."""
    return [
        text,
        {text: "x"},
        {text: {"eq": "x"}},
        {text: [{"kind": "fact"}]},
        {f"metadata.{text}": "x"},
        {f"metadata.a.{text}.b": {"gt": 1}},
        {f"kind{text}": "fact"},
        {f"{text}kind": "fact"},
        {"kind": text},
        {"state": [text, "activated"]},
        {"trust": text},
        {"hold": text},
        {"happened_at": text},
        {"happened_at": {"between": [text, text]}},
        {"run_id": text},
        {"speaker": {"in": [text]}},
        {"agent_id": {"ne": text}},
        {"tags": [text, None]},
        {"text": {"icontains": text}},
        {"id": {"gt": text}},
        {"trust": {text: 1}},
        {"metadata.x": text},
        {"metadata.x": {text: 1}},
        {"metadata.x": {"eq": {text: [text]}}},
        {"AND": text},
        {"AND": [text]},
        {"NOT": text},
        {"OR": [{"kind": "fact"}, {text: text}]},
        {"NOT": {text: {text: text}}},
    ]


def tried(value: object) -> Filter | None:
    """Read a filter and use it; None where it is refused. Nothing else may be raised."""
    try:
        found = parse_filter(value, zone=UTC)
    except InvalidInput as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert len(message.encode()) < 1_500
        return None
    if found is not None:
        assert read(found.as_dict()) == found
        kept = [found.matches(RICH), found.matches(BARE)]
        assert mask(found, PAGE, SEEN, [RICH, BARE].__getitem__).tolist() == kept
    return found


PAGE, SEEN = page([RICH, BARE]), np.ones(2, bool)


def test_the_corpus_is_refused_or_harmless_at_every_place():
    accepted = 0
    for text in CORPUS:
        for value in places(text):
            accepted += tried(value) is not None
    assert len(CORPUS) * len(places("")) > 8_000
    assert accepted > 1_000


def sound(text: str) -> bool:
    return (
        len(text) <= MOST_CHARACTERS
        and text.isprintable() | (text in UNICODE)
        and not any(0xD800 <= ord(c) < 0xE000 for c in text)
    )


@pytest.mark.parametrize("text", [text for text in CORPUS if text and sound(text)], ids=short)
def test_a_hostile_string_is_equal_to_itself_and_to_nothing_else(text):
    holder = cube(text, run_id=text, speaker=text, tags=(text,), metadata={"x": text, "l": [text]})
    others = [RICH, BARE, cube("x", run_id="x", metadata={"x": "x", "l": ["x"]})]
    items = [holder, *others]
    for value in (
        {"text": text},
        {"run_id": text},
        {"speaker": [text]},
        {"tags": text},
        {"metadata.x": text},
        {"metadata.l": {"contains": text}},
        {"metadata.x": {"eq": text, "ne": None}},
        {"NOT": {"run_id": {"ne": text}}},
    ):
        chosen = mask(read(value), page(items), np.ones(4, bool), items.__getitem__)
        assert chosen.tolist() == [True, False, False, False]


@pytest.mark.parametrize("text", [text for text in CORPUS if 0 < len(text) <= 64], ids=short)
def test_a_hostile_name_of_metadata_leads_to_itself_and_to_nothing_else(text):
    written = text.replace("\\", "\\\\").replace(".", "\\.")
    value = {f"metadata.{written}": "here"}
    if not sound(text) or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        assert refused(value)
        return
    found = read(value)
    assert found.matches(cube(metadata={text: "here"}))
    assert not found.matches(cube(metadata={text: "there", text + "x": "here", "here": text}))
    assert not found.matches(cube("here", metadata={}))
    assert read({f"metadata.a.{written}": 1}).matches(cube(metadata={"a": {text: 1}}))


hostile_text = st.sampled_from([text for text in CORPUS if len(text) < 5_000]) | st.text(max_size=8)
hostile_keys = (
    st.sampled_from([*TYPES, "AND", "OR", "NOT", *ALL_OPERATORS, *PATHS])
    | hostile_text
    | hostile_text.map("metadata.{}".format)
    | st.sampled_from([None, 1, True, b"kind", ("AND",), 1.5])
)
hostile_scalars = (
    hostile_text
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([b"x", 10**400, -(10**30), NOON, object(), {1}, Kind.FACT, 1j, range(3), int])
)
hostile_filters = st.recursive(
    hostile_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=600)
@given(st.dictionaries(hostile_keys, hostile_filters, max_size=4) | hostile_filters)
@example({"AND": [{"AND": []}]})
@example({"kind": {"in": [[], {}]}})
def test_a_filter_of_anything_is_refused_or_works(value):
    tried(value)


def bent(value, order):
    """Return a sound filter with one or a few of its places replaced by something hostile."""
    if order.random() < 0.08:
        text = order.choice(CORPUS[:-1])
        return order.choice([text, [text], {text: value}, {"eq": value}, [value], None, 1e309, 7])
    if isinstance(value, dict):
        return {
            (order.choice(CORPUS[:-1]) if order.random() < 0.04 else key): bent(item, order)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [bent(item, order) for item in value]
    return value


def test_thousands_of_bent_filters_are_refused_or_work():
    order = random.Random(20250304)
    sound_ones = [value for value in (*MEANS_RICH, *MEANS_BARE, *MEANS_NEITHER)]
    accepted = 0
    for _ in range(5_000):
        parts = order.sample(sound_ones, order.randint(1, 3))
        joined = order.choice(["AND", "OR", "NOT"])
        accepted += tried(bent({joined: parts}, order)) is not None
    assert 1_000 < accepted < 4_900
