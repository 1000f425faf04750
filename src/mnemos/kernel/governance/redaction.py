"""Take what was found out of a text, and put it back: findings, placeholders, tokens.

Who finds is a port, :class:`Detector`; here is only what follows from its findings, as pure
functions of text. A *vaulted* redaction can be undone by who holds the values, the others not.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from mnemos.errors import InvalidInput

Style = Literal["label", "numbered", "vaulted"]

STYLES: tuple[Style, ...] = ("label", "numbered", "vaulted")
TOKEN_DIGITS = 8
"""Hex digits of a vaulted token; more where eight would be ambiguous."""

KEY_BYTES = 16
"""Shortest key that vaulted tokens are made with."""

_LABEL = re.compile(r"[a-z][a-z0-9_]*\Z")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*(?:(?: \d{1,6})|:[0-9a-f]{8,64})?\]")
_TOKEN = re.compile(r"\[[A-Z][A-Z0-9_]*:[0-9a-f]{8,64}\]")


class Sensitive(StrEnum):
    """Classes of secrets and personal data that are known by their form.

    Names of people and street addresses are not among them: they need a model.
    """

    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    CREDIT_CARD = "credit_card"
    IP_ADDRESS = "ip_address"
    URL_CREDENTIALS = "url_credentials"
    NATIONAL_ID = "national_id"
    CRYPTO_WALLET = "crypto_wallet"
    SECRET = "secret"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A place in a text that holds something sensitive.

    Parameters
    ----------
    label : str
        Its class: one of :class:`Sensitive`, or a detector's own, in lower case.
    start, end : int
        Characters ``text[start:end]``.
    score : float, optional
        How sure the detector is, from 0 to 1.

    Raises
    ------
    InvalidInput
        If the label is not of ``a-z0-9_``, the span is empty or negative, or the score is not
        between 0 and 1.
    """

    label: str
    start: int
    end: int
    score: float = 1.0

    def __post_init__(self) -> None:
        if not _LABEL.match(self.label):
            raise InvalidInput(
                f"label={self.label[:60]!r} is not allowed; use lower case letters, digits and _"
            )
        if not 0 <= self.start < self.end:
            raise InvalidInput(
                f"start={self.start}, end={self.end} is no span; it needs 0 <= start < end"
            )
        if not 0 <= self.score <= 1:
            raise InvalidInput(f"score={self.score} is not between 0 and 1")


@runtime_checkable
class Detector(Protocol):
    """Finds secrets and personal data in a text."""

    @property
    def fingerprint(self) -> str:
        """Name and version, recorded with what was redacted because of it."""
        ...

    def find(self, text: str) -> Sequence[Finding]:
        """Return what it finds, in any order; spans may overlap."""
        ...


