"""Whether a call is traced, decided before anything else is done for it: most are not, and should cost nothing.

The standard samplers are plain functions here; any other is asked through the SDK.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind

from lockstitch_server.telemetry.environment import TelemetryError, load

RootDecision = Callable[[int, str], bool]
"""Whether a trace that begins here is sampled, by its id and the name of its first span."""
LOW_BITS = TraceIdRatioBased.TRACE_ID_LIMIT
DEFAULT = "parentbased_always_on"


class Sampling(NamedTuple):
    """How calls are chosen."""

    root: RootDecision
    with_parent: Callable[[SpanContext, str], bool]


def from_environment() -> Sampling:
    """What OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say. Raises TelemetryError."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip() or DEFAULT
    root = _standard(name.removeprefix("parentbased_"))
    if root is None:
        return _asked(load("opentelemetry_traces_sampler", name)(os.environ.get("OTEL_TRACES_SAMPLER_ARG")))
    if name.startswith("parentbased_"):
        return Sampling(root, lambda parent, _: parent.trace_flags.sampled)
    return Sampling(root, lambda parent, name: root(parent.trace_id, name))


def _standard(name: str) -> RootDecision | None:
    if name == "always_on":
        return lambda trace_id, name: True
    if name == "always_off":
        return lambda trace_id, name: False
    if name == "traceidratio":
        bound = TraceIdRatioBased.get_bound_for_rate(_rate())
        return lambda trace_id, name: trace_id & LOW_BITS < bound
    return None


def _rate() -> float:
    text = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise TelemetryError(f"OTEL_TRACES_SAMPLER_ARG is a number from 0 to 1, not {text!r}")
    return rate


def _asked(sampler: Sampler) -> Sampling:
    """A sampler of somebody else's."""

    def ask(sampler: Sampler, context: Context, trace_id: int, name: str) -> bool:
        return sampler.should_sample(context, trace_id, name, SpanKind.SERVER).decision is Decision.RECORD_AND_SAMPLE

    def with_parent(parent: SpanContext, name: str) -> bool:
        context = trace.set_span_in_context(NonRecordingSpan(parent), Context())
        return ask(sampler, context, parent.trace_id, name)

    return Sampling(lambda trace_id, name: ask(sampler, Context(), trace_id, name), with_parent)
