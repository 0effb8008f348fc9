"""The part of OpenAI's API for models that an agent needs: every answer says how many items the model was given."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = request["input"]
        body = json.dumps(_response(f"heard {1 if isinstance(given, str) else len(given)}")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _response(text: str) -> dict[str, object]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": "none",
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


@contextmanager
def model_server() -> Iterator[str]:
    """A server of models. Gives the URL for `OPENAI_BASE_URL`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
