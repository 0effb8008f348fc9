"""CI installs every Debian package that a test asks its reader to install."""

import re

from tests.support.paths import ROOT


def test_what_tests_ask_for_is_installed() -> None:
    lines = (ROOT / ".ci" / "debian-packages").read_text().splitlines()
    installed = {line.split()[0] for line in lines if line and not line.startswith("#")}
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    asked = {name for source in sources for name in re.findall(r'missing\(".*apt-get install ([a-z0-9-]+)"\)', source)}
    assert {"pgbouncer", "postgresql-15"} <= asked
    assert asked <= installed
