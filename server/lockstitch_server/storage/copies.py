"""Copies of sessions within the database: no bytes of logs or pending writes leave it."""

from collections.abc import Mapping
from typing import Any

from lockstitch_server.core.format.parts import moved_crc
from lockstitch_server.core.format.pending_writes import moved_write_checksum
from lockstitch_server.core.format.rows import SessionChange
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.storage.session_repository import SessionRepository


async def copy_content(
    repository: SessionRepository,
    source: Session,
    target: Session,
    change: SessionChange,
    logs: Mapping[int, int],
    *,
    whole: bool,
) -> None:
    """Copy checkpoints, which `change` holds, with the named beginnings of logs and all pending writes."""
    keys: dict[str, Any] = {"source": source.row.key, "target": target.row.key}
    moved = moved_crc(source.row.key, target.row.key)
    await repository.apply([change])
    await repository.executor.run_all(
        "copy_log", [{**keys, "moved": moved, "log": log, "length": end} for log, end in logs.items()]
    )
    keys["moved"] = moved_write_checksum(source.row.key, target.row.key)
    if source.row.write_bytes and whole:
        await repository.executor.run_all("copy_all_writes", [keys])
    elif source.row.write_bytes:
        names = [{**keys, "namespace": name[0], "checkpoint_id": name[1]} for name in change.checkpoints]
        await repository.executor.run_all("copy_writes", names)
    key = {"key": target.row.key}
    ((segments,),) = await repository.executor.fetch("segment_bytes", key)
    ((writes,),) = await repository.executor.fetch("write_bytes", key)
    target.row.content = await repository.content_of([checkpoint.row for checkpoint in change.checkpoints.values()])
    target.row.write_bytes = writes
    target.row.stored_bytes += segments + writes
