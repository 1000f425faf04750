"""Checkpoints: what a journal was at one moment, kept elsewhere, to prove that it still is.

A journal whose tail was cut, or which was written anew from some event on, fits together by
itself. A checkpoint names an event and the hash it had, which covers everything before it. Kept
out of reach of who can write the vault it proves both; signed, it proves itself too.

The file is one line of JSON, format ``mnemos-checkpoint-1``: the fields of :class:`Checkpoint` in
the order of their names, without blanks, times in ISO 8601 UTC with microseconds, bytes in
hexadecimal. The signature is Ed25519 (RFC 8032) over the same line without the field ``signature``
and without the line end.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mnemos.errors import InvalidInput, MissingExtra, NotFound
from mnemos.kernel import schema
from mnemos.kernel.canonical import encode_json, microseconds, moment
from mnemos.kernel.journal import GENESIS
from mnemos.kernel.ports import Entropy, ReadTx

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = "mnemos-checkpoint-1"
UNSIGNED, ED25519 = "none", "ed25519"
KEY_BYTES = 32
_HASH_BYTES, _SIGNATURE_BYTES, _ID_DIGITS = 32, 64, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a tenant's journal was at one event.

    Parameters
    ----------
    tenant : str
        Whose journal.
    seq : int
        Its last event then; 0 for a journal without events.
    hash : bytes
        The chain hash of that event, which covers every event before it.
    at : datetime
        Wall time of that event (UTC).
    created : datetime
        When the checkpoint was made (UTC).
    algorithm : str
        ``ed25519``, or ``none`` where it is not signed.
    key_id : str
        The first 16 digits of the SHA-256 of the public key; empty where it is not signed.
    signature : bytes
        64 bytes; empty where it is not signed.
    """

    tenant: str
    seq: int
    hash: bytes
    at: datetime
    created: datetime
    algorithm: str = UNSIGNED
    key_id: str = ""
    signature: bytes = b""

    def encode(self) -> bytes:
        """Return the file's bytes."""
        return _encode(self, signed=True) + b"\n"

    def message(self) -> bytes:
        """Return the bytes a signature is over."""
        return _encode(self, signed=False)


def _encode(checkpoint: Checkpoint, *, signed: bool) -> bytes:
    value: dict[str, Any] = asdict(checkpoint) | {"format": FORMAT}
    for name in ("at", "created"):
        value[name] = value[name].astimezone(UTC).isoformat(timespec="microseconds")
    for name in ("hash", "signature"):
        value[name] = value[name].hex()
    if not signed:
        del value["signature"]
    return encode_json(value)


def decode(data: bytes) -> Checkpoint:
    """Return the checkpoint a file holds.

    Raises
    ------
    InvalidInput
        If the bytes are not exactly those of a checkpoint.
    """
    try:
        value = cast("dict[str, Any]", json.loads(data))
        form = value.pop("format")
        worded = all(isinstance(value[name], str) for name in ("tenant", "algorithm", "key_id"))
        for name in ("at", "created"):
            value[name] = datetime.fromisoformat(value[name])
        for name in ("hash", "signature"):
            value[name] = bytes.fromhex(value[name])
        checkpoint = Checkpoint(**value)
        same = form == FORMAT and worded and checkpoint.encode().strip() == data.strip()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f"this is no checkpoint of format {FORMAT} ({type(error).__name__}); give a file that "
            "checkpoint() wrote, as it was written"
        ) from error
    if not same or not _plausible(checkpoint):
        raise InvalidInput(
            "this checkpoint was edited or put into another form; give the file as it was written"
        )
    return checkpoint


def _plausible(checkpoint: Checkpoint) -> bool:
    sizes = {UNSIGNED: (0, 0), ED25519: (_SIGNATURE_BYTES, _ID_DIGITS)}
    return (
        len(checkpoint.hash) == _HASH_BYTES
        and type(checkpoint.seq) is int
        and checkpoint.seq >= 0
        and (len(checkpoint.signature), len(checkpoint.key_id)) == sizes.get(checkpoint.algorithm)
    )


def take(tx: ReadTx, tenant: str, *, now: datetime) -> Checkpoint:
    """Return an unsigned checkpoint of a tenant's journal as it is now."""
    head = tx.get(schema.HEADS, (tenant,)) or schema.Head(tenant, 0, 0, GENESIS)
    return Checkpoint(
        tenant=tenant, seq=head.seq, hash=head.hash, at=moment(head.at), created=now.astimezone(UTC)
    )


