"""Where a memory comes from and what came of it, through a view.

Upwards: what it was derived from, by which method and model, and every version it had. Downwards:
what was derived from it, and who links to it. Cubes of another subject, forgotten ones, and what
the view's moment and branch do not show, never appear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from mnemos.errors import NotFound, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.branches import NOW, ancestry, versions_of
from mnemos.kernel.canonical import decode_content, moment
from mnemos.kernel.governance.views import View
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.proof.log import Names
from mnemos.kernel.schema import Event, Version
from mnemos.types import Header

DEPTH = 8
"""Steps followed in either direction where none is said."""
MOST = 1_000
"""Memories listed in either direction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relative:
    """A memory on the way up or down.

    Parameters
    ----------
    id : str
        The memory.
    via : str
        The memory it is next to: derived from this one (up), or its source (down).
    depth : int
        Steps from the memory that was asked about.
    kind, origin, trust, method, model
        From its header: what it is, who it comes from, what made it.
    state : str or None
        Its life-cycle state; None where a rollback took it back.
    """

    id: str
    via: str
    depth: int
    kind: str
    origin: str
    trust: float
    method: str | None
    model: str | None
    state: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionStep:
    """One step in a memory's own history.

    Parameters
    ----------
    number : int
        Its number as in :meth:`Reader.history`; for a withdrawal that of the version it ended.
    seq : int
        Journal position.
    at : datetime
        Wall time (UTC).
    actor : str
        Who did it.
    verb : str
        ``add``, ``update``, ``state``, ``adopt`` (an earlier content, or another branch's, became
        current) or ``withdraw`` (ended without successor).
    branch : str
        Name of the branch it happened on.
    state : str
        Life-cycle state.
    origin, trust, method, model
        From this version's header.
    adopted : int or None
        For ``adopt``: position of the version whose content it took.
    adopted_from : str or None
        Name of the branch that version is on.
    """

    number: int
    seq: int
    at: datetime
    actor: str
    verb: str
    branch: str
    state: str
    origin: str
    trust: float
    method: str | None = None
    model: str | None = None
    adopted: int | None = None
    adopted_from: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkStep:
    """A link between two memories, as its carrier's header has it."""

    type: str
    source: str
    target: str
    weight: float = 1.0
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Everything known of where a memory comes from and what came of it.

    Parameters
    ----------
    id : str
        The memory.
    versions : tuple of VersionStep
        Its own history, oldest first.
    sources, derived : tuple of Relative
        What it was derived from and what was derived from it, nearest first.
    links, linked_by : tuple of LinkStep
        Its links, and those of others to it.
    truncated : bool
        Whether there is more, deeper down or beyond a thousand memories.
    """

    id: str
    versions: tuple[VersionStep, ...]
    sources: tuple[Relative, ...] = ()
    derived: tuple[Relative, ...] = ()
    links: tuple[LinkStep, ...] = ()
    linked_by: tuple[LinkStep, ...] = ()
    truncated: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them: times in ISO 8601."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True)
class Life:
    """A cube as a view shows it: its versions with their headers, oldest first."""

    id: str
    cube: int
    versions: tuple[Version, ...]
    headers: tuple[Header, ...]
    current: bool

    @property
    def header(self) -> Header:
        """The newest header."""
        return self.headers[-1]


class Family:
    """Looks up cubes and their relations through one view.

    Parameters
    ----------
    tx : ReadTx
        The snapshot.
    view : View
        What may be seen; its kinds and states do not narrow a lineage, its subject, branch,
        moment and the lifespan of memories do.
    """

    def __init__(self, tx: ReadTx, view: View) -> None:
        self.tx = tx
        self.view = view
        self.tenant = view.scope.tenant
        self.names = Names(tx, self.tenant)
        self.subject = find_subject(tx, self.tenant, view.scope.subject)
        self.moment = NOW if view.as_of is None else view.as_of
        self._lines = ancestry(tx, self.tenant, self.subject or 0, view.branch, self.moment)
        self._cuts = {line.branch: line.cut for line in self._lines}
        self._lives: dict[str, Life | None] = {}

    def life(self, id: str) -> Life | None:
        """Return a cube, or None where the view does not show it."""
        if id not in self._lives:
            self._lives[id] = self._look(id)
        return self._lives[id]

    def _look(self, id: str) -> Life | None:
        found = self.tx.get(schema.IDS, (self.tenant, id))
        if found is None or found.subject != self.subject:
            return None
        rows = versions_of(self.tx, self.tenant, found.cube, self._lines)
        headers = tuple(self._header(row) for row in rows)
        if not rows:
            return None
        end = headers[-1].expires_at
        if end is not None and end <= self.view.now:
            return None
        return Life(id, found.cube, tuple(rows), headers, not self.ended(rows[-1]))

    def ended(self, row: Version) -> bool:
        """Return whether the view sees the end of a version; an ancestor's later days it does not."""
        return row.dead <= self._cuts.get(row.branch, self.moment)

    def _header(self, row: Version) -> Header:
        content = self.tx.get(schema.CONTENTS, (self.tenant, row.content))
        if content is None:
            raise StoreCorrupt(f"memory {row.cube} has lost its content; run `mnemos verify`")
        return decode_content(content.body).header

    def event(self, seq: int) -> Event:
        """Return an event of the journal."""
        event = self.tx.get(schema.EVENTS, (self.tenant, seq))
        if event is None:
            raise StoreCorrupt(f"event {seq} is missing; run `mnemos verify`")
        return event

    def withdrawal(self, life: Life, row: Version) -> Event | None:
        """Return the event that ended a version without a successor, if the view shows it."""
        if not self.ended(row):
            return None
        event = self.event(row.dead)
        return event if event.verb == "withdraw" and event.cube == life.id else None

    def sources(self, life: Life) -> list[Life]:
        """Return what a cube was derived from, in any of its versions."""
        ids = dict.fromkeys(id for header in life.headers for id in header.derived_from)
        return self._lives_of(ids)

    def derived(self, life: Life) -> list[Life]:
        """Return what was derived from a cube."""
        rows = self.tx.scan(schema.SOURCES, (self.tenant, life.id))
        found = self._lives_of(row.derived for row in rows)
        return [
            item for item in found if any(life.id in header.derived_from for header in item.headers)
        ]

    def linking(self, life: Life) -> list[Life]:
        """Return the cubes whose newest header links to a cube."""
        rows = self.tx.scan(schema.LINKS, (self.tenant, life.id))
        return self._lives_of(row.source for row in rows)

    def _lives_of(self, ids: Iterable[str]) -> list[Life]:
        return [life for id in ids if (life := self.life(id)) is not None]

    def adopted(self, life: Life, row: Version) -> Version | None:
        """Return the version whose content an ``adopt`` took: the newest that says the same."""
        earlier = [
            item
            for item in self.tx.scan(schema.VERSIONS, (self.tenant, life.cube))
            if item.content == row.content and item.born < row.born
        ]
        same = [item for item in earlier if item.state == row.state]
        return max(same or earlier, key=_birth, default=None)


