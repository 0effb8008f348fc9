"""Connections to the server: one client for each set of credentials."""

from collections import OrderedDict
from dataclasses import dataclass, field

from lockstitch import AsyncClient, Tls
from lockstitch_ui.settings import ExplorerSettings

MAX_CLIENTS = 100
"""Connections that are kept open. One more closes the one that was used least recently."""

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to the server. key, tenant: ""; there is none. certificate: whether to show the explorer's own."""

    key: str = field(default="", repr=False)
    tenant: str = ""
    certificate: bool = False


class Backend:
    """The clients. Each connects at its first call."""

    def __init__(self, settings: ExplorerSettings) -> None:
        self.settings = settings
        self._clients: OrderedDict[Credentials, AsyncClient] = OrderedDict()
        self._replaced: list[AsyncClient] = []

    def client(self, credentials: Credentials) -> AsyncClient:
        """The client that shows these credentials. Raises ValueError for a key that cannot be sent."""
        if credentials in self._clients:
            self._clients.move_to_end(credentials)
            return self._clients[credentials]
        client = self.connect(credentials)
        self._clients[credentials] = client
        if len(self._clients) > MAX_CLIENTS:
            self._replaced.append(self._clients.popitem(last=False)[1])
        return client

    def connect(self, credentials: Credentials) -> AsyncClient:
        """A client that the caller closes. Raises ValueError for a key that cannot be sent."""
        return AsyncClient(
            self.settings.target,
            credentials=self._encryption(credentials.certificate),
            key=credentials.key or None,
            tenant=credentials.tenant,
            insecure=self.settings.insecure,
            timeout=self.settings.timeout,
            connect_timeout=min(CONNECT_SECONDS, self.settings.timeout),
            retry=False,
            delta=False,
            stream=False,
        )

    async def close_replaced(self) -> None:
        """Close the connections that others took the place of."""
        while self._replaced:
            await self._replaced.pop().close()

    async def close(self) -> None:
        """Close all connections."""
        self._replaced.extend(self._clients.values())
        self._clients.clear()
        await self.close_replaced()

    def _encryption(self, with_certificate: bool) -> Tls | None:
        own = self.settings.credentials
        if own is None or with_certificate or own.certificate is None:
            return own
        return Tls(own.ca, server_name=own.server_name)
