"""A Citus that somebody else runs, named by LOCKSTITCH_TEST_CITUS: it is in no package registry."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from lockstitch_server.storage import factory

VARIABLE = "LOCKSTITCH_TEST_CITUS"


def require_citus() -> None:
    """Skip the module that is being imported, where there is none."""
    if not os.environ.get(VARIABLE):
        what = "set it to postgresql://user@host/database on the coordinator of a Citus"
        pytest.skip(f"{VARIABLE} names no database; {what}", allow_module_level=True)


@contextmanager
def citus_database() -> Iterator[str]:
    """The URL of a distributed store, which is removed afterwards."""
    url = os.environ[VARIABLE]
    if asyncio.run(_execute(url, "SELECT to_regnamespace('lockstitch') IS NOT NULL")):
        pytest.fail(f"the database that {VARIABLE} names has a schema `lockstitch` already; name one that has none")
    try:
        factory.distribute(url)
        yield url
    finally:
        asyncio.run(_execute(url, "DROP SCHEMA IF EXISTS lockstitch CASCADE"))


FAKE = """
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    SELECT 1, 'citus', r.oid, n.oid, false, '0' FROM pg_roles r, pg_namespace n
    WHERE r.rolname = current_user AND n.nspname = 'pg_catalog';
CREATE FUNCTION create_distributed_table(regclass, text, shard_count int DEFAULT NULL, colocate_with text DEFAULT '')
    RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION truncate_local_data_after_distributing_table(regclass) RETURNS void LANGUAGE sql AS '';
"""
"""Makes a Postgres take the calls that distribute tables. They do nothing, so the tables stay on its one node."""


async def _execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
