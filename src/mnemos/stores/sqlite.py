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
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from mnemos.errors import (
    FormatTooNew,
    InvalidInput,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from mnemos.kernel.ports import Blobs, Faults, Key, ReadTx, Row, Table, WriteTx
from mnemos.kernel.schema import FORMAT, TABLES
from mnemos.stores import forks
from mnemos.stores.files import FileBlobs, NoFaults, network_filesystem

APPLICATION_ID = 0x4D4E454D
"""``MNEM`` in the file's header, so that a vault is told from any other database."""

SCRUB_PATIENCE_MS = 200
"""How long cutting the log waits for readers before it is left for later."""

MIGRATIONS: dict[int, Callable[[Any], None]] = {}
"""Format to the function that lifts a vault from it to the next; empty while there is one format."""

_SQL_TYPE = {"int": "INTEGER", "str": "TEXT", "bytes": "BLOB"}

_REFUSALS = (sqlite3.Error, UnicodeDecodeError)
_FULL = "the disk or a size limit is full; free some room and retry"
_BY_NAME = {
    "SQLITE_BUSY": (StoreBusy, "another process holds the lock; retry, or raise the time-out"),
    "SQLITE_LOCKED": (StoreBusy, "another connection holds the lock; retry"),
    "SQLITE_FULL": (StoreFull, "free some room and retry; nothing was written"),
    "SQLITE_PROTOCOL": (StoreBusy, "too many others open the file at once; retry"),
    "SQLITE_IOERR_SHMSIZE": (StoreFull, _FULL),
    "SQLITE_IOERR_WRITE": (StoreFull, _FULL),
    "SQLITE_READONLY": (StoreReadOnly, "check the permissions of the file and its folder"),
    "SQLITE_CANTOPEN": (StoreReadOnly, "check that the folder exists and can be written"),
    "SQLITE_PERM": (StoreReadOnly, "check the permissions of the file and its folder"),
    "SQLITE_NOTADB": (StoreCorrupt, "this is not a Mnemos vault; give another path"),
    "SQLITE_IOERR_SHORT_READ": (StoreCorrupt, "the file was cut; restore a backup"),
    "SQLITE_CORRUPT": (StoreCorrupt, "restore a backup; `mnemos verify` says what is damaged"),
}


def translate(error: sqlite3.Error | UnicodeDecodeError, path: str) -> StoreError:
    """Return the typed error for SQLite's refusal, which stays as its cause.

    Of a damaged schema SQLite tells in words that Python cannot decode.
    """
    name = getattr(error, "sqlite_errorname", None) or "SQLITE_ERROR"
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
        return StoreClosed(f"{path} was closed; open a new handle")
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
        name = "SQLITE_CORRUPT"
    for known, (kind, way_out) in _BY_NAME.items():
        if name == known or name.startswith(f"{known}_"):
            return kind(f"{Path(path).name}: {error}: {way_out}")
    return StoreError(f"{Path(path).name}: {error} ({name})")


@lru_cache(maxsize=512)
def _select(
    name: str,
    columns: tuple[str, ...],
    order: tuple[str, ...],
    depth: int,
    bounds: tuple[bool, bool],
    reverse: bool,
) -> str:
    where = [f"{column}=?" for column in order[:depth]]
    if bounds[0]:
        where.append(f"{order[depth]}>=?")
    if bounds[1]:
        where.append(f"{order[depth]}<?")
    direction = " DESC" if reverse else ""
    return (
        f"SELECT {','.join(columns)} FROM {name}"
        + (f" WHERE {' AND '.join(where)}" if where else "")
        + f" ORDER BY {','.join(column + direction for column in order)} LIMIT ?"
    )


def _order(table: Table[Any], index: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*table.columns_of(index), *table.columns_of(None)]))


def create_statements() -> Iterator[str]:
    """Yield the statements that make an empty vault."""
    for table in TABLES:
        types: dict[str, type] = table.row.__annotations__
        columns = ",".join(
            f"{name} {_SQL_TYPE[types[name].__name__]} NOT NULL" for name in table.row._fields
        )
        key = ",".join(table.columns_of(None))
        yield f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"
        for index, names in table.indexes.items():
            yield f"CREATE INDEX {table.name}_{index} ON {table.name} ({','.join(names)})"


def _mistyped(table: Table[Any]) -> str:
    """Return a statement that finds a row with a value no statement of ours can have put there."""
    types: dict[str, type] = table.row.__annotations__
    wrong = " OR ".join(
        f"typeof({name})<>'{_SQL_TYPE[types[name].__name__].lower()}'" for name in table.row._fields
    )
    return f"SELECT 1 FROM {table.name} WHERE {wrong} LIMIT 1"


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


