"""The crate's own tests, at real servers that they start themselves."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.client_rust.cargo import CRATE, SECONDS
from tests.support.paths import ROOT
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # it builds


def test_the_crate() -> None:
    if shutil.which("cargo") is None:
        missing("no rust: cargo is not installed")
    done = subprocess.run(
        [ROOT / "scripts" / "rust.sh", "test"],
        env={**os.environ, "LOCKSTITCH_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_names_no_registry_but_the_canonical_one() -> None:
    lines = (CRATE / "Cargo.lock").read_text().splitlines()
    sources = {line for line in lines if "://" in line}
    assert sources == {'source = "registry+https://github.com/rust-lang/crates.io-index"'}
