"""The page docs/benchmarks.md: results and method."""

from pathlib import Path

from benchmarks.report import sections
from benchmarks.report.gains import gains_table
from benchmarks.report.goals import goals_table
from benchmarks.report.plots import plots, write_plots
from benchmarks.results import Results
from benchmarks.scale import report as scale

PAGE, DIRECTORY, RAW = "benchmarks.md", "benchmarks", "results.json"

INTRODUCTION = """\
`make bench` wrote this page in one run. Each repeat starts all servers again and visits all settings. In each
setting, all contestants are measured in turn, so that other load on the machine affects all of them. Figures are
medians of the repeats; ratios are computed within a repeat. [results.json](benchmarks/results.json) has the raw
figures."""

GAINS = """\
Lockstitch beside the savers of LangGraph and the checkpointers of weavegraph, which run in the process of the graph
and save to the same database. *Times better* is a ratio within one run; below 1, Lockstitch takes longer. A lone load
or save pays for a server in between. Saves side by side share its transactions, and nothing is stored twice."""

SAVES = """\
Each request in flight belongs to a session. The session saves its next step when the previous one is acknowledged.
Every state is completely new (random hexadecimal digits in four messages), so comparing states saves nothing.

- *Unary* is one `Save` a call, over four connections.
- *Stream* is `SaveStream`: all saves on four streams of one connection.
- *Batches* is a stream on which all saves that are due at one moment share a message.
- The empty gRPC server is one server of `grpc.aio` with a handler that responds at once. A save cannot cost less than
  its call.
- LangGraph's savers run in the process of the graph. Their times are those of a method call without a network, and
  `load` is their own CPU.
- etcd and Redis have one key for each session. Its value is the state, and each save is a put.

The last columns are microseconds of CPU a save, with 64 in flight."""

CLIENT = """\
`lockstitch.AsyncClient().save(checkpoint)` with defaults, 64 tasks with a session each, against `aput` of the savers.
The state changes as that of an agent does: every step appends a message of 100 B and changes a small extra entry.
When the state has grown from 80% to 120% of its nominal size, it starts again at 80%. The client finds by itself what
has changed. The savers store the whole state every time. Own CPU is that of the saving process: the client or the
saver."""

LOADS = """\
`LoadLatest` of sessions with one step of 2 KB (256 of them), and with 1,000 turns of 1.1 KB (8 of them, 1.1 MB each).
*Unary* receives the response as bytes. The Python client and the savers (`aget_tuple`) create objects from it."""

GROWTH = """\
One session. Every turn appends a message of 1.1 KB in pseudo-English: words of a made-up vocabulary of 5,000, with
the frequencies of natural language, the same for all contestants. *Stored* is the size of the store, an empty store
included: SQLite's file after a WAL checkpoint; on Postgres, whose autovacuum is off here, all tables, indexes and
TOAST of the schema. Saves are the median of the last ten, loads of twenty, one at a time. The savers store the whole
state at every turn. 5,000 turns would take 14 GB, so they stop at 1,000."""

GRAPH = """\
The same graph on every saver: a question and an answer of 550 B each a turn, in one thread, with LangGraph's
defaults. *Over HTTP* is the same client against the server's [HTTP door](http.md). *Stored* is as above. *Empty* is
the size of the empty store, which the goal does not count. *Payload* is the size of the serialized messages. Every
turn creates three checkpoints, and pending writes that contain its messages again. The last column has 64 threads
that save (`aput`) as in the table of the Python client."""

WEAVEGRAPH = """\
A program in Rust (`benchmarks/weavegraph`, built for release) saves the turns of sessions as the runner of weavegraph
does: the full state, which grows by a message of 1.1 KB, at every turn. The checkpointers of weavegraph run in that
process with their defaults: connection pools of sqlx, and SQLite with a rollback journal. `LockstitchCheckpointer` of
the Rust client saves to a server. *Last ten saves* is the median of the last ten of each session. Loads
(`load_latest`) come one at a time, after the saves."""

SESSIONS = """\
Small sessions (200 B), saved on one stream. Memory is the resident size of the server. The server has served 20,000
saves before the first figure and as many before each later one."""

WORKERS = """\
`lockstitch serve --workers 2` against one process, over 16 connections. The load and Postgres need processors of
their own, so with fewer than four there is little to gain."""

MERGING = """\
A session of 1,000 turns of 1.1 KB, saved by deltas, by servers that merge full rows and servers that do not: bytes in
the store right after the last turn, and *settled*, when rows are merged and Postgres is vacuumed. Then the rate of
other saves of 2 KB, in short turns in a random order.
"""

DOORS = """\
Unary saves of 2 KB over `listen` (grpc.aio) and over `http_listen` (h2corn, native gRPC), alone and with 64 in flight,
over four connections. The empty servers respond at once. The last columns are ratios to grpc.aio with the same store,
or to its empty server: of the rate with 64 in flight, and of the median latency alone."""

