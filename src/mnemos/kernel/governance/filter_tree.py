"""The tree of a filter: its conditions, what they look at, and its decision on one memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, cast

from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance.filter_values import NOTHING, ORDER, Value, passes, plain, typed
from mnemos.types import Kind, MemCube, Origin, State

_KEYS = {
    "text": "id role speaker run_id agent_id external_id source sensitivity owner language method "
    "model text",
    "choice": "kind state origin",
    "number": "trust priority version",
    "boolean": "frozen hold",
    "moment": "happened_at valid_from valid_to expires_at recorded_at",
    "several": "tags entities",
}
_OF_CUBE = frozenset({"id", "state", "version", "recorded_at", "text"})

TYPES = {key: name for name, keys in _KEYS.items() for key in keys.split()}
"""The keys there are beside ``metadata.<path>``, with the type of what lies under them."""

_READ: dict[str, Callable[[MemCube], Any]] = {
    key: attrgetter(key if key in _OF_CUBE else f"header.{key}") for key in TYPES
}

CHOICES: dict[str, type[StrEnum]] = {"kind": Kind, "state": State, "origin": Origin}
"""What the keys of type choice may be."""

_EVERY = ("eq", "ne", "in", "nin", "exists")
OPERATORS = {
    "text": (*_EVERY, *ORDER, "contains", "icontains"),
    "choice": _EVERY,
    "number": (*_EVERY, *ORDER),
    "boolean": _EVERY,
    "moment": (*_EVERY, *ORDER, "between"),
    "several": (*_EVERY, "contains", "icontains"),
    "json": (*_EVERY, *ORDER, "contains", "icontains"),
}
"""The operators each type allows; ``json`` is the type of metadata."""


def type_of(key: str) -> str:
    """Return the type of what lies under a key.

    >>> type_of("trust"), type_of("metadata.tier")
    ('number', 'json')
    """
    return TYPES.get(key, "json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """One condition: what lies under a key, compared with a value.

    Parameters
    ----------
    key : str
        As it is written in a filter.
    path : tuple of str
        The key, or ``metadata`` and the names that lead to the value.
    operator : str
        One of those the key's type allows.
    value : Value
        What to compare with.
    """

    key: str
    path: tuple[str, ...]
    operator: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class And:
    """All of its parts: two or more, in the order of their JSON."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Or:
    """Any of its parts: two or more, in the order of their JSON."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """What its part is not."""

    part: Node


Node = Compare | And | Or | Not


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A filter as ``parse_filter`` read it.

    Filters that differ in nothing but the order of keys and lists, in groups within groups of the
    same kind, or in conditions said twice, are equal.

    Parameters
    ----------
    root : And, Or, Not or Compare
        The tree.
    """

    root: Node

    def matches(self, cube: MemCube) -> bool:
        """Return whether a memory fits the filter."""
        return _fits(self.root, cube)

    def keys(self) -> frozenset[str]:
        """Return the keys the filter looks at, as they are written."""
        return frozenset(_keys(self.root))

    def as_dict(self) -> dict[str, Any]:
        """Return the filter as JSON, one spelling for all that are equal.

        Read again, in whatever zone, it is the same filter.
        """
        return _plain_node(self.root)


def joined(group: type[And] | type[Or], parts: Iterable[Node]) -> Node:
    """Return one node or more as one: groups of the same kind opened, no part twice, sorted."""
    opened: dict[Node, str] = {}
    for part in parts:
        for item in part.parts if isinstance(part, group) else (part,):
            if item not in opened:
                opened[item] = _spelling(_plain_node(item))
    if len(opened) == 1:
        return next(iter(opened))
    return group(parts=tuple(sorted(opened, key=opened.__getitem__)))


# ------------------------------------------------------------------------ deciding on a memory


def _fits(node: Node, cube: MemCube) -> bool:
    match node:
        case Compare():
            return passes(node.operator, _found(node, cube), node.value)
        case And():
            return all(_fits(part, cube) for part in node.parts)
        case Or():
            return any(_fits(part, cube) for part in node.parts)
        case Not():
            return not _fits(node.part, cube)


def _found(compare: Compare, cube: MemCube) -> Value:
    """Return what a memory has under a key."""
    name = compare.path[0]
    if name not in TYPES:
        return _in_metadata(compare.path[1:], cube.header.metadata)
    value = _READ[name](cube)
    match TYPES[name]:
        case "moment":
            return NOTHING if value is None else Value("moment", microseconds(value))
        case "several":
            texts = tuple(Value("text", text) for text in value)
            return Value("several", texts) if texts else NOTHING
        case "text" | "choice":
            return Value("text", value) if value else NOTHING
        case name:
            return Value(name, value)


def _in_metadata(names: tuple[str, ...], metadata: Mapping[str, Any]) -> Value:
    """Return what lies at the end of a path: names are looked up, never asked of an object."""
    inner: object = metadata
    for name in names:
        if not isinstance(inner, Mapping):
            return NOTHING
        inner = cast("Mapping[str, object]", inner).get(name)
    return typed(inner)


# ---------------------------------------------------------------------------- the tree as JSON


def _keys(node: Node) -> list[str]:
    match node:
        case Compare():
            return [node.key]
        case Not():
            return _keys(node.part)
        case And() | Or():
            return [key for part in node.parts for key in _keys(part)]


def _plain_node(node: Node) -> dict[str, Any]:
    match node:
        case Compare():
            value = plain(node.value)
            if node.value.type == "set":
                value.sort(key=_spelling)
            return {node.key: {node.operator: value}}
        case Not():
            return {"NOT": _plain_node(node.part)}
        case And():
            return {"AND": [_plain_node(part) for part in node.parts]}
        case Or():
            return {"OR": [_plain_node(part) for part in node.parts]}


def _spelling(value: object) -> str:
    return json.dumps(value, sort_keys=True)
