"""What `make release` builds for Python and Kubernetes is complete and works, and its licences are allowed."""

import email
import importlib.util
import json
import re
import subprocess
import sys
import tarfile
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.release import ALLOWED_LICENCES, VERSION
from tests.support.paths import ROOT
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def release(directory: Path, *parts: str) -> str:
    for module in ("twine", "piplicenses", "cyclonedx_py"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} is not installed: make .venv/.release")
    command = [sys.executable, "-m", "scripts.release", *parts, "--directory", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("release")
    shown = release(directory, "python", "--python", sys.executable)
    assert f"lockstitch {VERSION} from the wheel serves, saves, resumes and shows" in shown
    return directory / "python"


@pytest.fixture(scope="module")
def metadata(built: Path) -> Message:
    with ZipFile(next(built.glob("*.whl"))) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith("/METADATA"))
        return email.message_from_bytes(wheel.read(name))


def test_both_distributions_have_the_version(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == {
        f"lockstitch-{VERSION}-py3-none-any.whl",
        f"lockstitch-{VERSION}.tar.gz",
    }


def test_the_metadata_is_complete(metadata: Message) -> None:
    urls = dict(each.split(", ") for each in metadata.get_all("Project-URL", []))
    assert urls.keys() >= {"Documentation", "Source", "Changelog", "Issues"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"Programming Language :: Python :: {sys.version_info[0]}.{sys.version_info[1]}" in metadata.get_all(
        "Classifier", []
    )


def test_links_of_the_readme_work_on_the_page_of_an_index(metadata: Message) -> None:
    """No link is relative; those to the repository name files that are there."""
    text = metadata.get_payload()
    assert isinstance(text, str)
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    links = re.findall(r"\]\(([^)]+)\)", prose)
    assert [link for link in links if not link.startswith("https://")] == []
    at = re.compile(
        rf"https://(?:github\.com/lockstitch/lockstitch/blob|raw\.[a-z.]+/lockstitch/lockstitch)/v{VERSION}/"
    )
    files = [at.sub("", link).partition("#")[0] for link in links if at.match(link)]
    assert len(files) > 30
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_source_distribution_has_what_the_wheel_is_built_from(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "proto/lockstitch/v1/checkpoint.proto"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]


def test_the_chart_is_packed(tmp_path: Path) -> None:
    if importlib.util.find_spec("helm_python") is None:
        missing("helm-python-sdk is not installed: make .venv/.deploy")
    release(tmp_path, "chart")
    with tarfile.open(tmp_path / "chart" / f"lockstitch-{VERSION}.tgz") as archive:
        assert "lockstitch/Chart.yaml" in archive.getnames()


def test_the_list_of_parts_names_every_locked_package(tmp_path: Path) -> None:
    release(tmp_path, "sbom")
    listed = json.loads((tmp_path / "sbom" / "lockstitch.cdx.json").read_text())
    locked = set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text()))
    assert locked == {each["name"] for each in listed["components"]}


def test_licences_are_listed_and_allowed(tmp_path: Path) -> None:
    release(tmp_path, "licences")
    text = (tmp_path / "licences" / "third-party-licences.txt").read_text()
    assert "grpcio" in text
    assert "Apache License" in text


def test_licences_of_npm_packages_are_allowed() -> None:
    packages = json.loads((ROOT / "client" / "typescript" / "package-lock.json").read_text())["packages"]
    needed = {name: each.get("license", "") for name, each in packages.items() if name and not each.get("dev")}
    assert len(needed) > 5
    assert {name: found for name, found in needed.items() if not _is_allowed(found)} == {}


def test_licences_of_crates_are_allowed() -> None:
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--manifest-path", "client/rust/Cargo.toml"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        missing("cargo is not installed")
    packages = json.loads(done.stdout)["packages"]
    needed = {each["name"]: each["license"] or "" for each in packages if each["source"]}
    assert len(needed) > 50
    assert {name: found for name, found in needed.items() if not _is_allowed(found)} == {}


def _is_allowed(expression: str) -> bool:
    """Whether a licence of each alternative-free part is allowed: A AND (B OR C) needs A, and B or C."""
    parts = [part for part in re.split(r" AND ", expression.replace("(", "").replace(")", "")) if part]
    return bool(parts) and all(any(name in part for name in ALLOWED_LICENCES.split(";")) for part in parts)
