"""A line for each call at debug, and one for each that is slow: they say what is needed, and no more."""

from typing import Any

import pytest

import lockstitch
from lockstitch import Checkpoint, message
from tests.robustness.crowd import lines
from tests.support.server import LockstitchServer
from tests.telemetry.conftest import Start
from tests.telemetry.receiver import Receiver, Span

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = [("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", "request-7")]
CONFIDENTIAL = "the words of a conversation"
SAVE = "lockstitch.v1.CheckpointService.Save"


def save(server: LockstitchServer) -> None:
    with lockstitch.Client(server.target, metadata=SENT) as client:
        checkpoint = Checkpoint(session_id="agent", step=3)
        checkpoint.state.messages.items.append(message("user", CONFIDENTIAL))
        client.save(checkpoint)


def saves(server: LockstitchServer, kind: str) -> list[dict[str, Any]]:
    assert CONFIDENTIAL not in server.log.read_text()
    return [line for line in lines(server, kind) if line["method"] == SAVE]


def test_a_call_is_a_line_at_debug(start: Start) -> None:
    server = start("--log-level=debug", "--set=slow_call_seconds=0")
    save(server)
    (line,) = saves(server, "call")
    assert {name: line[name] for name in ("level", "code", "session", "request_id", "trace_id")} == {
        "level": "debug",
        "code": "OK",
        "session": "agent",
        "request_id": "request-7",
        "trace_id": TRACE,
    }
    assert line["seconds"] > 0
    assert "span_id" not in line, "there is no span of the server's"


def test_where_calls_are_traced_it_names_the_span(start: Start, receiver: Receiver) -> None:
    server = start("--log-level=debug", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{receiver.address}")
    save(server)
    (line,) = saves(server, "call")
    (span,) = (span for span in receiver.wait(lambda spans: any(map(_is_call, spans))) if _is_call(span))
    assert (line["trace_id"], line["span_id"]) == (TRACE, span.span_id)


def _is_call(span: Span) -> bool:
    return span.name == "lockstitch.v1.CheckpointService/Save"


def test_a_slow_call_is_a_warning(start: Start) -> None:
    server = start("--set=slow_call_seconds=0.000001")
    save(server)
    (line,) = saves(server, "slow_call")
    assert (line["level"], line["session"], line["trace_id"]) == ("warning", "agent", TRACE)


@pytest.mark.slow
def test_other_calls_are_no_lines(start: Start) -> None:
    server = start("--set=slow_call_seconds=600")
    save(server)
    assert not saves(server, "call") + saves(server, "slow_call")


def test_ids_of_sessions_can_be_hidden(start: Start) -> None:
    server = start("--log-level=debug", "--set=session_id_logging=hash")
    save(server)
    assert "agent" not in [line["session"] for line in saves(server, "call") + saves(server, "slow_call")]
