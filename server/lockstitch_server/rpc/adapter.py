"""A thin layer between grpc.aio and the dispatcher."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.context import CallContext
from lockstitch_server.rpc.dispatch import SERVICE, Dispatcher
from lockstitch_server.rpc.errors import DETAILS_KEY, code_of, status_of
from lockstitch_server.rpc.gate import Gate

REQUEST_ID_KEY = "x-request-id"

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

log = structlog.get_logger(__name__)


def service_handler(dispatcher: Dispatcher, gate: Gate) -> grpc.GenericRpcHandler:
    """All methods of CheckpointService, on bytes: parsing is the dispatcher's, and so are its errors."""
    return grpc.method_handlers_generic_handler(
        SERVICE.full_name, {method.name: _method_handler(dispatcher, gate, method) for method in SERVICE.methods}
    )


def _method_handler(
    dispatcher: Dispatcher, gate: Gate, method: MethodDescriptor
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(dispatcher, gate, method))
    return grpc.unary_unary_rpc_method_handler(_unary(dispatcher, gate, method))


def _unary(
    dispatcher: Dispatcher, gate: Gate, method: MethodDescriptor
) -> Callable[[bytes, ServicerContext], Awaitable[bytes]]:
    async def call(data: bytes, grpc_context: ServicerContext) -> bytes:
        context = CallContext()
        try:
            with gate.call():
                return await dispatcher.unary(method, data, context)
        except Exception as error:
            await _abort(error, method, grpc_context)

    return call


def _stream(
    dispatcher: Dispatcher, gate: Gate, method: MethodDescriptor
) -> Callable[[bytes, ServicerContext], AsyncIterator[bytes]]:
    async def call(data: bytes, grpc_context: ServicerContext) -> AsyncIterator[bytes]:
        context = CallContext()
        try:
            with gate.call():
                async for answer in dispatcher.stream(method, data, context):
                    yield answer
        except Exception as error:
            await _abort(error, method, grpc_context)

    return call


async def _abort(error: Exception, method: MethodDescriptor, grpc_context: ServicerContext) -> NoReturn:
    """End a call with its failure. What is no failure of the caller's is logged, and told without its text."""
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    failure = error if isinstance(error, Failure) else _masked(error, method, grpc_context)
    status = status_of(failure).SerializeToString()
    await grpc_context.abort(code_of(failure), failure.message, ((DETAILS_KEY, status),))


def _masked(error: Exception, method: MethodDescriptor, grpc_context: ServicerContext) -> Failure:
    request_id = _request_id(grpc_context)
    log.error("call_broken", method=method.full_name, request_id=request_id, exc_info=error)
    return Failure(Reason.INTERNAL, "the server failed; its log tells more", request_id=request_id)


def _request_id(grpc_context: ServicerContext) -> str:
    """The caller's own id for the call, else a new one."""
    for name, value in grpc_context.invocation_metadata() or ():
        if name == REQUEST_ID_KEY and isinstance(value, str):
            return value[:128]
    return secrets.token_hex(8)
