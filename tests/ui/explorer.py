"""A real explorer for tests: `lockstitch ui` as a process of its own."""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

START_SECONDS = 120.0
STOP_SECONDS = 30.0
_URL = re.compile(r"are at (https?://\S+)")


class Explorer:
    """`lockstitch ui` for the server at `target`, on a free port of loopback.

    arguments: further options. Options that name another address to listen on must come with `listen`.
    """

    def __init__(self, target: str, *arguments: str, listen: str = "127.0.0.1:0") -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstitch-ui-")
        self._output = Path(self._directory.name, "output")
        self._command = [sys.executable, "-m", "lockstitch_server", "ui", "--target", target, "--listen", listen]
        self._command += arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.printed_url = ""
        """What the command prints; its path is "" unless it logs in."""

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return "/".join(self.printed_url.split("/")[:3])

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self._output.read_text()

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, env=environment, cwd=self._directory.name, stdout=output, stderr=output
            )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._directory.cleanup()

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if match := _URL.search(self.output):
                self.printed_url = match[1]
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the explorer has not started:\n{self.output}")


class Answer:
    """An answer to a request. Header names are in lower case."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def form_token(self) -> str:
        """The token of the forms on the page."""
        found = re.search(r'name="form_token" value="([^"]+)"', self.text)
        assert found is not None, self.text
        return found[1]


class Visitor:
    """A visitor without a browser: keeps the explorer's cookie, follows nothing."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._port = port
        self._host = host
        self.cookie = ""

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, with exactly this path."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        try:
            own = {"cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body, own | dict(headers or {}))
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form, as it is: the caller adds the token."""
        given = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.request("POST", path, urlencode(fields).encode(), given)

    def submit(self, page: str, path: str, fields: Mapping[str, str]) -> Answer:
        """Open a page and send a form of it, with its token."""
        return self.post(path, {"form_token": self.get(page).form_token, **fields})

    def log_in(self, key: str, **fields: str) -> Answer:
        return self.submit("/login", "/login", {"key": key, **fields})
