"""What a handler knows of the call it answers."""

from dataclasses import dataclass

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class CallContext:
    """A call, without its transport."""

    tenant: str = DEFAULT_TENANT
    request_id: str = ""
    size: int = 0
    """Bytes of the request."""
