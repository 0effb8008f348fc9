"""The statements of `statements.sql`, for plain and for distributed databases."""

import re
from collections.abc import Mapping

from lockstitch_server.core.format.pending_writes import HEAD_BYTES
from lockstitch_server.core.format.rows import CheckpointRef
from lockstitch_server.storage.sql_files import load
from lockstitch_server.storage.tables import WRITE

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000"
"""The database's time in ns, now and not when the transaction began."""
SMALL_WRITES = 64 * 1024
"""Pending writes up to this number of bytes are read with their checkpoint."""
CURRENT_SESSION = """{s.session},
    CASE WHEN s.lease_expire_at > {clock} THEN s.lease_token ELSE 0 END,
    CASE WHEN s.lease_expire_at > {clock} THEN s.lease_holder ELSE '' END,
    CASE WHEN s.expire_at = 0 AND s.tombstone_until > {clock} THEN s.tombstone_until ELSE 0 END, s.crc,
    {clock}"""
"""What a SessionRow is made of. Whether a lease or a tombstone counts is by the database's clock."""
CLOCK_TOLERANCE = 1_000_000_000
"""How far, in ns, the time that a save was planned for may be from the clock when it is written."""
WRITE_OF_CHECKPOINT = tuple(name for name in WRITE if name not in CheckpointRef._fields)
_PARAMETER = re.compile(r"\$(\d+)")


def _load(package: str, *, distributed: bool, expected_sessions: str, log_ends: str) -> Mapping[str, str]:
    """The statements. The bucket of distributed ones is their last parameter."""
    blocks = load(
        package,
        "statements.sql",
        distributed=distributed,
        clock=CLOCK,
        clock_tolerance=str(CLOCK_TOLERANCE),
        current_session=CURRENT_SESSION,
        small_writes=str(SMALL_WRITES),
        write_head=str(HEAD_BYTES),
        writes_of_checkpoint=", ".join(f"t.{name}" for name in WRITE_OF_CHECKPOINT),
        aggregated_writes=", ".join(f"array_agg(o.{name}) AS {name}" for name in WRITE_OF_CHECKPOINT),
        expected_sessions=expected_sessions,
        log_ends=log_ends,
    )
    return {name: _numbered(sql) for name, sql in blocks.items()}


def _numbered(sql: str) -> str:
    last = max(map(int, _PARAMETER.findall(sql)), default=0)
    return sql.replace(":bucket", f"${last + 1}")


SQL = _load(
    __package__,
    distributed=False,
    expected_sessions="unnest($1::lockstitch.expected_session[])",
    log_ends="unnest($2::lockstitch.log_end[]) t",
)
# Nodes of a distributed database need not have the composite types.
DISTRIBUTED_SQL = _load(
    __package__,
    distributed=True,
    expected_sessions="unnest($1::bytea[], $3::bigint[], $4::bigint[], $5::bigint[]) "
    "AS e(key, revision, expire_at, lease)",
    log_ends="unnest($2::bytea[], $6::int[], $7::int[], $9::int[]) AS t(key, log, start, size)",
)
