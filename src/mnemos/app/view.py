"""A memory bound to one scope, moment and branch."""

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
