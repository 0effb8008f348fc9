"""The table of settings in docs/configuration.md. `python -m tests.cli.settings_table` brings it up to date."""

import json
from typing import Any

from lockstitch_server.cli.settings import known_settings
from lockstitch_server.cli.settings_view import size
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "configuration.md"
BEGIN = "<!-- settings:"
END = "<!-- end of settings -->"


def table() -> str:
    head = "| setting | default | allowed | meaning |\n| --- | --- | --- | --- |\n"
    return head + "".join(row(name, schema) for name, schema in known_settings().items())


def row(name: str, schema: dict[str, Any]) -> str:
    return f"| `{name}` | {default(schema)} | {bounds(schema)} | {schema['description']} |\n"


def default(schema: dict[str, Any]) -> str:
    value = schema["default"]
    return size(value) if is_size(schema) else f"`{json.dumps(value)}`"


def bounds(schema: dict[str, Any]) -> str:
    if choices := schema.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if "minimum" not in schema:
        return ""
    low, high = (size(schema[end]) if is_size(schema) else f"{schema[end]:,}" for end in ("minimum", "maximum"))
    return f"{low} to {high}"


def is_size(schema: dict[str, Any]) -> bool:
    return isinstance(schema.get("type"), list)


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
