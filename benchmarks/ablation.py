"""What each part of the ranking is worth, and what was tried beside it: one row for each lever.

    python benchmarks/ablation.py locomo --data PATH
    python benchmarks/ablation.py harbour

Every row ranks the same pages for the same questions with the same vectors; each differs from the
shipped ranking in one thing. Figures are per cent, means over questions; the change of recall@10
stands with its 95 % interval over the questions, compared one by one. CPU time is that of a search
for 50 hits, embedding excluded: a lever that embeds more texts pays for that on top.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from mnemos.app.config import read_embedder
from mnemos.app.memory import Memory
from mnemos.app.planner import plan
from mnemos.bench.measuring import Seeded, SetClock
from mnemos.bench.metrics import ndcg, paired_difference, recall
from mnemos.bench.runner import SESSIONS
from mnemos.bench.task import Dialogue, end_of
from mnemos.bench.task import Question as Asked
from mnemos.bench.tasks import get_task
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.keys import index_text
from mnemos.kernel.ports import Embedder, known_scripts
from mnemos.kernel.schema import UNRANKED
from mnemos.kernel.tokens import query_terms, term_hash, terms
from mnemos.retrieval import rank as ranking
from mnemos.retrieval import signals
from mnemos.retrieval.rank import Question
from mnemos.retrieval.redundancy import REPEATED, repeats, spread

DEPTH = 50
"""Hits looked at, as ``mnemos bench`` does."""

Scores = NDArray[np.float64]
Lists = Mapping[str, NDArray[np.float32]]


# --- vectors, computed once ------------------------------------------------------------------


class Shared:
    """An embedder that computes the vector of a text once."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._kept: dict[tuple[str, bool], NDArray[np.float32]] = {}
        self.seconds = 0.0

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    @property
    def dim(self) -> int:
        return self._inner.dim

    @property
    def scripts(self) -> frozenset[str] | None:
        return known_scripts(self._inner)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        missing = list(dict.fromkeys(text for text in texts if (text, query) not in self._kept))
        if missing:
            began = time.process_time()
            made = self._inner.embed(missing, query=query)
            self.seconds += time.process_time() - began
            self._kept |= {(text, query): row for text, row in zip(missing, made, strict=True)}
        return np.array([self._kept[text, query] for text in texts], np.float32)


# --- a page and its search -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """One question to one page, with what its levers may look up."""

    arrays: PageArrays
    mask: NDArray[np.bool_]
    question: Question
    text: str
    words: Mapping[int, str]
    embedder: Shared
    first: Mapping[int, Mapping[str, int]]

    def rows(self) -> signals.Rows:
        """Return the visible rows in conversation order."""
        return signals.arrange(self.arrays, self.mask & (self.arrays.column("length") != UNRANKED))

    def said(self, rows: signals.Rows, row: int) -> str:
        """Return the words of a row."""
        return self.words[int(self.arrays.column("born")[rows.positions[row]])]


def share_of(scores: NDArray[np.float32]) -> Scores:
    """Return what a list gives each row; ties go to the earlier row."""
    best = np.argsort(-scores, kind="stable")[: ranking.DEPTH]
    best = best[np.isfinite(scores[best])]
    shares = np.zeros(len(scores))
    shares[best] = 1.0 / (ranking.CONSTANT + np.arange(1, len(best) + 1))
    return shares


@dataclass(frozen=True, slots=True)
class Lever:
    """How a row of the table differs from the shipped ranking.

    Parameters
    ----------
    name : str
        As the table shows it.
    without : str
        A list left out.
    doubling, repeats : bool
        Whether a named speaker or time doubles, and what repeats a better hit is put back.
    change : callable or None
        Gets the search, its rows and the lever without this; returns rows, best first.
    """

    name: str
    without: str = ""
    doubling: bool = True
    repeats: bool = True
    change: Callable[[Search, signals.Rows, Lever], list[int]] | None = None

    def total(
        self, search: Search, rows: signals.Rows, question: Question, extra: Lists | None = None
    ) -> tuple[NDArray[np.float32], Scores]:
        """Return counts of the question's terms and the fused score of every row."""
        counts, lists = ranking.score_lists(rows, question)
        total = np.zeros(len(rows))
        for name, scores in lists.items():
            if name != self.without:
                total += question.weight(name) * share_of(scores)
        for name, scores in (extra or {}).items():
            total += _weight(name, question) * share_of(scores)
        if self.doubling:
            named = signals.speaker_match(rows, list(question.terms))
            total *= 1.0 + named + signals.within(rows, list(question.spans))
        return counts, total

    def covering(
        self, rows: signals.Rows, question: Question, counts: NDArray[np.float32], total: Scores
    ) -> list[int]:
        """Return the best rows with what is redundant put back."""
        best = np.argsort(-total, kind="stable")[: max(ranking.POOL, 2 * DEPTH)]
        best = best[total[best] > 0]
        scores = total[best]
        vectors = None if question.foreign else signals.vectors_of(rows, best)
        if self.repeats and vectors is not None:
            scores = np.where(repeats(vectors, counts[:, best]), REPEATED * scores, scores)
        if question.several:
            places, _ = spread(scores, rows.session[best], DEPTH)
            return best[places].tolist()
        return best[np.argsort(-scores, kind="stable")][:DEPTH].tolist()

    def fused(
        self,
        search: Search,
        rows: signals.Rows,
        question: Question | None = None,
        extra: Lists | None = None,
    ) -> list[int]:
        """Return the ranking of a question, this search's own if none is given."""
        asked = question or search.question
        counts, total = self.total(search, rows, asked, extra)
        return self.covering(rows, asked, counts, total)

    def run(self, search: Search) -> tuple[signals.Rows, list[int]]:
        """Return the rows of the page and the best of them."""
        rows = search.rows()
        if not len(rows):
            return rows, []
        if self.change is None:
            return rows, self.fused(search, rows)
        return rows, self.change(search, rows, replace(self, change=None))


