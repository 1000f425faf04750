"""The outside world, read here once and handed down: clock, randomness, folders, embedder, store."""

from __future__ import annotations

import os
import secrets
import sys
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mnemos.errors import InvalidInput, ModelUnavailable
from mnemos.kernel.governance.redaction import Detector
from mnemos.kernel.ports import Embedder, Reranker, Store

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
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"tz={name!r} is not a time zone; use an IANA name such as 'UTC' or 'Europe/Lisbon'"
        ) from error


def open_store(path: object) -> Store:
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
    if not isinstance(path, (str, Path)) or not text.strip() or "\0" in text:
        raise InvalidInput(f"path={text!r} is no file name; give a path, or ':memory:'")
    if "://" in text:
        raise InvalidInput(f"path={text!r} is not supported; give a file path, or ':memory:'")
    if Path(text).is_dir():
        raise InvalidInput(f"{text} is a folder; give the path of a file in it")
    from mnemos.stores.sqlite import SQLiteStore

    return SQLiteStore(text)


@lru_cache(maxsize=16)
def open_detector(classes: frozenset[str] | None, region: str) -> Detector:
    """Return what finds secrets and personal data of some classes, None of all.

    Raises
    ------
    MissingExtra
        If a package it needs is not installed.
    """
    from mnemos.models.personal_data import StandardDetector

    return StandardDetector(classes, region)


class LexicalOnly(UserWarning):
    """Recall works by words only, because no embedder could be had."""


class EmbedderSource(Protocol):
    """Where a handle gets its embedder from."""

    def get(self) -> Embedder | None:
        """Return the embedder; None recalls by words only."""
        ...


class LocalModel:
    """The local model, loaded on first use; without weights it steps aside and says so once."""

    def __init__(self) -> None:
        self._tried = False
        self._model: Embedder | None = None

    def get(self) -> Embedder | None:
        """Return the model, or None where its weights cannot be had."""
        if not self._tried:
            self._tried = True
            try:
                from mnemos.models.minilm import MiniLM

                self._model = MiniLM.open(cache_folder())
            except ModelUnavailable as error:
                warnings.warn(f"recalling by words only: {error}", LexicalOnly, stacklevel=2)
        return self._model


class NamedModel:
    """An embedder named by the caller, opened on first use; not to be had is an error."""

    def __init__(self, open_model: Callable[[], Embedder]) -> None:
        self._open = open_model
        self._model: Embedder | None = None

    def get(self) -> Embedder:
        """Return the embedder."""
        if self._model is None:
            self._model = self._open()
        return self._model


class GivenEmbedder:
    """An embedder handed in by the caller, or none at all."""

    def __init__(self, model: Embedder | None) -> None:
        self._model = model

    def get(self) -> Embedder | None:
        """Return what was given."""
        return self._model


def _open_openai(rest: str) -> Embedder:
    from mnemos.models.openai_embeddings import OpenAIEmbeddings

    model, _, url = rest.partition("@")
    key = os.environ.get("OPENAI_API_KEY")
    return OpenAIEmbeddings(url or "https://api.openai.com/v1", model, api_key=key)


def _open_sentence_transformers(rest: str) -> Embedder:
    from mnemos.models.sentence_transformers_embedder import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder.open(rest)


NAMED: dict[str, Callable[[str], Embedder]] = {
    "openai": _open_openai,
    "sentence-transformers": _open_sentence_transformers,
}


def read_embedder(value: Embedder | str | None) -> EmbedderSource:
    """Return the source of an embedder from what a caller may say.

    Parameters
    ----------
    value : Embedder or str or None
        ``"auto"`` for the local model, ``"openai:MODEL@BASE_URL"`` for a server that speaks that
        protocol (key from ``OPENAI_API_KEY``), ``"sentence-transformers:NAME"``, an object of
        your own, or None for words only.

    Raises
    ------
    InvalidInput
        If a string names none of these, or an object lacks the port's members.
    """
    if value is None:
        return GivenEmbedder(None)
    if not isinstance(value, str):
        missing = [name for name in ("fingerprint", "dim", "embed") if not hasattr(value, name)]
        if missing:
            raise InvalidInput(
                f"embedder is a {type(value).__name__} without {', '.join(missing)}; give an "
                "object with fingerprint, dim and embed, a name, or None"
            )
        return GivenEmbedder(value)
    if value == "auto":
        return LocalModel()
    kind, _, rest = value.partition(":")
    if kind not in NAMED or not rest:
        raise InvalidInput(
            f"embedder={value!r} is unknown; allowed: 'auto', 'openai:MODEL@BASE_URL', "
            "'sentence-transformers:NAME', None, or an object of your own"
        )
    return NamedModel(partial(NAMED[kind], rest))


RerankerSource = Callable[[], Reranker | None]
"""Where a handle gets its reranker from; what is named is opened on first use."""


def _open_cross_encoder(name: str) -> Reranker:
    from mnemos.models.sentence_transformers_reranker import SentenceTransformersReranker

    return SentenceTransformersReranker.open(name)


def read_reranker(value: Reranker | str | None) -> RerankerSource:
    """Return the source of a reranker from what a caller may say.

    Parameters
    ----------
    value : Reranker or str or None
        ``"sentence-transformers:NAME"`` for a cross-encoder on this machine, an object of your
        own, or None for the order of the ranking.

    Raises
    ------
    InvalidInput
        If a string names none, or an object lacks the port's members.
    """
    if isinstance(value, str):
        kind, _, rest = value.partition(":")
        if kind != "sentence-transformers" or not rest:
            raise InvalidInput(
                f"reranker={value!r} is unknown; allowed: 'sentence-transformers:NAME', None, or "
                "an object of your own"
            )
        return cache(partial(_open_cross_encoder, rest))
    missing = [name for name in ("fingerprint", "score") if not hasattr(value, name)]
    if value is not None and missing:
        raise InvalidInput(
            f"reranker is a {type(value).__name__} without {', '.join(missing)}; give an object "
            "with fingerprint and score, a name, or None"
        )
    return lambda: value
