"""A primary and a synchronous standby, as real processes; the standby can take over, again and again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.postgres import Postgres

SECONDS = 60.0
SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"


class Pair:
    """Two servers. `primary` takes writes; a commit is acknowledged when `standby` has it too."""

    def __init__(self, primary: Postgres, standby: Postgres) -> None:
        self.primary = primary
        self.standby = standby
        self.ports = primary.port, standby.port
        self.on_promotion: Callable[[Postgres], None] | None = None
        """Is told of each new primary."""
        self._follow()

    def url(self, database: str = "postgres", query: str = "") -> str:
        """Both hosts."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"postgresql://postgres@{hosts}/{database}{query and '?'}{query}"

    def promote(self) -> None:
        """Make the standby the primary, whatever has become of the other. On return it takes writes."""
        self.primary, self.standby = self.standby, self.primary
        self.primary.execute("SELECT pg_promote(true, 60)")
        if self.on_promotion is not None:
            self.on_promotion(self.primary)

    def rejoin(self) -> None:
        """Make the former primary a standby, with a fresh copy of the data."""
        self.standby.erase()
        self._follow()

    def switch_over(self) -> None:
        """Stop the primary in good order, which sends everything to the standby, and let the standby take over."""
        self.primary.stop("fast")
        self.promote()

    def _follow(self) -> None:
        self.standby.copy_of(self.primary)
        self.standby.start()
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.execute("SELECT pg_reload_conf()")
        until(lambda: self.primary.execute(SYNCHRONOUS) == "1" and self._is_required())

    def _is_required(self) -> bool:
        return self.primary.execute("SHOW synchronous_standby_names") == "*"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@contextmanager
def pair() -> Iterator[Pair]:
    """A fresh pair, gone afterwards."""
    with Postgres() as primary:
        standby = Postgres()
        try:
            yield Pair(primary, standby)
        finally:
            standby.close()
