"""``Memory``: the whole of Mnemos behind a dozen calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mnemos.app import config
from mnemos.app.recall import CONTEXT_DEPTH, Recall
from mnemos.app.scopes import (
    read_callable,
    read_count,
    read_id,
    read_kinds,
    read_metadata,
    read_moment,
    read_name,
    read_path,
    read_port,
    read_scope,
    read_string,
    read_tags,
    require_scope,
)
from mnemos.app.writing import (
    Details,
    Messages,
    additions,
    carry,
    named,
    read_batches,
    read_drafts,
    stage,
    stage_outcome,
    told_apart,
)
from mnemos.errors import Conflict, InvalidInput, MnemosError
from mnemos.kernel import governance
from mnemos.kernel.ports import Clock, Embedder, Entropy, Ids, Store, TokenCounter
from mnemos.kernel.reading import Reader
from mnemos.kernel.reembed import Progress, reembed
from mnemos.kernel.statistics import Statistics, measure
from mnemos.kernel.vault import Read, Staged, Vault
from mnemos.kernel.verify import Report, verify
from mnemos.memories.conversation_files import read_files
from mnemos.retrieval.pack import estimate_tokens
from mnemos.types import (
    Change,
    Context,
    Draft,
    Forget,
    Hits,
    Kind,
    MemCube,
    Place,
    Query,
    Receipt,
    Scope,
    Update,
    View,
)

if TYPE_CHECKING:
    from mnemos.app.transaction import Transaction

Moment = datetime | str | int | float | None


class Memory:
    """A memory: one file, no server, no key, no network.

    Parameters
    ----------
    path : str or Path
        File of the vault, made where there is none; ``":memory:"`` for one that is not kept.
    tenant : str
        Organisation or installation the handle belongs to; it never sees another's memories.
    tz : str
        Zone of times given without one.
    embedder : Embedder, str or None
        ``"auto"`` is the local all-MiniLM-L6-v2, ``"openai:MODEL@BASE_URL"`` a server,
        ``"sentence-transformers:NAME"`` another local one, or your own; None recalls by words.
    clock, ids, entropy : ports
        Sources of time, ids and salts; given, they make a run repeatable.
    store : Store or None
        A store to use in place of ``path``.
    rebuild_words : bool
        Make the word index again where another version of Mnemos made it.

    Raises
    ------
    InvalidInput, StoreError
        If the path cannot be a vault.

    Examples
    --------
    >>> memory = Memory(":memory:", embedder=None)
    >>> receipt = memory.add("I moved to Lisbon in March", user_id="ana")
    >>> memory.search("Where does Ana live? Lisbon?", user_id="ana")[0].text
    'I moved to Lisbon in March'
    >>> memory.close()
    """

    def __init__(
        self,
        path: str | Path = "memory.db",
        *,
        tenant: str = "default",
        tz: str = "UTC",
        embedder: Embedder | str | None = "auto",
        clock: Clock | None = None,
        ids: Ids | None = None,
        entropy: Entropy | None = None,
        store: Store | None = None,
        rebuild_words: bool = False,
    ) -> None:
        self._tenant = read_name("tenant", tenant) or "default"
        self._zone = config.read_zone(tz)
        self._embedder = config.read_embedder(embedder)
        clock = read_port("clock", clock, "now") or config.SystemClock()
        ids = read_port("ids", ids, "fresh") or config.SystemIds()
        entropy = read_port("entropy", entropy, "bytes") or config.SystemEntropy()
        given = read_port("store", store, "read", "write", "blobs")
        opened = given or config.open_store(path)
        try:
            self._vault = Vault(
                opened, clock=clock, ids=ids, entropy=entropy, rebuild_words=rebuild_words
            )
        except MnemosError:
            if given is None:
                opened.close()
            raise
        self._staged: list[Staged] | None = None

    # ------------------------------------------------------------------ writing

    def add(
        self,
        messages: Messages,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        happened_at: Moment = None,
        external_id: str | None = None,
        kind: Kind | str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        expires_at: Moment = None,
        on_conflict: str = "error",
    ) -> Receipt:
        """Remember a text or messages; returns when they are safe on the medium.

        Parameters
        ----------
        messages : str, mapping or sequence of mappings
            A text, or messages as OpenAI shapes them (``role``, ``content``, optionally ``name``,
            ``timestamp``, ``id``).
        user_id, agent_id, run_id : str or None
            Whose memory; without a user or an agent it goes to the subject ``default``.
        happened_at : datetime, ISO string, unix seconds or None
            When it was said; None is now.
        external_id : str or None
            Your own id: the same content again is not stored twice.
        kind : Kind or str or None
            What sort of memory; None lets the message's role decide.
        tags, metadata, expires_at
            Go into the header.
        on_conflict : str
            What to do when ``external_id`` is taken by other content: ``"error"`` or ``"update"``.

        Raises
        ------
        InvalidInput, Conflict, StoreError
            Nothing was written.

        Examples
        --------
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     memory.add({"role": "user", "content": "Hello"}, user_id="ana").verb
        'add'
        """
        scope = self._scope(user_id, agent_id, run_id)
        kinds = read_kinds([kind] if kind is not None else None)
        details = Details(
            happened_at=read_moment("happened_at", happened_at, self._zone),
            external_id=read_name("external_id", external_id),
            kind=next(iter(kinds)) if kinds else None,
            tags=read_tags(tags),
            metadata=read_metadata(metadata),
            expires_at=read_moment("expires_at", expires_at, self._zone),
        )
        drafts = read_drafts(messages, scope, details, now=self._now(), zone=self._zone)
        drafts = tuple(named(draft, user_id) for draft in drafts)
        timed = details.happened_at is not None
        changes = additions(self._vault, drafts, on_conflict=on_conflict, timed=timed)
        return self._write("add", scope, changes)

    def add_many(
        self,
        drafts: Iterable[Draft],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        on_conflict: str = "error",
        progress: Callable[[int], None] | None = None,
    ) -> Receipt:
        """Remember many drafts, embedded and committed in batches of 256.

        Each batch is all or nothing; those before a failing one stay.

        Parameters
        ----------
        drafts : iterable of Draft
            What to write; readers make them from files and messages.
        user_id, agent_id : str or None
            Whose memory.
        on_conflict : str
            As in :meth:`add`.
        progress : callable or None
            Called with the number written after every batch.
        """
        scope = self._scope(user_id, agent_id, None)
        read_callable("progress", progress)
        ids: list[str] = []
        seq, duplicates, indexed = 0, 0, "none"
        for batch in read_batches(drafts):
            changes = additions(self._vault, batch, on_conflict=on_conflict, timed=True)
            receipt = self._write("add", scope, changes)
            ids.extend(receipt.ids)
            seq, duplicates = receipt.seq, duplicates + receipt.duplicates
            if indexed != "lexical" and receipt.indexed != "none":
                indexed = receipt.indexed
            if progress is not None:
                progress(len(batch))
        return Receipt(verb="add", ids=tuple(ids), seq=seq, indexed=indexed, duplicates=duplicates)

    def ingest(
        self,
        path: str | Path,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        format: str | None = None,
        on_conflict: str = "error",
        progress: Callable[[int], None] | None = None,
    ) -> Receipt:
        """Remember the conversations of a file.

        Parameters
        ----------
        path : str or Path
            JSONL, JSON, Markdown, plain transcript or LoCoMo file.
        user_id, agent_id : str or None
            Whose memory; a file of several conversations keeps them apart as sessions.
        format : str or None
            Format, where it should not be guessed.
        on_conflict, progress
            As in :meth:`add_many`.

        Raises
        ------
        InvalidInput
            If the file cannot be read; the message names the line.
        """
        read = [*read_files(read_path(path), zone=self._zone, format=format)]
        drafts = [draft for conversation in read for draft in told_apart(conversation, len(read))]
        return self.add_many(
            drafts, user_id=user_id, agent_id=agent_id, on_conflict=on_conflict, progress=progress
        )

    def update(
        self,
        id: str,
        text: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Write a new version of a memory; the old one stays in its history.

        Raises
        ------
        NotFound, InvalidInput, Protected
            Nothing was written.

        Examples
        --------
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Ana lives in Porto", user_id="ana").id
        ...     _ = memory.update(id, "Ana lives in Lisbon")
        ...     [cube.text for cube in memory.history(id)]
        ['Ana lives in Porto', 'Ana lives in Lisbon']
        """
        scope = self._scope_of(id, user_id, agent_id)
        before = self.get(id)
        words = read_string("text", text)
        said = Details(happened_at=before.header.happened_at)
        (draft,) = read_drafts(words, scope, said, now=self._now(), zone=self._zone)
        header = carry(before, draft, read_metadata(metadata))
        changed = Update(id=id, draft=Draft(payload=draft.payload, header=header))
        return self._write("update", scope, [changed])

    def forget(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Erase a memory, all its versions and everything derived from it.

        The receipt lists every place it lay in as purged, or pending and why.

        Raises
        ------
        NotFound
            If there is no such memory.
        Protected
            If a legal hold stops it.
        """
        return self._forget(self._scope_of(id, user_id, agent_id), [id])

    def delete(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Do what :meth:`forget` does: here delete means delete."""
        return self.forget(id, user_id=user_id, agent_id=agent_id)

    def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> Receipt:
        """Erase everything of a user or an agent, or of one run of theirs.

        Raises
        ------
        ScopeRequired
            Without a user or an agent.
        """
        require_scope("delete_all", user_id, agent_id)
        scope = self._scope(user_id, agent_id, run_id)
        view = governance.open_view(scope, now=self._now(), states=governance.ALL_STATES)
        ids = self._read(view, lambda reader: [cube.id for cube in reader.list(expired=True)])
        return self._forget(scope, ids)

    def begin(self) -> Transaction:
        """Open a transaction: calls inside are staged, and made together or not at all.

        Examples
        --------
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     with memory.begin() as tx:
        ...         _ = tx.add("one", user_id="ana")
        ...         _ = tx.add("two", user_id="ana")
        ...         len(memory.get_all(user_id="ana"))
        ...     len(memory.get_all(user_id="ana"))
        0
        2
        """
        from mnemos.app.transaction import Transaction

        return Transaction(self)

    # ------------------------------------------------------------------ reading

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int = 10,
        kinds: Kind | str | Iterable[Kind | str] | None = None,
        since: Moment = None,
        until: Moment = None,
    ) -> Hits:
        """Return the memories that best answer a question, best first, each with its reasons.

        Parameters
        ----------
        query : str
            A question, or words.
        user_id, agent_id, run_id : str or None
            Whose memory, and which run of theirs.
        top_k : int
            Most hits to return.
        kinds, since, until
            Narrow to kinds, and to a time at which things happened (half open).

        Raises
        ------
        InvalidInput
            If the query is empty or a bound is out of range.
        """
        view = self._view(self._scope(user_id, agent_id, run_id))
        question = self._query(query, top_k=top_k, kinds=kinds, since=since, until=until)
        return self._recall().search(view, question)

    def context(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        budget: int = 1_000,
        count: TokenCounter = estimate_tokens,
    ) -> Context:
        """Return prompt-ready text: standing memories first, then cited evidence in order of time.

        Parameters
        ----------
        query : str
            What the prompt is about.
        user_id, agent_id, run_id : str or None
            Whose memory.
        budget : int
            Tokens the text may take.
        count : callable
            Counts tokens as your model does; the default estimates one for every four bytes.
        """
        view = self._view(self._scope(user_id, agent_id, run_id))
        read_count("budget", budget, most=10_000_000)
        read_callable("count", count)
        question = self._query(query, top_k=CONTEXT_DEPTH, kinds=None, since=None, until=None)
        return self._recall().context(view, question, budget=budget, count=count)

    def get(self, id: str, *, user_id: str | None = None, agent_id: str | None = None) -> MemCube:
        """Return the current version of a memory.

        Raises
        ------
        NotFound
            If there is none of this id here.
        """
        view = self._view(self._scope_of(id, user_id, agent_id))
        return self._read(view, lambda reader: reader.get(id))

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        kinds: Kind | str | Iterable[Kind | str] | None = None,
        limit: int = 1_000,
        after: str | None = None,
    ) -> list[MemCube]:
        """Return memories in the order they were first written.

        Parameters
        ----------
        user_id, agent_id, run_id : str or None
            Whose memories; a user or an agent is needed.
        kinds : Kind or str or iterable or None
            Narrow to these kinds.
        limit : int
            Most memories to return.
        after : str or None
            Id of the last memory of the previous call: continue behind it.

        Raises
        ------
        ScopeRequired
            Without a user or an agent.
        """
        require_scope("get_all", user_id, agent_id)
        view = self._view(self._scope(user_id, agent_id, run_id), kinds=read_kinds(kinds))
        read_count("limit", limit)
        read_name("after", after)
        return self._read(view, lambda reader: list(reader.list(after=after, limit=limit)))

    def history(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> tuple[MemCube, ...]:
        """Return every version of a memory, oldest first."""
        view = self._view(self._scope_of(id, user_id, agent_id))
        return self._read(view, lambda reader: reader.history(id))

    # -------------------------------------------------------------------- upkeep

    def stats(self) -> Statistics:
        """Return how much is remembered and what it takes."""
        return measure(self._vault, self._tenant)

    def verify(self, *, progress: Callable[[int], None] | None = None) -> Report:
        """Check the chain, the contents it commits to, and every table made from them."""
        read_callable("progress", progress)
        return verify(self._vault, progress=progress)

    def reembed(self, *, progress: Callable[[Progress], None] | None = None) -> Progress:
        """Give every memory a vector by this handle's embedder, then switch the vault to it.

        Searches go on meanwhile with the old vectors; interrupted, it goes on where it stopped.

        Raises
        ------
        InvalidInput
            If the handle has no embedder.
        """
        read_callable("progress", progress)
        model = self._embedder.get()
        if model is None:
            raise InvalidInput(
                "this handle has no embedder; open Memory(..., embedder=…) or install the local "
                "model with `mnemos models add`"
            )
        return reembed(self._vault, model, progress=progress)

    def close(self) -> None:
        """Release the vault."""
        self._vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ internals

    def _now(self) -> datetime:
        return self._vault.clock.now()

    def _scope(self, user_id: object, agent_id: object, run_id: object) -> Scope:
        return read_scope(self._tenant, user_id=user_id, agent_id=agent_id, run_id=run_id)

    def _scope_of(self, id: str, user_id: object, agent_id: object) -> Scope:
        """Return the scope a cube lies in; one passed by the caller must be the same."""
        read_id(id)
        view = self._view(self._scope(user_id, agent_id, None))
        subject = self._read(view, lambda reader: reader.owner(id))
        if user_id is None and agent_id is None:
            return Scope(tenant=self._tenant, subject=subject)
        if view.scope.subject != subject:
            raise Conflict(
                f"memory {id!r} is not of {view.scope.subject!r}; leave the scope out, or pass "
                "the one it was written under"
            )
        return Scope(tenant=self._tenant, subject=subject)

    def _view(self, scope: Scope, kinds: frozenset[Kind] | None = None) -> View:
        return governance.open_view(scope, now=self._now(), kinds=kinds)

    def _read(self, view: View, action: Callable[[Reader], Read]) -> Read:
        return self._vault.read(view, action, self._staged or ())

    def _recall(self) -> Recall:
        return Recall(self._vault, self._embedder.get(), self._staged or ())

    def _query(
        self, text: object, *, top_k: int, kinds: Any, since: Moment, until: Moment
    ) -> Query:
        return Query(
            text=read_string("query", text, instead="ask a question, or use get_all to list"),
            top_k=read_count("top_k", top_k),
            kinds=read_kinds(kinds),
            since=read_moment("since", since, self._zone),
            until=read_moment("until", until, self._zone),
        )

    def _write(self, verb: str, scope: Scope, changes: Sequence[Change]) -> Receipt:
        staged, indexed = stage(self._vault, self._embedder, scope, changes)
        if self._staged is None:
            (outcome,) = self._vault.commit([staged])
        else:
            outcome = stage_outcome(self._vault, [*self._staged, staged])
            self._staged.append(staged)
        return Receipt(
            verb=verb,
            ids=tuple(outcome.ids),
            seq=0 if self._staged is not None else outcome.seq,
            indexed=indexed,
            duplicates=outcome.duplicates,
        )

    def _forget(self, scope: Scope, ids: Sequence[str]) -> Receipt:
        changes = [Forget(id=id) for id in ids]
        receipt = self._write("forget", scope, changes)
        if self._staged is not None or not ids:
            return receipt
        here = ("text", "words", "vectors", "names", "blobs")  # gone with the commit
        places = (*(Place(name=name, status="purged") for name in here), self._vault.scrub())
        return replace(receipt, places=places)
