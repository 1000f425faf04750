"""Memories to filter, a page of them, and filters with what they mean."""

from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import pytest

from mnemos.errors import InvalidInput
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.canonical import Body, microseconds
from mnemos.kernel.governance.filter_tree import OPERATORS
from mnemos.kernel.governance.filters import Filter, parse_filter
from mnemos.kernel.projection import page_row
from mnemos.kernel.schema import ALIVE, Event
from mnemos.kernel.segments import tail_columns
from mnemos.types import Header, Kind, MemCube, Origin, Scope, State, Text

NOON = datetime(2025, 3, 4, 12, tzinfo=UTC)
DAYS = [NOON + timedelta(days=n) for n in range(4)]
ALL_OPERATORS = sorted({name for names in OPERATORS.values() for name in names})


def read(value: object, zone: tzinfo = UTC) -> Filter:
    found = parse_filter(value, zone=zone)
    assert found is not None
    return found


def refused(value: object, zone: tzinfo = UTC) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(value, zone=zone)
    return str(caught.value)


def cube(text: str = "", *, id: str = "c", at: datetime = NOON, **given) -> MemCube:
    state, version = given.pop("state", State.ACTIVATED), given.pop("version", 1)
    payload = given.pop("payload", Text(text=text))
    return MemCube(
        id=id,
        scope=Scope(tenant="t", subject="ana"),
        header=Header(**given),
        payload=payload,
        state=state,
        version=version,
        recorded_at=at,
    )


def page(cubes: list[MemCube]) -> PageArrays:
    """Return the arrays a vault keeps of these memories, by the rows a commit writes."""
    rows = []
    for place, item in enumerate(cubes, start=1):
        at = microseconds(item.recorded_at)
        event = Event("t", place, place, at, "add", 1, 0, 1, item.id, place, item.state, b"", b"")
        body = Body(scope=item.scope, header=item.header, payload=item.payload)
        rows.append(page_row(event, place, body))
    columns = np.asfortranarray(tail_columns(rows))
    return PageArrays(columns, np.full(len(cubes), ALIVE, np.int64), None, ())


def nested(levels: int, name: str = "NOT") -> dict:
    value = {"kind": "fact"}
    for _ in range(levels - 1):
        value = {name: value if name == "NOT" else [value]}
    return value


def angry(*_given, **_named):
    raise RuntimeError("asked")


RICH = cube(
    "The Boat is red",
    id="rich",
    at=DAYS[2],
    version=3,
    kind=Kind.FACT,
    role="user",
    speaker="Ana Silva",
    run_id="s1",
    agent_id="scout",
    happened_at=DAYS[1],
    valid_from=DAYS[0],
    valid_to=DAYS[3],
    expires_at=DAYS[3],
    external_id="x-1",
    source="notes.md",
    method="extract",
    model="m",
    tags=("boat", "Red"),
    entities=("Ana",),
    language="en",
    owner="ana",
    origin=Origin.TOOL,
    trust=0.5,
    sensitivity="private",
    priority=2,
    frozen=True,
    hold=True,
    metadata={
        "tier": 3,
        "ratio": 1.0,
        "on": True,
        "name": "Örtliche Notiz",
        "nothing": None,
        "list": ["a", 1, None, [2], {"k": "v"}],
        "deep": {"er": {"est": "x"}},
        "a.b": "dotted",
        "back\\slash": "slashed",
        "__class__": "a name like another",
        "empty": "",
    },
)
BARE = cube(id="bare", at=DAYS[0], state=State.GENERATED)

