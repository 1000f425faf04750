"""Sentences with secrets and personal data at known places, and sentences that only look like it.

Everything is generated from a seed: people's ways of writing (templates) times values. Numbers with
a check digit are made with it, here and not by the code under test; none belongs to anybody but by
chance. The values of a class are drawn from the forms its standard or issuer allows, not from the
detector's patterns.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BASE62 = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Sample:
    """A text and the spans ``(label, start, end)`` that are sensitive in it."""

    text: str
    spans: tuple[tuple[str, int, int], ...] = ()


def some(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def digits(rng: random.Random, count: int) -> str:
    return some(rng, string.digits, count)


# --- values ------------------------------------------------------------------------------------

FIRST = "anna ben carlos dörte emil fatima giulia hiro ines jan katya li maría noor olga".split()
LAST = "smith müller garcía rossi dupont novak yamada jensen silva o'neil kaya ivanova".split()
PLAIN = str.maketrans("öüíáé'", "ouiaee")
HOSTS = (
    "gmail.com outlook.com web.de uni-bremen.de example.co.uk mail.ru qq.com orange.fr acme.io "
    "posteo.net cs.stanford.edu correo.gob.mx büro.de sub.domain.travel x.org"
).split()


def email(rng: random.Random) -> str:
    first, last = (rng.choice(names).translate(PLAIN) for names in (FIRST, LAST))
    shape = rng.randrange(8)
    host = rng.choice(HOSTS)
    if shape == 7:
        return f"{first}.{last} (at) {host}"
    if shape == 6:
        return f"{first} [at] {host.replace('.', ' [dot] ')}"
    local = (
        f"{first}.{last}",
        f"{first}{rng.randrange(1950, 2010)}",
        f"{first}_{last}+{rng.choice(('shop', 'news'))}",
        f"{first[0]}.{last}",
        first,
        f"{first.capitalize()}-{last.capitalize()}",
    )[shape]
    return f"{local}@{host}"


US_AREAS = "212 213 305 312 404 415 503 512 617 646 702 713 808 917".split()


def phone(rng: random.Random) -> str:
    area = rng.choice(US_AREAS)
    office, line = str(rng.randrange(220, 899)), digits(rng, 4)
    while office[1:] == "11":
        office = str(rng.randrange(220, 899))
    shapes: tuple[Callable[[], str], ...] = (
        lambda: f"({area}) {office}-{line}",
        lambda: f"{area}-{office}-{line}",
        lambda: f"{area}.{office}.{line}",
        lambda: f"{area} {office} {line}",
        lambda: f"{area}{office}{line}",
        lambda: f"+1 {area} {office} {line}",
        lambda: f"1-{area}-{office}-{line}",
        lambda: f"({area}){office}-{line}",
        lambda: f"+1-{area}-{office}-{line} x{rng.randrange(10, 999)}",
        lambda: f"+49 30 {rng.randrange(20, 99)}{digits(rng, 6)}",
        lambda: f"+49 (0)151 {rng.randrange(10, 99)}{digits(rng, 6)}",
        lambda: f"0049 171 {rng.randrange(2, 9)}{digits(rng, 6)}",
        lambda: f"+44 20 7{digits(rng, 3)} {digits(rng, 4)}",
        lambda: f"+447{rng.choice('45789')}{digits(rng, 8)}",
        lambda: f"+33 6 {' '.join(digits(rng, 2) for _ in range(4))}",
        lambda: f"+34 6{digits(rng, 2)} {digits(rng, 3)} {digits(rng, 3)}",
        lambda: f"+39 347 {digits(rng, 3)} {digits(rng, 4)}",
        lambda: f"+31 6 {rng.randrange(1, 6)}{digits(rng, 7)}",
        lambda: f"+48 60{rng.randrange(0, 9)} {digits(rng, 3)} {digits(rng, 3)}",
        lambda: f"+7 (916) {digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 2)}",
        lambda: f"+81 90-{rng.randrange(1, 9)}{digits(rng, 3)}-{digits(rng, 4)}",
        lambda: f"+86 138 {digits(rng, 4)} {digits(rng, 4)}",
        lambda: f"+55 11 9{rng.randrange(6, 9)}{digits(rng, 3)}-{digits(rng, 4)}",
        lambda: f"+91 98{digits(rng, 3)} {digits(rng, 5)}",
        lambda: f"+61 4{rng.randrange(1, 3)}{digits(rng, 1)} {digits(rng, 3)} {digits(rng, 3)}",
    )
    return rng.choice(shapes)()


IBANS = {
    "DE": "d" * 18,
    "GB": "AAAA" + "d" * 14,
    "FR": "d" * 10 + "m" * 11 + "dd",
    "ES": "d" * 20,
    "IT": "A" + "d" * 10 + "m" * 12,
    "NL": "AAAA" + "d" * 10,
    "CH": "d" * 17,
    "PL": "d" * 24,
    "BE": "d" * 12,
    "NO": "d" * 11,
    "MT": "AAAA" + "d" * 5 + "m" * 18,
    "AT": "d" * 16,
    "SE": "d" * 20,
    "PT": "d" * 21,
}


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(IBANS))
    kinds = {"d": string.digits, "A": string.ascii_uppercase}
    body = "".join(rng.choice(kinds.get(one, string.digits)) for one in IBANS[country])
    number = "".join(str(int(one, 36)) for one in f"{body}{country}00")
    whole = f"{country}{98 - int(number) % 97:02d}{body}"
    spaced = " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
    return rng.choice((whole, spaced, spaced, whole.lower(), spaced.replace(" ", "-")))


def luhn_digit(number: str) -> str:
    total = 0
    for at, one in enumerate(reversed(number)):
        value = int(one) * (2 if at % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def credit_card(rng: random.Random) -> str:
    lead, length = rng.choice(
        (
            ("4", 16),
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2223", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("65", 16),
            ("3530", 16),
            ("36", 14),
        )
    )
    body = lead + digits(rng, length - len(lead) - 1)
    whole = body + luhn_digit(body)
    groups = (4, 6, 5) if length == 15 else (4, 4, 4, 4) if length == 16 else (4, 6, 4)
    cuts = [sum(groups[:at]) for at in range(len(groups))]
    parts = [whole[cut : cut + size] for cut, size in zip(cuts, groups, strict=True)]
    return rng.choice((whole, " ".join(parts), "-".join(parts), ".".join(parts)))


def ip_address(rng: random.Random) -> str:
    if rng.random() < 0.6:
        first = rng.choice((10, 52, 81, 104, 172, 185, 192, 203, 217))
        return ".".join(str(part) for part in (first, *(rng.randrange(1, 255) for _ in range(3))))
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(8)]
    full = "2001:db8:" + ":".join(groups[2:])
    return rng.choice(
        (full, f"2a02:{groups[0]}:{groups[1]}::{groups[2]}", f"fe80::{':'.join(groups[4:])}")
    )


def url_credentials(rng: random.Random) -> str:
    return f"{rng.choice(('admin', 'root', 'deploy', 'anna', 'svc-backup'))}:{password(rng)}"


DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def us_ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 899) if n != 666])
    return f"{area:03d}-{rng.randrange(1, 99):02d}-{rng.randrange(1, 9999):04d}"


def spanish(rng: random.Random) -> str:
    if rng.random() < 0.3:
        number = digits(rng, 7)
        lead = rng.choice("XYZ")
        return lead + number + DNI[int(str("XYZ".index(lead)) + number) % 23]
    number = digits(rng, 8)
    return number + rng.choice(("", "-")) + DNI[int(number) % 23]


def italian(rng: random.Random) -> str:
    odd = dict(zip(string.digits, (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True))
    values = (
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
    odd |= dict(zip(string.ascii_uppercase, values, strict=True))
    body = some(rng, "BCDFGLMNPRSTV", 6) + digits(rng, 2) + rng.choice("ABCDEHLMPRST")
    body += f"{rng.randrange(1, 31):02d}" + rng.choice("ABCDEFGHIL") + digits(rng, 3)
    even = {
        one: at % 26 if one.isalpha() else int(one) for at, one in enumerate(string.ascii_uppercase)
    }
    even |= {one: int(one) for one in string.digits}
    total = sum(odd[one] if at % 2 == 0 else even[one] for at, one in enumerate(body))
    return body + chr(65 + total % 26)


def french(rng: random.Random) -> str:
    body = f"{rng.choice('12')}{digits(rng, 2)}{rng.randrange(1, 13):02d}{rng.randrange(1, 95):02d}{digits(rng, 6)}"
    check = f"{97 - int(body) % 97:02d}"
    parts = (body[0], body[1:3], body[3:5], body[5:7], body[7:10], body[10:], check)
    return rng.choice((" ", "")).join(parts)


def cpf_body(rng: random.Random) -> str:
    body = [int(one) for one in digits(rng, 9)]
    for _ in range(2):
        total = sum(
            one * weight for one, weight in zip(body, range(len(body) + 1, 1, -1), strict=True)
        )
        body.append(0 if total % 11 < 2 else 11 - total % 11)
    return "".join(map(str, body))


def brazilian(rng: random.Random) -> str:
    whole = cpf_body(rng)
    return f"{whole[:3]}.{whole[3:6]}.{whole[6:9]}-{whole[9:]}"


def chinese(rng: random.Random) -> str:
    body = f"{rng.choice(('110101', '310115', '440305'))}19{rng.randrange(50, 99)}"
    body += f"{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{digits(rng, 3)}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(one) * weight for one, weight in zip(body, weights, strict=True))
    return body + "10X98765432"[total % 11]


def verhoeff_product(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5


def indian(rng: random.Random) -> str:
    turn = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    body = rng.choice("23456789") + digits(rng, 10)
    for last in range(10):
        whole, check = body + str(last), 0
        for at, one in enumerate(reversed(whole)):
            value = int(one)
            for _ in range(at % 8):
                value = turn[value]
            check = verhoeff_product(check, value)
        if check == 0:
            break
    return f"{whole[:4]} {whole[4:8]} {whole[8:]}"


def finnish(rng: random.Random) -> str:
    day = f"{rng.randrange(1, 29):02d}{rng.randrange(1, 13):02d}{rng.randrange(50, 99)}"
    own = digits(rng, 3)
    return f"{day}-{own}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(day + own) % 31]}"


def british(rng: random.Random) -> str:
    # Neither GB nor NK, KN, NT, TN, BG, ZZ were ever given out.
    first, second = rng.choice("ABCEHJLMPRSWXY"), rng.choice("ABCEHJKLMPRSWXY")
    form = (
        f"{first}{second} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {rng.choice('ABCD')}"
    )
    return form if rng.random() < 0.6 else form.replace(" ", "")


def polish(rng: random.Random) -> str:
    body = f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{digits(rng, 4)}"
    total = sum(int(one) * weight for one, weight in zip(body, (1, 3, 7, 9) * 3, strict=False))
    return body + str(-total % 10)


def dutch(rng: random.Random) -> str:
    while True:
        body = digits(rng, 8)
        check = (
            sum(int(one) * weight for one, weight in zip(body, range(9, 1, -1), strict=True)) % 11
        )
        if check < 10 and body[0] != "0":
            return body + str(check)


def german(rng: random.Random) -> str:
    body, product = rng.choice("123456789") + digits(rng, 9), 10
    for one in body:
        total = (int(one) + product) % 10 or 10
        product = total * 2 % 11
    whole = body + str((11 - product) % 10)
    return rng.choice((whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"))


NATIONAL: tuple[tuple[Callable[[random.Random], str], tuple[str, ...]], ...] = (
    (us_ssn, ("My SSN is {}.", "social: {}", "He wrote {} on the form, in pencil.", "ssn={}")),
    (
        lambda rng: us_ssn(rng).replace("-", ""),
        ("SSN {} as on the card", "My social security number is {}"),
    ),
    (lambda rng: us_ssn(rng).replace("-", " "), ("her social security number is {}", "SSN: {}")),
    (spanish, ("Mi DNI es {}.", "NIF/NIE: {}", "con documento {} y domicilio en Madrid")),
    (italian, ("Il mio codice fiscale è {}.", "CF: {}", "nata a Roma, {}, residente a Torino")),
    (
        french,
        ("Mon numéro de sécu : {}", "N° de sécurité sociale {}.", "assurée sous le {} depuis 2010"),
    ),
    (brazilian, ("Meu CPF é {}.", "CPF: {}", "portador do documento {}, residente em Recife")),
    (cpf_body, ("cpf {}", "CPF: {}")),
    (chinese, ("我的身份证号是{}。", "身份证: {}", "ID card {}")),
    (indian, ("My Aadhaar is {}.", "Aadhaar no: {}", "card {} from UIDAI")),
    (finnish, ("Henkilötunnus: {}", "Hetu on {}.", "syntynyt, {}")),
    (british, ("My NI number is {}.", "NINO: {}", "National Insurance {} please")),
    (polish, ("Mój PESEL to {}.", "PESEL: {}", "pesel {}")),
    (dutch, ("Mijn BSN is {}.", "BSN: {}", "burgerservicenummer {}")),
    (german, ("Meine Steuer-ID ist {}.", "Steueridentifikationsnummer: {}", "IdNr. {}")),
)

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(payload: bytes) -> str:
    raw = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = BASE58[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


SEGWIT = (
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
)
"""Addresses printed in BIP 173 and BIP 350."""


def crypto_wallet(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return "0x" + some(rng, HEX + "ABCDEF", 40)
    if kind == 1:
        return rng.choice(SEGWIT)
    return base58check(rng.choice((b"\0", b"\5")) + rng.randbytes(20))


WORDS = "sunshine Sommer dragon Tigre chocolat Moskva river Pferd bicicleta Winter monkey kaffee".split()


def password(rng: random.Random) -> str:
    word, other = rng.sample(WORDS, 2)
    shapes = (
        f"{word}{rng.randrange(10, 2030)}!",
        f"{word}{rng.choice('#$%&*')}{rng.randrange(100)}",
        some(rng, BASE62 + "#$%&*+", rng.randrange(9, 17)) + rng.choice(string.digits),
        word.replace("o", "0").replace("i", "1").replace("e", "3").replace("a", "4")
        + str(rng.randrange(10, 99)),
        f"{word}-{other}-{rng.randrange(10, 99)}",
        f"{word.capitalize()}{other.capitalize()}{rng.randrange(9)}",
    )
    return rng.choice(shapes)


def token(rng: random.Random) -> str:
    b64 = BASE62 + "-_"
    shapes: tuple[Callable[[], str], ...] = (
        lambda: "AKIA" + some(rng, string.ascii_uppercase + "234567", 15) + "7",
        lambda: f"ghp_{some(rng, BASE62, 36)}",
        lambda: f"github_pat_{some(rng, BASE62, 22)}_{some(rng, BASE62, 59)}",
        lambda: f"glpat-{some(rng, b64, 19)}4",
        lambda: f"xoxb-{digits(rng, 12)}-{digits(rng, 12)}-{some(rng, BASE62, 24)}",
        lambda: f"sk_live_{some(rng, BASE62, rng.choice((24, 99)))}",
        lambda: f"SG.{some(rng, b64, 22)}.{some(rng, b64, 43)}",
        lambda: f"SK{some(rng, HEX, 32)}",
        lambda: f"AIzaSy{some(rng, b64, 33)}",
        lambda: f"sk-{some(rng, BASE62, 20)}T3BlbkFJ{some(rng, BASE62, 20)}",
        lambda: f"sk-proj-{some(rng, b64, 48)}",
        lambda: f"sk-ant-api03-{some(rng, b64, 93)}AA",
        lambda: f"hf_{some(rng, BASE62, 34)}",
        lambda: f"npm_{some(rng, BASE62, 36)}",
        lambda: f"dop_v1_{some(rng, HEX, 64)}",
        lambda: f"shpat_{some(rng, HEX, 32)}",
        lambda: f"{digits(rng, 10)}:AA{some(rng, b64, 33)}",
        lambda: f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{some(rng, BASE62, 12)}In0.{some(rng, b64, 43)}",
        lambda: some(rng, BASE62, 40),
        lambda: some(rng, BASE62, 32),
    )
    return rng.choice(shapes)()


def private_key(rng: random.Random) -> str:
    kind = rng.choice(("RSA ", "EC ", "OPENSSH ", ""))
    lines = "\n".join(some(rng, BASE62 + "+/", 64) for _ in range(rng.randrange(2, 6)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


# --- sentences ---------------------------------------------------------------------------------

EMAILS = (
    "Write to me at {}.", "Contact: {}", "Schreib mir an {}, bitte.", "mon adresse est {} merci",
    "Mi correo es {}", "Fale comigo: {}.", "пиши на {}", "メールは {} です", "Anna <{}>", "({})",
    '{{"email": "{}", "age": 31}}', "mailto:{}", "cc {}; thanks", "Email:{}\nThanks", "邮箱:{}",
    "{} replied yesterday that the boat is ready and the keys are under the mat.",
)  # fmt: skip
PHONES = (
    "Call me at {}.", "Phone: {}", "my number is {}, ring after six", "Ruf mich an: {}", "Tel. {}",
    "Mon téléphone : {}", "Mi móvil es {}", "telefone {}", "мой телефон {}", "電話は {} です",
    '{{"phone": "{}"}}', "tel:{}", "{} is the best way to reach her", "text {} or email me", "({})",
    "Reach Bob ({}) before noon.", "电话：{}", "fax {} / office hours 9-5",
)  # fmt: skip
IBAN_LINES = (
    "Please transfer it to {}.", "IBAN: {}", "Meine IBAN lautet {}, danke!", "virement sur {} svp",
    "mi cuenta es {}", "bonifico a {}", "konto {} w banku", "{} (savings)", '{{"iban":"{}"}}',
    "Account\n{}\nat the bank", "The rent goes to {} on the first.",
)  # fmt: skip
CARDS = (
    "My card is {}.", "card number: {}", "Kreditkarte {} gültig bis 12/27", "carte {} exp 08/29",
    "pago con {}", "charged {} on Monday", '{{"card": "{}"}}', "cc {} cvv on the back", "カード番号 {}",
    "Visa {}, my name on it", "use {} for the booking",
)  # fmt: skip
IPS = (
    "The server is at {}.", "ping {} fails", "Login from {} at noon", "http://[{}]/admin", "ssh root@{}",
    "Host {} is down", "blocked {} after five tries", "la IP es {}", "IP-Adresse: {}", '{{"ip": "{}"}}',
    "DNS {} answered", "von {} kam die Anfrage",
)  # fmt: skip
URLS = (
    "postgres://{}@db.example.com:5432/app", "clone https://{}@git.example.org/team/repo.git now",
    "The proxy is http://{}@proxy.lan:3128 here.", 'DATABASE_URL="mysql://{}@localhost/shop"',
    "ftp://{}@files.example.net", "redis://{}@cache:6379/0", "amqp://{}@mq.internal",
)  # fmt: skip
WALLETS = (
    "Send it to {}.", "BTC/ETH address: {}", "meine Wallet ist {}", "my wallet {} got the payment",
    "adresse {} svp", '{{"wallet": "{}"}}', "donate: {}", "{} received 0.2 today",
)  # fmt: skip
TOLD = (
    "My password is {}", "the password for the router is {}, ok?", "password: {}", "pw: {}",
    "PASSWORD={}", 'db_password = "{}"', "Das Passwort lautet {}.", "Mein Passwort ist {}",
    "la contraseña es {}", "mot de passe : {}", "le mot de passe est {}", "A senha é {}", "hasło: {}",
    "пароль: {}", "пароль от почты {}", "密码是{}", "パスワードは{}です", "wachtwoord: {}",
    "login anna, pass {}", "I changed my password to {} yesterday", "wifi password is '{}'",
    'config["password"] = "{}"', "export DB_PASS={}", "mysql --password={} -u root",
    '{{"user": "bob", "password": "{}"}}', "Username: bob\nPassword: {}\nURL: example.org",
    "the passcode to the gate is {}", "Kennwort: {}",
)  # fmt: skip
TOKENS = (
    "My API key is {}", "api_key = '{}'", "token: {}", "Authorization: Bearer {}", "use {} for now",
    "der Schlüssel ist {}.", "la clave API es {}", "export TOKEN={}", '{{"apiKey": "{}"}}',
    "Here is the key: {}, keep it safe", "key\n{}\nok", "curl -H 'X-Api-Key: {}' example.org",
    "https://api.example.org/v1?access_token={}", "I pasted {} into the chat by mistake.",
)  # fmt: skip
PINS = (
    "My PIN is {}.", "PIN: {}", "the door code is {}", "Your verification code is {}", "Meine PIN ist {}",
    "OTP {} expires in five minutes", "cvv: {}", "mi PIN es {}", "code PIN : {}",
)  # fmt: skip

MAKERS: tuple[tuple[str, tuple[str, ...], Callable[[random.Random], str], int], ...] = (
    ("email", EMAILS, email, 110),
    ("phone", PHONES, phone, 160),
    ("iban", IBAN_LINES, iban, 90),
    ("credit_card", CARDS, credit_card, 90),
    ("ip_address", IPS, ip_address, 80),
    ("url_credentials", URLS, url_credentials, 60),
    ("crypto_wallet", WALLETS, crypto_wallet, 60),
    ("secret", TOLD, password, 140),
    ("secret", TOKENS, token, 140),
    ("secret", PINS, lambda rng: digits(rng, rng.choice((4, 6))), 30),
    ("secret", ("{}", "my key:\n{}\nbye", "here it is {}"), private_key, 12),
)
AROUND = (
    ("", ""), ("", ""), ("Hi Ann, ", ""), ("", " Thanks a lot!"), ("We met on 12 May 2024 at 10:30.\n", ""),
    ("As I said in mail 3 of 7: ", " See you at the harbour, pier 14."),
    ("Übrigens — wie besprochen: ", "\nViele Grüße, Jörg"),
)  # fmt: skip


def placed(rng: random.Random, label: str, template: str, value: str) -> Sample:
    before, after = rng.choice(AROUND)
    if "[{}]" in template and ":" not in value:
        template = template.replace("[{}]", "{}")
    left, right = template.replace("{{", "\1").replace("}}", "\2").split("{}")
    left, right = (part.replace("\1", "{").replace("\2", "}") for part in (left, right))
    glued = template == "{}" and before.endswith(" ") and label == "secret"
    start = len(before + left) if not glued else len(left)
    text = (left if glued else before + left) + value + right + after
    return Sample(text, ((label, start, start + len(value)),))


def disguised(rng: random.Random) -> Iterator[Sample]:
    """Yield the same values broken over lines, full-width, with odd dashes or hidden characters."""
    for _ in range(15):
        value = phone(rng)
        at = next((n for n, one in enumerate(value[4:], 4) if one in " -."), None)
        if at:
            broken = value[:at] + "\n" + value[at + 1 :]
            yield placed(rng, "phone", "Call {} now", broken)
        value = iban(rng)
        yield placed(rng, "iban", "IBAN {} please", value.replace(" ", "\n", 1))
        yield placed(rng, "iban", "IBAN {} please", value.replace(" ", "\u00a0"))
        wide = "".join(chr(ord(one) + 0xFEE0) if one.isdigit() else one for one in credit_card(rng))
        yield placed(rng, "credit_card", "カードは{}です", wide)
        dashed = us_ssn(rng).replace("-", rng.choice("‐–−"))
        yield placed(rng, "national_id", "SSN {}", dashed)
        local, _, host = f"{rng.choice(FIRST).translate(PLAIN)}@{rng.choice(HOSTS)}".partition("@")
        yield placed(rng, "email", "mail {} now", f"{local}\u200b@{host}")
        yield placed(rng, "email", "https://example.org/?user={}&x=1", f"{local}%40{host}")
        yield placed(rng, "email", '{{"text": "Hi,\\n{}\\nbye"}}', f"{local}@{host}")


HANDMADE = """
hey can u add {email|sarah.oconnor@gmail.com} to the thread
my gmail is {email|bob dot smith at gmail dot com}
reach me on {phone|07700 900123} (UK)
whatsapp {phone|+54 9 11 2345-6789}
{phone|+1.415.555.2671}
{phone|(+1) 415-555-2671}
tel {phone|+43 664 1234567}
Mobil: {phone|0151-23456789}
{phone|06 12 34 56 78} c'est mon portable
my cell's {phone|917-555-0187}
wifi: network HomeNet, password {secret|8chars-or-more!}
the wifi pw is "{secret|purple elephant 42}"
pass: {secret|Xy7$kk}
My Netflix password is {secret|Stranger_Things4}
the code for the alarm is {secret|9157}
alarm code {secret|9157}
the safe opens with {secret|24-11-63}
root password on nas: {secret|toor1234}
login: admin/{secret|admin123}
user=admin&password={secret|hunter2}&submit=1
DB_URI=mongodb+srv://{url_credentials|app:Pa55w0rd}@cluster0.abcde.mongodb.net/test
curl -u {secret|admin:S3cret!} https://example.com
openai.api_key = "{secret|sk-abc123DEF456ghi789JKL012mno345PQR}"
GITHUB_TOKEN={secret|ghp_16C7e42F292c6912E7710c838347Ae178B4a}
aws_secret_access_key = {secret|wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY}
aws_access_key_id = {secret|AKIAIOSFODNN7EXAMPLE}
slack hook {secret|https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXX1234}
SECRET_KEY = '{secret|django-insecure-3k$8f@w!p0q)z(x7}'
client_secret: {secret|8Q~abcDEF123ghiJKL456mnoPQR789stuVWX012}
the api token is {secret|5f4dcc3b5aa765d61d8327deb882cf99}
x-api-key: {secret|0123456789abcdef0123456789abcdef}
ssn {national_id|219-09-9999}
SSN ending {national_id|219099999}
passport {national_id|C01X00T47} is mine
my visa is {credit_card|4539 1488 0343 6467} exp 04/27
amex {credit_card|3782-822463-10005}
IBAN: {iban|GB29NWBK60161331926819}
IBAN {iban|GB29 NWBK 6016 1331 9268 19}, BIC NWBKGB2L
http://{ip_address|10.0.0.5}:8080/health is down
{ip_address|2001:0db8:85a3:0000:0000:8a2e:0370:7334} is the v6
BTC: {crypto_wallet|3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy}
eth {crypto_wallet|0x742d35Cc6634C0532925a3b844Bc454e4438f44e}
Das WLAN-Passwort: {secret|Kaffee!2023}
Mein Passwort für Netflix ist {secret|Hundekuchen7}
mi contraseña del banco es {secret|Gato_1987}
le code wifi est {secret|Chaton2020!}
Пароль от вайфая: {secret|kotik2020}
我的密码是 {secret|abc12345}
パスワード：{secret|neko1234}
Steuer-ID {national_id|65 929 970 489}
CPF {national_id|111.444.777-35}
"""
"""Written by hand as people write; some of them are known to be missed."""

MARKED = re.compile(r"\{(\w+)\|([^}]*)\}")


def handmade() -> Iterator[Sample]:
    for line in HANDMADE.strip().splitlines():
        marked = MARKED.search(line)
        assert marked, line
        label, value = marked.groups()
        spans = ((label, marked.start(), marked.start() + len(value)),)
        yield Sample(line[: marked.start()] + value + line[marked.end() :], spans)


def positives(seed: int = 7) -> list[Sample]:
    """Return the sentences that hold something, a span each."""
    rng = random.Random(seed)
    found = [
        placed(rng, label, templates[at % len(templates)], value(rng))
        for label, templates, value, count in MAKERS
        for at in range(count)
    ]
    found += [
        placed(rng, "national_id", templates[at % len(templates)], value(rng))
        for value, templates in NATIONAL
        for at in range(9)
    ]
    return [*found, *disguised(rng), *handmade()]


# --- what only looks like it -------------------------------------------------------------------

PROSE = """
I forgot my password again.|The password must have at least 12 characters.|Never share your password.
My password is too weak.|Is the password case-sensitive?|The secret ingredient is patience.
She is a secretary at the bank.|Please reset the password by Friday.|Password managers are great.
The password policy: change it every 90 days.|Das Passwort ist zu kurz.|Ich habe mein Passwort vergessen.
La contraseña es demasiado corta.|J'ai oublié mon mot de passe.|Esqueci a senha do email.
Пароль слишком простой.|密码忘记了。|パスワードを忘れました。|Token limits are 8192 per request.
max_tokens=4096|The tokenizer splits words into tokens: about 4 per word.|A key factor: time.
password = getpass.getpass()|token = os.environ["TOKEN"]|api_key: <your-api-key>|password: ********
secret = None|PASSWORD=${DB_PASSWORD}|The API key is stored in the vault.|The token is expired.
The access token is refreshed every hour.|Their secret is out!|Secret Santa: Anna draws Bob.
password is required|Password: required|password_length = 16|The key is under the mat.
She pinned 4 notes to the wall.|pin 13 of the board drives the LED|Bowling: all 10 pins down.
The code of conduct has 7 rules.|Error code 4041 means not found.|The zip code is 94110.|dial back the noise
The basic 2024 edition costs more.|bearer of bad news|A basic understanding of chemistry
Call me Ishmael.|Phone me when you are home.|My phone has 128 GB.|IBAN is short for a long name.
The email bounced.|Follow me @anna_b on the network.|decorators such as @dataclass(frozen=True)
a@b|user@localhost logged in|10@3 odds|npm i @types/node@20.1.0|icon@2x.png|@mention in #general
std::vector<int> v; foo::bar();|12:30:45|Genesis 1:1-2:3|ratio 16:9|score 3:2|10:20:30 left on the clock
The passport office opens at 9.|Our social security system is old.|Visa requirements changed in 2023.
credit card fees are 3%|Send 5 ETH to the team.|0xdeadbeef|0x7fff5fbff8c0 is the address of the array
the secret of success is 90% hard work|My favourite token is the 1962 subway token.
Kennwort vergessen? Hier klicken.|wachtwoord vergeten|The signature dish is lamb.
I told him the secret to good bread: time.|signature: Anna Smith|the pass is closed until 12 May
We will pass 3 villages on the way.|pass 2 of 3 finished|Tan lines after 14 days of sun
""".replace("\n", "|").split("|")


NOTES = """
The meeting is on 2024-05-17 at 14:00, room 4.12.
We scored 21-14, 7-3 and 30-28.
Flight LH 1234 from FRA to JFK, seat 14C.
It costs 1 234 567 dollars or 1.234.567,89 EUR.
ISBN 0-306-40615-2 and ISSN 2049-3630
Kernel 5.15.0-91-generic, glibc 2.35
numpy==1.26.4 torch>=2.1.0,<3
My secret is that I love karaoke.
The password is case sensitive and expires in 90 days.
Token counts: 1024 input, 2048 output.
He kept it secret: nobody knew.
pin the tab, then restart
Windows 10.0.19045.3803
RFC 2616 section 14.9.1.1
The ratio is 3.14159265358979
It was the year 2020-2021 season 12345678
lat 52.520008 lon 13.404954
SELECT * FROM users WHERE id = 123456789
Part no. 555-123-4567-A
batch 20240517001234
Population 331 002 651
Room 415 555 seats
my mac is 00:1A:2B:3C:4D:5E
bitcoin hit 68,000 dollars
color rgba(255, 255, 255, 0.5)
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
merge 53aa511..72d14ab
user agent Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36
tracking 9400 1000 0000 0000 0000 00
the key is on the table
Key findings: 12 of 15 improved
basic authentication is off
authentication code path 7
What is your password?
password (min 8 chars)
The access code of the museum costs 12 euros
class MyVeryLongClassNameWithManyWords2024Edition
see https://arxiv.org/abs/2401.12345v2
https://www.amazon.com/dp/B08N5WRWNW?ref=sr_1_3
https://example.com/a/b/c/d.html#section-2.1
Wir treffen uns um 10:15 Uhr, Gleis 12, Wagen 257.
Die Rechnung 2024-00123 über 1.299,00 € ist offen.
El vuelo IB3166 sale a las 17:45.
Le train 8541 part à 18h04.
"""


def uuid(rng: random.Random) -> str:
    return "-".join(some(rng, HEX, size) for size in (8, 4, 4, 4, 12))


def isbn(rng: random.Random) -> str:
    body = f"978{rng.randrange(10)}{digits(rng, 8)}"
    check = -sum(int(one) * (3 if at % 2 else 1) for at, one in enumerate(body)) % 10
    whole = f"{body}{check}"
    return rng.choice((whole, f"{whole[:3]}-{whole[3]}-{whole[4:7]}-{whole[7:12]}-{whole[12]}"))


LOOKALIKES: tuple[tuple[Callable[[random.Random], str], tuple[str, ...], int], ...] = (
    (lambda r: f"{r.randrange(1, 20)}.{r.randrange(20)}.{r.randrange(30)}", ("version {}", "Python {} is out", "v{}"), 24),
    (
        lambda r: f"{r.randrange(1, 15)}.{r.randrange(90)}.{r.randrange(20)}.{r.randrange(9)}",
        ("version {}", "upgraded the driver to {}", "release {} fixes it", "pip install tool=={}", "see section {}"),
        30,
    ),
    (lambda r: f"1{r.randrange(10, 40)}.0.{r.randrange(4000, 7000)}.{r.randrange(10, 200)}", ("Chrome {}", "browser {}"), 10),
    (isbn, ("ISBN {}", "the book, ISBN: {}", "{} is the paperback"), 36),
    (lambda r: digits(r, r.choice((8, 9, 10, 11))), ("Order number {}", "order #{}", "Rechnung Nr. {}", "ticket {}", "invoice {} is due"), 50),
    (lambda r: f"{r.randrange(1950, 2025)}-{r.randrange(1950, 2025)}", ("He worked there {}.", "the years {}", "({})"), 20),
    (lambda r: f"{r.randrange(1990, 2030)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}", ("on {}", "due {}", "Date: {} 10:30"), 20),
    (lambda r: f"{r.randrange(1, 29):02d}.{r.randrange(1, 13):02d}.{r.randrange(1990, 2030)}", ("am {}", "geboren {}", "bis {} 14:00"), 16),
    (lambda r: f"{r.randrange(1, 13)}/{r.randrange(1, 29)}/{r.randrange(1990, 2030)}", ("on {}", "by {} at 5pm"), 12),
    (lambda r: some(r, HEX, 40), ("commit {}", "fixed in {}", "{} broke the build"), 18),
    (lambda r: some(r, HEX, 64), ("sha256 {}", "digest {}"), 10),
    (lambda r: some(r, HEX, 7), ("see {}", "cherry-pick {}"), 8),
    (uuid, ("request {}", "id={}", "trace {}"), 14),
    (lambda r: f"#{some(r, HEX, 6)}", ("colour {}", "background: {};"), 12),
    (lambda r: f"1Z{some(r, string.ascii_uppercase + string.digits, 8)}{digits(r, 8)}", ("UPS tracking {}", "parcel {}"), 12),
    (lambda r: digits(r, 12), ("FedEx {}", "tracking {}"), 10),
    (lambda r: f"{r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}", ("at {}", "{} left"), 10),
    (lambda r: f"{r.randrange(1, 999)},{digits(r, 3)}.{digits(r, 2)}", ("costs ${}", "€ {} per year", "{} dollars"), 14),
    (lambda r: f"{r.randrange(1, 90)}.{digits(r, 6)}, {r.randrange(1, 170)}.{digits(r, 6)}", ("at {}", "coordinates {}"), 12),
    (lambda r: f"17{digits(r, 8)}", ("timestamp {}", "epoch {}"), 8),
    (lambda r: f"10.{digits(r, 4)}/{some(r, string.ascii_lowercase, 4)}.{digits(r, 7)}", ("doi:{}", "https://doi.org/{}"), 8),
    (lambda r: f"https://www.example.com/{some(r, string.ascii_lowercase, 8)}/{digits(r, 9)}", ("see {}", "{}"), 12),
    (lambda r: f"https://youtu.be/{some(r, BASE62, 11)}", ("watch {}",), 8),
    (lambda r: f"https://docs.example.com/d/{some(r, BASE62, 40)}/edit", ("notes: {}",), 8),
    (lambda r: f"{r.choice(('get', 'Abstract', 'parse'))}{r.choice(('User', 'Http'))}RequestFactoryBuilder{r.randrange(9)}", ("call {}()", "class {} here"), 8),
    (lambda r: f"src/{some(r, string.ascii_lowercase, 6)}/test_{some(r, string.ascii_lowercase, 9)}_v{r.randrange(9)}.py", ("edit {}",), 8),
    (lambda r: f"192x{r.randrange(100, 999)}x{r.randrange(100, 999)}", ("size {}",), 4),
    (lambda r: f"{r.randrange(100, 999)}-{r.randrange(100, 999)}", ("pages {}", "rooms {}", "won {}"), 10),
    (lambda r: f"{r.randrange(1, 9)}{digits(r, 2)} {digits(r, 3)} {digits(r, 3)}", ("about {} people", "{} rows"), 10),
    (lambda r: f"sha512-{some(r, BASE62 + '+/', 86)}==", ('integrity "{}"',), 6),
    (lambda r: ", ".join(str(r.randrange(1000, 9999)) for _ in range(6)), ("values {}",), 8),
    (lambda r: " ".join(str(r.randrange(10, 99)) for _ in range(6)), ("lottery: {}", "the numbers {}"), 8),
    (lambda r: f"{r.randrange(2, 9)}.{digits(r, 9)}e-{r.randrange(2, 9)}", ("loss {}", "p = {}"), 8),
)  # fmt: skip


def negatives(seed: int = 11) -> list[Sample]:
    """Return sentences with nothing in them that must go."""
    rng = random.Random(seed)
    found = [Sample(line) for line in (*PROSE, *NOTES.strip().splitlines()) if line]
    for value, templates, count in LOOKALIKES:
        for at in range(count):
            made = placed(rng, "none", templates[at % len(templates)], value(rng))
            found.append(Sample(made.text))
    return found


# --- scoring -----------------------------------------------------------------------------------

SLACK = 2
"""Characters that a find may reach beyond the value, such as a closing bracket."""


def score(samples: list[Sample], find: Callable[[str], Iterator]) -> dict[str, dict[str, float]]:
    """Return per class how many values were found whole, and how many finds were right.

    A value is found if finds of its class cover all of it, and *hidden* if any finds do. A find is
    right if it touches a value of its class and reaches at most two characters beyond it.
    """
    counts: dict[str, dict[str, float]] = {}

    def of(label: str) -> dict[str, float]:
        return counts.setdefault(
            label, dict.fromkeys(("values", "found", "hidden", "finds", "right"), 0)
        )

    for sample in samples:
        finds = list(find(sample.text))
        for label, start, end in sample.spans:
            row = of(label)
            row["values"] += 1
            row["found"] += covered(finds, start, end, label)
            row["hidden"] += covered(finds, start, end, None)
        for one in finds:
            row = of(one.label)
            row["finds"] += 1
            row["right"] += any(
                label == one.label
                and start - SLACK <= one.start < end
                and start < one.end <= end + SLACK
                for label, start, end in sample.spans
            )
    for row in counts.values():
        row["recall"] = row["found"] / row["values"] if row["values"] else 1.0
        row["precision"] = row["right"] / row["finds"] if row["finds"] else 1.0
    return dict(sorted(counts.items()))


def covered(finds: list, start: int, end: int, label: str | None) -> bool:
    kept = [one for one in finds if label in (None, one.label)]
    return all(any(one.start <= at < one.end for one in kept) for at in range(start, end))
