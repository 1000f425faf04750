"""Files made aside and put in their place when they are whole.

A backup, a restored vault or an export is written beside its destination as ``<name>.part``,
synced, and only then renamed: under its own name there is a whole file or none. A process that is
killed leaves its ``.part`` behind, which nobody takes for anything else; whoever comes next is
asked to remove it, since it may belong to one still at work.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from mnemos.errors import Conflict, NotFound, StoreBusy, StoreCorrupt
from mnemos.kernel.ports import Faults
from mnemos.kernel.schema import FORMAT
from mnemos.stores.files import NoFaults, sync_folder, translate
from mnemos.stores.sqlite import APPLICATION_ID, SQLiteStore
from mnemos.stores.sqlite import translate as translate_refusal

_COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file while it is in use."""


@contextmanager
def file_aside(
    path: Path, *, replace: bool = False, faults: Faults | None = None
) -> Generator[BinaryIO, None, None]:
    """Write a file that is there whole or not at all.

    Parameters
    ----------
    path : Path
        Its place.
    replace : bool
        Whether a file may be there already.
    faults : Faults or None
        The point every write step passes.

    Raises
    ------
    Conflict
        If there is a file, or an unfinished one.
    StoreFull, StoreReadOnly, StoreError
        If the file system refuses; nothing is left behind.
    """
    faults = faults or NoFaults()
    part = _claim(path, replace=replace)
    try:
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                faults.reach("fsync")
                os.fsync(file.fileno())
            faults.reach("rename")
            part.replace(path)
            sync_folder(path.parent, faults)
        except OSError as error:
            raise translate(error, path) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def vault_aside(
    path: Path,
    *,
    replaced: Sequence[tuple[Any, ...]] | None = None,
    faults: Faults | None = None,
) -> Generator[SQLiteStore, None, None]:
    """Make a vault that is there whole or not at all.

    Parameters
    ----------
    path : Path
        Its place.
    replaced : sequence of rows or None
        None where nothing may be there yet; else the rows of ``heads`` of the vault that is to be
        replaced, as last seen: if it was written to since, nothing is replaced. Empty skips that
        check, for a vault that cannot be read.
    faults : Faults or None
        The point every write step passes.

    Raises
    ------
    Conflict
        If something is there that must not be.
    StoreBusy
        If the vault to be replaced is open elsewhere or was written to meanwhile.
    StoreFull, StoreReadOnly, StoreError
        If the file system refuses; nothing is left behind.
    """
    faults = faults or NoFaults()
    if replaced is None:
        _check_free(path)
    part = _claim(path, replace=True)
    try:
        store = SQLiteStore(part, faults=faults)
        try:
            yield store
        finally:
            store.close()
        try:
            _place(part, path, replaced, faults)
        except OSError as error:
            raise translate(error, path) from error
    except BaseException:
        _remove_vault(part)
        raise


