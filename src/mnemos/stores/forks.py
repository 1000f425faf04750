"""Forks: every vault of a process is at rest while the process forks.

SQLite notes in the memory of the process which locks it holds. A child inherits that memory but
not the locks: a connection it opened beside an inherited one would write unprotected, and its log
could be deleted under it. So before a fork each store waits for its transactions and closes its
connections; parent and child open new ones when they need them. Where that cannot be (the fork
happens inside a transaction, or behind Python's back) the child may not touch the file at all.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol


class Gate:
    """Counts the threads at work, and keeps others out while the process forks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = 0

    def enter(self) -> None:
        """Come in; waits while the gate is shut."""
        with self._changed:
            while self._shut:
                self._changed.wait()
            self._inside += 1

    def leave(self) -> None:
        """Go out."""
        with self._changed:
            self._inside -= 1
            if self._shut:
                self._changed.notify_all()

    def shut(self, patience: float, *, own: int) -> bool:
        """Let nobody in and wait until only ``own`` are left; return whether that came about."""
        with self._changed:
            self._shut += 1
            return self._changed.wait_for(lambda: self._inside <= own, patience)

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._shut -= 1
            self._changed.notify_all()


class Forking(Protocol):
    """A store that has to be at rest while its process forks."""

    def rest(self) -> None:
        """Finish what is under way and close the connections."""
        ...

    def wake(self) -> None:
        """Go on, in the parent."""
        ...

    def wake_in_child(self) -> None:
        """Go on, in the child."""
        ...


_stores: weakref.WeakSet[Forking] = weakref.WeakSet()
_barred: set[tuple[int, int]] = set()


def register(store: Forking) -> None:
    """Have a store rest while the process forks."""
    _stores.add(store)


def bar(path: Path, connections: list[Any]) -> None:
    """Keep this process from a file whose connections it inherited open.

    The connections are kept for ever: closing one would undo a transaction of the parent, or
    delete a log that others write.
    """
    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    if path.exists():
        _barred.add(_identity(path))


def is_barred(path: Path) -> bool:
    """Return whether this process inherited open connections to a file."""
    return bool(_barred) and path.exists() and _identity(path) in _barred


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _rest() -> None:
    for store in list(_stores):
        store.rest()


def _wake() -> None:
    for store in list(_stores):
        store.wake()


def _wake_in_child() -> None:
    for store in list(_stores):
        store.wake_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest, after_in_parent=_wake, after_in_child=_wake_in_child)
