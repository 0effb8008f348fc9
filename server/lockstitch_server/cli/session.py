"""Commands about whole sessions: session show, label, delete, copy, prune, rewind, watch, lease."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.calls import connected
from lockstitch_server.cli.completion import Session, session_ids
from lockstitch_server.cli.confirmation import Yes, confirm
from lockstitch_server.cli.connection import Connection, connecting
from lockstitch_server.cli.options import pair
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail, printable
from lockstitch_server.cli.standing import Standing, standings
from lockstitch_server.cli.which import WHICH, found, id_of

if TYPE_CHECKING:
    from lockstitch import Client, Lease, Pruned, Retention, SessionDetails

app = typer.Typer(help="Change whole sessions.", no_args_is_help=True)

Token = Annotated[int, typer.Option("--lease-token", min=0, metavar="N", help="The token of a lease that you hold.")]


@app.callback()
def session() -> None:
    """Change whole sessions."""


@app.command()
@connecting(timeout=20.0)
def show(connection: Connection, session: Session, as_json: options.AsJson = False) -> None:
    """Show a session with its status, its settings and the holder of its lease."""
    with connected(connection) as client:
        _print(client, client.get_session(session), as_json=as_json)


@app.command()
@connecting(timeout=20.0)
def label(
    connection: Connection,
    session: Session,
    labels: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="Labels to set.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A label to remove. Can be repeated.")
    ] = None,
    lease_token: Token = 0,
    as_json: options.AsJson = False,
) -> None:
    """Set and remove labels of a session."""
    wanted = dict(map(pair, labels or ()))
    with connected(connection) as client:
        changed = client.update_session(session, set_labels=wanted, remove_labels=remove or (), lease_token=lease_token)
        _print(client, changed, as_json=as_json)


@app.command()
@connecting(timeout=60.0)
def delete(
    connection: Connection,
    sessions: Annotated[
        list[str], typer.Argument(metavar="SESSION...", help="Ids of sessions.", autocompletion=session_ids)
    ],
    tombstone: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time during which no save can create them again. Default: the setting of the server.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete sessions, even if someone holds their leases. Exit code 1 if any did not exist."""
    from lockstitch_server.cli import format

    names = ", ".join(map(printable, sessions))
    confirm(f"Delete {format.count(len(sessions), 'session')} with all checkpoints ({names})?", yes)
    every = dict.fromkeys(sessions)
    with connected(connection) as client:
        # Each by itself: the response to several does not say which of them existed.
        missing = [each for each in every if not client.delete_sessions([each], tombstone=tombstone)]
    typer.echo(f"{format.count(len(every) - len(missing), 'session')} deleted")
    if missing:
        fail((f"there is no session {each!r}" for each in missing), FAILED)


@app.command()
@connecting(timeout=300.0)
def copy(
    connection: Connection,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The session to copy.", autocompletion=session_ids)],
    copied: Annotated[str, typer.Argument(metavar="TARGET", help="Id of the copy.")],
    at: Annotated[
        str, typer.Option("--at", metavar="WHICH", help=f"Copy up to this checkpoint. Default: everything. {WHICH}")
    ] = "",
    namespace: options.Namespace = "",
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label. Can be repeated.")] = None,
) -> None:
    """Copy a session, or its beginning, into a new one."""
    from lockstitch_server.cli import format

    labels = dict(map(pair, label or ()))
    with connected(connection) as client:
        last = id_of(client, source, namespace, at) if at else ""
        with found(client, source, namespace, f"checkpoint {last!r}"):
            answer = client.copy_session(source, copied, checkpoint_id=last, namespace=namespace, labels=labels)
    typer.echo(f"{format.count(answer.checkpoint_count, 'checkpoint')} copied")


@app.command()
@connecting(timeout=300.0)
def prune(
    connection: Connection,
    sessions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SESSION...", help="Ids of sessions. Default: all sessions.", autocompletion=session_ids
        ),
    ] = None,
    keep_last: Annotated[
        int, typer.Option(min=0, metavar="N", help="Keep the newest N checkpoints of each namespace.")
    ] = 0,
    max_age: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Keep checkpoints that were saved within this time.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    yes: Yes = False,
) -> None:
    """Delete old checkpoints.

    Without --keep-last and --max-age, the policy of each session applies, or that of the server.
    """
    with connected(connection) as client:
        for session in sessions or ():
            client.get_session(session)  # which fails where there is no such session, before anything is deleted
        policy = _retention(keep_last, max_age)
        if dry_run or not yes:
            would_delete = client.prune_sessions(sessions or (), retention=policy, dry_run=True)
            if dry_run:
                typer.echo(f"would delete {_pruned(would_delete)}")
                return
            confirm(f"Delete {_pruned(would_delete)}?", yes)
        typer.echo(f"deleted {_pruned(client.prune_sessions(sessions or (), retention=policy))}")


