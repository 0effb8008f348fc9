"""The packaged crate, in a project of its own outside of the repository."""

import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from lockstitch import Client
from tests.client_rust.cargo import CRATE, SECONDS, TARGET, cargo
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # it builds

MANIFEST = """
[package]
name = "user"
version = "0.0.0"
edition = "2024"

[dependencies]
lockstitch = { path = "CRATE" }
serde = { version = "1", features = ["derive"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[profile.dev]
debug = 0  # as in the workspace, whose builds of the same crates are used
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the registry would hold, unpacked."""
    cargo("package", "--locked", "--quiet", "--allow-dirty", "--no-verify", "--package", "lockstitch")
    version = tomllib.loads((CRATE / "Cargo.toml").read_text())["package"]["version"]
    directory = tmp_path_factory.mktemp("package")
    with tarfile.open(TARGET / "package" / f"lockstitch-{version}.crate") as archive:
        archive.extractall(directory, filter="data")
    return directory / f"lockstitch-{version}"


def test_the_package_has_what_a_registry_shows(package: Path) -> None:
    shown = tomllib.loads((package / "Cargo.toml").read_text())["package"]
    assert shown["license"] == "Apache-2.0"
    assert {"repository", "documentation", "description", "readme"} <= shown.keys()
    assert (package / "LICENSE").read_text() == (CRATE / ".." / ".." / "LICENSE").read_text()
    assert not {"tests", "executor", "probe", "guide", "codegen"} & {path.name for path in package.iterdir()}


def test_the_readme_of_the_package_runs_in_another_project(
    package: Path, server: LockstitchServer, client: Client, tmp_path: Path
) -> None:
    project = tmp_path / "user"
    (project / "src").mkdir(parents=True)
    (project / "Cargo.toml").write_text(MANIFEST.replace("CRATE", str(package)))
    shutil.copy(package / "Cargo.lock", project / "Cargo.lock")  # the versions that are built already
    snippet = re.search(r"```rust,no_run\n(.*?)```", (package / "README.md").read_text(), re.DOTALL)
    assert snippet is not None
    (project / "src" / "main.rs").write_text(snippet[1].replace("127.0.0.1:50051", server.target))
    done = subprocess.run(
        ["cargo", "run", "--quiet"],
        cwd=project,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [session.session_id for session in client.list_sessions()] == ["order-42"]
