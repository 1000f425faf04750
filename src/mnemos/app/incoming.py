"""What happens to drafts on their way in: redaction first, then what they repeat is recognised.

Text that memory handed out and that comes back is kept, linked ``recalled_from``, and never ranked.
Text that repeats a memory of little trust is linked ``repeats``: the commit then trusts it no more
than that memory, whoever passes it on. Compared is with what was handed out and with what is not
trusted, in the vault and in the very call; where there is neither, nothing is done.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mnemos.errors import Forbidden
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.changes import Add, Change, Update
from mnemos.kernel.governance.cleaning import Cleaner
from mnemos.kernel.governance.trust import ECHOES, STANDING, brought, is_own
from mnemos.kernel.governance.views import View
from mnemos.kernel.postings import encode_terms, invert
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import FULL_TRUST
from mnemos.kernel.segments import COLUMNS
from mnemos.kernel.tokens import count_terms
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import CEILINGS, TRUSTED, Header, Link, MemCube, Origin, Payload, Text

if TYPE_CHECKING:
    from mnemos.retrieval.echoes import Lists, Repeated

MOST_LINKS = 32
"""Memories an echo names at most; a packed context may hold more."""


def cleaned(changes: Sequence[Change], cleaner: Cleaner | None) -> list[Change]:
    """Return changes whose drafts hold nothing that a rule of redaction names."""
    if cleaner is None:
        return list(changes)
    return [
        replace(change, draft=cleaner.draft(change.draft))
        if isinstance(change, (Add, Update))
        else change
        for change in changes
    ]


def recognised(
    vault: Vault, view: View, changes: Sequence[Change], staged: Sequence[Staged] = ()
) -> list[Change]:
    """Return changes whose drafts name the memories they repeat, trusted no more than those.

    Parameters
    ----------
    vault : Vault
        What is remembered.
    view : View
        Everything the writer may read of the page, in whatever state.
    changes : sequence of Change
        In which additions and updates with words are looked at.
    staged : sequence of Staged
        What the transaction holds already.
    """
    if not any(_words(change) for change in changes):
        return list(changes)
    before = list(_drafts(staged, view))
    together = _Together([*before, *changes])
    given = [_distrusted(change) for change in changes]
    told = [together.sources(change, place) for place, change in enumerate(given, len(before))]

    def action(reader: Reader) -> list[Change] | None:
        arrays = reader.arrays()
        if arrays is None:
            return None
        known = _Known(reader, vault.reads.handed_out(view.tenant, view.subject), arrays)
        if not known.has_rows:
            return None
        return [known.marked(*pair) for pair in zip(given, told, strict=True)]

    try:
        found = vault.read(view, action)
    except Forbidden:  # who may write and not read gets no hint of what is there
        found = None
    return [_marked(*pair) for pair in zip(given, told, strict=True)] if found is None else found


def _drafts(staged: Sequence[Staged], view: View) -> Iterator[Change]:
    for item in staged:
        if item.changes.scope.subject == view.subject:
            yield from item.changes.changes


def _said(header: Header, payload: Payload) -> str:
    """Return the words of a memory, and those of its picture."""
    words = payload.text if isinstance(payload, Text) else ""
    return f"{words} {header.caption or ''}".strip()


def _own_words(header: Header, payload: Payload) -> str:
    """Return the trusted words of a memory whose picture has a description."""
    trusted = header.caption and (header.counted_trust >= TRUSTED or is_own(header))
    return payload.text if trusted and isinstance(payload, Text) else ""


def _words(change: Change) -> str:
    if not isinstance(change, (Add, Update)):
        return ""
    return _said(change.draft.header, change.draft.payload)


def _is_low(change: Add) -> bool:
    return brought(change.draft.header) < TRUSTED


def _distrusted(change: Change) -> Change:
    """Return a change without what its caller says of its trust and cannot know.

    It is trusted as a tool's output if its words forge the fences of a context, and for nothing
    that links of its own say about what it repeats.
    """
    from mnemos.retrieval.echo_units import forges

    if not isinstance(change, (Add, Update)):
        return change
    header = change.draft.header
    if any(link.type in ECHOES for link in header.links):
        links = (
            replace(link, weight=0.0) if link.type in ECHOES else link for link in header.links
        )
        header = replace(header, links=tuple(links))
    if forges(_words(change)):
        header = replace(header, trust=min(header.trust, CEILINGS[Origin.TOOL]))
    if header is change.draft.header:
        return change
    return replace(change, draft=replace(change.draft, header=header))


def _is_passed_on(header: Header) -> bool:
    """Return whether words are somebody else's to repeat: not the user's own turn."""
    return header.origin is not Origin.USER or header.kind in STANDING


@dataclass(frozen=True, slots=True)
class _Source:
    """Something an incoming text repeats: its id, and what its trust counts."""

    id: str
    trust: float


def _repeated(change: Add | Update, lists: Lists, texts: _Known | _Together) -> list[_Source]:
    """Return the less trusted memories a text repeats."""
    header, payload = change.draft.header, change.draft.payload
    said = payload.text if isinstance(payload, Text) else ""
    # What a picture shows is quoted in any case: it matters if that came from less than a document.
    parts = ((said, TRUSTED), (header.caption or "", CEILINGS[Origin.DOCUMENT]))
    return [
        source
        for words, bound in parts
        if words
        for source in _standing_in(words, header, lists, texts)
        if source.trust < bound and source.trust < header.counted_trust
    ]


def _standing_in(
    words: str, header: Header, lists: Lists, texts: _Known | _Together
) -> list[_Source]:
    """Return the memories of which words repeat a part that is not trusted."""
    from mnemos.retrieval import echoes

    found = [
        texts.source(item.position)
        for item in echoes.recognise(words, lists, texts.outside).repeated
        if echoes.repeats(item) and not _is_described(words, item, texts)
    ]
    # People say two or three words that stand anywhere; an agent that stores as few was told them.
    least = echoes.WHOLE_LEAST if _is_passed_on(header) else echoes.SENTENCE_LEAST
    return found + [
        texts.source(place) for place in echoes.holding(words, lists, texts.outside, least)
    ]


DESCRIBED_RUN = 8.0
"""Running words of a picture's description that are its own: fewer name a place or a dish."""


