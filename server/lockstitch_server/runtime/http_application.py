"""Puts the application of the HTTP door together."""

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from lockstitch_server.config import KIB, Http, Settings
from lockstitch_server.rpc.transport.health import Health
from lockstitch_server.rpc.transport.http.application import HttpApplication, Times
from lockstitch_server.rpc.transport.http.body import Pace, SizeLimit
from lockstitch_server.rpc.transport.http.codecs import JsonCodec, ProtoCodec
from lockstitch_server.rpc.transport.http.endpoints import Service, endpoints_of
from lockstitch_server.rpc.transport.http.origins import Origins
from lockstitch_server.rpc.transport.http.pages import Pages
from lockstitch_server.rpc.transport.http.protocols import protocols_of
from lockstitch_server.rpc.transport.receiving import receivable_bytes
from lockstitch_server.rpc.transport.request_memory import RequestMemory
from lockstitch_server.runtime.metrics_report import metrics_page
from lockstitch_server.telemetry.telemetry import Telemetry

ServiceHandlers = Mapping[str, tuple[ServiceDescriptor, grpc.GenericRpcHandler]]
"""Services by their names: what they are, and what answers them."""
MAX_OPEN_REQUEST = SizeLimit(16 * KIB, "of requests without credentials")
"""For services that everybody may call."""


def create_http_application(
    handlers: ServiceHandlers,
    contract: Sequence[str],
    health: Health,
    settings: Settings,
    telemetry: Telemetry,
    memory: RequestMemory,
    *,
    watches_clients: bool,
) -> HttpApplication:
    """The application over the handlers of grpc.aio. Raises StartupError.

    contract: the services that identify their callers before they read requests. memory: for requests.
    watches_clients: False under servers that cancel the calls of clients that have left.
    """
    limits = settings.limits
    most = limits.max_message_bytes
    message = SizeLimit(receivable_bytes(most), "max_message_bytes", most)
    json = JsonCodec(
        SizeLimit(settings.http.max_json_bytes, "http.max_json_bytes"),
        settings.http.max_json_values,
        SizeLimit(settings.http.max_json_response_bytes, "http.max_json_response_bytes"),
    )
    services = (
        Service(descriptor, handler, message if name in contract else MAX_OPEN_REQUEST)
        for name, (descriptor, handler) in handlers.items()
    )
    return HttpApplication(
        endpoints_of(services),
        protocols_of(ProtoCodec(), json),
        Pages(lambda: health.is_ready, metrics_page(telemetry, settings)),
        Origins(settings.cors_origins),
        _times(settings.http, watches_clients=watches_clients),
        memory,
        watches_clients=watches_clients,
    )


def _times(http: Http, *, watches_clients: bool) -> Times:
    pace = Pace(http.body_seconds, http.body_bytes_per_second)
    return Times(pace, http.stall_seconds, None if watches_clients else http.http1_call_seconds)
