"""Where memories come from, what happened to them, and the proof that nothing else did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from mnemos.app.handle import Handle, Moment
from mnemos.app.scopes import (
    read_callable,
    read_count,
    read_id,
    read_moment,
    read_name,
    read_path,
)
from mnemos.errors import InvalidInput
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.governance.views import View
from mnemos.kernel.proof import checkpoints as checkpointing
from mnemos.kernel.proof.checkpoints import Checkpoint
from mnemos.kernel.proof.lineage import DEPTH, Lineage, lineage
from mnemos.kernel.proof.log import VERBS, Entry, entries
from mnemos.kernel.proof.prov import Document, prov
from mnemos.kernel.proof.verify import Report, verify
from mnemos.kernel.schema import ALIVE
from mnemos.memories.input_values import shown
from mnemos.types import Scope

Position = Moment
"""A bound of a log: a time, or ``"#17"`` for a journal position."""


class Provenance(Handle):
    """Calls that say where a memory comes from, and prove it.

    They read what has been committed: a transaction's own staged calls are in no journal yet.
    """

    def lineage(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        depth: int = DEPTH,
    ) -> Lineage:
        """Return where a memory comes from and what came of it.

        Parameters
        ----------
        id : str
            The memory.
        user_id, agent_id : str or None
            Whose; found by the id where left out.
        depth : int
            Steps to follow up to its sources and down to what was derived from it.

        Raises
        ------
        NotFound
            If there is none of this id here.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("Ana lives in Porto", user_id="ana").id
        ...     _ = memory.update(id, "Ana lives in Lisbon")
        ...     [(step.verb, step.actor, step.branch) for step in memory.lineage(id).versions]
        [('add', 'owner', 'main'), ('update', 'owner', 'main')]
        """
        read_count("depth", depth, most=1_000)
        view = self._view(self._scope_of(id, user_id, agent_id))
        with self._everything(view) as tx:
            found = lineage(tx, view, id, depth=depth)
        self._note_read("lineage", view, [id])
        return found

    def prov(
        self,
        id: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        text: bool = False,
    ) -> Document:
        """Return the lineage of a memory, or of a whole scope, as W3C PROV-JSON.

        Parameters
        ----------
        id : str or None
            The memory, with its sources and what was derived from it; None is everything in the
            scope, and needs a user or an agent.
        user_id, agent_id : str or None
            Whose.
        text : bool
            Whether the words of the memories are to be in it.

        Raises
        ------
        NotFound
            If there is none of this id here.
        ScopeRequired
            If neither an id nor a scope is given.
        """
        view = self._prov_view(id, user_id, agent_id)
        with self._everything(view) as tx:
            document = prov(tx, self._vault.store.blobs, view, id, text=text)
        self._note_read("prov", view, [id] if id is not None else ())
        return document

    def _prov_view(self, id: str | None, user_id: object, agent_id: object) -> View:
        if id is not None:
            return self._view(self._scope_of(id, user_id, agent_id))
        return self._view(self._required_scope("prov", user_id, agent_id, None))

    def log(
        self,
        *,
        id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        actor: str | None = None,
        verbs: str | Iterable[str] | None = None,
        since: Position = None,
        until: Position = None,
        limit: int = 100,
        after: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return what happened, in order: who did what to which memory, and when.

        Parameters
        ----------
        id : str or None
            One memory, or the record of a snapshot, branch, rollback, merge or policy.
        user_id, agent_id : str or None
            Whose memories; left out, those of the whole tenant.
        actor : str or None
            Who did it.
        verbs : str, iterable of str or None
            Which events: add, update, state, adopt, withdraw, forget, snapshot, branch, rollback,
            merge, policy.
        since, until : datetime, str, number or None
            From then on, and before then: times, or ``"#17"`` for a position.
        limit : int
            Most entries to return.
        after : int or None
            ``seq`` of the last entry of the previous call: continue behind it.
        newest_first : bool
            Walk back in time.

        Raises
        ------
        InvalidInput
            If a bound or a verb cannot be used.
        """
        subject, most = self._log_scope(user_id, agent_id)
        scope = Scope(tenant=self._tenant, subject=subject) if subject is not None else None
        wanted = _read_verbs(verbs)
        with self._records(scope) as tx:
            if scope is not None and not self._may_all(tx, scope, Verb.ADMIN):
                wanted = (wanted or VERBS) - {"read", "rule"}  # for who administers
            found = entries(
                tx,
                self._tenant,
                subject=subject,
                id=read_id(id) if id is not None else None,
                actor=read_name("actor", actor),
                verbs=wanted,
                since=self._log_bound("since", since),
                until=self._log_bound("until", until),
                most=most,
                after=read_count("after", after, least=0, most=ALIVE)
                if after is not None
                else None,
                limit=read_count("limit", limit),
                newest_first=newest_first,
            )
            return list(found)

    def _log_scope(self, user_id: object, agent_id: object) -> tuple[str | None, int | None]:
        """Return the subject to narrow to, and the last position a view of the past may show."""
        if self._bound is None and user_id is None and agent_id is None:
            return None, None
        scope = self._scope(user_id, agent_id, None)
        return scope.subject, self._bound.as_of if self._bound is not None else None

    def _log_bound(self, name: str, value: object) -> datetime | int | None:
        if isinstance(value, str) and value.startswith("#"):
            if not value[1:].isdecimal() or int(value[1:]) > ALIVE:
                raise InvalidInput(f"{name}={shown(value)} is no position; write it as '#17'")
            return int(value[1:])
        return read_moment(name, value, self._zone)

    def checkpoint(
        self, path: str | Path | None = None, *, key: str | Path | None = None
    ) -> Checkpoint:
        """Return what the journal is now, to be kept where who writes the vault cannot reach it.

        Parameters
        ----------
        path : str, Path or None
            A new file to write it to; None only returns it.
        key : str, Path or None
            File of an Ed25519 private key (PEM) to sign it with; None leaves it unsigned.

        Raises
        ------
        InvalidInput, NotFound
            If the key cannot be read or the file not be made.
        MissingExtra
            If it is to be signed and the package ``cryptography`` is not installed.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.add("Ana lives in Porto", user_id="ana")
        ...     kept = memory.checkpoint()
        ...     memory.verify(checkpoints=[kept]).checkpoints
        1
        """
        target = read_path(path) if path is not None else None
        private = checkpointing.read_private_key(read_path(key)) if key is not None else None
        with self._records() as tx:
            made = checkpointing.take(tx, self._tenant, now=self._now())
        if private is not None:
            made = checkpointing.sign(made, private)
        if target is not None:
            checkpointing.write_new(target, made.encode())
        return made

    def verify(
        self,
        *,
        checkpoints: str | Path | Checkpoint | Iterable[str | Path | Checkpoint] = (),
        public_key: str | Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Report:
        """Check the chain, the contents it commits to, and every table made from them.

        Parameters
        ----------
        checkpoints : Checkpoint, str, Path or iterable
            Checkpoints of :meth:`checkpoint`, or their files: they show a tail that was cut off
            and a journal written anew, which nothing within the vault can.
        public_key : str, Path or None
            File of the Ed25519 public key (PEM) that must have signed them.
        progress : callable or None
            Called with 1 after every event.

        Raises
        ------
        InvalidInput, NotFound
            If a checkpoint or the key cannot be read.
        """
        read_callable("progress", progress)
        self._check_owner("verify the vault")
        given = _read_checkpoints(checkpoints)
        key = (
            checkpointing.read_public_key(read_path(public_key)) if public_key is not None else None
        )
        if key is not None and not given:
            raise InvalidInput(
                "public_key proves checkpoints, and none is given; pass checkpoints="
            )
        return verify(self._vault, checkpoints=given, public_key=key, progress=progress)


def _read_verbs(value: object) -> frozenset[str] | None:
    """Return a set of verbs.

    Raises
    ------
    InvalidInput
        If one is unknown.
    """
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Iterable):
        raise InvalidInput(f"verbs={shown(value)} is not allowed; give several verbs")
    found = list(cast("Iterable[Any]", items))
    if not all(isinstance(item, str) and item in VERBS for item in found):
        raise InvalidInput(
            f"verbs={shown(value)} is not allowed; give some of {', '.join(sorted(VERBS))}"
        )
    return frozenset(found)


def _read_checkpoints(value: object) -> list[Checkpoint]:
    """Return checkpoints from values or files.

    Raises
    ------
    InvalidInput, NotFound
        If one is neither, or cannot be read.
    """
    items = [value] if isinstance(value, (str, Path, Checkpoint)) else value
    if not isinstance(items, Iterable):
        raise InvalidInput(f"checkpoints={shown(value)} is not allowed; give checkpoints or files")
    return [
        item
        if isinstance(item, Checkpoint)
        else checkpointing.decode(checkpointing.read_file(read_path(item)))
        for item in cast("Iterable[object]", items)
    ]
