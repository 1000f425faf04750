"""Watermarks: what they survive, what they never touch, and that nobody else's are read."""

import html
import json
import random
import textwrap
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.errors import InvalidInput
from mnemos.exchange.watermark import (
    CARRIERS,
    CELL_SYMBOLS,
    CELLS,
    Verdict,
    copies,
    make_key,
    mark,
    read_marks,
    unmark,
)
from mnemos.kernel.tokens import terms
from mnemos.testing.ids import SeededEntropy

KEY = make_key(SeededEntropy("ours"))
OTHER = make_key(SeededEntropy("theirs"))

PARAGRAPH = (
    "The harbour master wrote the tides into a long grey book, every morning and every evening, "
    "for thirty years. Nobody read it but the gulls, he used to say, and he was nearly right: "
    "when the sea wall broke, the book was the only thing that told how high the water had stood "
    "in the spring of the great storm. They built the new wall by it, two hands higher than the "
    "highest line, and painted the line on the stones so that the children would know."
)
WORDS = PARAGRAPH.split()
SENT = mark(PARAGRAPH, key=KEY, number=17)
NUMBERS = st.integers(0, 2**32 - 1)


def numbers(text: str, key: bytes = KEY) -> list[int]:
    return [found.number for found in read_marks(text, key=key).marks]


# --- laws ------------------------------------------------------------------------------------


@given(st.text(), NUMBERS)
def test_unmark_takes_back_what_mark_did_to_any_text(text: str, number: int) -> None:
    assert unmark(mark(text, key=KEY, number=number)) == unmark(text)


ODD = st.sampled_from([*"ab1 \n\t`~#>-*_[]()<$|'\"é世", "  ", "```\n", "> ", "\n\n", "http://x y"])


@given(st.lists(ODD, max_size=120).map("".join), NUMBERS)
def test_unmark_takes_back_what_mark_did_to_markdown(text: str, number: int) -> None:
    marked = mark(text, key=KEY, number=number)
    assert unmark(marked) == text
    assert len(marked) == len(text) or copies(text) * CELLS <= (len(marked) - len(text))
    assert numbers(marked) == ([number] if copies(text) else [])


@given(st.text(alphabet=CARRIERS + "ab ", max_size=200))
def test_a_second_mark_replaces_the_first(text: str) -> None:
    assert mark(mark(text, key=OTHER, number=3), key=KEY, number=4) == mark(text, key=KEY, number=4)


@given(NUMBERS, st.binary(min_size=16, max_size=64))
def test_every_number_and_key_is_read_back(number: int, key: bytes) -> None:
    reading = read_marks(mark(PARAGRAPH, key=key, number=number), key=key)
    assert (reading.verdict, reading.number) == (Verdict.CERTAIN, number)
    assert reading.marks[0].copies == copies(PARAGRAPH)
    assert reading.chance < 2**-32


def test_marking_is_the_same_each_time() -> None:
    assert mark(PARAGRAPH, key=KEY, number=17) == SENT
    assert mark(PARAGRAPH, key=KEY, number=18) != SENT


# --- what it survives ------------------------------------------------------------------------

