"""The Go module as `go get` installs it: complete, with its licence, and used by a module outside the repository."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.release import VERSION
from tests.support.paths import ROOT
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODULE = "lockstitch.dev/go"
PROGRAM = """\
package main

import (
	"context"
	"fmt"
	"os"

	"lockstitch.dev/go/lockstitch"
)

func main() {
	client, err := lockstitch.New(os.Args[1])
	if err != nil {
		panic(err)
	}
	defer client.Close()
	thread := client.Thread("outside")
	if _, err := thread.Save(context.Background(), map[string]any{"a": 1}); err != nil {
		panic(err)
	}
	state, err := thread.Load(context.Background())
	fmt.Println(state["a"], err)
}
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module proxy with the release, as `make release` builds it."""
    if shutil.which("go") is None:
        missing("no go: go is not installed")
    directory = tmp_path_factory.mktemp("release")
    command = [sys.executable, "-m", "scripts.release", "go", "--directory", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "go" / "proxy"


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as server:
        yield server


def test_the_module_has_its_licence_and_nothing_of_other_modules(proxy: Path) -> None:
    with ZipFile(proxy / MODULE / "@v" / f"v{VERSION}.zip") as archive:
        names = {name.removeprefix(f"{MODULE}@v{VERSION}/") for name in archive.namelist()}
        licence = archive.read(f"{MODULE}@v{VERSION}/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert {"go.mod", "README.md", "lockstitch/client.go", "lockstitchpb/checkpoint.pb.go"} <= names
    assert not [name for name in names if name.startswith("tools/")]


def test_a_program_outside_saves_and_does_not_need_opentelemetry(
    proxy: Path, server: LockstitchServer, tmp_path: Path
) -> None:
    def go(*arguments: str) -> str:
        environment = {
            "GOPROXY": f"file://{proxy},{elsewhere}",
            "GONOSUMDB": MODULE,
            "GOMODCACHE": str(tmp_path / "modules"),
            "GOFLAGS": "-modcacherw",
        }
        done = subprocess.run(
            ["go", *arguments],
            cwd=outside,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    elsewhere = subprocess.run(["go", "env", "GOPROXY"], capture_output=True, text=True, check=True).stdout.strip()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "main.go").write_text(PROGRAM)
    go("mod", "init", "outside")
    go("get", f"{MODULE}@v{VERSION}")
    go("mod", "tidy")
    go("vet", ".", f"{MODULE}/lockstitch", f"{MODULE}/lockstitchpb")
    assert "opentelemetry" not in (outside / "go.mod").read_text() + go("list", "-deps", ".")
    assert go("run", ".", server.target) == "1 <nil>\n"


def test_the_import_page_names_the_folder_of_the_module() -> None:
    page = (ROOT / "docs" / "go" / "index.html").read_text()
    (content,) = re.findall(r'<meta name="go-import" content="([^"]+)">', page)
    module, kind, repository, folder = content.split()
    assert (module, kind) == (MODULE, "git")
    assert f"module {MODULE}\n" in (ROOT / folder / "go.mod").read_text()
    urls = (ROOT / "pyproject.toml").read_text()
    assert f'"{repository}"' in urls
