"""What is written of a measurement: raw figures, and the tables of docs/operations.md."""

import re
from pathlib import Path

from benchmarks.options import KB
from benchmarks.report.table import table
from benchmarks.results import Results
from benchmarks.scale.sizing import PART, PRIMARY, costs_table, sizing_table, worked

RAW, PAGE = "benchmarks/scale.json", "operations.md"


def only(results: Results) -> Results:
    """These runs of all."""
    return Results(results.about, {}, [run for run in results.runs if run.part in (PART, PRIMARY)])


def section(results: Results) -> str:
    """The table of docs/benchmarks.md."""
    rows = []
    for size in results.values(PART, "state_bytes"):
        for kind in results.values(PART, "kind"):
            for servers in results.values(PART, "servers"):
                found = {"kind": kind, "servers": servers, "state_bytes": size}
                cells = [
                    f"{(results.median(PART, name, **found) or 0.0) * scale:,.{digits}f}"
                    for name, (scale, digits) in SHOWN.items()
                ]
                rows.append((f"{servers}", f"{kind}", f"{int(size) // KB} KB", *cells))
    head = ("servers", "kind", "states", "saves/s", "server us", "database us", "WAL bytes", "stored bytes", "commits")
    return table(head, rows) if rows else ""


SHOWN = {
    "rate": (1.0, 0),
    "server_cpu": (1e6, 0),
    "database_cpu": (1e6, 0),
    "wal": (1.0, 0),
    "stored": (1.0, 0),
    "commits": (1.0, 3),
}
"""Figures, how they are scaled, and their digits."""


def primary(results: Results) -> str:
    """What the measured primary can take."""
    wal, commits = (results.median(PRIMARY, figure) or 0.0 for figure in ("wal_rate", "commit_rate"))
    return f"{wal / 1e6:,.0f} MB of WAL a second, {commits:,.0f} commits a second"


def filled(page: str, results: Results) -> str:
    """docs/operations.md with the tables of these results, each between its marks."""
    for name, text in (
        ("scale", section(results)),
        ("primary", primary(results)),
        ("costs", costs_table(results)),
        ("sizing", sizing_table(results)),
        ("worked", worked(results)),
        ("about", _about(results)),
    ):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        page = re.sub(f"{begin}.*?{end}", f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    return page


def _about(results: Results) -> str:
    known = ("Date", "Lockstitch", "Machine", "PostgreSQL", "Load average before", "Runs")
    return "\n".join(f"- {name}: {results.about[name]}" for name in known if name in results.about)


def write(results: Results, directory: Path) -> None:
    """The raw figures, and the tables of the page, if it is there."""
    (directory / RAW).parent.mkdir(parents=True, exist_ok=True)
    results.write(directory / RAW)
    page = directory / PAGE
    if page.exists():
        page.write_text(filled(page.read_text(encoding="utf-8"), results), encoding="utf-8")
