"""What is due of one subject, by the policies: to be forgotten, expired or archived.

Read in one snapshot, from the columns of pages; contents are opened only for what is about to be
touched, to see whether it is frozen or held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from mnemos.kernel import schema
from mnemos.kernel.canonical import decode_content, microseconds
from mnemos.kernel.changes import Change, Forget, Transition
from mnemos.kernel.governance.views import ALL_STATES, open_view
from mnemos.kernel.journal import seq_at
from mnemos.kernel.pages import PageCache
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import Version
from mnemos.kernel.segments import KINDS, STATES
from mnemos.kernel.upkeep import retention
from mnemos.kernel.upkeep.retention import QUARANTINE, Policy, PolicyEntry
from mnemos.kernel.upkeep.usage import Law, read_usage
from mnemos.kernel.vault import Vault
from mnemos.types import CURRENT_STATES, Header, Kind, Scope, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUTES: Mapping[State, tuple[State, ...]] = {
    State.GENERATED: (State.ACTIVATED, State.EXPIRED),
    State.ACTIVATED: (State.EXPIRED,),
    State.MERGED: (State.ARCHIVED, State.EXPIRED),
    State.SUPERSEDED: (State.ARCHIVED, State.EXPIRED),
    State.ARCHIVED: (State.EXPIRED,),
    State.QUARANTINED: (State.EXPIRED,),
}
"""The legal steps from each state to expired; none of them shows a memory on the way."""

ReadLaw = Callable[[Mapping[str, Any] | None], Law]
"""Turns a policy's ``law`` into a law; None asks for the default one."""


class Step(NamedTuple):
    """One memory to be led to a state, or forgotten where there is no state to lead it to.

    ``born`` is that of the version it was decided on, 0 where there is no current one.
    """

    branch: int
    id: str
    born: int
    states: tuple[State, ...] = ()

    def changes(self) -> Iterator[Change]:
        """Yield what carries it out."""
        if not self.states:
            yield Forget(id=self.id)
        for state in self.states:
            yield Transition(id=self.id, state=state)


@dataclass(slots=True)
class _Rows:
    """What one branch shows of a subject, expired or not, column by column."""

    branch: int
    born: NDArray[np.int64]
    cube: NDArray[np.int64]
    content: NDArray[np.int64]
    state: NDArray[np.int64]
    kind: NDArray[np.int64]
    expires: NDArray[np.int64]
    over: NDArray[np.bool_]
    """Past its end."""
    gone: NDArray[np.bool_]
    """Past its end and the grace."""


