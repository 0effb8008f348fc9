"""Reads the OTEL_* variables, and loads the parts of OpenTelemetry that they name.

Nothing is traced, and no metrics are sent, unless an exporter or an endpoint is named: there is no default collector.
"""

import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Literal

Signal = Literal["traces", "metrics"]

PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
INSTALL = "pip install 'lockstitch[otel]'"


class TelemetryError(Exception):
    """The OTEL_* variables ask for what cannot be set up. The message is one line for operators."""


def exporters(signal: Signal) -> Sequence[str]:
    """Names of the exporters of a signal; none where the signal is off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    named = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if not named:
        named = "otlp" if _endpoint(signal) else "none"
    return [name for each in named.split(",") if (name := each.strip()) not in ("", "none")]


def load_exporters(signal: Signal) -> list[Any]:
    """The exporters of a signal, which read their own variables. Raises TelemetryError."""
    made = []
    for name in exporters(signal):
        entry = _protocol(signal) if name == "otlp" else name
        made.append(load(f"opentelemetry_{signal}_exporter", entry)())
    return made


def load(group: str, name: str) -> Any:
    """The entry point of a group with this name. Raises TelemetryError."""
    require()
    found: Sequence[EntryPoint] = list(entry_points(group=group, name=name))
    if not found:
        raise TelemetryError(f"there is no {group} {name!r} among the installed packages")
    return found[0].load()


def require() -> None:
    """Raises TelemetryError where OpenTelemetry is not installed."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise TelemetryError(f"the OTEL_* variables ask for telemetry, which needs OpenTelemetry: {INSTALL}")


def number(name: str, default: int) -> int:
    """A variable that is an integer above 0. Raises TelemetryError."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise TelemetryError(f"{name} is a number above 0, not {text!r}")
    return int(text)


def _endpoint(signal: Signal) -> str:
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next(filter(None, (os.environ.get(name, "").strip() for name in names)), "")


def _protocol(signal: Signal) -> str:
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    named = next(filter(None, (os.environ.get(name, "").strip() for name in names)), "grpc")
    if named not in PROTOCOLS:
        raise TelemetryError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {' or '.join(PROTOCOLS)}, not {named!r}")
    return PROTOCOLS[named]
