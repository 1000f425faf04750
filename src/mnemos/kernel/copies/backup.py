"""Copies of a vault, and what has to happen to an old one before it may be used again.

A backup is a vault like any other: every row of one snapshot, written anew, so that nothing which
was erased before can be in it. What is forgotten afterwards is still there. Therefore a restored
copy first forgets what has been forgotten since: the *suppression list*, random ids and nothing
else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from mnemos.errors import Conflict, StoreBusy, StoreCorrupt
from mnemos.kernel import erasure, schema
from mnemos.kernel.batch import Batch
from mnemos.kernel.blobs import MissingBlob
from mnemos.kernel.branches import NOW, RECORDS, ancestry, version_at
from mnemos.kernel.canonical import decode_content
from mnemos.kernel.changes import Amend, Changes, Forget, Rollback
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.journal import seq_at, tenants
from mnemos.kernel.ports import Entropy, ReadTx, Store
from mnemos.kernel.schema import MAIN, Blob, Forgotten, Meta, Suppressed
from mnemos.kernel.timeline import says
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import Scope, State

ACTOR = "restore"
"""Who does what is done to a restored copy."""

ATTEMPTS = 8
"""Snapshots tried while large payloads are erased under the copy."""

BATCH_ROWS = 1_000
BATCH_BYTES = 8 << 20
"""What is written to the target in one transaction; a sealed segment takes up to 1.5 MB."""

FORGET_BATCH = 500
"""Cubes erased in one transaction of a restore."""

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """What a copy holds.

    Parameters
    ----------
    rows, blobs : int
        Rows of all tables, and large payloads beside them.
    heads : mapping of str to int
        The last journal position of each tenant.
    """

    rows: int
    blobs: int
    heads: dict[str, int]


def copy(source: Store, target: Store, *, progress: Progress | None = None) -> Copied:
    """Copy a store at one moment into an empty one, while others go on writing.

    Nothing is left out: jobs keep their leases, which are moments and run out by themselves, and
    use counts are those last written. The caller makes the target aside and gives it its name
    when this has returned, so that half a copy is never taken for a whole one.

    Parameters
    ----------
    source, target : Store
        Of any engine.
    progress : callable or None
        Called with the number of rows after every batch.

    Raises
    ------
    Conflict
        If the target is not empty.
    StoreCorrupt
        If a large payload is lost or altered: what is not whole is no copy.
    StoreBusy
        If large payloads are erased faster than they can be copied.

    Examples
    --------
    >>> from mnemos.kernel.governance.system import SYSTEM
    >>> from mnemos.stores.memory import MemoryStore
    >>> source = MemoryStore()
    >>> with source.write(SYSTEM) as tx:
    ...     tx.put(schema.META, Meta("colour", "blue"))
    >>> copy(source, MemoryStore()).rows
    1
    """
    with target.read(SYSTEM) as tx:
        if any(next(tx.scan(table, (), limit=1), None) for table in schema.TABLES):
            raise Conflict("the target of a copy holds something already; give an empty store")
    overtaken: set[str] = set()
    for _ in range(ATTEMPTS):
        with source.read(SYSTEM) as tx:
            blobs = _copy_blobs(tx, source, target, overtaken)
            if blobs is None:
                continue
            rows = _copy_rows(tx, target, progress)
            heads = {head.tenant: head.seq for head in tx.scan(schema.HEADS, ())}
            return Copied(rows=rows, blobs=blobs, heads=heads)
    raise StoreBusy(
        f"large payloads were erased during each of {ATTEMPTS} attempts to copy the vault; "
        "repeat it when less is being forgotten"
    )


def _copy_blobs(tx: ReadTx, source: Store, target: Store, overtaken: set[str]) -> int | None:
    """Copy the blobs a snapshot names; None if one of them was erased meanwhile.

    They lie outside the snapshot, so they come first: nothing else was written yet when the copy
    has to start again.
    """
    wanted = {row.name: row for row in tx.scan(schema.BLOBS, ())}
    for name in target.blobs.names():
        if name not in wanted:  # named by an earlier snapshot, and erased since
            target.blobs.delete(name)
    for name, row in wanted.items():
        data = source.blobs.get(name)
        if data is None and name not in overtaken:
            overtaken.add(name)
            return None
        if data is None:
            raise MissingBlob(
                f"blob {name} is missing from the vault's blob folder; a copy without it would "
                "not be whole: bring it back, or forget the memory"
            )
        _check_blob(tx, row, data)
        target.blobs.put(name, data)
    return len(wanted)


def _check_blob(tx: ReadTx, row: Blob, data: bytes) -> None:
    content = tx.get(schema.CONTENTS, (row.tenant, row.content))
    salt = content.salt if content is not None else b""
    if hmac.new(salt, data, hashlib.sha256).hexdigest() != row.name:
        raise StoreCorrupt(
            f"blob {row.name} is not what the journal committed to; bring back the right one, or "
            "forget the memory"
        )


def _copy_rows(tx: ReadTx, target: Store, progress: Progress | None) -> int:
    copied = 0
    for table in schema.TABLES:
        for batch in _batches(tx.scan(table, ())):
            with target.write(SYSTEM) as out:
                out.insert(table, batch)
            copied += len(batch)
            if progress is not None:
                progress(len(batch))
    return copied


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Cut rows into lists, by number and by size."""
    batch: list[Any] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# ------------------------------------------------------------------------- suppression lists


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppression:
    """What one tenant has forgotten: never to come back from an old copy.

    Parameters
    ----------
    tenant : str
        Whose.
    ids : tuple of str
        Random ids of memories and records.
    derived : tuple of Suppressed
        Derived memories that are not to be derived again from sources that stayed; known only
        where the list was read from a vault.
    """

    tenant: str
    ids: tuple[str, ...]
    derived: tuple[Suppressed, ...] = ()


