"""Commands that work on a store itself, beside the servers that use it: check, backup, export, import archive."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail, one_line
from lockstitch_server.cli.serve import effective

if TYPE_CHECKING:
    from lockstitch_server.engine.maintenance.exporter import Exported
    from lockstitch_server.engine.maintenance.restorer import Restored
    from lockstitch_server.engine.maintenance.verifier import Fault
    from lockstitch_server.storage import Store

T = TypeVar("T")

LINE_SECONDS = 2.0
STANDARD = "-"
STORE_REASONS = ("STORE_UNAVAILABLE", "STORE_FULL", "STORE_READ_ONLY")
"""The store cannot be used, at the moment."""

File = Annotated[str, typer.Argument(metavar="FILE", help="The archive; - for standard input or output.")]
Sessions = Annotated[
    list[str] | None, typer.Option("--session", metavar="SESSION", help="Only this session. Can be repeated.")
]


def check(
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Repair what can be repaired, then check again. Make a backup first."),
    ] = False,
) -> None:
    """Check that the store holds everything as it was saved. Changes nothing without --repair.

    Reads everything, runs the database's own check, and prints each fault with what can be done about it. Continues
    after a fault. Exit code 1 if there is a fault; logs that nothing needs any more do not count.
    """
    url = _url(config, assignments, store)
    faults = _run(_check(url, as_json))
    if faults and repair:
        _run(_repair(url, faults))
        faults = _run(_check(url, as_json))
    if any(not fault.harmless for fault in faults):
        raise typer.Exit(FAILED)


async def _check(url: str, as_json: bool) -> "list[Fault]":
    from lockstitch_server.engine.maintenance.verifier import Fault, verify

    sessions, faults = 0, list[Fault]()
    async with _opened(url) as opened:
        async for found, wrong in verify(opened):
            sessions += found is not None
            faults.extend(wrong)
            for fault in wrong:
                typer.echo(_fault_json(fault) if as_json else _fault_line(fault))
    orphans = sum(fault.harmless for fault in faults)
    counts = (sessions, "session"), (len(faults) - orphans, "fault"), (orphans, "orphaned log")
    typer.echo(f"checked {_counts(*counts)}", err=as_json)
    return faults


async def _repair(url: str, faults: "list[Fault]") -> None:
    from lockstitch_server.engine.maintenance.repairer import repair

    async with _opened(url, read_only=False) as opened:
        async for line in repair(opened, faults):
            typer.echo(f"repair: {one_line(line)}", err=True)


def _fault_json(fault: "Fault") -> str:
    import json

    return json.dumps(fault._asdict(), ensure_ascii=False)


def _fault_line(fault: "Fault") -> str:
    whose = f"session {fault.session_id!r} of {fault.tenant!r}: " if fault.session_id else ""
    return one_line(f"{whose}{fault.what} ({fault.kind}; {fault.mend})")


def backup(
    destination: Annotated[Path, typer.Argument(metavar="FILE", help="Path of the copy. It must not exist.")],
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    store: options.Store = None,
) -> None:
    """Copy a SQLite store while servers use it.

    The copy is a store of its own, as things were when the command began. For Postgres, use pg_dump.
    """
    from lockstitch_server.cli import format
    from lockstitch_server.storage.sqlite.backup import backup as copy
    from lockstitch_server.storage.sqlite.store import path_of
    from lockstitch_server.storage.store import StoreError

    url = _url(config, assignments, store)
    if not url.startswith("sqlite:"):
        fail("only SQLite stores are backed up so; for Postgres, use pg_dump", UNUSABLE)
    _check_directory(destination)
    try:
        copy(path_of(url), destination, lambda left, pages: None)
    except StoreError as error:
        fail(str(error), UNUSABLE)
    typer.echo(f"{destination}: {format.size(destination.stat().st_size)}")


def export(
    file: File,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    store: options.Store = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant's sessions.")] = None,
    session: Sessions = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE, if it exists.")] = False,
) -> None:
    """Write all sessions of the store into an archive, which any store can import.

    Servers may go on meanwhile: each session is written as it is at one moment. Deleted and expired ones are left out.
    Damaged checkpoints and pending writes are left out, and named.
    """
    url = _url(config, assignments, store)
    with _output(file, force) as out:
        tally = _run(_export(url, out, tenant, session or []))
    typer.echo(_exported(tally), err=file == STANDARD)
    _tell_failures(tally.failures)


async def _export(url: str, out: BinaryIO, tenant: str | None, sessions: list[str]) -> "Exported":
    from lockstitch_server import __version__
    from lockstitch_server.core.format.archive import FIRST_LINE, encode
    from lockstitch_server.engine.maintenance.exporter import Exported, export

    tally = Exported()
    async with _opened(url) as opened, _progress(lambda: _exported(tally)):
        out.write(FIRST_LINE)
        async for frame in export(opened, f"lockstitch {__version__}", tally, tenant, sessions):
            out.write(encode(frame))
    return tally


def _exported(tally: "Exported") -> str:
    return _counts((tally.sessions, "session"), (tally.checkpoints, "checkpoint"))


def _counts(*counts: tuple[int, str]) -> str:
    from lockstitch_server.cli import format

    return ", ".join(format.count(number, one) for number, one in counts)


@contextmanager
def _output(file: str, force: bool) -> Iterator[BinaryIO]:
    """Where an archive goes. A file is there when it is whole."""
    if file == STANDARD:
        if sys.stdout.isatty():
            fail("an archive is binary: name a file, or send the output into one", UNUSABLE)
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if Path(file).exists() and not force:
        fail(f"{Path(file).absolute()} exists; name another file, or add --force to overwrite it", UNUSABLE)
    _check_directory(Path(file))
    # A name of its own: another export to the same file must not write to this part.
    part = Path(f"{file}.{secrets.token_hex(4)}.part").absolute()
    try:
        with part.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        fail(f"cannot write {part}: {error.strerror}", UNUSABLE)
    finally:
        part.unlink(missing_ok=True)


def _check_directory(file: Path) -> None:
    """A file whose directory does not exist ends the command."""
    directory = file.absolute().parent
    if not directory.is_dir():
        fail(f"cannot write {file.absolute()}: there is no directory {directory}; create it", UNUSABLE)


def archive(
    file: File,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    store: options.Store = None,
    session: Sessions = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Put the sessions in place of those that are there with other content. Needs --session."
        ),
    ] = False,
) -> None:
    """Import an archive that `lockstitch export` has written, into a store of any kind.

    Each session is imported whole or not at all. An import can be repeated, also after an interruption: it skips
    sessions that are in the store already. Sessions that the store has with other content are left out and reported,
    unless --replace is given.
    """
    if replace and not session:
        fail("--replace needs --session: name each session to replace", UNUSABLE)
    url = _url(config, assignments, store)
    with _input(file) as source:
        tally = _run(_import(url, source, session or [], replace))
    created, checkpoints = _counts((tally.created, "session")), _counts((tally.checkpoints, "checkpoint"))
    typer.echo(f"{created} created, {tally.unchanged} unchanged, {checkpoints}")
    _tell_failures(tally.failures)


async def _import(url: str, source: BinaryIO, sessions: list[str], replace: bool) -> "Restored":
    from lockstitch_server.core.format.archive import check_header, frames
    from lockstitch_server.engine.maintenance.restorer import Restored, restore

    found = frames(source)
    header = next(found)
    check_header(header)  # first: a file that is no archive must not create a store
    tally = Restored()
    told = _progress(lambda: _counts((tally.created + tally.unchanged, "session"), (tally.checkpoints, "checkpoint")))
    async with _opened(url, read_only=False) as opened, told:
        await restore(opened, chain([header], found), tally, sessions, replace=replace)
    return tally


def _input(file: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if file == STANDARD else Path(file).open("rb")
    except OSError as error:
        fail(f"cannot read {Path(file).absolute()}: {error.strerror}", UNUSABLE)


def _url(config: str | None, assignments: list[str] | None, store: str | None) -> str:
    return effective(config, assignments, store=store).settings.store


@asynccontextmanager
async def _opened(url: str, *, read_only: bool = True) -> "AsyncIterator[Store]":
    from lockstitch_server.storage.factory import create_store

    store = create_store(url, pool_size=1, read_only=read_only)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _run(work: Coroutine[None, None, T]) -> T:
    from lockstitch_server.core.errors import Failure
    from lockstitch_server.core.format.archive import ArchiveInvalid
    from lockstitch_server.storage import StoreError

    try:
        with _logged_to_stderr():
            return asyncio.run(work)
    except (StoreError, ArchiveInvalid) as error:
        fail(str(error), UNUSABLE)
    except Failure as failure:
        fail(failure.message, UNUSABLE if failure.reason in STORE_REASONS else FAILED)


@contextmanager
def _logged_to_stderr() -> Iterator[None]:
    """What a command prints is for programs too: what the store logs goes to the other stream."""
    import structlog

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


@asynccontextmanager
async def _progress(line: Callable[[], str]) -> AsyncIterator[None]:
    """A line on stderr now and then."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            typer.echo(line(), err=True)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _tell_failures(failures: Sequence[str]) -> None:
    for failure in failures:
        typer.echo(f"lockstitch: left out {one_line(failure)}", err=True)
    if failures:
        raise typer.Exit(FAILED)