# --- levers that were tried ------------------------------------------------------------------

EXTRA_WEIGHTS = {
    "first-sentences": 1.0,
    "entities": 0.3,
    "second-meaning": 1.0,
    "second-window": 1.0,
}
"""What a further list counts beside the shipped ones, which count 1."""

LAMBDA = 0.7
TOP = 3
"""Best hits from which a second step takes something."""

NEIGHBOURS, AFTER = 3, 7
"""Places of the first ten kept for neighbours of the best hits, behind the best seven."""

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
_PARTS = re.compile(r"\bboth\b|\band\b|'s\b|’s\b", re.IGNORECASE)


def _weight(name: str, question: Question) -> float:
    """Return what a further list counts; one of meaning as little as the shipped ones, if foreign."""
    of_meaning = name.startswith("second")
    return EXTRA_WEIGHTS[name] * (question.weight("meaning") if of_meaning else 1.0)


def marginal_relevance(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) over the pool."""
    _, total = plain.total(search, rows, search.question)
    best = np.argsort(-total, kind="stable")[: max(ranking.POOL, 2 * DEPTH)]
    best = best[total[best] > 0]
    vectors = signals.vectors_of(rows, best)
    if vectors is None or not len(best):
        return best[:DEPTH].tolist()
    worth = LAMBDA * total[best] / total[best[0]]
    alike = vectors @ vectors.T
    nearest = np.zeros(len(best))
    chosen: list[int] = []
    for _ in range(min(DEPTH, len(best))):
        left = worth - (1 - LAMBDA) * nearest
        left[chosen] = -np.inf
        chosen.append(int(np.argmax(left)))
        nearest = np.maximum(nearest, alike[chosen[-1]])
    return best[chosen].tolist()


def feedback(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """Pseudo-relevance feedback: the two rarest terms of each of the best hits are asked too."""
    found = dict(search.question.terms)
    for row in plain.fused(search, rows)[:TOP]:
        words = {term_hash(word): word for word in query_terms(search.said(rows, row))}
        held = {term: len(rows.arrays.lookup(term)[0]) for term in words if term not in found}
        rare = sorted((count, term) for term, count in held.items() if count > 1)[:2]
        found |= {term: words[term] for _, term in rare}
    return plain.fused(search, rows, replace(search.question, terms=found))


def first_sentences(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """The first sentence of each memory as a list of its own: what a fact mostly is."""
    born = search.arrays.column("born")[rows.positions].tolist()
    own = [search.first[number] for number in born]
    words = list(search.question.terms.values())
    counts = np.array([[held.get(word, 0) for held in own] for word in words], np.float32)
    length = np.array([sum(held.values()) for held in own], np.float32)
    scores = signals.bm25(counts.reshape(len(words), len(own)), length)
    extra = {"first-sentences": np.where(scores > 0, scores, -np.inf).astype(np.float32)}
    return plain.fused(search, rows, extra=extra)


def entities(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """Names in the best hits that the question lacks, as a list of little weight."""
    best = plain.fused(search, rows)[:TOP]
    names = [name for row in best for name in _NAME.findall(search.said(rows, row))]
    wanted = {term_hash(word) for name in names for word in query_terms(name)}
    wanted -= search.question.terms.keys()
    if not wanted:
        return plain.fused(search, rows)
    scores = signals.bm25(signals.term_counts(rows, sorted(wanted)), rows.length)
    extra = {"entities": np.where(scores > 0, scores, -np.inf).astype(np.float32)}
    return plain.fused(search, rows, extra=extra)


def neighbours(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """The turns beside the best hits, in places kept for them."""
    ranked = plain.fused(search, rows)
    taken = set(ranked[:AFTER])
    beside: list[int] = []
    for row in ranked[:AFTER]:
        for other in (row + 1, row - 1):
            within = 0 <= other < len(rows) and rows.session[other] == rows.session[row]
            if within and other not in taken:
                taken.add(other)
                beside.append(other)
    beside = beside[:NEIGHBOURS]
    rest = [row for row in ranked[AFTER:] if row not in beside]
    return [*ranked[:AFTER], *beside, *rest][:DEPTH]


def two_steps(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """The best hit's text, embedded with the question, as a second question to the vectors."""
    if search.question.vector is None:
        return plain.fused(search, rows)
    best = plain.fused(search, rows)[:1]
    longer = " ".join([search.text, *(search.said(rows, row) for row in best)])
    near = signals.meaning(rows, search.embedder.embed([longer], query=True)[0])
    assert near is not None
    extra = {"second-meaning": near}
    if not rows.alone:
        members = signals.window_sum(np.ones(len(rows), np.float32), rows.session)
        extra["second-window"] = signals.window_sum(near, rows.session) / members
    return plain.fused(search, rows, extra=extra)


