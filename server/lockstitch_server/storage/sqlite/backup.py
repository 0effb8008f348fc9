"""A copy of a SQLite store while servers use it."""

import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from lockstitch_server.storage.sqlite.read_only import connect_read_only
from lockstitch_server.storage.store import StoreError

PAGES = 1000
"""To a step, between which servers may write."""
BUSY_SECONDS = 30.0

Progress = Callable[[int, int], None]
"""Hears how many pages are left, of how many."""


def backup(path: str, destination: Path, progress: Progress) -> None:
    """Copy the store in `path` as it is at one moment; the copy is whole, or not there. Raises StoreError."""
    destination = destination.absolute()
    _check_free(destination)
    # A name of its own: another backup to the same file must not write to this part, nor put it in place.
    part = destination.with_name(f"{destination.name}.{secrets.token_hex(4)}.part")
    try:
        _copy(path, part, progress)
        _check_free(destination)
        os.replace(part, destination)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot back up {Path(path).absolute()} to {destination}: {error}") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _check_free(destination: Path) -> None:
    if destination.exists():
        raise StoreError(f"{destination} is there already; choose another name")


def _copy(path: str, part: Path, progress: Progress) -> None:
    with closing(connect_read_only(path, BUSY_SECONDS)) as source:
        # One snapshot: without it, every save of a server would make the copy begin again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with closing(sqlite3.connect(part)) as target:
            source.backup(target, pages=PAGES, progress=lambda _, left, all_pages: progress(left, all_pages))
            target.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = target.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")
    _sync(part)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
