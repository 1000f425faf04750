"""The gate every change passes: rights, trust, quarantine and intake, inside the write transaction.

What a principal may do is looked up in the transaction that writes, so a grant taken back a moment
ago counts. What comes in gets the trust that its origin, its writer and its sources allow; what
would steer an agent without being trusted to goes into quarantine; nothing overrules what is more
trusted than itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from mnemos.errors import Forbidden
from mnemos.kernel.governance import intake, rules
from mnemos.kernel.governance.grants import Access, Grant, Verb, access_of, may_grant
from mnemos.kernel.governance.guards import passes
from mnemos.kernel.governance.rules import Rule, Sort
from mnemos.kernel.governance.trust import bounded, check_over, sources_of, steers, weighed
from mnemos.kernel.governance.views import OWNER, Right
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import WriteTx
from mnemos.types import Draft, Header, Scope, State


def is_principal(actor: str) -> bool:
    """Return whether an actor is somebody with rights, and not a part of the kernel at work."""
    return actor == OWNER or ":" in actor


class Gate:
    """What governance says of the changes of one commit.

    Parameters
    ----------
    tx : WriteTx
        The transaction that writes.
    scope : Scope
        Whose memories.
    actor : str
        A principal, or the name of what the kernel does by itself (the sweeper, an import).
    now : datetime
        Moment of the commit.
    """

    def __init__(self, tx: WriteTx, scope: Scope, actor: str, now: datetime) -> None:
        self._tx = tx
        self._scope = scope
        self._now = now
        self.actor = actor
        principal = actor if is_principal(actor) else OWNER
        self.access: Access = access_of(tx, scope.tenant, principal, scope.subject, now)
        self._intake: tuple[Rule, ...] | None = None

    # -------------------------------------------------------------------------------- rights

    def check_known(self) -> None:
        """Pass if the actor has any right here: who has none learns nothing, not even of an id.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if not self.access.whole and not self.access.grants:
            self.access.check(Verb.WRITE)

    def check(self, verb: Verb, header: Header) -> None:
        """Pass if a verb is allowed with a memory.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if self.access.whole:
            return
        held = self.access.having(verb)
        if not any(passes(header, self.access.names, grant.right()) for grant in held):
            self.access.check(verb, header.kind)
            raise Forbidden(
                f"{self.actor!r} may {verb.value} memories of {self._scope.subject!r}, but not this "
                "one: its kind, run, access list or label is outside of the grant"
            )

    def check_write(self, header: Header) -> Header:
        """Pass if the actor may write a memory; return its header with the actor as its owner.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if not self.access.whole:
            header = replace(header, owner=self.actor)
            self.check(Verb.WRITE, header)
        return header

    def check_all(self, verb: Verb) -> None:
        """Pass if a verb is allowed with memories of every kind, agent and run of the scope.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if self.access.whole or self._may_all(verb):
            return
        self.access.check(verb)
        raise Forbidden(
            f"{self.actor!r} may {verb.value} a part of {self._scope.subject!r} only, this is about "
            "all of it: grant it without agent_id and run_id"
        )

    def _may_all(self, verb: Verb) -> bool:
        whole = Right()
        held = (grant.right() for grant in self.access.having(verb))
        return any(
            (right.kinds, right.agent_id, right.run_id)
            == (whole.kinds, whole.agent_id, whole.run_id)
            for right in held
        )

    def check_owner(self, what: str) -> None:
        """Pass if the actor is the owner of the vault, where something concerns all of the tenant.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if self.actor != OWNER:
            raise Forbidden(f"{self.actor!r} may not {what} for the whole tenant; its owner may")

    def check_rule(self, sort: Sort, old: Rule | None, grant: Grant | None, wide: bool) -> None:
        """Pass if the actor may set or remove a rule.

        Raises
        ------
        Forbidden
            Otherwise.
        """
        if wide or sort is Sort.GROUP:
            self.check_owner(f"set a rule about {sort.value}")
            return
        if sort is not Sort.GRANT:
            self.check_all(Verb.ADMIN)
            return
        if grant is not None and grant.by != self.actor and self._is_other():
            raise Forbidden(f"{self.actor!r} may not give a grant in the name of somebody else")
        if self.access.whole:
            return
        by_another = old is not None and old.value["by"] != self.actor
        if old is not None and by_another and not self._may_all(Verb.ADMIN):
            raise Forbidden(
                f"grant {old.name} was given by somebody else; who gave it takes it back"
            )
        if grant is not None and not may_grant(self.access, grant):
            raise Forbidden(
                f"{self.actor!r} may not pass this on: what is granted must lie within what it may "
                f"share of {self._scope.subject!r} itself"
            )

    def _is_other(self) -> bool:
        """Return whether the actor is a principal besides the owner."""
        return self.actor != OWNER and is_principal(self.actor)

    # --------------------------------------------------------------------------------- trust

    def ceiling(self, header: Header, verb: Verb = Verb.WRITE) -> float:
        """Return the most trust the actor can give a memory: only grants that reach it count."""
        if self.access.whole:
            return 1.0
        held = self.access.having(verb)
        reaching = (grant for grant in held if passes(header, self.access.names, grant.right()))
        return max((grant.trust for grant in reaching), default=0.0)

    def incoming(
        self, draft: Draft, sources: dict[str, Header], live: tuple[Header, State] | None = None
    ) -> Draft:
        """Return what is to be written with the trust and state that governance gives it.

        Parameters
        ----------
        draft : Draft
            As it came.
        sources : mapping of str to Header
            Of everything it was made from.
        live : (Header, State) or None
            The version it follows; its state is ``quarantined`` for as long as nobody let it out.

        Raises
        ------
        Forbidden
            If the actor may not write it.
        """
        header = self.check_write(_covered(draft.header, sources.values(), self._scope.subject))
        before = live[0] if live is not None else None
        if header.hold != (before is not None and before.hold):
            self.check(Verb.ADMIN, header)
        approved = header.approved_by
        if approved is not None and (
            before is None or (before.approved_by, before.origin) != (approved, header.origin)
        ):
            header = replace(header, approved_by=None)
        elif approved is not None and before is not None:  # not for more than was vouched for
            header = replace(header, trust=min(header.trust, before.trust))
        known = sources_of(before) if before is not None and header.approved_by else ()
        made_of = (item for id, item in sources.items() if id not in known)
        ceiling = self.ceiling(header)
        header = weighed(header, sources, ceiling)
        trust = bounded(header, made_of, ceiling)
        if trust != header.trust:
            header = replace(header, trust=trust)
        state = draft.state
        waits = live is not None and live[1] is State.QUARANTINED
        if steers(header) or waits or (live is None and self._is_held_back(header, draft)):
            state = State.QUARANTINED if state in _SHOWN else state
        if header == draft.header and state is draft.state:
            return draft
        return replace(draft, header=header, state=state)

    def check_over(self, id: str, before: Header, after: float, what: str) -> None:
        """Pass if words of a trust may change a memory (:func:`trust.check_over`)."""
        check_over(id, before.counted_trust, after, what)

    def check_ceiling(self, id: str, before: Header, what: str, verb: Verb = Verb.WRITE) -> None:
        """Pass if the actor's own words are as trusted as a memory it wants to move."""
        if not self.access.whole:
            check_over(id, before.counted_trust, self.ceiling(before, verb), what)

    # -------------------------------------------------------------------------------- intake

    def _caps(self) -> tuple[Rule, ...]:
        if self._intake is None:
            number = self._number()
            self._intake = rules.stored(self._tx, self._scope.tenant, number, Sort.INTAKE)
        return self._intake

    def _bearing(self, draft: Draft) -> list[tuple[str, intake.Intake]]:
        caps = self._caps()
        return intake.bearing(caps, draft, self.actor) if caps else []

    def _is_held_back(self, header: Header, draft: Draft) -> bool:
        if not self._caps():
            return False
        return any(rule.quarantine for _, rule in self._bearing(replace(draft, header=header)))

    def book(self, draft: Draft, subject: int, *, new: bool = True) -> None:
        """Count a memory against the caps of its source; an update, against those of its writer.

        Raises
        ------
        IntakeFull
            If one is reached.
        """
        found = [item for item in self._bearing(draft) if new or intake.is_of_writer(item[0])]
        if found:
            intake.book(self._tx, self._scope.tenant, subject, draft, found, self._now)

    def _number(self) -> int | None:
        return find_subject(self._tx, self._scope.tenant, self._scope.subject)


def _covered(header: Header, sources: Iterable[Header], subject: str) -> Header:
    """Return a header with the label and access list of what it was made from, if it names none.

    Several labels together are one that only who clears all of them, or every label, can read;
    several lists leave whom all of them name, or the subject alone.
    """
    found = list(sources)
    labels = sorted({item.sensitivity for item in found if item.sensitivity is not None})
    lists: list[set[str]] = [set(item.access) for item in found if item.access]
    if labels and header.sensitivity is None:
        header = replace(header, sensitivity="+".join(labels))
    if lists and not header.access:
        common = lists[0].intersection(*lists)
        header = replace(header, access=tuple(sorted(common)) or (subject,))
    return header


_SHOWN = frozenset({State.GENERATED, State.ACTIVATED, State.QUARANTINED})
"""States in which a memory would be seen, or waits to be."""
