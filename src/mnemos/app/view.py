"""Memories that share a vault: bound to one scope and moment, or in the hands of somebody else."""

from __future__ import annotations

from mnemos.app.handle import Bound, Handle
from mnemos.app.memory import Memory


class MemoryView(Memory):
    """What ``memory.view(…)`` returns: every call answers from, or writes to, one place in time.

    It shares the vault of the memory it came from, and closing it leaves that one open.
    """

    def __init__(self, memory: Handle, bound: Bound) -> None:
        self.__dict__.update(memory.__dict__)
        self._bound = bound

    def close(self) -> None:
        """Leave the vault open: it belongs to the memory the view came from."""


class ActingMemory(Memory):
    """What ``memory.acting_as(…)`` returns: the same vault, with the rights of somebody else.

    Parameters
    ----------
    memory : Handle
        The owner's memory.
    principal : str
        Who acts.
    reason : str or None
        Why, noted where reads are audited.
    """

    def __init__(self, memory: Handle, principal: str, reason: str | None) -> None:
        self.__dict__.update(memory.__dict__)
        self._principal = principal
        self._reason = reason

    def close(self) -> None:
        """Leave the vault open: it belongs to its owner."""
