"""How much a vault remembers and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from mnemos.kernel import schema
from mnemos.kernel.schema import ALIVE
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
    store: dict[str, str]


def measure(vault: Vault, tenant: str) -> Statistics:
    """Return the statistics of one tenant."""
    memories = versions = 0
    with vault.store.read() as tx:
        for row in tx.scan(schema.VERSIONS, (tenant,)):
            versions += 1
            memories += row.dead == ALIVE
        subjects = sum(1 for _ in tx.scan(schema.SUBJECTS, (tenant,)))
        head = tx.get(schema.HEADS, (tenant,))
        space = active_space(tx)
        pending = tx.get(schema.META, ("vectors",)) is not None
    return Statistics(
        memories=memories,
        versions=versions,
        subjects=subjects,
        events=head.seq if head else 0,
        bytes=vault.store.size(),
        embedder=space.fingerprint if space else None,
        vectors_pending=pending,
        store=vault.store.describe(),
    )
