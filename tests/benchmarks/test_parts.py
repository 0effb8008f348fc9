"""Every part runs, tiny, and what comes of it can be shown, kept and read again."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.requirements import missing

SECTIONS = {
    "saves": "Saves",
    "client": "The Python client",
    "loads": "Loads",
    "growth": "Growth",
    "merging": "Merged rows",
    "graph": "LangGraph",
    "weavegraph": "weavegraph",
    "sessions": "Many sessions",
    "workers": "Workers",
    "doors": "Two doors",
    "tracing": "Tracing",
    "explorer": "The session explorer",
    "scale": "Several servers",
}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a dozen processes start, and cargo may build
@pytest.mark.parametrize("part", SECTIONS)
def test_part(part: str, tmp_path: Path) -> None:
    from benchmarks.options import TINY
    from benchmarks.parts import PARTS
    from benchmarks.report.page import page, write
    from benchmarks.results import Results

    assert PARTS.keys() == SECTIONS.keys()
    results = Results()
    PARTS[part](TINY, results)
    if part == "weavegraph" and not results.runs:
        missing(*results.missing.values())
    assert all(run.figures for run in results.runs)

    write(results, tmp_path)
    if part == "scale":  # it has places of its own
        assert Results.read(tmp_path / "benchmarks" / "scale.json") == results
        assert f"## {SECTIONS[part]}\n" in page(results)
        return
    assert Results.read(tmp_path / "benchmarks" / "results.json") == results
    text = (tmp_path / "benchmarks.md").read_text()
    assert text == page(results)
    shown = set(re.findall(r"^## (.*)$", text, re.MULTILINE)) & set(SECTIONS.values())
    assert shown == ({SECTIONS[part]} if results.runs else set())
    for picture in re.findall(r"\]\((.*\.svg)\)", text):
        ET.parse(tmp_path / picture)


def test_a_load_that_is_refused_fails() -> None:
    from benchmarks.driver.job import Job
    from benchmarks.driver.process import Driver
    from benchmarks.servers import ceiling

    with ceiling() as server, Driver() as driver, pytest.raises(RuntimeError, match="the load has failed"):
        driver.run(Job("load", server.target, sessions=("any",), server=server.processes))


def test_an_acknowledged_save_that_is_not_there_is_noticed() -> None:
    from benchmarks.driver.job import Job
    from benchmarks.driver.process import Driver
    from benchmarks.servers import ceiling

    with ceiling() as server, Driver() as driver, pytest.raises(RuntimeError, match="the load has failed"):
        driver.run(Job("unary", server.target, seconds=0.1, server=server.processes, verify=True))
