"""From a question in words to what the ranker needs: terms, a vector, spans of time."""

from __future__ import annotations

from datetime import datetime

from mnemos.kernel.canonical import microseconds
from mnemos.kernel.ports import Embedder, known_scripts
from mnemos.kernel.tokens import query_terms, term_hash
from mnemos.retrieval.question_forms import asks_for_now, names_several, script_share
from mnemos.retrieval.rank import Question
from mnemos.retrieval.time_expressions import find_times, is_relative

MOST_TERMS = 256
"""Query terms used, the last ones: a question that is a whole dialogue ends with what it is about."""

HALF = 0.5


def plan(text: str, *, now: datetime, embedder: Embedder | None) -> Question:
    """Return a question ready for scoring.

    Only relative times ("last week") become spans: a date in words is found by its words, which
    stand in every memory's key.

    Parameters
    ----------
    text : str
        The question.
    now : datetime
        The asker's moment, against which "last week" is understood.
    embedder : Embedder or None
        Makes the query vector; None asks by words only.
    """
    words = query_terms(text)[-MOST_TERMS:]
    scripts = known_scripts(embedder)
    return Question(
        terms={term_hash(word): word for word in words},
        vector=embedder.embed([text], query=True)[0] if embedder is not None else None,
        spans=tuple(
            (microseconds(item.start), microseconds(item.end))
            for item in find_times(text, now)
            if is_relative(item, text)
        ),
        foreign=scripts is not None and script_share(text, scripts) < HALF,
        several=names_several(text),
        current=asks_for_now(text),
    )
