"""The tables of a vault: the physical form, declared once for every store.

``tenant`` leads the key of every table that holds memories. Numbers are preferred to names:
subjects and actors are numbered per tenant, a cube's internal number is the journal seq of its
first version, and a version's content is named by the seq of the event that brought it. So a
row says nothing by itself; what people wrote lies in ``contents`` (and in the search arrays made
from it) and leaves with it.
"""

from typing import Any, NamedTuple

from mnemos.kernel.ports import Table

FORMAT = 1
"""Version of this physical form; stores migrate older ones and refuse newer ones."""

ALIVE = 2**63 - 1
"""``dead`` of a version that is still the current one of its branch."""

MAIN = 0
"""The branch every vault starts with."""


class Meta(NamedTuple):
    """A setting of the whole vault: tokeniser, active vector space, pending scrub."""

    name: str
    value: str


class Head(NamedTuple):
    """The end of a tenant's journal."""

    tenant: str
    seq: int
    at: int
    hash: bytes


class Actor(NamedTuple):
    """The name behind an actor number."""

    tenant: str
    actor: int
    name: str


class Subject(NamedTuple):
    """The name behind a subject number; erased with the last memory of the subject."""

    tenant: str
    subject: int
    name: str


class Event(NamedTuple):
    """One link of a tenant's chain. ``hash`` covers every column and the previous hash.

    ``at`` is microseconds since 1970 UTC, never decreasing; ``batch`` is the seq of the first
    event committed with this one; ``content`` is the seq whose content this event is about.
    """

    tenant: str
    seq: int
    batch: int
    at: int
    verb: str
    actor: int
    branch: int
    subject: int
    cube: str
    content: int
    state: str
    commitment: bytes
    hash: bytes


class Content(NamedTuple):
    """What an event committed to: the salt and the canonical header and payload."""

    tenant: str
    seq: int
    salt: bytes
    body: bytes


class Id(NamedTuple):
    """Public id to cube number and subject."""

    tenant: str
    id: str
    cube: int
    subject: int


class Version(NamedTuple):
    """One version of a cube on a branch: visible from ``born`` up to, not including, ``dead``."""

    tenant: str
    cube: int
    branch: int
    born: int
    dead: int
    content: int
    state: str
    subject: int


class External(NamedTuple):
    """A caller's own id, unique per subject."""

    tenant: str
    subject: int
    external: str
    id: str


class Source(NamedTuple):
    """A cube and one derived from it; forgetting the first forgets the second."""

    tenant: str
    source: str
    derived: str


class Blob(NamedTuple):
    """A large payload outside the tables, and the content that names it."""

    tenant: str
    name: str
    content: int


class Page(NamedTuple):
    """One subject's memories on one branch.

    Rows born up to ``sealed`` lie in segments, later ones in the tail, which holds ``tail`` rows.
    ``changed`` is the last seq that touched the page; ``epoch`` grows when rows already read may
    have been rewritten.
    """

    tenant: str
    subject: int
    branch: int
    epoch: int
    sealed: int
    changed: int
    tail: int


class TailRow(NamedTuple):
    """A searchable version not yet sealed into a segment; ``born`` is its row number.

    ``session``, ``agent`` and ``speaker`` are 64-bit hashes (0 for none), ``at`` and ``expires``
    microseconds, ``terms`` an encoded posting list (:mod:`mnemos.kernel.postings`).
    """

    tenant: str
    subject: int
    branch: int
    born: int
    cube: int
    content: int
    state: int
    kind: int
    session: int
    agent: int
    speaker: int
    at: int
    expires: int
    length: int
    terms: bytes


class Vector(NamedTuple):
    """One unsealed row's vector in one space, float32 little endian."""

    tenant: str
    subject: int
    branch: int
    space: int
    born: int
    bytes: bytes


class Segment(NamedTuple):
    """Sealed rows in one encoding; ``segment`` is the birth of the first of its ``n`` rows.

    Encodings: ``rows`` (columns), ``terms`` (postings), ``f32:<space>`` (vectors).
    """

    tenant: str
    subject: int
    branch: int
    segment: int
    encoding: str
    n: int
    bytes: bytes


class Space(NamedTuple):
    """A vector space: one embedder. ``building`` until every row has its vector there."""

    space: int
    fingerprint: str
    dim: int
    status: str


META = Table("meta", Meta, 1, {})
HEADS = Table("heads", Head, 1, {})
ACTORS = Table("actors", Actor, 2, {"name": ("tenant", "name")})
SUBJECTS = Table("subjects", Subject, 2, {"name": ("tenant", "name")})
EVENTS = Table("events", Event, 2, {})
CONTENTS = Table("contents", Content, 2, {})
IDS = Table("ids", Id, 2, {})
VERSIONS = Table("versions", Version, 4, {"deaths": ("tenant", "subject", "branch", "dead")})
EXTERNALS = Table("externals", External, 3, {})
SOURCES = Table("sources", Source, 3, {})
BLOBS = Table("blobs", Blob, 2, {})
PAGES = Table("pages", Page, 3, {})
TAIL = Table("tail", TailRow, 4, {})
VECTORS = Table("vectors", Vector, 5, {})
SEGMENTS = Table("segments", Segment, 5, {})
SPACES = Table("spaces", Space, 1, {})

TABLES: tuple[Table[Any], ...] = (
    META,
    HEADS,
    ACTORS,
    SUBJECTS,
    EVENTS,
    CONTENTS,
    IDS,
    VERSIONS,
    EXTERNALS,
    SOURCES,
    BLOBS,
    PAGES,
    TAIL,
    VECTORS,
    SEGMENTS,
    SPACES,
)
