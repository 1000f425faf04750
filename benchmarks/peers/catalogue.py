"""Who takes part, and what has to be said about each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemos import __version__
from mnemos.errors import InvalidInput

HERE = Path(__file__).parent

DURABLE = "disk"
SAVED = "on save"
MEMORY = "memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """One row of the table.

    Parameters
    ----------
    name : str
        As ``--peers`` takes it.
    adapter : str
        File in ``adapters/`` without its suffix.
    kept : str
        Where memories are when a call that wrote them returns: ``disk``, ``on save`` (in memory
        until saved) or ``memory``.
    variant : str
        Handed to the adapter.
    bulk : bool
        Whether it is filled by its own call for many instead of one by one.
    requirements : str or None
        File in ``requirements/`` without its suffix; None runs where the harness runs.
    package : str or None
        The package whose pinned version is the peer's.
    licence : str
        Of the peer.
    note : str
        Printed under the table where the row needs saying something.
    """

    name: str
    adapter: str
    kept: str
    variant: str = ""
    bulk: bool = False
    requirements: str | None = None
    package: str | None = None
    licence: str = "Apache-2.0"
    note: str = ""

    @property
    def adapter_file(self) -> Path:
        """The file that adapts it."""
        return HERE / "adapters" / f"{self.adapter}.py"

    @property
    def requirements_file(self) -> Path | None:
        """The file of pinned packages."""
        name = self.requirements
        return None if name is None else HERE / "requirements" / f"{name}.txt"

    @property
    def version(self) -> str:
        """The pinned version; that of Mnemos where nothing is pinned."""
        if self.requirements_file is None:
            return __version__
        lines = self.requirements_file.read_text("utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if "==" in line)
        return pins[self.package or ""]


_STAND_IN = (
    "a stand-in: mem0's own code and fastembed's BM25 encoder, but a list of stop words of ours "
    "for Qdrant's, no lemmatiser and no entities (their files come from a hub)"
)
_TEXTS = "given the peers' one text for each memory: no speaker, time or session"

ALL = (
    Peer(name="mnemos", adapter="mnemos", kept=DURABLE, variant="messages", package="mnemos"),
    Peer(
        name="mnemos-bulk",
        adapter="mnemos",
        kept=DURABLE,
        variant="messages",
        package="mnemos",
        bulk=True,
    ),
    Peer(
        name="mnemos-flat",
        adapter="mnemos",
        kept=DURABLE,
        variant="flat",
        package="mnemos",
        note=_TEXTS,
    ),
    Peer(
        name="mem0",
        adapter="mem0",
        kept=DURABLE,
        variant="plain",
        requirements="mem0",
        package="mem0ai",
    ),
    Peer(
        name="mem0-hybrid",
        adapter="mem0",
        kept=DURABLE,
        variant="hybrid",
        requirements="mem0-hybrid",
        package="mem0ai",
        note=_STAND_IN,
    ),
    Peer(name="chroma", adapter="chroma", kept=DURABLE, requirements="chroma", package="chromadb"),
    Peer(
        name="chroma-bulk",
        adapter="chroma",
        kept=DURABLE,
        requirements="chroma",
        package="chromadb",
        bulk=True,
    ),
    Peer(
        name="memos",
        adapter="memos",
        kept=DURABLE,
        requirements="memos",
        package="MemoryOS",
        note="general_text: one store for each user, so each search looks through fewer memories",
    ),
    Peer(
        name="memos-bulk",
        adapter="memos",
        kept=DURABLE,
        requirements="memos",
        package="MemoryOS",
        bulk=True,
    ),
    Peer(
        name="txtai",
        adapter="txtai",
        kept=SAVED,
        requirements="txtai",
        package="txtai",
        note="saved once, at the end of writing: until then a write is in memory only, and of two "
        "processes that save, the later overwrites the earlier",
    ),
    Peer(
        name="txtai-bulk",
        adapter="txtai",
        kept=SAVED,
        requirements="txtai",
        package="txtai",
        bulk=True,
    ),
    Peer(
        name="langgraph",
        adapter="langgraph",
        kept=MEMORY,
        variant="memory",
        requirements="langgraph",
        package="langgraph",
        licence="MIT",
        note="InMemoryStore",
    ),
    Peer(
        name="langgraph-bulk",
        adapter="langgraph",
        kept=MEMORY,
        variant="memory",
        bulk=True,
        requirements="langgraph",
        package="langgraph",
        licence="MIT",
    ),
    Peer(
        name="langgraph-sqlite",
        adapter="langgraph",
        kept=DURABLE,
        variant="sqlite",
        requirements="langgraph",
        package="langgraph-checkpoint-sqlite",
        licence="MIT",
    ),
    Peer(name="bm25", adapter="bm25", kept=MEMORY, note="floor: plain BM25 of mnemos bench"),
    Peer(name="dense", adapter="dense", kept=MEMORY, note="floor: exact cosine in numpy"),
)
"""In the order they are printed."""

REFERENCE = ALL[0].name
"""The row that ratios and differences are taken against."""


def choose(names: Sequence[str]) -> tuple[Peer, ...]:
    """Return the peers named, in the order of the catalogue; no name means all of them.

    Raises
    ------
    InvalidInput
        If a name is not in the catalogue.
    """
    known = {peer.name: peer for peer in ALL}
    for name in names:
        if name not in known:
            message = f"there is no peer {name!r}; allowed: {', '.join(known)}"
            raise InvalidInput(message)
    return tuple(peer for peer in ALL if not names or peer.name in names)
