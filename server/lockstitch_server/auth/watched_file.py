"""A file that others may change while it is in use."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

LOOK_SECONDS = 1.0
"""How soon a change is seen, at the latest."""

log = structlog.get_logger(__name__)


class FileUnusable(Exception):
    """A file cannot be read, or does not hold what it should. The message is one line for operators."""


class WatchedFile(Generic[T]):
    """What a file holds, read again when it has changed. A change that makes it unusable is logged and passed over.

    parse: makes of its bytes what it holds; raises ValueError, whose message must hold no secret.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        """Reads it. Raises FileUnusable."""
        self._path = path
        self._parse = parse
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._seen = identity(path)
        self._value = self._read()

    @property
    def value(self) -> T:
        """What it holds now, or held not longer than a second ago."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        return self._value

    def _look(self) -> None:
        found = identity(self._path)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._value = self._read()
        except FileUnusable as error:
            log.error("file_reload_failed", path=str(self._path), reason=str(error))
        else:
            log.info("file_reloaded", path=str(self._path))

    def _read(self) -> T:
        try:
            return self._parse(self._path.read_bytes())
        except OSError as error:
            raise FileUnusable(f"{self._path}: {error.strerror}") from error
        except ValueError as error:
            raise FileUnusable(f"{self._path}: {error}") from error


def identity(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file has been written or replaced. None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