@contextmanager
def readable(path: Path, aside: Path) -> Generator[SQLiteStore, None, None]:
    """Open a backup without changing it.

    One of an older format would be lifted by being opened, and one on a read-only medium cannot
    be: such a backup is copied aside first, and nobody can be writing to it meanwhile.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}; give the path of a backup")
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    where = path
    if not writable or _format(path) < FORMAT:
        where = _claim(aside, replace=True)
    try:
        if where != path:
            _copy_vault(path, where)
        store = SQLiteStore(where)
        try:
            yield store
        finally:
            store.close()
    finally:
        if where != path:
            _remove_vault(where)


def _format(path: Path) -> int:
    """Return the format of a vault, asked of SQLite: to open the file past it would drop its locks."""
    raw = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        (application,) = raw.execute("PRAGMA application_id").fetchone()
        (version,) = raw.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise translate_refusal(error, str(path)) from error
    finally:
        raw.close()
    if application != APPLICATION_ID:
        raise StoreCorrupt(f"{path.name} is no Mnemos vault; give the path of a backup")
    return version


def _copy_vault(path: Path, where: Path) -> None:
    try:
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{where}{suffix}")
        if _blobs(path).is_dir():
            shutil.copytree(_blobs(path), _blobs(where))
    except OSError as error:
        raise translate(error, where) from error


def _claim(path: Path, *, replace: bool) -> Path:
    """Make the empty file aside; two cannot write the same one."""
    if not replace and path.exists():
        raise Conflict(f"there is a file {path.name} already; give another path, or remove it")
    part = path.with_name(f"{path.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise Conflict(
            f"{part} is there: somebody is writing {path.name} now, or was stopped while doing "
            "so; when nobody is, remove it and repeat"
        ) from error
    except OSError as error:
        raise translate(error, path) from error
    return part


def _check_free(path: Path) -> None:
    for suffix in ("", *_COMPANIONS):
        if os.path.lexists(f"{path}{suffix}"):
            raise Conflict(
                f"there is a file {path.name}{suffix} already; give another path, remove it, or "
                "restore with replace=True"
            )


def _blobs(path: Path) -> Path:
    return path.with_name(f"{path.name}.blobs")


def _names(folder: Path) -> set[str]:
    return {item.name for item in folder.iterdir()} if folder.is_dir() else set()


def _remove_vault(part: Path) -> None:
    """Remove an unfinished vault and what lies beside it."""
    for suffix in ("", *_COMPANIONS):
        Path(f"{part}{suffix}").unlink(missing_ok=True)
    if _blobs(part).is_dir():
        shutil.rmtree(_blobs(part))


def _place(
    part: Path, path: Path, replaced: Sequence[tuple[Any, ...]] | None, faults: Faults
) -> None:
    """Rename a finished vault; its blobs come first, since it must not be there without them."""
    if any(Path(f"{part}{suffix}").exists() for suffix in _COMPANIONS):
        raise StoreBusy(f"{part.name} is still in use and was not put in its place")
    _sync(part, faults)
    if replaced is None:
        _check_free(path)
        _check_blobs(part, path)
        _rename(part, path, faults)
        return
    with _alone(path, replaced, faults):
        _rename(part, path, faults)


def _check_blobs(part: Path, path: Path) -> None:
    """Pass if the folder beside the destination holds nothing but what belongs to this vault."""
    if not _names(_blobs(path)) <= _names(_blobs(part)):
        raise Conflict(
            f"{_blobs(path).name} holds another vault's payloads, which would be lost; bring that "
            "vault back, or move the folder away"
        )


def _rename(part: Path, path: Path, faults: Faults) -> None:
    if _names(_blobs(part)):
        _blobs(path).mkdir(exist_ok=True)
        for name in sorted(_names(_blobs(part))):
            faults.reach("rename")
            (_blobs(part) / name).replace(_blobs(path) / name)
        sync_folder(_blobs(path), faults)
        sync_folder(path.parent, faults)
    faults.reach("rename")
    part.replace(path)
    sync_folder(path.parent, faults)
    if _blobs(part).is_dir():
        _blobs(part).rmdir()


def _sync(path: Path, faults: Faults) -> None:
    faults.reach("fsync")
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _alone(
    path: Path, heads: Sequence[tuple[Any, ...]], faults: Faults
) -> Generator[None, None, None]:
    """Hold a vault that is about to be replaced so that nobody else can be using it.

    Its log is folded in and removed first: the log of one file must never lie beside another.
    """
    busy = f"{path.name} is open elsewhere; close every handle on it, here too, and repeat"
    raw = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        try:
            faults.reach("sql")
            (mode,) = raw.execute("PRAGMA journal_mode=DELETE").fetchone()
            if mode != "delete":
                raise StoreBusy(busy)
            raw.execute("BEGIN EXCLUSIVE")
            found = raw.execute("SELECT * FROM heads ORDER BY tenant").fetchall() if heads else []
        except sqlite3.Error as error:
            refusal = translate_refusal(error, str(path))
            if isinstance(refusal, StoreBusy):
                raise StoreBusy(busy) from error
            if heads:
                raise refusal from error
            _drop_log(path)  # damaged beyond opening, and nothing of it was seen
            found = []
        if found != [tuple(row) for row in heads]:
            raise StoreBusy(
                f"{path.name} was written to while its successor was being made; nothing was "
                "replaced: close every handle on it and repeat"
            )
        yield
    finally:
        raw.close()


def _drop_log(path: Path) -> None:
    for suffix in _COMPANIONS:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
