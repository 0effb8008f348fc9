"""Reads rows of logs to merge, and puts merged rows in their place, over a `SessionRepository`."""

from collections.abc import Sequence

from lockstitch_server.core.format.merging import LogRow
from lockstitch_server.core.format.parts import Segment
from lockstitch_server.core.format.reading import LogName
from lockstitch_server.core.format.rows import NewRow
from lockstitch_server.storage.columns import new_row, segments
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.tables import SEGMENT


async def long_logs(repository: SessionRepository, key: bytes) -> list[int]:
    """The logs of a session that have rows which could be merged."""
    return [row[0] for row in await repository.executor.fetch("long_logs", {"key": key})]


async def rows_of_log(repository: SessionRepository, name: LogName, start: int, limit: int) -> list[LogRow]:
    """The rows of a log from one on, in order."""
    values = {"key": name[0], "log": name[1], "start": start, "limit": limit}
    return [LogRow(*row) for row in await repository.executor.fetch("rows_of_log", values)]


async def data_of_rows(repository: SessionRepository, name: LogName, rows: Sequence[LogRow]) -> list[Segment]:
    """Neighboring rows with their bytes."""
    values = {"key": name[0], "log": name[1], "start": rows[0].start, "end": rows[-1].end}
    return segments(*name, await repository.executor.fetch("data_of_rows", values))


async def replace_rows(repository: SessionRepository, name: LogName, rows: Sequence[LogRow], merged: NewRow) -> bool:
    """Put a merged row in place of neighbors, if they are as they were. The transaction must have locked the session.

    Gives whether they were.
    """
    found = await rows_of_log(repository, name, rows[0].start, len(rows) + 1)
    if found[:-1] != list(rows):  # the row after them shows that none of them is the last, which grows
        return False
    values = {"key": name[0], "log": name[1], "start": rows[0].start, "end": rows[-1].end}
    await repository.executor.run_all("delete_rows", [values])
    columns = dict(zip(SEGMENT, new_row(name[0], merged), strict=True))
    await repository.executor.run_all("insert_row", [columns])
    return True
