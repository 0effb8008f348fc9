"""The response to a commit is lost: the server finds out whether it was committed, and nothing is saved twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from asyncpg.pool import PoolConnectionHolder
from google.protobuf.duration_pb2 import Duration

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    LoadLatestRequest,
    SaveRequest,
    SaveStreamRequest,
)
from lockstitch.v1.session_service_pb2 import AcquireLeaseRequest
from lockstitch_server.config import Settings
from lockstitch_server.core.format.rows import SessionChange, SessionRow
from lockstitch_server.core.ids import session_key
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage.session_repository import SessionRepository
from tests.conformance.suite.delta import after, more, save_base
from tests.robustness.workload import full_save
from tests.support.api import Api, ApiError, raw_api
from tests.support.buckets import with_buckets
from tests.support.postgres import Postgres
from tests.support.postgres_proxy import Loss, PostgresProxy
from tests.support.streams import batch, flat, sent

pytestmark = pytest.mark.slow

APPLY = "put_checkpoints"
"""In the statement that commits by itself; behind a pooler it is followed by COMMIT."""
COMMIT = "^COMMIT"
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL"
"""Of a transaction that writes."""
SECONDS = 30.0
MIGRATE = Settings(migrate=True)
FAIL_SECOND_MARK = """
CREATE SEQUENCE public.marks;
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.marks') > 1 THEN
        RAISE EXCEPTION 'no writes any more' USING ERRCODE = '{error}';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON lockstitch.elections
    FOR EACH ROW WHEN (new.name LIKE 'transaction of %') EXECUTE FUNCTION public.fail();
"""
"""The next transaction is marked. All that follow fail, and so does the question whether it was committed."""
FAIL_FIRST_COMMIT = """
CREATE SEQUENCE public.commits;
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.commits') = 1 THEN
        RAISE 'could not commit transaction for shard 1 on at least one active node' USING ERRCODE = 'internal_error';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON lockstitch.sessions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.fail();
