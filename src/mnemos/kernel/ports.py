"""Every seam of the kernel as a Protocol: what it needs from outside and nothing more.

Time, randomness, ids, disks and models come in through these ports, so that a run can be
replayed and every fault injected (``mnemos.testing`` ships the fakes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnemos.kernel.binding import Reach

Row = TypeVar("Row", bound=NamedTuple)
Value = str | int | bytes | None
Key = Sequence[str | int]

OVERLAP = 4096
"""Bytes that two neighbouring pieces of :meth:`Store.images` have in common."""


class Clock(Protocol):
    """The wall clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class Ids(Protocol):
    """A source of fresh cube ids."""

    def fresh(self) -> str:
        """Return an id never returned before: 32 lower-case hexadecimal digits."""
        ...


class Entropy(Protocol):
    """A source of secret randomness, for salts."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` unpredictable bytes."""
        ...


class Faults(Protocol):
    """The one point every write step passes, where a test can stop or fail the process."""

    def reach(self, step: str) -> None:
        """Announce the write step about to happen (``sql``, ``commit``, ``fsync``, ``rename``)."""
        ...


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """One table of the vault, declared once in :mod:`mnemos.kernel.schema`.

    Parameters
    ----------
    name : str
        Its name in every store.
    row : type
        A NamedTuple class; its fields are the columns, annotated ``int``, ``str`` or ``bytes``.
    key : int
        How many leading columns form the primary key.
    indexes : mapping of str to tuple of str
        Further orders in which :meth:`ReadTx.scan` can walk: name to columns.
    """

    name: str
    row: type[Row]
    key: int
    indexes: Mapping[str, tuple[str, ...]]

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the primary key of a row."""
        return row[: self.key]

    def columns_of(self, index: str | None) -> tuple[str, ...]:
        """Return the columns by which the named order sorts; None names the primary key."""
        return self.row._fields[: self.key] if index is None else self.indexes[index]


class ReadTx(Protocol):
    """A consistent snapshot of the tables, for as long as it is open."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key."""
        ...

    def scan(
        self,
        table: Table[Row],
        prefix: Key,
        *,
        index: str | None = None,
        start: str | int | None = None,
        stop: str | int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Walk the rows whose leading columns equal ``prefix``, in order.

        ``start`` (inclusive) and ``stop`` (exclusive) bound the column after the prefix.
        """
        ...


class WriteTx(ReadTx, Protocol):
    """A snapshot that can also change; all of it becomes durable at the end, or none."""

    def insert(self, table: Table[Row], rows: Iterable[Row]) -> None:
        """Add rows whose primary keys are new."""
        ...

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its primary key."""
        ...

    def delete(self, table: Table[Row], prefix: Key) -> None:
        """Remove every row whose leading key columns equal ``prefix``."""
        ...


class Blobs(Protocol):
    """Large payloads outside the tables, written and synced before the row that names them."""

    def put(self, name: str, data: bytes) -> None:
        """Store ``data`` durably under ``name``; an existing one is the same and stays."""
        ...

    def get(self, name: str) -> bytes | None:
        """Return what was stored under ``name``."""
        ...

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there."""
        ...

    def names(self) -> list[str]:
        """List what is stored, sorted."""
        ...


class Store(Protocol):
    """Keeps rows and bytes durably; knows nothing of what they mean."""

    @property
    def blobs(self) -> Blobs:
        """Where large payloads lie."""
        ...

    def read(self, view: Reach) -> AbstractContextManager[ReadTx]:
        """Open a snapshot; many may be open at once, in any thread.

        Every statement of it is bound to the view (:mod:`mnemos.kernel.binding`).
        """
        ...

    def write(self, view: Reach) -> AbstractContextManager[WriteTx]:
        """Take the write lock. Leaving normally commits durably; leaving by exception undoes.

        Every statement of it is bound to the view.
        """
        ...

    def scrub(self) -> str:
        """Make deleted bytes leave the store's own files; return ``""``, or what stands in the way."""
        ...

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield every byte the store keeps: the name of a place, and a piece of it.

        The pieces of a place come in order; each begins ``OVERLAP`` bytes before the end of the
        one before it, so that what is no longer than that lies whole in one of them.
        """
        ...

    def check(self) -> list[str]:
        """Return what is wrong with the files themselves; an empty list if nothing is."""
        ...

    def size(self) -> int:
        """Return the bytes the store takes on its medium."""
        ...

    def free(self) -> int:
        """Return the bytes within :meth:`size` that hold nothing."""
        ...

    def vacuum(self, most: int) -> int:
        """Give up to ``most`` unused bytes back to the medium, -1 for all, at any price.

        Returns how many were given back, which may be fewer than are unused.
        """
        ...

    def describe(self) -> dict[str, str]:
        """Return what a person would want to know: engine, location, durability."""
        ...

    def close(self) -> None:
        """Release everything; later calls raise ``StoreClosed``."""
        ...


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def fingerprint(self) -> str:
        """Model, hash of its weights and precision; recorded with every vector."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return one unit row per text, ``(n, dim)``, in the order given."""
        ...


@runtime_checkable
class KnowsScripts(Protocol):
    """An embedder that learnt some scripts only; one without this knows them all."""

    @property
    def scripts(self) -> frozenset[str] | None:
        """Names with which Unicode begins the names of their letters; None is all of them."""
        ...


def known_scripts(embedder: Embedder | None) -> frozenset[str] | None:
    """Return the scripts an embedder knows; None where it knows them all."""
    return embedder.scripts if isinstance(embedder, KnowsScripts) else None


class ChatModel(Protocol):
    """Answers a chat; no part of the kernel needs one."""

    @property
    def name(self) -> str:
        """Name recorded with everything derived by it."""
        ...

    def complete(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the assistant's reply to messages of ``role`` and ``content``."""
        ...


class Reranker(Protocol):
    """Scores texts by reading each together with the question: the slower and better way."""

    @property
    def fingerprint(self) -> str:
        """Model and hash of its weights; named in the trace of every answer it ordered."""
        ...

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one finite score per text, ``(n,)``, in the order given; larger is better."""
        ...


class TokenCounter(Protocol):
    """Counts tokens as the host's model would."""

    def __call__(self, text: str) -> int:
        """Return the number of tokens in ``text``."""
        ...
