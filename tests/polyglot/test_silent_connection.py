"""Clients of all languages save again when a connection has gone silent, as behind a proxy that has forgotten it."""

import base64
import time
from pathlib import Path

import pytest

from lockstitch import Checkpoint
from tests.polyglot.executor import Executor
from tests.polyglot.languages import LANGUAGES, Executables, Language
from tests.polyglot.test_connections import started
from tests.support.server import LockstitchServer
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

READY = [language for language in LANGUAGES if language.name in ("python", "go", "java", "rust", "typescript")]
SAVERS = 16
TIMEOUT_MS = 2000
PATIENCE = 60.0


def save_all(executor: Executor, way: str, session_id: str, step: int) -> list[str]:
    """Save a checkpoint of each session, all at once. Returns the codes of those that failed."""
    saves = [
        {"checkpoint": base64.b64encode(checkpoint.SerializeToString()).decode()}
        for checkpoint in (Checkpoint(session_id=f"{session_id}-{number}", step=step) for number in range(SAVERS))
    ]
    results = executor.ask(way, {"saves": saves})["ok"]["results"]
    assert len(results) == SAVERS
    return [result["error"]["code"] for result in results if "error" in result]


@pytest.mark.parametrize("way", ["save_concurrently", "save_many"])
@pytest.mark.parametrize("language", READY, ids=lambda language: language.name)
def test_saves_go_on_over_another_connection(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer, session_id: str, way: str
) -> None:
    """Without a new connection no save ever succeeds; with one, all of the next round or two do."""
    with (
        TcpProxy(server.target) as proxy,
        started(executables, language, tmp_path / "log") as executor,
    ):
        executor.ask("connect", {"target": proxy.target, "timeout_ms": TIMEOUT_MS})
        assert not save_all(executor, way, session_id, 0)
        assert proxy.swallow()
        began, step = time.monotonic(), 1
        while failed := save_all(executor, way, session_id, step):
            assert set(failed) <= {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
            assert time.monotonic() - began < PATIENCE, f"{len(failed)} of {SAVERS} saves fail still"
            step += 1
        print(f"{language.name}: all saves succeeded {time.monotonic() - began:.1f} s after the silence began")
        for number in range(SAVERS):
            answer = executor.ask("load_latest", {"session_id": f"{session_id}-{number}"})
            loaded = Checkpoint.FromString(base64.b64decode(answer["ok"]["checkpoint"]))
            assert loaded.step == step
