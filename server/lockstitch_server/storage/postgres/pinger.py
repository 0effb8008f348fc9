"""Asks Postgres whether it would answer, on a connection of its own: those of the pool may all be busy."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.buckets import ROLES
from lockstitch_server.storage.libpq.connector import STATEMENT_LOST, Connection, Connector
from lockstitch_server.storage.migrations.distributing import is_distributed
from lockstitch_server.storage.migrations.postgres import SERVING, check_version, missing_rights
from lockstitch_server.storage.postgres.errors import failure_of, read_only
from lockstitch_server.storage.store import StoreError

TAKES_NO_WRITES = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"
WRITE = """
INSERT INTO lockstitch.elections (name, holder, expire_at, position)
VALUES ('a look ' || pg_backend_pid(), '', 0, '')
"""
WRITE_DISTRIBUTED = WRITE.replace("(name,", "(bucket, name,").replace("VALUES (", f"VALUES ({ROLES}, ")
"""Nobody is ever elected to this; it is rolled back. Two servers must not wait for each other over one name."""


class Pinger:
    """One connection, made when it is needed and given up when anything is wrong with it."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.is_distributed = False
        """Whether the database is distributed."""
        self._connection: Connection | None = None

    async def ping(self) -> None:
        """Fails with STORE_UNAVAILABLE, STORE_READ_ONLY, SCHEMA_BEHIND. May be cancelled."""
        await self._look("BEGIN READ ONLY", partial(_read, self.is_distributed))

    async def try_write(self) -> None:
        """Write a row in a transaction that is rolled back. Fails as `ping` does, and with STORE_FULL."""
        await self._look("BEGIN", partial(_write, WRITE_DISTRIBUTED if self.is_distributed else WRITE))

    async def _look(self, begin: str, look: Callable[[AnyConnection], Awaitable[None]]) -> None:
        try:
            if self._connection is None:
                self._connection = await self._connector.connect()
            # In a transaction, since a pooler may be in between. Whatever fails in it, the connection goes.
            await self._connection.execute(begin)
            await look(self._connection)
            await self._connection.execute("ROLLBACK")
        except StoreError as error:
            self.close()
            raise Failure(Reason.SCHEMA_BEHIND, "the schema of the database is older than this server needs") from error
        except STATEMENT_LOST as error:
            self._connector.turn_statements_off("a pooler has lost prepared statements, or mixed them up")
            self.close()
            raise Failure(Reason.STORE_UNAVAILABLE, "the database cannot be reached now") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            self.close()
            raise failure_of(error) from error
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connector.hung(self._connection)  # it was given long enough
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection without a message: the database may not answer one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _read(expected: bool, connection: AnyConnection) -> None:
    await check_version("the database", connection)
    if await is_distributed(connection) != expected:
        raise Failure(
            Reason.SCHEMA_BEHIND, "the database was distributed after the server had started; restart the server"
        )
    if await connection.fetchval(TAKES_NO_WRITES):
        raise read_only()


async def _write(row: str, connection: AnyConnection) -> None:
    if missing := await missing_rights(SERVING, connection):
        raise Failure(Reason.STORE_READ_ONLY, f"the role of the server lacks rights in its database: {missing}")
    await connection.execute(row)
