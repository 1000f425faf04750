"""Checking a vault: the chain, the contents it commits to, and every table made from them.

The journal is replayed through the same projection that wrote the tables, into memory, one
tenant at a time, and the two are compared row by row. What one damage brings in its train is told
in one line. No message quotes what people wrote.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mnemos.errors import StoreCorrupt
from mnemos.kernel import journal, schema, segments
from mnemos.kernel.blobs import load_payload, orphans
from mnemos.kernel.branches import NOW, RECORDS, ancestry, versions_of
from mnemos.kernel.canonical import Body, commitment, decode_content
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.overlay import Overlay
from mnemos.kernel.ports import Key, ReadTx, Row, Table
from mnemos.kernel.projection import Projection
from mnemos.kernel.proof.chain import Chain, examine
from mnemos.kernel.proof.checkpoints import Checkpoint, check
from mnemos.kernel.schema import ALIVE, Content, Event, Forgotten
from mnemos.kernel.vault import Vault

MOST_PROBLEMS = 100
_LARGEST = 1e6
"""More than any number of a sound vector, which should have length one."""

DERIVED: tuple[Table[Any], ...] = (
    schema.IDS,
    schema.VERSIONS,
    schema.EXTERNALS,
    schema.SOURCES,
    schema.LINKS,
    schema.FORGOTTEN,
    schema.BRANCHES,
    schema.SNAPSHOTS,
    schema.RECORDS,
    schema.POLICIES,
    schema.RULES,
)
"""Tables made from the journal row by row; pages are compared as rows, sealed or not."""


@dataclass(slots=True)
class Report:
    """What ``verify`` found.

    Parameters
    ----------
    events, contents, erased : int
        Events checked, contents proved against their commitments, contents that were forgotten.
    rows : int
        Rows of derived tables compared.
    checkpoints : int
        Checkpoints that hold.
    problems : list of str
        What is wrong and where; empty if all is well.
    """

    events: int = 0
    contents: int = 0
    erased: int = 0
    rows: int = 0
    checkpoints: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def note(self, problem: str) -> None:
        """Record a problem, up to a hundred of them."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class _Nothing:
    """A snapshot of an empty vault."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return None: there is nothing."""
        return None

    def scan(self, table: Table[Row], prefix: Key, **_: Any) -> Iterator[Row]:
        """Walk nothing."""
        return iter(())


class _Tenant:
    """What is gathered while one tenant is checked."""

    def __init__(self, tx: ReadTx, vault: Vault, tenant: str, report: Report) -> None:
        self.tx = tx
        self.vault = vault
        self.tenant = tenant
        self.report = report
        self.chain: Chain = examine(tx, tenant)
        self.rebuilt = Overlay(_Nothing())
        self.damaged = False
        """Whether a content, or an event, is no longer what the tables were made from."""
        self.train: list[str] = []
        """Differences that can come from a damage told already."""
        self.proved: set[int] = set()
        self.names: dict[int, str] = {}

    def note(self, problem: str) -> None:
        """Record a problem of this journal."""
        self.report.note(f"journal of {self.tenant!r}: {problem}")

    def differs(self, problem: str) -> None:
        """Record a difference, which may be in the train of something worse."""
        if self.damaged:
            self.train.append(problem)
        else:
            self.report.note(problem)


