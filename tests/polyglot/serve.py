"""Servers set up as scenarios ask for: with TLS, client certificates, keys, or on a unix socket."""

import tempfile
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509

from tests.security.callers import make_key
from tests.support.certificates import Authority
from tests.support.server import DOOR, LockstitchServer

WORKER = "spiffe://polyglot/worker"
TENANT = "polyglot"
CERTIFICATES = f"""
[[certificates]]
name = "{WORKER}"
principal = "worker"
tenants = ["{TENANT}"]
rights = ["read", "write", "admin"]
"""


class Served:
    """A server, and what scenarios call by name.

    serve: `{tls: true}`, `{mtls: true}`, `{keys: true}`, `{unix: true}`, or some of them; {} is a plain server.
    door: see LockstitchServer.
    """

    def __init__(self, serve: dict[str, Any], door: str = DOOR) -> None:
        assert serve.keys() <= {"tls", "mtls", "keys", "unix"}, f"what is {serve}?"
        self._directory = tempfile.TemporaryDirectory(prefix="lockstitch-polyglot-", dir="/tmp")
        self._path = Path(self._directory.name)
        self._arguments: list[str] = []
        self._credentials: grpc.ChannelCredentials | None = None
        self.names: dict[str, Any] = {}
        if serve.get("tls") or serve.get("mtls"):
            self._use_tls(mutual=bool(serve.get("mtls")))
        if serve.get("keys"):
            self._use_keys()
        self.server = LockstitchServer(arguments=self._arguments, credentials=self._credentials, door=door)
        if serve.get("unix"):
            self.server.target = f"unix:{self._path}/socket"
        self.names["target"] = self.server.target

    def close(self) -> None:
        self.server.close()
        self._directory.cleanup()

    def _use_tls(self, *, mutual: bool) -> None:
        authority = Authority()
        certificate, key = authority.issue("server").write(self._path, "server")
        self._set("tls.certificate", certificate)
        self._set("tls.private_key", key)
        self.names["ca"] = self._file("ca.pem", authority.certificate)
        self._credentials = grpc.ssl_channel_credentials(authority.certificate)
        if mutual:
            self._use_client_certificates(authority)

    def _use_client_certificates(self, authority: Authority) -> None:
        clients = Authority("clients")
        worker = clients.issue("worker", [x509.UniformResourceIdentifier(WORKER)])
        self._set("tls.client_ca", self._file("clients.pem", clients.certificate))
        self._set("auth.certificates", self._file("certificates.toml", CERTIFICATES.encode()))
        certificate, key = worker.write(self._path, "worker")
        self.names |= {"cert": str(certificate), "cert_key": str(key)}
        self._credentials = grpc.ssl_channel_credentials(authority.certificate, worker.private_key, worker.certificate)

    def _use_keys(self) -> None:
        path = self._path / "keys"
        self.names |= {
            "writer_key": make_key(path, "writer", [TENANT]),
            "reader_key": make_key(path, "reader", [TENANT], ["read"]),
        }
        self._set("auth.keys", path)

    def _set(self, name: str, value: object) -> None:
        self._arguments += ["--set", f"{name}={value}"]

    def _file(self, name: str, data: bytes) -> str:
        path = self._path / name
        path.write_bytes(data)
        return str(path)
