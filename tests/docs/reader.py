"""A reader who follows a page from first to last."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from scripts.newcomer import is_listened_on
from tests.docs.fences import Fence

SECONDS = 120


class Reader:
    """Follows a page in a directory, with nothing of this environment but the path.

    replaced: what the page shows -> what is used instead. serve: the command that starts the server.
    """

    def __init__(self, directory: Path, replaced: dict[str, str], serve: str) -> None:
        self.directory = directory
        self._replaced = replaced
        self._serve_command = serve
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
        before, serve, _ = script.partition(self._serve_command)
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
        command = [
            "bash",
            "-c",
            "\n".join([*self._exports, re.sub("(^| )lockstitch", r"\1exec lockstitch", self._serve_command)]),
        ]
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
