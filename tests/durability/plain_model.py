"""What versions, branches, rollback, merge and forgetting mean, in plain lists and loops.

Written from what the calls promise and not from how they do it, so that the two can be compared.
Time is the number of a call: a version written by call 7 is seen from moment 7 on. A page is what
one subject has; on each line (a branch, or None for the main one) every memory has its entries,
oldest first, and an entry without a version is an end without successor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mnemos.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
    Protected,
    VersionConflict,
)

CURRENT = frozenset({"generated", "activated"})
STEPS = {
    "generated": {"activated"},
    "activated": {"merged", "superseded", "archived", "expired"},
    "merged": {"archived", "activated"},
    "superseded": {"archived", "activated"},
    "archived": {"activated", "expired"},
    "expired": set(),
}
"""The legal steps of a life."""

Line = str | None
"""A branch by name; None is the main line."""


class Refused(Exception):
    """The call must fail with one of these errors, and change nothing."""

    def __init__(self, *errors: type[Exception]) -> None:
        super().__init__(*errors)
        self.errors = errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A content: what a memory says, and the parts of its header that matter here."""

    text: str
    kind: str = "turn"
    role: str | None = "user"
    run: str | None = None
    external: str | None = None
    expires: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    frozen: bool = False
    hold: bool = False
    sources: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A content in a state; two versions say the same if number of content and state agree."""

    content: int
    said: Said
    state: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A version, or an end, since a moment; ``serial`` orders entries of one moment."""

    since: int
    serial: int
    version: Version | None


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a line left its parent, and up to which moment it was merged."""

    parent: Line
    fork: int
    merged: int


@dataclass(slots=True)
class Result:
    """What a receipt must say."""

    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    suppressed: int = 0
    forgotten: set[str] = field(default_factory=set)
    restored: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    clashes: dict[str, tuple[Version | None, ...]] = field(default_factory=dict)


def says(version: Version | None) -> tuple[int, str] | None:
    return None if version is None else (version.content, version.state)


class Page:
    """One subject's memories on all lines."""

    def __init__(self) -> None:
        self.order: dict[str, None] = {}
        self.lines: dict[Line, dict[str, list[Entry]]] = {None: {}}
        self.branches: dict[str, Branch] = {}
        self.snapshots: dict[str, tuple[int, Line]] = {}
        self.suppressed: set[tuple[str, str, str]] = set()
        self.gone: set[str] = set()
        self.successors: dict[str, set[str]] = {}
        self.tick = 0
        self.now: datetime | None = None
        self._serial = 0

    def clone(self) -> Page:
        twin = Page()
        twin.order = dict(self.order)
        twin.lines = {
            line: {id: list(entries) for id, entries in rows.items()}
            for line, rows in self.lines.items()
        }
        twin.branches, twin.snapshots = dict(self.branches), dict(self.snapshots)
        twin.suppressed, twin.gone = set(self.suppressed), set(self.gone)
        twin.successors = {id: set(made) for id, made in self.successors.items()}
        twin.tick, twin.now, twin._serial = self.tick, self.now, self._serial
        return twin

    # ------------------------------------------------------------------- reading

    def entries(self, line: Line, id: str, tick: int | None = None) -> list[Entry]:
        """Return what a line knows of a memory up to a moment: its parents' up to the fork."""
        moment = self.tick if tick is None else tick
        inherited: list[Entry] = []
        if line is not None:
            own = self.branches[line]
            inherited = self.entries(own.parent, id, min(moment, own.fork))
        rows = self.lines.get(line, {}).get(id, ())
        return inherited + [entry for entry in rows if entry.since <= moment]

    def versions(self, line: Line, id: str, tick: int | None = None) -> list[Entry]:
        """Return every version of a memory on a line, numbered by their places."""
        return [item for item in self.entries(line, id, tick) if item.version is not None]

    def at(self, line: Line, id: str, tick: int | None = None) -> Version | None:
        """Return what a line says of a memory at a moment."""
        found = self.entries(line, id, tick)
        return found[-1].version if found else None

    def expired(self, version: Version) -> bool:
        """Return whether a version's time to live is over, on the reader's own clock."""
        assert self.now is not None
        return version.said.expires is not None and version.said.expires <= self.now

    def shows(
        self,
        version: Version | None,
        *,
        valid_at: datetime | None = None,
        states: frozenset[str] = CURRENT,
        run: str | None = None,
        ended: bool = False,
    ) -> bool:
        """Return whether a reader sees a version; with ``ended`` also what is no longer true."""
        if version is None or version.state not in states or self.expired(version):
            return False
        said, moment = version.said, self.now if valid_at is None else valid_at
        if said.until is not None and said.until <= moment and not ended:
            return False
        if valid_at is not None and said.since is not None and said.since > valid_at:
            return False
        return run is None or said.run == run

    def visible(self, line: Line, tick: int | None = None, **how) -> list[str]:
        """Return the memories a reader sees, in the order of their first writing."""
        return [id for id in self.order if self.shows(self.at(line, id, tick), **how)]

    def shown(self, line: Line, id: str) -> Version:
        """Return the current version, which must be visible, but need not be true any more."""
        found = self.at(line, id) if id in self.order else None
        if not self.shows(found, ended=True):
            raise Refused(NotFound)
        assert found is not None
        return found

    def live(self, line: Line, id: str) -> Version:
        """Return the current version, visible or not."""
        found = self.at(line, id) if id in self.order else None
        if found is None:
            raise Refused(NotFound)
        return found

    def living(self, line: Line, id: str) -> Version:
        """Return the current version, in whatever state, but not past its time to live."""
        found = self.live(line, id)
        if self.expired(found):
            raise Refused(NotFound)
        return found

    def contents(self, id: str) -> list[Version]:
        """Return every version of a memory on any line."""
        return [entry.version for entry in self._entries(id) if entry.version is not None]

    def _entries(self, id: str) -> list[Entry]:
        entries = [entry for rows in self.lines.values() for entry in rows.get(id, ())]
        return [entry for entry in entries if entry.version is not None]

    def holder(self, line: Line, external: str | None) -> str | None:
        """Return the memory a caller's own id names: one that is over gives it back."""
        for id in self.order if external is not None else ():
            found = self.at(line, id)
            if found is None or found.said.external != external:
                continue
            if found.state != "expired" and not self.expired(found):
                return id
        return None

    def differing(self, a: tuple[Line, int], b: tuple[Line, int]) -> dict[str, tuple]:
        """Return what two points show of the memories that are not the same there."""
        found: dict[str, tuple] = {}
        for id in self.order:
            sides = [self.at(line, id, tick) for line, tick in (a, b)]
            one, two = (side if self.shows(side) else None for side in sides)
            if (one and (one.said, one.state)) != (two and (two.said, two.state)):
                found[id] = (one, two)
        return found

    # ------------------------------------------------------------------- writing

    def put(self, line: Line, id: str, version: Version | None) -> None:
        self.order.setdefault(id)
        self._serial += 1
        rows = self.lines.setdefault(line, {}).setdefault(id, [])
        rows.append(Entry(self.tick, self._serial, version))

    def new(self, said: Said, state: str = "activated") -> Version:
        """Return a version with a content of its own."""
        self._serial += 1
        return Version(self._serial, said, state)

    def add(
        self,
        line: Line,
        items: Sequence[tuple[str, Said, str]],
        *,
        replaces: bool = False,
    ) -> Result:
        """Write new memories: id, content, state."""
        result = Result()
        for id, said, state in items:
            taken = self.holder(line, said.external)
            if taken is not None:
                self._taken(line, taken, said, state, result, replaces=replaces)
                continue
            if not all(source in self.order for source in said.sources):
                raise Refused(NotFound)
            if any((source, said.kind, said.text) in self.suppressed for source in said.sources):
                result.suppressed += 1
                continue
            self.put(line, id, self.new(said, state))
            result.ids.append(id)
        return result

    def _taken(
        self, line: Line, id: str, said: Said, state: str, result: Result, *, replaces: bool
    ) -> None:
        live = self.live(line, id)
        if live.said == said:
            result.duplicates += 1
        elif not replaces:
            raise Refused(Conflict)
        else:
            _check(live, state if state != live.state else None)
            self.put(line, id, self.new(said, state))
        result.ids.append(id)

    def update(self, line: Line, id: str, text: str, expected: int | None) -> Result:
        live = self.shown(line, id)
        number = len(self.versions(line, id))
        wrong = [Protected] if live.said.frozen else []
        wrong += [VersionConflict] if expected not in (None, number) else []
        if wrong:
            raise Refused(*wrong)
        self.put(line, id, self.new(replace(live.said, text=text)))
        return Result(ids=[id])

    def amend(self, line: Line, id: str, flag: str, value: bool) -> Result:
        """Set a flag; what has expired can be held, until it is forgotten, and nothing else."""
        live = self.living(line, id) if flag == "frozen" else self.live(line, id)
        said = replace(live.said, **{flag: value})
        if said != live.said:
            self.put(line, id, self.new(said, live.state))
        return Result(ids=[id])

    def move(self, line: Line, id: str, state: str, *, lived: bool = False) -> Result:
        live = self.living(line, id) if lived else self.live(line, id)
        _check(live, state)
        self.put(line, id, replace(live, state=state))
        return Result(ids=[id])

    def revert(self, line: Line, id: str, number: int) -> Result:
        if id not in self.order:
            raise Refused(NotFound)
        versions, live = self.versions(line, id), self.at(line, id)
        if not 1 <= number <= len(versions):
            raise Refused(InvalidInput)
        wanted = versions[number - 1].version
        assert wanted is not None
        state = wanted.state if wanted.state in CURRENT else "activated"
        wrong: list[type[Exception]] = []
        if self.holder(line, wanted.said.external) not in (None, id):
            wrong.append(Conflict)
        if live is not None:
            wrong += _against(live, wanted)
            if state != live.state and state not in STEPS[live.state]:
                wrong.append(IllegalTransition)
        if wrong:
            raise Refused(*wrong)
        self.put(line, id, replace(wanted, state=state))
        return Result(ids=[id])

    def supersede(self, line: Line, id: str, new: str, text: str) -> Result:
        live = self.shown(line, id)
        _check(live, "superseded")
        self.put(line, new, self.new(_successor(live.said, text, id)))
        self.put(line, id, replace(live, state="superseded"))
        return Result(ids=[new])

    def contradict(self, line: Line, id: str, new: str, text: str, at: datetime) -> Result:
        live = self.shown(line, id)
        wrong: list[type[Exception]] = [Protected] if live.said.frozen else []
        if live.said.since is not None and at <= live.said.since:
            wrong.append(InvalidInput)
        if wrong:
            raise Refused(*wrong)
        self.put(line, new, self.new(replace(_successor(live.said, text, id), since=at)))
        ended = replace(live.said, until=at, links=(*live.said.links, new))
        self.put(line, id, self.new(ended, live.state))
        return Result(ids=[new])

    def consolidate(self, line: Line, ids: Sequence[str], new: str, text: str) -> Result:
        lives = {id: self.shown(line, id) for id in ids}
        if any((id, "summary", text) in self.suppressed for id in ids):
            return Result(suppressed=1)
        for live in lives.values():
            _check(live, "merged")
        made = Said(text=text, kind="summary", role=None, sources=tuple(ids))
        self.put(line, new, self.new(made))
        for id, live in lives.items():
            self.put(line, id, replace(live, state="merged"))
            self.successors.setdefault(id, set()).add(new)
        return Result(ids=[new])

    # ------------------------------------------------------------- moving in time

    def snapshot(self, line: Line, name: str, tick: int) -> Result:
        if not self.order:
            raise Refused(NotFound)
        if name in self.snapshots:
            raise Refused(Conflict)
        self.snapshots[name] = (tick, line)
        return Result()

    def drop_snapshot(self, name: str) -> Result:
        if self.snapshots.pop(name, None) is None:
            raise Refused(NotFound)
        return Result()

    def branch(self, line: Line, name: str, tick: int) -> Result:
        if not self.order:
            raise Refused(NotFound)
        if name in self.branches:
            raise Refused(Conflict)
        self.branches[name] = Branch(line, tick, tick)
        return Result()

    def rollback(self, line: Line, tick: int) -> Result:
        ends: dict[str, None] = {}
        backs: dict[str, Version] = {}
        for id in self.order:
            then, live = self.at(line, id, tick), self.at(line, id)
            if says(then) == says(live):
                continue
            if live is not None and _against(live, then):
                raise Refused(Protected)
            if then is not None:
                backs[id] = then
            else:
                ends[id] = None
        for id in ends:
            self.put(line, id, None)
        for id, version in backs.items():
            self.put(line, id, version)
        return Result(ids=[*ends, *backs])

    def merge(self, line: Line, name: str, resolve: Mapping[str, str]) -> Result:
        branch = self.branches[name]
        if branch.parent != line:
            raise Refused(InvalidInput)
        result, apply = Result(), list[tuple[str, Version | None]]()
        for id in self._changed(name, branch.merged):
            base, theirs = self.at(name, id, branch.merged), self.at(name, id)
            ours = self.at(line, id)
            if says(theirs) in (says(base), says(ours)):
                continue
            side = "branch" if says(ours) == says(base) else resolve.get(id)
            if side is None:
                result.clashes[id] = (base, theirs, ours)
            elif side == "branch":
                apply.append((id, theirs))
        if result.clashes:
            return result
        for id, version in apply:
            live = self.at(line, id)
            wrong = list[type[Exception]](_against(live, version) if live is not None else ())
            if version and self.holder(line, version.said.external) not in (None, id):
                wrong.append(Conflict)
            if wrong:
                raise Refused(*wrong)
            self.put(line, id, version)
            result.ids.append(id)
        self.branches[name] = replace(branch, merged=self.tick)
        return result

    def _changed(self, name: str, since: int) -> list[str]:
        """Return what was changed on a branch itself after a moment, in the order of that."""
        firsts: dict[str, int] = {}
        for id, entries in self.lines.get(name, {}).items():
            later = [entry.serial for entry in entries if entry.since > since]
            if later:
                firsts[id] = later[0]
        return sorted(firsts, key=firsts.__getitem__)

    # ----------------------------------------------------------------- forgetting

    def derived(self, roots: Iterable[str]) -> set[str]:
        """Return memories and everything that was ever, on any line, made from them."""
        doomed = set(roots)
        while True:
            more = {
                id
                for id in self.order
                if id not in doomed
                and any(doomed.intersection(item.said.sources) for item in self.contents(id))
            }
            if not more:
                return doomed
            doomed |= more

    def made_from(self, ids: Iterable[str]) -> set[str]:
        """Return the memories some memories were made from, as far as they still are there."""
        versions = [version for id in ids for version in self.contents(id)]
        return {source for item in versions for source in item.said.sources if source in self.order}

    def forget(self, line: Line, ids: Sequence[str], *, sources: bool = False) -> Result:
        result = Result(ids=list(ids))
        for id in ids:
            if id not in result.forgotten:
                self._forget(line, id, result, sources=sources)
        result.restored -= result.forgotten
        result.sources -= result.forgotten
        if not self.order:
            self.branches.clear()
            self.snapshots.clear()
            self.lines = {None: {}}
        return result

    def _forget(self, line: Line, id: str, result: Result, *, sources: bool) -> None:
        if id not in self.order:
            raise Refused(NotFound)
        roots = {id}
        while sources and not self.made_from(roots) <= roots:
            roots |= self.made_from(roots)
        doomed = self.derived(roots)
        lines: list[Line] = [None, *self.branches]
        lives = [self.at(each, one) for each in lines for one in doomed]
        if any(live is not None and live.said.hold for live in lives):
            raise Refused(Protected)
        stay = self.made_from(doomed) - doomed
        result.sources |= self.made_from(roots) - doomed
        for root in roots:
            newest = max(self._entries(root), key=lambda entry: entry.serial).version
            self._suppress(self.at(line, root) or newest, stay)
        for one in doomed:
            del self.order[one]
            for rows in self.lines.values():
                rows.pop(one, None)
        self.gone |= doomed
        result.forgotten |= doomed
        self.suppressed = {item for item in self.suppressed if item[0] in self.order}
        for source in [item for item in self.order if item in stay]:
            self._bring_back(source, lines, result)

    def _suppress(self, version: Version | None, stay: set[str]) -> None:
        """Note what is not to be derived again from the sources that stay."""
        if version is not None:
            said = version.said
            self.suppressed |= {
                (source, said.kind, said.text) for source in said.sources if source in stay
            }

    def _bring_back(self, id: str, lines: Sequence[Line], result: Result) -> None:
        """Make a merged source current again, wherever its last successor is gone."""
        if any(one in self.order for one in self.successors.get(id, ())):
            return
        for line in lines:
            live = self.at(line, id)
            if live is not None and live.state == "merged":
                self.put(line, id, replace(live, state="activated"))
                result.restored.add(id)


def _check(live: Version, state: str | None) -> None:
    """Pass if a version may be followed by one in another state; None is the same."""
    wrong: list[type[Exception]] = [Protected] if live.said.frozen else []
    if state is not None and state not in STEPS[live.state]:
        wrong.append(IllegalTransition)
    if wrong:
        raise Refused(*wrong)


def _against(live: Version, after: Version | None) -> list[type[Exception]]:
    """Return what forbids going back: a freeze, or a legal hold that would be lifted."""
    lifted = live.said.hold and not (after is not None and after.said.hold)
    return [Protected] if live.said.frozen or lifted else []


def _successor(old: Said, text: str, id: str) -> Said:
    return Said(text=text, kind=old.kind, role=old.role, run=old.run, links=(id,))
