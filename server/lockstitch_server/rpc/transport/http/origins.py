"""Which pages of browsers may call (CORS).

Browsers send the header `origin` with every POST. A request that has one is served only if the operator has listed its
origin. Without this, any page that a user opens could call a server on the user's machine, by a name that the page's
owner resolves to 127.0.0.1.
"""

from collections.abc import Sequence

from lockstitch_server.rpc.call_context import SERVER_VERSION_KEY
from lockstitch_server.rpc.transport.http.asgi_types import Headers
from lockstitch_server.rpc.transport.http.headers import Named

ANY = b"*"
EXPOSED = (
    b"grpc-status, grpc-message, grpc-status-details-bin, grpc-accept-encoding, connect-accept-encoding, "
    + SERVER_VERSION_KEY.encode()
)
MAX_AGE_SECONDS = b"7200"


class Origins:
    """The origins that are listed. `*` is all of them."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed = frozenset(each.encode() for each in listed)

    def allows(self, headers: Named) -> bool:
        """Whether a request may be served."""
        origin = headers.get(b"origin")
        return not origin or ANY in self._listed or origin in self._listed

    def headers(self, request: Named) -> Headers:
        """What a response says to a browser."""
        if not (origin := request.get(b"origin")):
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            (b"vary", b"origin"),
        ]

    def preflight(self, request: Named) -> Headers:
        """What the answer to a browser's question before a call says."""
        wanted = request.get(b"access-control-request-headers")
        return [
            *self.headers(request),
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", wanted or b"content-type"),
            (b"access-control-max-age", MAX_AGE_SECONDS),
        ]
