"""docs/postgres-server.md, followed from first to last: TLS, keys, metrics, and a backup that is restored."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.newcomer import is_listened_on
from tests.docs.fences import Fence, fences
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = [each for each in fences() if each.page == "postgres-server.md"]
SECONDS = 120
SERVE = "LOCKSTITCH_STORE=$STORE lockstitch serve"


class Reader:
    """Follows the page in a directory, with nothing of this environment but the path."""

    def __init__(self, directory: Path, replaced: dict[str, str]) -> None:
        self.directory = directory
        self._replaced = replaced
        self._exports: list[str] = []
        self._server: subprocess.Popen[bytes] | None = None

    def text(self, fence: Fence) -> str:
        text = fence.text
        for shown, used in self._replaced.items():
            text = text.replace(shown, used)
        return text

    def follow(self, fence: Fence) -> str:
        """What a block prints."""
        if fence.language == "toml":
            (self.directory / "lockstitch.toml").write_text(self.text(fence))
            return ""
        if fence.language == "python":
            return self._run([sys.executable, "-c", self.text(fence)])
        script = re.sub(r"(?m)^pip install .*$", "", self.text(fence))
        before, serve, _ = script.partition(SERVE)
        printed = self._type(before)
        if serve:
            self._serve()
        self._exports += [line for line in before.splitlines() if line.startswith("export ")]
        return printed

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            assert self._server.wait(SECONDS) == 0, (self.directory / "serve.log").read_text()

    def _type(self, script: str) -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", "\n".join([*self._exports, script])])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.directory, env=self._environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, (command[-1], done.stdout, done.stderr)
        return done.stdout

    def _serve(self) -> None:
        address = self._replaced["0.0.0.0:50051"].replace("0.0.0.0", "127.0.0.1")
        log = self.directory / "serve.log"
        command = ["bash", "-c", "\n".join([*self._exports, SERVE.replace(" lockstitch", " exec lockstitch")])]
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                command, cwd=self.directory, env=self._environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + SECONDS
        while not is_listened_on(address):
            assert self._server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    @property
    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.directory), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def test_a_reader_gets_from_nothing_to_a_restored_backup(tmp_path: Path, postgres: Postgres) -> None:
    for tool in ("openssl", "curl"):
        if not shutil.which(tool):
            missing(f"there is no {tool}: apt-get install {tool}")
    port, metrics = free_port(), free_port()
    names = {name: postgres.create_database() for name in ("lockstitch", "restored")}
    replaced = {
        "postgresql://lockstitch:PASSWORD@db/lockstitch": f"'{postgres.url(names['lockstitch'])}'",
        "postgresql://lockstitch:PASSWORD@db/restored": f"'{postgres.url(names['restored'])}'",
        "0.0.0.0:50051": f"0.0.0.0:{port}",
        "localhost:50051": f"localhost:{port}",
        "127.0.0.1:9464": f"127.0.0.1:{metrics}",
    }
    reader = Reader(tmp_path, replaced)
    printed = ""
    try:
        for fence in PAGE:
            for _ in range(2 if fence.language == "python" else 1):
                printed += reader.follow(fence)
    finally:
        reader.stop()
        for name in names.values():
            postgres.drop_database(name)
    assert "SERVING  (server " in printed
    assert "2 ['question 1', 'question 2']" in printed
    assert re.search(r"lockstitch_saves_total\{.*\} 2\.0", printed)
    assert '"principal"' in printed, "the audit log"
    assert "1 session created" in printed
    assert "0 faults" in printed
