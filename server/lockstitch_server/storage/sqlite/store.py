"""The SQLite store: one thread writes, one reads, each with a connection; memory has one for both."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import aiosqlite
import structlog
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.parts import RowSizes
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.storage.driving import drive
from lockstitch_server.storage.migrations import check_owner, migrate_sqlite
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.sqlite.apply import TailMoved, apply, holds
from lockstitch_server.storage.sqlite.catalog import host_clock
from lockstitch_server.storage.sqlite.errors import cannot_open, cannot_write, code_of, failure_of
from lockstitch_server.storage.sqlite.executor import SqliteExecutor
from lockstitch_server.storage.sqlite.files import OpenFiles, identity
from lockstitch_server.storage.sqlite.pinger import ping, try_write, write_and_roll_back
from lockstitch_server.storage.sqlite.read_only import DAMAGED_TEXT_TOO, connect_read_only
from lockstitch_server.storage.sqlite.wal import MOST_PAGES, WalKeeper
from lockstitch_server.storage.store import Connections, PointUnit, SessionUnit, StoreError

T = TypeVar("T")

MEMORY = ":memory:"
ROW_SIZES = RowSizes(full=8_000, most=64_000, seals=True)
"""Small rows grow, in their page, which is packed when it is full; large ones fill pages of their own. What is replaced
leaves its pages to the next rows."""
BUSY_SECONDS = 5.0
"""How long to wait for another process that writes."""
OPENING_SECONDS = 60.0
"""... while the file is opened: others may be migrating it, and nobody waits for an answer yet."""

WAL = "PRAGMA journal_mode = WAL"
PRAGMAS = (
    "PRAGMA synchronous = FULL",
    # On macOS only this makes fsync reach the disk; elsewhere it does nothing.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA temp_store = MEMORY",
    # In KiB, for each connection. The file's pages are in the system's memory too.
    "PRAGMA cache_size = -4096",
    f"PRAGMA wal_autocheckpoint = {MOST_PAGES}",
)

log = structlog.get_logger(__name__)


class ThreadConnection(aiosqlite.Connection):
    """A connection that runs whole functions in its thread: a hop for each statement would cost more than SQLite."""

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function with the connection. If the caller is cancelled, it runs to its end, or does not begin."""
        is_wanted = True

        def run_if_wanted(connection: sqlite3.Connection) -> T:
            if not is_wanted:  # callers who have left must not keep the thread from those who stay
                raise asyncio.CancelledError
            return function(connection)

        try:
            result: T = await self._execute(run_if_wanted, self._conn)  # type: ignore[no-untyped-call]  # aiosqlite's
        except asyncio.CancelledError:
            is_wanted = False
            raise
        return result

    def join(self) -> None:
        """Wait for the thread, which is about to end, so that it does not outlive the event loop."""
        self._thread.join()