def _birth(row: Version) -> tuple[int, int]:
    # A copy on a nearer branch names the same birth: the event's own branch comes first.
    return row.born, -row.branch


def lineage(tx: ReadTx, view: View, id: str, *, depth: int = DEPTH) -> Lineage:
    """Return where a memory comes from and what came of it.

    Parameters
    ----------
    tx : ReadTx
        The snapshot to look in.
    view : View
        What may be seen.
    id : str
        The memory.
    depth : int
        Steps to follow in either direction; cycles are walked once.

    Raises
    ------
    NotFound
        If the view does not show it.
    """
    family = Family(tx, view)
    life = family.life(id)
    if life is None:
        raise NotFound(
            f"no memory {id!r} of {view.scope.subject!r} in this view: it was forgotten, never "
            "written, or belongs to someone else; `get_all` lists what there is"
        )
    sources, more = _walk(life, family.sources, depth)
    derived, still = _walk(life, family.derived, depth)
    return Lineage(
        id=id,
        versions=tuple(_steps(family, life)),
        sources=sources,
        derived=derived,
        links=tuple(_links(family, life, None)),
        linked_by=tuple(
            step for other in family.linking(life) for step in _links(family, other, id)
        ),
        truncated=more or still,
    )


def _walk(
    root: Life, neighbours: Callable[[Life], list[Life]], depth: int
) -> tuple[tuple[Relative, ...], bool]:
    """Walk the relations in breadth; return them, and whether some were left out."""
    found: dict[str, Relative] = {}
    level, more = [root], False
    for step in range(1, depth + 2):
        following: list[Life] = []
        for life in level:
            for other in neighbours(life):
                if other.id in found or other.id == root.id:
                    continue
                if step > depth or len(found) >= MOST:
                    more = True
                    continue
                found[other.id] = _relative(other, life.id, step)
                following.append(other)
        level = following
    return tuple(found.values()), more


def _relative(life: Life, via: str, depth: int) -> Relative:
    header = life.header
    return Relative(
        id=life.id,
        via=via,
        depth=depth,
        kind=header.kind.value,
        origin=header.origin.value,
        trust=header.trust,
        method=header.method,
        model=header.model,
        state=str(life.versions[-1].state) if life.current else None,
    )


def _steps(family: Family, life: Life) -> list[VersionStep]:
    steps: list[VersionStep] = []
    for number, (row, header) in enumerate(zip(life.versions, life.headers, strict=True), 1):
        event = family.event(row.born)
        origin = family.adopted(life, row) if event.verb == "adopt" else None
        steps.append(_step(family, number, event, header, origin))
        ended = family.withdrawal(life, row)
        if ended is not None:
            steps.append(_step(family, number, ended, header, None))
    return steps


def _step(
    family: Family, number: int, event: Event, header: Header, adopted: Version | None
) -> VersionStep:
    names = family.names
    branch = family.event(adopted.born).branch if adopted is not None else 0
    return VersionStep(
        number=number,
        seq=event.seq,
        at=moment(event.at),
        actor=names.actor(event.actor),
        verb=event.verb,
        branch=names.branch(event.subject, event.branch),
        state=str(event.state),
        origin=header.origin.value,
        trust=header.trust,
        method=header.method,
        model=header.model,
        adopted=adopted.born if adopted is not None else None,
        adopted_from=names.branch(event.subject, branch) if adopted is not None else None,
    )


def _links(family: Family, life: Life, target: str | None) -> list[LinkStep]:
    """Return the links of a cube, all or those to one target, whose targets the view shows."""
    return [
        LinkStep(
            type=link.type,
            source=life.id,
            target=link.target,
            weight=link.weight,
            valid_from=link.valid_from,
            valid_to=link.valid_to,
        )
        for link in life.header.links
        if target in (None, link.target) and family.life(link.target) is not None
    ]