def verify(
    vault: Vault,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    public_key: bytes | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check a whole vault and report; nothing is changed.

    A cut tail and a journal written anew from some event on fit together by themselves: only a
    checkpoint kept elsewhere shows them. The names behind actor numbers lie outside the chain.

    Parameters
    ----------
    vault : Vault
        What to check.
    checkpoints : sequence of Checkpoint
        What the journals were at earlier moments.
    public_key : bytes or None
        Ed25519 key, 32 bytes, that must have signed the checkpoints; None takes them as they are.
    progress : callable or None
        Called with 1 after every event.
    """
    report = Report()
    for problem in vault.store.check():
        report.note(f"file: {problem}")
    with vault.store.read(SYSTEM) as tx:
        for tenant in journal.tenants(tx):
            try:
                _tenant(tx, vault, tenant, report, progress)
            except (StoreCorrupt, LookupError, TypeError, ValueError) as error:
                report.note(f"journal of {tenant!r}: damage ends the check ({_kind(error)})")
        _checkpoints(tx, checkpoints, public_key, report)
        strays = orphans(tx, vault.store.blobs)
    if strays:
        with vault.store.write(SYSTEM) as tx:  # under the lock none is on its way to its commit
            strays = orphans(tx, vault.store.blobs)
    for name in strays:
        report.note(f"blob {name} belongs to no memory; it is swept at the next opening")
    return report


def _kind(error: Exception) -> str:
    """Return what may be told of an error: its own words may quote a value."""
    return str(error) if isinstance(error, StoreCorrupt) else type(error).__name__


def _checkpoints(
    tx: ReadTx, checkpoints: Sequence[Checkpoint], key: bytes | None, report: Report
) -> None:
    """Compare with checkpoints, oldest first, so that a rewrite is found between two of them."""
    sound: dict[str, int] = {}
    for checkpoint in sorted(checkpoints, key=lambda item: item.seq):
        found = check(tx, checkpoint, key)
        since = sound.get(checkpoint.tenant)
        for problem in found:
            held = f"; the one at event {since} still holds" if since is not None else ""
            report.note(
                f"checkpoint of {checkpoint.tenant!r} at event {checkpoint.seq}: {problem}{held}"
            )
        if not found:
            sound[checkpoint.tenant] = checkpoint.seq
            report.checkpoints += 1


def _tenant(
    tx: ReadTx,
    vault: Vault,
    tenant: str,
    report: Report,
    progress: Callable[[int], None] | None,
) -> None:
    state = _Tenant(tx, vault, tenant, report)
    chain = state.chain
    for problem in chain.problems:
        report.note(problem)
    unknown = chain.missing | chain.altered
    state.damaged = bool(unknown)
    forgotten = chain.forgotten | {
        row.id
        for row in (tx.scan(schema.FORGOTTEN, (tenant,)) if unknown else ())
        if row.seq in unknown
    }
    projection = Projection(state.rebuilt)
    for event in chain.events(tx, tenant):
        report.events += 1
        body = _content(state, event, event.cube in forgotten)
        if event.cube not in forgotten:
            _replay(state, projection, event, body)
        elif event.verb == "forget":
            state.rebuilt.put(schema.FORGOTTEN, Forgotten(tenant, event.cube, event.seq))
        if progress is not None:
            progress(1)
    projection.finish()
    _strays(state)
    _names(state)
    _compare(state)
    if state.train:
        more = f" and {len(state.train) - 5} more" if len(state.train) > 5 else ""
        state.note(f"from this follow differences: {'; '.join(state.train[:5])}{more}")


def _replay(state: _Tenant, projection: Projection, event: Event, body: Body | None) -> None:
    if event.seq in state.chain.altered:
        return
    try:
        projection.apply(event, body)
    except (StoreCorrupt, LookupError, TypeError, ValueError) as error:
        state.differs(f"event {event.seq}: it cannot be replayed ({_kind(error)})")


def _version(state: _Tenant, event: Event) -> str:
    """Return which memory and version an event brought, as far as the replay has come."""
    if event.verb in RECORDS:
        return f"{event.verb} {event.cube}"
    number = 1
    found = state.rebuilt.get(schema.IDS, (event.tenant, event.cube))
    if found is not None:
        lines = ancestry(state.rebuilt, event.tenant, event.subject, event.branch, NOW)
        number += len(versions_of(state.rebuilt, event.tenant, found.cube, lines))
    return f"memory {event.cube}, version {number}"


def _content(state: _Tenant, event: Event, forgotten: bool) -> Body | None:
    """Return an event's content, proved against its commitment."""
    report = state.report
    if not event.content or event.seq in state.chain.altered:
        state.proved.add(event.seq)
        return None
    row = state.tx.get(schema.CONTENTS, (event.tenant, event.content))
    own = event.content == event.seq
    if row is None:
        if forgotten:
            report.erased += own
        elif own or event.content not in state.chain.missing:
            _spoilt(state, event, own, "is missing and was never forgotten")
        return None
    state.proved.add(event.content)
    if forgotten:
        state.note(f"event {event.seq}: content of a forgotten memory is still there")
    if own:
        report.contents += 1
        if commitment(row.salt, row.body) != event.commitment:
            _spoilt(state, event, own, "is not what was committed to")
    body = _decoded(state, event, row)
    if body is not None and own and not state.damaged:
        state.names.setdefault(event.subject, body.scope.subject)
    return body


def _decoded(state: _Tenant, event: Event, row: Content) -> Body | None:
    own = event.content == event.seq
    try:
        body = decode_content(row.body)
    except StoreCorrupt:  # whose words quote what cannot be read
        _spoilt(state, event, own, "cannot be read")
        return None
    try:
        return body if body.blob is None else load_payload(state.vault.store.blobs, body, row.salt)
    except StoreCorrupt as error:
        _spoilt(state, event, own, f"lies in a blob that cannot be had ({error})")
        return None


def _spoilt(state: _Tenant, event: Event, own: bool, what: str) -> None:
    """Report a content once, at the event that brought it."""
    if own:
        state.note(f"event {event.seq}: the content of {_version(state, event)} {what}")
    else:
        state.differs(f"event {event.seq}: the content it names, of event {event.content}, {what}")
    state.damaged = True


def _strays(state: _Tenant) -> None:
    """Report contents that no event brought, or whose event is gone."""
    known = state.proved | state.chain.missing | state.chain.altered
    for row in state.tx.scan(schema.CONTENTS, (state.tenant,)):
        if row.seq not in known:
            state.note(f"contents: row {row.seq} belongs to no event")


def _names(state: _Tenant) -> None:
    """Compare the names of subjects with those in their contents, and look for actors' names."""
    for number, name in sorted(state.names.items()):
        if number == 0:  # the tenant's own records
            continue
        row = state.tx.get(schema.SUBJECTS, (state.tenant, number))
        if row is None or row.name != name:
            what = "missing" if row is None else "not the one its contents were written under"
            state.report.note(f"subjects: the name of subject {number} is {what}")
    actors = {event.actor for event in state.chain.events(state.tx, state.tenant)}
    known = {row.actor for row in state.tx.scan(schema.ACTORS, (state.tenant,))}
    for number in sorted(actors - known):
        state.differs(f"actors: the name of actor {number} is missing")


def _compare(state: _Tenant) -> None:
    """Compare every derived table with the one replayed from the journal."""
    tx, rebuilt, tenant, report = state.tx, state.rebuilt, state.tenant, state.report
    for table in DERIVED:
        _difference(state, table, tx.scan(table, (tenant,)), rebuilt.scan(table, (tenant,)))
    known = {page[:3] for page in tx.scan(schema.PAGES, (tenant,))}
    known |= {page[:3] for page in rebuilt.scan(schema.PAGES, (tenant,))}
    for key in sorted(known):
        try:
            present = list(segments.page_rows(tx, key))
        except (LookupError, ValueError, MemoryError, struct.error) as error:
            report.note(f"page {key[1:]}: its segments cannot be read ({_kind(error)})")
            continue
        _difference(state, schema.TAIL, present, segments.page_rows(rebuilt, key))
        _vectors(tx, key, report)
        _erased(tx, key, report)
        _row_of_page(tx, key, report)


def _row_of_page(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check that searches find the rows of a page through the one that describes it."""
    page = tx.get(schema.PAGES, key)
    tail = [row.born for row in tx.scan(schema.TAIL, key)]
    sealed: list[int] = []
    births: list[int] = []
    for parts in segments.grouped(tx, key, schema.SEGMENTS):
        sealed.append(parts[0].segment)
        births.extend(segments.births_of(parts).tolist())
    live = {*births, *tail}
    deaths = {
        row.born: row.dead
        for row in tx.scan(schema.VERSIONS, key, index="deaths", stop=ALIVE)
        if row.born in live
    }
    if page is None:
        report.note(f"page {key}: its own row is missing")
    elif page.tail != len(tail):
        report.note(f"page {key}: its tail holds {len(tail)} rows, {page.tail} were counted")
    elif not max(sealed, default=0) <= page.sealed < min(tail, default=schema.ALIVE):
        report.note(f"page {key}: {page.sealed} does not part its segments from its tail")
    elif (page.rows, page.ended) != (len(births), len(deaths)):
        report.note(
            f"page {key}: it holds {len(births)} sealed rows and {len(deaths)} ended ones, "
            f"{page.rows} and {page.ended} were counted"
        )
    elif min(deaths.values(), default=ALIVE) <= page.cleared:
        report.note(f"page {key}: a row that had ended by {page.cleared} is not in its history")


def _vectors(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check the form of a page's vectors; which they are lies outside the chain."""
    import numpy as np

    for space in tx.scan(schema.SPACES, ()):
        width = 4 * space.dim
        found = [(row.bytes, width) for row in tx.scan(schema.VECTORS, (*key, space.space))]
        found.extend(
            (part.bytes, part.n * width)
            for table in (schema.SEGMENTS, schema.HISTORY)
            for part in tx.scan(table, key)
            if part.encoding == f"f32:{space.space}"
        )
        if any(
            len(data) != size or not (abs(np.frombuffer(data, "<f4")) < _LARGEST).all()
            for data, size in found
        ):
            report.note(f"page {key}: vectors of space {space.space} are damaged; run reembed")


def _erased(tx: ReadTx, key: segments.PageKey, report: Report) -> None:
    """Check that nothing of a forgotten memory is left in a segment."""
    for table in (schema.SEGMENTS, schema.HISTORY):
        for parts in segments.grouped(tx, key, table):
            report.problems.extend(
                f"page {key}: {encoding} of segment {parts[0].segment} in {table.name} holds "
                "something of a forgotten memory"
                for encoding in segments.remains(parts)
            )


def _difference(
    state: _Tenant, table: Table[Any], present: Iterable[Any], expected: Iterable[Any]
) -> None:
    """Report the rows of a table that are not what the journal says, five at most."""
    have, want = Counter(present), Counter(expected)
    state.report.rows += have.total()
    lost = {table.key_of(row): row for row in (want - have).elements()}
    more = {table.key_of(row): row for row in (have - want).elements()}
    for key in sorted(lost.keys() | more.keys(), key=repr)[:5]:
        old, new = lost.get(key), more.get(key)
        row: Any = old if old is not None else new
        if old is not None and new is not None:
            pairs = zip(table.row._fields, old, new, strict=True)
            wrong = ", ".join(name for name, one, other in pairs if one != other)
            what = f"its {wrong} is not what the journal says"
        elif new is None:
            what = "its row is missing"
        else:
            what = "the journal knows no such row"
        name = "pages" if table is schema.TAIL else table.name
        state.differs(f"{name}: {_shown(state, row)}: {what}")


_SHOWN = ("id", "derived", "source", "target", "branch", "born", "seq", "at", "verb")
"""Columns of derived rows that quote nobody."""


def _shown(state: _Tenant, row: Any) -> str:
    """Return which memory a derived row is about, and its numbers."""
    values = row._asdict()
    found = {name: values[name] for name in _SHOWN if name in values}
    if "cube" in values and "id" not in values:
        cube = values["cube"]
        rows = (*state.rebuilt.scan(schema.IDS, (state.tenant,)),)
        rows += (*state.tx.scan(schema.IDS, (state.tenant,)),)
        found = {"id": next((item.id for item in rows if item.cube == cube), f"#{cube}")} | found
    words = {"id": "memory"}
    return ", ".join(f"{words.get(name, name)} {value}" for name, value in found.items())
