"""docs/postgres-server.md, followed from first to last: TLS, keys, metrics, and a backup that is restored."""

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.fences import fences
from tests.docs.reader import Reader
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = [each for each in fences() if each.page == "postgres-server.md"]
SERVE = "LOCKSTITCH_STORE=$STORE lockstitch serve"


def test_a_reader_gets_from_nothing_to_a_restored_backup(tmp_path: Path, postgres: Postgres) -> None:
    for tool in ("openssl", "curl"):
        if not shutil.which(tool):
            missing(f"there is no {tool}: apt-get install {tool}")
    port, metrics = free_port(), free_port()
    names = {name: postgres.create_database() for name in ("lockstitch", "restored")}
    replaced = {
        "postgresql://lockstitch:PASSWORD@db/lockstitch": f"'{postgres.url(names['lockstitch'])}'",
        "postgresql://lockstitch:PASSWORD@db/restored": f"'{postgres.url(names['restored'])}'",
        "0.0.0.0:50051": f"0.0.0.0:{port}",
        "localhost:50051": f"localhost:{port}",
        "127.0.0.1:9464": f"127.0.0.1:{metrics}",
    }
    reader = Reader(tmp_path, replaced, SERVE)
    printed = ""
    try:
        for fence in PAGE:
            for _ in range(2 if fence.language == "python" else 1):
                printed += reader.follow(fence)
    finally:
        reader.stop()
        for name in names.values():
            postgres.drop_database(name)
    assert "SERVING  (server " in printed
    assert "2 ['question 1', 'question 2']" in printed
    assert re.search(r"lockstitch_saves_total\{.*\} 2\.0", printed)
    assert '"principal"' in printed, "the audit log"
    assert "1 session created" in printed
    assert "0 faults" in printed
