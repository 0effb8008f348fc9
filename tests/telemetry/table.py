"""The table of metrics in docs/observability.md. `python -m tests.telemetry.table` brings it up to date."""

from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.prometheus_server import prometheus_name
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "observability.md"
BEGIN = "<!-- metrics:"
END = "<!-- end of metrics -->"
KINDS = {"counter": "counter", "updown": "up-down counter", "gauge": "gauge", "histogram": "histogram"}


def table() -> str:
    head = "| metric | kind, unit | attributes | meaning |\n| --- | --- | --- | --- |\n"
    return head + "".join(map(row, METRICS.values()))


def row(metric: Metric) -> str:
    suffix = "_total" if metric.kind == "counter" else ""
    names = f"`{metric.name}`<br>`{prometheus_name(metric)}{suffix}`"
    attributes = ", ".join(f"`{name}`" for name in metric.attributes)
    return f"| {names} | {KINDS[metric.kind]}, `{metric.unit}` | {attributes} | {metric.description} |\n"


def with_table(page: str) -> str:
    """The page with the table between its marks."""
    before, mark, rest = page.partition(BEGIN)
    comment, _, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    assert mark, BEGIN
    assert end, END
    return f"{before}{mark}{comment}\n\n{table()}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
