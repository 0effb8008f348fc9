"""The ASGI application: finds the method and the protocol of a request, and has the call carried out."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import grpc
import structlog

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.transport.http.arrival import Pace
from lockstitch_server.rpc.transport.http.asgi_types import Event, Headers, Receive, Scope, Send
from lockstitch_server.rpc.transport.http.body import Body
from lockstitch_server.rpc.transport.http.call import HttpCall
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
    """Serves endpoints in all protocols.

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"this application serves HTTP only, no {scope['type']}")
        send = in_slices(send, self._times.stall_seconds)
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

    async def _serve(self, scope: Scope, headers: Named, receive: Receive, send: Send) -> None:
        if name := repeated(scope["headers"], headers):
            await respond(send, 400, f"{name}: this header must be there once.\n", [])
            return
        if not self._origins.allows(headers):
            await respond(send, 403, "Pages of this origin may not call: see http.cors_origins.\n", [])
            return
        more = self._origins.headers(headers)
        endpoint = self._endpoints.get(_path(scope)) if not _is_escaped(scope) else None
        if scope["method"] == "POST" and endpoint is not None:
            await self._call(endpoint, scope, headers, receive, _with_headers(send, more) if more else send)
        elif scope["method"] == "OPTIONS" and more:
            await respond(send, 200, "", self._origins.preflight(headers))
        else:
            await self._refuse(endpoint, scope, headers, receive, send, more)

    async def _refuse(
        self, endpoint: Endpoint | None, scope: Scope, headers: Named, receive: Receive, send: Send, more: Headers
    ) -> None:
        """Answer what is no call of a method."""
        if endpoint is not None:
            await respond(send, 405, "Methods are called by POST.\n", [(b"allow", b"POST"), *more])
        elif scope["method"] in ("GET", "HEAD") and await self._pages.answer(_path(scope), send, more):
            return
        elif protocol := self._protocols.get(media_type(headers)):
            status = CallStatus(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {_path(scope)[:256]}")
            await self._end(protocol, headers, receive, send, status)
        else:
            await respond(send, 404, "There is nothing here. Methods are at /SERVICE/METHOD.\n", more)

    async def _call(self, endpoint: Endpoint, scope: Scope, headers: Named, receive: Receive, send: Send) -> None:
        protocol = self._protocols.get(media_type(headers))
        if protocol is None or not protocol.serves(endpoint):
            accepted = ", ".join(name for name, each in self._protocols.items() if each.serves(endpoint))
            more = [(b"accept-post", accepted.encode())]
            await respond(send, 415, f"This method takes requests of the types {accepted}.\n", more)
        elif protocol.is_duplex(endpoint) and _is_http1(scope):
            await respond(send, 505, "Requests and responses of this method overlap: it needs HTTP/2.\n", [])
        elif not self._watches_clients and endpoint.path == HEALTH_WATCH and _is_http1(scope):
            # h2corn does not say that a client has left over HTTP/1.1: the watch would never end.
            await self._end(protocol, headers, receive, send, WATCH_NEEDS_HTTP2)
        elif protocol.family == GRPC and TRAILERS not in scope.get("extensions", {}):
            await self._end(protocol, headers, receive, send, NO_TRAILERS)
        else:
            task = asyncio.current_task()
            assert task is not None
            held = HeldRequest(self._memory)
            running = _Running(task, endpoint, protocol, scope, headers, receive, send, self._times, held)
            await running.run(self._watches_clients)

    async def _end(self, protocol: Protocol, headers: Named, receive: Receive, send: Send, status: CallStatus) -> None:
        """Answer a call that no method is asked for."""
        body = Body(receive, lambda: None)
        held = HeldRequest(self._memory)
        await protocol.wire(body, send, NO_ENDPOINT, headers, self._times.pace, held).end(status)


class _Running:
    """A call that is carried out."""

    def __init__(
        self,
        task: "asyncio.Task[object]",
        endpoint: Endpoint,
        protocol: Protocol,
        scope: Scope,
        headers: Named,
        receive: Receive,
        send: Send,
        times: Times,
        held: HeldRequest,
    ) -> None:
        self._task = task
        self._endpoint = endpoint
        self._protocol = protocol
        self._scope = scope
        self._left = False
        self._body = Body(receive, self._leave)
        self._request_headers = headers
        self._headers: Headers = []
        self._times = times
        self._held = held
        self._wire = protocol.wire(self._body, send, endpoint, headers, times.pace, held, self._headers)

    async def run(self, watches_client: bool) -> None:
        """Carry it out, and end the response."""
        self._body.watches_client = watches_client
        try:
            await self._wire.end(await self._status())
        except OSError as error:  # the client has left before it had the response, or reads nothing of it
            log.debug("client_left", method=self._endpoint.path, reason=str(error))
        except asyncio.CancelledError:
            if not self._left:
                raise
        finally:
            self._held.release()
            self._body.close()

    async def _status(self) -> CallStatus:
        call = self._call()
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._answer(call)
        except CallAborted as error:
            return error.status
        except Failure as failure:
            return failed(failure)
        except TimeoutError:
            return CallStatus(grpc.StatusCode.DEADLINE_EXCEEDED, "the call has reached its deadline")
        except OSError:
            raise
        except Exception as error:
            log.error("call_failed", method=self._endpoint.path, exc_info=error)
            return CallStatus(grpc.StatusCode.INTERNAL, "the server failed; its log has the error")
        finally:
            call.done()
        return OK

    def _call(self) -> HttpCall:
        given, failure = None, None
        try:
            given = self._protocol.seconds(self._request_headers)
        except Failure as error:
            failure = error
        most = self._times.http1_seconds if _is_http1(self._scope) else None
        seconds = min((each for each in (given, most) if each is not None), default=None)
        weight = self._protocol.codec.weight
        return HttpCall(self._scope, self._wire, self._headers, seconds, weight, self._held, failure)

    async def _answer(self, call: HttpCall) -> None:
        encode = partial(self._protocol.codec.encode, self._endpoint.response)
        if not self._endpoint.has_many_responses:
            # No variable holds the answer, which would else take memory beside what it becomes.
            encoded = await encode(await self._endpoint.handle(call.messages(), call), self._held.tenant)
            call.encoded(len(encoded))
            await self._wire.write(encoded, last=True)
            return
        async with aclosing(self._endpoint.handle(call.messages(), call)) as answers:
            async for answer in answers:
                await self._wire.write(await encode(answer, self._held.tenant), last=False)

    def _leave(self) -> None:
        """The client is gone: nobody waits for the response."""
        self._left = True
        self._task.cancel()


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
