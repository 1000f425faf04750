"""How often a marked excerpt says where it is from, by its length and by what was done to it.

python benchmarks/watermark_survival.py --text book.txt.gz
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import random
import textwrap
import time
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mnemos.exchange.watermark import copies, mark, read_marks, unmark

LENGTHS = (10, 20, 40, 80)
KEY = b"a key for this benchmark"
NUMBER, OTHER_NUMBER = 17, 23

Change = Callable[[str, random.Random], str]


def through_html(text: str, rng: random.Random) -> str:
    return html.unescape(html.escape(text).encode("ascii", "xmlcharrefreplace").decode())


def without_words(share: float) -> Change:
    def change(text: str, rng: random.Random) -> str:
        return " ".join(word for word in text.split() if rng.random() >= share)

    return change


def with_words(share: float) -> Change:
    def change(text: str, rng: random.Random) -> str:
        words = text.split()
        for _ in range(round(len(words) * share)):
            words.insert(rng.randrange(len(words) + 1), "inserted")
        return " ".join(words)

    return change


def without_carriers(share: float) -> Change:
    def change(text: str, rng: random.Random) -> str:
        return "".join(c for c in text if not unmark(c) == "" or rng.random() >= share)

    return change


CHANGES: dict[str, Change] = {
    "as it is": lambda text, rng: text,
    "NFC": lambda text, rng: unicodedata.normalize("NFC", text),
    "NFKC": lambda text, rng: unicodedata.normalize("NFKC", text),
    "UTF-8 file": lambda text, rng: text.encode().decode(),
    "HTML, escaped and back": through_html,
    "JSON and back": lambda text, rng: json.loads(json.dumps(text)),
    "white space collapsed": lambda text, rng: " ".join(text.split()),
    "wrapped to 40 columns": lambda text, rng: "\n".join(textwrap.wrap(text, 40)),
    "lines stripped": lambda text, rng: "\n".join(s.strip() for s in text.splitlines()),
    "case folded": lambda text, rng: text.casefold(),
    "5 % of words taken out": without_words(0.05),
    "20 % of words taken out": without_words(0.20),
    "20 % of words put in": with_words(0.20),
    "1 % of carriers lost": without_carriers(0.01),
    "5 % of carriers lost": without_carriers(0.05),
}


@cache
def blanks(text: str) -> list[int]:
    return [at for at, letter in enumerate(text) if letter.isspace()]


def excerpt(text: str, count: int, rng: random.Random) -> str:
    """Return so many words in a row, cut at blanks as somebody would select them."""
    places = blanks(text)
    first = rng.randrange(len(places) - 2 * count)
    words, start = 0, places[first] + 1
    for end in places[first + 1 :]:
        words += not text[end - 1].isspace()
        if words == count:
            return text[start:end]
    raise AssertionError(count)


def survived(text: str, count: int, change: Change, rounds: int, rng: random.Random) -> float:
    right = 0
    for _ in range(rounds):
        found = read_marks(change(excerpt(text, count, rng), rng), key=KEY)
        right += found.number == NUMBER
    return right / rounds


def joined(one: str, two: str, count: int, rounds: int, rng: random.Random) -> float:
    right = 0
    for _ in range(rounds):
        text = f"{excerpt(one, count, rng)}\n{excerpt(two, count, rng)}"
        marks = read_marks(text, key=KEY).marks
        right += [found.number for found in marks] == [NUMBER, OTHER_NUMBER]
    return right / rounds


def false_finds(text: str, rounds: int, rng: random.Random) -> tuple[int, int]:
    """Count marks read where there are none: in plain text, and with another key."""
    plain = other = 0
    for _ in range(rounds):
        found = excerpt(text, 80, rng)
        plain += bool(read_marks(found, key=KEY).marks)
        marked = mark(found, key=rng.randbytes(16), number=rng.getrandbits(32))
        other += bool(read_marks(marked, key=KEY).marks)
    return plain, other


def read(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="a book, UTF-8, may be .gz")
    parser.add_argument("--rounds", type=int, default=200, help="excerpts per figure")
    parser.add_argument("--characters", type=int, default=200_000, help="of the book, from 5,000")
    parser.add_argument("--unwrapped", action="store_true", help="join the lines of a paragraph")
    given = parser.parse_args()
    text = read(given.text)[5_000 : 5_000 + given.characters]
    if given.unwrapped:
        text = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    begin = time.perf_counter()
    sent = mark(text, key=KEY, number=NUMBER)
    marked_in = time.perf_counter() - begin
    begin = time.perf_counter()
    assert read_marks(sent, key=KEY).number == NUMBER
    read_in = time.perf_counter() - begin
    assert unmark(sent) == text
    rng = random.Random(7)
    print(f"{'':28}" + "".join(f"{count:>6} words" for count in LENGTHS))
    for name, change in CHANGES.items():
        shares = [survived(sent, count, change, given.rounds, rng) for count in LENGTHS]
        print(f"{name:28}" + "".join(f"{share:>12.1%}" for share in shares))
    other = mark(text, key=KEY, number=OTHER_NUMBER)
    shares = [joined(sent, other, count, given.rounds, rng) for count in LENGTHS]
    print(f"{'two exports, both named':28}" + "".join(f"{share:>12.1%}" for share in shares))
    plain, foreign = false_finds(text, 5 * given.rounds, rng)
    report = {
        "words": len(text.split()),
        "copies": copies(text),
        "bytes_times": round(len(sent.encode()) / len(text.encode()), 2),
        "mark_seconds": round(marked_in, 3),
        "read_seconds": round(read_in, 3),
        "false_finds_in_plain_text": f"{plain} of {5 * given.rounds}",
        "false_finds_with_another_key": f"{foreign} of {5 * given.rounds}",
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
