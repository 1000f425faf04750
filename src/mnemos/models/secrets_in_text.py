"""Find secrets in text: keys and tokens by their form, passwords by what is said about them.

The forms of some twenty providers' keys, the names of settings that hold secrets and the
measure of entropy are those of detect-secrets. It looks at code line by line and reports values;
here the same patterns are looked for in prose, with their places. Three things are added: a find is
grown to the end of its token, since half a key left in the text is no redaction; a password may be
*told* ("the password for the router is …"), in a dozen languages; and a long token of mixed letters
and digits is taken for a key although no provider is known.

Not found: a password of several words that is not in quotes, a password that is an ordinary word
unless it is assigned (``password=sunshine``), and the words of a recovery phrase.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any, cast

from mnemos.errors import MissingExtra
from mnemos.kernel.governance.redaction import Finding, Sensitive, placeholders

INSTALL = 'pip install "mnemos[redact]"'
BLANK = "\0"
"""Stands for what was found already; no pattern takes it for a letter, a digit or a space."""


# --- folding -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A text in plain characters, and where each of them stood.

    Parameters
    ----------
    text : str
        Full-width and other scripts' digits as ASCII, dashes and spaces of all kinds as ``-`` and
        a blank, characters without width left out, line breaks escaped as in JSON as blanks.
    places : tuple of int or None
        Place in the original of each character; None if they are the same.
    """

    text: str
    places: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where ``text[start:end]`` stands in the original."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


class _Plain(dict[int, int]):
    """What each character is folded to; filled as characters are met."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        plain = code
        if 0xFF01 <= code <= 0xFF5E:  # full-width forms
            plain = code - 0xFEE0
        elif character.isdecimal():
            plain = ord(str(unicodedata.decimal(character)))
        elif (code > 0x7F and unicodedata.category(character) == "Pd") or character == "\u2212":
            plain = ord("-")
        elif unicodedata.category(character) == "Zs":
            plain = ord(" ")
        self[code] = plain
        return plain


_PLAIN = _Plain()
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_ESCAPED = re.compile(r"\\[nrt]|\\(?=[\"'/])")


def folded(text: str) -> Folded:
    """Return a text in plain characters, with the place of each.

    Examples
    --------
    >>> found = folded("tel\u200b \uff14\uff15")
    >>> found.text, found.span(4, 6)
    ('tel 45', (5, 7))
    """
    places = None
    if not text.isascii():
        if _NO_WIDTH.search(text):
            kept = [at for at, one in enumerate(text) if not _NO_WIDTH.match(one)]
            places = tuple(kept)
            text = "".join(text[at] for at in kept)
        text = text.translate(_PLAIN)
    if "\\" in text:
        text = _ESCAPED.sub(lambda match: " " * len(match[0]), text)
    return Folded(text=text, places=places)


def blanked(text: str, findings: Iterable[Finding | tuple[int, int]]) -> str:
    """Return a text of the same length in which what was found is blank."""
    characters: list[str] = []
    for one in findings:
        start, end = one if isinstance(one, tuple) else (one.start, one.end)
        characters = characters or list(text)
        characters[start:end] = BLANK * (end - start)
    return "".join(characters) or text


def prepared(text: str) -> Folded:
    """Return a text folded, with the placeholders of an earlier redaction blank."""
    plain = folded(text)
    return replace(plain, text=blanked(plain.text, placeholders(plain.text)))


# --- the library -------------------------------------------------------------------------------

_PLUGINS = (
    "artifactory aws azure_storage_key cloudant discord github_token gitlab_token ibm_cloud_iam "
    "ibm_cos_hmac jwt mailchimp npm openai pypi_token sendgrid slack softlayer square_oauth "
    "stripe telegram_token twilio"
).split()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Library:
    version: str
    patterns: tuple[re.Pattern[str], ...]
    entropy: Callable[[str], float]
    names: tuple[str, ...]


@cache
def _library() -> _Library:
    try:
        from detect_secrets.plugins import high_entropy_strings, keyword
    except ImportError as error:
        raise MissingExtra(
            f"Finding secrets in text needs detect-secrets, which is not installed: {INSTALL}"
        ) from error
    patterns: list[re.Pattern[str]] = []
    for name in _PLUGINS:
        module = importlib.import_module(f"detect_secrets.plugins.{name}")
        kinds = [
            kind
            for kind in vars(module).values()
            if getattr(kind, "__module__", "") == module.__name__
        ]
        for kind in kinds:
            patterns.extend(cast("Sequence[re.Pattern[str]]", getattr(kind, "denylist", ())))
    measure = cast("Any", high_entropy_strings.Base64HighEntropyString())
    return _Library(
        version=version("detect-secrets"),
        patterns=tuple(patterns),
        entropy=measure.calculate_shannon_entropy,
        names=tuple(cast("Sequence[str]", keyword.DENYLIST)),
    )


# --- forms -------------------------------------------------------------------------------------

_LONG = re.compile(r"[^\s\0]{20,}|\bA[KP][A-Z0-9][A-Za-z0-9]{8,}")
_TOKEN_TAIL = re.compile(r"[\w+/=~-]*(?:\.[\w+/=~-]{6,})*")
_PRIVATE_KEY = re.compile(
    r"-{2,}\s?BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?\s?-{2,}"
    r"(?:[\s\S]*?-{2,}\s?END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?\s?-{2,}|[\sA-Za-z0-9+/=:,-]*)"
    r"|PuTTY-User-Key-File-\d[\s\S]*"
)
_URL_CREDENTIALS = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#:@\0]*:[^\s/?\0\"'<>]+)@(?=[\w\[])"
)
_RUN = re.compile(r"(?<![\w+/=.~-])[\w+/=.~-]{20,}")
_PREFIX = re.compile(r"(?:[a-z]{2,10}_)+(?=[A-Za-z0-9]+\Z)")
_PREFIXED_HEX = re.compile(r"[a-z]{2,10}_(?:[a-z]{2,6}_|v\d_)?[0-9a-f]{32,}")
_FILE_NAME = re.compile(r"\.[a-z]{1,5}\d?\Z")
_KNOWN_HASH = re.compile(r"sha(?:1|256|384|512)[-:]", re.IGNORECASE)


def _private_keys(text: str) -> Iterator[Finding]:
    if "PRIVATE KEY" in text or "PuTTY" in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield Finding(label=Sensitive.SECRET, start=match.start(), end=match.end())


def _url_credentials(text: str) -> Iterator[Finding]:
    if "://" in text:
        for match in _URL_CREDENTIALS.finditer(text):
            yield Finding(label=Sensitive.URL_CREDENTIALS, start=match.start(1), end=match.end(1))


def _provider_keys(text: str, library: _Library) -> Iterator[Finding]:
    """Yield what matches a provider's pattern, grown to the end of its token."""
    if not _LONG.search(text):
        return
    for pattern in library.patterns:
        if "_authToken" in pattern.pattern and "_authToken" not in text:
            continue  # its `//.+/` takes the square of a line's length
        for match in pattern.finditer(text):
            group = next((n for n in range(1, pattern.groups + 1) if len(match[n] or "") > 8), 0)
            start, end = match.span(group)
            start += len(match[group]) - len(match[group].lstrip(' \t\n=:"'))
            end -= len(match[group]) - len(match[group].rstrip(' \t\n"'))
            inside = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
            if not inside and re.search(r"\d", text[start:end]):
                tail = _TOKEN_TAIL.match(text, end)
                end = tail.end() if tail else end
                yield Finding(label=Sensitive.SECRET, start=start, end=end)


