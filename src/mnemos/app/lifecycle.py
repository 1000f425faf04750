"""The calls about the life of memories: archive, freeze, hold, policies, the sweeper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mnemos.app.handle import Handle
from mnemos.app.scopes import read_count, read_kinds
from mnemos.errors import InvalidInput
from mnemos.kernel.batch import find
from mnemos.kernel.changes import Amend, SetPolicy, Transition
from mnemos.kernel.governance.views import ALL_STATES
from mnemos.kernel.journal import find_subject
from mnemos.kernel.upkeep import retention
from mnemos.kernel.upkeep.retention import DAY, LONGEST, Policy, PolicyEntry
from mnemos.kernel.upkeep.sweeping import SweepReport, sweep
from mnemos.kernel.upkeep.usage import read_usage
from mnemos.memories.input_values import shown
from mnemos.memories.strength import read_law, write_law
from mnemos.types import Kind, MemCube, Receipt, Scope, State

Duration = timedelta | float | str | None
"""A span as callers say it: seconds, a timedelta, or a text such as ``30d``."""

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])", re.ASCII)
_UNITS = {"w": 7 * DAY, "d": DAY, "h": 3_600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryUse:
    """How a memory is used, and how strong that makes it.

    Parameters
    ----------
    id : str
        The memory.
    reads : int
        How often a search returned it or a context packed it.
    first, last : datetime or None
        The first and the last of those reads.
    law : mapping
        The law of strength its policy names, with every parameter.
    strength : float
        What the law says now, in the law's own range.
    """

    id: str
    reads: int
    first: datetime | None
    last: datetime | None
    law: Mapping[str, Any]
    strength: float


def read_duration(name: str, value: object) -> float | None:
    """Return a span in seconds, or None.

    Raises
    ------
    InvalidInput
        If it is none, negative, or longer than calendars reach.

    Examples
    --------
    >>> read_duration("ttl", "12h"), read_duration("ttl", timedelta(minutes=1))
    (43200.0, 60.0)
    """
    if value is None:
        return None
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        match = _SPAN.fullmatch(value.strip())
        seconds = float(match[1]) * _UNITS[match[2]] if match else None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= LONGEST else None
    if seconds is None or not 0 <= seconds <= LONGEST:
        raise InvalidInput(
            f"{name}={shown(value)} is no span of time; give seconds, a timedelta, or a text such "
            f"as '90s', '15m', '12h', '30d' or '2w', up to {LONGEST / DAY:.0f} days"
        )
    return seconds


class LifeCycle(Handle):
    """Calls that move memories through their life, and set what moves them by itself."""

    def archive(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Take a memory out of the default view; it is found on request and can be restored.

        Raises
        ------
        IllegalTransition, Protected, NotFound
            If the life cycle does not lead there, it is frozen, or there is none of this id.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Ana collects stamps", user_id="ana").id
        ...     _ = memory.archive(id)
        ...     memory.get_all(user_id="ana")
        ...     _ = memory.restore(id)
        ...     memory.get(id).text
        []
        'Ana collects stamps'
        """
        return self._move("archive", id, State.ARCHIVED, user_id, agent_id)

    def restore(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Make an archived, superseded or merged memory current again.

        Raises
        ------
        IllegalTransition, Protected, NotFound
            As :meth:`archive`.
        """
        return self._move("restore", id, State.ACTIVATED, user_id, agent_id)

    def freeze(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Keep a memory as it is: no update, no move, no decay. It can still be forgotten.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Allergic to peanuts", user_id="ana").id
        ...     _ = memory.freeze(id)
        ...     memory.get(id).header.frozen
        True
        """
        return self._flag("freeze", id, "frozen", True, user_id, agent_id)

    def thaw(self, id: str, *, user_id: str | None = None, agent_id: str | None = None) -> Receipt:
        """Let a frozen memory change again."""
        return self._flag("thaw", id, "frozen", False, user_id, agent_id)

    def hold(self, id: str, *, user_id: str | None = None, agent_id: str | None = None) -> Receipt:
        """Put a memory under a legal hold: nothing can forget it, not even its end.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("The contract of May", user_id="ana").id
        ...     _ = memory.hold(id)
        ...     memory.forget(id)
        Traceback (most recent call last):
        ...
        mnemos.errors.Protected: ...
        """
        return self._flag("hold", id, "hold", True, user_id, agent_id)

    def release(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Lift a legal hold."""
        return self._flag("release", id, "hold", False, user_id, agent_id)

    def usage(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> MemoryUse:
        """Return how a memory is used and how strong it is by the law of its policy.

        Raises
        ------
        NotFound
            If there is none of this id here.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("I moved to Lisbon", user_id="ana").id
        ...     _ = memory.search("Lisbon", user_id="ana")
        ...     memory.usage(id).reads
        1
        """
        scope = self._scope_of(id, user_id, agent_id)
        cube = self._shown(scope, id)
        with self._records(scope) as tx:
            found = find(tx, self._tenant, id)
            known = read_usage(tx, self._tenant, found.subject, [found.cube], self._vault.usage)[
                found.cube
            ]
            policy = retention.effective(tx, self._tenant, found.subject, cube.header.kind)
        law = read_law(policy.law)
        return MemoryUse(
            id=id,
            reads=known.reads,
            first=known.first,
            last=known.last,
            law=write_law(law),
            strength=law.strength(known, self._now()),
        )

    def set_policy(
        self,
        kind: Kind | str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
        ttl: Duration = None,
        retain: Duration = None,
        grace: Duration = None,
        archive_below: float | None = None,
        law: Mapping[str, Any] | str | None = None,
        capacity: int | None = None,
        quarantine: Duration = None,
    ) -> Receipt:
        """Say how memories of a kind live; a policy set before for the same is replaced.

        What is left out is decided by the policy behind: the scope's of the kind, the scope's of
        all kinds, the tenant's of the kind, the tenant's of all. Forgetting takes along what was
        derived, so an end set for sources is one for what is made of them too. A scope's policies
        are erased with its last memory; what must outlive that is set for everywhere.

        Parameters
        ----------
        kind : Kind, str or None
            Which memories; None is every kind.
        user_id, agent_id : str or None
            Whose; or ``everywhere`` for the whole tenant.
        ttl : duration or None
            How long a new memory lives that brings no ``expires_at``.
        retain : duration or None
            How old a memory may get, counted from its first recording.
        grace : duration or None
            How long an expired memory can still be held before it is forgotten; 7 days if no
            policy says.
        archive_below : float or None
            Strength under which it is archived.
        law : mapping, str or None
            The law of strength, ``{"law": "ebbinghaus", "stability_days": 30}``
            (:mod:`mnemos.memories.strength`).
        capacity : int or None
            Most current memories of a kind; the weakest beyond are archived.
        quarantine : duration or None
            How long a memory waits for approval before it expires; 30 days if no policy says.

        Raises
        ------
        ScopeRequired
            Without a user or an agent, and not for everywhere.
        InvalidInput
            If a value is out of its bounds, or there is none.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.set_policy("turn", user_id="ana", ttl="30d")
        ...     id = memory.add("See you at eight", user_id="ana").id
        ...     memory.get(id).header.expires_at is None
        False
        """
        given = Policy(
            ttl=read_duration("ttl", ttl),
            retain=read_duration("retain", retain),
            grace=read_duration("grace", grace),
            archive_below=archive_below,
            law=write_law(read_law(law)) if law is not None else None,
            capacity=capacity,
            quarantine=read_duration("quarantine", quarantine),
        )
        if given == Policy():
            raise InvalidInput("set_policy was given nothing to set; use drop_policy to remove one")
        return self._policy("set_policy", kind, user_id, agent_id, everywhere, given.to_json())

    def drop_policy(
        self,
        kind: Kind | str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
    ) -> Receipt:
        """Remove a policy; lifespans it has given stay.

        Raises
        ------
        NotFound
            If there is none for this kind here.
        """
        return self._policy("drop_policy", kind, user_id, agent_id, everywhere, None)

    def policies(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> tuple[PolicyEntry, ...]:
        """Return the policies that bear on a user or an agent, the whole tenant's included.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.set_policy("turn", everywhere=True, capacity=500)
        ...     [(entry.everywhere, entry.policy.capacity) for entry in memory.policies()]
        [(True, 500)]
        """
        scope = self._scope(user_id, agent_id, None)
        with self._records(scope) as tx:
            subject = find_subject(tx, self._tenant, scope.subject)
            return retention.stored(tx, self._tenant, subject)

    def sweep(self, *, limit: int = 10_000) -> SweepReport:
        """Carry out what the policies of the tenant say now: expire, forget, archive.

        Parameters
        ----------
        limit : int
            Most memories to touch; the report says whether there are more.

        Raises
        ------
        InvalidInput
            Inside a transaction or a bound view: a sweep is of the whole tenant and commits.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.add("one", user_id="ana"), memory.add("two", user_id="ana")
        ...     _ = memory.set_policy(user_id="ana", capacity=1)
        ...     len(memory.sweep().archived)
        1
        """
        if self._staged is not None or self._bound is not None:
            raise InvalidInput("sweep commits by itself; call it on the memory, outside")
        self._check_owner("sweep the tenant")
        read_count("limit", limit)
        return sweep(self._vault, self._tenant, strength=read_law, limit=limit)

    # ------------------------------------------------------------------------ the ways to do it

    def _shown(self, scope: Scope, id: str) -> MemCube:
        """Return a memory in whatever state, unless its lifespan is over."""
        view = self._view(scope, states=ALL_STATES, ended=True)
        return self._read(view, lambda reader: reader.get(id))

    def _move(
        self, verb: str, id: str, state: State, user_id: str | None, agent_id: str | None
    ) -> Receipt:
        scope = self._scope_of(id, user_id, agent_id)
        self._shown(scope, id)
        return self._write(verb, scope, [Transition(id=id, state=state)])

    def _flag(
        self,
        verb: str,
        id: str,
        name: str,
        value: bool,
        user_id: str | None,
        agent_id: str | None,
    ) -> Receipt:
        scope = self._scope_of(id, user_id, agent_id)
        if name != "hold":  # what is expired can be held, until it is forgotten
            self._shown(scope, id)
        return self._write(verb, scope, [Amend(id=id, fields={name: value})])

    def _policy(
        self,
        verb: str,
        kind: Kind | str | None,
        user_id: str | None,
        agent_id: str | None,
        everywhere: bool,
        policy: Mapping[str, Any] | None,
    ) -> Receipt:
        kinds = read_kinds([kind] if kind is not None else None)
        if everywhere and (user_id is not None or agent_id is not None):
            raise InvalidInput(f"{verb} is for one scope or everywhere; leave one of them out")
        if everywhere:
            scope = Scope(tenant=self._tenant)
        else:
            scope = self._required_scope(verb, user_id, agent_id, None)
        change = SetPolicy(
            id=self._vault.ids.fresh(),
            kind=next(iter(kinds)) if kinds else None,
            policy=policy,
            everywhere=everywhere,
        )
        return self._write(verb, scope, [change])
