"""Names whose addresses a test changes: an `/etc/hosts` that only the programs of one test see."""

import shutil
import subprocess
from pathlib import Path

from tests.support.requirements import missing

SCRIPT = 'mount --make-rprivate / && mount --bind "$0" /etc/hosts && exec "$@"'


class PrivateHosts:
    """A file that stands for `/etc/hosts` in programs that are started within `command`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set("localhost", "127.0.0.1")
        probe = [*self.command, "true"]
        if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
            missing("unshare, and the right to mount in a namespace of one's own")

    @property
    def command(self) -> tuple[str, ...]:
        return ("unshare", "--mount", "sh", "-c", SCRIPT, str(self._path))

    def set(self, name: str, *addresses: str) -> None:
        """Let `name` have these addresses, and no other name but localhost any."""
        lines = [f"{address} {name}\n" for address in addresses]
        self._path.write_text("127.0.0.1 localhost\n" + "".join(lines))
