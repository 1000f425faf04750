"""The calls by which memories leave a vault and come back: backup, restore, export, import."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import cast

from mnemos.app import config
from mnemos.app.handle import Handle, Moment
from mnemos.app.importing import Import, ImportReport, check_versions
from mnemos.app.privacy import read_key
from mnemos.app.scopes import read_callable, read_moment, read_path, read_port
from mnemos.errors import Conflict, InvalidInput, StoreCorrupt, StoreError
from mnemos.exchange.archive import read_header, write_archive
from mnemos.exchange.readable import write_markdown
from mnemos.exchange.sealed_lines import packed
from mnemos.exchange.suppression_lists import is_list, read_suppressions, write_suppressions
from mnemos.exchange.watermark import mark
from mnemos.kernel import blobs, schema
from mnemos.kernel.copies.backup import (
    Copied,
    Suppression,
    copy,
    heads_of,
    lists_of,
    positions_at,
    roll_back,
)
from mnemos.kernel.copies.backup import suppress as forget_listed
from mnemos.kernel.copies.disclosure import Disclosure
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.ports import Clock, Entropy, Ids, Store
from mnemos.kernel.vault import Vault
from mnemos.memories.input_values import shown
from mnemos.types import Scope

Progress = Callable[[int], None]

WRITERS = {"archive": write_archive, "markdown": write_markdown}
"""The forms of an export."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """What an export wrote: about whom, in which form, and how many lines or paragraphs."""

    path: Path
    subject: str
    format: str
    written: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreReport:
    """What a restore did.

    Parameters
    ----------
    path : Path
        The restored vault.
    rows, blobs : int
        What was copied from the backup.
    forgotten : int
        Memories and records that were in the backup and had been forgotten since.
    noted : int
        Forgotten ids the backup never held, noted so that no import brings them.
    positions : mapping of str to int
        With ``at``: the journal position each tenant was rolled back to.
    changed : int
        Memories the rollbacks changed.
    unread : tuple of str
        Why the list of the replaced vault could not be read, if so; what it had forgotten may be
        back, unless another list names it.
    """

    path: Path
    rows: int
    blobs: int
    forgotten: int = 0
    noted: int = 0
    positions: Mapping[str, int] = field(default_factory=dict[str, int])
    changed: int = 0
    unread: tuple[str, ...] = ()


class Archives(Handle):
    """Calls that make copies, and bring them back without what was forgotten."""

    def backup(self, path: str | Path, *, progress: Progress | None = None) -> Copied:
        """Copy the whole vault, all tenants, at this moment, while others go on writing.

        The copy is a vault like any other. It holds nothing that was erased before, and no
        forget after it reaches it: keep few, encrypt them, and restore with the suppression list.

        Parameters
        ----------
        path : str or Path
            A file that is not there yet; it appears when it is complete and safe on the medium.
        progress : callable or None
            Called with the number of rows after every batch.

        Raises
        ------
        Conflict
            If there is a file, or an unfinished one.
        StoreError
            If it cannot be written, or the vault is damaged; nothing is left under ``path``.
        """
        from mnemos.stores.placing import vault_aside

        self._check_plain("backup")
        self._check_owner("copy the vault")
        read_callable("progress", progress)
        with vault_aside(self._elsewhere(path)) as target:
            return copy(self._vault.store, target, progress=progress)

    @staticmethod
    def restore_backup(
        backup: str | Path,
        path: str | Path,
        *,
        at: Moment = None,
        suppress: str | Path | Iterable[str | Path] = (),
        replace: bool = False,
        tz: str = "UTC",
        clock: Clock | None = None,
        ids: Ids | None = None,
        entropy: Entropy | None = None,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Make a vault from a backup, without what was forgotten since; then open it.

        Parameters
        ----------
        backup : str or Path
            A copy made by :meth:`backup`; it stays as it is.
        path : str or Path
            The vault to be.
        at : datetime, ISO string, ``"#17"`` or None
            Roll every subject and branch back to this moment of the backup: a wall time, or a
            journal position where there is one tenant. The rollbacks are journalled and can be
            undone.
        suppress : paths
            Suppression lists, or other vaults whose lists are read. The list of a vault that is
            replaced is read in any case.
        replace : bool
            Whether a vault may be at ``path`` already. It must not be open anywhere.
        tz : str
            Zone of ``at`` where it has none.
        clock, ids, entropy : ports
            As of :class:`mnemos.Memory`.
        progress : callable or None
            Called with the number of rows copied.

        Raises
        ------
        NotFound, Conflict, InvalidInput, StoreError
            Nothing was made, and what is at ``path`` is as it was.
        """
        from mnemos.stores.placing import readable, vault_aside

        read_callable("progress", progress)
        source_path, target_path = read_path(backup), _vault_path(path)
        zone = config.read_zone(tz)
        if _same(source_path, target_path):
            raise InvalidInput(f"{target_path} is the backup itself; give another path")
        lists = _read_lists(suppress)
        heads, unread = None, ()
        if replace and target_path.exists():
            old, heads, unread = _read_replaced(target_path)
            lists.extend(old)
        aside = target_path.with_name(f"{target_path.name}.source")
        with (
            readable(source_path, aside) as source,
            vault_aside(target_path, replaced=heads) as target,
        ):
            copied = copy(source, target, progress=progress)
            vault = Vault(
                target,
                clock=read_port("clock", clock, "now") or config.SystemClock(),
                ids=read_port("ids", ids, "fresh") or config.SystemIds(),
                entropy=(salts := read_port("entropy", entropy, "bytes") or config.SystemEntropy()),
                rebuild_words=True,
            )
            positions = _positions(target, copied.heads, at, zone)
            # Rolled back first: what a forget brings back is then the state of that moment.
            changed = sum(roll_back(vault, tenant, to) for tenant, to in positions.items())
            found = [forget_listed(vault, item, entropy=salts) for item in lists]
            vault.scrub()
        if heads is not None:
            _sweep(target_path)
        return RestoreReport(
            path=target_path,
            rows=copied.rows,
            blobs=copied.blobs,
            forgotten=sum(erased for erased, _ in found),
            noted=sum(noted for _, noted in found),
            positions=positions,
            changed=changed,
            unread=unread,
        )

    def suppressions(self, path: str | Path) -> int:
        """Write the list of what this tenant has forgotten; return how many ids it holds.

        Random ids and times, nothing of what was said: it may be kept outside, and should be. An
        earlier list is replaced.

        Raises
        ------
        Conflict
            If something else is there.
        """
        from mnemos.stores.placing import file_aside

        self._check_plain("suppressions")
        where = self._elsewhere(path)
        known = where.is_file() and is_list(where)
        with file_aside(where, replace=known) as file, packed(file, where) as through:
            with self._records() as tx:
                return write_suppressions(through, tx, self._tenant, created=self._now())

    def export(
        self,
        path: str | Path,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        format: str = "archive",
        watermark: int | None = None,
        watermark_key: str | Path | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write everything the vault holds about one subject.

        All versions on all branches in every state, snapshots, policies, use counts, and the
        journal's entries with who made them and when; of what was forgotten the ids.

        Parameters
        ----------
        path : str or Path
            A file that is not there yet; packed if its name ends in ``.gz``.
        user_id, agent_id : str or None
            About whom; without either, the subject ``default``.
        format : str
            ``"archive"`` for machines (JSON Lines, can be imported), ``"markdown"`` for people.
        watermark : int or None
            Number of this copy, 0 to 2**32 - 1, put invisibly into every paragraph of a Markdown
            export; :meth:`read_watermark` finds it in what was copied from there.
        watermark_key : str, Path or None
            File of the secret key the mark is made with, 16 bytes or more.
        progress : callable or None
            Called with 1 for every line.

        Raises
        ------
        NotFound
            If nothing is remembered of the subject.
        Conflict
            If there is a file already.
        """
        self._check_plain("export")
        read_callable("progress", progress)
        if format not in WRITERS:
            raise InvalidInput(f"format={shown(format)} is unknown; allowed: {', '.join(WRITERS)}")
        if user_id is not None and agent_id is not None:
            raise InvalidInput(
                "export is about one subject; give user_id or agent_id, not both: what an agent "
                "noted of a user is the user's"
            )
        where, scope = self._elsewhere(path), self._scope(user_id, agent_id, None)
        writer = _writer(format, watermark, watermark_key)
        try:
            written = self._export(where, scope, writer, progress)
        except blobs.MissingBlob:  # erased while it was being read: the next snapshot knows
            written = self._export(where, scope, writer, progress)
        self._note_read("export", self._view(scope), (), {"rows": written})
        return ExportReport(path=where, subject=scope.subject, format=format, written=written)

    def _export(
        self, path: Path, scope: Scope, writer: Callable[..., int], progress: Progress | None
    ) -> int:
        from mnemos.stores.placing import file_aside

        store = self._vault.store
        with self._everything(self._view(scope)) as tx:
            self._check_all(tx, scope, Verb.ADMIN)  # who may do what, and who read why, is in it
            found = Disclosure(tx, store.blobs, scope.tenant, scope.subject)
            with file_aside(path) as file, packed(file, path) as through:
                return writer(through, found, exported_at=self._now(), progress=progress)

    def import_archive(
        self,
        path: str | Path,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        suppress: str | Path | Iterable[str | Path] = (),
        progress: Progress | None = None,
    ) -> ImportReport:
        """Bring the memories of an archive into this vault, under the ids they had.

        Nothing is written before the whole file has been proved. Each memory comes with all the
        versions of its main line, or not at all. What was forgotten stays forgotten, what is
        there already is not written twice, and what contradicts is reported. What claims to be
        the user's or the agent's own words is of origin ``import`` afterwards.

        Searches give the same memories with the same scores as where they came from. Only a memory
        that does not say when it happened (a draft without ``happened_at``; :meth:`add` notes it)
        counts as having happened when it was imported.

        Parameters
        ----------
        path : str or Path
            An archive made by :meth:`export`.
        user_id, agent_id : str or None
            Whose the memories are to be; without either, the subject the archive names.
        suppress : paths
            Suppression lists of other vaults: ids not to be imported.
        progress : callable or None
            Called with 1 for every memory settled.

        Raises
        ------
        InvalidInput
            If the archive is damaged, cut or out of order; the message names the line.
        """
        self._check_plain("import_archive")
        self._check_owner("import an archive")
        read_callable("progress", progress)
        where = self._elsewhere(path)
        listed = {id for item in _read_lists(suppress) for id in item.ids}
        header = read_header(where)
        for _ in check_versions(where):
            pass  # to the end: nothing is written of a file that is not whole
        scope = self._scope(user_id, agent_id, None)
        if user_id is None and agent_id is None:
            scope = Scope(tenant=self._tenant, subject=_subject(header.subject, where))
        given = Import(
            vault=self._vault,
            embedder=self._embedder,
            scope=Scope(tenant=scope.tenant, subject=scope.subject),
            listed=frozenset(listed),
            progress=progress,
        )
        return given.run(where)

    def _check_plain(self, verb: str) -> None:
        if self._staged is not None or self._bound is not None:
            raise InvalidInput(
                f"{verb} is about the vault as it stands; call it on the memory itself, not inside "
                "a transaction or through a view"
            )

    def _elsewhere(self, path: object) -> Path:
        """Return a path that is not this vault's: to open that past the store drops its locks."""
        found = _vault_path(path)
        if _same(found, Path(self._vault.store.describe()["location"])):
            raise InvalidInput(f"{found} is this vault itself; give another path")
        return found


def _writer(format: str, number: int | None, key: str | Path | None) -> Callable[..., int]:
    """Return what writes an export of a format, marked if a number and a key are given."""
    if number is None and key is None:
        return WRITERS[format]
    if number is None or key is None:
        raise InvalidInput("a watermark takes a number and a key; give watermark and watermark_key")
    if format != "markdown":
        raise InvalidInput(
            f"format={shown(format)} cannot be watermarked: an archive comes back as it was; use "
            "format='markdown'"
        )
    return partial(write_markdown, mark=partial(mark, key=read_key(key), number=number))


def _subject(name: str, path: Path) -> str:
    """Return the subject an archive names, if it is one."""
    if name != "default" and not (name.startswith(("user:", "agent:")) and name.partition(":")[2]):
        raise InvalidInput(
            f"{path.name}, line 1: subject {shown(name)} is none; give user_id or agent_id"
        )
    return name


def _vault_path(path: object) -> Path:
    found = read_path(path)
    if str(path) == ":memory:" or "://" in str(path):
        raise InvalidInput(f"path={shown(path)} is no file; give the path of one")
    if found.is_dir():
        raise InvalidInput(f"{found} is a folder; give the path of a file in it")
    return found


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)