TRACING = """\
Saves of 2 KB on SQLite: tracing off, 1% of the saves, and all saves, to a collector that parses nothing. *Stock* is
the same server with tracing off and `opentelemetry-instrumentation-grpc` around it, which creates one span for each
call, and one for a whole stream. All take short turns in a random order. *More than off* is the median of the turns'
CPU ratios. Single turns differ by a fifth and more; [Tracing](performance.md#tracing) has what 1% costs in process."""

EXPLORER = """\
`lockstitch ui` over a store with small sessions, of which one in a hundred has failed, and one session of many steps,
on SQLite. Times are those from a request to the first byte of its response, on a connection that is open, one request
at a time, beside a server that does nothing else. The goal is 300 ms."""

SCALE = """\
1, 2 and 4 servers on one Postgres, each with a process of its own that keeps 64 saves in flight: unary saves, and saves
on four streams. States are completely new, as above. *Server*, *database*, *WAL*, *stored* and *commits* are those of
one save, over all servers. Load, servers and database share the machine. [Sizing](operations.md#sizing) shows what
they mean for a fleet of agents."""

METHOD = """\
**The load** comes from separate processes: one for each contestant, idle while others are measured. It speaks HTTP/2
and gRPC by hand (`benchmarks/wire`) and assembles requests from serialized pieces, since a client library would cost
as much as the server. Any error of a contestant ends the run. At the end, the load reads back the last acknowledged
saves. The column `load` is its own cost.

**A run** warms up, then counts what ends within its time. A latency is the time between two responses of the same
session. CPU is the process' own account (`getrusage`, `/proc`).

**Durability** is the same for all: a response comes after the data has been synced to the disk.

| contestant | setting |
|---|---|
| Lockstitch on SQLite | its default: WAL, `synchronous=FULL` |
| Lockstitch on Postgres, AsyncPostgresSaver | its defaults: `fsync`, `synchronous_commit`, `full_page_writes` on |
| AsyncSqliteSaver | WAL (the saver sets it), `synchronous=FULL` (SQLite's default, verified) |
| etcd | its default: the WAL is synced before a put is answered |
| Redis | `appendonly yes`, `appendfsync always` |

Autovacuum is off in Postgres, and Redis does not rewrite its file: both would start at random moments. The savers
have one connection each (`from_conn_string`). AsyncPostgresSaver also locks around a pool, so a pool does not make it
faster. The Python client, the savers and the load run on uvloop. etcd and Redis are Debian's packages if the machine
has none.
"""


def page(results: Results) -> str:
    """All of it, in Markdown."""
    shown, gained = plots(results), gains_table(results)
    picture = [f"![What you gain]({DIRECTORY}/gains.svg)"] if "gains" in shown else []
    gains = ["## What you gain", GAINS, *picture, gained] if gained else []
    method = ["## How it is measured", INTRODUCTION, _about(results), METHOD.rstrip()]
    parts = ["# Benchmarks", *gains, "## Goals", goals_table(results), *method]
    for title, words, body, plot in (
        ("Saves", SAVES, sections.saves(results), "saves"),
        ("The Python client", CLIENT, sections.client(results), ""),
        ("Loads", LOADS, sections.loads(results), ""),
        ("Growth", GROWTH, sections.growth(results), "growth"),
        ("Merged rows", MERGING, sections.merging(results), ""),
        ("LangGraph", GRAPH, sections.graph(results), ""),
        ("weavegraph", WEAVEGRAPH, sections.weavegraph(results), ""),
        ("Many sessions", SESSIONS, sections.sessions(results), ""),
        ("Workers", WORKERS, sections.workers(results), ""),
        ("Two doors", DOORS, sections.doors(results), ""),
        ("Tracing", TRACING, sections.tracing(results), ""),
        ("The session explorer", EXPLORER, sections.explorer(results), ""),
        ("Several servers", SCALE, scale.section(results), ""),
    ):
        if body:
            picture = [f"![{title}]({DIRECTORY}/{plot}.svg)"] if plot in shown else []
            parts += [f"## {title}", words, *picture, body]
    return "\n\n".join(parts) + "\n"


def write(results: Results, directory: Path) -> None:
    """The page, its plots, and the raw figures. What only `scale` has measured goes to its own places."""
    scaled = scale.only(results)
    if scaled.runs:
        scale.write(scaled, directory)
    if len(scaled.runs) == len(results.runs) > 0:
        return
    (directory / DIRECTORY).mkdir(parents=True, exist_ok=True)
    (directory / PAGE).write_text(page(results), encoding="utf-8")
    results.write(directory / DIRECTORY / RAW)
    write_plots(results, directory / DIRECTORY)


def _about(results: Results) -> str:
    lines = [f"| {name} | {text} |" for name, text in results.about.items()]
    missing = [f"Not measured: {name} ({reason})." for name, reason in results.missing.items()]
    return "\n\n".join(["\n".join(["| | |", "|---|---|", *lines]), *missing])
