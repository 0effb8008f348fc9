"""A server that keeps every request, and answers each with a response in which every field is set.

What a client can say, and what it returns, is compared with the contract by it, field by field: no real server sets all
fields in one response.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lockstitch.v1 import checkpoint_service_pb2, session_service_pb2

SERVICES = (
    checkpoint_service_pb2.DESCRIPTOR.services_by_name["CheckpointService"],
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}
INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
FIRST_SECOND = 1_700_000_000
CONTENT = {f"lockstitch.v1.{name}" for name in ("Checkpoint", "PendingWrite", "StateDelta", "NodeKind")}
"""The contents of these messages are compared by other tests."""

Path = tuple[str, ...]
"""A message and the fields from it to a value, by name."""


class ScriptedServer:
    """Where it is, the fields that its requests had, and the values of its responses."""

    def __init__(self) -> None:
        self.target = ""
        self.fields: set[Path] = set()
        self.values: dict[Path, str] = {}
        self._lock = threading.Lock()

    def respond(self, method: MethodDescriptor, request: Message) -> Iterator[Message]:
        """The responses of a call: one, but of a stream one for each choice of a `oneof`."""
        with self._lock:
            self.fields |= fields_of(request)
            choices = method.output_type.oneofs_by_name
            count = max((len(oneof.fields) for oneof in choices.values()), default=1)
            for choice in range(count if method.server_streaming else 1):
                response = GetMessageClass(method.output_type)()
                self._fill(response, (method.output_type.name,), choice)
                self._follow(request, response)
                yield response

    def _fill(self, message: Message, path: Path, choice: int) -> None:
        """Set the fields, of each `oneof` the one of this number."""
        kind: Any = message.DESCRIPTOR
        for field in kind.fields:
            oneof = field.containing_oneof
            is_chosen = oneof is None or oneof.fields.index(field) == choice % len(oneof.fields)
            if is_chosen and field.message_type is not kind:
                self._set(message, field, (*path, field.name), choice)

    def _set(self, message: Any, field: FieldDescriptor, path: Path, choice: int) -> None:
        value = getattr(message, field.name)
        if is_map(field):
            value[self._text(path)] = self._text(path)
        elif field.message_type is not None:
            inside = value.add() if field.is_repeated else value
            inside.SetInParent()
            self._fill_inside(inside, path, choice)
        else:
            scalar = self._scalar(field, path)
            value.append(scalar) if field.is_repeated else setattr(message, field.name, scalar)

    def _fill_inside(self, inside: Any, path: Path, choice: int) -> None:
        name = inside.DESCRIPTOR.full_name
        if name == "google.protobuf.Timestamp":
            inside.seconds = FIRST_SECOND + self._number(path)
        elif name == "google.protobuf.Duration":
            inside.seconds = self._number(path)
        elif name == "lockstitch.v1.Status":
            inside.code, inside.message = 15, self._text(path)
        elif name == "lockstitch.v1.Checkpoint":
            inside.checkpoint_id = self._text(path)
        elif name == "lockstitch.v1.PendingWrite":
            inside.task_id = self._text(path)
        else:
            self._fill(inside, path, choice)

    def _scalar(self, field: FieldDescriptor, path: Path) -> Any:
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return True
        if field.enum_type is not None:
            self.values[path] = field.enum_type.values[2].name.rpartition("_")[2]
            return 2
        if field.cpp_type in INTEGERS:
            return self._number(path)
        return self._text(path).encode() if field.type == FieldDescriptor.TYPE_BYTES else self._text(path)

    def _number(self, path: Path) -> int:
        if path not in self.values:
            self.values[path] = str(10_000 + len(self.values))
        return int(self.values[path])

    def _text(self, path: Path) -> str:
        return self.values.setdefault(path, f"text-{len(self.values)}-")

    def _follow(self, request: Any, response: Any) -> None:
        """What a response must say so that a client goes on with it."""
        if isinstance(response, checkpoint_service_pb2.SaveStreamResponse):
            response.request_id = request.request_id
        if isinstance(response, checkpoint_service_pb2.LoadLatestStreamResponse):
            response.index = 0 if response.HasField("loaded") else 1
        if isinstance(response, session_service_pb2.PruneSessionsResponse) and request.page_token:
            response.Clear()  # callers get the sum of the pages


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def fields_of(message: Message, path: Path = ()) -> set[Path]:
    """The fields that a request has, also those of messages within it."""
    found: set[Path] = set()
    for field, value in message.ListFields():
        found.add(inner := _path_of(field, path))
        if field.message_type is not None and not is_map(field):
            for inside in value if field.is_repeated else [value]:
                found |= fields_of(inside, inner)
    return found


def fields_in(descriptor: Descriptor, path: Path = ()) -> set[Path]:
    """The fields that a request can have, as `fields_of`, without those of a checkpoint, its writes and changes."""
    found: set[Path] = set()
    for field in descriptor.fields:
        found.add(inner := _path_of(field, path))
        kind = field.message_type
        if kind is None or is_map(field) or kind is descriptor:
            continue
        if kind.full_name not in CONTENT and not kind.full_name.startswith("google."):
            found |= fields_in(kind, inner)
    return found


def _path_of(field: FieldDescriptor, path: Path) -> Path:
    assert field.containing_type is not None
    kind = field.containing_type.name
    # A save is the same, whichever call it goes by.
    return (kind, field.name) if not path or kind == "SaveRequest" else (*path, field.name)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        method = METHODS.get(handler_call_details.method)
        if method is None:
            return None
        respond = self._server.respond
        decode = GetMessageClass(method.input_type).FromString

        def stream(requests: Any, context: Any) -> Iterator[Message]:
            for request in requests if method.client_streaming else [requests]:
                yield from respond(method, request)

        def unary(request: Message, context: Any) -> Message:
            return next(iter(respond(method, request)))

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, decode, _encode)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, decode, _encode)
        return grpc.unary_unary_rpc_method_handler(unary, decode, _encode)


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    with ThreadPoolExecutor(8) as threads:
        scripted = ScriptedServer()
        server = grpc.server(threads, handlers=[_Handler(scripted)])
        scripted.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield scripted
        finally:
            server.stop(None).wait()
