"""The attributes that identify a process in traces and metrics."""

import os
import uuid
from typing import TYPE_CHECKING, NamedTuple

from lockstitch_server import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

NAME = "lockstitch"


class Identity(NamedTuple):
    """A process of a server.

    worker: its number, from 1, where several processes serve one address; 0 where one process serves it.
    """

    worker: int = 0


def resource(identity: Identity) -> "Resource":
    """A process as an OpenTelemetry resource. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add to it."""
    from opentelemetry.sdk.resources import Resource

    attributes: dict[str, str | int] = {"service.version": __version__, "process.pid": os.getpid()}
    if identity.worker:
        attributes["lockstitch.worker"] = identity.worker
    theirs = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "service.instance.id=" not in theirs:
        attributes["service.instance.id"] = str(uuid.uuid4())
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in theirs:
        attributes["service.name"] = NAME
    return Resource.create(attributes)
