"""The ASGI application: finds the method and the protocol of a request, and has the call carried out."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import grpc
import structlog

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Receive, Scope, Send
from lockstitch_server.rpc.transport.http.body import Body, Pace
from lockstitch_server.rpc.transport.http.call import HttpCall
from lockstitch_server.rpc.transport.http.client import Client
from lockstitch_server.rpc.transport.http.codecs import Codec
from lockstitch_server.rpc.transport.http.early_answers import Http1Request
from lockstitch_server.rpc.transport.http.endpoints import NO_ENDPOINT, Endpoint
from lockstitch_server.rpc.transport.http.headers import Named, by_name, repeated
from lockstitch_server.rpc.transport.http.origins import Origins
from lockstitch_server.rpc.transport.http.pages import Pages, respond
from lockstitch_server.rpc.transport.http.protocols import GRPC, Protocol, media_type
from lockstitch_server.rpc.transport.http.slices import ClientStalled, in_slices
from lockstitch_server.rpc.transport.http.status import OK, CallAborted, CallStatus, failed
from lockstitch_server.rpc.transport.request_memory import HeldRequest, RequestMemory

log = structlog.get_logger(__name__)

TRAILERS = "http.response.trailers"
NO_TRAILERS = CallStatus(
    grpc.StatusCode.INTERNAL, "native gRPC needs HTTP/2 and the header 'te: trailers'; use Connect or gRPC-Web"
)
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
WATCH_NEEDS_HTTP2 = CallStatus(
    grpc.StatusCode.UNIMPLEMENTED, "Watch is not served over HTTP/1.1: use HTTP/2, or call Check at intervals"
)


@dataclass(frozen=True, slots=True)
class Times:
    """Bounds of calls in time.

    pace: for the messages of requests. stall_seconds: how long a client may read nothing of a response.
    http1_seconds: of a call over HTTP/1.1; None: no limit.
    """

    pace: Pace
    stall_seconds: float
    http1_seconds: float | None


class HttpApplication:
    """Serves endpoints in all protocols, on the event loop that it is made on.

    watches_clients: whether the application itself must notice that a client has left; some servers cancel the call.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        protocols: Mapping[str, Protocol],
        pages: Pages,
        origins: Origins,
        times: Times,
        memory: RequestMemory,
        *,
        watches_clients: bool = True,
    ) -> None:
        self._memory = memory
        self._endpoints = endpoints
        self._protocols = protocols
        self._pages = pages
        self._origins = origins
        self._times = times
        self._watches_clients = watches_clients
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"this application serves HTTP only, no {scope['type']}")
        send = in_slices(send, self._times.stall_seconds, self._loop.time)
        named = by_name(scope["headers"])
        try:
            if not _is_http1(scope):
                await self._serve(scope, named, receive, send)
                return
            request = Http1Request(named, receive, send)
            await self._serve(scope, named, request.receive, request.send)
            await request.end_body(self._times.pace.seconds)
        except ClientStalled as error:
            log.debug("client_left", path=scope["path"][:256], reason=str(error))

    def _serve(self, scope: Scope, headers: Named, receive: Receive, send: Send) -> Awaitable[None]:
        if name := repeated(scope["headers"], headers):
            return respond(send, 400, f"{name}: this header must be there once.\n", [])
        if not self._origins.allows(headers):
            return respond(send, 403, "Pages of this origin may not call: see http.cors_origins.\n", [])
        more = self._origins.headers(headers)
        endpoint = self._endpoints.get(_path(scope)) if not _is_escaped(scope) else None
        if scope["method"] == "POST" and endpoint is not None:
            return self._call(endpoint, scope, headers, receive, _with_headers(send, more) if more else send)
        if scope["method"] == "OPTIONS" and more:
            return respond(send, 200, "", self._origins.preflight(headers))
        return self._refuse(endpoint, scope, headers, receive, send, more)

    async def _refuse(
        self, endpoint: Endpoint | None, scope: Scope, headers: Named, receive: Receive, send: Send, more: Headers
    ) -> None:
        """Answer what is no call of a method."""
        if endpoint is not None:
            await respond(send, 405, "Methods are called by POST.\n", [(b"allow", b"POST"), *more])
        elif scope["method"] in ("GET", "HEAD") and await self._pages.answer(_path(scope), send, more):
            return
        elif protocol := self._protocols.get(_media_type(headers)):
            status = CallStatus(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {_path(scope)[:256]}")
            await self._end(protocol, headers, receive, send, status)
        else:
            await respond(send, 404, "There is nothing here. Methods are at /SERVICE/METHOD.\n", more)

    def _call(self, endpoint: Endpoint, scope: Scope, headers: Named, receive: Receive, send: Send) -> Awaitable[None]:
        protocol = self._protocols.get(_media_type(headers))
        if protocol is None or not protocol.serves(endpoint):
            accepted = ", ".join(name for name, each in self._protocols.items() if each.serves(endpoint))
            more = [(b"accept-post", accepted.encode())]
            return respond(send, 415, f"This method takes requests of the types {accepted}.\n", more)
        if protocol.is_duplex(endpoint) and _is_http1(scope):
            return respond(send, 505, "Requests and responses of this method overlap: it needs HTTP/2.\n", [])
        if not self._watches_clients and endpoint.path == HEALTH_WATCH and _is_http1(scope):
            # h2corn does not say that a client has left over HTTP/1.1: the watch would never end.
            return self._end(protocol, headers, receive, send, WATCH_NEEDS_HTTP2)
        if protocol.family == GRPC and TRAILERS not in scope.get("extensions", {}):
            return self._end(protocol, headers, receive, send, NO_TRAILERS)
        return self._carry_out(endpoint, protocol, scope, headers, receive, send)

    async def _carry_out(
        self, endpoint: Endpoint, protocol: Protocol, scope: Scope, headers: Named, receive: Receive, send: Send
    ) -> None:
        """Have the method answer a call, and end the response."""
        body = self._body(protocol, receive)
        added: Headers = []
        wire = protocol.wire(body, send, endpoint, headers, added)
        call = HttpCall(scope, wire, added, protocol.codec.weight, body.held, self._loop.time)
        call.limit(partial(protocol.seconds, headers), self._times.http1_seconds if _is_http1(scope) else None)
        try:
            await wire.end(await _status(endpoint, protocol.codec, call))
        except OSError as error:  # the client has left before it had the response, or reads nothing of it
            log.debug("client_left", method=endpoint.path, reason=str(error))
        except asyncio.CancelledError:
            if not body.client.has_left:
                raise
        finally:
            body.close()

    async def _end(self, protocol: Protocol, headers: Named, receive: Receive, send: Send, status: CallStatus) -> None:
        """Answer a call that no method is asked for."""
        await protocol.wire(self._body(protocol, receive), send, NO_ENDPOINT, headers, []).end(status)

    def _body(self, protocol: Protocol, receive: Receive) -> Body:
        """The body of a request that the current task carries out."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        client = Client(task, watches=self._watches_clients)
        return Body(protocol.receive(receive), client, self._times.pace, HeldRequest(self._memory), self._loop.time)


async def _status(endpoint: Endpoint, codec: Codec, call: HttpCall) -> CallStatus:
    """How a call ends, which has sent its responses."""
    try:
        async with asyncio.timeout_at(call.deadline):
            await _answer(endpoint, codec, call)
    except CallAborted as error:
        return error.status
    except Failure as failure:
        return failed(failure)
    except TimeoutError:
        return CallStatus(grpc.StatusCode.DEADLINE_EXCEEDED, "the call has reached its deadline")
    except OSError:
        raise
    except Exception as error:
        log.error("call_failed", method=endpoint.path, exc_info=error)
        return CallStatus(grpc.StatusCode.INTERNAL, "the server failed; its log has the error")
    finally:
        call.done()
    return OK


async def _answer(endpoint: Endpoint, codec: Codec, call: HttpCall) -> None:
    if not endpoint.has_many_responses:
        # No variable holds the answer, which would else take memory beside what it becomes.
        encoded = await codec.encode(endpoint.response, await endpoint.handle(call.messages(), call), call.tenant)
        call.encoded(len(encoded))
        await call.wire.write(encoded, last=True)
        return
    async with aclosing(endpoint.handle(call.messages(), call)) as answers:
        async for answer in answers:
            await call.wire.write(await codec.encode(endpoint.response, answer, call.tenant), last=False)


def _media_type(headers: Named) -> str:
    return media_type(headers.get(b"content-type", b""))


def _is_http1(scope: Scope) -> bool:
    version: str = scope["http_version"]
    return version.startswith("1")


def _path(scope: Scope) -> str:
    """The path below the one that the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _is_escaped(scope: Scope) -> bool:
    """Whether a path is spelled with escapes. Paths of methods need none, and a proxy may have taken it for another."""
    return b"%" in (scope.get("raw_path") or b"")


def _with_headers(send: Send, more: Headers) -> Send:
    """Sends further headers with a response: those that the list has when the response begins."""

    async def sending(event: Event) -> None:
        is_start = event["type"] == "http.response.start"
        await send({**event, "headers": [*event["headers"], *more]} if is_start else event)

    return sending
