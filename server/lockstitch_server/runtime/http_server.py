"""Serves the HTTP door's application with h2corn. Needs h2corn.

h2corn reads TLS files once, when it starts. So a change of the files, and the maximum age of connections, are
met by a second h2corn on the same sockets; the first one stops to accept, tells its clients to connect again (GOAWAY),
and ends when its calls have ended.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE
from lockstitch_server.rpc.transport.http.application import HttpApplication
from lockstitch_server.rpc.transport.http.asgi_types import Receive, Scope, Send
from lockstitch_server.rpc.transport.http.early_answers import BodyUnended
from lockstitch_server.runtime.http_sockets import http_sockets
from lockstitch_server.runtime.listener import TlsFiles, tls_files
from lockstitch_server.runtime.startup import StartupError

if TYPE_CHECKING:
    from h2corn import Config, Server

NEEDS_H2CORN = "http_listen needs h2corn: pip install 'lockstitch[http]'"
STREAM_WINDOW_BYTES = 1024 * 1024
"""Bytes of a request that a client may send before they are read."""
CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
"""Those of all requests of a connection."""
MAX_HEADER_FIELDS = 200
LOOK_SECONDS = 1.0
"""Pause between two looks at the files of TLS."""
AGE_SPREAD = 0.1
"""By how much the maximum age of connections varies, in proportion, so that servers take turns."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving_http(
    application: HttpApplication, settings: Settings, *, shared: bool
) -> AsyncIterator["HttpServer | None"]:
    """Serve the application on `http_listen`; None where there is none. Raises StartupError."""
    if not settings.http_listen:
        yield None
        return
    files = _files(settings)
    with http_sockets(settings, shared=shared) as (address, sockets):
        server = HttpServer(application, settings, files, sockets, address)
        await server.start()
        log.info("serving_http", listen=address)
        try:
            yield server
        finally:
            await server.stop(0)


def check_http(settings: Settings) -> None:
    """Raises StartupError for an `http_listen` that cannot be served."""
    if not settings.http_listen:
        return
    _files(settings)
    if find_spec("h2corn") is None:
        raise StartupError(NEEDS_H2CORN)


def _files(settings: Settings) -> TlsFiles | None:
    files = tls_files(settings.tls)
    if not settings.http_listen.startswith("unix:"):
        return files
    if settings.tls.client_ca:
        raise StartupError(
            f"http_listen: {settings.http_listen} has no TLS, so it cannot ask for the certificates of tls.client_ca; "
            "choose host:port"
        )
    return None


class _Generation:
    """The requests that came through one h2corn."""

    def __init__(self, application: HttpApplication) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._requests: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._requests.add(task)
        try:
            await self._application(scope, receive, send)
        except BodyUnended as error:
            # h2corn closes the connection of a call that fails, and logs the failure with what it was raised through.
            raise error.with_traceback(None) from None
        finally:
            self._requests.discard(task)

    def cancel(self) -> None:
        """Cancel the requests that are in flight."""
        for task in tuple(self._requests):
            task.cancel()


