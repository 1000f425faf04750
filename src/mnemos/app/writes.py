"""The calls that remember: add, ingest, update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnemos.app.drafts import check_validity
from mnemos.app.handle import Handle, Moment
from mnemos.app.scopes import (
    read_callable,
    read_count,
    read_ids,
    read_kinds,
    read_metadata,
    read_moment,
    read_name,
    read_origin,
    read_path,
    read_principals,
    read_string,
    read_tags,
)
from mnemos.app.writing import (
    Details,
    Messages,
    carry,
    named,
    read_batches,
    read_drafts,
    taken_from_file,
    together,
    told_apart,
)
from mnemos.kernel.changes import Update
from mnemos.kernel.governance.views import OWNER
from mnemos.memories.conversation_files import read_files
from mnemos.types import (
    Draft,
    Kind,
    Origin,
    Receipt,
    Scope,
)


class Writes(Handle):
    """Calls that bring something new."""

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
        valid_from: Moment = None,
        valid_to: Moment = None,
        origin: Origin | str | None = None,
        source: str | None = None,
        sensitivity: str | None = None,
        access: Iterable[str] = (),
        derived_from: Iterable[str] = (),
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
        tags, metadata
            Go into the header.
        expires_at : datetime, ISO string, unix seconds or None
            End of its lifespan: invisible from then on, later forgotten.
        valid_from, valid_to : datetime, ISO string, unix seconds or None
            When it is true in the world (half open); ``view(valid_at=…)`` asks for it.
        origin : Origin or str or None
            Where the words come from: ``user``, ``agent``, ``tool``, ``document``, ``import`` or
            ``derived``. Trust follows from it; None lets the message's role decide.
        source : str or None
            What they were read from, an address say; :meth:`revoke` and :meth:`forget` find by it.
        sensitivity : str or None
            Label a principal must be cleared for to read it.
        access : iterable of str
            Principals who alone may read it, besides who wrote it, its subject and the owner.
        derived_from : iterable of str
            Memories it was made from: it is trusted no more than they, and forgotten with them.
        on_conflict : str
            What to do when ``external_id`` is taken by other content: ``"error"`` or ``"update"``.

        Raises
        ------
        InvalidInput, Conflict, StoreError
            Nothing was written.

        Examples
        --------
        >>> from mnemos import Memory
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
            valid_from=read_moment("valid_from", valid_from, self._zone),
            valid_to=read_moment("valid_to", valid_to, self._zone),
            origin=read_origin(origin),
            source=read_name("source", source),
            sensitivity=read_name("sensitivity", sensitivity),
            access=read_principals("access", access),
            derived_from=read_ids("derived_from", derived_from),
        )
        check_validity(details.valid_from, details.valid_to)
        drafts = read_drafts(messages, scope, details, now=self._now(), zone=self._zone)
        drafts = tuple(named(draft, self._speaker(scope, user_id)) for draft in drafts)
        timed = details.happened_at is not None
        return self._add("add", scope, drafts, on_conflict=on_conflict, timed=timed)

    def _speaker(self, scope: Scope, user_id: str | None) -> str | None:
        """Return whose the user's words are: of somebody who acts in another's page, their own."""
        if self._principal in (OWNER, scope.subject):
            return user_id
        return self._principal.partition(":")[2]

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
        receipts: list[Receipt] = []
        for batch in read_batches(drafts):
            receipt = self._add("add", scope, batch, on_conflict=on_conflict)
            ids.extend(receipt.ids)
            receipts.append(replace(receipt, ids=()))
            if progress is not None:
                progress(len(batch))
        return together("add", ids, receipts)

    def ingest(
        self,
        path: str | Path,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        format: str | None = None,
        origin: Origin | str | None = None,
        source: str | None = None,
        on_conflict: str = "error",
        progress: Callable[[int], None] | None = None,
    ) -> Receipt:
        """Remember the conversations of a file.

        A file does not decide how far it is trusted: what looks like a transcript without ``format``
        or ``origin`` saying so is a document, and so is a system message; such instructions wait in
        quarantine.

        Parameters
        ----------
        path : str or Path
            JSONL, JSON, Markdown, plain transcript or LoCoMo file.
        user_id, agent_id : str or None
            Whose memory; a file of several conversations keeps them apart as sessions.
        format : str or None
            Format, where it should not be guessed.
        origin : Origin or str or None
            Where the words come from, ``user`` for a conversation of your own; None goes by the
            format and the roles.
        source : str or None
            What to name as their source; None is the file's name where it is a document.
        on_conflict, progress
            As in :meth:`add_many`.

        Raises
        ------
        InvalidInput
            If the file cannot be read; the message names the line.
        """
        read = [*read_files(read_path(path), zone=self._zone, format=format)]
        guessed, said = format is None, read_origin(origin)
        named_as = read_name("source", source)
        drafts = [
            taken_from_file(
                draft, conversation.format, guessed=guessed, origin=said, source=named_as
            )
            for conversation in read
            for draft in told_apart(conversation, len(read))
        ]
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
        origin: Origin | str | None = None,
        expected_version: int | None = None,
    ) -> Receipt:
        """Write a new version of a memory; the old one stays in its history.

        Parameters
        ----------
        id, text : str
            Which memory, and what it shall say.
        user_id, agent_id : str or None
            Whose it is; may be left out.
        metadata : mapping or None
            In place of the old version's; None keeps that.
        origin : Origin or str or None
            Where the new words come from; None is where the old ones came from.
        expected_version : int or None
            Number of the version the new text was made from; if another is current by then,
            nothing is written.

        Raises
        ------
        VersionConflict
            If the current version is not the one expected.
        TooLittleTrust
            If the new words are less trusted than the old ones.
        NotFound, InvalidInput, Protected
            Nothing was written.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Ana lives in Porto", user_id="ana").id
        ...     _ = memory.update(id, "Ana lives in Lisbon")
        ...     [cube.text for cube in memory.history(id)]
        ['Ana lives in Porto', 'Ana lives in Lisbon']
        """
        scope = self._scope_of(id, user_id, agent_id)
        before = self._read(self._view(scope, ended=True), lambda reader: reader.get(id))
        words = read_string("text", text)
        said = Details(happened_at=before.header.happened_at)
        (draft,) = read_drafts(words, scope, said, now=self._now(), zone=self._zone)
        header = carry(before, draft, read_metadata(metadata), read_origin(origin))
        if expected_version is not None:
            read_count("expected_version", expected_version)
        changed = Update(
            id=id,
            draft=Draft(payload=draft.payload, header=header),
            expected=expected_version,
        )
        return self._write("update", scope, [changed])
