"""The wheel holds the client, the explorer and the server, typed, and nothing else."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.paths import CLIENT, ROOT, SERVER


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return ZipFile(next(directory.glob("*.whl")))


def test_all_packages_are_complete(wheel: ZipFile) -> None:
    packaged = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(parent).as_posix()
        for parent, package in ((CLIENT, "lockstitch"), (CLIENT, "lockstitch_ui"), (SERVER, "lockstitch_server"))
        for path in (parent / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packaged == sources
    assert {"lockstitch/py.typed", "lockstitch_ui/py.typed", "lockstitch_server/py.typed"} <= packaged


def test_every_directory_of_code_is_a_package(wheel: ZipFile) -> None:
    names = {Path(name) for name in wheel.namelist()}
    directories = {parent for name in names if name.suffix in (".py", ".pyi") for parent in name.parents[:-1]}
    assert directories
    plain = {each for each in directories if each / "__init__.py" not in names}
    assert {each for each in plain if each.name != "versions"} == set(), "alembic alone loads files by path"


def test_the_command_and_the_licence_are_there(wheel: ZipFile) -> None:
    by_name = {name.partition(".dist-info/")[2]: name for name in wheel.namelist()}
    assert b"lockstitch = lockstitch_server.__main__:main" in wheel.read(by_name["entry_points.txt"])
    assert b"Apache License" in wheel.read(by_name["licenses/LICENSE"])


def test_the_client_asks_for_grpc_and_protobuf_only(wheel: ZipFile) -> None:
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert sorted(line.split()[1].partition("<")[0] for line in required) == ["grpcio", "protobuf"]
