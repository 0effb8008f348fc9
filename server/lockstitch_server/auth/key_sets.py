"""Where the public keys of the issuer of tokens come from: a file, or a URL that is fetched again from time to time."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.request import HTTPRedirectHandler, Request, build_opener

import jwt
import structlog

from lockstitch_server.auth.watched_file import WatchedFile
from lockstitch_server.core.errors import Failure, Reason

KeySet = Mapping[str, jwt.PyJWK]
"""Keys by their ids; a key without one has the id ""."""

FETCH_SECONDS = 5.0
"""How long the key server may take to answer, and each caller waits for it."""
PAUSE_SECONDS = 10.0
"""Minimum time between two fetches: tokens that name keys at random do not cause more."""
STALE_SECONDS = 24 * 3600.0
"""How long keys are used while no newer ones can be fetched."""
MAX_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024

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
    """Keys at a URL. They are fetched when they are needed; while older keys serve, in the background.

    refresh_seconds: the age at which keys are fetched again.

    `jwt.PyJWKClient` does not do: it blocks, reads answers of any size, ignores keys without an id, and has neither
    a pause after a failed fetch nor old keys to go on with.
    """

    def __init__(self, url: str, refresh_seconds: float) -> None:
        self._url = url
        self._refresh_seconds = refresh_seconds
        self._keys: KeySet = {}
        self._fetched_at = self._tried_at = -STALE_SECONDS
        self._fetch: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lockstitch-keys")

    async def keys(self, wanted: str) -> KeySet:
        age = time.monotonic() - self._fetched_at
        if age > STALE_SECONDS:
            self._keys = {}
        missing = wanted not in self._keys
        if missing or age > self._refresh_seconds:
            self._start()
        if missing and self._fetch is not None:
            await asyncio.wait([self._fetch], timeout=FETCH_SECONDS)
        if not self._keys:
            raise Failure(
                Reason.OVERLOADED, "tokens cannot be checked: their issuer's keys cannot be fetched; retry later"
            )
        return self._keys

    def _start(self) -> None:
        now = time.monotonic()
        if self._fetch is None and now - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = now
            self._fetch = asyncio.create_task(self._refresh(), name="lockstitch: JWKS")

    async def _refresh(self) -> None:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, _get, self._url)
            self._keys = parse(answer)
            self._fetched_at = time.monotonic()
        except (OSError, ValueError, HTTPException) as error:
            log.error("key_set_fetch_failed", url=self._url, reason=str(error))
        finally:
            self._fetch = None


class _NoRedirects(HTTPRedirectHandler):
    """Redirects are errors: one could lead from https to http."""

    def redirect_request(self, *_: object) -> None: ...


def _get(url: str) -> bytes:
    """What is at a URL. Raises OSError, ValueError or HTTPException, also where it takes too long or is too large."""
    ends_at, data = time.monotonic() + FETCH_SECONDS, b""
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the settings allow https only
    with build_opener(_NoRedirects).open(request, timeout=FETCH_SECONDS) as answer:
        while chunk := answer.read1(CHUNK_BYTES):
            data += chunk
            if len(data) > MAX_BYTES:
                raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
            if time.monotonic() > ends_at:
                raise TimeoutError(f"the answer took more than {FETCH_SECONDS} seconds")
    return data
