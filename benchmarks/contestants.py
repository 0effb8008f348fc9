"""Who is measured: a server, or a store used in-process, and the process that makes the load for it."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from benchmarks import servers
from benchmarks.driver.job import Job
from benchmarks.driver.process import Driver
from benchmarks.servers import Server
from tests.support.postgres import Postgres

BACKENDS = ("SQLite", "Postgres")
SAVERS = {"SQLite": "AsyncSqliteSaver", "Postgres": "AsyncPostgresSaver"}
CHECKPOINTERS = {"SQLite": "SQLiteCheckpointer", "Postgres": "PostgresCheckpointer"}
"""Those of weavegraph."""
OUR_CHECKPOINTER = "LockstitchCheckpointer"
CONNECTIONS = 4


@dataclass(frozen=True)
class Contestant:
    """Somebody who does jobs."""

    name: str
    job: Job
    driver: Driver

    def run(self, **fields: Any) -> Any:
        """Do the job, with these fields of it."""
        return self.driver.run(replace(self.job, **fields))


class Stand:
    """Servers, each started when it is first wanted, and all stopped at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[str, Server] = {}
        self._urls: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def postgres(self) -> Postgres:
        """The database server. Everybody who needs one has a database of his own in it."""
        return self._stack.enter_context(servers.postgres())

    def url(self, backend: str, owner: str) -> str:
        """A store of that kind for its owner alone."""
        if (backend, owner) not in self._urls:
            self._urls[backend, owner] = self._new_url(backend)
        return self._urls[backend, owner]

    def lockstitch(
        self,
        backend: str,
        owner: str = "Lockstitch",
        *arguments: str,
        python: str = sys.executable,
        door: str = "grpc",
    ) -> Server:
        """Lockstitch on such a store. python: the interpreter of another installation. door: `grpc` or `http`."""
        name = f"{owner} on {backend}"
        if name not in self._servers:
            url = self.url(backend, owner)
            self._servers[name] = self._stack.enter_context(
                servers.lockstitch(url, *arguments, python=python, door=door)
            )
        return self._servers[name]

    def client_of_lockstitch(
        self,
        name: str,
        kind: str,
        backend: str,
        owner: str = "Lockstitch",
        *arguments: str,
        python: str = sys.executable,
        door: str = "grpc",
        **fields: Any,
    ) -> Contestant:
        """Somebody who saves to Lockstitch."""
        server = self.lockstitch(backend, owner, *arguments, python=python, door=door)
        fields = {"connections": CONNECTIONS, "url": self.url(backend, owner), **fields}
        return self._contestant(name, self._job(kind, server, backend, **fields))

    def saver(self, kind: str, backend: str, **fields: Any) -> Contestant:
        """A saver of LangGraph."""
        job = Job(kind, self.url(backend, "LangGraph"), database=self._database(backend), **fields)
        return self._contestant(SAVERS[backend], job)

    def ceiling(self, door: str = "grpc") -> Contestant:
        """The empty gRPC server, on grpc.aio or on h2corn."""
        server = self._stack.enter_context(servers.ceiling(door))
        job = self._job("unary", server, connections=CONNECTIONS, verify=False)
        return self._contestant("Empty gRPC server" if door == "grpc" else "Empty server on h2corn", job)

    def etcd(self) -> Contestant:
        """etcd. Raises Missing."""
        job = self._job("etcd", self._stack.enter_context(servers.etcd()), connections=CONNECTIONS)
        return self._contestant("etcd", job)

    def redis(self) -> Contestant:
        """Redis, every client with a connection of its own, as they have. Raises Missing."""
        return self._contestant(
            "Redis", self._job("redis", self._stack.enter_context(servers.redis()), connections=256)
        )

    def _contestant(self, name: str, job: Job) -> Contestant:
        return Contestant(name, job, self._stack.enter_context(Driver()))

    def _job(self, kind: str, server: Server, backend: str = "", **fields: Any) -> Job:
        return Job(kind, server.target, server=server.processes, database=self._database(backend), **fields)

    def _database(self, backend: str) -> tuple[int, ...]:
        return (self.postgres.pid,) if backend == "Postgres" else ()

    def _new_url(self, backend: str) -> str:
        if backend == "SQLite":
            return self._stack.enter_context(servers.sqlite_url())
        return self.postgres.url(self.postgres.create_database())
