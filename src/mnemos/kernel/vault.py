"""One opened store, with its journal, pages, vector spaces and blobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mnemos.errors import FormatTooNew, ModelMismatch
from mnemos.kernel import blobs, keys, pages, schema, tokens
from mnemos.kernel.commit import Commit, Outcome
from mnemos.kernel.overlay import Overlay, StagedBlobs
from mnemos.kernel.pages import PageCache
from mnemos.kernel.ports import Blobs, Clock, Embedder, Entropy, Ids, ReadTx, Store, WriteTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import Meta, Space
from mnemos.types import Changes, Place, View

LEXICON = f"{tokens.VERSION}+{keys.VERSION}"
"""What made the posting lists; recorded, so that two versions are never mixed."""


@dataclass(frozen=True, slots=True)
class Staged:
    """Changes with the vectors of their texts, parallel, as float32 bytes; None where there is none."""

    changes: Changes
    vectors: Sequence[bytes | None] = ()


class Vault:
    """A store opened as memory.

    Parameters
    ----------
    store : Store
        Keeps the bytes.
    clock, ids, entropy
        Ports for time, ids and salts.
    cache : PageCache or None
        Loaded pages; None makes one of the default budget.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        entropy: Entropy,
        cache: PageCache | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.cache = cache or PageCache()
        self._entropy = entropy
        self._space: Space | None = None
        self._begin()

    def _begin(self) -> None:
        with self.store.read() as tx:
            lexicon = tx.get(schema.META, ("lexicon",))
            self._space = active_space(tx)
        if lexicon is None:
            with self.store.write() as tx:
                tx.put(schema.META, Meta("lexicon", LEXICON))
        elif lexicon.value != LEXICON:
            raise FormatTooNew(
                f"the vault's word index was made by {lexicon.value!r}, this is {LEXICON!r}; "
                "run `mnemos reembed --words` to make it again from the memories themselves"
            )
        blobs.sweep(self.store)

    @property
    def space(self) -> Space | None:
        """The vector space searches use; None while nothing was ever embedded."""
        return self._space

    def use(self, embedder: Embedder) -> Space:
        """Make an embedder's space the vault's, or confirm that it is.

        Raises
        ------
        ModelMismatch
            If another embedder made the vectors of this vault.
        """
        if self._space is None:
            with self.store.write() as tx:
                found = active_space(tx)
                if found is None:
                    number = 1 + max((row.space for row in tx.scan(schema.SPACES, ())), default=0)
                    found = Space(number, embedder.fingerprint, embedder.dim, "active")
                    tx.insert(schema.SPACES, [found])
                self._space = found
        if self._space.fingerprint != embedder.fingerprint:
            raise ModelMismatch(
                f"this vault's vectors were made by {self._space.fingerprint!r}, the embedder "
                f"given is {embedder.fingerprint!r}; run `mnemos reembed` to change over, or open "
                "the vault with the embedder it was made with"
            )
        return self._space

    def reload_space(self) -> None:
        """Read again which vector space is in use."""
        with self.store.read() as tx:
            self._space = active_space(tx)
        self.cache.clear()

    def commit(self, staged: Sequence[Staged]) -> list[Outcome]:
        """Check staged changes and make them durable in one transaction, all or none."""
        outcomes: list[Outcome] = []
        with self.store.write() as tx:
            for item in staged:
                commit = self._prepare(tx, self.store.blobs, item.changes)
                outcomes.append(commit.run(item.vectors))
                for page in commit.touched():
                    pages.seal_full(tx, page)
            if any(outcome.forgotten for outcome in outcomes):
                tx.put(schema.META, Meta("scrub", "pending"))
        for outcome in outcomes:
            for name in outcome.dropped_blobs:
                self.store.blobs.delete(name)
        return outcomes

    def _prepare(self, tx: WriteTx, blobs: Blobs, changes: Changes) -> Commit:
        return Commit(
            tx,
            blobs,
            changes,
            now=self.clock.now(),
            entropy=self._entropy,
            space=self._space.space if self._space else None,
        )

    def note_missing_vectors(self) -> None:
        """Record that some memory waits for its vector; ``reembed`` brings it."""
        with self.store.write() as tx:
            tx.put(schema.META, Meta("vectors", "pending"))

    def scrub(self) -> Place:
        """Make what was deleted leave the store's own files, and say whether it has."""
        with self.store.read() as tx:
            pending = tx.get(schema.META, ("scrub",))
        if pending is None:
            return Place(name="log", status="purged")
        hindrance = self.store.scrub()
        if hindrance:
            return Place(name="log", status="pending", why=hindrance)
        with self.store.write() as tx:
            tx.delete(schema.META, ("scrub",))
        return Place(name="log", status="purged")

    @contextmanager
    def reader(self, view: View, staged: Sequence[Staged] = ()) -> Iterator[Reader]:
        """Open a snapshot through a view, with staged changes laid over it if there are any."""
        with self.store.read() as tx:
            if not staged:
                yield Reader(tx, self.store.blobs, view, cache=self.cache, space=self._space)
                return
            overlay, blobs = Overlay(tx), StagedBlobs(self.store.blobs)
            for item in staged:
                self._prepare(overlay, blobs, item.changes).run(item.vectors)
            yield Reader(overlay, blobs, view, cache=PageCache(), space=self._space)

    def close(self) -> None:
        """Close the store."""
        self.cache.clear()
        self.store.close()


def active_space(tx: ReadTx) -> Space | None:
    """Return the vector space searches use."""
    return next((row for row in tx.scan(schema.SPACES, ()) if row.status == "active"), None)
