"""Search and context: plan, rank on the page, fetch, explain, pack."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mnemos.app.reranking import IN_CONTEXT, Reordered, depth, reorder
from mnemos.errors import ModelError
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance import filter_masks
from mnemos.kernel.governance.views import View
from mnemos.kernel.ports import Embedder, Reranker, TokenCounter
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import FULL_TRUST, UNRANKED
from mnemos.kernel.segments import KINDS
from mnemos.kernel.vault import Staged, Vault
from mnemos.retrieval import answerable
from mnemos.retrieval import pack as packing
from mnemos.retrieval import rank as ranking
from mnemos.types import TRUSTED, Context, Hit, Hits, MemCube, Query, Reason, Step, Trace

STANDING_KINDS = [KINDS.index(kind) for kind in packing.STANDING]
MOST_STANDING = 200
CONTEXT_DEPTH = 200
"""Hits the packer chooses from; more than any sensible budget holds."""


@dataclass(slots=True)
class Stopwatch:
    """Collects the steps of a trace."""

    steps: list[Step] = field(default_factory=list[Step])
    last: float = field(default_factory=time.perf_counter)

    def lap(self, name: str, **counts: int | float | str) -> None:
        """Note that a step ended now."""
        now = time.perf_counter()
        self.steps.append(Step(name=name, ms=round((now - self.last) * 1000, 3), counts=counts))
        self.last = now


@dataclass(frozen=True, slots=True)
class Recall:
    """Answers queries over one vault.

    Parameters
    ----------
    vault : Vault
        What is remembered.
    embedder : Embedder or None
        Embeds questions; None recalls by words.
    staged : sequence of Staged
        Changes to be seen as if they were made.
    reranker : Reranker or None
        Decides the order of the best hits; None leaves it to the ranking.
    """

    vault: Vault
    embedder: Embedder | None
    staged: Sequence[Staged] = ()
    reranker: Reranker | None = None

    def search(self, view: View, query: Query) -> Hits:
        """Return the best hits for a query in a view, each with its reasons."""
        watch = Stopwatch()
        question = self._question(query, view, watch)
        wider = query if self.reranker is None else replace(query, top_k=depth(query.top_k))

        # What is judged does not depend on how many hits are wanted.
        deep = replace(wider, top_k=max(wider.top_k, answerable.LOOKED_AT))

        def action(reader: Reader) -> tuple[list[int], list[Hit], float]:
            ranked = self._ranked(reader, deep, question, watch)
            judged = answerable.judge(ranked)
            watch.lap("judge", **judged.parts)
            wanted = ranked[: wider.top_k]
            hits = [
                Hit(cube=reader.cube(item.born, item.cube), score=item.score, why=item.why)
                for item in wanted
            ]
            return [item.cube for item in wanted], hits, judged.value

        numbers, fetched, judged = self.vault.read(view, action, self.staged)
        watch.lap("fetch", hits=len(fetched))
        order = self._reordered(query, [hit.cube for hit in fetched], watch)
        places = order.places[: query.top_k]
        self._count(view, [numbers[place] for place in places])
        hits = [fetched[place] for place in places]
        if order.scores:
            scores = order.scores[: query.top_k]
            hits = [
                _read_again(hit, rank, score)
                for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), start=1)
            ]
        return Hits(tuple(hits), self._trace(watch, question, order), judged)

    def context(self, view: View, query: Query, *, budget: int, count: TokenCounter) -> Context:
        """Return standing memories and the best evidence, packed within a token budget."""
        watch = Stopwatch()
        question = self._question(query, view, watch)

        def action(reader: Reader) -> tuple[list[int], list[MemCube], list[MemCube]]:
            ranked = self._ranked(reader, query, question, watch)
            found = [reader.cube(item.born, item.cube) for item in ranked]
            return [item.cube for item in ranked], found, self._standing(reader)

        numbers, found, standing = self.vault.read(view, action, self.staged)
        watch.lap("fetch", hits=len(found), standing=len(standing))
        order = self._reordered(query, found[:IN_CONTEXT], watch)
        places = [*order.places, *range(len(order.places), len(found))]
        numbers, found = [numbers[place] for place in places], [found[place] for place in places]
        named = {cube.id for cube in standing}
        evidence = [cube for cube in found if cube.id not in named]
        packed = packing.pack(standing, evidence, budget=budget, count=count)
        cited = {item.id for item in packed.citations} - named
        pairs = zip(numbers, found, strict=True)
        self._count(view, [number for number, cube in pairs if cube.id in cited])
        watch.lap("pack", tokens=packed.tokens, memories=len(packed.citations))
        return Context(
            text=packed.text,
            tokens=packed.tokens,
            budget=packed.budget,
            citations=packed.citations,
            tainted=packed.tainted,
            max_trust=packed.max_trust,
            trace=self._trace(watch, question, order),
        )

    def _reordered(self, query: Query, cubes: Sequence[MemCube], watch: Stopwatch) -> Reordered:
        """Return the order of the best hits; models run here, when the snapshot is closed."""
        order = reorder(self.reranker, query.text, cubes)
        if self.reranker is not None:
            watch.lap("rerank", texts=len(cubes))
        return order

    def _count(self, view: View, cubes: list[int]) -> None:
        """Note that cubes were read; not the past, nor what is staged and has no number yet."""
        if view.as_of is not None or self.staged:
            return
        if self.vault.usage.note(view.scope.tenant, cubes, view.now):
            self.vault.flush_usage()

    def _question(self, query: Query, view: View, watch: Stopwatch) -> ranking.Question:
        """Return the query made ready; an embedder that fails leaves it to the words."""
        from mnemos.app.planner import plan

        if self.embedder is not None and self.vault.space() is not None:
            self.vault.use(self.embedder)
        try:
            question = plan(query.text, now=view.now, embedder=self.embedder)
        except ModelError:
            question = plan(query.text, now=view.now, embedder=None)
        watch.lap("plan", terms=len(question.terms), times=len(question.spans))
        return question

    def _ranked(
        self, reader: Reader, query: Query, question: ranking.Question, watch: Stopwatch
    ) -> list[ranking.Ranked]:
        page = reader.page()
        if page is None:
            return []
        arrays, mask = page
        mask = _narrow(arrays, mask, query)
        if query.filter is not None:
            born, cube = arrays.column("born"), arrays.column("cube")

            def fetch(place: int) -> MemCube:
                return reader.cube(int(born[place]), int(cube[place]))

            mask = filter_masks.mask(query.filter, arrays, mask, fetch)
        seen = int(mask.sum())  # of a shared page a principal is told of no other rows
        rows = len(arrays) if reader.view.rights is None else seen
        watch.lap("page", rows=rows, visible=seen)
        ranked = ranking.rank(arrays, mask, question, query.top_k)
        watch.lap("rank", hits=len(ranked))
        return ranked

    def _standing(self, reader: Reader) -> list[MemCube]:
        import numpy as np

        page = reader.page()
        if page is None:
            return []
        arrays, mask = page
        # Words that are not trusted never steer, and what came back from memory is no memory.
        mask = mask & (arrays.column("trust") >= TRUSTED * FULL_TRUST)
        mask = mask & (arrays.column("length") != UNRANKED)
        chosen = np.flatnonzero(mask & np.isin(arrays.column("kind"), STANDING_KINDS))
        born, cube = arrays.column("born"), arrays.column("cube")
        chosen = chosen[np.argsort(born[chosen])]  # of a past moment, history lies behind the page
        return [
            reader.cube(int(born[place]), int(cube[place])) for place in chosen[-MOST_STANDING:]
        ]

    def _trace(self, watch: Stopwatch, question: ranking.Question, order: Reordered) -> Trace:
        notes: tuple[str, ...] = ()
        if self.embedder is None:
            notes = ("no embedder: recalled by words only",)
        elif question.vector is None:
            notes = ("the embedder failed: recalled by words only",)
        return Trace(
            steps=tuple(watch.steps),
            embedder=self.embedder.fingerprint
            if self.embedder and question.vector is not None
            else None,
            ranker=ranking.NAME,
            reranker=self.reranker.fingerprint if self.reranker and order.scores else None,
            notes=(*notes, order.note) if order.note else notes,
        )


def _read_again(hit: Hit, rank: int, score: float) -> Hit:
    """Return a hit as a model scored it: that is all of its score, whatever found it before."""
    reason = Reason(signal="reranker", rank=rank, value=round(score, 4), share=1.0)
    found = tuple(replace(before, share=0.0) for before in hit.why)
    return replace(hit, score=score, why=(reason, *found))


def _narrow(arrays: PageArrays, mask: ranking.Mask, query: Query) -> ranking.Mask:
    """Return the mask cut to the query's own kinds and times."""
    import numpy as np

    if query.kinds is not None:
        wanted = [KINDS.index(kind) for kind in query.kinds]
        mask = mask & np.isin(arrays.column("kind"), wanted)
    if query.since is not None:
        mask = mask & (arrays.column("at") >= microseconds(query.since))
    if query.until is not None:
        mask = mask & (arrays.column("at") < microseconds(query.until))
    return mask
