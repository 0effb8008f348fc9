"""Addresses of Postgres databases, as libpq reads them, with none of their secrets told."""

from pathlib import Path

import pytest
from psycopg import pq

from lockstitch_server.storage.libpq.address import KNOWN, AddressInvalid, read_address
from lockstitch_server.storage.libpq.parameters import ENVIRONMENT, HONOURED, PASSED_OVER
from tests.cli.commands import Command

LOGIN = {"PGUSER": "me"}


def test_every_parameter_of_libpq_is_known() -> None:
    theirs = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    assert theirs.keys() <= KNOWN
    variables = {name: variable.decode() for name, variable in theirs.items() if variable}
    assert variables == {name: variable for name, variable in ENVIRONMENT.items() if name in theirs}
    if pq.version() // 10_000 == 18:
        assert theirs.keys() == HONOURED | PASSED_OVER.keys()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://",
            "postgresql://me@%2Frun%2Fpostgresql:5432,%2Fvar%2Frun%2Fpostgresql:5432,%2Ftmp:5432,localhost:5432/me",
        ),
        ("postgres://db", "postgresql://me@db:5432/me"),
        ("postgresql://app:secret@db:6432/prod", "postgresql://app@db:6432/prod"),
        ("postgresql+asyncpg://app@db/prod", "postgresql://app@db:5432/prod"),
        ("postgresql://app:s%40%2F%3A@[::1]:5433,h2/prod", "postgresql://app@[::1]:5433,h2:5432/prod"),
        ("postgresql://app:se@cret@db/prod", "postgresql://app@db:5432/prod"),
        ("postgresql:///prod?host=/tmp,db&port=1,2&user=app", "postgresql://app@%2Ftmp:1,db:2/prod"),
        ("postgresql://%2Ftmp/prod", "postgresql://me@%2Ftmp:5432/prod"),
        ("postgresql://db?dbname=a&user=b%2Bc", "postgresql://b%2Bc@db:5432/a"),
        ("postgresql://h1,h2,h3:7/db?port=9", "postgresql://me@h1:9,h2:9,h3:9/db"),
    ],
)
def test_where_a_url_leads(url: str, shown: str) -> None:
    assert str(read_address(url, LOGIN)) == shown
    assert str(read_address(shown, {})) == shown


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("postgresql://app:se/cr3t@db/prod", ("cr3t", "se/")),
        ("postgresql://app:12/cr3t@db/prod", ("cr3t", "12")),
        ("postgresql://app:12?cr3t=x@db/prod", ("cr3t", "12")),
        ("postgresql://app:12?cr3t@db/prod", ("cr3t",)),
        ("postgresql://app:cr3t#x/y@db/prod", ("cr3t", "x/y")),
        ("postgresql://db/prod?password=cr3t&x=y", ("cr3t",)),
        ("postgresql://app:cr3t@db:port/prod", ("cr3t",)),
        ("postgresql://app:cr3t@db/prod?sslmode=requires", ("cr3t",)),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, passwords: tuple[str, ...]) -> None:
    for command in (("migrate", "--store", url), ("import", "langgraph", url), ("import", "weavegraph", url)):
        done = Command(*command).in_process()
        assert done.code in (1, 2)
        (line,) = done.err.splitlines()
        assert not [password for password in passwords if password in line], line


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmod=require", ("'sslmod'", "'sslmode'")),
        ("statement_timeout=5", ("'statement_timeout'", "options=-c%20statement_timeout%3D")),
        ("sslmode=on", ("sslmode", "'on'", "verify-full")),
        ("connect_timeout=soon", ("connect_timeout", "'soon'")),
        ("target_session_attrs=master", ("target_session_attrs", "primary")),
        ("sslrootcert=system&sslmode=require", ("sslrootcert=system", "verify-full")),
        ("gssencmode=require", ("gssencmode=require", "not supported")),
        ("replication=database", ("replication=database",)),
        ("port=1,2", ("1 hosts", "2 ports")),
        ("port=0", ("65535",)),
        ("sslmode", ("no value",)),
        ("service=none", ("'none'", "pg_service.conf")),
        ("user=a%00b", ("NUL",)),
    ],
)
def test_what_is_wrong_is_named(query: str, words: tuple[str, ...]) -> None:
    with pytest.raises(AddressInvalid) as caught:
        read_address(f"postgresql://db/prod?{query}", LOGIN)
    assert all(word in str(caught.value) for word in words), caught.value


SECRET_URLS = (
    "postgresql://app:cr3t@db/prod",
    "postgresql+psycopg://app:cr3t[@db/prod",
    "postgresql://db/prod?password=cr3t",
    "postgresql://db/prod?pass%77ord=cr3t&sslpassword=cr3t",
    "postgresql://db/prod?scram_client_key=cr3t&oauth_client_secret=cr3t",
)


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_command_shows_a_secret(url: str) -> None:
    for command in (("config", "--set", f"store={url}"), ("config", "--json", "--set", f"store={url}")):
        done = Command(*command).in_process()
        assert done.code == 0, done
        assert "cr3t" not in done.out + done.err
    for command in (("migrate", "--store", url), ("serve", "--store", url), ("check", "--store", url)):
        done = Command(
            *command, "--set", "store=" + url.replace("@db", "@127.0.0.1:1").replace("//db", "//127.0.0.1:1")
        ).in_process()
        assert "cr3t" not in done.out + done.err


def test_what_has_no_effect_is_told() -> None:
    silent = "channel_binding=prefer&gssencmode=disable&client_encoding=UTF8&sslsni=1&keepalives=1&replication=false"
    assert read_address(f"postgresql://db?{silent}", LOGIN).warnings == ()
    told = read_address("postgresql://db?channel_binding=require&keepalives_idle=30&require_auth=scram-sha-256", LOGIN)
    assert [warning.split(" has no effect: ")[0] for warning in told.warnings] == [
        "the Postgres parameter channel_binding",
        "the Postgres parameter keepalives_idle",
        "the Postgres parameter require_auth",
    ]


def test_parameters_of_others_are_mapped() -> None:
    assert read_address("postgresql://db?ssl=true", LOGIN).sslmode == "require"
    assert read_address("postgresql://db?ssl=verify-full", LOGIN).sslmode == "verify-full"
    assert read_address("postgresql://db?sslrootcert=system", LOGIN).sslmode == "verify-full"
    for query in ("pgbouncer=true", "statement_cache_size=0", "prepared_statement_cache_size=0"):
        assert read_address(f"postgresql://db?{query}", LOGIN).has_pooler
    assert not read_address("postgresql://db?pgbouncer=false&statement_cache_size=100", LOGIN).has_pooler


def test_the_url_counts_before_the_service_and_the_service_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[prod]\nhost=of-service\nport=7\ndbname=orders\npassword=a#b%c\n")
    environment = {"PGSERVICEFILE": str(file), "PGHOST": "of-environment", "PGUSER": "me", "PGAPPNAME": "agents"}
    address = read_address("postgresql:///?service=prod&port=8", environment)
    assert str(address) == "postgresql://me@of-service:8/orders"
    assert address.password == "a#b%c"
    assert address.settings == {"application_name": "agents"}
    assert str(read_address("postgresql://", {**environment, "PGSERVICE": "prod"})).endswith("@of-service:7/orders")
    assert str(read_address("postgresql://", environment)) == "postgresql://me@of-environment:5432/me"
    file.write_text("[prod]\nhots=typo\n")
    with pytest.raises(AddressInvalid, match="'hots'"):
        read_address("postgresql://?service=prod", environment)
