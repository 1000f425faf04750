"""Readers: what becomes of messages and texts, and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.memories.readers import CHUNK_CHARACTERS, read_messages, read_text
from mnemos.types import Draft, Header, Kind, Origin, Text

BERLIN = ZoneInfo("Europe/Berlin")
SAID = datetime(2025, 3, 4, 18, tzinfo=UTC)


def words(draft: Draft) -> str:
    assert isinstance(draft.payload, Text)
    return draft.payload.text


def only(messages: Any, **options: Any) -> Draft:
    (draft,) = read_messages(messages, zone=options.pop("zone", UTC), **options)
    return draft


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "origin", "trust", "kind"),
    [
        ("user", Origin.USER, 1.0, Kind.TURN),
        ("assistant", Origin.AGENT, 0.8, Kind.TURN),
        ("tool", Origin.TOOL, 0.3, Kind.TURN),
        ("function", Origin.TOOL, 0.3, Kind.TURN),
        ("system", Origin.USER, 1.0, Kind.INSTRUCTION),
        ("developer", Origin.USER, 1.0, Kind.INSTRUCTION),
    ],
)
def test_a_role_decides_origin_trust_and_kind(
    role: str, origin: Origin, trust: float, kind: Kind
) -> None:
    header = only({"role": role, "content": "hello"}).header
    assert (header.role, header.origin, header.trust, header.kind) == (role, origin, trust, kind)


def test_a_string_is_the_users_words() -> None:
    draft = only(" I ran.\r\n", happened_at=SAID, run_id="s7", agent_id="scout", source="api")
    assert words(draft) == " I ran.\r\n"
    assert draft.header == Header(
        role="user", run_id="s7", agent_id="scout", source="api", happened_at=SAID
    )


def test_every_field_of_a_message_finds_its_place() -> None:
    message = {
        "role": "user",
        "content": "We met yesterday.",
        "name": "Ana",
        "id": 17,
        "timestamp": "2025-03-04T18:00:00+01:00",
        "caption": "a lighthouse",
    }
    header = only([message]).header
    assert header.speaker == "Ana"
    assert header.external_id == "17"
    assert header.caption == "a lighthouse"
    assert header.happened_at == datetime(2025, 3, 4, 17, tzinfo=UTC)
    assert [m.text for m in header.mentions] == ["yesterday"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-03-04T18:00", datetime(2025, 3, 4, 17, tzinfo=UTC)),
        ("2025-03-04T18:00Z", datetime(2025, 3, 4, 18, tzinfo=UTC)),
        ("2025-03-04", datetime(2025, 3, 3, 23, tzinfo=UTC)),
        (1741111200, SAID),
        (1741111200.5, SAID + timedelta(seconds=0.5)),
        (datetime(2025, 3, 4, 19, tzinfo=BERLIN), SAID),
        (datetime(2025, 3, 4, 19), SAID),
    ],
)
@pytest.mark.parametrize("key", ["timestamp", "created_at", "happened_at"])
def test_times_are_read_and_naive_ones_take_the_zone(
    key: str, value: object, expected: datetime
) -> None:
    header = only({"role": "user", "content": "x", key: value}, zone=BERLIN).header
    assert header.happened_at == expected
    assert header.happened_at is not None
    assert header.happened_at.tzinfo is UTC


def test_yesterday_is_reckoned_in_the_zone() -> None:
    late = datetime(2025, 3, 4, 23, 30, tzinfo=UTC)
    (mention,) = only("today", happened_at=late, zone=BERLIN).header.mentions
    assert mention.start == datetime(2025, 3, 4, 23, tzinfo=UTC)


def test_without_a_time_nothing_is_resolved() -> None:
    header = only("yesterday").header
    assert header.happened_at is None
    assert header.mentions == ()


def test_parts_are_joined_and_alt_text_becomes_the_caption() -> None:
    content = [
        {"type": "text", "text": "Look: "},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}, "alt": "a cat"},
        {"type": "input_text", "text": "nice?"},
    ]
    draft = only({"role": "user", "content": content})
    assert words(draft) == "Look: \nnice?"
    assert draft.header.caption == "a cat"


def test_an_image_alone_needs_a_caption() -> None:
    bare = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(InvalidInput, match="no words"):
        only({"role": "user", "content": [bare]})
    draft = only({"role": "user", "content": [bare], "caption": "a dog"})
    assert (words(draft), draft.header.caption) == ("", "a dog")
    alt = {"type": "image_url", "image_url": {"url": "x", "alt": "a dog"}}
    assert only({"role": "user", "content": [alt]}).header.caption == "a dog"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("", "no words"),
        (" \n\t\u3000", "no words"),
        ([], "at least one"),
        (7, "is a int; allowed: a str"),
        (b"hello", "is a bytes"),
        (["hello"], "message 1 is a str"),
        ([{"role": "user", "content": "x"}, None], "message 2 is a NoneType"),
        ({"content": "x"}, "no 'role'; allowed: 'user', 'assistant'"),
        ({"role": "moderator", "content": "x"}, "role 'moderator'; allowed: 'user', 'assistant'"),
        ({"role": ["user"], "content": "x"}, "role a list"),
        ({"role": "user"}, "content of message 1 is missing; allowed: str"),
        ({"role": "user", "content": 7}, "of type int; allowed: str"),
        ({"role": "user", "content": [{"type": "audio"}]}, "type 'audio'; allowed: text"),
        ({"role": "user", "content": [{"type": "text"}]}, "text part of message 1 is missing"),
        ({"role": "user", "content": "x", "name": 3}, "speaker of message 1 is of type int"),
        ({"role": "user", "content": "x", "timestamp": "soon"}, "time 'soon'; allowed: an ISO"),
        ({"role": "user", "content": "x", "timestamp": True}, "time True"),
        ({"role": "user", "content": "x", "timestamp": float("nan")}, "time nan"),
        ({"role": "user", "content": "x", "timestamp": 1e18}, "unix seconds"),
        ({"role": "user", "content": "x", "timestamp": 10**5000}, "an int of"),
    ],
)
def test_what_cannot_be_read_says_so(messages: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_messages(messages, zone=UTC)
    assert says in str(error.value)


def test_a_lone_surrogate_is_refused_with_the_way_out() -> None:
    text = "abc\ud83d"
    with pytest.raises(InvalidInput, match="position 3"):
        only(text)
    mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert words(only(mended)) == "abc\ufffd"


def test_a_message_never_repeats_much_of_the_text() -> None:
    with pytest.raises(InvalidInput) as error:
        only({"role": "secret " * 100, "content": "x"})
    assert str(error.value).count("secret") < 10


STORABLE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300).filter(
    lambda text: text.strip() != ""
)


@settings(deadline=None)
@given(STORABLE)
def test_text_is_kept_verbatim(text: str) -> None:
    assert words(only(text, happened_at=SAID)) == text
    assert words(only({"role": "tool", "content": text})) == text
    assert words(only({"role": "user", "content": [{"type": "text", "text": text}]})) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
KEYS = st.sampled_from(["role", "content", "name", "id", "timestamp", "caption", "type", "text"])


@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON | st.sampled_from(["user", "tool"])) | JSON)
def test_odd_messages_are_refused_or_read(message: Any) -> None:
    try:
        drafts = read_messages(message, zone=BERLIN)
    except InvalidInput:
        return
    assert all(isinstance(draft, Draft) for draft in drafts)


# --- documents -------------------------------------------------------------------------------


@settings(deadline=None)
@given(STORABLE | st.lists(STORABLE, min_size=1, max_size=30).map("\n\n".join))
def test_chunks_give_the_text_back(text: str) -> None:
    drafts = read_text(text, source="notes.txt")
    assert "".join(words(draft) for draft in drafts) == text
    for draft in drafts:
        place = draft.header.metadata
        assert text[place["start"] : place["end"]] == words(draft)
        assert words(draft).strip()


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 3 * CHUNK_CHARACTERS), min_size=1, max_size=8),
    st.sampled_from(["word ", "abcde"]),
)
def test_short_paragraphs_are_never_cut(lengths: list[int], letters: str) -> None:
    paragraphs = [(letters * length)[:length].rstrip() for length in lengths]
    text = "\n\n".join(paragraphs)
    drafts = read_text(text, source=None)
    borders = {draft.header.metadata["end"] for draft in drafts}
    assert all(len(words(draft).rstrip()) <= CHUNK_CHARACTERS for draft in drafts)
    start = 0
    for paragraph in paragraphs:
        if len(paragraph) <= CHUNK_CHARACTERS:
            assert borders.isdisjoint(range(start + 1, start + len(paragraph)))
        start += len(paragraph) + 2


def test_a_chunk_is_an_outside_document() -> None:
    (draft,) = read_text("We moved yesterday.", source="notes.txt", happened_at=SAID)
    header = draft.header
    assert (header.kind, header.origin, header.trust) == (Kind.CHUNK, Origin.DOCUMENT, 0.5)
    assert header.source == "notes.txt"
    assert [m.text for m in header.mentions] == ["yesterday"]


def test_a_long_paragraph_is_cut_behind_a_sentence() -> None:
    sentence = "All work and no play. "
    drafts = read_text(sentence * 100, source=None)
    assert len(drafts) == 2
    assert words(drafts[0]).endswith("play. ")


@pytest.mark.parametrize("text", ["", "  \n", "a\udcff", 7])
def test_a_document_must_have_storable_words(text: Any) -> None:
    with pytest.raises(InvalidInput):
        read_text(text, source=None)
