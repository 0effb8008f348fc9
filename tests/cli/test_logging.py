"""Log lines."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from lockstitch_server.config import LogLevel
from lockstitch_server.telemetry.logging import configure


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("lockstitch_server")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    def read() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    return read


def test_a_line_is_json_with_its_level_time_and_values(lines: Any) -> None:
    configure("info", "json")
    structlog.get_logger("lockstitch.test").info("saved 🧵", session="s\n1", steps=2**63)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    expected = {"message": "saved 🧵", "level": "info", "logger": "lockstitch.test", "session": "s\n1", "steps": 2**63}
    assert line == expected


def test_libraries_and_warnings_come_the_same_way(lines: Any) -> None:
    configure("info", "json")
    logging.getLogger("some.library").warning("lost %d", 3, extra={"peer": "x"})
    warnings.warn("old", stacklevel=1)
    library, warning = lines()
    assert (library["message"], library["level"], library["logger"], library["peer"]) == (
        "lost 3",
        "warning",
        "some.library",
        "x",
    )
    assert "old" in warning["message"]


def test_fields_of_a_process_are_in_every_line(lines: Any) -> None:
    configure("info", "json", worker=3)
    structlog.get_logger("lockstitch.test").info("ours", session="s")
    logging.getLogger("some.library").warning("theirs")
    assert [line["worker"] for line in lines()] == [3, 3]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(lines: Any, level: LogLevel, count: int) -> None:
    configure(level, "json")
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger("lockstitch_server.test"), name)("x")
    assert len(lines()) == count


def test_debug_is_about_the_server_not_about_libraries(lines: Any) -> None:
    configure("debug", "json")
    for logger in ("lockstitch_server.engine", "aiosqlite", "asyncio", "some.library"):
        logging.getLogger(logger).debug("detail")
        logging.getLogger(logger).info("news")
    assert [(line["logger"], line["message"]) for line in lines()] == [
        ("lockstitch_server.engine", "detail"),
        ("lockstitch_server.engine", "news"),
        ("aiosqlite", "news"),
        ("asyncio", "news"),
        ("some.library", "news"),
    ]


def test_a_traceback_has_no_values_in_it(lines: Any) -> None:
    configure("info", "json")
    password = "".join(["sec", "ret"])
    try:
        len(password) / 0
    except ZeroDivisionError:
        structlog.get_logger("lockstitch.test").exception("failed")
    (line,) = lines()
    assert "ZeroDivisionError" in line["exception"]
    assert password not in json.dumps(line)


def test_auto_is_json_without_a_terminal(lines: Any) -> None:
    configure("info", "auto")
    structlog.get_logger("lockstitch.test").info("x")
    assert lines()[0]["message"] == "x"


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "console")
    structlog.get_logger("lockstitch.test").info("saved", session="s1")
    line = capsys.readouterr().err
    assert "saved" in line
    assert "session=s1" in line
    assert "\x1b" not in line
