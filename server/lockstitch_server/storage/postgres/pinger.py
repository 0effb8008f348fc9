"""Asks Postgres whether it would answer, on a connection of its own: those of the pool may all be busy."""

import asyncpg

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.libpq.connector import STATEMENT_LOST, Connector
from lockstitch_server.storage.migrations.postgres import check_version
from lockstitch_server.storage.store import StoreError


class Pinger:
    """One connection, made when it is needed and given up when anything is wrong with it."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: AnyConnection | None = None

    async def ping(self) -> None:
        """Fails with STORE_UNAVAILABLE, SCHEMA_BEHIND. May be cancelled."""
        try:
            if self._connection is None:
                self._connection = await self._connector.connect()
            # In a transaction, since a pooler may be in between. Whatever fails in it, the connection goes.
            await self._connection.execute("BEGIN READ ONLY")
            await check_version("the database", self._connection)
            if await self._connection.fetchval("SELECT pg_is_in_recovery()"):
                raise Failure(Reason.STORE_UNAVAILABLE, "the database takes no writes")
            await self._connection.execute("COMMIT")
        except StoreError as error:
            self.close()
            raise Failure(Reason.SCHEMA_BEHIND, "the schema of the database is older than this server needs") from error
        except STATEMENT_LOST as error:
            self._connector.use_no_statements("a pooler has lost prepared statements, or mixed them up")
            self.close()
            raise Failure(Reason.STORE_UNAVAILABLE, "the database cannot be reached now") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            self.close()
            raise Failure(Reason.STORE_UNAVAILABLE, "the database cannot be reached now") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection, without a word: whoever is asked for one may not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
