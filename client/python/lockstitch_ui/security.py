"""What protects visitors: response headers, the Host check, and a gate that keeps a read-only explorer read-only."""

import ipaddress
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstitch_ui.settings import ExplorerSettings

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
HEADERS: Mapping[str, str] = {
    # What changes with its content only, such as the style sheet, says otherwise.
    "cache-control": "no-store",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # "no-referrer" would make browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
STRICT_TRANSPORT: Mapping[str, str] = {"strict-transport-security": "max-age=31536000"}
SAFE_METHODS = ("GET", "HEAD")
ALWAYS_POSTED = ("/login", "/logout")
"""What a read-only explorer takes, too: it changes nothing that the server keeps."""


class Protection:
    """ASGI middleware around all of the explorer."""

    def __init__(self, app: ASGIApp, settings: ExplorerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a WebSocket gets no answer: there is none here
        refused = refusal(scope, self._settings)
        if refused is not None:
            await refused(scope, receive, _with_headers(send, self._settings.secure))
            return
        # The path as it was sent: an encoded "/" is part of an id.
        raw: bytes = scope["raw_path"]
        scope = {**scope, "path": raw.decode("ascii", "replace").partition("?")[0]}
        await self._app(scope, receive, _with_headers(send, self._settings.secure))


def refusal(scope: Scope, settings: ExplorerSettings) -> PlainTextResponse | None:
    """The answer to a request that is not served at all; None: it is served."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not is_served(host_name(host), settings):
        return PlainTextResponse(
            f'The explorer does not serve the host "{host[:100]}". Open it by an IP address, or start it with '
            "--host-name (ui_host_names of the server).\n",
            421,
        )
    if scope["method"] in SAFE_METHODS:
        return None
    if scope["method"] != "POST" or not (settings.allow_changes or scope["path"] in ALWAYS_POSTED):
        return PlainTextResponse(
            "This explorer is read-only. Start it with --allow-changes to change sessions.\n",
            405,
            {"allow": ", ".join(SAFE_METHODS)},
        )
    return None if is_same_origin(headers) else PlainTextResponse("This form comes from another site.\n", 403)


def host_name(host: str) -> str:
    """A Host header without its port.

    >>> host_name("LOCALHOST:8233"), host_name("[::1]:8233")
    ('localhost', '[::1]')
    """
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdecimal() else host).lower()


def is_served(name: str, settings: ExplorerSettings) -> bool:
    """Whether requests to this host are answered. DNS rebinding needs a name, so IP addresses always are."""
    if not settings.host_names or name in settings.host_names:
        return True
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that one of our own pages sent this; what is no browser says nothing, and needs a token.

    Other ports of a host are other origins, though their cookies are the same.
    """
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        return False
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def common_headers(secure: bool) -> Mapping[str, str]:
    """The headers of all answers. secure: whether browsers reach the explorer over TLS."""
    return {**HEADERS, **STRICT_TRANSPORT} if secure else HEADERS


def _with_headers(send: Send, secure: bool) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in common_headers(secure).items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