def _looks_random(token: str, library: _Library, *, named: bool = False) -> bool:
    """Whether letters of both cases and digits are mixed as chance mixes them.

    Hexadecimal digits alone may be a hash; behind a prefix such as ``dop_v1_`` they are a key.
    """
    if _PREFIXED_HEX.fullmatch(token):
        return True
    if token.lower() == token or token.upper() == token:
        return False
    body = token.rpartition("_")[2] if _PREFIX.match(token) else token
    signs = [one for one in body if one.isalnum()]
    digits = sum(one.isdigit() for one in signs)
    if digits < 2 and ((body == token and not named) or len(body) < 30):
        return False
    kinds = [one.isdigit() + 2 * one.isupper() for one in signs]
    changes = sum(one != other for one, other in pairwise(kinds))
    # In CamelCase a capital is followed by a small letter, by chance only half of the time.
    tall = [other for one, other in pairwise(signs) if one.isupper()]
    apart = sum(not one.islower() for one in tall) >= 0.25 * len(tall)
    mixed = changes >= 0.3 * (len(signs) - 1) and (apart or len(re.findall(r"\d+", body)) >= 4)
    return mixed and library.entropy(token) >= 3.7


def _unknown_keys(text: str, library: _Library) -> Iterator[Finding]:
    """Yield long tokens of mixed letters and digits that are no part of a path or address."""
    for match in _RUN.finditer(text):
        token = match[0].rstrip(".=-")
        before = text[max(match.start() - 300, 0) : match.start()].rpartition(" ")[2]
        if "/" in token.strip("/") and not token.count("/") * 12 < len(token):
            continue
        if "://" in before + token or _KNOWN_HASH.search(before[-8:] + token[:8]):
            continue
        if "data:" in before or "base64," in before or _FILE_NAME.search(token):
            continue
        value = token.rpartition("=")[2] if "=" in token.rstrip("=") else token
        if len(value) >= 20 and _looks_random(value, library):
            start = match.start() + len(token) - len(value)
            tail = _TOKEN_TAIL.match(text, start + len(value))
            yield Finding(
                label=Sensitive.SECRET,
                start=start,
                end=tail.end() if tail else start + len(value),
                score=0.8,
            )


