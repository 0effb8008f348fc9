"""How commands name a checkpoint: a step, an id, or the latest."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockstitch_server.cli.output import FAILED, fail

if TYPE_CHECKING:
    from lockstitch import Client, Loaded

LATEST = "latest"
AS_ID = "id:"
WHICH = f"A step, a checkpoint id, or `{LATEST}`. {AS_ID}ID for an id that looks like one of the others."
ID_DIGITS = 20
"""Digits of an id that the server makes from a step."""


def which(text: str) -> tuple[int | None, str | None]:
    """Step and id; neither for the latest."""
    if text == LATEST:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < ID_DIGITS:
        return int(text), None
    return None, text.removeprefix(AS_ID)


def load(
    client: "Client", session: str, namespace: str, step: int | None, checkpoint_id: str | None, *, state: bool = True
) -> "Loaded":
    """A checkpoint; the latest where neither step nor id is given. One that is not there ends the command."""
    from lockstitch import Loaded, View

    view = View.FULL if state else View.HEADER
    if step is not None or checkpoint_id is not None:
        with found(client, session, namespace, f"step {step}" if step is not None else f"checkpoint {checkpoint_id!r}"):
            return client.load(session, namespace=namespace, step=step, checkpoint_id=checkpoint_id, view=view)
    latest = client.load_latest(session, namespace, view=view)
    if latest.checkpoint is None:
        client.get_session(session)  # which fails where there is no such session
        fail(f"session {session!r} has no checkpoints{_within(namespace)}", FAILED)
    return Loaded(
        latest.checkpoint, latest.pending_writes, latest.revision, latest.checkpoint_revision, latest.trace_id
    )


@contextmanager
def found(client: "Client", session: str, namespace: str, what: str) -> Iterator[None]:
    """A call that needs a checkpoint. If there is none, the command ends: the session or the checkpoint is missing."""
    from lockstitch import NotFound, SessionNotFound

    try:
        yield
    except SessionNotFound:
        raise
    except NotFound:
        client.get_session(session)  # which fails where there is no such session
        fail(
            f"session {session!r} has no {what}{_within(namespace)}; `lockstitch checkpoints` lists those that it has",
            FAILED,
        )


def _within(namespace: str) -> str:
    return f" in namespace {namespace!r}" if namespace else ""


def id_of(client: "Client", session: str, namespace: str, text: str) -> str:
    """The id of the checkpoint that a text names; an id is taken as it is."""
    step, checkpoint_id = which(text)
    if checkpoint_id is not None:
        return checkpoint_id
    return load(client, session, namespace, step, None, state=False).checkpoint.checkpoint_id
