"""National numbers of people: each country's form, its check digits, and the word that may name it.

A form that says too little by itself (nine digits) counts only behind a word that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
W = r"(?-i:[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
"""What a number or address must not touch: letters, but of scripts that put blanks between words."""
A = r"(?-i:[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
"""The same without the underscore. Ranges so wide take long to compile where case is ignored."""
NEAR = 40
"""Characters before a number in which a word may say what it is."""


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B).

    Examples
    --------
    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(one) * (1 + at % 2) for at, one in enumerate(reversed(digits))]
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(one) * weight for one, weight in zip(digits, weights, strict=False))


def _us(digits: str) -> bool:
    """Social security number, or a taxpayer's number that begins with 9."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area[0] == "9":
        return 50 <= int(group) <= 99 and group not in ("66", "67", "68", "69", "89", "93")
    return area not in ("000", "666") and group != "00" and serial != "0000"


def _spain(form: str) -> bool:
    digits = form[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == form[-1]


def _italy(form: str) -> bool:
    odd = (
        1,
        0,
        5,
        7,
        9,
        13,
        15,
        17,
        19,
        21,
        2,
        4,
        18,
        20,
        11,
        3,
        6,
        8,
        12,
        14,
        16,
        10,
        22,
        25,
        24,
        23,
    )
    places = [int(one) if one.isdigit() else ord(one) - 65 for one in form[:15]]
    total = sum(odd[place] if at % 2 == 0 else place for at, place in enumerate(places))
    return total % 26 == ord(form[15]) - 65


def _france(form: str) -> bool:
    number = form[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(form[13:])


def _brazil(digits: str) -> bool:
    checks = [_weighted(digits, range(count + 1, 1, -1)) * 10 % 11 % 10 for count in (9, 10)]
    return len(set(digits)) > 1 and checks == [int(digits[9]), int(digits[10])]


def _poland(digits: str) -> bool:
    date = 1 <= int(digits[2:4]) % 20 <= 12 and 1 <= int(digits[4:6]) <= 31
    return date and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _china(form: str) -> bool:
    date = form[6:8] in ("19", "20") and 1 <= int(form[10:12]) <= 12 and 1 <= int(form[12:14]) <= 31
    weights = [2**power % 11 for power in range(17, 0, -1)]
    return date and "10X98765432"[_weighted(form[:17], weights) % 11] == form[17]


def _india(digits: str) -> bool:
    """Check the Aadhaar number's digit of Verhoeff: products in the dihedral group of order ten."""
    check = 0
    for at, one in enumerate(reversed(digits)):
        value = int(one)
        for _ in range(at % 8):
            value = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[value]
        low, turned = check % 5, value % 5
        low = (low + turned if check < 5 else low - turned) % 5
        check = low + 5 * ((check >= 5) != (value >= 5))
    return check == 0


def _finland(form: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(form[:6] + form[-4:-1]) % 31] == form[-1]


def _netherlands(digits: str) -> bool:
    return digits != "0" * 9 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _germany(digits: str) -> bool:
    product = 10
    for one in digits[:10]:
        product = ((int(one) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10]) and digits[0] != "0"


def _korea(digits: str) -> bool:
    total = _weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
    return (11 - total % 11) % 10 == int(digits[12])


def _britain(form: str) -> bool:
    return form[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ") and form[0] not in "DFIQUV"


@dataclass(frozen=True, slots=True)
class _National:
    """A country's number: its form, its rule, and a word that must stand before a bare form."""

    form: re.Pattern[str]
    holds: Callable[[str], bool]
    word: re.Pattern[str] | None = None


def _number(form: str, holds: Callable[[str], bool], word: str = "") -> _National:
    around = rf"(?<!{W}|\.)(?<!\d-)(?:{form})(?!{A}|-\d|[.,]\d)"
    said = re.compile(rf"(?:{word})(?!\w)[^\d\n]{{0,30}}\Z", re.IGNORECASE) if word else None
    return _National(re.compile(around, re.IGNORECASE), holds, said)


_US_WORD = r"\b(?:ssn|social(?:\s+security)?(?:\s+(?:number|no|nr|#))?|itin|tin|taxpayer)"
_NATIONAL: tuple[_National, ...] = (
    _number(r"\d{3}-\d{2}-\d{4}", _us),
    _number(r"\d{3}[ .]\d{2}[ .]\d{4}|\d{9}", _us, _US_WORD),
    _number(r"\d{8}-?[A-Z]|\d{2}\.\d{3}\.\d{3}-?[A-Z]|[XYZ]-?\d{7}-?[A-Z]", _spain),
    _number(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _italy),
    _number(r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", _france),
    _number(r"\d{3}\.\d{3}\.\d{3}-\d\d", _brazil),
    _number(r"\d{11}", _brazil, r"\bcpf(?:\s+(?:é|n[ºo°]))?"),
    _number(r"\d{11}", _poland, r"\bpesel\w*"),
    _number(r"\d{17}[\dX]", _china),
    _number(r"[2-9]\d{3} \d{4} \d{4}", _india),
    _number(r"[2-9]\d{11}", _india, r"\b(?:aadhaar|aadhar|uid)(?:\s+\w+)?"),
    _number(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", lambda _: True, r"\bpan(?:\s+\w+)?"),
    _number(r"(?:0[1-9]|[12]\d|3[01])(?:0\d|1[0-2])\d\d[-+A-FU-Y]\d{3}[0-9A-Y]", _finland),
    _number(r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}", _netherlands, r"\b(?:bsn|burgerservicenummer|sofi)"),
    _number(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", _germany, r"(?:steuer\S*|idnr|tax\s?id)(?:\s+\w+)?\.?"),
    _number(r"\d{6}-[1-8]\d{6}", _korea),
    _number(r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", _britain),
    _number(r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}", luhn, r"\b(?:sin|social\s+insurance)(?:\s+\w+)?"),
)  # fmt: skip
_NATIONAL_HINT = re.compile(r"\d(?:[ .\-]?\d){4}|[A-Za-z]\d\d")


def national_ids(text: str, _: str) -> Iterator[Span]:
    """Yield where national numbers stand in a text; the second argument is not needed."""
    if not _NATIONAL_HINT.search(text):
        return
    for kind in _NATIONAL:
        for match in kind.form.finditer(text):
            if kind.word:
                before = text[max(match.start() - NEAR, 0) : match.start()]
                if not kind.word.search(before):
                    continue
            if kind.holds(re.sub(r"[ .+-]", "", match[0]).upper()):
                yield match.span()
