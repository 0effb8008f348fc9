"""Loaded by Python at its start, where this directory is on its path: OpenTelemetry's own instrumentation of gRPC."""

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

provider = TracerProvider(sampler=ParentBasedTraceIdRatio(float(os.environ["STOCK_RATIO"])))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(os.environ["STOCK_ENDPOINT"], insecure=True)))
trace.set_tracer_provider(provider)
GrpcAioInstrumentorServer().instrument()
