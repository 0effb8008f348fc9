"""JSON Web Tokens: those of the issuer get in, and only as long and as far as they say."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from lockstitch_server.auth import Principal, Right, key_sets
from lockstitch_server.auth.key_sets import KeysAtUrl, KeysInFile
from lockstitch_server.auth.tokens import LEEWAY_SECONDS, LONGEST, Claims, JwtAuthenticator
from lockstitch_server.core.errors import Failure
from tests.support.ports import free_port

ISSUER = "https://issuer.example/"
CLAIMS = Claims(ISSUER, "lockstitch", "tenants", "scope", "lockstitch:")
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Issuer:
    """Signs tokens and publishes its keys."""

    keys: dict[str, Any] = field(default_factory=lambda: {"one": ec.generate_private_key(ec.SECP256R1())})

    def jwks(self) -> str:
        return json.dumps({"keys": [_jwk(name, key) for name, key in self.keys.items()]})

    def token(self, kid: str = "one", key: Any = None, algorithm: str = "", **changed: Any) -> str:
        key = key or self.keys[kid]
        algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        claims = {key: value for key, value in (_claims() | changed).items() if value is not None}
        return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)


def _jwk(name: str, key: Any) -> dict[str, Any]:
    make = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**make.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}


def _claims() -> dict[str, Any]:
    now = int(time.time())
    scope = "openid lockstitch:read lockstitch:write write admin"
    return {"iss": ISSUER, "aud": "lockstitch", "sub": "worker", "exp": now + 600, "tenants": ["acme"], "scope": scope}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def file(tmp_path: Path, issuer: Issuer) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(issuer.jwks())
    return path


@pytest.fixture
def authenticator(file: Path) -> JwtAuthenticator:
    return JwtAuthenticator(CLAIMS, KeysInFile(file))


async def refused(authenticator: JwtAuthenticator, token: str) -> str:
    with pytest.raises(Failure) as caught:
        await authenticator.authenticate(token)
    assert caught.value.reason == "CREDENTIALS_INVALID"
    assert token not in caught.value.message
    return caught.value.message


async def test_a_good_token(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    token = issuer.token()
    expected = Principal("worker", ("acme",), frozenset({Right.READ, Right.WRITE}))
    assert await authenticator.authenticate(token) == expected
    assert await authenticator.authenticate(token) == expected  # remembered


async def test_tenants_and_rights_may_be_lists_or_texts(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    token = issuer.token(tenants="acme globex", scope=["lockstitch:admin", "lockstitch:fly"])
    assert await authenticator.authenticate(token) == Principal("worker", ("acme", "globex"), frozenset({Right.ADMIN}))


async def test_without_claims_there_is_no_tenant_and_no_right(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    token = issuer.token(tenants=None, scope=None)
    assert await authenticator.authenticate(token) == Principal("worker", (), frozenset())


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        pytest.param({"exp": int(time.time()) - LEEWAY_SECONDS - 60}, id="expired"),
        {"exp": None},
        pytest.param({"nbf": int(time.time()) + 7 * 86_400}, id="not valid yet"),  # a run of all tests gets here late
        {"sub": None},
        {"sub": "two\nlines"},
        {"tenants": ["acme", "glo bex"]},
        {"tenants": ["../etc"]},
        {"tenants": 5},
        pytest.param({"exp": str(int(time.time()) + 600)}, id="exp is a text"),
        {"exp": True},
        {"exp": {}},
        {"exp": [1]},
        {"exp": float("inf")},
        {"exp": float("nan")},
        pytest.param({"exp": 10**400}, id="exp is beyond all floats"),
        {"nbf": "1"},
        {"nbf": [1]},
        {"iat": "1"},
        {"iat": {}},
        {"aud": 5},
        {"aud": ["lockstitch", 5]},
        {"sub": 5},
        {"sub": ["worker"]},
        {"sub": "\ud800"},
        {"jti": 5},
        {"tenants": [["acme"]]},
        {"tenants": {"acme": 1}},
        {"tenants": "\ud800"},
        {"scope": [5]},
        {"scope": {"read": True}},
    ],
    ids=str,
)
async def test_what_a_token_must_say(authenticator: JwtAuthenticator, issuer: Issuer, changed: dict[str, Any]) -> None:
    await refused(authenticator, issuer.token(**changed))


@pytest.mark.parametrize(
    "deep", ["[" * 8_000, '{"a":' * 1_600 + "1", "[" * 8_000 + "]" * 8_000, '"', "5", "[]", "null"]
)
async def test_a_header_that_is_no_object(authenticator: JwtAuthenticator, issuer: Issuer, deep: str) -> None:
    _, body, signature = issuer.token().split(".")
    head = base64.urlsafe_b64encode(deep.encode()).decode().rstrip("=")
    token = f"{head}.{body}.{signature}"
    if len(token) > LONGEST:
        assert await authenticator.authenticate(token) is None
    else:
        await refused(authenticator, token)


@pytest.mark.parametrize("kid", [5, None, ["one"], {"one": 1}, "\ud800"], ids=str)
async def test_a_key_id_of_another_type(authenticator: JwtAuthenticator, issuer: Issuer, kid: Any) -> None:
    _, body, signature = issuer.token().split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", "kid": kid}).encode()).decode().rstrip("=")
    await refused(authenticator, f"{head}.{body}.{signature}")


async def test_a_token_that_runs_out_is_refused_although_it_is_remembered(
    authenticator: JwtAuthenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstitch_server.auth.tokens.LEEWAY_SECONDS", 0)
    token = issuer.token(exp=int(time.time()) + 2)
    assert await authenticator.authenticate(token)
    while time.time() < jwt.decode(token, options={"verify_signature": False})["exp"] + 0.1:
        time.sleep(0.1)
    await refused(authenticator, token)


async def test_forged_signatures(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    head, body, signature = issuer.token().split(".")
    public = issuer.keys["one"].public_key()
    other_body = issuer.token(tenants=["globex"]).split(".")[1]
    forged = [
        f"{head}.{other_body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        issuer.token(key=ec.generate_private_key(ec.SECP256R1())),
        issuer.token(kid="two", key=RSA_KEY),
        jwt.encode(_claims(), "", "none", headers={"kid": "one"}),
        # A key that everybody knows, taken for a secret.
        jwt.encode(_claims(), str(public.public_numbers().x) * 4, "HS256", headers={"kid": "one"}),
        "a.b.c",
        "..",
        "é.é.é",
    ]
    for token in forged:
        await refused(authenticator, token)


async def test_what_does_not_look_like_a_token_is_none(authenticator: JwtAuthenticator) -> None:
    for text in ("", "a", "a.b", "a.b.c.d", "x" * 20_000 + ".a.b"):
        assert await authenticator.authenticate(text) is None


async def test_a_key_that_is_withdrawn_takes_its_tokens_with_it(
    authenticator: JwtAuthenticator, issuer: Issuer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstitch_server.auth.watched_file.LOOK_SECONDS", 0.0)
    authenticator = JwtAuthenticator(CLAIMS, KeysInFile(file))
    token = issuer.token()
    assert await authenticator.authenticate(token)
    issuer.keys = {"two": RSA_KEY}
    file.write_text(issuer.jwks())
    await refused(authenticator, token)
    assert await authenticator.authenticate(issuer.token("two"))


class TestUrl:
    """Keys at a URL."""

    @pytest.fixture
    def asked(self, issuer: Issuer) -> Iterator[list[str]]:
        """What has been asked for so far."""
        asked: list[str] = []
        stopping, released = threading.Event(), threading.Event()
        self.released = released

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/jwks")
                    self.end_headers()
                    return
                self.send_response(500 if self.path.endswith("/gone") else 200)
                self.end_headers()
                with suppress(ConnectionError):
                    if self.path == "/slow":
                        while not stopping.wait(0.05):
                            self.wfile.write(b" ")
                    elif self.path == "/held":
                        released.wait(60)
                    elif self.path == "/endless":
                        while not stopping.is_set():
                            self.wfile.write(b" " * 65_536)
                    self.wfile.write(issuer.jwks().encode())

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/jwks"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield asked
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()

    async def test_they_are_fetched_once_and_again_for_a_new_key(
        self, asked: list[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(key_sets, "PAUSE_SECONDS", 0.0)
        authenticator = JwtAuthenticator(CLAIMS, KeysAtUrl(self.url, 3600))
        for number in range(20):
            assert await authenticator.authenticate(issuer.token(sub=f"worker-{number}"))
        assert len(asked) == 1
        issuer.keys["two"] = RSA_KEY
        assert await authenticator.authenticate(issuer.token("two"))
        assert len(asked) == 2

    async def test_unknown_keys_do_not_have_them_fetched_all_the_time(self, asked: list[str], issuer: Issuer) -> None:
        authenticator = JwtAuthenticator(CLAIMS, KeysAtUrl(self.url, 3600))
        assert await authenticator.authenticate(issuer.token())
        for number in range(20):
            await refused(authenticator, issuer.token(f"kid-{number}", issuer.keys["one"]))
        assert len(asked) == 1

    async def test_old_keys_do_while_there_are_no_newer_ones(
        self, asked: list[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = KeysAtUrl(self.url, 0.0)
        authenticator = JwtAuthenticator(CLAIMS, source)
        assert await authenticator.authenticate(issuer.token())
        monkeypatch.setattr(source, "_url", f"{self.url}/gone")
        assert await authenticator.authenticate(issuer.token())
        monkeypatch.setattr(key_sets, "STALE_SECONDS", 0.0)
        with pytest.raises(Failure) as caught:
            await authenticator.authenticate(issuer.token())
        assert caught.value.reason == "OVERLOADED"

    async def test_a_redirect_is_not_followed(self, asked: list[str], issuer: Issuer) -> None:
        """It could lead from https to anywhere."""
        await self._unavailable("/moved", issuer)
        assert asked == ["/moved"]

    @pytest.mark.parametrize("path", ["/slow", "/endless"])
    async def test_an_answer_without_an_end_is_given_up(
        self, asked: list[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.setattr(key_sets, "FETCH_SECONDS", 1.0)
        async with asyncio.timeout(30):
            await self._unavailable(path, issuer)

    async def test_other_work_goes_on_while_keys_are_fetched(
        self, asked: list[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The key server answers only after this test has run on."""
        monkeypatch.setattr(key_sets, "FETCH_SECONDS", 60.0)
        source = KeysAtUrl(self.url.replace("/jwks", "/held"), 3600)
        call = asyncio.create_task(JwtAuthenticator(CLAIMS, source).authenticate(issuer.token()))
        while not asked:
            await asyncio.sleep(0.01)
        self.released.set()
        assert await call

    async def test_a_server_that_cannot_be_reached_lets_nobody_in(self, issuer: Issuer) -> None:
        self.url = f"http://127.0.0.1:{free_port()}/jwks"
        await self._unavailable("/jwks", issuer)

    async def _unavailable(self, path: str, issuer: Issuer) -> None:
        """No token is accepted where the keys come from this path."""
        source = KeysAtUrl(self.url.replace("/jwks", path), 3600)
        authenticator = JwtAuthenticator(CLAIMS, source)
        for _ in range(2):
            with pytest.raises(Failure) as caught:
                await authenticator.authenticate(issuer.token())
            assert caught.value.reason == "OVERLOADED"
