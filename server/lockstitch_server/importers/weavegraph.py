"""What the Rust crate weavegraph writes into its tables, as checkpoints of ours.

The same row always becomes the same checkpoint, so that an import can be repeated.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.importers.json_slices import elements, members
from lockstitch_server.importers.transfer import RowInvalid
from lockstitch_server.importers.weavegraph_names import Link, Names, join

_ENDPOINTS = {"Start": pb.Endpoint.ENDPOINT_START, "End": pb.Endpoint.ENDPOINT_END}
_CUSTOM = "Custom:"
# What a channel has that the crate found missing: an `errors` channel in a database older than that channel.
_NEW_CHANNEL = '{"version": 1}'


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row of `sessions`, and how many steps there are for it."""

    id: str
    concurrency_limit: int
    steps: int


@dataclass(frozen=True, slots=True)
class StepRow:
    """A row of `steps`. Everything but the first three is JSON text."""

    session_id: str
    step: int
    created_at: str | datetime
    state: str
    frontier: str
    versions_seen: str
    ran_nodes: str
    skipped_nodes: str
    updated_channels: str | None

    @property
    def name(self) -> str:
        """For people."""
        return f"session {self.session_id!r}, step {self.step}"


def checkpoint(session: SessionRow, row: StepRow) -> pb.Checkpoint:
    """The checkpoint that a row holds. Raises RowInvalid."""
    try:
        return _checkpoint(session, row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise RowInvalid(f"{row.name}: {reason}") from error


def node(text: str) -> pb.NodeKind:
    """A node from its text: `Start`, `End`, `Custom:<name>`, or any other name."""
    if text in _ENDPOINTS:
        return pb.NodeKind(endpoint=_ENDPOINTS[text])
    return pb.NodeKind(custom=text.removeprefix(_CUSTOM))


def node_text(node: pb.NodeKind) -> str:
    """The text of a node, which `node` reads."""
    if node.HasField("endpoint"):
        known = {endpoint: text for text, endpoint in _ENDPOINTS.items()}
        return known.get(node.endpoint, str(node.endpoint))
    return _CUSTOM + node.custom


def _checkpoint(session: SessionRow, row: StepRow) -> pb.Checkpoint:
    names = Names()
    made = pb.Checkpoint(
        session_id=names.store_session_id(session.id),
        step=row.step,
        state=_state(row.state, names),
        frontier=_nodes(row.frontier, names),
        versions_seen={
            name: pb.ChannelVersions(versions=versions) for name, versions in json.loads(row.versions_seen).items()
        },
        # The crate casts its usize to an i64, and back.
        concurrency_limit=session.concurrency_limit % 2**64,
        created_at=_timestamp(row.created_at),
        ran_nodes=_nodes(row.ran_nodes, names),
        skipped_nodes=_nodes(row.skipped_nodes, names),
        updated_channels=json.loads(row.updated_channels or "[]"),
    )
    if (header := names.header()) is not None:
        made.header.CopyFrom(header)
    return made


def _nodes(text: str, names: Names) -> list[pb.NodeKind]:
    found = list(map(node, json.loads(text)))
    for each in found:
        if each.HasField("custom"):
            each.custom = names.store(each.custom)
    return found


def _timestamp(when: str | datetime) -> Timestamp:
    result = Timestamp()
    if isinstance(when, str):
        result.FromJsonString(when)
    else:
        result.FromDatetime(when)
    return result


def _state(text: str, names: Names) -> pb.VersionedState:
    channels = members(text)
    messages = json.loads(channels["messages"])
    extra = members(channels["extra"])
    errors = members(channels.get("errors", _NEW_CHANNEL))
    entries = {names.store(key): value for key, value in members(extra.get("map", "{}")).items()}
    return pb.VersionedState(
        messages=pb.MessagesChannel(version=messages["version"], items=map(_message, messages.get("items", []))),
        extra=pb.ExtrasChannel(version=json.loads(extra["version"]), entries=entries),
        errors=pb.ErrorsChannel(
            version=json.loads(errors["version"]), items=map(_error_event, elements(errors.get("items", "[]")))
        ),
    )


def _message(item: dict[str, Any]) -> pb.Message:
    return pb.Message(role=item["role"], content=item["content"])


def _error_event(text: str) -> pb.ErrorEvent:
    event = members(text)
    return pb.ErrorEvent(
        when=_timestamp(json.loads(event["when"])),
        scope=_scope(json.loads(event.get("scope", '{"scope": "app"}'))),
        error=_error(event.get("error", '{"message": ""}')),
        tags=json.loads(event.get("tags", "[]")),
        context=event.get("context", ""),
    )


def _scope(fields: dict[str, Any]) -> pb.ErrorScope:
    match fields:
        case {"scope": "node", "kind": kind, "step": step}:
            return pb.ErrorScope(node=pb.ErrorScope.Node(kind=kind, step=step))
        case {"scope": "scheduler", "step": step}:
            return pb.ErrorScope(scheduler=pb.ErrorScope.Scheduler(step=step))
        case {"scope": "runner", "session": session, "step": step}:
            return pb.ErrorScope(runner=pb.ErrorScope.Runner(session=session, step=step))
        case {"scope": "app"}:
            return pb.ErrorScope(app=pb.ErrorScope.App())
    raise ValueError(f"unknown error scope {fields}")


def _error(text: str) -> pb.WeaveError:
    chain: list[Link] = []
    while not chain or text != "null":
        fields = members(text)
        chain.append((json.loads(fields["message"]), fields.get("details", "")))
        text = fields.get("cause", "null")
    return join(chain)
