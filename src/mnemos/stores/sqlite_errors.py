"""What SQLite refuses, in the words and types of this library."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mnemos.errors import StoreBusy, StoreClosed, StoreCorrupt, StoreError, StoreFull, StoreReadOnly

REFUSALS = (sqlite3.Error, UnicodeDecodeError)
"""What its calls raise."""

_FULL = "the disk or a size limit is full; free some room and retry"
_BY_NAME = {
    "SQLITE_BUSY": (StoreBusy, "another process holds the lock; retry, or raise the time-out"),
    "SQLITE_LOCKED": (StoreBusy, "another connection holds the lock; retry"),
    "SQLITE_FULL": (StoreFull, "free some room and retry; nothing was written"),
    "SQLITE_PROTOCOL": (StoreBusy, "too many others open the file at once; retry"),
    "SQLITE_IOERR_SHMSIZE": (StoreFull, _FULL),
    "SQLITE_IOERR_WRITE": (StoreFull, _FULL),
    "SQLITE_READONLY": (StoreReadOnly, "check the permissions of the file and its folder"),
    "SQLITE_CANTOPEN": (StoreReadOnly, "check that the folder exists and can be written"),
    "SQLITE_PERM": (StoreReadOnly, "check the permissions of the file and its folder"),
    "SQLITE_NOTADB": (StoreCorrupt, "this is not a Mnemos vault; give another path"),
    "SQLITE_IOERR_SHORT_READ": (StoreCorrupt, "the file was cut; restore a backup"),
    "SQLITE_CORRUPT": (StoreCorrupt, "restore a backup; `mnemos verify` says what is damaged"),
}


def translate(error: sqlite3.Error | UnicodeDecodeError, path: str) -> StoreError:
    """Return the typed error for SQLite's refusal, which stays as its cause.

    Of a damaged schema SQLite tells in words that Python cannot decode.
    """
    name = getattr(error, "sqlite_errorname", None) or "SQLITE_ERROR"
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
        return StoreClosed(f"{path} was closed; open a new handle")
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
        name = "SQLITE_CORRUPT"
    for known, (kind, way_out) in _BY_NAME.items():
        if name == known or name.startswith(f"{known}_"):
            return kind(f"{Path(path).name}: {error}: {way_out}")
    return StoreError(f"{Path(path).name}: {error} ({name})")
