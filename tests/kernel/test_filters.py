"""One filter grammar: what it means, and what it refuses."""

import json
from collections import UserDict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from types import MappingProxyType
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

from mnemos.kernel.governance.filter_masks import mask
from mnemos.kernel.governance.filter_tree import OPERATORS, TYPES, And, Compare, Not, type_of
from mnemos.kernel.governance.filter_values import (
    MAX_SHOWN,
    MOST_CHARACTERS,
    MOST_IN_LIST,
    MOST_LEVELS,
)
from mnemos.kernel.governance.filters import (
    MOST_NAME,
    MOST_NODES,
    MOST_SEGMENTS,
    MOST_VALUES,
    parse_filter,
)
from mnemos.types import Activation

BERLIN = ZoneInfo("Europe/Berlin")
ALL_KEYS = (*TYPES, "metadata.tier")

# --- what the grammar means -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ids"),
    [(item, {"rich"}) for item in MEANS_RICH]
    + [(item, {"bare"}) for item in MEANS_BARE]
    + [(item, set()) for item in MEANS_NEITHER],
    ids=str,
)
def test_a_filter_means_what_the_grammar_says(value, ids):
    found = read(value)
    assert {item.id for item in (RICH, BARE) if found.matches(item)} == ids
    chosen = mask(found, page([RICH, BARE]), np.ones(2, bool), [RICH, BARE].__getitem__)
    assert chosen.tolist() == ["rich" in ids, "bare" in ids]


def test_what_is_of_another_type_or_not_set_is_not_equal():
    for value in ({"metadata.tier": {"ne": "3"}}, {"NOT": {"metadata.tier": "3"}}):
        assert read(value).matches(RICH)
        assert read(value).matches(BARE)


def test_what_is_always_there_exists():
    for key in ("id", "kind", "state", "origin", "trust", "priority", "frozen", "recorded_at"):
        assert read({key: {"exists": True}}).matches(BARE)


def test_a_memory_without_words_has_no_text():
    weights = Activation(model="m", encoding="application/safetensors", data=b"x")
    assert read({"text": None}).matches(cube(payload=weights))


def test_no_filter_is_none():
    assert parse_filter(None, zone=UTC) is None
    assert parse_filter({}, zone=UTC) is None


def test_a_moment_without_a_zone_takes_the_readers():
    local = "2025-03-05T13:00:00"
    assert read({"happened_at": local}, BERLIN).matches(RICH)
    assert not read({"happened_at": local}, UTC).matches(RICH)
    naive = datetime.fromisoformat(local)
    assert read({"happened_at": naive}, BERLIN) == read({"happened_at": DAYS[1]}, UTC)


def test_a_moment_in_the_hour_that_comes_twice_is_found():
    twice = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)
    for fold in (0, 1):
        said = twice.replace(fold=fold)
        assert read({"happened_at": said}).matches(cube(happened_at=said))
        assert not read({"happened_at": said}).matches(
            cube(happened_at=said.replace(fold=1 - fold))
        )


def test_keys_are_those_looked_at():
    value = {"OR": [{"kind": "fact"}, {"NOT": {r"metadata.a\.b": 1}}], "trust": {"gt": 0, "lt": 1}}
    assert read(value).keys() == {"kind", r"metadata.a\.b", "trust"}


def test_a_filter_is_frozen_and_can_be_a_key():
    found = read({"kind": ["fact", "turn"], "metadata.x": {"eq": {"a": [1]}}})
    assert {found: 1}[read({"metadata.x": {"eq": {"a": [1.0]}}, "kind": ["turn", "fact"]})] == 1
    with pytest.raises(AttributeError):
        found.root = None


def test_one_and_true_are_different_filters():
    assert read({"metadata.x": 1}) != read({"metadata.x": True})
    assert read({"metadata.x": 1}) == read({"metadata.x": 1.0})
    assert read({"metadata.x": {"in": [1, True, 1.0]}}).as_dict() == {
        "metadata.x": {"in": [1, True]}
    }


