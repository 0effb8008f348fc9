"""Forks that gRPC does not survive are noticed, so that the child gets an error instead of hanging or crashing.

gRPC supports a fork while nothing of it is at work: then blocking clients go on in the child. Its asynchronous part has
a thread at work from its first channel until some time after the last one is gone. A call in another thread, or
GRPC_ENABLE_FORK_SUPPORT=0, rules a fork out, too.
"""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

ADVICE = (
    "gRPC does not work in this process: it was forked after its parent had used a Lockstitch client (an AsyncClient, "
    "or a Client that was making a call in another thread, or any with GRPC_ENABLE_FORK_SUPPORT=0). Use clients only "
    'after the fork, or start processes by "spawn" or "forkserver"; see "Forks" in docs/clients/python.md'
)


@dataclass
class _Process:
    """What this process has done with gRPC.

    channels: those that still exist. A child keeps its parent's: destroying one can crash it.
    """

    used_async: bool = False
    used_blocking: bool = False
    broken: bool = False
    calling_threads: set[int] = field(default_factory=set)
    channels: "weakref.WeakSet[Any]" = field(default_factory=weakref.WeakSet)
    inherited: list[Any] = field(default_factory=list)


_process = _Process()


class Shared(Protocol):
    """An object with a lock that threads share. Another thread may hold the lock at a fork, and is not in the child."""

    def after_fork(self) -> None:
        """In the child: begin again, with a lock that nobody holds."""


_shared: "weakref.WeakSet[Shared]" = weakref.WeakSet()


def share(thing: Shared) -> None:
    """Have `after_fork` called in each child, as long as the object lives."""
    _shared.add(thing)


def check() -> None:
    """Raises RuntimeError in a process that gRPC cannot work in."""
    if _process.broken:
        raise RuntimeError(ADVICE)


def opened_async(channel: object) -> None:
    """This process has opened an asynchronous channel."""
    _process.used_async = True
    _process.channels.add(channel)


def opened_blocking(channel: object) -> None:
    """This process has opened a blocking channel."""
    _process.used_blocking = True
    _process.channels.add(channel)


@contextmanager
def calling() -> Iterator[None]:
    """The current thread makes a blocking call."""
    thread = threading.get_ident()
    _process.calling_threads.add(thread)
    try:
        yield
    finally:
        _process.calling_threads.discard(thread)


def _after_fork_in_child() -> None:
    unsupported = _process.used_blocking and not _is_supported()
    in_call = bool(_process.calling_threads - {threading.get_ident()})
    _process.broken |= _process.used_async or unsupported or in_call
    if _process.broken:
        _process.inherited.extend(_process.channels)
    _process.calling_threads.clear()
    for thing in list(_shared):
        thing.after_fork()


def _is_supported() -> bool:
    """As gRPC reads it, whose packages for Python have the support switched on."""
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "1").lower() in ("1", "true", "t", "yes", "y")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
