"""`python -m benchmarks.driver`: does the jobs that it reads, and writes what came of each."""

import asyncio
import gc
import json
import sys
from dataclasses import asdict, is_dataclass
from typing import Any

import uvloop

from benchmarks.driver.job import Job
from benchmarks.driver.kinds import find


def main() -> None:
    """A line in, a line out; an error ends it."""
    for line in sys.stdin:
        done = run(Job.from_json(line))
        print(json.dumps(asdict(done) if is_dataclass(done) and not isinstance(done, type) else done), flush=True)


def run(job: Job) -> Any:
    """Do one job, in an event loop of its own."""
    gc.collect()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(find(job.kind)(job))


if __name__ == "__main__":
    main()
