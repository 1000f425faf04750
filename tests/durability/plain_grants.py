"""Who may see which canary, said a second time in plain Python: what the fuzz is measured by.

Nothing here is taken from the implementation. A canary is a word that stands in one place only; a
:class:`Row` says what carries it, and :class:`Rights` whether a principal may be shown that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

CANARY = re.compile(r"kz[0-9a-f]{10}zk")
OWNER = "owner"
ROLES = {
    "reader": {"read"},
    "writer": {"read", "write"},
    "curator": {"read", "write", "forget", "approve"},
    "sharer": {"read", "share"},
    "admin": {"read", "write", "forget", "approve", "share", "admin"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """What carries a canary.

    ``need`` is what it takes to see it: ``row``, a right that reaches the memory; ``all``, one that
    reaches everything of the subject (names of snapshots and branches, rules); ``admin``, that and the
    right to administer (who read why). ``mail`` is what redaction takes out: ``open`` is masked for
    who is not unmasked while a rule says so, ``vaulted`` always, ``gone`` is shown to nobody.
    """

    tenant: str
    subject: str
    kind: str = "turn"
    label: str | None = None
    access: frozenset[str] = frozenset()
    owner: str | None = None
    agent: str | None = None
    run: str | None = None
    need: str = "row"
    mail: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A memory that was written: its id, what it is, and its words without the canaries."""

    id: str
    row: Row
    words: str


@dataclass(frozen=True, slots=True)
class Given:
    """A grant: None for kinds or labels is all of them; subject None is everybody's."""

    id: str
    subject: str | None
    principal: str
    verbs: frozenset[str]
    by: str
    kinds: frozenset[str] | None = None
    agent: str | None = None
    run: str | None = None
    labels: frozenset[str] | None = frozenset()
    unmasked: bool = False
    trust: float = 0.5
    until: datetime | None = None

    def reaches(self, row: Row, names: set[str]) -> bool:
        """Return whether a right of this grant shows a memory."""
        return (
            (self.kinds is None or row.kind in self.kinds)
            and self.agent in (None, row.agent)
            and self.run in (None, row.run)
            and (row.label is None or self.labels is None or row.label in self.labels)
            and (not row.access or bool(names & {*row.access, row.owner}))
        )

    @property
    def whole(self) -> bool:
        """Whether nothing of a subject is out of its reach."""
        return (self.kinds, self.agent, self.run, self.labels) == (None,) * 4 and self.unmasked

    def holds(self, other: Given) -> bool:
        """Return whether another grant lies within this one."""
        return (
            other.verbs <= self.verbs
            and (self.kinds is None or (other.kinds is not None and other.kinds <= self.kinds))
            and self.agent in (None, other.agent)
            and self.run in (None, other.run)
            and (self.labels is None or (other.labels is not None and other.labels <= self.labels))
            and other.trust <= self.trust
            and (self.unmasked or not other.unmasked)
            and (self.subject is None or other.subject is not None)
        )


@dataclass
class Rights:
    """What one tenant has said about who may do what."""

    grants: dict[str, Given] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    masks: dict[str | None, str] = field(default_factory=dict)
    """Mode of redaction by subject; None is the whole tenant."""

    def names(self, principal: str) -> set[str]:
        found = {principal}
        for _ in range(8):
            found |= {group for group, members in self.groups.items() if members & found}
        return found

    def held(self, principal: str, subject: str, now: datetime) -> list[Given]:
        """Return the grants of a principal that stand, whoever passed them on."""
        alive = [
            grant
            for grant in self.grants.values()
            if grant.subject in (None, subject) and (grant.until is None or grant.until > now)
        ]
        standing = [
            grant
            for grant in alive
            if grant.by == OWNER or (grant.by == subject and grant.subject is not None)
        ]
        while True:
            more = [
                grant
                for grant in alive
                if grant not in standing
                and any(
                    "share" in held.verbs
                    and held.principal in self.names(grant.by)
                    and held.holds(grant)
                    for held in standing
                )
            ]
            if not more:
                names = self.names(principal)
                return [grant for grant in standing if grant.principal in names]
            standing += more

    def mode(self, subject: str) -> str:
        return self.masks.get(subject) or self.masks.get(None) or ""

    def may_see(self, principal: str, row: Row, now: datetime) -> bool:
        if row.mail == "gone":
            return False
        if principal in (OWNER, row.subject):
            return True
        held = self.held(principal, row.subject, now)
        if row.need in ("all", "admin"):
            verb = "read" if row.need == "all" else "admin"
            return any(verb in grant.verbs and grant.whole for grant in held)
        names = self.names(principal)
        reading = [grant for grant in held if "read" in grant.verbs and grant.reaches(row, names)]
        masked = row.mail == "vaulted" or (row.mail == "open" and self.mode(row.subject) == "read")
        return any(grant.unmasked or not masked for grant in reading)


def subject_of(scope: dict[str, Any], bound: str | None) -> str:
    if scope.get("user_id"):
        return f"user:{scope['user_id']}"
    if scope.get("agent_id"):
        return f"agent:{scope['agent_id']}"
    return bound or "default"


def strings(value: Any, seen: dict[int, Any] | None = None) -> Iterator[str]:
    """Yield every string in a value, however deep: of dataclasses, mappings, errors and iterables."""
    seen = {} if seen is None else seen
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif value is None or isinstance(value, (int, float, Path, datetime)) or id(value) in seen:
        return
    else:
        seen[id(value)] = value  # kept, so that no other value gets its id
        for part in _parts(value):
            yield from strings(part, seen)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, BaseException):
        notes = getattr(value, "__notes__", ())
        return (str(value), value.args, vars(value), notes, value.__cause__, value.__context__)
    if is_dataclass(value):
        return [getattr(value, item.name) for item in fields(value)]
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    return value if isinstance(value, Iterable) else (repr(value),)


def canaries(*values: Any) -> set[str]:
    """Return the canaries in values."""
    return {word for value in values for text in strings(value) for word in CANARY.findall(text)}
