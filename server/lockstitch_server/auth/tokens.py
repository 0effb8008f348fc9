"""JSON Web Tokens: signed by an issuer that is trusted, for this audience, and for a time."""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from lockstitch_server.auth.key_sets import KeySet, KeySource
from lockstitch_server.auth.principal import Principal, Right, make_principal
from lockstitch_server.core.errors import Failure, Reason

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by private keys only: who can check one cannot make one."""
LEEWAY_SECONDS = 30
"""How far the issuer's clock may be off."""
REMEMBERED = 10_000
LONGEST = 16 * 1024
TIMES = frozenset({"exp", "nbf", "iat"})
NOT_VALID = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What goes wrong with a token. JSON of any type and depth may stand where another type is expected."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What tokens must say, and where they say what their bearers may.

    rights_prefix: what stands before each right, such as "lockstitch:"; values without it are somebody else's.
    """

    issuer: str
    audience: str
    tenants: str
    rights: str
    rights_prefix: str


class JwtAuthenticator:
    """Knows the bearers of tokens. Those that have been checked are remembered by their hashes until they run out."""

    def __init__(self, claims: Claims, source: KeySource) -> None:
        self._claims = claims
        self._source = source
        self._keys: KeySet = {}
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def authenticate(self, token: str) -> Principal | None:
        """Who bears it; None: it does not look like one. Fails with CREDENTIALS_INVALID, OVERLOADED."""
        if token.count(".") != 2 or len(token) > LONGEST:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        if not (known := self._known.get(digest)):
            return await self._checked(digest, token)
        await self._refresh("")
        principal, ends_at = known
        if digest in self._known and time.time() < ends_at:
            return principal
        return await self._checked(digest, token)

    async def _checked(self, digest: bytes, token: str) -> Principal:
        try:
            key = await self._key(token)
            claims = _decode(token, key, self._claims)
            for name in TIMES & claims.keys():
                _number(claims, name)
            principal = _principal(claims, self._claims)
        except NOT_VALID as error:
            # What exactly is wrong helps those who set it up; it tells nothing that the bearer does not have in hand.
            raise Failure(Reason.CREDENTIALS_INVALID, f"the token is not valid: {error}") from None
        self._known[digest] = principal, _number(claims, "exp") + LEEWAY_SECONDS
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _key(self, token: str) -> jwt.PyJWK:
        wanted = jwt.get_unverified_header(token).get("kid", "")
        keys = await self._refresh(wanted)
        if wanted not in keys:
            raise ValueError("its issuer has no such key")
        return keys[wanted]

    async def _refresh(self, wanted: str) -> KeySet:
        """The keys of now. When they have changed, what was checked with others is forgotten."""
        keys = await self._source.keys(wanted or next(iter(self._keys), ""))
        if keys is not self._keys:
            self._keys = keys
            self._known.clear()
        return keys


def _decode(token: str, key: jwt.PyJWK, claims: Claims) -> Mapping[str, Any]:
    required = ["exp", "iss", "aud", "sub"]
    decoded: Mapping[str, Any] = jwt.decode(
        token,
        key,
        algorithms=list(ALGORITHMS),
        audience=claims.audience,
        issuer=claims.issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": required},
    )
    return decoded


def _principal(claims: Mapping[str, Any], where: Claims) -> Principal:
    tenants = _texts(claims.get(where.tenants, []), where.tenants)
    rights = (text.removeprefix(where.rights_prefix) for text in _prefixed(claims, where))
    return make_principal(claims["sub"], tenants, [right for right in rights if right in set(Right)])


def _prefixed(claims: Mapping[str, Any], where: Claims) -> list[str]:
    texts = _texts(claims.get(where.rights, []), where.rights)
    return [text for text in texts if text.startswith(where.rights_prefix)]


def _number(claims: Mapping[str, Any], name: str) -> float:
    """A time in seconds. The library also takes texts that hold a number. Raises ValueError."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"its claim {name} is not a number")
    return value


def _texts(value: object, name: str) -> list[str]:
    """A list of texts, which may be written as one text with spaces between."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    raise ValueError(f"its claim {name} is no list of texts")
