"""The default store: one SQLite file in WAL mode, shared by threads, processes and forks.

``synchronous=FULL`` makes a commit wait until its log is on the medium, so what was acknowledged
survives a crash of the process and of the power alike; the price is one sync per commit.
``secure_delete`` overwrites what is deleted. Every write transaction is ``BEGIN IMMEDIATE``: a
reader that turns writer half-way would be refused at once, without waiting.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnemos.errors import (
    FormatTooNew,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
)
from mnemos.kernel.binding import Reach
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.ports import Blobs, Faults, ReadTx, WriteTx
from mnemos.kernel.schema import FORMAT, TABLES
from mnemos.stores import forks, sqlite_files
from mnemos.stores.files import FileBlobs, NoFaults, network_filesystem
from mnemos.stores.sqlite_errors import REFUSALS, translate
from mnemos.stores.sqlite_form import MIGRATIONS, create_statements, mistyped
from mnemos.stores.sqlite_tx import SQLiteTx

APPLICATION_ID = 0x4D4E454D
"""``MNEM`` in the file's header, so that a vault is told from any other database."""

SCRUB_PATIENCE_MS = 200
"""How long cutting the log waits for readers before it is left for later."""

SCRUB_TRIES = 3
"""How often the log is cut again where another process writes meanwhile."""

AUTO_VACUUM = 2
"""``INCREMENTAL``: a new file can give pages back a few at a time."""


