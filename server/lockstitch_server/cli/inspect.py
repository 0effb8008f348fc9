"""Commands that show what a server keeps: sessions, checkpoints, show, diff."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.calls import connected
from lockstitch_server.cli.completion import Session
from lockstitch_server.cli.connection import Connection, connecting
from lockstitch_server.cli.options import pair
from lockstitch_server.cli.output import UNUSABLE, fail
from lockstitch_server.cli.serve import effective
from lockstitch_server.cli.since import point_in_time
from lockstitch_server.cli.standing import FirstOf, Kind, standing_of, standings, steps
from lockstitch_server.cli.which import WHICH, load, which

if TYPE_CHECKING:
    from rich.table import Table

Item = TypeVar("Item")

LARGEST_PAGE = 1000

Limit = Annotated[int, typer.Option("--limit", "-n", min=0, metavar="N", help="Show at most N. 0 shows all.")]
Full = Annotated[bool, typer.Option("--full", help="Do not cut long texts.")]
Step = Annotated[int | None, typer.Option(min=0, metavar="N", help="The checkpoint of this step.")]
CheckpointId = Annotated[str | None, typer.Option(metavar="ID", help="The checkpoint with this id.")]
Old = Annotated[str, typer.Argument(metavar="A", help=f"The old checkpoint. {WHICH}")]
New = Annotated[str, typer.Argument(metavar="B", help="The new checkpoint, named in the same way.")]


class Order(StrEnum):
    """Orders of a list of sessions."""

    UPDATED = "updated"
    ID = "id"


@connecting(timeout=20.0)
def sessions(
    connection: Connection,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only sessions whose id begins with TEXT.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only sessions with this label. Can be repeated.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only sessions changed since then: an age such as 2h or 3d, or a date.")
    ] = "",
    status: Annotated[
        list[Kind] | None, typer.Option(help="Only sessions with this status. Can be repeated.", show_choices=True)
    ] = None,
    scan: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --status: examine only the first N sessions. 0 examines all.")
    ] = 1000,
    order: Annotated[Order, typer.Option(help="Most recently changed first, or by id.")] = Order.UPDATED,
    limit: Limit = 50,
    as_json: options.AsJson = False,
) -> None:
    """List sessions with their status. With --json: one a line."""
    from lockstitch import SessionOrder
    from lockstitch_server.cli import lists_view

    by = SessionOrder.SESSION_ID if order is Order.ID else SessionOrder.UPDATED_AT
    with connected(connection) as client:
        size = LARGEST_PAGE if status else _page_size(limit)
        found = client.list_sessions(
            session_id_prefix=prefix,
            labels=dict(pair(text) for text in label or ()),
            updated_since=point_in_time(since, datetime.now(UTC)) if since else None,
            order_by=by,
            page_size=size,
        )
        scanned = FirstOf(scan if status else 0, found)
        standing = (each for each in standings(client, scanned, size) if not status or each.has_status(status))
        if as_json:
            _print(map(lists_view.session_data, standing), limit, None, "sessions")
        elif not _print(standing, limit, lists_view.sessions, "sessions"):
            typer.echo("No sessions.", err=True)
        if scanned.are_more:
            typer.echo(f"Looked at the first {scan} sessions only; --scan 0 looks at all of them.", err=True)


@connecting(timeout=20.0)
def checkpoints(
    connection: Connection,
    session: Session,
    namespace: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help='Only checkpoints of this namespace. "" is the root. Default: all namespaces.'
        ),
    ] = None,
    min_step: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only this step and later ones.")] = None,
    max_step: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only this step and earlier ones.")] = None,
    ran_node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Only where this node ran: Start, End, or any other name.")
    ] = None,
    skipped_node: Annotated[str | None, typer.Option(metavar="NODE", help="Only where this node was skipped.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=JSON", help="Only with this metadata, such as n=1 or s='\"x\"'. Can be repeated."),
    ] = None,
    limit: Limit = 50,
    as_json: options.AsJson = False,
) -> None:
    """List a session's checkpoints, newest first, without their states. With --json: one a line."""
    from lockstitch.inspect import STATUS_CHANNELS
    from lockstitch_server.cli import lists_view
    from lockstitch_server.importers.weavegraph import node

    with connected(connection) as client:
        listed = client.list_checkpoints(
            session,
            namespace=namespace,
            min_step=min_step,
            max_step=max_step,
            ran_node=None if ran_node is None else node(ran_node),
            skipped_node=None if skipped_node is None else node(skipped_node),
            metadata=dict(map(_metadata, metadata or ())),
            include_writes=True,
            channels=STATUS_CHANNELS,
            page_size=_page_size(limit),
        )
        found = steps(client, listed, _page_size(limit))
        if as_json:
            shown = _print(map(lists_view.checkpoint_data, found), limit, None, "checkpoints")
        else:
            shown = _print(found, limit, lists_view.checkpoints, "checkpoints")
        if not shown:
            client.get_session(session)  # which fails where there is no such session
            if not as_json:
                typer.echo("No checkpoints.", err=True)


