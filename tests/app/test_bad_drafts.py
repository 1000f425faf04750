"""Drafts that no reader makes: each is refused, and nothing of it is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mnemos import Draft, Header, Memory, Text
from mnemos.errors import InvalidInput

Open = Callable[..., Memory]

LONE = "half \ud83d of a pair"
BAD_DRAFTS = [
    Draft(payload="text"),
    Draft(payload=None),
    Draft(payload=Text(text=5)),
    Draft(payload=Text(text=LONE)),
    Draft(payload=Text(text="x"), header=None),
    Draft(payload=Text(text="x"), state="dreaming"),
    *(
        Draft(payload=Text(text="x"), header=Header(**{name: value}))
        for name, value in {
            "kind": "dream",
            "origin": "moon",
            "speaker": 5,
            "run_id": 5,
            "happened_at": "2026-03-04",
            "valid_to": datetime(2026, 3, 4, tzinfo=UTC).replace(tzinfo=None),
            "mentions": ("yesterday",),
            "external_id": [],
            "tags": "tag",
            "metadata": {1: "a"},
            "trust": "high",
            "access": "user:ana",
            "sensitivity": 5,
            "owner": 5,
            "sealed": "x",
            "approved_by": 5,
            "links": "x",
            "priority": "first",
            "frozen": "no",
        }.items()
    ),
]


def test_a_draft_that_cannot_be_kept_is_refused(open_at: Open) -> None:
    for draft in BAD_DRAFTS:
        memory = open_at()
        with pytest.raises(InvalidInput):
            memory.add_many([draft], user_id="ana")
        assert memory.stats().events == 0
