"""Who may do what: principals, groups and grants, resolved in one place into rights.

A grant is principal x scope x verb x kind. It is looked up in the very snapshot that answers, and
in the very transaction that writes, so a grant taken back counts from the next call on, on every
index. What a principal passes on reaches no further than what it holds itself, at any time: with
the right to share gone, everything shared by it is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mnemos.errors import Forbidden, InvalidInput
from mnemos.kernel.governance import rules
from mnemos.kernel.governance.rules import Rule, Sort
from mnemos.kernel.governance.views import OWNER, Right, View, with_rights
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import ReadTx
from mnemos.types import Kind

DEPTH = 8
"""Longest chain of grants passed on, and of groups within groups."""

FOREIGN_TRUST = 0.5
"""Most trust that words written by another principal get, where the grant says nothing else: what
somebody else writes into a page is quoted there, and overrules nothing its owner said."""

_PRINCIPAL = re.compile(
    r"(user|agent|service|group):[^\s\x00-\x1f\x7f](.{0,198}[^\s\x00-\x1f\x7f])?"
)


class Verb(StrEnum):
    """What a principal can be allowed to do with a scope."""

    READ = "read"
    WRITE = "write"
    FORGET = "forget"
    APPROVE = "approve"
    SHARE = "share"
    ADMIN = "admin"


ROLES: Mapping[str, frozenset[Verb]] = {
    "reader": frozenset({Verb.READ}),
    "writer": frozenset({Verb.READ, Verb.WRITE}),
    "curator": frozenset({Verb.READ, Verb.WRITE, Verb.FORGET, Verb.APPROVE}),
    "sharer": frozenset({Verb.READ, Verb.SHARE}),
    "admin": frozenset(Verb),
}
"""Names for sets of verbs people usually grant together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A right somebody gave: who may do what, in which scope, with which kinds, until when.

    Parameters
    ----------
    id : str
        Names it, for taking it back.
    principal : str
        Who gets it: ``user:…``, ``agent:…``, ``service:…`` or ``group:…``.
    verbs : frozenset of Verb
        What it allows.
    kinds : frozenset of Kind or None
        With which kinds of memory; None is all.
    agent_id, run_id : str or None
        Only rows of this agent or run.
    labels : frozenset of str or None
        Sensitivity labels it clears; None clears all. Memories without a label need none.
    trust : float
        Most trust that what its holder writes can have.
    unmasked : bool
        Whether what redaction masks on reading is shown.
    until : datetime or None
        End of it.
    by : str
        Who gave it.
    everywhere : bool
        Whether it holds for every subject of the tenant.
    """

    id: str
    principal: str
    verbs: frozenset[Verb]
    kinds: frozenset[Kind] | None = None
    agent_id: str | None = None
    run_id: str | None = None
    labels: frozenset[str] | None = frozenset()
    trust: float = FOREIGN_TRUST
    unmasked: bool = False
    until: datetime | None = None
    by: str = OWNER
    everywhere: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what the rule's record holds: JSON values, the defaults left out."""
        value: dict[str, Any] = {
            "principal": self.principal,
            "verbs": sorted(self.verbs),
            "trust": self.trust,
            "by": self.by,
        }
        if self.kinds is not None:
            value["kinds"] = sorted(self.kinds)
        if self.labels != frozenset():
            value["labels"] = None if self.labels is None else sorted(self.labels)
        for name in ("agent_id", "run_id"):
            if getattr(self, name) is not None:
                value[name] = getattr(self, name)
        if self.unmasked:
            value["unmasked"] = True
        if self.until is not None:
            value["until"] = self.until.isoformat()
        return value

    @classmethod
    def of(cls, rule: Rule) -> Grant:
        """Return the grant a rule holds."""
        value = rule.value
        labels = value.get("labels", [])
        return cls(
            id=rule.name,
            principal=value["principal"],
            verbs=frozenset(map(Verb, value["verbs"])),
            kinds=frozenset(map(Kind, value["kinds"])) if "kinds" in value else None,
            agent_id=value.get("agent_id"),
            run_id=value.get("run_id"),
            labels=None if labels is None else frozenset(labels),
            trust=value["trust"],
            unmasked=value.get("unmasked", False),
            until=datetime.fromisoformat(value["until"]) if "until" in value else None,
            by=value["by"],
            everywhere=rule.everywhere,
        )

    def right(self) -> Right:
        """Return what it lets its holder see."""
        return Right(
            kinds=self.kinds,
            agent_id=self.agent_id,
            run_id=self.run_id,
            labels=self.labels,
            unmasked=self.unmasked,
        )

    def covers(self, other: Grant) -> bool:
        """Return whether it reaches as far as another, so that the other can be passed on by it."""
        return (
            other.verbs <= self.verbs
            and (self.kinds is None or (other.kinds is not None and other.kinds <= self.kinds))
            and self.agent_id in (None, other.agent_id)
            and self.run_id in (None, other.run_id)
            and (self.labels is None or (other.labels is not None and other.labels <= self.labels))
            and other.trust <= self.trust
            and (self.unmasked or not other.unmasked)
            and (self.everywhere or not other.everywhere)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What a principal may do with one subject's memories, found in one snapshot.

    Parameters
    ----------
    principal, subject : str
        Who, and with whose.
    whole : bool
        Whether everything is allowed: to the owner of the vault, and to the subject itself.
    grants : tuple of Grant
        What was granted, where not.
    names : frozenset of str
        The principal's own name, and those of the groups it belongs to.
    """

    principal: str
    subject: str
    whole: bool = False
    grants: tuple[Grant, ...] = ()
    names: frozenset[str] = frozenset()

    def having(self, verb: Verb) -> tuple[Grant, ...]:
        """Return the grants that allow a verb."""
        return tuple(grant for grant in self.grants if verb in grant.verbs)

    def allows(self, verb: Verb, kind: Kind | None = None) -> bool:
        """Return whether a verb is allowed with a kind of memory; None asks for every kind."""
        return self.whole or any(
            grant.kinds is None or kind in grant.kinds for grant in self.having(verb)
        )

    def check(self, verb: Verb, kind: Kind | None = None) -> None:
        """Pass if a verb is allowed.

        Raises
        ------
        Forbidden
            Otherwise; the message says what is missing and who can give it.
        """
        if not self.allows(verb, kind):
            what = f"{kind.value} memories" if kind is not None else "memories"
            raise Forbidden(
                f"{self.principal!r} may not {verb.value} {what} of {self.subject!r}; who may "
                f"share them can grant it: memory.grant({self.principal!r}, {verb.value!r}, …)"
            )

    def rights(self) -> tuple[Right, ...] | None:
        """Return what may be seen; None is everything."""
        return None if self.whole else tuple(grant.right() for grant in self.having(Verb.READ))


def check_principal(name: object, *, groups: bool = False) -> str:
    """Return the name of a principal.

    Raises
    ------
    InvalidInput
        If it is none.

    Examples
    --------
    >>> check_principal("agent:scout")
    'agent:scout'
    """
    if isinstance(name, str) and name == OWNER and not groups:
        return name
    if not isinstance(name, str) or not _PRINCIPAL.fullmatch(name) or not name.isprintable():
        raise InvalidInput(
            "principal is not allowed as given; write 'user:ana', 'agent:scout', 'service:backup'"
            + (" or 'group:family'" if groups else " or 'owner'")
            + ", at most 200 printable characters behind the colon"
        )
    if name.startswith("group:") and not groups:
        raise InvalidInput("a group cannot act; name one of its members, or grant to the group")
    return name


def access_of(tx: ReadTx, tenant: str, principal: str, subject: str, now: datetime) -> Access:
    """Return what a principal may do with a subject's memories.

    Parameters
    ----------
    tx : ReadTx
        The snapshot that answers, or the transaction that writes.
    tenant, principal, subject : str
        Whose vault, who asks, with whose memories.
    now : datetime
        Grants that ended before count no more.
    """
    if principal in (OWNER, subject):
        return Access(principal=principal, subject=subject, whole=True)
    number = find_subject(tx, tenant, subject)
    every = [Grant.of(rule) for rule in rules.stored(tx, tenant, number, Sort.GRANT)]
    alive = [grant for grant in every if grant.until is None or grant.until > now]
    names = _Names(tx, tenant)
    mine = names.of(principal)
    found = tuple(grant for grant in _standing(alive, names, subject) if grant.principal in mine)
    return Access(principal=principal, subject=subject, grants=found, names=mine)


class _Names:
    """The groups principals belong to, read once."""

    def __init__(self, tx: ReadTx, tenant: str) -> None:
        self._members = {
            rule.name: frozenset(rule.value["members"])
            for rule in rules.stored(tx, tenant, None, Sort.GROUP)
        }
        self._known: dict[str, frozenset[str]] = {}

    def of(self, principal: str) -> frozenset[str]:
        """Return a principal's own name and those of the groups it belongs to."""
        if principal not in self._known:
            names = {principal}
            for _ in range(DEPTH):
                more = {group for group, members in self._members.items() if names & members}
                if more <= names:
                    break
                names |= more
            self._known[principal] = frozenset(names)
        return self._known[principal]


def _standing(alive: list[Grant], names: _Names, subject: str) -> list[Grant]:
    """Return the grants whose giver may still give them, those of the owner and subject first.

    A step for each time a grant was passed on: however many lean on each other, none stands unless
    the chain begins with somebody who needs no grant.
    """
    standing: list[Grant] = []
    passed_on: list[Grant] = []
    for grant in alive:
        rooted = grant.by == OWNER or (grant.by == subject and not grant.everywhere)
        (standing if rooted else passed_on).append(grant)
    for _ in range(DEPTH):
        more = [
            grant
            for grant in passed_on
            if any(
                Verb.SHARE in held.verbs
                and held.principal in names.of(grant.by)
                and held.covers(grant)
                for held in standing
            )
        ]
        if not more:
            break
        standing += more
        passed_on = [grant for grant in passed_on if grant not in more]
    return standing


def may_grant(access: Access, grant: Grant) -> bool:
    """Return whether a principal may give a grant: all of it must be in one it holds itself."""
    if access.whole:
        return access.principal == OWNER or not grant.everywhere
    return any(held.covers(grant) for held in access.having(Verb.SHARE))


def admit(tx: ReadTx, view: View) -> View:
    """Return a view with the rights its principal has in this snapshot.

    Raises
    ------
    Forbidden
        If it has none.
    """
    if view.rights is None:
        return view
    access = access_of(tx, view.tenant, view.principal, view.subject, view.now)
    if not access.allows(Verb.READ) and not access.having(Verb.READ):
        access.check(Verb.READ)
    return with_rights(view, access.rights(), access.names)
