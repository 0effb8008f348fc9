"""Two backups, or two exports, to the same file at once: it is one of them, whole."""

from pathlib import Path

import pytest

from lockstitch_server.cli.maintenance import _output
from lockstitch_server.storage.sqlite.backup import backup
from lockstitch_server.storage.store import StoreError
from tests.upkeep.stores import content, faults_of, fill, opened


async def test_a_backup_while_another_one_is_made(tmp_path: Path) -> None:
    path, copy = tmp_path / "lockstitch.db", tmp_path / "copy.db"
    async with opened(f"sqlite:///{path}") as api:
        await fill(api)
        before = await content(api)

    def make_another(left: int, pages: int) -> None:
        if not copy.exists():
            backup(str(path), copy, lambda left, pages: None)

    with pytest.raises(StoreError, match="is there already; choose another name"):
        backup(str(path), copy, make_another)
    assert await faults_of(f"sqlite:///{copy}") == []
    async with opened(f"sqlite:///{copy}") as api:
        assert await content(api) == before
    assert list(tmp_path.glob("*.part")) == []


def test_an_export_while_another_one_is_written(tmp_path: Path) -> None:
    file = tmp_path / "archive"
    with _output(str(file), force=True) as out:
        out.write(b"first, ")
        with _output(str(file), force=True) as other:
            other.write(b"another one, which is longer")
        assert file.read_bytes() == b"another one, which is longer"
        out.write(b"to its end")
    assert file.read_bytes() == b"first, to its end"
    assert list(tmp_path.iterdir()) == [file]
