"""Connects to the database that an address names."""

import asyncio
import ssl
import time
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast
from urllib.parse import urlencode

import asyncpg
import structlog

from lockstitch_server.storage.libpq.address import Address
from lockstitch_server.storage.libpq.hosts import Endpoint, HostOrder, PinnedLoop
from lockstitch_server.storage.libpq.passfile import password_of

ONE_PRIMARY = ("read-write", "primary")
"""target_session_attrs that one host at a time can have."""
STATEMENTS = 256
"""Prepared statements that a connection keeps."""
# Where rows are looked up by their keys, Postgres need not plan that again at every use, which takes longer than a lone
# look-up. By itself it goes on planning: for given arrays, which are short, a plan looks cheaper than for any.
PLAN_ONCE = {"plan_cache_mode": "force_generic_plan"}
SESSION_ATTRIBUTES = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean"
UNKNOWN_SETTING = (asyncpg.UndefinedObjectError, asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError)
STATEMENT_LOST = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What a prepared statement meets behind a pooler that changes connections in between."""
_ELSEWHERE = (
    OSError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
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
    """Makes connections by an address: host by host, the one that worked last first, those that hung last.

    statement_cache: whether connections keep prepared statements. Behind a pooler in transaction mode they cannot;
        `is_pooled` says so, and then every statement must be part of a transaction.
    writes: require a server that takes writes, if the address names several hosts and no target_session_attrs.
    """

    def __init__(self, address: Address, *, statement_cache: bool = True, writes: bool = True) -> None:
        self.address = address
        self.is_pooled = address.has_pooler or not statement_cache
        self.can_plan_once = not self.is_pooled
        self._writes = writes
        self._order = HostOrder(address)
        self._endpoints: weakref.WeakKeyDictionary[Connection, Endpoint] = weakref.WeakKeyDictionary()
        """Where the connections go to that are there."""
        self._attempts: dict[asyncio.Timeout, tuple[Endpoint, float]] = {}
        """Where connections are being made to, and since when, by the time limit of each."""

    @property
    def seconds(self) -> float:
        """How long to wait for a connection, whether it has to be made or others have to give one back."""
        return self._order.seconds

    async def connect(self, **options: Any) -> Connection:
        """A new connection. options: asyncpg's. Raises what asyncpg raises, OSError, ValueError for bad TLS files."""
        try:
            return await self._connect(**options)
        except asyncpg.ProtocolViolationError as error:
            # PgBouncer refuses settings that it cannot keep apart for its clients; a server does not.
            if self.is_pooled or not _refuses_settings(error):
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

    def plan_always(self) -> None:
        """Have Postgres plan statements at each use, on connections made from now on."""
        self.can_plan_once = False

    def hung(self, connection: Connection) -> None:
        """A connection did not answer in time: other hosts are tried before its own."""
        if (endpoint := self._endpoints.get(connection)) is not None:
            self._order.hung(endpoint)

    @property
    def follows_primary(self) -> bool:
        """Whether one of several hosts is used, by the URL or by the addresses of a name: the primary."""
        return self._order.has_several and self._attributes in ONE_PRIMARY

    def attempts_begun(self) -> list[float]:
        """When the attempts to connect began that are under way."""
        return [begun for _, begun in self._attempts.values()]

    async def look_elsewhere(self) -> None:
        """Connect once to a host that is not in use. Raises what `connect` does.

        The host in use may hang, and would delay the next look.
        """
        others = await self._order.others()
        (await self._first(others, self._attributes, {})).terminate()

    @property
    def _attributes(self) -> str | None:
        """The target_session_attrs that hosts must have."""
        default = "read-write" if self._writes and self._order.has_several else None
        return self.address.target_session_attrs or default

    async def _connect(self, **options: Any) -> Connection:
        endpoints = await self._order.endpoints()
        attributes = self._attributes
        if attributes != "prefer-standby":
            return await self._first(endpoints, attributes, options)
        try:
            return await self._first(endpoints, "standby", options)
        except asyncpg.TargetServerAttributeNotMatched:
            return await self._first(endpoints, "any", options)

    async def _first(
        self, endpoints: Sequence[Endpoint], attributes: str | None, options: Mapping[str, Any]
    ) -> Connection:
        """A connection to the first host that has these attributes."""
        failures: list[tuple[Endpoint, Exception]] = []
        for endpoint in endpoints:
            try:
                connection = await self._connect_to(endpoint, attributes, options)
            except asyncio.CancelledError:
                self._order.hung(endpoint)  # the caller has waited for it long enough
                raise
            except _ELSEWHERE as error:
                if isinstance(error, TimeoutError):
                    self._order.hung(endpoint)
                if _refuses_settings(error):
                    raise
                failures.append((endpoint, error))
            else:
                self._landed(connection, endpoint, attributes)
                return connection
        raise _no_host(self.address, attributes, failures)

    def _landed(self, connection: Connection, endpoint: Endpoint, attributes: str | None) -> None:
        """A host works. Where only one can, another one is a former primary, which may hang: nothing waits for it."""
        before = self._order.worked(endpoint)
        self._endpoints[connection] = endpoint
        if before not in (None, endpoint) and attributes in ONE_PRIMARY:
            log.warning("postgres_primary_changed", host=str(endpoint), before=str(before))
            for other, its_endpoint in list(self._endpoints.items()):
                if its_endpoint != endpoint:
                    other.terminate()
            for limit, (its_endpoint, _) in self._attempts.items():
                if its_endpoint != endpoint and not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time())

    async def _connect_to(self, endpoint: Endpoint, attributes: str | None, options: Mapping[str, Any]) -> Connection:
        where = self.address
        password = where.password or password_of(
            where.passfile, endpoint.host, endpoint.port, where.database, where.user
        )
        settings = {**self.address.settings, **(PLAN_ONCE if self.can_plan_once else {})}
        seconds = self._order.limit(endpoint)
        pinned = {"loop": cast(Any, PinnedLoop(endpoint.ip))} if endpoint.ip else {}
        is_pooled = self.is_pooled
        limit = asyncio.timeout(seconds)
        self._attempts[limit] = endpoint, time.monotonic()
        try:
            async with limit:
                connection: Connection = await asyncpg.connect(
                    host=endpoint.host,
                    port=endpoint.port,
                    password=password,
                    target_session_attrs=None if is_pooled else cast(Any, attributes),
                    timeout=seconds,
                    statement_cache_size=0 if is_pooled else STATEMENTS,
                    server_settings=settings or None,
                    **{"connection_class": NamedConnection, **options, **_arguments(self.address), **pinned},
                )
                return await _checked(connection, attributes) if is_pooled and attributes else connection
        except TimeoutError as error:
            raise TimeoutError(str(error) or f"no response within {seconds:g} s") from error
        finally:
            del self._attempts[limit]


