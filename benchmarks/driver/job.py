"""What a driver has to do, and what it answers."""

import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Job:
    """One run of one load against one server."""

    kind: str
    """Which load: a name in `benchmarks.driver.kinds`."""
    target: str
    """Where the server is: host:port, or the URL of a store for what works in-process."""
    concurrency: int = 1
    """How many requests are in flight."""
    state_bytes: int = 2048
    """Size of a state, or of a turn where a session has more of them."""
    seconds: float = 1.0
    """How long is measured."""
    warm_up: float = 0.3
    """How long the load runs before that."""
    connections: int = 1
    """How many connections the requests are spread over, at most one each."""
    server: tuple[int, ...] = ()
    """Processes whose CPU time is the server's. Empty: the driver's own, since the store is used in-process."""
    database: tuple[int, ...] = ()
    """Processes whose CPU time is the database's."""
    verify: bool = True
    """Whether what was acknowledged is read back at the end."""
    sessions: tuple[str, ...] = ()
    """Which sessions are loaded."""
    turns: tuple[int, ...] = ()
    """Lengths of a session at which something is measured; the last is its final length."""
    saves: int = 0
    """How many saves are made, where it is not a matter of time."""
    url: str = ""
    """The store behind the server."""
    delta: bool = False
    """Whether saves are deltas."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A job as it comes over a pipe."""
        fields: dict[str, Any] = json.loads(text)
        for name, value in fields.items():
            fields[name] = tuple(value) if isinstance(value, list) else value
        return cls(**fields)


@dataclass
class Measured:
    """What one run has measured. Times are in seconds, those of CPU by operation."""

    rate: float
    p50: float
    p99: float
    load_cpu: float
    """Of the process that makes the load. For a store that is used in-process, that is the store's too."""
    server_cpu: float | None
    database_cpu: float | None
    count: int
