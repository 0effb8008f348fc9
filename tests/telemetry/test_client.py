"""The Python client's spans, in an application that has a tracer."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import lockstitch
from lockstitch import _tracing
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.support.server import LockstitchServer
from tests.telemetry.conftest import Start
from tests.telemetry.receiver import Receiver
from tests.telemetry.test_traces import SAVE, SAVE_STREAM, endpoint

pytestmark = pytest.mark.timeout(300)

PROVIDER = TracerProvider()
"""OpenTelemetry takes one provider in the life of a process."""


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    PROVIDER.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the client has traced. The application's provider is there for the test alone."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: PROVIDER)
    monkeypatch.setattr(trace, "get_tracer", PROVIDER.get_tracer)
    exporter.clear()
    return exporter


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://") as server:
        yield server


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_a_call_has_one(server: LockstitchServer, spans: InMemorySpanExporter) -> None:
    with lockstitch.Client(server.target) as client, PROVIDER.get_tracer("app").start_as_current_span("step") as step:
        client.save(Checkpoint(session_id="s", step=1))
        span = only(spans)
        assert (span.name, span.kind) == (SAVE, trace.SpanKind.CLIENT)
        assert span.parent == step.get_span_context()
        assert client.load_latest("s").trace_id == id_of(span)
    host, _, port = server.target.partition(":")
    expected = {"rpc.system.name": "grpc", "rpc.method": SAVE, "rpc.response.status_code": "OK"}
    assert {**expected, "server.address": host, "server.port": int(port)}.items() <= dict(span.attributes or {}).items()


def test_a_failure_is_told(server: LockstitchServer, spans: InMemorySpanExporter) -> None:
    with lockstitch.Client(server.target) as client, pytest.raises(lockstitch.InvalidArgument):
        client.save(Checkpoint(session_id="", step=1))
    span = only(spans)
    assert dict(span.attributes or {})["error.type"] == "INVALID_ARGUMENT"
    assert span.status.status_code is trace.StatusCode.ERROR


def test_saves_on_one_stream_have_one_each(server: LockstitchServer, spans: InMemorySpanExporter) -> None:
    async def save_many() -> list[str]:
        async with lockstitch.AsyncClient(server.target) as client:
            saves = (client.save(Checkpoint(session_id=f"many-{number}", step=1)) for number in range(20))
            await asyncio.gather(*saves)
            return [(await client.load_latest(f"many-{number}")).trace_id for number in range(20)]

    stored = asyncio.run(save_many())
    saved = [id_of(span) for span in spans.get_finished_spans() if span.name == SAVE]
    assert len(saved) == 20
    assert sorted(saved) == sorted(stored), "each checkpoint knows the trace of its own save"


def test_a_state_that_is_wanted_whole_is_a_retry(server: LockstitchServer, spans: InMemorySpanExporter) -> None:
    def grown(step: int) -> Checkpoint:
        checkpoint = Checkpoint(session_id="grown", step=step)
        for number in range(50 + step):
            checkpoint.state.messages.items.add(role="user", content=f"message {number}")
        return checkpoint

    with lockstitch.Client(server.target) as client, lockstitch.Client(server.target) as other:
        client.save(grown(1))
        changed = grown(1)
        changed.state.messages.items[0].content = "other"
        other.save(changed)
        spans.clear()
        client.save(grown(2))
    span = only(spans)
    assert [event.name for event in span.events] == ["retry"]
    assert dict(span.attributes or {})["lockstitch.retries"] == 1


def test_a_stream_of_answers_has_one(server: LockstitchServer, spans: InMemorySpanExporter) -> None:
    with lockstitch.Client(server.target) as client:
        assert [latest.session_id for latest in client.load_latest_many(["a", "b"])]
    assert only(spans).name == "lockstitch.v1.CheckpointService/LoadLatestStream"


def test_the_servers_spans_are_within_the_clients(
    start: Start, receiver: Receiver, spans: InMemorySpanExporter
) -> None:
    server = start(**endpoint(receiver))
    with lockstitch.Client(server.target) as client:
        client.save(Checkpoint(session_id="s", step=1))
    mine = only(spans)
    assert mine.context is not None
    theirs = receiver.wait(lambda found: any(span.name == SAVE for span in found))
    (call,) = (span for span in theirs if span.name == SAVE)
    assert (call.trace_id, call.parent_id) == (id_of(mine), f"{mine.context.span_id:016x}")
    assert SAVE_STREAM not in {span.name for span in theirs}


def test_without_a_tracer_nothing_is_sent_along(server: LockstitchServer) -> None:
    with lockstitch.Client(server.target) as client:
        client.save(Checkpoint(session_id="plain", step=1))
        assert client.load_latest("plain").trace_id == ""


def test_without_opentelemetry_it_works(monkeypatch: pytest.MonkeyPatch, server: LockstitchServer) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    fresh = importlib.util.module_from_spec(importlib.util.find_spec("lockstitch._tracing"))  # type: ignore[arg-type]  # it is there
    assert fresh.__spec__ is not None
    assert fresh.__spec__.loader is not None
    fresh.__spec__.loader.exec_module(fresh)
    assert fresh.HAS_API is False
    with fresh.call_span("/a/b", server.target) as span:
        assert span.carrier == _tracing.NOTHING
