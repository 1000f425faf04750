"""The calls that look: search, context, get, list, history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from mnemos.app.handle import Handle, Moment
from mnemos.app.recall import CONTEXT_DEPTH, Recall
from mnemos.app.scopes import (
    read_callable,
    read_count,
    read_kinds,
    read_moment,
    read_name,
    read_states,
    read_string,
)
from mnemos.errors import InvalidInput
from mnemos.kernel.governance.filters import Filter, parse_filter
from mnemos.kernel.ports import TokenCounter
from mnemos.kernel.reading import Reader
from mnemos.memories.input_values import shown
from mnemos.retrieval.pack import estimate_tokens
from mnemos.types import (
    Context,
    Hit,
    Hits,
    Kind,
    MemCube,
    Query,
    State,
    Trace,
)

ORDERS = ("best", "time")
"""Orders in which the hits of a search stand."""


class Reads(Handle):
    """Calls that change nothing."""

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int = 10,
        kinds: Kind | str | Iterable[Kind | str] | None = None,
        states: State | str | Iterable[State | str] | None = None,
        filters: object = None,
        since: Moment = None,
        until: Moment = None,
        order: str = "best",
    ) -> Hits:
        """Return the memories that best answer a question, best first, each with its reasons.

        Parameters
        ----------
        query : str
            A question, or words.
        user_id, agent_id, run_id : str or None
            Whose memory, and which run of theirs.
        top_k : int
            Most hits to return.
        kinds, since, until
            Narrow to kinds, and to a time at which things happened (half open).
        states : State or str or iterable or None
            States of the life cycle to look among, ``"archived"`` say; None is what is current.
        filters : mapping or None
            Conditions on what the header says, joined by and:
            ``{"tags": {"contains": "boat"}, "metadata.tier": {"gte": 3}}``; also ``AND``, ``OR``,
            ``NOT`` (:mod:`mnemos.kernel.governance.filters`).
        order : ``"best"`` or ``"time"``
            How the same hits stand: best first, or as things happened, earliest first.

        Raises
        ------
        InvalidInput
            If the query is empty, a bound is out of range, or there is no such order.
        """
        if order not in ORDERS:
            allowed = ", ".join(map(repr, ORDERS))
            raise InvalidInput(f"order={shown(order)} is unknown; allowed: {allowed}")
        view = self._view(self._scope(user_id, agent_id, run_id), states=read_states(states))
        question = self._query(query, top_k=top_k, kinds=kinds, since=since, until=until)
        wanted = parse_filter(filters, zone=self._zone)
        found = self._recall().search(view, replace(question, filter=wanted))
        if order == "time":
            found = replace(found, items=tuple(sorted(found.items, key=_moment)))
        self._note_read("search", view, [hit.id for hit in found], _rows_of(found.trace))
        return found

    def context(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: object = None,
        budget: int = 1_000,
        count: TokenCounter = estimate_tokens,
    ) -> Context:
        """Return prompt-ready text: standing memories first, then cited evidence in order of time.

        Parameters
        ----------
        query : str
            What the prompt is about.
        user_id, agent_id, run_id : str or None
            Whose memory.
        filters : mapping or None
            As in :meth:`search`, for the evidence; standing memories are packed all the same.
        budget : int
            Tokens the text may take.
        count : callable
            Counts tokens as your model does; the default estimates one for every four bytes.
        """
        view = self._view(self._scope(user_id, agent_id, run_id))
        read_count("budget", budget, most=10_000_000)
        read_callable("count", count)
        question = self._query(query, top_k=CONTEXT_DEPTH, kinds=None, since=None, until=None)
        wanted = replace(question, filter=parse_filter(filters, zone=self._zone))
        packed = self._recall().context(view, wanted, budget=budget, count=count)
        cost = {**_rows_of(packed.trace), "tokens": packed.tokens}
        self._note_read("context", view, [item.id for item in packed.citations], cost)
        return packed

    def get(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        states: State | str | Iterable[State | str] | None = None,
    ) -> MemCube:
        """Return the current version of a memory.

        Parameters
        ----------
        id : str
            Which memory.
        user_id, agent_id : str or None
            Whose it is; may be left out.
        states : State or str or iterable or None
            States of the life cycle it may be in; None is what is current.

        Raises
        ------
        NotFound
            If there is none of this id here.
        """
        view = self._view(self._scope_of(id, user_id, agent_id), states=read_states(states))
        cube = self._read(view, lambda reader: reader.get(id))
        self._note_read("get", view, [id])
        return cube

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        kinds: Kind | str | Iterable[Kind | str] | None = None,
        states: State | str | Iterable[State | str] | None = None,
        filters: object = None,
        limit: int = 1_000,
        after: str | None = None,
    ) -> list[MemCube]:
        """Return memories in the order they were first written.

        Parameters
        ----------
        user_id, agent_id, run_id : str or None
            Whose memories; a user or an agent is needed.
        kinds : Kind or str or iterable or None
            Narrow to these kinds.
        states : State or str or iterable or None
            States of the life cycle to list, ``"archived"`` say; None is what is current.
        filters : mapping or None
            As in :meth:`search`.
        limit : int
            Most memories to return.
        after : str or None
            Id of the last memory of the previous call: continue behind it.

        Raises
        ------
        ScopeRequired
            Without a user or an agent.
        """
        scope = self._required_scope("get_all", user_id, agent_id, run_id)
        view = self._view(scope, kinds=read_kinds(kinds), states=read_states(states))
        read_count("limit", limit)
        read_name("after", after)
        wanted = parse_filter(filters, zone=self._zone)
        found = self._read(view, lambda reader: _listed(reader, after, limit, wanted))
        self._note_read("get_all", view, [cube.id for cube in found])
        return found

    def history(
        self, id: str, *, user_id: str | None = None, agent_id: str | None = None
    ) -> tuple[MemCube, ...]:
        """Return every version of a memory, oldest first."""
        view = self._view(self._scope_of(id, user_id, agent_id))
        versions = self._read(view, lambda reader: reader.history(id))
        self._note_read("history", view, [id])
        return versions

    def _recall(self) -> Recall:
        staged = self._staged or ()
        return Recall(self._vault, self._embedder.get(), staged, self._reranker())

    def _query(
        self, text: object, *, top_k: int, kinds: Any, since: Moment, until: Moment
    ) -> Query:
        return Query(
            text=read_string("query", text, instead="ask a question, or use get_all to list"),
            top_k=read_count("top_k", top_k),
            kinds=read_kinds(kinds),
            since=read_moment("since", since, self._zone),
            until=read_moment("until", until, self._zone),
        )


def _moment(hit: Hit) -> datetime:
    """Return when what a hit tells was said or took place, as far as it is known."""
    return hit.cube.header.happened_at or hit.cube.recorded_at


def _rows_of(trace: Trace) -> dict[str, int]:
    """Return how many rows an answer looked at, from its trace."""
    seen = next((step.counts["rows"] for step in trace.steps if step.name == "page"), 0)
    return {"rows": int(seen)}


def _listed(reader: Reader, after: str | None, limit: int, wanted: Filter | None) -> list[MemCube]:
    if wanted is None:
        return list(reader.list(after=after, limit=limit))
    return list(islice(filter(wanted.matches, reader.list(after=after)), limit))
