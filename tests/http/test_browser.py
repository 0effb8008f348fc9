"""A page in Chromium that saves and loads by Connect and gRPC-Web, with nothing between it and the server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.server import LockstitchServer
from tests.ui.browser import TIMEOUT, chromium

pytestmark = pytest.mark.slow

PAGE = """<!doctype html><meta charset="utf-8"><title>A page</title><script type="module">
const server = new URLSearchParams(location.search).get("server");
const call = async (method, message) => {
  const answer = await fetch(`${server}/lockstitch.v1.CheckpointService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-protocol-version": "1" },
    body: JSON.stringify(message),
  });
  return [answer.status, await answer.json()];
};
const web = async (method) => {
  const answer = await fetch(`${server}/lockstitch.v1.CheckpointService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
    body: new Uint8Array([0, 0, 0, 0, 0]),
  });
  return answer.headers.get("grpc-status");
};
try {
  const saved = await call("Save", { checkpoint: { sessionId: "page", step: "9007199254740993" } });
  const loaded = await call("LoadLatest", { sessionId: "page" });
  window.found = { saved, loaded, web: await web("LoadLatest") };
} catch (error) {
  window.found = { error: String(error) };
}
</script>"""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def page_server() -> Iterator[str]:
    """Serves the page on an address of its own. Yields its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def found_by(origin: str, server: LockstitchServer) -> dict[str, object]:
    """What the page has found."""
    with chromium() as browser, browser.new_context() as context:
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.goto(f"{origin}/?server=http://{server.target}")
        page.wait_for_function("() => window.found !== undefined")
        found: dict[str, object] = page.evaluate("() => window.found")
        return found


def test_a_page_saves_and_loads() -> None:
    with (
        page_server() as origin,
        LockstitchServer("memory://", [f"--set=http.cors_origins={origin}"], door="http") as server,
    ):
        found = found_by(origin, server)
    assert "error" not in found, found
    (saved, answer), (loaded, latest) = found["saved"], found["loaded"]  # type: ignore[misc]
    assert (saved, answer["outcome"]) == (200, "SAVE_OUTCOME_CREATED")  # type: ignore[has-type]
    assert (loaded, latest["checkpoint"]["step"]) == (200, "9007199254740993")  # type: ignore[has-type]
    assert found["web"] == "3"


def test_a_page_of_another_origin_cannot() -> None:
    with page_server() as origin, LockstitchServer("memory://", door="http") as server:
        assert "error" in found_by(origin, server)
