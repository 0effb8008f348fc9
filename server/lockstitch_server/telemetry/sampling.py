"""Whether a call is traced, as OTEL_TRACES_SAMPLER says. Needs OpenTelemetry.

The samplers are the SDK's, or those of another package. For the standard ones the decision depends on the trace id and
the caller's flag alone, so most calls can be ruled out before the SDK is asked, which takes ten times as long.
"""

import os
from typing import NamedTuple

from opentelemetry.sdk.trace.sampling import Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanContext

from lockstitch_server.telemetry.environment import TelemetryError, load

DEFAULT = "parentbased_always_on"
ALL_IDS = TraceIdRatioBased.TRACE_ID_LIMIT
"""The part of a trace id that decides."""


class Sampling(NamedTuple):
    """A sampler, and what is known of its decisions."""

    sampler: Sampler
    bound: int | None = None
    """Traces whose id is below it are sampled. None: only the sampler knows."""
    follows_parent: bool = False
    """Whether a call with a caller's span is sampled exactly where that span is."""

    def rules_out(self, trace_id: int, parent: SpanContext | None) -> bool:
        """Whether a span is certainly not sampled. parent: the caller's span, if there is one."""
        if self.bound is None:
            return False
        if parent is not None and self.follows_parent:
            return not parent.trace_flags.sampled
        return trace_id & ALL_IDS >= self.bound


def from_environment() -> Sampling:
    """What OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say. Raises TelemetryError."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip() or DEFAULT
    root = name.removeprefix("parentbased_")
    if root not in ("always_on", "always_off", "traceidratio"):
        return Sampling(load("opentelemetry_traces_sampler", name)(os.environ.get("OTEL_TRACES_SAMPLER_ARG")))
    rate = _rate() if root == "traceidratio" else float(root == "always_on")
    sampler = load("opentelemetry_traces_sampler", name)(rate)
    return Sampling(sampler, TraceIdRatioBased.get_bound_for_rate(rate), follows_parent=name != root)


def _rate() -> float:
    text = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise TelemetryError(f"OTEL_TRACES_SAMPLER_ARG is a number from 0 to 1, not {text!r}")
    return rate
