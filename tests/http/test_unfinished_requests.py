"""Requests whose end does not arrive: the memory they hold is bounded, and another tenant is served meanwhile."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob
from tests.http.requests import CHECKPOINTS, Answer, ask, envelope, post
from tests.http.test_slow_clients import eventually, opened_to
from tests.security.attackers import MIB, Growth
from tests.security.callers import make_key
from tests.support.server import LockstitchServer

SAVE = f"{CHECKPOINTS}Save"
PROTO, WEB = "application/proto", "application/grpc-web"
MESSAGE_BYTES = 4 * MIB
TOTAL_BYTES = 2 * (2 * MESSAGE_BYTES + MIB)
"""At least two messages of the largest size that is received."""
CONNECTIONS, SENT_BYTES = 40, 2 * MIB


class Place:
    """A server with two tenants."""

    def __init__(self, server: LockstitchServer, greedy: str, other: str) -> None:
        self.server, self.greedy, self.other = server, greedy, other

    def save(self, key: str, size: int) -> Answer:
        data = pb.SaveRequest(checkpoint=Checkpoint(session_id="s", header=TypedBlob(data=bytes(size))))
        return post(self.server.target, SAVE, data.SerializeToString(), PROTO, authorization=f"Bearer {key}")

    @property
    def held(self) -> int:
        """What the metric says."""
        text = ask(self.server.target, "GET", "/metrics").body.decode()
        (value,) = (line.split()[-1] for line in text.splitlines() if line.startswith("lockstitch_requests_held_bytes"))
        return int(float(value))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    keys: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    greedy, other = make_key(keys, "greedy", ["acme"]), make_key(keys, "other", ["globex"])
    settings = [f"limits.max_message_bytes={MESSAGE_BYTES}", "queue.max_request_bytes=1MiB", f"auth.keys={keys}"]
    arguments = [f"--set={setting}" for setting in (*settings, "http.metrics=true")]
    with LockstitchServer("memory://", arguments, door="http") as server:
        yield Place(server, greedy, other)


@pytest.mark.parametrize("media", [PROTO, WEB])
def test_the_memory_of_requests_that_do_not_end(place: Place, media: str) -> None:
    """80 MiB are sent: the tenant may hold half of the total, and the other one finds its share."""
    body = bytes(SENT_BYTES) if media == PROTO else envelope(bytes(SENT_BYTES))
    head = f"POST {SAVE} HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\nauthorization: Bearer {place.greedy}\r\n"
    sent = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:-1]
    with Growth(place.server) as growth, ExitStack() as stack:
        opened = [stack.enter_context(closing(opened_to(place.server))) for _ in range(CONNECTIONS)]
        for each in opened:
            each.sendall(sent)
        eventually(lambda: len(_answered(opened)) >= CONNECTIONS - TOTAL_BYTES // 2 // SENT_BYTES)
        for each in _answered(opened):
            assert b"queue.max_request_bytes" in each.recv(65536)
        assert place.held <= TOTAL_BYTES // 2
        assert place.save(place.other, SENT_BYTES).status == 200
        assert place.save(place.greedy, 1000).status == 200
    assert growth.most < 60 * MIB
    eventually(lambda: place.held == 0)
    assert place.save(place.greedy, SENT_BYTES).status == 200


def _answered(opened: list[socket.socket]) -> list[socket.socket]:
    return select.select(opened, [], [], 0)[0]


def test_the_largest_message_is_received_whatever_the_setting_says(place: Place) -> None:
    assert place.save(place.other, MESSAGE_BYTES - 1000).status == 200
    too_large = place.save(place.other, 2 * MESSAGE_BYTES)
    assert "max_message_bytes" in too_large.json["message"]
