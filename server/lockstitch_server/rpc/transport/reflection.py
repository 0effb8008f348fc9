"""`grpc.reflection.v1alpha.ServerReflection`: gRPC's own servicer, for requests that may be compressed."""

from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.transport.unpacking import GZIP, unpack

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, ServerReflectionResponse]"

SERVICE_NAME: str = reflection.SERVICE_NAME
MAX_REQUEST_BYTES = 4096


def reflection_handlers(services: Iterable[str]) -> grpc.GenericRpcHandler:
    """The service. services: the full names of all services of the server but this one."""
    servicer = reflection.aio.ReflectionServicer((*services, SERVICE_NAME))

    async def call(messages: AsyncIterator[bytes], context: ServicerContext) -> AsyncIterator[ServerReflectionResponse]:
        async for response in servicer.ServerReflectionInfo(_requests(messages, context), context):
            yield response

    methods: dict[str, grpc.RpcMethodHandler[bytes, ServerReflectionResponse]] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            call, response_serializer=ServerReflectionResponse.SerializeToString
        )
    }
    return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)


async def _requests(messages: AsyncIterator[bytes], context: ServicerContext) -> AsyncIterator[ServerReflectionRequest]:
    async for data in messages:
        try:
            message = unpack(data, MAX_REQUEST_BYTES, "of reflection") if data.startswith(GZIP) else data
            yield ServerReflectionRequest.FromString(message)
        except (DecodeError, Failure):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no ServerReflectionRequest")
