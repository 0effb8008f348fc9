"""The executor of the Python client (`AsyncClient`), and the one to read for writing another. See ../README.md."""

import asyncio
import base64
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message as ProtobufMessage
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider

import lockstitch
from lockstitch import Checkpoint, LockstitchError, NodeKind, PendingWrite, TypedBlob, message, node
from lockstitch.v1.checkpoint_pb2 import Endpoint
from lockstitch.v1.checkpoint_service_pb2 import CheckpointDetails
from tests.polyglot.executors.python_plain import PlainOperations
from tests.polyglot.executors.python_sessions import SessionOperations, encoded, optional_time, saved

Args = dict[str, Any]
Ok = dict[str, Any]

# Otherwise gRPC shares connections within the process: the client of one scenario would inherit the delay before the
# next attempt to connect from a scenario that stopped the same server, and its first call would fail.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Operations(SessionOperations, PlainOperations):
    """One method for each operation: from arguments to the content of `ok`."""

    def __init__(self) -> None:
        SessionOperations.__init__(self)
        PlainOperations.__init__(self)
        self._client: lockstitch.AsyncClient | None = None

    @property
    def client(self) -> lockstitch.AsyncClient:
        assert self._client is not None, "not connected"
        return self._client

    async def connect(self, args: Args) -> Ok:
        await self.close()
        self.threads.clear()
        options: Args = {"options": OWN_CONNECTION}
        if (timeout := args.get("timeout_ms")) is not None:
            options["timeout"] = timeout / 1000
        if (timeout := args.get("connect_timeout_ms")) is not None:
            options["connect_timeout"] = timeout / 1000
        if (key := args.get("api_key")) is not None:
            options["key"] = key
        if (tls := args.get("tls")) is not None:
            options["credentials"] = credentials(tls)
            if name := tls.get("server_name"):
                options["options"] = (*OWN_CONNECTION, ("grpc.ssl_target_name_override", name))
        for name in ("delta", "retry"):
            if args.get(name) is not None:
                options[name] = args[name]
        self._client = lockstitch.AsyncClient(args["target"], **options)
        return {}

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def save(self, args: Args) -> Ok:
        with within_trace(args.get("traceparent") or ""):
            return saved(await self.client.save(checkpoint_of(args), **save_options(args)))

    async def save_many(self, args: Args) -> Ok:
        saves = (result_of(self.save(one)) for one in args["saves"])
        return {"results": await asyncio.gather(*saves)}

    save_concurrently = save_many  # `save` uses streams by itself

    async def edit(self, args: Args) -> Ok:
        latest = await self.client.load_latest(args["session_id"], args.get("namespace") or "")
        assert latest.checkpoint is not None, "nothing to edit"
        change(latest.checkpoint, args["edit"])
        return saved(await self.client.save(latest.checkpoint, **save_options(args)))

    async def view(self, args: Args) -> Ok:
        latest = await self.client.load_latest(args["session_id"], args.get("namespace") or "")
        assert latest.checkpoint is not None, "nothing to view"
        return view_of(latest.checkpoint)

    async def save_writes(self, args: Args) -> Ok:
        answer = await self.client.save_writes(
            args["session_id"],
            args["checkpoint_id"],
            [decoded(PendingWrite, write) for write in args["writes"]],
            namespace=args.get("namespace") or "",
            lease_token=int(args.get("lease_token") or 0),
        )
        return {"revision": str(answer.revision), "stored": answer.stored}

    async def load_latest(self, args: Args) -> Ok:
        return loaded(
            await self.client.load_latest(
                args["session_id"],
                args.get("namespace") or "",
                view=view_argument(args),
                channels=args.get("channels") or (),
                timeout=seconds(args),
            )
        )

    async def load(self, args: Args) -> Ok:
        step = args.get("step")
        return loaded(
            await self.client.load(
                args["session_id"],
                checkpoint_id=args.get("checkpoint_id"),
                step=None if step is None else int(step),
                namespace=args.get("namespace") or "",
                view=view_argument(args),
                channels=args.get("channels") or (),
            )
        )

    async def load_latest_many(self, args: Args) -> Ok:
        sessions = [(session["session_id"], session.get("namespace") or "") for session in args["sessions"]]
        answers = []
        channels = args.get("channels") or ()
        async for answer in self.client.load_latest_many(sessions, view=view_argument(args), channels=channels):
            try:
                result: Ok = {"ok": loaded(answer.result())}
            except LockstitchError as error:
                result = {"error": failure(error)}
            answers.append({"session_id": answer.session_id, "namespace": answer.namespace, **result})
        return {"answers": answers}

    async def list_sessions(self, args: Args) -> Ok:
        pager = self.client.list_sessions(
            session_id_prefix=args.get("session_id_prefix") or "",
            labels=args.get("labels"),
            order_by=lockstitch.SessionOrder[args.get("order_by") or "UPDATED_AT"],
            updated_since=optional_time(args.get("updated_since")),
            updated_before=optional_time(args.get("updated_before")),
            page_size=args.get("page_size") or 0,
            page_token=args.get("page_token") or "",
        )
        return {"sessions": [encoded(summary) async for summary in first(pager, args.get("max_items"))]}

    async def list_checkpoints(self, args: Args) -> Ok:
        items = first(self._listed(args), args.get("max_items"))
        return {"checkpoints": [listed(item) async for item in items]}

    async def list_checkpoints_page(self, args: Args) -> Ok:
        async for page in self._listed(args).pages():
            return {
                "checkpoints": [
                    {"checkpoint": encoded(item.checkpoint), "details": encoded(details_of_listed(item))}
                    for item in page.items
                ],
                "damaged": [damaged(each) for each in page.damaged],
                "total_size": str(page.total_size or 0),
                "next_page_token": page.next_page_token,
            }
        raise AssertionError("there is always a page")

    def _listed(self, args: Args) -> lockstitch.AsyncPager[lockstitch.ListedCheckpoint]:
        return self.client.list_checkpoints(
            args.get("session_id") or "",
            namespace=args.get("namespace"),
            min_step=optional_int(args.get("min_step")),
            max_step=optional_int(args.get("max_step")),
            ran_node=args.get("ran_node"),
            skipped_node=args.get("skipped_node"),
            before_checkpoint_id=args.get("before_checkpoint_id") or "",
            metadata=args.get("metadata"),
            include_total=bool(args.get("include_total")),
            include_writes=bool(args.get("include_writes")),
            write_channels=args.get("write_channels") or (),
            include_channel_sizes=bool(args.get("include_channel_sizes")),
            view=view_argument(args),
            channels=args.get("channels") or (),
            page_size=args.get("page_size") or 0,
            page_token=args.get("page_token") or "",
        )

    async def walk_ancestors(self, args: Args) -> Ok:
        ancestors = self.client.walk_ancestors(
            args["session_id"],
            args.get("checkpoint_id") or "",
            namespace=args.get("namespace") or "",
            view=view_argument(args),
            channels=args.get("channels") or (),
            include_writes=bool(args.get("include_writes")),
            write_channels=args.get("write_channels") or (),
            limit=args.get("limit") or 0,
        )
        return {
            "ancestors": [
                {
                    "checkpoint": encoded(ancestor.checkpoint),
                    "pending_writes": encoded_all(ancestor.pending_writes),
                    "revision": str(ancestor.revision),
                }
                async for ancestor in ancestors
            ]
        }