def decomposed(search: Search, rows: signals.Rows, plain: Lever) -> list[int]:
    """The parts of a question around "and", "both" and possessives, asked beside the whole."""
    counts, total = plain.total(search, rows, search.question)
    parts = [part.strip(" ?.,") for part in _PARTS.split(search.text)]
    parts = [part for part in parts if len(query_terms(part)) > 1]
    for part in parts if len(parts) > 1 else ():
        words = {term_hash(word): word for word in query_terms(part)}
        vector = search.question.vector
        if vector is not None:
            vector = search.embedder.embed([part], query=True)[0]
        asked = replace(search.question, terms=words, vector=vector)
        total = total + plain.total(search, rows, asked)[1] / len(parts)
    return plain.covering(rows, search.question, counts, total)


LEVERS = (
    Lever("the whole ranking"),
    Lever("without window-words", without="window-words"),
    Lever("without window-meaning", without="window-meaning"),
    Lever("without session-words", without="session-words"),
    Lever("without words", without="words"),
    Lever("without meaning", without="meaning"),
    Lever("without doubling for speaker and time", doubling=False),
    Lever("without putting back repeats", repeats=False),
    Lever("marginal relevance, 0.7, for repeats and spread", change=marginal_relevance),
    Lever("feedback: rare terms of the best three", change=feedback),
    Lever("a list of first sentences", change=first_sentences),
    Lever("names in the best three, weight 0.3", change=entities),
    Lever("neighbours at ranks 8 to 10", change=neighbours),
    Lever("second step with the best hit's text", change=two_steps),
    Lever('parts around "and", "both", possessives', change=decomposed),
)


# --- measuring -------------------------------------------------------------------------------

WATCHED = ("multi-hop", "open-domain")
"""Categories with a column of their own, where a task has them."""


@dataclass(slots=True)
class Row:
    """What a lever has scored so far, question by question."""

    lever: Lever
    categories: list[str] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    sessions: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def note(
        self, asked: Asked, found: Sequence[str], session_of: Mapping[str, str | None]
    ) -> None:
        """Score one answer, as the runner of ``mnemos bench`` does."""
        turns = [asked.restated.get(turn, turn) for turn in found]
        place = {turn: rank for rank, turn in reversed(list(enumerate(turns, start=1)))}
        ranks = [place.get(turn) for turn in asked.gold]
        first = list(dict.fromkeys(session_of[turn] for turn in turns))[:SESSIONS]
        wanted = {session_of[turn] for turn in asked.gold}
        self.categories.append(asked.category)
        self.recall.append(recall(ranks, 10))
        self.ndcg.append(ndcg(ranks, 10))
        self.sessions.append(len(wanted.intersection(first)) / len(wanted))

    def cells(self, whole: Row, watched: Sequence[str]) -> list[str]:
        """Return this row of the table."""
        change = paired_difference(self.recall, whole.recall, seed=0)
        moved = f"{100 * change.mean:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
        own = [
            _per_cent(
                [
                    value
                    for value, category in zip(self.recall, self.categories, strict=True)
                    if category == name
                ]
            )
            for name in watched
        ]
        return [
            self.lever.name,
            _per_cent(self.recall),
            "" if self is whole else moved,
            _per_cent(self.ndcg),
            _per_cent(self.sessions),
            *own,
            f"{1_000 * float(np.mean(self.seconds)):.2f}",
        ]


