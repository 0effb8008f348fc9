"""One value of a state: the whole of it, and its bytes to keep."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToJson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute

from lockstitch.inspect import Plain, decode, is_chunk, items, plain_state, to_json
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, TypedBlob, VersionedState
from lockstitch_ui.pages import checkpoints
from lockstitch_ui.urls import download_url, value_url
from lockstitch_ui.views import blobs, paths
from lockstitch_ui.views.timeline import short_name
from lockstitch_ui.views.tree import Budget, Node, tree
from lockstitch_ui.visit import Visit, download, page
from lockstitch_ui.workers import apart

MAX_VALUE_BYTES = 4 * 1024 * 1024
"""Of a text, or JSON, that somebody asks for by itself. Larger ones are shown as text, page by page."""
MAX_PACKED_BYTES = 1024 * 1024
"""The same of other encodings, of which a byte can stand for a whole list. Larger ones are shown as bytes."""
TEXT_PAGE = 100_000
"""Characters of a text that a page shows."""
HEX_PAGE = 8192


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A value, or a part of it: a tree, a page of text, or a dump. start: of the text or the dump."""

    path: str
    encoding: str
    node: Node | None = None
    text: str | None = None
    dump: blobs.Hex | None = None
    start: int = 0
    size: int = 0

    @property
    def next_start(self) -> int | None:
        """Where the next page begins; None: this is the last."""
        end = self.start + (TEXT_PAGE if self.text is not None else HEX_PAGE)
        return end if end < self.size and self.node is None else None


async def show(visit: Visit) -> Response:
    """A value of a channel, from its own page."""
    state, channel = await _channel(visit)
    start, pointer = _number(visit, "start"), visit.query("at")
    found = await _found(_shown, state, channel, pointer, start)
    session_id = visit.path("session_id")
    checkpoint = Checkpoint(checkpoint_id=visit.path("checkpoint_id"), namespace=visit.query("namespace"))
    return visit.render(
        "session_value.html",
        session_id=session_id,
        checkpoint_id=checkpoint.checkpoint_id,
        namespace=checkpoint.namespace,
        found=found,
        url=lambda at="", first="": value_url(session_id, checkpoint, channel, pointer + at, first),
        page_link=lambda first: value_url(session_id, checkpoint, channel, pointer, first or ""),
        download_link=download_url(session_id, checkpoint, channel, pointer),
    )


async def keep(visit: Visit) -> Response:
    """The bytes of a value; of a value within it, and of messages, JSON."""
    name = f"{short_name(visit.query('channel')).replace('/', '_')}-{visit.path('checkpoint_id')}"
    if not visit.query("channel"):
        loaded = await visit.client.load(
            visit.path("session_id"), checkpoint_id=visit.path("checkpoint_id"), namespace=visit.query("namespace")
        )
        text = await apart(MessageToJson, loaded.checkpoint, preserving_proto_field_name=True)
        return download(text.encode(), f"{visit.path('checkpoint_id')}.json")
    state, channel = await _channel(visit)
    data, suffix = await _found(_bytes, state, channel, visit.query("at"))
    return download(data, f"{name}{suffix}")


async def _channel(visit: Visit) -> tuple[VersionedState, str]:
    channel = visit.query("channel")
    key = (visit.query("namespace"), visit.path("checkpoint_id"))
    listed = await checkpoints.find(visit.client, visit.path("session_id"), key)
    return await checkpoints.load_state(visit.client, visit.path("session_id"), listed, [channel]), channel


