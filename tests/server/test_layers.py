"""Imports point downwards only: app -> rpc -> engine -> storage -> core."""

import ast
from pathlib import Path

import pytest

import lockstitch
import lockstitch_server

ROOT = Path(lockstitch_server.__file__).parent
LAYERS = ("core", "auth", "audit", "storage", "engine", "validation", "rpc", "telemetry")
MAY_IMPORT = {
    "core": {"core", "records"},
    "storage": {"storage", "core"},
    "engine": {"engine", "storage", "core", "records"},
    "auth": {"auth", "core"},
    "audit": {"audit"},
    "validation": {"validation", "core", "config"},
    "rpc": {"rpc", "auth", "audit", "engine", "validation", "core", "records", "config", "telemetry"},
    "telemetry": {"telemetry", "config", "core"},
}
OUTSIDE = {
    "core": ("grpc", "aiosqlite", "asyncpg", "sqlalchemy", "asyncio", "sqlite3"),
    "auth": ("grpc",),
    "audit": ("grpc", "asyncio"),
    "storage": ("grpc",),
    "validation": ("grpc", "asyncio"),
    "engine": ("grpc", "aiosqlite", "asyncpg", "sqlite3"),
}


def imports(layer: str) -> set[str]:
    """All modules that a layer imports."""
    return imports_of(ROOT / layer)


def imports_of(directory: Path) -> set[str]:
    found: set[str] = set()
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_own_imports_point_downwards(layer: str) -> None:
    own = {name.split(".")[1] for name in imports(layer) if name.startswith("lockstitch_server.")}
    assert own <= MAY_IMPORT[layer]


@pytest.mark.parametrize("layer", OUTSIDE)
def test_a_layer_does_not_know_what_is_not_its_business(layer: str) -> None:
    packages = {name.split(".")[0] for name in imports(layer)}
    assert not packages & set(OUTSIDE[layer])


def test_the_explorer_is_a_client_like_any_other() -> None:
    packages = {name.split(".")[0] for name in imports_of(Path(lockstitch.__file__).parent.with_name("lockstitch_ui"))}
    assert "lockstitch" in packages
    assert "lockstitch_server" not in packages


def test_only_commands_know_the_explorer() -> None:
    modules = (path for path in ROOT.rglob("*.py") if path.parent.name != "cli")
    knowing = {path.name for path in modules if "lockstitch_ui" in path.read_text()}
    assert knowing <= {"explorer.py"}
