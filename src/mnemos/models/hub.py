"""Downloads published weights over HTTP, in the layout of the Hugging Face hub.

The only module here that fetches weights, and only when it is called: nothing is ever downloaded
on the way to an embedding. Only the standard library is used.
"""

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from mnemos.errors import InvalidInput, ModelMismatch, ModelUnavailable
from mnemos.models.converted import sync_directory

HUB = "https://huggingface.co"
REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
"""A commit, not a branch: the same files for everybody, at any time."""

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
"""The files of that commit that are needed, and their hashes."""

CHUNK = 1 << 20

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that came so far, and how many there will be, if known."""


def download(
    repository: str,
    target: Path,
    *,
    revision: str = REVISION,
    hashes: Mapping[str, str | None] = SHA256,
    base_url: str = HUB,
    proxies: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Download the files of a model into a folder.

    A file is written as ``NAME.part`` and gets its name once it is whole, its hash is right and it
    is on the disk. A file that is already there with the right hash is not fetched again.

    Parameters
    ----------
    repository : str
        Owner and name, such as ``sentence-transformers/all-MiniLM-L6-v2``.
    target : Path
        The folder; made if it is not there.
    revision : str, optional
        Commit, tag or branch; by default the commit that ``hashes`` belong to.
    hashes : mapping of str to str or None, optional
        The files to fetch, each with the SHA-256 it must have; None takes what comes.
    base_url : str, optional
        The hub, or a mirror with the same paths.
    proxies : mapping of str to str, optional
        Scheme to proxy. By default none: the environment is not read.
    timeout : float, optional
        Seconds to wait for the server at each step.
    progress : callable, optional
        Called after each piece with file name, bytes so far and total.

    Returns
    -------
    dict of str to str
        File name to its SHA-256, worth showing where none was expected.

    Raises
    ------
    ModelUnavailable
        If the server cannot be reached, refuses or breaks off, or the folder cannot be written.
    ModelMismatch
        If a file has another hash than expected; it is deleted.
    InvalidInput
        If ``base_url`` is not an ``http`` or ``https`` address.
    """
    if urllib.parse.urlsplit(base_url).scheme not in ("http", "https"):
        raise InvalidInput(f"base_url={base_url!r} must begin with https:// or http://.")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(dict(proxies or {})))
    place = f"{base_url.rstrip('/')}/{repository}/resolve/{urllib.parse.quote(revision, safe='')}"
    found: dict[str, str] = {}
    for name, expected in hashes.items():
        try:
            target.mkdir(parents=True, exist_ok=True)
            present = _hash_of(target / name)
            if present is None or present != expected:
                with opener.open(f"{place}/{urllib.parse.quote(name)}", timeout=timeout) as answer:
                    present = _receive(answer, target / name, expected, progress)
        except (OSError, http.client.HTTPException) as error:
            raise ModelUnavailable(
                f"{place}/{name} could not be downloaded to {target}: {_reason(error)}. "
                "Try again, name a mirror, or copy the files by hand and run "
                "`mnemos models add PATH`."
            ) from error
        found[name] = present
    return found


def _hash_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(
    answer: http.client.HTTPResponse, path: Path, expected: str | None, progress: Progress | None
) -> str:
    length = answer.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            done, digest = _copy(answer, file, path.name, total, progress)
            os.fsync(file.fileno())
        if total is not None and done != total:
            raise OSError(f"the connection broke off after {done} of {total} bytes")
        if expected is not None and digest != expected:
            raise ModelMismatch(
                f"{path.name} has the SHA-256 {digest}, expected {expected}; it was deleted. "
                "Ask for the published revision, or give the hash you expect."
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)
    return digest


def _copy(
    answer: http.client.HTTPResponse,
    file: IO[bytes],
    name: str,
    total: int | None,
    progress: Progress | None,
) -> tuple[int, str]:
    done, digest = 0, hashlib.sha256()
    while chunk := answer.read(CHUNK):
        file.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if progress is not None:
            progress(name, done, total)
    return done, digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
