"""What a process takes of its machine."""

import os
import time
from pathlib import Path

from lockstitch_server.telemetry.stats import Stats

STATM = Path("/proc/self/statm")
OPEN_FILES = Path("/proc/self/fd")


def watch_process(stats: Stats) -> None:
    """Tell of this process. Memory and open files are told where the system has /proc."""
    began = time.monotonic()

    def look(stats: Stats) -> None:
        times = os.times()
        stats.set("process.cpu.time", times.user, "user")
        stats.set("process.cpu.time", times.system, "system")
        stats.set("process.uptime", time.monotonic() - began)
        if STATM.exists():
            stats.set("process.memory.usage", int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            stats.set("process.unix.file_descriptor.count", len(os.listdir(OPEN_FILES)))

    stats.watch(look)
