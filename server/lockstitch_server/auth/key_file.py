"""The file that keys are kept in, as hashes. A key is `lsk_`, its id, `_` and a secret of 256 random bits.

Such a secret cannot be guessed, so a plain SHA-256 keeps it as well as a slow hash would, and costs a call nothing.
"""

import base64
import hashlib
import secrets
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lockstitch_server.auth.principal import make_principal

PREFIX = "lsk"
ID_BYTES = 8
SECRET_BYTES = 32


class Key(BaseModel):
    """One key of a principal, without its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z2-7]{4,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    principal: str
    tenants: tuple[str, ...] = Field(min_length=1)
    rights: tuple[str, ...] = Field(min_length=1)
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class KeyFile(BaseModel):
    """All keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()


def parse(data: bytes) -> dict[str, Key]:
    """The keys by their ids. Raises ValueError."""
    try:
        keys = KeyFile.model_validate_json(data).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"it is not a file of keys: {place}: {first['msg']}") from None
    for key in keys:
        make_principal(key.principal, key.tenants, key.rights)
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return {key.id: key for key in keys}


def new_token() -> tuple[str, str]:
    """A key's id, and the key itself."""
    key_id = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode().rstrip("=").lower()
    return key_id, f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def hash_of(token: str) -> str:
    """What is kept of a key: SHA-256, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def id_of(token: str) -> str:
    """The id in a key; empty where there is none."""
    prefix, _, rest = token.partition("_")
    return rest.partition("_")[0] if prefix == PREFIX else ""


def expired(key: Key, now: datetime) -> bool:
    """Whether its time is over."""
    return key.expires_at is not None and now >= key.expires_at
