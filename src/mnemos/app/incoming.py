"""What happens to drafts on their way in: redaction first, then what they repeat is recognised.

Text that memory handed out and that comes back is kept, linked ``recalled_from``, and never ranked.
Text that repeats a memory of little trust is linked ``repeats``: the commit then trusts it no more
than that memory, whoever passes it on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mnemos.errors import Forbidden
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.changes import Add, Change, Update
from mnemos.kernel.governance.cleaning import Cleaner
from mnemos.kernel.governance.trust import ECHOES
from mnemos.kernel.governance.views import View
from mnemos.kernel.reading import Reader
from mnemos.kernel.schema import FULL_TRUST
from mnemos.kernel.vault import Vault
from mnemos.types import TRUSTED, Draft, Header, Link, MemCube, Text

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


def recognised(vault: Vault, view: View, changes: Sequence[Change]) -> list[Change]:
    """Return changes whose drafts name the memories they repeat.

    Parameters
    ----------
    vault : Vault
        What is remembered.
    view : View
        Everything the writer may read of the page, in whatever state.
    changes : sequence of Change
        In which additions and updates with words are looked at.
    """
    wordy = [change for change in changes if _words(change)]
    if not wordy:
        return list(changes)

    def action(reader: Reader) -> list[Change]:
        page = reader.page()
        handed_out = vault.reads.handed_out(view.tenant, view.subject)
        known = _Known(reader, handed_out, *page) if page is not None else None
        if known is None or not known.mask.any():
            return list(changes)
        return [_marked(change, known) if change in wordy else change for change in changes]

    try:
        return vault.read(view, action)
    except Forbidden:  # who may write and not read gets no hint of what is there
        return list(changes)


def _words(change: Change) -> str:
    if not isinstance(change, (Add, Update)) or not isinstance(change.draft.payload, Text):
        return ""
    return change.draft.payload.text


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

        self.arrays = arrays
        cubes = arrays.column("cube")
        worded = mask & (arrays.column("length") > 0)
        recalled = np.fromiter(reader.recalled(handed_out), np.int64)
        self.recalled = worded & np.isin(cubes, recalled)
        self.low = worded & (arrays.column("trust") < TRUSTED * FULL_TRUST)
        self.mask = self.recalled | self.low
        self._reader = reader
        self._cubes: dict[int, MemCube] = {}

    def cube(self, position: int) -> MemCube:
        """Return the memory at a position of the page."""
        if position not in self._cubes:
            born = int(self.arrays.column("born")[position])
            cube = int(self.arrays.column("cube")[position])
            self._cubes[position] = self._reader.cube(born, cube)
        return self._cubes[position]

    def text(self, position: int) -> str:
        """Return its words, and those of its picture."""
        cube = self.cube(position)
        return f"{cube.text} {cube.header.caption or ''}".strip()

    def number(self, id: str) -> int:
        """Return the number of a memory; -1 where the page has none of this id."""
        return self._reader.number_of(id)


def _marked(change: Change, known: _Known) -> Change:
    from mnemos.retrieval import echoes

    assert isinstance(change, (Add, Update))
    mask = known.mask
    if isinstance(change, Update):
        mask = mask & (known.arrays.column("cube") != known.number(change.id))
    echo = echoes.recognise(_words(change), known.arrays, mask, known.text)
    header = change.draft.header
    low = [
        cube
        for item in echo.repeated
        if echoes.repeats(item) and _would_gain(header, cube := known.cube(item.position))
    ]
    if echo.is_echo and not all(known.recalled[item.position] for item in echo.repeated):
        recalled = mask & known.recalled
        echo = echoes.recognise(_words(change), known.arrays, recalled, known.text)
    if echo.is_echo:
        found = [*low, *(known.cube(item.position) for item in echo.repeated)]
        return replace(change, draft=_linked(change.draft, "recalled_from", found))
    return replace(change, draft=_linked(change.draft, "repeats", low)) if low else change


def _would_gain(header: Header, cube: MemCube) -> bool:
    trust = cube.header.counted_trust
    return trust < TRUSTED and trust < header.counted_trust


def _linked(draft: Draft, type: str, cubes: Sequence[MemCube]) -> Draft:
    kept = tuple(link for link in draft.header.links if link.type not in ECHOES)
    targets = dict.fromkeys(cube.id for cube in cubes)
    added = tuple(Link(type=type, target=id) for id in list(targets)[:MOST_LINKS])
    return replace(draft, header=replace(draft.header, links=(*kept, *added)))
