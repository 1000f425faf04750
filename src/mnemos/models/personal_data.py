"""Find personal data in text: addresses, numbers of phones, accounts, cards and people.

Phone numbers are found by phonenumbers, the Python form of the library that Android dials with.
The other classes have a public form and mostly a check digit, so they are *computed*, not guessed:
ISO 13616 (IBAN, mod 97), ISO 7812 (cards, Luhn), IP addresses by the standard library, wallets by
the checksum of Base58Check and of Bech32, national numbers by their country's rule. Where a form
alone would say too little (nine digits), a word near it must say what it is.

Names of people and street addresses are not found: they have no form, and need a model.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Any, cast

from mnemos.errors import InvalidInput, MissingExtra
from mnemos.kernel.governance.redaction import Finding, Sensitive, merged
from mnemos.models.national_numbers import NEAR, A, Span, W, luhn, national_ids
from mnemos.models.secrets_in_text import INSTALL, SecretDetector, blanked, prepared

# --- e-mail ------------------------------------------------------------------------------------

_EMAIL = re.compile(
    rf"(?<!{W})(?<![.!#$'*+^`{{|}}~-])(?:{W}|[!#$'*+^`{{|}}~-])(?:(?:{W}|[.!#$'*+^`{{|}}~-]){{0,62}}(?:{W}|[+~-]))?"
    rf"(?:@|%40)(?:{A}(?:(?:{W}|-){{0,61}}{A})?\.){{1,8}}(?:(?!\d){A}{{2,24}}|xn--[a-z0-9-]{{2,20}})(?!{W}|@)"
)
_SPELLED_EMAIL = re.compile(
    r"\b[\w.+-]{1,64}\s?(?:[\[({<]\s?(?:at|ät|arroba|chez)\s?[\])}>])\s?"
    r"[\w-]+(?:(?:\.|\s?[\[({<]\s?(?:dot|punkt|punto|point)\s?[\])}>]\s?)[\w-]+){1,4}\b",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"@\d+(?:\.\d+)*\.?x?\.(?:png|jpe?g|gif|svg|webp|js|css)\Z|@[1-9]x\.\w+\Z", re.IGNORECASE
)


def _emails(text: str, lowered: str) -> Iterator[Span]:
    if "@" in text or "%40" in text:
        for match in _EMAIL.finditer(text):
            if not _FILE.search(match[0]):
                yield match.span()
    if any(
        sign + word in lowered
        for sign in "[({<"
        for word in ("at", " at", "ät", "arr", " arr", "chez")
    ):
        yield from (match.span() for match in _SPELLED_EMAIL.finditer(text))


# --- phone -------------------------------------------------------------------------------------

_SOME_DIGITS = re.compile(r"\d(?:[\s().\-/]{0,3}\d){6}")
_BROKEN_NUMBER = re.compile(r"(?<=[\d\-(). ])\r?\n(?=[ \t]{0,8}[(\d])")
_DOTTED = re.compile(r"\d+(?:\.\d+){3,}")
_FROM_ABROAD = re.compile(
    r"(?<![\w.,+/-])(?<!\d[ .)])(?:00(?=[1-9](?:[ \-()/]{0,2}\d){7})|\(\+(?!\d{1,3}\)))"
)
"""00 before a country code, where the library wants the region's own prefix; a bracket around all."""

_CALLED = re.compile(
    r"(?:\b(?:phone|tel|telephone|telefon\w*|tél\w*|teléfono|telefone|telefono|mobile|mobil|cell|cellphone"
    r"|handy\w*|móvil|celular|cellulare|portable|fax|whatsapp|signal|call|ring|text|sms|dial|hotline|landline"
    r"|rufnummer|numéro|contact|reach\s+(?:me|us)|тел\w*|звони\w*|номер)|电话|手机|電話|携帯|전화)"
    r"(?!\w)[^\d+(\n]{0,24}\Z",
    re.IGNORECASE,
)
_CALLED_NUMBER = re.compile(rf"(?<!{W}|\.)\+?\(?\d(?:[\s().\-/]{{0,2}}\d){{6,14}}(?!{W}|%)")
_OTHER_NUMBER = re.compile(
    r"\b(?:order|invoice|ticket|case|ref(?:erence)?|id|tracking|isbn|issn|sku|item|part|article"
    r"|serial|rechnung\w*|bestell\w*|auftrag\w*|kunden\w*|pedido|factura|commande|facture|commit|issue|build"
    r"|epoch|timestamp|bytes|population|batch|lot|barcode|ean|upc|imei|record|row|doi|pmid|version|model|shipment"
    r"|заказ\w*)(?!\w)[^\d\n]{0,16}\Z|[#№$€£¥]\s?\Z|[\w-]=\Z",
    re.IGNORECASE,
)


