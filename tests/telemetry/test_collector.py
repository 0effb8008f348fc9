"""One save, from a traced client to Postgres, arrives at a real Collector as one trace."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lockstitch
from lockstitch_server.telemetry.catalogue import METRICS
from lockstitch_server.telemetry.prometheus_server import prometheus_name
from tests.support.requirements import missing
from tests.telemetry.conftest import Start
from tests.telemetry.pages import total, wait_for_page
from tests.telemetry.real_collector import Collector, build, deployed, has_go, running
from tests.telemetry.receiver import Receiver, Span

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SAVE = "lockstitch.v1.CheckpointService/Save"
CLIENT = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
import lockstitch

provider = TracerProvider(resource=Resource.create({"service.name": "runner"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[2], insecure=True)))
trace.set_tracer_provider(provider)
with trace.get_tracer("runner").start_as_current_span("barrier") as span, lockstitch.Client(sys.argv[1]) as client:
    client.save(lockstitch.Checkpoint(session_id="agent", step=7))
    print(client.load_latest("agent").trace_id)
provider.shutdown()
"""


@pytest.fixture(scope="module")
def program() -> Path:
    if not has_go():
        missing("no Go, which builds the Collector")
    return build()


@pytest.fixture
def collector(program: Path, tmp_path: Path) -> Iterator[Collector]:
    with running(program, tmp_path) as collector:
        yield collector


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_save_is_one_trace(collector: Collector, start: Start, postgres_url: str, protocol: str) -> None:
    endpoint = collector.grpc if protocol == "grpc" else collector.http
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    server = start("--migrate", store=postgres_url, **environment)
    command = [sys.executable, "-c", CLIENT, server.target, collector.grpc]
    trace_id = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.strip()
    collector.wait("barrier", f"{SAVE} 2", "commit", trace_id=trace_id)
    spans = [span for span in collector.spans() if span.trace_id == trace_id and "Load" not in span.name]
    by_id = {span.span_id: span for span in spans}
    ways = {_way(span.span_id, by_id) for span in spans}
    barrier = f"barrier/{SAVE} 3/{SAVE} 2"
    assert ways == {
        "barrier",
        f"barrier/{SAVE} 3",
        barrier,
        f"{barrier}/commit",
    }
    (call,) = (span for span in spans if (span.name, span.kind) == (SAVE, 2))
    assert call.attributes["lockstitch.session.id"] == "agent"
    assert call.attributes["lockstitch.step"] == 7
    assert {span.resource["service.name"] for span in spans} == {"runner", "lockstitch"}


def _way(span_id: str, by_id: dict[str, Span]) -> str:
    """A span by the names of those that it is within, calls with their kind."""
    span = by_id[span_id]
    name = f"{span.name} {span.kind}" if "/" in span.name else span.name
    return f"{_way(span.parent_id, by_id)}/{name}" if span.parent_id in by_id else name


def test_the_deployed_configuration_passes_everything_on(
    program: Path, tmp_path: Path, start: Start, receiver: Receiver, postgres_url: str
) -> None:
    with deployed(program, tmp_path, receiver.address) as collector:
        endpoint = f"http://{collector.target}"
        told = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        server = start("--migrate", store=postgres_url, **told)
        with lockstitch.Client(server.target) as client:
            client.save(lockstitch.Checkpoint(session_id="agent", step=7))
        receiver.wait(lambda spans: SAVE in {span.name for span in spans})
        every = {prometheus_name(metric) for metric in METRICS.values()}
        wait_for_page(
            collector.page, lambda found: total(found, "lockstitch_saves_total") == 1 and found.keys() >= every
        )
    assert not [line for line in collector.log.read_text().splitlines() if "deprecated" in line]
