"""The state of a call that interceptors and handlers share."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.message import Message

from lockstitch_server import __version__
from lockstitch_server.auth import Principal
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.errors import AbortedCall
from lockstitch_server.telemetry import trace_context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import SpanContext

    from lockstitch_server.rpc.save_stream import SaveObserver

DEFAULT_TENANT = "default"
REQUEST_ID_KEY = "x-request-id"
SERVER_VERSION_KEY = "lockstitch-server-version"
"""In the headers of a response over HTTP, and in the trailing metadata of a gRPC call."""
CERTIFICATE = "x509_pem_cert"
"""What gRPC calls the caller's certificate. The names that it has read from it end at a NUL: they are not used."""

Metadata = Iterable[tuple[str, str | bytes]]


class Transport(Protocol):
    """The part of a call's transport that handlers use; `grpc.aio.ServicerContext` is one."""

    def invocation_metadata(self) -> Metadata | None: ...

    def peer(self) -> str: ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def time_remaining(self) -> float | None: ...

    def add_done_callback(self, callback: Any) -> None: ...

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...], /) -> None: ...


class HeldAnswer(Protocol):
    """Memory that an answer takes until it has been sent."""

    def sent_as(self, size: int) -> None:
        """The answer has become this many bytes, and takes no other memory."""
        ...

    def release(self, _: object = None) -> None:
        """The answer has been sent."""
        ...


class _NoTransport:
    """Stands for what brings calls within a process."""

    def invocation_metadata(self) -> Metadata | None:
        return ()

    def peer(self) -> str:
        return ""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def time_remaining(self) -> float | None:
        return None

    def add_done_callback(self, callback: Any) -> None:
        callback(self)

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...], /) -> None: ...


NO_TRANSPORT = _NoTransport()


@dataclass(slots=True)
class CallContext:
    """A call. Interceptors fill in what they find out, before the handler is asked."""

    tenant: str = DEFAULT_TENANT
    transport: Transport = field(default=NO_TRANSPORT, repr=False)
    trace: bytes | None = None
    """The id of the trace that the call belongs to; None until it is asked for."""
    span: "Span | None" = None
    """The span of the call, where it is sampled."""
    parent: "SpanContext | None" = None
    """The caller's span, where the saves of a stream are traced."""
    traces_items: bool = False
    """Whether each save of a stream may be traced, by itself."""
    principal: Principal | None = None
    """The caller; None: unknown, or authentication is off."""
    is_looked_at: bool = False
    """Whether authentication has run, which happens before anything of the call is read."""
    refusal: Failure | AbortedCall | asyncio.CancelledError | None = None
    """Why the call cannot be done, known before its handler begins. CancelledError: its client has left."""
    request_id: str = ""
    """The caller's own id for the call, else one that was made for it; empty until it is asked for."""
    closing: "asyncio.Future[None] | None" = None
    """Done when a call without an end of its own should end."""
    is_identified: bool = False
    """Whether the caller has authenticated, or authentication is off. Until then nothing is parsed."""
    request: Message | None = None
    """The parsed request, or a projection of it that names its subject; None until somebody has parsed it."""
    must_be_recorded: bool = False
    """Whether the call was let in on the condition that the audit log keeps its record."""
    save_observer: "SaveObserver | None" = None
    """Observes the saves of a stream."""
    pace_saves: Callable[[int], Awaitable[None]] | None = None
    """Waits until a number of saves of a stream may begin."""

    _entries: tuple[tuple[str, str | bytes], ...] | None = field(default=None, repr=False)
    _peer: str | None = None
    _certificate: bytes | None = field(default=None, repr=False)

    def identified(self) -> None:
        """The caller is known, or authentication is off: the call may be parsed, and the caller may see the version."""
        self.is_identified = True
        self.transport.set_trailing_metadata(((SERVER_VERSION_KEY, __version__),))

    def act_for(self, tenant: str) -> None:
        """The caller may act for this tenant, and what it sends counts as the tenant's."""
        self.tenant = tenant
        receive_for = getattr(self.transport, "receive_for", None)
        if receive_for is not None:
            receive_for(tenant)

    @property
    def answer_weight(self) -> int:
        """Bytes of memory that each byte of an answer may take until it has been sent."""
        weight: int = getattr(self.transport, "answer_weight", 1)  # gRPC's own transport sends answers as they are
        return weight

    def hold(self, answer: HeldAnswer) -> None:
        """Count the memory of the call's answer until it has been sent."""
        hold = getattr(self.transport, "hold", None)
        if hold is not None:
            hold(answer)
        else:
            self.transport.add_done_callback(answer.release)

    # gRPC frees a call that its client has left while its handler may still run: asked then, it crashes the process. So
    # these ask once. Code that needs the answer at the end of a call asks at its beginning.

    def entries(self) -> Metadata:
        """The metadata that the caller sent."""
        if self._entries is None:
            self._entries = tuple(self.transport.invocation_metadata() or ())
        return self._entries

    def peer(self) -> str:
        """The address at the other end of the connection."""
        if self._peer is None:
            self._peer = self.transport.peer()
        return self._peer

    def certificate(self) -> bytes:
        """The caller's certificate, PEM, which has been verified; empty: there is none."""
        if self._certificate is None:
            self._certificate = next(iter(self.transport.auth_context().get(CERTIFICATE, ())), b"")
        return self._certificate

    def trace_id(self) -> bytes:
        """The id of the trace that the call belongs to; empty where there is none."""
        if self.trace is None:
            self.trace = trace_context.trace_id(self.metadata(trace_context.TRACEPARENT))
        return self.trace

    def metadata(self, name: str) -> str | None:
        """The first value of an entry that the caller sent, if it is text."""
        for key, value in self.entries():
            if key == name:
                return value if isinstance(value, str) else None
        return None

    def call_id(self) -> str:
        """The caller's own id for the call, else a new one."""
        if not self.request_id:
            given = self.metadata(REQUEST_ID_KEY)
            self.request_id = given[:128] if given else secrets.token_hex(8)
        return self.request_id
