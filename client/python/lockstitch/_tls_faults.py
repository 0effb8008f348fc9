"""What is wrong with TLS where there is no connection, found out by a connection of our own.

gRPC says "Socket closed", or what its TLS library says, which differs from version to version.
"""

import socket
import ssl
from contextlib import suppress
from enum import Enum
from os import PathLike
from typing import NamedTuple

from lockstitch._security import Tls

SECONDS = 1.0
"""How long to wait for each response of the server."""
HOSTNAME_MISMATCH, IP_MISMATCH = 62, 64
EXPIRED, NOT_YET_VALID = 10, 9
"""OpenSSL's numbers of what is wrong with a certificate."""


class TlsFault(Enum):
    """What is wrong, with what a caller of this library does about it. {detail} is that of the finding."""

    REQUIRED = (
        'the server speaks TLS: pass credentials=lockstitch.Tls(), or Tls(ca="ca.pem") if its certificate comes from '
        "an authority of its own"
    )
    NOT_SPOKEN = "the server speaks no TLS: leave out credentials, and https:// in the target"
    OTHER_NAME = "its certificate is not for {detail}: pass Tls(server_name=...) with a name that is in it"
    NOT_VALID_NOW = "its certificate is not valid now: {detail}"
    OTHER_AUTHORITY = (
        "its certificate does not come from the authorities in Tls(ca=...): pass those that have signed it"
    )
    UNKNOWN_AUTHORITY = "its certificate comes from an authority that this system does not trust: pass Tls(ca=...)"
    CERTIFICATE_REQUIRED = "the server requires a client certificate: pass Tls(certificate=..., private_key=...)"
    CERTIFICATE_REFUSED = "the server does not accept the client certificate: pass another one in Tls(certificate=...)"


class Finding(NamedTuple):
    """A fault. detail: the name that was expected, or what is wrong with the certificate; "" for the others."""

    fault: TlsFault
    detail: str = ""

    def __str__(self) -> str:
        return self.fault.value.format(detail=self.detail)


def find_tls_fault(target: str, tls: Tls | None, *, encrypted: bool) -> Finding | None:
    """What is wrong with the TLS of connections to a target; None: nothing, or not found out. Blocks for seconds.

    tls: what the client connects with. encrypted: whether it uses TLS; without `tls`, in a way that is not known.
    """
    try:
        with _connected(target) as plain:
            if tls is not None:
                return _check_tls(tls, tls.server_name or _host(target), plain)
            return _check_unknown(plain) if encrypted else _check_plain(plain)
    except (OSError, ValueError):
        return None


def _connected(target: str) -> socket.socket:
    scheme, colon, path = target.partition(":")
    if colon and scheme == "unix":
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(SECONDS)
        found.connect(path)
        return found
    return socket.create_connection(_address(target), SECONDS)


def _address(target: str) -> tuple[str, int]:
    """The first host and port of a target, as gRPC writes it."""
    first = target.rpartition("/")[2].partition(",")[0]
    for scheme in ("dns:", "ipv4:", "ipv6:"):
        first = first.removeprefix(scheme)
    host, _, port = first.rpartition(":")
    return host.strip("[]"), int(port)


def _host(target: str) -> str:
    return "localhost" if target.startswith("unix:") else _address(target)[0]


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _check_plain(plain: socket.socket) -> Finding | None:
    try:
        with _unverified().wrap_socket(plain):
            return Finding(TlsFault.REQUIRED)
    except ssl.SSLError as error:
        return Finding(TlsFault.REQUIRED) if _is_alert(error) else None


def _check_unknown(plain: socket.socket) -> Finding | None:
    try:
        with _unverified().wrap_socket(plain):
            return None
    except ssl.SSLError as error:
        return None if _is_alert(error) else Finding(TlsFault.NOT_SPOKEN)
    except ConnectionError:
        return Finding(TlsFault.NOT_SPOKEN)


def _check_tls(tls: Tls, name: str, plain: socket.socket) -> Finding | None:
    try:
        encrypted = _context(tls).wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _check_certificate(tls, name, error)
    except ssl.SSLError as error:
        return _refusal(tls) if _is_alert(error) else Finding(TlsFault.NOT_SPOKEN)
    except ConnectionError:
        return Finding(TlsFault.NOT_SPOKEN)
    with encrypted:
        try:
            # With TLS 1.3, a server that refuses our certificate, or the lack of one, says so now.
            return None if encrypted.recv(1) else _refusal(tls)
        except (ssl.SSLError, ConnectionError):
            return _refusal(tls)


def _context(tls: Tls) -> ssl.SSLContext:
    ca = tls.ca
    if isinstance(ca, bytes):
        context = ssl.create_default_context(cadata=ca.decode("ascii"))
    else:
        context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC: what `ca` names need not be a root
    # Python loads a private key from a file only, and this one is not written to a file. Without it, a server that
    # wants a certificate refuses the connection, as it has refused that of gRPC.
    if isinstance(tls.certificate, str | PathLike) and isinstance(tls.private_key, str | PathLike):
        with suppress(ssl.SSLError):
            context.load_cert_chain(tls.certificate, tls.private_key, password=lambda: "")  # never ask on a terminal
    return context


def _is_alert(error: ssl.SSLError) -> bool:
    """Whether the other side has said it, which then speaks TLS."""
    return "_ALERT_" in (error.reason or "")


def _check_certificate(tls: Tls, name: str, error: ssl.SSLCertVerificationError) -> Finding:
    if error.verify_code in (HOSTNAME_MISMATCH, IP_MISMATCH):
        return Finding(TlsFault.OTHER_NAME, name)
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return Finding(TlsFault.NOT_VALID_NOW, error.verify_message)
    return Finding(TlsFault.UNKNOWN_AUTHORITY if tls.ca is None else TlsFault.OTHER_AUTHORITY)


def _refusal(tls: Tls) -> Finding:
    return Finding(TlsFault.CERTIFICATE_REQUIRED if tls.certificate is None else TlsFault.CERTIFICATE_REFUSED)
