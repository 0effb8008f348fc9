"""The HTTP door."""

from typing import Annotated

from pydantic import AfterValidator, Field

from lockstitch_server.config.fields import KIB, LARGEST_MESSAGE, MIB, MOST_SECONDS, Bytes, Group, check_origins, size


class Http(Group):
    """What is served on `http_listen`. The limits of calls hold there, too."""

    cors_origins: Annotated[str, AfterValidator(check_origins)] = Field(
        default="",
        description="Origins of pages whose scripts may call, separated by commas: `https://app.example.org`. `*`: "
        "all. Requests with the header `origin` are refused for all other origins.",
    )
    metrics: bool = Field(
        default=False,
        description="Whether `/metrics` is served to everybody who reaches the address. Needs `lockstitch[otel]`. "
        "With several `workers`, use `metrics_listen`.",
    )
    max_json_bytes: Bytes = size(
        4 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a request in JSON. Larger requests need protobuf.",
    )
    max_json_response_bytes: Bytes = size(
        16 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a message, in protobuf, that is sent as JSON. Larger ones need protobuf: JSON of "
        "this size would delay other calls.",
    )
    max_json_values: int = Field(
        default=50_000,
        ge=100,
        le=100_000_000,
        description="Maximum values of all objects and lists in a message that is received or sent as JSON. More need "
        "protobuf: 50,000 take about a second of a thread.",
    )
    max_header_bytes: Bytes = size(
        32 * KIB, at_least=4 * KIB, at_most=MIB, description="Maximum size of all headers of a request."
    )
    max_connections: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Maximum connections of a worker. Further ones are closed."
    )
    max_requests: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Maximum requests in flight in a worker, also those whose bodies have not arrived. Further ones "
        "are refused (503).",
    )
    request_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="Maximum time for a TLS handshake, for the headers of a request, and between two parts of a body "
        "that is not native gRPC.",
    )
    body_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="Maximum time for a whole message of a request to arrive, without the time that "
        "`http.body_bytes_per_second` adds. A slower call ends with DEADLINE_EXCEEDED.",
    )
    body_bytes_per_second: Bytes = size(
        16 * KIB,
        at_least=1,
        at_most=LARGEST_MESSAGE,
        description="For every such number of bytes that arrive, a message may take one second longer.",
    )
    idle_seconds: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="Time without calls after which a connection is closed.",
    )
    stall_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="A response ends if its client reads nothing of it for this time.",
    )
    http1_call_seconds: float = Field(
        default=600.0,
        ge=1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Maximum time of a call over HTTP/1.1, where the server may not notice that a client has left. A "
        "longer call, such as a WatchSession, ends with DEADLINE_EXCEEDED.",
    )