@contextmanager
def within_trace(traceparent: str) -> Iterator[None]:
    """With that span as the current one."""
    token = context.attach(propagate.extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context.detach(token)


def credentials(tls: Args) -> grpc.ChannelCredentials:
    """From paths of PEM files."""

    def content(name: str) -> bytes | None:
        if not (path := tls.get(name)):
            return None
        with open(path, "rb") as file:
            return file.read()

    return grpc.ssl_channel_credentials(content("ca"), content("key"), content("cert"))


def save_options(args: Args) -> Args:
    """What `save` takes beside the checkpoint."""
    ttl = args.get("ttl_ms")
    return {
        "expected_latest": expected_latest(args.get("expected_latest")),
        "expected_revision": int((args.get("expected_latest") or {}).get("revision") or 0),
        "writes": [decoded(PendingWrite, write) for write in args.get("writes") or ()],
        "ttl": None if ttl is None else timedelta(milliseconds=ttl),
        "lease_token": int(args.get("lease_token") or 0),
        "timeout": seconds(args),
    }


def expected_latest(expected: Args | None) -> Any:
    if not expected:
        return None
    if expected.get("none"):
        return lockstitch.NONE
    step = expected.get("step")
    return expected["checkpoint_id"] if step is None else int(step)


def change(checkpoint: Checkpoint, edit: Args) -> None:
    """What `edit` says, in this language's own types."""
    for name in ("checkpoint_id", "parent_id"):
        if name in edit:
            setattr(checkpoint, name, edit[name])
    for name in ("step", "concurrency_limit"):
        if name in edit:
            setattr(checkpoint, name, int(edit[name]))
    if "created_at" in edit:
        checkpoint.created_at.FromNanoseconds(int(edit["created_at"]))
    if "seen" in edit:
        seen = edit["seen"]
        checkpoint.versions_seen[seen["node"]].versions[seen["channel"]] = int(seen["version"])
    if "append_frontier" in edit:
        checkpoint.frontier.append(node(edit["append_frontier"]))
    checkpoint.metadata.update(edit.get("set_metadata") or {})
    change_state(checkpoint.state, edit)


def change_state(state: lockstitch.VersionedState, edit: Args) -> None:
    if said := edit.get("append_message"):
        state.messages.items.append(message(said["role"], said["content"]))
    if "messages_version" in edit:
        state.messages.version = edit["messages_version"]
    if "set_extra" in edit:
        state.extra.entries.update(edit["set_extra"])
    for key in edit.get("remove_extra") or ():
        del state.extra.entries[key]
    if item := edit.get("append_item"):
        blob = TypedBlob(type=item["type"], data=base64.b64decode(item["data"]))
        state.custom[item["channel"]].list.items.append(blob)


def view_of(checkpoint: Checkpoint) -> Ok:
    """A checkpoint as a program sees it that reads its fields."""
    state = checkpoint.state
    view: Ok = {
        "checkpoint_id": checkpoint.checkpoint_id,
        "step": str(checkpoint.step),
        "concurrency_limit": str(checkpoint.concurrency_limit),
        "versions_seen": {
            name: {channel: str(version) for channel, version in seen.versions.items()}
            for name, seen in checkpoint.versions_seen.items()
        },
        "frontier": [node_name(kind) for kind in checkpoint.frontier],
        "custom": sorted(state.custom),
        "has_header": checkpoint.HasField("header"),
    }
    if checkpoint.HasField("created_at"):
        view["created_at"] = str(checkpoint.created_at.ToNanoseconds())
    if state.HasField("messages"):
        items = state.messages.items
        view["messages"] = {"version": state.messages.version, "count": len(items)}
        if items:
            view["messages"]["last"] = {"role": items[-1].role, "content": items[-1].content}
    if state.HasField("extra"):
        view["extra"] = {"version": state.extra.version, "entries": dict(state.extra.entries)}
    return view


def node_name(kind: NodeKind) -> str:
    if kind.WhichOneof("kind") == "custom":
        return f"custom:{kind.custom}"
    return Endpoint.Name(kind.endpoint).removeprefix("ENDPOINT_")


async def first(items: Any, most: int | None) -> Any:
    """Items of an asynchronous iterator, at most so many."""
    count = 0
    if most == 0:
        return
    async for item in items:
        yield item
        count += 1
        if count == most:
            return


def checkpoint_of(args: Args) -> Checkpoint:
    return Checkpoint.FromString(base64.b64decode(args["checkpoint"]))


def decoded(kind: type[Any], data: str) -> Any:
    return kind.FromString(base64.b64decode(data))


def encoded_all(messages: Iterable[ProtobufMessage]) -> list[str]:
    return [encoded(each) for each in messages]


def seconds(args: Args) -> float | None:
    timeout = args.get("timeout_ms")
    return None if timeout is None else timeout / 1000


def optional_int(text: str | None) -> int | None:
    return None if text is None else int(text)


def view_argument(args: Args) -> lockstitch.View:
    return lockstitch.View[args.get("view") or "FULL"]


def loaded(answer: lockstitch.Latest | lockstitch.Loaded) -> Ok:
    return {
        "checkpoint": None if answer.checkpoint is None else encoded(answer.checkpoint),
        "pending_writes": encoded_all(answer.pending_writes),
        "revision": str(answer.revision),
        "checkpoint_revision": str(answer.checkpoint_revision),
        "trace_id": getattr(answer, "trace_id", ""),
    }


def details_of_listed(item: lockstitch.ListedCheckpoint) -> CheckpointDetails:
    return CheckpointDetails(
        revision=item.revision,
        saved_at=item.saved_at,
        state_bytes=item.state_bytes,
        pending_writes=item.pending_writes,
        trace_id=item.trace_id,
        channels=item.channels,
    )


def listed(item: lockstitch.ListedCheckpoint) -> Ok:
    return {
        "checkpoint": encoded(item.checkpoint),
        "pending_writes": encoded_all(item.pending_writes),
        "revision": str(item.revision),
        "state_bytes": str(item.state_bytes),
    }


def damaged(checkpoint: lockstitch.DamagedCheckpoint) -> Ok:
    return {
        "session_id": checkpoint.session_id,
        "namespace": checkpoint.namespace,
        "checkpoint_id": checkpoint.checkpoint_id,
        "error": failure(checkpoint.error),
    }


def failure(error: LockstitchError) -> Ok:
    return {
        "code": error.code.name,
        "reason": str(error.reason),
        "metadata": error.metadata,
        "message": error.message,
    }


async def result_of(work: Awaitable[Ok]) -> Ok:
    try:
        return {"ok": await work}
    except LockstitchError as error:
        return {"error": failure(error)}


async def answer_to(operations: Operations, request: Args) -> Ok:
    operation: Callable[[Args], Awaitable[Ok]] | None = getattr(operations, request["op"], None)
    if operation is None:
        return {"fault": f"there is no operation {request['op']}"}
    try:
        return await result_of(operation(request.get("args") or {}))
    except Exception as error:
        traceback.print_exc()
        return {"fault": f"{type(error).__name__}: {error}"}


async def main() -> None:
    trace.set_tracer_provider(TracerProvider())
    operations = Operations()
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        answer = await answer_to(operations, request)
        print(json.dumps({"id": request["id"], **answer}, ensure_ascii=False), flush=True)
    await operations.close()


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a real file
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a real file
    asyncio.run(main())
