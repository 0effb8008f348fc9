"""A gRPC server that does nothing: `python -m benchmarks.ceiling ADDRESS`."""

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


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
