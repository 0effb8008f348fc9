"""What tracing costs: off, of a hundredth of all saves, and of all; with OpenTelemetry's own instrumentation beside."""

import os
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc

from benchmarks.contestants import Contestant, Stand
from benchmarks.options import KB, Options
from benchmarks.parts.rates import compare
from benchmarks.results import Results

IN_FLIGHT = 64
BACKEND = "SQLite"
OFF = "off"
STOCK = Path(__file__).parents[1] / "stock"


def run(options: Options, results: Results) -> None:
    """2 KB states at 64 in flight, with and without streams, in short turns: everybody in each, in a random order."""
    turn = replace(options, seconds=options.seconds / 2)
    for _ in range(options.repeat):
        with collector() as target, Stand() as stand:
            contestants = [
                _contestant(stand, how, kind, environment)
                for how, environment in _environments(target).items()
                for kind in ("unary", "stream")
            ]
            for number in range(options.tracing_turns):
                if number:  # the first is in the order of the table
                    random.shuffle(contestants)
                compare("tracing", contestants, turn, results, [{"state_bytes": 2 * KB, "concurrency": IN_FLIGHT}])


def _environments(target: str) -> Mapping[str, Mapping[str, str]]:
    """The options of a server, by what is measured."""

    def own(ratio: str) -> dict[str, str]:
        sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
        return {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{target}", **sampler}

    def stock(ratio: str) -> dict[str, str]:
        return {"PYTHONPATH": str(STOCK), "STOCK_ENDPOINT": target, "STOCK_RATIO": ratio}

    return {OFF: {}, "1%": own("0.01"), "100%": own("1"), "stock, 1%": stock("0.01"), "stock, 100%": stock("1")}


def _contestant(stand: Stand, how: str, kind: str, environment: Mapping[str, str]) -> Contestant:
    with _set(environment):
        return stand.client_of_lockstitch(f"{how}, {kind}", kind, BACKEND, how)


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def collector() -> Iterator[str]:
    """Takes whatever comes, without looking into it."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


class _Everything(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(lambda data, context: b"")
