"""The outside world, read here once and handed down: clock, randomness, folders, embedder, store."""

from __future__ import annotations

import os
import secrets
import sys
import uuid
import warnings
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mnemos.errors import InvalidInput, ModelUnavailable
from mnemos.kernel.ports import Embedder, Store

CACHE_VARIABLE = "MNEMOS_CACHE"


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


class SystemIds:
    """Random ids from the operating system."""

    def fresh(self) -> str:
        """Return 32 hexadecimal digits never returned before."""
        return uuid.uuid4().hex


class SystemEntropy:
    """Secret randomness from the operating system."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` unpredictable bytes."""
        return secrets.token_bytes(count)


def cache_folder() -> Path:
    """Return where converted models are kept: ``MNEMOS_CACHE``, or the platform's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mnemos"


def read_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name.

    Raises
    ------
    InvalidInput
        If there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"tz={name!r} is not a time zone; use an IANA name such as 'UTC' or 'Europe/Lisbon'"
        ) from error


def open_store(path: str | Path) -> Store:
    """Return the store a path names: ``:memory:`` or a file.

    Raises
    ------
    InvalidInput
        If the path is empty, a folder, or an address of a kind that is not built.
    """
    text = str(path)
    if text == ":memory:":
        from mnemos.stores.memory import MemoryStore

        return MemoryStore()
    if not text or "\0" in text:
        raise InvalidInput(f"path={text!r} is no file name; give a path, or ':memory:'")
    if "://" in text:
        raise InvalidInput(f"path={text!r} is not supported; give a file path, or ':memory:'")
    if Path(text).is_dir():
        raise InvalidInput(f"{text} is a folder; give the path of a file in it")
    from mnemos.stores.sqlite import SQLiteStore

    return SQLiteStore(text)


class LexicalOnly(UserWarning):
    """Recall works by words only, because no embedder could be had."""


class LazyEmbedder:
    """The local model, loaded on first use; without weights it steps aside and says so once."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._tried = False
        self._model: Embedder | None = None

    def get(self) -> Embedder | None:
        """Return the model, or None where its weights cannot be had."""
        if not self._tried:
            self._tried = True
            try:
                from mnemos.models.minilm import MiniLM

                self._model = MiniLM.open(cache_folder(), self._path)
            except ModelUnavailable as error:
                warnings.warn(f"recalling by words only: {error}", LexicalOnly, stacklevel=2)
        return self._model


class GivenEmbedder:
    """An embedder handed in by the caller, or none at all."""

    def __init__(self, model: Embedder | None) -> None:
        self._model = model

    def get(self) -> Embedder | None:
        """Return what was given."""
        return self._model
