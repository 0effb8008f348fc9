"""Reads libpq's password file: lines of `host:port:database:user:password`, with `*` for any."""

import re
import stat
from pathlib import Path

import structlog

DEFAULT = "~/.pgpass"
_FIELDS = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")

log = structlog.get_logger(__name__)


def password_of(file: str | None, host: str, port: int, database: str, user: str) -> str | None:
    """The password that the file has for a login; None: none. Files that others can read are not used, as in libpq."""
    path = Path(file or DEFAULT).expanduser()
    try:
        if not path.is_file():
            return None
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            log.warning("password_file_ignored", path=str(path), reason="others can read it; chmod 600")
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    wanted = ("localhost" if host.startswith("/") else host, str(port), database, user)
    for line in lines:
        fields = [re.sub(r"\\(.)", r"\1", field) for field in _FIELDS.findall(line)][:5]
        if len(fields) == 5 and not line.startswith("#") and _fits(fields[:4], wanted):
            return fields[4]
    return None


def _fits(fields: list[str], wanted: tuple[str, ...]) -> bool:
    return all(field in ("*", value) for field, value in zip(fields, wanted, strict=True))