class Removed(NamedTuple):
    """One thing taken out of a text: its class, its words, and what stands in its place."""

    label: str
    value: str
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Redacted:
    """A text and what was taken out of it.

    Parameters
    ----------
    text : str
        The text with placeholders.
    removed : tuple of Removed
        In order of place; a value that stood twice is there twice. It holds the values: keep it
        apart from the text, or not at all.
    """

    text: str
    removed: tuple[Removed, ...]

    @property
    def values(self) -> dict[str, str]:
        """The value behind each token, as :func:`restore` wants them."""
        return {one.token: one.value for one in self.removed}


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Join findings that overlap.

    The label of the longest wins, of equally long ones that of the highest score, then the first
    by alphabet. The joined span covers all of them. Neighbours that only touch stay apart.

    Returns
    -------
    tuple of Finding
        In order of place, none overlapping another.

    Examples
    --------
    >>> merged([Finding(label="phone", start=3, end=9), Finding(label="iban", start=0, end=8)])
    (Finding(label='iban', start=0, end=9, score=1.0),)
    """
    joined: list[Finding] = []
    best: tuple[int, float] = (0, 0.0)
    for finding in sorted(findings, key=lambda one: (one.start, one.end, one.label)):
        strength = (finding.end - finding.start, finding.score)
        if not joined or finding.start >= joined[-1].end:
            joined.append(finding)
            best = strength
            continue
        last = joined[-1]
        winner, best = max(
            ((last, best), (finding, strength)), key=lambda pair: (pair[1], _later(pair[0].label))
        )
        joined[-1] = Finding(
            label=winner.label,
            start=last.start,
            end=max(last.end, finding.end),
            score=max(last.score, finding.score),
        )
    return tuple(joined)


def _later(label: str) -> tuple[int, ...]:
    """Return a key under which the first by alphabet is the greatest."""
    return (*(-ord(character) for character in label), 1)


def placeholders(text: str) -> tuple[tuple[int, int], ...]:
    """Return where placeholders of any style stand, so that a detector can pass over them.

    Examples
    --------
    >>> placeholders("to [EMAIL] or [PHONE 2]")
    ((3, 10), (14, 23))
    """
    return tuple(match.span() for match in _PLACEHOLDER.finditer(text)) if "[" in text else ()


def redact(
    text: str,
    findings: Iterable[Finding],
    *,
    keep: Collection[str] = frozenset(),
    style: Style = "label",
    key: bytes | None = None,
) -> Redacted:
    """Put a placeholder where each finding is.

    Parameters
    ----------
    text : str
        The text that was searched.
    findings : iterable of Finding
        In any order; overlapping ones are joined (:func:`merged`).
    keep : collection of str, optional
        Labels that are left as they are.
    style : {"label", "numbered", "vaulted"}, optional
        ``[EMAIL]``; ``[EMAIL 1]``, the same value having the same number within this text; or
        ``[EMAIL:7f3a09bc]``, a token made from the value under ``key``, the same in every text.
        Only the last can be undone.
    key : bytes, optional
        Secret key of the vaulted tokens (HMAC-SHA256), at least 16 bytes. Without it nobody can
        try values against a token.

    Returns
    -------
    Redacted
        The text and what was taken out.

    Raises
    ------
    InvalidInput
        If a finding ends behind the text, the style is unknown, or a key is missing or given for
        nothing.

    Examples
    --------
    >>> found = [Finding(label="email", start=6, end=17)]
    >>> redact("Write ann@sea.org.", found).text
    'Write [EMAIL].'
    >>> out = redact("Write ann@sea.org.", found, style="vaulted", key=bytes(16))
    >>> out.text, restore(out.text, out.values)
    ('Write [EMAIL:c0e1b2d2].', 'Write ann@sea.org.')
    """
    checked = _checked_key(style, key)
    kept = [one for one in findings if one.label not in keep]
    tokens = _Tokens(text, style, checked)
    removed: list[Removed] = []
    pieces: list[str] = []
    done = 0
    for finding in merged(kept):
        if finding.end > len(text):
            raise InvalidInput(
                f"a finding ends at {finding.end}, the text at {len(text)}; findings must be of"
                " this very text"
            )
        value = text[finding.start : finding.end]
        token = tokens.of(finding.label, value)
        removed.append(Removed(finding.label, value, token))
        pieces += text[done : finding.start], token
        done = finding.end
    return Redacted(text="".join((*pieces, text[done:])), removed=tuple(removed))


def _checked_key(style: Style, key: bytes | None) -> bytes:
    if style not in STYLES:
        raise InvalidInput(f"style={style!r} is unknown; allowed: {', '.join(STYLES)}")
    if (key is not None) != (style == "vaulted"):
        given = "without a key" if key is None else "with a key"
        raise InvalidInput(f"style={style!r} {given}; a key goes with 'vaulted', and only there")
    if key is not None and len(key) < KEY_BYTES:
        raise InvalidInput(f"the key has {len(key)} bytes; give at least {KEY_BYTES}")
    return key or b""


class _Tokens:
    """Hands out what stands in the place of each value of one text."""

    def __init__(self, text: str, style: Style, key: bytes) -> None:
        self._text = text
        self._style = style
        self._key = key
        self._given: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}

    def of(self, label: str, value: str) -> str:
        if self._style == "label":
            return f"[{label.upper()}]"
        if (label, value) not in self._given:
            make = self._numbered if self._style == "numbered" else self._vaulted
            self._given[label, value] = make(label, value)
        return self._given[label, value]

    def _numbered(self, label: str, value: str) -> str:
        self._numbers[label] = self._numbers.get(label, 0) + 1
        return f"[{label.upper()} {self._numbers[label]}]"

    def _vaulted(self, label: str, value: str) -> str:
        message = f"{label}\0{value}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, message, "sha256").hex()
        taken = set(self._given.values())
        # A text may have been redacted before, or quote a token: then eight digits could stand
        # for two things in it, and restoring would change words that were never taken out.
        for digits in range(TOKEN_DIGITS, len(digest) + 1, TOKEN_DIGITS):
            token = f"[{label.upper()}:{digest[:digits]}]"
            if token not in self._text and token not in taken:
                return token
        raise InvalidInput(
            f"the text quotes every token of one of its values ({label}); redact it once only"
        )


def restore(text: str, values: Mapping[str, str]) -> str:
    """Put values back in the place of their vaulted tokens.

    ``restore(out.text, out.values) == text`` for every vaulted ``out = redact(text, ...)``.

    Parameters
    ----------
    text : str
        A text with tokens such as ``[EMAIL:7f3a09bc]``.
    values : mapping of str to str
        The value of each token; a token that is not in it stays.

    Returns
    -------
    str
        The text with the values that are known.
    """
    return _TOKEN.sub(lambda match: values.get(match[0], match[0]), text)
