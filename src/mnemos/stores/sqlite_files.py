"""The bytes of a SQLite vault: read piece by piece, and rid of what SQLite leaves lying about.

``secure_delete`` overwrites a row that is deleted, but not every copy of it: where a page of a
b-tree is rebuilt while rows move to a neighbour, their old bytes stay in the page's unused middle,
between the list of cells and the cells. No statement reaches them. :func:`sweep` walks the b-trees
as the file format describes them and overwrites those middles, which no reader looks at.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mnemos.errors import StoreCorrupt
from mnemos.kernel.ports import OVERLAP

PIECE = 8 << 20
"""Bytes of one piece of a file."""

_INTERIOR = (2, 5)
_LEAF = (10, 13)
_HEAD = 100
"""Bytes of the file's own header, on its first page."""


class _Kept:
    """A descriptor of one file, and the stores of this process that have the file open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()


_kept: dict[tuple[int, int], _Kept] = {}
_lock = threading.RLock()


def descriptor_of(path: str, user: Any) -> int:
    """Return a descriptor of a file SQLite locks, that stays open as long as ``user`` has it open.

    POSIX drops all locks a process holds on a file when any of its descriptors of that file is
    closed. To open and close the database, or the index of its log, while SQLite has it open would
    so take away the locks of our own connections, and two writers could meet. Hence there is one
    descriptor per file, closed when no store of this process uses the file any more.
    """
    with _lock:
        _reap()
        found = os.stat(path)
        name = (found.st_dev, found.st_ino)
        if name not in _kept:
            flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            _kept[name] = _Kept(os.open(path, flags))
        _kept[name].users.add(user)
        return _kept[name].descriptor


def release(user: Any) -> None:
    """Note that a store has closed its connections."""
    with _lock:
        for kept in _kept.values():
            kept.users.discard(user)
        _reap()


def _reap() -> None:
    for name, kept in list(_kept.items()):
        if not kept.users:
            del _kept[name]
            os.close(kept.descriptor)


def _read(descriptor: int, count: int, offset: int) -> bytes:
    if hasattr(os, "pread"):  # a child shares the position of an inherited descriptor
        return os.pread(descriptor, count, offset)
    with _lock:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, count)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, offset)
        return
    with _lock:
        os.lseek(descriptor, offset, os.SEEK_SET)
        os.write(descriptor, data)


def _pieces(descriptor: int) -> Iterator[bytes]:
    """Yield a file from its start, each piece beginning ``OVERLAP`` before the last one's end."""
    offset = 0
    while data := _read(descriptor, PIECE, offset):
        yield data
        if len(data) < PIECE:
            return
        offset += len(data) - OVERLAP


def images(path: str, user: Any) -> Iterator[tuple[str, bytes]]:
    """Yield every byte of a vault's files: the database, and all that lies beside it by its name.

    Those are the log and the log's index, journals, blobs and files half written.
    """
    folder, stem = Path(path).parent, Path(path).name
    for data in _pieces(descriptor_of(path, user)):
        yield "main", data
    for found in sorted(item for item in folder.iterdir() if item.name.startswith(f"{stem}")):
        inside = sorted(found.iterdir()) if found.is_dir() else [found]
        for file in inside if found.name != stem else ():
            place = str(file.relative_to(folder))[len(stem) :].lstrip("-.")
            with suppress(FileNotFoundError):  # gone since it was listed
                for data in _pieces_of(file, user):
                    yield place, data


def _pieces_of(file: Path, user: Any) -> Iterator[bytes]:
    if file.name.endswith("-shm"):
        yield from _pieces(descriptor_of(str(file), user))
        return
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        yield from _pieces(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------ unused middles


def sweep(path: str, user: Any, roots: Iterable[int]) -> int:
    """Overwrite with zeros what lies unused in the pages of b-trees; return how many had something.

    The caller holds the write lock, and nothing is in the log: so the file is the database, and
    nobody writes it. Readers are not disturbed, what is overwritten means nothing to them.

    Parameters
    ----------
    path : str
        The database.
    user : object
        The store that has it open.
    roots : iterable of int
        The first page of each b-tree.

    Raises
    ------
    StoreCorrupt
        If a page is not what the file format says it is; nothing of it was written.
    """
    descriptor = descriptor_of(path, user)
    head = _read(descriptor, _HEAD, 0)
    (size,) = struct.unpack_from(">H", head, 16)
    size = 65_536 if size == 1 else size
    usable = size - head[20]
    left = list(roots)
    seen = 0
    while left:
        number = left.pop()
        page = _read(descriptor, size, (number - 1) * size)
        first, end, below = _middle(page, number, usable)
        left.extend(below)
        if page.count(0, first, end) != end - first:
            _write(descriptor, bytes(end - first), (number - 1) * size + first)
            seen += 1
    return seen


def sync(path: str, user: Any) -> None:
    """Wait until what :func:`sweep` wrote is on the medium."""
    os.fsync(descriptor_of(path, user))


def _middle(page: bytes, number: int, usable: int) -> tuple[int, int, list[int]]:
    """Return where a b-tree page's unused middle begins and ends, and the pages below it."""
    at = _HEAD if number == 1 else 0
    if len(page) < usable or page[at] not in _INTERIOR + _LEAF:
        raise StoreCorrupt(f"page {number} is no page of a b-tree; run `mnemos verify`")
    cells, end = struct.unpack_from(">HH", page, at + 3)
    end = end or 65_536
    interior = page[at] in _INTERIOR
    start = at + (12 if interior else 8)
    first = start + 2 * cells
    if not first <= end <= usable:
        raise StoreCorrupt(f"page {number} has cells where none can be; run `mnemos verify`")
    below: list[int] = []
    if interior:
        places = struct.unpack_from(f">{cells}H", page, start)
        below = [struct.unpack_from(">I", page, place)[0] for place in (*places, at + 8)]
    return first, end, below
