"""The canonical encoding of content and of events: fixed, versioned, the same everywhere.

Content is JSON in UTF-8 with sorted keys, no spaces and only the fields that differ from their
defaults; bytes are base64, times ISO 8601 in UTC with microseconds. What is hashed or committed
to is always these bytes, so a change here is a new ``VERSION`` and never an edit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from types import MappingProxyType
from typing import Any, cast

from mnemos.errors import InvalidInput, StoreCorrupt
from mnemos.kernel.schema import Event
from mnemos.types import (
    Activation,
    Header,
    Kind,
    Link,
    Origin,
    Parameters,
    Payload,
    Scope,
    Text,
    TimeMention,
)

VERSION = 1
SALT_BYTES = 32
MOST_LEVELS = 64
"""Nesting of metadata; deeper values could be written and not be read again."""

BLOB_THRESHOLD = 1 << 20
"""Payloads above this many bytes lie outside the tables (DESIGN: blobs)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIELDS = tuple(item.name for item in fields(Header))
_VALUES: Callable[[Header], tuple[Any, ...]] = attrgetter(*_FIELDS)
_DEFAULTS = _VALUES(Header())
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_TIMES = frozenset({"happened_at", "valid_from", "valid_to", "expires_at"})
_SEQUENCES = frozenset({"derived_from", "tags", "entities", "access"})


def microseconds(moment: datetime) -> int:
    """Return an aware moment as whole microseconds since 1970 UTC.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Return whole microseconds since 1970 as an aware moment in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def encode_json(value: object) -> bytes:
    """Return the one JSON encoding of a value.

    Raises
    ------
    InvalidInput
        If the value holds what JSON cannot say (NaN, a set, a lone surrogate …).
    """
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"a lone surrogate at position {error.start} cannot be stored; repair the text with "
            'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"cannot be stored as JSON: {error}; allowed are strings, finite numbers, booleans, "
            "None, lists and dicts with string keys"
        ) from error


def _check_keys(value: object, depth: int = 0) -> None:
    """Refuse the keys that ``json`` would turn into text without a word, and what is too deep."""
    if depth > MOST_LEVELS:
        raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
    if isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no string")
            _check_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in cast("list[object]", value):
            _check_keys(item, depth + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """Content as it is committed to: whose, which header, and the payload or its blob's name.

    The content of an event that is about no memory (a snapshot, a branch) is a ``record``.
    """

    scope: Scope
    header: Header = field(default_factory=Header)
    payload: Payload | None = None
    blob: str | None = None
    record: Mapping[str, Any] | None = None


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise InvalidInput(f"the time {moment.isoformat()} has no zone; give an aware datetime")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _encode_link(link: Link) -> dict[str, Any]:
    named: dict[str, Any] = {"type": link.type, "target": link.target, "weight": link.weight}
    for name in ("valid_from", "valid_to"):
        moment = getattr(link, name)
        if moment is not None:
            named[name] = _iso(moment)
    return named


def _decode_link(value: Mapping[str, Any]) -> Link:
    times = {
        name: datetime.fromisoformat(value[name])
        for name in ("valid_from", "valid_to")
        if name in value
    }
    return Link(type=value["type"], target=value["target"], weight=value["weight"], **times)


def _encode_field(name: str, value: Any) -> Any:
    if name in _TIMES:
        return _iso(value)
    if name == "mentions":
        return [[item.text, _iso(item.start), _iso(item.end)] for item in value]
    if name == "links":
        return [_encode_link(item) for item in value]
    if name == "sealed":
        return [list(pair) for pair in value]
    if name == "metadata":
        return checked_metadata(value)
    return list(value) if name in _SEQUENCES else value


def _decode_field(name: str, value: Any) -> Any:
    if name in _TIMES:
        return datetime.fromisoformat(value)
    if name == "mentions":
        return tuple(
            TimeMention(
                text=text, start=datetime.fromisoformat(start), end=datetime.fromisoformat(end)
            )
            for text, start, end in value
        )
    if name == "links":
        return tuple(_decode_link(item) for item in value)
    if name == "sealed":
        return tuple((token, data) for token, data in value)
    if name == "metadata":
        return MappingProxyType(value)
    if name == "kind":
        return Kind(value)
    if name == "origin":
        return Origin(value)
    return tuple(value) if name in _SEQUENCES else value


def checked_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as a dict that JSON says without loss.

    Raises
    ------
    InvalidInput
        If a key is no string, or it is nested deeper than 64 levels.
    """
    try:
        _check_keys(dict(value))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"metadata cannot be stored: {error}; give a dict of string keys and JSON values"
        ) from error
    return dict(value)


