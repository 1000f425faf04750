"""Every language finds its own words, however they are written."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mnemos.kernel.tokens import (
    STOP_WORDS,
    count_terms,
    fold,
    name_hash,
    query_terms,
    speaker_hash,
    term_hash,
    terms,
    words,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Café", "cafe"),
        ("CAFE\u0301", "cafe"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ﾄｳｷｮｳ", "トウキョウ"),
        ("Ångström", "angstrom"),
        ("İstanbul", "istanbul"),
        ("Ελλάδα", "ελλαδα"),
        ("ΟΔΟΣ", "οδοσ"),
        ("Ёлка", "елка"),
        ("مُحَمَّد", "محمد"),
        ("한국어", "한국어"),
        ("がぎぐ", "がぎぐ"),
        ("Tiếng Việt", "tieng viet"),
    ],
)
def test_fold(text, folded):
    assert fold(text) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded


@given(st.text())
@example("İ\u0307\u0301")
@example("e\u0301\u0327")
def test_folding_does_not_depend_on_how_accents_are_composed(text):
    forms = {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {fold(text)}


@given(st.text())
def test_any_text_can_be_cut_into_words(text):
    found = words(text)
    assert all(found)
    assert len(terms(text)) == len(found)
    assert all(terms(text))
    assert count_terms(text).total() == len(found)
    assert set(query_terms(text)) <= set(terms(text))


@given(st.text(st.characters(codec="ascii")))
def test_case_does_not_matter(text):
    assert terms(text.upper()) == terms(text.lower())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The boats were painted", "boat painting"),
        ("She moved to Lisbon", "moving"),
        ("Die Häuser am See", "Hauser"),
        ("Мы видели красивые дома", "дом"),
        ("красивая кошка", "красивый"),
        ("οι άνθρωποι μιλούν", "ΑΝΘΡΩΠΟΙ"),
        ("הספר על השולחן", "השולחן"),
        ("كتبتُ الكتابَ أمس", "الكتاب"),
        ("私は東京に住んでいます", "東京"),
        ("カタカナの単語", "カタカナ"),
        ("我昨天去了北京大学", "北京"),
        ("저는 서울에 살아요", "서울"),
        ("ผมอยู่ที่กรุงเทพ", "กรุงเทพ"),
        ("ຂ້ອຍຢູ່ວຽງຈັນ", "ວຽງຈັນ"),
        ("ខ្ញុំរស់នៅភ្នំពេញ", "ភ្នំពេញ"),
        ("မြန်မာနိုင်ငံ", "မြန်မာ"),
        ("我有𠮷野家", "𠮷野"),
        ("Երեւանում", "Երեւանում"),
        ("flat 12b, 3rd floor", "12B"),
        ("call 555-0199", "0199"),
        ("I'm called Zoë", "zoe"),
        ("Ｌｉｓｂｏｎ", "lisbon"),
    ],
)
def test_every_language_finds_its_own_words(text, question):
    wanted = query_terms(question)
    assert wanted
    assert set(wanted) <= set(terms(text))


@pytest.mark.parametrize(
    ("language", "word"),
    [
        ("Hindi", "हिन्दी"),
        ("Bengali", "বাংলা"),
        ("Tamil", "தமிழ்"),
        ("Telugu", "తెలుగు"),
        ("Malayalam", "മലയാളം"),
        ("Sinhala", "සිංහල"),
        ("Hebrew with points", "שָׁלוֹם"),
        ("Tibetan", "བོད"),
    ],
)
def test_vowel_signs_do_not_cut_a_word(language, word):
    assert len(words(f"{word} x")) == 2


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Rendez-vous à l'hôpital", "hôpital"),
        ("C'est l’école d'Anna", "école"),
        ("C'est l’école d'Anna", "Anna"),
        ("l'acqua dell'isola", "isola"),
        ("qu'il vienne", "il"),
    ],
)
def test_elided_articles_do_not_hide_a_word(text, question):
    assert set(terms(question)) <= set(terms(text))


@pytest.mark.parametrize("apostrophe", ["'", "’"])
def test_apostrophes(apostrophe):
    assert terms(f"Ana{apostrophe}s boat") == terms("Ana boat")
    assert terms(f"the boats{apostrophe} sails") == terms("the boats sails")
    assert terms(f"don{apostrophe}t") == terms("dont")
    assert terms(f"O{apostrophe}Brien") == terms("obrien")
    assert terms(f"{apostrophe}quoted{apostrophe}") == terms("quoted")
    assert terms(f"it{apostrophe}ll") == terms("itll") != terms("ill")
    assert terms(f"could{apostrophe}ve") == terms("couldve")
    assert terms(f"rock {apostrophe}n{apostrophe} roll") == terms("rock n roll")


def test_unspaced_scripts_become_pairs():
    assert words("北京公园") == ["北京", "京公", "公园"]
    assert words("犬") == ["犬"]
    assert words("東京tower2号") == ["東京", "tower2", "号"]
    assert words("北京,公园") == ["北京", "公园"]


def test_punctuation_and_underscores_separate_and_emoji_are_no_words():
    assert words("snake_case-word.end 🚀✨") == ["snake", "case", "word", "end"]
    assert words("") == words("!?… _ '") == []


def test_a_question_drops_stop_words_unless_it_has_nothing_else():
    assert query_terms("where is the boat") == ["boat"]
    assert query_terms("the boat and the boats") == ["boat"]
    assert query_terms("who is it") == terms("who is it")
    assert query_terms("") == []
    assert all(fold(word) == word for word in STOP_WORDS)


@given(st.text(min_size=1))
def test_hashes_are_signed_64_bit_and_never_zero(text):
    assert -(2**63) <= term_hash(text) < 2**63
    assert term_hash(text) != 0


def test_hashes_are_what_they_always_were():
    assert term_hash("") == 0
    assert term_hash("boat") == 5466900226927393365
    assert name_hash(None) == name_hash("") == speaker_hash(None) == speaker_hash("!") == 0
    assert name_hash(" Ana ") == name_hash("ana") == term_hash("ana")
    assert speaker_hash("Ana María") == speaker_hash("ana") == term_hash(terms("Ana")[0])


def test_stems_are_the_same_in_every_thread():
    text = " ".join(f"running{i} boats{i} дома{i} कविता{i} Häuser{i}" for i in range(300))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(terms, [f"{text} boats{i} painted" for i in range(24)]))
    assert [item[:-2] for item in found] == [terms(text)] * 24
