"""Imports point one way: every room imports only rooms below it. And no room knows what is not its business."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lockstitch
import lockstitch_server

ROOT = Path(lockstitch_server.__file__).parent
ROOMS = (
    "config",
    "core",
    "core.wire",
    "records.v1",
    "core.format",
    "core.sessions",
    "core.planning",
    "auth",
    "audit",
    "storage.libpq",
    "storage",
    "storage.migrations",
    "storage.migrations.versions",
    "storage.sqlite",
    "storage.postgres",
    "storage.factory",
    "engine",
    "engine.reads",
    "engine.maintenance",
    "validation",
    "telemetry",
    "rpc",
    "saving",
    "rpc.interceptors",
    "rpc.services",
    "rpc.transport",
    "rpc.transport.http",
    "runtime",
    "runtime.workers",
    "importers",
    "cli",
    "asgi",
    "__main__",
)
"""From the lowest to the highest. A room is a directory; `storage.factory` chooses between the rooms below it."""
OUTSIDE = {
    "core": ("grpc", "aiosqlite", "asyncpg", "sqlalchemy", "asyncio", "sqlite3"),
    "auth": ("grpc",),
    "audit": ("grpc", "asyncio"),
    "storage": ("grpc",),
    "validation": ("grpc", "asyncio"),
    "engine": ("grpc", "aiosqlite", "asyncpg", "sqlite3"),
}
PACKAGE = f"{lockstitch_server.__name__}."


def modules() -> dict[str, Path]:
    """All modules of the server by their names below the package."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in ROOT.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


def room_of(module: str, known: dict[str, Path]) -> str:
    if module in ROOMS or known[module].name == "__init__.py":
        return module
    return module.rpartition(".")[0]


def imports_of(path: Path) -> Iterator[str]:
    """What a module imports; `from a import b` is both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_room_stands_in_the_list() -> None:
    known = modules()
    rooms = {room_of(module, known) for module in known} - {"", "__init__"}
    assert {room for room in rooms if any(room == room_of(m, known) != m for m in known)} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_downwards(room: str) -> None:
    known = modules()
    below = set(ROOMS[: ROOMS.index(room) + 1])
    for module, path in known.items():
        if room_of(module, known) != room:
            continue
        own = {name.removeprefix(PACKAGE) for name in imports_of(path) if name.startswith(PACKAGE)} & known.keys()
        above = {name for name in own if room_of(name, known) in ROOMS and room_of(name, known) not in below}
        assert not above, f"{module} imports {sorted(above)}"


@pytest.mark.parametrize("layer", OUTSIDE)
def test_a_layer_does_not_know_what_is_not_its_business(layer: str) -> None:
    packages = {name.split(".")[0] for path in (ROOT / layer).rglob("*.py") for name in imports_of(path)}
    assert not packages & set(OUTSIDE[layer])


def test_the_explorer_is_a_client_like_any_other() -> None:
    explorer = Path(lockstitch.__file__).parent.with_name("lockstitch_ui")
    packages = {name.split(".")[0] for path in explorer.rglob("*.py") for name in imports_of(path)}
    assert "lockstitch" in packages
    assert "lockstitch_server" not in packages


def test_only_commands_know_the_explorer() -> None:
    modules = (path for path in ROOT.rglob("*.py") if path.parent.name != "cli")
    knowing = {path.name for path in modules if "lockstitch_ui" in path.read_text()}
    assert knowing <= {"explorer.py"}
