"""Client certificates: a file says who is behind which name."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lockstitch_server.auth.principal import Principal, make_principal
from lockstitch_server.auth.watched_file import WatchedFile
from lockstitch_server.core.errors import Failure, Reason

MOST_REMEMBERED, LONGEST_REMEMBERED = 1024, 8192
"""How many certificates, and of how many bytes, are not parsed again."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    principal: str = ""
    tenants: tuple[str, ...] = Field(min_length=1)
    rights: tuple[str, ...] = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    certificates: tuple[_Entry, ...] = ()


class NamedCertificates:
    """Knows the names in a TOML file, which may change at any time. Names are compared as a whole."""

    def __init__(self, path: Path) -> None:
        """Raises FileUnusable."""
        self._file = WatchedFile(path, _principals)
        self._names: dict[bytes, Sequence[str]] = {}

    def authenticate(self, certificate: bytes) -> Principal | None:
        """Who has one of a certificate's names; the first that is known counts. Fails with CREDENTIALS_INVALID."""
        names = self._names.get(certificate)
        if names is None:
            names = names_in(certificate)
            if len(certificate) <= LONGEST_REMEMBERED:
                if len(self._names) >= MOST_REMEMBERED:
                    self._names.clear()
                self._names[certificate] = names
        known = self._file.value
        return next((known[name] for name in names if name in known), None)


def names_in(certificate: bytes) -> Sequence[str]:
    """The subject alternative names, URIs before DNS names, of a certificate (PEM). Fails with CREDENTIALS_INVALID.

    A name with a NUL or another character that cannot be printed is refused, with its certificate: a program that
    reads it as a C string, such as the authority that signed it, may have taken it for a shorter one.
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
        shown = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Failure(Reason.CREDENTIALS_INVALID, "the names in the certificate cannot be read") from error
    names = [
        *shown.get_values_for_type(x509.UniformResourceIdentifier),
        *shown.get_values_for_type(x509.DNSName),
    ]
    if not all(name.isascii() and name.isprintable() for name in names):
        raise Failure(Reason.CREDENTIALS_INVALID, "a name in the certificate has a character that cannot be printed")
    return names


def _principals(data: bytes) -> dict[str, Principal]:
    try:
        entries = _File.model_validate(tomllib.loads(data.decode())).certificates
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("two certificates have the same name")
    return {entry.name: make_principal(entry.principal or entry.name, entry.tenants, entry.rights) for entry in entries}
