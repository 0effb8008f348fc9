"""Bearer keys: random tokens of which a file keeps the hashes."""

from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import NamedTuple

from lockstitch_server.auth import key_file
from lockstitch_server.auth.principal import Principal, make_principal
from lockstitch_server.auth.watched_file import WatchedFile
from lockstitch_server.core.errors import Failure, Reason

NO_HASH = "0" * 64


class _Known(NamedTuple):
    sha256: str
    principal: Principal
    expires_at: datetime | None


class KeyAuthenticator:
    """Knows the keys in a file, which may change at any time."""

    def __init__(self, path: Path) -> None:
        """Raises FileUnusable."""
        self._file = WatchedFile(path, _known)

    async def authenticate(self, token: str) -> Principal | None:
        """Whose key it is; None: it is none at all. Fails with CREDENTIALS_INVALID."""
        key_id = key_file.id_of(token)
        if not key_id:
            return None
        known = self._file.value.get(key_id)
        # An id is no secret: it may be looked up as such. The rest is compared in a time that tells nothing about it.
        matches = compare_digest(key_file.hash_of(token), known.sha256 if known else NO_HASH)
        if known is None or not matches or (known.expires_at and datetime.now(UTC) >= known.expires_at):
            raise Failure(Reason.CREDENTIALS_INVALID, "the key is not known, has been revoked or has run out")
        return known.principal


def _known(data: bytes) -> dict[str, _Known]:
    return {
        key.id: _Known(key.sha256, make_principal(key.principal, key.tenants, key.rights), key.expires_at)
        for key in key_file.parse(data).values()
    }