def _per_cent(values: Sequence[float]) -> str:
    return f"{100 * float(np.mean(values)):.1f}"


def measure(
    task: str,
    data: Path | None,
    embedder: Embedder,
    *,
    every: int = 1,
    levers: Sequence[Lever] = LEVERS,
) -> tuple[list[Row], Shared]:
    """Ask every lever the questions of a task that have gold, all or each ``every``-th of them."""
    chosen = get_task(task)
    shared = Shared(embedder)
    rows = [Row(lever) for lever in levers]
    number = 0
    for dialogue in chosen.load(data).dialogues:
        wanted: list[Asked] = []
        for asked in dialogue.questions:
            if asked.gold and asked.category not in chosen.apart:
                if number % every == 0:
                    wanted.append(asked)
                number += 1
        if wanted:
            _measure(dialogue, wanted, shared, rows)
    return rows, shared


def _measure(
    dialogue: Dialogue, wanted: Sequence[Asked], shared: Shared, rows: Sequence[Row]
) -> None:
    """Remember one conversation and ask its questions of every lever."""
    clock, seeded = SetClock(end_of(dialogue.drafts)), Seeded(Random(0))
    ports = {"clock": clock, "ids": seeded, "entropy": seeded, "background": "off"}
    session_of = {d.header.external_id or "": d.header.run_id for d in dialogue.drafts}
    shared.embed([asked.text for asked in wanted], query=True)
    with Memory(":memory:", embedder=shared, **ports) as memory:
        memory.add_many(dialogue.drafts, user_id=dialogue.name)
        pages = _Pages(memory, dialogue.name)
        for asked in wanted:
            clock.moment = asked.asked_at
            search = pages.search(asked, shared)
            for row in rows:
                row.lever.run(
                    search
                )  # what is embedded or loaded for the first time is not counted
                began = time.process_time()
                visible, best = row.lever.run(search)
                row.seconds.append(time.process_time() - began)
                born = search.arrays.column("born")[visible.positions[best]].tolist()
                row.note(asked, [pages.ids[number] for number in born], session_of)


class _Pages:
    """The page of a memory, and the words and ids of its rows by birth."""

    def __init__(self, memory: Memory, user: str) -> None:
        self._memory, self._scope = memory, memory._scope(user, None, None)
        self.ids: dict[int, str] = {}
        self._words: dict[int, str] = {}
        self._first: dict[int, Mapping[str, int]] = {}
        memory._vault.read(self._view(), self._read_all)

    def _view(self):
        return self._memory._view(self._scope)

    def _read_all(self, reader) -> None:
        arrays, _ = reader.page()
        pairs = zip(arrays.column("born").tolist(), arrays.column("cube").tolist(), strict=True)
        for born, number in pairs:
            cube = reader.cube(born, number)
            self.ids[born] = cube.header.external_id
            self._words[born] = cube.text
            first = _SENTENCE.split(cube.text.strip(), maxsplit=1)[0]
            payload = replace(cube.payload, text=first)
            self._first[born] = Counter(terms(index_text(cube.header, payload)))

    def search(self, asked: Asked, shared: Shared) -> Search:
        arrays, mask = self._memory._vault.read(self._view(), lambda reader: reader.page())
        question = plan(asked.text, now=asked.asked_at, embedder=shared)
        return Search(arrays, mask, question, asked.text, self._words, shared, self._first)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table that Markdown knows."""
    watched = [name for name in WATCHED if name in rows[0].categories]
    head = ["", "recall@10", "change (95 %)", "nDCG@10", "session recall@5"]
    head += [f"{name} recall@10" for name in watched] + ["CPU ms"]
    cells = [row.cells(rows[0], watched) for row in rows]
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def main(arguments: Sequence[str] | None = None, *, embedder: Embedder | None = None) -> int:
    """Print the table of a task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("task", help="a task of `mnemos bench`")
    parser.add_argument("--data", type=Path, help="where its data lies, unless it is shipped")
    parser.add_argument("--every", type=int, default=1, help="ask each N-th question only")
    given = parser.parse_args(arguments)
    began = time.process_time()
    model = embedder or read_embedder("auto").get()
    if model is None:
        parser.error("no weights of the local model are here; see `mnemos models add --help`")
    rows, shared = measure(given.task, given.data, model, every=max(1, given.every))
    print(table(rows))
    print(
        f"\n{given.task}: {len(rows[0].recall)} questions, ranker {ranking.NAME}, "
        f"{model.fingerprint}; {time.process_time() - began:.0f} CPU s, "
        f"{shared.seconds:.0f} of them for vectors"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