def _phones(text: str, region: str) -> Iterator[Span]:
    if not _SOME_DIGITS.search(text):
        return
    library = _phone_library()
    original = text
    text = _FROM_ABROAD.sub(" +", text)  # as long as what it replaces
    joined = _BROKEN_NUMBER.sub(lambda match: " " * len(match[0]), text)
    for version in (text, joined) if joined != text else (text,):
        spans: list[Span] = []
        for match in library.PhoneNumberMatcher(version, region):
            span = (cast("int", match.start), cast("int", match.end))
            if version[span[0] : span[0] + 1] == "+" and original[span[0]] == "0":
                span = (span[0] - 1, span[1])
            if _is_phone(version, span):
                spans.append(span)
        for match in _CALLED_NUMBER.finditer(version):
            before = version[max(match.start() - NEAR, 0) : match.start()]
            called = _CALLED.search(before) and not _OTHER_NUMBER.search(before)
            if (match[0][0] == "+" and _is_possible(match[0], library)) or (
                called and not _is_date(match[0])
            ):
                spans.append(match.span())
        found = merged(Finding(label=Sensitive.PHONE, start=a, end=b) for a, b in spans)
        yield from ((one.start, one.end) for one in found)
        joined = blanked(joined, found)


def _is_possible(number: str, library: Any) -> bool:
    """Whether a number with a country code could be one; new ranges come faster than releases."""
    try:
        return bool(library.is_possible_number(library.parse(number)))
    except library.NumberParseException:
        return False


def _is_date(digits: str) -> bool:
    digits = digits.lstrip("(")
    return re.match(r"(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ]\d", digits) is not None or bool(
        re.match(r"[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d\b", digits)
    )


def _is_phone(text: str, span: Span) -> bool:
    """Whether a number of valid form is meant as one to call."""
    number = text[span[0] : span[1]]
    if number.lstrip().startswith(("+", "(+")):
        return True
    before = text[max(span[0] - NEAR, 0) : span[0]]
    if (
        _DOTTED.fullmatch(number)
        or _is_date(number)
        or (re.search(r"[\w/=_.-]\Z", before) and not before.endswith((":", "=")))
    ):
        return bool(_CALLED.search(before))
    if _OTHER_NUMBER.search(before) and not _CALLED.search(before):
        return False
    return not number.isdigit() or len(number) == 10 or bool(_CALLED.search(before))


@cache
def _phone_library() -> Any:
    try:
        import phonenumbers
    except ImportError as error:
        raise MissingExtra(
            f"Finding phone numbers needs phonenumbers, which is not installed: {INSTALL}"
        ) from error
    return phonenumbers


# --- accounts and cards ------------------------------------------------------------------------

_IBAN_LENGTHS: Mapping[str, int] = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
        "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 "
        "IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 "
        "MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 "
        "SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}
"""Length of each country's IBAN (ISO 13616 registry)."""

_IBAN_START = re.compile(rf"(?<!{A})([A-Za-z]{{2}})[ -]?\d[ -]?\d")
_CARD = re.compile(rf"(?<!{W}|\.)\d(?:[ \-.]{{0,2}}\r?\n?[ -]?\d){{12,24}}(?!{W})")
_CARD_LENGTHS = (16, 15, 14, 19, 13, 18, 17)
_CARD_BEGINS = re.compile(
    r"4(?=\d{12}(?:\d{3}){0,2}\Z)|(?:5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720))(?=\d+\Z)"
    r"|3[47](?=\d{13}\Z)|(?:6011|65|64[4-9]|62|35(?:2[89]|[3-8])|5[06-8]|6[37])(?=\d+\Z)"
    r"|3(?:0[0-5]|[689])(?=\d{11,12}\Z)"
)


def _ibans(text: str, _: str) -> Iterator[Span]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[1].upper())
        span = length and _characters(text, match.start(), length)
        if span:
            number = re.sub(r"[^0-9A-Za-z]", "", text[span[0] : span[1]]).upper()
            if int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1:
                yield span


