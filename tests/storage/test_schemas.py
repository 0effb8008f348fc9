"""Schemas that are not what their version says, and who may make and use one."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.rows import ExpectedVersion
from lockstitch_server.runtime.startup import StartupError, open_store
from lockstitch_server.storage import tables
from lockstitch_server.storage.migrations import APPLICATION_ID, head, revisions
from lockstitch_server.storage.migrations.columns import Column, expected
from lockstitch_server.storage.migrations.postgres import COLUMNS, script
from tests.cli.commands import Command, Done
from tests.robustness.workload import full_save
from tests.support.api import raw_api
from tests.support.buckets import with_buckets
from tests.support.paths import ROOT
from tests.support.postgres import Postgres

SCHEMAS = ROOT / "tests" / "fixtures" / "schemas"
STORAGE = ROOT / "docs" / "storage.md"
MINE = {"version_num"}


async def migrate(url: str, *arguments: str) -> Done:
    command = Command("migrate", "--store", url, *arguments)
    return await asyncio.to_thread(command.in_process)  # it has an event loop of its own


async def test_the_columns_that_are_wanted_are_those_that_the_steps_make(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "lockstitch.db"
    for url in (f"sqlite:///{path}", postgres_url):
        assert (await migrate(url)).code == 0
    connection = await asyncpg.connect(postgres_url)
    rows = [tuple(row) for row in await connection.fetch(COLUMNS, "lockstitch")]
    await connection.close()
    found = {(table, name): Column(kind, must) for table, name, kind, must in rows if name not in MINE}
    tables = expected("postgresql", revisions())
    assert found == {(table, name): column for table in tables for name, column in tables[table].items()}
    with closing(sqlite3.connect(path)) as file:
        names = {
            (table, name, kind.lower())
            for table, name, kind in file.execute(
                "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
            )
            if name not in MINE
        }
    tables = expected("sqlite", revisions())
    assert names == {(table, name, column.kind) for table in tables for name, column in tables[table].items()}


async def early(url: str, version: str) -> None:
    """A store of an early server."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.executescript((SCHEMAS / "early.sqlite.sql").read_text())
            file.execute("CREATE TABLE lockstitch_version (version_num VARCHAR(32) NOT NULL)")
            file.execute("INSERT INTO lockstitch_version VALUES (?)", (version,))
            file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            file.commit()
        return
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE SCHEMA lockstitch; CREATE TABLE lockstitch.lockstitch_version (version_num VARCHAR(32) NOT NULL);"
        f"INSERT INTO lockstitch.lockstitch_version VALUES ('{version}');"
        + (SCHEMAS / "early.postgresql.sql").read_text()
    )
    await connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lockstitch.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.mark.parametrize("version", [head(), "0003", "9999"])
async def test_another_schema_is_named_and_not_served(store_url: str, version: str) -> None:
    """Servers before the first release made such, under these numbers too."""
    await early(store_url, version)
    before = await contents(store_url)
    for may_migrate in (True, False):
        with pytest.raises(StartupError) as caught:
            async with open_store(Settings(store=store_url, migrate=may_migrate)):
                pass
        assert f"schema version {version}" in str(caught.value)
        assert "segments has no size" in str(caught.value)
    assert await contents(store_url) == before


async def contents(url: str) -> object:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(COLUMNS + "ORDER BY 1, 2", "lockstitch")]
    finally:
        await connection.close()


