"""Which logs checkpoints need."""

from collections.abc import Iterable

from lockstitch_server.core.format.rows import CheckpointRow


def named_logs(rows: Iterable[CheckpointRow]) -> dict[int, int]:
    """How many bytes of each log the checkpoints need, most of all. Fails with DATA_LOSS."""
    logs: dict[int, int] = {}
    for row in rows:
        for part in row.decoded().manifest.parts:
            if part.log:
                logs[part.log] = max(part.length, logs.get(part.log, 0))
    return logs
