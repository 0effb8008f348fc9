"""Commands that bring in what other checkpointers have kept: import weavegraph."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.calls import failures_told
from lockstitch_server.cli.output import FAILED, fail, one_line

if TYPE_CHECKING:
    from lockstitch_server.importers.transfer import Tally
    from lockstitch_server.importers.weavegraph_sources import Wanted

FAILURES_SHOWN = 10
READY_SECONDS = 10.0

app = typer.Typer(help="Bring in what other checkpointers have kept.", no_args_is_help=True)


@app.callback()
def bring() -> None:
    """Bring in what other checkpointers have kept."""


@app.command()
def weavegraph(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The database: a file, sqlite:///path or postgresql://...")
    ],
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only sessions whose id begins so.")] = "",
    session: Annotated[
        list[str] | None, typer.Option(metavar="SESSION", help="Only this session. Can be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Sessions to import at a time.")] = 8,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = 30.0,
) -> None:
    """Import every step of every session that weavegraph has kept in SQLite or Postgres.

    The database is only read. An import can be repeated: what is there already is left as it is.
    """
    from lockstitch_server.importers.weavegraph_sources import SourceUnusable, Wanted

    try:
        with failures_told(target):
            tally = asyncio.run(_import(source, Wanted(prefix, session or ()), jobs, target, timeout))
    except SourceUnusable as error:
        fail(str(error), FAILED)
    typer.echo(summary(tally))
    if tally.failures:
        _tell_failures(tally.failures)


async def _import(url: str, wanted: "Wanted", jobs: int, target: str, seconds: float) -> "Tally":
    from lockstitch import AsyncClient, Checkpoint, SaveOutcome
    from lockstitch_server.cli.progress import progress
    from lockstitch_server.importers.transfer import Tally, count, transfer
    from lockstitch_server.importers.weavegraph_sources import open_source

    tally = Tally()
    # Whole states: an import need not remember any.
    async with (
        open_source(url, wanted, jobs + 1) as source,
        AsyncClient(target, timeout=seconds, delta=False) as client,
    ):

        async def save(checkpoint: Checkpoint) -> SaveOutcome:
            return (await client.save(checkpoint)).outcome

        await client.wait_ready(min(seconds, READY_SECONDS))
        async with progress(tally, await count(source)):
            await transfer(source, save, tally, jobs)
    return tally


def summary(tally: "Tally") -> str:
    """What an import has done, in a sentence."""
    from lockstitch import SaveOutcome

    parts = {
        "created": tally.outcomes[SaveOutcome.CREATED],
        "replaced": tally.outcomes[SaveOutcome.REPLACED],
        "unchanged": tally.outcomes[SaveOutcome.UNCHANGED],
        "left out": len(tally.failures),
    }
    said = ", ".join(f"{number} {name}" for name, number in parts.items() if number or name in ("created", "unchanged"))
    return f"{_several(tally.sessions, 'session')}, {_several(tally.steps, 'step')}: {said}"


def _several(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _tell_failures(failures: list[str]) -> None:
    for failure in failures[:FAILURES_SHOWN]:
        typer.echo(f"lockstitch: left out {one_line(failure)}", err=True)
    if len(failures) > FAILURES_SHOWN:
        typer.echo(f"lockstitch: left out {len(failures) - FAILURES_SHOWN} more", err=True)
    raise typer.Exit(FAILED)
