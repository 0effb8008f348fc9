"""Running cargo for client/rust. What it builds stays from run to run, where the polyglot harness has it, too."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.polyglot.languages import CACHE
from tests.support.paths import ROOT
from tests.support.requirements import missing

CRATE = ROOT / "client" / "rust"
TARGET = CACHE / "rust"
SECONDS = 1800


def cargo(*arguments: str, **environment: str) -> str:
    """What a command prints. Ends the test where there is no cargo; raises AssertionError where it fails."""
    if shutil.which("cargo") is None:
        missing("no rust: cargo is not installed")
    done = subprocess.run(
        ["cargo", *arguments],
        cwd=CRATE,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"cargo {' '.join(arguments)}\n{done.stdout}"
    return done.stdout


def built(directory: Path, name: str) -> Path:
    """A program of the workspace, copied to a directory of the test's: another build may replace it."""
    # Everything at once, as all others build it: parts would have other features, and be built anew.
    cargo("build", "--locked", "--quiet", "--workspace", "--all-features", "--bins", "--examples")
    return Path(shutil.copy(TARGET / "debug" / name, directory))
