"""A gRPC server that does nothing: `python -m benchmarks.ceiling ADDRESS [http]`. http: on h2corn, not on grpc.aio."""

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from lockstitch.v1.checkpoint_service_pb2 import SAVE_OUTCOME_CREATED, SaveResponse

ANSWER = SaveResponse(checkpoint_id="0" * 20, revision=1, outcome=SAVE_OUTCOME_CREATED).SerializeToString()


async def save(request: bytes, context: object) -> bytes:
    return ANSWER


async def serve(target: str) -> None:
    server = grpc.aio.server()
    methods: dict[str, Any] = {"Save": grpc.unary_unary_rpc_method_handler(save)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lockstitch.v1.CheckpointService", methods),))
    server.add_insecure_port(target)
    await server.start()
    await asyncio.Event().wait()


async def serve_http(target: str) -> None:
    from h2corn import Config, Server

    await Server(answer, Config(bind=(target,), grpc=True, access_log=False, lifespan="off", log_format="json")).serve()


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """As the HTTP door answers a unary call."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/grpc")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": b"\0" + len(ANSWER).to_bytes(4, "big") + ANSWER})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})


if __name__ == "__main__":
    uvloop.run((serve_http if "http" in sys.argv[2:] else serve)(sys.argv[1]))
