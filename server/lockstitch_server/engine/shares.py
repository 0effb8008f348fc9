"""A total that tenants share, such as bytes of memory, of which no tenant can take everything."""


class Shares:
    """Counts what each tenant holds of a total.

    A tenant may hold as much as is left free: half of the total if it is alone, a third if there are two. So what is
    held is never more than the total, and another tenant always finds some of it free.
    """

    __slots__ = ("_tenants", "held", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        """What all tenants hold."""
        self._tenants: dict[str, int] = {}

    def of(self, tenant: str) -> int:
        """What a tenant holds."""
        return self._tenants.get(tenant, 0)

    def fits(self, tenant: str, amount: int) -> bool:
        """Whether a tenant may hold this much more."""
        return self.of(tenant) + 2 * amount <= self.total - self.held

    def add(self, tenant: str, amount: int) -> None:
        """Count an amount. A negative one gives it back."""
        self.held += amount
        if held := self._tenants.get(tenant, 0) + amount:
            self._tenants[tenant] = held
        else:
            del self._tenants[tenant]
