"""The Go client: its own tests, its example, and its tour."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.polyglot.languages import run_command
from tests.support.paths import ROOT
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

CLIENT = ROOT / "client" / "go"
TOUR = ROOT / "docs" / "clients" / "go.md"
ADDRESS = "127.0.0.1:50051"

pytestmark = pytest.mark.slow

PROGRAM = """\
package main

{imports}

func main() {{
	if err := tour(context.Background()); err != nil {{
		fmt.Println("failed:", err)
	}}
}}

func tour(ctx context.Context) error {{
{body}
	return nil
}}
"""


@pytest.fixture(scope="module", autouse=True)
def toolchain() -> None:
    if shutil.which("go") is None:
        missing("no go: go is not installed")


@pytest.fixture
def own_server() -> Iterator[LockstitchServer]:
    """A server of its own: tours and examples name their sessions."""
    with LockstitchServer() as server:
        yield server


def test_its_own_tests_pass() -> None:
    environment = {**os.environ, "LOCKSTITCH_COMMAND": str(Path(sys.executable).with_name("lockstitch"))}
    done = subprocess.run(
        ["go", "test", "-timeout", "600s", "./..."],
        cwd=CLIENT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok  \tlockstitch.dev/go/lockstitch\t" in done.stdout


def test_the_tour_runs_and_prints_what_it_says(own_server: LockstitchServer, tmp_path: Path) -> None:
    text = TOUR.read_text()
    imports, *body = re.findall(r"^```go\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(body) > 8
    program = PROGRAM.format(imports=imports, body="\n".join(body)).replace(ADDRESS, own_server.target)
    (tmp_path / "main.go").write_text(program)
    printed = run_command(["go", "run", str(tmp_path / "main.go")], CLIENT).splitlines()
    assert not [line for line in printed if line.startswith("failed:")], printed
    expected = re.findall(r"^\s*fmt\.Println\(.*\) // (.*)$", text, re.MULTILINE)
    assert len(expected) > 10
    for line in expected:
        assert line in printed


def test_the_example_saves_and_goes_on(own_server: LockstitchServer) -> None:
    first = run_command(["go", "run", "./example", own_server.target, "s"], CLIENT).splitlines()
    assert first == [*(f"saved step {step}" for step in range(1, 11)), "done: 10 messages"]
    again = run_command(["go", "run", "./example", own_server.target, "s"], CLIENT).splitlines()
    assert again == ["going on after step 10", "done: 10 messages"]
