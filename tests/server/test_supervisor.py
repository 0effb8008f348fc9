"""A supervisor whose workers cannot even begin."""

import sys
from pathlib import Path

import pytest

from lockstitch_server.config import Settings
from lockstitch_server.runtime.startup import StartupError
from lockstitch_server.runtime.workers import supervisor


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/bin/false", "worker 1 ended before it could serve"),
        ("/no/such/python", "cannot start a worker: No such file"),
    ],
)
def test_when_no_worker_can_start_it_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    settings = Settings(store=f"sqlite:///{tmp_path}/lockstitch.db", listen="127.0.0.1:0", workers=2)
    with pytest.raises(StartupError, match=reason):
        supervisor.serve(settings)
