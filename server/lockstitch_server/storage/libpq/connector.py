"""Connects to the database that an address names."""

import random
import ssl
import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias, cast
from urllib.parse import urlencode

import asyncpg
import structlog

from lockstitch_server.storage.libpq.address import Address
from lockstitch_server.storage.libpq.passfile import password_of

CONNECT_SECONDS = 5.0
"""For all hosts together, where the address says nothing else."""
LEAST_SECONDS = 1.0
"""For one host."""
STATEMENTS = 256
"""Prepared statements that a connection keeps."""
# Where rows are looked up by their keys, Postgres need not plan that again at every use, which takes longer than a lone
# look-up. By itself it goes on planning: for given arrays, which are short, a plan looks cheaper than for any.
PLAN_ONCE = {"plan_cache_mode": "force_generic_plan"}
UNKNOWN_SETTING = (asyncpg.UndefinedObjectError, asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError)
STATEMENT_LOST = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What a prepared statement meets behind a pooler that changes connections in between."""
_ELSEWHERE = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
"""After which the next host is tried."""

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NamedConnection(asyncpg.Connection):
    """A connection whose prepared statements have names that no other process gives.

    Behind a pooler, one of another process could be run in place of ours otherwise.
    """

    def _get_unique_id(self, prefix: str) -> str:
        return f"lockstitch_{prefix}_{uuid.uuid4().hex}"


class Connector:
    """Makes connections by an address: host by host, the one that worked last first.

    statement_cache: whether connections keep prepared statements. Behind a pooler in transaction mode they cannot;
        `is_pooled` says so, and then every statement must be part of a transaction.
    writes: require a server that takes writes, if the address names several hosts and no target_session_attrs.
    """

    def __init__(self, address: Address, *, statement_cache: bool = True, writes: bool = True) -> None:
        self.address = address
        self.is_pooled = address.has_pooler or not statement_cache
        self.can_plan_once = not self.is_pooled
        self._hosts = list(address.hosts)
        self._attributes = address.target_session_attrs or ("read-write" if writes and self._hosts[1:] else None)

    @property
    def seconds(self) -> float:
        """How long to wait for a connection, whether it has to be made or others have to give one back."""
        return max(self._host_seconds * len(self._hosts), CONNECT_SECONDS)

    @property
    def _host_seconds(self) -> float:
        return self.address.connect_timeout or max(CONNECT_SECONDS / len(self._hosts), LEAST_SECONDS)

    async def connect(self, **options: Any) -> Connection:
        """A new connection. options: asyncpg's. Raises what asyncpg raises, OSError, ValueError for bad TLS files."""
        try:
            return await self._connect(**options)
        except asyncpg.ProtocolViolationError as error:
            # PgBouncer refuses settings that it cannot keep apart for its clients: that tells it from a server.
            if self.is_pooled or "startup parameter" not in str(error):
                raise
            self.turn_statements_off("the server refuses settings of a connection, as PgBouncer does")
        except UNKNOWN_SETTING:
            if not self.can_plan_once:
                raise
            self.can_plan_once = False
        return await self._connect(**options)

    async def connect_for_pool(self, _: object, **options: Any) -> Connection:
        """`connect` as a pool of asyncpg's calls it."""
        return await self.connect(**options)

    def turn_statements_off(self, why: str) -> None:
        """Prepare no statements from now on. Connections that are there must be replaced."""
        if not self.is_pooled:
            log.warning("postgres_statement_cache_off", reason=why, setting="postgres.statement_cache")
        self.is_pooled, self.can_plan_once = True, False

    async def _connect(self, **options: Any) -> Connection:
        if self._attributes != "prefer-standby":
            return await self._first(self._attributes, options)
        try:
            return await self._first("standby", options)
        except asyncpg.TargetServerAttributeNotMatched:
            return await self._first("any", options)

    async def _first(self, attributes: str | None, options: Mapping[str, Any]) -> Connection:
        """A connection to the first host that has these attributes."""
        failure: Exception | None = None
        hosts = tuple(self._hosts)
        for host, port in random.sample(hosts, len(hosts)) if self.address.is_balanced else hosts:
            try:
                connection = await self._connect_to(host, port, attributes, options)
            except _ELSEWHERE as error:
                failure = error if failure is None or isinstance(failure, OSError) else failure
            else:
                self._hosts.sort(key=lambda other: other != (host, port))
                return connection
        assert failure is not None
        raise failure

    async def _connect_to(self, host: str, port: int, attributes: str | None, options: Mapping[str, Any]) -> Connection:
        where = self.address
        password = where.password or password_of(where.passfile, host, port, where.database, where.user)
        settings = {**self.address.settings, **(PLAN_ONCE if self.can_plan_once else {})}
        return await asyncpg.connect(
            host=host,
            port=port,
            password=password,
            target_session_attrs=cast(Any, attributes),
            timeout=self._host_seconds,
            statement_cache_size=0 if self.is_pooled else STATEMENTS,
            server_settings=settings or None,
            **{"connection_class": NamedConnection, **options, **_arguments(self.address)},
        )


def _arguments(address: Address) -> dict[str, Any]:
    """What asyncpg needs of an address, except its hosts. Made for each connection: TLS files may have been renewed."""
    found: dict[str, Any] = {
        "user": address.user,
        "database": address.database,
        **address.kerberos,
    }
    if address.tls.get("sslrootcert") == "system":
        return {**found, "ssl": _system_context(address.tls), **_direct(address.tls)}
    if address.tls:
        found["dsn"] = f"postgresql://?{urlencode(address.tls)}"
    return {**found, "ssl": address.sslmode}


def _direct(tls: Mapping[str, str]) -> dict[str, bool]:
    return {"direct_tls": True} if tls.get("sslnegotiation") == "direct" else {}


def _system_context(tls: Mapping[str, str]) -> ssl.SSLContext:
    """As asyncpg makes it of files, which does not know of the roots that the system trusts."""
    context = ssl.create_default_context()
    context.minimum_version = _version(tls.get("ssl_min_protocol_version", "TLSv1.2"))
    if "ssl_max_protocol_version" in tls:
        context.maximum_version = _version(tls["ssl_max_protocol_version"])
    if "sslcert" in tls:
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), password=lambda: tls.get("sslpassword", ""))
    if "sslcrl" in tls:
        context.load_verify_locations(cafile=tls["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.set_alpn_protocols(["postgresql"])
    return context


def _version(name: str) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion[name.replace(".", "_")]
    except KeyError:
        raise ValueError(f"there is no TLS version {name!r}") from None
