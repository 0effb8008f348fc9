"""The file of the audit log. A thread writes it; calls only put records in its queue."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

import orjson
import structlog

MOST_TOGETHER = 1000
CLOSE_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Record(NamedTuple):
    """One call, or one save of a stream.

    time: when it was answered, in seconds since 1970.
    sessions: the ids that it named; none: the tenant's sessions as a whole.
    code: the gRPC status code, such as OK; reason: that of a failure.
    """

    time: float
    method: str
    principal: str
    tenant: str
    sessions: Sequence[str]
    code: str
    reason: str
    peer: str
    request_id: str


class AuditLog:
    """Appends lines to a file, which may be moved away at any time: then a new one is begun."""

    def __init__(self, path: Path, most: int) -> None:
        """most: how many records may wait. Raises OSError."""
        self._path = path
        self._most = most
        self._lost = 0
        self._failing = False
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._number = _open(path)
        self._thread = Thread(target=self._run, name="lockstitch-audit", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Have a record written soon. While too many wait it is lost, which will be recorded and logged."""
        if self._queue.qsize() >= self._most:
            self._lost += 1
            return
        self._queue.put(record)

    def close(self) -> None:
        """Write what waits."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        going_on = True
        while going_on:
            records = self._wait()
            going_on = records[-1] is not None
            self._write([record for record in records if record is not None])
        with suppress(OSError):  # not every file can, as a pipe
            os.fsync(self._number)
        os.close(self._number)

    def _wait(self) -> list[Record | None]:
        """What has been put, once there is something; None at the end."""
        records = [self._queue.get()]
        try:
            while len(records) < MOST_TOGETHER and records[-1] is not None:
                records.append(self._queue.get_nowait())
        except Empty:
            pass
        return records

    def _write(self, records: Sequence[Record]) -> None:
        lost, self._lost = self._lost, 0
        lines = [_line(record) for record in records]
        if lost:
            lines.insert(0, _lost_line(lost))
            log.error("audit_records_lost", records=lost)
        try:
            self._reopen_if_moved()
            # In one piece: other workers write to the same file.
            _write_all(self._number, b"".join(lines))
        except OSError as error:
            self._lost += lost + len(records)
            if not self._failing:
                log.error("audit_log_cannot_be_written", path=str(self._path), reason=error.strerror)
        self._failing = bool(self._lost and records)

    def _reopen_if_moved(self) -> None:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        mine = os.fstat(self._number)
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            number = _open(self._path)
            os.close(self._number)
            self._number = number


def _open(path: Path) -> int:
    """For its owner only."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write_all(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


def _line(record: Record) -> bytes:
    shown = {name: value for name, value in record._asdict().items() if value or name == "sessions"}
    return orjson.dumps(shown | {"time": _time(record.time)}) + b"\n"


def _lost_line(records: int) -> bytes:
    return orjson.dumps({"time": _time(datetime.now(UTC).timestamp()), "lost": records}) + b"\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
