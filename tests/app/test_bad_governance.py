"""Wrong values for every argument of the calls of governance: refused in words that help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mnemos import Memory
from mnemos.errors import MnemosError
from mnemos.testing import HashEmbedder, SeededEntropy, SeededIds, SimClock

WAY_OUT = re.compile(
    r"allowed|must|give|pass |take|leave|repair|get_all|needs|use |name |write |set |open |make |say |bound "
)
Case = tuple[str, str, list[Any], Callable[[Memory, Any], object]]


@pytest.fixture(scope="module")
def told() -> Iterator[Memory]:
    """A vault that bad input must leave as it is."""
    ports = {"clock": SimClock(), "ids": SeededIds(), "entropy": SeededEntropy()}
    with Memory(":memory:", embedder=HashEmbedder(), background="off", **ports) as memory:
        memory.add("Ana sails a red boat", user_id="ana", external_id="e1")
        yield memory
        assert memory.verify().problems == []


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


THING = object()
NAMES = [5, True, 1.5, b"x", [], ["a"], {}, THING, "", " \t\n", "\ud800"]
COUNTS = [0, -1, 2.5, 5.0, True, None, "5", b"5", [], THING, 10**9, 10**400, float("nan")]
MOMENTS = ["", "soon", "2026-02-30", b"x", [], {}, THING, True, float("nan"), 1e30, "\ud800"]
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
LISTS = [5, True, None, b"tag", {}, THING, [5], [None], [""], ["\ud800"], [b"x"], [["a"]]]

ANA = {"user_id": "ana"}
PRINCIPALS = [
    *NAMES,
    None,
    "ana",
    "user:",
    "user: ",
    "owner:x",
    "root",
    "user:a\nb",
    "user:" + "x" * 201,
]
VERBS = [5, None, THING, "", "root", "READ", [], ["read", "fly"], [5], [[]], b"read", {"x": 1}]
LABELS = [5, None, True, THING, [5], [""], [[]], ["\ud800"], ""]
SHARES = [True, None, "0.5", -0.1, 1.1, float("nan"), float("inf"), [], THING]
SPANS = [True, -1, "soon", "1y", b"1d", [], THING, float("nan"), 1e300]
LIMITS = [True, -1, 1.5, "5", [], THING, 2**60]
ORIGINS = [5, "moon", "", [], THING, b"user"]
IDS = [None, *NAMES]
PATHS = [5, None, [], b"x", "", " ", "a\0b", THING, "/none/there"]
FILTERS = [5, True, "kind", [], [{}], THING, b"x", {"kind": "dream"}, {"no": 1}, {5: 1}]
FILTERS += [
    {"AND": {}},
    {"NOT": []},
    {"tags": {"near": 1}},
    {"trust": {"gt": "high"}},
    {"metadata": 1},
]
FILTERS += [{"kind": {"gt": "fact"}}, {"happened_at": "soon"}, {"speaker": {"in": "ana"}}]
STATES = [5, True, "gone", "", [], ["forgotten"], "forgotten", [5], THING, b"activated"]
SCHEMA = {"type": "object", "properties": {"celsius": {"type": "number"}}}
SCHEMAS: list[Any] = [5, None, "object", [], {}, True, {"type": "string"}]
SCHEMAS += [{"type": "object", "properties": {"note": {"type": "string"}}}]


def _tool(m: Memory, schema: Any = SCHEMA, **words: Any) -> object:
    return m.add_tool_output({"celsius": 1}, schema, **({"tool": "w"} | ANA | words))


CASES: list[Case] = [
    ("acting_as", "principal", PRINCIPALS, lambda m, bad: m.acting_as(bad)),
    (
        "acting_as",
        "reason",
        [5, True, b"x", ["a"], " "],
        lambda m, bad: m.acting_as("user:x", reason=bad),
    ),
    ("grant", "principal", PRINCIPALS, lambda m, bad: m.grant(bad, "reader", **ANA)),
    ("grant", "what", VERBS, lambda m, bad: m.grant("user:x", bad, **ANA)),
    ("grant", "kinds", KINDS, lambda m, bad: m.grant("user:x", "read", kinds=bad, **ANA)),
    ("grant", "label", LABELS, lambda m, bad: m.grant("user:x", "read", labels=bad, **ANA)),
    ("grant", "trust", SHARES, lambda m, bad: m.grant("user:x", "read", trust=bad, **ANA)),
    ("grant", "until", MOMENTS, lambda m, bad: m.grant("user:x", "read", until=bad, **ANA)),
    ("grant", "until", ["2020-01-01"], lambda m, bad: m.grant("user:x", "read", until=bad, **ANA)),
    ("grant", "run_id", NAMES, lambda m, bad: m.grant("user:x", "read", run_id=bad, **ANA)),
    ("revoke_grant", "id", IDS, lambda m, bad: m.revoke_grant(bad, **ANA)),
    ("set_group", "", PRINCIPALS, lambda m, bad: m.set_group(bad, ["user:a"])),
    ("set_group", "name", ["user:a"], lambda m, bad: m.set_group(bad, ["user:a"])),
    (
        "set_group",
        "",
        [5, None, "user:a", [5], ["ana"], THING],
        lambda m, bad: m.set_group("group:g", bad),
    ),
    *(
        (verb, "id", IDS, lambda m, bad, verb=verb: getattr(m, verb)(bad))
        for verb in ("quarantine", "approve", "reject")
    ),
    ("reveal", "id", IDS, lambda m, bad: m.reveal(bad, key=__file__)),
    ("reveal", "", PATHS[1:2], lambda m, bad: m.reveal(an_id(m), key=bad)),
    ("reveal", "key", PATHS[-1:], lambda m, bad: m.reveal(an_id(m), key=bad)),
    ("quarantined", "limit", COUNTS, lambda m, bad: m.quarantined(limit=bad, **ANA)),
    ("quarantined", "after", NAMES, lambda m, bad: m.quarantined(after=bad, **ANA)),
    ("revoke", "source", NAMES, lambda m, bad: m.revoke(source=bad, **ANA)),
    ("revoke", "principal", PRINCIPALS[:11], lambda m, bad: m.revoke(principal=bad, **ANA)),
    ("revoke", "origin", ORIGINS, lambda m, bad: m.revoke(origin=bad, **ANA)),
    ("revoke", "since", MOMENTS, lambda m, bad: m.revoke(origin="tool", since=bad, **ANA)),
    *(
        (
            "set_intake",
            key,
            LIMITS,
            lambda m, bad, key=key: m.set_intake(origin="tool", **{key: bad}, **ANA),
        )
        for key in ("memories_per_hour", "bytes_per_hour", "bytes_each")
    ),
    *(
        (
            verb,
            key,
            values,
            lambda m, bad, verb=verb, key=key, more=more: getattr(m, verb)(
                **{key: bad}, **more, **ANA
            ),
        )
        for verb, more in (("set_intake", {"quarantine": True}), ("drop_intake", {}))
        for key, values in (("origin", ORIGINS), ("source", NAMES), ("principal", PRINCIPALS[:11]))
    ),
    ("add_tool_output", "", SCHEMAS, lambda m, bad: _tool(m, bad)),
    ("add_tool_output", "tool", [5, None, "", " ", [], THING], lambda m, bad: _tool(m, tool=bad)),
    ("add_tool_output", "source", NAMES, lambda m, bad: _tool(m, source=bad)),
    ("add_tool_output", "happened_at", MOMENTS, lambda m, bad: _tool(m, happened_at=bad)),
    (
        "set_redaction",
        "mode",
        [5, None, "", "hide", [], THING],
        lambda m, bad: m.set_redaction(bad, **ANA),
    ),
    (
        "set_redaction",
        "classes",
        [5, "x", [5], ["x"], THING, [[]]],
        lambda m, bad: m.set_redaction(classes=bad, **ANA),
    ),
    (
        "set_redaction",
        "region",
        [5, None, "", " ", []],
        lambda m, bad: m.set_redaction(region=bad, **ANA),
    ),
    ("set_redaction", "seal_key", ["vault"], lambda m, bad: m.set_redaction(bad, **ANA)),
    ("watermark", "path", PATHS[:-1], lambda m, bad: m.watermark("x " * 99, key=bad, number=1)),
    ("watermark", "key", PATHS[-1:], lambda m, bad: m.watermark("x " * 99, key=bad, number=1)),
    (
        "watermark",
        "number",
        [-1, 2**32, True, "1", 1.5, None],
        lambda m, bad: m.watermark("x " * 99, key=__file__, number=bad),
    ),
    (
        "watermark",
        "text",
        [5, None, b"x", []],
        lambda m, bad: m.watermark(bad, key=__file__, number=1),
    ),
    ("read_watermark", "path", PATHS[:-1], lambda m, bad: m.read_watermark("x", key=bad)),
    (
        "read_watermark",
        "text",
        [5, None, b"x", []],
        lambda m, bad: m.read_watermark(bad, key=__file__),
    ),
    ("set_audit", "mode", [5, None, "", "all", [], THING], lambda m, bad: m.set_audit(bad, **ANA)),
    ("set_audit", "keep", SPANS, lambda m, bad: m.set_audit("audited", keep=bad, **ANA)),
    (
        "drop_reads",
        "older_than",
        [None, *SPANS],
        lambda m, bad: m.drop_reads(older_than=bad, **ANA),
    ),
    ("reads", "principal", NAMES, lambda m, bad: m.reads(principal=bad, **ANA)),
    ("reads", "id", NAMES, lambda m, bad: m.reads(id=bad, **ANA)),
    ("reads", "since", MOMENTS, lambda m, bad: m.reads(since=bad, **ANA)),
    ("reads", "until", MOMENTS, lambda m, bad: m.reads(until=bad, **ANA)),
    ("reads", "limit", COUNTS, lambda m, bad: m.reads(limit=bad, **ANA)),
    ("add", "origin", ORIGINS, lambda m, bad: m.add("x", origin=bad)),
    ("add", "source", NAMES, lambda m, bad: m.add("x", source=bad)),
    ("add", "sensitivity", NAMES, lambda m, bad: m.add("x", sensitivity=bad)),
    ("add", "", [*LISTS, "user:a", ["ana"], ["user:"]], lambda m, bad: m.add("x", access=bad)),
    ("add", "", [5, None, "x", [5], [""], [None]], lambda m, bad: m.add("x", derived_from=bad)),
    ("update", "origin", ORIGINS, lambda m, bad: m.update(an_id(m), "x", origin=bad)),
    ("supersede", "origin", ORIGINS, lambda m, bad: m.supersede(an_id(m), "x", origin=bad)),
    ("contradict", "origin", ORIGINS, lambda m, bad: m.contradict(an_id(m), "x", origin=bad)),
    ("search", "states", STATES, lambda m, bad: m.search("x", states=bad)),
    *(
        (verb, "", FILTERS, lambda m, bad, call=call: call(m, filters=bad))
        for verb, call in {
            "search": lambda m, **words: m.search("x", **words),
            "context": lambda m, **words: m.context("x", **words),
            "get_all": lambda m, **words: m.get_all(**ANA, **words),
        }.items()
    ),
]


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


SCOPED = {
    "grant": lambda m, **scope: m.grant("user:x", "reader", **scope),
    "revoke_grant": lambda m, **scope: m.revoke_grant("f" * 32, **scope),
    "grants": lambda m, **scope: m.grants(**scope),
    "quarantined": lambda m, **scope: m.quarantined(**scope),
    "revoke": lambda m, **scope: m.revoke(origin="tool", **scope),
    "set_intake": lambda m, **scope: m.set_intake(origin="tool", quarantine=True, **scope),
    "drop_intake": lambda m, **scope: m.drop_intake(origin="tool", **scope),
    "set_redaction": lambda m, **scope: m.set_redaction(classes="email", **scope),
    "drop_redaction": lambda m, **scope: m.drop_redaction(**scope),
    "set_audit": lambda m, **scope: m.set_audit("audited", **scope),
    "reads": lambda m, **scope: m.reads(**scope),
    "read_counts": lambda m, **scope: m.read_counts(**scope),
    "drop_reads": lambda m, **scope: m.drop_reads(older_than="1d", **scope),
}
WIDE = (
    "grant",
    "revoke_grant",
    "set_intake",
    "drop_intake",
    "set_redaction",
    "drop_redaction",
    "set_audit",
)


@pytest.mark.parametrize("verb", SCOPED)
def test_a_call_without_anybody_named_is_refused(told: Memory, verb: str) -> None:
    call = SCOPED[verb]
    refused(told, lambda: call(told), "user_id", "agent_id")
    for name in NAMES:
        refused(told, lambda name=name: call(told, user_id=name), "user_id")
        refused(told, lambda name=name: call(told, agent_id=name), "agent_id")
    if verb in WIDE:
        refused(told, lambda: call(told, everywhere=True, **ANA), "everywhere")


def test_a_key_that_is_too_short_or_a_folder_is_refused(told: Memory, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 15)
    for key in (tmp_path / "short", tmp_path):
        refused(told, lambda key=key: told.read_watermark("x", key=key), "key")


def test_nothing_to_set_or_two_sources_are_refused(told: Memory) -> None:
    refused(told, lambda: told.set_intake(origin="tool", **ANA), "nothing")
    refused(told, lambda: told.set_intake(quarantine=True, **ANA), "one source")
    both = {"origin": "tool", "source": "x"}
    refused(told, lambda: told.set_intake(quarantine=True, **both, **ANA), "one source")
    refused(told, lambda: told.revoke(**ANA), "nothing to revoke")