@app.command()
@connecting(timeout=60.0)
def rewind(
    connection: Connection,
    session: Session,
    to: Annotated[str, typer.Argument(metavar="WHICH", help=f"The checkpoint that becomes the latest. {WHICH}")],
    namespace: options.Namespace = "",
    lease_token: Token = 0,
    yes: Yes = False,
) -> None:
    """Delete everything that was saved after a checkpoint."""
    from lockstitch_server.cli import format

    with connected(connection) as client:
        checkpoint_id = id_of(client, session, namespace, to)
        last, name = printable(checkpoint_id), printable(session)
        confirm(f"Delete all checkpoints of session {name} that came after {last}?", yes)
        with found(client, session, namespace, f"checkpoint {checkpoint_id!r}"):
            done = client.rewind(session, checkpoint_id, namespace=namespace, lease_token=lease_token)
    typer.echo(f"{format.count(done.deleted, 'checkpoint')} deleted")


@app.command()
@connecting(timeout=60.0)
def watch(
    connection: Connection,
    session: Session,
    resume: Annotated[str, typer.Option(metavar="TOKEN", help="Continue after the event with this resume_token.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, metavar="N", help="End after N events.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Follow what happens to a session, and its status, until you interrupt it. With --json: one a line."""
    from lockstitch_server.cli import events_view, exact_json, following

    with connected(connection) as client:
        if not _exists(client, session):
            typer.echo(f"There is no session {printable(session)} yet; waiting for its first save.", err=True)
        for each in following.follow(client, session, resume, limit):
            typer.echo(exact_json.encode(events_view.data(each)) if as_json else events_view.line(each))


@app.command()
@connecting(timeout=20.0)
def lease(
    connection: Connection,
    session: Session,
    acquire: Annotated[str, typer.Option(metavar="HOLDER", help="Acquire the lease, and print its token.")] = "",
    ttl: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Duration of the lease. Default: the setting of the server."),
    ] = None,
    renew: Annotated[int, typer.Option(min=0, metavar="TOKEN", help="Renew the lease with this token.")] = 0,
    release: Annotated[int, typer.Option(min=0, metavar="TOKEN", help="Release the lease with this token.")] = 0,
) -> None:
    """Show who holds the lease of a session. Acquire, renew or release it."""
    if sum(map(bool, (acquire, renew, release))) > 1:
        fail("--acquire, --renew and --release exclude each other", UNUSABLE)
    with connected(connection) as client:
        if acquire:
            typer.echo(client.acquire_lease(session, acquire, ttl=ttl).token)
        elif renew:
            with _of_session(client, session):
                client.renew_lease(session, renew, ttl=ttl)
        elif release:
            released = client.release_lease(session, release)
            if not released:
                client.get_session(session)  # which fails where there is no such session
            typer.echo("released" if released else "not held")
        else:
            typer.echo(_lease(client.get_session(session).lease))


def _exists(client: "Client", session: str) -> bool:
    from lockstitch import SessionNotFound

    try:
        client.get_session(session)
    except SessionNotFound:
        return False
    return True


@contextmanager
def _of_session(client: "Client", session: str) -> Iterator[None]:
    """A call under a lease. If that is lost because there is no such session, the command says so."""
    from lockstitch import LeaseLost

    try:
        yield
    except LeaseLost:
        client.get_session(session)  # which fails where there is no such session
        raise


def _retention(keep_last: int, max_age: float | None) -> "Retention | None":
    from lockstitch import Retention

    if not keep_last and max_age is None:
        return None
    return Retention(keep_last, timedelta(seconds=max_age) if max_age is not None else None)


def _pruned(done: "Pruned") -> str:
    from lockstitch_server.cli import format

    sessions = format.count(done.sessions, "session")
    return f"{format.count(done.checkpoints, 'checkpoint')} of {sessions}, {format.size(done.bytes)}"


def _print(client: "Client", details: "SessionDetails", *, as_json: bool) -> None:
    from lockstitch_server.cli import console, exact_json, lists_view

    standing = next(standings(client, [details.summary], 1))
    if as_json:
        typer.echo(exact_json.encode(_data(details, standing)))
        return
    console.emit(lists_view.sessions([standing]))
    policy = details.retention
    if policy is not None:
        typer.echo(f"keeps {_kept(policy)}")
    if details.lease is not None:
        typer.echo(_lease(details.lease))


def _kept(policy: "Retention") -> str:
    from lockstitch_server.cli import format

    kept = f"the last {format.count(policy.keep_last, 'checkpoint')}" if policy.keep_last else "all checkpoints"
    return kept + (f" that were saved in the last {policy.max_age}" if policy.max_age is not None else "")


def _lease(lease: "Lease | None") -> str:
    if lease is None:
        return "nobody holds the lease"
    return f"held by {printable(lease.holder)} until {lease.expire_at.ToJsonString()}"


def _data(details: "SessionDetails", standing: Standing) -> dict[str, object]:
    from lockstitch_server.cli import lists_view

    policy, lease = details.retention, details.lease
    return {
        "session": lists_view.session_data(standing),
        "ttl_seconds": details.ttl.total_seconds() if details.ttl is not None else None,
        "retention": policy
        and {
            "keep_last": policy.keep_last,
            "max_age_seconds": policy.max_age.total_seconds() if policy.max_age is not None else None,
        },
        "lease": lease and {"holder": lease.holder, "acquired_at": lease.acquired_at, "expire_at": lease.expire_at},
    }
