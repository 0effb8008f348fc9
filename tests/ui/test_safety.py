"""Who may see and change what: logins, cookies, forms, other sites, and an explorer that is read-only."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.routing import Route

import lockstitch
from lockstitch_server.cli.explorer import host_names
from lockstitch_ui import ExplorerSettings, create_app
from lockstitch_ui.backend import Backend, Credentials
from lockstitch_ui.security import is_served
from lockstitch_ui.visitors import LoginAttempts, Visitors
from tests.support.server import LockstitchServer
from tests.ui.explorer import Explorer, Visitor
from tests.ui.local import serving

pytestmark = pytest.mark.slow

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def routes(*, allow_changes: bool) -> list[Route]:
    found = create_app(ExplorerSettings(allow_changes=allow_changes)).routes
    return [route for route in found if isinstance(route, Route)]


def filled_in(path: str) -> str:
    """A path with a session that exists for every parameter."""
    return re.sub(r"\{[^}]+\}", "waiting-1", path)


def everything(target: str) -> list[str]:
    """All sessions with their settings and checkpoints, as text: equal while nothing changes."""
    with lockstitch.Client(target) as client:
        summaries = sorted(client.list_sessions(), key=lambda summary: summary.session_id)
        return [str(each) for each in summaries] + [str(client.get_session(each.session_id)) for each in summaries]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that wants keys, and an explorer of it that has none. keys: tenant -> a key that may only read."""

    server: LockstitchServer
    explorer: Explorer
    keys: Mapping[str, str]

    def visitor(self, tenant: str = "") -> Visitor:
        """A visitor, who has logged in with the key of a tenant, if one is named."""
        visitor = Visitor(self.explorer.port)
        if tenant:
            assert visitor.log_in(self.keys[tenant]).status == 303
        return visitor


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    readers = {tenant: create_key(file, f"reader-{tenant}", tenant, "read") for tenant in ("acme", "bolt")}
    writers = {tenant: create_key(file, f"writer-{tenant}", tenant, "write") for tenant in readers}
    with LockstitchServer(arguments=["--set", f"auth.keys={file}"]) as server:
        for tenant, key in writers.items():
            with lockstitch.Client(server.target, key=key) as client:
                client.save(lockstitch.Checkpoint(session_id=f"secret-of-{tenant}", step=1))
        with Explorer(server.target, "--allow-changes") as running:
            yield Guarded(server, running, readers)


class TestReadOnly:
    def test_no_route_and_no_method_changes_anything(self, filled: LockstitchServer, explorer: Explorer) -> None:
        visitor = Visitor(explorer.port)
        token = visitor.get("/login").form_token
        before = everything(filled.target)
        fields = {"form_token": token, "confirm": "waiting-1", "name": "x", "target": "copy", "sure": "yes"}
        for route in routes(allow_changes=True):
            path = filled_in(route.path)
            for method in METHODS:
                answer = visitor.request(method, path, b"form_token=" + token.encode())
                assert answer.status in (405, 401, 303), (method, path, answer.status)
                if answer.status != 405:
                    assert path in ("/login", "/logout"), (method, path)
            if path not in ("/login", "/logout"):
                assert visitor.post(path, fields).status == 405, path
            visitor.get(path)
        assert everything(filled.target) == before

    def test_no_form_is_offered(self, explorer: Explorer, changing: Explorer) -> None:
        assert "changes allowed" not in Visitor(explorer.port).get("/sessions").text
        assert "changes allowed" in Visitor(changing.port).get("/sessions").text

    def test_pages_of_changes_do_not_exist(self) -> None:
        shown = {route.path for route in routes(allow_changes=False)}
        assert {route.path for route in routes(allow_changes=True)} - shown
        assert not any("change" in path for path in shown)


