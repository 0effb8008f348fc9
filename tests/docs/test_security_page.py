"""What docs/security.md shows is run, and what it lists is all there is."""

import re
import shlex
import tomllib
from pathlib import Path

import grpc
import pytest
from cryptography import x509

import lockstitch
from lockstitch_server.audit import Record
from lockstitch_server.auth import Principal, Right
from lockstitch_server.auth.certificates import NamedCertificates
from lockstitch_server.cli.settings import known_groups, known_settings
from lockstitch_server.config import Settings
from lockstitch_server.rpc.rights import RIGHTS
from tests.cli.commands import Command
from tests.security.callers import make_key
from tests.support.certificates import Authority
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

PAGE = (ROOT / "docs" / "security.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(head: str) -> list[list[str]]:
    """The cells of the table that begins so."""
    table = PAGE[PAGE.index(f"| {head} ") :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_the_configuration_file() -> None:
    settings = Settings.model_validate(tomllib.loads(blocks("toml")[0]))
    assert settings.tls.certificate
    assert settings.auth.keys
    assert settings.audit.file


def test_every_setting_it_names_is_one() -> None:
    named = set(re.findall(rf"`((?:{'|'.join(known_groups())})\.[a-z_]+)`", PAGE))
    assert len(named) > 15
    assert named <= known_settings().keys()
    assert {name for name in known_settings() if name.startswith(("tenants.", "tls.", "auth."))} <= named


def test_the_table_of_rights() -> None:
    told = {right.strip("` "): set(re.findall(r"\w+", methods)) for right, methods in rows("right")}
    assert told == {
        right: {name.rpartition(".")[2] for name, wanted in RIGHTS.items() if wanted is right} for right in Right
    }


def test_each_attempt_of_a_caller_has_its_test() -> None:
    tests = "".join(
        path.read_text()
        for folder in ("security", "robustness", "http", "server")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
    )
    named = [name for row in rows("attempt") for name in re.findall(r"`(test_\w+)`", row[-1])]
    assert len(named) >= len(rows("attempt"))
    assert not [name for name in named if f"def {name}(" not in tests]


def test_the_fields_of_the_audit_log() -> None:
    assert re.findall(r"`(\w+)`", "".join(row[0] for row in rows("field"))) == list(Record._fields)


def test_the_file_of_certificates(tmp_path: Path) -> None:
    path = tmp_path / "certificates.toml"
    path.write_text(blocks("toml")[1])
    runner = Authority().issue("runner", [x509.UniformResourceIdentifier("spiffe://example.org/billing/runner")])
    found = NamedCertificates(path).authenticate(runner.certificate)
    assert found == Principal("billing-runner", ("billing",), frozenset({Right.READ, Right.WRITE}))


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create, show, revoke = (
        shlex.split(line.removeprefix("$ lockstitch ")) for line in blocks("console")[0].splitlines()
    )
    made = Command(*create).in_process()
    key_id = made.out.split("_")[1]
    assert (Path("keys.json").stat().st_mode & 0o777, made.out.strip() in Path("keys.json").read_text()) == (
        0o600,
        False,
    )
    (listed,) = Command(*show, "--json").in_process().json_lines
    assert (listed["id"], listed["principal"], listed["tenants"]) == (key_id, "billing-runner", ["billing"])
    assert listed["rights"] == ["read", "write"]
    assert "sha256" not in listed
    assert key_id in Command(*show).in_process().out
    assert Command(*revoke).in_process().code == 1, "no such key"
    assert Command(*revoke[:-1], key_id).in_process().code == 0
    assert Command(*show).in_process().out == ""


def test_what_keys_cannot_be(tmp_path: Path) -> None:
    file = ("--file", str(tmp_path / "keys.json"))
    for wrong in (("p", "--tenant", "a b"), ("p", "--right", "fly"), ("",), ("p\n",)):
        done = Command("keys", "create", *wrong, *file).in_process()
        assert (done.code, done.out) == (2, "")
        assert len(done.err.splitlines()) == 1
    done = Command("keys", "list").in_process()
    assert (done.code, "auth.keys" in done.err) == (2, True)


def test_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    authority = Authority()
    certificate, key = authority.issue("server").write(tmp_path, "server")
    Path("ca.pem").write_bytes(authority.certificate)
    token = make_key(tmp_path / "keys.json", "billing-runner", ["billing"])
    settings = (f"tls.certificate={certificate}", f"tls.private_key={key}", f"auth.keys={tmp_path}/keys.json")
    arguments = [word for setting in settings for word in ("--set", setting)]
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    names: dict[str, object] = {}
    with LockstitchServer("memory://", arguments, credentials) as server:
        source = blocks("python")[0].replace("lockstitch.example.org:50051", server.target)
        exec(re.sub(r"lsk_\w+", token, source), names)
        client = names["client"]
        assert isinstance(client, lockstitch.Client)
        with client:
            assert client.save(lockstitch.Checkpoint(session_id="s")).revision
