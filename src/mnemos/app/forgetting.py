"""The calls that erase: by id, by source, by query, by scope; tried first, proved afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mnemos.app.handle import Handle
from mnemos.app.recall import Recall
from mnemos.app.scopes import read_count, read_id, read_name, read_string
from mnemos.errors import InvalidInput
from mnemos.kernel.changes import Changes, Forget
from mnemos.kernel.copies.residue import Finding, Needle, needles, scan
from mnemos.kernel.governance import views
from mnemos.kernel.schema import MAIN
from mnemos.kernel.vault import Staged
from mnemos.memories.input_values import shown
from mnemos.types import Header, Place, Query, Receipt, Scope

_WITH_THE_COMMIT = (
    "text",
    "words",
    "vectors",
    "names",
    "links",
    "blobs",
    "usage",
    "branches",
    "snapshots",
    "jobs",
)
"""Places erased in the transaction itself: contents with their salts, the word index, vectors and
hashes in every segment, callers' ids, edges, large payloads, counts, the versions of every branch,
so what snapshots name; jobs hold ids and numbers only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _How:
    """How to forget: with sources, only as a trial, with a proof, everything with its rules."""

    sources: bool = False
    dry_run: bool = False
    verify: bool = False
    whole: bool = False


class Forgetting(Handle):
    """Calls after which something is gone for good."""

    def forget(
        self,
        id: str | None = None,
        *,
        ids: Iterable[str] | None = None,
        source: str | None = None,
        query: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int = 10,
        sources: bool = False,
        dry_run: bool = False,
        verify: bool = False,
    ) -> Receipt:
        """Erase memories: every version on every branch, and everything derived from them.

        Say which by one of ``id``, ``ids``, ``source`` or ``query``; :meth:`delete_all` takes a
        whole scope. The receipt lists all that went under ``forgotten``, and every place it lay
        in as purged, or as pending and why: a reader in another process can keep the log from
        being cut, which the next forget, the next opening or a job makes good.

        Parameters
        ----------
        id : str or None
            A memory.
        ids : iterable of str or None
            Several memories of one subject, erased together or not at all.
        source : str or None
            Everything read from there: memories of which a version has this ``source``.
        query : str or None
            What :meth:`search` finds for it, ``top_k`` at most. Try it with ``dry_run`` first.
        user_id, agent_id, run_id : str or None
            Whose memories; needed with ``source`` and ``query``, where a run narrows them.
        top_k : int
            Most memories a query may name.
        sources : bool
            Take along what the memories were derived from.
        dry_run : bool
            Return the receipt there would be and change nothing.
        verify : bool
            Afterwards look for what was erased, in all its forms, in every byte of the vault's
            files; the place ``scan`` says what came of it. It takes seconds for a large vault.

        Raises
        ------
        NotFound
            If there is no such memory; nothing is erased then.
        Protected
            If a legal hold stops it; nothing is erased then.
        ScopeRequired
            Without a user or an agent, where one is needed.
        InvalidInput
            If not exactly one way to name memories is used, or ``verify`` inside a transaction.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("The door code is 4711", user_id="ana").id
        ...     tried = memory.forget(query="door code", user_id="ana", dry_run=True)
        ...     receipt = memory.forget(id, verify=True)
        >>> tried.forgotten == receipt.forgotten == (id,)
        True
        >>> receipt.places[-1]
        Place(name='scan', status='purged', why='')
        """
        given = {"id": id, "ids": ids, "source": source, "query": query}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            said = " and ".join(names) or "nothing"
            raise InvalidInput(
                f"{said} was given; name memories by exactly one of id, ids, source, query, or "
                "use delete_all for everything of a user or an agent"
            )
        how = _How(sources=sources, dry_run=dry_run, verify=verify)
        if source is not None or query is not None:
            scope = self._required_scope(f"forget by {names[0]}", user_id, agent_id, run_id)
            if query is not None:
                return self._forget(scope, self._found(scope, query, top_k), how)
            wanted = read_name("source", source)
            return self._forget(scope, self._chosen(scope, wanted), how)
        if run_id is not None:
            raise InvalidInput("run_id narrows source and query; an id names one memory: leave it")
        listed = [read_id(id)] if ids is None else _read_ids(ids)
        if not listed:
            return self._forget(self._scope(user_id, agent_id, None), listed, how)
        return self._forget(self._scope_of(listed[0], user_id, agent_id), listed, how)

    def delete(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Receipt:
        """Do what :meth:`forget` does: here delete means delete."""
        return self.forget(read_id(id), user_id=user_id, agent_id=agent_id)

    def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,
        verify: bool = False,
    ) -> Receipt:
        """Erase everything of a user or an agent, or of one run of theirs, on every branch.

        What was withdrawn, archived or has expired goes too; of a cube whose versions belong to
        several runs, all go. ``dry_run`` and ``verify`` are those of :meth:`forget`.

        Raises
        ------
        ScopeRequired
            Without a user or an agent.
        Protected
            If a legal hold stops it; nothing is erased then.
        """
        scope = self._required_scope("delete_all", user_id, agent_id, run_id)
        how = _How(dry_run=dry_run, verify=verify, whole=run_id is None and scope.agent_id is None)
        return self._forget(scope, self._chosen(scope, None), how)

    def _found(self, scope: Scope, query: str, top_k: int) -> list[str]:
        """Return what a search finds."""
        staged = self._staged or ()
        recall = Recall(self._vault, self._embedder.get(), staged, self._reranker())
        text = read_string("query", query, instead="say what to look for")
        wanted = Query(text=text, top_k=read_count("top_k", top_k))
        return [hit.id for hit in recall.search(self._view(scope), wanted)]

    def _chosen(self, scope: Scope, source: str | None) -> list[str]:
        """Return every cube of a scope, whatever became of it, and from one source if one is given."""

        def is_meant(header: Header) -> bool:
            return all(
                wanted is None or wanted == has
                for wanted, has in (
                    (scope.agent_id, header.agent_id),
                    (scope.run_id, header.run_id),
                    (source, header.source),
                )
            )

        return self._read(
            self._view(scope),
            lambda reader: [
                id for id, headers in reader.everything() if any(map(is_meant, headers))
            ],
        )

    def _forget(self, scope: Scope, ids: Sequence[str], how: _How) -> Receipt:
        if how.verify and (how.dry_run or self._staged is not None):
            raise InvalidInput(
                "verify=True looks at what an erasure leaves behind, and nothing is erased yet; "
                "leave it out in a dry run, and forget outside of the transaction"
            )
        changes = [Forget(id=id, sources=how.sources) for id in ids]
        if how.dry_run:
            return self._tried(scope, changes)
        wanted = self._wanted(scope, changes) if how.verify else None
        receipt = self._write("forget", scope, changes, whole=how.whole)
        if self._staged is not None or not ids:
            return receipt
        places = [Place(name=name, status="purged") for name in _WITH_THE_COMMIT]
        places.append(self._vault.scrub())
        if wanted is not None:
            doomed, looked_for = wanted
            places.append(self._scanned(looked_for, missed=set(receipt.forgotten) - doomed))
        return replace(receipt, places=tuple(places))

    def _staged_forget(self, scope: Scope, changes: Sequence[Forget]) -> Staged:
        branch = self._bound.branch if self._bound is not None else MAIN
        wanted = Changes(scope=scope, changes=tuple(changes), actor=self._principal, branch=branch)
        return Staged(wanted)

    def _tried(self, scope: Scope, changes: Sequence[Forget]) -> Receipt:
        """Return the receipt of an erasure that is not made."""
        staged = self._staged_forget(scope, changes)
        outcome = self._vault.preview([*(self._staged or ()), staged])
        why = "a dry run: nothing was erased"
        names = (*_WITH_THE_COMMIT, "log") if changes else ()
        return Receipt(
            verb="forget",
            ids=tuple(outcome.ids),
            indexed="none",
            forgotten=tuple(outcome.forgotten),
            restored=tuple(outcome.restored),
            sources=tuple(outcome.sources),
            places=tuple(Place(name=name, status="pending", why=why) for name in names),
        )

    def _wanted(self, scope: Scope, changes: Sequence[Forget]) -> tuple[set[str], Sequence[Needle]]:
        """Return what will go, and what must be found nowhere afterwards."""
        doomed = self._vault.preview([self._staged_forget(scope, changes)]).forgotten
        store = self._vault.store
        with store.read(views.tenant_view(self._tenant)) as tx:
            return set(doomed), needles(tx, store.blobs, self._tenant, doomed)

    def _scanned(self, looked_for: Sequence[Needle], *, missed: set[str]) -> Place:
        if missed:
            why = f"{len(missed)} memories derived meanwhile were erased too, but not looked for"
            return Place(name="scan", status="pending", why=why)
        found = scan(self._vault.store, looked_for)
        if found:
            return Place(name="scan", status="pending", why=_counted(found))
        return Place(name="scan", status="purged")


def _counted(found: Sequence[Finding]) -> str:
    counts = Counter((finding.form, finding.place) for finding in found)
    said = [f"{form} in {place}: {count}" for (form, place), count in sorted(counts.items())]
    return "still found: " + ", ".join(said)


def _read_ids(value: object) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidInput(f"ids={shown(value)} must be several ids; give a list of them")
    return list(dict.fromkeys(map(read_id, value)))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
