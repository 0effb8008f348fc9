"""Reads the address of a Postgres database: its URL, what its service says, and libpq's environment variables."""

import configparser
import difflib
import getpass
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from lockstitch_server.storage.libpq.parameters import (
    ALIASES,
    CHOICES,
    ENVIRONMENT,
    HONOURED,
    PASSED_OVER,
    POOLER,
    REFUSED,
    TLS_FILES,
)

DEFAULT_PORT = "5432"
DEFAULT_HOSTS = "/run/postgresql,/var/run/postgresql,/tmp,localhost"
KNOWN = HONOURED | PASSED_OVER.keys() | ALIASES.keys() | POOLER
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
_PARTS = re.compile(r"(?P<authority>[^/?]*)(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")
_ENCODE = "write @ : / ? # % and & in names and passwords percent-encoded, such as %40 for @"


class AddressInvalid(ValueError):
    """The address cannot be used. The text is for operators, and has no secret in it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and how to log in there.

    hosts: each a name, an IP address or the directory of a Unix socket, with its port.
    connect_timeout: seconds for each host; None: not said.
    tls: those of the parameters in TLS_FILES that are set.
    settings: of the server, for the connection: options, application_name.
    has_pooler: whether the address says that a pooler is in between, such as PgBouncer.
    warnings: what the address asks for and does not get, a sentence each.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str | None = field(repr=False)
    database: str
    passfile: str | None
    connect_timeout: float | None
    sslmode: str | None
    tls: Mapping[str, str] = field(repr=False)
    target_session_attrs: str | None
    is_balanced: bool
    settings: Mapping[str, str]
    kerberos: Mapping[str, str]
    has_pooler: bool
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """For people, and a URL itself: nothing but user, hosts and database."""
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{quote(host, '')}:{port}" for host, port in self.hosts
        )
        return f"postgresql://{quote(self.user, '')}@{hosts}/{quote(self.database, '')}"


def is_postgres(url: str) -> bool:
    """Whether a URL is that of a Postgres database. SQLAlchemy's spelling counts: postgresql+psycopg://."""
    return _SCHEME.match(url) is not None