class HttpServer:
    """Serves an application on sockets that listen."""

    def __init__(
        self,
        application: HttpApplication,
        settings: Settings,
        files: TlsFiles | None,
        sockets: Sequence[socket.socket],
        address: str,
    ) -> None:
        self.address = address
        self._application = application
        self._settings = settings
        self._files = files
        self._sockets = sockets
        self._server: Server | None = None
        self._serving = _Generation(application)
        """The requests of `_server`."""
        self._runs: dict[asyncio.Task[None], _Generation] = {}
        """All that run, those that have been replaced included."""
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve. Raises StartupError."""
        seen = self._identities()
        try:
            if self._files is not None:
                self._files.read()
            self._server = await self._begin()
        except ImportError as error:
            raise StartupError(NEEDS_H2CORN) from error
        except (OSError, ValueError) as error:
            raise StartupError(f"http_listen cannot be served: {error}") from error
        if self._files is not None or self._settings.max_connection_age_seconds:
            self._renewing = asyncio.create_task(self._renew(seen))

    def drain(self) -> None:
        """Accept no more connections, and tell clients to go elsewhere. Calls continue."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    async def stop(self, seconds: float) -> None:
        """Wait until all calls have ended, for a time at most; cancel those that have not."""
        self.drain()
        if self._runs and seconds:
            await asyncio.wait(self._runs, timeout=seconds)
        for generation in self._runs.values():
            generation.cancel()
        if self._runs:
            await asyncio.wait(self._runs, timeout=1)

    async def _begin(self) -> "Server":
        from h2corn import Server

        generation = _Generation(self._application)
        server = Server(generation, _config(self._settings, self._files, self._sockets))
        run = asyncio.create_task(server.serve())
        self._runs[run] = generation
        run.add_done_callback(self._ended)
        await server.wait_started()
        self._serving = generation
        return server

    def _ended(self, run: "asyncio.Task[None]") -> None:
        self._runs.pop(run, None)
        if not run.cancelled() and (error := run.exception()) is not None:
            log.warning("http_server_ended", reason=str(error))

    def _identities(self) -> tuple[object, ...]:
        return self._files.identities() if self._files is not None else ()

    async def _renew(self, seen: tuple[object, ...]) -> None:
        """Replace the h2corn that serves when the files of TLS have changed, or its connections may be too old."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._age()
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - loop.time())))
            identities, is_old = self._identities(), loop.time() >= end
            if identities == seen and not is_old:
                continue
            # Files that do not fit together are looked at again when one of them changes: they may in a moment.
            if await self._replace(is_old=is_old) and identities != seen:
                log.info("certificates_reloaded", path=self._settings.tls.certificate)
            seen = identities
            if is_old:
                end = loop.time() + self._age()

    async def _replace(self, *, is_old: bool) -> bool:
        """is_old: whether connections are replaced for their age, so that their calls have the grace of it."""
        generation = self._serving
        try:
            if self._files is not None:
                self._files.read()
            newer = await self._begin()
        except (OSError, ValueError) as error:
            log.warning("certificate_reload_failed", reason=str(error))
            return False
        older, self._server = self._server, newer
        if older is not None:
            older.shutdown()
            if is_old:
                asyncio.get_running_loop().call_later(
                    self._settings.max_connection_age_grace_seconds, generation.cancel
                )
            log.debug("http_server_renewed")
        return True

    def _age(self) -> float:
        """How long connections may last, in seconds."""
        age = self._settings.max_connection_age_seconds
        return age * random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD) if age else float("inf")  # noqa: S311


def _config(settings: Settings, files: TlsFiles | None, sockets: Sequence[socket.socket]) -> "Config":
    from h2corn import Config, RequestPolicy

    http, header_bytes = settings.http, settings.http.max_header_bytes
    # Saves on a stream may be far apart. Its call is authenticated before its body is read.
    streams = RequestPolicy(
        path=f"/{CHECKPOINT_SERVICE.full_name}/SaveStream",
        max_request_body_size=0,
        timeout_request_body_idle=0.0,
        h2_timeout_response_stall=http.stall_seconds,
    )
    return Config(
        bind=tuple(f"fd://{each.fileno()}" for each in sockets),
        grpc=True,
        lifespan="off",
        access_log=False,
        log_format="text" if settings.log_format == "console" else "json",
        max_concurrent_streams=settings.limits.max_connection_calls,
        limit_concurrency=http.max_requests,
        limit_connections=http.max_connections,
        limit_request_head_size=header_bytes,
        limit_request_line=header_bytes,
        limit_request_field_size=header_bytes,
        limit_request_fields=MAX_HEADER_FIELDS,
        h2_max_header_list_size=header_bytes,
        h2_max_header_block_size=header_bytes,
        h2_initial_stream_window_size=STREAM_WINDOW_BYTES,
        h2_initial_connection_window_size=CONNECTION_WINDOW_BYTES,
        max_request_body_size=0,  # the application bounds each message, and reads none before it knows the caller
        request_policies=(streams,),
        timeout_handshake=http.request_seconds,
        timeout_request_header=http.request_seconds,
        timeout_request_body_idle=http.request_seconds,
        timeout_keep_alive=http.idle_seconds,
        # h2corn waits for this long even if it is cancelled: a longer time would keep the process from its end.
        timeout_graceful_shutdown=settings.drain_seconds,
        h2_timeout_response_stall=http.stall_seconds,
        h2_timeout_write=http.stall_seconds,
        **_tls(files),
    )


def _tls(files: TlsFiles | None) -> dict[str, Any]:
    if files is None:
        return {}
    server = {"certfile": files.certificate, "keyfile": files.private_key}
    return server if files.client_ca is None else {**server, "ca_certs": files.client_ca, "cert_reqs": "required"}