def _is_described(words: str, item: Repeated, texts: _Known | _Together) -> bool:
    """Return whether a text only names what somebody's picture shows, and repeats no description.

    The place of a picture stands in its description, and in its own words as well.
    """
    import numpy as np

    from mnemos.retrieval import echoes

    if not texts.inside(item.position):
        return False
    if item.run < DESCRIBED_RUN and item.of_source < echoes.REPEATED_SHARE:
        return True
    alone = np.arange(len(texts.arrays)) == item.position
    found = echoes.recognise(words, echoes.Lists(texts.arrays, alone), texts.inside).repeated
    return item.run <= max((other.run for other in found), default=0.0)


class _Together:
    """What is not trusted among the additions of one call or transaction, not yet written.

    A host writes a tool's message and the agent's answer together: the answer is compared with the
    message as it would be with one that was there before.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        pairs = [
            (place, item)
            for place, item in enumerate(changes)
            if isinstance(item, Add) and _is_low(item)
        ]
        self._places = [place for place, _ in pairs]
        self._lists: tuple[int, Lists] | None = None
        self._additions = [item for _, item in pairs]

    @cached_property
    def arrays(self) -> PageArrays:
        """The additions as a page; most calls bring none that something else could repeat."""
        import numpy as np

        additions = self._additions
        columns = np.zeros((len(additions), len(COLUMNS)), np.int64, order="F")
        terms = [encode_terms(count_terms(_words(item))) for item in additions]
        columns[:, COLUMNS.index("length")] = 1
        blocks = ((0, invert(terms)),) if terms else ()
        return PageArrays(columns, np.zeros(len(additions), np.int64), None, blocks)

    def outside(self, position: int) -> str:
        """Return of an addition's words those that are not trusted."""
        item = self._additions[position]
        header = item.draft.header
        return _words(item) if header.counted_trust < TRUSTED else header.caption or ""

    def inside(self, position: int) -> str:
        """Return the words of its own beside a description that is not trusted."""
        draft = self._additions[position].draft
        return _own_words(draft.header, draft.payload)

    def source(self, position: int) -> _Source:
        """Return an addition as a source."""
        item = self._additions[position]
        return _Source(item.id, brought(item.draft.header))

    def sources(self, change: Change, place: int) -> list[_Source]:
        """Return what a change repeats of the same call, in which it stands at a place."""
        if not self._places or self._places[0] >= place:
            return []
        if not isinstance(change, (Add, Update)) or not _words(change):
            return []
        return _repeated(change, self._earlier(place), self)

    def _earlier(self, place: int) -> Lists:
        """Return the lists of what stands before a place: who says it first repeats nothing."""
        import numpy as np

        from mnemos.retrieval.echoes import Lists

        count = bisect_left(self._places, place)
        if self._lists is None or self._lists[0] != count:
            self._lists = count, Lists(self.arrays, np.arange(len(self._places)) < count)
        return self._lists[1]


