"""Conversation files: what each format becomes, and what is said about a broken one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.memories.conversation_files import Conversation, read_file, read_files
from mnemos.types import Draft, Origin, Text

BERLIN = ZoneInfo("Europe/Berlin")
SAID = datetime(2025, 3, 4, 18, tzinfo=UTC)


def words(draft: Draft) -> str:
    assert isinstance(draft.payload, Text)
    return draft.payload.text


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def lines(*values: Mapping[str, object]) -> str:
    return "\n".join(json.dumps(value) for value in values) + "\n"


def told(conversation: Conversation) -> list[tuple[str | None, str, str | None]]:
    return [(d.header.speaker, words(d), d.header.run_id) for d in conversation.drafts]


LOCOMO: dict[str, object] = {
    "sample_id": "conv-1",
    "qa": [],
    "conversation": {
        "speaker_a": "Ida",
        "speaker_b": "Otto",
        "session_10": [{"speaker": "Otto", "dia_id": "D10:1", "text": "Goodbye."}],
        "session_10_date_time": "12:05 am on 1 January, 2024",
        "session_2": [
            {"speaker": "Ida", "dia_id": "D2:1", "text": "I sailed yesterday."},
            {"speaker": "Otto", "dia_id": "D2:2", "text": "See:", "blip_caption": "a boat"},
        ],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_3_date_time": "1:56 pm on 9 May, 2023",
    },
}


def test_locomo(tmp_path: Path) -> None:
    other = {**LOCOMO, "sample_id": "conv-2"}
    path = write(tmp_path, "sample.json.gz", [LOCOMO, other])
    first, second = read_files(path, zone=UTC)
    assert (first.name, second.name, first.format) == ("conv-1", "conv-2", "locomo")
    assert told(first) == [
        ("Ida", "I sailed yesterday.", "session_2"),
        ("Otto", "See:", "session_2"),
        ("Otto", "Goodbye.", "session_10"),
    ]
    headers = [draft.header for draft in first.drafts]
    assert [header.external_id for header in headers] == ["D2:1", "D2:2", "D10:1"]
    assert headers[1].caption == "a boat"
    assert headers[1].happened_at == datetime(2023, 5, 8, 13, 56, 1, tzinfo=UTC)
    assert headers[2].happened_at == datetime(2024, 1, 1, 0, 5, tzinfo=UTC)
    assert headers[0].mentions[0].start == datetime(2023, 5, 7, tzinfo=UTC)


def test_one_file_one_conversation(tmp_path: Path) -> None:
    path = write(tmp_path, "two.json", [LOCOMO, LOCOMO])
    with pytest.raises(InvalidInput, match="holds 2 conversations"):
        read_file(path, zone=UTC)
    assert len(list(read_files([path, path], zone=UTC))) == 4


def test_jsonl_conversation(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "chat.jsonl",
        lines(
            {"id": "a", "session": "x", "at": "2025-03-04T18:00", "speaker": "Ana", "text": " hi "},
            {"id": "b", "session": 2, "role": "assistant", "text": "hello", "lang": "en"},
            {"role": "user", "content": "bye", "name": "Ana", "session": "y"},
        ),
    )
    conversation = read_file(str(path), zone=BERLIN)
    assert (conversation.name, conversation.format) == ("chat", "jsonl")
    assert told(conversation) == [("Ana", " hi ", "x"), (None, "hello", "2"), ("Ana", "bye", "y")]
    first, second, third = (draft.header for draft in conversation.drafts)
    assert first.happened_at == datetime(2025, 3, 4, 17, tzinfo=UTC)
    assert (first.external_id, first.role, first.origin) == ("a", None, Origin.USER)
    assert (second.origin, second.language) == (Origin.AGENT, "en")
    assert {header.source for header in (first, second, third)} == {"chat.jsonl"}


def test_a_long_pause_starts_a_session(tmp_path: Path) -> None:
    times = ("2025-03-04T08:00", "2025-03-04T14:00", None, "2025-03-04T20:00:01")
    values = [{"at": at, "text": "x"} for at in times]
    path = write(tmp_path, "chat.jsonl", lines(*values))
    sessions = [draft.header.run_id for draft in read_file(path, zone=UTC).drafts]
    assert sessions == ["s1", "s1", "s1", "s2"]


MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize("content", [MESSAGES, {"messages": MESSAGES}, [{"messages": MESSAGES}]])
def test_chat_json(tmp_path: Path, content: object) -> None:
    conversation = read_file(write(tmp_path, "chat.json", content), zone=UTC)
    assert (conversation.name, conversation.format) == ("chat", "messages")
    assert told(conversation) == [(None, "hi", "s1"), (None, "hello", "s1")]


TRANSCRIPTS = {
    "stamped": "[2025-03-04 18:00] Ana: Hello,\nNote: two lines\n\n[2025-03-04 9:05] Bo: Hi!\n",
    "bold": "**Ana** (2025-03-04 18:00): Hello,\nNote: two lines\n\n**Bo** (2025-03-04 09:05): Hi!",
}


@pytest.mark.parametrize("text", TRANSCRIPTS.values(), ids=TRANSCRIPTS.keys())
def test_dated_transcripts(tmp_path: Path, text: str) -> None:
    conversation = read_file(write(tmp_path, "chat.md", text), zone=UTC)
    assert conversation.format == "transcript"
    assert told(conversation) == [("Ana", "Hello,\nNote: two lines", "s1"), ("Bo", "Hi!", "s1")]
    assert conversation.drafts[0].header.happened_at == SAID
    assert conversation.drafts[1].header.happened_at == datetime(2025, 3, 4, 9, 5, tzinfo=UTC)


def test_headings_date_what_follows(tmp_path: Path) -> None:
    text = "# Chat\n\n## 2025-03-04\nAna: Hello,\nthere\n**User:** hi\n## 2025-03-05\nBo Li: Hi!\n"
    conversation = read_file(write(tmp_path, "chat.md", text), zone=UTC)
    assert told(conversation) == [
        ("Ana", "Hello,\nthere", "s1"),
        (None, "hi", "s1"),
        ("Bo Li", "Hi!", "s2"),
    ]
    headers = [draft.header for draft in conversation.drafts]
    assert headers[1].role == "user"
    assert [header.happened_at for header in headers] == [
        datetime(2025, 3, 4, tzinfo=UTC),
        datetime(2025, 3, 4, 0, 0, 1, tzinfo=UTC),
        datetime(2025, 3, 5, tzinfo=UTC),
    ]


def test_anything_else_is_a_document(tmp_path: Path) -> None:
    text = "Note: a page\nwithout anybody speaking.\n\nhttps://example.org\n"
    conversation = read_file(write(tmp_path, "page.txt", text), zone=UTC)
    assert conversation.format == "text"
    assert [words(draft) for draft in conversation.drafts] == [text]


def test_the_format_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path, "chat.txt", "Ana: hi\nBo: hello\n")
    assert read_file(path, zone=UTC).format == "transcript"
    assert read_file(path, zone=UTC, format="text").format == "text"
    with pytest.raises(InvalidInput, match="format is 'csv'; allowed: jsonl"):
        read_file(path, zone=UTC, format="csv")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text"\n', "a.jsonl, line 2: is not JSON"),
        ("a.jsonl", '{"words": "x"}\n', "a.jsonl, line 1: found 'words'; allowed: an object"),
        ("a.jsonl", "7\n", "a.jsonl, line 1: found 'int'"),
        ("a.jsonl", '{"text": ""}\n', "a.jsonl, line 1 has no words"),
        ("a.jsonl", '{"text": "\\ud800"}\n', "a.jsonl, line 1 has a lone surrogate at position 0"),
        ("a.jsonl", '{"role": "boss", "text": "x"}\n', "line 1 has role 'boss'; allowed: 'user'"),
        ("a.jsonl", '{"text": "x", "at": "no"}\n', "a.jsonl, line 1 has the time 'no'"),
        ("a.jsonl", "\n", "holds no message"),
        ("a.json", "{", "a.json: is not JSON"),
        ("a.json", "[" * 200_000, "a.json: is not JSON"),
        ("a.json", "[]", "holds 0 conversations"),
        ("a.json", '[{"messages": 7}]', "a.json, conversation 1: has no list 'messages'"),
        ("a.json", '[{"role": "user"}]', "a.json, message 1 is missing; allowed: str"),
        ("a.json", '{"conversation": []}', "a.json, conversation 1: has no object 'conversation'"),
        ("a.json", '{"conversation": {"session_1": 7}}', "session_1: is not a list of turns"),
        ("a.md", "## 2025-13-40\nAna: x\nBo: y", "a.md, line 1 has the time '2025-13-40'"),
        ("a.txt", " ", "a.txt has no words"),
        ("a.gz", "", "a.gz has no words"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        read_file(write(tmp_path, name, content), zone=UTC)
    assert says in str(error.value)


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"abc\xff")
    (tmp_path / "broken.json.gz").write_bytes(b"no gzip")
    (tmp_path / "short.json.gz").write_bytes(gzip.compress(b"[]")[:-6])
    expected: Sequence[tuple[str, str]] = [
        ("bytes.txt", "byte 3 is not UTF-8"),
        ("broken.json.gz", "not a sound gzip file"),
        ("short.json.gz", "not a sound gzip file"),
        ("missing.txt", "cannot be read"),
        ("nul\0.txt", "cannot be read"),
        (".", "cannot be read"),
    ]
    for name, says in expected:
        with pytest.raises(InvalidInput, match=says):
            read_file(tmp_path / name, zone=UTC)


@settings(deadline=None)
@given(st.text(max_size=300), st.sampled_from(["a.txt", "a.md", "a.json", "a.jsonl"]))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        conversation = read_file(path, zone=UTC)
    except InvalidInput:
        return
    assert conversation.drafts
