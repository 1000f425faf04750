"""What is found is taken out, and comes back only to who holds the values."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.kernel.governance.redaction import (
    Detector,
    Finding,
    Redacted,
    Sensitive,
    merged,
    redact,
    restore,
)

KEY = b"a key of sixteen"
LABELS = [str(label) for label in Sensitive]


def found(text: str, *words: str, label: str = "email") -> list[Finding]:
    return [
        Finding(label=label, start=match.start(), end=match.end())
        for word in words
        for match in re.finditer(re.escape(word), text)
    ]


@st.composite
def texts_with_findings(draw: st.DrawFn) -> tuple[str, list[Finding]]:
    """A text of pieces that look like placeholders, and any spans in it, overlapping or not."""
    pieces = st.one_of(
        st.text(max_size=8),
        st.sampled_from(["[EMAIL]", "[EMAIL 1]", "[EMAIL:00000000]", "[", "]", "ann@sea.org"]),
    )
    text = "".join(draw(st.lists(pieces, min_size=1, max_size=8)))
    findings: list[Finding] = []
    for _ in range(draw(st.integers(0, 6)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        label, score = draw(st.sampled_from(LABELS)), draw(st.floats(0, 1))
        findings.append(Finding(label=label, start=start, end=end, score=score))
    return text, findings


# --- joining -----------------------------------------------------------------------------------


@given(texts_with_findings())
def test_joined_findings_cover_the_same_characters_and_do_not_overlap(
    case: tuple[str, list[Finding]],
) -> None:
    _, findings = case
    joined = merged(findings)
    assert {at for one in joined for at in range(one.start, one.end)} == {
        at for one in findings for at in range(one.start, one.end)
    }
    assert all(one.end <= other.start for one, other in pairwise(joined))
    assert merged(joined) == joined == merged(reversed(findings))
    assert {one.label for one in joined} <= {one.label for one in findings}


def test_the_longest_label_wins_then_the_surest_then_the_first() -> None:
    iban = Finding(label="iban", start=0, end=10, score=0.5)
    phone = Finding(label="phone", start=8, end=14, score=1.0)
    assert merged([phone, iban]) == (Finding(label="iban", start=0, end=14, score=1.0),)
    sure = Finding(label="secret", start=0, end=10, score=0.9)
    assert merged([iban, sure])[0].label == "secret"
    assert (
        merged([Finding(label="b", start=0, end=2), Finding(label="a", start=1, end=3)])[0].label
        == "a"
    )


def test_neighbours_that_only_touch_stay_apart() -> None:
    pair = (Finding(label="a", start=0, end=2), Finding(label="b", start=2, end=4))
    assert merged(pair) == pair


# --- taking out --------------------------------------------------------------------------------


def test_a_label_stands_in_the_place_of_what_was_found() -> None:
    text = "Ann ann@sea.org, Bob bob@sea.org"
    out = redact(text, found(text, "ann@sea.org", "bob@sea.org"))
    assert out.text == "Ann [EMAIL], Bob [EMAIL]"
    assert [(one.label, one.value, one.token) for one in out.removed] == [
        ("email", "ann@sea.org", "[EMAIL]"),
        ("email", "bob@sea.org", "[EMAIL]"),
    ]


def test_the_same_value_has_the_same_number() -> None:
    text = "a@x.org b@x.org a@x.org 5551"
    findings = found(text, "a@x.org", "b@x.org") + found(text, "5551", label="phone")
    out = redact(text, findings, style="numbered")
    assert out.text == "[EMAIL 1] [EMAIL 2] [EMAIL 1] [PHONE 1]"


def test_a_vaulted_token_depends_on_key_label_and_value_only() -> None:
    text = "a@x.org, then a@x.org"
    out = redact(text, found(text, "a@x.org"), style="vaulted", key=KEY)
    first, second = (one.token for one in out.removed)
    assert first == second
    assert re.fullmatch(r"\[EMAIL:[0-9a-f]{8}\]", first)
    other_text = redact("so a@x.org", found("so a@x.org", "a@x.org"), style="vaulted", key=KEY)
    assert other_text.removed[0].token == first
    for label, key in (("email", b"another key of ours"), ("phone", KEY)):
        other = redact(text, found(text, "a@x.org", label=label), style="vaulted", key=key)
        assert other.removed[0].token[-9:] != first[-9:]


def test_kept_labels_are_left_and_do_not_hide_others() -> None:
    text = "mail ann@sea.org"
    findings = [
        Finding(label="url", start=0, end=16),
        Finding(label="email", start=5, end=16),
    ]
    assert redact(text, findings, keep=frozenset({"url"})).text == "mail [EMAIL]"
    assert redact(text, findings, keep={"url", "email"}) == Redacted(text=text, removed=())


@given(texts_with_findings(), st.sampled_from(["label", "numbered"]))
def test_what_was_not_found_stays_and_what_was_is_gone(
    case: tuple[str, list[Finding]], style: str
) -> None:
    text, findings = case
    out = redact(text, findings, style=style)  # pyright: ignore[reportArgumentType]
    kept, at = "", 0
    for one, removed in zip(merged(findings), out.removed, strict=True):
        assert removed.value == text[one.start : one.end]
        kept += text[at : one.start] + removed.token
        at = one.end
    assert out.text == kept + text[at:]


# --- putting back ------------------------------------------------------------------------------


@given(texts_with_findings())
def test_what_was_vaulted_comes_back_to_the_letter(case: tuple[str, list[Finding]]) -> None:
    text, findings = case
    out = redact(text, findings, style="vaulted", key=KEY)
    assert restore(out.text, out.values) == text


def test_a_text_that_quotes_a_token_comes_back_too() -> None:
    value = "ann@sea.org"
    token = redact(value, found(value, value), style="vaulted", key=KEY).text
    text = f"She wrote {token} for {value}."
    out = redact(text, found(text, value), style="vaulted", key=KEY)
    assert out.text.count(token) == 1
    assert re.search(r"\[EMAIL:[0-9a-f]{16}\]", out.text)
    assert restore(out.text, out.values) == text


def test_a_text_redacted_twice_comes_back_in_two_steps() -> None:
    text = "ann@sea.org or 5551"
    once = redact(text, found(text, "ann@sea.org"), style="vaulted", key=KEY)
    twice = redact(once.text, found(once.text, "5551", label="phone"), style="vaulted", key=KEY)
    assert restore(twice.text, once.values | twice.values) == text


def test_tokens_nobody_holds_stay() -> None:
    text = "[EMAIL:00000000], [EMAIL] and [EMAIL 1]"
    assert restore(text, {"[EMAIL]": "x", "[EMAIL 1]": "y"}) == text


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"label": "E-Mail", "start": 0, "end": 1},
        {"label": "", "start": 0, "end": 1},
        {"label": "email", "start": 1, "end": 1},
        {"label": "email", "start": -1, "end": 1},
        {"label": "email", "start": 0, "end": 1, "score": 1.5},
    ],
)
def test_a_finding_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Finding(**fields)  # pyright: ignore[reportArgumentType]


def test_a_finding_of_another_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ends at 9, the text at 5"):
        redact("short", [Finding(label="email", start=0, end=9)])


@pytest.mark.parametrize(
    ("style", "key", "told"),
    [
        ("hashed", None, "label, numbered, vaulted"),
        ("vaulted", None, "without a key"),
        ("label", KEY, "with a key"),
        ("vaulted", b"short", "at least 16"),
    ],
)
def test_style_and_key_must_go_together(style: str, key: bytes | None, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        redact("x", [], style=style, key=key)  # pyright: ignore[reportArgumentType]


def test_whoever_finds_is_a_detector() -> None:
    class Shouted:
        fingerprint = "shouted/1"

        def find(self, text: str) -> list[Finding]:
            return found(text, *re.findall(r"[A-Z]{3,}", text), label="shouted")

    detector = Shouted()
    assert isinstance(detector, Detector)
    assert redact("tell BOB now", detector.find("tell BOB now")).text == "tell [SHOUTED] now"
    assert not isinstance(object(), Detector)