def forgotten(tx: ReadTx, tenant: str) -> list[Forgotten]:
    """Return what a tenant has forgotten, by id."""
    return list(tx.scan(schema.FORGOTTEN, (tenant,)))


def lists_of(store: Store) -> list[Suppression]:
    """Return the suppression lists of every tenant of a store."""
    with store.read(SYSTEM) as tx:
        return suppressions(tx)


def heads_of(store: Store) -> list[schema.Head]:
    """Return the ends of the journals of a store."""
    with store.read(SYSTEM) as tx:
        return list(tx.scan(schema.HEADS, ()))


def positions_at(store: Store, tenants: Iterable[str], moment: datetime) -> dict[str, int]:
    """Return the position each tenant's journal had reached at a wall time."""
    with store.read(SYSTEM) as tx:
        return {tenant: seq_at(tx, tenant, moment) for tenant in tenants}


def suppressions(tx: ReadTx) -> list[Suppression]:
    """Return the suppression list of every tenant of a vault."""
    return [
        Suppression(
            tenant=tenant,
            ids=tuple(row.id for row in forgotten(tx, tenant)),
            derived=tuple(tx.scan(schema.SUPPRESSED, (tenant,))),
        )
        for tenant in tenants(tx)
    ]


def suppress(vault: Vault, given: Suppression, *, entropy: Entropy) -> tuple[int, int]:
    """Forget in a restored copy what a list names, by an event each like any other forget.

    What the copy never held is noted as forgotten too, so that an import does not bring it
    either. A legal hold that the copy still knows was lifted before the memory was forgotten, and
    is lifted again. A tenant the copy does not know has nothing in it to be forgotten.

    Parameters
    ----------
    vault : Vault
        The copy.
    given : Suppression
        The list.
    entropy : Entropy
        Source of salts.

    Returns
    -------
    tuple of int
        How many memories and records were erased, and how many unknown ids were noted.
    """
    with vault.store.read(SYSTEM) as tx:
        if tx.get(schema.HEADS, (given.tenant,)) is None:
            return 0, 0
        cubes = _by_subject(tx, given)
    erased = 0
    for subject, ids in cubes.items():
        scope = Scope(tenant=given.tenant, subject=subject)
        remaining = iter(ids)
        while batch := list(islice(remaining, FORGET_BATCH)):
            erased += _forget(vault, scope, batch)
    records, noted = _forget_others(vault, given, entropy)
    return erased + records, noted


def _by_subject(tx: ReadTx, given: Suppression) -> dict[str, list[str]]:
    """Return the cubes of a list that are there, by the name of their subject."""
    found: dict[str, list[str]] = {}
    for id in given.ids:
        row = tx.get(schema.IDS, (given.tenant, id))
        subject = tx.get(schema.SUBJECTS, (given.tenant, row.subject)) if row else None
        if subject is not None:
            found.setdefault(subject.name, []).append(id)
    return found


def _forget(vault: Vault, scope: Scope, ids: Sequence[str]) -> int:
    """Erase cubes of one subject, those gone with a source of theirs left out."""
    with vault.store.read(SYSTEM) as tx:
        there = [id for id in ids if tx.get(schema.IDS, (scope.tenant, id)) is not None]
        held = _held(tx, scope.tenant, erasure.with_derived(tx, scope.tenant, there))
    if not there:
        return 0
    staged = [
        _by_restore(scope, [Amend(id=id, fields={"hold": False}) for id in held[branch]], branch)
        for branch in sorted(held)
    ]
    staged.append(_by_restore(scope, [Forget(id=id) for id in there]))
    return len(vault.commit(staged)[-1].forgotten)


