"""Where it was measured, and what."""

import os
import platform
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import debian
from benchmarks.options import Options
from tests.support.paths import ROOT
from tests.support.postgres import find_binaries

PACKAGES = ("grpcio", "protobuf", "uvloop", "asyncpg", "aiosqlite", "psycopg")
SAVERS = ("langgraph-checkpoint", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres")


def about(options: Options) -> dict[str, str]:
    """What the figures depend on."""
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Lockstitch": f"{version('lockstitch')} ({_said('git', '-C', str(ROOT), 'describe', '--always', '--dirty')})",
        "Machine": f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Python": f"{platform.python_version()}; {_versions(PACKAGES)}",
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": _number(_said(str(find_binaries() / "postgres"), "--version")),
        "LangGraph": _versions(SAVERS),
        "etcd": _version_of("etcd"),
        "Redis": _version_of("redis-server"),
        "Runs": f"{options.seconds:g} s each, {options.repeat} of each, medians",
    }


def _versions(packages: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _version_of(program: str) -> str:
    try:
        found = debian.find(program)
    except debian.Missing as error:
        return f"not measured: {error}"
    said = subprocess.run(
        [found.path, "--version"], env=dict(found.environment), stdout=subprocess.PIPE, text=True, check=True
    )
    return _number(said.stdout)


def _number(text: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found[0] if found else "?"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
