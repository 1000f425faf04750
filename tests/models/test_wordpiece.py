"""The tokenizer against the reference, character by character and at random."""

# Letters of many scripts are what is tested here.

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.models import wordpiece
from mnemos.models.wordpiece import WordPiece, read_vocabulary

NO_LIMIT = sys.maxsize

CONFORMANCE = {
    "plain": "The quick brown fox jumps over the lazy dog.",
    "blank": " \t\r\n\u00a0\u2003\u3000 ",
    "empty": "",
    "latin accents": "Čeština, Ångström, naïve façade, İstanbul, ĲSSEL, Straße, ﬁn, Dž",
    "combining": "e\u0301 a\u0308\u0323 q\u0307\u0323 \u0301alone o\u0335",
    "greek": "ΟΔΥΣΣΕΥΣ Σ ΣΑΣ. άλφα ᾳ ᾼ",
    "cyrillic": "Съешь ещё этих мягких французских булок, Ё Й",
    "cjk": "北京的公园很美。電腦と寿司を食べる、カタカナ ｶﾀｶﾅ ㈱ 豈 𠀀𪚥𫝀𫠠",
    "hangul": "안녕하세요 서울 \u1112\u1161\u11ab",
    "arabic": "السَّلامُ عَلَيْكُمْ ﷺ ـــ ٣٫١٤",
    "thai": "สวัสดีครับ ที่นี่ ๑๒๓",
    "hebrew": "שָׁלוֹם עוֹלָם ״מרכאות״",
    "devanagari": "नमस्ते दुनिया क़ ऑ हिन्दी।",
    "tamil": "வணக்கம் உலகம்",
    "bengali": "বাংলা ভাষা ড়",
    "georgian": "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ გამარჯობა",
    "cherokee": "ᏣᎳᎩ ꭰꭱ",
    "emoji": "😀 👩‍👩‍👧‍👦 🇨🇿🇯🇵 👍🏽 ❤️ 🏴\U000e0067\U000e0062\U000e007f 1️⃣",
    "control": "a\x00b\x01c\x7fd\x85e\x0bf\x0cg\x1ch \x1b[0m",
    "format": "soft\u00adhyphen zero\u200bwidth \u200ejoin\u2060er\ufeff \u202eabc\u202c",
    "replacement": "bad \ufffd byte",
    "private": "\ue000x \U000f0000y",
    "unassigned": "a\u0378b \U000e0fffz",
    "noncharacter": "\uffff \ufdd0 \U0010ffff",
    "long word": "x" * 100 + " " + "y" * 101 + " " + "é" * 100 + " " + "é" * 101,
    "long ideographs": "中" * 300,
    "punctuation": "¿Qué? «ja» “no” — it's, 50% … ‽ ⁉ $5 + €6 = £11 @a #b ^ ` | ~ <c> \\ _d_",
    "math": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), √2 ≈ 1.41, 𝒜 𝐁 ½ ² ₂ ×÷",
    "currency": "¥100 ₹200 ₿3 ¢",
    "mixed": "GPT-4 的 价格 is $0.03/1k tokens（约￥0.2）!!! café\u0301",
    "late marks": "a\u1abfb ਸ\u0afa x\u0898 \U00010eac \u2e52a\u2e5b \u166d \u1734",
    "late capitals": "\ua7cb \ua7dc \u1c89 \U00010d50 \ua7da",
    "control tokens": "[CLS] [SEP] [MASK] [PAD] [UNK] [cls]",
}


@pytest.fixture(scope="session")
def tokenizer(published: Path) -> WordPiece:
    return WordPiece.from_file(published / "vocab.txt")


@pytest.fixture(scope="session")
def reference(published: Path) -> Callable[[str], list[int]]:
    tokenizers: Any = pytest.importorskip("tokenizers", reason="the reference is not installed")
    judge = tokenizers.Tokenizer.from_file(str(published / "tokenizer.json"))
    judge.no_padding()
    judge.no_truncation()
    # Text is data: see the module's docstring.
    judge.encode_special_tokens = True
    return lambda text: judge.encode(text).ids


@pytest.mark.parametrize("name", CONFORMANCE)
def test_like_the_reference(
    name: str, tokenizer: WordPiece, reference: Callable[[str], list[int]]
) -> None:
    text = CONFORMANCE[name]
    assert tokenizer.encode(text, NO_LIMIT) == reference(text)
    assert tokenizer.count(text) == len(reference(text)) - 2


# Every character outside the large uniform blocks (ideographs, Hangul, private use, planes without
# characters); of those their ends and every 97th.
BLOCK_ENDS = [
    *[0x3400, 0x4DC0, 0x4E00, 0xA000, 0xD7A4, 0xE000, 0xF900, 0x1F000, 0x1FC00, 0x20000],
    *[0x2A6E0, 0x2A700, 0x2B740, 0x2B820, 0x2B920, 0x2CEB0, 0x2F800, 0x2FA20, 0xF0000],
]
CODES = sorted(
    {*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x1F000), *range(0xE0000, 0xE0200)}
    | {end + step for end in BLOCK_ENDS for step in (-2, -1, 0, 1)}
    | {*range(0, sys.maxunicode + 1, 97), sys.maxunicode}
)


