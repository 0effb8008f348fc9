"""What strangers can make the explorer hold: bodies, connections, clients."""

import asyncio
import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from lockstitch import AsyncClient, LockstitchError
from lockstitch_ui import ExplorerSettings
from lockstitch_ui.backend import MAX_CLIENTS, Backend, Credentials
from tests.support.server import LockstitchServer
from tests.ui.explorer import Visitor
from tests.ui.local import PATIENCE, head, send, serving, status
from tests.ui.test_safety import create_key

MIB = 1024 * 1024
NOBODY = "127.0.0.1:1"
CHANGE = "/sessions/waiting-1/change/delete"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockstitchServer]:
    """A server that wants keys."""
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    create_key(file, "somebody", "acme", "read")
    with LockstitchServer(arguments=["--set", f"auth.keys={file}"]) as running:
        yield running


class TestBodies:
    @pytest.mark.parametrize(("path", "limit"), [("/login", 16 * 1024), ("/logout", 4 * 1024)])
    def test_forms_for_strangers_are_small(self, path: str, limit: int) -> None:
        with serving() as port:
            # The rest of the body never comes: the answer does not wait for it.
            with send(port, head(path, 4 * MIB) + b"a" * (limit + 1)) as connection:
                assert status(connection) == 413
            with send(port, head(path, limit) + b"a" * limit) as connection:
                assert status(connection) == 403

    @pytest.mark.parametrize("public", [False, True])
    def test_a_change_without_a_login_is_refused_before_its_body(self, keyed: LockstitchServer, public: bool) -> None:
        with (
            serving(keyed.target, allow_changes=True, public=public) as port,
            send(port, head(CHANGE, 4 * MIB)) as connection,
        ):
            assert status(connection) == 303

    def test_a_change_of_a_read_only_explorer_is_refused_before_its_body(self) -> None:
        with serving() as port, send(port, head(CHANGE, 4 * MIB)) as connection:
            assert status(connection) == 405

    def test_a_body_has_to_come_in_time(self) -> None:
        with serving(form_seconds=0.2) as port, send(port, head("/login", 100) + b"a") as connection:
            assert status(connection) == 408

    def test_a_body_that_is_cut_off_is_no_failure(self, capfd: pytest.CaptureFixture[str]) -> None:
        with serving() as port:
            for _ in range(5):
                send(port, head("/login", 100) + b"a").close()
            assert Visitor(port).get("/login").status == 200
        # The explorer has ended, so it has written all that it had to say.
        assert capfd.readouterr().err == ""


class TestConnections:
    @pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET /login HTTP/1.1\r\nHost: localhost\r\nX: "])
    def test_one_without_a_whole_head_ends(self, begun: bytes) -> None:
        with serving(head_seconds=0.5) as port, send(port, begun) as connection:
            assert _is_end(connection)

    def test_bytes_that_trickle_in_do_not_prolong_it(self) -> None:
        with serving(head_seconds=1.0) as port, send(port, b"GET /login HTTP/1.1\r\nX: ") as connection:
            _trickle_until_end(connection)

    def test_one_that_is_kept_ends_without_a_further_head(self) -> None:
        with serving(head_seconds=3.0) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/static/app.css")
            assert connection.getresponse().read() != b""
            _trickle_until_end(connection.sock)
            connection.close()

    def test_one_with_a_whole_head_does_not_end(self) -> None:
        with serving(head_seconds=1.0) as port:
            # A busy machine may delay a head. If whole heads did not count, no attempt would get an answer.
            assert any(_answer_to_a_late_body(port) == 403 for _ in range(5))

    def test_those_that_wait_longest_make_place_for_others(self) -> None:
        with serving(head_seconds=1000.0, max_connections=5) as port:
            held = [send(port, b"GET / HT") for _ in range(5)]
            assert Visitor(port).get("/login").status == 200
            assert _is_end(held[0])
            for connection in held:
                connection.close()

    def test_one_address_has_a_share_of_them(self) -> None:
        with serving(head_seconds=1000.0, max_connections_per_address=3) as port:
            held = [send(port, b"GET / HT") for _ in range(3)]
            with send(port, b"") as refused:
                assert status(refused) == 503
            for connection in held:
                connection.close()
            deadline = time.monotonic() + PATIENCE
            while not _is_served(port):
                assert time.monotonic() < deadline
                time.sleep(0.05)


class TestClients:
    """Connections to the server, of which one is kept for each set of credentials."""

    def test_those_that_others_replace_are_closed(self) -> None:
        async def replaced() -> None:
            backend = Backend(ExplorerSettings(target=NOBODY, insecure=True, timeout=0.2))
            first = backend.client(Credentials("first"))
            assert not await _is_closed(first)
            rest = [backend.client(Credentials(f"key-{number}")) for number in range(MAX_CLIENTS)]
            async with asyncio.timeout(PATIENCE):
                while not await _is_closed(first):
                    await asyncio.sleep(0.05)
            assert not await _is_closed(rest[0])
            await backend.close()

        asyncio.run(replaced())

    def test_the_end_of_the_explorer_does_not_wait_for_their_calls(self) -> None:
        async def ended() -> None:
            backend = Backend(ExplorerSettings(target=NOBODY, insecure=True, timeout=1000.0))
            clients = [backend.client(Credentials(f"key-{number}")) for number in range(MAX_CLIENTS + 2)]
            async with asyncio.timeout(PATIENCE):
                await backend.close()
            assert [await _is_closed(clients[index]) for index in (0, 1, 2, -1)] == [True] * 4

        asyncio.run(ended())


async def _is_closed(client: AsyncClient) -> bool:
    try:
        await client.get_session("any")
    except RuntimeError:
        return True
    except LockstitchError:
        return False
    raise AssertionError("nobody is there to answer")


def _is_end(connection: socket.socket) -> bool:
    """Whether the other side closes, and sends nothing before."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def _trickle_until_end(connection: socket.socket) -> None:
    connection.settimeout(0.1)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"x")
            assert connection.recv(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            pass
        return
    raise AssertionError("the explorer still waits")


def _answer_to_a_late_body(port: int) -> int:
    with send(port, head("/login", 4)) as connection:
        time.sleep(2.0)
        try:
            connection.sendall(b"form")
            return status(connection)
        except ConnectionError:
            return 0


def _is_served(port: int) -> bool:
    try:
        return Visitor(port).get("/login").status == 200
    except (ConnectionError, http.client.HTTPException):
        return False
