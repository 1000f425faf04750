"""The words under which a memory is found: its own, with who said them and when.

Speaker and date in the indexed text cost nothing and carry questions such as "what did Ana say
in May". The key is a pure function of header and payload, so pages can be rebuilt from content.
"""

from __future__ import annotations

from datetime import datetime

from mnemos.kernel.governance.trust import is_echo
from mnemos.types import Header, Payload, Text

VERSION = "keys-1"
"""Recorded in every vault; a change of this function is a rebuild of pages."""

_MONTHS = (
    "January February March April May June July August September October November December"
).split()


def spoken_date(moment: datetime) -> str:
    """Return a date as people write it.

    >>> spoken_date(datetime(2023, 5, 8))
    '8 May 2023'
    """
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def index_text(header: Header, payload: Payload) -> str:
    """Return the text to tokenise and embed for a memory; empty where there are no words.

    Recalled text that came back has none to be found by: it is kept, and never ranked.

    >>> index_text(Header(speaker="Ana", happened_at=datetime(2023, 5, 8)), Text(text="Hi"))
    '[8 May 2023] Ana: Hi'
    """
    if not isinstance(payload, Text) or is_echo(header):
        return ""
    parts: list[str] = []
    if header.happened_at is not None:
        parts.append(f"[{spoken_date(header.happened_at)}]")
    if header.speaker:
        parts.append(f"{header.speaker}:")
    parts.append(payload.text)
    if header.caption:
        parts.append(f"[{header.caption}]")
    return " ".join(parts)
