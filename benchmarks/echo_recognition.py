"""Whether recalled text is recognised when it comes back in, and what else is taken for it.

    python benchmarks/echo_recognition.py ../shared/data
    python benchmarks/echo_recognition.py ../shared/data --cost --json

*Recognised*: a memory comes back changed as the column says; the page holds its whole conversation.
*Packed*: a context of 5 to 30 memories comes back. *False alarms*: every genuine turn, compared
with all turns before it in its conversation; `echo` is how often it is called an echo, `repeat` how
often it is said to repeat one memory. *Live*: the same through the public calls, as a host uses them:
before each turn is added, memory is searched with it (ten hits, by words), so that what is most like
it has just been handed out. *Cost*: wall time of one call on pages of several sizes.
Sets that are absent are left out. Nothing of them is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from generator import Words

from mnemos import Memory
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.governance.trust import is_echo
from mnemos.kernel.postings import encode_terms, invert
from mnemos.kernel.schema import ALIVE
from mnemos.kernel.segments import COLUMNS
from mnemos.kernel.tokens import count_terms
from mnemos.retrieval.echoes import LEAST_WORDS, Echo, Lists, recognise, repeats
from mnemos.retrieval.pack import pack
from mnemos.types import Header, MemCube, Origin, Scope, Text

CLASSES = (0, 6, 8, 12)
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
PIECES = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+|\s+")
SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def read(path: Path) -> object:
    return json.loads((gzip.open(path) if path.suffix == ".gz" else path.open("rb")).read())


def locomo(data: Path) -> Iterator[tuple[str, list[str]]]:
    for sample in read(data / "locomo/locomo_dev.json.gz"):
        said = sample["conversation"]
        sessions = sorted(
            (int(key.split("_")[1]), key) for key in said if re.fullmatch(r"session_\d+", key)
        )
        yield "locomo en", [turn["text"] for _, key in sessions for turn in said[key]]


def memorybank(data: Path) -> Iterator[tuple[str, list[str]]]:
    for folder, name in (("en", "memory_bank_en.json"), ("cn", "memory_bank_cn.json")):
        users = read(data / "memorybank_siliconfriend" / folder / name)
        for user in users.values():
            pairs = [pair for day in user["history"].values() for pair in day]
            turns = [text for pair in pairs for text in (pair["query"], pair["response"])]
            yield f"memorybank {folder}", turns


def longmemeval(data: Path) -> Iterator[tuple[str, list[str]]]:
    with gzip.open(data / "longmemeval_partial/pool_sessions.jsonl.gz", "rt") as lines:
        for line in lines:
            turns = json.loads(line)["turns"]
            yield (
                "longmemeval user",
                [turn["content"] for turn in turns if turn["role"] == "user"],
            )
            yield "longmemeval all", [turn["content"] for turn in turns]


def xpersona(data: Path) -> Iterator[tuple[str, list[str]]]:
    for language in ("En", "Fr", "Id", "It", "Jp", "Ko", "Zh"):
        for path in sorted((data / "xpersona").glob(f"{language}_*valid*")):
            for dialogue in read(path):
                turns = [text for pair in dialogue["dialogue"] for text in pair]
                yield f"xpersona {language.lower()}", turns


def kdconv(data: Path) -> Iterator[tuple[str, list[str]]]:
    for domain in ("film", "music", "travel"):
        for dialogue in read(data / "kdconv_zh" / domain / "dev.json.gz"):
            yield "kdconv zh", [message["message"] for message in dialogue["messages"]]


SETS = (
    (locomo, "locomo"),
    (memorybank, "memorybank_siliconfriend"),
    (longmemeval, "longmemeval_partial"),
    (xpersona, "xpersona"),
    (kdconv, "kdconv_zh"),
)


def conversations(data: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = defaultdict(list)
    for loader, folder in SETS:
        if (data / folder).is_dir():
            for name, turns in loader(data):
                found[name].append([turn for turn in turns if turn.strip()])
    return found


def page(texts: Sequence[str], block: int = 1 << 30) -> PageArrays:
    """Return a page of these texts, posting lists in blocks of so many rows."""
    rows = [encode_terms(count_terms(text)) for text in texts]
    columns = np.zeros((len(texts), len(COLUMNS)), np.int64, order="F")
    columns[:, COLUMNS.index("length")] = [len(row) // 10 for row in rows]
    blocks = tuple(
        (first, invert(rows[first : first + block])) for first in range(0, len(rows), block)
    )
    return PageArrays(columns, np.full(len(texts), ALIVE, np.int64), None, blocks)


NOTHING = page([])


@cache
def length(text: str) -> float:
    """Return a text's words, as they are counted there."""
    return recognise(text, Lists(NOTHING, np.zeros(0, bool)), str).words


