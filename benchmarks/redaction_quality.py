"""How well secrets and personal data are found: recall and precision per class, and the time.

    python benchmarks/redaction_quality.py --json

The corpus is ``tests/models/redaction_corpus.py``: generated sentences with values at known places,
and sentences that only look like it. *Recall*: values that finds of the right class cover whole.
*Hidden*: those that finds of any class cover. *Precision*: finds that touch a value of their class
and reach at most two characters beyond it. Times are of one thread, the median of the runs over
one text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))

import redaction_corpus as corpus

from mnemos.models.personal_data import StandardDetector

PROSE = (
    "I went to the market with Ann yesterday and we bought apples, pears and a big loaf of bread for "
    "the children, who were at home waiting for us to cook dinner."
)
TURNS = {
    "prose": PROSE,
    "prose with a date": f"{PROSE[:-1]} on 12 May 2024 at 10:30.",
    "prose with 'password'": f"{PROSE[:-1]}, and I forgot my password.",
    "with an e-mail": f"{PROSE[:-1]}; write to ann@example.org.",
    "with a phone number": f"{PROSE[:-1]}; call 415-555-2671.",
    "with a key": f"{PROSE[:-1]}; use ghp_q8Rk2Vd0XzT5mNbY7cWfH3sJ9pLaE1uGi4oC.",
}


def microseconds(detector: StandardDetector, text: str, runs: int = 300) -> float:
    times: list[float] = []
    for _ in range(runs):
        begin = time.perf_counter()
        detector.find(text)
        times.append(time.perf_counter() - begin)
    return round(statistics.median(times) * 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seed", type=int, default=0, help="another corpus: added to its seeds")
    parser.add_argument(
        "--wrong", action="store_true", help="print what was missed or wrongly found"
    )
    options = parser.parse_args()
    detector = StandardDetector()
    good, bad = corpus.positives(7 + options.seed), corpus.negatives(11 + options.seed)
    classes = corpus.score(good + bad, detector.find)
    speed = {name: microseconds(detector, text) for name, text in TURNS.items()}
    if options.wrong:
        show_wrong(good + bad, detector)
    if options.json:
        told = {"detector": detector.fingerprint, "values": len(good), "lookalikes": len(bad)}
        print(json.dumps(told | {"classes": classes, "microseconds": speed}, indent=2))
        return
    print(f"{detector.fingerprint}\n{len(good)} values, {len(bad)} sentences without any\n")
    print(f"{'class':<16}{'values':>7}{'recall':>8}{'hidden':>8}{'finds':>7}{'precision':>11}")
    for label, row in classes.items():
        hidden = row["hidden"] / row["values"] if row["values"] else 1.0
        print(
            f"{label:<16}{row['values']:>7}{row['recall']:>8.3f}{hidden:>8.3f}"
            f"{row['finds']:>7}{row['precision']:>11.3f}"
        )
    print("\nmicroseconds per turn of some 30 words")
    for name, value in speed.items():
        print(f"  {name:<24}{value:>8}")


def show_wrong(samples: list[corpus.Sample], detector: StandardDetector) -> None:
    for sample in samples:
        finds = detector.find(sample.text)
        for label, start, end in sample.spans:
            if not corpus.covered(list(finds), start, end, label):
                got = [(one.label, sample.text[one.start : one.end]) for one in finds]
                print(f"missed {label}: {sample.text!r}\n    {sample.text[start:end]!r}; got {got}")
        for one in finds:
            if not any(
                label == one.label
                and a - corpus.SLACK <= one.start < b
                and a < one.end <= b + corpus.SLACK
                for label, a, b in sample.spans
            ):
                print(f"wrong {one.label}: {sample.text[one.start : one.end]!r} in {sample.text!r}")


if __name__ == "__main__":
    main()