class _Connection:
    """One thread's connection, with the transactions it is in."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.pid = os.getpid()
        self.depth = 0
        self.closed = False

    def close(self) -> None:
        """Close it, unless a fork brought it here."""
        self.closed = True
        if self.pid == os.getpid():
            with suppress(sqlite3.Error):
                self.raw.close()

    def __del__(self) -> None:
        if not self.closed:
            self.close()


class SQLiteStore:
    """A vault in one file.

    Parameters
    ----------
    path : str or Path
        The file; made where there is none. Large payloads lie in ``<path>.blobs/``.
    faults : Faults or None
        The point every write step passes.
    timeout : float
        Seconds to wait for another writer.
    max_bytes : int or None
        Refuse to grow beyond this.

    Raises
    ------
    StoreReadOnly, StoreCorrupt, FormatTooNew, StoreError
        If the file cannot be a vault.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        faults: Faults | None = None,
        timeout: float = 30.0,
        max_bytes: int | None = None,
        connect: Callable[..., Any] = sqlite3.connect,
    ) -> None:
        self._path = os.path.realpath(path)  # the same file whatever the working folder becomes
        self._faults = faults or NoFaults()
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._connect = connect
        self._blobs = FileBlobs(Path(f"{self._path}.blobs"), self._faults)
        self._closed = False
        self._barred = forks.is_barred(Path(self._path))
        self._reset()
        kind = network_filesystem(Path(self._path).parent)
        if kind is not None:
            raise StoreError(
                f"{self._path} lies on a network file system ({kind}), whose locks SQLite cannot "
                "rely on; put the vault on a local disk"
            )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        forks.register(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._local = threading.local()
        self._turn = threading.Lock()
        self._gate = forks.Gate()
        self._list = threading.Lock()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()

    @property
    def blobs(self) -> Blobs:
        """Where large payloads lie."""
        return self._blobs

    @contextmanager
    def read(self, view: Reach) -> Generator[ReadTx, None, None]:
        """Open a snapshot through a view; inside a transaction of the same thread, share it."""
        with self._using() as connection:
            if connection.depth == 0:
                self._run(connection, "BEGIN")
            connection.depth += 1
            try:
                yield SQLiteTx(connection.raw, self._faults, self._path, view)
            finally:
                connection.depth -= 1
                if connection.depth == 0:
                    self._end(connection)

    @contextmanager
    def write(self, view: Reach) -> Generator[WriteTx, None, None]:
        """Take the write lock; leaving normally commits durably, leaving by exception undoes."""
        with self._using() as connection:
            if connection.depth:
                raise StoreError("a write cannot start inside another transaction of its thread")
            with self._turn:
                self._run(connection, "BEGIN IMMEDIATE")
                connection.depth = 1
                try:
                    yield SQLiteTx(connection.raw, self._faults, self._path, view)
                    self._own(connection)
                    self._faults.reach("commit")
                    self._run(connection, "COMMIT")
                finally:
                    connection.depth = 0
                    self._end(connection)

    def scrub(self) -> str:
        """Fold the log into the file, cut it, and overwrite what SQLite leaves lying in its pages."""
        self._faults.reach("checkpoint")
        with self._using() as connection:
            self._run(connection, f"PRAGMA busy_timeout={SCRUB_PATIENCE_MS}")
            try:
                for _ in range(SCRUB_TRIES):
                    found = self._run(connection, "PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if found[0]:
                        break
                    if self._sweep(connection):
                        return ""
            except (StoreBusy, StoreCorrupt) as error:
                return f"the file could not be swept: {error}; it is tried again"
            except OSError as error:
                return f"the file could not be swept: {error.strerror}; it is tried again"
            finally:
                if not connection.closed:
                    timeout = int(self._timeout * 1000)
                    self._run(connection, f"PRAGMA busy_timeout={timeout}")
        return "another reader or writer still uses the log; it is cut when that one is done"

    def _sweep(self, connection: _Connection) -> bool:
        """Sweep the b-trees of the file; return False where somebody has written meanwhile."""
        with self._turn:
            self._run(connection, "BEGIN IMMEDIATE")
            connection.depth = 1
            try:
                log = Path(f"{self._path}-wal")
                if log.exists() and log.stat().st_size:
                    return False
                roots = self._run(
                    connection,
                    "SELECT 1 UNION ALL SELECT rootpage FROM sqlite_master WHERE rootpage",
                )
                if sqlite_files.sweep(self._path, self, [row[0] for row in roots]):
                    self._faults.reach("fsync")
                    sqlite_files.sync(self._path, self)
                    # Connections remember pages as they were, and could write them so again; a
                    # commit makes all of them read anew, but for its own, which is closed.
                    version = self._one(connection, "PRAGMA user_version")
                    self._faults.reach("sql")
                    self._run(connection, f"PRAGMA user_version={version}")
                    self._faults.reach("commit")
                    self._run(connection, "COMMIT")
                    connection.close()
            finally:
                connection.depth = 0
                self._end(connection)
        return True

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield every byte of the file, its log, and what else lies beside it."""
        self._check_open()
        yield from sqlite_files.images(self._path, self)

    def check(self) -> list[str]:
        """Return what SQLite finds wrong with the file."""
        with self._using() as connection:
            try:
                found = self._run(connection, "PRAGMA integrity_check(20)").fetchall()
                problems = [] if found == [("ok",)] else [str(row[0]) for row in found]
                problems.extend(
                    f"table {table.name} holds a value of another type than its column"
                    for table in TABLES
                    if self._run(connection, mistyped(table)).fetchone()
                )
            except REFUSALS as error:
                raise translate(error, self._path) from error
        return problems

    def size(self) -> int:
        """Return the bytes of the file, its log and its blobs."""
        files = [self._path, f"{self._path}-wal"]
        files.extend(str(Path(f"{self._path}.blobs", name)) for name in self._blobs.names())
        total = 0
        for file in files:
            with suppress(FileNotFoundError):
                total += os.stat(file).st_size
        return total

    def free(self) -> int:
        """Return the bytes of the file's unused pages."""
        with self._using() as connection:
            pages = self._one(connection, "PRAGMA freelist_count")
            return pages * self._one(connection, "PRAGMA page_size")

    def vacuum(self, most: int) -> int:
        """Move unused pages to the file's end and cut it; -1 makes the whole file anew.

        A file that an old Mnemos began gives nothing back until it was made anew once. That takes
        the room of the file a second time, in memory, so that no copy is left in other files.
        """
        given = self._make_anew() if most < 0 else self._cut_end(most)
        self._faults.reach("checkpoint")
        with self._using() as connection:  # the file shrinks when the log is folded in
            self._run(connection, f"PRAGMA busy_timeout={SCRUB_PATIENCE_MS}")
            with suppress(StoreBusy):  # then it is folded in later
                self._run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            self._run(connection, f"PRAGMA busy_timeout={int(self._timeout * 1000)}")
        return given

    def _cut_end(self, most: int) -> int:
        with self.write(SYSTEM), self._using() as connection:
            size = self._one(connection, "PRAGMA page_size")
            if most < size or self._one(connection, "PRAGMA auto_vacuum") != AUTO_VACUUM:
                return 0
            pages = min(most // size, self._one(connection, "PRAGMA freelist_count"))
            for _ in range(pages):  # the driver ends this statement after its first page
                self._faults.reach("sql")
                self._run(connection, "PRAGMA incremental_vacuum(1)")
            return pages * size

    def _make_anew(self) -> int:
        with self._using() as connection:
            if connection.depth:
                raise StoreError("a vacuum cannot start inside a transaction of its thread")
            before = self._one(connection, "PRAGMA page_count")
            with self._turn:
                self._run(connection, f"PRAGMA auto_vacuum={AUTO_VACUUM}")
                self._faults.reach("sql")
                self._run(connection, "VACUUM")
            after = self._one(connection, "PRAGMA page_count")
            return max(before - after, 0) * self._one(connection, "PRAGMA page_size")

    def describe(self) -> dict[str, str]:
        """Return what a person would want to know."""
        return {
            "engine": f"sqlite {sqlite3.sqlite_version}",
            "location": self._path,
            "durability": "every commit synced (WAL, synchronous=FULL)",
        }

    def close(self) -> None:
        """Close every connection of this process, when what is under way in them has ended."""
        if self._pid != os.getpid():
            self.wake_in_child()
        self._closed = True
        self._quiet()
        if all(connection.closed for connection in list(self._open)):
            sqlite_files.release(self)
        self._gate.open()

    def rest(self) -> None:
        """Finish what is under way and close the connections: the process is about to fork."""
        self._quiet()

    def _quiet(self) -> None:
        """Shut the gate and close every connection but one this thread is in a transaction of.

        A transaction of another thread that does not end keeps its connection: to close it at
        work would bring the process down.
        """
        own: _Connection | None = getattr(self._local, "connection", None)
        inside = own is not None and own.depth > 0
        if not self._gate.shut(self._timeout, own=int(inside)):
            return
        with self._list:
            found = list(self._open)
        for connection in found:
            if not (inside and connection is own):
                connection.close()

    def wake(self) -> None:
        """Go on after a fork, in the parent."""
        self._gate.open()

    def wake_in_child(self) -> None:
        """Go on after a fork, in the child, which keeps off a file whose connections it inherited."""
        found = [connection for connection in list(self._open) if not connection.closed]
        self._reset()
        if found and not self._closed:
            self._barred = True
            forks.bar(Path(self._path), [item for one in found for item in (one, one.raw)])

    def _own(self, connection: _Connection) -> None:
        if connection.pid != os.getpid():
            raise StoreError(
                f"this process was forked inside a transaction on {self._path}; only the parent "
                "can end it"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self._path} was closed; open a new handle")

    @contextmanager
    def _using(self) -> Generator[_Connection, None, None]:
        """Yield this thread's connection, opening one where there is none."""
        self._check_open()
        if self._pid != os.getpid():
            self.wake_in_child()
        if self._barred:
            raise StoreError(
                f"this process was forked while {self._path} was inside a transaction, and cannot "
                "use it: fork outside of transactions, or open the vault after the fork"
            )
        found: _Connection | None = getattr(self._local, "connection", None)
        if found is not None and found.depth:
            yield found
            return
        gate = self._gate
        gate.enter()
        try:
            self._check_open()
            found = getattr(self._local, "connection", None)
            yield found if found is not None and not found.closed else self._new_connection()
        finally:
            gate.leave()

    def _prepare(self) -> None:
        with self._using() as connection:
            version, application = self._stamp(connection)
        if application != APPLICATION_ID or version != FORMAT:
            with self.write(SYSTEM) as tx, self._using() as connection:
                self._lift(tx, connection)

    def _stamp(self, connection: _Connection) -> tuple[int, int]:
        version = self._one(connection, "PRAGMA user_version")
        return version, self._one(connection, "PRAGMA application_id")

    def _lift(self, tx: Any, connection: _Connection) -> None:
        """Make an empty vault, or bring an older format up to date, under the write lock."""
        version, application = self._stamp(connection)
        if version > FORMAT:
            raise FormatTooNew(
                f"{self._path} has format {version}, this Mnemos reads up to {FORMAT}; "
                "upgrade Mnemos to open it"
            )
        if application != APPLICATION_ID:
            if self._blobs.names():
                raise StoreError(
                    f"{self._path} is new, but {self._path}.blobs holds another vault's payloads, "
                    "which would be lost; bring that vault back, or move the folder away"
                )
            for statement in create_statements():
                tx.change(statement)
            tx.change(f"PRAGMA application_id={APPLICATION_ID}")
        else:
            for step in range(version, FORMAT):
                MIGRATIONS[step](tx)
        tx.change(f"PRAGMA user_version={FORMAT}")

    def _new_connection(self) -> _Connection:
        try:
            raw = self._connect(
                self._path,
                timeout=self._timeout,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        except REFUSALS as error:
            raise translate(error, self._path) from error
        connection = _Connection(raw)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._local.connection = connection
        with self._list:
            self._open.add(connection)
        return connection

    def _set_up(self, connection: _Connection) -> None:
        self._switch_to_wal(connection)
        for setting in (
            "PRAGMA secure_delete=ON",
            "PRAGMA synchronous=FULL",
            "PRAGMA temp_store=MEMORY",
            "PRAGMA cache_size=-16384",
        ):
            self._run(connection, setting)
        if self._max_bytes is not None:
            size = self._one(connection, "PRAGMA page_size")
            self._run(connection, f"PRAGMA max_page_count={max(self._max_bytes // size, 1)}")

    def _switch_to_wal(self, connection: _Connection) -> None:
        """Put a new file into WAL mode; SQLite does not wait for others here, so we do.

        The file of another program is left as it is.
        """
        patience = self._timeout
        while True:
            try:
                if self._is_foreign(connection):
                    raise StoreCorrupt(
                        f"{self._path} is a database of another program; give another path"
                    )
                if self._one(connection, "PRAGMA journal_mode") == "wal":
                    return
                self._run(connection, "PRAGMA page_size=8192")
                self._run(connection, f"PRAGMA auto_vacuum={AUTO_VACUUM}")
                self._faults.reach("sql")
                mode = self._one(connection, "PRAGMA journal_mode=WAL")
            except StoreBusy:
                if patience <= 0:
                    raise
                time.sleep(0.01)
                patience -= 0.01
            else:
                if mode != "wal":
                    raise StoreError(
                        f"{self._path} cannot be used in WAL mode (it stays in {mode!r}); put the "
                        "vault on a local disk that can be written"
                    )
                return

    def _is_foreign(self, connection: _Connection) -> bool:
        """Return whether there are tables, and they are not ours.

        The mark is read after the tables, which another process may be making with it just now.
        """
        if not self._one(connection, "SELECT count(*) FROM sqlite_master"):
            return False
        return self._one(connection, "PRAGMA application_id") != APPLICATION_ID

    def _run(self, connection: _Connection, sql: str) -> Any:
        try:
            return connection.raw.execute(sql)
        except REFUSALS as error:
            raise translate(error, self._path) from error

    def _one(self, connection: _Connection, sql: str) -> Any:
        return self._run(connection, sql).fetchone()[0]

    def _end(self, connection: _Connection) -> None:
        if connection.pid != os.getpid() or connection.closed:
            return
        if connection.raw.in_transaction:
            self._run(connection, "ROLLBACK")
