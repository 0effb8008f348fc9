"""deploy/compose: valid by the specification's own library, and every file that it mounts is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.requirements import missing

pytestmark = pytest.mark.slow

COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"


@pytest.fixture(scope="module")
def compose_go() -> list[str]:
    """The specification's reference implementation: it reads a file, checks it by the schema, and writes the model."""
    if shutil.which("go") is None:
        missing("go is not installed")
    return ["go", "run", COMPOSE_GO]


def checked(compose_go: list[str], directory: Path, password: str) -> subprocess.CompletedProcess[str]:
    """This command reads no variables, so the password is put into the file."""
    shutil.copytree(ROOT / "deploy", directory / "deploy")
    folder = directory / "deploy" / "compose"
    if password:
        (folder / "compose.yaml").write_text(re.sub(r"\$\{POSTGRES_PASSWORD:[^}]*\}", password, COMPOSE.read_text()))
    return subprocess.run(
        [*compose_go, str(folder / "compose.yaml")],
        cwd=folder,
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_it_is_valid(compose_go: list[str], tmp_path: Path) -> None:
    done = checked(compose_go, tmp_path, "secret")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert {"lockstitch", "migrate", "postgres", "collector", "prometheus", "grafana", "explorer"} <= set(services)
    assert services["migrate"]["environment"]["PGPASSWORD"] == "secret"
    for service in services.values():
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                assert Path(volume["source"]).is_file(), volume["source"]
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1"


def test_without_a_password_it_says_so(compose_go: list[str], tmp_path: Path) -> None:
    done = checked(compose_go, tmp_path, "")
    assert done.returncode != 0
    assert "Set POSTGRES_PASSWORD to a password for the database" in done.stderr


def test_images_have_a_version() -> None:
    images = [service["image"] for service in yaml.safe_load(COMPOSE.read_text())["services"].values()]
    assert all(":" in image for image in images)
    assert not any(image.endswith(":latest") for image in images)