def check(tx: ReadTx, checkpoint: Checkpoint, public_key: bytes | None = None) -> list[str]:
    """Return why a journal is not the one a checkpoint was taken of; an empty list if it is.

    Parameters
    ----------
    tx : ReadTx
        The snapshot to look in.
    checkpoint : Checkpoint
        What the journal was.
    public_key : bytes or None
        Ed25519 key, 32 bytes, that must have signed it; None takes the checkpoint as it is.
    """
    if public_key is not None:
        refusal = _refusal(checkpoint, public_key)
        if refusal:
            return [refusal]
    if checkpoint.seq == 0:
        return []
    head = tx.get(schema.HEADS, (checkpoint.tenant,))
    last = next(tx.scan(schema.EVENTS, (checkpoint.tenant,), reverse=True, limit=1), None)
    if last is None and head is None:
        return ["the vault has no journal of this tenant: all of it is gone"]
    event = tx.get(schema.EVENTS, (checkpoint.tenant, checkpoint.seq))
    if event is None:
        end = last.seq if last is not None else 0
        if end < checkpoint.seq:
            cut = f"event {end + 1} was" if end + 1 == checkpoint.seq else ""
            cut = cut or f"events {end + 1}–{checkpoint.seq} were"
            return [f"the journal ends at event {end}: {cut} cut off"]
        return [f"event {checkpoint.seq} is missing"]
    if event.hash != checkpoint.hash:
        return [
            f"event {checkpoint.seq} has another hash than it had: it, or an event before it, was "
            "written anew"
        ]
    if event.at != microseconds(checkpoint.at):
        return [f"event {checkpoint.seq} has another time than it had"]
    if head is not None and head.seq < checkpoint.seq:
        return [f"the head of the journal names event {head.seq}: it was set back"]
    return []


# ----------------------------------------------------------------------------------- signing


def key_id(public_key: bytes) -> str:
    """Return the short name of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:_ID_DIGITS]


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(
            "Signing checkpoints needs cryptography: pip install 'mnemos[sign]'"
        ) from error
    return ed25519


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> Checkpoint:
    """Return the checkpoint signed with a key of :func:`read_private_key`."""
    public = key.public_key().public_bytes_raw()
    named = replace(checkpoint, algorithm=ED25519, key_id=key_id(public), signature=b"")
    return replace(named, signature=key.sign(named.message()))


def _refusal(checkpoint: Checkpoint, public_key: bytes) -> str:
    """Return why a checkpoint is not one this key signed, or an empty string."""
    from_key = key_id(public_key)
    if checkpoint.algorithm == UNSIGNED:
        return "it is not signed, though a public key was given"
    if checkpoint.key_id != from_key:
        return f"it was signed with key {checkpoint.key_id}, the public key given is {from_key}"
    library = _library()
    from cryptography.exceptions import InvalidSignature

    try:
        key = library.Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(checkpoint.signature, checkpoint.message())
    except (InvalidSignature, ValueError):
        return "its signature does not fit: the checkpoint was altered"
    return ""


def write_key_pair(private: Path, public: Path, *, entropy: Entropy) -> str:
    """Make a key pair, each half in a PEM file of its own, and return the key's id.

    The private file can be read by its owner alone (mode 0600).

    Raises
    ------
    InvalidInput
        If one of the files exists, or cannot be made.
    MissingExtra
        If the package ``cryptography`` is not installed.
    """
    library = _library()
    from cryptography.hazmat.primitives import serialization as forms

    key = library.Ed25519PrivateKey.from_private_bytes(entropy.bytes(KEY_BYTES))
    hidden = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    shown = key.public_key().public_bytes(
        forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
    )
    if public.exists():
        raise InvalidInput(f"{public} exists; keys are never overwritten, give another name")
    write_new(private, hidden, mode=0o600)
    write_new(public, shown)
    return key_id(key.public_key().public_bytes_raw())


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file that must not exist yet, open to those ``mode`` names from the first byte on.

    Raises
    ------
    InvalidInput
        If it exists, or cannot be made.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be made ({error.strerror}); give a new name in a folder you can write "
            "to: keys and checkpoints are never overwritten"
        ) from error


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a PEM file.

    Raises
    ------
    InvalidInput, NotFound
        If there is no file, or it holds no unencrypted Ed25519 key.
    MissingExtra
        If the package ``cryptography`` is not installed.
    """
    library = _library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(read_file(path), password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(path, "private") from error
    if not isinstance(key, library.Ed25519PrivateKey):
        raise _no_key(path, "private")
    return cast("Ed25519PrivateKey", key)


def read_public_key(path: Path) -> bytes:
    """Return the 32 bytes of the public key in a PEM file.

    Raises
    ------
    InvalidInput, NotFound
        If there is no file, or it holds no Ed25519 public key.
    MissingExtra
        If the package ``cryptography`` is not installed.
    """
    library = _library()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_file(path))
    except (ValueError, TypeError) as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, library.Ed25519PublicKey):
        raise _no_key(path, "public")
    return cast("bytes", cast("Any", key).public_bytes_raw())


def read_file(path: Path) -> bytes:
    """Return the bytes of a small file.

    Raises
    ------
    NotFound, InvalidInput
        If it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}; give the path of one that is there") from error
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}); give a readable file"
        ) from error


def _no_key(path: Path, half: str) -> InvalidInput:
    return InvalidInput(
        f"{path} holds no Ed25519 {half} key in PEM; give the file the key pair was written to"
    )
