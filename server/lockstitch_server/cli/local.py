"""How a command reaches the server that the settings describe: on this machine, with its own TLS."""

from pathlib import Path
from typing import TYPE_CHECKING

from lockstitch_server.cli.connection import Connection
from lockstitch_server.cli.output import UNUSABLE, fail

if TYPE_CHECKING:
    from lockstitch_server.config import Settings

_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where a server listens that all may reach


def to_this_server(given: Connection, settings: "Settings") -> Connection:
    """The connection to the server that runs with these settings; what is given beside the address counts first.

    The server's own certificate is trusted, with any signer, and a name in it is expected. Where
    clients need a certificate, the server's own is shown, unless another one is given.
    """
    host, _, port = settings.listen.rpartition(":")
    target = f"{_ANY.get(host, host)}:{port}"
    if not settings.tls.certificate:
        return given._replace(target=target)
    own = settings.tls if settings.tls.client_ca and not given.certificate else None
    return given._replace(
        target=target,
        ca=given.ca or settings.tls.certificate,
        certificate=own.certificate if own else given.certificate,
        private_key=own.private_key if own else given.private_key,
        server_name=given.server_name or _name_in(settings.tls.certificate),
    )


def _name_in(path: str) -> str:
    """A name that the certificate in a file is for; "" where it has none, or only this machine's."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        fail(f"the certificate in {path} cannot be read: {error}", UNUSABLE)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(common[0].value) if common else ""
    found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return found[0].replace("*", "any") if found else ""
