"""Queries to a store, and their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch_server.core.format.rows import CheckpointRow, SessionRow, WriteRow

LogName = tuple[bytes, int]
"""(session key, log)."""
NamespaceName = tuple[bytes, str]
"""(session key, namespace)."""


SessionName = tuple[bytes, str, str]
"""(session key, tenant, session id)."""


class Found(NamedTuple):
    """A session and the checkpoint that was sought in it, of one snapshot."""

    session: SessionRow
    checkpoint: CheckpointRow | None
    writes: Sequence[WriteRow] | None
    """The checkpoint's pending writes, by (task_path, task_id, index); None: they were not read."""


class SessionCursor(NamedTuple):
    """The last session of a page. `updated_at` is used if that is the order."""

    updated_at: int
    session_id: str


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """Which sessions of a tenant to list; those without checkpoints and expired ones are left out."""

    tenant: str
    limit: int
    prefix: str = ""
    labels: Mapping[str, str] | None = None
    updated_since: int | None = None
    updated_before: int | None = None
    by_id: bool = False
    """Ascending by id instead of last updated first."""
    after: SessionCursor | None = None


class CheckpointCursor(NamedTuple):
    """The last checkpoint of a page. `revision` and `key` are used in a list of the whole tenant."""

    revision: int
    key: bytes
    namespace: str
    checkpoint_id: str


@dataclass(frozen=True, slots=True)
class CheckpointQuery:
    """Which checkpoints to list: of one session by descending id, of the whole tenant last saved first."""

    tenant: str
    limit: int
    key: bytes | None = None
    namespace: str | None = None
    min_step: int | None = None
    max_step: int | None = None
    terms: Sequence[int] = ()
    before_id: str = ""
    after: CheckpointCursor | None = None
    session_id: str = ""
    """Of the session of `key`: it shows whether the session does not exist, or its row is damaged."""
    rare: bool = False
    """Whether few checkpoints have the first term. The search then begins with it."""


class ListedCheckpoint(NamedTuple):
    """A checkpoint and the session it belongs to."""

    session_id: str
    row: CheckpointRow


class Totals(NamedTuple):
    """What a store contains, with expired sessions."""

    sessions: int
    checkpoints: int
    stored_bytes: int
    leases: int
    """The number of live leases."""