@dataclass(slots=True)
class Plan:
    """What is due of one subject, read in one snapshot."""

    tx: ReadTx
    vault: Vault
    subject: schema.Subject
    strength: ReadLaw
    now: datetime
    held: list[str] = field(default_factory=list[str])
    seen: set[int] = field(default_factory=set[int])
    policies: dict[Kind, Policy] = field(default_factory=dict[Kind, Policy])
    entries: tuple[PolicyEntry, ...] = ()
    mortal: bool = False
    """Whether a policy speaks of this subject, or a row has an end."""

    def steps(self) -> Iterator[Step]:
        """Yield what to do, in the order to do it: forget, expire, archive."""
        self.entries = retention.stored(self.tx, *self.subject[:2])
        pages = [rows for branch in self._branches() if (rows := self._rows(branch)) is not None]
        ends = any((rows.expires < schema.ALIVE).any() for rows in pages)
        waiting = any((rows.state == STATES.index(State.QUARANTINED)).any() for rows in pages)
        self.mortal = bool(self.entries) or ends or waiting
        doomed: set[int] = set()
        for rows in pages:
            doomed.update(rows.cube[rows.gone].tolist())
        for rows in pages:  # what still lives on one branch is forgotten on none
            doomed.difference_update(rows.cube[~rows.gone].tolist())
        for rows in pages:
            yield from self._forgetting(rows, doomed)
        yield from self._withdrawn({cube for rows in pages for cube in rows.cube.tolist()})
        for rows in pages:
            yield from self._expiring(rows, doomed)
        for rows in pages:
            yield from self._weak(rows)

    def _branches(self) -> list[int]:
        rows = self.tx.scan(schema.BRANCHES, self.subject[:2])
        return [schema.MAIN, *(row.branch for row in rows)]

    def _rows(self, branch: int) -> _Rows | None:
        """Return the live rows of a branch, those past their end included."""
        view = open_view(
            Scope(tenant=self.subject.tenant, subject=self.subject.name),
            now=datetime.min.replace(tzinfo=UTC),  # before which nothing expired
            branch=branch,
            states=ALL_STATES,
        )
        reader = Reader(self.tx, self.vault.store.blobs, view, cache=PageCache(), space=None)
        page = reader.page()
        if page is None:
            return None
        arrays, mask = page
        columns = {
            name: arrays.column(name)[mask]
            for name in ("born", "cube", "content", "state", "kind", "expires")
        }
        none = columns["born"] < 0
        rows = _Rows(branch, **columns, over=none, gone=none.copy())
        self._judge(rows)
        return rows

    def _policy(self, kind: Kind) -> Policy:
        if kind not in self.policies:
            self.policies[kind] = retention.combined(self.entries, kind)
        return self.policies[kind]

    def _seq(self, seconds: float) -> int:
        """Return the position the journal had reached so many seconds ago."""
        return seq_at(self.tx, self.subject.tenant, self.now - timedelta(seconds=seconds))

    def _judge(self, rows: _Rows) -> None:
        """Say of every row whether it is past its end, and past the grace."""
        import numpy as np

        now = microseconds(self.now)
        expired = rows.state == STATES.index(State.EXPIRED)
        for code in np.unique(rows.kind):
            kind = KINDS[int(code)]
            policy, here = self._policy(kind), rows.kind == code
            grace = policy.grace or 0.0
            rows.over |= here & (expired | (rows.expires <= now))
            rows.gone |= here & (rows.expires <= now - round(grace * 1e6))
            rows.gone |= here & expired & (rows.born <= self._seq(grace))
            waiting = here & (rows.state == STATES.index(State.QUARANTINED))
            if waiting.any():
                rows.over |= waiting & (rows.born <= self._seq(policy.quarantine or QUARANTINE))
            if policy.retain is not None:
                rows.over |= here & (rows.cube <= self._seq(policy.retain))
                self._judge_frozen(rows, here & ~expired & ~rows.gone, policy.retain + grace, kind)

    def _judge_frozen(
        self, rows: _Rows, here: NDArray[np.bool_], seconds: float, kind: Kind
    ) -> None:
        """Say which frozen memories are too old: they do not expire first, so age alone counts.

        The grace of others begins when they are expired. Here it begins when the policy was set.
        """
        import numpy as np

        grace = self._policy(kind).grace or 0.0
        if self._since(kind) + timedelta(seconds=grace) <= self.now:
            old = here & (rows.cube <= self._seq(seconds))
            for place in np.flatnonzero(old).tolist():
                rows.gone[place] = self._header(int(rows.content[place])).frozen

    def _since(self, kind: Kind) -> datetime:
        """Return when the age that counts for a kind was set: no grace begins before."""
        entry = next(
            entry
            for entry in retention.ranked(self.entries, kind)
            if entry.policy.retain is not None
        )
        return retention.set_at(self.tx, self.subject.tenant, self.subject.subject, entry)

    def _step(self, branch: int, born: int, *states: State) -> Step:
        event = self.tx.get(schema.EVENTS, (self.subject.tenant, born))
        assert event is not None, "every row has its event"
        return Step(branch, event.cube, born, states)

    def _header(self, content: int) -> Header:
        row = self.tx.get(schema.CONTENTS, (self.subject.tenant, content))
        assert row is not None, "every live row has its content"
        return decode_content(row.body).header

    def _forgetting(self, rows: _Rows, doomed: set[int]) -> Iterator[Step]:
        """Yield what is to be forgotten, each cube once; under a legal hold it is only reported."""
        import numpy as np

        for place in np.flatnonzero(rows.gone).tolist():
            cube = int(rows.cube[place])
            if cube not in doomed or cube in self.seen:
                continue
            self.seen.add(cube)
            step = self._step(rows.branch, int(rows.born[place]))
            if self._header(int(rows.content[place])).hold:
                self.held.append(step.id)
                doomed.discard(cube)
            else:
                yield step

    def _withdrawn(self, alive: set[int]) -> Iterator[Step]:
        """Yield what no branch shows any more, after a rollback, once its end and grace are over."""
        newest: dict[int, Version] = {}
        for branch in self._branches():
            key = (*self.subject[:2], branch)
            for row in self.tx.scan(schema.VERSIONS, key, index="deaths", stop=schema.ALIVE):
                known = newest.get(row.cube)
                if row.cube not in alive and (known is None or known.born < row.born):
                    newest[row.cube] = row
        for cube, version in sorted(newest.items()):
            header = self._header(version.content)
            if self._is_over(cube, header):
                step = self._step(schema.MAIN, version.born)._replace(born=0)
                if header.hold:
                    self.held.append(step.id)
                else:
                    yield step

    def _is_over(self, cube: int, header: Header) -> bool:
        """Return whether a memory is past its end and the grace, by its header and number."""
        policy = self._policy(header.kind)
        grace = timedelta(seconds=policy.grace or 0.0)
        if header.expires_at is not None and header.expires_at + grace <= self.now:
            return True
        if policy.retain is None or self._since(header.kind) + grace > self.now:
            return False
        return cube <= self._seq(policy.retain + grace.total_seconds())

    def _expiring(self, rows: _Rows, doomed: set[int]) -> Iterator[Step]:
        """Yield what is to be expired; frozen memories stay, until it is time to forget them."""
        import numpy as np

        for place in np.flatnonzero(rows.over).tolist():
            route = ROUTES.get(_state(rows, place))
            if route is None or int(rows.cube[place]) in doomed:
                continue
            if not self._header(int(rows.content[place])).frozen:
                yield self._step(rows.branch, int(rows.born[place]), *route)

    def _weak(self, rows: _Rows) -> Iterator[Step]:
        """Yield what is to be archived: too weak, or beyond the capacity of its kind."""
        import numpy as np

        current = np.isin(rows.state, [STATES.index(state) for state in CURRENT_STATES])
        current &= ~rows.over
        for code in np.unique(rows.kind[current]):
            policy = self._policy(KINDS[int(code)])
            if policy.archive_below is not None or policy.capacity is not None:
                places = np.flatnonzero(current & (rows.kind == code)).tolist()
                yield from self._weakest(rows, places, policy)

    def _weakest(self, rows: _Rows, places: list[int], policy: Policy) -> Iterator[Step]:
        law = self.strength(policy.law)
        tenant, number, _ = self.subject
        cubes = [int(rows.cube[place]) for place in places]
        usage = read_usage(self.tx, tenant, number, cubes, self.vault.usage)
        weighed = sorted(
            (law.strength(usage[cube], self.now), cube, place)
            for cube, place in zip(cubes, places, strict=True)
        )
        left = len(places)
        for strength, _, place in weighed:
            decayed = policy.archive_below is not None and strength < policy.archive_below
            crowded = policy.capacity is not None and left > policy.capacity
            if not decayed and not crowded:
                return  # those that follow are stronger
            waiting = _state(rows, place) is State.GENERATED  # not in use yet: no decay
            if not waiting and not self._header(int(rows.content[place])).frozen:
                left -= 1
                yield self._step(rows.branch, int(rows.born[place]), State.ARCHIVED)


def _state(rows: _Rows, place: int) -> State:
    return STATES[int(rows.state[place])]