"""


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@asynccontextmanager
async def served(
    postgres: Postgres, database: str, *, pooled: bool, settings: Settings = MIGRATE
) -> AsyncIterator[tuple[PostgresProxy, Api]]:
    async with PostgresProxy.before(postgres) as proxy:
        url = proxy.url(database) + ("&pgbouncer=true" if pooled else "")
        async with raw_api(settings.model_copy(update={"store": url})) as api:
            yield proxy, api


async def save_together(api: Api, saves: list[SaveRequest]) -> list[int]:
    """Saves that arrive at once; their outcomes."""
    message = batch(SaveStreamRequest(request_id=number, save=save) for number, save in enumerate(saves))
    answers = [one async for answer in api.save_stream(sent([message])) for one in flat(answer)]
    assert [one.WhichOneof("result") for one in answers] == ["saved"] * len(saves), answers
    return [one.saved.outcome for one in sorted(answers, key=lambda one: one.request_id)]


async def contents(api: Api, session: str) -> list[str]:
    latest = await api.load_latest(LoadLatestRequest(session_id=session))
    return [message.content for message in latest.checkpoint.state.messages.items]


LOSSES: list[Loss] = ["response", "request", "late request"]


def chain(session: str, steps: range) -> list[SaveRequest]:
    """Saves of which each expects the one before to be the latest."""
    saves = [full_save(session, step) for step in steps]
    for save in saves:
        if save.checkpoint.parent_id:
            save.expected_latest.checkpoint_id = save.checkpoint.parent_id
        else:
            save.expected_latest.none = True
    return saves


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("pooled", "statement", "begin"),
    [
        pytest.param(False, APPLY, 2, id="one statement"),
        pytest.param(False, COMMIT, 0, id="transaction"),
        pytest.param(True, COMMIT, 2, id="pooled"),
    ],
)
async def test_a_chain_of_expected_checkpoints_holds(
    postgres: Postgres, database: str, loss: Loss, pooled: bool, statement: str, begin: int
) -> None:
    """A second attempt would find the first checkpoint of the batch replaced by the last."""
    async with served(postgres, database, pooled=pooled) as (proxy, api):
        await chain_holds(proxy, api, loss, statement, begin)


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_chain_holds_on_a_distributed_database(postgres: Postgres, database: str, loss: Loss) -> None:
    await with_buckets(postgres.url(database))
    async with served(postgres, database, pooled=False) as (proxy, api):
        await chain_holds(proxy, api, loss, COMMIT, begin=2)


async def chain_holds(proxy: PostgresProxy, api: Api, loss: Loss, statement: str, begin: int) -> None:
    for save in chain("session", range(begin)):
        await api.save(save)
    proxy.lose(loss, statement)
    saving = asyncio.create_task(save_together(api, chain("session", range(begin, begin + 3))))
    await asyncio.wait_for(proxy.lost.wait(), SECONDS)
    if statement == COMMIT:
        proxy.deliver.set()  # until then the session is locked
    assert await asyncio.wait_for(saving, SECONDS) == [SAVE_OUTCOME_CREATED] * 3
    proxy.deliver.set()
    if loss == "late request":
        await asyncio.wait_for(proxy.delivered.wait(), SECONDS)
    assert await save_together(api, chain("session", range(begin + 3, begin + 5))) == [SAVE_OUTCOME_CREATED] * 2


async def test_a_node_that_does_not_say_whether_it_committed(postgres: Postgres, database: str) -> None:
    """Citus answers COMMIT with this error then."""
    await with_buckets(postgres.url(database))
    async with raw_api(Settings(store=postgres.url(database))) as api:
        postgres.execute(FAIL_FIRST_COMMIT, database)
        assert await save_together(api, chain("session", range(3))) == [SAVE_OUTCOME_CREATED] * 3
        assert postgres.execute("SELECT last_value FROM public.commits", database) == "2"


@pytest.mark.parametrize("loss", LOSSES)
async def test_deltas_in_place_are_applied_once(postgres: Postgres, database: str, loss: Loss) -> None:
    """Of two deltas in one batch, the second hides from a second attempt that the first was applied."""
    async with served(postgres, database, pooled=False) as (proxy, api):
        await save_base(api, "session")
        proxy.lose(loss, COMMIT)
        deltas = [after("session", more(word), checkpoint_id="base") for word in ("one", "two")]
        saving = asyncio.create_task(save_together(api, deltas))
        await asyncio.wait_for(proxy.lost.wait(), SECONDS)
        proxy.deliver.set()
        assert await asyncio.wait_for(saving, SECONDS) == [SAVE_OUTCOME_REPLACED] * 2
        assert await contents(api, "session") == ["hi", "one", "two"]


async def test_a_connection_that_fails_when_it_is_given_back(
    postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was committed, and its response came."""
    release, failures = PoolConnectionHolder.release, [ConnectionError()]

    async def fail_once(holder: PoolConnectionHolder, timeout: float | None) -> None:
        await release(holder, timeout)
        if failures:
            raise failures.pop()

    async with raw_api(Settings(store=postgres.url(database), migrate=True)) as api:
        await save_base(api, "session")
        monkeypatch.setattr(PoolConnectionHolder, "release", fail_once)
        deltas = [after("session", more(word), checkpoint_id="base") for word in ("one", "two")]
        assert await save_together(api, deltas) == [SAVE_OUTCOME_REPLACED] * 2
        assert not failures
        assert await contents(api, "session") == ["hi", "one", "two"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lease_is_acquired_once(postgres: Postgres, database: str, loss: Loss) -> None:
    async with served(postgres, database, pooled=False) as (proxy, api):
        await save_base(api, "session")
        proxy.lose(loss, COMMIT)
        request = AcquireLeaseRequest(session_id="session", holder="me", ttl=Duration(seconds=60))
        acquiring = asyncio.create_task(api.unary("AcquireLease", request))
        await asyncio.wait_for(proxy.lost.wait(), SECONDS)
        proxy.deliver.set()
        token = (await asyncio.wait_for(acquiring, SECONDS)).lease.token
        stored = "SELECT lease_token, lease_acquired_at = lease_expire_at - 60000000000 FROM lockstitch.sessions"
        assert postgres.execute(stored, database) == f"{token}|t"


@pytest.mark.parametrize("error", ["disk_full", "read_only_sql_transaction"])
async def test_a_save_in_doubt_is_not_said_to_be_lost(postgres: Postgres, database: str, error: str) -> None:
    """It was committed, its response was lost, and the database takes no writes when the server asks about it."""
    settings = Settings.model_validate({"migrate": True, "postgres": {"failover_seconds": 1}})
    async with served(postgres, database, pooled=False, settings=settings) as (proxy, api):
        first, second = chain("session", range(2))
        await api.save(first)
        postgres.execute(FAIL_SECOND_MARK.format(error=error), database)
        proxy.lose("response", APPLY)
        with pytest.raises(ApiError) as failed:
            await asyncio.wait_for(api.save(second), SECONDS)
        assert (failed.value.code.name, failed.value.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert "whether the commit succeeded" in failed.value.message
        postgres.execute("DROP TRIGGER fail ON lockstitch.elections", database)
        assert (await api.save(second)).outcome == SAVE_OUTCOME_UNCHANGED


@pytest.mark.parametrize("loss", LOSSES[:2])
async def test_a_transaction_that_never_began_is_run_again(postgres: Postgres, database: str, loss: Loss) -> None:
    """A distributed database has no mark of it, and no bucket to look for one."""
    await with_buckets(postgres.url(database))
    async with served(postgres, database, pooled=False) as (proxy, api):
        await save_base(api, "session")
        proxy.lose(loss, f"^{BEGIN}")
        request = AcquireLeaseRequest(session_id="session", holder="me", ttl=Duration(seconds=60))
        lease = (await asyncio.wait_for(api.unary("AcquireLease", request), SECONDS)).lease
        assert proxy.lost.is_set()
        assert postgres.execute("SELECT lease_token FROM lockstitch.sessions", database) == str(lease.token)


async def test_a_transaction_that_writes_before_it_reads_is_run_once(postgres: Postgres, database: str) -> None:
    """On a distributed database, where it is marked when it first names a bucket."""
    await with_buckets(postgres.url(database))
    runs = 0

    async def write(repository: SessionRepository) -> None:
        nonlocal runs
        runs += 1
        row = SessionRow(session_key("default", "session"), "default", "session", 1, 1)
        await repository.apply([SessionChange(row, is_new=True)])

    async with PostgresProxy.before(postgres) as proxy, open_store(Settings(store=proxy.url(database))) as store:
        proxy.lose("response", COMMIT)
        await asyncio.wait_for(store.transaction(write), SECONDS)
        assert (proxy.lost.is_set(), runs) == (True, 1)


async def test_a_pooler_that_has_lost_its_server_is_waited_for(postgres: Postgres, database: str) -> None:
    """Some poolers say then what Citus says of a node. Calls fail at once for a node only."""
    failure = FAIL_FIRST_COMMIT.replace("internal_error", "connection_failure")
    async with raw_api(Settings(store=postgres.url(database), migrate=True)) as api:
        postgres.execute(failure, database)
        assert await save_together(api, chain("session", range(3))) == [SAVE_OUTCOME_CREATED] * 3
        assert postgres.execute("SELECT last_value FROM public.commits", database) == "2"


async def test_marks_of_servers_that_are_gone_are_removed(postgres: Postgres, database: str) -> None:
    """A mark is kept for a day after its writer's last transaction."""
    marks = "SELECT count(*) FROM lockstitch.elections WHERE name LIKE 'transaction of %'"
    settings = Settings(store=postgres.url(database), migrate=True)
    for _ in range(2):
        async with raw_api(settings) as api:
            await save_base(api, "session")
    assert postgres.execute(marks, database) == "2"
    postgres.execute(f"UPDATE lockstitch.elections SET expire_at = expire_at - {25 * 3600 * 10**9}", database)
    async with raw_api(settings):
        assert postgres.execute(marks, database) == "0"
