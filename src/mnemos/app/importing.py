"""Bringing an archive into a vault: memory by memory, all of it or nothing, and no forgotten one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnemos.app.config import EmbedderSource
from mnemos.app.drafts import check_draft
from mnemos.app.writing import stage
from mnemos.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    MnemosError,
    NotFound,
    Protected,
)
from mnemos.exchange.archive import Archived, by_memory, read_archive
from mnemos.exchange.taking_over import changes_of, draft_of, taken_over
from mnemos.kernel import schema
from mnemos.kernel.batch import Outcome
from mnemos.kernel.blobs import load_body
from mnemos.kernel.branches import NOW, ancestry, versions_of
from mnemos.kernel.changes import Change, Changes
from mnemos.kernel.governance.views import tenant_view
from mnemos.kernel.journal import find_subject
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import MAIN, Id
from mnemos.kernel.vault import Staged, Vault
from mnemos.types import Activation, Parameters, Scope, State

ACTOR = "import"

BATCH_MEMORIES = 64
BATCH_BYTES = 4 << 20
"""What is committed together; an error in one memory splits its batch into single ones."""

_REFUSED = (Conflict, IllegalTransition, InvalidInput, NotFound, Protected)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A memory of an archive that was not imported, the line it begins at, and why."""

    id: str
    line: int
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import did.

    Parameters
    ----------
    subject : str
        Whose memories they are now.
    imported : tuple of str
        Memories written, with all their versions.
    duplicates : tuple of str
        Memories that were there already, with the same content or a later one.
    suppressed : tuple of str
        Memories that were forgotten, or made from forgotten ones, and stay so.
    left_out : tuple of LeftOut
        Memories that contradict what is there, or cannot be written.
    """

    subject: str
    imported: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def check_versions(path: Path) -> Iterator[int]:
    """Read an archive to its end and yield 1 for every version that can be written.

    Raises
    ------
    InvalidInput
        At the first line that cannot; the message names it.
    """
    for version in read_archive(path):
        try:
            check_draft(draft_of(version))
        except InvalidInput as error:
            raise InvalidInput(f"{path.name}, line {version.line}: {error}") from error
        yield 1


@dataclass(slots=True)
class Import:
    """One import under way.

    Parameters
    ----------
    vault, embedder
        Where to.
    scope : Scope
        Whose the memories will be.
    listed : frozenset of str
        Ids of suppression lists.
    progress : callable or None
        Called with 1 for every memory settled.
    """

    vault: Vault
    embedder: EmbedderSource
    scope: Scope
    listed: frozenset[str]
    progress: Callable[[int], None] | None = None
    imported: list[str] = field(default_factory=list[str])
    duplicates: list[str] = field(default_factory=list[str])
    suppressed: list[str] = field(default_factory=list[str])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    _batch: list[list[Archived]] = field(default_factory=list[list[Archived]])
    _size: int = 0

    def run(self, path: Path) -> ImportReport:
        """Import an archive that was checked.

        A memory made from one that comes later in the file waits for another passage through it.
        """
        waiting: dict[str, int] | None = None
        while waiting is None or waiting:
            before = waiting
            waiting = self._pass(path, before)
            if waiting == before:
                self.left_out.extend(
                    LeftOut(id=id, line=line, why="what it was made from is not here")
                    for id, line in waiting.items()
                )
                break
        return ImportReport(
            subject=self.scope.subject,
            imported=tuple(self.imported),
            duplicates=tuple(self.duplicates),
            suppressed=tuple(self.suppressed),
            left_out=tuple(self.left_out),
        )

    def _pass(self, path: Path, wanted: dict[str, int] | None) -> dict[str, int]:
        waiting: dict[str, int] = {}
        for group in by_memory(read_archive(path)):
            id, line = group[0].id, group[0].line
            if wanted is not None and wanted.get(id) != line:
                continue
            main = [version for version in group if version.branch is None]
            if not self._settled(group[0], main):
                if self._lacks_source(main):
                    waiting[id] = line
                else:
                    self._put(main)
        self._flush()
        return waiting

    # ------------------------------------------------------------ what needs no writing

    def _settled(self, first: Archived, main: list[Archived]) -> bool:
        """Note a memory that is not to be written, and return whether it was one."""
        with self.vault.store.read(tenant_view(self.scope.tenant)) as tx:
            if self._is_forgotten(tx, first, main):
                self.suppressed.append(first.id)
            elif why := _unfit(main):
                self._leave(first, why)
            elif (found := tx.get(schema.IDS, (self.scope.tenant, first.id))) is None:
                return False
            elif found.subject != find_subject(tx, self.scope.tenant, self.scope.subject):
                self._leave(first, "this id belongs to somebody else's memory")
            elif self._says_already(tx, found, main):
                self.duplicates.append(first.id)
            else:
                self._leave(first, "a memory of this id is here and says something else")
        self._tell()
        return True

    def _is_forgotten(self, tx: ReadTx, first: Archived, main: list[Archived]) -> bool:
        ids = {first.id}.union(*(version.header.derived_from for version in main))
        return any(
            id in self.listed or tx.get(schema.FORGOTTEN, (self.scope.tenant, id)) is not None
            for id in ids
        )

    def _says_already(self, tx: ReadTx, found: Id, main: list[Archived]) -> bool:
        """Return whether the archived versions are the first of those that are there."""
        tenant = self.scope.tenant
        lines = ancestry(tx, tenant, found.subject, MAIN, NOW)
        rows = versions_of(tx, tenant, found.cube, lines)
        if len(rows) < len(main):
            return False
        for row, version in zip(rows, main, strict=False):
            body = load_body(tx, self.vault.store.blobs, tenant, row.content)
            same = (
                body is not None
                and row.state in (version.state, State.QUARANTINED)
                and body.payload == version.payload
                and body.header in (version.header, taken_over(version.header))
            )
            if not same:
                return False
        return True

    def _lacks_source(self, main: list[Archived]) -> bool:
        wanted = {source for version in main for source in version.header.derived_from}
        wanted -= {group[0].id for group in self._batch}
        with self.vault.store.read(tenant_view(self.scope.tenant)) as tx:
            return any(tx.get(schema.IDS, (self.scope.tenant, id)) is None for id in wanted)

    def _leave(self, first: Archived, why: str) -> None:
        self.left_out.append(LeftOut(id=first.id, line=first.line, why=why))

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(1)

    # ------------------------------------------------------------------------- writing

    def _put(self, main: list[Archived]) -> None:
        self._batch.append(main)
        self._size += sum(_bytes(version) for version in main)
        if len(self._batch) >= BATCH_MEMORIES or self._size >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if not batch:
            return
        try:
            self._note(batch, self._commit([step for main in batch for step in changes_of(main)]))
        except _REFUSED:
            for main in batch:
                self._alone(main)

    def _alone(self, main: list[Archived]) -> None:
        """Write one memory by itself, since one of its batch was refused."""
        changes = changes_of(main)
        try:
            self._note([main], self._commit(changes))
        except _REFUSED as error:
            if self._is_suppressed(changes[0]):
                self.suppressed.append(main[0].id)
            else:
                self._leave(main[0], str(error))
            self._tell()

    def _is_suppressed(self, first: Change) -> bool:
        try:
            return self.vault.preview([Staged(self._changes([first]))]).suppressed > 0
        except MnemosError:  # the same refusal as before, which is reported
            return False

    def _changes(self, changes: Sequence[Change]) -> Changes:
        return Changes(scope=self.scope, changes=tuple(changes), actor=ACTOR)

    def _commit(self, changes: Sequence[Change]) -> Outcome:
        staged, _ = stage(self.vault, self.embedder, self._changes(changes))
        return self.vault.commit([staged])[0]

    def _note(self, batch: list[list[Archived]], outcome: Outcome) -> None:
        written = set(outcome.ids)
        for main in batch:
            id = main[0].id
            if id in written:
                self.imported.append(id)
            elif main[0].header.derived_from:
                self.suppressed.append(id)
            else:
                self.duplicates.append(id)
            self._tell()


def _unfit(main: list[Archived]) -> str:
    if not main:
        return "it lies on a branch alone; only the main line is imported"
    if not main[-1].current:
        return "it had been taken back and had no current version"
    return ""


def _bytes(version: Archived) -> int:
    payload = version.payload
    if isinstance(payload, (Activation, Parameters)):
        return len(payload.data)
    return len(payload.text)
