"""``Memory``: the whole of Mnemos behind a few dozen calls, one class for each kind of them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mnemos.app import config
from mnemos.app.archives import Archives
from mnemos.app.auditing import Auditing
from mnemos.app.background import Background
from mnemos.app.forgetting import Forgetting
from mnemos.app.governing import Governing
from mnemos.app.lifecycle import LifeCycle
from mnemos.app.privacy import Privacy, read_key
from mnemos.app.provenance import Provenance
from mnemos.app.quarantine import Quarantine
from mnemos.app.reads import Reads
from mnemos.app.scopes import (
    read_name,
    read_port,
)
from mnemos.app.time_machine import TimeMachine
from mnemos.app.upkeep import Upkeep
from mnemos.app.versions import Versions
from mnemos.app.writes import Writes
from mnemos.errors import MnemosError
from mnemos.kernel.ports import Clock, Embedder, Entropy, Ids, Reranker, Store
from mnemos.kernel.vault import Staged, Vault
from mnemos.memories.strength import read_law

if TYPE_CHECKING:
    from mnemos.app.transaction import Transaction


class Memory(
    Reads,
    Writes,
    Versions,
    TimeMachine,
    LifeCycle,
    Forgetting,
    Provenance,
    Governing,
    Quarantine,
    Privacy,
    Auditing,
    Archives,
    Background,
    Upkeep,
):
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
    reranker : Reranker, str or None
        Reads the best hits, twice as many as are asked for and at least 20, each together with the
        question, and decides their order: ``"sentence-transformers:NAME"``, a cross-encoder, or
        your own. If it fails, the order stays as it was and the trace says so.
    clock, ids, entropy : ports
        Sources of time, ids and salts; given, they make a run repeatable.
    store : Store or None
        A store to use in place of ``path``.
    rebuild_words : bool
        Make the word index again where another version of Mnemos made it.
    background : str
        When work left for later is done: ``"thread"``, in a thread after a write; ``"inline"``, a
        little after each write; ``"off"``, when :meth:`run_jobs` is called.
    seal_key : str, Path or None
        File of a secret key, 16 bytes or more: what redaction vaults is encrypted with it.

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
        reranker: Reranker | str | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        entropy: Entropy | None = None,
        store: Store | None = None,
        rebuild_words: bool = False,
        background: str = "thread",
        seal_key: str | Path | None = None,
    ) -> None:
        self._tenant = read_name("tenant", tenant) or "default"
        self._zone = config.read_zone(tz)
        self._embedder = config.read_embedder(embedder)
        self._reranker = config.read_reranker(reranker)
        self._seal_key = read_key(seal_key) if seal_key is not None else None
        clock = read_port("clock", clock, "now") or config.SystemClock()
        ids = read_port("ids", ids, "fresh") or config.SystemIds()
        entropy = read_port("entropy", entropy, "bytes") or config.SystemEntropy()
        given = read_port("store", store, "read", "write", "blobs")
        opened = given or config.open_store(path)
        try:
            self._vault = Vault(
                opened, clock=clock, ids=ids, entropy=entropy, rebuild_words=rebuild_words
            )
            self._vault.detectors = config.open_detector
            self._open_jobs(background, strength=read_law)
        except MnemosError:
            if given is None:
                opened.close()
            raise
        self._staged: list[Staged] | None = None

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

    def close(self) -> None:
        """Release the vault."""
        self._close_jobs()
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
