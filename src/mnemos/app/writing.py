"""From drafts to staged changes: ids given, texts embedded, nothing yet written.

Models run here, before any lock is taken. An embedder that fails delays the vector, never the
memory: the words are found at once and ``reembed`` brings the vector later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import islice
from typing import Any, cast

from mnemos.app.config import EmbedderSource
from mnemos.app.drafts import check_draft
from mnemos.errors import InvalidInput, ModelError
from mnemos.kernel.changes import Add, Change, Changes, DropReads, DropSnapshot, Update
from mnemos.kernel.commit import Outcome
from mnemos.kernel.keys import index_text
from mnemos.kernel.vault import Staged, Vault
from mnemos.memories.conversation_files import Conversation
from mnemos.memories.input_values import shown
from mnemos.memories.readers import read_messages
from mnemos.types import CEILINGS, Draft, Header, Kind, MemCube, Origin, Receipt, Scope

BATCH = 256
"""Memories embedded and committed together by ``add_many`` and ``ingest``."""

Messages = str | Mapping[str, object] | Sequence[Mapping[str, object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """What a caller may say of everything in one call."""

    happened_at: datetime | None = None
    external_id: str | None = None
    kind: Kind | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    expires_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    origin: Origin | None = None
    source: str | None = None
    sensitivity: str | None = None
    access: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()


def read_drafts(
    messages: Messages, scope: Scope, details: Details, *, now: datetime, zone: tzinfo
) -> tuple[Draft, ...]:
    """Return drafts for messages, with the caller's details in every header.

    Raises
    ------
    InvalidInput
        If a message or a detail cannot be used; nothing was written.
    """
    drafts = read_messages(
        messages,
        happened_at=details.happened_at or now,
        zone=zone,
        run_id=scope.run_id,
        agent_id=scope.agent_id,
    )
    if details.external_id is not None and len(drafts) != 1:
        raise InvalidInput(
            f"external_id={details.external_id!r} names one memory, {len(drafts)} messages were "
            "given; put an 'id' into each message instead"
        )
    return tuple(_detailed(draft, details) for draft in drafts)


def _detailed(draft: Draft, details: Details) -> Draft:
    changes: dict[str, Any] = {}
    if details.external_id is not None:
        changes["external_id"] = details.external_id
    if details.kind is not None:
        changes["kind"] = details.kind
    for name in ("tags", "access", "derived_from"):
        if getattr(details, name):
            changes[name] = getattr(details, name)
    for name in ("expires_at", "valid_from", "valid_to", "origin", "source", "sensitivity"):
        if getattr(details, name) is not None:
            changes[name] = getattr(details, name)
    if details.metadata is not None:
        changes["metadata"] = details.metadata
    return replace(draft, header=replace(draft.header, **changes)) if changes else draft


def named(draft: Draft, user_id: str | None) -> Draft:
    """Return a user's draft with the user as speaker, where no name is given and the id is one.

    "Where does Ana live?" then finds what Ana said of herself.
    """
    header = draft.header
    if header.speaker or header.role != "user" or header.origin is not Origin.USER:
        return draft
    if not user_id or not user_id.isalpha():
        return draft
    return replace(draft, header=replace(header, speaker=user_id))


def carry(
    before: MemCube, draft: Draft, metadata: Mapping[str, Any] | None, origin: Origin | None
) -> Header:
    """Return the header of a new version: the old one's facts, the new one's times and words."""
    kept = before.header.metadata if metadata is None else metadata
    return replace(
        before.header,
        mentions=draft.header.mentions,
        metadata=kept,
        sealed=(),
        origin=origin or before.header.origin,
    )


def told_apart(conversation: Conversation, together: int) -> tuple[Draft, ...]:
    """Return a conversation's drafts, under names of its own where a file holds several.

    Files number the turns and sessions of each conversation from the start.
    """
    if together == 1:
        return conversation.drafts
    return tuple(
        replace(
            draft,
            header=replace(
                draft.header,
                run_id=_prefixed(conversation.name, draft.header.run_id),
                external_id=_prefixed(conversation.name, draft.header.external_id),
            ),
        )
        for draft in conversation.drafts
    )


def taken_from_file(
    draft: Draft, format: str, *, guessed: bool, origin: Origin | None, source: str | None
) -> Draft:
    """Return a file's draft with the origin its caller gives it, or that of a document.

    Parameters
    ----------
    draft : Draft
        As a reader made it.
    format : str
        What the file was read as.
    guessed : bool
        Whether that was a guess.
    origin, source : Origin, str or None
        What the caller said.
    """
    header = draft.header
    if origin is None:
        is_guess = guessed and format == "transcript"
        outside = is_guess or header.role in ("system", "developer")
        origin = Origin.DOCUMENT if outside else header.origin
    header = replace(
        header,
        origin=origin,
        trust=min(header.trust, CEILINGS[origin]),
        source=source or header.source,
    )
    return replace(draft, header=header)


def _prefixed(name: str, value: str | None) -> str | None:
    return None if value is None else f"{name}/{value}"


def read_batches(drafts: object) -> Iterator[list[Draft]]:
    """Yield drafts in batches, each checked before it is handed on.

    Raises
    ------
    InvalidInput
        If there is anything but drafts.
    """
    if not isinstance(drafts, Iterable):
        raise InvalidInput(f"drafts is a {type(drafts).__name__}; give an iterable of Draft")
    stream = map(check_draft, cast("Iterable[object]", drafts))
    while batch := list(islice(stream, BATCH)):
        yield batch


def additions(
    vault: Vault, drafts: Iterable[Draft], *, on_conflict: str, timed: bool
) -> tuple[Add, ...]:
    """Return one addition per draft, under fresh ids."""
    if on_conflict not in ("error", "update"):
        raise InvalidInput(
            f"on_conflict={shown(on_conflict)} is unknown; allowed: 'error', 'update'"
        )
    return tuple(
        Add(id=vault.ids.fresh(), draft=draft, replace=on_conflict == "update", timed=timed)
        for draft in drafts
    )


def together(verb: str, ids: Sequence[str], receipts: Sequence[Receipt]) -> Receipt:
    """Return one receipt for a call that was committed in batches."""
    indexed = {receipt.indexed for receipt in receipts} - {"none"}
    return Receipt(
        verb=verb,
        ids=tuple(ids),
        seq=receipts[-1].seq if receipts else 0,
        before=receipts[0].before if receipts else 0,
        indexed="lexical" if "lexical" in indexed else "full" if indexed else "none",
        duplicates=sum(receipt.duplicates for receipt in receipts),
        suppressed=sum(receipt.suppressed for receipt in receipts),
    )


def _words(change: Change) -> str:
    if isinstance(change, (Add, Update)):
        return index_text(change.draft.header, change.draft.payload)
    return ""


def stage(vault: Vault, source: EmbedderSource, value: Changes) -> tuple[Staged, str]:
    """Return changes with their vectors, and how they are findable: ``full``, ``lexical``, ``none``.

    What is stored already under the same external id is not embedded again.

    Raises
    ------
    ModelMismatch
        If the vault's vectors were made by another embedder.
    """
    changes = value.changes
    texts = {place: text for place, change in enumerate(changes) if (text := _words(change))}
    if not texts:
        return Staged(value), "none"
    embedder = source.get()
    if embedder is None:
        return Staged(value), "lexical"
    space = vault.use(embedder)
    for place in vault.duplicates(value):
        texts.pop(place, None)
    if not texts:
        return Staged(value), "full"
    try:
        rows = embedder.embed(list(texts.values()))
    except ModelError:
        return Staged(value), "lexical"
    if rows.shape != (len(texts), space.dim):
        raise ModelError(
            f"embedder {embedder.fingerprint!r} returned an array of shape {rows.shape} where "
            f"{(len(texts), space.dim)} was due; nothing was written"
        )
    vectors: list[bytes | None] = [None] * len(changes)
    for place, row in zip(texts, rows, strict=True):
        vectors[place] = row.astype("<f4").tobytes()
    return Staged(value, vectors, space), "full"


def stage_outcome(vault: Vault, staged: Sequence[Staged]) -> Outcome:
    """Return what the last of the staged changes will do, as far as can be said before the end.

    Only the caller's own ids can make a difference; looking costs carrying out what is staged.
    """
    changes = staged[-1].changes.changes
    if any(isinstance(item, Add) and item.draft.header.external_id for item in changes):
        return vault.preview(staged)
    return Outcome(
        ids=[item.id for item in changes if not isinstance(item, (DropSnapshot, DropReads))]
    )
