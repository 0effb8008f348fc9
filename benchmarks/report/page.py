"""The page: what was measured, how, and what came of it."""

from pathlib import Path

from benchmarks.report import sections
from benchmarks.report.goals import goals_table
from benchmarks.report.plots import plots, write_plots
from benchmarks.results import Results

PAGE, DIRECTORY, RAW = "benchmarks.md", "benchmarks", "results.json"

INTRODUCTION = """\
`make bench` has written this page: one command, one run, everything side by side. Every repeat starts all servers
afresh, and goes through all settings; in each of them everybody is measured in turn, so that whatever else the machine
does hits all alike. Figures are medians of the repeats; ratios are taken within a repeat. The raw figures are in
[results.json](benchmarks/results.json)."""

SAVES = """\
Every one of the requests in flight belongs to a session, which saves its next step when the last one is acknowledged.
The states are all new at every step (random hexadecimal digits in four messages): nothing can be saved by comparing
them. *Unary* is a `Save` a call, over four connections; *stream* is `SaveStream`, all saves on four streams of one
connection, and *batches* the same with everything that is to be sent on a stream at one moment in one message. The
empty gRPC server is `grpc.aio` with a handler that answers at once: no server on it can do more.
LangGraph's savers work in the process of the graph, so theirs is the time of a method call, without a network; `load`
is their own CPU. All of etcd's and Redis' sessions are keys, whose value is the state, put again and again.

The last columns are the CPU a save takes, in microseconds, with 64 in flight."""

CLIENT = """\
`lockstitch.AsyncClient().save(checkpoint)` as it comes, 64 tasks with a session each, against `aput` of the savers.
Here the state changes as an agent's does: every step appends a message of 100 B and changes a small extra entry; when
the state has grown from 80% to 120% of its nominal size it is condensed, and starts anew. The client finds out by
itself what has changed. The savers take the whole state every time. Own CPU is that of the process which saves: the
client, or the saver with all it does."""

LOADS = """\
`LoadLatest` of sessions with one step of 2 KB (256 of them), and with 1,000 turns of 1.1 KB (8 of them, 1.1 MB each).
*Unary* takes the answer as bytes; the Python client and the savers (`aget_tuple`) make objects of it."""

GROWTH = """\
One session, whose every turn appends a message of 1.1 KB. The messages are pseudo-English: words of a made-up
vocabulary of 5,000, drawn as often as in natural language, the same for all. *Stored* is what the store takes, an empty
store included: SQLite's file after a WAL checkpoint; in Postgres, which is never vacuumed here, all tables, indexes and
TOAST of the schema. Saves are the median of the last ten, loads of twenty, one at a time. The savers store the whole
state at every turn: at 5,000 turns that would be 14 GB, so they stop at 1,000."""

GRAPH = """\
The same graph on every saver: a question and an answer of 550 B each a turn, in one thread, with LangGraph's defaults.
*Stored* is as above, and *empty* what the same store takes before, which the goal does not count; *payload* are the
messages as the serializer dumps them. Every turn makes three checkpoints, and pending writes that hold its messages
again. Then 64 threads that save (`aput`) as in the table of the Python client."""

SESSIONS = """\
Small sessions (200 B), saved on one stream. Memory is the resident size of the server, which has served 20,000 saves
before the first figure and as many before each that follows."""

WORKERS = """\
`lockstitch serve --workers 2` against one process, over 16 connections. The load, and Postgres, need cores of their
own: with less than four there is little to gain."""

TRACING = """\
Saves of 2 KB on SQLite, with tracing off, of every hundredth save and of all, to a collector that looks into nothing.
*Stock* is the same server with tracing off and `opentelemetry-instrumentation-grpc` around it, which makes one span for
each call, and one for a whole stream; Lockstitch's own are four for each save. All take short turns in a random order;
*more than off* is the middle of the turns' ratios of CPU."""

METHOD = """\
**The load** comes from processes of its own: one for each contestant, idle while others are measured. It speaks HTTP/2
and gRPC by hand (`benchmarks/wire`), from requests that are put together out of serialized pieces, since a client
library would cost as much as the server. It notices every refusal, which ends the run with an error, and reads back at
the end what was acknowledged last. The column `load` says what it costs.

**A run** warms up, then counts what ends within its time. A time is that from one answer to the next of the same
session. CPU is the process' own account (`getrusage`, `/proc`).

**Durable** is everything here, and means that an answer comes after the data has been synced to the disk:

| contestant | setting |
|---|---|
| Lockstitch on SQLite | its default: WAL, `synchronous=FULL` |
| Lockstitch on Postgres, AsyncPostgresSaver | its defaults: `fsync`, `synchronous_commit`, `full_page_writes` on |
| AsyncSqliteSaver | WAL (the saver sets it), `synchronous=FULL` (SQLite's default, made sure of) |
| etcd | its default: the WAL is synced before a put is answered |
| Redis | `appendonly yes`, `appendfsync always` |

Autovacuum is off in Postgres, Redis does not rewrite its file: both would come at random. The savers have one
connection each (`from_conn_string`); AsyncPostgresSaver holds a lock around a pool too, which makes it no faster. The
Python client, the savers and the load run on uvloop. etcd and Redis are Debian's packages where the machine has none.
"""


def page(results: Results) -> str:
    """All of it, in Markdown."""
    parts = ["# Benchmarks", INTRODUCTION, _about(results), "## Goals", goals_table(results)]
    shown = plots(results)
    for title, words, body, plot in (
        ("Saves", SAVES, sections.saves(results), "saves"),
        ("The Python client", CLIENT, sections.client(results), ""),
        ("Loads", LOADS, sections.loads(results), ""),
        ("Growth", GROWTH, sections.growth(results), "growth"),
        ("LangGraph", GRAPH, sections.graph(results), ""),
        ("Many sessions", SESSIONS, sections.sessions(results), ""),
        ("Workers", WORKERS, sections.workers(results), ""),
        ("Tracing", TRACING, sections.tracing(results), ""),
    ):
        if body:
            picture = [f"![{title}]({DIRECTORY}/{plot}.svg)"] if plot in shown else []
            parts += [f"## {title}", words, *picture, body]
    return "\n\n".join([*parts, "## How it is measured", METHOD])


def write(results: Results, directory: Path) -> None:
    """The page, its plots, and the raw figures."""
    (directory / DIRECTORY).mkdir(parents=True, exist_ok=True)
    (directory / PAGE).write_text(page(results), encoding="utf-8")
    results.write(directory / DIRECTORY / RAW)
    write_plots(results, directory / DIRECTORY)


def _about(results: Results) -> str:
    lines = [f"| {name} | {text} |" for name, text in results.about.items()]
    missing = [f"Not measured: {name} ({reason})." for name, reason in results.missing.items()]
    return "\n\n".join(["\n".join(["| | |", "|---|---|", *lines]), *missing])
