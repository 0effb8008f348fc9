"""Names and session ids that weavegraph allows and the server does not, in the form of the Rust checkpointer.

A runner that resumes finds what was imported only if both store the same. names.rs and causes.rs in
client/rust/src/checkpointer are the other side. tests/fixtures/weavegraph/names.json has examples that the tests of
both read.
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence

from lockstitch.v1.checkpoint_pb2 import TypedBlob, WeaveError

HEADER = "lockstitch.weavegraph"
"""The type of a header that has a table."""
DIGEST = "weavegraph:sha256:"
"""What the stored form of a name or a session id begins with."""
NAME_BYTES, SESSION_ID_BYTES = 512, 255
"""The server's default limits, `limits.max_key_bytes` and `limits.max_session_id_bytes`."""
MAX_CAUSES = 90
"""The server's limit of causes below an error."""
FURTHER_CAUSES = "lockstitch.weavegraph.causes"
"""The only key of details that hold further causes."""

Link = tuple[str, str]
"""An error of a chain: its message, and its details as JSON text."""


class Names:
    """The full texts of a checkpoint, by their stored forms."""

    def __init__(self) -> None:
        self._session_id: str | None = None
        self._names: dict[str, str] = {}

    def store(self, name: str) -> str:
        """The stored form of the name of a node or the key of an extra entry."""
        if len(name.encode()) <= NAME_BYTES and not name.startswith(DIGEST):
            return name
        stored = _digest(name)
        self._names[stored] = name
        return stored

    def store_session_id(self, session_id: str) -> str:
        """The stored form of a session id."""
        fits = 1 <= len(session_id.encode()) <= SESSION_ID_BYTES and not any(map(_is_control, session_id))
        if fits and not session_id.startswith(DIGEST):
            return session_id
        self._session_id = session_id
        return _digest(session_id)

    def header(self) -> TypedBlob | None:
        """The header that has this table; None where the table is empty."""
        table: dict[str, object] = {}
        if self._session_id is not None:
            table["session_id"] = self._session_id
        if self._names:
            table["names"] = dict(sorted(self._names.items()))
        return TypedBlob(type=HEADER, data=_json(table).encode()) if table else None


def join(chain: Sequence[Link]) -> WeaveError:
    """A chain of errors, the outermost first, as one message. The last error that fits has further ones as details."""
    kept, further = chain[: MAX_CAUSES + 1], chain[MAX_CAUSES + 1 :]
    error: WeaveError | None = None
    for message, details in reversed(kept):
        causes = further if error is None else ()
        # Details that look wrapped are wrapped, because the reader unwraps them.
        if causes or _looks_wrapped(details):
            details = _json({FURTHER_CAUSES: {"causes": list(causes), "details": details}})
        error = WeaveError(message=message, cause=error, details=details)
    return error or WeaveError()


def _looks_wrapped(details: str) -> bool:
    if not details.startswith(f'{{"{FURTHER_CAUSES}":'):
        return False
    try:
        value = json.loads(details)
    except (ValueError, RecursionError):
        return False
    inner = value.get(FURTHER_CAUSES)
    return len(value) == 1 and isinstance(inner, dict) and {"details", "causes"} <= inner.keys()


def _digest(text: str) -> str:
    return DIGEST + hashlib.sha256(text.encode()).hexdigest()


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
