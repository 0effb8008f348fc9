"""The methods that are served, by path: the same handlers as those of grpc.aio."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.empty_pb2 import Empty

from lockstitch_server.rpc.transport.http.body import SizeLimit


class _CallDetails(NamedTuple):
    method: str
    invocation_metadata: tuple[()] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method.

    handle: what answers it: `async (messages, call) -> bytes`, or an async generator where it has many answers.
    limit: bytes of a message of its requests.
    """

    path: str
    handle: Any
    limit: SizeLimit
    request: Descriptor
    response: Descriptor
    has_many_requests: bool
    has_many_responses: bool


NO_ENDPOINT = Endpoint("", None, SizeLimit(0, ""), Empty.DESCRIPTOR, Empty.DESCRIPTOR, False, False)
"""Stands for the method of a call that is refused before its method is asked."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service with what answers it."""

    descriptor: ServiceDescriptor
    handlers: grpc.GenericRpcHandler
    limit: SizeLimit


def endpoints_of(services: Iterable[Service]) -> Mapping[str, Endpoint]:
    """All methods of the services, by their paths."""
    methods = [(service, method) for service in services for method in service.descriptor.methods]
    found = [_endpoint(service, method) for service, method in methods]
    return {endpoint.path: endpoint for endpoint in found if endpoint is not None}


def _endpoint(service: Service, method: MethodDescriptor) -> Endpoint | None:
    path = f"/{service.descriptor.full_name}/{method.name}"
    handler: Any = service.handlers.service(_CallDetails(path))  # type: ignore[arg-type]
    if handler is None:
        return None
    handle = handler.stream_stream if handler.response_streaming else handler.stream_unary
    return Endpoint(
        path,
        _serialized(handle, handler.response_serializer) if handler.response_serializer else handle,
        service.limit,
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )


def _serialized(handle: Any, serialize: Any) -> Any:
    """A handler whose answers are messages, as one whose answers are bytes."""

    async def call(messages: Any, context: Any) -> Any:
        async for answer in handle(messages, context):
            yield serialize(answer)

    return call