def test_like_the_reference_for_every_kind_of_character(
    tokenizer: WordPiece, reference: Callable[[str], list[int]]
) -> None:
    # Inside a word, and alone before a mark; 64 to a text for speed.
    characters = [chr(code) for code in CODES if not 0xD800 <= code < 0xE000]
    forms = [f"a{character}b {character}\u0301x" for character in characters]
    texts = [" ".join(forms[start : start + 64]) for start in range(0, len(forms), 64)]
    differing = [text for text in texts if tokenizer.encode(text, NO_LIMIT) != reference(text)]
    assert differing == []


@settings(max_examples=500, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_like_the_reference_for_random_text(
    text: str, tokenizer: WordPiece, reference: Callable[[str], list[int]]
) -> None:
    assert tokenizer.encode(text, NO_LIMIT) == reference(text)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_like_the_reference_for_text_of_its_letters(
    data: st.DataObject,
    tokenizer: WordPiece,
    reference: Callable[[str], list[int]],
    published: Path,
) -> None:
    letters = sorted(set((published / "vocab.txt").read_text(encoding="utf-8")))
    joints = ["", "", " ", "\u0301", "\u200d", "\ufe0f", "Σ", "İ", "\u0345"]
    parts = st.tuples(st.sampled_from(letters), st.sampled_from(joints), st.booleans())
    drawn = data.draw(st.lists(parts, max_size=40))
    text = "".join((a.upper() if up else a) + b for a, b, up in drawn)
    assert tokenizer.encode(text, NO_LIMIT) == reference(text)


def test_both_vocabulary_files_are_the_same(published: Path) -> None:
    files = (published / "vocab.txt", published / "tokenizer.json")
    one, other = (read_vocabulary(file.read_bytes(), file.name) for file in files)
    assert one == other
    assert WordPiece.from_file(files[1]).size == 30522


TINY = {
    word: number
    for number, word in enumerate(
        ["[UNK]", "[CLS]", "[SEP]", "hello", "world", "##s", "!", "[", "]", "cls"]
    )
}


def test_control_tokens_in_a_text_are_text() -> None:
    assert WordPiece(TINY).encode("[CLS] hello", 256) == [1, 7, 9, 8, 3, 2]


def test_lone_surrogates_are_dropped() -> None:
    assert WordPiece(TINY).encode("hel\ud800lo \udfff", 256) == [1, 3, 2]


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 6, 7])
def test_truncation_keeps_the_end_token(limit: int) -> None:
    whole = WordPiece(TINY).encode("hello worlds! hello", NO_LIMIT)
    cut = WordPiece(TINY).encode("hello worlds! hello", limit)
    assert cut == [*whole[: min(limit, len(whole)) - 1], 2]


def test_truncation_does_not_read_on() -> None:
    tokenizer = WordPiece(TINY)
    tokenizer.encode("hello " * 10 + "world", 5)
    assert tokenizer.count("hello") == 1
    assert "world" not in tokenizer._cache  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("unit", ["中国", "a", "é", '{"a":1}', "!", "カナ、"])
def test_truncation_of_text_without_blanks_is_cheap(unit: str) -> None:
    started = time.process_time()
    assert len(WordPiece(TINY).encode(unit * 100_000, 256)) in (3, 256)
    # About 0.05 s; splitting all of it would take more than 1 s.
    assert time.process_time() - started < 0.5


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(InvalidInput, match="max_tokens=1"):
        WordPiece(TINY).encode("hello", 1)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "CACHE_WORDS", 8)
    tokenizer = WordPiece(TINY)
    before = [tokenizer.count(f"hello{number}") for number in range(100)]
    assert before == [tokenizer.count(f"hello{number}") for number in range(100)]
    tokenizer.count("z" * 101)
    cache = tokenizer._cache  # pyright: ignore[reportPrivateUsage]
    assert len(cache) <= 8
    assert max(map(len, cache)) <= wordpiece.LONGEST_WORD


def test_threads_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "CACHE_WORDS", 16)
    tokenizer = WordPiece(TINY)
    texts = [f"hello{number} worlds! é{number}" for number in range(300)]
    expected = [WordPiece(TINY).encode(text, 256) for text in texts]
    found: list[list[list[int]]] = []

    def work() -> None:
        found.append([tokenizer.encode(text, 256) for text in texts])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\xfe", "vocab.txt"),
        (b"not json", "tokenizer.json"),
        (b"[]", "tokenizer.json"),
        (b'{"model": {"type": "BPE", "vocab": {}}}', "tokenizer.json"),
        (b'{"model": {"type": "WordPiece", "vocab": []}}', "tokenizer.json"),
    ],
)
def test_other_files_are_refused(data: bytes, name: str) -> None:
    with pytest.raises(InvalidInput):
        read_vocabulary(data, name)


def test_windows_line_ends_are_read() -> None:
    assert read_vocabulary(b"[UNK]\r\nhello\r\n", "vocab.txt") == {"[UNK]": 0, "hello": 1}


def test_a_vocabulary_without_control_tokens_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"lacks \[CLS\], \[SEP\]"):
        WordPiece({"[UNK]": 0})