@connecting(timeout=30.0)
def show(
    connection: Connection,
    session: Session,
    step: Step = None,
    checkpoint_id: CheckpointId = None,
    namespace: options.Namespace = "",
    full: Full = False,
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
) -> None:
    """Show one checkpoint. Default: the latest."""
    from lockstitch_server.cli import checkpoint_view, console, exact_json

    if step is not None and checkpoint_id is not None:
        fail("--step and --checkpoint-id exclude each other", UNUSABLE)
    with connected(connection) as client:
        loaded = load(client, session, namespace, step, checkpoint_id)
        is_latest = step is None and checkpoint_id is None and not namespace
        shown = checkpoint_view.Shown(loaded, *standing_of(client, loaded, is_latest))
    if as_json:
        typer.echo(exact_json.encode(checkpoint_view.data(shown)))
    else:
        template = effective(config, None).settings.trace_url_template if loaded.trace_id else ""
        console.emit(*checkpoint_view.lines(shown, full, template))


@connecting(timeout=30.0)
def diff(
    connection: Connection,
    session: Session,
    old: Old,
    new: New,
    namespace: options.Namespace = "",
    full: Full = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what differs between two checkpoints of a session."""
    from lockstitch.inspect import Work, compare
    from lockstitch_server.cli import blob_view, console, difference_view, exact_json

    with connected(connection) as client:
        before, after = (load(client, session, namespace, *which(text)).checkpoint for text in (old, new))
    work = Work()
    found = compare(before, after, max_bytes=blob_view.MAX_BYTES, work=work)
    if as_json:
        typer.echo(exact_json.encode(difference_view.data(before, after, found)))
    else:
        console.emit(*difference_view.lines(before, after, found, full, work))


def _metadata(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        fail(f"--metadata takes KEY=JSON, not {text!r}", UNUSABLE)
    return key, value


def _page_size(limit: int) -> int:
    """One more than is shown: if it is there, there are more."""
    return min(limit + 1, LARGEST_PAGE) if limit else LARGEST_PAGE


def _print(found: Iterable[Item], limit: int, table: "Callable[[Sequence[Item]], Table] | None", what: str) -> int:
    """Print what was found, as a table or else as lines of JSON; says so where more was found. Gives how many."""
    from lockstitch_server.cli import console, exact_json

    items, shown = iter(found), 0
    first = islice(items, limit or None)
    if table is None:
        for item in first:
            typer.echo(exact_json.encode(item))
            shown += 1
    elif listed := list(first):
        shown = len(listed)
        console.emit(table(listed))
    if limit and next(items, None) is not None:
        typer.echo(f"There are more than these {limit} {what}; --limit 0 shows all.", err=True)
    return shown
