"""Connections by an address: to real servers, with TLS and without, some of which do not answer."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
import psutil
import pytest

from lockstitch_server.storage.libpq.address import read_address
from lockstitch_server.storage.libpq.connector import Connector
from lockstitch_server.storage.migrations.postgres import migrate_postgres
from lockstitch_server.storage.postgres.store import PostgresStore
from lockstitch_server.storage.session_scan import sessions_after
from tests.support.certificates import Authority
from tests.support.postgres import Postgres
from tests.support.requirements import missing
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

SECONDS = 60
TLS_BINARIES = Path("/usr/lib/postgresql/15/bin")


async def asked(url: str, sql: str, **options: bool) -> object:
    connection = await Connector(read_address(url), **options).connect()
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_settings_reach_the_server(postgres_url: str) -> None:
    query = "application_name=agents&options=-c%20statement_timeout%3D7s%20-c%20work_mem%3D5MB"
    settings = "SELECT current_setting('application_name'), current_setting('statement_timeout')"
    url = f"{postgres_url}?{query}"
    assert await asked(url, settings) == "agents"
    assert await asked(url, "SHOW statement_timeout") == "7s"
    assert await asked(f"{postgres_url}?fallback_application_name=b", "SHOW application_name") == "b"


async def test_statements_are_called_what_no_other_process_calls_its_own(postgres_url: str) -> None:
    """Behind a pooler, the statement of another server would be run in place of ours otherwise."""
    connection = await Connector(read_address(postgres_url)).connect()
    try:
        await connection.fetchval("SELECT 1 + 1")
        (name,) = [row[0] for row in await connection.fetch("SELECT name FROM pg_prepared_statements LIMIT 1")]
    finally:
        await connection.close()
    assert name.startswith("lockstitch_stmt_")
    assert len(name) > 40


async def test_a_host_that_does_not_answer_does_not_keep_the_others_from_being_tried(postgres: Postgres) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = f"{silent.getsockname()[1]},{closed.getsockname()[1]},{postgres.port}"
        url = f"postgresql://postgres@127.0.0.1,127.0.0.1,127.0.0.1/postgres?port={ports}&connect_timeout=2"
        connector = Connector(read_address(url))
        for _ in range(2):  # the second time it knows which one works
            connection = await connector.connect()
            assert await connection.fetchval("SHOW port") == str(postgres.port)
            await connection.close()
        assert (await connector._order.endpoints())[0].port == postgres.port


async def test_a_look_at_other_hosts_does_not_wait_for_the_one_in_use(
    postgres: Postgres, start_postgres: Callable[..., Postgres]
) -> None:
    """It may hang, and the look would come too late to the next primary."""
    reading = start_postgres(settings={"default_transaction_read_only": "on"})
    with TcpProxy(f"127.0.0.1:{postgres.port}") as proxy:
        url = f"postgresql://postgres@{proxy.target},127.0.0.1:{reading.port}/postgres"
        connector = Connector(read_address(url))
        connection = await connector.connect()
        sent = proxy.sent
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await connector.look_elsewhere()
        assert proxy.sent == sent
        await connection.close()


async def test_work_that_waits_for_a_connection_to_a_former_primary(start_postgres: Callable[..., Postgres]) -> None:
    """It goes to the new primary at once, although it may wait longer for the former one."""
    former, primary = start_postgres(), start_postgres()
    for server in (former, primary):
        await migrate_postgres(Connector(read_address(server.url())))
    hosts = f"127.0.0.1:{former.port},127.0.0.1:{primary.port}"
    store = PostgresStore(f"postgresql://postgres@{hosts}/postgres?connect_timeout=600", pool_size=1, migrate=False)
    await store.open()
    try:
        former.freeze()
        for process in psutil.Process(former.pid).children():
            process.kill()  # which ends the connections; new ones hang
        reading = store.snapshot(lambda repository: sessions_after(repository, b"", 1))
        assert await asyncio.wait_for(reading, SECONDS) == []
    finally:
        former.kill()
        await store.close()


async def test_hosts_are_balanced_where_the_address_says_so(
    postgres: Postgres, start_postgres: Callable[..., Postgres]
) -> None:
    ports = {str(postgres.port), str(start_postgres().port)}
    hosts = ",".join(f"127.0.0.1:{port}" for port in sorted(ports))
    connector = Connector(read_address(f"postgresql://postgres@{hosts}/postgres?load_balance_hosts=random"))
    met = set()
    for _ in range(40):
        connection = await connector.connect()
        met.add(await connection.fetchval("SHOW port"))
        await connection.close()
    assert met == ports


async def test_a_server_that_takes_writes_is_wanted_where_there_are_several(
    postgres: Postgres, start_postgres: Callable[..., Postgres]
) -> None:
    reading = start_postgres(settings={"default_transaction_read_only": "on"})
    hosts = f"127.0.0.1:{reading.port},127.0.0.1:{postgres.port}"
    url = f"postgresql://postgres@{hosts}/postgres"
    assert await asked(url, "SHOW port") == str(postgres.port)
    assert await asked(url, "SHOW port", writes=False) == str(reading.port)
    for attributes, server in (
        ("any", reading),
        ("read-only", reading),
        ("primary", reading),
        ("read-write", postgres),
    ):
        assert await asked(f"{url}?target_session_attrs={attributes}", "SHOW port") == str(server.port)
    assert await asked(f"{url}?target_session_attrs=prefer-standby", "SHOW port") == str(reading.port)
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await asked(f"{url}?target_session_attrs=standby", "SHOW port")


class Encrypted:
    """A server with TLS that wants SCRAM passwords."""

    def __init__(self, directory: Path, start: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch) -> None:
        if not (TLS_BINARIES / "postgres").exists():
            missing("no PostgreSQL with TLS: apt-get install postgresql-15")
        self.authority = Authority()
        self.ca, self.other_ca = directory / "ca.pem", directory / "other.pem"
        self.ca.write_bytes(self.authority.certificate)
        self.other_ca.write_bytes(Authority().certificate)
        monkeypatch.setenv("PG_BIN", str(TLS_BINARIES))
        self.server = start()
        self.server.execute("ALTER ROLE postgres PASSWORD 'p@ss/w:rd'")
        self.server.stop()
        certificate, key = self.authority.issue("server").write(self.server.data, "server")
        for path in (certificate, key):
            path.chmod(0o600)
            if os.geteuid() == 0:
                owner = self.server.data.stat()
                os.chown(path, owner.st_uid, owner.st_gid)
        hba = self.server.data / "pg_hba.conf"
        hba.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        self.server.settings |= {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}
        self.server.start()

    def url(self, query: str, host: str = "127.0.0.1") -> str:
        return f"postgresql://postgres:p%40ss%2Fw%3Ard@{host}:{self.server.port}/postgres?{query}"


async def test_tls_as_libpq_has_it(
    tmp_path: Path, start_postgres: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted = Encrypted(tmp_path, start_postgres, monkeypatch)
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    root, wrong = f"sslrootcert={encrypted.ca}", f"sslrootcert={encrypted.other_ca}"
    hosted = "sslmode=require&channel_binding=require"  # as Neon gives it
    for query in ("", "sslmode=prefer", hosted, f"sslmode=verify-ca&{root}", f"sslmode=verify-full&{root}"):
        assert await asked(encrypted.url(query), sql) is True, query
    assert await asked(encrypted.url(f"sslmode=verify-full&{root}", "localhost"), sql) is True
    # The system's roots, which OpenSSL lets a variable name.
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.ca))
    assert await asked(encrypted.url("sslrootcert=system"), sql) is True
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.other_ca))
    refused = [
        "sslrootcert=system",
        f"sslmode=verify-ca&{wrong}",
        f"sslmode=require&{wrong}",
        f"sslmode=verify-full&sslrootcert={tmp_path}/none.pem",
    ]
    for query in refused:
        with pytest.raises((OSError, ValueError)):
            await asked(encrypted.url(query), sql)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asked(encrypted.url("sslmode=disable"), sql)


async def test_a_password_file_and_wrong_passwords(
    tmp_path: Path, start_postgres: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted = Encrypted(tmp_path, start_postgres, monkeypatch)
    file = tmp_path / "passwords"
    file.write_text("127.0.0.1:*:postgres:postgres:p@ss/w\\:rd\n")
    file.chmod(0o600)
    bare = f"postgresql://postgres@127.0.0.1:{encrypted.server.port}/postgres"
    assert await asked(f"{bare}?passfile={file}", "SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidPasswordError) as caught:
        await asked(bare.replace("postgres@", "postgres:wr0ng@"), "SELECT 1")
    assert "wr0ng" not in str(caught.value)


def resolve_as(monkeypatch: pytest.MonkeyPatch, name: str, ips: Sequence[str], port: int) -> None:
    """Let a name have these addresses."""
    resolve = socket.getaddrinfo

    def resolved(host: object, *arguments: object, **options: object) -> object:
        if host != name:
            return resolve(host, *arguments, **options)  # type: ignore[arg-type]
        return [one for ip in ips for one in resolve(ip, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


async def test_every_address_of_a_name_is_tried(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first does not answer."""
    resolve_as(monkeypatch, "database.test", ["127.0.0.2", "127.0.0.1"], postgres.port)
    with socket.create_server(("127.0.0.2", postgres.port)):
        connector = Connector(read_address(f"postgresql://postgres@database.test:{postgres.port}/postgres"))
        for _ in range(2):
            connection = await connector.connect()
            assert await connection.fetchval("SELECT host(inet_server_addr())") == "127.0.0.1"
            await connection.close()


