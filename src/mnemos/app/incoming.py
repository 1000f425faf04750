"""What happens to drafts on their way in: redaction first, then what they repeat is recognised.

Text that memory handed out and that comes back is kept, linked ``recalled_from``, and never ranked.
Text that repeats a memory of little trust is linked ``repeats``: the commit then trusts it no more
than that memory, whoever passes it on. Compared is with what was handed out and with what is not
trusted, in the vault and in the very call; where there is neither, nothing is done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mnemos.errors import Forbidden
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.changes import Add, Change, Update
from mnemos.kernel.governance.cleaning import Cleaner
from mnemos.kernel.governance.trust import ECHOES, STANDING, brought
from mnemos.kernel.governance.views import View
from mnemos.kernel.postings import encode_terms, invert
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import FULL_TRUST
from mnemos.kernel.segments import COLUMNS
from mnemos.kernel.tokens import count_terms
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import CEILINGS, TRUSTED, Draft, Header, Link, MemCube, Origin, Payload, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    beside = [*_drafts(staged, view), *changes]
    together = _Together([item for item in beside if isinstance(item, Add) and _is_low(item)])
    given = [together.marked(_distrusted(change)) for change in changes]

    def action(reader: Reader) -> list[Change]:
        page = reader.page()
        if page is None:
            return given
        known = _Known(reader, vault.reads.handed_out(view.tenant, view.subject), *page)
        if not known.mask.any():
            return given
        return [known.marked(change) if _words(change) else change for change in given]

    try:
        return vault.read(view, action)
    except Forbidden:  # who may write and not read gets no hint of what is there
        return given


def _drafts(staged: Sequence[Staged], view: View) -> Iterator[Change]:
    for item in staged:
        if item.changes.scope.subject == view.subject:
            yield from item.changes.changes


def _said(header: Header, payload: Payload) -> str:
    """Return the words of a memory, and those of its picture."""
    words = payload.text if isinstance(payload, Text) else ""
    return f"{words} {header.caption or ''}".strip()


def _words(change: Change) -> str:
    if not isinstance(change, (Add, Update)):
        return ""
    return _said(change.draft.header, change.draft.payload)


def _is_low(change: Add) -> bool:
    return brought(change.draft.header) < TRUSTED


def _distrusted(change: Change) -> Change:
    """Return a change trusted as a tool's output if its words forge the fences of a context."""
    from mnemos.retrieval.echo_units import forges

    if not isinstance(change, (Add, Update)) or not forges(_words(change)):
        return change
    trust = min(change.draft.header.trust, CEILINGS[Origin.TOOL])
    header = replace(change.draft.header, trust=trust)
    return replace(change, draft=replace(change.draft, header=header))


def _is_passed_on(header: Header) -> bool:
    """Return whether words are somebody else's to repeat: not the user's own turn."""
    return header.origin is not Origin.USER or header.kind in STANDING


@dataclass(frozen=True, slots=True)
class _Source:
    """Something an incoming text repeats: its id, and what its trust counts."""

    id: str
    trust: float


def _repeated(
    change: Add | Update,
    arrays: PageArrays,
    mask: NDArray[np.bool_],
    texts: _Known | _Together,
) -> list[_Source]:
    """Return the less trusted memories a text repeats."""
    from mnemos.retrieval import echoes

    header, words = change.draft.header, _words(change)
    found = [
        texts.source(item.position)
        for item in echoes.recognise(words, arrays, mask, texts.outside).repeated
        if echoes.repeats(item)
    ]
    # People say two or three words that stand anywhere; an agent that stores as few was told them.
    least = echoes.WHOLE_LEAST if _is_passed_on(header) else echoes.SENTENCE_LEAST
    found += map(texts.source, echoes.holding(words, arrays, mask, texts.outside, least))
    return [
        source for source in found if source.trust < TRUSTED and source.trust < header.counted_trust
    ]


