"""Values that cross rooms: frozen, keyword-only, without behaviour that touches the outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, overload


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


class Kind(StrEnum):
    """What sort of memory a cube holds. The order is part of the page format: append only."""

    TURN = "turn"
    CHUNK = "chunk"
    FACT = "fact"
    EPISODE = "episode"
    SUMMARY = "summary"
    PROFILE = "profile"
    PREFERENCE = "preference"
    INSTRUCTION = "instruction"
    PROCEDURE = "procedure"
    TRIPLE = "triple"
    TASK = "task"
    EVENT = "event"
    ACTIVATION = "activation"
    PARAMETERS = "parameters"


class State(StrEnum):
    """Where a version stands in its life. The order is part of the page format: append only."""

    GENERATED = "generated"
    ACTIVATED = "activated"
    MERGED = "merged"
    SUPERSEDED = "superseded"
    ARCHIVED = "archived"
    EXPIRED = "expired"
    FORGOTTEN = "forgotten"
    QUARANTINED = "quarantined"


class Origin(StrEnum):
    """Who a memory comes from; trust follows from it and is never raised by derivation."""

    USER = "user"
    AGENT = "agent"
    TOOL = "tool"
    DOCUMENT = "document"
    IMPORT = "import"
    DERIVED = "derived"


TRUSTED = 0.7
"""Trust from which words are taken as said by the user or the agent; below, they are quoted data."""

CEILINGS: Mapping[Origin, float] = MappingProxyType(
    {
        Origin.USER: 1.0,
        Origin.AGENT: 0.8,
        Origin.DERIVED: 1.0,
        Origin.IMPORT: 0.5,
        Origin.DOCUMENT: 0.5,
        Origin.TOOL: 0.3,
    }
)
"""Most trust that words of each origin get; what is derived is bounded by its sources instead."""

CURRENT_STATES = frozenset({State.GENERATED, State.ACTIVATED})
"""What a default view shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Whose memory: tenant and subject isolate, the rest are attributes inside the page.

    Parameters
    ----------
    tenant : str
        The organisation or installation; belongs to the handle.
    subject : str
        Typed owner of the page, ``user:ana`` or ``agent:scout``; ``default`` where none is named.
    agent_id, run_id : str or None
        Attributes of a row, filtered inside the page.
    """

    tenant: str = "default"
    subject: str = "default"
    agent_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeMention:
    """A time expression found in a text, resolved against the moment it was said.

    ``start`` (inclusive) and ``end`` (exclusive) are UTC; ``text`` is the words as written.
    """

    text: str
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A typed, weighted, time-bounded edge from the cube that carries it to another.

    Types in use: ``supersedes``, ``superseded_by``, ``contradicts``, ``contradicted_by``,
    ``merged_into``, ``recalled_from`` (recalled text that came back), ``repeats`` (an agent's words
    that repeat a less trusted memory; it weighs what they counted before); recipes add their own. The
    times bound when it held in the world, half open.
    """

    type: str
    target: str
    weight: float = 1.0
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A payload of words: a verbatim turn, a fact, a summary, a document chunk."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """A typed envelope for activations of one model (KV blocks, hidden states, steering vectors).

    Parameters
    ----------
    model : str
        Fingerprint of everything that makes the blocks valid (weights, dtype, rope, token ids).
    encoding : str
        Media type of ``data``; ``application/safetensors`` is the one in use.
    data : bytes
        The encoded tensors.
    """

    model: str
    encoding: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """A typed envelope for parameters of one model (LoRA adapter, memory tokens).

    Parameters
    ----------
    base : str
        Fingerprint of the model the parameters belong to.
    encoding : str
        Media type of ``data``; ``application/safetensors`` is the one in use.
    data : bytes
        The encoded tensors.
    """

    base: str
    encoding: str
    data: bytes


Payload = Text | Activation | Parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Everything Mnemos knows about a memory besides its payload.

    Descriptive fields say what and when; governance fields say who may do what. The header is
    part of the content: the journal commits to it, forgetting erases it with the payload.

    Parameters
    ----------
    kind : Kind
        What sort of memory this is.
    speaker, role : str or None
        Who said it, and in which chat role.
    run_id, agent_id : str or None
        Session and agent the memory belongs to, attributes inside the page.
    happened_at : datetime or None
        When the thing was said or took place (aware, UTC).
    valid_from, valid_to : datetime or None
        When it was true in the world, half open.
    caption : str or None
        Description of a picture shared with the text.
    mentions : tuple of TimeMention
        Time expressions of the text, resolved against ``happened_at``.
    external_id : str or None
        The caller's own id, unique per subject.
    source : str or None
        Where it was read from (a file, an address, a reader).
    derived_from : tuple of str
        Ids of the cubes this one was made from; they are forgotten together.
    links : tuple of Link
        Edges to other cubes.
    method, model : str or None
        What derived it, where something did.
    tags, entities : tuple of str
        Labels for search and filters.
    language : str or None
        BCP 47 tag where known.
    metadata : mapping
        The caller's own JSON values.
    owner : str or None
        Principal the memory belongs to; None is the handle's own.
    access : tuple of str
        Principals who may read besides the owner.
    origin : Origin
        Who it comes from.
    trust : float
        From 0 (outside content) to 1 (the user's own words).
    approved_by : str or None
        Principal who vouched for it, where its trust comes from that; only ``approve`` sets it.
    sensitivity : str or None
        Label that a principal must be cleared for to read it.
    sealed : tuple of (str, str)
        What redaction took out of the text and keeps, encrypted: tokens and ciphertexts.
    expires_at : datetime or None
        End of its lifespan: invisible afterwards.
    priority : int
        Larger is packed earlier among standing memories.
    frozen : bool
        A frozen memory cannot be changed; it can be forgotten.
    hold : bool
        A legal hold: the one thing that stops forget.
    """

    kind: Kind = Kind.TURN
    speaker: str | None = None
    role: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    happened_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    caption: str | None = None
    mentions: tuple[TimeMention, ...] = ()
    external_id: str | None = None
    source: str | None = None
    derived_from: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    method: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=_nothing)
    owner: str | None = None
    access: tuple[str, ...] = ()
    origin: Origin = Origin.USER
    trust: float = 1.0
    approved_by: str | None = None
    sensitivity: str | None = None
    sealed: tuple[tuple[str, str], ...] = ()
    expires_at: datetime | None = None
    priority: int = 0
    frozen: bool = False
    hold: bool = False

    @property
    def counted_trust(self) -> float:
        """What its trust counts: no more than its origin allows, unless somebody approved it.

        >>> Header(origin=Origin.TOOL).counted_trust
        0.3
        """
        if self.approved_by is not None:
            return self.trust
        return min(self.trust, CEILINGS[self.origin])


