"""Ports for servers under test. No two test processes of a user get the same one."""

import fcntl
import functools
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path

# Below the range that systems use for outgoing connections: no connection takes a port while its server is down.
PORTS = range(20_000, 32_000)
KEPT = 1000
"""A process keeps its last 1000 ports for itself, since a server may not listen yet, or may be down for a moment."""

_kept: deque[int] = deque()


def free_port() -> int:
    """A port that nothing listens on, and that no other caller has, in this process or in another one."""
    while True:
        port = random.choice(PORTS)
        if port in _kept or not _reserve(port):
            continue
        if _is_listened_on(port):
            _release(port)
            continue
        _kept.append(port)
        if len(_kept) > KEPT:
            _release(_kept.popleft())
        return port


@functools.cache
def _reservations() -> int:
    """One file for all processes: whoever holds the lock on byte N has port N. The kernel frees locks at exit."""
    return os.open(Path(tempfile.gettempdir(), f"lockstitch-test-ports-{os.getuid()}"), os.O_RDWR | os.O_CREAT, 0o600)


def _reserve(port: int) -> bool:
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _release(port: int) -> None:
    fcntl.lockf(_reservations(), fcntl.LOCK_UN, 1, port)


def _is_listened_on(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