class _Tx:
    """A transaction on one connection: reads for everyone, writes where it was opened for them."""

    def __init__(self, connection: sqlite3.Connection, faults: Faults, path: str) -> None:
        self._execute = connection.execute
        self._faults = faults
        self._path = path

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """Return the row with exactly this primary key."""
        sql = _select(
            table.name, table.row._fields, table.columns_of(None), len(key), (False, False), False
        )
        return next(self._rows(table, self._run(sql, (*key, 1))), None)

    def scan(
        self,
        table: Table[Row],
        prefix: Key,
        *,
        index: str | None = None,
        start: str | int | None = None,
        stop: str | int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Walk the rows whose leading columns equal ``prefix``, in order."""
        bounds = (start is not None, stop is not None)
        sql = _select(
            table.name, table.row._fields, _order(table, index), len(prefix), bounds, reverse
        )
        limits = [bound for bound in (start, stop) if bound is not None]
        found = self._run(sql, (*prefix, *limits, -1 if limit is None else limit))
        return self._rows(table, found)

    def _rows(self, table: Table[Row], cursor: sqlite3.Cursor) -> Iterator[Row]:
        """Fetch; a damaged page may show itself at any row."""
        try:
            for found in cursor:
                yield table.row._make(found)
        except _REFUSALS as error:
            raise translate(error, self._path) from error

    def insert(self, table: Table[Row], rows: Iterable[Row]) -> None:
        """Add rows whose primary keys are new."""
        sql = _insert(table.name, len(table.row._fields), "INSERT")
        for row in rows:
            self._change(sql, row)

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its primary key."""
        self._change(_insert(table.name, len(row), "REPLACE"), row)

    def delete(self, table: Table[Row], prefix: Key) -> None:
        """Remove every row whose leading key columns equal ``prefix``."""
        where = " AND ".join(f"{name}=?" for name in table.row._fields[: len(prefix)])
        self._change(f"DELETE FROM {table.name} WHERE {where}", tuple(prefix))

    def change(self, sql: str) -> None:
        """Run a statement that changes the form itself, for migrations."""
        self._change(sql, ())

    def _change(self, sql: str, values: tuple[Any, ...]) -> None:
        self._faults.reach("sql")
        self._run(sql, values)

    def _run(self, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._execute(sql, values)
        except _REFUSALS as error:
            raise translate(error, self._path) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise InvalidInput(
                f"cannot be stored: {error}; allowed are text without lone surrogates and numbers "
                "of 64 bits"
            ) from error


@lru_cache(maxsize=128)
def _insert(name: str, width: int, verb: str) -> str:
    return f"{verb} INTO {name} VALUES ({','.join('?' * width)})"


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
    def read(self) -> Generator[ReadTx, None, None]:
        """Open a snapshot; inside a transaction of the same thread, share it."""
        with self._using() as connection:
            if connection.depth == 0:
                self._run(connection, "BEGIN")
            connection.depth += 1
            try:
                yield _Tx(connection.raw, self._faults, self._path)
            finally:
                connection.depth -= 1
                if connection.depth == 0:
                    self._end(connection)

    @contextmanager
    def write(self) -> Generator[WriteTx, None, None]:
        """Take the write lock; leaving normally commits durably, leaving by exception undoes."""
        with self._using() as connection:
            if connection.depth:
                raise StoreError("a write cannot start inside another transaction of its thread")
            with self._turn:
                self._run(connection, "BEGIN IMMEDIATE")
                connection.depth = 1
                try:
                    yield _Tx(connection.raw, self._faults, self._path)
                    self._own(connection)
                    self._faults.reach("commit")
                    self._run(connection, "COMMIT")
                finally:
                    connection.depth = 0
                    self._end(connection)

    def scrub(self) -> str:
        """Fold the log into the file and cut it to nothing; say who prevents it."""
        self._faults.reach("checkpoint")
        with self._using() as connection:
            self._run(connection, f"PRAGMA busy_timeout={SCRUB_PATIENCE_MS}")
            try:
                found = self._run(connection, "PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except StoreBusy:
                found = (1,)
            finally:
                self._run(connection, f"PRAGMA busy_timeout={int(self._timeout * 1000)}")
        return (
            "another reader still uses the log; it is cut when that reader is done"
            if found[0]
            else ""
        )

    def check(self) -> list[str]:
        """Return what SQLite finds wrong with the file."""
        with self._using() as connection:
            try:
                found = self._run(connection, "PRAGMA integrity_check(20)").fetchall()
                problems = [] if found == [("ok",)] else [str(row[0]) for row in found]
                problems.extend(
                    f"table {table.name} holds a value of another type than its column"
                    for table in TABLES
                    if self._run(connection, _mistyped(table)).fetchone()
                )
            except _REFUSALS as error:
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
            with self.write() as tx, self._using() as connection:
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
        except _REFUSALS as error:
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
        except _REFUSALS as error:
            raise translate(error, self._path) from error

    def _one(self, connection: _Connection, sql: str) -> Any:
        return self._run(connection, sql).fetchone()[0]

    def _end(self, connection: _Connection) -> None:
        if connection.pid != os.getpid() or connection.closed:
            return
        if connection.raw.in_transaction:
            self._run(connection, "ROLLBACK")
