"""Lets new rows use the space of merged rows soon, while the table of rows is small.

Autovacuum does the same for tables of any size, but it looks at a table once a minute. A session that grows by a
thousand steps within seconds would leave most of its table unused. VACUUM of a small table takes milliseconds, and it
blocks no save.
"""

from lockstitch_server.storage.asyncpg_types import AnyConnection

LEAST_REPLACED = 64 * 1024
LARGEST_TABLE = 64 * 1024 * 1024
"""In bytes, with its TOAST table. Larger tables are left to autovacuum, which spreads its work over time."""
SHARE = 4
"""The table is vacuumed when the rows that were replaced have a quarter of its size without TOAST."""
SECONDS = 60.0

SIZES = "SELECT pg_relation_size('lockstitch.segments'), pg_table_size('lockstitch.segments')"
# Without the right to vacuum, this is a warning. TRUNCATE would lock the table against all, and the next rows need its
# pages. Another VACUUM of the table that is running does the work of this one.
VACUUM = "VACUUM (SKIP_LOCKED, TRUNCATE false) lockstitch.segments"


async def reclaim_space(connection: AnyConnection, replaced: int) -> bool:
    """Vacuum the table if that is due. See `Store.reclaim_space`."""
    if replaced < LEAST_REPLACED:
        return False
    ((size, with_toast),) = await connection.fetch(SIZES)
    if not size or with_toast > LARGEST_TABLE:  # a distributed table has its rows elsewhere, and is empty here
        return True
    if replaced < size // SHARE:
        return False
    await connection.execute(VACUUM, timeout=SECONDS)
    return True