class TestOtherSites:
    def test_a_form_without_its_token_changes_nothing(self, filled: LockstitchServer, changing: Explorer) -> None:
        visitor, other = Visitor(changing.port), Visitor(changing.port)
        before = everything(filled.target)
        theirs = other.get("/login").form_token
        visitor.get("/sessions")
        for route in routes(allow_changes=True):
            if "POST" not in (route.methods or ()):
                continue
            for token in ("", "0" * 64, theirs):
                answer = visitor.post(filled_in(route.path), {"form_token": token, "confirm": "waiting-1"})
                assert answer.status == 403, route.path
        assert everything(filled.target) == before

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:1"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
    )
    def test_a_form_of_another_origin_is_refused_with_its_token(
        self, changing: Explorer, headers: dict[str, str]
    ) -> None:
        visitor = Visitor(changing.port)
        token = visitor.get("/login").form_token
        for path in ("/login", "/logout", "/sessions/waiting-1/change/delete"):
            assert visitor.post(path, {"form_token": token, "key": "k"}, headers).status == 403

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:8233", "127.0.0.1.evil.example", "", "localhost@evil"]
    )
    def test_a_name_that_was_bound_again_is_refused(self, visitor: Visitor, host: str) -> None:
        assert visitor.get("/sessions", {"host": host}).status == 421

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9999", "[::1]:80", "LOCALHOST:8233"])
    def test_names_of_this_machine_are_served(self, visitor: Visitor, host: str) -> None:
        assert visitor.get("/sessions", {"host": host}).status == 200

    def test_a_public_explorer_without_names_is_not_bound_again(self, filled: LockstitchServer) -> None:
        machine = socket.gethostname()
        with Explorer(filled.target, "--allow-changes", "--insecure", listen="0.0.0.0:0") as running:
            visitor = Visitor(running.port)
            for host in ("192.0.2.7:8233", "[2001:db8::1]:8233", "localhost", machine, machine.upper()):
                assert visitor.get("/sessions", {"host": host}).status == 200, host
            for host in ("rebound.evil.example", "127.0.0.1.evil.example", "[evil.example]", f"{machine}.evil.example"):
                assert visitor.get("/sessions", {"host": host}).status == 421, host

    @pytest.mark.parametrize(
        ("secure", "further", "served"), [(False, (), False), (True, (), True), (True, ("other.example",), False)]
    )
    def test_a_certificate_stops_names_of_others(self, secure: bool, further: tuple[str, ...], served: bool) -> None:
        names = host_names("0.0.0.0", True, further, secure=secure)
        assert is_served("explorer.example", ExplorerSettings(host_names=names)) is served

    def test_every_answer_forbids_scripts_of_others_and_frames(self, visitor: Visitor) -> None:
        for path in ("/sessions", "/login", "/overview", "/nowhere", "/static/app.css", "/sessions/nobody"):
            headers = visitor.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
        assert visitor.get("/sessions").headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("secure", [False, True])
    def test_the_answer_to_a_failure_has_the_headers_of_others(
        self, monkeypatch: pytest.MonkeyPatch, secure: bool
    ) -> None:
        def fails(*given: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Backend, "client", fails)
        with serving(secure=secure) as port:
            failure, other = Visitor(port).get("/sessions"), Visitor(port).get("/login")
        assert (failure.status, other.status) == (500, 200)
        for headers in (failure.headers, other.headers):
            assert headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert ("strict-transport-security" in headers) is secure

    def test_pages_hold_no_inline_script_and_no_inline_style(self, visitor: Visitor) -> None:
        for path in ("/sessions", "/login", "/overview"):
            page = visitor.get(path).text
            assert re.findall(r"<script(?! src=)|<style|<[^>]+\s(?:style|on\w+)=", page) == []
            assert re.findall(r'(?:src|href|action)="(?:https?:)?//', page) == []