def _read_lists(given: object) -> list[Suppression]:
    """Return the suppression lists of several paths, or of one."""
    if isinstance(given, (str, Path)) or not isinstance(given, Iterable):
        return _read_list(read_path(given))
    return [item for one in cast("Iterable[object]", given) for item in _read_list(read_path(one))]


def _read_list(path: Path) -> list[Suppression]:
    """Return suppression lists from a list file or a vault.

    It is asked first whether it is a vault: to open one past SQLite drops its locks.
    """
    from mnemos.stores.placing import readable

    try:
        with readable(path, path.with_name(f"{path.name}.read")) as store:
            return lists_of(store)
    except StoreCorrupt:
        return [read_suppressions(path)]


def _read_replaced(
    path: Path,
) -> tuple[list[Suppression], list[schema.Head], tuple[str, ...]]:
    """Return the list and the journal's end of a vault that will be replaced, if it can be read."""
    from mnemos.stores.placing import readable

    try:
        with readable(path, path.with_name(f"{path.name}.read")) as store:
            return lists_of(store), heads_of(store), ()
    except Conflict:
        raise
    except StoreError as error:
        why = f"what {path.name} had forgotten could not be read ({error})"
        return [], [], (why,)


def _positions(store: Store, heads: Mapping[str, int], at: Moment, zone: tzinfo) -> dict[str, int]:
    """Return the position of each tenant that a moment means."""
    if at is None:
        return {}
    if isinstance(at, str) and at.startswith("#"):
        last = max(heads.values(), default=0)
        if len(heads) != 1 or not at[1:].isdecimal() or int(at[1:]) > last:
            raise InvalidInput(
                f"at={shown(at)} is no position of this backup; allowed: a wall time, or "
                f"'#0' to '#{last}' where it holds one tenant (here {len(heads)})"
            )
        return dict.fromkeys(heads, int(at[1:]))
    moment = read_moment("at", at, zone)
    assert moment is not None
    return positions_at(store, heads, moment)


def _sweep(path: Path) -> None:
    """Remove the payloads of the vault that was replaced."""
    store = config.open_store(path)
    try:
        blobs.sweep(store)
    finally:
        store.close()
