"""Every statement of a distributed database goes to one node, as its planner wants it: see docs/decisions/0014.

A plain Postgres shows it: on tables that are partitioned by bucket, a statement touches one partition of each table.
Citus finds the node of a statement by the same conditions. It refuses some statements that Postgres plans: the text
must have nothing of the kind.
"""

import json
import re
from collections.abc import Iterator

import asyncpg
import pytest

from lockstitch_server.core.format.reading import CheckpointQuery, SessionQuery
from lockstitch_server.storage import list_queries
from lockstitch_server.storage.postgres import out_of_place
from lockstitch_server.storage.postgres.catalog import DISTRIBUTED_DIALECT
from lockstitch_server.storage.postgres.distributed_executor import SQL as OF_SESSIONS
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL
from tests.support.buckets import with_buckets
from tests.support.postgres import Postgres

BUCKET = 7
TABLES = ("sessions", "checkpoints", "segments", "writes", "elections")
ALL_NODES = {"ids_of_tenant", "get_totals", "get_misplaced", "remove_marks"}
"""What asks all nodes, or writes to all of them."""
NO_TABLES = {"get_clock", "has_amcheck", "btree_indexes"}
ROLES = {"acquire_leadership", "put_position", "resign"}

OUT_OF_PLACE = {
    f"{verb}_{table}": sql.strip()
    for verb, statements in (("put_back", out_of_place.PUT_BACK), ("delete_replaced", out_of_place.DELETE_REPLACED))
    for table, sql in statements.items()
}
STATEMENTS = {
    **DISTRIBUTED_SQL,
    **{name: statement.sql for name, statement in OF_SESSIONS.items()},
    **OUT_OF_PLACE,
}
ONE_NODE = {name: sql for name, sql in STATEMENTS.items() if name not in ALL_NODES | NO_TABLES | ROLES}


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
async def partitioned(database: str) -> asyncpg.Connection:
    """A connection to tables that are partitioned by bucket, with the keys of a distributed database."""
    connection = await asyncpg.connect(database, statement_cache_size=0)
    if not await connection.fetchval("SELECT to_regclass('lockstitch.plain_sessions') IS NOT NULL"):
        await with_buckets(database)
        for table in TABLES:
            # Postgres, like Citus, refuses a unique index without the column by which it divides a table.
            await connection.execute(
                f"ALTER TABLE lockstitch.{table} RENAME TO plain_{table};"
                f"CREATE TABLE lockstitch.{table} (LIKE lockstitch.plain_{table} INCLUDING INDEXES) "
                "PARTITION BY LIST (bucket);"
                f"CREATE TABLE lockstitch.{table}_own PARTITION OF lockstitch.{table} FOR VALUES IN ({BUCKET});"
                f"CREATE TABLE lockstitch.{table}_other PARTITION OF lockstitch.{table} DEFAULT"
            )
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    return connection


async def scanned(connection: asyncpg.Connection, sql: str) -> set[str]:
    """The tables that a statement reads, updates or deletes from, by its plan."""
    await connection.execute(f"PREPARE statement AS {sql}")
    count = max(map(int, re.findall(r"\$(\d+)", sql)), default=0)
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE statement{values}"))
    await connection.execute("DEALLOCATE statement")
    return set(_relations(plan[0]["Plan"]))


def _relations(node: dict[str, object]) -> Iterator[str]:
    if "Relation Name" in node and node.get("Operation") is None:
        yield str(node["Relation Name"])
    plans = node.get("Plans", [])
    assert isinstance(plans, list)
    for plan in plans:
        yield from _relations(plan)


def with_value(sql: str, number: int) -> str:
    """A statement with the bucket in place of a parameter."""

    def replaced(found: re.Match[str]) -> str:
        other = int(found[1])
        return str(BUCKET) if other == number else f"${other - (other > number)}"

    return re.sub(r"\$(\d+)", replaced, sql)


def in_own_bucket(name: str) -> str:
    """A statement about the sessions of one bucket, with the bucket in place of its parameter."""
    if name in OF_SESSIONS:
        number = OF_SESSIONS[name].names.index("bucket") + 1
    else:
        number = max(map(int, re.findall(r"\$(\d+)", ONE_NODE[name])))
    return with_value(ONE_NODE[name], number)


@pytest.mark.parametrize("name", ONE_NODE)
async def test_a_statement_touches_one_bucket(name: str, partitioned: asyncpg.Connection) -> None:
    sql = in_own_bucket(name)
    target = re.match(r"INSERT INTO lockstitch\.(\w+)", sql)
    named = set(re.findall(r"lockstitch\.(\w+)", sql[target.end() :] if target else sql))
    try:
        assert await scanned(partitioned, sql) == {f"{table}_own" for table in named}
        if target:
            assert re.match(r"[^(]*\(bucket, ", sql), "the row has no bucket"
    finally:
        await partitioned.close()


@pytest.mark.parametrize("name", sorted(ROLES))
def test_roles_have_a_bucket(name: str) -> None:
    assert re.search(r"\(bucket, name.*\(0, |WHERE bucket = 0 AND", STATEMENTS[name], re.DOTALL)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_keeps_the_rules_of_citus(name: str) -> None:
    sql = STATEMENTS[name]
    if re.match("INSERT|UPDATE|DELETE", sql):
        assert "clock_timestamp" not in sql, "a write has a volatile function"
    assert not re.search(r"\(\s*(INSERT|UPDATE|DELETE)\b", sql), "a write is a part of a statement"
    assert not re.search(r"lockstitch\.\w+(?=\[\])", sql), "a node need not have composite types"


QUERIES = {
    "sessions": list_queries.sessions(SessionQuery("tenant", limit=1), DISTRIBUTED_DIALECT)[0],
    "checkpoints": list_queries.checkpoints(CheckpointQuery("tenant", limit=1), DISTRIBUTED_DIALECT)[0],
    "count": list_queries.checkpoint_count(CheckpointQuery("tenant", limit=1), DISTRIBUTED_DIALECT)[0],
}


@pytest.mark.parametrize("name", QUERIES)
def test_lists_of_a_tenant_join_within_buckets(name: str) -> None:
    sql = QUERIES[name]
    assert sql.count("checkpoints c") == sql.count("c.bucket = s.bucket AND")
    assert "(SELECT (extract" not in sql, "Citus refuses a volatile function in a sub-query without tables"


async def test_a_list_of_a_session_touches_one_bucket(partitioned: asyncpg.Connection) -> None:
    query = CheckpointQuery("tenant", key=bytes([BUCKET] * 16), limit=1)
    sql, parameters = list_queries.checkpoints(query, DISTRIBUTED_DIALECT)
    for number in reversed([number for number, value in enumerate(parameters, 1) if value == BUCKET]):
        sql = with_value(sql, number)
    try:
        assert await scanned(partitioned, sql) == {"sessions_own", "checkpoints_own"}
    finally:
        await partitioned.close()
