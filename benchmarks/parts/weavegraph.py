"""weavegraph's own checkpointers beside Lockstitch's, all by one program in Rust (`benchmarks/weavegraph`)."""

import asyncio
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import BACKENDS, CHECKPOINTERS, OUR_CHECKPOINTER, Stand
from benchmarks.debian import Missing
from benchmarks.options import KB, Options
from benchmarks.parts.rates import tell
from benchmarks.results import Results
from benchmarks.stored import stored_bytes
from benchmarks.text import Text

CRATE = Path(__file__).parents[1] / "weavegraph"
CARGO_OPTIONS = ("--release",)
TURN_BYTES = 11 * KB // 10
MANY, SHORTER, SMALL_TURNS = 16, 8, 2
BUILD_SECONDS = 1800
RUN_SECONDS = 900


@dataclass(frozen=True)
class Shape:
    """How many sessions save side by side, how long they get, and how often they are loaded after that."""

    name: str
    sessions: int
    turns: int
    loads: int


def run(options: Options, results: Results) -> None:
    """Sessions of all shapes, each shape in new stores."""
    try:
        program = build()
    except Missing as error:
        results.missing["weavegraph's checkpointers"] = str(error)
        tell(f"weavegraph's checkpointers are not measured: {error}")
        return
    turns = options.weavegraph_turns
    shapes = (
        Shape("small", 1, SMALL_TURNS, options.weavegraph_loads),
        Shape("many", MANY, max(SMALL_TURNS, turns // SHORTER), MANY),
        Shape("long", 1, turns, MANY),
    )
    for _ in range(options.repeat):
        with Stand() as stand:
            for shape in shapes:
                for backend in BACKENDS:
                    _measure(program, stand, backend, shape, results)


def build() -> Path:
    """The program. Raises Missing."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Missing("cargo is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lockstitch", "rust")
    environment = {"CARGO_TARGET_DIR": str(cache), **os.environ}
    command = [cargo, "build", "--locked", *CARGO_OPTIONS, "--message-format=json-render-diagnostics"]
    tell("weavegraph: building its program; the first time takes minutes")
    try:
        done = subprocess.run(
            command, cwd=CRATE, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=BUILD_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Missing(f"its program cannot be built: {error}") from error
    built = (json.loads(line).get("executable") for line in done.stdout.splitlines())
    return Path(next(path for path in built if path))


def _measure(program: Path, stand: Stand, backend: str, shape: Shape, results: Results) -> None:
    """weavegraph's checkpointer, then Lockstitch's."""
    if backend in CHECKPOINTERS:
        store = stand.url(backend, f"weavegraph, {shape.name}")
        url = f"sqlite://{store.removeprefix('sqlite:///')}?mode=rwc" if backend == "SQLite" else store
        figures = _run(program, backend.lower(), url, shape)
        figures["stored"] = asyncio.run(stored_bytes(store, "public"))
        _add(results, CHECKPOINTERS[backend], shape, figures)
    server = stand.lockstitch(backend, shape.name)
    figures = _run(program, "lockstitch", server.target, shape)
    figures["stored"] = asyncio.run(stored_bytes(stand.url(backend, shape.name)))
    _add(results, f"{OUR_CHECKPOINTER}, {backend}", shape, figures)


def _add(results: Results, name: str, shape: Shape, figures: dict[str, float]) -> None:
    figures["rate"] = shape.sessions * shape.turns / figures["wall"]
    results.add("weavegraph", {**figures}, name=name, shape=shape.name, sessions=shape.sessions, turns=shape.turns)
    tell(
        f"weavegraph: {name}, {shape.name}: {figures['rate']:,.0f} saves/s, "
        f"a load {figures['load'] * 1000:.2f} ms, {figures['stored'] / 1000:,.0f} KB"
    )


def _run(program: Path, kind: str, url: str, shape: Shape) -> dict[str, float]:
    text = Text("weavegraph")
    turns = [text.take(TURN_BYTES) for _ in range(shape.turns)]
    job = {"kind": kind, "url": url, "sessions": shape.sessions, "turns": turns, "loads": shape.loads}
    done = subprocess.run(
        [program], input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_SECONDS
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
