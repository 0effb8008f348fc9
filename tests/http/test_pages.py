"""Health, metrics, reflection, and which pages of browsers may call."""

from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.http.conftest import PAGES
from tests.http.requests import CHECKPOINTS, ask, post
from tests.support.server import LockstitchServer

LOAD = f"{CHECKPOINTS}LoadLatest"


def test_health(server: LockstitchServer) -> None:
    assert ask(server.target, "GET", "/healthz").body == b"ok\n"
    assert ask(server.target, "GET", "/readyz").body == b"ready\n"
    assert post(server.target, "/grpc.health.v1.Health/Check", {}).json == {"status": "SERVING"}
    listed = post(server.target, "/grpc.health.v1.Health/List", {}).json["statuses"]
    assert listed["lockstitch.v1.CheckpointService"] == {"status": "SERVING"}


def test_metrics(server: LockstitchServer) -> None:
    assert post(server.target, LOAD, {"sessionId": "metrics"}).status == 200
    answer = ask(server.target, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b'rpc_method="lockstitch.v1.CheckpointService/LoadLatest"' in answer.body


async def test_reflection(server: LockstitchServer) -> None:
    async with grpc.aio.insecure_channel(server.target) as channel:
        ask_server: Any = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
        call = ask_server(iter([ServerReflectionRequest(list_services="")]), timeout=30)
        (answer,) = [each async for each in call]
    names = {service.name for service in answer.list_services_response.service}
    assert {"lockstitch.v1.CheckpointService", "grpc.health.v1.Health"} <= names


class TestOrigins:
    def test_pages_that_are_listed(self, server: LockstitchServer) -> None:
        asked = ask(
            server.target,
            "OPTIONS",
            LOAD,
            headers={
                "origin": PAGES,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type",
            },
        )
        assert asked.status == 200
        assert asked.headers["access-control-allow-origin"] == PAGES
        assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "access-control-allow-credentials" not in asked.headers
        answer = post(server.target, LOAD, {"sessionId": "page"}, origin=PAGES)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGES)
        assert "grpc-status" in answer.headers["access-control-expose-headers"]

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.org.evil.example"])
    def test_all_other_pages(self, server: LockstitchServer, origin: str) -> None:
        """Even where the page's name leads to this machine, so that its browser takes it for the server's own."""
        for answer in (
            post(server.target, LOAD, {"sessionId": "page"}, origin=origin),
            ask(server.target, "OPTIONS", LOAD, headers={"origin": origin}),
        ):
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