def test_equal_filters_are_spelled_alike():
    assert str(read({"metadata.x": 1.0, "trust": 1.0}).as_dict()["AND"][0]) == (
        "{'metadata.x': {'eq': 1}}"
    )
    ids = [f"s{n:03}" for n in range(200)]
    assert read({"run_id": ids[::-1]}).as_dict() == {"run_id": {"in": ids}}


def test_what_is_said_twice_is_said_once():
    assert read({"AND": [{"kind": "fact"}, {"kind": {"eq": "fact"}}]}) == read({"kind": "fact"})
    assert isinstance(read({"AND": [{"kind": "fact"}]}).root, Compare)
    nested = read({"AND": [{"kind": "fact"}, {"AND": [{"hold": True}, {"frozen": True}]}]})
    assert isinstance(nested.root, And)
    assert len(nested.root.parts) == 3


# --- what is refused --------------------------------------------------------------------------

FITS = {
    "text": "a",
    "number": 1,
    "boolean": True,
    "moment": "2025-03-04",
    "several": "a",
    "json": "a",
}
CHOICES = {"kind": "fact", "state": "archived", "origin": "tool"}
MISFITS = {
    "text": [1, True, 1.5, b"a", ["a"], {"a": 1}, NOON, object()],
    "choice": [1, "", "Fact", "FACT ", b"fact", "user'--", True],
    "number": ["1", True, None, float("nan"), float("inf"), 1 << 1025, 1j, "1; --", [1]],
    "boolean": [0, 1, "true", "yes", 1.0, []],
    "moment": ["soon", "", "2025-13-01", True, float("nan"), 1e300, 10**400, [], b"x", "99999-1-1"],
    "several": [1, True, ["a"], b"a"],
    "json": [b"a", {1, 2}, float("nan"), 1j, object(), (x for x in ""), NOON, {1: 2}, [{"a": {2}}]],
}


@pytest.mark.parametrize("key", ALL_KEYS)
@pytest.mark.parametrize("operator", ALL_OPERATORS)
def test_every_key_takes_its_operators_and_names_them_where_it_refuses(key, operator):
    kind = type_of(key)
    fits = CHOICES.get(key) or FITS[kind]
    value = {"exists": True, "between": [fits, fits], "in": [fits], "nin": [fits, None]}
    given = {key: {operator: value.get(operator, fits)}}
    if operator in OPERATORS[kind]:
        found = read(given)
        assert found.keys() == {key}
        assert found.root.operator == operator
        found.matches(RICH)
        found.matches(BARE)
        return
    message = refused(given)
    assert repr(key) in message
    assert repr(operator) in message
    assert ", ".join(OPERATORS[kind]) in message


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_refuses_what_does_not_fit_it(key):
    kind = type_of(key)
    for value in MISFITS[kind]:
        for operator in set(OPERATORS[kind]) - {"exists", "in", "nin"}:
            if value is None and operator in ("eq", "ne"):
                continue
            message = refused({key: {operator: value}})
            assert message.startswith(f"filter key {key!r}: ")
            assert "give " in message
        if value is not None:
            refused({key: {"in": [value]}})
            refused({key: {"nin": [None, value]}})


@pytest.mark.parametrize("key", ALL_KEYS)
@pytest.mark.parametrize("operator", ["exists", "in", "nin"])
@pytest.mark.parametrize("value", [None, 1, "true", "a", {"a"}, {"in": []}], ids=str)
def test_exists_takes_a_boolean_and_in_takes_a_list(key, operator, value):
    wanted = "true or false" if operator == "exists" else "a list of values"
    assert refused({key: {operator: value}}).endswith(f"does not fit; give {wanted}")


@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte", "contains", "icontains"])
@pytest.mark.parametrize("key", ["run_id", "trust", "expires_at", "tags", "metadata.tier"])
def test_none_has_no_order_and_lies_in_nothing(operator, key):
    refused({key: {operator: None}})


