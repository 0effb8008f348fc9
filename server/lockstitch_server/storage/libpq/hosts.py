"""The hosts of an address: which to try first, and how long each."""

import asyncio
import ipaddress
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lockstitch_server.storage.libpq.address import Address

CONNECT_SECONDS = 5.0
"""For all hosts together, where the address says nothing else."""
LEAST_SECONDS = 1.0
"""For one host."""


class Endpoint(NamedTuple):
    """A host. ip: the one of its addresses to connect to, if its name has several."""

    host: str
    port: int
    ip: str | None = None

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}" + (f" ({self.ip})" if self.ip else "")


class HostOrder:
    """The host that worked last comes first, those that hung come last, the others are in the order of the address."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._count = len(address.hosts)
        self._worked: Endpoint | None = None
        self._hung: Counter[Endpoint] = Counter()
        """How often each has hung since it worked."""

    @property
    def has_several(self) -> bool:
        return self._count > 1

    async def others(self) -> Sequence[Endpoint]:
        """`endpoints` without the one that worked last."""
        return [endpoint for endpoint in await self.endpoints() if endpoint != self._worked]

    @property
    def seconds(self) -> float:
        """For all hosts together."""
        return max(self._full * self._count, CONNECT_SECONDS)

    @property
    def _full(self) -> float:
        return self._address.connect_timeout or max(CONNECT_SECONDS / self._count, LEAST_SECONDS)

    def limit(self, endpoint: Endpoint) -> float:
        """How long to try this one, in seconds. One that hung must not delay the others for long."""
        hung = self._hung[endpoint] if self._count > 1 else 0
        return min(self._full, LEAST_SECONDS * 2 ** (hung - 1)) if 0 < hung < 10 else self._full

    async def endpoints(self) -> Sequence[Endpoint]:
        """What to try, in this order. A name that cannot be resolved is tried as it is."""
        found = [endpoint for host, port in self._address.hosts for endpoint in await _endpoints(host, port)]
        self._count = len(found)
        if self._address.is_balanced:
            random.shuffle(found)
        else:
            found.sort(key=lambda endpoint: endpoint != self._worked)
        found.sort(key=lambda endpoint: endpoint in self._hung)
        return found

    def worked(self, endpoint: Endpoint) -> Endpoint | None:
        """One has worked. Gives the one that worked before."""
        before, self._worked = self._worked, endpoint
        self._hung.pop(endpoint, None)
        return before

    def hung(self, endpoint: Endpoint) -> None:
        """One has not responded in time."""
        self._hung[endpoint] += 1


async def _endpoints(host: str, port: int) -> list[Endpoint]:
    alone = [Endpoint(host, port)]
    if host.startswith(("/", "@")) or _is_ip(host):
        return alone
    try:
        async with asyncio.timeout(LEAST_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return alone
    ips = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
    # An IPv4 and an IPv6 address are usually those of one host.
    has_several = max(Counter(family for family, _ in ips).values()) > 1
    return [Endpoint(host, port, ip) for _, ip in ips] if has_several else alone


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class PinnedLoop:
    """The event loop, except that connections go to one address of a host. Its name stays what TLS checks."""

    def __init__(self, ip: str | None) -> None:
        self._loop: Any = asyncio.get_running_loop()
        self._ip = ip

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, **options: Any) -> Any:
        named = {"server_hostname": host} if options.get("ssl") else {}
        return await self._loop.create_connection(factory, self._ip, port, **named, **options)
