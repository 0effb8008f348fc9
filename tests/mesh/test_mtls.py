"""mTLS on both sides of Envoy: workers show it a certificate, and it shows its own to the replicas."""

from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

import lockstitch
from lockstitch import Checkpoint, Tls, Unavailable
from tests.mesh.certificates import write_certificates
from tests.support.certificates import Authority, Pair
from tests.support.envoy import Envoy
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow


def test_only_who_shows_a_certificate_of_the_authority_is_served(tmp_path: Path, postgres_url: str) -> None:
    authority = write_certificates(tmp_path)
    worker = authority.issue("worker")
    tls = [
        f"certificate={tmp_path}/server.crt",
        f"private_key={tmp_path}/server.key",
        f"client_ca={tmp_path}/workers-ca.crt",
    ]
    arguments = ["--migrate", *(f"--set=tls.{setting}" for setting in tls)]
    shown = grpc.ssl_channel_credentials(authority.certificate, worker.private_key, worker.certificate)
    with ExitStack() as stack:
        replicas = [stack.enter_context(LockstitchServer(postgres_url, arguments, shown)) for _ in range(2)]
        envoy = stack.enter_context(Envoy("envoy-mtls.yaml", [replica.target for replica in replicas], tmp_path))
        with lockstitch.Client(envoy.target, credentials=_tls(authority, worker)) as client:
            client.save(Checkpoint(session_id="mtls", step=1))
            latest = client.load_latest("mtls").checkpoint
            assert latest is not None
            assert latest.step == 1
        for stranger in (None, Authority("somebody else").issue("worker")):
            credentials = _tls(authority, stranger)
            with (
                lockstitch.Client(envoy.target, credentials=credentials, timeout=3) as client,
                pytest.raises((Unavailable, lockstitch.DeadlineExceeded)),
            ):
                client.load_latest("mtls")


def _tls(authority: Authority, pair: Pair | None) -> Tls:
    if pair is None:
        return Tls(authority.certificate)
    return Tls(authority.certificate, pair.certificate, pair.private_key)