def read_address(url: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The address that a URL gives, completed as libpq completes it.

    >>> str(read_address("postgresql://app@db/prod?sslmode=require&connect_timeout=5"))
    'postgresql://app@db:5432/prod'

    Raises AddressInvalid.
    """
    found = _of_url(url)
    variables = {name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)}
    if service := found.get("service") or variables.get("service"):
        found = {**_of_service(service, environment), **found}
    return _address({**variables, **found})


def _of_url(url: str) -> dict[str, str]:
    scheme = _SCHEME.match(url)
    parts = _PARTS.fullmatch(url[scheme.end() :]) if scheme else None
    if parts is None:
        raise AddressInvalid("a Postgres URL begins with postgresql://")
    login, _, hosts = parts["authority"].rpartition("@")
    # Part of a password may have been taken for a path or a parameter: then nothing of it may be shown.
    is_torn = not login and ":" in hosts and "@" in (parts["path"] or "") + (parts["query"] or "")
    found = dict(_of_login(login)) | dict(_of_hosts(hosts))
    if is_torn:
        raise AddressInvalid(f"the URL cannot be taken apart: {_ENCODE}")
    if parts["path"]:
        found["dbname"] = _decoded(parts["path"])
    for pair in filter(None, (parts["query"] or "").split("&")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise AddressInvalid(f"a parameter of the URL has no value; {_ENCODE}")
        found |= _parameter(_decoded(name), _decoded(value))
    return found


def _of_login(login: str) -> Iterator[tuple[str, str]]:
    user, colon, password = login.partition(":")
    if user:
        yield "user", _decoded(user)
    if colon:
        yield "password", _decoded(password)


def _of_hosts(hosts: str) -> Iterator[tuple[str, str]]:
    """`host:port,[::1]:port,...`"""
    names, ports = [], []
    for one in hosts.split(","):
        host, port = one.rpartition("]")[::2] if one.startswith("[") else (one.partition(":")[0], one)
        names.append(_decoded(host.removeprefix("[")))
        ports.append(_decoded(port.partition(":")[2]))
    if any(names):
        yield "host", ",".join(names)
    if any(ports):
        yield "port", ",".join(ports)


def _decoded(text: str) -> str:
    decoded = unquote(text, errors="strict")
    if "\0" in decoded:
        raise AddressInvalid("the URL has a NUL character in it")
    return decoded


def _parameter(name: str, value: str) -> dict[str, str]:
    """A parameter under its usual name. An empty value counts as none, as in libpq. Raises AddressInvalid."""
    if name not in KNOWN:
        raise AddressInvalid(_unknown(name))
    if name in ("ssl", "requiressl") and value not in CHOICES["sslmode"]:
        value = {"true": "require", "1": "require"}.get(value.lower(), "prefer")
    return {ALIASES.get(name, name): value} if value else {}


def _unknown(name: str) -> str:
    if not _NAME.fullmatch(name):
        return f"the URL has a parameter whose name is none; {_ENCODE}"
    near = difflib.get_close_matches(name.lower(), sorted(KNOWN), n=1, cutoff=0.8)
    meant = f"did you mean {near[0]!r}?" if near else f"a setting of the server is written options=-c%20{name}%3DVALUE"
    return f"the URL has an unknown parameter {name!r}; {meant}"


def _of_service(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a service file says under that name: the user's own, else the system's. Raises AddressInvalid."""
    own = environment.get("PGSERVICEFILE") or "~/.pg_service.conf"
    system = Path(environment.get("PGSYSCONFDIR") or "/etc/postgresql-common", "pg_service.conf")
    for path in (Path(own).expanduser(), system):
        file = configparser.RawConfigParser(delimiters="=", comment_prefixes="#", strict=False)
        try:
            file.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            raise AddressInvalid(f"the service file {path} cannot be read") from None
        if file.has_section(service):
            found: dict[str, str] = {}
            for name, value in file.items(service):
                found |= _parameter(name, value)
            return found
    raise AddressInvalid(f"there is no service {service!r} in {own} or {system}")


def _address(found: Mapping[str, str]) -> Address:
    _check(found)
    user = found.get("user") or _own_name()
    application = found.get("application_name") or found.get("fallback_application_name")
    settings = {"application_name": application, "options": found.get("options")}
    sslmode = found.get("sslmode")
    if found.get("sslrootcert") == "system" and sslmode is None:
        sslmode = "verify-full"
    return Address(
        hosts=_hosts(found),
        user=user,
        password=found.get("password"),
        database=found.get("dbname") or user,
        passfile=found.get("passfile"),
        connect_timeout=_seconds(found.get("connect_timeout")),
        sslmode=sslmode,
        tls={name: found[name] for name in TLS_FILES if name in found},
        target_session_attrs=found.get("target_session_attrs"),
        is_balanced=found.get("load_balance_hosts") == "random",
        settings={name: value for name, value in settings.items() if value},
        kerberos={name: found[name] for name in ("krbsrvname", "gsslib") if name in found},
        has_pooler=found.get("pgbouncer", "").lower() in ("true", "1", "on", "yes")
        or any(found.get(name) == "0" for name in POOLER if name != "pgbouncer"),
        warnings=tuple(_warnings(found)),
    )


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        raise AddressInvalid("the URL names no user, and the user of this process has no name") from None


def _check(found: Mapping[str, str]) -> None:
    """Raises AddressInvalid."""
    for name, choices in CHOICES.items():
        if name in found and found[name] not in choices:
            raise AddressInvalid(f"{name} cannot be {found[name]!r}; it takes one of {', '.join(choices)}")
    for name, value in REFUSED.items():
        if found.get(name) == value:
            raise AddressInvalid(f"{name}={value} cannot be honoured: {PASSED_OVER[name].why}")
    mode = found.get("sslmode", "verify-full")
    if found.get("sslrootcert") == "system" and mode != "verify-full":
        raise AddressInvalid(f"sslrootcert=system wants sslmode=verify-full, not {mode}")
    if "hostaddr" in found and "host" in found and mode == "verify-full":
        raise AddressInvalid("hostaddr cannot be used with sslmode=verify-full here; give the name as host alone")


def _hosts(found: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    hosts = (found.get("hostaddr") or found.get("host") or DEFAULT_HOSTS).split(",")
    ports = found.get("port", DEFAULT_PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise AddressInvalid(f"the URL has {len(hosts)} hosts, but {len(ports)} ports")
    return tuple((host or "localhost", _port(port or DEFAULT_PORT)) for host, port in zip(hosts, ports, strict=True))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        # It is not shown: where a password is not encoded, part of it is taken for the port.
        raise AddressInvalid(f"a port of the URL is no number from 1 to 65535; {_ENCODE}")
    return int(text)


def _seconds(text: str | None) -> float | None:
    """None: not said, or 0 or less, which means no limit in libpq; the server's own limit counts then."""
    if text is None:
        return None
    if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text, re.ASCII):
        raise AddressInvalid(f"connect_timeout cannot be {text!r}; it takes seconds, such as 10")
    return float(text) if int(text) > 0 else None


def _warnings(found: Mapping[str, str]) -> Iterator[str]:
    for name, parameter in PASSED_OVER.items():
        if name in found and found[name].lower() not in parameter.harmless:
            yield f"the Postgres parameter {name} has no effect: {parameter.why}"
