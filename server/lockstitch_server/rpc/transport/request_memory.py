"""Bounds the memory of requests that have arrived in part, or wait to be unpacked or parsed."""

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.shares import Shares

FREE_BYTES = 16 * 1024
"""Bytes of a request that do not count: a call takes about as much in any case."""
RETRY_SECONDS = 1.0


class RequestMemory:
    """The memory of all requests. Each tenant may hold as much of it as is left free."""

    def __init__(self, total: int) -> None:
        """total: bytes, `queue.max_request_bytes`."""
        self._shares = Shares(total)

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._shares.held

    def add(self, tenant: str, size: int) -> None:
        """Count bytes of a tenant; a negative size gives them back. Fails with RATE_LIMITED."""
        if size > 0 and not self._shares.fits(tenant, size):
            total = self._shares.total
            raise Failure(
                Reason.RATE_LIMITED,
                f"request: the tenant has {self._shares.of(tenant)} bytes of requests that have not arrived completely "
                f"or wait to be parsed, which is its share of {total} bytes (queue.max_request_bytes); send fewer "
                "large requests at once",
                limit=total,
            ).after(RETRY_SECONDS)
        if size:
            self._shares.add(tenant, size)


class HeldRequest:
    """What one call holds of the memory. tenant: empty until the caller is known."""

    __slots__ = ("_held", "_memory", "tenant")

    def __init__(self, memory: RequestMemory, tenant: str = "") -> None:
        self._memory = memory
        self._held = 0
        self.tenant = tenant

    def hold(self, size: int) -> None:
        """The call holds this many bytes from now on. Fails with RATE_LIMITED, and holds what it did then."""
        if size <= FREE_BYTES:
            size = 0
        if size != self._held:
            self._memory.add(self.tenant, size - self._held)
            self._held = size

    def release(self) -> None:
        """The call holds nothing from now on."""
        self.hold(0)
