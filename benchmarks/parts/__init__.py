"""What is measured. Each part takes options, and adds its runs to the results."""

from collections.abc import Callable

from benchmarks.options import Options
from benchmarks.parts import (
    client,
    doors,
    explorer,
    graph,
    growth,
    loads,
    merging,
    saves,
    scale,
    sessions,
    tracing,
    weavegraph,
    workers,
)
from benchmarks.results import Results

Part = Callable[[Options, Results], None]

PARTS: dict[str, Part] = {
    "saves": saves.run,
    "client": client.run,
    "loads": loads.run,
    "growth": growth.run,
    "merging": merging.run,
    "graph": graph.run,
    "weavegraph": weavegraph.run,
    "sessions": sessions.run,
    "workers": workers.run,
    "doors": doors.run,
    "tracing": tracing.run,
    "explorer": explorer.run,
    "scale": scale.run,
}
