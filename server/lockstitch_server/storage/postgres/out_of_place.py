"""Rows of a distributed database whose key begins with another byte than their bucket, which damage alone can do.

No statement about a session finds such a row: each looks in the bucket of its key. A row does not leave its bucket when
its key is damaged, so the bucket is the byte that the key began with.
"""

from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import DatabaseFault

REST_OF_KEY = {
    "sessions": (),
    "checkpoints": ("namespace", "checkpoint_id"),
    "segments": ("log", "start"),
    "writes": ("namespace", "checkpoint_id", "task_id", "task_index"),
}
"""By table: the columns of the primary key behind `bucket` and `key`."""
MOST = 1000
"""Keys of each table that are given at once."""


def _find(table: str) -> str:
    return f"SELECT DISTINCT bucket, key FROM lockstitch.{table} WHERE get_byte(key, 0) <> bucket LIMIT {MOST}"  # noqa: S608 - constants


def _put_back(table: str) -> str:
    same = "".join(f" AND o.{column} = t.{column}" for column in REST_OF_KEY[table])
    return f"""
        UPDATE lockstitch.{table} t SET key = $1
        WHERE t.bucket = $2 AND t.key <> $1 AND substr(t.key, 2) = substr($1, 2)
            AND NOT EXISTS (SELECT FROM lockstitch.{table} o WHERE o.bucket = $2 AND o.key = $1{same})
        RETURNING 1"""  # noqa: S608 - made of constants


def _delete_replaced(table: str) -> str:
    return f"""
        DELETE FROM lockstitch.{table}
        WHERE bucket = $2 AND key <> $1 AND substr(key, 2) = substr($1, 2) RETURNING 1"""  # noqa: S608 - constants


FIND = {table: _find(table) for table in REST_OF_KEY}
PUT_BACK = {table: _put_back(table) for table in REST_OF_KEY}
DELETE_REPLACED = {table: _delete_replaced(table) for table in REST_OF_KEY if table != "sessions"}


async def find(connection: AnyConnection, seconds: float) -> list[DatabaseFault]:
    """A fault for each table and key that rows should have. seconds: for each table."""
    faults = []
    for table, sql in FIND.items():
        rows = await connection.fetch(sql, timeout=seconds)
        for key in sorted({bytes([bucket]) + key[1:] for bucket, key in rows}):
            what = f"rows should have the key {key.hex()}, but their first byte is another, so no server finds them"
            faults.append(DatabaseFault(table, what, key))
    return faults


async def put_in_place(connection: AnyConnection, table: str, key: bytes, seconds: float) -> tuple[int, int]:
    """Put rows back under the key that they should have. The session of that key is locked, if there is one.

    Gives how many are back, and how many were deleted because a later row has taken their place.
    """
    back = await connection.fetch(PUT_BACK[table], key, key[0], timeout=seconds)
    if table not in DELETE_REPLACED:
        return len(back), 0
    return len(back), len(await connection.fetch(DELETE_REPLACED[table], key, key[0], timeout=seconds))
