"""The files of deploy/envoy are right: Envoy takes them, and the descriptors are those of the contract."""

import subprocess
from pathlib import Path

import pytest

from scripts.envoy_descriptors import descriptor_set
from tests.mesh.certificates import write_certificates
from tests.support.envoy import DIRECTORY, arranged, binary

FILES = sorted(path.name for path in DIRECTORY.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES)
def test_envoy_takes_the_configuration(tmp_path: Path, file: str) -> None:
    write_certificates(tmp_path)
    copy = tmp_path / file
    copy.write_text(arranged(file, tmp_path))
    done = subprocess.run(
        [str(binary()), "--mode", "validate", "--disable-hot-restart", "-c", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_there_is_a_configuration() -> None:
    assert FILES


def test_the_descriptors_are_those_of_the_contract() -> None:
    assert (DIRECTORY / "lockstitch.binpb").read_bytes() == descriptor_set(), "run `make generate`"
