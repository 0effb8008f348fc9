"""Servers from Debian's packages, unpacked beside the virtual environment: nothing is installed, nothing is started."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PACKAGES = {"etcd": "etcd-server", "redis-server": "redis-server"}
UNPACKED = Path(sys.prefix, "bench-servers")
SECONDS = 300


class Missing(Exception):
    """A program cannot be had on this machine, for the reason given."""


class Program(NamedTuple):
    """Something that can be run."""

    path: Path
    environment: Mapping[str, str]


def find(name: str) -> Program:
    """The machine's own, else that of Debian's package. Raises Missing."""
    if own := shutil.which(name):
        return Program(Path(own), os.environ)
    if not _unpacked(name).exists():
        _fetch(PACKAGES[name])
    if not _unpacked(name).exists():
        raise Missing(f"the package {PACKAGES[name]} has no {name}")
    libraries = ":".join(str(path) for path in UNPACKED.glob("usr/lib/*-linux-gnu"))
    return Program(_unpacked(name), {**os.environ, "LD_LIBRARY_PATH": libraries})


def _unpacked(name: str) -> Path:
    return UNPACKED / "usr" / "bin" / name


def _fetch(package: str) -> None:
    """Download the package with whatever it needs that is not there, and unpack it."""
    if shutil.which("apt-get") is None:
        raise Missing("it is not installed, and there is no apt-get to fetch it with")
    if not _known(package):
        _run("apt-get", "update", "-qq")
    archives = UNPACKED / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    _run("apt-get", *options, "install", "-qq", "--yes", "--no-install-recommends", "--download-only", package)
    for archive in archives.glob("*.deb"):
        _run("dpkg-deb", "-x", str(archive), str(UNPACKED))


def _known(package: str) -> bool:
    shown = subprocess.run(["apt-cache", "policy", package], stdout=subprocess.PIPE, text=True, check=False)
    return "Candidate: " in shown.stdout and "Candidate: (none)" not in shown.stdout


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise Missing(f"it is not installed, and {command[0]} fails: {said[-1] if said else ''}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"it is not installed, and {command[0]} takes too long") from error
