"""What asyncpg's pool hands out and what it connects are alike in use, not in type."""

from typing import TypeAlias

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

AnyConnection: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"
