"""Metrics of the process: processor time, memory, open files, uptime."""

import time

import psutil

from lockstitch_server.telemetry.stats import Stats


def watch_process(stats: Stats) -> None:
    """Report the metrics of this process."""
    process, began = psutil.Process(), time.monotonic()

    def look(stats: Stats) -> None:
        with process.oneshot():
            times = process.cpu_times()
            stats.set("process.cpu.time", times.user, "user")
            stats.set("process.cpu.time", times.system, "system")
            stats.set("process.memory.usage", process.memory_info().rss)
            if hasattr(process, "num_fds"):  # not on Windows
                stats.set("process.unix.file_descriptor.count", process.num_fds())
        stats.set("process.uptime", time.monotonic() - began)

    stats.watch(look)
