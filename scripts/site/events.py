"""The events that the server logs, out of its code."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("server/lockstitch_server", "client/python/lockstitch_ui")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"log", "logger"}


def page() -> str:
    """All events, by name."""
    rows = {f"| `{name}` | {level} | {', '.join(f'`{each}`' for each in fields)} |" for name, level, fields in events()}
    return "\n".join(
        [
            "# Events in the log",
            "",
            "Every line has `message` (the event), `level`, `timestamp` and `logger`. This page is made from the code.",
            "",
            "| event | level | fields |",
            "| --- | --- | --- |",
            *sorted(rows),
            "",
        ]
    )


Event = tuple[str, str, tuple[str, ...]]


def events() -> Iterator[Event]:
    """(event, level, fields) of each call that logs one by a literal name, or by one of two."""
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                yield from _events(node)


def _events(node: ast.AST) -> Iterator[Event]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
        return
    owner = node.func.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    if name.lstrip("_") not in LOGGERS or not node.args:
        return
    level = "error" if node.func.attr == "exception" else node.func.attr
    fields = tuple(each.arg for each in node.keywords if each.arg)
    said = node.args[0]
    for event in (said.body, said.orelse) if isinstance(said, ast.IfExp) else (said,):
        if isinstance(event, ast.Constant):
            yield str(event.value), level, fields