@pytest.mark.parametrize("value", [[], {}, [1], {"a": 1}, True])
def test_metadata_is_ordered_by_numbers_and_strings_only(value):
    assert "give a string or a finite number" in refused({"metadata.tier": {"gt": value}})


@pytest.mark.parametrize(
    "ends",
    [[], [DAYS[0]], [DAYS[1], DAYS[0]], [DAYS[0], None], [None, DAYS[0]], DAYS[:3], DAYS[0], None],
)
def test_between_takes_a_start_and_an_end(ends):
    assert "'happened_at'" in refused({"happened_at": {"between": ends}})


@pytest.mark.parametrize(
    "value",
    [
        "kind",
        1,
        True,
        0,
        "",
        b"{}",
        [],
        [{"kind": "fact"}],
        {"kind"},
        object(),
        UserDict(kind="fact"),
        MappingProxyType({"kind": "fact"}),
        {"AND": []},
        {"OR": []},
        {"NOT": []},
        {"NOT": {}},
        {"NOT": None},
        {"NOT": "kind"},
        {"AND": {"kind": "fact"}},
        {"AND": None},
        {"OR": [{}]},
        {"OR": [None]},
        {"OR": ["kind"]},
        {"OR": [[{"kind": "fact"}]]},
        {"and": [{"kind": "fact"}]},
        {"kind": {}},
        {"kind": {"eq": "fact", "EQ": "fact"}},
        {"kind": {None: "fact"}},
        {"kind": {1: "fact"}},
        {None: 1},
        {1: 1},
        {("kind",): "fact"},
        {b"kind": "fact"},
        {"metadata": {"tier": 3}},
        {"metadata.": 1},
        {"metadata..tier": 1},
        {"metadata.tier.": 1},
        {"metadata.a\\": 1},
        {"metadata.a\\b": 1},
        {"metadata.a\nb": 1},
        {"metadata.a\x00b": 1},
        {"Metadata.a": 1},
        {"header.kind": "fact"},
        {"tenant": "t"},
        {"scope": "t"},
        {"payload": "x"},
        {"access": "x"},
        {"derived_from": "x"},
    ],
)
def test_what_is_no_filter_is_refused(value):
    assert refused(value)


def test_an_unknown_key_is_told_the_known_ones():
    message = refused({"knd": "fact"})
    assert message.startswith("filter key 'knd' is not known; allowed: id, ")
    assert all(key in message for key in TYPES)
    assert message.endswith("metadata.<name>, AND, OR, NOT")


def test_a_message_repeats_no_more_than_sixty_characters():
    long = "x" * 400
    for value in ({long: 1}, {"kind": long}, {"kind": {long: 1}}, {f"metadata.{long}": 1}, long):
        message = refused(value)
        assert "x" * (MAX_SHOWN - 10) in message
        assert "x" * (MAX_SHOWN + 1) not in message
    assert "1" * 100 not in refused({"metadata.x": int("1" * 4_000)})


# --- bounds -----------------------------------------------------------------------------------


def test_a_filter_has_at_most_64_nodes():
    leaves = [{"priority": n} for n in range(MOST_NODES - 1)]
    assert read({"AND": leaves}).matches(cube()) is False
    for value in (
        {"AND": [*leaves, {"hold": True}]},
        {"OR": [*leaves, {"hold": True}]},
        {"NOT": leaves},
        {"AND": leaves, "hold": True},
        {f"metadata.k{n}": n for n in range(MOST_NODES)},
        {f"metadata.k{n}": n for n in range(100_000)},
        {"metadata.k": {f"op{n}": n for n in range(MOST_NODES + 1)}},
        {"AND": [{"trust": {"gt": 0, "lt": 1}} for _ in range(25)]},
    ):
        refused(value)


@pytest.mark.parametrize("name", ["NOT", "AND", "OR"])
def test_a_filter_has_at_most_16_levels(name):
    read(nested(MOST_LEVELS, name))
    for levels in (MOST_LEVELS + 1, 100, 20_000):
        assert "too deep" in refused(nested(levels, name))