def _characters(text: str, start: int, count: int) -> Span | None:
    """Return where ``count`` letters and digits from ``start`` end, over single separators."""
    form = rf"[0-9A-Za-z](?:[ .\-]?(?:\r?\n[ \t]*)?[0-9A-Za-z]){{{count - 1}}}(?!{A})"
    match = re.compile(form).match(text, start)
    return match.span() if match else None


def _cards(text: str, _: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        places = [at for at in range(*match.span()) if text[at].isdigit()]
        # What follows may be digits too: an expiry date, a security code.
        for length in sorted(_CARD_LENGTHS, key=lambda one: one != len(places)):
            whole = len(places) == length or (
                len(places) > length and not text[places[length - 1] + 1].isdigit()
            )
            if whole and _is_card("".join(text[at] for at in places[:length])):
                yield places[0], places[length - 1] + 1
                break


def _is_card(digits: str) -> bool:
    begins = _CARD_BEGINS.match(digits)
    known = begins and (len(digits) >= 16 or begins[0][0] in "34")
    return bool(known) and len(set(digits)) > 1 and luhn(digits)


# --- IP addresses ------------------------------------------------------------------------------

_IPV4 = re.compile(rf"(?<!{W}|\.)(?<!\d-)(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?!{W}|\.\d|-\d)")
_IPV6 = re.compile(
    rf"(?<!{W}|[:.])(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]{{3,39}}(?:(?:\d{{1,3}}\.){{3}}\d{{1,3}})?(?!{W}|:)"
)
_VERSION = re.compile(
    r"(?:\b(?:v|ver|version\w*|release|build|firmware|update\w*|upgrade\w*|driver|section|chapter|clause|article"
    r"|kapitel|abschnitt|sección|paragraph|revision|rev|patch|downgrade\w*|версия|versión|oid|rule|table|figure)"
    r"|版本|[=<>~^]=?|§|/)(?!\w)[^\d\n]{0,14}\Z|\b(?:from|to|and)\s+\d+(?:\.\d+){2,3}\s+(?:to|and|or)\s+\Z"
    r"|\b[A-Za-z][\w-]*[-@/]\Z",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:\b(?:ip|ipv4|host|server|address|adresse|ping|ssh|dns|gateway|router|subnet|from|port|vpn|client)\b|://)[^\d\n]{0,20}\Z",
    re.IGNORECASE,
)


def _ip_addresses(text: str, _: str) -> Iterator[Span]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            form = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
            before = text[max(match.start() - NEAR, 0) : match.start()]
            if _is_address(form, before):
                yield match.start(), match.start() + len(form)


def _is_address(form: str, before: str) -> bool:
    try:
        address = ipaddress.ip_address(form)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return False
    if address.version == 6:  # [::2] and [1::3] are slices of lists.
        return "." in form or form.count(":") == 7 or re.search(r"\w{3}", form) is not None
    if _HOST.search(before):
        return True
    small = all(int(part) < 20 for part in form.split("."))
    return not _VERSION.search(before) and not small


# --- wallets -----------------------------------------------------------------------------------

_WALLET = re.compile(
    rf"(?<!{A})(?:(?P<ether>0x[0-9a-fA-F]{{40}})|(?P<segwit>(?:bc|tb|ltc)1[02-9ac-hj-np-z]{{11,71}})"
    rf"|(?P<base58>[13LMD][1-9A-HJ-NP-Za-km-z]{{25,34}}))(?!{A})"
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_SUMS = (1, 0x2BC830A3)
"""What the checksum leaves for Bech32 (BIP 173) and Bech32m (BIP 350)."""


def _wallets(text: str, _: str) -> Iterator[Span]:
    for match in _WALLET.finditer(text):
        if match["ether"] or (match["segwit"] and _bech32(match[0])) or _base58(match["base58"]):
            yield match.span()


def _base58(form: str | None) -> bool:
    if not form:
        return False
    number = 0
    for one in form:
        number = number * 58 + _BASE58.index(one)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def _bech32(form: str) -> bool:
    prefix, _, rest = form.rpartition("1")
    values = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]
    values += [_BECH32.index(one) for one in rest]
    sum_ = 1
    for value in values:
        top = sum_ >> 25
        sum_ = (sum_ & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            sum_ ^= step if top >> bit & 1 else 0
    return sum_ in _BECH32_SUMS


# --- all together ------------------------------------------------------------------------------

_FINDERS: Mapping[Sensitive, Callable[[str, str], Iterator[Span]]] = {
    Sensitive.EMAIL: _emails,
    Sensitive.IBAN: _ibans,
    Sensitive.CRYPTO_WALLET: _wallets,
    Sensitive.CREDIT_CARD: _cards,
    Sensitive.IP_ADDRESS: _ip_addresses,
    Sensitive.NATIONAL_ID: national_ids,
}
"""In the order they run: what one found is blank for the next, and phones come last."""

_OF_SECRETS = frozenset({Sensitive.SECRET, Sensitive.URL_CREDENTIALS})


class StandardDetector:
    """Finds every class of :class:`~mnemos.kernel.governance.redaction.Sensitive`.

    Parameters
    ----------
    classes : collection of str, optional
        Which to look for; by default all.
    region : str, optional
        Two letters of the country whose phone numbers may stand without ``+`` and country code.

    Raises
    ------
    InvalidInput
        If a class or the region is unknown.
    MissingExtra
        If a class needs a package that is not installed: detect-secrets for ``secret`` and
        ``url_credentials``, phonenumbers for ``phone``.

    Examples
    --------
    >>> from mnemos.kernel.governance.redaction import redact
    >>> detector = StandardDetector(classes={"email", "iban"})
    >>> text = "Ann (ann@sea.org) pays from DE89 3704 0044 0532 0130 00."
    >>> redact(text, detector.find(text)).text
    'Ann ([EMAIL]) pays from [IBAN].'
    """

    def __init__(self, classes: Collection[str] | None = None, region: str = "US") -> None:
        self._classes = _known(Sensitive if classes is None else classes)
        self._region = region.upper()
        self._secrets = SecretDetector() if self._classes & _OF_SECRETS else None
        self._phones = Sensitive.PHONE in self._classes
        versions = [self._secrets.fingerprint] if self._secrets else []
        if self._phones:
            library = _phone_library()
            if self._region not in library.SUPPORTED_REGIONS:
                raise InvalidInput(
                    f"region={region[:60]!r} is unknown; give a country such as 'US'"
                )
            versions.append(f"phonenumbers/{library.__version__}/{self._region}")
        chosen = (
            "" if len(self._classes) == len(Sensitive) else f"/{','.join(sorted(self._classes))}"
        )
        self._fingerprint = "+".join((f"mnemos-personal/1{chosen}", *versions))

    @property
    def fingerprint(self) -> str:
        """Name and version of the rules, of the libraries behind them, and what was chosen."""
        return self._fingerprint

    def find(self, text: str) -> tuple[Finding, ...]:
        """Return what it finds, in order of place.

        Parameters
        ----------
        text : str
            Any text. Full-width and other digits, odd dashes and spaces, characters without width
            and escaped line breaks are seen through; spans are of the text as given.
        """
        plain = prepared(text)
        found: list[Finding] = []
        for one in self._find_plain(plain.text):
            start, end = plain.span(one.start, one.end)
            found.append(Finding(label=one.label, start=start, end=end, score=one.score))
        return tuple(sorted(found, key=lambda one: one.start))

    def _find_plain(self, text: str) -> list[Finding]:
        found: list[Finding] = []
        if self._secrets:
            secrets = self._secrets.find_plain(text, unknown=False)
            found += (one for one in secrets if one.label in self._classes)
            text = blanked(text, secrets)
        lowered = text.lower()
        digits = re.search(r"\d", text) is not None
        for label, finder in _FINDERS.items():
            if label in self._classes and (digits or label is Sensitive.EMAIL):
                new = [Finding(label=label, start=a, end=b) for a, b in finder(text, lowered)]
                found += new
                text = blanked(text, new)
        if self._phones and digits:
            spans = _phones(text, self._region)
            new = [Finding(label=Sensitive.PHONE, start=a, end=b, score=0.9) for a, b in spans]
            found += new
            text = blanked(text, new)
        if self._secrets and Sensitive.SECRET in self._classes:
            found += self._secrets.find_unknown(text)
        return found


def _known(classes: Collection[str]) -> frozenset[Sensitive]:
    unknown = sorted(str(one) for one in classes if one not in frozenset(Sensitive))
    if unknown or isinstance(classes, str):
        given = classes if isinstance(classes, str) else ", ".join(unknown)
        raise InvalidInput(
            f"classes: {given[:60]!r}; allowed: a collection of {', '.join(Sensitive)}"
        )
    return frozenset(Sensitive(one) for one in classes)
