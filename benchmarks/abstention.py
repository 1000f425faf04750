"""Whether a search knows that nothing answers: how well ``Hits.answerable`` tells questions apart.

    python benchmarks/abstention.py locomo deepmemeval --data PATH --chart roc.svg

Without data the shipped conversation alone is asked its own questions. *Own*: questions that a set
itself says its conversation does not answer, against those it does. In LoCoMo these are lures: they
ask of one speaker what the other one said. *Stranger*: the questions that the next conversation
answers, asked here; they are unanswerable by construction, and anyone can make them from any set.
AUC is the chance that an answerable question gets more than one that is not; the interval is that
of 1,000 resamplings of the questions. *Doubted*: below the threshold under which ``mnemos search``
says that probably nothing answers. ``--chart`` needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mnemos.app.memory import Memory
from mnemos.bench.measuring import SetClock
from mnemos.bench.task import Dialogue, Question, end_of
from mnemos.bench.tasks import get_task
from mnemos.retrieval.answerable import UNLIKELY

UNANSWERABLE = frozenset({"adversarial", "unanswerable"})
"""Categories of questions that a conversation does not answer; of LoCoMo's the evidence is a lure."""

RESAMPLES = 1_000


@dataclass(slots=True)
class Scores:
    """What the questions of one set got."""

    answered: list[float] = field(default_factory=list[float])
    unanswered: list[float] = field(default_factory=list[float])

    @property
    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.answered), np.array(self.unanswered)


def auc(answered: NDArray[np.float64], unanswered: NDArray[np.float64]) -> float:
    """Return the chance that an answered question gets more; ties count half."""
    ordered = np.sort(unanswered)
    below = np.searchsorted(ordered, answered, "left")
    level = np.searchsorted(ordered, answered, "right") - below
    return float((below + level / 2).mean() / len(ordered))


def interval(scores: Scores) -> tuple[float, float]:
    random = np.random.default_rng(0)
    yes, no = scores.arrays
    found = [
        auc(random.choice(yes, len(yes)), random.choice(no, len(no))) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def roc(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shares of answered and of unanswered questions at or above every threshold."""
    yes, no = scores.arrays
    thresholds = np.unique(np.concatenate((yes, no, [-1.0, 2.0])))[::-1]
    return (
        np.array([(yes >= one).mean() for one in thresholds]),
        np.array([(no >= one).mean() for one in thresholds]),
    )


def is_answered(question: Question) -> bool:
    return bool(question.gold) and not is_unanswerable(question)


def is_unanswerable(question: Question) -> bool:
    return question.category.lower() in UNANSWERABLE


def measure(tasks: Sequence[str], data: Path | None) -> dict[str, Scores]:
    """Remember every conversation, and ask it its own questions and those of the next one."""
    read = [
        (name, dialogue)
        for name in tasks
        for dialogue in get_task(name).load(None if name == "harbour" else data).dialogues
    ]
    sets: dict[str, Scores] = {}
    for place, (name, dialogue) in enumerate(read):
        following = read[(place + 1) % len(read)][1]
        strange = [] if following is dialogue else filter(is_answered, following.questions)
        with TemporaryDirectory(prefix="mnemos-abstention-") as folder:
            ask(dialogue, list(strange), Path(folder), name, sets)
    return {name: scores for name, scores in sets.items() if scores.unanswered}


def ask(
    dialogue: Dialogue, strange: list[Question], folder: Path, name: str, sets: dict[str, Scores]
) -> None:
    own, other = (sets.setdefault(f"{name}, {kind}", Scores()) for kind in ("own", "stranger"))
    clock = SetClock(end_of(dialogue.drafts))
    with Memory(folder / "vault.db", clock=clock) as memory:
        memory.add_many(dialogue.drafts, user_id=dialogue.name)

        def value(question: Question) -> float:
            clock.moment = question.asked_at
            return memory.search(question.text, user_id=dialogue.name).answerable

        for question in dialogue.questions:
            if is_unanswerable(question):
                own.unanswered.append(value(question))
            elif question.gold:
                own.answered.append(value(question))
                other.answered.append(own.answered[-1])
        other.unanswered += map(value, strange)


def row(scores: Scores) -> dict[str, float]:
    yes, no = scores.arrays
    low, high = interval(scores)
    return {
        "answered": len(yes),
        "unanswered": len(no),
        "auc": round(auc(yes, no), 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "answered_doubted": round(float((yes < UNLIKELY).mean()), 3),
        "unanswered_doubted": round(float((no < UNLIKELY).mean()), 3),
    }


def draw(sets: dict[str, Scores], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "mnemos"}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 5))
    for name, scores in sets.items():
        true, false = roc(scores)
        axes.plot(false, true, label=f"{name}: {auc(*scores.arrays):.2f}")
    axes.plot([0, 1], [0, 1], color="#9a9a9a", linewidth=0.8, linestyle=":")
    axes.set_xlabel("unanswerable questions taken for answered")
    axes.set_ylabel("answerable questions taken for answered")
    axes.legend(loc="lower right", fontsize=8, title="area under the curve")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="as `mnemos bench` names them")
    parser.add_argument("--data", type=Path, help="folder of the sets that are not shipped")
    parser.add_argument("--chart", type=Path, help="draw the curves into this file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sets = measure(["harbour", *options.tasks], options.data)
    rows = {name: row(scores) for name, scores in sets.items()}
    if options.chart:
        draw(sets, options.chart)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'questions':<24}{'answered':>9}{'not':>6}{'AUC':>7}{'95 %':>15}{'doubted':>16}")
    for name, one in rows.items():
        print(
            f"{name:<24}{one['answered']:>9}{one['unanswered']:>6}{one['auc']:>7.3f}"
            f"{one['low']:>9.3f}–{one['high']:.3f}"
            f"{100 * one['answered_doubted']:>8.1f}{100 * one['unanswered_doubted']:>8.1f}"
        )
    print("doubted: per cent of the answered, and of those that are not")
    print(f"{time.process_time():.0f} s of processor time")


if __name__ == "__main__":
    main()
