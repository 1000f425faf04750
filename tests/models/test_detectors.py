"""Secrets and personal data are found where they are, and nothing is where none is."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput, MissingExtra
from mnemos.kernel.governance.redaction import Detector, Sensitive, redact, restore
from mnemos.models import personal_data, secrets_in_text
from mnemos.models.personal_data import StandardDetector
from mnemos.models.secrets_in_text import SecretDetector, folded

REASON = "the extra `redact` is not installed"
pytest.importorskip("detect_secrets", reason=REASON)
phonenumbers = pytest.importorskip("phonenumbers", reason=REASON)

DETECTOR = StandardDetector()


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


corpus = load("redaction_corpus")


def shown(text: str, detector: Detector = DETECTOR) -> str:
    return redact(text, detector.find(text)).text


# --- quality -----------------------------------------------------------------------------------


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    positives, negatives = corpus.positives(), corpus.negatives()
    labels = Counter(label for sample in positives for label, _, _ in sample.spans)
    assert labels.keys() == {str(label) for label in Sensitive}
    assert labels.total() >= 600
    assert min(labels.values()) >= 50
    assert len(negatives) >= 400
    assert not any(sample.spans for sample in negatives)
    assert corpus.positives() == positives, "the same seed, the same corpus"


@pytest.mark.parametrize("seed", [0, 1])
def test_recall_and_precision_of_every_class_are_at_least_97_percent(seed: int) -> None:
    samples = corpus.positives(7 + seed) + corpus.negatives(11 + seed)
    found = corpus.score(samples, DETECTOR.find)
    poor = {
        label: (round(row["recall"], 3), round(row["precision"], 3))
        for label, row in found.items()
        if row["recall"] < 0.97 or row["precision"] < 0.97
    }
    assert not poor


def test_the_scoring_sees_misses_and_wrong_finds() -> None:
    samples = corpus.positives()[:200] + corpus.negatives()[:50]
    nothing = corpus.score(samples, lambda text: [])
    assert all(row["recall"] == 0 for row in nothing.values())
    everything = corpus.score(
        samples, lambda text: [secrets_in_text.Finding(label="email", start=0, end=len(text))]
    )
    assert everything["email"]["recall"] == 1
    assert everything["email"]["precision"] < 0.3


# --- one by one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail ann.o'neil+x@mail.sea.co.uk!", "Mail [EMAIL]!"),
        ("ann [at] sea [dot] org", "[EMAIL]"),
        ("?to=ann%40sea.org&x=1", "?to=[EMAIL]&x=1"),
        ("call (415) 555-2671 x12 or 0049 30 901820", "call [PHONE] or [PHONE]"),
        ("Handy: 0170 1234567", "Handy: [PHONE]"),
        ("it is 415-\n555-2671", "it is [PHONE]"),
        ("IBAN gb29 nwbk 6016 1331 9268 19, thanks", "IBAN [IBAN], thanks"),
        ("card 4111 1111 1111 1111 12/27 123", "card [CREDIT_CARD] 12/27 123"),
        ("card\u00a0４１１１－１１１１－１１１１－１１１１", "card\u00a0[CREDIT_CARD]"),
        ("from 203.0.113.7:80 and fe80::1ff:fe23:4567:890a", "from [IP_ADDRESS]:80 and [IP_ADDRESS]"),
        ("postgres://app:p@ss#1@db.sea.org/x", "postgres://[URL_CREDENTIALS]@db.sea.org/x"),
        ("SSN 219\u201309\u20139999", "SSN [NATIONAL_ID]"),
        ("DNI 12345678Z, CPF 529.982.247-25", "DNI [NATIONAL_ID], CPF [NATIONAL_ID]"),
        ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "to [CRYPTO_WALLET]"),
        ("the password for the router is Tr0ub4dor&3, ok?", "the password for the router is [SECRET], ok?"),
        ("I changed my password to Sun2day and the pin is 1234", "I changed my password to [SECRET] and the pin is [SECRET]"),
        ('{"api_key": "x9-not-told-7"}', '{"api_key": "[SECRET]"}'),
        ('{"text": "mail:\\nann@sea.org\\nbye"}', '{"text": "mail:\\n[EMAIL]\\nbye"}'),
        ("a\u200bnn@s\u200bea.org", "[EMAIL]"),
        ("密码是Sakura2024!。", "密码是[SECRET]。"),
        ("GET /?access_token=abcdef123456&page=2", "GET /?access_token=[SECRET]&page=2"),
    ],
)  # fmt: skip
def test_what_people_type_is_taken_out(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "My password is too weak; the token is expired.",
        "password = getpass()",
        'TOKEN = os.environ["TOKEN"]',
        'SECRET = "secret"',
        "api_key: <your-api-key>",
        "version 2.4.1.0, Chrome 120.0.6099.109, 127.0.0.1",
        "items[1::3] and std::vector<int>",
        "He lived there 1990-2000, pages 1200-1350.",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "4111 1111 1111 1112 and DE88 3704 0044 0532 0130 00",
        "MyVeryLongClassNameWithManyWords2024Edition",
        "",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert shown(text) == text


def test_a_key_goes_to_the_end_of_its_token() -> None:
    key = "sk_live_" + "a1B2c3D4" * 12
    assert shown(f"use {key}.") == "use [SECRET]."


def test_a_private_key_goes_with_its_body_even_cut_short() -> None:
    key = corpus.private_key(random.Random(3))
    assert shown(f"here:\n{key}\nbye") == "here:\n[SECRET]\nbye"
    assert "MII" not in shown("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nMIIabc12")


def test_an_address_in_a_url_with_credentials_is_no_email() -> None:
    (one,) = DETECTOR.find("https://ann:pw12@sea.org/")
    assert one.label == "url_credentials"


def test_a_region_reads_its_own_numbers() -> None:
    text = "Erreichbar unter 030 901820 oder 0170 1234567."
    assert shown(text) == text
    assert shown(text, StandardDetector(region="de")).count("[PHONE]") == 2


def test_only_the_classes_asked_for_are_found() -> None:
    text = "ann@sea.org, 415-555-2671, password=Tr0ub4dor"
    assert (
        shown(text, StandardDetector(classes={"email"}))
        == "[EMAIL], 415-555-2671, password=Tr0ub4dor"
    )
    assert (
        shown(text, StandardDetector(classes=["phone"]))
        == "ann@sea.org, [PHONE], password=Tr0ub4dor"
    )
    assert shown(text, SecretDetector()) == "ann@sea.org, 415-555-2671, password=[SECRET]"


def test_unknown_tokens_can_be_left() -> None:
    token = corpus.some(random.Random(1), corpus.BASE62, 40)
    assert shown(f"{token}", SecretDetector()) == "[SECRET]"
    assert shown(f"{token}", SecretDetector(unknown=False)) == token


@pytest.mark.parametrize("style", ["label", "numbered", "vaulted"])
def test_what_was_taken_out_once_is_not_found_again(style: str) -> None:
    text = 'password: "Tr0ub4dor&3", phone: 415-555-2671, token=abc123def456, ann@sea.org'
    key = bytes(16) if style == "vaulted" else None
    out = redact(text, DETECTOR.find(text), style=style, key=key)
    assert len(out.removed) == 4
    assert DETECTOR.find(out.text) == SecretDetector().find(out.text) == ()


# --- laws --------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from([
        "ann@sea.org", "415-555-2671", " password is ", "Tr0ub4dor&3", "\u200b", "\\n", "４１", "://",
        "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "fe80::1", "12\n", "{", '"', "：",
    ]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_every_find_lies_in_the_text_and_comes_back(text: str) -> None:
    found = DETECTOR.find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert found == DETECTOR.find(text)
    out = redact(text, found, style="vaulted", key=bytes(16))
    assert restore(out.text, out.values) == text


@given(st.text())
def test_folding_keeps_the_place_of_every_character(text: str) -> None:
    plain = folded(text)
    places = [plain.span(at, at + 1) for at in range(len(plain.text))]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert [start for start, _ in places] == sorted({start for start, _ in places})
    for (start, end), one in zip(places, plain.text, strict=True):
        assert (
            one == text[start:end] or not text[start:end].isalpha() or not text[start:end].isascii()
        )


@pytest.mark.parametrize(
    "piece",
    ["password ", "a@", "a.", "://b:c", 'token = "', "//a", "-----BEGIN PRIVATE KEY-----", "a:"],
)
def test_time_grows_with_the_length_of_a_hostile_text(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        begin = time.process_time()
        DETECTOR.find(text)
        return time.process_time() - begin

    seconds(1_000)
    assert seconds(24_000) < 30 * min(seconds(3_000) for _ in range(3)) + 0.05


# --- what is installed -------------------------------------------------------------------------


def test_the_fingerprint_names_libraries_region_and_choice() -> None:
    print_ = DETECTOR.fingerprint
    assert "detect-secrets/" in print_
    assert f"phonenumbers/{phonenumbers.__version__}/US" in print_
    assert StandardDetector(region="DE").fingerprint != print_
    assert StandardDetector(classes={"email"}).fingerprint == "mnemos-personal/1/email"
    assert isinstance(DETECTOR, Detector)
    assert isinstance(SecretDetector(), Detector)


@pytest.mark.parametrize(
    ("classes", "package"), [({"secret"}, "detect_secrets"), ({"phone"}, "phonenumbers")]
)
def test_a_missing_package_is_named_with_its_extra(
    classes: set[str], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = (secrets_in_text._library, personal_data._phone_library)
    for one in caches:
        one.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r'pip install "mnemos\[redact\]"'):
        StandardDetector(classes=classes)
    assert StandardDetector(classes={"email", "iban"}).find("ann@sea.org")
    monkeypatch.undo()
    for one in caches:
        one.cache_clear()


@pytest.mark.parametrize("classes", [{"e-mail"}, "email", {"email", "name"}])
def test_an_unknown_class_is_refused(classes: set[str] | str) -> None:
    with pytest.raises(InvalidInput, match="allowed: a collection of email"):
        StandardDetector(classes=classes)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(InvalidInput, match="region='Atlantis'"):
        StandardDetector(region="Atlantis")
