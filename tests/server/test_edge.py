"""The gRPC edge of a real server process: health, reflection, errors of the transport, stopping."""

from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import checkpoint_service_pb2_grpc as pb_grpc
from lockstitch.v1.error_pb2 import ErrorInfo, Status
from tests.support.server import LockstitchServer

SERVICE = "lockstitch.v1.CheckpointService"
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://", ["--set", f"limits.max_message_bytes={LIMIT}"]) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: LockstitchServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as opened:
        yield opened


def raw_save(channel: grpc.Channel, data: bytes) -> bytes:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Save")
    return call(data, timeout=10)


def info_of(error: grpc.RpcError) -> ErrorInfo:
    assert isinstance(error, grpc.Call)
    (status,) = (value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin")
    return ErrorInfo.FromString(Status.FromString(bytes(status)).details[0].value)


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_another_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="other"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_gives_the_contract(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE in set(database.get_services())
    file = database.FindFileContainingSymbol("lockstitch.v1.Checkpoint")
    assert file.name == "lockstitch/v1/checkpoint.proto"


def test_reflection_takes_compressed_requests(server: LockstitchServer) -> None:
    # gRPC sends a message as it is where gzip does not make it shorter.
    request = ServerReflectionRequest(host="h" * 2000, list_services="")
    with grpc.insecure_channel(server.target, compression=grpc.Compression.Gzip) as channel:
        stub = ServerReflectionStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        response = next(stub.ServerReflectionInfo(iter([request]), timeout=10))
    assert SERVICE in {service.name for service in response.list_services_response.service}


def test_a_reflection_request_that_is_no_message_is_an_invalid_argument(channel: grpc.Channel) -> None:
    ask: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    )
    with pytest.raises(grpc.RpcError) as caught:
        next(ask(iter([b"\xff"]), timeout=10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    forget: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Forget")
    with pytest.raises(grpc.RpcError) as caught:
        forget(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw_save(channel, b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "INVALID_FIELD"


def test_a_request_over_the_limit_is_told_the_limit(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw_save(channel, b"x" * (LIMIT + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = info_of(caught.value)
    assert (info.reason, info.metadata["limit"]) == ("TOO_LARGE", str(LIMIT))
    assert str(LIMIT) in (caught.value.details() or "")


def test_a_request_far_over_the_limit_is_refused_too(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw_save(channel, b"x" * (4 * 1024 * 1024))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_calls_that_run_are_answered_when_the_server_stops() -> None:
    with LockstitchServer("memory://") as server, grpc.insecure_channel(server.target) as channel:
        stub = pb_grpc.CheckpointServiceStub(channel)
        request = pb.SaveRequest()
        request.checkpoint.session_id = "s"
        stub.Save(request, timeout=10)
        calls = []
        for step in range(1, 200):
            request.checkpoint.step = step
            calls.append(stub.Save.future(request, timeout=20))
        calls[0].result()
        server.stop()
        assert {call.code() for call in calls} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
