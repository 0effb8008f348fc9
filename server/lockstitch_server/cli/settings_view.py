"""How `lockstitch config` shows settings. No secret gets out of here."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lockstitch_server.cli.settings import DEFAULT, Loaded, Place, known_settings
from lockstitch_server.config import KIB, Settings
from lockstitch_server.core.redaction import redact

_UNITS = ((KIB**4, "TiB"), (KIB**3, "GiB"), (KIB**2, "MiB"), (KIB, "KiB"))


def schema() -> str:
    """The JSON schema of a configuration file."""
    return json.dumps(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}, indent=2
    )


def as_json(loaded: Loaded) -> str:
    """For programs: the file that was read, the settings, and where those come from that are not defaults."""
    return json.dumps(
        {
            "file": str(loaded.file) if loaded.file else None,
            "settings": _shown(loaded.settings.model_dump()),
            "origins": {".".join(place): origin for place, origin in loaded.origins.items()},
        },
        indent=2,
    )


def as_toml(loaded: Loaded) -> str:
    """A configuration file that says the same, with comments that say where it comes from."""
    return "\n".join(_lines(_shown(loaded.settings.model_dump()), loaded.origins))


def _shown(values: Mapping[str, Any], above: Place = ()) -> dict[str, Any]:
    return {
        name: _shown(value, (*above, name)) if isinstance(value, dict) else _unless_secret((*above, name), value)
        for name, value in values.items()
    }


def _unless_secret(place: Place, value: Any) -> Any:
    return redact(value) if known_settings()[".".join(place)].get("secret") else value


def _lines(values: Mapping[str, Any], origins: Mapping[Place, str], above: Place = ()) -> Iterator[str]:
    plain = {name: f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, dict)}
    width = max(map(len, plain.values()))
    for name, text in plain.items():
        yield f"{text:{width}}  # {_comment((*above, name), values[name], origins)}"
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ("", f"[{name}]", *_lines(value, origins, (*above, name)))


def _comment(place: Place, value: Any, origins: Mapping[Place, str]) -> str:
    origin = origins.get(place, DEFAULT)
    in_bytes = isinstance(known_settings()[".".join(place)].get("type"), list)
    return f"{origin}; {size(value)}" if in_bytes else origin


def size(value: int) -> str:
    """A number of bytes, exactly, in the largest unit that divides it."""
    unit, name = next(((unit, name) for unit, name in _UNITS if value and value % unit == 0), (1, "bytes"))
    return f"{value // unit} {name}"