async def test_tls_checks_the_name_of_several_addresses(
    tmp_path: Path, start_postgres: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted = Encrypted(tmp_path, start_postgres, monkeypatch)
    query = f"sslmode=verify-full&sslrootcert={encrypted.ca}"
    with monkeypatch.context() as patch:
        resolve_as(patch, "localhost", ["127.0.0.2", "127.0.0.1"], encrypted.server.port)
        assert await asked(encrypted.url(query, "localhost"), "SELECT 1") == 1
    resolve_as(monkeypatch, "database.test", ["127.0.0.2", "127.0.0.1"], encrypted.server.port)
    with pytest.raises(OSError, match=r"database\.test.*not valid for 'database\.test'"):
        await asked(encrypted.url(query, "database.test"), "SELECT 1")


async def test_an_error_says_which_hosts_were_tried(start_postgres: Callable[..., Postgres]) -> None:
    reading = start_postgres(settings={"default_transaction_read_only": "on"})
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = [silent.getsockname()[1], closed.getsockname()[1], reading.port]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched) as caught:
            await asked(f"postgresql://postgres:secret@{hosts}/postgres?connect_timeout=1", "SELECT 1")
    text = str(caught.value)
    assert text.startswith(f"no host of postgresql://postgres@{hosts}/postgres can be used (target_session_attrs=")
    assert f"127.0.0.1:{ports[0]}: no response within 1 s; 127.0.0.1:{ports[1]}: " in text
    assert text.endswith(f"127.0.0.1:{ports[2]}: is not read-write")
    assert "secret" not in text