def encode_header(header: Header) -> dict[str, Any]:
    """Return the fields of a header that differ from their defaults, as JSON values."""
    return {
        name: _encode_field(name, value)
        for name, value, default in zip(_FIELDS, _VALUES(header), _DEFAULTS, strict=True)
        if value is not default and value != default
    }


def decode_header(value: Mapping[str, Any]) -> Header:
    """Return the header that :func:`encode_header` described."""
    return Header(**{name: _decode_field(name, item) for name, item in value.items()})


def encode_payload(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON values."""
    if isinstance(payload, Text):
        return {"type": "text", "text": payload.text}
    owner = payload.model if isinstance(payload, Activation) else payload.base
    kind = "activation" if isinstance(payload, Activation) else "parameters"
    data = b64encode(payload.data).decode()
    return {"type": kind, "model": owner, "encoding": payload.encoding, "data": data}


def decode_payload(value: Mapping[str, Any]) -> Payload:
    """Return the payload that :func:`encode_payload` described.

    Raises
    ------
    StoreCorrupt
        If its type is unknown.
    """
    match value["type"]:
        case "text":
            return Text(text=value["text"])
        case "activation":
            return Activation(
                model=value["model"], encoding=value["encoding"], data=b64decode(value["data"])
            )
        case "parameters":
            return Parameters(
                base=value["model"], encoding=value["encoding"], data=b64decode(value["data"])
            )
        case other:
            raise StoreCorrupt(f"a content names payload type {other!r}; run `mnemos verify`")


def encode_content(
    scope: Scope, header: Header, payload: Payload, salt: bytes
) -> tuple[bytes, str | None, bytes]:
    """Return canonical content, and for a large payload its blob's name and bytes.

    The blob is named by a salted hash, so the name alone does not give away what it holds.
    """
    encoded = encode_payload(payload)
    whole = {
        "v": VERSION,
        "scope": {"tenant": scope.tenant, "subject": scope.subject},
        "header": encode_header(header),
        "payload": encoded,
    }
    body = encode_json(whole)
    if len(body) <= BLOB_THRESHOLD:
        return body, None, b""
    data = encode_json(encoded)
    name = hmac.new(salt, data, hashlib.sha256).hexdigest()
    whole["payload"] = {"type": encoded["type"], "blob": name, "size": len(data)}
    return encode_json(whole), name, data


def encode_record(scope: Scope, record: Mapping[str, Any]) -> bytes:
    """Return the canonical content of an event that is about no memory."""
    named = {"tenant": scope.tenant, "subject": scope.subject}
    return encode_json({"v": VERSION, "scope": named, "record": dict(record)})


def decode_content(body: bytes) -> Body:
    """Return what :func:`encode_content` or :func:`encode_record` wrote.

    A large payload is left to its blob.
    """
    try:
        whole = json.loads(body)
        scope = Scope(tenant=whole["scope"]["tenant"], subject=whole["scope"]["subject"])
        if "record" in whole:
            return Body(scope=scope, record=MappingProxyType(whole["record"]))
        stored = whole["payload"]
        blob = stored.get("blob")
        return Body(
            scope=scope,
            header=decode_header(whole["header"]),
            payload=None if blob else decode_payload(stored),
            blob=blob,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(f"a content cannot be read ({error}); run `mnemos verify`") from error


def commitment(salt: bytes, body: bytes) -> bytes:
    """Return HMAC-SHA256 of canonical content under its own salt.

    Without the salt it tells nothing about the content; with both it proves them unchanged.
    """
    return hmac.digest(salt, body, "sha256")


def event_hash(previous: bytes, event: Event) -> bytes:
    """Return the chain hash of an event: SHA-256 over the previous hash and every other column."""
    plain = [item.hex() if isinstance(item, bytes) else item for item in (previous, *event[:-1])]
    return hashlib.sha256(encode_json([VERSION, *plain])).digest()
