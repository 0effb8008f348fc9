"""Scenarios: read from YAML, and put into concrete terms for one run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.polyglot.extremes import extreme_checkpoint, newer
from tests.polyglot.messages import to_message

DIRECTORY = Path(__file__).parent / "scenarios"
STEP_KEYS = {"op", "args", "ok", "error", "keep", "begin", "await", "server", "measure", "sleep_ms"}


@dataclass(frozen=True)
class Scenario:
    """A row of steps.

    connect: what `connect` gets beside the target.
    serve: how the server is set up; see `serve.py`.
    """

    file: str
    name: str
    steps: list[dict[str, Any]]
    connect: dict[str, Any] = field(default_factory=dict)
    serve: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step in self.steps:
            assert step.keys() <= STEP_KEYS, f"{self}: what is {step.keys() - STEP_KEYS}?"
            does = step.keys() & {"op", "server", "await", "sleep_ms"}
            assert len(does) == 1, f"{self}: a step has one of op, server, await and sleep_ms: {step}"

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"

    @property
    def changes_server(self) -> bool:
        return any("server" in step for step in self.steps)

    @property
    def measures(self) -> bool:
        return any("measure" in step for step in self.steps)


def load_scenarios() -> list[Scenario]:
    """All scenarios of all files."""
    return [scenario for path in sorted(DIRECTORY.glob("*.yaml")) for scenario in _of_file(path)]


def _of_file(path: Path) -> Iterable[Scenario]:
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        yield Scenario(file=path.stem, **entry)


def resolve(value: Any, names: dict[str, Any]) -> Any:
    """What a scenario has written, with names and the $-words of README.md replaced by what they stand for."""
    if isinstance(value, str):
        return _resolve_text(value, names)
    if isinstance(value, list):
        return [resolve(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    content = {key: resolve(item, names) for key, item in value.items()}
    if len(content) == 1 and (word := next(iter(content))) in _WORDS:
        return _WORDS[word](content[word])
    return content


def _resolve_text(text: str, names: dict[str, Any]) -> Any:
    if text.startswith("$") and text[1:] in names:
        return names[text[1:]]
    return text.replace("$session", names["session"])


def _extremes(fields: dict[str, Any]) -> Checkpoint:
    parsed = to_message("checkpoint", {name: value for name, value in fields.items() if value is not None})
    changed = {name: getattr(parsed, name) for name in fields}
    return extreme_checkpoint(**{name: changed[name] if fields[name] is not None else None for name in fields})


def _bulk(fields: dict[str, Any]) -> Checkpoint:
    """A checkpoint with so many messages of a thousand bytes."""
    count = fields.pop("messages")
    checkpoint = to_message("checkpoint", fields)
    assert isinstance(checkpoint, Checkpoint)
    for number in range(count):
        checkpoint.state.messages.items.add(role="user", content=f"{number:06d} {'é' * 496}")
    return checkpoint


_WORDS: dict[str, Any] = {
    "$extremes": _extremes,
    "$newer": lambda content: newer(to_message("checkpoint", content)),
    "$bulk": _bulk,
    "$repeat": lambda content: content[0] * content[1],
}
