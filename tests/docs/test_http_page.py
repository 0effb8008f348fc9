"""What docs/http.md shows works as it says."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_readme import ADDRESS
from tests.support.paths import ROOT
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

PAGE = (ROOT / "docs" / "http.md").read_text()
SHOWN = "127.0.0.1:8080"
CURL = [line.removeprefix("$ ") for line in PAGE.splitlines() if line.startswith("$ curl ")]

assert ADDRESS != SHOWN


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://", door="http") as running:
        yield running


def run(command: str, server: LockstitchServer) -> str:
    arguments = shlex.split(command.replace(SHOWN, server.target))
    try:
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout
    except FileNotFoundError:
        missing("there is no curl: apt-get install curl")


def test_the_calls(server: LockstitchServer) -> None:
    save, load, get, ready = CURL
    assert json.loads(run(save, server))["outcome"] == "SAVE_OUTCOME_CREATED"
    loaded = json.loads(run(load, server))["checkpoint"]
    assert loaded["state"]["messages"]["items"] == [{"role": "user", "content": "hello"}]
    assert json.loads(run(get, server))["session"]["sessionId"] == "order-17"
    assert run(ready, server) == "ready\n"
    with_key = f"{load} -H 'authorization: Bearer lsk_x' -H 'lockstitch-tenant: default'"
    assert json.loads(run(with_key, server))["checkpoint"]


def test_the_error(server: LockstitchServer) -> None:
    _, _, get, _ = CURL
    found = json.loads(run(get.replace("order-17", "nobody"), server))
    (shown,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    assert (found["code"], found["message"]) == (shown["code"], shown["message"])
    detail, expected = found["details"][0], shown["details"][0]
    assert detail["type"] == expected["type"]
    assert detail["debug"]["reason"] == expected["debug"]["reason"]
    assert detail["value"].startswith(expected["value"][:20])


def test_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/http.md", "exec"), names)
    assert names["app"]
