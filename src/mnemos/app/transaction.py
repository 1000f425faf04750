"""Several calls made together, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from mnemos.app.memory import Memory
from mnemos.errors import InvalidInput, StoreClosed
from mnemos.kernel.changes import Change
from mnemos.kernel.vault import Staged
from mnemos.types import Receipt, Scope


class Transaction(Memory):
    """Calls staged together; made durable at the end of the ``with`` block, or dropped by an error.

    Models run while staging; the write lock is taken only at the end. Reads through the
    transaction see what it has staged; receipts carry ids at once and seq 0.
    """

    def __init__(self, memory: Memory) -> None:
        self.__dict__.update(memory.__dict__)
        self._staged: list[Staged] | None = []
        self._ended = False

    def begin(self) -> Transaction:
        """Refuse: transactions do not nest."""
        raise InvalidInput("a transaction cannot begin another; use this one, or the memory's")

    def _write(
        self,
        verb: str,
        scope: Scope,
        changes: Sequence[Change],
        *,
        bases: Mapping[str, int] | None = None,
        whole: bool = False,
    ) -> Receipt:
        if self._ended:
            raise StoreClosed("this transaction has ended; begin another with memory.begin()")
        return super()._write(verb, scope, changes, bases=bases, whole=whole)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        staged, self._staged, self._ended = self._staged or [], [], True
        if kind is None and staged:
            self._vault.commit(staged)
            self._vault.scrub()

    def close(self) -> None:
        """Leave the vault open: it belongs to the memory that began the transaction."""
