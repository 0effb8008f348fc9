"""How much is measured."""

from dataclasses import dataclass

KB = 1024


@dataclass(frozen=True)
class Options:
    """How long, how often, and at which sizes."""

    seconds: float = 1.5
    """How long one run is measured."""
    repeat: int = 3
    """How often all runs are done."""
    concurrency: tuple[int, ...] = (1, 16, 64, 256)
    """How many requests are in flight."""
    state_bytes: tuple[int, ...] = (2 * KB, 32 * KB)
    """Sizes of states."""
    turns: tuple[int, ...] = (10, 100, 1_000, 5_000)
    """Lengths of a growing session."""
    saver_turns: int = 1_000
    """The longest session of a saver, which stores the whole of it at every turn."""
    graph_turns: int = 200
    """Turns of a graph."""
    graph_runs: int = 3
    """How often, in each repeat: that of a saver takes seconds, and differs by a tenth from the one before."""
    graph_threads: int = 64
    """How many of its threads save at once."""
    weavegraph_turns: int = 1_000
    """Turns of a session that a weavegraph runner saves."""
    weavegraph_loads: int = 500
    """How often it loads a small session."""
    long_turns: int = 1_000
    """Length of the long sessions that are loaded."""
    small_sessions: int = 256
    """How many small ones are loaded."""
    long_sessions: int = 8
    """How many long ones."""
    compared: int = 200
    """How often saves to a long session and to a short one are compared."""
    sessions: tuple[int, ...] = (10, 1_000, 100_000)
    """How many sessions are stored."""
    tracing_turns: int = 6
    """How often each server is measured, traced or not: two that are the same differ by a twentieth."""
    servers: tuple[int, ...] = (1, 2, 4)
    """How many servers share a database."""
    least_saves: int = 20_000
    """By how many saves, at least, so that the server is equally warm."""


QUICK = Options(
    seconds=0.5,
    repeat=1,
    concurrency=(1, 64),
    state_bytes=(2 * KB,),
    turns=(10, 100, 1_000),
    sessions=(10, 1_000, 10_000),
    saver_turns=100,
    graph_turns=50,
    graph_runs=1,
    weavegraph_turns=100,
    weavegraph_loads=100,
    long_turns=250,
    long_sessions=4,
    compared=50,
    tracing_turns=1,
    servers=(1, 2),
    least_saves=5_000,
)
TINY = Options(
    seconds=0.1,
    repeat=1,
    concurrency=(2,),
    state_bytes=(2 * KB,),
    turns=(4, 10),
    saver_turns=10,
    graph_turns=3,
    graph_runs=1,
    graph_threads=2,
    weavegraph_turns=4,
    weavegraph_loads=2,
    long_turns=10,
    small_sessions=2,
    long_sessions=1,
    compared=3,
    tracing_turns=1,
    sessions=(2, 10),
    servers=(1, 2),
    least_saves=20,
)
"""Enough to see that it works."""
