r"""The one filter grammar: a filter is data, read into a tree, decided on memories in Python.

A filter is a JSON object. Nothing of it ever becomes part of a query text: its keys are looked up
in a table, its values are compared, so it means the same on every store and has nothing to
inject into. :mod:`mnemos.kernel.governance.filter_masks` decides it on whole pages.

- ``{"kind": "fact"}`` is equality; a list means any of it; None means "is not set".
- ``{"trust": {"gte": 0.5, "lt": 1}}`` names operators: ``eq ne in nin exists`` for every key,
  ``gt gte lt lte`` for numbers, moments and texts, ``contains icontains`` for texts and lists,
  ``between`` (a start and an end, half open) for moments.
- Several keys, or several operators, are joined by and. ``{"AND": [f, …]}``, ``{"OR": [f, …]}``
  and ``{"NOT": f}`` join filters; ``{"NOT": [f, …]}`` means not any of them.

What lies under a key decides what fits:

- *Texts* compare by code point, and case counts; an empty one is as good as none.
- ``tags`` and ``entities`` are several texts: ``eq`` and ``contains`` ask whether one is among
  them, ``in`` whether any is. ``icontains`` ignores case.
- *Moments* are aware datetimes, ISO strings or unix seconds; what has no zone takes the reader's.
- ``metadata.<path>`` is any JSON value. A dot leads into an object; a dot or a backslash that
  belongs to a name is written ``\.`` or ``\\``. A value of another JSON type does not match: "3"
  is not 3, true is not 1, 1 is 1.0. null is not set. Lists and objects are equal as a whole.
- ``ne``, ``nin`` and NOT are plain negation: what is not set does not equal anything, so it
  matches them.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import tzinfo
from typing import Any, NoReturn

from mnemos.errors import InvalidInput
from mnemos.kernel.governance.filter_tree import (
    CHOICES,
    OPERATORS,
    TYPES,
    And,
    Compare,
    Filter,
    Node,
    Not,
    Or,
    joined,
    type_of,
)
from mnemos.kernel.governance.filter_values import (
    MOST_IN_LIST,
    MOST_LEVELS,
    NOTHING,
    Value,
    read_items,
    read_moment,
    read_number,
    read_pairs,
    read_text,
    shown,
)

__all__ = ["MOST_NAME", "MOST_NODES", "MOST_SEGMENTS", "MOST_VALUES", "Filter", "parse_filter"]

MOST_NODES = 64
"""Conditions and AND, OR, NOT of one filter."""

MOST_VALUES = 8_192
"""Values of one filter altogether, those inside JSON values included."""

MOST_SEGMENTS = 8
"""Names of a metadata path."""

MOST_NAME = 64
"""Characters of one of them."""

_WANTED = {
    "text": "a string",
    "number": "a finite number",
    "boolean": "true or false",
    "moment": "an ISO 8601 string such as '2025-03-04T18:00:00+01:00', unix seconds, or a datetime",
    "several": "a string",
    "json": f"a JSON value, up to {MOST_LEVELS} levels deep: strings, finite numbers, true, false, "
    "null, lists, and objects whose keys are strings",
}
_NAME = re.compile(r"(?:[^.\\]|\\[.\\])*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parse_filter(value: object, *, zone: tzinfo) -> Filter | None:
    """Read a filter.

    Parameters
    ----------
    value : object
        What the caller gave: a dict as the grammar has it. None and ``{}`` are no filter.
    zone : tzinfo
        Of moments that name none.

    Returns
    -------
    Filter or None
        None where there is nothing to filter.

    Raises
    ------
    InvalidInput
        For anything else: an unknown key or operator, a value that does not fit its key, or more
        than the bounds of this module allow.

    Examples
    --------
    >>> from datetime import UTC
    >>> given = {"trust": {"gte": 0.5}, "kind": ["turn", "fact"]}
    >>> found = parse_filter(given, zone=UTC)
    >>> found.as_dict()
    {'AND': [{'kind': {'in': ['fact', 'turn']}}, {'trust': {'gte': 0.5}}]}
    >>> sorted(found.keys())
    ['kind', 'trust']
    >>> parse_filter({"hold": "yes"}, zone=UTC)
    Traceback (most recent call last):
    mnemos.errors.InvalidInput: filter key 'hold': 'yes' does not fit; give true or false
    """
    if value is None or read_pairs(value, MOST_NODES) == []:
        return None
    return Filter(root=_Reader(zone).tree(value, 1))


def _path(key: str) -> tuple[str, ...]:
    """Return the names of a metadata key, ``metadata`` first.

    Raises
    ------
    InvalidInput
        If it is no allowed key.
    """
    names: list[str] = []
    end = -1
    while end < len(key):
        found = _NAME.match(key, end + 1)
        start, end = end + 1, found.end() if found else end + 1
        if end < len(key) and key[end] != ".":
            raise InvalidInput(
                f"filter key {shown(key)} has a backslash that protects nothing; write "
                r"\. for a dot and \\ for a backslash within a name"
            )
        names.append(_ESCAPED.sub(r"\1", key[start:end]))
    for name in names:
        if not 1 <= len(name) <= MOST_NAME or any(unicodedata.category(c) == "Cc" for c in name):
            raise InvalidInput(
                f"filter key {shown(key)} has the name {shown(name)}; allowed: 1 to {MOST_NAME} "
                "characters, none of them a control character"
            )
    if len(names) > MOST_SEGMENTS + 1:
        raise InvalidInput(
            f"filter key {shown(key)} has {len(names) - 1} names after metadata; allowed: up to "
            f"{MOST_SEGMENTS}"
        )
    return tuple(names)


def _refuse(key: str, value: object, wanted: str) -> NoReturn:
    raise InvalidInput(f"filter key {shown(key)}: {shown(value)} does not fit; give {wanted}")


class _Reader:
    """Reads one filter and counts what it holds.

    Parameters
    ----------
    zone : tzinfo
        Of moments that name none.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._nodes = 0
        self._values = 0

    # ----------------------------------------------------------------------------------- nodes

    def tree(self, value: object, level: int) -> Node:
        """Return the node a filter object means, its conditions joined by and."""
        pairs = read_pairs(value, MOST_NODES)
        if pairs is None:
            raise InvalidInput(
                f'a filter is {shown(value)}; give an object such as {{"kind": "fact"}}'
            )
        if not pairs:
            raise InvalidInput("a filter within a filter is empty; give at least one condition")
        inner = self._within(level, len(pairs))
        return joined(And, [self._entry(key, item, inner) for key, item in pairs])

    def _within(self, level: int, parts: int) -> int:
        """Return the level of the parts of an object: several are an AND that nobody wrote."""
        if parts > 1:
            self._count()
            level += 1
        if level > MOST_LEVELS:
            raise InvalidInput(f"a filter is nested too deep; allowed: up to {MOST_LEVELS} levels")
        return level

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise InvalidInput(
                f"a filter has too many conditions; allowed: up to {MOST_NODES}, each AND, OR and "
                "NOT counted; a list says many values in one condition"
            )

    def _entry(self, key: object, value: object, level: int) -> Node:
        name = read_text(key, "a filter key")
        if name is None:
            raise InvalidInput(f"a filter key is {shown(key)}; give a string")
        if name not in ("AND", "OR", "NOT"):
            return self._conditions(name, value, level)
        self._count()
        items = read_items(value)
        if name == "NOT" and items is None:
            return Not(part=self.tree(value, level + 1))
        if not items:
            _refuse(name, value, "a list of one filter or more")
        if name != "NOT":
            return self._group(And if name == "AND" else Or, items, level)
        if len(items) > 1:
            self._count()
        return Not(part=self._group(Or, items, level + (len(items) > 1)))

    def _group(self, group: type[And] | type[Or], items: list[object], level: int) -> Node:
        return joined(group, [self.tree(item, level + 1) for item in items])

    def _conditions(self, key: str, value: object, level: int) -> Node:
        path = (key,)
        if key.startswith("metadata."):
            path = _path(key)
        elif key not in TYPES:
            raise InvalidInput(
                f"filter key {shown(key)} is not known; allowed: {', '.join(TYPES)}, "
                "metadata.<name>, AND, OR, NOT"
            )
        pairs = read_pairs(value, MOST_NODES)
        if pairs is None:
            pairs = [("eq" if read_items(value) is None else "in", value)]
        if not pairs:
            _refuse(key, value, "a value, or an object of operators")
        self._within(level, len(pairs))
        return joined(And, [self._compare(key, path, name, item) for name, item in pairs])

    def _compare(self, key: str, path: tuple[str, ...], operator: object, value: object) -> Node:
        self._count()
        allowed = OPERATORS[type_of(key)]
        name = read_text(operator, f"an operator of filter key {shown(key)}")
        if name is None or name not in allowed:
            raise InvalidInput(
                f"filter key {shown(key)}: the operator {shown(operator)} does not fit; allowed: "
                f"{', '.join(allowed)}"
            )
        return Compare(key=key, path=path, operator=name, value=self._wanted(key, name, value))

    # ---------------------------------------------------------------------------------- values

    def _wanted(self, key: str, operator: str, value: object) -> Value:
        """Return what an operator compares with."""
        match operator:
            case "eq" | "ne":
                return self._equal(key, value)
            case "in" | "nin":
                items = read_items(value)
                if items is None:
                    _refuse(key, value, "a list of values")
                return Value("set", frozenset(self._equal(key, item) for item in items))
            case "exists":
                if type(value) is not bool:
                    _refuse(key, value, "true or false")
                return Value("boolean", value)
            case "between":
                return self._span(key, value)
            case _:
                return self._part(key, operator, value)

    def _equal(self, key: str, value: object) -> Value:
        """Return a value to be equal to: None fits every key, and an empty text is none."""
        if value is None:
            self._weigh()
            return NOTHING
        found = self._value(key, value)
        return NOTHING if type_of(key) == "text" and not found.value else found

    def _part(self, key: str, operator: str, value: object) -> Value:
        """Return a value to order by or to look for inside another."""
        kind = type_of(key)
        if kind != "json":
            return self._value(key, value)
        fits = {"icontains": ("text",), "contains": ("text", "number", "boolean")}
        allowed = fits.get(operator, ("text", "number"))
        found = self._value(key, value)
        if found.type not in allowed:
            _refuse(key, value, " or ".join(_WANTED[name] for name in allowed))
        return found

    def _span(self, key: str, value: object) -> Value:
        items = read_items(value)
        if items is None or len(items) != 2:
            _refuse(key, value, "a list of two moments, a start and an end")
        start, end = (self._value(key, item).value for item in items)
        if start > end:
            _refuse(key, value, "a start that does not lie after the end")
        return Value("span", (start, end))

    def _value(self, key: str, value: object) -> Value:
        """Return a value of a key's own type."""
        kind = type_of(key)
        if kind == "json":
            return self._json(key, value, MOST_LEVELS)
        self._weigh()
        where = f"filter key {shown(key)}"
        found: Any
        match kind:
            case "boolean":
                found = value if type(value) is bool else None
            case "number":
                found = read_number(value)
            case "moment":
                found = read_moment(value, self._zone, where)
            case _:
                found = read_text(value, where)
        if kind == "choice" and found not in tuple(CHOICES[key]):
            _refuse(key, value, f"one of {', '.join(CHOICES[key])}")
        if found is None:
            _refuse(key, value, _WANTED[kind])
        return Value("text" if kind in ("choice", "several") else kind, found)

    def _weigh(self) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise InvalidInput(f"a filter has too many values; allowed: up to {MOST_VALUES}")

    def _json(self, key: str, value: object, room: int) -> Value:
        """Return a JSON value, lists and objects included."""
        items, pairs = read_items(value), read_pairs(value, MOST_IN_LIST)
        if items is None and pairs is None:
            return self._json_scalar(key, value)
        self._weigh()
        if room == 0:
            _refuse(key, value, _WANTED["json"])
        if items is not None:
            return Value("list", tuple(self._json(key, item, room - 1) for item in items))
        named: dict[str, Value] = {}
        for name, item in pairs or ():
            text = read_text(name, f"filter key {shown(key)}")
            if text is None:
                _refuse(key, name, _WANTED["json"])
            named[text] = self._json(key, item, room - 1)
        return Value("object", frozenset(named.items()))

    def _json_scalar(self, key: str, value: object) -> Value:
        self._weigh()
        if value is None:
            return NOTHING
        if type(value) is bool:
            return Value("boolean", value)
        number = read_number(value)
        if number is not None:
            return Value("number", number)
        text = read_text(value, f"filter key {shown(key)}")
        if text is None:
            _refuse(key, value, _WANTED["json"])
        return Value("text", text)
