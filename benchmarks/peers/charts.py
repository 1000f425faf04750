"""Bar charts of a run's record: quality, and cost.

    python benchmarks/peers/charts.py RECORD.json FOLDER

Needs matplotlib and nothing else, so that it can run in an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"disk": "#3b6ea5", "on save": "#c9a227", "memory": "#9a9a9a"}


def recall(ranks: list[int | None], k: int) -> float:
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def mean_recall(entry: dict[str, Any], k: int) -> float:
    found = list(entry["ranks"].values())
    return 100 * sum(recall(ranks, k) for ranks in found) / len(found)


def draw_quality(run: dict[str, Any], entries: list[dict[str, Any]], folder: Path) -> Path:
    chosen = [entry for entry in entries if not entry["bulk"]]
    chosen.sort(key=lambda entry: mean_recall(entry, 10))
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(chosen) + 1.4))
    bars = axes.barh(
        [entry["name"] for entry in chosen],
        [mean_recall(entry, 10) for entry in chosen],
        color=[COLOURS[entry["kept"]] for entry in chosen],
    )
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlim(0, 100)
    axes.set_xlabel("recall@10, %")
    axes.set_title(f"{run['task']}: {run['memories']} memories, {run['questions']} questions")
    return finish(figure, axes, folder / "quality.svg")


def draw_cost(entries: list[dict[str, Any]], folder: Path) -> Path:
    figure, panels = plt.subplots(1, 2, figsize=(11, 0.36 * len(entries) + 1.6), sharey=True)
    names = [entry["name"] for entry in reversed(entries)]
    colours = [COLOURS[entry["kept"]] for entry in reversed(entries)]
    for axes, (measure, label) in zip(
        panels,
        (("add_cpu_ms", "CPU ms to add one"), ("search_cpu_ms", "CPU ms to search, top 10")),
        strict=True,
    ):
        values = [max(entry["costs"][measure], 1e-4) for entry in reversed(entries)]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.set_xscale("log")
        axes.set_xlim(right=max(values) * 6)
        axes.set_xlabel(f"{label} (log)")
    return finish(figure, panels[1], folder / "cost.svg")


def finish(figure: Any, axes: Any, path: Path) -> Path:
    patches = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    axes.legend(patches, [f"kept: {name}" for name in COLOURS], loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    figure.savefig(path.with_suffix(".png"), dpi=120)
    return path


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    entries = [entry for entry in run["entries"] if entry["failed"] is None]
    print(draw_quality(run, entries, folder))
    print(draw_cost(entries, folder))


if __name__ == "__main__":
    main()
