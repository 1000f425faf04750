"""Content and events have one encoding, it comes back whole, and it never changes."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import InvalidInput, StoreCorrupt
from mnemos.kernel.canonical import (
    BLOB_THRESHOLD,
    commitment,
    decode_content,
    decode_header,
    decode_payload,
    encode_content,
    encode_header,
    encode_json,
    encode_payload,
    event_hash,
    microseconds,
    moment,
)
from mnemos.kernel.schema import Event
from mnemos.types import (
    Activation,
    Header,
    Kind,
    Origin,
    Parameters,
    Scope,
    Text,
    TimeMention,
)

SALT = bytes(range(32))

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.one_of(st.just(UTC), zones)
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    words,
)
json_values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
maybe_words = st.none() | words
some_words = st.lists(words, max_size=3).map(tuple)
maybe_moment = st.none() | moments
mentions = st.lists(st.builds(TimeMention, text=words, start=moments, end=moments), max_size=3).map(
    tuple
)
headers = st.builds(
    Header,
    kind=st.sampled_from(Kind),
    speaker=maybe_words,
    role=maybe_words,
    run_id=maybe_words,
    agent_id=maybe_words,
    happened_at=maybe_moment,
    valid_from=maybe_moment,
    valid_to=maybe_moment,
    caption=maybe_words,
    mentions=mentions,
    external_id=maybe_words,
    source=maybe_words,
    derived_from=some_words,
    method=maybe_words,
    model=maybe_words,
    tags=some_words,
    entities=some_words,
    language=maybe_words,
    metadata=st.dictionaries(words, json_values, max_size=4),
    owner=maybe_words,
    access=some_words,
    origin=st.sampled_from(Origin),
    trust=st.floats(0, 1),
    sensitivity=maybe_words,
    expires_at=maybe_moment,
    priority=st.integers(-100, 100),
    frozen=st.booleans(),
    hold=st.booleans(),
)
payloads = st.one_of(
    st.builds(Text, text=words),
    st.builds(Activation, model=words, encoding=words, data=st.binary(max_size=50)),
    st.builds(Parameters, base=words, encoding=words, data=st.binary(max_size=50)),
)
scopes = st.builds(Scope, tenant=words, subject=words)


@given(headers)
def test_every_header_comes_back(header):
    encoded = encode_header(header)
    again = decode_header(encoded)
    assert again == header
    assert encode_header(again) == encoded


@given(payloads)
def test_every_payload_comes_back(payload):
    assert decode_payload(encode_payload(payload)) == payload


@given(scopes, headers, payloads)
def test_content_comes_back_and_encodes_the_same_again(scope, header, payload):
    body, name, data = encode_content(scope, header, payload, SALT)
    assert (name, data) == (None, b"")
    again = decode_content(body)
    assert (again.scope, again.header, again.payload) == (scope, header, payload)
    assert encode_content(again.scope, again.header, payload, SALT)[0] == body


@given(moments)
def test_moments_are_whole_microseconds(when):
    assert moment(microseconds(when)) == when
    assert microseconds(moment(microseconds(when))) == microseconds(when)


@given(st.dictionaries(words, json_values, max_size=5))
def test_json_does_not_depend_on_the_order_of_keys(value):
    turned = dict(reversed(value.items()))
    assert encode_json(turned) == encode_json(value)
    assert b"\n" not in encode_json(value)


def test_the_encoding_is_what_it_always_was():
    when = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
    header = Header(
        kind=Kind.FACT,
        speaker="Zoë",
        happened_at=when.astimezone(timezone(timedelta(hours=5, minutes=30))),
        mentions=(TimeMention(text="im Mai", start=when, end=when + timedelta(days=1)),),
        derived_from=("b", "a"),
        metadata={"z": 1.5, "a": [None, True, {"k": "日本"}]},
        trust=0.5,
        hold=True,
    )
    text = encode_content(Scope(tenant="t", subject="user:ana"), header, Text(text='"q"\n'), SALT)
    assert text[0].decode() == (
        '{"header":{"derived_from":["b","a"],"happened_at":"2026-03-04T05:06:07.000890+00:00",'
        '"hold":true,"kind":"fact","mentions":[["im Mai","2026-03-04T05:06:07.000890+00:00",'
        '"2026-03-05T05:06:07.000890+00:00"]],"metadata":{"a":[null,true,{"k":"日本"}],"z":1.5},'
        '"speaker":"Zoë","trust":0.5},"payload":{"text":"\\"q\\"\\n","type":"text"},'
        '"scope":{"subject":"user:ana","tenant":"t"},"v":1}'
    )
    assert commitment(SALT, text[0]).hex() == (
        "255115ddd3df4f3cb19f98eb1678c5579ae4d0ced8c2280add10a5c4151c14b1"
    )
    plain = encode_content(Scope(), Header(), Activation(model="m", encoding="e", data=b"\0"), SALT)
    assert plain[0].decode() == (
        '{"header":{},"payload":{"data":"AA==","encoding":"e","model":"m","type":"activation"},'
        '"scope":{"subject":"default","tenant":"default"},"v":1}'
    )
    event = Event("t", 7, 6, 5, "add", 1, 0, 2, "ab" * 16, 7, "activated", b"\1" * 32, b"")
    assert event_hash(bytes(32), event).hex() == (
        "f7b10bb8c92f010ccc5542ff4fc8b501459c8a2b57f518e7a914e378b1a3a69d"
    )


@given(st.integers(0, len(Event._fields) - 2), st.data())
def test_the_event_hash_covers_every_column(place, data):
    event = Event("t", 7, 6, 5, "add", 1, 0, 2, "ab" * 16, 7, "activated", b"\1" * 32, b"")
    kind = type(event[place])
    values = {int: st.integers(-(2**63), 2**63 - 1), str: words, bytes: st.binary(max_size=40)}
    other = data.draw(values[kind].filter(lambda value: value != event[place]))
    changed = event._replace(**{Event._fields[place]: other})
    assert event_hash(bytes(32), changed) != event_hash(bytes(32), event)
    assert event_hash(b"\1" * 32, event) != event_hash(bytes(32), event)


@pytest.mark.parametrize(
    "header",
    [
        Header(speaker="\ud800"),
        Header(metadata={"k": float("nan")}),
        Header(metadata={"k": [float("inf")]}),
        Header(metadata={"k": {1, 2}}),
        Header(metadata={"k": b"bytes"}),
        Header(metadata={"k": datetime(2026, 1, 1)}),
        Header(metadata={"\udfff": 1}),
        Header(metadata=MappingProxyType({"k": MappingProxyType({})})),
        Header(trust=float("nan")),
        Header(tags=("\ud800",)),
    ],
    ids=str,
)
def test_what_json_cannot_say_is_refused_with_a_way_out(header):
    with pytest.raises(InvalidInput) as caught:
        encode_content(Scope(), header, Text(text="hello"), SALT)
    assert "allowed are" in str(caught.value) or "repair the text" in str(caught.value)


def test_a_lone_surrogate_in_the_text_is_refused_and_the_repair_works():
    broken = "half a smile \ud83d here"
    with pytest.raises(InvalidInput, match="position"):
        encode_content(Scope(), Header(), Text(text=broken), SALT)
    repaired = broken.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert encode_content(Scope(), Header(), Text(text=repaired), SALT)[0]


@pytest.mark.parametrize(
    "payload",
    [
        Text(text="x" * BLOB_THRESHOLD),
        Activation(model="m", encoding="e", data=bytes(BLOB_THRESHOLD)),
        Parameters(base="m", encoding="e", data=bytes(BLOB_THRESHOLD)),
    ],
    ids=lambda payload: type(payload).__name__,
)
def test_large_payloads_go_to_a_blob_named_by_a_salted_hash(payload):
    header = Header(speaker="Ana")
    body, name, data = encode_content(Scope(), header, payload, SALT)
    assert len(body) < 1000
    assert len(data) > BLOB_THRESHOLD
    assert name is not None
    assert len(name) == 64
    again = decode_content(body)
    assert (again.payload, again.blob, again.header) == (None, name, header)
    _, other, _ = encode_content(Scope(), header, payload, bytes(32))
    assert other != name


def test_the_threshold_is_exact():
    small = encode_content(Scope(), Header(), Text(text=""), SALT)[0]
    room = BLOB_THRESHOLD - len(small)
    assert encode_content(Scope(), Header(), Text(text="x" * room), SALT)[1] is None
    assert encode_content(Scope(), Header(), Text(text="x" * (room + 1)), SALT)[1] is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"v":1}',
        b'{"v":1,"scope":{"tenant":"t","subject":"s"},"header":{"nose":1},"payload":{"type":"text"}}',
        b'{"v":1,"scope":{"tenant":"t","subject":"s"},"header":{},"payload":{"type":"smell"}}',
        b'{"v":1,"scope":{"tenant":"t","subject":"s"},"header":{"kind":"x"},"payload":{"type":"text"}}',
    ],
)
def test_damaged_content_is_corrupt_not_a_crash(body):
    with pytest.raises(StoreCorrupt):
        decode_content(body)