# --- what is said about a secret ---------------------------------------------------------------

_PASSWORD = (
    r"pass(?:word|wort|phrase|code|wd)s?|pwd|kennwort|contrase[ñn]a|clave(?!\s+(?:de\s+)?api)|mot\s+de\s+passe|mdp"
    r"|senha|heslo|palavra-passe|has[łl]o|wachtwoord|l[öo]senord|парол[ьяюе]|şifre|parola|密码|密碼|口令"
    r"|パスワード|暗証番号|비밀번호|(?<![^\W_])(?:pw|pass)(?![^\W_])"
)
_KEY_WORDS = (
    r"(?:access|auth|api|bot|bearer|client|refresh|session|id|csrf|deploy|webhook|signing)[ _-]?"
    r"(?:access[ _-]?)?(?:token|secret)|(?:api|auth|access|account|client|private|secret|licen[cs]e"
    r"|activation|recovery|encryption|signing|service|db|database|master|webhook|storage|shared)"
    r"[ _-]?(?:access[ _-]?)?(?:key|code)|secret|token|signature|\bsig\b|credentials?"
    r"|wi-?fi[ -]key|wlan-?schl[üu]ssel|session[ _-]?id|cookie|api-?schl[üu]ssel|clave\s+(?:de\s+)?api|cl[ée]\s+(?:d['’]\s?)?api|ключ\s+api|api[- ]ключ"
)
_PIN = (
    r"\bpin(?:[ -]?(?:code|nummer|number))?\b|\bcvv2?\b|\bcvc2?\b|\botp\b|\btan\b|geheimzahl"
    r"|(?:one[- ]time|verification|security|2fa|sms|login|door|gate|alarm)[ -]code|code\s+pin"
    r"|c[óo]digo\s+(?:pin|de\s+verifica\w+)|code\s+de\s+v[ée]rification|best[äa]tigungscode"
    r"|\bк\u043eд\b|пин-?код|验证码|驗證碼|認証コード|인증번호"
)
_SUFFIX = r"(?:[_-]?(?:prod|production|dev|test|staging|live|main|admin|root|user|db|base|hash|value|\d{1,3}))?"
_FILLER = (
    r"(?:\s+(?:for|to|of|on|at|in|für|fürs|zum|vom|beim|pour|du|de|del|della|para|da|do|from|von|van"
    r"|voor|для|от|к|till|för)\s+(?:[\w'’.@&-]+\s+){0,4}?[\w'’.@&-]+|\s?\(\w{1,12}\))"
)
_STRONG = r"[\"'`\])]{0,3}\s*(?::=|=>|={1,3}|!==?|->)\s*"
_COLON = r"[\"'`\])]{0,3}\s*[:：]\s*"
_VERB = (
    r"\s+(?:is|was|be|are|=|ist|lautet|war|est|es|era|é|è|to|jest|это|är|dir|je|-{1,2}|auf)"
    r"(?:\s+(?:now|still|just|currently|simply|only|called|set\s+to|jetzt|maintenant|ahora|agora))?\s*:?\s+"
    r"|\s*(?:是|为|為|は|은|는)\s*[:：]?\s*"
)
_QUOTED = r"(?P<quote>[\"'`“„«])(?P<quoted>[^\n\0\"“”„«»`]{3,200}?)[\"'`”“»]"
_BARE = r"(?P<bare>(?-i:[^\s\"'`<>“”„«»\0。，、\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af])+)"
_NAME = rf"(?:(?P<password>{_PASSWORD})|(?P<pin>{_PIN})|(?P<key>{_KEY_WORDS})){_SUFFIX}"
_VALUE = rf"(?:(?:Bearer|Basic|Token)\s+)?(?:{_QUOTED}|{_BARE})"
_SAID = re.compile(
    rf"{_NAME}(?:(?P<strong>{_STRONG})|(?P<colon>{_COLON})|(?P<verb>{_VERB})|(?P<direct>\s+)){_VALUE}",
    re.IGNORECASE,
)
_SAID_OF = re.compile(
    rf"{_NAME}(?:{_FILLER}(?:(?P<colon>{_COLON})|(?P<verb>{_VERB}))|{_FILLER}(?P<direct>\s+))"
    rf"(?P<strong>(?!))?{_VALUE}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:Bearer|Basic)\s+(?P<bare>[\w.~+/=-]{12,})", re.IGNORECASE)
