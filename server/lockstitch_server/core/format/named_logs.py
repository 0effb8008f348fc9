"""Which logs checkpoints need."""

from collections.abc import Iterable, Mapping

from lockstitch_server.core.format.rows import CheckpointRow


def named_logs(rows: Iterable[CheckpointRow]) -> dict[int, int]:
    """How many bytes of each log the checkpoints need, most of all. Fails with DATA_LOSS."""
    logs: dict[int, int] = {}
    add_named_logs(logs, rows)
    return logs


def add_named_logs(logs: dict[int, int], rows: Iterable[CheckpointRow]) -> None:
    """Add what more checkpoints need to what `named_logs` has given. Fails with DATA_LOSS."""
    for row in rows:
        for part in row.decoded().manifest.parts:
            if part.log:
                logs[part.log] = max(part.length, logs.get(part.log, 0))


def lacking_logs(named: Mapping[int, int], sizes: Mapping[int, int]) -> list[int]:
    """The logs that have fewer bytes than checkpoints need. named: the bytes that these need. sizes: those it has."""
    return [log for log, length in named.items() if sizes.get(log, 0) < length]