class TestLogins:
    def test_tenants_see_nothing_of_one_another(self, guarded: Guarded) -> None:
        nobody = guarded.visitor()
        assert nobody.get("/sessions").headers["location"] == "/login?next=%2Fsessions"
        for own, other in (("acme", "bolt"), ("bolt", "acme")):
            visitor = guarded.visitor(own)
            page = visitor.get("/sessions").text
            assert f"secret-of-{own}" in page
            assert f"secret-of-{other}" not in page
            assert visitor.get(f"/sessions/secret-of-{other}/change/label").status == 404
            assert f"secret-of-{other}" not in visitor.get("/overview").text
        assert nobody.get("/sessions").status == 303

    def test_a_cookie_is_for_this_site_and_not_for_scripts(self, guarded: Guarded) -> None:
        visitor, key = guarded.visitor(), guarded.keys["acme"]
        before = visitor.get("/login").headers["set-cookie"]
        cookie = visitor.log_in(key).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert key not in cookie
        assert cookie.partition(";")[0] != before.partition(";")[0], "the id must change with the login"
        assert key not in visitor.get("/sessions").text + visitor.get("/login").text + guarded.explorer.output

    def test_logging_out_ends_the_login(self, guarded: Guarded) -> None:
        visitor = guarded.visitor("acme")
        kept = visitor.cookie
        assert visitor.submit("/sessions", "/logout", {}).status == 303
        visitor.cookie = kept
        assert visitor.get("/sessions").status == 303

    @pytest.mark.parametrize("key", ["", "wrong", "two words", "schlüssel", "x" * 10_000])
    def test_a_wrong_key_is_refused(self, guarded: Guarded, key: str) -> None:
        visitor = guarded.visitor()
        answer = visitor.log_in(key)
        assert answer.status == 401
        assert 'role="alert"' in answer.text
        assert visitor.get("/sessions").status == 303

    def test_attempts_are_bounded(self, guarded: Guarded) -> None:
        with Explorer(guarded.server.target) as running:
            visitor = Visitor(running.port)
            assert [visitor.log_in("").status for _ in range(21)] == [401] * 20 + [429]
            refused = visitor.log_in(guarded.keys["acme"])
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1

    def test_the_link_of_the_command_logs_in_with_its_key(self, guarded: Guarded) -> None:
        with Explorer(guarded.server.target, "--key", guarded.keys["acme"]) as running:
            assert "/open/" in running.printed_url
            stranger, owner = Visitor(running.port), Visitor(running.port)
            assert stranger.get("/sessions").status == 303
            assert stranger.get("/open/guess").status == 403
            assert owner.get(running.printed_url.removeprefix(running.url)).status == 303
            assert "secret-of-acme" in owner.get("/sessions").text

    @pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil"])
    def test_a_login_leads_to_pages_of_the_explorer_only(self, guarded: Guarded, target: str) -> None:
        assert guarded.visitor().log_in(guarded.keys["acme"], next=target).headers["location"] == "/"

    def test_changes_need_the_rights_of_the_key(self, guarded: Guarded) -> None:
        visitor, page = guarded.visitor("acme"), "/sessions/secret-of-acme/change/delete"
        assert visitor.submit(page, page, {"confirm": "secret-of-acme"}).status == 403
        assert "secret-of-acme" in visitor.get("/sessions").text

    def test_a_large_form_is_refused(self, guarded: Guarded) -> None:
        visitor = guarded.visitor()
        token = visitor.get("/login").form_token
        assert visitor.post("/login", {"form_token": token, "key": "x" * 200_000}).status == 413


