"""Creates authentication and the audit log from the settings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from lockstitch_server.audit import AuditLog
from lockstitch_server.auth import Identification, TokenAuthenticator
from lockstitch_server.auth.certificates import NamedCertificates
from lockstitch_server.auth.key_sets import KeysAtUrl, KeysInFile, KeySource
from lockstitch_server.auth.keys import KeyAuthenticator
from lockstitch_server.auth.tokens import Claims, JwtAuthenticator
from lockstitch_server.auth.watched_file import FileUnusable
from lockstitch_server.config import Auth, Settings
from lockstitch_server.runtime.startup import StartupError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def create_identification(settings: Settings, *, embedded: bool = False) -> Identification | None:
    """Authenticates callers; None: authentication is off. Raises StartupError.

    embedded: whether an ASGI server of somebody else ends TLS, and verifies the certificates of clients.
    """
    auth = settings.auth
    if not (auth.keys or auth.jwt_issuer or auth.certificates):
        if auth.jwt_audience or auth.jwt_keys:
            raise StartupError("auth.jwt_audience and auth.jwt_keys are of no use without auth.jwt_issuer")
        return None
    if auth.certificates and not (settings.tls.client_ca or embedded):
        raise StartupError("auth.certificates needs tls.client_ca: certificates that nobody has checked say nothing")
    with _names("auth.certificates"):
        certificates = NamedCertificates(Path(auth.certificates)) if auth.certificates else None
    return Identification(_by_token(auth), certificates)


@contextmanager
def _names(setting: str) -> Iterator[None]:
    """Name the setting whose file cannot be used. Raises StartupError."""
    try:
        yield
    except FileUnusable as error:
        raise StartupError(f"{setting}: {error}") from error


@asynccontextmanager
async def audit_log(settings: Settings) -> AsyncIterator[AuditLog | None]:
    """The audit log; None: it is off. Raises StartupError."""
    if not settings.audit.file:
        if settings.audit.required:
            raise StartupError("audit.required is set and audit.file is not: set the file that records are written to")
        yield None
        return
    path = Path(settings.audit.file)
    try:
        log = AuditLog(path, settings.audit.queue_records, required=settings.audit.required)
    except OSError as error:
        raise StartupError(f"audit.file: {path}: {error.strerror}") from error
    try:
        yield log
    finally:
        await asyncio.to_thread(log.close)


def _by_token(auth: Auth) -> list[TokenAuthenticator]:
    found: list[TokenAuthenticator] = []
    if auth.keys:
        with _names("auth.keys"):
            found.append(KeyAuthenticator(Path(auth.keys)))
    if auth.jwt_issuer:
        found.append(_jwt(auth))
    return found


def _jwt(auth: Auth) -> JwtAuthenticator:
    if not (auth.jwt_audience and auth.jwt_keys):
        raise StartupError("auth.jwt_issuer needs auth.jwt_audience and auth.jwt_keys")
    claims = Claims(
        auth.jwt_issuer, auth.jwt_audience, auth.jwt_tenants_claim, auth.jwt_rights_claim, auth.jwt_rights_prefix
    )
    return JwtAuthenticator(claims, _key_source(auth))


def _key_source(auth: Auth) -> KeySource:
    url = urlsplit(auth.jwt_keys)
    if url.scheme not in ("http", "https"):
        with _names("auth.jwt_keys"):
            return KeysInFile(Path(auth.jwt_keys))
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        raise StartupError(f"auth.jwt_keys: {auth.jwt_keys} must be https: who can change what it says can be anybody")
    return KeysAtUrl(auth.jwt_keys, auth.jwt_keys_seconds)