MEANS_RICH = [
    {"id": "rich"},
    {"kind": "fact"},
    {"kind": Kind.FACT},
    {"kind": ["fact", "event"]},
    {"kind": {"ne": "turn"}},
    {"kind": {"nin": ["turn", "chunk"]}},
    {"state": "activated"},
    {"state": State.ACTIVATED},
    {"role": "user"},
    {"speaker": "Ana Silva"},
    {"speaker": {"contains": "Silva"}},
    {"speaker": {"icontains": "silva"}},
    {"run_id": "s1"},
    {"run_id": {"exists": True}},
    {"run_id": {"ne": None}},
    {"run_id": {"gt": "s0", "lt": "s2"}},
    {"agent_id": ["scout", "other"]},
    {"external_id": {"gte": "x-1"}},
    {"source": "notes.md"},
    {"origin": "tool"},
    {"trust": 0.5},
    {"trust": {"gt": 0.4, "lte": 0.5}},
    {"trust": {"lt": 1}},
    {"sensitivity": "private"},
    {"owner": ["ana"]},
    {"tags": "boat"},
    {"tags": ["sail", "boat"]},
    {"tags": {"contains": "Red"}},
    {"tags": {"icontains": "RED"}},
    {"tags": {"exists": True}},
    {"entities": "Ana"},
    {"language": "en"},
    {"method": "extract"},
    {"model": "m"},
    {"priority": {"gte": 2}},
    {"priority": 2.0},
    {"frozen": True},
    {"hold": {"ne": False}},
    {"happened_at": "2025-03-05T12:00:00Z"},
    {"happened_at": DAYS[1]},
    {"happened_at": DAYS[1].timestamp()},
    {"happened_at": int(DAYS[1].timestamp())},
    {"happened_at": {"between": [DAYS[1], DAYS[2]]}},
    {"happened_at": {"gt": "2025-03-05", "lt": "2025-03-06"}},
    {"valid_from": {"lte": DAYS[0]}},
    {"valid_to": [DAYS[3], DAYS[1]]},
    {"valid_from": {"between": [DAYS[0], DAYS[1]]}},
    {"expires_at": {"exists": True}},
    {"expires_at": {"gte": DAYS[3]}},
    {"recorded_at": {"gt": DAYS[1]}},
    {"version": {"gt": 1}},
    {"text": {"contains": "Boat is"}},
    {"text": {"icontains": "THE BOAT"}},
    {"text": "The Boat is red"},
    {"metadata.tier": 3},
    {"metadata.tier": 3.0},
    {"metadata.tier": {"gte": 3}},
    {"metadata.tier": {"in": ["3", 3]}},
    {"metadata.ratio": 1},
    {"metadata.on": True},
    {"metadata.name": {"icontains": "ÖRTLICHE"}},
    {"metadata.name": {"gt": "Z"}},
    {"metadata.list": {"contains": "a"}},
    {"metadata.list": {"contains": 1.0}},
    {"metadata.list": {"icontains": "A"}},
    {"metadata.list": {"eq": ["a", 1, None, [2], {"k": "v"}]}},
    {"metadata.deep": {"eq": {"er": {"est": "x"}}}},
    {"metadata.deep.er": {"in": [{"est": "y"}, {"est": "x"}]}},
    {"metadata.deep.er.est": "x"},
    {r"metadata.a\.b": "dotted"},
    {r"metadata.back\\slash": "slashed"},
    {"metadata.__class__": "a name like another"},
    {"metadata.empty": {"exists": True}},
    {"metadata.empty": ""},
    {"NOT": {"kind": "turn"}},
    {"NOT": [{"kind": "turn"}, {"run_id": None}]},
    {"AND": [{"kind": "fact"}, {"OR": [{"run_id": "s2"}, {"trust": {"lt": 1}}]}]},
    {"kind": "fact", "state": "activated", "metadata.tier": 3},
]

MEANS_BARE = [
    {"run_id": None},
    {"run_id": ""},
    {"run_id": [None, "s9"]},
    {"speaker": {"exists": False}},
    {"speaker": {"ne": "Ana Silva"}},
    {"speaker": {"nin": ["Ana Silva"]}},
    {"tags": None},
    {"tags": {"exists": False}},
    {"tags": {"ne": "boat"}},
    {"tags": [None, "sail"]},
    {"tags": {"nin": ["boat", "sail"]}},
    {"happened_at": None},
    {"happened_at": {"ne": DAYS[1]}},
    {"NOT": {"happened_at": {"lt": DAYS[3]}}},
    {"valid_to": None},
    {"expires_at": [None, DAYS[0]]},
    {"recorded_at": {"between": [DAYS[0], DAYS[1]]}},
    {"text": None},
    {"text": {"exists": False}},
    {"trust": 1},
    {"version": 1},
    {"hold": False},
    {"metadata.tier": None},
    {"metadata.tier": {"exists": False}},
    {"metadata.tier": {"ne": 3}},
    {"metadata.deep.er.est": None},
]

MEANS_NEITHER = [
    {"kind": []},
    {"kind": None},
    {"kind": "event"},
    {"id": "Rich"},
    {"text": {"contains": "boat is"}},
    {"tags": "red"},
    {"tags": {"contains": "boa"}},
    {"trust": {"gt": 1}},
    {"happened_at": {"between": [DAYS[0], DAYS[1]]}},
    {"happened_at": {"between": [DAYS[1], DAYS[1]]}},
    {"expires_at": {"between": [DAYS[1], DAYS[3]]}},
    {"expires_at": {"gt": DAYS[3]}},
    {"valid_from": {"lt": DAYS[0]}},
    {"metadata.tier": "3"},
    {"metadata.tier": True},
    {"metadata.tier": {"gt": "2"}},
    {"metadata.on": 1},
    {"metadata.ratio": True},
    {"metadata.name": {"contains": "örtliche"}},
    {"metadata.name": {"gt": 1}},
    {"metadata.nothing": {"exists": True}},
    {"metadata.list": {"contains": "1"}},
    {"metadata.list": {"contains": True}},
    {"metadata.list": ["a"]},
    {"metadata.list.0": "a"},
    {"metadata.tier": {"contains": 3}},
    {"metadata.name.x": "y"},
    {"metadata.deep": {"eq": {"er": {}}}},
    {"metadata.a.b": "dotted"},
    {"metadata.__init__": {"exists": True}},
    {"metadata.keys": {"exists": True}},
    {"metadata.get": {"exists": True}},
    {"AND": [{"kind": "fact"}, {"kind": "turn"}]},
]