def word_places(pieces: list[str]) -> list[int]:
    return [place for place, piece in enumerate(pieces) if any(map(str.isalnum, piece))]


def replaced(text: str, pool: Sequence[str], chance: random.Random, share: float = 0.2) -> str:
    """Return a text with this share of its words, rounded down, replaced by words of the set."""
    pieces = PIECES.findall(text)
    places = word_places(pieces)
    for place in chance.sample(places, int(share * len(places))):
        pieces[place] = chance.choice(pool)
    return "".join(pieces)


def half(text: str, first: float) -> str:
    """Return one half of a text's words, from so far on."""
    pieces = PIECES.findall(text)
    places = word_places(pieces)
    n = len(places)
    start = int(first * n)
    stop = min(start + (n + 1) // 2, n)
    return "".join(pieces[places[start] : places[stop - 1] + 1]) if n > 1 else text


def unpunctuated(text: str) -> str:
    return re.sub(r"\s+", "  ", re.sub(r"[^\w\s'’]", " ", text)).strip()


def changes(pool: Sequence[str], chance: random.Random) -> dict[str, Callable[[str], str]]:
    return {
        "same": lambda text: text,
        "case": str.upper,
        "marks": unpunctuated,
        "notes": lambda text: f"According to my notes: {text}",
        "fifth": lambda text: replaced(text, pool, chance),
        "first": lambda text: half(text, 0.0),
        "last": lambda text: half(text, 0.5),
        "middle": lambda text: half(text, 0.25),
        "second": lambda text: " ".join(SENTENCES.split(text)[::2]),
    }


def vocabulary(found: list[list[str]]) -> list[str]:
    pieces = [piece for turns in found for turn in turns for piece in PIECES.findall(turn)]
    return [piece for piece in pieces if any(map(str.isalnum, piece))]


Counts = dict[str, dict[str, Counter[str]]]


def note(table: Counts, name: str, words: float, **seen: bool) -> None:
    for least in CLASSES:
        if words >= least:
            counts = table[name][f">={least}" if least else "all"]
            counts["n"] += 1
            counts.update({what: int(is_so) for what, is_so in seen.items()})


def recognised(found: dict[str, list[list[str]]], samples: int) -> Counts:
    """Return how often changed memories are recognised, up to so many of each set."""
    table: Counts = defaultdict(lambda: defaultdict(Counter))
    for name, talks in found.items():
        chance = random.Random(name)
        each = max(samples // len(talks), 4)
        ways = changes(vocabulary(talks), chance)
        for turns in chance.sample(talks, min(len(talks), samples // each)):
            arrays, known = page(turns), np.ones(len(turns), bool)
            for turn in chance.sample(turns, min(each, len(turns))):
                for way, change in ways.items():
                    text = change(turn)
                    echo = recognise(text, Lists(arrays, known), turns.__getitem__)
                    words = length(turn) if way == "notes" else length(text)
                    note(table, f"{name}: {way}", words, echo=echo.is_echo)
    return table


def packed_text(turns: Sequence[str], places: Sequence[int]) -> str:
    """Return turns as a packed context: speakers, dates, some of them quoted as an outsider's."""
    cubes = [
        MemCube(
            id=str(place),
            scope=Scope(),
            header=Header(
                speaker="Ana" if place % 2 else "Ben",
                origin=Origin.TOOL if place % 5 == 0 else Origin.USER,
                happened_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=7 * place),
            ),
            payload=Text(text=turns[place]),
            recorded_at=datetime(2025, 1, 1, tzinfo=UTC),
        )
        for place in places
    ]
    return pack((), cubes, budget=1 << 30).text


def packed(found: dict[str, list[list[str]]], samples: int) -> Counts:
    """Return how often whole contexts are recognised; small conversations are put together."""
    table: Counts = defaultdict(lambda: defaultdict(Counter))
    for name, talks in found.items():
        chance = random.Random(name)
        turns = [turn for talk in talks[:200] for turn in talk][:3000]
        arrays, known = page(turns), np.ones(len(turns), bool)
        ways = changes(vocabulary([turns]), chance)
        ways["flat"] = lambda text: " ".join(text.split())
        for _ in range(samples):
            size = min(chance.randint(5, 30), len(turns))
            text = packed_text(turns, chance.sample(range(len(turns)), size))
            for way, change in ways.items():
                echo = recognise(change(text), Lists(arrays, known), turns.__getitem__)
                note(table, f"{name}: {way}", 0, echo=echo.is_echo)
    return table


def alarms(found: dict[str, list[list[str]]]) -> Counts:
    """Return how often a genuine turn is called an echo, or a repetition of one memory."""
    table: Counts = defaultdict(lambda: defaultdict(Counter))
    for name, talks in found.items():
        for turns in talks:
            arrays, numbers = page(turns), np.arange(len(turns))
            for place, turn in enumerate(turns):
                echo = recognise(turn, Lists(arrays, numbers < place), turns.__getitem__)
                repeat = any(map(repeats, echo.repeated))
                note(table, name, length(turn), echo=echo.is_echo, repeat=repeat)
    return table


def live(found: dict[str, list[list[str]]], most: int) -> dict[str, dict[str, float]]:
    """Return, for each set, how many genuine turns a vault called an echo, after a search each."""
    table: dict[str, dict[str, float]] = {}
    for name, talks in found.items():
        turns = echoes = 0
        for number, talk in enumerate(talks):
            if turns >= most:
                break
            with Memory(":memory:", embedder=None, background="off") as memory:
                for text in filter(str.strip, talk):
                    memory.search(text, user_id=f"u{number}", top_k=10)
                    id = memory.add(text, user_id=f"u{number}").id
                    turns += 1
                    echoes += is_echo(memory.get(id).header)
        table[name] = {"turns": turns, "echoes": echoes, "share": echoes / turns if turns else 0.0}
    return table


def timed(action: Callable[[], Echo]) -> float:
    begin = time.perf_counter()
    action()
    return 1e6 * (time.perf_counter() - begin)


def cost(found: dict[str, list[list[str]]], calls: int = 400) -> dict[str, dict[str, float]]:
    """Return microseconds a call on pages of real turns, made-up ones where they do not suffice.

    The turns asked about have 20 to 40 words. New ones are compared with all rows but themselves.
    """
    chance = random.Random(3)
    spaced = [talk for name, talks in found.items() if name.endswith("en") for talk in talks]
    real = [turn for talk in spaced for turn in talk]
    made = Words()
    table: dict[str, dict[str, float]] = {}
    for rows in (500, 5_000, 50_000):
        texts = (real + [made.sentence() for _ in range(max(rows - len(real), 0))])[:rows]
        arrays, known = page(texts), np.ones(rows, bool)
        middling = [place for place, text in enumerate(texts) if 20 <= length(text) <= 40]
        asked = chance.sample(middling, min(calls, len(middling)))
        fetched: Counter[str] = Counter()

        def fetch(position: int, texts: list[str] = texts, seen: Counter[str] = fetched) -> str:
            seen["texts"] += 1
            return texts[position]

        figures: dict[str, float] = {}
        for kind in ("new", "echo"):
            fetched.clear()
            spent = []
            for place in asked:
                known[place] = kind == "echo"
                text = texts[place]
                spent.append(timed(lambda: recognise(text, Lists(arrays, known), fetch)))  # noqa: B023
                known[place] = True
            spent.sort()
            figures[f"{kind} median"] = round(statistics.median(spent))
            figures[f"{kind} p95"] = round(spent[int(0.95 * len(spent))])
            figures[f"{kind} fetches"] = round(fetched["texts"] / len(asked), 2)
        table[f"{rows} rows"] = figures
    return table


def shares(table: Counts) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {
            least: {
                what: counts[what] if what == "n" else round(100 * counts[what] / counts["n"], 2)
                for what in sorted(counts)
            }
            for least, counts in classes.items()
        }
        for name, classes in table.items()
    }


def show_ways(title: str, table: Counts, least: str) -> None:
    """Print a table with a row per set and a column per change."""
    sets = list(dict.fromkeys(name.split(": ")[0] for name in table))
    ways = list(dict.fromkeys(name.split(": ")[1] for name in table))
    print(f"\n{title}\n{'':18}" + "".join(f"{way:>8}" for way in ways) + f"{'n':>8}")
    totals = {way: Counter[str]() for way in ways}
    for name in sets:
        cells = [table[f"{name}: {way}"][least] for way in ways]
        for way, counts in zip(ways, cells, strict=True):
            totals[way].update(counts)
        print(f"{name:18}" + row(cells))
    print(f"{'all sets':18}" + row([totals[way] for way in ways]))


def row(cells: list[Counter[str]]) -> str:
    parts = [
        f"{100 * cell['echo'] / cell['n']:8.1f}" if cell["n"] else f"{'-':>8}" for cell in cells
    ]
    return "".join(parts) + f"{cells[0]['n']:8}"


def show_alarms(table: Counts) -> None:
    classes = ["all", *(f">={least}" for least in CLASSES[1:])]
    print("\nFalse alarms, % of genuine turns: echo / repeat (turns), by least words")
    print(f"{'':18}" + "".join(f"{name:>24}" for name in classes))
    for name, by_class in table.items():
        cells = [by_class[least] for least in classes]
        texts = [
            f"{100 * c['echo'] / c['n']:.2f} / {100 * c['repeat'] / c['n']:.2f} ({c['n']})"
            for c in cells
            if c["n"]
        ]
        print(f"{name:18}" + "".join(f"{text:>24}" for text in texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--samples", type=int, default=400, help="memories changed, of each set")
    parser.add_argument("--contexts", type=int, default=20, help="contexts packed, of each set")
    parser.add_argument("--cost", action="store_true", help="measure the cost as well")
    parser.add_argument("--live", type=int, default=0, help="turns of each set, live")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    given = parser.parse_args()
    found = conversations(given.data)
    if not found:
        parser.error(f"no data sets in {given.data}; give the folder that holds locomo and others")
    once = recognised(found, given.samples)
    contexts = packed(found, given.contexts)
    genuine = alarms(found)
    lived = live(found, given.live) if given.live else {}
    spent = cost(found) if given.cost else {}
    if given.json:
        report = {
            "recognised": shares(once),
            "packed": shares(contexts),
            "alarms": shares(genuine),
            "live": lived,
            "cost": spent,
        }
        print(json.dumps(report, indent=2))
        return
    for least in CLASSES[1:]:
        show_ways(f"Recognised, % of texts of {least} words or more", once, f">={least}")
    show_ways("Packed contexts recognised, %", contexts, "all")
    show_alarms(genuine)
    print(f"\nNothing under {LEAST_WORDS:g} words is called an echo.")
    for name, seen in lived.items():
        print(f"{name:18} live: {seen['echoes']:g} of {seen['turns']:g} turns, {seen['share']:.2%}")
    for name, figures in spent.items():
        print(f"{name:12}" + "  ".join(f"{what} {value:g}" for what, value in figures.items()))


if __name__ == "__main__":
    main()
