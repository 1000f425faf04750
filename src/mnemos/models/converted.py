"""Converted models on disk: three files each, checked by hash before use.

For source weights whose SHA-256 begins with ``53aa51172d14`` a directory holds

* ``all-MiniLM-L6-v2-53aa51172d14.onnx`` — the graph with its weights,
* ``all-MiniLM-L6-v2-53aa51172d14.vocab.txt`` — the tokens, one per line,
* ``all-MiniLM-L6-v2-53aa51172d14.json`` — the manifest, written last, with the hash of each.

Each file is written beside its place, synced and renamed over it; the bytes depend on the source
alone. So any number of processes may convert the same weights at once, and whoever reads finds
the old file, the new one or none, never half of one.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnemos.errors import InvalidInput, ModelMismatch, ModelUnavailable

NAME = "all-MiniLM-L6-v2"
LICENSE = "Apache-2.0"
ORIGIN = f"https://huggingface.co/sentence-transformers/{NAME}"
PRECISION = "w16a32"
"""Weights rounded to 16 bits, computing in 32."""

CONVERSION = 1
"""Raised when the same weights would be converted into other bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Size and hash of one file.

    Parameters
    ----------
    size : int
        In bytes.
    sha256 : str
        Its SHA-256 in hexadecimal.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Stored":
        """Return size and hash of ``data``."""
        return cls(size=len(data), sha256=sha256(data))


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What is known of a converted model.

    Parameters
    ----------
    name : str
        Name of the model.
    source_sha256 : str
        SHA-256 of the ``model.safetensors`` it was made from.
    graph, vocabulary : Stored
        The two files beside the manifest.
    conversion : int
        Version of the conversion.
    precision : str
        How weights are stored and computed with.
    license, origin : str
        Of the weights.
    """

    name: str
    source_sha256: str
    graph: Stored
    vocabulary: Stored
    conversion: int = CONVERSION
    precision: str = PRECISION
    license: str = LICENSE
    origin: str = ORIGIN

    @property
    def stem(self) -> str:
        """Name of its files without suffix."""
        return f"{self.name}-{self.source_sha256[:12]}"

    @property
    def fingerprint(self) -> str:
        """Name, hash and precision, as recorded with every vector."""
        return f"{self.name}/{self.source_sha256[:12]}/{self.precision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A converted model in memory, its hashes checked.

    Parameters
    ----------
    manifest : Manifest
        What it is.
    graph : bytes
        The ONNX file, about 45 MB.
    vocabulary : bytes
        The ``vocab.txt``.
    """

    manifest: Manifest
    graph: bytes
    vocabulary: bytes


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def manifests(directory: Path) -> list[Path]:
    """Return the manifests in a directory, sorted; none if there is no such directory."""
    return sorted(directory.glob(f"{NAME}-*.json"))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        The ``.json`` file.

    Returns
    -------
    Manifest
        What it says.

    Raises
    ------
    InvalidInput
        If it is not a manifest this version can read.
    ModelUnavailable
        If it cannot be read at all.
    """
    try:
        return _parsed(path.read_bytes(), path.stem)
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} is not the manifest of a converted model ({error}); "
            "delete it and convert again."
        ) from error


def damage(directory: Path, manifest: Manifest) -> str:
    """Return what can be seen at a glance to be wrong with a model's files, or ``""``.

    Parameters
    ----------
    directory : Path
        Where they lie.
    manifest : Manifest
        What they should be.

    Returns
    -------
    str
        A clause for a message. Sizes are compared, not hashes: those take reading the files.
    """
    if manifest.conversion != CONVERSION:
        return f"was converted in form {manifest.conversion}, this version reads {CONVERSION}"
    for suffix, stored in _parts(manifest).items():
        file = directory / (manifest.stem + suffix)
        size = file.stat().st_size if file.is_file() else None
        if size != stored.size:
            found = "is missing" if size is None else f"has {size} bytes"
            return f"{file.name} {found}, expected {stored.size}"
    return ""


def read(directory: Path, manifest: Manifest) -> Weights:
    """Read a converted model and check it, byte for byte what will be used.

    Parameters
    ----------
    directory : Path
        Where its files lie.
    manifest : Manifest
        What they should be.

    Returns
    -------
    Weights
        The content.

    Raises
    ------
    ModelMismatch
        If a file is missing, cut short or altered, or of another version's form.
    ModelUnavailable
        If a file cannot be read.
    """
    problem = damage(directory, manifest)
    if problem:
        raise ModelMismatch(f"The converted model in {directory} cannot be used: {problem}.")
    content: dict[str, bytes] = {}
    for suffix, stored in _parts(manifest).items():
        file = directory / (manifest.stem + suffix)
        try:
            content[suffix] = file.read_bytes()
        except OSError as error:
            raise ModelUnavailable(f"{file} cannot be read: {error}.") from error
        found = sha256(content[suffix])
        if found != stored.sha256:
            raise ModelMismatch(
                f"{file} was altered: its SHA-256 is {found}, expected {stored.sha256}."
            )
    return Weights(manifest=manifest, graph=content[".onnx"], vocabulary=content[".vocab.txt"])


def write(directory: Path, weights: Weights) -> None:
    """Write a converted model, so that a crash at any moment leaves a whole one or none.

    Parameters
    ----------
    directory : Path
        Where to; made if it is not there.
    weights : Weights
        What to write.

    Raises
    ------
    ModelUnavailable
        If the directory cannot be written, or has no room.
    """
    manifest = json.dumps(asdict(weights.manifest), indent=2, sort_keys=True) + "\n"
    parts = {
        ".onnx": weights.graph,
        ".vocab.txt": weights.vocabulary,
        ".json": manifest.encode(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for suffix, data in parts.items():
            replace(directory / (weights.manifest.stem + suffix), data)
    except OSError as error:
        raise ModelUnavailable(
            f"The converted model cannot be kept in {directory}: {error}. "
            f"It takes {len(weights.graph) / 1e6:.0f} MB; make room, or name another directory."
        ) from error


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of a file: written beside it, synced, renamed over it.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    data : bytes
        Its new content.

    Raises
    ------
    OSError
        If that fails; the file is then as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable, on systems where that is done by hand."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(data: bytes, stem: str) -> Manifest:
    fields: dict[str, Any] = json.loads(data)
    graph, vocabulary = (Stored(**fields.pop(part)) for part in ("graph", "vocabulary"))
    manifest = Manifest(graph=graph, vocabulary=vocabulary, **fields)
    if manifest.stem != stem:
        raise ValueError(f"it speaks of {manifest.stem}")
    return manifest


def _parts(manifest: Manifest) -> Mapping[str, Stored]:
    return {".onnx": manifest.graph, ".vocab.txt": manifest.vocabulary}
