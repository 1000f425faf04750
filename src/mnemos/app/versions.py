"""The calls that give a memory a successor: revert, supersede, contradict, consolidate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mnemos.app.handle import Handle, Moment
from mnemos.app.scopes import (
    read_count,
    read_id,
    read_kinds,
    read_moment,
    read_origin,
    read_string,
)
from mnemos.app.writing import Details, read_drafts
from mnemos.errors import InvalidInput
from mnemos.kernel.changes import Add, Amend, Revert, Transition
from mnemos.kernel.governance.trust import may_follow
from mnemos.types import Draft, Kind, Link, MemCube, Origin, Receipt, Scope, State

CONSOLIDATED = "consolidate"
"""``method`` of what :meth:`Versions.consolidate` writes."""


class Versions(Handle):
    """Calls after which an older memory stays, linked to what took its place."""

    def revert(
        self,
        id: str,
        version: int,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Make an earlier version of a memory the current one again, as a new version.

        Raises
        ------
        InvalidInput
            If there is no version of that number.
        IllegalTransition, Protected
            If the life cycle, a freeze or a legal hold forbids it.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Ana lives in Porto", user_id="ana").id
        ...     _ = memory.update(id, "Ana lives in Lisbon")
        ...     _ = memory.revert(id, 1)
        ...     [cube.text for cube in memory.history(id)]
        ['Ana lives in Porto', 'Ana lives in Lisbon', 'Ana lives in Porto']
        """
        scope = self._scope_of(id, user_id, agent_id)
        return self._write("revert", scope, [Revert(id=id, version=read_count("version", version))])

    def supersede(
        self,
        id: str,
        text: str,
        *,
        origin: Origin | str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Write a new memory in the place of an older one, which stays, superseded.

        The receipt's only id is the new memory's; its link ``supersedes`` names the older.
        ``origin`` says where the new words come from; None is the user.

        Raises
        ------
        TooLittleTrust
            If the new words are less trusted than the older memory; nothing is written.
        """
        scope, before = self._current(id, user_id, agent_id)
        draft = self._successor(before, text, scope, "supersedes", read_origin(origin))
        new = Add(id=self._vault.ids.fresh(), draft=draft)
        receipt = self._write(
            "supersede",
            scope,
            [new, Transition(id=id, state=State.SUPERSEDED, successor=new.id)],
            bases={id: before.recorded_seq},
        )
        return replace(receipt, ids=(new.id,))

    def contradict(
        self,
        id: str,
        text: str,
        *,
        at: Moment = None,
        origin: Origin | str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Write what has become true in place of an older memory, and end the older one's truth.

        Nothing is deleted: the older memory gets ``valid_to`` and a link ``contradicted_by``; the
        new one ``valid_from`` and ``contradicts``. ``view(valid_at=…)`` shows what was true when.

        Parameters
        ----------
        id : str
            The memory that is no longer true.
        text : str
            What is true instead.
        at : datetime, str or None
            Since when; None is now.
        origin : Origin or str or None
            Where the new words come from; None is the user.

        Raises
        ------
        TooLittleTrust
            If the new words are less trusted than the older memory; nothing is written.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     old = memory.add("Ana lives in Porto", user_id="ana", happened_at="2024-05-01").id
        ...     _ = memory.contradict(old, "Ana lives in Lisbon", at="2025-03-01")
        ...     then = memory.view(valid_at="2024-12-01", user_id="ana")
        ...     print([c.text for c in memory.get_all(user_id="ana")], [c.text for c in then.get_all()])
        ['Ana lives in Lisbon'] ['Ana lives in Porto']
        """
        scope, before = self._current(id, user_id, agent_id)
        since = read_moment("at", at, self._zone) or self._now()
        if before.header.valid_from is not None and since <= before.header.valid_from:
            raise InvalidInput(
                f"at={since.isoformat()} is not after the memory became true "
                f"({before.header.valid_from.isoformat()}); give a later moment"
            )
        draft = self._successor(before, text, scope, "contradicts", read_origin(origin))
        draft = replace(draft, header=replace(draft.header, valid_from=since))
        new = Add(id=self._vault.ids.fresh(), draft=draft)
        back = (*before.header.links, Link(type="contradicted_by", target=new.id))
        receipt = self._write(
            "contradict",
            scope,
            [
                new,
                Amend(id=id, fields={"valid_to": since, "links": back}, successor=new.id),
            ],
            bases={id: before.recorded_seq},
        )
        return replace(receipt, ids=(new.id,))

    def consolidate(
        self,
        ids: Iterable[str],
        text: str,
        *,
        kind: Kind | str = Kind.SUMMARY,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Write one memory made of several, which stay as its sources, merged.

        The sources leave the default view in the very commit that makes their successor findable;
        those that are more trusted than the least trusted of them stay, since the successor is not.
        Forgetting a source forgets the successor too, and brings the other sources back. What was
        forgotten while its sources stayed is not made again: the receipt says ``suppressed`` and
        names no memory, and the sources stay as they are.

        Raises
        ------
        InvalidInput
            If fewer than two memories are named, or they are of different scopes.
        VersionConflict
            If one of them was changed meanwhile.
        """
        named = [read_id(item) for item in ids]
        if len(set(named)) < 2 or len(set(named)) != len(named):
            raise InvalidInput("consolidate takes two or more different ids")
        kinds = read_kinds(kind)
        scope, first = self._current(named[0], user_id, agent_id)
        cubes = [first, *(self._current(id, user_id, agent_id)[1] for id in named[1:])]
        if any(cube.scope.subject != scope.subject for cube in cubes):
            raise InvalidInput("consolidate takes memories of one user or agent only")
        words = read_string("text", text)
        (draft,) = read_drafts(words, scope, Details(), now=self._now(), zone=self._zone)
        header = replace(
            draft.header,
            kind=next(iter(kinds or {Kind.SUMMARY})),
            role=None,
            happened_at=max(c.header.happened_at or c.recorded_at for c in cubes),
            derived_from=tuple(named),
            method=CONSOLIDATED,
            origin=Origin.DERIVED,
            trust=min(cube.header.counted_trust for cube in cubes),
        )
        new = Add(id=self._vault.ids.fresh(), draft=Draft(payload=draft.payload, header=header))
        merged = [c.id for c in cubes if may_follow(c.header.counted_trust, header.trust)]
        receipt = self._write(
            "consolidate",
            scope,
            [new, *(Transition(id=id, state=State.MERGED, successor=new.id) for id in merged)],
            bases={cube.id: cube.recorded_seq for cube in cubes},
        )
        return replace(receipt, ids=() if receipt.suppressed else (new.id,))

    def _current(self, id: str, user_id: str | None, agent_id: str | None) -> tuple[Scope, MemCube]:
        scope = self._scope_of(id, user_id, agent_id)
        return scope, self._read(self._view(scope, ended=True), lambda reader: reader.get(id))

    def _successor(
        self, before: MemCube, text: str, scope: Scope, link: str, origin: Origin | None
    ) -> Draft:
        """Return a draft of the same kind as the memory before it, linked to it."""
        words = read_string("text", text)
        (draft,) = read_drafts(words, scope, Details(), now=self._now(), zone=self._zone)
        old = before.header
        header = replace(
            draft.header,
            kind=old.kind,
            speaker=old.speaker,
            role=old.role,
            run_id=old.run_id,
            agent_id=old.agent_id,
            tags=old.tags,
            entities=old.entities,
            metadata=old.metadata,
            links=(Link(type=link, target=before.id),),
            sensitivity=old.sensitivity,
            access=old.access,
            origin=origin or draft.header.origin,
        )
        return Draft(payload=draft.payload, header=header)
