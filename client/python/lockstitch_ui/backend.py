"""Connections to the server: one client for each set of credentials."""

import asyncio
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
        self._closing: set[asyncio.Task[None]] = set()

    def client(self, credentials: Credentials) -> AsyncClient:
        """The client that shows these credentials. Raises ValueError for a key that cannot be sent."""
        if credentials in self._clients:
            self._clients.move_to_end(credentials)
            return self._clients[credentials]
        client = self.connect(credentials)
        self._clients[credentials] = client
        if len(self._clients) > MAX_CLIENTS:
            self._close_later(self._clients.popitem(last=False)[1])
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

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            self._close_later(client)
        self._clients.clear()
        closing = list(self._closing)
        await asyncio.sleep(0)  # a task that has not begun would not close its client
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    def _close_later(self, client: AsyncClient) -> None:
        """Close it when the calls that are under way have ended, or when the explorer ends."""

        async def close() -> None:
            try:
                await asyncio.sleep(self.settings.timeout)
            finally:
                await client.close()

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _encryption(self, with_certificate: bool) -> Tls | None:
        own = self.settings.credentials
        if own is None or with_certificate or own.certificate is None:
            return own
        return Tls(own.ca, server_name=own.server_name)
