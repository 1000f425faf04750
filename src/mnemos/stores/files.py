"""Files made durable: written aside, synced, renamed, and the folder synced after them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mnemos.errors import StoreError, StoreFull, StoreReadOnly
from mnemos.kernel.ports import Faults


class NoFaults:
    """The fault point of everyday life: nothing happens there."""

    def reach(self, step: str) -> None:
        """Pass."""


def translate(error: OSError, path: Path) -> StoreError:
    """Return the typed error for a file system's refusal."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(f"no room to write {path.name}: {error.strerror}; free some and retry")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(
            f"cannot write {path.name}: {error.strerror}; check the permissions of its folder"
        )
    return StoreError(f"cannot write {path.name}: {error.strerror}")


def sync_folder(path: Path, faults: Faults) -> None:
    """Make the names in a folder durable."""
    faults.reach("fsync")
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, faults: Faults) -> None:
    """Write a file so that it is there whole, or not at all, whatever happens.

    Raises
    ------
    StoreFull, StoreReadOnly, StoreError
        If the file system refuses; nothing is left behind under ``path``.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        faults.reach("blob")
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            faults.reach("fsync")
            os.fsync(file.fileno())
        faults.reach("rename")
        aside.replace(path)
        sync_folder(path.parent, faults)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise translate(error, path) from error


class FileBlobs:
    """Large payloads, one file each, in a folder beside the vault.

    Parameters
    ----------
    folder : Path
        Made when the first blob is put.
    faults : Faults
        The point every write step passes.
    """

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._folder = folder
        self._faults = faults
        self._named = False

    def put(self, name: str, data: bytes) -> None:
        """Store ``data`` durably under ``name``."""
        if not self._named:
            self._make_folder()
        write_durably(self._folder / name, data, self._faults)

    def _make_folder(self) -> None:
        """Make the folder durable; one that is there may come from a process that died before."""
        try:
            if not self._folder.is_dir():
                self._faults.reach("mkdir")
                self._folder.mkdir(exist_ok=True)
            sync_folder(self._folder.parent, self._faults)
        except OSError as error:
            raise translate(error, self._folder) from error
        self._named = True

    def get(self, name: str) -> bytes | None:
        """Return what was stored under ``name``."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read blob {name}: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there, its bytes overwritten first."""
        path = self._folder / name
        try:
            with path.open("r+b") as file:
                self._faults.reach("blob")
                file.write(bytes(path.stat().st_size))
                file.flush()
                self._faults.reach("fsync")
                os.fsync(file.fileno())
            self._faults.reach("unlink")
            path.unlink(missing_ok=True)
            sync_folder(self._folder, self._faults)
        except FileNotFoundError:
            return  # another process swept it
        except OSError as error:
            raise translate(error, path) from error

    def names(self) -> list[str]:
        """List what is stored, sorted; files half written by a dead process are among them."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.is_file())


_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)


def network_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the type of the network file system a path lies on, or None.

    Their locks do not hold what SQLite needs of them. Where the system does not list its mounts
    nothing is known, and None is returned.
    """
    if not mounts.is_file():
        return None
    target = path.resolve()
    best, kind = -1, ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, type_, *_ = line.split(" ")
        folder = Path(point.replace("\\040", " "))
        if target.is_relative_to(folder) and len(folder.parts) > best:
            best, kind = len(folder.parts), type_
    return kind if kind in _NETWORK else None
