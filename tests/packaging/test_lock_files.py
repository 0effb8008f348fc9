"""The lock files hold what pyproject.toml asks for, with hashes, and name no index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

LOCK_FILES = sorted(path.name for path in ROOT.glob("*.lock"))


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def group(name: str) -> list[str]:
    """What a dependency group asks for, with the groups that it includes."""
    lines: list[str] = []
    for entry in PROJECT["dependency-groups"][name]:
        lines += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return lines


def extras(*names: str) -> list[str]:
    """What a plain install and these extras ask for."""
    optional = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(line for name in names for line in optional[name])]


APART = {"google-adk"}
"""Extras that the tests have in an installation of its own."""
DECLARED = {
    "requirements.lock": extras("server", "postgres", "otel", "ui", "http"),
    "requirements-dev.lock": extras(*PROJECT["project"]["optional-dependencies"].keys() - APART) + group("dev"),
    "requirements-build.lock": group("build"),
    "requirements-bench.lock": group("bench"),
    "requirements-deploy.lock": group("deploy"),
    "requirements-docs.lock": group("docs"),
    "requirements-release.lock": group("release"),
    "requirements-generate.lock": group("generate"),
    "requirements-frameworks.lock": extras() + group("frameworks"),
    "requirements-frameworks-oldest.lock": extras() + group("frameworks-oldest"),
}


def entries(lock_file: str) -> Iterator[tuple[Requirement, list[str]]]:
    """(requirement, hashes) of every package in it."""
    text = re.sub(r"(?m)^\s*#.*\n|^--no-binary .*\n", "", Path(ROOT, lock_file).read_text()).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        requirement, *hashes = line.split(" --hash=")
        yield Requirement(requirement), [each.strip() for each in hashes]


def versions(lock_file: str) -> dict[str, set[str]]:
    """Package -> its versions: more than one where platforms differ."""
    found: dict[str, set[str]] = {}
    for requirement, _ in entries(lock_file):
        found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier).removeprefix("=="))
    return found


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_no_url(lock_file: str) -> None:
    assert "://" not in (ROOT / lock_file).read_text()


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_every_package_has_one_version_and_hashes(lock_file: str) -> None:
    for requirement, hashes in entries(lock_file):
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_what_pyproject_declares_is_locked(lock_file: str) -> None:
    locked = versions(lock_file)
    for requirement in map(Requirement, DECLARED[lock_file]):
        found = locked.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement.name} is not in {lock_file}: make lock"
        assert all(version in requirement.specifier for version in found), f"{requirement}, but {found}: make lock"


@pytest.mark.parametrize("lock_file", ["requirements.lock", "requirements-build.lock"])
def test_developing_takes_the_same_versions(lock_file: str) -> None:
    everything = versions("requirements-dev.lock")
    assert {name: everything.get(name) for name in versions(lock_file)} == versions(lock_file)


def test_measuring_takes_the_same_versions() -> None:
    developing, measuring = versions("requirements-dev.lock"), versions("requirements-bench.lock")
    shared = developing.keys() & measuring.keys()
    assert shared
    assert {name: measuring[name] for name in shared} == {name: developing[name] for name in shared}


def test_code_is_generated_for_the_oldest_runtime_that_is_allowed() -> None:
    code = (ROOT / "client/python/lockstitch/v1/checkpoint_service_pb2.py").read_text()
    services = (ROOT / "client/python/lockstitch/v1/checkpoint_service_pb2_grpc.py").read_text()
    made_for = {
        "protobuf": re.findall(r"# Protobuf Python Version: (\S+)", code)[0],
        "grpcio": re.findall(r"GRPC_GENERATED_VERSION = '(\S+)'", services)[0],
    }
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        minimum = next(each.version for each in requirement.specifier if each.operator == ">=")
        assert Requirement(f"x>={made_for[requirement.name]}").specifier.contains(minimum), requirement
