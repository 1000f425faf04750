"""The calls along the two axes of time: view, snapshot, rollback, branch, merge, diff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mnemos.app.handle import Bound, Handle, Moment
from mnemos.app.moments import branch_name, read_branch, read_position
from mnemos.app.scopes import read_id, read_moment, read_name, read_string
from mnemos.errors import InvalidInput, MergeConflict, NotFound
from mnemos.kernel import schema
from mnemos.kernel.branches import NOW
from mnemos.kernel.canonical import moment
from mnemos.kernel.changes import DropSnapshot, Fork, MergeBranch, Rollback, Snapshot
from mnemos.kernel.differences import Difference, Point, changed_between, differences
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.timeline import Collision
from mnemos.types import MemCube, Receipt, Scope

if TYPE_CHECKING:
    from mnemos.app.view import MemoryView

AsOf = Moment | Receipt
"""A moment of the past: a time, a position ``"#17"``, a snapshot's name, a receipt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotInfo:
    """A named moment of a scope: its position, its wall time, and the branch it is on."""

    name: str
    seq: int
    at: datetime
    branch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchInfo:
    """A branch of a scope: where it began, on which branch, and when it was last merged."""

    name: str
    parent: str | None
    seq: int
    at: datetime
    merged: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clash:
    """A memory that both sides of a merge changed; None where a side no longer has it."""

    id: str
    base: MemCube | None
    branch: MemCube | None
    parent: MemCube | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What a merge did: applied with its receipt, or not applied and why.

    Parameters
    ----------
    applied : bool
        Whether anything was written.
    receipt : Receipt or None
        Proof of the merge, with the ids it changed.
    clashes : tuple of Clash
        Memories changed on both sides; then nothing was applied.
    """

    applied: bool
    receipt: Receipt | None = None
    clashes: tuple[Clash, ...] = field(default=())


class TimeMachine(Handle):
    """Calls that look at, name, and go back to moments of a scope."""

    def view(
        self,
        *,
        as_of: AsOf = None,
        valid_at: Moment = None,
        branch: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> MemoryView:
        """Return a memory bound to a scope, a moment and a branch.

        Every read of it answers from there; it can be written to only on the present of a branch.

        Parameters
        ----------
        as_of : datetime, str, Receipt or None
            What was known then: a time, a position ``"#17"``, a snapshot's name, or a receipt
            (the moment after that call). It shows what was visible then, ranked by today's
            models; what was forgotten since stays forgotten.
        valid_at : datetime, str or None
            What was true then. None shows what has not ceased to be true.
        branch : str or None
            Name of a branch; None is the main line.
        user_id, agent_id, run_id : str or None
            Whose memory; every call through the view is bound to it.

        Raises
        ------
        NotFound
            If there is no such snapshot or branch.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     first = memory.add("Ana lives in Porto", user_id="ana")
        ...     _ = memory.update(first.id, "Ana lives in Lisbon")
        ...     memory.view(as_of=first, user_id="ana").get(first.id).text
        'Ana lives in Porto'
        """
        from mnemos.app.view import MemoryView

        scope = self._scope(user_id, agent_id, run_id)
        found = self._bound.branch if self._bound is not None else schema.MAIN
        position = self._bound.as_of if self._bound is not None else None
        with self._records(scope, part=True) as tx:
            if branch is not None:
                found = read_branch(tx, scope, read_name("branch", branch))
            if as_of is not None:
                position = read_position(tx, scope, as_of, self._zone)
        true = read_moment("valid_at", valid_at, self._zone)
        bound = Bound(
            scope=scope,
            as_of=position,
            valid_at=true,
            branch=found,
            writable=position is None and true is None,
        )
        return MemoryView(self, bound)

    # ---------------------------------------------------------------- snapshots

    def snapshot(
        self,
        name: str,
        *,
        at: AsOf = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Give the present of a scope, or a moment of its past, a name.

        Costs one row however much is remembered. ``view(as_of=name)`` reads there and
        ``rollback(name)`` goes back to it.

        Raises
        ------
        Conflict
            If the name is taken.
        """
        scope = self._required_scope("snapshot", user_id, agent_id, None)
        named = read_string("name", name)
        change = Snapshot(id=self._vault.ids.fresh(), name=named, at=self._position(scope, at))
        return self._write("snapshot", scope, [change])

    def drop_snapshot(
        self, name: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Take a snapshot's name away; nothing that it named is touched."""
        scope = self._required_scope("drop_snapshot", user_id, agent_id, None)
        return self._write("drop_snapshot", scope, [DropSnapshot(name=read_string("name", name))])

    def snapshots(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> list[SnapshotInfo]:
        """Return the snapshots of a scope, oldest moment first."""
        scope = self._required_scope("snapshots", user_id, agent_id, None)
        with self._records(scope) as tx:
            subject = find_subject(tx, scope.tenant, scope.subject) or 0
            rows = list(tx.scan(schema.SNAPSHOTS, (scope.tenant, subject)))
            return [
                SnapshotInfo(
                    name=row.name,
                    seq=row.at,
                    at=_wall(tx, scope.tenant, row.at),
                    branch=branch_name(tx, scope, row.branch),
                )
                for row in sorted(rows, key=lambda row: (row.at, row.name))
            ]

    # ------------------------------------------------------------------- moving

    def rollback(
        self,
        to: AsOf = None,
        *,
        before: Receipt | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Make a scope say again what it said at a moment.

        Nothing is rewritten: inverse versions are appended, at a cost in what changed since. What
        was forgotten stays forgotten. ``rollback(before=receipt)`` with the receipt of a rollback
        undoes it.

        Parameters
        ----------
        to : datetime, str or Receipt
            A time, a position, a snapshot's name, or the receipt of the last call to keep.
        before : Receipt or None
            In place of ``to``: the first call to take back.
        user_id, agent_id : str or None
            Whose memory.

        Raises
        ------
        Protected
            If a frozen memory would change or a legal hold be lifted; nothing was written.
        """
        scope = self._required_scope("rollback", user_id, agent_id, None)
        if (to is None) == (before is None):
            raise InvalidInput("rollback takes one moment: give either `to` or `before`")
        if before is not None:
            if not isinstance(before, Receipt) or not before.seq:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidInput("before must be the receipt of a call that was made")
            position = before.before
        else:
            position = self._position(scope, to, name="to") or 0
        change = Rollback(id=self._vault.ids.fresh(), to=position)
        return self._write("rollback", scope, [change])

    # ----------------------------------------------------------------- branches

    def branch(
        self,
        name: str,
        *,
        at: AsOf = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> MemoryView:
        """Begin a line of its own and return a memory bound to it.

        It shows what its parent showed at that moment, and from there its own changes only. Costs
        one row however much is remembered.

        Raises
        ------
        Conflict
            If the name is taken.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     home = memory.add("Ana lives in Porto", user_id="ana")
        ...     draft = memory.branch("what if", user_id="ana")
        ...     _ = draft.update(home.id, "Ana lives in Lisbon")
        ...     print(memory.get(home.id).text, "|", draft.get(home.id).text)
        ...     memory.merge("what if", user_id="ana").applied
        ...     memory.get(home.id).text
        Ana lives in Porto | Ana lives in Lisbon
        True
        'Ana lives in Lisbon'
        """
        if self._staged is not None:
            raise InvalidInput("a branch cannot be begun inside a transaction; begin it before")
        scope = self._required_scope("branch", user_id, agent_id, None)
        named = read_string("name", name)
        with self._records(scope):
            pass  # who may not look at the branch shall not begin it and get an error
        change = Fork(id=self._vault.ids.fresh(), name=named, at=self._position(scope, at))
        self._write("branch", scope, [change])
        return self.view(branch=named, user_id=user_id, agent_id=agent_id)

    def branches(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> list[BranchInfo]:
        """Return the branches of a scope, oldest first; the main line is not among them."""
        scope = self._required_scope("branches", user_id, agent_id, None)
        with self._records(scope) as tx:
            subject = find_subject(tx, scope.tenant, scope.subject) or 0
            return [
                BranchInfo(
                    name=row.name,
                    parent=branch_name(tx, scope, row.parent),
                    seq=row.fork,
                    at=_wall(tx, scope.tenant, row.fork),
                    merged=row.merged if row.merged > row.branch else None,
                )
                for row in tx.scan(schema.BRANCHES, (scope.tenant, subject))
            ]

    def merge(
        self,
        name: str,
        *,
        resolve: Mapping[str, str] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Merged:
        """Bring what a branch changed into the branch it was begun on.

        Three-way, memory by memory, against the moment of the fork or of the last merge. Where
        both sides changed the same memory nothing is applied and the clashes come back.

        Parameters
        ----------
        name : str
            The branch.
        resolve : mapping of str to str or None
            For clashing ids: ``"branch"`` or ``"parent"``, the side that stays.
        user_id, agent_id : str or None
            Whose memory.
        """
        scope = self._required_scope("merge", user_id, agent_id, None)
        with self._records(scope) as tx:
            branch = read_branch(tx, scope, read_string("name", name))
        change = MergeBranch(id=self._vault.ids.fresh(), branch=branch, resolve=dict(resolve or {}))
        try:
            receipt = self._write("merge", scope, [change])
        except MergeConflict as conflict:
            found = [item for item in conflict.collisions if isinstance(item, Collision)]
            return Merged(applied=False, clashes=self._clashes(scope, branch, found))
        return Merged(applied=True, receipt=receipt)

    def _clashes(self, scope: Scope, branch: int, collisions: list[Collision]) -> tuple[Clash, ...]:
        own = self._bound or Bound(scope=scope)
        sides = (self._bind(Bound(scope=scope, branch=branch)), self._bind(own))
        found: list[Clash] = []
        for item in collisions:
            versions = {cube.recorded_seq: cube for side in sides for cube in _past(side, item.id)}
            found.append(
                Clash(
                    id=item.id,
                    base=versions.get(item.base),
                    branch=versions.get(item.branch),
                    parent=versions.get(item.parent),
                )
            )
        return tuple(found)

    def _bind(self, bound: Bound) -> MemoryView:
        from mnemos.app.view import MemoryView

        return MemoryView(self, bound)

    # --------------------------------------------------------------------- diff

    def diff(
        self,
        a: AsOf = None,
        b: AsOf = None,
        *,
        id: str | None = None,
        branch_a: str | None = None,
        branch_b: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> list[Difference]:
        """Return the memories that differ between two moments, or two branches, of a scope.

        Parameters
        ----------
        a, b : datetime, str, Receipt or None
            The two moments; None is the present.
        id : str or None
            Only this memory.
        branch_a, branch_b : str or None
            The branches they are on; None is the main line.
        user_id, agent_id : str or None
            Whose memory.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     first = memory.add("Ana lives in Porto", user_id="ana")
        ...     _ = memory.update(first.id, "Ana lives in Lisbon")
        ...     [(item.change, item.after.text) for item in memory.diff(first, user_id="ana")]
        [('changed', 'Ana lives in Lisbon')]
        """
        if id is not None and user_id is None and agent_id is None:
            scope = self._scope_of(read_id(id), None, None)
        else:
            scope = self._required_scope("diff", user_id, agent_id, None)
        points: list[Point] = []
        with self._records(scope) as tx:
            subject = find_subject(tx, scope.tenant, scope.subject) or 0
            for moment_, branch in ((a, branch_a), (b, branch_b)):
                here = NOW if moment_ is None else read_position(tx, scope, moment_, self._zone)
                points.append(Point(branch=read_branch(tx, scope, branch), seq=here))
            ids = changed_between(tx, scope.tenant, subject, *points)
        ids = ids if id is None else [item for item in ids if item == id]
        first, second = (
            self._bind(Bound(scope=scope, as_of=point.seq, branch=point.branch)) for point in points
        )

        def action(before: Reader) -> list[Difference]:
            return second._read(
                second._view(scope),
                lambda after: differences(before, after, ids),
            )

        found = first._read(first._view(scope), action)
        self._note_read("diff", first._view(scope), [item.id for item in found])
        return found

    def _position(self, scope: Scope, value: AsOf, *, name: str = "at") -> int | None:
        if value is None:
            return None
        with self._records(scope, part=True) as tx:
            return read_position(tx, scope, value, self._zone, name=name)


def _past(side: MemoryView, id: str) -> tuple[MemCube, ...]:
    """Return the versions of a memory a side knows of; none where it never had it."""
    try:
        return side.history(id)
    except NotFound:
        return ()


def _wall(tx: ReadTx, tenant: str, seq: int) -> datetime:
    event = tx.get(schema.EVENTS, (tenant, seq))
    return moment(event.at if event is not None else 0)