def test_levels_nobody_wrote_count_as_well():
    value = nested(MOST_LEVELS)
    inner = value
    while "NOT" in inner:
        inner = inner["NOT"]
    inner["hold"] = True
    assert "too deep" in refused(value)
    del inner["hold"]
    inner["kind"] = {"ne": "fact", "nin": ["turn"]}
    assert "too deep" in refused(value)


def test_not_any_is_two_levels():
    for levels, fits in ((MOST_LEVELS - 2, True), (MOST_LEVELS - 1, False)):
        value = inner = nested(levels)
        while "NOT" in inner:
            inner = inner["NOT"]
        inner["NOT"] = [{"hold": True}, {"frozen": True}]
        del inner["kind"]
        if fits:
            assert read(read(value).as_dict()) == read(value)
        else:
            assert "too deep" in refused(value)


def test_a_json_value_has_at_most_16_levels():
    value: object = 1
    for _ in range(MOST_LEVELS):
        value = [value]
    found = read({"metadata.x": {"eq": value}})
    assert found.matches(cube(metadata={"x": value}))
    assert not found.matches(cube(metadata={"x": [value]}))
    refused({"metadata.x": {"eq": [value]}})
    refused({"metadata.x": {"in": [{"a": [value]}]}})


def test_a_memory_deeper_than_a_filter_reaches_is_no_error():
    value: object = "x"
    for _ in range(60):
        value = {"a": value}
    deep = cube(metadata={"x": value})
    assert read({"metadata.x": {"exists": True}}).matches(deep)
    assert not read({"metadata.x": {"eq": {"a": {"a": 1}}}}).matches(deep)
    assert read({"metadata.x": {"ne": {"a": 1}}}).matches(deep)


def test_a_list_has_at_most_1000_values():
    many = [str(n) for n in range(MOST_IN_LIST)]
    assert read({"run_id": many}).matches(cube(run_id="999"))
    for value in (
        {"run_id": [*many, "x"]},
        {"run_id": {"nin": [*many, "x"]}},
        {"metadata.x": {"eq": [*many, "x"]}},
        {"metadata.x": {"eq": {str(n): n for n in range(MOST_IN_LIST + 1)}}},
        {"AND": [{"hold": True}] * (MOST_IN_LIST + 1)},
    ):
        refused(value)


