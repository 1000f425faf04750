"""Everything a caller can read, through one view, in one snapshot.

There is no read without a view: the tenant, the subject, the branch and the moment it names are
bound in every look-up here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from mnemos.errors import Forbidden, NotFound, ScopeViolation, StoreCorrupt
from mnemos.kernel import schema
from mnemos.kernel.arrays import PageArrays
from mnemos.kernel.blobs import load_body
from mnemos.kernel.branches import NOW, ancestry, candidates, version_at, versions_of
from mnemos.kernel.canonical import decode_content, moment
from mnemos.kernel.erasure import with_derived
from mnemos.kernel.governance import rules
from mnemos.kernel.governance.cleaning import Cleaner, Detectors, Mode
from mnemos.kernel.governance.guards import is_cleared, passes
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.governance.views import View
from mnemos.kernel.journal import find_subject
from mnemos.kernel.lifecycle import LEGAL
from mnemos.kernel.pages import PageCache, Wanted
from mnemos.kernel.ports import Blobs, ReadTx
from mnemos.kernel.schema import Version
from mnemos.types import Header, MemCube, Scope, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reader:
    """Reads one page through one view.

    Parameters
    ----------
    tx : ReadTx
        The snapshot.
    blobs : Blobs
        Where large payloads lie.
    view : View
        What may be seen.
    cache : PageCache
        Loaded pages of this process.
    space : Space or None
        The vector space in use.
    detectors : callable or None
        Opens what finds secrets, where a rule masks them on reading.
    """

    def __init__(
        self,
        tx: ReadTx,
        blobs: Blobs,
        view: View,
        *,
        cache: PageCache,
        space: schema.Space | None,
        detectors: Detectors | None = None,
    ) -> None:
        self._tx = tx
        self._blobs = blobs
        self._view = view
        self._cache = cache
        self._space = space
        self._tenant = view.scope.tenant
        self._subject = find_subject(tx, self._tenant, view.scope.subject)
        moment = NOW if view.as_of is None else view.as_of
        self._lines = ancestry(tx, self._tenant, self._subject or 0, view.branch, moment)
        self._cleaner = self._masking(detectors)

    def _masking(self, detectors: Detectors | None) -> Cleaner | None:
        """Return what masks memories for this view; None where no rule asks for it.

        Raises
        ------
        Forbidden
            If something is to be masked and nothing here can find it.
        """
        if self._view.rights is None:
            return None
        rule = rules.nearest(self._tx, self._tenant, self._subject, Sort.REDACTION)
        if rule is None or rule.value["mode"] != Mode.READ:
            return None
        if detectors is None:
            raise Forbidden("what is to be masked here cannot be found by this handle")
        return Cleaner(rule, detectors)

    def _is_unmasked(self, header: Header) -> bool:
        """Return whether one of the view's rights shows all of a memory of this header."""
        view = self._view
        return view.rights is None or any(
            right.unmasked and passes(header, view.names, right) for right in view.rights
        )

    @property
    def view(self) -> View:
        """The view all reads go through."""
        return self._view

    def page(self) -> tuple[PageArrays, NDArray[np.bool_]] | None:
        """Return the page's arrays and which rows are visible; None if there is no such page."""
        arrays = self.arrays()
        return None if arrays is None else (arrays, self.mask(arrays))

    def arrays(self) -> PageArrays | None:
        """Return the page's arrays, rows that are not visible among them; None if there is none."""
        if self._subject is None:
            return None
        space = self._space
        wanted = Wanted(
            self._tenant,
            self._subject,
            self._lines,
            space.space if space else None,
            space.dim if space else 0,
        )
        return self._cache.load(self._tx, wanted)

    def mask(self, arrays: PageArrays) -> NDArray[np.bool_]:
        """Return which rows of the page's arrays are visible."""
        mask = arrays.visible(self._view)
        return mask if self._view.rights is None else self._permitted(arrays, mask)

    def _permitted(self, arrays: PageArrays, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the rows of a mask that the view's rights show.

        A guard is asked about once, by the header of one of the rows that carry it.
        """
        import numpy as np

        guard = arrays.column("guard")
        headers: dict[int, Header] = {}
        shown = np.zeros(len(arrays), bool)
        for right in self._view.rights or ():
            here = mask & arrays.within(right)
            for code in np.unique(guard[here & (guard != 0)]).tolist():
                if code not in headers:
                    place = int(np.flatnonzero(mask & (guard == code))[0])
                    content = int(arrays.column("content")[place])
                    row = self._tx.get(schema.CONTENTS, (self._tenant, content))
                    if row is None:
                        raise StoreCorrupt("a page row has lost its content; run `mnemos verify`")
                    headers[code] = decode_content(row.body).header
                if not is_cleared(headers[code], self._view.names, right):
                    here &= guard != code
            shown |= here
        if self._is_of_today:
            return shown
        cubes = arrays.column("cube")
        hidden = [cube for cube in np.unique(cubes[shown]).tolist() if not self._is_open(cube)]
        return shown & ~np.isin(cubes, hidden)

    @property
    def _is_of_today(self) -> bool:
        """Whether what the view shows is what the page says now: no past, no branch."""
        return self._view.as_of is None and self._view.branch == schema.MAIN

    def _is_open(self, cube: int) -> bool:
        """Return whether the newest version of a cube, on any branch, lets the view see it.

        An access list and a label hold for the past of a memory as well.
        """
        rows = self._tx.scan(schema.VERSIONS, (self._tenant, cube))
        newest = max(rows, key=lambda row: row.born, default=None)
        row = self._tx.get(schema.CONTENTS, (self._tenant, newest.content)) if newest else None
        return row is not None and self._may_see(decode_content(row.body).header)

    def _may_see(self, header: Header) -> bool:
        """Return whether the view's rights show a memory of this header."""
        view = self._view
        return view.rights is None or any(
            passes(header, view.names, right) for right in view.rights
        )

    def get(self, id: str) -> MemCube:
        """Return the visible version of a cube.

        Raises
        ------
        NotFound
            If the view's subject has no such cube, or the view does not show it.
        """
        cube = self.look(id)
        if cube is None:
            raise self._missing(id)
        return cube

    def look(self, id: str) -> MemCube | None:
        """Return the visible version of a cube, or None where the view shows none."""
        found = self._tx.get(schema.IDS, (self._tenant, id))
        if found is None or found.subject != self._subject:
            return None
        row = version_at(self._tx, self._tenant, found.cube, self._lines)
        return self._shown(row) if row is not None else None

    def history(self, id: str) -> tuple[MemCube, ...]:
        """Return every version of a cube recorded up to the view's moment, oldest first."""
        rows = self._versions(self._number(id))
        found = [self._cube(row, number) for number, row in enumerate(rows, start=1)]
        shown = tuple(cube for cube in found if self._may_see(cube.header))
        if not found or not self._may_see(found[-1].header) or self._expired(found[-1]):
            raise self._missing(id)
        return shown

    def _expired(self, cube: MemCube) -> bool:
        """Return whether a cube's lifespan is over for this view."""
        end = cube.header.expires_at
        return end is not None and end <= self._view.now

    def list(
        self, *, after: str | None = None, limit: int | None = None, expired: bool = False
    ) -> Iterator[MemCube]:
        """Yield the visible cubes in order of first writing, those after the id ``after`` only.

        ``expired`` includes those whose lifespan is over.
        """
        if self._subject is None:
            return
        first = 0 if after is None else self._number(after) + 1
        given = 0
        for row in candidates(self._tx, self._tenant, self._subject, self._lines, first):
            if given == limit:
                return
            cube = self._shown(row, expired=expired)
            if cube is not None:
                yield cube
                given += 1

    def everything(self) -> Iterator[tuple[str, list[Header]]]:
        """Yield every cube of the subject with the headers of all its versions.

        On whatever branch and in whatever state it is, withdrawn or expired: what there is to erase.
        """
        contents: dict[int, set[int]] = {}
        key = (self._tenant, self._subject or 0)
        for row in self._tx.scan(schema.VERSIONS, key, index="deaths"):
            contents.setdefault(row.cube, set()).add(row.content)
        for cube in sorted(contents):
            event = self._tx.get(schema.EVENTS, (self._tenant, cube))
            rows = [self._tx.get(schema.CONTENTS, (self._tenant, seq)) for seq in contents[cube]]
            if event is not None:
                yield event.cube, [decode_content(row.body).header for row in rows if row]

    def reached(self, is_meant: Callable[[Header], bool]) -> tuple[list[str], list[str]]:
        """Return the cubes that are meant and all made from them, and what was merged into those.

        Only those that can go into quarantine, on the view's branch; of what was merged only what
        is not reached itself.
        """
        meant = [id for id, headers in self.everything() if any(map(is_meant, headers))]
        reached = with_derived(self._tx, self._tenant, meant)
        doomed: list[str] = []
        merged: dict[str, None] = {}
        for id in reached:
            cube = self.look(id)
            if cube is None or State.QUARANTINED not in LEGAL[cube.state]:
                continue
            doomed.append(id)
            merged.update(dict.fromkeys(cube.header.derived_from))
        back = (self.look(id) for id in merged if id not in reached)
        return doomed, [cube.id for cube in back if cube and cube.state is State.MERGED]

    def cube(self, born: int, cube: int) -> MemCube:
        """Return the version of a page row, by its birth and cube number."""
        for number, row in enumerate(self._versions(cube), start=1):
            if row.born == born:
                return self._cube(row, number)
        raise StoreCorrupt(f"page row {born} has no version; run `mnemos verify`")

    def _number(self, id: str) -> int:
        found = self._tx.get(schema.IDS, (self._tenant, id))
        if found is None or found.subject != self._subject:
            raise self._missing(id)
        return found.cube

    def _versions(self, cube: int) -> list[Version]:
        return versions_of(self._tx, self._tenant, cube, self._lines)

    def _shown(self, row: Version, *, expired: bool = False) -> MemCube | None:
        """Return the cube if the view shows this version of it."""
        view = self._view
        if State(row.state) not in view.states:
            return None
        cube = self._cube(row)
        header = cube.header
        if not expired and self._expired(cube):
            return None
        if not _is_true(header, view) or not self._may_see(header):
            return None
        if view.rights is not None and not self._is_of_today and not self._is_open(row.cube):
            return None
        if view.kinds is not None and header.kind not in view.kinds:
            return None
        for wanted, has in (
            (view.scope.run_id, header.run_id),
            (view.scope.agent_id, header.agent_id),
        ):
            if wanted is not None and wanted != has:
                return None
        return cube

    def _cube(self, row: Version, number: int | None = None) -> MemCube:
        """Return one version of a cube; what is not known of it yet is looked up."""
        event = self._tx.get(schema.EVENTS, (self._tenant, row.born))
        body = load_body(self._tx, self._blobs, self._tenant, row.content)
        if body is None or body.payload is None or event is None:
            raise StoreCorrupt(f"memory {row.cube} has lost its content; run `mnemos verify`")
        if body.scope.subject != self._view.scope.subject:
            raise ScopeViolation(f"the content of memory {row.cube} is another subject's")
        if number is None:
            number = 1 + sum(item.born < row.born for item in self._versions(row.cube))
        cube = MemCube(
            id=event.cube,
            scope=Scope(
                tenant=self._tenant,
                subject=self._view.scope.subject,
                agent_id=body.header.agent_id,
                run_id=body.header.run_id,
            ),
            header=body.header,
            payload=body.payload,
            state=State(row.state),
            version=number,
            recorded_seq=row.born,
            recorded_at=moment(event.at),
            retired_seq=self._retired(row),
        )
        if self._cleaner is None or self._is_unmasked(cube.header):
            return cube
        return self._cleaner.cube(cube)

    def unmasked(self, id: str) -> MemCube:
        """Return the visible version of a cube, if the view may see what redaction masks.

        Raises
        ------
        NotFound
            If the view shows no such cube.
        Forbidden
            If none of the view's rights is unmasked.
        """
        cube = self.get(id)
        if not self._is_unmasked(cube.header):
            raise Forbidden(
                f"{self._view.principal!r} may read memory {id}, but not what was taken out of it; "
                "who may share it can grant that with unmasked=True"
            )
        return cube

    def recalled(self, handed_out: Collection[str]) -> frozenset[int]:
        """Return the numbers of the subject's cubes that were handed out to callers.

        ``handed_out`` are ids this process knows of; those counted before are in the tables.
        """
        rows = self._tx.scan(schema.USAGE, (self._tenant, self._subject or 0))
        counted = {row.cube for row in rows if row.reads}
        numbers = (self.number_of(id) for id in handed_out)
        return frozenset(counted.union(number for number in numbers if number >= 0))

    def number_of(self, id: str) -> int:
        """Return the number of a cube of the view's subject, or -1."""
        found = self._tx.get(schema.IDS, (self._tenant, id))
        return found.cube if found is not None and found.subject == self._subject else -1

    def _retired(self, row: Version) -> int | None:
        """Return when a version ended; an end after a fork is none on the branch begun there."""
        latest = NOW
        for line in self._lines:
            if line.branch == row.branch:
                break
            latest = min(latest, line.fork)
        return row.dead if row.dead <= latest else None

    def _missing(self, id: str) -> NotFound:
        return NotFound(
            f"no memory {id!r} of {self._view.scope.subject!r} in this view: it was forgotten, "
            "never written, or belongs to someone else; `get_all` lists what there is"
        )


def _is_true(header: Header, view: View) -> bool:
    """Return whether a view shows what was true when the header says; mirrors the page's mask."""
    start, end = header.valid_from, header.valid_to
    if view.valid_at is None:
        return view.ended or end is None or end > view.now
    return (start is None or start <= view.valid_at) and (end is None or end > view.valid_at)