def _by_restore(scope: Scope, changes: Iterable[Any], branch: int = MAIN) -> Staged:
    return Staged(Changes(scope=scope, changes=tuple(changes), actor=ACTOR, branch=branch))


def _held(tx: ReadTx, tenant: str, ids: Iterable[str]) -> dict[int, list[str]]:
    """Return the cubes under a legal hold, by branch."""
    found: dict[int, list[str]] = {}
    for id in ids:
        row = tx.get(schema.IDS, (tenant, id))
        rows = tx.scan(schema.VERSIONS, (tenant, row.cube)) if row is not None else ()
        newest = {version.branch: version for version in rows}
        for branch, version in newest.items():
            content = tx.get(schema.CONTENTS, (tenant, version.content))
            if content is not None and decode_content(content.body).header.hold:
                found.setdefault(branch, []).append(id)
    return found


def _forget_others(vault: Vault, given: Suppression, entropy: Entropy) -> tuple[int, int]:
    """Erase the records a list names, note what is unknown, and keep derivations away."""
    tenant, erased, noted = given.tenant, 0, 0
    with vault.store.write(SYSTEM) as tx:
        open_ids = [id for id in given.ids if tx.get(schema.FORGOTTEN, (tenant, id)) is None]
        for row in given.derived:
            if tx.get(schema.IDS, (tenant, row.source)) is not None:
                tx.put(schema.SUPPRESSED, row)
        if not open_ids:
            return 0, 0
        changes = Changes(scope=Scope(tenant=tenant, subject=""), changes=(), actor=ACTOR)
        batch = Batch(tx, vault.store.blobs, changes, now=vault.clock.now(), entropy=entropy)
        records = {row.id: row for row in tx.scan(schema.RECORDS, (tenant,))}
        for id in open_ids:
            if id in records:
                erasure.forget_record(batch, records[id])
                erased += 1
            else:
                written = batch.journal.append(
                    "forget", cube=id, subject=0, branch=MAIN, state=State.FORGOTTEN
                )
                batch.projection.apply(written.event, None)
                noted += 1
        batch.projection.finish()
        tx.put(schema.META, Meta("scrub", f"{tenant}:{batch.journal.finish()}"))
    return erased, noted


# ---------------------------------------------------------------------------- point in time


def roll_back(vault: Vault, tenant: str, to: int) -> int:
    """Let every subject and branch of a tenant say again what it said at a position.

    Each by a rollback of its own, which is journalled and can be undone. What was frozen or put
    under a legal hold since is not held back by that. What was forgotten stays forgotten.

    Returns
    -------
    int
        How many memories changed.
    """
    changed = 0
    with vault.store.read(SYSTEM) as tx:
        moved = _changed_after(tx, tenant, to)
    for subject, ids in moved.items():
        with vault.store.read(SYSTEM) as tx:
            row = tx.get(schema.SUBJECTS, (tenant, subject))
            branches = [item.branch for item in tx.scan(schema.BRANCHES, (tenant, subject))]
        for branch in (MAIN, *branches) if row is not None else ():
            with vault.store.read(SYSTEM) as tx:
                thawed = _to_thaw(tx, (tenant, subject, branch), ids, to)
            scope = Scope(tenant=tenant, subject=row.name if row is not None else "")
            changes = (*thawed, Rollback(id=vault.ids.fresh(), to=to))
            outcome = vault.commit([_by_restore(scope, changes, branch)])[0]
            changed += len(set(outcome.ids))
    return changed


def _changed_after(tx: ReadTx, tenant: str, to: int) -> dict[int, list[str]]:
    """Return the cubes that changed after a position on any branch, by subject."""
    found: dict[int, dict[str, None]] = {}
    for event in tx.scan(schema.EVENTS, (tenant,), start=to + 1):
        if event.verb != "forget" and event.verb not in RECORDS:
            found.setdefault(event.subject, {}).setdefault(event.cube)
    return {subject: list(ids) for subject, ids in found.items()}


def _to_thaw(
    tx: ReadTx, page: tuple[str, int, int], ids: Iterable[str], to: int
) -> Iterable[Amend]:
    """Return what takes the locks off the cubes that a rollback is going to change."""
    tenant, subject, branch = page
    now = ancestry(tx, tenant, subject, branch, NOW)
    then = ancestry(tx, tenant, subject, branch, to)
    found: list[Amend] = []
    for id in ids:
        row = tx.get(schema.IDS, (tenant, id))
        live = version_at(tx, tenant, row.cube, now) if row else None
        if (
            row is None
            or live is None
            or says(live) == says(version_at(tx, tenant, row.cube, then))
        ):
            continue
        content = tx.get(schema.CONTENTS, (tenant, live.content))
        header = decode_content(content.body).header if content is not None else None
        if header is not None and (header.frozen or header.hold):
            found.append(Amend(id=id, fields={"frozen": False, "hold": False}))
    return found
