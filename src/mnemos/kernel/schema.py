"""The tables of a vault: the physical form, declared once for every store.

``tenant`` leads the key of every table that holds memories. Numbers are preferred to names:
subjects and actors are numbered per tenant, a cube's internal number is the journal seq of its
first version, and a version's content is named by the seq of the event that brought it. So a
row says nothing by itself; what people wrote lies in ``contents`` (and in the search arrays made
from it) and leaves with it.
"""

from typing import Any, NamedTuple

from mnemos.kernel.ports import Table

FORMAT = 3
"""Version of this physical form; stores migrate older ones and refuse newer ones."""

ALIVE = 2**63 - 1
"""``dead`` of a version that is still the current one of its branch."""

EARLIEST = -(2**63 - 1)
"""``since`` of what has always been true."""

FULL_TRUST = 1_000
"""``trust`` of the user's own words."""

UNRANKED = -1
"""``length`` of a row no search returns: recalled text that came back."""

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
    """A caller's own id on a branch, and a cube that bears it; of all that did, one is current."""

    tenant: str
    subject: int
    branch: int
    external: str
    id: str


class Source(NamedTuple):
    """A cube and one derived from it; forgetting the first forgets the second."""

    tenant: str
    source: str
    derived: str


class Link(NamedTuple):
    """That a cube carries a link to another; type and weight are in its header."""

    tenant: str
    target: str
    source: str


class Forgotten(NamedTuple):
    """A cube that was erased, and the event that says so: never to come back from an old copy."""

    tenant: str
    id: str
    seq: int


class Suppressed(NamedTuple):
    """A derived memory that was forgotten while its source stayed: not to be derived again.

    ``digest`` is keyed by ``salt``; both leave with the source.
    """

    tenant: str
    source: str
    derived: str
    salt: bytes
    digest: bytes


class Branch(NamedTuple):
    """A line of its own since ``fork`` on ``parent``; its number is the seq of its event.

    ``merged`` is the last position at which its parent took over what it said.
    """

    tenant: str
    subject: int
    branch: int
    parent: int
    fork: int
    merged: int
    name: str


class Named(NamedTuple):
    """A snapshot: a name for a journal position on a branch."""

    tenant: str
    subject: int
    name: str
    branch: int
    at: int
    id: str


class Record(NamedTuple):
    """An event with a content that is no memory: a snapshot, branch, policy, rule or read."""

    tenant: str
    subject: int
    id: str
    seq: int
    verb: str


class PolicyRow(NamedTuple):
    """A life-cycle policy as canonical JSON; subject 0 is the whole tenant, kind "" is every kind."""

    tenant: str
    subject: int
    kind: str
    id: str
    body: bytes


class RuleRow(NamedTuple):
    """A rule of governance as canonical JSON (:mod:`mnemos.kernel.governance.rules`).

    Subject 0 is the whole tenant.
    """

    tenant: str
    subject: int
    sort: str
    name: str
    id: str
    body: bytes


class Intake(NamedTuple):
    """What a source wrote within an hour: outside the chain. ``source`` is a hash of its name."""

    tenant: str
    subject: int
    source: int
    hour: int
    memories: int
    bytes: int


class ReadCount(NamedTuple):
    """How often a principal read of a subject on a day, by which call: buffered and lossy.

    ``day`` is days since 1970 UTC; ``memories`` how many were returned in all.
    """

    tenant: str
    subject: int
    day: int
    principal: str
    call: str
    calls: int
    memories: int


class Usage(NamedTuple):
    """How a cube is used: outside the chain, unversioned, lost at most since the last flush.

    ``first`` and ``last`` are microseconds of the first and last read, ``reads`` their number,
    ``strength`` what reinforcement has made of it, in thousandths.
    """

    tenant: str
    subject: int
    cube: int
    reads: int
    first: int
    last: int
    strength: int


