"""Values that cross rooms: frozen, keyword-only, and the order that pages are written in."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime

import pytest

from mnemos import errors, types
from mnemos.types import (
    Activation,
    Context,
    Draft,
    Header,
    Hit,
    Hits,
    Kind,
    MemCube,
    Receipt,
    Scope,
    State,
    Text,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = [value for value in vars(types).values() if is_dataclass(value)]


def cube(payload, id="a"):
    return MemCube(id=id, scope=Scope(), header=Header(), payload=payload, recorded_at=NOW)


def test_the_order_of_kinds_and_states_is_part_of_the_page_format():
    assert (
        list(Kind)
        == (
            "turn chunk fact episode summary profile preference instruction procedure triple task "
            "event activation parameters"
        ).split()
    )
    assert (
        list(State)
        == ("generated activated merged superseded archived expired forgotten quarantined").split()
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_is_frozen_and_documented(value):
    assert value.__dataclass_params__.frozen
    assert value.__doc__
    assert not value.__doc__.startswith(f"{value.__name__}(")


@pytest.mark.parametrize("value", [item for item in VALUES if item is not Hits])
def test_every_value_is_made_by_keyword(value):
    assert all(field.kw_only for field in fields(value))


def test_a_header_cannot_be_changed():
    header = Header()
    with pytest.raises(FrozenInstanceError):
        header.frozen = True
    with pytest.raises(TypeError):
        header.metadata["k"] = 1


def test_two_drafts_share_no_default():
    assert Draft(payload=Text(text="a")).header == Header()
    assert Draft(payload=Text(text="a")) == Draft(payload=Text(text="a"))


def test_only_text_cubes_have_words():
    assert cube(Text(text="hello")).text == "hello"
    assert cube(Activation(model="m", encoding="e", data=b"")).text == ""


def test_hits_are_a_sequence():
    one, two = Hit(cube=cube(Text(text="x")), score=2.0), Hit(cube=cube(Text(text="y")), score=1.0)
    hits = Hits((one, two))
    assert (len(hits), hits[0], hits[-1], list(hits)) == (2, one, two, [one, two])
    assert list(hits[:1]) == [one]
    assert (hits[0].id, hits[0].text) == ("a", "x")
    assert not Hits()


def test_a_receipt_has_one_id_or_says_so():
    assert Receipt(verb="add", ids=("a",)).id == "a"
    with pytest.raises(ValueError, match="unpack"):
        _ = Receipt(verb="add", ids=("a", "b")).id


def test_a_context_reads_as_its_text():
    assert str(Context(text="hello", tokens=1, budget=2)) == "hello"


def test_every_error_is_in_the_drawn_tree_and_documented():
    tree = errors.__doc__
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    for error in found:
        assert issubclass(error, errors.MnemosError)
        assert error.__name__ in tree
        assert error.__doc__
    assert issubclass(errors.InvalidInput, ValueError)
    assert issubclass(errors.NotFound, LookupError)
    assert issubclass(errors.MissingExtra, ImportError)
    assert not hasattr(errors, "MemoryError")
