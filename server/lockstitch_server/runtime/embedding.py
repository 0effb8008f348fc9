"""What must hold where an ASGI server of somebody else decides about addresses and TLS."""

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.rpc.transport.http.asgi_types import Scope
from lockstitch_server.runtime.listener import asks_who_calls, is_local
from lockstitch_server.runtime.startup import StartupError

EXPOSED = (
    "This server can be reached from other machines. It answers there only over TLS and with authentication "
    "(auth.keys, auth.jwt_issuer or auth.certificates). Set both up, listen on loopback or a Unix socket, or set "
    "insecure if something else protects it.\n"
)

log = structlog.get_logger(__name__)


def check_embedding(settings: Settings) -> None:
    """Raises StartupError for settings that only a server of our own can honour."""
    named = [f"tls.{name}" for name in ("certificate", "private_key", "client_ca") if getattr(settings.tls, name)]
    if named:
        raise StartupError(
            f"{', '.join(named)}: the ASGI server ends TLS, not this application; set its certificates there, and "
            "unset these settings"
        )


class Exposure:
    """The rules for addresses that other machines can reach, applied to requests: the address is unknown at start."""

    def __init__(self, settings: Settings) -> None:
        self._needs_certificates = bool(settings.auth.certificates)
        self._insecure = settings.insecure
        self._authenticates = asks_who_calls(settings)

    def allows(self, scope: Scope) -> bool:
        """Whether a request may be served."""
        if self._needs_certificates and "tls" not in (scope.get("extensions") or {}) and scope.get("scheme") == "https":
            self._needs_certificates = False  # one line is enough
            log.warning("client_certificates_unavailable", reason="the ASGI server lacks ASGI's extension `tls`")
        if self._insecure or _is_local(scope):
            return True
        return self._authenticates and scope.get("scheme") in ("https", "wss")


def _is_local(scope: Scope) -> bool:
    """Whether only this machine reaches the address of a request. Servers leave it out for Unix sockets."""
    host, port = scope.get("server") or (None, None)
    if port is None:
        host = (scope.get("client") or (None, None))[0]
    return not host or is_local(f"{host}:0")
