"""What a vault does for itself: each job bounded, and begun again where it stopped.

========== ============================ ==================================================
kind       asked for by                 what it does
========== ============================ ==================================================
scrub      a commit that erases         cuts the log when no reader holds it any more
compact    a commit to a page with      moves rows that ended out of what searches read
           many ended rows
vectors    a commit without vectors     embeds the memories that lack one
vacuum     a commit that erases, and    gives a file's unused pages back
           compact
sweep      a commit of what has an      expires, archives and forgets what is due
           end, or of a policy
========== ============================ ==================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mnemos.errors import ModelMismatch, ModelUnavailable
from mnemos.kernel import schema
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.ports import Embedder
from mnemos.kernel.upkeep import compaction, jobs, sweeping
from mnemos.kernel.upkeep.due import ReadLaw
from mnemos.kernel.upkeep.reembed import Progress, reembed
from mnemos.kernel.upkeep.runner import Handler, Work
from mnemos.kernel.vault import FREE_LEAST, Vault

STEPS = 8
"""Transactions of one turn of ``compact``: 8 × 16 segments, some tenths of a second."""

BATCHES = 4
"""Batches of 256 memories embedded in one turn of ``vectors``: some seconds on two cores."""

PIECE = 16 * 2**20
"""Bytes given back in one turn of ``vacuum``; the write lock is held for as long as moving them
takes, well under a second."""

SWEPT = 500
"""Memories touched in one turn of ``sweep``: a second or two, a commit each at worst."""

SCRUB_EVERY = 60
"""Seconds after which a log that a reader holds is tried again."""


class _Enough(Exception):
    """The turn is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """What compacting a vault moved and gave back.

    Parameters
    ----------
    pages : int
        Pages that were compacted.
    rows : int
        Rows that searches need not read any more.
    bytes : int
        Bytes given back to the disk.
    """

    pages: int = 0
    rows: int = 0
    bytes: int = 0


def scrub(work: Work) -> None:
    """Cut the log, or come again while a reader holds it."""
    if work.vault.scrub().status != "purged":
        work.again(seconds=SCRUB_EVERY)


def compact(work: Work) -> None:
    """Compact the page of the job's subject and of the branch in its payload."""
    key = (work.job.tenant, work.job.subject, work.payload["branch"])
    for _ in range(STEPS):
        with work.write() as tx:
            page = tx.get(schema.PAGES, key)
            if page is None or not compaction.compact(tx, page)[1]:
                break
    else:
        work.again()
        return
    if work.vault.is_loose():
        with work.write() as tx:
            jobs.enqueue(
                tx,
                work.job.tenant,
                "vacuum",
                due=microseconds(work.now),
                cause=work.job.latest,
            )


def vacuum(work: Work) -> None:
    """Give unused pages back, a piece at a time."""
    if work.vault.store.vacuum(PIECE) and work.vault.store.free() > FREE_LEAST:
        work.again()


def vectors(work: Work, embedder: Callable[[], Embedder | None]) -> None:
    """Embed what lacks a vector in the space in use.

    Raises
    ------
    ModelUnavailable
        If there is no embedder.
    ModelMismatch
        If it is not the one the vault is used with.
    ModelError
        If it fails.
    """
    with work.vault.store.read(SYSTEM) as tx:
        pending = tx.get(schema.META, ("vectors",)) is not None
    space = work.vault.space()
    if not pending or space is None:
        return
    model = embedder()
    if model is None:
        raise ModelUnavailable("no embedder to be had here; open the vault with the one it knows")
    if model.fingerprint != space.fingerprint:
        raise ModelMismatch(
            f"the vault's vectors were made by {space.fingerprint!r}, this handle's embedder is "
            f"{model.fingerprint!r}; run `mnemos reembed` to change over"
        )
    batches = 0

    def progress(_: Progress) -> None:
        nonlocal batches
        batches += 1
        work.renew()
        if batches == BATCHES:
            raise _Enough

    try:
        reembed(work.vault, model, progress=progress)
    except _Enough:
        work.again()


def sweep(work: Work, strength: ReadLaw) -> None:
    """Carry out what the policies of the tenant say, a bounded number of memories in a turn.

    Its steps are commits of their own, each made from the versions it looked at.
    """
    done = sweeping.sweep(work.vault, work.job.tenant, strength=strength, limit=SWEPT)
    if done.more:
        work.again()
    elif done.mortal:
        work.again(seconds=jobs.SWEEP_EVERY)


def built_in(
    embedder: Callable[[], Embedder | None] | None = None, *, strength: ReadLaw | None = None
) -> dict[str, Handler]:
    """Return the handlers of the jobs a vault asks for itself.

    Parameters
    ----------
    embedder : callable or None
        Returns the handle's embedder when it is needed; None leaves ``vectors`` to others.
    strength : callable or None
        Turns a policy's law into one (:data:`mnemos.kernel.upkeep.due.ReadLaw`); None leaves ``sweep`` to
        others.
    """
    found: dict[str, Handler] = {"scrub": scrub, "compact": compact, "vacuum": vacuum}
    if embedder is not None:
        found["vectors"] = partial(vectors, embedder=embedder)
    if strength is not None:
        found["sweep"] = partial(sweep, strength=strength)
    return found


def compact_all(vault: Vault, tenant: str, *, full: bool = False) -> Freed:
    """Compact the pages of a tenant that are due, and give unused bytes back, now.

    Parameters
    ----------
    vault : Vault
        The vault.
    tenant : str
        Whose pages.
    full : bool
        Compact every page in which rows have ended, and make the file anew.
    """
    with vault.store.read(tenant_view(tenant)) as tx:
        wanted = [
            page[:3]
            for page in tx.scan(schema.PAGES, (tenant,))
            if compaction.is_due(page) or (full and page.ended)
        ]
    pages = rows = 0
    for key in wanted:
        moved = _compact_page(vault, key)
        pages += moved > 0
        rows += moved
    given = vault.store.vacuum(-1 if full else vault.store.free())
    return Freed(pages=pages, rows=rows, bytes=given)


def _compact_page(vault: Vault, key: tuple[str, int, int]) -> int:
    total = 0
    while True:
        with vault.store.write(tenant_view(key[0])) as tx:
            page = tx.get(schema.PAGES, key)
            moved = compaction.compact(tx, page)[1] if page is not None else 0
        if not moved:
            return total
        total += moved
