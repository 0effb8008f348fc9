"""Where the public keys of whoever issues tokens come from: a file, or a URL that is asked again now and then."""

import asyncio
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen

import jwt
import structlog

from lockstitch_server.auth.watched_file import WatchedFile
from lockstitch_server.core.errors import Failure, Reason

KeySet = Mapping[str, jwt.PyJWK]
"""Keys by their ids; a key without one has the id ""."""

FETCH_SECONDS = 5.0
"""How long an answer may take."""
PAUSE_SECONDS = 10.0
"""Least time between two fetches: tokens that name keys at random must not bring about more."""
STALE_SECONDS = 24 * 3600.0
"""How long keys are used while no newer ones can be fetched."""
MAX_BYTES = 1024 * 1024

log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Gives the keys of now. The mapping is another object when they have changed."""

    async def keys(self, wanted: str) -> KeySet:
        """All keys. `wanted` is the id of one that may be so new that they are to be looked for again.

        Fails with OVERLOADED while there are none.
        """
        ...


def parse(data: bytes) -> KeySet:
    """The keys for signatures in a JWKS. Raises ValueError."""
    try:
        found = jwt.PyJWKSet.from_json(data.decode())
    except (jwt.PyJWTError, AttributeError, TypeError) as error:
        raise ValueError("it is no JWKS with a key that can be used") from error
    usable = [key for key in found.keys if key.public_key_use in (None, "sig") and key.key_type != "oct"]
    keys = {key.key_id or "": key for key in usable}
    if not keys:
        raise ValueError("it is no JWKS with a public key for signatures")
    return keys


class KeysInFile:
    """Keys in a file, which may change at any time."""

    def __init__(self, path: Path) -> None:
        """Raises FileUnusable."""
        self._file = WatchedFile(path, parse)

    async def keys(self, wanted: str) -> KeySet:
        return self._file.value


class KeysAtUrl:
    """Keys at a URL. They are fetched when they are needed, in the background if there are older ones to go on with.

    refresh_seconds: after which time.
    """

    def __init__(self, url: str, refresh_seconds: float) -> None:
        self._url = url
        self._refresh_seconds = refresh_seconds
        self._keys: KeySet = {}
        self._fetched_at = self._tried_at = -STALE_SECONDS
        self._fetch: asyncio.Task[None] | None = None

    async def keys(self, wanted: str) -> KeySet:
        age = time.monotonic() - self._fetched_at
        if age > STALE_SECONDS:
            self._keys = {}
        missing = wanted not in self._keys
        if missing or age > self._refresh_seconds:
            self._start()
        if missing and self._fetch is not None:
            await asyncio.shield(self._fetch)
        if not self._keys:
            raise Failure(Reason.OVERLOADED, "tokens cannot be checked now: the keys of their issuer cannot be fetched")
        return self._keys

    def _start(self) -> None:
        now = time.monotonic()
        if self._fetch is None and now - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = now
            self._fetch = asyncio.create_task(self._refresh(), name="lockstitch: JWKS")

    async def _refresh(self) -> None:
        try:
            self._keys = parse(await asyncio.to_thread(_get, self._url))
            self._fetched_at = time.monotonic()
        except (OSError, ValueError, HTTPException) as error:
            log.error("keys_not_fetched", url=self._url, reason=str(error))
        finally:
            self._fetch = None


def _get(url: str) -> bytes:
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the settings allow https only
    with urlopen(request, timeout=FETCH_SECONDS) as answer:  # noqa: S310
        data: bytes = answer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return data
