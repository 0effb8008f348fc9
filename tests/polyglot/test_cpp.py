"""C++ stubs as docs/clients/other-languages.md makes them: they compile, and its program saves and resumes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.polyglot.languages import run_command
from tests.support.paths import ROOT
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

PAGE = (ROOT / "docs" / "clients" / "other-languages.md").read_text()
TOOLS = ("g++", "protoc", "grpc_cpp_plugin", "pkg-config")
ADDRESS = "127.0.0.1:50051"

pytestmark = pytest.mark.slow


def block(language: str, within: str) -> str:
    """The first fenced block of a language that holds this."""
    for content in re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if within in content:
            return str(content)
    raise AssertionError(f"there is no block of {language} with {within}")


def is_complete() -> bool:
    if not all(shutil.which(tool) for tool in TOOLS):
        return False
    return subprocess.run(["pkg-config", "--exists", "grpc++", "protobuf"], check=False).returncode == 0


@pytest.fixture(scope="session")
def toolchain() -> None:
    """Everything that the page asks for. Where everything has to run, it is installed if that is possible."""
    if not is_complete() and os.environ.get("LOCKSTITCH_REQUIRE_ALL", "") not in ("", "0"):
        subprocess.run([ROOT / "scripts" / "install_cpp.sh"], check=False)
    if not is_complete():
        missing(f"no C++: it takes {', '.join(TOOLS)} and the libraries grpc++ and protobuf")


@pytest.fixture(scope="module")
def directory(toolchain: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader stands: the repository's files, and an empty directory for the stubs."""
    directory = tmp_path_factory.mktemp("cpp")
    for name in ("proto", "buf.yaml", "buf.gen.cpp.yaml"):
        (directory / name).symlink_to(ROOT / name)
    return directory


def test_the_page_names_what_is_installed() -> None:
    script = (ROOT / "scripts" / "install_cpp.sh").read_text()
    (packages,) = re.findall(r'^packages="(.*)"$', script, re.MULTILINE)
    assert f"apt-get install {packages}\n" in PAGE


@pytest.mark.parametrize("way", ["buf generate", "protoc -I"])
def test_stubs_are_made(directory: Path, way: str) -> None:
    stubs = directory / "stubs"
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir()
    command = next(line for line in block("sh", way).replace("\\\n", "").splitlines() if line.startswith(way))
    run_command(["sh", "-c", command], directory)
    assert {"checkpoint_service.pb.cc", "checkpoint_service.grpc.pb.cc"} <= {
        path.name for path in (stubs / "lockstitch" / "v1").iterdir()
    }


def test_the_program_saves_and_resumes(directory: Path, server: LockstitchServer) -> None:
    program = block("cpp", "int main").replace(ADDRESS, server.target)
    (directory / "resume.cpp").write_text(program)
    (directory / "stubs").mkdir(exist_ok=True)
    run_command(["sh", "-c", "buf generate --template buf.gen.cpp.yaml --output stubs"], directory)
    run_command(["sh", "-c", block("sh", "g++ -std")], directory)
    assert run_command(["./resume"], directory) == block("text", "saved")
