"""A thin layer between grpc.aio and the handlers of all methods."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.dispatcher import Dispatcher
from lockstitch_server.rpc.errors import DETAILS_KEY, AbortedCall, code_of, status_of
from lockstitch_server.rpc.handler_types import StreamHandler, UnaryHandler
from lockstitch_server.rpc.interceptors import Interceptor, wrap_stream, wrap_unary
from lockstitch_server.rpc.transport.receiving import Receiver

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

log = structlog.get_logger(__name__)


def service_handlers(
    dispatcher: Dispatcher, interceptors: Sequence[Interceptor], receiver: Receiver
) -> list[grpc.GenericRpcHandler]:
    """All methods of all services, on bytes: parsing is the dispatcher's, and so are its errors."""
    return [_service_handler(dispatcher, interceptors, receiver, service) for service in dispatcher.services]


def _service_handler(
    dispatcher: Dispatcher, interceptors: Sequence[Interceptor], receiver: Receiver, service: ServiceDescriptor
) -> grpc.GenericRpcHandler:
    handlers = {method.name: _method_handler(dispatcher, interceptors, receiver, method) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _method_handler(
    dispatcher: Dispatcher, interceptors: Sequence[Interceptor], receiver: Receiver, method: MethodDescriptor
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """For gRPC, every method takes a stream: it reads the one request of others before it begins them."""
    if not method.server_streaming:
        unary = wrap_unary(interceptors, method, partial(dispatcher.unary, method))
        return grpc.stream_unary_rpc_method_handler(_unary(method, receiver, unary))
    stream = wrap_stream(interceptors, method, partial(dispatcher.stream, method))
    return grpc.stream_stream_rpc_method_handler(_stream(method, receiver, stream))


def _unary(
    method: MethodDescriptor, receiver: Receiver, handle: UnaryHandler
) -> Callable[[object, ServicerContext], Awaitable[bytes]]:
    async def call(_: object, grpc_context: ServicerContext) -> bytes:
        context = CallContext(transport=grpc_context)
        try:
            return await handle(await receiver.request(method, context, grpc_context), context)
        except Exception as error:
            await _abort(error, method, context, grpc_context)

    return call


def _stream(
    method: MethodDescriptor, receiver: Receiver, handle: StreamHandler
) -> Callable[[object, ServicerContext], AsyncIterator[bytes]]:
    receive = receiver.requests if method.client_streaming else receiver.request

    async def call(_: object, grpc_context: ServicerContext) -> AsyncIterator[bytes]:
        context = CallContext(transport=grpc_context)
        try:
            incoming = await receive(method, context, grpc_context)
            async with aclosing(handle(incoming, context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:
            await _abort(error, method, context, grpc_context)

    return call


async def _abort(
    error: Exception, method: MethodDescriptor, context: CallContext, grpc_context: ServicerContext
) -> NoReturn:
    """End a call with its failure. What is no failure of the caller's is logged, and told without its text."""
    if type(error) is AbortedCall:  # the others have ended their calls
        await grpc_context.abort(error.code, str(error), grpc_context.trailing_metadata() or ())
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    failure = error if isinstance(error, Failure) else _masked(error, method, context)
    error.with_traceback(None)  # gRPC keeps it until the next garbage collection, and so the request
    status = status_of(failure).SerializeToString()
    metadata = grpc_context.trailing_metadata() or ()  # `abort` replaces what was set before
    await grpc_context.abort(code_of(failure), failure.message, (*metadata, (DETAILS_KEY, status)))


def _masked(error: Exception, method: MethodDescriptor, context: CallContext) -> Failure:
    request_id = context.call_id()
    log.error("call_failed", method=method.full_name, request_id=request_id, exc_info=error)
    return Failure(Reason.INTERNAL, "the server failed; its log has the error", request_id=request_id)
