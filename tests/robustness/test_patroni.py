"""Failovers that Patroni does, with etcd: no acknowledged save is lost, and the server goes on without a restart."""

import asyncio
import random

import pytest

from tests.robustness.failovers import under_load
from tests.support.api import grpc_api
from tests.support.patroni import Patroni
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_the_machine_of_the_leader_is_lost_and_a_switchover(rng: random.Random) -> None:
    with (
        Patroni() as cluster,
        LockstitchServer(cluster.url(), ["--migrate", "--set=postgres.failover_seconds=60"]) as server,
    ):
        former = cluster.leader

        def lose_leader() -> None:
            cluster.kill(former)
            cluster.wait_for_leader(former)

        async with grpc_api(server.target) as api:
            await under_load(api, rng, lose_leader)
            await asyncio.to_thread(cluster.restart, former)
            await under_load(api, rng, cluster.switch_over)
