"""Asks Postgres whether it would answer, on a connection of its own: those of the pool may all be busy."""

import asyncpg

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.migrations.postgres import check_schema
from lockstitch_server.storage.store import StoreError


class Pinger:
    """One connection, made when it is needed and given up when anything is wrong with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AnyConnection | None = None

    async def ping(self) -> None:
        """Fails with STORE_UNAVAILABLE, SCHEMA_BEHIND. May be cancelled."""
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(self._url, statement_cache_size=0)
            await check_schema(self._connection, "the database")
            if await self._connection.fetchval("SELECT pg_is_in_recovery()"):
                raise Failure(Reason.STORE_UNAVAILABLE, "the database takes no writes")
        except StoreError as error:
            self.close()
            raise Failure(Reason.SCHEMA_BEHIND, "the schema of the database is older than this server needs") from error
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
