"""A save leaves a trace: the right spans, each within the right one, whatever way it has come."""

import json
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.duration_pb2 import Duration

import lockstitch
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest
from lockstitch.v1.session_service_pb2 import WatchSessionRequest
from tests.support.api import grpc_api
from tests.support.envoy import Envoy
from tests.support.server import LockstitchServer
from tests.support.streams import save_all, sent
from tests.telemetry.conftest import Start
from tests.telemetry.receiver import Receiver, Span

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE}-{CALLER}-00"
SERVER, CLIENT, INTERNAL = 2, 3, 1
SAVE = "lockstitch.v1.CheckpointService/Save"
SAVE_STREAM = "lockstitch.v1.CheckpointService/SaveStream"
WATCH = "lockstitch.v1.SessionService/WatchSession"


def save(server: LockstitchServer, session: str = "s", **metadata: str) -> None:
    """Save step 3 by a call of its own."""
    with lockstitch.Client(server.target, metadata=list(metadata.items())) as client:
        client.save(Checkpoint(session_id=session, step=3))


def spans_of(spans: list[Span], trace_id: str = TRACE) -> dict[str, Span]:
    """The spans of a trace by name."""
    return {span.name: span for span in spans if span.trace_id == trace_id}


def endpoint(receiver: Receiver) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}"}


