"""The file of the audit log. A thread writes it; calls only put records in its queue."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

import orjson
import structlog

MOST_TOGETHER = 1000
CLOSE_SECONDS = 10.0
RETRY_SECONDS = 0.5

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


class _Waiting(NamedTuple):
    """A record in the queue."""

    record: Record
    on_written: Callable[[bool], None] | None


class AuditUnavailable(Exception):
    """The record of a further call could not be kept."""


class AuditLog:
    """Appends lines to a file, which may be moved away at any time: then a new one is begun.

    required: whether every record of a call that was let in must be kept. Then `check_room` says whether a call may be
    let in, its record is never dropped, and a file that cannot be written is tried again until it can.
    """

    def __init__(self, path: Path, most: int, *, required: bool = False) -> None:
        """most: how many records may wait. Raises OSError."""
        self._path = path
        self._most = most
        self._required = required
        self._lock = Lock()
        self._lost = 0
        """Records that were dropped and not told of yet."""
        self._lost_ever = 0
        self._failing = False
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._kept: list[Record] = []
        """Those that could not be written and will be tried again."""
        self._number = _open(path)
        self._torn = False
        """Whether the file may end within a line."""
        self._thread = Thread(target=self._run, name="lockstitch-audit", daemon=True)
        self._thread.start()

    @property
    def required(self) -> bool:
        """Whether every record of a call that was let in must be kept."""
        return self._required

    @property
    def lost(self) -> int:
        """How many records have been dropped so far."""
        return self._lost_ever

    def check_room(self) -> None:
        """Raises AuditUnavailable where the record of a further call might not be kept."""
        if self._failing:
            raise AuditUnavailable("the audit log cannot be written")
        if self._queue.qsize() >= self._most:
            raise AuditUnavailable(f"{self._most} records wait for the audit log (audit.queue_records)")

    def put(
        self, record: Record, *, share: float = 1, must: bool = False, on_written: Callable[[bool], None] | None = None
    ) -> None:
        """Have a record written soon. While too many wait it is dropped, which is counted, recorded and logged.

        share: the part of the queue that may be full by now.
        must: never drop it; for calls that `check_room` has let in.
        on_written: called in another thread, with whether it has been written; never for one that is dropped.
        """
        if not must and self._queue.qsize() + len(self._kept) >= self._most * share:
            self._lose(1)
            return
        self._queue.put(_Waiting(record, on_written))

    def close(self) -> None:
        """Write what waits."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _lose(self, records: int) -> None:
        with self._lock:
            self._lost += records
            self._lost_ever += records

    def _run(self) -> None:
        going_on = True
        while going_on:
            waiting = self._wait()
            going_on = not waiting or waiting[-1] is not None
            self._write([each for each in waiting if each is not None], is_last=not going_on)
        with suppress(OSError):  # not every file can, as a pipe
            os.fsync(self._number)
        os.close(self._number)

    def _wait(self) -> list["_Waiting | None"]:
        """What has been put, once there is something; None at the end. Nothing where it is time to try again."""
        found: list[_Waiting | None] = []
        with suppress(Empty):
            found.append(self._queue.get(timeout=RETRY_SECONDS if self._kept else None))
            while len(found) < MOST_TOGETHER and found[-1] is not None:
                found.append(self._queue.get_nowait())
        return found

    def _write(self, waiting: Sequence["_Waiting"], *, is_last: bool) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        records = [*self._kept, *(each.record for each in waiting)]
        lines = [_line(record) for record in records]
        if lost:
            lines.insert(0, _lost_line(lost))
            _complain("audit_records_lost", records=lost)
        is_written = self._append(b"".join(lines))
        if is_written:
            self._kept = []
        else:
            with self._lock:
                self._lost += lost
            if self._required and not is_last:
                self._kept = records
            else:
                self._lose(len(records))
        for each in waiting:
            if each.on_written is not None:
                each.on_written(is_written)

    def _append(self, data: bytes) -> bool:
        """Write lines in one piece: other workers write to the same file."""
        if not data:
            return not self._failing
        left = b"\n" + data if self._torn else data
        whole = len(left)
        try:
            self._reopen_if_moved()
            while left:
                left = left[os.write(self._number, left) :]
        except OSError as error:
            self._torn |= len(left) < whole
            if not self._failing:
                _complain("audit_log_cannot_be_written", path=str(self._path), reason=error.strerror or "")
            self._failing = True
        else:
            self._failing = self._torn = False
        return not self._failing

    def _reopen_if_moved(self) -> None:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        mine = os.fstat(self._number)
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            number = _open(self._path)
            os.close(self._number)
            self._number, self._torn = number, False


def _complain(event: str, **facts: object) -> None:
    """Log an error. The log may be on the same full disk: that must not end the thread."""
    with suppress(OSError):
        log.error(event, **facts)


def _open(path: Path) -> int:
    """For its owner only."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _line(record: Record) -> bytes:
    shown = {name: value for name, value in record._asdict().items() if value or name == "sessions"}
    return orjson.dumps(shown | {"time": _time(record.time)}) + b"\n"


def _lost_line(records: int) -> bytes:
    return orjson.dumps({"time": _time(datetime.now(UTC).timestamp()), "lost": records}) + b"\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
