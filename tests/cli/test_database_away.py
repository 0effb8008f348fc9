"""What commands say while the server cannot reach its database."""

import pytest
import typer

from lockstitch_server.cli.app import app
from lockstitch_server.config import Settings
from tests.cli.commands import Command
from tests.cli.test_variables import commands
from tests.support.postgres import Postgres
from tests.support.replication import until
from tests.support.server import LockstitchServer

READINESS = ("health", "--service", "lockstitch.v1.CheckpointService")


@pytest.mark.slow
def test_the_reason_is_shown() -> None:
    """The reason of the server; or, if the command waits no longer than the server does, what its health is."""
    with Postgres() as postgres:
        database = postgres.url(postgres.create_database())
        waits = ["--migrate", "--set=postgres.failover_seconds=60"]
        fails = ["--set=postgres.failover_seconds=0.2"]
        with LockstitchServer(database, waits) as waiting, LockstitchServer(database, fails) as failing:
            postgres.stop()
            done = Command("sessions").in_process(failing.target)
            assert (done.code, done.out) == (1, "")
            expected = f"lockstitch: {failing.target}: STORE_UNAVAILABLE: the database cannot be reached now\n"
            assert done.err == expected
            until(lambda: Command(*READINESS).in_process(waiting.target).out == "NOT_SERVING\n")
            done = Command("sessions", "--timeout", "1").in_process(waiting.target)
            assert (done.code, done.out) == (1, "")
            assert done.err == (
                f"lockstitch: {waiting.target} has not answered within 1 s: the server is not ready, which means that "
                "it cannot reach or write its database, or is stopping; its log says why\n"
            )


def test_commands_wait_longer_than_the_server_does() -> None:
    """Else no command would show the server's reason, unless somebody has set `--timeout`."""
    server = Settings().postgres.failover_seconds
    found = {
        command.name: option.default
        for command in commands(typer.main.get_command(app))
        for option in command.params
        if option.name == "timeout"
    }
    assert len(found) > 10
    health = found.pop("health")  # which the server answers without its database
    assert health < server
    assert min(found.values()) >= 2 * server
