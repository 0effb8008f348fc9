"""Which traces are sampled: what is ruled out beforehand is what the SDK's samplers do not sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from lockstitch_server.telemetry.environment import TelemetryError
from lockstitch_server.telemetry.propagation import Propagation
from lockstitch_server.telemetry.sampling import Sampling, from_environment
from lockstitch_server.telemetry.tracing import Tracing

MANY = 20_000
SAMPLERS = ("always_on", "always_off", "traceidratio")
TRACE_IDS = st.integers(1, 2**128 - 1) | st.integers(1, 2**64).map(lambda low: 2**64 + low // 3)


def sampling(monkeypatch: pytest.MonkeyPatch, name: str, argument: str = "") -> Sampling:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    return from_environment()


def sdk_samples(sampling: Sampling, trace_id: int, parent: SpanContext | None) -> bool:
    context = Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), Context())
    return sampling.sampler.should_sample(context, trace_id, "Save").decision is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize("rate", ["0.01", "0.5", "1"])
@pytest.mark.parametrize("name", [*SAMPLERS, *(f"parentbased_{name}" for name in SAMPLERS)])
def test_it_decides_as_the_sdk_does(name: str, rate: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        chosen = sampling(monkeypatch, name, rate)

    @given(TRACE_IDS, st.none() | st.booleans())
    def check(trace_id: int, is_sampled: bool | None) -> None:
        parent = None
        if is_sampled is not None:
            parent = SpanContext(trace_id, 7, True, TraceFlags(TraceFlags.SAMPLED if is_sampled else 0))
        assert chosen.rules_out(trace_id, parent) is not sdk_samples(chosen, trace_id, parent)

    check()


@pytest.mark.parametrize("rate", [0.01, 0.25])
def test_a_share_of_all_traces_that_begin_is_sampled(monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    tracing = Tracing(sampling(monkeypatch, "parentbased_traceidratio", str(rate)), Propagation(), Resource({}), [])
    started = [span for _ in range(MANY) if (span := tracing.start("Save", None, dict)) is not None]
    assert abs(len(started) - MANY * rate) < 6 * (MANY * rate * (1 - rate)) ** 0.5
    assert len({span.get_span_context().trace_id for span in started}) == len(started)
    tracing.close()


@pytest.mark.parametrize("argument", ["2", "-0.1", "much"])
def test_a_rate_is_from_0_to_1(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    with pytest.raises(TelemetryError, match=f"from 0 to 1, not '{argument}'"):
        sampling(monkeypatch, "traceidratio", argument)


def test_an_unknown_sampler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TelemetryError, match="'nonsense'"):
        sampling(monkeypatch, "nonsense")
