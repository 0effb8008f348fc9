"""Who a call is from, by what it shows."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lockstitch_server.auth.principal import Principal
from lockstitch_server.core.errors import Failure, Reason


class TokenAuthenticator(Protocol):
    """Knows the bearers of one kind of tokens. Is asked for every call, and should be quick."""

    async def authenticate(self, token: str) -> Principal | None:
        """Who bears it; None: it is of another kind. Fails with CREDENTIALS_INVALID."""
        ...


class CertificateAuthenticator(Protocol):
    """Knows the holders of certificates, which have been verified."""

    def authenticate(self, certificate: bytes) -> Principal | None:
        """Who holds a certificate (PEM); None: nobody known. Fails with CREDENTIALS_INVALID."""
        ...


class Identification:
    """Asks the authenticators. A token, where tokens are taken, counts before a certificate."""

    def __init__(
        self, by_token: Sequence[TokenAuthenticator], by_certificate: CertificateAuthenticator | None = None
    ) -> None:
        self._by_token = by_token
        self._by_certificate = by_certificate

    async def identify(self, authorization: str | None, certificate: Callable[[], bytes]) -> Principal:
        """Who calls. Fails with CREDENTIALS_MISSING, CREDENTIALS_INVALID.

        authorization: that metadata entry of the call.
        certificate: gives the caller's certificate, PEM, if it has shown one; else nothing.
        """
        if self._by_token and authorization is not None:
            return await self._bearer(authorization)
        if self._by_certificate is not None and (shown := certificate()):
            if principal := self._by_certificate.authenticate(shown):
                return principal
            raise Failure(Reason.CREDENTIALS_INVALID, "nobody is known by the names in the certificate")
        raise Failure(Reason.CREDENTIALS_MISSING, self._wanted())

    async def _bearer(self, authorization: str) -> Principal:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token:
            for authenticator in self._by_token:
                if principal := await authenticator.authenticate(token):
                    return principal
        raise Failure(Reason.CREDENTIALS_INVALID, "authorization: it is no token that is known here")

    def _wanted(self) -> str:
        tokens = "the metadata entry authorization with 'Bearer ' and a token" if self._by_token else ""
        certificate = "a client certificate" if self._by_certificate else ""
        return f"the call needs {' or '.join(filter(None, (tokens, certificate)))}"
