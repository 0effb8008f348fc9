"""What an address may say: the parameters of libpq 18, and some that others have made usual."""

from typing import NamedTuple

ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "gssencmode": "PGGSSENCMODE",
    "gssdelegation": "PGGSSDELEGATION",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
}
"""The environment variables that libpq reads, by parameter."""

HONOURED = frozenset(
    {
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "passfile",
        "service",
        "connect_timeout",
        "options",
        "application_name",
        "fallback_application_name",
        "target_session_attrs",
        "load_balance_hosts",
        "sslmode",
        "sslnegotiation",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslrootcert",
        "sslcrl",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
    }
)
"""Parameters that do here what they do in libpq."""

ALIASES = {"database": "dbname", "username": "user", "ssl": "sslmode", "requiressl": "sslmode"}
"""Other names of parameters: of asyncpg, SQLAlchemy, JDBC, and of libpq in former times."""

POOLER = frozenset({"pgbouncer", "statement_cache_size", "prepared_statement_cache_size"})
"""Parameters that say that a pooler is in between: Prisma's, asyncpg's and SQLAlchemy's."""


class PassedOver(NamedTuple):
    """A parameter that changes nothing here.

    harmless: the values that ask for nothing that would be missed.
    why: what is missed with another value, for operators.
    """

    harmless: frozenset[str]
    why: str


def _passed_over(why: str, *harmless: str) -> PassedOver:
    return PassedOver(frozenset(harmless), why)


_SOCKET = "the operating system's defaults for idle connections apply"
_SECRETS = "the login uses the password"
_OAUTH = "logins by OAuth are not supported"
_DELEGATION = "credentials are not delegated"
PASSED_OVER = {
    "channel_binding": _passed_over(
        "the login is not bound to the TLS connection; sslmode=verify-full makes sure of the server",
        "disable",
        "prefer",
    ),
    "client_encoding": _passed_over("text is always sent as UTF8", "utf8", "utf-8", "unicode", "auto"),
    "gssencmode": _passed_over("GSS encryption is not supported", "disable", "prefer"),
    "gssdelegation": _passed_over(_DELEGATION, "0"),
    "keepalives": _passed_over(_SOCKET, "1"),
    "keepalives_idle": _passed_over(_SOCKET, "0"),
    "keepalives_interval": _passed_over(_SOCKET, "0"),
    "keepalives_count": _passed_over(_SOCKET, "0"),
    "tcp_user_timeout": _passed_over(_SOCKET, "0"),
    "max_protocol_version": _passed_over("version 3.0 of the protocol is spoken", "3.0", "3.2", "latest"),
    "min_protocol_version": _passed_over("version 3.0 of the protocol is spoken", "3.0"),
    "oauth_client_id": _passed_over(_OAUTH),
    "oauth_client_secret": _passed_over(_OAUTH),
    "oauth_issuer": _passed_over(_OAUTH),
    "oauth_scope": _passed_over(_OAUTH),
    "replication": _passed_over("replication connections are not supported", "false", "off", "no", "0"),
    "require_auth": _passed_over("the server decides how the login is done"),
    "requirepeer": _passed_over("the owner of the server's process is not looked at"),
    "scram_client_key": _passed_over(_SECRETS),
    "scram_server_key": _passed_over(_SECRETS),
    "sslcertmode": _passed_over("a certificate is shown if there is one", "allow"),
    "sslcompression": _passed_over("TLS connections are not compressed", "0"),
    "sslcrldir": _passed_over("revoked certificates are looked up in sslcrl only"),
    "sslkeylogfile": _passed_over("keys of TLS connections are not logged"),
    "sslsni": _passed_over("the name of the host is always sent", "1"),
}
"""Parameters of libpq that the driver has no use for."""

REFUSED = {"gssencmode": "require", "replication": "database"}
"""Values without which the connection would not be the one that was asked for."""

CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
}
"""What parameters take that take one of a few words."""

TLS_FILES = (
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "sslnegotiation",
)
"""Parameters of TLS that the driver reads itself."""