async def _checked(connection: Connection, attributes: str) -> Connection:
    """What asyncpg checks without a transaction, which a pooler may send to two servers."""
    try:
        await connection.execute("BEGIN READ ONLY")
        ((is_standby, is_read_only),) = await connection.fetch(SESSION_ATTRIBUTES)
        await connection.execute("ROLLBACK")
        has = {
            "any": True,
            "primary": not is_standby,
            "standby": is_standby,
            "read-write": not (is_standby or is_read_only),
            "read-only": is_standby or is_read_only,
        }
        if not has[attributes]:
            raise asyncpg.TargetServerAttributeNotMatched(attributes)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _refuses_settings(error: Exception) -> bool:
    return isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error)


def _no_host(address: Address, attributes: str | None, failures: Sequence[tuple[Endpoint, Exception]]) -> Exception:
    """The error that says what was tried. If there is one host, its own."""
    if len(failures) == 1:
        return failures[0][1]
    wanted = f"no host of {address} can be used" + (f" (target_session_attrs={attributes})" if attributes else "")
    told = "; ".join(f"{endpoint}: {_problem(error, attributes)}" for endpoint, error in failures)
    kind = next((error for _, error in failures if isinstance(error, asyncpg.TargetServerAttributeNotMatched)), None)
    found = ConnectionError if kind is None else asyncpg.TargetServerAttributeNotMatched
    return found(f"{wanted}: {told}")


def _problem(error: Exception, attributes: str | None) -> str:
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return f"is not {attributes}"
    return str(error) or type(error).__name__


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
