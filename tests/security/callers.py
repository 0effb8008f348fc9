"""Keys for the callers of a server under test."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lockstitch_server.auth import key_file
from lockstitch_server.auth.key_changes import changed

Metadata = tuple[tuple[str, str], ...]


def make_key(
    path: Path,
    principal: str,
    tenants: Sequence[str],
    rights: Sequence[str] = ("read", "write", "admin"),
    *,
    lasts: timedelta | None = None,
) -> str:
    """A new key in the file, as the command makes it; it may have run out already."""
    now = datetime.now(UTC)
    key_id, token = key_file.new_token()
    with changed(path) as keys:
        keys[key_id] = key_file.Key(
            id=key_id,
            sha256=key_file.hash_of(token),
            principal=principal,
            tenants=tuple(tenants),
            rights=tuple(rights),
            created_at=now,
            expires_at=now + lasts if lasts else None,
        )
    return token


def revoke(path: Path, token: str) -> None:
    with changed(path) as keys:
        del keys[key_file.id_of(token)]


def bearer(token: str, tenant: str = "") -> Metadata:
    """What a call shows."""
    entries = (("authorization", f"Bearer {token}"),)
    return (*entries, ("lockstitch-tenant", tenant)) if tenant else entries


def nothing_secret(log: Path, tokens: Sequence[str]) -> None:
    """No key, no secret half of one and no hash of one is in the log."""
    text = log.read_text()
    assert text
    for token in tokens:
        for secret in (token, token.split("_", 2)[2], key_file.hash_of(token)):
            assert secret not in text
