"""Changes the file of keys, while servers read it and others change it too."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockstitch_server.auth import key_file


@contextmanager
def changed(path: Path) -> Iterator[dict[str, key_file.Key]]:
    """The keys in the file, to be changed; what they are in the end is written, at once and as a whole.

    A file that is not there holds none. Raises ValueError, OSError.
    """
    path = path.resolve()
    with _locked(path):
        keys = key_file.parse(path.read_bytes()) if path.exists() else {}
        yield keys
        _replace(path, key_file.KeyFile(keys=tuple(keys.values())).model_dump_json(indent=2).encode() + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile. Its directory is locked, as the file itself is replaced."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _replace(path: Path, data: bytes) -> None:
    """A reader finds the old file or the new one. Mode 0600 when new, else owner and mode as they were."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            _keep_owner(path, file.fileno())
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _keep_owner(path: Path, number: int) -> None:
    if path.exists():
        before = path.stat()
        os.fchmod(number, before.st_mode & 0o777)
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(number, before.st_uid, before.st_gid)