def test_a_filter_has_at_most_8192_values():
    lists = [{"metadata.x": {"in": list(range(n, n + 1_000))}} for n in range(MOST_VALUES // 1_000)]
    read({"AND": lists})
    refused({"AND": [*lists, {"metadata.x": list(range(1_000))}]})
    laughs: object = "ha"
    for _ in range(10):
        laughs = [laughs] * 10
    refused({"metadata.x": {"eq": laughs}})


def test_a_string_has_at_most_4096_characters():
    read({"text": "x" * MOST_CHARACTERS})
    for value in (
        {"text": "x" * (MOST_CHARACTERS + 1)},
        {"happened_at": " " * (MOST_CHARACTERS + 1)},
        {"metadata.x": {"eq": {"x" * (MOST_CHARACTERS + 1): 1}}},
        {"metadata.x": {"icontains": "x" * 10_000_000}},
        {"x" * (MOST_CHARACTERS + 1): 1},
        {"kind": {"x" * (MOST_CHARACTERS + 1): 1}},
    ):
        assert "allowed: up to 4096" in refused(value)


def test_a_metadata_path_has_at_most_8_names_of_64_characters():
    read({"metadata" + ".a" * MOST_SEGMENTS: 1})
    read({"metadata." + "\\." * MOST_NAME: 1})
    refused({"metadata" + ".a" * (MOST_SEGMENTS + 1): 1})
    refused({"metadata." + "a" * (MOST_NAME + 1): 1})


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udcff'"])
def test_a_lone_surrogate_is_refused_wherever_it_stands(text):
    for value in (
        {text: 1},
        {f"metadata.{text}": 1},
        {"kind": {text: 1}},
        {"text": text},
        {"kind": text},
        {"happened_at": text},
        {"tags": [text]},
        {"metadata.x": {"eq": [{text: 1}]}},
    ):
        assert "surrogate" in refused(value)


def test_a_filter_that_holds_itself_is_refused():
    loop: dict = {}
    loop["NOT"] = loop
    ring: list = []
    ring.append({"AND": ring})
    whole: list = []
    whole.append(whole)
    named: dict = {}
    named["a"] = named
    for value in (
        loop,
        {"AND": ring},
        {"OR": [loop, loop]},
        {"metadata.x": {"eq": whole}},
        {"metadata.x": {"in": whole}},
        {"metadata.x": {"eq": named}},
        {"metadata.x": {"eq": [named, whole]}},
    ):
        refused(value)


# --- hostile objects --------------------------------------------------------------------------


METHODS = [
    "__getitem__", "__iter__", "__len__", "__eq__", "__hash__", "__contains__", "__bool__",
    "__str__", "__repr__", "__format__", "__int__", "__index__", "__float__", "__lt__", "items",
    "keys", "values", "get", "copy", "encode", "strip", "bit_length", "isprintable", "__add__",
    "__radd__", "is_integer", "isoformat", "startswith",
]  # fmt: skip


def hostile(kind):
    return type("Hostile", (kind,), dict.fromkeys(METHODS, angry))


class Liar:
    """Says it is whatever it is asked for, as mocks do."""

    def __init__(self, kind):
        self._kind = kind

    @property
    def __class__(self):
        return self._kind


def test_subclasses_are_read_by_what_they_hold_and_never_asked():
    text, number, real = hostile(str), hostile(int), hostile(float)
    listed, mapped, pair = hostile(list), hostile(dict), hostile(tuple)
    value = dict.fromkeys(["AND"], listed([
        mapped(dict.fromkeys(["run_id"], text("s1"))),
        mapped(trust=mapped(gte=real(0.5), lt=number(1))),
        mapped(tags=pair([text("boat")])),
        mapped({"metadata.list": mapped(eq=listed(RICH.header.metadata["list"]))}),
    ]))  # fmt: skip
    found = read(mapped(value))
    assert found.matches(RICH)
    assert json.loads(json.dumps(found.as_dict()))
    assert all(type(part) in (Compare, Not) for part in found.root.parts)


@pytest.mark.parametrize("kind", [dict, list, str, int, float, bool, tuple, datetime, type(None)])
def test_what_says_it_is_another_type_is_refused(kind):
    for value in (
        Liar(kind),
        {"kind": Liar(kind)},
        {"kind": {"in": Liar(kind)}},
        {"AND": Liar(kind)},
        {"NOT": Liar(kind)},
        {"trust": {"gt": Liar(kind)}},
        {"happened_at": Liar(kind)},
        {"hold": Liar(kind)},
        {"metadata.x": Liar(kind)},
        {Liar(kind): 1},
    ):
        refused(value)


def test_a_subclass_that_is_refused_is_shown_without_asking_it():
    for value in (hostile(str)("fakt"), hostile(int)(3), hostile(float)(2.5), hostile(list)()):
        assert refused({"kind": {"eq": value}})


def test_members_of_enumerations_are_their_strings():
    class Named(StrEnum):
        KEY = "kind"
        VALUE = "fact"

    assert read({Named.KEY: Named.VALUE}) == read({"kind": "fact"})


def test_a_zone_that_cannot_answer_is_refused():
    assert refused({"happened_at": datetime(2025, 1, 1, tzinfo=tzinfo())})
    assert refused({"happened_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))})
    assert refused({"happened_at": "0001-01-01T00:00:00+05:00"})
    assert refused({"happened_at": "9999-12-31T23:59:59-05:00"})
