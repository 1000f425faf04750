"""Readable tables of a record, as plain text or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import tabulate as _tabulate  # pyright: ignore[reportMissingTypeStubs] - ships none

from mnemos.bench.metrics import Interval, ceiling, gap_closed
from mnemos.bench.record import Row, RunRecord
from mnemos.bench.summary import CURRENT_FIRST, OVERALL, SESSION_RECALL
from mnemos.bench.tasks import get_task

NAMES = {"ndcg": "nDCG", "mrr": "MRR", SESSION_RECALL: "sessions@5"}

COSTS = {
    "search_ms_p50": "search, p50, ms",
    "search_ms_p95": "search, p95, ms",
    "search_alone_ms_p50": "search without embedding, p50, ms",
    "search_alone_ms_p95": "search without embedding, p95, ms",
    "ingest_cpu_ms": "remembering one turn, CPU ms",
    "ingest_alone_cpu_ms": "remembering one turn without embedding, CPU ms",
    "bytes_per_memory": "bytes on disk per memory",
    "seconds": "whole run, s",
}


class _Tabulate(Protocol):
    def tabulate(
        self,
        rows: Sequence[Sequence[str]],
        headers: Sequence[str],
        *,
        tablefmt: str,
        disable_numparse: bool,
        colalign: Sequence[str],
    ) -> str: ...


_TABLES = cast("_Tabulate", _tabulate)


def report(record: RunRecord, *, markdown: bool = False) -> str:
    """Return a record as tables.

    Parameters
    ----------
    record : RunRecord
        What to show.
    markdown : bool
        As Markdown instead of plain text.
    """
    parts = [
        _heading(f"{record.task}: {get_task(record.task).title}", markdown),
        _summary(record),
        _heading("Evidence found, in per cent", markdown),
        _quality(record, markdown),
        *_remarks(record),
        _heading("Evidence kept in the packed context, in per cent", markdown),
        _packed(record, markdown),
        _heading("Cost", markdown),
        _costs(record, markdown),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(text: str, markdown: bool) -> str:
    return f"## {text}" if markdown else f"{text}\n{'=' * len(text)}"


def _table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], names: int, markdown: bool
) -> str:
    """Return a table whose first ``names`` columns are words and the rest numbers."""
    return _TABLES.tabulate(
        rows,
        headers,
        tablefmt="github" if markdown else "simple",
        disable_numparse=True,
        colalign=[*["left"] * names, *["right"] * (len(headers) - names)],
    )


def _summary(record: RunRecord) -> str:
    asked = sum(1 for question in record.questions if question.gold)
    return "\n".join(
        (
            f"Mnemos {record.version}, ranker {record.ranker}, "
            f"embedder {record.embedder or 'none: by words only'}.",
            f"{_counted(record.dialogues, 'conversation')}, {record.memories:,} memories, "
            f"{_counted(asked, 'question')} with evidence; data sha256 {record.data_sha256[:16]}.",
            f"Tokens counted by {record.parameters['tokens']}; seed {record.seed}, "
            f"{record.parameters['resamples']:,} resamples; "
            f"Python {record.python}, {record.platform}.",
        )
    )


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _columns(record: RunRecord) -> list[str]:
    """Return the measures shown: recall at every cut, the rest at 10 or the cut nearest to it."""
    ks: list[int] = record.parameters["ks"]
    main = _main(record)
    rest = [f"any@{main}", f"all@{main}", f"ndcg@{main}", "mrr", SESSION_RECALL]
    return [*(f"recall@{k}" for k in ks), *rest]


def _main(record: RunRecord) -> int:
    ks: list[int] = record.parameters["ks"]
    return min(ks, key=lambda k: abs(k - 10))


def _named(measure: str) -> str:
    name, at, k = measure.partition("@")
    return NAMES.get(measure) or NAMES.get(name, name) + at + k


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _range(value: Interval, digits: str = ".1f") -> str:
    return f"{100 * value.low:{digits}} to {100 * value.high:{digits}}"


def _order(record: RunRecord) -> list[tuple[str, str]]:
    """Return the groups in the order shown, with their labels; those apart come last."""
    task = get_task(record.task)
    inside = [name for name in task.categories if name not in task.apart]
    apart = [name for name in task.categories if name in task.apart]
    labels = [*((name, name) for name in (*inside, OVERALL))]
    labels.extend((name, f"{name} (apart)") for name in apart)
    return [(name, label) for name, label in labels if name in record.quality]


def _quality(record: RunRecord, markdown: bool) -> str:
    columns, main = _columns(record), f"recall@{_main(record)}"
    rows: list[list[str]] = []
    for name, label in _order(record):
        systems: dict[str, Mapping[str, Row]] = {"Mnemos": record.quality, "BM25": record.floor}
        if name == OVERALL:
            systems["difference"] = record.gain
        for system, found in systems.items():
            row = found[name]
            numbers = [_percent(row.values[column].mean) for column in columns]
            rows.append([label, str(row.n), system, *numbers, _range(row.values[main])])
    headers = ["category", "n", "system", *map(_named, columns), f"95 % of {main}"]
    return _table(rows, headers, 3, markdown)


def _remarks(record: RunRecord) -> list[str]:
    """Return what the table cannot hold: current before stale, questions without an answer."""
    found: list[str] = []
    for name, _ in _order(record):
        ours = record.quality[name].values.get(CURRENT_FIRST)
        if ours is not None:
            theirs = record.floor[name].values[CURRENT_FIRST]
            found.append(
                f"The current turn outranks every stale one in {_percent(ours.mean)} per cent "
                f"({_range(ours)}) of {_counted(record.quality[name].n, f'{name} question')}; "
                f"BM25: {_percent(theirs.mean)} ({_range(theirs)})."
            )
    found.extend(_gap(record))
    unscored = [question.category for question in record.questions if not question.gold]
    for name in dict.fromkeys(unscored):
        asked = _counted(unscored.count(name), f"{name} question")
        found.append(f"Not scored, for there is no evidence: {asked}.")
    return found


def _gap(record: RunRecord) -> list[str]:
    """Return how much of what BM25 leaves to be found is found."""
    k, apart = _main(record), get_task(record.task).apart
    golds = [
        len(item.gold) for item in record.questions if item.gold and item.category not in apart
    ]
    if not golds:
        return []
    ours, floor = (
        rows[OVERALL].values[f"recall@{k}"].mean for rows in (record.quality, record.floor)
    )
    most = ceiling(golds, k)
    share = gap_closed(ours, floor, most)
    if share is None:
        return [f"BM25 finds all that {k} ranks can hold."]
    return [
        f"{_percent(share)} per cent of the gap is closed between BM25 ({_percent(floor)}) and what "
        f"{k} ranks can hold at most ({_percent(most)})."
    ]


def _packed(record: RunRecord, markdown: bool) -> str:
    budgets: list[int] = record.parameters["budgets"]
    rows: list[list[str]] = []
    for name, label in _order(record):
        row = record.quality[name]
        kept = [row.values[f"kept@{budget}"] for budget in budgets]
        cells = [f"{_percent(value.mean)} ({_range(value, '.0f')})" for value in kept]
        rows.append([label, str(row.n), *cells])
    headers = ["category", "n", *(f"{budget:,} tokens" for budget in budgets)]
    return _table(rows, headers, 2, markdown)


def _costs(record: RunRecord, markdown: bool) -> str:
    rows = [
        [label, f"{record.cost[name]:,.0f}" if "bytes" in name else f"{record.cost[name]:.2f}"]
        for name, label in COSTS.items()
        if name in record.cost
    ]
    return _table(rows, ["what", "value"], 1, markdown)