async def _found(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work beside the event loop. Raises HTTPException: there is no such value."""
    try:
        return await apart(work, *arguments)
    except LookupError as error:
        raise HTTPException(404, f"There is no such value. {error.args[0]}") from None


def _shown(state: VersionedState, channel: str, pointer: str, start: int) -> ShownValue:
    blob, rest = _blob(state, channel, pointer)
    label = short_name(channel)
    where = paths.readable((label, *(_step(part) for part in paths.parts(pointer))))
    if blob is not None:
        found = decode(blob, max_bytes=_limit([blob]))
        if found.problem and not rest and is_text(blob):
            text = blob.data.decode(errors="replace")
            return ShownValue(where, blob.type, text=text[start : start + TEXT_PAGE], start=start, size=len(text))
        if blobs.is_opaque(found):
            dump = blobs.hexadecimal(blob.data, HEX_PAGE, start, found.problem)
            return ShownValue(where, blob.type, dump=dump, start=start, size=len(blob.data))
        encoding, value = blob.type, paths.find(found.value, rest)[1]
    else:
        encoding, value = "", paths.find(_plain(state, channel), pointer)[1]
    if isinstance(value, str):
        return ShownValue(where, encoding, text=value[start : start + TEXT_PAGE], start=start, size=len(value))
    if isinstance(value, bytes):
        dump = blobs.hexadecimal(value, HEX_PAGE, start)
        return ShownValue(where, encoding, dump=dump, start=start, size=len(value))
    base = (label, *(_step(part) for part in paths.parts(pointer)))
    return ShownValue(where, encoding, node=tree(value, Budget(), base=base, first=start), start=start)


def _limit(stored: Iterable[TypedBlob]) -> int:
    """How many bytes of all these values are decoded."""
    return MAX_VALUE_BYTES if all(map(is_text, stored)) else MAX_PACKED_BYTES


def is_text(blob: TypedBlob) -> bool:
    """Whether a value can be read without decoding it."""
    return blob.type in ("json", "text", "str") or blob.type.startswith("text/")


def _bytes(state: VersionedState, channel: str, pointer: str) -> tuple[bytes, str]:
    blob, rest = _blob(state, channel, pointer)
    if blob is not None and not rest:
        return blob.data, {"json": ".json", "str": ".txt", "text": ".txt"}.get(blob.type, ".bin")
    value = decode(blob, max_bytes=_limit([blob])).value if blob is not None else _plain(state, channel)
    found = paths.find(value, rest if blob is not None else pointer)[1]
    if isinstance(found, bytes):
        return found, ".bin"
    if isinstance(found, str):
        return found.encode(errors="surrogatepass"), ".txt"
    return to_json(found).encode(), ".json"


def _blob(state: VersionedState, channel: str, pointer: str) -> tuple[TypedBlob | None, str]:
    """The blob that a pointer leads into, and the rest of the pointer; None: it leads into no single one."""
    if channel.startswith("extra/"):
        key = channel.removeprefix("extra/")
        if key not in state.extra.entries:
            raise LookupError("The checkpoint has no such entry.")
        return TypedBlob(type="json", data=state.extra.entries[key].encode()), pointer
    if not channel.startswith("custom/"):
        return None, pointer
    stored = _custom(state, channel)
    if stored.HasField("blob"):
        return stored.blob, pointer
    first, *rest = paths.parts(pointer) or [""]
    blobs_ = stored.list.items
    if not first.isdigit() or any(map(is_chunk, blobs_)) or int(first) >= len(blobs_):
        return None, pointer
    return blobs_[int(first)], paths.pointer(rest)


def _plain(state: VersionedState, channel: str) -> Plain:
    """The whole of a channel that is no single blob."""
    if channel.startswith("custom/"):
        stored = _custom(state, channel)
        blobs_ = stored.list.items
        return [found.value for found in items(stored, max_bytes=blobs.max_item_bytes(blobs_, _limit(blobs_)))]
    found = plain_state(Checkpoint(state=state))
    if channel not in found:
        raise LookupError("The checkpoint has no such channel.")
    return found[channel]


def _custom(state: VersionedState, channel: str) -> CustomChannel:
    name = channel.removeprefix("custom/")
    if name not in state.custom:
        raise LookupError("The checkpoint has no such channel.")
    return state.custom[name]


def _step(part: str) -> str | int:
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part


def _number(visit: Visit, name: str) -> int:
    text = visit.query(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


routes: list[BaseRoute] = [
    page("/sessions/{session_id:id}/checkpoints/{checkpoint_id:id}/value", show),
    page("/sessions/{session_id:id}/checkpoints/{checkpoint_id:id}/download", keep),
]
