"""What strangers can make the explorer hold: bodies, connections, clients."""

from collections.abc import Iterator

import pytest

from tests.support.server import LockstitchServer
from tests.ui.explorer import Visitor
from tests.ui.local import head, send, serving, status
from tests.ui.test_safety import create_key

MIB = 1024 * 1024
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
