"""`grpc.health.v1.Health`: whether the process lives, and whether it can do its work.

"" is the process: it serves until it stops, whatever its database does, since to restart it would mend nothing. The
services of the contract are ready while the database answers and the server is not about to stop.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"

LIVENESS = ""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpcio-health-checking has no types
    """Tells what it has been told; `services` begin as ready."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._able = True
        self._leaving = False
        self._ended = False
        self._changed = asyncio.Event()

    def set_ready(self, able: bool) -> None:
        """Say whether the services can do their work."""
        self._able = able
        self._tell()

    def leave(self) -> None:
        """The server is about to stop: from now on nothing is ready."""
        self._leaving = True
        self._tell()

    def end(self) -> None:
        """End the calls of all who watch."""
        self._ended = True
        self._tell()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status == UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(
        self, request: health_pb2.HealthListRequest, context: ServicerContext
    ) -> health_pb2.HealthListResponse:
        names = [LIVENESS, *sorted(self._services)]
        statuses = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in names}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: ServicerContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            if self._ended:
                return
            await changed.wait()

    def _status(self, service: str) -> "health_pb2.HealthCheckResponse.ServingStatus":
        if service == LIVENESS:
            return SERVING
        if service not in self._services:
            return UNKNOWN
        return SERVING if self._able and not self._leaving else NOT_SERVING

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
