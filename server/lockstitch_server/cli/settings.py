"""Gathers the settings: flags before the environment before a TOML file before defaults.

Keeps in mind where each value came from, for `lockstitch config` and for messages about wrong ones.
"""

import difflib
import functools
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from lockstitch_server.config import Settings
from lockstitch_server.core.redaction import redact

PREFIX = "LOCKSTITCH_"
DEFAULT_FILE = "lockstitch.toml"
DEFAULT = "default"

# A setting's place: ("listen",) or ("limits", "max_writes").
Place = tuple[str, ...]


class SettingsInvalid(Exception):
    """The configuration cannot be used. `lines` has a sentence for each reason."""

    def __init__(self, *lines: str) -> None:
        super().__init__(" ".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Loaded:
    """Settings, and where they came from; what is not in `origins` is a default."""

    settings: Settings
    origins: Mapping[Place, str]
    file: Path | None


@dataclass(frozen=True)
class Given:
    """A value as someone wrote it, and who."""

    value: object
    origin: str


class _Sources(Settings, BaseSettings):
    """Settings as pydantic-settings wants to see them."""

    # Empty variables are those that a compose file or a chart passes on without having a value. Unknown ones are let
    # pass: Kubernetes itself makes some for a service that is called lockstitch, such as LOCKSTITCH_SERVICE_HOST.
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True)


def load(flags: Mapping[Place, Given] | None = None, config: str | None = None) -> Loaded:
    """The effective settings. `flags` are those of the command line, `config` names a file."""
    file = _file(config)
    given = {**_from_file(file), **_from_environment(), **(flags or {})}
    try:
        settings = Settings.model_validate(_nested(given))
    except ValidationError as error:
        raise SettingsInvalid(*(_complaint(reason, given) for reason in error.errors())) from None
    return Loaded(settings, {place: value.origin for place, value in given.items()}, file)


def from_command_line(assignments: Iterable[str], flags: Mapping[str, object]) -> dict[Place, Given]:
    """What `--set` and the options of single settings say. Those that are None were not given."""
    given = dict(map(_parse_assignment, assignments))
    for name, value in flags.items():
        if value is not None:
            given[(name,)] = Given(value, _flag(name, value))
    return given


def _flag(name: str, value: object) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def _parse_assignment(text: str) -> tuple[Place, Given]:
    """What `--set NAME=VALUE` says."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsInvalid(f"--set takes NAME=VALUE, such as limits.max_writes=100, not {text!r}")
    return tuple(name.strip().split(".")), Given(value.strip(), "--set")


def _file(named: str | None) -> Path | None:
    if named := named or os.environ.get(f"{PREFIX}CONFIG"):
        return Path(named)
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _from_file(file: Path | None) -> dict[Place, Given]:
    if file is None:
        return {}
    try:
        with file.open("rb"):  # the library takes no notice of a file that is missing
            values = TomlConfigSettingsSource(_Sources, toml_file=file).toml_data
    except OSError as error:
        raise SettingsInvalid(f"The configuration file {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"The configuration file {file} is not TOML: {error}") from None
    return {place: Given(value, str(file)) for place, value in _leaves(values)}


def _from_environment() -> dict[Place, Given]:
    try:
        values = EnvSettingsSource(_Sources)()
    except SettingsError as error:
        raise SettingsInvalid(f"The environment holds what is not JSON: {error}") from None
    return {place: Given(value, _variable(place)) for place, value in _leaves(values)}


def _variable(place: Place) -> str:
    """The environment variable that gave this value: its own, or that of its group, which may be JSON."""
    name = PREFIX + "__".join(place).upper()
    return name if name in os.environ else PREFIX + place[0].upper()


def _leaves(values: Mapping[str, Any], above: Place = ()) -> Iterator[tuple[Place, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _nested(given: Mapping[Place, Given]) -> dict[str, Any]:
    """As the model wants it. The shortest places come first, so that a wrong `limits = 5` is found as such."""
    result: dict[str, Any] = {}
    for place in sorted(given, key=len):
        group = result
        for name in place[:-1]:
            inner = group.setdefault(name, {})
            group = inner if isinstance(inner, dict) else {}
        group[place[-1]] = given[place].value
    return result


def _complaint(reason: ErrorDetails, given: Mapping[Place, Given]) -> str:
    place = tuple(map(str, reason["loc"]))
    name = ".".join(place)
    origin = _origin(place, given)
    if reason["type"] == "extra_forbidden":
        return f"{origin}: there is no setting {name!r}{_nearest(place)}"
    value = given[place].value if place in given else reason["input"]  # as it was written, before any conversion
    shown = redact(str(value)) if _schema(place).get("secret") else repr(value)
    return f"{origin}: {name} cannot be {shown}; it takes {_allowed(place, reason)}"


def _origin(place: Place, given: Mapping[Place, Given]) -> str:
    """Who said so: for a group that is unknown, the source of a setting in it."""
    return next(value.origin for known, value in given.items() if known[: len(place)] == place)


def _nearest(place: Place) -> str:
    """The known setting that was probably meant: another spelling, or the same name in another group."""
    names = [*known_settings(), *known_groups()]
    by_leaf = {name.rpartition(".")[2]: name for name in names}
    wanted = ".".join(place).replace("-", "_").lower()
    if found := difflib.get_close_matches(wanted, names, n=1):
        return f"; did you mean {found[0]!r}?"
    found = difflib.get_close_matches(wanted.rpartition(".")[2], by_leaf, n=1)
    return f"; did you mean {by_leaf[found[0]]!r}?" if found else "; `lockstitch config` shows all there are"


def known_groups() -> list[str]:
    """The settings that hold settings."""
    return [name for name, entry in Settings.model_json_schema()["properties"].items() if "$ref" in entry]


@functools.cache
def known_settings() -> dict[str, dict[str, Any]]:
    """Every setting's JSON schema, by its dotted name."""
    schema = Settings.model_json_schema()
    found: dict[str, dict[str, Any]] = {}
    for name, entry in schema["properties"].items():
        if "$ref" in entry:
            group = schema["$defs"][entry["$ref"].rpartition("/")[2]]
            found |= {f"{name}.{inner}": value for inner, value in group["properties"].items()}
        else:
            found[name] = entry
    return found


def _schema(place: Place) -> dict[str, Any]:
    return known_settings().get(".".join(place), {})


def _allowed(place: Place, reason: ErrorDetails) -> str:
    if own_words := reason.get("ctx", {}).get("error"):
        return str(own_words)
    return allowed(_schema(place))


def allowed(schema: Mapping[str, Any]) -> str:
    """What a setting takes, in words."""
    if choices := schema.get("enum"):
        return f"one of {', '.join(choices)}"
    if schema.get("type") == "boolean":
        return "true or false"
    between = f"from {schema.get('minimum')} to {schema.get('maximum')}"
    if isinstance(schema.get("type"), list):
        return f"a size in bytes {between}, or with a unit, such as 16MiB"
    if schema.get("type") in ("integer", "number"):
        return f"{'an integer' if schema['type'] == 'integer' else 'a number'} {between}"
    return "a text" if schema.get("type") == "string" else "a table of settings"
