"""Which loads there are. A load's module is imported when it is wanted: nobody carries what only others need."""

from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from benchmarks.driver.job import Job

Kind = Callable[[Job], Coroutine[Any, Any, Any]]

KINDS = {
    "unary": "lockstitch.unary",
    "stream": "lockstitch.stream",
    "batches": "lockstitch.batches",
    "load": "lockstitch.load",
    "etcd": "others.etcd",
    "redis": "others.redis",
    "saver": "savers.save",
    "saver-changing": "savers.save_changing",
    "saver-load": "savers.load",
    "client": "client.save",
    "client-load": "client.load",
    "growth": "growth.lockstitch",
    "settled": "growth.settled",
    "saver-growth": "growth.saver",
    "lengths": "growth.compare_lengths",
    "graph": "graphs.conversation",
    "store-turns": "stores.fill_turns",
    "store-threads": "stores.fill_threads",
    "store-sessions": "stores.fill_sessions",
    "list-sessions": "stores.list_sessions",
}


def find(kind: str) -> Kind:
    """The function that makes this load."""
    module, _, name = KINDS[kind].partition(".")
    found: Kind = getattr(import_module(f"benchmarks.driver.{module}"), name)
    return found
