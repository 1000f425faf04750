"""Forgetting: every version of a cube, everything derived from it, and what names them.

What remains is the event that says so, without content. A derived memory whose other sources stay
is erased all the same, and sources that had been merged into it become current again; a derived
memory forgotten by itself is not derived again from the sources that stay.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from mnemos.errors import Protected
from mnemos.kernel import schema
from mnemos.kernel.batch import Batch, find
from mnemos.kernel.branches import live_version
from mnemos.kernel.canonical import SALT_BYTES, decode_content, encode_json
from mnemos.kernel.changes import Forget
from mnemos.kernel.governance.gate import Gate
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.governance.trust import sources_of, steers
from mnemos.kernel.journal import find_subject
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import ReadTx, Table
from mnemos.kernel.schema import MAIN, Content, External, Suppressed
from mnemos.kernel.tokens import count_terms
from mnemos.types import Draft, Header, State, Text

SWEEPER = "sweeper"
"""Actor of what life-cycle policies bring about."""


def forget(batch: Batch, change: Forget, gate: Gate) -> None:
    """Erase a cube and what was derived from it."""
    if change.id in batch.outcome.forgotten:  # taken along by a source, earlier in this call
        batch.outcome.ids.append(change.id)
        return
    batch.own(change.id)
    roots = with_sources(batch.tx, batch.tenant, change.id) if change.sources else [change.id]
    doomed = with_derived(batch.tx, batch.tenant, roots)
    headers = {id: _headers(batch.tx, batch.tenant, id) for id in doomed}
    for header in (item for found in headers.values() for item in found):
        gate.check(Verb.FORGET, header)
    held = [id for id in doomed if _held(batch, id)]
    if held:
        raise Protected(
            f"memory {held[0]} is under a legal hold; lift the hold before forgetting {change.id}"
        )
    sources = {
        source
        for id in doomed
        for header in headers[id]
        for source in header.derived_from
        if source not in doomed and _is_own(batch, source)
    }
    for root in roots:
        _suppress(batch, root, sources)
    for id in doomed:
        _erase(batch, id, headers[id])
    _bring_back(batch, sorted(sources))
    still = {source for root in roots for header in headers[root] for source in header.derived_from}
    batch.outcome.sources.extend(sorted(still & sources))
    batch.outcome.ids.append(change.id)
    for named in (batch.outcome.restored, batch.outcome.sources):  # by an earlier one of this call
        named[:] = [id for id in named if id not in batch.outcome.forgotten]


def with_derived(tx: ReadTx, tenant: str, roots: Sequence[str]) -> list[str]:
    """Return cubes and everything derived from them, sources first."""
    doomed = dict.fromkeys(roots)
    for source in (queue := list(roots)):
        for row in tx.scan(schema.SOURCES, (tenant, source)):
            if row.derived not in doomed:
                doomed[row.derived] = None
                queue.append(row.derived)
    return [item for item in doomed if tx.get(schema.IDS, (tenant, item))]


def with_sources(tx: ReadTx, tenant: str, id: str) -> list[str]:
    """Return a cube and everything it was derived from, the first sources first."""
    found = dict.fromkeys([id])
    for item in (queue := [id]):
        for header in _headers(tx, tenant, item):
            for source in header.derived_from:
                if source not in found and tx.get(schema.IDS, (tenant, source)):
                    found[source] = None
                    queue.append(source)
    return list(found)[::-1]


def _held(batch: Batch, id: str) -> bool:
    """Return whether the newest version on any branch, inherited or its own, is under a hold."""
    tx, tenant, found = batch.tx, batch.tenant, find(batch.tx, batch.tenant, id)
    newest: dict[int, int] = {}
    for branch in tx.scan(schema.BRANCHES, (tenant, found.subject)):
        live = live_version(tx, tenant, found.subject, found.cube, branch.branch)
        if live is not None:
            newest[branch.branch] = live.content
    for row in tx.scan(schema.VERSIONS, (tenant, found.cube)):
        newest[row.branch] = row.content
    rows = (batch.tx.get(schema.CONTENTS, (batch.tenant, seq)) for seq in newest.values())
    return any(row is not None and decode_content(row.body).header.hold for row in rows)


def contents_of(tx: ReadTx, tenant: str, id: str) -> list[Content]:
    """Return every content a cube ever had, on any branch."""
    cube = find(tx, tenant, id).cube
    seqs = {row.content for row in tx.scan(schema.VERSIONS, (tenant, cube))}
    rows = (tx.get(schema.CONTENTS, (tenant, seq)) for seq in sorted(seqs))
    return [row for row in rows if row is not None]


def _headers(tx: ReadTx, tenant: str, id: str) -> list[Header]:
    return [decode_content(row.body).header for row in contents_of(tx, tenant, id)]


def _erase(batch: Batch, id: str, headers: Sequence[Header]) -> None:
    tx, tenant = batch.tx, batch.tenant
    found = find(tx, tenant, id)
    for row in contents_of(tx, tenant, id):
        blob = decode_content(row.body).blob
        if blob is not None:
            tx.delete(schema.BLOBS, (tenant, blob))
            batch.outcome.dropped_blobs.append(blob)
        tx.delete(schema.CONTENTS, (tenant, row.seq))
    branches = {row.branch for row in tx.scan(schema.VERSIONS, (tenant, found.cube))}
    for header in headers:
        for source in sources_of(header):
            tx.delete(schema.SOURCES, (tenant, source, id))
        for link in header.links:
            tx.delete(schema.LINKS, (tenant, link.target, id))
        for branch in branches if header.external_id is not None else ():
            name = header.external_id or ""
            tx.delete(schema.EXTERNALS, External(tenant, found.subject, branch, name, id))
    tx.delete(schema.USAGE, (tenant, found.subject, found.cube))
    tx.delete(schema.SUPPRESSED, (tenant, id))
    written = batch.journal.append(
        "forget",
        cube=id,
        subject=found.subject,
        branch=batch.branch,
        state=State.FORGOTTEN,
    )
    batch.projection.apply(written.event, None)
    batch.outcome.forgotten.append(id)


def _bring_back(batch: Batch, sources: Sequence[str]) -> None:
    """Make merged sources current again whose every successor is gone, on every branch.

    A successor was written in the commit that merged the source; what else was derived from it
    stands for a part of it only.
    """
    rows = batch.tx.scan(schema.BRANCHES, (batch.tenant, batch.subject()))
    branches = [MAIN, *(row.branch for row in rows)]
    for id in sources:
        cube = find(batch.tx, batch.tenant, id).cube
        if _has_successor(batch, id, cube):
            continue
        restored = False
        for branch in branches:
            with batch.on(branch):
                live = batch.current(cube)
                if live is not None and live.state == State.MERGED:
                    waits = steers(batch.body(live).header)
                    batch.move(id, live, State.QUARANTINED if waits else State.ACTIVATED)
                    restored = True
        if restored:
            batch.outcome.restored.append(id)


def _is_own(batch: Batch, id: str) -> bool:
    found = batch.tx.get(schema.IDS, (batch.tenant, id))
    return found is not None and found.subject == batch.subject()


def _has_successor(batch: Batch, id: str, cube: int) -> bool:
    """Return whether something is there that was written in a commit that merged a cube."""
    tx, tenant = batch.tx, batch.tenant
    merged = {
        _commit_of(batch, row.born)
        for row in tx.scan(schema.VERSIONS, (tenant, cube))
        if row.state == State.MERGED
    }
    derived = (
        tx.get(schema.IDS, (tenant, row.derived)) for row in tx.scan(schema.SOURCES, (tenant, id))
    )
    return any(row is not None and _commit_of(batch, row.cube) in merged for row in derived)


def _commit_of(batch: Batch, seq: int) -> int:
    event = batch.tx.get(schema.EVENTS, (batch.tenant, seq))
    return event.batch if event is not None else 0


# ------------------------------------------------------------------------------- suppression


def _digest(salt: bytes, draft: Draft) -> bytes:
    """Return a keyed digest of what a memory says, blind to order, case and endings of words."""
    terms = sorted(count_terms(index_text(Header(), draft.payload)).items())
    said = encode_json([draft.header.kind, terms])
    return hmac.new(salt, said, hashlib.sha256).digest()


def _suppress(batch: Batch, id: str, sources: set[str]) -> None:
    """Note, for each source that stays, that this is not to be derived from it again."""
    cube = find(batch.tx, batch.tenant, id).cube
    rows = batch.tx.scan(schema.VERSIONS, (batch.tenant, cube))
    said = batch.current(cube) or max(rows, key=lambda row: row.born)
    body = batch.body(said)
    if not isinstance(body.payload, Text):
        return
    draft = Draft(payload=body.payload, header=body.header)
    for source in body.header.derived_from:
        if source in sources:
            salt = batch.entropy.bytes(SALT_BYTES)
            row = Suppressed(batch.tenant, source, id, salt, _digest(salt, draft))
            batch.tx.put(schema.SUPPRESSED, row)


def is_suppressed(batch: Batch, draft: Draft) -> bool:
    """Return whether a derived memory says what was forgotten while its source stayed."""
    return any(
        hmac.compare_digest(row.digest, _digest(row.salt, draft))
        for source in draft.header.derived_from
        for row in batch.tx.scan(schema.SUPPRESSED, (batch.tenant, source))
    )


# ---------------------------------------------------------------------------- empty subjects


def quiet_jobs(batch: Batch) -> None:
    """Leave of the errors of failed jobs only what kind they were: the rest may quote a memory."""
    for row in list(batch.tx.scan(schema.JOBS, (batch.tenant,))):
        kind, colon, _ = row.error.partition(":")
        if colon:
            batch.tx.put(schema.JOBS, row._replace(error=kind))


def forget_records(batch: Batch, actor: str, *, whole: bool) -> list[int]:
    """Erase the records of a subject whose last memory was forgotten; return its number.

    Where the sweeper forgot it, a subject with policies of its own stays: they are for what comes.
    So do rules of governance, unless everything of the subject was to be erased (``whole``).
    """
    subject = find_subject(batch.tx, batch.tenant, batch.scope.subject)
    if subject is None:
        return []
    key = (batch.tenant, subject)
    if next(batch.tx.scan(schema.VERSIONS, key, index="deaths", limit=1), None) is not None:
        return []
    if not whole and next(batch.tx.scan(schema.RULES, key, limit=1), None):
        return []
    if actor == SWEEPER and next(batch.tx.scan(schema.POLICIES, key, limit=1), None):
        return []
    for record in list(batch.tx.scan(schema.RECORDS, key)):
        forget_record(batch, record)
    return [subject]


def forget_reads(batch: Batch, before: int) -> None:
    """Erase what the journal notes of reads of a subject before a position."""
    for record in list(batch.tx.scan(schema.RECORDS, (batch.tenant, batch.subject()))):
        if record.verb == "read" and record.seq < before:
            forget_record(batch, record)
            batch.outcome.ids.append(record.id)
            batch.outcome.forgotten.append(record.id)


def forget_record(batch: Batch, record: schema.Record) -> None:
    """Erase the content of an event that is about no memory, and what it set up."""
    batch.tx.delete(schema.CONTENTS, (batch.tenant, record.seq))
    written = batch.journal.append(
        "forget",
        cube=record.id,
        subject=record.subject,
        branch=batch.branch,
        state=State.FORGOTTEN,
    )
    batch.projection.apply(written.event, None)


def drop_subjects(batch: Batch, subjects: Sequence[int]) -> None:
    """Erase the names of subjects of whom nothing is left, and their empty pages."""
    for subject in subjects:
        key = (batch.tenant, subject)
        for table in _OF_SUBJECTS:
            batch.tx.delete(table, key)


_OF_SUBJECTS: tuple[Table[Any], ...] = (
    schema.PAGES,
    schema.SEGMENTS,
    schema.HISTORY,
    schema.USAGE,
    schema.INTAKE,
    schema.READS,
    schema.BUDGETS,
    schema.SPENT,
    schema.SUBJECTS,
)
