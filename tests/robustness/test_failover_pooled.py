"""Failovers of Postgres behind PgBouncer in transaction mode."""

import random
from collections.abc import Iterator

import pytest

from tests.robustness.failovers import Kind, fail_over
from tests.support.api import grpc_api
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.replication import Pair, pair
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

SETTINGS = {"server_login_retry": 1}
"""Seconds after which PgBouncer tries again to connect to a server. By default 15."""


@pytest.fixture(scope="module")
def servers(postgres: Postgres) -> Iterator[Pair]:
    with pair() as running:
        yield running


@pytest.mark.parametrize("kind", ["kill", "switchover"])
async def test_one_bouncer_that_is_pointed_at_the_new_primary(servers: Pair, rng: random.Random, kind: Kind) -> None:
    with PgBouncer(servers.primary, SETTINGS) as bouncer:
        servers.on_promotion = bouncer.point_at
        with LockstitchServer(bouncer.url("postgres", "pgbouncer=true"), ["--migrate"]) as server:
            async with grpc_api(server.target) as api:
                await fail_over(servers, kind, api, rng)
    servers.on_promotion = None
    servers.rejoin()


@pytest.mark.parametrize("kind", ["kill", "freeze"])
async def test_a_bouncer_in_front_of_each_host(servers: Pair, rng: random.Random, kind: Kind) -> None:
    with PgBouncer(servers.primary, SETTINGS) as one, PgBouncer(servers.standby, SETTINGS) as two:
        url = f"postgresql://postgres@127.0.0.1:{one.port},127.0.0.1:{two.port}/postgres?pgbouncer=true"
        with LockstitchServer(url, ["--migrate"]) as server:
            async with grpc_api(server.target) as api:
                await fail_over(servers, kind, api, rng)
    servers.rejoin()
