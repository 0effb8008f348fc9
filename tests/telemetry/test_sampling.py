"""Which traces are sampled: as many as are asked for, and those that others who take the same share would take."""

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from lockstitch_server.telemetry.sampling import Share

MANY = 40_000
SECOND = 2**64


def roots(share: Share) -> list[int]:
    """What becomes of traces that begin one by one."""
    return [share.root("Save") for _ in range(MANY)]


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.9])
def test_a_share_of_all_that_begin_is_sampled(rate: float) -> None:
    sampled = [trace_id for trace_id in roots(Share(rate)) if trace_id]
    assert abs(len(sampled) - MANY * rate) < 6 * (MANY * rate * (1 - rate)) ** 0.5
    assert len(set(sampled)) == len(sampled)


@pytest.mark.parametrize("rate", [1e-12, 0.01, 0.5])
def test_others_sample_what_is_sampled_here(rate: float) -> None:
    share = Share(rate)
    stock = TraceIdRatioBased(rate)
    sampled = [trace_id for trace_id in roots(share) if trace_id]
    assert all(stock.should_sample(None, each, "Save").decision is Decision.RECORD_AND_SAMPLE for each in sampled)
    for trace_id in (1, SECOND - 1, SECOND // 3, SECOND + SECOND // 200):
        decision = stock.should_sample(None, trace_id, "Save").decision
        assert share.has(trace_id) is (decision is Decision.RECORD_AND_SAMPLE)


def test_all_and_none() -> None:
    assert all(roots(Share(1)))
    assert not any(roots(Share(0)))
    assert not Share(1).passes(1)
    assert Share(0).passes(MANY)


@pytest.mark.parametrize("together", [1, 7])
def test_those_that_begin_together_are_sampled_as_often(together: int) -> None:
    share, rate = Share(0.1), 0.1
    sampled = sum(_sampled_of(share, together) for _ in range(MANY // together))
    assert abs(sampled - MANY * rate) < 6 * (MANY * rate * (1 - rate)) ** 0.5


def _sampled_of(share: Share, together: int) -> int:
    return 0 if share.passes(together) else sum(bool(share.root("Save")) for _ in range(together))
