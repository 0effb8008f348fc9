"""The order of the interceptors, as data: the outermost first.

Around all of them, the adapter masks what callers may not know. An interceptor that is not in use is left out, and the
others keep their order.
"""

from collections.abc import Mapping

from lockstitch_server.rpc.interceptors import Interceptor

ORDER = (
    "telemetry",  # tells of every call, whatever becomes of it
    "admission",  # a server that stops, or is full, does nothing else for a call
    "audit",  # calls that are refused after this are recorded
    "authentication",  # from here on it is known who calls
    "tenant_limits",  # what a tenant may not do takes nothing from its share
    "required_audit",  # what nobody else refuses is carried out only if it will be recorded
)


def in_order(interceptors: Mapping[str, Interceptor | None]) -> tuple[Interceptor, ...]:
    """Those that are in use, in their order. None: not in use."""
    unknown = interceptors.keys() - set(ORDER)
    if unknown:
        raise ValueError(f"interceptors without a place in the order: {sorted(unknown)}")
    named = (interceptors.get(name) for name in ORDER)
    return tuple(interceptor for interceptor in named if interceptor is not None)
