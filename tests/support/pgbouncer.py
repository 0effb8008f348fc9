"""A real PgBouncer for tests, in front of a PostgreSQL server, on a free port, gone afterwards.

It hands the connections of its few servers from client to client after every transaction, and refuses what it cannot
keep apart, as Debian's does by default.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.postgres import Postgres, other_user, private_directory
from tests.support.requirements import missing

START_SECONDS = 30.0
SETTINGS = {
    "auth_type": "any",
    "default_pool_size": 3,
    "listen_addr": "127.0.0.1",
    "max_client_conn": 500,
    "pool_mode": "transaction",
    "unix_socket_dir": "",
}


def find_pgbouncer() -> str:
    """The program; without it there is no test."""
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    return found or missing("no PgBouncer: apt-get install pgbouncer")


class PgBouncer:
    """One PgBouncer. settings: of its own, in place of those above."""

    def __init__(self, server: Postgres, settings: Mapping[str, object] | None = None) -> None:
        self._program = find_pgbouncer()
        self._user = other_user()
        self._directory = private_directory(self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.log = Path(self._directory.name, "log")
        self._settings = {"listen_port": self.port, **SETTINGS, **(settings or {})}
        self._file = Path(self._directory.name, "pgbouncer.ini")
        self._write(server)

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, self._file], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            time.sleep(0.05)
        self.close()
        raise RuntimeError(f"PgBouncer does not start:\n{self.log.read_text(errors='replace')}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop, cutting connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._directory.cleanup()

    def point_at(self, server: Postgres) -> None:
        """Send clients to another server from now on."""
        assert self._process is not None
        self._write(server)
        self._process.send_signal(signal.SIGHUP)

    def _write(self, server: Postgres) -> None:
        databases = f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n"
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        self._file.write_text("\n".join([databases, "[pgbouncer]", *lines, ""]))
        self._file.chmod(0o644)

    def url(self, database: str, query: str = "") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}{query and '?'}{query}"