class Job(NamedTuple):
    """Work to be done later, in the same file as what it is about.

    ``payload`` is JSON of ids and numbers, never of what people wrote. ``due`` is the microsecond
    from which somebody may take it: for a leased job, the end of the lease. ``token`` grows with
    every lease, so that who lost one can be told. ``cause`` and ``latest`` are the journal
    positions of the first and the last commit that asked for it.
    """

    tenant: str
    job: int
    state: str
    due: int
    kind: str
    subject: int
    payload: bytes
    attempts: int
    token: int
    cause: int
    latest: int
    error: str


class Budget(NamedTuple):
    """What jobs of a scope may spend in a day; subject 0 is the whole tenant, -1 no limit."""

    tenant: str
    subject: int
    calls: int
    tokens: int
    milliseconds: int


class Spent(NamedTuple):
    """What jobs of a scope have spent on one day, days since 1970 UTC."""

    tenant: str
    subject: int
    day: int
    calls: int
    tokens: int
    milliseconds: int


class Blob(NamedTuple):
    """A large payload outside the tables, and the content that names it."""

    tenant: str
    name: str
    content: int


class Page(NamedTuple):
    """One subject's memories on one branch.

    Rows born up to ``sealed`` lie in segments, later ones in the tail, which holds ``tail`` rows.
    ``changed`` is the last seq that touched the page; ``epoch`` grows when rows already read may
    have been rewritten. Segments hold ``rows`` rows; ``ended`` of those and the tail's are no
    longer current. Compaction moves ended rows to ``history``, where every row had ended by
    ``compacted``; no row of segments or tail had ended by ``cleared``.
    """

    tenant: str
    subject: int
    branch: int
    epoch: int
    sealed: int
    changed: int
    tail: int
    rows: int
    ended: int
    compacted: int
    cleared: int


def empty_page(tenant: str, subject: int, branch: int) -> Page:
    """Return the row of a page to which nothing was written yet."""
    return Page(tenant, subject, branch, *[0] * (len(Page._fields) - 3))


class TailRow(NamedTuple):
    """A searchable version not yet sealed into a segment; ``born`` is its row number.

    ``session``, ``agent`` and ``speaker`` are 64-bit hashes (0 for none), ``at`` and ``expires``
    microseconds, ``since`` and ``until`` bound when it is true, ``guard`` is a hash of who may read
    it (:mod:`mnemos.kernel.governance.guards`; 0 for everyone), ``trust`` what its trust counts, in
    thousandths, ``terms`` an encoded posting list (:mod:`mnemos.kernel.postings`).
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
    since: int
    until: int
    guard: int
    trust: int
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
EXTERNALS = Table("externals", External, 5, {})
SOURCES = Table("sources", Source, 3, {})
LINKS = Table("links", Link, 3, {})
FORGOTTEN = Table("forgotten", Forgotten, 2, {})
SUPPRESSED = Table("suppressed", Suppressed, 3, {})
BRANCHES = Table("branches", Branch, 3, {})
SNAPSHOTS = Table("snapshots", Named, 3, {})
RECORDS = Table("records", Record, 3, {})
POLICIES = Table("policies", PolicyRow, 3, {})
RULES = Table("rules", RuleRow, 4, {})
INTAKE = Table("intake", Intake, 4, {})
READS = Table("reads", ReadCount, 5, {})
USAGE = Table("usage", Usage, 3, {})
JOBS = Table("jobs", Job, 2, {"due": ("tenant", "state", "due")})
BUDGETS = Table("budgets", Budget, 2, {})
SPENT = Table("spent", Spent, 3, {})
BLOBS = Table("blobs", Blob, 2, {})
PAGES = Table("pages", Page, 3, {})
TAIL = Table("tail", TailRow, 4, {})
VECTORS = Table("vectors", Vector, 5, {})
SEGMENTS = Table("segments", Segment, 5, {})
HISTORY = Table("history", Segment, 5, {})
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
    LINKS,
    FORGOTTEN,
    SUPPRESSED,
    BRANCHES,
    SNAPSHOTS,
    RECORDS,
    POLICIES,
    RULES,
    INTAKE,
    READS,
    USAGE,
    JOBS,
    BUDGETS,
    SPENT,
    BLOBS,
    PAGES,
    TAIL,
    VECTORS,
    SEGMENTS,
    HISTORY,
    SPACES,
)
