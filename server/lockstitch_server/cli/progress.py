"""How far an import has come: a bar on a terminal, else a line now and then. On stderr."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lockstitch_server.cli import format
from lockstitch_server.importers.transfer import Tally

BAR_SECONDS = 0.1
LINE_SECONDS = 2.0


@asynccontextmanager
async def progress(tally: Tally, total: int) -> AsyncIterator[None]:
    """Show how the tally grows, up to that number of steps."""
    if not sys.stderr.isatty():
        async with _repeated(lambda: _line(tally, total), LINE_SECONDS):
            yield
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, {task.fields[sessions]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=total, sessions="")

        def draw() -> None:
            sessions = format.count(tally.sessions, "session")
            bar.update(task, completed=tally.steps, sessions=sessions, refresh=True)

        async with _repeated(draw, BAR_SECONDS):
            yield


def _line(tally: Tally, total: int) -> None:
    typer.echo(f"{tally.steps} of {format.count(total, 'step')}, {format.count(tally.sessions, 'session')}", err=True)


@asynccontextmanager
async def _repeated(tell: Callable[[], None], seconds: float) -> AsyncIterator[None]:
    """Report now, and then at an interval in seconds."""

    async def repeat() -> None:
        while True:
            tell()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
