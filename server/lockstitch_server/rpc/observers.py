"""Counts calls and logs them. No payload and no secret is ever logged."""

import structlog
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.request_subject import request_of, subject_of
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.telemetry.stats import Histogram, Stats

log = structlog.get_logger(__name__)


class CallStats:
    """Counts calls that have ended, and those that are active."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._durations: dict[tuple[str, str], Histogram] = {}
        self.active = stats.number("lockstitch.calls.active")

    def ended(self, method: MethodDescriptor, code: str, seconds: float) -> None:
        """A call has ended with this status code."""
        name = method.full_name
        histogram = self._durations.get((name, code))
        if histogram is None:
            service, _, method_name = name.rpartition(".")
            histogram = self._stats.histogram("rpc.server.call.duration", f"{service}/{method_name}", code)
            self._durations[name, code] = histogram
        histogram.observe(seconds)


class CallLog:
    """A line for every call at `debug`, and for slow ones at `warning`.

    every: whether calls that are not slow are logged.
    slow_seconds: a call that takes as long is slow. 0: no call is slow.
    """

    def __init__(self, session_ids: SessionIds, *, every: bool, slow_seconds: float) -> None:
        self._session_ids = session_ids
        self._every = every
        self._slow = slow_seconds or float("inf")

    def ended(
        self,
        method: MethodDescriptor,
        code: str,
        seconds: float,
        data: bytes,
        context: CallContext,
        *,
        may_be_long: bool,
    ) -> None:
        """Log a call that has ended. may_be_long: it has no end of its own, so it is never slow."""
        if seconds >= self._slow and not may_be_long:
            log.warning("slow_call", **self._facts(method, code, seconds, data, context))
        elif self._every:
            log.debug("call", **self._facts(method, code, seconds, data, context))

    def _facts(
        self, method: MethodDescriptor, code: str, seconds: float, data: bytes, context: CallContext
    ) -> dict[str, object]:
        about = subject_of(request_of(method, data, context))
        span = context.span.get_span_context().span_id if context.span is not None else 0
        facts: dict[str, object] = {
            "method": method.full_name,
            "code": code,
            "seconds": round(seconds, 6),
            "request_bytes": len(data),
            "request_id": context.call_id(),
            "session": self._session_ids.shown(about.session_id),
            "namespace": about.namespace,
            "trace_id": context.trace_id().hex(),
            "span_id": f"{span:016x}" if span else "",
        }
        return {name: value for name, value in facts.items() if value != ""}