class TestVisitors:
    """Bounds of what is kept, with a clock of the test's own."""

    def test_logins_end_without_use(self) -> None:
        now = 0.0
        visitors = Visitors(ExplorerSettings(login_seconds=60), lambda: now)
        visitor = visitors.login(Credentials("k"))
        now = 50.0
        assert visitors.find(visitor) == Credentials("k")
        now = 109.0
        assert visitors.find(visitor) is not None
        now = 170.0
        assert visitors.find(visitor) is None

    def test_logins_are_bounded(self) -> None:
        visitors = Visitors(ExplorerSettings(max_logins=2))
        first, second = visitors.login(Credentials("1")), visitors.login(Credentials("2"))
        visitors.find(first)
        third = visitors.login(Credentials("3"))
        assert [visitors.find(each) is not None for each in (first, second, third)] == [True, False, True]

    def test_logins_end_after_a_day_of_use(self) -> None:
        now = 0.0
        visitors = Visitors(ExplorerSettings(), lambda: now)
        visitor = visitors.login(Credentials("k"))
        for hour in range(25):  # a tab that is open asks for news all the time
            now = hour * 3600.0
            assert visitors.find(visitor) is not None, hour
        now = 24 * 3600.0 + 1
        assert visitors.find(visitor) is None

    def test_one_key_does_not_end_the_logins_of_others(self) -> None:
        visitors = Visitors(ExplorerSettings(max_logins=5, max_logins_per_key=3))
        other = visitors.login(Credentials("other"))
        # A key of all tenants logs in with any name.
        own = [visitors.login(Credentials("own", tenant=f"t{number}")) for number in range(20)]
        assert visitors.find(other) is not None
        assert [visitors.find(each) is not None for each in own] == [False] * 17 + [True] * 3

    def test_the_oldest_login_of_a_key_ends_first(self) -> None:
        visitors = Visitors(ExplorerSettings(max_logins_per_key=2))
        first, second = visitors.login(Credentials("k")), visitors.login(Credentials("k"))
        visitors.find(first)
        third = visitors.login(Credentials("k"))
        assert [visitors.find(each) is not None for each in (first, second, third)] == [False, True, True]

    def test_successful_logins_are_bounded_too(self) -> None:
        now = 0.0
        attempts = LoginAttempts(ExplorerSettings(login_attempts=2, login_successes=5, login_window=60.0), lambda: now)
        waits = []
        for _ in range(7):
            waits.append(attempts.begin("192.0.2.1"))
            attempts.succeeded("192.0.2.1")
        assert [wait > 0 for wait in waits] == [False] * 5 + [True] * 2
        assert attempts.begin("192.0.2.2") == 0
        now = 61.0
        assert attempts.begin("192.0.2.1") == 0

    def test_attempts_are_counted_by_network(self) -> None:
        attempts = LoginAttempts(ExplorerSettings(login_attempts=2), lambda: 0.0)
        assert [attempts.begin(f"2001:db8::{number}") > 0 for number in range(3)] == [False, False, True]
        assert attempts.begin("2001:db8:1::1") == 0

    def test_a_key_is_not_shown(self) -> None:
        assert "secret" not in repr(Credentials("secret"))
        assert "secret" not in repr(ExplorerSettings(key="secret", ticket="secret"))


class TestExposure:
    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
    def test_other_machines_need_tls(self, listen: str) -> None:
        done = _ui("--listen", listen)
        assert done.returncode == 2
        assert "can be reached from other machines" in done.stderr

    @pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999"])
    def test_an_address_that_is_none(self, listen: str) -> None:
        done = _ui("--listen", listen)
        assert done.returncode == 2
        assert "no address to listen on" in done.stderr

    @pytest.mark.parametrize("url", ["https://jaeger.example", "javascript:alert('{trace_id}')"])
    def test_a_link_to_traces_that_is_none(self, url: str) -> None:
        done = _ui("--trace-url", url)
        assert done.returncode == 2
        assert "{trace_id} in it" in done.stderr

    def test_a_port_that_is_taken(self, explorer: Explorer) -> None:
        done = _ui("--listen", f"127.0.0.1:{explorer.port}")
        assert done.returncode == 2
        assert "cannot listen on" in done.stderr

    def test_a_public_explorer_does_not_open_a_server_without_keys(self, filled: LockstitchServer) -> None:
        with Explorer(filled.target, "--host-name", "explorer.example") as running:
            visitor = Visitor(running.port)
            assert visitor.get("/sessions", {"host": "explorer.example"}).status == 303
            answer = visitor.log_in("anything")
            assert answer.status == 401
            assert "needs no key" in answer.text

    def test_what_is_missing_without_the_extra(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
        done = _ui(environment={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "pip install 'lockstitch[cli,ui]'" in done.stderr


def _ui(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lockstitch_server", "ui", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def create_key(file: Path, name: str, tenant: str, *rights: str) -> str:
    command = [sys.executable, "-m", "lockstitch_server", "keys", "create", name, "--file", str(file)]
    command += ["--tenant", tenant, *[argument for right in rights for argument in ("--right", right)]]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()[-1]
