"""Failovers under load, and what they cost: acknowledged saves that are gone, and how long no save is possible.

`python -m tests.robustness.failovers --rounds 50` runs 50 failovers of each kind, and prints a line for each kind.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple, get_args

import grpc

from tests.robustness.crowd import until
from tests.robustness.ledger import Ledger
from tests.robustness.writers import Writer
from tests.support.api import Api, grpc_api
from tests.support.replication import Pair, pair
from tests.support.server import LockstitchServer

Kind = Literal["kill", "freeze", "switchover"]
"""The primary is killed with SIGKILL; all its processes are stopped with SIGSTOP; it is stopped in good order."""

WRITERS = 6
SAVES = 30
"""Acknowledged saves before a failover and after it."""
PAUSE = 0.02
"""Seconds after which a writer tries again what failed."""
MOST_DELAY = 1.0
"""Seconds that pass at most between the end of a primary and the promotion of its standby."""


class Outcome(NamedTuple):
    """gap: seconds from the promotion to the first save that is acknowledged after it."""

    gap: float
    codes: set[grpc.StatusCode]


class Load:
    """Writers that never stop, and a ledger of what was acknowledged."""

    def __init__(self, api: Api, rng: random.Random) -> None:
        self.ledger = Ledger()
        self._api = api
        names = [f"{rng.randrange(2**32)}-{number}" for number in range(WRITERS)]
        self._writers = [Writer(name, self.ledger, random.Random(rng.random())) for name in names]
        self.last = 0.0
        """When the last save was acknowledged."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._write(writer, stop)) for writer in self._writers]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def some(self) -> None:
        """Wait until some more saves are acknowledged."""
        enough = self.ledger.acknowledged + SAVES
        await until(lambda: self.ledger.acknowledged >= enough)

    @property
    def codes(self) -> set[grpc.StatusCode]:
        return set().union(*(writer.codes for writer in self._writers))

    async def _write(self, writer: Writer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if await writer.write_one(self._api):
                self.last = time.monotonic()
            else:
                await asyncio.sleep(PAUSE)


async def fail_over(servers: Pair, kind: Kind, api: Api, rng: random.Random) -> Outcome:
    """One failover under load. Raises as `under_load` does."""

    def change_primary() -> None:
        if kind == "switchover":
            servers.switch_over()
        else:
            getattr(servers.primary, kind)()
            time.sleep(rng.uniform(0, MOST_DELAY))
            servers.promote()

    return await under_load(api, rng, change_primary)


async def under_load(api: Api, rng: random.Random, change_primary: Callable[[], None]) -> Outcome:
    """Change the primary under load. Raises AssertionError if a save is lost, or a call got a wrong error.

    change_primary: returns when the new one takes writes.
    """
    load = Load(api, rng)
    async with load.running():
        await load.some()
        await asyncio.to_thread(change_primary)
        promoted = time.monotonic()
        await until(lambda: load.last > promoted)
        gap = load.last - promoted
        await load.some()
    await load.ledger.check_all(api)
    assert load.codes <= {grpc.StatusCode.UNAVAILABLE}, load.codes
    return Outcome(gap, load.codes)


async def _rounds(rounds: int, kinds: list[Kind], rng: random.Random) -> None:
    with pair() as servers, LockstitchServer(servers.url(), ["--migrate"]) as server:
        async with grpc_api(server.target) as api:
            for kind in kinds:
                gaps, failed = [], 0
                for _ in range(rounds):
                    outcome = await fail_over(servers, kind, api, rng)
                    gaps.append(outcome.gap)
                    failed += bool(outcome.codes)
                    await asyncio.to_thread(servers.rejoin)
                print(
                    f"{kind}: {rounds} failovers, no acknowledged save lost; in {failed} a call failed with UNAVAILABLE"
                )
                print(f"  gap: median {statistics.median(gaps):.2f} s, longest {max(gaps):.2f} s", flush=True)


def main() -> None:
    kinds = get_args(Kind)
    options = argparse.ArgumentParser(prog="python -m tests.robustness.failovers", description=__doc__)
    options.add_argument("--rounds", type=int, default=5, help="failovers of each kind")
    options.add_argument("--kind", choices=kinds, action="append", help="only this kind; can be repeated")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = options.parse_args()
    print(f"--seed {chosen.seed}")
    asyncio.run(_rounds(chosen.rounds, chosen.kind or list(kinds), random.Random(chosen.seed)))


if __name__ == "__main__":
    main()
