"""How much a vault remembers and what it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mnemos.kernel import schema
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.schema import ALIVE
from mnemos.kernel.upkeep import jobs
from mnemos.kernel.vault import Vault, active_space


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Counts of one tenant and sizes of its vault.

    Parameters
    ----------
    memories : int
        Current cubes.
    versions, subjects, events : int
        Versions kept, subjects known, events in the journal.
    bytes : int
        Size of the vault, log and blobs included.
    embedder : str or None
        Which embedder made the vectors.
    vectors_pending : bool
        Whether some memory waits for its vector.
    jobs_ready, jobs_dead : int
        Jobs that wait or are under way, and those that failed for good.
    free_bytes : int
        Bytes of the file that hold nothing; :meth:`compact` gives them back.
    ended_rows, history_rows : int
        Rows that are no longer current: those that searches still step over, and those that lie
        apart, where only views of the past read them.
    store : dict
        Engine, location, durability.
    """

    memories: int
    versions: int
    subjects: int
    events: int
    bytes: int
    embedder: str | None
    vectors_pending: bool
    jobs_ready: int
    jobs_dead: int
    free_bytes: int
    ended_rows: int
    history_rows: int
    store: dict[str, str]


def measure(vault: Vault, tenant: str) -> Statistics:
    """Return the statistics of one tenant."""
    memories = versions = passed = 0
    with vault.store.read(tenant_view(tenant)) as tx:
        forks = {row.branch: row.fork for row in tx.scan(schema.BRANCHES, (tenant,))}
        for row in tx.scan(schema.VERSIONS, (tenant,)):
            versions += 1
            memories += row.dead == ALIVE
            # A version born before the fork of its branch has its page row on an ancestor's page.
            passed += row.dead != ALIVE and row.born > forks.get(row.branch, 0)
        subjects = sum(1 for _ in tx.scan(schema.SUBJECTS, (tenant,)))
        head = tx.get(schema.HEADS, (tenant,))
        space = active_space(tx)
        pending = tx.get(schema.META, ("vectors",)) is not None
        ended = sum(page.ended for page in tx.scan(schema.PAGES, (tenant,)))
        states = Counter(row.state for row in tx.scan(schema.JOBS, (tenant,)))
    return Statistics(
        memories=memories,
        versions=versions,
        subjects=subjects,
        events=head.seq if head else 0,
        bytes=vault.store.size(),
        embedder=space.fingerprint if space else None,
        vectors_pending=pending,
        jobs_ready=states[jobs.READY] + states[jobs.LEASED],
        jobs_dead=states[jobs.DEAD],
        free_bytes=vault.store.free(),
        ended_rows=ended,
        history_rows=passed - ended,
        store=vault.store.describe(),
    )
