"""What is wrong with TLS where a server cannot be reached, and which option mends it."""

from lockstitch import NoConnection, Unavailable
from lockstitch._tls_faults import Finding, TlsFault, find_tls_fault
from lockstitch_server.cli.connection import Connection


def explain(connection: Connection, error: Unavailable) -> str:
    """A clause that says what is wrong with TLS where a call has failed; "" where that is not what is wrong."""
    if error.reason:  # only a server gives one
        return ""
    if isinstance(error, NoConnection):
        finding = error.tls_fault
    else:
        finding = find_tls_fault(connection.target, connection.encryption(), encrypted=connection.is_encrypted)
    return _clause(connection, finding) if finding is not None else ""


def _clause(connection: Connection, finding: Finding) -> str:
    match finding.fault:
        case TlsFault.REQUIRED:
            return "the server speaks TLS: use --tls, or --ca FILE where its certificate comes from roots of its own"
        case TlsFault.NOT_SPOKEN:
            return "the server speaks no TLS: leave out --tls, --ca and --certificate, and their LOCKSTITCH_ variables"
        case TlsFault.OTHER_NAME:
            return f"its certificate is not for {finding.detail}: use --server-name with a name that is in it"
        case TlsFault.NOT_VALID_NOW:
            return f"its certificate is not valid now: {finding.detail}"
        case TlsFault.OTHER_AUTHORITY:
            return f"its certificate does not come from the roots in {connection.ca}: use --ca FILE with the right ones"
        case TlsFault.UNKNOWN_AUTHORITY:
            return "its certificate comes from roots that this system does not trust: use --ca FILE with them"
        case TlsFault.CERTIFICATE_REQUIRED:
            return "the server wants a certificate of the client: use --certificate FILE and --private-key FILE"
        case TlsFault.CERTIFICATE_REFUSED:
            shown = f"the server does not accept the certificate in {connection.certificate}"
            return f"{shown}: use another --certificate FILE"