class TestOneSave:
    def test_has_all_its_spans(self, start: Start, receiver: Receiver, postgres_url: str) -> None:
        server = start("--migrate", store=postgres_url, **endpoint(receiver))
        save(server, "agent", traceparent=SAMPLED)
        spans = spans_of(receiver.wait(lambda spans: {SAVE, "commit"} <= spans_of(spans).keys()))
        assert spans.keys() == {SAVE, "commit"}
        call, commit = spans[SAVE], spans["commit"]
        assert (call.parent_id, call.kind) == (CALLER, SERVER)
        assert (commit.parent_id, commit.kind) == (call.span_id, INTERNAL)
        assert commit.links == ((TRACE, call.span_id),)
        assert call.links == ((TRACE, commit.span_id),)
        assert call.begun <= commit.begun <= commit.ended <= call.ended
        times = call.attributes["lockstitch.queue.wait"], call.attributes["lockstitch.validation.duration"]
        assert min(times) >= 0
        assert 0 < sum(times) <= (commit.begun - call.begun) / 1e9

    def test_is_one_through_envoy(self, start: Start, receiver: Receiver, postgres_url: str) -> None:
        server = start("--migrate", store=postgres_url, **endpoint(receiver))
        with Envoy("envoy.yaml", [server.target]) as envoy:
            with lockstitch.Client(envoy.target, metadata=[("traceparent", SAMPLED)]) as client:
                client.save(Checkpoint(session_id="agent", step=3))
            spans = spans_of(receiver.wait(lambda spans: {SAVE, "commit"} <= spans_of(spans).keys()))
        assert spans[SAVE].parent_id == CALLER
        assert spans["commit"].parent_id == spans[SAVE].span_id

    def test_says_what_it_was(self, start: Start, receiver: Receiver, postgres_url: str) -> None:
        server = start("--migrate", store=postgres_url, **endpoint(receiver))
        save(server, "agent", traceparent=SAMPLED)
        spans = spans_of(receiver.wait(lambda spans: {SAVE, "commit"} <= spans_of(spans).keys()))
        call = spans[SAVE]
        expected = {
            "rpc.system.name": "grpc",
            "rpc.method": SAVE,
            "rpc.response.status_code": "OK",
            "lockstitch.session.id": "agent",
            "lockstitch.step": 3,
            "lockstitch.save.kind": "full",
            "lockstitch.save.outcome": "created",
        }
        assert expected.items() <= call.attributes.items()
        assert call.attributes["lockstitch.request.size"] > 0
        assert spans["commit"].attributes["lockstitch.batch.size"] == 1
        assert spans["commit"].attributes["lockstitch.batch.bytes"] > 0
        (write,) = spans["commit"].events.values()
        assert write["db.operation.name"] == "write"
        assert write["db.system.name"] == "postgresql"
        assert write["db.client.operation.duration"] > 0
        assert write["lockstitch.stored.size"] > 0
        assert call.resource["service.name"] == "lockstitch"
        assert call.resource["service.instance.id"]

    def test_of_an_unsampled_trace_has_none_but_keeps_its_id(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        save(server, traceparent=UNSAMPLED)
        save(server, "later", traceparent=SAMPLED.replace(TRACE, "1" * 32))
        spans = receiver.wait(lambda spans: SAVE in spans_of(spans, "1" * 32))
        assert spans_of(spans) == {}
        with lockstitch.Client(server.target) as client:
            assert client.load_latest("s").trace_id == TRACE

    def test_of_nobodys_trace_begins_one(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        save(server)
        spans = receiver.wait(lambda spans: any(span.name == SAVE for span in spans))
        (call,) = (span for span in spans if span.name == SAVE)
        assert call.parent_id == ""
        with lockstitch.Client(server.target) as client:
            assert client.load_latest("s").trace_id == call.trace_id

    def test_that_is_refused_says_why(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        with pytest.raises(lockstitch.InvalidArgument):
            save(server, "", traceparent=SAMPLED)
        spans = spans_of(receiver.wait(lambda spans: SAVE in spans_of(spans)))
        assert spans[SAVE].attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
        assert spans[SAVE].attributes["error.type"] == "INVALID_ARGUMENT"
        assert spans[SAVE].attributes["lockstitch.error.reason"] == "INVALID_FIELD"
        assert spans[SAVE].attributes["lockstitch.validation.duration"] > 0
        assert not spans[SAVE].is_error, "it is the caller's"


class TestStreams:
    async def test_every_save_is_in_its_own_trace(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        traces = [f"{number:032x}" for number in range(1, 6)]
        requests = [
            SaveStreamRequest(
                request_id=number,
                save=SaveRequest(checkpoint=Checkpoint(session_id=f"s{number}", step=3)),
                trace_context={"traceparent": SAMPLED.replace(TRACE, trace)},
            )
            for number, trace in enumerate(traces)
        ]
        batch = [SaveStreamRequest(batch=requests[1:])]
        async with grpc_api(server.target) as api:
            await save_all(api, [requests[0]])
            await drained(api.save_stream(sent(batch)))

        def linked(spans: list[Span]) -> set[tuple[str, str]]:
            return {link for span in spans if span.name == "commit" for link in span.links}

        spans = receiver.wait(
            lambda spans: len(linked(spans)) == 5 and all(SAVE_STREAM in spans_of(spans, trace) for trace in traces)
        )
        for number, trace in enumerate(traces):
            mine = spans_of(spans, trace)
            call = mine[SAVE_STREAM]
            assert call.parent_id == CALLER
            assert call.attributes["lockstitch.session.id"] == f"s{number}"
            assert call.attributes["lockstitch.save.outcome"] == "created"
            assert call.attributes["lockstitch.queue.wait"] >= 0
            assert call.attributes["lockstitch.validation.duration"] > 0
            assert (trace, call.span_id) in linked(spans)
            (commit,) = (span for span in spans if call.links == ((span.trace_id, span.span_id),))
            assert commit.name == "commit"

    async def test_saves_of_nobodys_trace_begin_one_each(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        items = [
            SaveStreamRequest(request_id=number, save=SaveRequest(checkpoint=Checkpoint(session_id=f"s{number}")))
            for number in range(3)
        ]
        async with grpc_api(server.target) as api:
            await drained(api.save_stream(sent([items[0], SaveStreamRequest(batch=items[1:])])))
        spans = receiver.wait(lambda spans: sum(span.name == SAVE_STREAM for span in spans) == 3)
        begun = {span.attributes["lockstitch.session.id"]: span for span in spans if span.name == SAVE_STREAM}
        assert {span.parent_id for span in begun.values()} == {""}
        with lockstitch.Client(server.target) as client:
            for session, span in begun.items():
                assert client.load_latest(session).trace_id == span.trace_id

    async def test_a_save_that_is_refused_names_its_session(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        wrong = SaveStreamRequest(save=SaveRequest(checkpoint=Checkpoint(session_id="s", step=2**63)))
        async with grpc_api(server.target) as api:
            await drained(api.save_stream(sent([wrong])))
        spans = receiver.wait(lambda spans: any(span.name == SAVE_STREAM for span in spans))
        (call,) = (span for span in spans if span.name == SAVE_STREAM)
        assert call.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
        assert call.attributes["lockstitch.session.id"] == "s"

    async def test_saves_that_name_no_trace_are_in_the_calls(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        request = SaveStreamRequest(save=SaveRequest(checkpoint=Checkpoint(session_id="s", step=3)))
        async with grpc.aio.insecure_channel(server.target) as channel:
            method: Any = channel.stream_stream(f"/{SAVE_STREAM}")
            await drained(method(sent([request]), metadata=(("traceparent", SAMPLED),)))
        spans = receiver.wait(lambda spans: SAVE_STREAM in spans_of(spans))
        assert spans_of(spans)[SAVE_STREAM].parent_id == CALLER
        with lockstitch.Client(server.target) as client:
            assert client.load_latest("s").trace_id == TRACE


async def drained(answers: AsyncIterable[object]) -> None:
    async for _ in answers:
        pass


class TestACallThatIsGivenUp:
    async def test_says_who_had_called(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        async with watching(server, timeout=2.001) as call:  # which gRPC sends as 2.01
            with pytest.raises(grpc.aio.AioRpcError):
                await drained(call)
        span = spans_of(receiver.wait(lambda spans: WATCH in spans_of(spans)))[WATCH]
        assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert span.attributes["network.peer.address"].startswith("ipv4:127.0.0.1:")

    async def test_before_its_deadline_is_cancelled(self, start: Start, receiver: Receiver) -> None:
        server = start(**endpoint(receiver))
        async with watching(server, timeout=60, heartbeat=Duration(seconds=1)) as call:
            await anext(aiter(call))
            call.cancel()
        span = spans_of(receiver.wait(lambda spans: WATCH in spans_of(spans)))[WATCH]
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"


@asynccontextmanager
async def watching(
    server: LockstitchServer, *, timeout: float, heartbeat: Duration | None = None
) -> AsyncIterator[Any]:
    """A call of WatchSession over a connection that is there."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        await channel.channel_ready()
        watch: Any = channel.unary_stream(f"/{WATCH}", request_serializer=WatchSessionRequest.SerializeToString)
        request = WatchSessionRequest(session_id="agent", heartbeat=heartbeat)
        yield watch(request, metadata=(("traceparent", SAMPLED),), timeout=timeout)


class TestWhatIsAskedFor:
    def test_another_propagator(self, start: Start, receiver: Receiver) -> None:
        server = start(OTEL_PROPAGATORS="b3", **endpoint(receiver))
        save(server, b3=f"{TRACE}-{CALLER}-1")
        assert spans_of(receiver.wait(lambda spans: SAVE in spans_of(spans)))[SAVE].parent_id == CALLER

    def test_http(self, start: Start) -> None:
        server = start(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
        save(server, traceparent=SAMPLED)  # nobody listens: see the collector's tests

    def test_a_sampler(self, start: Start, receiver: Receiver) -> None:
        server = start(OTEL_TRACES_SAMPLER="always_off", **endpoint(receiver))
        save(server, traceparent=SAMPLED)
        server.stop()
        assert receiver.spans == []

    def test_baggage_and_hidden_ids(self, start: Start, receiver: Receiver) -> None:
        arguments = ("--set", "trace_baggage=user.tier", "--set", "session_id_logging=hash")
        server = start(*arguments, **endpoint(receiver))
        save(server, "agent", traceparent=SAMPLED, baggage="user.tier=gold,secret=x")
        call = spans_of(receiver.wait(lambda spans: SAVE in spans_of(spans)))[SAVE]
        assert call.attributes["baggage.user.tier"] == "gold"
        assert call.attributes["lockstitch.session.id"] == "d4f0bc5a29de06b5"
        assert "x" not in call.attributes.values()

    @pytest.mark.parametrize(
        ("environment", "why"),
        [
            ({"OTEL_TRACES_EXPORTER": "nonsense"}, "'nonsense'"),
            (
                {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER_ARG": "2", "OTEL_TRACES_SAMPLER": "traceidratio"},
                "2",
            ),
        ],
    )
    def test_what_cannot_be_is_told_and_done_without(self, start: Start, environment: dict[str, str], why: str) -> None:
        server = start("--log-format", "json", **environment)
        save(server, traceparent=SAMPLED)
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        assert any(line["message"] == "tracing_is_off" and why in line["reason"] for line in lines)

    @pytest.mark.parametrize("environment", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
    def test_none(self, start: Start, receiver: Receiver, environment: dict[str, str]) -> None:
        server = start(**(environment and endpoint(receiver)), **environment)
        save(server, traceparent=SAMPLED)
        server.stop()
        assert receiver.spans == []


class TestACollectorThatDoesNotTakeThem:
    @pytest.fixture(params=["down", "slow", "refuses"])
    def address(self, request: pytest.FixtureRequest, receiver: Receiver) -> str:
        if request.param == "down":
            return "127.0.0.1:1"
        receiver.delay = 3600 if request.param == "slow" else 0
        receiver.code = grpc.StatusCode.PERMISSION_DENIED if request.param == "refuses" else None
        return receiver.address

    def test_costs_nothing_but_its_spans(self, start: Start, address: str) -> None:
        environment = {
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        }
        server = start("--log-format", "json", **environment)
        with lockstitch.Client(server.target, metadata=[("traceparent", SAMPLED)]) as client:
            for step in range(200):
                client.save(Checkpoint(session_id="s", step=step))
            before = _memory(server)
            for step in range(200, 600):
                client.save(Checkpoint(session_id="s", step=step))
        assert _memory(server) - before < 32 * 1024 * 1024
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 20
        lost = [
            line for line in map(json.loads, server.log.read_text().splitlines()) if line["message"] == "spans_lost"
        ]
        assert sum(line["dropped"] + line["failed"] for line in lost) >= 600


def _memory(server: LockstitchServer) -> int:
    assert server._process is not None
    process = psutil.Process(server._process.pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
