"""Where a server listens, and how: addresses, TLS, and what keeps connections alive."""

import ipaddress
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import structlog

from lockstitch_server.auth.watched_file import identity
from lockstitch_server.config import Settings, Tls
from lockstitch_server.runtime.startup import StartupError

LARGEST = 2**31 - 1

log = structlog.get_logger(__name__)


def check_exposure(settings: Settings) -> None:
    """Raises StartupError for an address that other machines reach without TLS or without authentication."""
    for listen in filter(None, (settings.listen, settings.http_listen)):
        _check_exposure(listen, settings)


def _check_exposure(listen: str, settings: Settings) -> None:
    if settings.insecure or is_local(listen):
        return
    missing = []
    if not settings.tls.certificate:
        missing.append("TLS (tls.certificate, tls.private_key)")
    if not asks_who_calls(settings):
        missing.append("a way to authenticate callers (auth.keys, auth.jwt_issuer or tls.client_ca)")
    if missing:
        raise StartupError(
            f"{listen} can be reached from other machines: set {' and '.join(missing)}; or listen on loopback "
            "or a unix socket; or set insecure, where something else sees to it"
        )


def asks_who_calls(settings: Settings) -> bool:
    """Whether callers must authenticate."""
    auth = settings.auth
    return bool(auth.keys or auth.jwt_issuer or auth.certificates or settings.tls.client_ca)


def is_local(listen: str) -> bool:
    """Whether only this machine reaches an address."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(server: grpc.aio.Server, listen: str, certificates: "Certificates | None") -> str:
    """Have a server listen, with TLS where there are certificates; returns the address. Raises StartupError."""
    try:
        if certificates is None:
            port = server.add_insecure_port(listen)
        else:
            port = server.add_secure_port(listen, certificates.credentials())
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {listen}: the port is in use or may not be used") from error
    if port == 0:
        raise StartupError(f"cannot listen on {listen}")
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def connection_options(settings: Settings) -> list[tuple[str, int]]:
    """gRPC's options for how long connections last."""
    options = [
        ("grpc.keepalive_time_ms", milliseconds(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", milliseconds(settings.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Connections of clients that ping more often are closed (ENHANCE_YOUR_CALM).
        ("grpc.http2.min_ping_interval_without_data_ms", milliseconds(settings.min_ping_seconds)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", milliseconds(settings.min_ping_seconds)),
    ]
    if settings.max_connection_age_seconds:
        options.append(("grpc.max_connection_age_ms", milliseconds(settings.max_connection_age_seconds)))
        options.append(("grpc.max_connection_age_grace_ms", milliseconds(settings.max_connection_age_grace_seconds)))
    return options


def milliseconds(seconds: float) -> int:
    """As gRPC has times: 1 and above."""
    return min(LARGEST, max(1, round(seconds * 1000)))


def tls_files(tls: Tls) -> "TlsFiles | None":
    """The files that the settings name; None: no TLS. Raises StartupError."""
    if not tls.certificate:
        if tls.private_key or tls.client_ca:
            raise StartupError("tls.private_key and tls.client_ca are of no use without tls.certificate")
        return None
    if not tls.private_key:
        raise StartupError("tls.certificate needs tls.private_key")
    return TlsFiles(Path(tls.certificate), Path(tls.private_key), Path(tls.client_ca) if tls.client_ca else None)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What TLS needs, as PEM files."""

    certificate: Path
    private_key: Path
    client_ca: Path | None

    def identities(self) -> tuple[object, ...]:
        """What differs when any of them has changed."""
        return tuple(identity(path) for path in (self.certificate, self.private_key, self.client_ca) if path)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What they hold, which fits together. Raises OSError, ValueError."""
        certificate, key = self.certificate.read_bytes(), self.private_key.read_bytes()
        roots = self.client_ca.read_bytes() if self.client_ca else None
        self._check(certificate, key)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=roots)

    def _check(self, certificate: bytes, key: bytes) -> None:
        """gRPC says nothing of files that it cannot use, and every connection fails then."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            with tempfile.TemporaryDirectory(prefix="lockstitch-tls-") as directory:
                # As they were read: by now there may be others under their names.
                paths = Path(directory, "certificate"), Path(directory, "key")
                for path, data in zip(paths, (certificate, key), strict=True):
                    path.touch(mode=0o600)
                    path.write_bytes(data)
                context.load_cert_chain(*paths, password=lambda: "")
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
        except ssl.SSLError as error:
            raise ValueError(f"{self.certificate} and {self.private_key}: {error.reason or error}") from error


class Certificates:
    """What TLS uses now: the files are read again when they change. gRPC asks in its threads, for every connection."""

    def __init__(self, files: TlsFiles, *, asks_for_one: bool) -> None:
        """asks_for_one: whether a client that has no certificate is turned away while it connects. Raises OSError,
        ValueError."""
        self._files = files
        self._asks_for_one = asks_for_one
        self._lock = threading.Lock()
        self._seen = files.identities()
        self._current = files.read()

    @classmethod
    def of(cls, tls: Tls) -> "Certificates | None":
        """As the settings have it; None: without TLS. Raises StartupError."""
        files = tls_files(tls)
        if files is None:
            return None
        try:
            return cls(files, asks_for_one=bool(tls.client_ca))
        except (OSError, ValueError) as error:
            raise StartupError(f"TLS cannot be used: {error}") from error

    def credentials(self) -> grpc.ServerCredentials:
        """For one address of one server."""
        used = self._current

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal used
            current = self._latest()
            if current is used:
                return None
            used = current
            return current

        # The fetcher may give None for "no change", which the types have forgotten.
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", newer)
        return grpc.dynamic_ssl_server_credentials(
            self._current, fetch, require_client_authentication=self._asks_for_one
        )

    def _latest(self) -> grpc.ServerCertificateConfiguration:
        with self._lock:
            identities = self._files.identities()
            if identities != self._seen:
                try:
                    self._current = self._files.read()
                except (OSError, ValueError) as error:
                    # Certificate and key are not replaced in one step: it may fit together in a moment.
                    log.warning("certificate_reload_failed", reason=str(error))
                else:
                    self._seen = identities
                    log.info("certificates_reloaded", path=str(self._files.certificate))
            return self._current
