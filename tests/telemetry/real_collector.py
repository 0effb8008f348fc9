"""The real OpenTelemetry Collector, built from its published modules, once for each version of them."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.telemetry.receiver import Span, spans_in

SOURCE = Path(__file__).parent / "collector"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lockstitch", "collector")
DEPLOYED = ROOT / "deploy" / "otel" / "collector.yaml"
BUILD_SECONDS = 1500
WAIT_SECONDS = 60.0
CONFIGURATION = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  file: {{path: "{path}", flush_interval: 100ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
"""


def build() -> Path:
    """The program; built if that has not been done. Needs Go, and the modules that go.sum names."""
    sources = sorted(path for path in SOURCE.iterdir() if path.suffix in (".go", ".mod", ".sum"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    program = CACHE / f"otelcol-{digest}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = program.with_suffix(f".{os.getpid()}")
        go = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(half), "."]
        environment = {**os.environ, "CGO_ENABLED": "0"}
        subprocess.run(["nice", "-n", "10", *go], cwd=SOURCE, check=True, timeout=BUILD_SECONDS, env=environment)
        half.replace(program)
    return program


def has_go() -> bool:
    return shutil.which("go") is not None


class Collector:
    """One that runs, and what it has written."""

    def __init__(self, grpc: int, http: int, path: Path) -> None:
        self.grpc = f"http://127.0.0.1:{grpc}"
        self.http = f"http://127.0.0.1:{http}"
        self._path = path

    def spans(self) -> list[Span]:
        """All that has come."""
        text = self._path.read_text() if self._path.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
        return [span for line in lines if line for span in spans_in(_request(line))]

    def wait(self, *names: str, trace_id: str) -> dict[str, Span]:
        """The spans of a trace by name, as soon as these are there. A name may say a kind too: "name 2"."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            spans = [span for span in self.spans() if span.trace_id == trace_id]
            found = {span.name: span for span in spans}
            if set(names) <= found.keys() | {f"{span.name} {span.kind}" for span in spans}:
                return found
            assert time.monotonic() < until, found
            time.sleep(0.2)


@contextmanager
def running(program: Path, directory: Path) -> Iterator[Collector]:
    """Run one that writes traces to a file, until the block ends."""
    collector = Collector(grpc := free_port(), http := free_port(), path := directory / "traces.json")
    configuration = directory / "collector.yaml"
    configuration.write_text(CONFIGURATION.format(grpc=grpc, http=http, path=path))
    with _process(program, configuration, directory / "log"):
        yield collector


@dataclass(frozen=True)
class Deployed:
    """One that runs by the configuration which this project offers: where it takes OTLP, where its page is, its log."""

    target: str
    page: str
    log: Path


@contextmanager
def deployed(program: Path, directory: Path, backend: str) -> Iterator[Deployed]:
    """Run one by deploy/otel/collector.yaml, on ports that are free here, until the block ends.

    backend: where traces go, a host and a port.
    """
    collector = Deployed(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", directory / "log")
    changes = {
        "receivers.otlp.protocols.grpc.endpoint": collector.target,
        "receivers.otlp.protocols.http.endpoint": f"127.0.0.1:{free_port()}",
        "exporters.prometheus.endpoint": collector.page,
        "service.telemetry.metrics.level": "none",
    }
    settings = [f"--set={name}={value}" for name, value in changes.items()]
    with _process(program, DEPLOYED, collector.log, *settings, TRACES_ENDPOINT=backend):
        yield collector


@contextmanager
def _process(program: Path, configuration: Path, log: Path, *arguments: str, **environment: str) -> Iterator[None]:
    command = [str(program), "--config", f"file:{configuration}", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _request(line: str) -> ExportTraceServiceRequest:
    """A line of the file: OTLP's JSON, which has ids in hexadecimal where protobuf's JSON has base64."""
    request = ExportTraceServiceRequest()
    ParseDict(_with_base64(json.loads(line)), request, ignore_unknown_fields=True)
    return request


def _with_base64(value: Any) -> Any:
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            key: b64encode(bytes.fromhex(entry)).decode() if key in ids else _with_base64(entry)
            for key, entry in value.items()
        }
    return [_with_base64(entry) for entry in value] if isinstance(value, list) else value