class SqliteStore:
    """Checkpoints in a SQLite file, or in memory."""

    row_sizes = ROW_SIZES
    readers = 1
    writers = 1
    is_distributed = False

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._writer: ThreadConnection | None = None
        self._reader: ThreadConnection | None = None
        self._copier: ThreadConnection | None = None
        self._wal: WalKeeper | None = None
        self._files: OpenFiles | None = None
        """None: there are none, or they are not open."""
        self._turn = asyncio.Lock()
        """Of units that are no saves: one at a time waits for the thread, so a save waits for one of them at most."""
        self._reading_turn = asyncio.Lock()
        """Of snapshots, so a load waits for one of them at most."""

    @property
    def connections(self) -> Connections | None:
        return None

    async def open(self) -> str | None:
        if self._read_only:
            self._reader = await self._connect()
            return None
        self._writer, found = await self._connect(), None
        try:
            found = await self._writer.run(lambda connection: migrate_sqlite(connection, self._path))
            await self._writer.run(write_and_roll_back)
            if self._path == MEMORY:
                self._reader = self._writer
                return found
            opened = identity(self._path)
            self._reader = await self._connect()
            self._copier = await self._connect()
            self._files = OpenFiles(self._path)
            if opened is None or identity(self._path) != opened:
                raise StoreError(f"{self._path} was replaced while it was being opened; try again")
            for connection in (self._writer, self._reader, self._copier):
                await connection.run(_be_impatient)
            self._wal = WalKeeper(self._copier, self._writer)
        except sqlite3.Error as error:
            await self.close()
            raise cannot_write(self._path, error) from error
        except BaseException:
            await self.close()
            raise
        return found

    async def close(self) -> None:
        if self._wal is not None:
            await self._wal.close()
        for connection in {self._reader, self._copier, self._writer}:
            if connection is not None:
                await connection.close()
        self._reader = self._copier = self._writer = self._wal = self._files = None

    async def ping(self) -> None:
        if self._files is None:
            return
        if self._files.changed() and self._copier is not None:
            await self._copier.run(self._files.check)
        await asyncio.to_thread(ping, self._path)

    async def try_write(self, free_bytes: int) -> None:
        if self._files is not None:
            await asyncio.to_thread(try_write, self._path, free_bytes)

    async def snapshot(self, unit: SessionUnit[T]) -> T:
        async with self._reading_turn:
            return await self._read(lambda connection: _in_snapshot(connection, unit))

    async def point_reads(self, unit: PointUnit[T]) -> T:
        return await self._read(
            lambda connection: _in_snapshot(connection, lambda repository: unit(repository.catalog))
        )

    def clock(self) -> int:
        return host_clock()

    async def apply_if_unchanged(
        self, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int
    ) -> bool:
        done = await self._change(lambda connection: _applied(connection, expected, changes))
        self._wrote(len(changes))
        return done

    async def transaction(self, unit: SessionUnit[T], *, snapshot: bool = False, by_key: bool = False) -> T:
        async with nullcontext() if by_key else self._turn:
            result, sessions = await self._change(lambda connection: _in_transaction(connection, unit))
        self._wrote(sessions)
        return result

    async def reclaim_space(self, replaced: int) -> bool:
        return True  # the pages of deleted rows are the first that new rows take

    def _wrote(self, sessions: int) -> None:
        if self._wal is not None:
            self._wal.wrote(sessions)

    async def _connect(self) -> ThreadConnection:
        connection = ThreadConnection(self._open_connection, iter_chunk_size=64)
        try:
            await connection
        except BaseException as error:
            connection.join()
            if isinstance(error, sqlite3.Error):
                raise cannot_open(self._path, error) from error
            raise
        return connection

    def _open_connection(self) -> sqlite3.Connection:
        if self._read_only:
            return connect_read_only(self._path, BUSY_SECONDS)
        connection = sqlite3.connect(self._path, timeout=OPENING_SECONDS, isolation_level=None, check_same_thread=False)
        connection.text_factory = DAMAGED_TEXT_TOO
        try:
            check_owner(connection, self._path)  # first: another's file must not be touched
            # Alone among statements, this one does not wait for others who are opening the file.
            Retrying(
                retry=retry_if_exception(_is_busy),
                stop=stop_after_delay(OPENING_SECONDS),
                wait=wait_random(0, 0.05),
                reraise=True,
            )(connection.execute, WAL)
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction that writes. What it has written counts only if its files are still there afterwards."""
        files = self._files

        def checked(connection: sqlite3.Connection) -> T:
            if files is not None and files.are_gone:
                files.check(connection)
            result = function(connection)
            if files is not None:
                files.check(connection)
            return result

        return await self._run(self._writer, checked)

    async def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        files = self._files

        def checked(connection: sqlite3.Connection) -> T:
            if files is not None:
                files.check(connection)
            return function(connection)

        return await self._run(self._reader, checked)

    async def _run(self, connection: ThreadConnection | None, function: Callable[[sqlite3.Connection], T]) -> T:
        if connection is None:
            raise Failure(Reason.STORE_UNAVAILABLE, "the database is closed")
        try:
            return await connection.run(function)
        except sqlite3.DatabaseError as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if failure.reason is Reason.DATA_LOSS:
                log.error("sqlite_damaged", path=self._path, error=str(error))
            else:
                log.warning("sqlite_unavailable", path=self._path, reason=failure.reason, error=str(error))
            raise failure from error


def _be_impatient(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _is_busy(error: BaseException) -> bool:
    return code_of(error) == sqlite3.SQLITE_BUSY


def _in_snapshot(connection: sqlite3.Connection, unit: SessionUnit[T]) -> T:
    connection.execute("BEGIN")
    try:
        return drive(unit(SessionRepository(SqliteExecutor(connection))))
    finally:
        if connection.in_transaction:  # not after some errors, whose reason a second one would hide
            connection.execute("ROLLBACK")


def _in_transaction(connection: sqlite3.Connection, unit: SessionUnit[T]) -> tuple[T, int]:
    """The unit's result, and how many sessions it has changed."""
    repository = SessionRepository(SqliteExecutor(connection))
    with _transaction(connection):
        result = drive(unit(repository))
    return result, max(1, len(repository.applied))


def _applied(
    connection: sqlite3.Connection, expected: Sequence[ExpectedVersion], changes: Sequence[SessionChange]
) -> bool:
    try:
        with _transaction(connection):
            if not holds(connection, expected):
                return False
            apply(connection, changes)
    except TailMoved:
        return False
    return True


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: another process that writes to the file waits before it reads what it will change.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def path_of(url: str) -> str:
    """The path in `sqlite:///path`: three slashes before a relative one, four before an absolute one."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise StoreError(f"{url} is no SQLite URL; write sqlite:///relative/path or sqlite:////absolute/path")
    if path == MEMORY:
        raise StoreError(f"{url}: each connection would have a database of its own; write memory://")
    if "?" in path:
        raise StoreError(f"{url}: a SQLite URL has no parameters; write sqlite:///path without the part after `?`")
    return str(Path(path))


__all__ = ["MEMORY", "SqliteStore", "ThreadConnection", "path_of"]
