"""Whether a call is traced, decided before anything else is done for it: most are not, and should cost nothing.

The standard samplers are plain functions here; any other is asked through the SDK.
"""

import math
import os
import sys
from collections.abc import Callable
from random import getrandbits, random
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind

from lockstitch_server.telemetry.environment import TelemetryError, load

LOW_BITS = TraceIdRatioBased.TRACE_ID_LIMIT
DEFAULT = "parentbased_always_on"


class Sampling(NamedTuple):
    """How calls are chosen."""

    root: Callable[[str], int]
    """The id of a trace that begins here, with a span of this name; 0: it is not sampled."""
    passes: Callable[[int], bool]
    """Whether none of so many traces that begin now is sampled, which may be known at once: then they have begun."""
    with_parent: Callable[[SpanContext, str], bool]


class Share:
    """Samples a share of all traces, by their ids; of those that begin here it knows when the next one comes."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._bound = TraceIdRatioBased.get_bound_for_rate(rate)
        self._has_all = self._bound > LOW_BITS
        self._before = 0 if self._has_all else self._draw()
        """How many begin before the next one that is sampled."""

    def has(self, trace_id: int) -> bool:
        """Whether a trace is sampled, as all who take the same share of it will say."""
        return trace_id & LOW_BITS < self._bound

    def passes(self, roots: int) -> bool:
        """See Sampling."""
        if roots > self._before:
            return False
        self._before -= roots
        return True

    def root(self, name: str) -> int:
        """See Sampling."""
        if self.passes(1):
            return 0
        if self._has_all:
            return getrandbits(128)
        self._before = self._draw()
        return getrandbits(64) << 64 | getrandbits(64) % self._bound

    def _draw(self) -> int:
        if self._bound == 0:
            return sys.maxsize
        return int(math.log(1 - random()) / math.log1p(-self._rate))  # noqa: S311 - no secret


def from_environment() -> Sampling:
    """What OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say. Raises TelemetryError."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip() or DEFAULT
    share = _standard(name.removeprefix("parentbased_"))
    if share is None:
        return _asked(load("opentelemetry_traces_sampler", name)(os.environ.get("OTEL_TRACES_SAMPLER_ARG")))
    if name.startswith("parentbased_"):
        return Sampling(share.root, share.passes, lambda parent, _: parent.trace_flags.sampled)
    return Sampling(share.root, share.passes, lambda parent, _: share.has(parent.trace_id))


def _standard(name: str) -> Share | None:
    if name == "traceidratio":
        return Share(_rate())
    return {"always_on": Share(1), "always_off": Share(0)}.get(name)


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

    def root(name: str) -> int:
        trace_id = getrandbits(128)
        return trace_id if ask(sampler, Context(), trace_id, name) else 0

    return Sampling(root, lambda _: False, with_parent)
