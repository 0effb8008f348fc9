"""The metrics of a process as plain numbers: OpenTelemetry's instruments cost microseconds at every call.

`catalogue.METRICS` lists them. `snapshot` goes to exporters, and from a worker to the supervisor.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.identity import Identity

Sample: TypeAlias = tuple[str, tuple[str, ...], float | tuple[tuple[int, ...], float]]
"""Name, values of the attributes, and the value; for a histogram, the counts by bucket and the sum."""


class Source(NamedTuple):
    """The samples of one process."""

    identity: Identity
    samples: Sequence[Sample]


class Number:
    """A counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Histogram:
    """How many values fell into each bucket."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Stats:
    """All metrics of a process."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, tuple[str, ...]], Number] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._watched: list[Callable[[Stats], None]] = []

    def number(self, name: str, *attributes: str) -> Number:
        """The counter or gauge of a metric with these values of its attributes. Keep it where it is used often."""
        _check(name, attributes, histogram=False)
        key = (name, attributes)
        if key not in self._numbers:
            self._numbers[key] = Number()
        return self._numbers[key]

    def histogram(self, name: str, *attributes: str) -> Histogram:
        """The histogram of a metric with these values of its attributes."""
        metric = _check(name, attributes, histogram=True)
        key = (name, attributes)
        if key not in self._histograms:
            self._histograms[key] = Histogram(metric.bounds)
        return self._histograms[key]

    def add(self, name: str, value: float, *attributes: str) -> None:
        """Add to a counter."""
        self.number(name, *attributes).value += value

    def set(self, name: str, value: float, *attributes: str) -> None:
        """Set a gauge, or a counter that is kept elsewhere."""
        self.number(name, *attributes).value = value

    def watch(self, look: Callable[["Stats"], None]) -> None:
        """Call a function before each snapshot, which sets values that are cheaper to read than to keep.

        It may run in any thread.
        """
        self._watched.append(look)

    def snapshot(self) -> list[Sample]:
        """All samples as of now."""
        for look in self._watched:
            look(self)
        samples: list[Sample] = [(*key, number.value) for key, number in list(self._numbers.items())]
        samples += [(*key, (tuple(each.counts), each.sum)) for key, each in list(self._histograms.items())]
        return samples


def sample_of(raw: Iterable[object]) -> Sample:
    """A sample that has been through JSON."""
    name, attributes, value = raw
    number = (tuple(value[0]), value[1]) if isinstance(value, list | tuple) else value
    return (name, tuple(attributes), number)  # type: ignore[return-value, arg-type]  # it was made by `snapshot`


def _check(name: str, attributes: Sequence[str], *, histogram: bool) -> Metric:
    metric = METRICS[name]
    if len(attributes) != len(metric.attributes) or (metric.kind == "histogram") is not histogram:
        raise ValueError(f"{name} is a {metric.kind} with the attributes {metric.attributes}")
    return metric
