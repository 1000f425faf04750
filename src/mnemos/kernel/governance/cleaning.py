"""Redaction of a whole memory: its words and every header field in which people write.

A rule of redaction says when and how: ``mask`` takes values out before anything is written or
embedded, for good; ``vault`` keeps them beside the text, encrypted under a key that is not in the
file; ``read`` stores them and shows them only to who has the right.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

from mnemos.errors import InvalidInput, MissingExtra
from mnemos.kernel.governance.redaction import Detector, Redacted, redact, restore
from mnemos.kernel.governance.rules import Rule
from mnemos.kernel.ports import Entropy
from mnemos.types import Draft, Header, MemCube, Payload, Text, TimeMention

NONCE_BYTES = 12
"""Nonce of AES-GCM (NIST SP 800-38D, section 8.2)."""


class Mode(StrEnum):
    """When values leave the text, and whether they can come back."""

    MASK = "mask"
    VAULT = "vault"
    READ = "read"


Detectors = Callable[[frozenset[str] | None, str], Detector]
"""Opens the detector for some classes (None: all) and a region for phone numbers."""


@dataclass(slots=True)
class Cleaner:
    """Takes what a rule names out of memories.

    Parameters
    ----------
    rule : Rule
        Of the sort ``redaction``.
    detectors : callable
        Opens the detector the rule needs.
    key : bytes or None
        What vaulted values are sealed with.
    entropy : Entropy or None
        Source of nonces, for vaulted values.
    """

    rule: Rule
    detectors: Detectors
    key: bytes | None = None
    entropy: Entropy | None = None
    _sealed: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def mode(self) -> Mode:
        """When and how."""
        return Mode(self.rule.value["mode"])

    def draft(self, draft: Draft) -> Draft:
        """Return a draft without what the rule names; of a rule for reading, the draft itself.

        Raises
        ------
        InvalidInput
            If values are to be vaulted and no key is at hand.
        """
        if self.mode is Mode.READ:
            return draft
        if self.mode is Mode.VAULT and self.key is None:
            raise InvalidInput(
                "values are to be vaulted here and this handle has no key; open "
                "Memory(..., seal_key=FILE), or set another mode with set_redaction"
            )
        self._sealed = dict(draft.header.sealed)
        header, payload = self._clean(draft.header, draft.payload)
        if (header, payload) == (draft.header, draft.payload):
            return draft
        header = replace(header, sealed=tuple(sorted(self._sealed.items())))
        return replace(draft, header=header, payload=payload)

    def cube(self, cube: MemCube) -> MemCube:
        """Return a memory as it is shown to who may not see what the rule names."""
        header, payload = self._clean(cube.header, cube.payload)
        return replace(cube, header=replace(header, sealed=()), payload=payload)

    def _clean(self, header: Header, payload: Payload) -> tuple[Header, Payload]:
        if isinstance(payload, Text):
            payload = replace(payload, text=self._text(payload.text))
        cleaned = replace(
            header,
            speaker=self._optional(header.speaker),
            caption=self._optional(header.caption),
            source=self._optional(header.source),
            tags=tuple(map(self._text, header.tags)),
            entities=tuple(map(self._text, header.entities)),
            mentions=tuple(map(self._mention, header.mentions)),
            metadata=self._value(header.metadata) if header.metadata else header.metadata,
        )
        return cleaned, payload

    def _optional(self, text: str | None) -> str | None:
        return None if text is None else self._text(text)

    def _mention(self, mention: TimeMention) -> TimeMention:
        return replace(mention, text=self._text(mention.text))

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            items = cast("Mapping[str, Any]", value).items()
            return {self._text(name): self._value(item) for name, item in items}
        if isinstance(value, list | tuple):
            return [self._value(item) for item in cast("list[Any]", value)]
        return value

    def _text(self, text: str) -> str:
        value = self.rule.value
        classes = frozenset(value["classes"]) if value.get("classes") else None
        found = self.detectors(classes, value.get("region", "US")).find(text)
        if not found:
            return text
        if self.mode is not Mode.VAULT:
            return redact(text, found).text
        assert self.key is not None
        taken = redact(text, found, style="vaulted", key=_subkey(self.key, b"token"))
        self._seal(taken)
        return taken.text

    def _seal(self, taken: Redacted) -> None:
        assert self.key is not None
        assert self.entropy is not None
        cipher = _cipher(self.key)
        for token, value in taken.values.items():
            if token not in self._sealed:
                nonce = self.entropy.bytes(NONCE_BYTES)
                data = nonce + cipher.encrypt(nonce, value.encode(), token.encode())
                self._sealed[token] = b64encode(data).decode()


def unsealed(cube: MemCube, key: bytes) -> MemCube:
    """Return a memory with what was vaulted of it put back into its text.

    Raises
    ------
    InvalidInput
        If the key is not the one it was sealed with.
    MissingExtra
        If the package ``cryptography`` is not installed.
    """
    if not isinstance(cube.payload, Text) or not cube.header.sealed:
        return cube
    cipher = _cipher(key)
    values: dict[str, str] = {}
    for token, sealed in cube.header.sealed:
        data = b64decode(sealed)
        values[token] = _opened(cipher, data, token)
    return replace(cube, payload=Text(text=restore(cube.payload.text, values)))


def _opened(cipher: Any, data: bytes, token: str) -> str:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], token.encode()).decode()
    except InvalidTag as error:
        raise InvalidInput(
            "this key does not open what was vaulted; give the key file the memory was sealed with"
        ) from error


def _subkey(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=hashlib.sha256(key).digest(), digest_size=32).digest()


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra(
            "Vaulting what was redacted needs cryptography: pip install 'mnemos[sign]'"
        ) from error
    return AESGCM(_subkey(key, b"seal"))
