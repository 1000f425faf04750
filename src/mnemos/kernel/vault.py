"""One opened store, with its journal, pages, vector spaces and blobs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from mnemos.errors import FormatTooNew, ModelMismatch, NotFound, StoreError, StoreFull
from mnemos.kernel import blobs, keys, schema, segments, tokens
from mnemos.kernel.batch import Outcome
from mnemos.kernel.binding import BoundTx
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.changes import Add, Changes
from mnemos.kernel.commit import Commit, stored_twin
from mnemos.kernel.governance.auditing import ReadBuffer
from mnemos.kernel.governance.cleaning import Detectors
from mnemos.kernel.governance.grants import Verb, access_of, admit
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import View, tenant_view
from mnemos.kernel.overlay import Overlay, StagedBlobs
from mnemos.kernel.pages import PageCache
from mnemos.kernel.ports import Blobs, Clock, Embedder, Entropy, Ids, ReadTx, Store, WriteTx
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import Meta, Space
from mnemos.kernel.upkeep import compaction, jobs
from mnemos.kernel.upkeep.rebuild import rebuild_columns, rebuild_externals, rebuild_terms
from mnemos.kernel.upkeep.usage import UsageBuffer
from mnemos.types import Place

SOON = 5 * jobs.SECOND
"""How long a job waits that only has to go on with what the call itself tries, or has tried."""

FREE_SHARE, FREE_LEAST = 0.25, 4 * 2**20
"""A file is cut when more than a quarter of it holds nothing: a smaller gap is soon written to
again, and cutting costs writes. Below 4 MiB it is not worth a thought."""

LEXICON = f"{tokens.VERSION}+{keys.VERSION}"
"""What made the posting lists; recorded, so that two versions are never mixed."""


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Staged:
    """Changes with the vectors of their texts.

    Parameters
    ----------
    changes : Changes
        What to do.
    vectors : sequence of bytes or None
        Parallel to the changes, float32 little endian; None where there is none.
    space : Space or None
        The vector space of those vectors.
    """

    changes: Changes
    vectors: Sequence[bytes | None] = ()
    space: Space | None = None


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
    rebuild_words : bool
        Make the word index again where another version of the tokeniser made it.

    Raises
    ------
    FormatTooNew
        If another version of the tokeniser made the word index.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        entropy: Entropy,
        cache: PageCache | None = None,
        rebuild_words: bool = False,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.cache = cache or PageCache()
        self.usage = UsageBuffer()
        self.reads = ReadBuffer()
        self.detectors: Detectors | None = None
        """Opens what finds secrets and personal data; set by who opens the vault."""
        self.entropy = entropy
        self.after_commit: Callable[[], None] | None = None
        """Called after every commit, outside of its transaction: who runs jobs looks for them."""
        self._check_lexicon(rebuild_words)
        self._finish_lift()
        blobs.sweep(store)
        self.scrub()

    def _check_lexicon(self, rebuild: bool) -> None:
        with self.store.read(SYSTEM) as tx:
            lexicon = tx.get(schema.META, ("lexicon",))
        if lexicon is not None and lexicon.value == LEXICON:
            return
        if lexicon is not None and not rebuild:
            raise FormatTooNew(
                f"the vault's word index was made by {lexicon.value!r}, this is {LEXICON!r}; "
                "run `mnemos reembed --words` to make it again from the memories themselves"
            )
        with self.store.write(SYSTEM) as tx:
            rebuild_terms(tx, self.store.blobs)
            tx.put(schema.META, Meta("lexicon", LEXICON))

    def _finish_lift(self) -> None:
        """Bring what only the kernel understands up to date, after a store lifted its format."""
        with self.store.read(SYSTEM) as tx:
            lifted = tx.get(schema.META, ("lift",))
        if lifted is not None:
            with self.store.write(SYSTEM) as tx:
                rebuild_columns(tx, self.store.blobs)
                rebuild_externals(tx)
                tx.delete(schema.META, ("lift",))

    def space(self) -> Space | None:
        """Return the vector space in use; None while nothing was ever embedded."""
        with self.store.read(SYSTEM) as tx:
            return active_space(tx)

    def use(self, embedder: Embedder) -> Space:
        """Make an embedder's space the vault's, or confirm that it is.

        Raises
        ------
        ModelMismatch
            If another embedder made the vectors of this vault.
        """
        found = self.space()
        if found is None:
            with self.store.write(SYSTEM) as tx:
                found = active_space(tx) or _new_space(tx, embedder)
        if found.fingerprint != embedder.fingerprint:
            raise ModelMismatch(
                f"this vault's vectors were made by {found.fingerprint!r}, the embedder "
                f"given is {embedder.fingerprint!r}; run `mnemos reembed` to change over, or open "
                "the vault with the embedder it was made with"
            )
        return found

    def commit(self, staged: Sequence[Staged], *, lease: jobs.Lease | None = None) -> list[Outcome]:
        """Check staged changes and make them durable in one transaction, all or none.

        Parameters
        ----------
        staged : sequence of Staged
            What to do.
        lease : Lease or None
            The job that is done with it: it is finished in the same transaction, or, if it is no
            longer held, nothing is written.

        Raises
        ------
        ModelMismatch
            If the vault was changed over to another embedder since the vectors were made.
        LeaseLost
            If the job was taken over by another worker, or its lease ran out.
        """
        outcomes: list[Outcome] = []
        stale: set[tuple[str, int]] = set()
        tenant = staged[0].changes.scope.tenant if staged else lease.tenant if lease else ""
        try:
            with self.store.write(tenant_view(tenant)) as tx:
                if lease is not None:
                    jobs.finish(tx, lease, self.clock.now())
                for item in staged:
                    commit = self._prepare(tx, self.store.blobs, item)
                    outcomes.append(commit.run(item.vectors))
                    pages = [segments.seal_full(tx, page) for page in commit.touched()]
                    self._ask_for_upkeep(tx, item.changes.scope.tenant, outcomes[-1], pages)
                    if outcomes[-1].forgotten:
                        stale.update(page[:2] for page in pages)
                if any(outcome.forgotten for outcome in outcomes):
                    since = f"{staged[-1].changes.scope.tenant}:{outcomes[-1].seq}"
                    tx.put(schema.META, Meta("scrub", since))
                self.usage.flush(tx, tenant)
                self.reads.flush(tx, tenant)
        except StoreFull:
            with suppress(StoreError):
                blobs.sweep(self.store)  # those put for rows that did not come about
            raise
        for key in stale:
            self.cache.drop(*key)
        for outcome in outcomes:
            for name in outcome.dropped_blobs:
                self.store.blobs.delete(name)
        if self.after_commit is not None:
            self.after_commit()
        return outcomes

    def _ask_for_upkeep(
        self, tx: WriteTx, tenant: str, outcome: Outcome, pages: Sequence[schema.Page]
    ) -> None:
        """Queue what a commit leaves to be done, in its own transaction."""
        now = microseconds(self.clock.now())

        def ask(kind: str, due: int, subject: int = 0, **payload: int) -> None:
            jobs.enqueue(
                tx,
                tenant,
                kind,
                due=due,
                cause=outcome.seq,
                subject=subject,
                payload=payload,
            )

        for page in pages:
            if compaction.is_due(page):
                ask("compact", now, page.subject, branch=page.branch)
        if tx.get(schema.META, ("vectors",)) is not None:
            ask("vectors", now + SOON)
        if outcome.mortal:
            ask("sweep", now + jobs.SWEEP_EVERY * jobs.SECOND)
        if outcome.forgotten:
            ask("scrub", now + SOON)
            if self.is_loose():
                ask("vacuum", now)

    def is_loose(self) -> bool:
        """Return whether so much of the file holds nothing that it should be cut."""
        free = self.store.free()
        return free > FREE_LEAST and free > FREE_SHARE * self.store.size()

    def _prepare(self, tx: WriteTx, blobs: Blobs, item: Staged) -> Commit:
        if item.space is not None and item.space != active_space(tx):
            raise ModelMismatch(
                "the vault was changed over to another embedder meanwhile; nothing was written: "
                "open it again with that embedder"
            )
        width = 4 * item.space.dim if item.space is not None else 0
        if item.space is not None and any(data and len(data) != width for data in item.vectors):
            raise ModelMismatch(
                f"a vector has not the {item.space.dim} float32 numbers of this vault's space; "
                "give the embedder's vectors as they are"
            )
        return Commit(
            tx,
            blobs,
            item.changes,
            now=self.clock.now(),
            entropy=self.entropy,
            space=item.space.space if item.space else None,
        )

    def duplicates(self, changes: Changes) -> list[int]:
        """Return which additions, by place, say what is stored already under their external id."""
        named = [
            (place, change)
            for place, change in enumerate(changes.changes)
            if isinstance(change, Add) and change.draft.header.external_id is not None
        ]
        if not named:
            return []
        with self.store.read(tenant_view(changes.scope.tenant)) as tx:
            return [
                place
                for place, change in named
                if stored_twin(tx, self.store.blobs, changes.scope, change, changes.branch)
            ]

    def preview(self, staged: Sequence[Staged]) -> Outcome:
        """Return what the last of the staged changes would do after the others; nothing is made."""
        with self.store.read(tenant_view(staged[-1].changes.scope.tenant)) as tx:
            overlay, blobs = Overlay(tx), StagedBlobs(self.store.blobs)
            outcomes = [self._prepare(overlay, blobs, item).run(item.vectors) for item in staged]
        return outcomes[-1]

    def scrub(self) -> Place:
        """Make what was deleted leave the store's own files, and say whether it has.

        Tried after every forget, and again by a job, and at the next opening, while a reader
        prevents it.
        """
        with self.store.read(SYSTEM) as tx:
            pending = tx.get(schema.META, ("scrub",))
        if pending is None:
            return Place(name="log", status="purged")
        hindrance = self.store.scrub()
        if hindrance:
            return Place(name="log", status="pending", why=hindrance)
        with self.store.write(SYSTEM) as tx:
            if tx.get(schema.META, ("scrub",)) == pending:  # else somebody forgot more meanwhile
                tx.delete(schema.META, ("scrub",))
                jobs.withdraw(tx, pending.value.rpartition(":")[0], "scrub")
        return Place(name="log", status="purged")

    @contextmanager
    def reader(self, view: View, staged: Sequence[Staged] = ()) -> Generator[Reader, None, None]:
        """Open a snapshot through a view, with staged changes laid over it if there are any."""
        if not staged:
            with self.store.read(view) as tx:
                yield Reader(
                    tx,
                    self.store.blobs,
                    admit(tx, view),
                    cache=self.cache,
                    space=active_space(tx),
                    detectors=self.detectors,
                )
            return
        with self.store.read(tenant_view(view.tenant)) as tx:
            overlay, blobs = Overlay(tx), StagedBlobs(self.store.blobs)
            for item in staged:
                self._prepare(overlay, blobs, item).run(item.vectors)
            bound = BoundTx(overlay, view)
            space = active_space(tx)
            yield Reader(
                bound,
                blobs,
                admit(bound, view),
                cache=PageCache(),
                space=space,
                detectors=self.detectors,
            )

    def owner_of(self, tenant: str, id: str, principal: str) -> str:
        """Return the subject a cube belongs to, if the principal may read there.

        Raises
        ------
        NotFound
            If the tenant has no such cube, or the principal may not know that it has.
        """
        with self.store.read(tenant_view(tenant)) as tx:
            found = tx.get(schema.IDS, (tenant, id))
            row = tx.get(schema.SUBJECTS, (tenant, found.subject)) if found else None
            now = self.clock.now()
            if row is not None:
                access = access_of(tx, tenant, principal, row.name, now)
                if access.whole or access.having(Verb.READ):
                    return row.name
        raise NotFound(
            f"no memory {id!r} in this tenant: it was forgotten or never written; "
            "`get_all` lists what there is"
        )

    def read(
        self, view: View, action: Callable[[Reader], Read], staged: Sequence[Staged] = ()
    ) -> Read:
        """Return what ``action`` reads through a view, in one snapshot.

        Blobs lie outside the snapshot, so an erasure can overtake it; then the action runs again
        in a fresh one, which no longer names what was erased.
        """
        try:
            with self.reader(view, staged) as reader:
                return action(reader)
        except blobs.MissingBlob:
            with self.reader(view, staged) as reader:
                return action(reader)

    def flush_usage(self) -> None:
        """Write what reads were counted; where that cannot be done they are lost, no more."""
        if len(self.usage) or len(self.reads):
            with suppress(StoreError), self.store.write(SYSTEM) as tx:
                self.usage.flush(tx)
                self.reads.flush(tx)

    def close(self) -> None:
        """Close the store."""
        self.flush_usage()
        self.cache.clear()
        self.store.close()


def active_space(tx: ReadTx) -> Space | None:
    """Return the vector space searches use."""
    return next((row for row in tx.scan(schema.SPACES, ()) if row.status == "active"), None)


def _new_space(tx: WriteTx, embedder: Embedder) -> Space:
    number = 1 + max((row.space for row in tx.scan(schema.SPACES, ())), default=0)
    space = Space(number, embedder.fingerprint, embedder.dim, "active")
    tx.insert(schema.SPACES, [space])
    return space