class Roles:
    """A database of a DBA's, in which the role `app` may do nothing yet."""

    def __init__(self, server: Postgres, database: str) -> None:
        self.server, self.database = server, database
        self.admin = server.url(database)
        self.owner, self.app = f"{database}_owner", f"{database}_app"
        for role in (self.owner, self.app):
            server.execute(f"CREATE ROLE {role} LOGIN")
        self.run(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO PUBLIC")

    def run(self, sql: str) -> None:
        self.server.execute(sql, self.database)

    def url(self, role: str) -> str:
        return self.admin.replace("postgres@", f"{role}@")

    def documented(self, title: str, role: str) -> str:
        """The GRANTs that docs/storage.md lists under a title, for a role."""
        _, _, rest = STORAGE.read_text().partition(f"{title}:\n")
        grants = rest.partition("```sql\n")[2].partition("```")[0]
        assert grants.startswith("GRANT "), title
        return grants.replace("TO app", f"TO {role}").replace("DATABASE agents", f"DATABASE {self.database}")


@pytest.fixture
def roles(postgres: Postgres) -> Iterator[Roles]:
    name = postgres.create_database()
    found = Roles(postgres, name)
    yield found
    postgres.drop_database(name)
    for role in (found.owner, found.app):
        postgres.execute(f"DROP ROLE {role}")


async def serves(url: str, migrate: bool = False) -> None:
    """Every kind of statement runs: saves, deletions, leases, sweeps."""
    async with raw_api(Settings(store=url, migrate=migrate)) as api:
        await api.save(full_save("session", 0))


async def test_a_role_that_owns_the_schema_migrates_and_serves(roles: Roles) -> None:
    refused = await migrate(roles.url(roles.owner))
    assert refused.code == 2
    assert "lockstitch migrate --sql" in refused.err
    assert "docs/storage.md" in refused.err
    roles.run(f"CREATE SCHEMA lockstitch AUTHORIZATION {roles.owner}")
    assert (await migrate(roles.url(roles.owner))).out == f"Created the schema, at version {head()}.\n"
    told = f"The schema is at version {head()} already; nothing was changed.\n"
    assert (await migrate(roles.url(roles.owner))).out == told
    await serves(roles.url(roles.owner), migrate=True)


async def test_the_grants_that_the_docs_list_are_enough_and_those_that_lack_are_named(roles: Roles) -> None:
    roles.run(roles.documented("To migrate", roles.owner))
    assert (await migrate(roles.url(roles.owner))).code == 0
    with pytest.raises(StartupError, match="permission denied"):
        await serves(roles.url(roles.app))
    grants = roles.documented("To serve", roles.app)
    for right in ("INSERT", "UPDATE", "DELETE"):
        roles.run(grants.replace(right, "SELECT"))
        with pytest.raises(StartupError, match=f"{right} on lockstitch.sessions.*docs/storage.md"):
            await serves(roles.url(roles.app))
        roles.run(f"REVOKE ALL ON ALL TABLES IN SCHEMA lockstitch FROM {roles.app}")
    roles.run(grants)
    await serves(roles.url(roles.app), migrate=True)


async def test_a_command_that_only_reads_needs_no_more_rights(roles: Roles) -> None:
    assert (await migrate(roles.admin)).code == 0
    reading = roles.documented("To serve", roles.app).replace("SELECT, INSERT, UPDATE, DELETE", "SELECT")
    roles.run(reading)
    done = await asyncio.to_thread(Command("check", "--store", roles.url(roles.app)).in_process)
    assert done.code == 0, done


async def test_what_migrate_prints_does_what_migrate_does(roles: Roles, postgres_binaries: Path) -> None:
    printed = await migrate(roles.url(roles.app), "--sql")
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == script()
    for _ in range(2):
        done = subprocess.run(
            [postgres_binaries / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={roles.admin}"],
            input=printed.out,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    roles.run(roles.documented("To serve", roles.app))
    await serves(roles.url(roles.app), migrate=True)
    assert (await migrate(roles.url(roles.app))).code == 0
    roles.run("UPDATE lockstitch.lockstitch_version SET version_num = '9999'")
    roles.run(printed.out)
    assert roles.server.execute("SELECT version_num FROM lockstitch.lockstitch_version", roles.database) == "9999"


async def test_a_sqlite_file_needs_no_script() -> None:
    done = await migrate("sqlite:///lockstitch.db", "--sql")
    done.refused("only Postgres")


async def test_rows_as_parameters_have_the_columns_that_servers_send(postgres_url: str) -> None:
    """asyncpg encodes a row by the order of a type's attributes."""
    assert (await migrate(postgres_url)).code == 0
    lists = {
        "expected_session": ExpectedVersion._fields,
        "log_end": ("key", "log", "start", "size"),
        "session_row": tables.SAVED_SESSION,
        "checkpoint_row": tables.SEARCHED_CHECKPOINT,
        "segment_row": tables.SEGMENT,
        "write_row": tables.WRITE,
    }
    connection = await asyncpg.connect(postgres_url)
    try:
        for name, columns in lists.items():
            rows = await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
                f"lockstitch.{name}",
            )
            assert tuple(row[0] for row in rows) == tuple(columns), name
    finally:
        await connection.close()


async def test_a_database_without_citus_stays_as_it_is(postgres_url: str) -> None:
    (await migrate(postgres_url, "--distributed")).refused("has no extension citus", "CREATE EXTENSION citus")
    (await migrate(postgres_url, "--distributed", "--shards", "257")).refused("--shards is 257", "from 1 to 256")
    (await migrate(postgres_url, "--shards", "8")).refused("--shards is for --distributed")
    (await migrate(postgres_url, "--distributed", "--sql")).refused("without --sql")
    (await migrate("sqlite:///lockstitch.db", "--distributed")).refused("only Postgres")
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT to_regnamespace('lockstitch')") is None
    await connection.close()


async def test_a_server_notices_that_its_database_was_distributed(postgres_url: str) -> None:
    async with open_store(Settings(store=postgres_url, migrate=True)) as store:
        await store.ping()
        await with_buckets(postgres_url)
        with pytest.raises(Failure, match="restart the server"):
            await store.ping()
    async with open_store(Settings(store=postgres_url, migrate=True)) as store:
        await store.ping()
        await store.try_write(0)
        assert store.is_distributed
