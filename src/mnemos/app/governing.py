"""The calls about who may do what: principals, grants, groups, and acting as one of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, cast

from mnemos.app.handle import Handle, Moment
from mnemos.app.scopes import read_kinds, read_moment, read_name, read_string
from mnemos.errors import InvalidInput
from mnemos.kernel.changes import SetRule
from mnemos.kernel.governance import rules
from mnemos.kernel.governance.grants import FOREIGN_TRUST, ROLES, Grant, Verb, check_principal
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.journal import find_subject
from mnemos.memories.input_values import shown
from mnemos.types import Kind, Receipt, Scope

if TYPE_CHECKING:
    from mnemos.app.view import ActingMemory

EVERY_LABEL = "*"
"""What clears every sensitivity label."""


class Governing(Handle):
    """Calls that share memories, and take back what was shared.

    Embedded, whoever opens the file is its owner and may do everything: grants then keep the parts
    of one program apart, they are no defence against somebody who can read the file.
    """

    @property
    def principal(self) -> str:
        """Who acts through this handle: ``owner``, or the principal of :meth:`acting_as`."""
        return self._principal

    def acting_as(self, principal: str, *, reason: str | None = None) -> ActingMemory:
        """Return this memory in the hands of somebody else, with the rights they were granted.

        A user or an agent may do everything with its own memories (``user:ana`` with those of
        ``user_id="ana"``), and with those of others what was granted. Rights are looked up in
        every call anew.

        Parameters
        ----------
        principal : str
            ``user:ana``, ``agent:scout`` or ``service:backup``.
        reason : str or None
            Why it reads; noted where reads are audited.

        Raises
        ------
        InvalidInput
            If it is no principal, or inside a transaction.
        Forbidden
            If this handle is not the owner's.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.add("The boat is called Alma", user_id="ana")
        ...     ben = memory.acting_as("user:ben")
        ...     try:
        ...         ben.search("boat", user_id="ana")
        ...     except Exception as error:
        ...         print(type(error).__name__)
        ...     _ = memory.grant("user:ben", "reader", user_id="ana")
        ...     ben.search("boat", user_id="ana")[0].text
        Forbidden
        'The boat is called Alma'
        """
        from mnemos.app.view import ActingMemory

        self._check_owner("act as somebody else")
        if self._staged is not None:
            raise InvalidInput(
                "a transaction acts for who began it; use memory.acting_as(…).begin() instead"
            )
        name = check_principal(principal)
        return ActingMemory(self, name, read_string("reason", reason) if reason else None)

    def grant(
        self,
        principal: str,
        what: str | Iterable[str],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        everywhere: bool = False,
        kinds: Kind | str | Iterable[Kind | str] | None = None,
        labels: str | Iterable[str] = (),
        trust: float = FOREIGN_TRUST,
        unmasked: bool = False,
        until: Moment = None,
    ) -> Receipt:
        """Allow somebody to do something with the memories of a user or an agent.

        The receipt's only id names the grant, for :meth:`revoke_grant`. A principal that may
        ``share`` can pass on what it holds itself, no more and no longer.

        Parameters
        ----------
        principal : str
            ``user:ben``, ``agent:scout``, ``service:backup``, or ``group:family``.
        what : str or iterable of str
            A role (``reader``, ``writer``, ``curator``, ``sharer``, ``admin``), or verbs (``read``,
            ``write``, ``forget``, ``approve``, ``share``, ``admin``).
        user_id, agent_id : str or None
            Whose memories; given both, of the user's only those of that agent.
        run_id : str or None
            Only those of this run.
        everywhere : bool
            For everybody's memories in the tenant; its owner alone may.
        kinds : Kind, str, iterable or None
            Only memories of these kinds.
        labels : str or iterable of str
            Sensitivity labels it clears, ``"*"`` for all; memories without a label need none.
        trust : float
            Most trust that what they write gets, 0 to 1. Below 0.7 it is quoted in contexts and
            overrules nothing that is more trusted.
        unmasked : bool
            Whether they see what redaction masks on reading.
        until : datetime, str or None
            End of the grant.

        Raises
        ------
        InvalidInput, ScopeRequired
            If a value is not allowed, or nobody's memories are named.
        Forbidden
            If this principal may not share that much.
        """
        scope = self._rule_scope("grant", user_id, agent_id, everywhere)
        id = self._vault.ids.fresh()
        given = Grant(
            id=id,
            principal=check_principal(principal, groups=True),
            verbs=_read_verbs(what),
            kinds=read_kinds(kinds),
            agent_id=scope.agent_id,
            run_id=read_name("run_id", run_id),
            labels=_read_labels(labels),
            trust=_read_trust(trust),
            unmasked=bool(unmasked),
            until=self._read_end(until),
            by=self._principal,
            everywhere=everywhere,
        )
        change = SetRule(
            id=id, sort=Sort.GRANT, name=id, value=given.to_json(), everywhere=everywhere
        )
        return self._write("grant", scope, [change])

    def revoke_grant(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
    ) -> Receipt:
        """Take a grant back; it counts no more from the next call on, on every index.

        What its holder passed on by it ends with it.

        Raises
        ------
        NotFound
            If there is no such grant in this scope.
        Forbidden
            If somebody else gave it, and this principal is no administrator of the scope.
        """
        scope = self._rule_scope("revoke_grant", user_id, agent_id, everywhere)
        name = read_string("id", id)
        change = SetRule(
            id=self._vault.ids.fresh(),
            sort=Sort.GRANT,
            name=name,
            value=None,
            everywhere=everywhere,
        )
        return self._write("revoke_grant", scope, [change])

    def grants(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> tuple[Grant, ...]:
        """Return the grants on the memories of a user or an agent, the tenant-wide ones first.

        A principal that may not share them sees its own only.
        """
        scope = self._required_scope("grants", user_id, agent_id, None)
        with self._vault.store.read(self._tenant_reach()) as tx:
            access = self._access(tx, scope)
            number = find_subject(tx, self._tenant, scope.subject)
            found = [Grant.of(rule) for rule in rules.stored(tx, self._tenant, number, Sort.GRANT)]
            if access.whole or access.allows(Verb.SHARE) or access.allows(Verb.ADMIN):
                return tuple(found)
            held = {grant.id for grant in access.grants}
            return tuple(grant for grant in found if grant.id in held)

    def set_group(self, name: str, members: Iterable[str]) -> Receipt:
        """Say who belongs to a group of the tenant; an empty one is dissolved.

        Parameters
        ----------
        name : str
            ``group:family``.
        members : iterable of str
            Principals, or other groups.

        Raises
        ------
        InvalidInput
            If a name is none.
        Forbidden
            If this principal is not the owner.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.set_group("group:family", ["user:ana", "user:ben"])
        ...     memory.groups()
        {'group:family': ('user:ana', 'user:ben')}
        """
        self._check_owner("set a group")
        group = check_principal(name, groups=True)
        if not group.startswith("group:"):
            raise InvalidInput(f"name={shown(name)} is no group; write 'group:family'")
        if isinstance(members, str) or not isinstance(members, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may say anything
            raise InvalidInput("members must be several principals; give a list of them")
        listed = sorted({check_principal(item, groups=True) for item in members})
        change = SetRule(
            id=self._vault.ids.fresh(),
            sort=Sort.GROUP,
            name=group,
            value={"members": listed} if listed else None,
            everywhere=True,
        )
        return self._write("set_group", Scope(tenant=self._tenant), [change])

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the groups of the tenant and who belongs to each."""
        with self._records() as tx:
            return {
                rule.name: tuple(rule.value["members"])
                for rule in rules.stored(tx, self._tenant, None, Sort.GROUP)
            }

    def _read_end(self, until: Moment) -> datetime | None:
        end = read_moment("until", until, self._zone)
        if end is not None and end <= self._now():
            raise InvalidInput(f"until={end.isoformat()} is over already; give a later moment")
        return end


def _read_verbs(what: object) -> frozenset[Verb]:
    if isinstance(what, str) and what in ROLES:
        return ROLES[what]
    items = [what] if isinstance(what, str) else what
    try:
        found = frozenset(map(Verb, cast("Iterable[str]", items)))
    except (TypeError, ValueError):
        found = frozenset[Verb]()
    if not found:
        raise InvalidInput(
            f"what={shown(what)} is neither a role nor verbs; allowed: {', '.join(ROLES)}, or "
            f"several of {', '.join(Verb)}"
        )
    return found


def _read_labels(labels: object) -> frozenset[str] | None:
    if labels == EVERY_LABEL:
        return None
    items = [labels] if isinstance(labels, str) else labels
    if not isinstance(items, Iterable):
        raise InvalidInput(f"labels={shown(labels)} is not allowed; give several labels, or '*'")
    found = [read_name("label", item) for item in cast("Iterable[object]", items)]
    return frozenset(label for label in found if label is not None)


def _read_trust(trust: object) -> float:
    if isinstance(trust, bool) or not isinstance(trust, (int, float)) or not 0 <= trust <= 1:
        raise InvalidInput(f"trust={shown(trust)} is not allowed; give a number 0 to 1")
    return float(trust)