_HINTS = (
    "pass", "pwd", "pw", "kennwort", "contrase", "clave", "mdp", "senha", "heslo", "hasło", "haslo",
    "wachtwoord", "senord", "парол", "şifre", "parola", "密", "口令", "パスワード", "暗証",
    "비밀번호", "token", "secret", "key", "signature", "sig", "credential", "schl", "clé", "ключ",
    "pin", "cvv", "cvc", "otp", "tan", "geheimzahl", "code", "пин", "\u043a\u043e\u0434", "验证", "驗證", "認証", "인증", "session", "cookie", "wlan", "código", "codigo",
    "bearer", "basic",
)  # fmt: skip
_LONGEST_LEAD = 40
"""Characters that a name may hold before the part that is looked for first."""

_PLACEHOLDER = re.compile(
    r"<.*>|\$?\{.*|\$\(.*|%.*%|\*+|x+|\.+|-+|_+|\?+|n/?a|none|null|nil|true|false|undefined|required|optional"
    r"|string|str|changed?|redacted|hidden|missing|empty|your[-_ ].*|my[-_]?(?:password|secret|token)"
    r"|example|todo|tbd",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\[.*|[A-Za-z_][\w.\[\]]*\(.*|(?:os|self|this|process|env|args|config|settings|request|req)\..*"
    r"|[A-Za-z_]+(?:\.[A-Za-z_]+)+"
)
_NO_SECRET = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d\d.*|\d[\d.,]*%"
    r"|[$€£¥]\d.*|\d[\d.,]*[$€£¥]|https?://.*|\w+@\w+\.\w.*|v?\d+\.\d+(?:\.\d+)*|(?:19|20)\d\d"
    r"|\d+[a-z]{1,3}|(?-i:[A-Z]{1,6})-?\d{1,4}|\d+-\w+|@\w+|#\w{1,8}",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"[\s-]*(?:or more\s+)?(?:characters?|chars?|digits?|letters?|symbols?|words?|times|days?|hours?"
    r"|minutes?|years?|months?|bits?|zeichen|stellen|caracteres|caract[èe]res|tokens?|%)",
    re.IGNORECASE,
)
_PIN_VALUE = re.compile(
    r"(?:\d{2,4}[ -]?\d{2,4}|\d{3})(?![\w%])(?!\s*(?:[ap]m|uhr|h|euros?|dollars?)\b)", re.IGNORECASE
)


def _said(text: str) -> Iterator[Finding]:
    """Yield what a text names a password, key, token or PIN."""
    lowered = text.lower()
    hints = [hint for hint in _HINTS if hint in lowered]
    if not hints:
        return
    at, last = 0, len(text)
    if len(lowered) == last:  # then places in it are places in the text
        at = max(min(lowered.find(hint) for hint in hints) - _LONGEST_LEAD, 0)
        last = max(lowered.rfind(hint) for hint in hints)
    while at <= last and (match := _SAID.search(text, at)):
        span = _value_of(match, text)
        if not span and (about := _SAID_OF.match(text, match.start())):
            span = _value_of(about, text)
        # A name that holds none may stand before one that does: "a secret token = …".
        at = span[1] if span else max(match.end("password"), match.end("pin"), match.end("key"))
        if span:
            yield Finding(label=Sensitive.SECRET, start=span[0], end=span[1], score=0.9)
    for match in _BEARER.finditer(text):
        if re.search(r"\d|[A-Z].*[a-z].*[A-Z]", match["bare"]):
            start, end = match.span("bare")
            yield Finding(label=Sensitive.SECRET, start=start, end=end, score=0.9)


def _value_of(match: re.Match[str], text: str) -> tuple[int, int] | None:
    """Return where the value of a named secret stands, or None if it is none."""
    if match["pin"]:
        return _pin_of(match, text)
    if match["quoted"] is not None:
        named = match["direct"] is not None or _is_name(match, match["quoted"])
        return None if named or _PLACEHOLDER.fullmatch(match["quoted"]) else match.span("quoted")
    start, end = match.span("bare")
    value = match["bare"]
    if match["strong"]:
        value = re.split(r"[&;,](?=[\w.-]+=)|;$", value, maxsplit=1)[0]
    value = value.rstrip(".,;:)]}…")
    end = start + len(value)
    if len(value) < 4 or _PLACEHOLDER.fullmatch(value) or _COUNTED.match(text, end):
        return None
    if _is_name(match, value) or (match["strong"] and _CODE.fullmatch(value)):
        return None
    return (start, end) if _likely(match, value, text[end:]) else None


def _pin_of(match: re.Match[str], text: str) -> tuple[int, int] | None:
    pin = _PIN_VALUE.match(text, match.start("quoted" if match["quoted"] else "bare"))
    if not pin or _COUNTED.match(text, pin.end()):
        return None
    named = match["pin"].lower()
    of_card = named.startswith(("cvv", "cvc"))
    spelled = match["direct"] is None or match["pin"].isupper() or of_card or "code" in named
    return pin.span() if spelled and (of_card or len(pin[0]) > 3) else None


def _is_name(match: re.Match[str], value: str) -> bool:
    """Whether what follows only repeats the name: ``SECRET = "secret"``."""
    start = match.start()
    lead = re.search(r"\w*\Z", match.string[max(start - 40, 0) : start])
    name = re.match(r"\w+", f"{lead[0] if lead else ''}{match.string[start : start + 40]}")
    names = (match.string[start : start + len(value)].lower(), name[0].lower() if name else "")
    return value.lower() in names


def _likely(match: re.Match[str], value: str, rest: str) -> bool:
    """Whether a bare value is a secret, from how it is named and what it is made of."""
    digit = any(one.isdigit() for one in value)
    letter = any(one.isalpha() for one in value)
    sign = re.search(r"[!@#$%^&*+=_~?]", value) is not None
    mixed = re.search(r"[a-z][A-Z]|[a-z]-?\d|\d[a-z]", value) is not None
    if match["strong"] and " " not in match["strong"]:
        return not _NO_SECRET.fullmatch(value) or match["password"] is not None
    if _NO_SECRET.fullmatch(value) and not (match["colon"] and match["password"]):
        return False
    if match["key"]:
        return (len(value) >= 8 and digit and letter) or (
            len(value) >= 20 and _looks_random(value, _library(), named=True)
        )
    if match["direct"] is not None:
        return len(value) >= 6 and digit and letter and (sign or mixed)
    ends_line = re.match(r"[.!]?\s*(?:\n|$)", rest) is not None
    if match["colon"] and ends_line and value.islower() and len(value) >= 6:
        return True
    return digit or (letter and (sign or mixed)) or value.count("-") >= 2


class SecretDetector:
    """Finds keys, tokens, private keys, passwords and credentials in addresses.

    Parameters
    ----------
    unknown : bool, optional
        Whether long random tokens of no known provider count.

    Raises
    ------
    MissingExtra
        If detect-secrets is not installed.
    """

    def __init__(self, *, unknown: bool = True) -> None:
        self._library = _library()
        self._unknown = unknown

    @property
    def fingerprint(self) -> str:
        """Name and version of the rules here and of the library's."""
        suffix = "" if self._unknown else "/known"
        return f"mnemos-secrets/1+detect-secrets/{self._library.version}{suffix}"

    def find(self, text: str) -> tuple[Finding, ...]:
        """Return the secrets of a text, none overlapping another of its kind.

        Examples
        --------
        >>> detector = SecretDetector()
        >>> text = "the password for the router is Tr0ub4dor&3, ok?"
        >>> [text[one.start : one.end] for one in detector.find(text)]
        ['Tr0ub4dor&3']
        """
        plain = prepared(text)
        found: list[Finding] = []
        for one in self.find_plain(plain.text):
            start, end = plain.span(one.start, one.end)
            found.append(Finding(label=one.label, start=start, end=end, score=one.score))
        return tuple(found)

    def find_plain(self, text: str, *, unknown: bool | None = None) -> tuple[Finding, ...]:
        """Return the secrets of a text that is folded already.

        Parameters
        ----------
        text : str
            What :func:`folded` made of a text.
        unknown : bool, optional
            Whether long random tokens count; by default as the detector was made.
        """
        found: list[Finding] = []
        for step in (_private_keys, _url_credentials, self._provider_keys, _said):
            new = list(step(text))
            found += new
            text = blanked(text, new)
        if self._unknown if unknown is None else unknown:
            found += self.find_unknown(text)
        return tuple(found)

    def find_unknown(self, text: str) -> tuple[Finding, ...]:
        """Return long random tokens of a folded text in which other finds are blank."""
        return tuple(_unknown_keys(text, self._library)) if self._unknown else ()

    def _provider_keys(self, text: str) -> Iterator[Finding]:
        return _provider_keys(text, self._library)