class _Together:
    """What is not trusted among the additions of one call or transaction, not yet written.

    A host writes a tool's message and the agent's answer together: the answer is compared with the
    message as it would be with one that was there before.
    """

    def __init__(self, additions: Sequence[Add]) -> None:
        import numpy as np

        self._additions = additions
        columns = np.zeros((len(additions), len(COLUMNS)), np.int64, order="F")
        terms = [encode_terms(count_terms(_words(item))) for item in additions]
        columns[:, COLUMNS.index("length")] = 1
        blocks = ((0, invert(terms)),) if terms else ()
        self._arrays = PageArrays(columns, np.zeros(len(additions), np.int64), None, blocks)
        self._mask = np.ones(len(additions), bool)

    def outside(self, position: int) -> str:
        """Return of an addition's words those that are not trusted."""
        item = self._additions[position]
        header = item.draft.header
        return _words(item) if header.counted_trust < TRUSTED else header.caption or ""

    def source(self, position: int) -> _Source:
        """Return an addition as a source."""
        item = self._additions[position]
        return _Source(item.id, brought(item.draft.header))

    def marked(self, change: Change) -> Change:
        """Return a change trusted no more than what it repeats of the same call."""
        if not self._additions or not isinstance(change, (Add, Update)) or not _words(change):
            return change
        return _capped(change, _repeated(change, self._arrays, self._mask, self))


class _Known:
    """The memories of a page a draft is compared with: those handed out, and those of little trust.

    Parameters
    ----------
    reader : Reader
        Opened on everything the writer may read.
    handed_out : collection of str
        Ids this process gave to callers.
    arrays, mask
        The page.
    """

    def __init__(
        self,
        reader: Reader,
        handed_out: Collection[str],
        arrays: PageArrays,
        mask: NDArray[np.bool_],
    ) -> None:
        import numpy as np

        self._arrays = arrays
        self._reader = reader
        self._cubes: dict[int, MemCube] = {}
        cubes, worded = arrays.column("cube"), arrays.column("length") > 0
        recalled = np.fromiter(reader.recalled(handed_out), np.int64)
        self.recalled = mask & worded & np.isin(cubes, recalled)
        low = worded & (arrays.column("trust") < TRUSTED * FULL_TRUST)
        # The owner's text is compared with what has ended or expired as well: it was read by agents.
        self._low = low if reader.view.rights is None else low & mask
        self.mask = self.recalled | self._low

    def cube(self, position: int) -> MemCube:
        """Return the memory at a position of the page."""
        if position not in self._cubes:
            born = int(self._arrays.column("born")[position])
            cube = int(self._arrays.column("cube")[position])
            self._cubes[position] = self._reader.cube(born, cube)
        return self._cubes[position]

    def text(self, position: int) -> str:
        """Return its words."""
        cube = self.cube(position)
        return _said(cube.header, cube.payload)

    def outside(self, position: int) -> str:
        """Return of its words those that are not trusted: of a user's picture, its description."""
        header = self.cube(position).header
        return self.text(position) if header.counted_trust < TRUSTED else header.caption or ""

    def source(self, position: int) -> _Source:
        """Return it as a source."""
        cube = self.cube(position)
        return _Source(cube.id, brought(cube.header))

    def marked(self, change: Change) -> Change:
        """Return a change with links to what it repeats."""
        from mnemos.retrieval import echoes

        assert isinstance(change, (Add, Update))
        mask = self.mask
        if isinstance(change, Update):
            mask = mask & (self._arrays.column("cube") != self._reader.number_of(change.id))
        low = _repeated(change, self._arrays, mask & self._low, self)
        change = _capped(change, low)
        ids = [source.id for source in low]
        recalled = mask & self.recalled
        if recalled.any():
            echo = echoes.recognise(_words(change), self._arrays, recalled, self.text)
            if echo.is_echo:
                found = [self.cube(item.position).id for item in echo.repeated]
                return replace(change, draft=_linked(change.draft, "recalled_from", ids + found))
        return replace(change, draft=_linked(change.draft, "repeats", ids)) if ids else change


def _capped(change: Add | Update, sources: Sequence[_Source]) -> Add | Update:
    """Return a change trusted no more than what it repeats."""
    if not sources:
        return change
    header = change.draft.header
    trust = min(header.trust, *(source.trust for source in sources))
    return replace(change, draft=replace(change.draft, header=replace(header, trust=trust)))


def _linked(draft: Draft, type: str, ids: Sequence[str]) -> Draft:
    kept = tuple(link for link in draft.header.links if link.type not in ECHOES)
    targets = list(dict.fromkeys(ids))[:MOST_LINKS]
    added = tuple(Link(type=type, target=id) for id in targets)
    return replace(draft, header=replace(draft.header, links=(*kept, *added)))
