"""A gRPC server that answers `Save` as it is told: for what a sound server does not do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse

Context = grpc.ServicerContext
Handler = Callable[[SaveRequest, Context], SaveResponse]


@dataclass
class Scripted:
    """Takes one handler after the other; the last one stays."""

    handlers: list[Handler] = field(default_factory=list)
    requests: list[SaveRequest] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    target: str = ""

    def save(self, request: SaveRequest, context: Context) -> SaveResponse:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return handler(request, context)


@contextmanager
def scripted_server(*handlers: Handler, credentials: grpc.ServerCredentials | None = None) -> Iterator[Scripted]:
    scripted = Scripted(list(handlers))
    method = grpc.unary_unary_rpc_method_handler(scripted.save, SaveRequest.FromString, SaveResponse.SerializeToString)
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("lockstitch.v1.CheckpointService", {"Save": method}),)
    )
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    scripted.target = f"127.0.0.1:{port}"
    server.start()
    try:
        yield scripted
    finally:
        server.stop(None).wait()


def succeed(request: SaveRequest, context: Context) -> SaveResponse:
    return SaveResponse(checkpoint_id="id", revision=1)


def fail(code: grpc.StatusCode, message: str = "", details: bytes | None = None) -> Handler:
    """Fail; `details`: a serialized google.rpc.Status."""

    def handler(request: SaveRequest, context: Context) -> SaveResponse:
        if details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(code, message)

    return handler