@dataclass(frozen=True, kw_only=True, slots=True)
class MemCube:
    """The unit of memory: one version of a header and a payload.

    ``version`` counts from 1; ``recorded_seq`` and ``recorded_at`` say when this version entered
    the journal, ``retired_seq`` when it stopped being the current one (None while it is).
    """

    id: str
    scope: Scope
    header: Header
    payload: Payload
    state: State = State.ACTIVATED
    version: int = 1
    recorded_seq: int = 0
    recorded_at: datetime
    retired_seq: int | None = None

    @property
    def text(self) -> str:
        """The words of a text cube; empty for the other payloads."""
        return self.payload.text if isinstance(self.payload, Text) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A memory about to be written: what readers and recipes produce."""

    payload: Payload
    header: Header = field(default_factory=Header)
    state: State = State.ACTIVATED


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A question to memory.

    ``since`` and ``until`` bound ``happened_at`` (half open, UTC). ``filter`` is a parsed filter
    (:mod:`mnemos.kernel.governance.filters`).
    """

    text: str
    top_k: int = 10
    kinds: frozenset[Kind] | None = None
    since: datetime | None = None
    until: datetime | None = None
    filter: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One stage of an operation: its name, its wall milliseconds, and what it counted."""

    name: str
    ms: float
    counts: Mapping[str, int | float | str] = field(default_factory=_nothing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """The explanation of one operation: what ran, with which models and ranker, at what cost."""

    steps: tuple[Step, ...] = ()
    embedder: str | None = None
    ranker: str | None = None
    reranker: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a hit is there: the signal, its rank in that signal's list, its raw value, its share."""

    signal: str
    rank: int
    value: float
    share: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One recalled cube with its score and the reasons for it."""

    cube: MemCube
    score: float
    why: tuple[Reason, ...] = ()

    @property
    def id(self) -> str:
        """Id of the cube."""
        return self.cube.id

    @property
    def text(self) -> str:
        """Words of the cube."""
        return self.cube.text


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """What a search found, with its trace.

    Parameters
    ----------
    items : tuple of Hit
        Best first, or in order of time where that was asked for.
    trace : Trace
        What ran; the counts of its step ``judge`` are what ``answerable`` is the mean of.
    answerable : float
        From 0 to 1, how likely the best hits answer the question, by the words they hold of it and
        the nearest meaning (:mod:`mnemos.retrieval.answerable`). It tells a question about what
        was never spoken of; it does not see that one detail is missing.
    """

    items: tuple[Hit, ...] = ()
    trace: Trace = field(default_factory=Trace)
    answerable: float = 0.0

    @property
    def max_trust(self) -> float:
        """Most trust that something made from these hits can have: the least of theirs."""
        headers = [hit.cube.header for hit in self.items]
        pictures = [CEILINGS[Origin.DOCUMENT] for header in headers if header.caption]
        return min((*pictures, *(header.counted_trust for header in headers)), default=1.0)

    @property
    def tainted(self) -> bool:
        """Whether one of the hits is outside content: a host may want to gate its tools then."""
        return self.max_trust < TRUSTED

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """Links a label in a packed context to the cube it quotes."""

    label: str
    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Prompt-ready text within a token budget.

    Parameters
    ----------
    text : str
        The prompt's part.
    tokens, budget : int
        What it takes, and what it was allowed.
    citations : tuple of Citation
        Which label stands for which memory.
    tainted : bool
        Whether it quotes outside content (trust below :data:`TRUSTED`): a host may want to gate
        its tools while this text is before the model.
    max_trust : float
        Most trust that something made from this text can have: the least of its memories'.
    trace : Trace
        What ran.
    """

    text: str
    tokens: int
    budget: int
    citations: tuple[Citation, ...] = ()
    tainted: bool = False
    max_trust: float = 1.0
    trace: Trace = field(default_factory=Trace)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What became of one place an erased memory lay in: ``purged``, or ``pending`` and why."""

    name: str
    status: str
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Proof of a write.

    Parameters
    ----------
    verb : str
        What was done.
    ids : tuple of str
        Cubes touched, in the order given.
    seq : int
        Journal position of the last event; 0 while a transaction is still staging.
    indexed : str
        ``full``: findable by words and by meaning; ``lexical``: by words, its vector is pending
        or no embedder is configured; ``none``: nothing to index.
    before : int
        Journal position before the call; ``memory.rollback(before=receipt)`` undoes it.
    duplicates : int
        How many of ``ids`` were there already, under the same ``external_id`` and content.
    suppressed : int
        How many derived memories were not written, because they were forgotten before.
    places : tuple of Place
        For forget: every place, purged or pending.
    forgotten : tuple of str
        For forget: everything erased, derived memories included.
    restored : tuple of str
        For forget: memories current again, since what they had been merged into is gone.
    sources : tuple of str
        For forget of a derived memory: the memories that still say it.
    """

    verb: str
    ids: tuple[str, ...]
    seq: int = 0
    before: int = 0
    indexed: str = "full"
    duplicates: int = 0
    suppressed: int = 0
    places: tuple[Place, ...] = ()
    forgotten: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The only id, where there is exactly one."""
        (only,) = self.ids
        return only
