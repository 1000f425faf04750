"""One table of a run: what was found, what it cost, what survived; footnotes say what needs saying.

========  ==========================================================================================
kept      where a write is when its call returns: on ``disk``, in memory until saved (``on save``),
          in ``memory`` only
R@, nDCG  recall at 5, 10, 20 and nDCG at 10, in percent
-Mnemos   difference of recall@10 to Mnemos on the same questions, with its 95 % interval
add/s     memories a second by the clock
add CPU   processor milliseconds for a memory, all threads; then its ratio to Mnemos (a bulk row's to
          the bulk row of Mnemos)
p50, p95  wall milliseconds of a search for ten
find CPU  median processor milliseconds of a search for ten; then its ratio to Mnemos
MB        growth of resident memory
B/mem     bytes on disk for a memory
2nd       whether a second process could open and write meanwhile, every acknowledged write found
lost      acknowledged writes not found after ``kill -9``, of all acknowledged
========  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from catalogue import REFERENCE
from record import Entry, Kills, Ranks, Run, Second
from tabulate import tabulate

from mnemos.bench.metrics import ndcg, paired_difference, recall

HEADERS = (
    "store", "kept", "n", "R@5", "R@10", "R@20", "nDCG@10", "-Mnemos", "add/s", "add CPU", "x",
    "p50", "p95", "find CPU", "x", "MB", "B/mem", "2nd", "lost",
)  # fmt: skip


def quality(ranks: Iterable[Ranks]) -> tuple[float, float, float, float]:
    """Return recall at 5, 10 and 20 and nDCG at 10, in percent."""
    found = list(ranks)
    means = [fmean(recall(item, k) for item in found) for k in (5, 10, 20)]
    means.append(fmean(ndcg(item, 10) for item in found))
    return tuple(100 * mean for mean in means)  # type: ignore[return-value]


def difference(entry: Entry, reference: Entry, seed: int) -> str:
    """Return the difference of recall@10 to the reference on the questions both answered."""
    both = [id for id in entry.ranks if id in reference.ranks]
    if not both or entry.name == reference.name:
        return ""
    apart = paired_difference(
        [100 * recall(entry.ranks[id], 10) for id in both],
        [100 * recall(reference.ranks[id], 10) for id in both],
        seed=seed,
    )
    return f"{apart.mean:+.1f} [{apart.low:+.1f}, {apart.high:+.1f}]"


class Footnotes:
    """Numbers what needs saying, and keeps it for the lines under the table."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """Return the mark of a footnote; the same text has the same one."""
        return f" [{self._said.setdefault(text, len(self._said) + 1)}]" if text else ""

    @property
    def lines(self) -> list[str]:
        """The footnotes in order."""
        return [f"[{number}] {text}" for text, number in self._said.items()]


def ratio(value: float, reference: float | None) -> str:
    """Return how many times the reference a value is.

    >>> ratio(3.0, 2.0), ratio(30.0, 2.0), ratio(1.0, None)
    ('1.50', '15', '')
    """
    if not reference:
        return ""
    times = value / reference
    return f"{times:.0f}" if times >= 10 else f"{times:.2f}"


def second_cell(second: Second | None, notes: Footnotes) -> str:
    """Return whether a second process could write, and how many of its writes were lost."""
    if second is None:
        return "-"
    if second.lost:
        return f"lost {second.lost}/{second.acknowledged}" + notes.mark(second.reason)
    return ("yes" if second.opened and not second.reason else "no") + notes.mark(second.reason)


def kills_cell(kills: Kills | None, notes: Footnotes) -> str:
    """Return how many acknowledged writes were lost, of how many."""
    if kills is None:
        return "-"
    return f"{sum(kills.lost)}/{sum(kills.acknowledged)}" + notes.mark(kills.reason)


def _reference_for(entry: Entry, entries: Mapping[str, Entry]) -> Entry | None:
    """Return the row whose ingest this one's is compared with: bulk with bulk."""
    return entries.get(f"{REFERENCE}-bulk" if entry.bulk else REFERENCE)


def row(entry: Entry, run: Run, notes: Footnotes) -> list[str]:
    """Return the cells of one peer."""
    if entry.failed is not None:
        return [entry.name, "not measured" + notes.mark(entry.failed)]
    entries = {item.name: item for item in run.entries}
    reference = entries.get(REFERENCE)
    costs = entry.costs
    assert costs is not None, f"{entry.name} neither failed nor was measured"
    writer = _reference_for(entry, entries)
    add = writer.costs.add_cpu_ms if writer is not None and writer.costs is not None else None
    measured = reference is not None and reference.costs is not None
    find = reference.costs.search_cpu_ms if measured else None
    return [
        entry.name + notes.mark(entry.note),
        entry.kept,
        f"{len(entry.ranks)}" + notes.mark(_sample(entry, reference, run)),
        *(f"{value:.1f}" for value in quality(entry.ranks.values())),
        difference(entry, reference, run.seed) if measured else "",
        f"{run.memories / max(costs.add_seconds, 1e-6):.0f}",
        f"{costs.add_cpu_ms:.2f}",
        ratio(costs.add_cpu_ms, add),
        f"{costs.search_ms_p50:.2f}",
        f"{costs.search_ms_p95:.2f}",
        f"{costs.search_cpu_ms:.2f}",
        ratio(costs.search_cpu_ms, find),
        "" if costs.rss_mb is None else f"{costs.rss_mb:.0f}",
        f"{costs.bytes_per_memory:.0f}",
        second_cell(entry.second, notes),
        kills_cell(entry.kills, notes),
    ]


def _sample(entry: Entry, reference: Entry | None, run: Run) -> str:
    """Return what to say of a peer that was too slow for all questions."""
    if len(entry.ranks) == run.questions:
        return ""
    said = (
        f"{entry.name} answered the first {len(entry.ranks)} of the shuffled questions in its time"
    )
    if reference is None or not set(entry.ranks) <= set(reference.ranks):
        return said
    _, ten, _, gain = quality([reference.ranks[id] for id in entry.ranks])
    return f"{said}; on these Mnemos has R@10 {ten:.1f}, nDCG@10 {gain:.1f}"


def render(run: Run, tablefmt: str = "simple") -> str:
    """Return the table of a run with its heading and footnotes.

    Parameters
    ----------
    run : Run
        What was measured.
    tablefmt : str
        As tabulate takes it; ``github`` for a document.
    """
    notes = Footnotes()
    rows: list[Sequence[str]] = [row(entry, run, notes) for entry in run.entries]
    whole = [[*cells, *[""] * (len(HEADERS) - len(cells))] for cells in rows]
    body = tabulate(whole, headers=HEADERS, tablefmt=tablefmt, disable_numparse=True)
    return "\n".join([*heading(run), "", body, "", *notes.lines]) + "\n"


def heading(run: Run) -> list[str]:
    """Return the lines above the table; they say whether the machine was busy."""
    low, high = min(run.load), max(run.load)
    # The run itself is one busy process; a load beyond that is somebody else's.
    busy = " (LOADED: read CPU and ratios, not add/s, p50 and p95)" if high > 1.3 else ""
    versions = {f"{item.package} {item.version}": None for item in run.entries if item.package}
    named = ", ".join(versions)
    return [
        f"{run.task} {run.data_sha256[:8]}: {run.memories} memories, {run.questions} questions; "
        f"vectors {run.embedder}",
        f"{run.platform}, Python {run.python}, {run.cores} cores, load {low:.1f} to {high:.1f}"
        + busy,
        named,
        run.command,
    ]