class _Known:
    """The memories of a page a draft is compared with: those handed out, and those of little trust.

    Parameters
    ----------
    reader : Reader
        Opened on everything the writer may read.
    handed_out : collection of str
        Ids this process gave to callers.
    arrays : PageArrays
        The page.
    """

    def __init__(
        self,
        reader: Reader,
        handed_out: Collection[str],
        arrays: PageArrays,
    ) -> None:
        import numpy as np

        from mnemos.retrieval.echoes import Lists

        self.arrays = arrays
        self._reader = reader
        self._cubes: dict[int, MemCube] = {}
        worded = arrays.column("length") > 0
        self._low = worded & (arrays.column("trust") < TRUSTED * FULL_TRUST)
        self.recalled = np.zeros(len(arrays), bool)
        recalled = np.fromiter(reader.recalled(handed_out), np.int64)
        # The owner's text is compared with what has ended or expired as well: it was read by agents.
        sees_all = reader.view.rights is None
        if len(recalled) or not sees_all:
            mask = reader.mask(arrays)
            self.recalled = mask & worded & np.isin(arrays.column("cube"), recalled)
            self._low = self._low if sees_all else self._low & mask
        self.has_rows = bool(self._low.any() or self.recalled.any())
        self._lists = Lists(arrays, self._low), Lists(arrays, self.recalled)

    def cube(self, position: int) -> MemCube:
        """Return the memory at a position of the page."""
        if position not in self._cubes:
            born = int(self.arrays.column("born")[position])
            cube = int(self.arrays.column("cube")[position])
            self._cubes[position] = self._reader.cube(born, cube)
        return self._cubes[position]

    def text(self, position: int) -> str:
        """Return its words."""
        cube = self.cube(position)
        return _said(cube.header, cube.payload)

    def outside(self, position: int) -> str:
        """Return of its words those that are not trusted: of a user's picture, its description.

        Of what somebody trusted wrote, and what lost its trust by what it repeats, that is what it
        repeats, which stands in its source. Else every set phrase of a long answer that quotes a
        page would make the next answer suspect, and that the next. Who may not read the source is
        compared with all of it.
        """
        header = self.cube(position).header
        owner = self._reader.view.rights is None
        if header.counted_trust >= TRUSTED or (owner and is_own(header)):
            return header.caption or ""
        return self.text(position)

    def inside(self, position: int) -> str:
        """Return the words of its own beside a description that is not trusted."""
        cube = self.cube(position)
        return _own_words(cube.header, cube.payload)

    def source(self, position: int) -> _Source:
        """Return it as a source."""
        cube = self.cube(position)
        return _Source(cube.id, brought(cube.header))

    def marked(self, change: Change, told: Sequence[_Source]) -> Change:
        """Return a change with links to what it repeats, of the page and of its own call."""
        from mnemos.retrieval import echoes

        if not isinstance(change, (Add, Update)) or not _words(change):
            return change
        low, recalled = self._lists
        if isinstance(change, Update):
            others = self.arrays.column("cube") != self._reader.number_of(change.id)
            low = echoes.Lists(self.arrays, self._low & others)
            recalled = echoes.Lists(self.arrays, self.recalled & others)
        sources = [*told, *_repeated(change, low, self)]
        if self.recalled.any():
            echo = echoes.recognise(_words(change), recalled, self.text)
            if echo.is_echo:
                found = [self.cube(item.position).id for item in echo.repeated]
                return _marked(change, sources, recalled=found)
        return _marked(change, sources)


def _marked(change: Change, sources: Sequence[_Source], recalled: Sequence[str] = ()) -> Change:
    """Return a change trusted no more than what it repeats, with links to that.

    A link weighs as much as the words were trusted of themselves: :func:`is_own` reads it.
    """
    if not isinstance(change, (Add, Update)) or not (sources or recalled):
        return change
    header = change.draft.header
    trust = min(header.trust, *(source.trust for source in sources), 1.0)
    named = [source.id for source in sources]
    type = "recalled_from" if recalled else "repeats"
    targets = list(dict.fromkeys((*named, *recalled)))[:MOST_LINKS]
    weight = 1.0 if recalled else header.counted_trust
    kept = tuple(link for link in header.links if link.type not in ECHOES)
    added = tuple(Link(type=type, target=id, weight=weight) for id in targets)
    header = replace(header, trust=trust, links=(*kept, *added))
    return replace(change, draft=replace(change.draft, header=header))
