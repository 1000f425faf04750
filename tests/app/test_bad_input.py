"""Whatever is handed over: right work, or an error of ours that tells the way out. Never a trace."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos import Draft, Kind, Memory, Text
from mnemos.app.planner import MOST_TERMS
from mnemos.errors import InvalidInput, MnemosError, NotFound
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

Open = Callable[..., Memory]

WAY_OUT = re.compile(r"allowed|must|give|pass |take|leave|repair|get_all|needs|use ")
LONE = "half \ud83d of a pair"
ZALGO = "z̷̢̛͎a̶͈͐l̵̙̔g̸̰͝o̴͉͠ " * 50


@pytest.fixture(scope="module")
def told() -> Iterator[Memory]:
    """A vault that bad input must leave as it is."""
    memory = Memory(
        ":memory:",
        clock=SimClock(),
        ids=SeededIds(),
        entropy=SeededEntropy(),
        embedder=HashEmbedder(),
    )
    memory.add("Ana sails a red boat", user_id="ana", external_id="e1")
    yield memory
    memory.close()


def an_id(memory: Memory) -> str:
    return memory.get_all(user_id="ana")[0].id


def refused(memory: Memory, call: Callable[[], object], *words: str) -> None:
    """Check that a call is refused in words that help, and that nothing was written."""
    before = memory.stats()
    with pytest.raises(MnemosError) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message
    assert WAY_OUT.search(message), message
    assert len(message) < 600, "the caller's own text is not poured out"
    message.encode()
    assert memory.stats() == before


# --- wrong values for every argument of every call -------------------------------------------

THING = object()
NAMES = [5, True, 1.5, b"x", [], ["a"], {}, THING, "", " \t\n", "\ud800"]
COUNTS = [0, -1, 2.5, 5.0, True, None, "5", b"5", [], THING, 10**9, 10**400, float("nan")]
MOMENTS = ["", "soon", "2026-02-30", b"x", [], {}, THING, True, float("nan"), float("inf"), 1e30]
MOMENTS += [10**400, "\ud800", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"]
KINDS = [
    5,
    True,
    1.5,
    b"turn",
    "dream",
    "",
    ["dream"],
    [5],
    [None],
    [[]],
    THING,
    {"turn": 1, "x": 2},
]
METADATA = [5, True, 1.5, "text", b"x", [], [("a", 1)], THING, {1: "a"}, {None: 1}, {"a": THING}]
METADATA += [{"a": float("nan")}, {"a": [float("-inf")]}, {"a": {1, 2}}, {"a": b"x"}, {"\ud800": 1}]
METADATA += [{"a": "\ud800"}, {"a": {"b": {2: 3, "x": THING}}}]
TAGS = [
    5,
    True,
    None,
    "tag",
    b"tag",
    {},
    {"a": 1},
    THING,
    [5],
    [None],
    [""],
    ["\ud800"],
    [b"x"],
    [["a"]],
]
MESSAGES = [5, True, None, 1.5, b"x", [], (), {}, THING, "", " \n\t ", LONE, [5], [None], ["text"]]
MESSAGES += [[[]], {"role": "user"}, {"content": "x"}, {"role": None, "content": "x"}]
MESSAGES += [{"role": "user", "content": content} for content in (None, 5, b"x", {}, [], "", LONE)]
MESSAGES += [{"role": role, "content": "x"} for role in ("moderator", 5, "", "USER", [], LONE)]
MESSAGES += [
    {"role": "user", "content": "x", "name": 5},
    {"role": "user", "content": "x", "id": []},
    {"role": "user", "content": "x", "timestamp": "soon"},
    {"role": "user", "content": [{"type": "video"}]},
    {"role": "user", "content": [{"type": "text"}]},
    {"role": "user", "content": [5]},
    [{"role": "user", "content": "good"}, {"role": "user", "content": ""}],
]
CONFLICTS = [5, None, "", "ignore", [], THING, b"update"]
CALLBACKS = [5, "print", [], {}, True, b"x"]
TEXTS = [
    5,
    True,
    None,
    1.5,
    b"x",
    [],
    {},
    THING,
    "",
    " \n ",
    LONE,
    [{"role": "user", "content": "x"}],
]
DRAFTS = [
    5,
    None,
    THING,
    True,
    1.5,
    "text",
    b"xx",
    [5],
    [None],
    ["text"],
    {"a": 1},
    [{"role": "user"}],
]
IDS = [None, *NAMES]

Case = tuple[str, str, list[Any], Callable[[Memory, Any], object]]

CASES: list[Case] = [
    ("add", "", MESSAGES, lambda m, bad: m.add(bad, user_id="ana")),
    ("add", "happened_at", MOMENTS, lambda m, bad: m.add("x", happened_at=bad)),
    ("add", "expires_at", MOMENTS, lambda m, bad: m.add("x", expires_at=bad)),
    ("add", "external_id", NAMES, lambda m, bad: m.add("x", external_id=bad)),
    ("add", "kind", KINDS, lambda m, bad: m.add("x", kind=bad)),
    ("add", "tag", TAGS, lambda m, bad: m.add("x", tags=bad)),
    ("add", "", METADATA, lambda m, bad: m.add("x", metadata=bad)),
    ("add", "on_conflict", CONFLICTS, lambda m, bad: m.add("x", on_conflict=bad)),
    ("add_many", "drafts", DRAFTS, lambda m, bad: m.add_many(bad, user_id="ana")),
    ("add_many", "on_conflict", CONFLICTS, lambda m, bad: m.add_many([DRAFT], on_conflict=bad)),
    ("add_many", "progress", CALLBACKS, lambda m, bad: m.add_many([DRAFT], progress=bad)),
    ("ingest", "path", [5, None, b"x", [], THING, "", " ", "a\0b"], lambda m, bad: m.ingest(bad)),
    ("ingest", "format", [5, "", "docx", [], THING], lambda m, bad: m.ingest(FILE, format=bad)),
    ("ingest", "on_conflict", CONFLICTS, lambda m, bad: m.ingest(FILE, on_conflict=bad)),
    ("ingest", "progress", CALLBACKS, lambda m, bad: m.ingest(FILE, progress=bad)),
    ("update", "id", IDS, lambda m, bad: m.update(bad, "x")),
    ("update", "text", TEXTS, lambda m, bad: m.update(an_id(m), bad)),
    ("update", "", METADATA, lambda m, bad: m.update(an_id(m), "x", metadata=bad)),
    ("search", "query", TEXTS, lambda m, bad: m.search(bad)),
    ("search", "top_k", COUNTS, lambda m, bad: m.search("x", top_k=bad)),
    ("search", "kinds", KINDS, lambda m, bad: m.search("x", kinds=bad)),
    ("search", "since", MOMENTS, lambda m, bad: m.search("x", since=bad)),
    ("search", "until", MOMENTS, lambda m, bad: m.search("x", until=bad)),
    ("context", "query", TEXTS, lambda m, bad: m.context(bad)),
    ("context", "budget", COUNTS, lambda m, bad: m.context("x", budget=bad)),
    ("context", "count", CALLBACKS, lambda m, bad: m.context("boat", user_id="ana", count=bad)),
    ("get_all", "kinds", KINDS, lambda m, bad: m.get_all(user_id="ana", kinds=bad)),
    ("get_all", "limit", COUNTS, lambda m, bad: m.get_all(user_id="ana", limit=bad)),
    ("get_all", "after", NAMES, lambda m, bad: m.get_all(user_id="ana", after=bad)),
    ("verify", "progress", CALLBACKS, lambda m, bad: m.verify(progress=bad)),
    ("reembed", "progress", CALLBACKS, lambda m, bad: m.reembed(progress=bad)),
    *(
        (verb, "id", IDS, lambda m, bad, verb=verb: getattr(m, verb)(bad))
        for verb in ("get", "history", "forget", "delete")
    ),
    *(
        (verb, key, NAMES, lambda m, bad, call=call, key=key: call(m, **{key: bad}))
        for verb, call in {
            "add": lambda m, **scope: m.add("x", **scope),
            "search": lambda m, **scope: m.search("x", **scope),
            "context": lambda m, **scope: m.context("x", **scope),
            "get_all": lambda m, **scope: m.get_all(**({"user_id": "ana"} | scope)),
            "delete_all": lambda m, **scope: m.delete_all(**({"user_id": "ana"} | scope)),
        }.items()
        for key in ("user_id", "agent_id", "run_id")
    ),
    *(
        (verb, key, NAMES, lambda m, bad, call=call, key=key: call(m, **{key: bad}))
        for verb, call in {
            "add_many": lambda m, **scope: m.add_many([DRAFT], **scope),
            "ingest": lambda m, **scope: m.ingest(FILE, **scope),
            "update": lambda m, **scope: m.update(an_id(m), "x", **scope),
            "get": lambda m, **scope: m.get(an_id(m), **scope),
            "history": lambda m, **scope: m.history(an_id(m), **scope),
            "forget": lambda m, **scope: m.forget(an_id(m), **scope),
            "delete": lambda m, **scope: m.delete(an_id(m), **scope),
        }.items()
        for key in ("user_id", "agent_id")
    ),
]
DRAFT = Draft(payload=Text(text="drafted"))
FILE = Path(__file__)


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{verb}-{key}-{n}" for n, (verb, key, *_) in enumerate(CASES)]
)
def test_wrong_values_are_refused_in_words_that_help(told: Memory, case: Case) -> None:
    _, key, values, call = case
    for value in values:
        try:
            refused(told, lambda value=value: call(told, value), key)
        except BaseException as error:
            error.add_note(f"given: {value!r}"[:200])
            raise
    assert told.verify().problems == []


def test_every_argument_of_every_call_is_in_the_table() -> None:
    import inspect

    tried = {(verb, key) for verb, key, *_ in CASES} | {
        ("add", "messages"),  # the messages and metadata cases, whose errors name other words
        ("add", "metadata"),
        ("add", "tags"),
        ("update", "metadata"),
    }
    there = {
        (name, key)
        for name, call in vars(Memory).items()
        if inspect.isfunction(call) and not name.startswith("_")
        for key in inspect.signature(call).parameters
        if key != "self"
    }
    assert there - tried == set()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (
            "path",
            [5, None, b"v.db", [], THING, "", "  ", "a\0b", "http://host", "postgresql://h/d"],
        ),
        ("tz", [5, None, b"UTC", [], THING, "", "Mars/Base", "../../etc/passwd", "a\0b", "\ud800"]),
        ("tenant", NAMES),
        ("embedder", [5, b"auto", [], THING, "gpt", "openai:", ""]),
        ("clock", [5, 0, "now", THING]),
        ("ids", [5, False, THING]),
        ("entropy", [5, THING]),
        ("store", [5, "", "v.db", THING]),
    ],
)
def test_wrong_values_open_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, values: list[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in values:
        with pytest.raises(InvalidInput, match=WAY_OUT) as caught:
            Memory(**({"path": "v.db", "embedder": None} | {key: value}))
        str(caught.value).encode()
        assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_vault_and_another_file_neither(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a folder"):
        Memory(tmp_path, embedder=None)
    file = tmp_path / "notes.txt"
    file.write_text("not a database, " * 500)
    with pytest.raises(MnemosError, match=r"notes\.txt"):
        Memory(file, embedder=None)
    assert file.read_text().startswith("not a database")
    with pytest.raises(MnemosError, match="check that the folder exists"):
        Memory(tmp_path / "missing" / "v.db", embedder=None)


def test_a_file_that_is_not_there_is_named(told: Memory, tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(InvalidInput, match=path.name):
            told.ingest(path, user_id="ana")
    file = tmp_path / "bytes.jsonl"
    file.write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(InvalidInput, match="bytes"):
        told.ingest(file, user_id="ana")


def test_a_generator_of_messages_is_refused_and_not_consumed(told: Memory) -> None:
    messages = ({"role": "user", "content": word} for word in ("one", "two"))
    refused(told, lambda: told.add(messages, user_id="ana"), "generator", "sequence")
    assert next(messages)["content"] == "one"


def test_a_generator_of_drafts_is_welcome(open_at: Open) -> None:
    memory = open_at()
    assert len(memory.add_many((DRAFT for _ in range(3)), user_id="ana").ids) == 3


def test_metadata_nested_too_deep_is_refused(told: Memory) -> None:
    for levels in (64, 500, 980, 100_000):
        deep: dict[str, Any] = {}
        for level in range(levels):
            deep = {"a": deep if level % 2 else [deep]}
        for call in (
            lambda deep=deep: told.add("x", user_id="ana", metadata=deep),
            lambda deep=deep: told.update(an_id(told), "x", metadata=deep),
        ):
            refused(told, call, "deep")
    circle: dict[str, Any] = {}
    circle["a"] = circle
    refused(told, lambda: told.add("x", user_id="ana", metadata=circle), "deep")


def test_unknown_words_are_pythons_own_type_error(told: Memory) -> None:
    with pytest.raises(TypeError, match="where"):
        told.search("x", where={})
    with pytest.raises(TypeError):
        told.add("x", "ana")


# --- strange but right -----------------------------------------------------------------------

STRANGE = {
    "emoji": "👩‍👩‍👧‍👦 went sailing 🚤🏽",
    "right to left": "אנה גרה בליסבון ‏עכשיו‎ مرحبا",
    "zalgo": ZALGO,
    "nul": "before\0after",
    "control": "\x01\x02\x1b[31mred\x7f",
    "no words": "…!?—",
    "combining alone": "\u0301\u0302",
    "one letter": "x",
    "han": "安娜住在里斯本",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "separators": "a\u2028b\u2029c\x85d",
    "sql": "'; DROP TABLE cubes; --",
    "format": "{0} %s {user_id} $1",
    "long word": "a" * 50_000,
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_texts_come_back_word_for_word(open_at: Open, path: str, name: str) -> None:
    memory, text = open_at(path), STRANGE[name]
    id = memory.add(text, user_id="ana").id
    memory.add("something else", user_id="ana")
    assert memory.get(id).text == text
    assert id in {hit.id for hit in memory.search(text, user_id="ana")}
    memory.context(text, user_id="ana", budget=100_000)
    memory.update(id, text + "!")
    assert memory.history(id)[0].text == text
    assert memory.verify().problems == []
    memory.forget(id)
    assert memory.verify().problems == []


WEIRD = [
    "'; DROP TABLE cubes; --",
    '" OR 1=1',
    "%_*?",
    "Ünïcødé 雨 👩‍👧",
    "user:ana",
    "default",
    "a\0b",
    "../../etc/passwd",
    "{}",
    " ana ",
    "\u0301",
    "x" * 100_000,
]


@pytest.mark.parametrize("path_of", [":memory:", "file"])
def test_weird_names_stay_apart(open_at: Open, tmp_path: Path, path_of: str) -> None:
    memory = open_at(":memory:" if path_of == ":memory:" else tmp_path / "v.db")
    keys = ("user_id", "agent_id")
    scopes = [{key: name} for name, key in itertools.product(WEIRD, keys)]
    ids = [
        memory.add(f"note {n}", external_id=name, run_id=name, tags=[name], **scope)
        for n, (scope, name) in enumerate(
            zip(scopes, [n for n in WEIRD for _ in keys], strict=True)
        )
    ]
    for n, scope in enumerate(scopes):
        (cube,) = memory.get_all(**scope)
        (hit,) = memory.search("note", **scope)
        assert cube.text == hit.text == f"note {n}"
        name = WEIRD[n // 2]
        assert memory.search("note", run_id=name, **scope)[0].id == ids[n].id
        assert [cube.id for cube in memory.get_all(run_id=name, **scope)] == [ids[n].id]
        assert cube.header.external_id == name
        with pytest.raises(NotFound):
            memory.get(name[:1000])
    assert memory.verify().problems == []
    for scope in scopes:
        memory.delete_all(**scope)
    assert memory.stats().memories == memory.stats().subjects == 0


def test_a_long_text_is_kept_found_and_forgotten_with_its_blob(
    open_at: Open, path: str, tmp_path: Path
) -> None:
    memory = open_at(path)
    text = "".join(f"word{n % 5000} " for n in range(650_000))[: 5 << 20] + " xylophone"
    assert len(text) > 5_000_000
    id = memory.add(text, user_id="ana").id
    memory.add("short", user_id="ana")
    blobs = memory._vault.store.blobs
    assert len(blobs.names()) == 1
    assert memory.get(id).text == text
    hits = memory.search("xylophone", user_id="ana")
    assert [hit.id for hit in hits for why in hit.why if why.signal == "words"] == [id]
    context = memory.context("xylophone", user_id="ana", budget=500)
    assert context.tokens <= 500
    assert memory.verify().problems == []
    memory.update(id, "now it is short")
    assert memory.history(id)[0].text == text
    receipt = memory.forget(id)
    assert {place.status for place in receipt.places} == {"purged"}
    assert blobs.names() == []
    assert not [
        file for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size > 1 << 20
    ]
    assert memory.verify().problems == []


def test_large_metadata_is_kept(open_at: Open, path: str) -> None:
    memory = open_at(path)
    metadata = {f"key {n}": "v" * 100 for n in range(20_000)}
    id = memory.add("x", user_id="ana", metadata=metadata).id
    assert dict(memory.get(id).header.metadata) == metadata
    assert memory.verify().problems == []


def test_a_query_of_a_hundred_thousand_characters_is_answered(told: Memory) -> None:
    for query in (
        "boat " * 20_000,
        "z" * 100_000,
        "雨" * 100_000,
        " ".join(map(str, range(20_000))),
    ):
        assert len(told.search(query, user_id="ana")) == 1
        assert told.context(query, user_id="ana", budget=50).tokens <= 50


@pytest.mark.parametrize(("query", "by_words"), [("{filler} boat", True), ("boat {filler}", False)])
def test_of_a_question_with_too_many_words_the_last_ones_are_looked_up(
    told: Memory, query: str, by_words: bool
) -> None:
    filler = " ".join(f"filler{n}" for n in range(MOST_TERMS))
    hit = told.search(query.format(filler=filler), user_id="ana")[0]
    signals = {reason.signal for reason in hit.why}
    assert "meaning" in signals, "which all of them count for"
    assert ("words" in signals) == by_words


# --- fuzz ------------------------------------------------------------------------------------

strings = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(), max_size=8),  # surrogates too
    st.sampled_from(["ana", "e1", "user", "turn", "2026-03-04", "update", *STRANGE.values(), LONE]),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | strings | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
roles = st.sampled_from(["user", "assistant", "system", "tool"])
messages = st.fixed_dictionaries(
    {"role": roles | values, "content": strings | values},
    optional={"name": values, "timestamp": values, "id": values, "run_id": values},
)
scopes = st.fixed_dictionaries({}, optional={"user_id": strings | values, "agent_id": values})


def only_ours(call: Callable[[], object]) -> None:
    try:
        call()
    except MnemosError as error:
        str(error).encode()


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Memory]:
    """One vault for all of the fuzz, sound at its end."""
    memory = Memory(":memory:", embedder=HashEmbedder(8), clock=SimClock())
    memory.add("Ana sails a red boat", user_id="ana", external_id="e1")
    yield memory
    report = memory.verify()
    memory.close()
    assert report.problems == []


FUZZ = settings(max_examples=150, deadline=None)


@FUZZ
@given(
    what=strings | messages | st.lists(messages | values, max_size=3) | values,
    scope=scopes,
    details=st.fixed_dictionaries(
        {},
        optional={
            "run_id": values,
            "happened_at": values | st.datetimes(),
            "external_id": strings,
            "kind": st.sampled_from(Kind) | values,
            "tags": st.lists(strings, max_size=3) | values,
            "metadata": st.dictionaries(strings, values, max_size=3) | values,
            "expires_at": values | st.datetimes(),
            "on_conflict": st.sampled_from(["error", "update"]) | values,
        },
    ),
)
def test_fuzz_add(fuzzed: Memory, what: Any, scope: Any, details: Any) -> None:
    only_ours(lambda: fuzzed.add(what, **scope, **details))


@FUZZ
@given(
    query=strings | values,
    scope=scopes,
    details=st.fixed_dictionaries(
        {},
        optional={
            "run_id": values,
            "top_k": st.integers(-2, 200) | values,
            "kinds": st.sets(st.sampled_from(Kind)) | values,
            "since": values | st.datetimes(),
            "until": values | st.datetimes(),
        },
    ),
)
def test_fuzz_search(fuzzed: Memory, query: Any, scope: Any, details: Any) -> None:
    only_ours(lambda: fuzzed.search(query, **scope, **details))


@FUZZ
@given(query=strings | values, scope=scopes, budget=st.integers(-5, 5_000) | values)
def test_fuzz_context(fuzzed: Memory, query: Any, scope: Any, budget: Any) -> None:
    only_ours(lambda: fuzzed.context(query, **scope, budget=budget))


@FUZZ
@given(id=strings | values, scope=scopes)
def test_fuzz_get(fuzzed: Memory, id: Any, scope: Any) -> None:
    only_ours(lambda: fuzzed.get(id, **scope))


@FUZZ
@given(text=strings | values, scope=scopes, metadata=st.none() | st.dictionaries(strings, values))
def test_fuzz_update(fuzzed: Memory, text: Any, scope: Any, metadata: Any) -> None:
    id = an_id(fuzzed)
    only_ours(lambda: fuzzed.update(id, text, **scope, metadata=metadata))


@pytest.mark.parametrize("others", ["S1", "ｓ1", " s1", None])
def test_a_run_is_one_run_to_search_and_list_alike(open_at: Open, others: str | None) -> None:
    memory = open_at()
    memory.add("note one", user_id="ana", run_id="s1" if others else "\u0301")
    memory.add("note two", user_id="ana", run_id=others)
    run = "s1" if others else "\u0301"
    listed = {cube.id for cube in memory.get_all(user_id="ana", run_id=run)}
    assert {hit.id for hit in memory.search("note", user_id="ana", run_id=run)} == listed
