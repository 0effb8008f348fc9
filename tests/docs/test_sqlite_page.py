"""docs/sqlite-server.md, followed from first to last: TLS, keys, a backup, and a key that is replaced."""

import shutil
from pathlib import Path

import pytest

from tests.docs.fences import fences
from tests.docs.reader import Reader
from tests.support.ports import free_port
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = [each for each in fences() if each.page == "sqlite-server.md"]


def test_a_reader_gets_from_nothing_to_a_server_with_keys_and_tls(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        missing("there is no openssl: apt-get install openssl")
    port = free_port()
    replaced = {"0.0.0.0:50051": f"0.0.0.0:{port}", "localhost:50051": f"localhost:{port}"}
    reader = Reader(tmp_path, replaced, "lockstitch serve")
    printed = ""
    try:
        for fence in PAGE:
            for _ in range(2 if fence.language == "python" else 1):
                printed += reader.follow(fence)
    finally:
        reader.stop()
    assert "SERVING  (server " in printed
    assert "2 ['question 1', 'question 2']" in printed
    assert "order-17  idle" in printed
    assert "0 faults" in printed
    keys = [line.split()[1] for line in printed.splitlines() if "until revoked" in line]
    assert sorted(keys) == ["agent", "operator"]
