"""The backup drill of docs/production.md, as an operator runs it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from scripts.newcomer import blocks
from tests.support.paths import ROOT
from tests.upkeep.stores import exported, fill, opened

PAGE = (ROOT / "docs" / "production.md").read_text()
BIN = Path(sys.executable).parent


async def _filled(store: str) -> bytes:
    async with opened(store) as api:
        await fill(api)
        return _sessions(await exported(api.store))


async def _content(store: str) -> bytes:
    async with opened(store) as api:
        return _sessions(await exported(api.store))


def _sessions(archive: bytes) -> bytes:
    """An archive without its first frame, which has the time."""
    start = archive.index(b"\n") + 1
    return archive[start + 8 + int.from_bytes(archive[start : start + 4], "big") :]


def test_the_drill(tmp_path: Path) -> None:
    """After it, everything is there as before, though the store was deleted in between."""
    store = f"sqlite:///{tmp_path}/lockstitch.db"
    before = asyncio.run(_filled(store))
    drill = [block for language, block in blocks(PAGE) if language == "sh"]
    assert len(drill) == 2
    for block in drill:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert asyncio.run(_content(store)) == before
