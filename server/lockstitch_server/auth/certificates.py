"""Client certificates: a file says who is behind which name."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lockstitch_server.auth.principal import Principal, make_principal
from lockstitch_server.auth.watched_file import WatchedFile


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

    def authenticate(self, names: Sequence[str]) -> Principal | None:
        """Who has one of these names; the first that is known counts."""
        known = self._file.value
        return next((known[name] for name in names if name in known), None)


def _principals(data: bytes) -> dict[str, Principal]:
    try:
        entries = _File.model_validate(tomllib.loads(data.decode())).certificates
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("two certificates have the same name")
    return {entry.name: make_principal(entry.principal or entry.name, entry.tenants, entry.rights) for entry in entries}
