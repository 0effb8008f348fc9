"""Pages for Prometheus, as its official parser reads them."""

import time
import urllib.request
from collections.abc import Callable

from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

WAIT_SECONDS = 60.0
Families = dict[str, Family]


def read_page(address: str) -> Families:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def wait_for_page(address: str, found: Callable[[Families], bool]) -> Families:
    """The page, as soon as it is as it should be."""
    until = time.monotonic() + WAIT_SECONDS
    while not found(families := read_page(address)):
        assert time.monotonic() < until, {name: family.samples for name, family in families.items()}
        time.sleep(0.1)
    return families


def total(families: Families, name: str, **labels: str) -> float:
    """The sum of the samples with this name and these labels."""
    samples = (sample for family in families.values() for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
