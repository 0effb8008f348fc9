"""Commands that bring in what other checkpointers have kept: import weavegraph, import langgraph."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from lockstitch_server.cli.calls import failures_told
from lockstitch_server.cli.connection import Connection, connecting
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail, one_line

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from lockstitch import AsyncClient
    from lockstitch_server.importers.databases import Wanted
    from lockstitch_server.importers.transfer import Save, Session, Source, Step, Tally

FAILURES_SHOWN = 10
READY_SECONDS = 2.0

app = typer.Typer(help="Import from other checkpointers and from archives.", no_args_is_help=True)


@app.callback()
def imports() -> None:
    """Import from other checkpointers and from archives."""


@app.command()
@connecting(timeout=30.0)
def weavegraph(
    connection: Connection,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The database: a file, sqlite:///path or postgresql://...")
    ],
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only sessions whose id begins with TEXT.")] = "",
    session: Annotated[
        list[str] | None, typer.Option(metavar="SESSION", help="Only this session. Can be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Sessions to import at a time.")] = 8,
) -> None:
    """Import every step of every session from weavegraph, in SQLite or Postgres.

    The database is only read. An import can be repeated: existing checkpoints stay as they are.
    """
    from lockstitch_server.importers.databases import Wanted

    _bring(_import_weavegraph(source, Wanted(prefix, session or ()), jobs, connection), source, connection, "session")


@app.command()
@connecting(timeout=30.0)
def langgraph(
    connection: Connection,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The database: a file, sqlite:///path or postgresql://...")
    ],
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only threads whose id begins with TEXT.")] = "",
    thread: Annotated[
        list[str] | None, typer.Option(metavar="THREAD", help="Only this thread. Can be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Threads to import at a time.")] = 8,
) -> None:
    """Import every checkpoint of every thread from LangGraph's savers, in SQLite or Postgres.

    The database is only read. An import can be repeated: existing checkpoints stay as they are. Needs
    `lockstitch[langgraph]`.
    """
    from lockstitch_server.importers.databases import Wanted

    try:
        import ormsgpack  # noqa: F401 - only looked for
    except ImportError:
        fail("this import needs LangGraph's encoding: pip install 'lockstitch[langgraph]'", UNUSABLE)
    _bring(_import_langgraph(source, Wanted(prefix, thread or ()), jobs, connection), source, connection, "thread")


def _bring(work: "Coroutine[None, None, Tally]", source: str, connection: Connection, kind: str) -> None:
    """Run an import and tell what it has done."""
    from lockstitch_server.importers.databases import SourceUnusable
    from lockstitch_server.storage import StoreError
    from lockstitch_server.storage.factory import warnings_about

    with suppress(StoreError):  # the import itself says what is wrong
        for warning in warnings_about(source):
            typer.echo(f"lockstitch: {warning}", err=True)
    try:
        with failures_told(connection):
            tally = asyncio.run(work)
    except SourceUnusable as error:
        fail(str(error), UNUSABLE)
    typer.echo(summary(tally, kind))
    if tally.failures:
        _tell_failures(tally.failures)


async def _import_weavegraph(url: str, wanted: "Wanted", jobs: int, connection: Connection) -> "Tally":
    from lockstitch import AsyncClient, SaveOutcome
    from lockstitch_server.importers.weavegraph import SessionRow, StepRow, checkpoint
    from lockstitch_server.importers.weavegraph_sources import open_source

    # Whole states: an import need not remember any.
    async with (
        open_source(url, wanted, jobs + 1) as source,
        AsyncClient(**connection.arguments(), delta=False) as client,
    ):

        async def save(session: SessionRow, row: StepRow) -> SaveOutcome:
            return (await client.save(checkpoint(session, row))).outcome

        return await _transfer(source, client, save, jobs, connection)


async def _import_langgraph(url: str, wanted: "Wanted", jobs: int, connection: Connection) -> "Tally":
    from lockstitch import AsyncClient, SaveOutcome
    from lockstitch_server.importers.langgraph import CheckpointRow, ThreadRow, checkpoint
    from lockstitch_server.importers.langgraph_sources import CONNECTIONS_PER_JOB, open_source

    # What a checkpoint has grown by since the one before it is sent, so the client remembers one of each thread.
    async with (
        open_source(url, wanted, CONNECTIONS_PER_JOB * jobs + 1) as source,
        AsyncClient(**connection.arguments()) as client,
    ):

        async def save(_: ThreadRow, row: CheckpointRow) -> SaveOutcome:
            found, writes = checkpoint(row)
            return (await client.save(found, writes=writes)).outcome

        return await _transfer(source, client, save, jobs, connection)


async def _transfer(
    source: "Source[Session, Step]",
    client: "AsyncClient",
    save: "Save[Session, Step]",
    jobs: int,
    connection: Connection,
) -> "Tally":
    from lockstitch_server.cli.progress import progress
    from lockstitch_server.importers.transfer import Tally, count, transfer

    tally = Tally()
    await client.wait_ready(min(connection.timeout, READY_SECONDS))
    async with progress(tally, await count(source)):
        await transfer(source, save, tally, jobs)
    return tally


def summary(tally: "Tally", kind: str = "session") -> str:
    """What an import has done, in a sentence."""
    from lockstitch import SaveOutcome
    from lockstitch_server.cli import format

    parts = {
        "created": tally.outcomes[SaveOutcome.CREATED],
        "replaced": tally.outcomes[SaveOutcome.REPLACED],
        "unchanged": tally.outcomes[SaveOutcome.UNCHANGED],
        "left out": len(tally.failures),
    }
    said = ", ".join(f"{number} {name}" for name, number in parts.items() if number or name in ("created", "unchanged"))
    return f"{format.count(tally.sessions, kind)}, {format.count(tally.steps, 'step')}: {said}"


def _tell_failures(failures: list[str]) -> None:
    for failure in failures[:FAILURES_SHOWN]:
        typer.echo(f"lockstitch: left out {one_line(failure)}", err=True)
    if len(failures) > FAILURES_SHOWN:
        typer.echo(f"lockstitch: left out {len(failures) - FAILURES_SHOWN} more", err=True)
    raise typer.Exit(FAILED)
