"""Why a server cannot be reached although it is there, found out by a connection of our own, and which option mends it.

What gRPC says of a failed connection is for those who know gRPC, and differs from version to version.
"""

import socket
import ssl

from lockstitch_server.cli.connection import Connection

SECONDS = 2.0
TLS_WANTED = "the server speaks TLS: use --tls, or --ca FILE where its certificate comes from roots of its own"
NO_TLS = "the server speaks no TLS: leave out --tls, --ca and --certificate, and their LOCKSTITCH_ variables"
HOSTNAME_MISMATCH, IP_MISMATCH = 62, 64
EXPIRED, NOT_YET_VALID = 10, 9


def explain(connection: Connection) -> str:
    """A clause that says what is wrong with TLS; "" where that is not what is wrong."""
    try:
        with _connected(connection.target) as plain:
            return _explain_tls(connection, plain) if connection.is_encrypted else _explain_plain(plain)
    except (OSError, ValueError):
        return ""


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


def _explain_plain(plain: socket.socket) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(plain):
            return TLS_WANTED
    except ssl.SSLError as error:
        return TLS_WANTED if _is_alert(error) else ""


def _explain_tls(connection: Connection, plain: socket.socket) -> str:
    context = ssl.create_default_context(cafile=connection.ca)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC: what --ca names need not be a root
    if connection.certificate and connection.private_key:
        context.load_cert_chain(connection.certificate, connection.private_key)
    name = connection.server_name or _host(connection.target)
    try:
        encrypted = context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _explain_certificate(connection, name, error)
    except ssl.SSLError as error:
        return _explain_refusal(connection) if _is_alert(error) else NO_TLS
    except ConnectionError:
        return NO_TLS
    with encrypted:
        try:
            # With TLS 1.3, a server that refuses our certificate, or the lack of one, says so now.
            return "" if encrypted.recv(1) else _explain_refusal(connection)
        except (ssl.SSLError, ConnectionError):
            return _explain_refusal(connection)


def _is_alert(error: ssl.SSLError) -> bool:
    """Whether the other side has said it, which then speaks TLS."""
    return "_ALERT_" in (error.reason or "")


def _host(target: str) -> str:
    return "localhost" if target.startswith("unix:") else _address(target)[0]


def _explain_certificate(connection: Connection, name: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (HOSTNAME_MISMATCH, IP_MISMATCH):
        return f"its certificate is not for {name}: use --server-name with a name that is in it"
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return f"its certificate is not valid now: {error.verify_message}"
    if connection.ca:
        return f"its certificate does not come from the roots in {connection.ca}: use --ca FILE with the right ones"
    return "its certificate comes from roots that this system does not trust: use --ca FILE with them"


def _explain_refusal(connection: Connection) -> str:
    if not connection.certificate:
        return "the server wants a certificate of the client: use --certificate FILE and --private-key FILE"
    return f"the server does not accept the certificate in {connection.certificate}: use another --certificate FILE"
