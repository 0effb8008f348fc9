"""Commands that read a store never create, upgrade or change one, and work on a copy that cannot be written."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.commands import Command
from tests.robustness.workload import full_save
from tests.support.requirements import missing
from tests.upkeep.stores import opened

LOCKSTITCH = [sys.executable, "-m", "lockstitch_server"]
READERS = (["check"], ["export", "{out}/archive"], ["backup", "{out}/copy.db"])
readers = pytest.mark.parametrize("reader", READERS, ids=[reader[0] for reader in READERS])


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """A directory for a copy of a store."""
    path = tmp_path / "copy"
    path.mkdir()
    yield path
    path.chmod(0o755)


@readers
def test_a_store_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    done = Command(*_arguments(reader, Path()), "--store", "sqlite:///missing.db").in_process()
    assert done.code == 2
    assert str(tmp_path / "missing.db") in done.err
    assert list(tmp_path.iterdir()) == []


@readers
def test_a_file_without_a_schema(tmp_path: Path, reader: list[str]) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    done = Command(*_arguments(reader, tmp_path), "--store", f"sqlite:///{file}").in_process()
    assert done.code == 2
    assert "lockstitch migrate" in done.err
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == []


@readers
def test_a_store_in_memory(tmp_path: Path, reader: list[str]) -> None:
    done = Command(*_arguments(reader, tmp_path), "--store", "memory://").in_process()
    assert done.code == 2
    assert list(tmp_path.iterdir()) == []


def test_importing_what_is_no_archive(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"something else")
    for archive in (wrong, tmp_path / "missing"):
        done = Command("import", "archive", str(archive), "--store", f"sqlite:///{tmp_path}/new.db").in_process()
        assert done.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["wrong"]


@pytest.mark.parametrize(("kind", "reader"), [("file", READERS[0]), *[("directory", reader) for reader in READERS]])
def test_a_copy_without_write_rights(tmp_path: Path, copy: Path, reader: list[str], kind: str) -> None:
    asyncio.run(_save(tmp_path / "store.db"))
    shutil.copy(tmp_path / "store.db", copy)
    (copy / "store.db").chmod(0o444)
    copy.chmod(0o555 if kind == "directory" else 0o777)
    done = _bound_by_rights([*_arguments(reader, tmp_path), "--store", f"sqlite:///{copy}/store.db"])
    assert done.returncode == 0, done
    assert kind == "file" or [path.name for path in copy.iterdir()] == ["store.db"]


@pytest.mark.parametrize(("shared_memory", "reader"), [(True, READERS[0]), (True, READERS[2]), (False, READERS[0])])
def test_a_copy_with_a_log(tmp_path: Path, copy: Path, reader: list[str], shared_memory: bool) -> None:
    """What is in the write-ahead log only is read, or the copy is refused."""
    asyncio.run(_save(tmp_path / "store.db", copy))
    if not shared_memory:
        (copy / "store.db-shm").unlink()
    for path in copy.iterdir():
        path.chmod(0o444)
    copy.chmod(0o555)
    done = _bound_by_rights([*_arguments(reader, tmp_path), "--store", f"sqlite:///{copy}/store.db"])
    if not shared_memory:
        assert done.returncode == 2
        assert b"write-ahead log" in done.stderr
        return
    assert done.returncode == 0, done
    if reader[0] == "backup":
        with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
            assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    else:
        assert b"1 session" in done.stdout


def test_a_copy_behind_a_symbolic_link_with_a_log(tmp_path: Path, copy: Path) -> None:
    """The log is beside the file that the link names."""
    asyncio.run(_save(tmp_path / "store.db", copy))
    (copy / "store.db-shm").unlink()
    copy.chmod(0o555)
    (tmp_path / "link.db").symlink_to(copy / "store.db")
    done = _bound_by_rights(["check", "--store", f"sqlite:///{tmp_path}/link.db"])
    assert done.returncode == 2
    assert b"write-ahead log" in done.stderr


async def _save(path: Path, copy: Path | None = None) -> None:
    """Make a store with one session. copy: where it is copied to while it is open."""
    async with opened(f"sqlite:///{path}") as api:
        await api.save(full_save("session", 1))
        if copy is not None:
            for file in path.parent.glob(f"{path.name}*"):
                shutil.copy(file, copy)


def _arguments(reader: list[str], out: Path) -> list[str]:
    return [argument.format(out=out) for argument in reader]


def _bound_by_rights(arguments: list[str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a command as somebody whom file rights bind, as they do not bind root."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        missing("setpriv (util-linux), to give up root's rights")
    as_user = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    return subprocess.run([*as_user, *LOCKSTITCH, *arguments], capture_output=True, timeout=60, check=False)