CHANGES = {
    "NFC": lambda text: unicodedata.normalize("NFC", text),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "NFKC": lambda text: unicodedata.normalize("NFKC", text),
    "NFKD": lambda text: unicodedata.normalize("NFKD", text),
    "UTF-8": lambda text: text.encode().decode(),
    "UTF-16": lambda text: text.encode("utf-16").decode("utf-16"),
    "HTML": lambda text: html.unescape(
        html.escape(text).encode("ascii", "xmlcharrefreplace").decode()
    ),
    "JSON": lambda text: json.loads(json.dumps({"text": text}))["text"],
    "collapsed": lambda text: " ".join(text.split()),
    "rewrapped": lambda text: "\n".join(textwrap.wrap(text, 40)),
    "quoted": lambda text: "\n".join(f"> {line}" for line in textwrap.wrap(text, 72)),
    "stripped": lambda text: "\n".join(line.strip() for line in textwrap.wrap(text, 40)),
    "casefold": str.casefold,
    "upper": str.upper,
    "title": str.title,
    "tabs": lambda text: text.replace(" ", "\t"),
    "no blanks": lambda text: text.replace(" ", ""),
    "no punctuation": lambda text: text.replace(",", "").replace(".", ""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_mark_survives(change) -> None:
    assert numbers(change(SENT)) == [17]


@pytest.mark.parametrize("count", [10, 20, 40])
def test_every_excerpt_of_ten_words_says_where_it_is_from(count: int) -> None:
    marked = SENT.split()
    assert len(marked) == len(WORDS)
    for start in range(len(marked) - count + 1):
        assert numbers(" ".join(marked[start : start + count])) == [17]


def test_an_excerpt_cut_in_the_middle_of_words_and_cells_is_read() -> None:
    length = 10 * (6 + CELL_SYMBOLS) + 20
    for start in range(len(SENT) - length):
        assert numbers(SENT[start : start + length]) == [17]


@given(st.sets(st.integers(0, len(WORDS) - 1), max_size=len(WORDS) // 3))
def test_words_taken_out_leave_the_mark_readable(gone: set[int]) -> None:
    left = [word for at, word in enumerate(SENT.split()) if at not in gone]
    assert numbers(" ".join(left)) == [17]


@given(st.lists(st.tuples(st.integers(0, len(WORDS)), st.sampled_from(WORDS)), max_size=80))
def test_words_put_in_leave_the_mark_readable(added: list[tuple[int, str]]) -> None:
    words = SENT.split()
    for place, word in added:
        words.insert(place, word)
    assert numbers(" ".join(words)) == [17]


def test_carriers_lost_or_changed_here_and_there_are_outvoted() -> None:
    rng = random.Random(5)
    hurt = 0
    for _ in range(50):
        letters = list(SENT)
        places = [at for at, letter in enumerate(letters) if letter in CARRIERS]
        for at in rng.sample(places, 12):
            letters[at] = rng.choice(["", *CARRIERS])
        hurt += numbers("".join(letters)) != [17]
    assert hurt == 0


def test_excerpts_of_two_exports_put_together_name_both() -> None:
    first = " ".join(SENT.split()[3:25])
    second = " ".join(mark(PARAGRAPH, key=KEY, number=23).split()[40:60])
    both = f"{first} and then {second}"
    reading = read_marks(both, key=KEY)
    assert [found.number for found in reading.marks] == [17, 23]
    assert reading.number is None
    assert reading.marks[0].end <= reading.marks[1].start
    assert both.index(" and then ") < reading.marks[1].start


def test_a_marked_excerpt_among_unmarked_text_is_found_where_it_is() -> None:
    excerpt = " ".join(SENT.split()[10:22])
    (found,) = read_marks(f"{PARAGRAPH}\n\n{excerpt}\n\n{PARAGRAPH}", key=KEY).marks
    assert (found.number, found.copies) == (17, 1)
    assert len(PARAGRAPH) < found.start < found.end < len(PARAGRAPH) + 4 + len(excerpt)


# --- what it never does ----------------------------------------------------------------------


def test_another_key_reads_no_mark_in_many_texts() -> None:
    rng = random.Random(11)
    for number in range(2_000):
        text = " ".join(rng.choices(WORDS, k=60))
        marked = mark(text, key=rng.randbytes(16), number=number)
        reading = read_marks(marked, key=KEY)
        assert (reading.verdict, reading.marks) == (Verdict.FOREIGN, ())
        assert read_marks(text, key=KEY).verdict is Verdict.NONE


def test_carriers_thrown_together_are_no_mark() -> None:
    rng = random.Random(13)
    tried = 0.0
    for _ in range(20):
        cells = ("".join(rng.choices(CARRIERS, k=CELL_SYMBOLS)) for _ in range(500))
        reading = read_marks(" ".join(f"{cell}word" for cell in cells), key=KEY)
        assert (reading.verdict, reading.marks) == (Verdict.FOREIGN, ())
        assert reading.chance < 2**-32
        tried += reading.chance * 2**56
    assert tried > 5_000


@given(st.text(max_size=300))
def test_plain_text_bears_no_mark(text: str) -> None:
    assert read_marks(unmark(text), key=KEY).verdict is Verdict.NONE


def test_a_forged_number_does_not_pass() -> None:
    one, other = (mark(PARAGRAPH, key=KEY, number=number).split() for number in (17, 23))
    mixed = [(one, other)[at // 4 % 2][at] for at in range(len(one))]
    assert read_marks(" ".join(mixed[:40]), key=KEY).marks == ()


def test_a_piece_too_short_says_that_it_is_one() -> None:
    reading = read_marks(" ".join(SENT.split()[4:9]), key=KEY)
    assert (reading.verdict, reading.cells) == (Verdict.FRAGMENT, 5)
    assert copies(" ".join(WORDS[4:9])) == 0


def test_stripping_the_carriers_leaves_no_mark() -> None:
    assert read_marks(unmark(SENT), key=KEY).verdict is Verdict.NONE


def test_words_are_found_in_marked_text_as_before() -> None:
    assert all(word in SENT for word in WORDS)
    assert terms(SENT) == terms(PARAGRAPH)
    assert [unmark(word) for word in SENT.split()] == WORDS
    assert not any(letter.isalnum() or letter.isspace() for letter in CARRIERS)


UNTOUCHED = [
    "```python\nfor each of these we run the code as it is\n```",
    "~~~\nfour words and then\n```\nfive more words here\n~~~",
    "> ```\n> quoted code keeps clean\n> ```",
    "    indented code is left as it is here",
    "`inline code with many words`",
    '[a link with words](target "and a title")',
    '[ref]: docs/page.md "its own title here"',
    '<a href="x" title="some more words">',
    "http://example.org/a",
    "$a and b over c$",
    "- item",
    "1. first",
    "# Heading",
    "> - [x] [done]",
    "| --- | :-- |",
    "**bold",
    "世界 」 _em_ *st*",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_an_invisible_character_would_harm_is_left_alone(text: str) -> None:
    assert mark(text, key=KEY, number=17) == text


def test_an_address_among_words_keeps_its_border_clean() -> None:
    marked = mark("write to ana@example.org or see http://example.org today", key=KEY, number=1)
    assert " ana@example.org " in marked
    assert " http://example.org " in marked
    assert " today" not in marked


def test_code_left_open_in_a_quotation_does_not_hide_the_rest() -> None:
    assert copies(f"> ```\n> x\n\n{PARAGRAPH}") == copies(PARAGRAPH)


@pytest.mark.parametrize(
    ("key", "number", "told"),
    [
        (b"short", 17, "5 bytes"),
        ("sixteen letters!", 17, "key is a str"),
        (KEY, -1, "from 0 to 4294967295"),
        (KEY, 2**32, "33 bits"),
        (KEY, True, "number is a bool"),
        (KEY, "17", "number is a str"),
    ],
)
def test_what_cannot_be_marked_with_is_refused(key, number, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        mark(PARAGRAPH, key=key, number=number)


def test_reading_needs_a_whole_key_too() -> None:
    with pytest.raises(InvalidInput, match="15 bytes"):
        read_marks(SENT, key=KEY[:15])
